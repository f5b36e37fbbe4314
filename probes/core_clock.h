/* SPDX-License-Identifier: MIT
 * The frequency that the calling thread's core really runs at, without counters or rights: a chain of additions, each waiting
 * for the one before, takes one cycle an addition on every CPU this project knows. Some 100 us a call. */
#ifndef BENCH_CORE_CLOCK_H
#define BENCH_CORE_CLOCK_H

/* Hz; -1 where the chain is not written for the CPU. */
double core_clock_hz(void);

#endif
