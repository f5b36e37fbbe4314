/* SPDX-License-Identifier: MIT
 * Calibration: a counter is believed only after it counted work whose amount is known, on this machine, minutes before. Each
 * heavy probe's group runs over kernels of known FLOPs (scalar, vector FMA, a GEMM-like product) and known bytes (a read stream
 * of at least four times the last-level cache); a metric is accepted when the relative error stays below its limit. */
#ifndef BENCH_CALIBRATE_H
#define BENCH_CALIBRATE_H

#include "probe.h"

enum { CALIBRATION_MAX = 64 };

/* One comparison of expected and measured. */
struct calibration {
    enum metric metric;
    char probe[24], event[128]; /* event: the candidate's native name */
    char kernel[48];            /* "avx512 fma f32", "read stream 256 MiB" */
    double expected, measured;  /* measured: NaN when the reading was missing */
    double rel_error;           /* |measured - expected| / expected; NaN when missing */
    double limit;
    bool accepted;
    char why[160]; /* refused: the reason */
};

struct calibration_list {
    struct calibration item[CALIBRATION_MAX];
    int count;
};

/* Limits: 2 % for FLOPs, 5 % for bytes. */
double calibration_limit(enum metric m);

/* Judges one comparison: fills rel_error, accepted and why from expected and measured. Refuses NaN, negative, frozen (0) and
 * >= 2^46 readings whatever the limit. */
void calibration_judge(struct calibration *c);

#endif
