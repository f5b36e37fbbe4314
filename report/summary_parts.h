/* SPDX-License-Identifier: MIT
 * Tables of the summary that only some runs have; summary.c puts them in their place. For nobody else. */
#ifndef BENCH_SUMMARY_PARTS_H
#define BENCH_SUMMARY_PARTS_H

#include <jansson.h>

#include "text.h"

enum { SUMMARY_WIDTH = 100 }; /* columns of the terminal */

/* A line a trial. */
void summary_table(struct text *out, const json_t *document);
/* What the weights take in memory by type, where they were not all float32. */
void summary_weights(struct text *out, const json_t *document);
/* How far logits are from those in float32, where it was measured. */
void summary_accuracy(struct text *out, const json_t *document);

/* A line of words, wrapped. */
void summary_line(struct text *out, const char *s);
/* Bytes from the database, with control characters as '?'. */
void summary_clean(struct text *out, const char *s, size_t n);

/* What measuring costs, a line a pass. */
void summary_costs(struct text *out, const json_t *overhead);
/* Where a step of one trial goes, op by op: the trial with the cache and the most new tokens. */
void summary_ops(struct text *out, const json_t *trials);
/* What a GPU was given a step and how busy that kept it. */
void summary_device(struct text *out, const json_t *trials);
/* Joules a token and watts, where they were measured. */
void summary_energy(struct text *out, const json_t *trials);

#endif
