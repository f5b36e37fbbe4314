/* SPDX-License-Identifier: MIT
 * Kernels that do an amount of work known beforehand, to hold counters against. Every worker runs the kernel on a room of its
 * own; the amounts of all workers together are what the counter must show. */
#ifndef BENCH_PAPI_KNOWN_H
#define BENCH_PAPI_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "isa.h"
#include "probe.h"

struct papi_room {
    void *data;
    size_t bytes;
};

struct papi_known {
    const char *name; /* "avx512 fma f32" */
    enum metric metric;
    enum isa isa;                            /* the least level of the CPU that it needs */
    size_t (*bytes)(int threads);            /* main thread: room that each worker needs; NULL when none */
    bool (*prepare)(struct papi_room *room); /* worker, not counted; false when there is no memory */
    double (*run)(struct papi_room *room);   /* worker, counted: does the work and returns its amount */
    void (*finish)(struct papi_room *room);  /* worker, not counted */
};

/* All kernels; ends with a line without a name. */
extern const struct papi_known papi_known[];

#endif
