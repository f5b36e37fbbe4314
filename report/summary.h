/* SPDX-License-Identifier: MIT
 * The run's document for a terminal: one table, verdict sentences, claims. */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include <jansson.h>

#include "store.h"

#include "text.h"

void summary_text(const json_t *document, struct text *out);
/* One line per run of the database: id, suite, model, started, trials done, outcome. */
int summary_list(struct store *s, struct text *out, struct err *e);

#endif
