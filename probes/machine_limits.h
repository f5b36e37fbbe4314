/* SPDX-License-Identifier: MIT
 * What a container allows this process: the least limit of its control group and of every group above it, version 2 or 1 of
 * the kernel's interface. */
#ifndef BENCH_MACHINE_LIMITS_H
#define BENCH_MACHINE_LIMITS_H

#include "root_file.h"

struct machine_limit {
    bool known;             /* false: no such control group is to be seen */
    double value;           /* CPUs, or bytes; infinite without a limit */
    char source[ROOT_PATH]; /* where it was found; without the group, which may name a user */
};

/* root: see root_file.h. */
void machine_cpu_quota(struct machine_limit *out, const char *root);
void machine_memory_limit(struct machine_limit *out, const char *root);

#endif
