/* SPDX-License-Identifier: MIT
 * Numbers in order of size. */
#ifndef BENCH_SORT_H
#define BENCH_SORT_H

#include <stddef.h>

/* Smallest first; none may be NaN. */
void sort_doubles(double *values, size_t n);

#endif
