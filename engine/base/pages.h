/* SPDX-License-Identifier: MIT
 * Large memory: page-aligned, zeroed, advised to huge pages, never touched before the caller does (so the thread that writes
 * first decides where it lives). For weights, caches and bandwidth buffers. Not on the measured path. */
#ifndef BENCH_PAGES_H
#define BENCH_PAGES_H

#include <stddef.h>

#include "err.h"

/* NULL with ERR_MEMORY when the system refuses or `bytes` is 0 or beyond the machine's memory. */
void *pages_alloc(size_t bytes, struct err *e);
void pages_free(void *p, size_t bytes);

#endif
