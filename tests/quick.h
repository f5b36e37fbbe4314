/* SPDX-License-Identifier: MIT
 * That work is quick, whatever else the machine does: it is held to this process's own CPU time, and so generously that
 * sanitizers on a slow machine pass. What costs the square of the size takes a minute at the least, often hours. */
#ifndef BENCH_QUICK_H
#define BENCH_QUICK_H

#include "check.h"

#include <time.h>

static inline double own_cpu_s(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* `begin`: own_cpu_s() before the work. */
static inline void assert_was_quick(double begin)
{
    assert_true(own_cpu_s() - begin < 10);
}

#endif
