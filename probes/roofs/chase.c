/* SPDX-License-Identifier: MIT
 * The order of the chase is a linear congruence of full period over the lines (modulus a power of two, odd increment,
 * multiplier 1 more than a multiple of four): it needs no table and is laid down by one pass over memory. */
#include "chase.h"

enum { LINE = 64 };

size_t chase_link(void *p, size_t bytes)
{
    char *const base = p;
    size_t lines = 1;

    while (lines * 2 * LINE <= bytes)
        lines *= 2;
    if (lines < 2)
        return 0;
    for (size_t i = 0; i < lines; i++)
        *(void **)(void *)(base + i * LINE) = base + ((i * 1664525 + 1013904223) & (lines - 1)) * LINE;
    return lines;
}

__attribute__((noinline, no_sanitize("address", "undefined"))) const void *chase_run(const void *p, long steps)
{
    for (long i = 0; i < steps; i++)
        p = *(const void *const *)p;
    return p;
}
