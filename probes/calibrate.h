/* SPDX-License-Identifier: MIT
 * Calibration: a counter is believed only after it counted work whose amount is known, on this machine, minutes before. Each
 * heavy probe's group runs over kernels of known FLOPs (scalar, vector FMA, a GEMM-like product) and known bytes (a read stream
 * of at least four times the last-level cache); a metric is accepted when the relative error stays below its limit. */
#ifndef BENCH_CALIBRATE_H
#define BENCH_CALIBRATE_H

#include "probe.h"

enum { CALIBRATION_MAX = 256 };

/* One comparison of expected and measured. */
struct calibration {
    enum metric metric;
    char probe[24], event[192]; /* event: the candidate's name */
    char kernel[48];            /* "avx512 fma f32", "read stream 256 MiB" */
    double expected, measured;  /* measured: NaN when the reading was missing */
    double work;                /* what the kernel did, where nothing of it may be counted (expected 0) */
    double rel_error;           /* |measured - expected| / expected (or work); NaN when missing */
    double limit;
    bool accepted;
    char why[160]; /* refused: the reason */
};

struct calibration_list {
    struct calibration item[CALIBRATION_MAX];
    int count;
};

/* Limits: 2 % for FLOPs and the like, 5 % for bytes of memory, 10 % for bytes between caches. */
double calibration_limit(enum metric m);

/* Judges one comparison: fills rel_error, accepted and why from expected, measured and work. Refuses NaN, negative, frozen (0
 * where something is expected) and >= 2^46 readings whatever the limit. */
void calibration_judge(struct calibration *c);

#endif
