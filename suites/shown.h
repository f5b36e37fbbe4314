/* SPDX-License-Identifier: MIT
 * How texts and numbers are shown to people and in JSON. The text of a token need not be valid UTF-8. */
#ifndef BENCH_SHOWN_H
#define BENCH_SHOWN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

/* Appends 'text' in quotes with what cannot be seen spelled out, as Python's repr does; returns the columns it takes on a
 * terminal. Escapes: \n \r \t \\, \xNN for control characters and for bytes that are not UTF-8, \uNNNN or \UNNNNNNNN for
 * characters without a picture of their own. In double quotes when there is a single one inside and no double one. */
int shown_quoted(struct text *out, const char *bytes, size_t n);

/* 811008 as "811,008"; returns buf. */
enum { SHOWN_INTEGER = 32 };
const char *shown_integer(char buf[SHOWN_INTEGER], uint64_t n);

/* A string, with U+FFFD for each byte that is not UTF-8. */
json_t *shown_json_text(const char *bytes, size_t n);
json_t *shown_json_ids(const int32_t *id, int n);

#endif
