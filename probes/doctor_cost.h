/* SPDX-License-Identifier: MIT
 * What a variable of the environment costs: a roof taken by a child of the same program with the variable and by one without
 * it. A process of its own each, for libraries read their variables once, as they start. */
#ifndef BENCH_DOCTOR_COST_H
#define BENCH_DOCTOR_COST_H

#include <stdbool.h>

#include "err.h"
#include "machine_facts.h"

struct doctor_cost {
    double with, without; /* FLOP/s or B/s, the best of its turns; NaN when there is no figure */
    bool told;            /* every turn with it was on the same side of every turn without: no accident of a busy machine */
    char why[192];        /* no figure: the reason */
};

struct doctor_costs {
    struct doctor_cost variable[MACHINE_VARIABLES]; /* of the facts' variables */
};

/* program: a path that prints a roof, as `program doctor --figure 'f32 gemm'` does. Takes about two seconds for each
 * variable that is set. Call it before the team is started: children inherit the CPUs that a process may use. */
void doctor_costs_measure(struct doctor_costs *out, const struct machine_facts *facts, const char *program);

/* The roof of that name with a team of so many workers, started by the caller. ERR_USAGE when there is no such roof. */
int doctor_figure(double *out, const char *roof, int threads, struct err *e);

#endif
