/* SPDX-License-Identifier: MIT
 * The one clock of the project: CLOCK_MONOTONIC through the vDSO, nanoseconds. Safe on the measured path, any thread. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_ns(void);

/* Wall-clock time as "2026-01-31T12:34:56Z" into buf (at least 21 bytes). */
void clock_iso8601(char *buf, size_t size);

#endif
