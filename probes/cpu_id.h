/* SPDX-License-Identifier: MIT
 * Which CPU this is, as the kernel tells it in /proc/cpuinfo: what event files are chosen by. Not on the measured path. */
#ifndef BENCH_CPU_ID_H
#define BENCH_CPU_ID_H

#include <stdbool.h>

struct cpu_id {
    char vendor[16];            /* x86: "AuthenticAMD"; Arm: "arm"; empty when unknown */
    unsigned family, model;     /* x86 */
    unsigned implementer, part; /* Arm: the fields of MIDR */
};

/* False when it is not known: all fields are then empty or 0. */
bool cpu_identify(struct cpu_id *id);
bool cpu_identify_text(struct cpu_id *id, const char *cpuinfo);

#endif
