/* SPDX-License-Identifier: MIT
 * The parts of the document that stand beside the trials; analysis.c puts them together. For nobody else. */
#ifndef BENCH_DOCUMENT_H
#define BENCH_DOCUMENT_H

#include <jansson.h>

#include "figures.h"

struct document {
    struct store *s;
    struct rows rows;
    struct figures *figures;
    struct err *e;
    int code; /* the first failure sticks; what is built after it is thrown away */
};

/* Sets a key and takes the value; NULL (out of memory) makes the document fail. */
void document_put(struct document *d, json_t *object, const char *key, json_t *value);
void document_append(struct document *d, json_t *array, json_t *value);

json_t *document_number(double v);                                    /* null when not finite */
json_t *document_estimate(const struct estimate *e);                  /* null when nothing is known */
json_t *document_axis(enum axis a, int value);                        /* its word, or the number */
json_t *document_trial_axis(const struct rows_trial *t, enum axis a); /* null where it was not recorded */
json_t *document_text(const char *bytes, size_t n);                   /* bytes that are no UTF-8 become U+FFFD */

/* Rows of a query as objects; ?1 is id. Columns are keys; "key?" is a flag, "key{}" holds JSON text. */
json_t *document_query(struct document *d, const char *sql, int64_t id);
/* The first row alone; null when there is none. */
json_t *document_query_one(struct document *d, const char *sql, int64_t id);

json_t *document_amount(const struct amount *a);
/* cache: that its data stays in, or NULL. */
json_t *document_verdict(struct document *d, const struct verdict *v, const struct rows_cache *cache);

json_t *document_per_op(struct document *d, int trial); /* null when ops had no pass */
json_t *document_device(struct document *d, int trial); /* null where none computed */
json_t *document_timeline(struct document *d, const struct rows_trial *t);
json_t *document_top_kernels(struct document *d, const struct rows_trial *t);
json_t *document_samples(struct document *d, const struct rows_trial *t); /* null when there are none */
json_t *document_trial(struct document *d, int trial, const json_t *model);

#endif
