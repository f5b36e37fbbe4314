/* SPDX-License-Identifier: MIT
 * The inside of the probe cupti, shared by its two files: counting brackets (counters.c), and choosing what may be counted by
 * holding it against known work (counters_check.c). */
#ifndef BENCH_PROBES_CUDA_COUNTERS_H
#define BENCH_PROBES_CUDA_COUNTERS_H

#include "calibrate.h"
#include "metrics.h"

struct counters {
    struct probe base;
    struct counter_host host;
    uint8_t *availability;
    int device;
    CUcontext context;
    struct counter_plan plan;
    struct calibration_list calibrations;

    /* Of the selected group. */
    int selected; /* -1: none */
    struct counter_config config;
    CUpti_RangeProfiler_Object *profiler;
    uint8_t *data; /* image of one range's counters */
    size_t data_bytes;
    struct err why; /* why nothing can be counted in it; code 0: it can */
    int brackets;   /* that this profiler was begun for */
    bool renewing;  /* a profiler failed that had counted before: each bracket gets one of its own */

    /* Of the bracket. */
    bool started, pushed;
    struct err bracket; /* why it was not counted */
};

/* Fills plan and calibrations. ERR_ABSENT when nothing is left that can be counted. */
int counters_check(struct counters *c, const struct probe_args *args, struct err *e);

/* PROVENANCE_COUNTER for what is held against known work. */
enum provenance counters_provenance(enum metric m);

#endif
