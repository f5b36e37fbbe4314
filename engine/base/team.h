/* SPDX-License-Identifier: MIT
 * The team: the one OpenMP pool that engine, roofs and counters run on, each worker pinned to a core of its own. team_start is
 * called once, from the main thread, before anything is measured. Whoever wants workers calls team_run: all of the pool enter
 * and those that are not wanted leave at once, so that the pool never changes: threads keep their cores and their counters
 * whatever number of them works. (OpenMP itself would end surplus threads and later start others, unpinned.) Nothing else in
 * the process may own a thread pool (OpenBLAS runs with one thread). */
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

/* threads = 0 takes one per core. cpus: NULL, or the only CPUs to be used, as "0,2-3" (a worker each where threads is 0).
 * ERR_USAGE when more are asked for than CPUs are allowed, or a CPU that is not. */
int team_start(struct team *t, int threads, const char *cpus, struct err *e);

int team_size(void); /* workers of the started team; without one, the threads that OpenMP would take */

/* Runs work(ctx, worker) on the workers 0 to workers - 1 at once; the caller is worker 0. Not from within a worker. About half
 * a microsecond; no allocation once the pool stands. Without a started team, OpenMP's own pool is used, unpinned (tests). */
void team_run(int workers, void (*work)(void *ctx, int worker), void *ctx);

/* Where the workers of one team_run wait for each other; they spin, and yield when that takes long. Zeroed memory is ready for
 * use; all calls on it name the same number. Some tens of nanoseconds. */
struct team_barrier {
    _Alignas(64) int arrived;
    _Alignas(64) int turn;
};
void team_wait(struct team_barrier *b, int workers);

/* A worker's part of 0..n-1, in whole multiples of `unit` (the last part may end in a shorter one). */
void team_share(int n, int unit, int worker, int workers, int *from, int *to);

#endif
