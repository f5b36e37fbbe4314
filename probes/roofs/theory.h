/* SPDX-License-Identifier: MIT
 * What could be the ceilings if nothing were in the way: frequency times operations a cycle, memory modules times their rate.
 * Only from what can be read on this machine; where it cannot, the line says so and how it could be. Never a roof. */
#ifndef BENCH_ROOF_THEORY_H
#define BENCH_ROOF_THEORY_H

#include "cpu_id.h"

enum { THEORY_LINES = 5 };

struct theory_line {
    const char *what; /* "f32 FMA peak, one thread" */
    double value;     /* Hz, FLOP/s or B/s; 0: not known */
    char text[200];   /* the formula with its numbers and sources, or why there is none */
};

/* `hz`: cycles per second as measured, 0 when not. `root`: "" but in tests: what stands before /sys. */
void theory_read(struct theory_line line[THEORY_LINES], double hz, const char *root);

/* Single-precision operations a cycle of one core at its widest (a multiply-add is two); 0 when not known. */
int theory_flops_a_cycle(const struct cpu_id *id);

#endif
