/* SPDX-License-Identifier: MIT
 * The full calibration: every quantity that the counters offer, over every kernel of known work that has something to say of
 * it, several times. A run takes the short way (only the gates, once); this is for who wants to see what an event sees. */
#ifndef BENCH_CALIBRATE_MACHINE_H
#define BENCH_CALIBRATE_MACHINE_H

#include "counter_choose.h"

enum { MACHINE_ROWS = 256, MACHINE_RUNS = 5 };

enum machine_verdict {
    MACHINE_RIGHT,   /* within the limit */
    MACHINE_OFF,     /* beyond it, in a comparison that decides nothing: what the event does not see */
    MACHINE_REFUSED, /* beyond it where it must not be: the event is not used */
};
const char *machine_verdict_name(enum machine_verdict v); /* "right", "off", "refused" */

struct machine_row {
    enum metric metric;
    char event[192], kernel[48];
    double expected, measured; /* measured: the median of the runs; NaN when there was no reading */
    double rel_error, limit;
    double spread; /* (most - least) / expected, over the runs; NaN when there is one run */
    int runs, rejects;
    enum machine_verdict verdict;
    char why[160];
};

struct machine_calibration {
    char pmu[160], no_hardware[256], event_file[32]; /* no_hardware: why there are none; empty when there are */
    char about[4096];                                /* the event file's description */
    struct papi_quantity quantity[METRIC_COUNT];     /* layer and source stay valid */
    enum provenance provenance[METRIC_COUNT];
    double read_ns[METRIC_COUNT]; /* of the quantity's group; NaN where it is not accepted */
    int quantities;
    struct machine_row row[MACHINE_ROWS];
    int rows;
};

/* setup: NULL for the real counters. threads: workers of the started team. ERR_ABSENT when nothing at all can be counted. */
int calibrate_machine(struct machine_calibration *out, const struct counter_setup *setup, int threads, struct err *e);

#endif
