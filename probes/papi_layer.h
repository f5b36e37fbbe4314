/* SPDX-License-Identifier: MIT
 * What the PAPI probe stands on: a counter library and the kernels that check it. The real library is papi_layer.c; tests put
 * a broken one in its place and see it refused.
 *
 * A set is a few events counted together for the thread that opened it. Each worker opens, reads and closes its own. */
#ifndef BENCH_PAPI_LAYER_H
#define BENCH_PAPI_LAYER_H

#include "papi_known.h"
#include "probe.h"

struct papi_machine {
    char pmu[128];         /* "amd64_fam19h_zen4 (forced: ...), PAPI 7.0.0" */
    char no_hardware[256]; /* why there are no hardware counters and the remedy; empty when there are */
};

struct papi_layer {
    /* Main thread, before any set, any number of times. ERR_ABSENT when the library cannot be used at all. */
    int (*init)(struct papi_machine *m, struct err *e);
    /* Opens and starts; the events count from now on. 0, or negative with a static sentence in *why. */
    int (*set_open)(int *set, const char *const *events, int count, const char **why);
    int (*set_read)(int set, long long *out); /* measured path; running totals, one an event; negative: no reading */
    void (*set_close)(int set);
    const struct papi_known *known; /* ends with a line without a name */
};

/* NULL in a build without PAPI. */
extern const struct papi_layer *const papi_layer_library;

/* The probe on a layer of the caller's. ERR_ABSENT when it leaves no quantity to count. */
int papi_open_on(const struct papi_layer *layer, struct probe **out, const struct probe_args *args, struct err *e);

#endif
