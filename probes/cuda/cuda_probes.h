/* SPDX-License-Identifier: MIT
 * What plugin.c gathers into the table that the program asks the plug-in for (gpu.h), one line a file of this folder. */
#ifndef BENCH_CUDA_PROBES_H
#define BENCH_CUDA_PROBES_H

#include "gpu.h"

extern const struct probe_ops cuda_probe_cupti;       /* counters.c */
extern const struct probe_ops cuda_probe_trace;       /* trace.c */
extern const struct probe_ops cuda_probe_pm;          /* pm.c */
int cuda_counters_allowed(int device, struct err *e); /* counters.c; gpu_plugin.counters_allowed */

int gpu_roofs_open(void **out, int device, struct err *e); /* gpu_roofs.c; gpu_plugin.roofs_... */
int gpu_roofs_measure(void *roofs, const struct roof_spec *spec, int budget_ms, struct roof *out, struct err *e);
void gpu_roofs_close(void *roofs);

extern const struct gpu_plugin bench_cuda_probes;

#endif
