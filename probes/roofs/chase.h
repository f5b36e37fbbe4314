/* SPDX-License-Identifier: MIT
 * A chain of loads in which each waits for the one before: its time is the latency of the level that holds the lines. chase_run
 * is measured path. */
#ifndef BENCH_ROOF_CHASE_H
#define BENCH_ROOF_CHASE_H

#include <stddef.h>

/* Links all cache lines of the largest power of two within `bytes` into one cycle, in an order that prefetchers do not guess.
 * p is aligned to a line. Returns the lines linked; 0 when there are fewer than two. */
size_t chase_link(void *p, size_t bytes);

/* Follows `steps` links from p; returns where it is then. */
const void *chase_run(const void *p, long steps);

#endif
