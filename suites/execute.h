/* SPDX-License-Identifier: MIT
 * One execution of a trial: prefill, then decode until the wanted number of tokens, watched as its pass wants it. Results stay
 * in memory that was taken before; storing them comes after. */
#ifndef BENCH_EXECUTE_H
#define BENCH_EXECUTE_H

#include <signal.h>

#include "device_log.h"
#include "op_meter.h"
#include "probe.h"
#include "run.h"
#include "witness.h"

struct executed_step {
    int64_t wall_ns;
    int64_t sample_ns; /* the part of it that chose the token; -1: not told apart, a device did it with the rest */
    int kv_len;
    int32_t token;
    int launches; /* given to a device; -1: there is none */
};

struct execution {
    const struct trial *trial;
    int steps; /* done: new_tokens when complete */
    struct sample_timer {
        uint64_t begin_ns;
        int64_t ns; /* -1: not told */
    } sample_timer;
    struct executed_step *step;
    struct reading *reading; /* [step][probe] */
    int64_t started_ns, wall_ns;
    int64_t prefill_ns; /* of wall_ns, where steps have no time of their own */
    struct op_meter meter;
    struct device_log log; /* of the probe that told events, if any did */
    int32_t *chosen;       /* [steps][batch] where steps are not looked at, hashed afterwards */
    uint64_t tokens_hash;
    int64_t kv_allocated;
    struct witness witness;
};

enum pass_kind {
    PASS_STEPS,  /* each step between begin and end of the probes; the choice of the token has a timer of its own */
    PASS_OPS,    /* each op apart: its time, and what the probe counts in it when one rides */
    PASS_BARE,   /* nothing between the steps: the clock is read before, after prefill, and at the end */
    PASS_SERIES, /* the same, while the probe that rides takes samples beside it */
};

/* Nothing is called between its steps: they have no rows of their own. */
bool pass_is_whole(enum pass_kind kind);

/* How an execution is watched; clock is the innermost probe and gives wall_ns, the others ride around it. */
struct pass_probes {
    const char *name; /* in the database */
    enum pass_kind kind;
    bool warmup;
    const volatile sig_atomic_t *stop; /* looked at where nothing else is called between steps */
    struct probe *clock;
    struct probe *riding[PROBES_MAX];
    int count;
};

/* Room for every trial of the plan. */
int execution_init(struct execution *x, const struct plan *p, struct err *e);
void execution_free(struct execution *x);

/* Called between steps, outside every bracket, but in a whole pass; a non-zero return stops (Ctrl-C). */
typedef int (*execute_between)(void *ctx, const struct execution *x);

int execute_trial(struct execution *x, const struct trial *t, const struct pass_probes *riders, execute_between between,
                  void *ctx, struct err *e);

/* Rows of `reading`: of each step, or one of the whole. */
int execution_readings(const struct execution *x, const struct pass_probes *riders);

/* The first reading that cannot be true, as a sentence; NULL when all are plausible. */
const char *execution_implausible(const struct execution *x, const struct pass_probes *riders);

#endif
