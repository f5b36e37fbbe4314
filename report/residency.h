/* SPDX-License-Identifier: MIT
 * Whether a stretch's data came from memory at all. Analytic bytes assume that nothing stays in cache between passes; where
 * the weights and cached keys and values of a pass fit into the caches of the run's threads, or counters saw far fewer bytes
 * than that, the memory's roof says nothing about it and the cache's is the one to compare with. */
#ifndef BENCH_RESIDENCY_H
#define BENCH_RESIDENCY_H

#include "rows.h"

/* The cache that holds it, or NULL: memory. analytic: bytes that the stretch reads; pass: those of its whole pass, which must
 * fit; counted: bytes that came from memory, NAN when not counted. What counters saw goes before what sizes suggest. A run
 * without known caches has the level "" of unknown size. */
const struct rows_cache *residency_of(const struct rows *r, double analytic, double pass, double counted);

/* The roof of reading from that level at the run's thread count, or NULL. */
const struct rows_roof *residency_roof(const struct rows *r, const struct rows_cache *cache);

#endif
