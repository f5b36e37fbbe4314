/* SPDX-License-Identifier: MIT
 * The best of several short pieces counts: an interrupt or a hypervisor's pause makes a piece longer, nothing makes it shorter.
 * Both operands are registers, for some CPUs add a constant at no cost. */
#include "core_clock.h"

#include <stdint.h>

#include "clock.h"

enum { PIECES = 6, ROUNDS = 500, ADDITIONS = 64 };

#define TIMES_4(x)  x x x x
#define TIMES_64(x) TIMES_4(TIMES_4(TIMES_4(x)))

#if defined(__x86_64__)
#define ADDITION "add %1, %0\n\t"
#elif defined(__aarch64__)
#define ADDITION "add %0, %0, %1\n\t"
#endif

double core_clock_hz(void)
{
#ifdef ADDITION
    uint64_t sum = 1, one = 1, best = UINT64_MAX;

    for (int piece = 0; piece < PIECES; piece++) {
        uint64_t begin = clock_ns();
        for (int round = 0; round < ROUNDS; round++)
            __asm__ volatile(TIMES_64(ADDITION) : "+r"(sum) : "r"(one) : "cc");
        uint64_t ns = clock_ns() - begin;
        best = ns < best ? ns : best;
    }
    return (double)ROUNDS * ADDITIONS * 1e9 / (double)best;
#else
    return -1;
#endif
}
