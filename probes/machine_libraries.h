/* SPDX-License-Identifier: MIT
 * The libraries that this program runs with, by their own word. Texts into buf, returned. */
#ifndef BENCH_MACHINE_LIBRARIES_H
#define BENCH_MACHINE_LIBRARIES_H

#include <stddef.h>

/* "OpenBLAS 0.3.21 ..., kernels for Zen". */
const char *library_openblas(char *buf, size_t size);
/* "7.0.0"; NULL when built without. */
const char *library_papi(char *buf, size_t size);
/* "SQLite 3.40.1, hwloc 2.9.0, ...". */
const char *library_others(char *buf, size_t size);

#endif
