/* SPDX-License-Identifier: MIT
 * Parts of the program that are loaded when they are asked for, because they need libraries that most machines lack. A plug-in
 * is a shared object beside the executable; it calls back into the program, whose symbols are exported. Never closed: what a
 * driver's library leaves behind, threads and exit handlers, does not survive its code. Not thread-safe. */
#ifndef BENCH_PLUGIN_H
#define BENCH_PLUGIN_H

#include "err.h"

#define PLUGIN_CUDA "libbench_cuda.so"

/* The symbol in plug-in `file`. NULL: ERR_ABSENT says that the build has no such plug-in, or which library
 * it lacks on this machine, and the remedy. */
void *plugin_symbol(const char *file, const char *symbol, struct err *e);

#endif
