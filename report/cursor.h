/* SPDX-License-Identifier: MIT
 * A query being read row by row, with the first failure kept, and arrays that grow while it is read. */
#ifndef BENCH_CURSOR_H
#define BENCH_CURSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "store.h"

struct sqlite3_stmt;
struct cursor {
    struct store *s;
    struct sqlite3_stmt *st;
    int code; /* 0, or what went wrong */
    struct err *e;
};

/* ?1 is id. The owner calls cursor_close, which returns the code. */
struct cursor cursor_open(struct store *s, const char *sql, int64_t id, struct err *e);
bool cursor_next(struct cursor *c);
int cursor_close(struct cursor *c);

int cursor_int(const struct cursor *c, int column);
int64_t cursor_int64(const struct cursor *c, int column);
double cursor_real(const struct cursor *c, int column); /* NAN when missing */
void cursor_text(const struct cursor *c, int column, char *buf, size_t size);

void cursor_out_of_memory(struct cursor *c);
/* Room for element n, zeroed; capacity doubles at the powers of two. NULL with the cursor failed and the old array as it was.
 */
void *cursor_grow(struct cursor *c, void *array, int n, size_t size);
double *cursor_nans(struct cursor *c, int n);

#endif
