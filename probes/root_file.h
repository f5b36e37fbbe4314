/* SPDX-License-Identifier: MIT
 * Small files that the kernel writes, under a root folder: "" on a real machine, a tree of their own in tests, so that the same
 * code reads both. Paths begin with '/' and are printf formats. Functions return 0 or the errno of what went wrong. Not on the
 * measured path. */
#ifndef BENCH_ROOT_FILE_H
#define BENCH_ROOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ROOT_PATH = 512 };

/* "<root><path>" into buf; returns buf. */
const char *root_path(char buf[ROOT_PATH], const char *root, const char *path, ...) __attribute__((format(printf, 3, 4)));

FILE *root_open(const char *root, const char *path, ...) __attribute__((format(printf, 2, 3))); /* NULL sets errno */
bool root_has(const char *root, const char *path, ...) __attribute__((format(printf, 2, 3)));

/* The first line, without its newline; empty on failure. */
int root_line(char *line, size_t size, const char *root, const char *path, ...) __attribute__((format(printf, 4, 5)));
/* The number that the file begins with; EINVAL when it does not. */
int root_number(int64_t *out, const char *root, const char *path, ...) __attribute__((format(printf, 3, 4)));

#endif
