/* SPDX-License-Identifier: MIT
 * `bench roofs --device N`: the ceilings of one GPU, in rounds, on the terminal or as JSON. */
#ifndef BENCH_ROOFS_GPU_H
#define BENCH_ROOFS_GPU_H

#include <stdbool.h>

#include "err.h"

/* budget_ms: of each roof in each round. */
int roofs_gpu_print(int device, int rounds, int budget_ms, bool json, struct err *e);

#endif
