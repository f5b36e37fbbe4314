/* SPDX-License-Identifier: MIT
 * What this machine allows a profiler to see and what changes its roofs, with the exact remedy, graded by area. Facts only;
 * bench.c's commands print them. Needs no rights: what cannot be read is said to be so. */
#ifndef BENCH_DOCTOR_H
#define BENCH_DOCTOR_H

#include <stdbool.h>

#include "doctor_cost.h"
#include "err.h"
#include "machine_facts.h"

/* The first DOCTOR_DECIDING areas decide the overall grade; software is listed, not graded. */
enum doctor_area {
    DOCTOR_COUNTERS,
    DOCTOR_CPU,
    DOCTOR_MEMORY,
    DOCTOR_ENVIRONMENT,
    DOCTOR_ENERGY,
    DOCTOR_GPU,
    DOCTOR_SOFTWARE,
    DOCTOR_AREAS,
    DOCTOR_DECIDING = DOCTOR_ENERGY,
};
const char *doctor_area_name(enum doctor_area a); /* "counters" */

/* A is best; DOCTOR_UNGRADED: there is nothing to grade. */
enum doctor_grade { DOCTOR_A, DOCTOR_B, DOCTOR_C, DOCTOR_D, DOCTOR_GRADES, DOCTOR_UNGRADED = DOCTOR_GRADES };
char doctor_grade_letter(enum doctor_grade g); /* 'A', '-' */
/* What earns an area the grade, one sentence; for an ungraded area why. */
const char *doctor_grade_rule(enum doctor_area a, enum doctor_grade g);

/* INFO: nothing is wrong, nothing is right. WARN: it disturbs or changes measurements. ABSENT: it is not here. */
enum finding_state { FINDING_OK, FINDING_INFO, FINDING_WARN, FINDING_ABSENT, FINDING_STATES };
const char *finding_state_name(enum finding_state s); /* "ok", "info", "warn", "absent" */

struct finding {
    enum doctor_area area;
    enum finding_state state;
    char what[48];    /* "perf_event_paranoid", "flops", "OPENBLAS_CORETYPE" */
    char value[320];  /* "2", "RETIRED_SSE_AVX_FLOPS:ANY, 0.0 % off" */
    char remedy[256]; /* a command, or what to change; empty when nothing is to be done */
};

enum { FINDINGS_MAX = 128 };
struct diagnosis {
    struct finding item[FINDINGS_MAX]; /* areas in order */
    int count;
    enum doctor_grade grade[DOCTOR_AREAS], overall; /* overall: the worst of the deciding areas */
};

struct doctor_args {
    const char *root;                  /* root_file.h: "" for this machine */
    int threads;                       /* workers of the started team */
    bool shares_cores;                 /* two of them on one core */
    const struct machine_facts *facts; /* read before any probe was opened: PAPI's may add to the environment */
    const struct doctor_costs *costs;  /* measured before the team was started; NULL: not measured */
};

/* Opens and calibrates every probe to find out. ERR_USAGE without a worker. */
int doctor_examine(struct diagnosis *out, const struct doctor_args *args, struct err *e);

#endif
