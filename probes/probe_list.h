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

#endif
