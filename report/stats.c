/* SPDX-License-Identifier: MIT
 * The bootstrap sorts a sample once and draws how often each value occurs instead of the values themselves: the median of a
 * resample is then found by walking the counts, without sorting 2000 times. */
#include "stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sort.h"

enum { RESAMPLES = 2000 };
static const uint64_t seed = 0x9e3779b97f4a7c15u;

static double *sorted_copy(const double *x, int n)
{
    double *s = malloc((size_t)(n > 0 ? n : 1) * sizeof *s);

    if (s && n > 0) {
        memcpy(s, x, (size_t)n * sizeof *s);
        sort_doubles(s, (size_t)n);
    }
    return s;
}

static double sorted_quantile(const double *s, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at;

    if (i + 1 >= n)
        return s[n - 1];
    return s[i] + (at - i) * (s[i + 1] - s[i]);
}

double stats_quantile(const double *x, int n, double q)
{
    double *s = n > 0 ? sorted_copy(x, n) : NULL;
    double value = s ? sorted_quantile(s, n, q) : NAN;

    free(s);
    return value;
}

double stats_median(const double *x, int n)
{
    return stats_quantile(x, n, 0.5);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int random_below(uint64_t *state, int n)
{
    return (int)(((random_next(state) >> 32) * (uint64_t)n) >> 32);
}

/* A sample ready for resampling; counts is scratch. */
struct resampled {
    double *sorted;
    int *counts;
    int n;
};

static bool resampled_init(struct resampled *r, const double *x, int n)
{
    r->n = n;
    r->sorted = sorted_copy(x, n);
    r->counts = malloc((size_t)n * sizeof *r->counts);
    return r->sorted && r->counts;
}

static void resampled_free(struct resampled *r)
{
    free(r->sorted);
    free(r->counts);
}

/* The value of rank `rank` (from 0) among the resample. */
static double resampled_rank(const struct resampled *r, int rank)
{
    int i = 0;

    for (int seen = r->counts[0]; seen <= rank; seen += r->counts[i])
        i++;
    return r->sorted[i];
}

static double resampled_median(struct resampled *r, uint64_t *state)
{
    memset(r->counts, 0, (size_t)r->n * sizeof *r->counts);
    for (int i = 0; i < r->n; i++)
        r->counts[random_below(state, r->n)]++;
    double upper = resampled_rank(r, r->n / 2);
    return r->n % 2 ? upper : (resampled_rank(r, r->n / 2 - 1) + upper) / 2;
}

static void percentile_interval(double *draws, double *lo, double *hi)
{
    sort_doubles(draws, RESAMPLES);
    *lo = sorted_quantile(draws, RESAMPLES, 0.025);
    *hi = sorted_quantile(draws, RESAMPLES, 0.975);
}

struct estimate stats_estimate(const double *x, int n)
{
    struct estimate out = {NAN, NAN, NAN, NAN, n > 0 ? n : 0};
    struct resampled r = {0};
    double draws[RESAMPLES];
    uint64_t state = seed;

    if (n < 1)
        return out;
    out.median = stats_median(x, n);
    if (n < 2)
        return out;
    if (resampled_init(&r, x, n)) {
        for (int i = 0; i < RESAMPLES; i++)
            draws[i] = resampled_median(&r, &state);
        percentile_interval(draws, &out.lo, &out.hi);
        out.iqr = sorted_quantile(r.sorted, n, 0.75) - sorted_quantile(r.sorted, n, 0.25);
    }
    resampled_free(&r);
    return out;
}

struct estimate stats_ratio(const double *a, int na, const double *b, int nb)
{
    struct estimate out = {NAN, NAN, NAN, NAN, na < nb ? na : nb};
    struct resampled ra = {0}, rb = {0};
    double draws[RESAMPLES];
    uint64_t state = seed;

    if (out.n < 1)
        return out;
    out.median = stats_median(a, na) / stats_median(b, nb);
    if (out.n < 2)
        return out;
    bool ok = resampled_init(&ra, a, na);
    ok = resampled_init(&rb, b, nb) && ok;
    for (int i = 0; ok && i < RESAMPLES; i++) {
        double of = resampled_median(&ra, &state);
        draws[i] = of / resampled_median(&rb, &state);
    }
    if (ok)
        percentile_interval(draws, &out.lo, &out.hi);
    resampled_free(&ra);
    resampled_free(&rb);
    return out;
}

/* Least squares of log y on log x; false when it has no slope. */
static bool line(const double *log_x, const double *log_y, int n, double *slope, double *intercept)
{
    double mx = 0, my = 0, xx = 0, xy = 0;

    for (int i = 0; i < n; i++) {
        mx += log_x[i] / n;
        my += log_y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xx += (log_x[i] - mx) * (log_x[i] - mx);
        xy += (log_x[i] - mx) * (log_y[i] - my);
    }
    if (!(xx > 0) || !isfinite(xy))
        return false;
    *slope = xy / xx;
    *intercept = my - *slope * mx;
    return true;
}

static void fit_interval(struct stats_fit *out, struct resampled *r, const double *log_x, double *log_y, int n)
{
    double draws[RESAMPLES], intercept;
    uint64_t state = seed;

    for (int k = 0; k < RESAMPLES; k++) {
        for (int i = 0; i < n; i++)
            log_y[i] = log(resampled_median(&r[i], &state));
        if (!line(log_x, log_y, n, &draws[k], &intercept))
            return;
    }
    percentile_interval(draws, &out->lo, &out->hi);
}

struct stats_fit stats_power_fit(const struct stats_point *p, int n)
{
    struct stats_fit out = {NAN, NAN, NAN, NAN};
    struct resampled *r = calloc((size_t)(n > 0 ? n : 1), sizeof *r);
    double *log_x = calloc((size_t)(n > 0 ? n : 1), 2 * sizeof *log_x), *log_y = log_x + n;
    bool spread = true, ok = r && log_x && n > 1;
    double slope, intercept;

    for (int i = 0; ok && i < n; i++) {
        double y = stats_median(p[i].y, p[i].n);
        ok = p[i].x > 0 && y > 0 && resampled_init(&r[i], p[i].y, p[i].n);
        log_x[i] = log(p[i].x);
        log_y[i] = log(y);
        spread = spread && p[i].n > 1;
    }
    if (ok && line(log_x, log_y, n, &slope, &intercept)) {
        out.exponent = slope;
        out.coefficient = exp(intercept);
        if (spread)
            fit_interval(&out, r, log_x, log_y, n);
    }
    for (int i = 0; r && i < n; i++)
        resampled_free(&r[i]);
    free(r);
    free(log_x);
    return out;
}
