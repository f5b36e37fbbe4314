/* SPDX-License-Identifier: MIT
 * A folder to read suites in, for the tests of the suite reader. Included once by each program that needs it, after check.h. */
#ifndef BENCH_SUITE_ROOM_H
#define BENCH_SUITE_ROOM_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

#define SHIPPED "suites/kvcache_on_off"

/* Four lines that every suite needs; what a case adds stands from line 5. */
#define HEAD "question: q?\nmodel: tiny\nworkload:\n  prompt: hi\n"

struct room {
    char home[4096], folder[4096];
    struct suite suite;
    struct err err;
};

static inline int open_room(void **state)
{
    struct room *r = calloc(1, sizeof *r);
    const char *tmp = getenv("TMPDIR");

    if (!r || !getcwd(r->home, sizeof r->home))
        return -1;
    snprintf(r->folder, sizeof r->folder, "%s/suite_test_XXXXXX", tmp ? tmp : "/tmp");
    *state = r;
    return mkdtemp(r->folder) ? 0 : -1;
}

static inline void remove_file(struct room *r, const char *name)
{
    char path[8192];

    snprintf(path, sizeof path, "%s/%s", r->folder, name);
    remove(path);
}

static inline int close_room(void **state)
{
    struct room *r = *state;
    const char *const left[] = {"x.yaml", "plain", "kvcache.yaml", "folder"};
    int bad = chdir(r->home);

    suite_free(&r->suite);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        remove_file(r, left[i]);
    bad |= rmdir(r->folder);
    free(r);
    return bad;
}

/* Shortened after writing rather than emptied before: some file systems wait for the disk when an emptied file is closed. */
static inline void write_bytes(const char *path, const char *data, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(ftruncate(fd, (off_t)n), 0);
    assert_int_equal(close(fd), 0);
}

/* Reads `text` as x.yaml in the room's folder, so that sentences begin with a short name. */
static inline int read_bytes(struct room *r, const char *text, size_t n, const char *const *overrides, bool quick)
{
    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, n);
    suite_free(&r->suite);
    r->err = (struct err){0};
    return suite_read(&r->suite, "x.yaml", overrides, quick, &r->err);
}

static inline int read_text(struct room *r, const char *text, const char *const *overrides, bool quick)
{
    return read_bytes(r, text, strlen(text), overrides, quick);
}

static inline void expect_good(struct room *r, int code)
{
    if (code)
        fail_msg("refused: %s", r->err.text);
}

#define IN_A_ROOM(test) cmocka_unit_test_setup_teardown(test, open_room, close_room)

#endif
