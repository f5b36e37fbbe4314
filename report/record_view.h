/* SPDX-License-Identifier: MIT
 * What an experiment record can name: a run's document as texts and lists of texts, escaped for Markdown. The names are those
 * of experiments/TEMPLATE.md; experiments/README.md says how to use them. For record.c alone. */
#ifndef BENCH_RECORD_VIEW_H
#define BENCH_RECORD_VIEW_H

#include <jansson.h>

#include "err.h"

/* The caller calls json_decref. Every name is always there: what was not measured says so. ERR_MEMORY. */
int record_view(json_t **out, const json_t *document, struct err *e);

#endif
