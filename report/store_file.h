/* SPDX-License-Identifier: MIT
 * What the two halves of the store share: store_file.c opens, checks and migrates the file; store.c adds and finds rows. For
 * nobody else. */
#ifndef BENCH_STORE_FILE_H
#define BENCH_STORE_FILE_H

#include "store.h"

enum { STORE_STATEMENTS_MAX = 32 };

struct sqlite3_stmt;
struct store {
    struct sqlite3 *db;
    char *path;
    struct sqlite3_stmt *stmt[STORE_STATEMENTS_MAX]; /* prepared when first used, by store.c's table */
};

#endif
