/* SPDX-License-Identifier: MIT
 * The team: the one OpenMP pool that engine and roofs both run on, each worker pinned to a core of its own. Call team_start
 * once, from the main thread, before anything is measured; every later `#pragma omp parallel num_threads(n)` from that thread
 * then meets the same pinned workers. Nothing else in the process may own a thread pool (OpenBLAS runs with one thread). */
#ifndef BENCH_TEAM_H
#define BENCH_TEAM_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct team {
    int threads;       /* workers, including the main thread */
    bool pinned;       /* false where the system refused to bind */
    bool shares_cores; /* two workers sit on the hardware threads of one core */
    char cpus[128];    /* "0,1": OS index of each worker's CPU */
};

/* Threads that this process may use at most: the CPUs in its affinity mask, one a core first, and not above a container's
 * CPU quota. */
int team_max_threads(void);

/* threads = 0 takes one per core. ERR_USAGE when more are asked for than CPUs are allowed. */
int team_start(struct team *t, int threads, struct err *e);

#endif
