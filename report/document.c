/* SPDX-License-Identifier: MIT
 * JSON from rows: a query's columns become an object's keys, so the parts of the document that are plain facts are one SELECT
 * each. Token texts are bytes of a model's vocabulary and need not be UTF-8; JSON must be. */
#include "document.h"

#include <math.h>
#include <sqlite3.h>
#include <string.h>

#include "text.h"

void document_put(struct document *d, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) < 0 && d->code == 0)
        d->code = err_set(d->e, ERR_MEMORY, "out of memory for the document of a run");
}

void document_append(struct document *d, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) < 0 && d->code == 0)
        d->code = err_set(d->e, ERR_MEMORY, "out of memory for the document of a run");
}

json_t *document_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *document_estimate(const struct estimate *e)
{
    if (e->n == 0 || !isfinite(e->median))
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:i, s:o}", "median", document_number(e->median), "lo", document_number(e->lo), "hi",
                     document_number(e->hi), "n", e->n, "iqr", document_number(e->iqr));
}

json_t *document_axis(enum axis a, int value)
{
    return axes[a].words ? json_string(axes[a].words[value]) : json_integer(value);
}

json_t *document_trial_axis(const struct rows_trial *t, enum axis a)
{
    return t->recorded[a] ? document_axis(a, t->axis[a]) : json_null();
}

/* Length of the UTF-8 character at p, or 0 when it is none (Unicode 15, table 3-7). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t want = p[0] < 0x80                   ? 1
                  : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                  : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
                  : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
                                                : 0;

    if (want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return want;
}

json_t *document_text(const char *bytes, size_t n)
{
    struct text t = {0};

    text_add(&t, "", 0);
    for (size_t i = 0, len; i < n; i += len ? len : 1) {
        len = utf8_length((const unsigned char *)bytes + i, n - i);
        if (len)
            text_add(&t, bytes + i, len);
        else
            text_puts(&t, "\xef\xbf\xbd");
    }
    json_t *out = json_stringn(t.data, t.len);
    text_free(&t);
    return out;
}

static json_t *column_value(sqlite3_stmt *st, int i, char suffix)
{
    const char *text;

    switch (sqlite3_column_type(st, i)) {
    case SQLITE_NULL:
        return json_null();
    case SQLITE_INTEGER:
        return suffix == '?' ? json_boolean(sqlite3_column_int(st, i)) : json_integer(sqlite3_column_int64(st, i));
    case SQLITE_FLOAT:
        return document_number(sqlite3_column_double(st, i));
    default:
        text = (const char *)sqlite3_column_text(st, i);
        if (suffix != '}')
            return document_text(text, (size_t)sqlite3_column_bytes(st, i));
        json_t *parsed = json_loads(text, JSON_DECODE_ANY, NULL);
        return parsed ? parsed : json_null();
    }
}

static json_t *row_object(struct document *d, sqlite3_stmt *st)
{
    json_t *row = json_object();
    char key[64];

    for (int i = 0; i < sqlite3_column_count(st); i++) {
        const char *name = sqlite3_column_name(st, i);
        size_t n = name ? strcspn(name, "?{") : 0;
        n = n < sizeof key ? n : sizeof key - 1;
        memcpy(key, name ? name : "", n);
        key[n] = 0;
        document_put(d, row, key, column_value(st, i, name && name[n] ? name[strlen(name) - 1] : 0));
    }
    return row;
}

json_t *document_query(struct document *d, const char *sql, int64_t id)
{
    json_t *rows = json_array();
    sqlite3_stmt *st = NULL;
    int got = sqlite3_prepare_v2(store_handle(d->s), sql, -1, &st, NULL);

    if (got == SQLITE_OK)
        got = sqlite3_bind_int64(st, 1, id);
    if (got == SQLITE_OK)
        while ((got = sqlite3_step(st)) == SQLITE_ROW)
            document_append(d, rows, row_object(d, st));
    if (got != SQLITE_DONE && d->code == 0)
        d->code = store_error(d->s, d->e);
    sqlite3_finalize(st);
    return rows;
}

json_t *document_query_one(struct document *d, const char *sql, int64_t id)
{
    json_t *rows = document_query(d, sql, id);
    json_t *first = json_incref(json_array_get(rows, 0));

    json_decref(rows);
    return first ? first : json_null();
}
