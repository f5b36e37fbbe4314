/* SPDX-License-Identifier: MIT
 * Several trials side by side: a metric along an axis, and how it grows. */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include "figures.h"

enum series_metric { SERIES_TOTAL_MS, SERIES_DECODE_MS, SERIES_PREFILL_MS, SERIES_FLOPS, SERIES_BYTES, SERIES_METRICS };
extern const char *const series_metric_names[SERIES_METRICS]; /* "total_ms", ... as claims spell them */

enum series_source { SERIES_TIMER, SERIES_ANALYTIC, SERIES_COUNTER };
extern const char *const series_source_names[];

/* The source that both figures have for the metric: counters only where both were wholly counted. a and b may be the same. */
enum series_source series_common_source(const struct figures *a, const struct figures *b, enum series_metric m);

/* Times: a value a repetition. Work: one value, of the whole generation. n = 0 when unknown. Belongs to the figures. */
struct sample series_sample(struct figures *f, enum series_metric m, enum series_source source);

/* Equal in every axis but `along`. */
bool series_same_arm(const struct rows_trial *a, const struct rows_trial *b, enum axis along);

struct series {
    int *trial;                /* indices, by rising x */
    struct stats_point *point; /* x: the axis */
    int points;
    enum series_source source;
};

/* The trials of trial `of`'s arm that have a value. The owner calls series_free. ERR_MEMORY. */
int series_init(struct series *out, const struct rows *r, struct figures *f, int of, enum axis along, enum series_metric m,
                struct err *e);
void series_free(struct series *s);

/* NAN with fewer than three different x. Work has no spread: its interval is the exponent itself. */
struct stats_fit series_fit(const struct series *s);

/* The exponent of the analytic FLOPs at the series' very points: what the theory predicts here. NAN likewise. */
double series_theory_here(const struct series *s, struct figures *f);

#endif
