/* SPDX-License-Identifier: MIT
 * Choosing counters: for each quantity the first candidate that exists on this machine and counts known work rightly, in the
 * company it will have when it is used; and packing the chosen into sets. */
#ifndef BENCH_COUNTER_CHOOSE_H
#define BENCH_COUNTER_CHOOSE_H

#include "counter_workers.h"
#include "papi_probe.h"

/* What counting stands on. The real ones are in papi.c; tests bring their own. */
struct counter_setup {
    const struct counter_layer *layer[EVENT_LAYERS]; /* NULL: not in this build */
    const struct event_file *events;                 /* NULL: this CPU's */
    const struct known *const *known;                /* tables, ended by NULL; NULL: all there are */
};

struct counter_chooser {
    struct counter_workers *workers;
    struct counter_setup setup;
    char layer_why[EVENT_LAYERS][256]; /* why a layer cannot be used; empty when it can */
    char no_hardware[256];
    const char *pmu;
    enum isa isa;
    struct known_sizes sizes;
    struct calibration_list *list;
};

enum { COUNTER_SETS = METRIC_COUNT };

/* Finds a candidate for the metric and a set for it: the first of sets[0 .. *count) that it goes with, else a new one. Fills q.
 */
void counter_choose(struct counter_chooser *c, enum metric m, struct counter_set *sets, int *count, struct papi_quantity *q);

/* The probe on a setup of the caller's. ERR_ABSENT when it leaves no quantity to count. */
int papi_open_on(const struct counter_setup *setup, struct probe **out, const struct probe_args *args, struct err *e);

/* What an open papi probe counts with, for the full calibration. */
struct counter_chooser *papi_chooser(struct probe *p);
/* What was counted of m; NaN when it is not in the reading or is missing. */
double counter_value(const struct reading *r, enum metric m);

#endif
