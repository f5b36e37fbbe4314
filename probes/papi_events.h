/* SPDX-License-Identifier: MIT
 * Which counter events may stand for a quantity. One quantity has several candidates, for different CPUs and in order of
 * preference; the first that exists here and passes calibration is used. A candidate is a weighted sum of native events. */
#ifndef BENCH_PAPI_EVENTS_H
#define BENCH_PAPI_EVENTS_H

#include "probe.h"

enum {
    PAPI_CANDIDATE_EVENTS = 4,
    PAPI_GROUP_METRICS = 2,
    PAPI_GROUP_SLOTS = 4, /* more at once were seen to return wrong numbers without an error */
};

struct papi_candidate {
    enum metric metric;
    const char *name; /* for the record: the event, or what the sum is */
    struct {
        const char *event;
        double weight;
    } term[PAPI_CANDIDATE_EVENTS]; /* up to the first without an event */
    int slots;                     /* hardware counters that it occupies */
};

extern const struct papi_candidate papi_candidates[];
extern const int papi_candidate_count;

/* Quantities that are counted together, in a pass of their own. */
struct papi_group {
    const char *name; /* "papi:flops" */
    enum metric metric[PAPI_GROUP_METRICS];
    int metrics;
};

extern const struct papi_group papi_groups[];
extern const int papi_group_count;

/* Where values of a metric come from: hardware counters, or the kernel's software events. */
enum provenance papi_provenance(enum metric m);

#endif
