/* SPDX-License-Identifier: MIT
 * The doctor's parts, one an area; each adds its findings and gives its grade. Only doctor*.c need this. */
#ifndef BENCH_DOCTOR_PARTS_H
#define BENCH_DOCTOR_PARTS_H

#include "doctor.h"

/* remedy: "" when nothing is to be done. */
void doctor_add(struct diagnosis *d, enum doctor_area area, const char *what, enum finding_state state, const char *remedy,
                const char *value, ...) __attribute__((format(printf, 6, 7)));
/* A sentence of ours: the remedy stands behind a semicolon. */
void doctor_add_sentence(struct diagnosis *d, enum doctor_area area, const char *what, const char *sentence);

enum doctor_grade doctor_counters(struct diagnosis *d, const struct doctor_args *args);    /* doctor_counters.c */
enum doctor_grade doctor_cpu(struct diagnosis *d, const struct doctor_args *args);         /* doctor_machine.c */
enum doctor_grade doctor_memory(struct diagnosis *d, const struct doctor_args *args);      /* doctor_machine.c */
enum doctor_grade doctor_environment(struct diagnosis *d, const struct doctor_args *args); /* doctor_environment.c */
enum doctor_grade doctor_energy(struct diagnosis *d, const struct doctor_args *args);      /* doctor_energy.c */
enum doctor_grade doctor_gpu(struct diagnosis *d, const struct doctor_args *args);         /* doctor_gpu.c */
enum doctor_grade doctor_software(struct diagnosis *d, const struct doctor_args *args);    /* doctor_machine.c */

#endif
