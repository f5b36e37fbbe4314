/* SPDX-License-Identifier: MIT
 * Errors: a function returns 0 or a negative enum err_code and leaves one sentence in *e. Callers add context on the way up
 * with err_wrap; only bench.c prints and exits. A sentence names the thing (file, option, event) and, where there is one, the
 * remedy. `e` may be NULL where the caller does not care. Not thread-safe per object; give each thread its own. */
#ifndef BENCH_ERR_H
#define BENCH_ERR_H

enum err_code {
    ERR_USAGE = -1,       /* the caller's words are wrong: suite text, option, argument */
    ERR_FORMAT = -2,      /* a file does not hold what it should */
    ERR_IO = -3,          /* the system refused: open, read, write, disk full */
    ERR_MEMORY = -4,      /* allocation failed or a size is beyond its limit */
    ERR_ABSENT = -5,      /* not on this machine or in this build: recorded with its sentence, the run goes on */
    ERR_INTERRUPTED = -6, /* Ctrl-C or SIGTERM: what is measured is kept */
    ERR_MISMATCH = -7,    /* two results that must agree do not */
};

struct err {
    int code; /* 0 when nothing went wrong */
    char text[512];
};

/* Sets the sentence and returns code, so that `return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));` reads well. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " in front of the sentence that is there and returns its code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
