/* SPDX-License-Identifier: MIT
 * Statistics of small samples: pure functions of their arguments, deterministic (the bootstrap is seeded with a constant).
 * NAN stands for "cannot be said": every caller turns it into null, never into 0. Inputs hold finite numbers, in any order. */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

/* Populations below which a tail percentile is noise (MLPerf's early-stopping rule: 95 % sure of the percentile). */
enum { STATS_P90_MIN = 64, STATS_P99_MIN = 662 };

struct estimate {
    double median, lo, hi; /* lo, hi: percentile bootstrap 95 % interval of the median; NAN for n < 2 */
    double iqr;            /* NAN for n < 2 */
    int n;                 /* 0: nothing is known, all others NAN */
};

double stats_median(const double *x, int n);             /* NAN for n = 0 */
double stats_quantile(const double *x, int n, double q); /* Hyndman and Fan's type 7, as R and numpy; NAN for n = 0 */
struct estimate stats_estimate(const double *x, int n);

/* Median of a over median of b; the interval resamples both independently. n is the smaller of na and nb. iqr is NAN. */
struct estimate stats_ratio(const double *a, int na, const double *b, int nb);

struct stats_point {
    double x;
    const double *y; /* repetitions of the value at x */
    int n;
};

struct stats_fit {
    double exponent, coefficient; /* y = coefficient x^exponent, least squares through the medians in log-log */
    double lo, hi;                /* bootstrap 95 % interval of the exponent over the repetitions; NAN when a point has one */
};

/* NAN throughout unless there are two different x, each x and median above 0. */
struct stats_fit stats_power_fit(const struct stats_point *p, int n);

#endif
