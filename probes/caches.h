/* SPDX-License-Identifier: MIT
 * Sizes of the data caches, from hwloc (PAPI and sysconf were seen wrong by a factor of ten). A size of 0: no such level or not
 * known. Not on the measured path: loading a topology takes some 10 ms. */
#ifndef BENCH_CACHES_H
#define BENCH_CACHES_H

#include <stddef.h>

struct caches {
    size_t l1, l2, l3; /* bytes of one instance */
    int l3_count;      /* instances in the machine */
    int l3_cores;      /* cores that share one */
};

void caches_find(struct caches *c);

/* Bytes of last-level cache that a team of that many workers can fill. */
size_t caches_last_level(const struct caches *c, int threads);

#endif
