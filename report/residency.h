/* SPDX-License-Identifier: MIT
 * Whether a stretch's data came from memory at all. Analytic bytes assume that nothing stays in cache between passes; where
 * the weights and cached keys and values of a pass fit into the caches of the trial's threads, or counters saw far fewer bytes
 * than that, the memory's roof says nothing about it and the cache's is the one to compare with. */
#ifndef BENCH_RESIDENCY_H
#define BENCH_RESIDENCY_H

#include "rows.h"

/* What a stretch reads, in bytes. */
struct residency {
    int threads;
    double analytic;
    double pass;    /* analytic, of its whole pass: that must fit */
    double counted; /* that came from memory; NAN: not counted */
};

/* The cache that holds it, or NULL: memory. What counters saw goes before what sizes suggest. A run without known caches has
 * the level "" of unknown size. */
const struct rows_cache *residency_of(const struct rows *r, const struct residency *of);

/* What so many of the run's threads can hold of a cache together: their share of those that each core has (L2), all of L3. */
double residency_bytes(const struct rows *r, const struct rows_cache *cache, int threads);

/* The roof of reading from that level at a thread count, or NULL. */
const struct rows_roof *residency_roof(const struct rows *r, const struct rows_cache *cache, int threads);

#endif
