/* SPDX-License-Identifier: MIT
 * One line a probe: what probes.c gathers into probes[]. Only that file and the probes themselves need it. */
#ifndef BENCH_PROBE_LIST_H
#define BENCH_PROBE_LIST_H

#include "probe.h"

extern const struct probe_ops probe_null;   /* null.c */
extern const struct probe_ops probe_clock;  /* clock_probe.c */
extern const struct probe_ops probe_rusage; /* rusage.c */
extern const struct probe_ops probe_papi;   /* papi.c */
extern const struct probe_ops probe_rapl;   /* rapl.c */
extern const struct probe_ops probe_cupti;  /* gpu_probes.c, as the next two */
extern const struct probe_ops probe_trace;
extern const struct probe_ops probe_pm;
extern const struct probe_ops probe_nvml; /* nvml_probe.c */

#endif
