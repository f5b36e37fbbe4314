/* SPDX-License-Identifier: MIT
 * The sample document and a folder to write into, for the tests of what is made from documents. Included once by each program
 * that needs it, after check.h. */
#ifndef BENCH_DOCUMENT_ROOM_H
#define BENCH_DOCUMENT_ROOM_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "err.h"

struct fixture {
    json_t *document;
    char dir[256], path[300];
    struct err err;
};

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");

    assert_non_null(f);
    f->document = json_load_file("tests/data/document.json", 0, NULL);
    assert_non_null(f->document);
    snprintf(f->dir, sizeof f->dir, "%s/document_test_XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/written", f->dir);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    assert_int_equal(rmdir(f->dir), 0); /* no temporary file is left either */
    json_decref(f->document);
    free(f);
    return 0;
}

#endif
