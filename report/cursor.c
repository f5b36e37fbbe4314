/* SPDX-License-Identifier: MIT
 * What is missing in the database is NAN in memory, and a text that is missing is empty. */
#include "cursor.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor cursor_open(struct store *s, const char *sql, int64_t run, struct err *e)
{
    struct cursor c = {.s = s, .e = e};

    if (sqlite3_prepare_v2(store_handle(s), sql, -1, &c.st, NULL) != SQLITE_OK || sqlite3_bind_int64(c.st, 1, run) != SQLITE_OK)
        c.code = store_error(s, e);
    return c;
}

bool cursor_next(struct cursor *c)
{
    if (c->code < 0)
        return false;
    int got = sqlite3_step(c->st);
    if (got != SQLITE_ROW && got != SQLITE_DONE)
        c->code = store_error(c->s, c->e);
    return got == SQLITE_ROW;
}

int cursor_close(struct cursor *c)
{
    sqlite3_finalize(c->st);
    return c->code;
}

int cursor_int(const struct cursor *c, int column)
{
    return sqlite3_column_int(c->st, column);
}

int64_t cursor_int64(const struct cursor *c, int column)
{
    return sqlite3_column_int64(c->st, column);
}

double cursor_real(const struct cursor *c, int column)
{
    return sqlite3_column_type(c->st, column) == SQLITE_NULL ? NAN : sqlite3_column_double(c->st, column);
}

void cursor_text(const struct cursor *c, int column, char *buf, size_t size)
{
    const unsigned char *t = sqlite3_column_text(c->st, column);

    snprintf(buf, size, "%s", t ? (const char *)t : "");
}

void cursor_out_of_memory(struct cursor *c)
{
    c->code = err_set(c->e, ERR_MEMORY, "out of memory for the rows of a run");
}

void *cursor_grow(struct cursor *c, void *array, int n, size_t size)
{
    if ((n & (n - 1)) == 0)
        array = realloc(array, (size_t)(n ? 2 * n : 1) * size);
    if (!array) {
        cursor_out_of_memory(c);
        return NULL;
    }
    memset((char *)array + (size_t)n * size, 0, size);
    return array;
}

double *cursor_nans(struct cursor *c, int n)
{
    double *x = malloc((size_t)n * sizeof *x);

    if (!x)
        cursor_out_of_memory(c);
    for (int i = 0; x && i < n; i++)
        x[i] = NAN;
    return x;
}
