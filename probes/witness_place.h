/* SPDX-License-Identifier: MIT
 * Where this process is on the machine: its CPUs and its memory, by the kernel's word. root: see root_file.h. Not on the
 * measured path. */
#ifndef BENCH_WITNESS_PLACE_H
#define BENCH_WITNESS_PLACE_H

#include <sched.h>

/* CPUs that the process's threads ran on last. */
void place_own_cpus(cpu_set_t *out, const char *root);
/* Other hardware threads of those CPUs' cores, none of them in `own`; negative when it is not known, else 0. */
int place_siblings(cpu_set_t *out, const cpu_set_t *own, const char *root);

/* Share of the process's memory in large mappings (4 MiB and more) that is in huge pages; -1 when unknown or there are none. */
double place_huge_share(const char *root);
/* Share of that memory on NUMA nodes without a CPU of `own`; -1 when unknown. */
double place_remote_share(const cpu_set_t *own, const char *root);

/* "0-3,8" */
void place_parse_cpus(cpu_set_t *out, const char *list);

#endif
