/* SPDX-License-Identifier: MIT
 * For tests that look into a database: the one value that a query gives. */
#ifndef BENCH_STORE_QUERY_H
#define BENCH_STORE_QUERY_H

#include "check.h"

#include <sqlite3.h>

#include "store.h"

/* The statement at its first row; the caller finalizes it. */
static inline sqlite3_stmt *query_row(struct store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(store_handle(s), sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    return st;
}

static inline int64_t query(struct store *s, const char *sql)
{
    sqlite3_stmt *st = query_row(s, sql);
    int64_t v = sqlite3_column_int64(st, 0);

    sqlite3_finalize(st);
    return v;
}

static inline void expect_text(struct store *s, const char *sql, const char *wanted)
{
    sqlite3_stmt *st = query_row(s, sql);

    assert_string_equal((const char *)sqlite3_column_text(st, 0), wanted);
    sqlite3_finalize(st);
}

#endif
