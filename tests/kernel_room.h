/* SPDX-License-Identifier: MIT
 * For tests of kernels: random numbers that are the same every time, and memory whose contents tell when they were touched. */
#ifndef BENCH_KERNEL_ROOM_H
#define BENCH_KERNEL_ROOM_H

#include "check.h"

#include <stdint.h>
#include <stdlib.h>

enum { POISON = 0x7fc12345 }; /* a NaN */

static inline uint64_t random_bits(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static inline int random_int(int least, int most)
{
    return least + (int)(random_bits() % (uint64_t)(most - least + 1));
}

static inline void poison(void *p, size_t words)
{
    for (size_t i = 0; i < words; i++)
        ((uint32_t *)p)[i] = POISON;
}

static inline void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

    assert_non_null(p);
    return p;
}

#endif
