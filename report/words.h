/* SPDX-License-Identifier: MIT
 * Values of a run's document as words: three significant digits with their unit, "not measured" for what is missing, and text
 * made safe for its place. Not for the measured path. */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include <jansson.h>
#include <stdbool.h>

#include "text.h"

enum { WORDS_MAX = 96 };

/* The value at a path of keys ("decode.ms.median"), NULL when any is missing or null. */
const json_t *words_at(const json_t *object, const char *path);
double words_number_at(const json_t *object, const char *path);      /* NAN when missing */
const char *words_string_at(const json_t *object, const char *path); /* NULL when missing */

/* Each writes into buf and returns it. */
const char *words_value(char buf[WORDS_MAX], double v, const char *unit);           /* "4.28 ms" */
const char *words_estimate(char buf[WORDS_MAX], const json_t *e, const char *unit); /* "4.28 ms [4.25, 4.29]" */
const char *words_scaled(char buf[WORDS_MAX], double v, const char *unit);          /* "1.18 GFLOP" */
const char *words_percent(char buf[WORDS_MAX], double share);                       /* "57.4 %" */
const char *words_change(char buf[WORDS_MAX], double share);                        /* "+0.51 %" */

/* The value of an axis in an object of the document as a word: "bf16", "2"; "" when it is not recorded. Into buf. */
const char *words_axis(char buf[WORDS_MAX], const json_t *of, const char *axis);
/* True when it has another value there than `axes`, the document's list, calls usual. */
bool words_is_unusual(const json_t *axes, const json_t *of, const char *axis);
/* Appends "dtype=bf16" for each axis with another value than usual, but cache, prompt and new tokens, which are always said;
 * `before` each. */
void words_unusual(struct text *out, const json_t *axes, const json_t *of, const char *before);

/* Appends bytes with every character that means something in a Markdown table escaped, line ends as spaces. */
void words_markdown(struct text *out, const char *bytes);
/* Appends "bytes" in quotation marks on one line, what cannot be seen as \n, \t, \u0007. */
void words_quoted(struct text *out, const char *bytes);

#endif
