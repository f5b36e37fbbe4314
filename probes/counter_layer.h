/* SPDX-License-Identifier: MIT
 * What the papi probe counts with: PAPI, or the kernel's perf_event_open bare. Tests put a broken layer in their place and see
 * it refused.
 *
 * A set is a few events counted together for the thread that opened it. Each worker opens, reads and closes its own. */
#ifndef BENCH_COUNTER_LAYER_H
#define BENCH_COUNTER_LAYER_H

#include <stdint.h>

#include "err.h"

enum { COUNTER_EVENTS = 12 }; /* of a set, at most */

struct counter_machine {
    char pmu[160];         /* "amd64_fam19h_zen4 (forced: ...), PAPI 7.0.0" */
    char no_hardware[256]; /* why there are no hardware counters and the remedy; empty when there are */
};

/* Running totals. The times tell for how long the set was wanted and for how long it really counted: the same two numbers
 * unless others took the counters meanwhile. 0 and 0 where a layer cannot tell. */
struct counter_sample {
    uint64_t enabled_ns, running_ns;
    long long value[COUNTER_EVENTS];
};

struct counter_handle; /* a layer's own */

struct counter_layer {
    /* Main thread, before any set, any number of times. nearest_pmu: libpfm's name of the family to take where libpfm does not
     * know the CPU; empty: none. ERR_ABSENT when the layer cannot be used at all. */
    int (*init)(const char *nearest_pmu, struct counter_machine *m, struct err *e);
    /* Opens and starts; the events count from now on. ERR_ABSENT with the reason. */
    int (*set_open)(struct counter_handle **out, const char *const *events, int count, struct err *e);
    int (*set_read)(struct counter_handle *h, struct counter_sample *out); /* measured path; negative: no reading */
    void (*set_close)(struct counter_handle *h);
};

/* NULL in a build without PAPI. */
extern const struct counter_layer *const counter_layer_papi;
extern const struct counter_layer *const counter_layer_raw;

#endif
