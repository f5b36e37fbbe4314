/* SPDX-License-Identifier: MIT
 * Work of known amount for a GPU's counters to be held against: FLOPs of the tensor cores, by instructions of a warp and by the
 * library's products, FLOPs outside of them, bytes from and to memory beyond the caches. Each can be launched by itself or as a
 * graph that was recorded before any counter was set up, as decode steps are. */
#ifndef BENCH_GPU_KNOWN_H
#define BENCH_GPU_KNOWN_H

#include <stdbool.h>

#include "err.h"
#include "probe.h"

enum { GPU_KNOWN_EXPECTATIONS = 4 };

struct gpu_known_expectation {
    enum metric metric; /* METRIC_WALL_NS, which is 0, ends */
    double factor;      /* of the work's amount; 0: next to nothing may be counted */
};

struct gpu_known;

struct gpu_known_work {
    const char *name;                               /* "bf16 product", "read stream" */
    int (*run)(struct gpu_known *k, struct err *e); /* gpu_known_run calls it */
    double (*amount)(const struct gpu_known *k);    /* FLOPs, or bytes */
    struct gpu_known_expectation expect[GPU_KNOWN_EXPECTATIONS];
};

extern const struct gpu_known_work gpu_known_works[];
extern const int gpu_known_work_count;

/* What the work says of a quantity; NULL: nothing. */
const struct gpu_known_expectation *gpu_known_expects(const struct gpu_known_work *w, enum metric m);

/* ERR_ABSENT: there is not enough free memory on the device, or no cublasLt for it. */
int gpu_known_open(struct gpu_known **out, int device, struct err *e);
void gpu_known_close(struct gpu_known *k);

/* Hands gpu_known_works[i] over; the caller waits for the device. */
int gpu_known_run(struct gpu_known *k, int i, bool as_graph, struct err *e);

#endif
