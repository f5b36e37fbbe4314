/* SPDX-License-Identifier: MIT
 * What the files of the cpu backend share: the backend itself, and how a worker of a pass finds its part. */
#ifndef BENCH_CPU_H
#define BENCH_CPU_H

#include "backends/backend.h"
#include "backends/cpu/kernels.h"
#include "team.h"

/* Memory of the backend, as large as the largest pass of any session so far has asked for. */
struct cpu_room {
    void *data;
    size_t bytes;
};

struct cpu {
    struct backend base;
    const struct cpu_kernels *kernels;
    enum isa isa;
    enum gemm gemm;
    bool together;               /* within cpu_together: ops are called by every worker */
    struct team_barrier barrier; /* of the pass's workers */
    struct cpu_room prepared;    /* activations of the product at hand */
    struct cpu_room attention;   /* attention.c's own */
    struct cpu_room choices;     /* struct choice [batch][threads]: the largest logits of the workers' shares */
};

/* Grows a room; what it held is lost. */
int cpu_room_reserve(struct cpu_room *room, size_t bytes, const char *what, struct err *e);

/* Every worker of the pass comes here before any goes on. */
static inline void cpu_meet(const struct cpu *c, const struct pass *p)
{
    team_wait((struct team_barrier *)&c->barrier, p->threads);
}

#endif
