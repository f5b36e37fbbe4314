/* SPDX-License-Identifier: MIT
 * A series is found from any of its members, so that arms need no list: the first trial that no earlier one covers starts one.
 */
#include "series.h"

#include <math.h>
#include <stdlib.h>

enum { FIT_POINTS_MIN = 3 };

const char *const series_metric_names[SERIES_METRICS] = {
    [SERIES_TOTAL_MS] = "total_ms", [SERIES_DECODE_MS] = "decode_ms", [SERIES_PREFILL_MS] = "prefill_ms",
    [SERIES_FLOPS] = "flops",       [SERIES_BYTES] = "bytes",
};

const char *const series_source_names[] = {
    [SERIES_TIMER] = "timer",
    [SERIES_ANALYTIC] = "analytic",
    [SERIES_COUNTER] = "counter",
};

static enum rows_metric work_of(enum series_metric m)
{
    return m == SERIES_FLOPS ? ROWS_FLOPS : ROWS_BYTES;
}

enum series_source series_common_source(const struct figures *a, const struct figures *b, enum series_metric m)
{
    if (m != SERIES_FLOPS && m != SERIES_BYTES)
        return SERIES_TIMER;
    return isfinite(a->work_counted[work_of(m)]) && isfinite(b->work_counted[work_of(m)]) ? SERIES_COUNTER : SERIES_ANALYTIC;
}

struct sample series_sample(struct figures *f, enum series_metric m, enum series_source source)
{
    double *work = source == SERIES_COUNTER ? f->work_counted : f->work;

    switch (m) {
    case SERIES_TOTAL_MS:
        return f->total;
    case SERIES_DECODE_MS:
        return f->decode.sample;
    case SERIES_PREFILL_MS:
        return f->prefill.sample;
    default:
        return (struct sample){&work[work_of(m)], isfinite(work[work_of(m)])};
    }
}

bool series_same_arm(const struct rows_trial *a, const struct rows_trial *b, enum axis along)
{
    for (int i = 0; i < AXIS_COUNT; i++)
        if (i != (int)along && a->axis[i] != b->axis[i])
            return false;
    return true;
}

/* Keeps the points sorted; plans are small. */
static void insert(struct series *s, int trial, double x, struct sample y)
{
    int at = s->points++;

    for (; at > 0 && s->point[at - 1].x > x; at--) {
        s->point[at] = s->point[at - 1];
        s->trial[at] = s->trial[at - 1];
    }
    s->point[at] = (struct stats_point){x, y.x, y.n};
    s->trial[at] = trial;
}

int series_init(struct series *out, const struct rows *r, struct figures *f, int of, enum axis along, enum series_metric m,
                struct err *e)
{
    *out = (struct series){.source = series_common_source(&f[of], &f[of], m)};
    out->trial = calloc((size_t)r->trials, sizeof *out->trial);
    out->point = calloc((size_t)r->trials, sizeof *out->point);
    if (!out->trial || !out->point) {
        series_free(out);
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    }
    for (int i = 0; i < r->trials; i++)
        if (series_same_arm(&r->trial[i], &r->trial[of], along) && series_common_source(&f[i], &f[i], m) == SERIES_ANALYTIC)
            out->source = SERIES_ANALYTIC;
    for (int i = 0; i < r->trials; i++) {
        struct sample y = series_sample(&f[i], m, out->source);
        if (series_same_arm(&r->trial[i], &r->trial[of], along) && y.n > 0)
            insert(out, i, r->trial[i].axis[along], y);
    }
    return 0;
}

void series_free(struct series *s)
{
    free(s->trial);
    free(s->point);
    *s = (struct series){0};
}

static bool enough(const struct series *s)
{
    int different = s->points > 0;

    for (int i = 1; i < s->points; i++)
        different += s->point[i].x > s->point[i - 1].x;
    return different >= FIT_POINTS_MIN;
}

struct stats_fit series_fit(const struct series *s)
{
    struct stats_fit fit = {NAN, NAN, NAN, NAN};

    if (enough(s))
        fit = stats_power_fit(s->point, s->points);
    if (s->source != SERIES_TIMER)
        fit.lo = fit.hi = fit.exponent;
    return fit;
}

double series_theory_here(const struct series *s, struct figures *f)
{
    struct stats_point *p = enough(s) ? calloc((size_t)s->points, sizeof *p) : NULL;
    double exponent = NAN;

    if (!p)
        return NAN;
    for (int i = 0; i < s->points; i++)
        p[i] = (struct stats_point){s->point[i].x, &f[s->trial[i]].work[ROWS_FLOPS], 1};
    exponent = stats_power_fit(p, s->points).exponent;
    free(p);
    return exponent;
}
