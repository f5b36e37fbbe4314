/* SPDX-License-Identifier: MIT
 * One execution of a trial: prefill, then decode until the wanted number of tokens, every step between begin and end of the
 * pass's probes. Results stay in memory that was taken before; storing them comes after. */
#ifndef BENCH_EXECUTE_H
#define BENCH_EXECUTE_H

#include "probe.h"
#include "run.h"
#include "witness.h"

struct executed_step {
    int64_t wall_ns, sample_ns; /* sample_ns: the part of it that chose the token */
    int kv_len;
    int32_t token;
};

struct execution {
    const struct trial *trial;
    int steps; /* done: new_tokens when complete */
    struct sample_timer {
        uint64_t begin_ns, ns;
    } sample_timer;
    struct executed_step *step;
    struct reading *reading; /* [step][probe] */
    int64_t started_ns, wall_ns;
    uint64_t tokens_hash;
    int64_t kv_allocated;
    struct witness witness;
};

/* Probes of a pass; clock is the innermost and gives wall_ns, the others ride around it. The choice of the token has a timer of
 * its own in every pass, so that passes stay comparable: two clock reads a step. */
struct pass_probes {
    struct probe *clock;
    struct probe *riding[PROBES_MAX];
    int count;
};

int execution_init(struct execution *x, int max_steps, struct err *e);
void execution_free(struct execution *x);

/* Called between steps, outside every bracket; a non-zero return stops (Ctrl-C). */
typedef int (*execute_between)(void *ctx, const struct execution *x);

int execute_trial(struct execution *x, struct model *m, const struct trial *t, const struct pass_probes *riders,
                  execute_between between, void *ctx, struct err *e);

/* The first reading that cannot be true, as a sentence; NULL when all are plausible. */
const char *execution_implausible(const struct execution *x, const struct pass_probes *riders);

#endif
