/* SPDX-License-Identifier: MIT
 * What this machine allows a profiler to see, with the remedy where it does not. Facts only; bench.c prints them. */
#ifndef BENCH_DOCTOR_H
#define BENCH_DOCTOR_H

#include "err.h"
#include "probe.h"

enum finding_state { FINDING_OK, FINDING_WARN, FINDING_ABSENT };

struct finding {
    char area[24]; /* "cpu", "memory", "counters", "environment", "libraries" */
    char what[64]; /* "perf_event_paranoid", "flops", "OPENBLAS_CORETYPE" */
    enum finding_state state;
    char value[192];  /* "2", "RETIRED_SSE_AVX_FLOPS:ANY, 0.0 % off" */
    char remedy[256]; /* empty when nothing is to be done */
};

enum { FINDINGS_MAX = 64 };
struct findings {
    struct finding item[FINDINGS_MAX];
    int count;
};

/* threads: workers of the started team. Opens and calibrates every probe to find out. */
int doctor_examine(struct findings *out, int threads, struct err *e);

#endif
