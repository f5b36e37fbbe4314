/* SPDX-License-Identifier: MIT
 * Analysis: everything that is said about a run, derived from its raw rows in one place: medians with intervals, rates, roofs,
 * verdicts, counted against analytic work, probe overhead, growth exponents, claims. Reads the database only, so old runs stay
 * readable. The JSON document below is the one form in which it leaves: the HTML report embeds it, `bench show --json` prints
 * it, the experiment record and the terminal summary are filled from it. Its shape is described in report/README.md. */
#ifndef BENCH_ANALYSIS_H
#define BENCH_ANALYSIS_H

#include <jansson.h>

#include "store.h"

/* The document of a run; the caller calls json_decref. Works on unfinished runs: what is not there is null. */
int analysis_document(json_t **out, struct store *s, int64_t run, struct err *e);

/* Evaluates the run's stored claims against its rows and writes result, text and evidence back. all_held: none 'not held'
 * and none 'undecided'. */
int analysis_claims(struct store *s, int64_t run, bool *all_held, struct err *e);

/* Relative half-width of the bootstrap 95 % interval of a median; INFINITY for n < 2. For the runner's stopping rule. */
double analysis_relative_interval(const double *x, int n);

#endif
