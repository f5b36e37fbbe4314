/* SPDX-License-Identifier: MIT
 * Packing: quantities that are counted together, in a pass of their own. A set never holds more than the counters can count at
 * once, so nothing is ever multiplexed. */
#ifndef BENCH_COUNTER_SET_H
#define BENCH_COUNTER_SET_H

#include "counter_layer.h"
#include "event_file.h"

/* More in one set were seen to give wrong numbers without an error, on guests. */
enum { COUNTER_SET_MEMBERS = 2 };

/* All-zero is the empty set. */
struct counter_set {
    const struct event_candidate *member[COUNTER_SET_MEMBERS];
    int members;
    const char *event[COUNTER_EVENTS];
    double weight[COUNTER_EVENTS];
    int owner[COUNTER_EVENTS]; /* which member the event belongs to */
    int events, slots;
};

/* False, and nothing is changed, when the candidate does not go with the others: another layer, software beside hardware, too
 * few counters left, or quantities that the file keeps apart. */
bool counter_set_add(struct counter_set *s, const struct event_file *f, const struct event_candidate *c);

/* Where values of a metric come from: hardware counters, or the kernel's software events. */
enum provenance counter_provenance(enum metric m);

/* "papi:flops": the pass of a set whose first member is this. */
const char *counter_set_name(enum metric first);

#endif
