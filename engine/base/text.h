/* SPDX-License-Identifier: MIT
 * Text: a growing byte string, whole-file reading and writing, and the few helpers that every room needs (nearest name for a
 * typo, human-readable sizes). A zeroed struct text is valid and empty; the owner calls text_free. `data` is always
 * NUL-terminated once anything was added. Running out of memory aborts with a sentence: texts are small. Never on the
 * measured path. */
#ifndef BENCH_TEXT_H
#define BENCH_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "err.h"

struct text {
    char *data;
    size_t len, cap;
};

void text_free(struct text *t);
void text_add(struct text *t, const char *bytes, size_t n);
void text_puts(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Reads a whole regular file of at most `limit` bytes. ERR_IO names the file; ERR_FORMAT when it is larger. */
int text_read_file(struct text *t, const char *path, size_t limit, struct err *e);

/* Writes through a temporary file in the same folder and renames it, so that a full disk or a kill leaves the old one. `put`
 * writes the content and returns 0, or non-zero with errno set. */
int text_replace_file(const char *path, int (*put)(FILE *f, void *ctx), void *ctx, struct err *e);

/* The same for content that is there as a whole. */
int text_write_file(const char *path, const char *data, size_t len, struct err *e);

/* The name in names[0..n) closest to `word`, or NULL when nothing is near enough to be a typo. */
const char *text_nearest(const char *word, const char *const *names, size_t n);

/* "1.50 GB", "312 B": decimal units, three significant digits, into buf; returns buf. */
const char *text_bytes(char *buf, size_t size, double bytes);

#endif
