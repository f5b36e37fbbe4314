/* SPDX-License-Identifier: MIT
 * A run in progress, shared by run.c (the order, the timing pass), run_visits.c (the passes that watch), run_store.c and
 * run_device.c (an execution to rows), run_setup.c, run_probes.c and run_accuracy.c (what stands around the trials). */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include <signal.h>

#include "ceilings.h"
#include "execute.h"
#include "progress.h"
#include "run.h"

enum { VISIT_PASSES_MAX = 64 };

/* One of the executions of a visit. */
struct visit_pass {
    char name[64];
    enum pass_kind kind;
    struct probe *probe; /* NULL: clocks only */
    int group;           /* of the probe */
    bool every_round;    /* else in the first only */
};

struct runner {
    struct plan *plan;
    const struct run_options *options;
    struct store *store;
    int64_t run;
    struct progress progress;
    struct progress_state state;
    struct probe *clock;
    struct probe *probe[PROBES_MAX]; /* the suite's, or in their places those that do the like for a GPU */
    int probes;
    struct probe *timeline; /* of a GPU, for the time of ops: one of the above, or opened for this alone; NULL: not there */
    bool told_lost;         /* that it lost work, once for the run */
    struct visit_pass visit[VISIT_PASSES_MAX];
    int visit_passes, visits_planned;
    double bare_ns; /* expected of the bare executions beside the timing pass */
    struct ceilings ceilings;
    uint64_t roofs_at_ns, roofs_ns; /* when the latest round of roofs ended; how long it took */
    struct execution execution;
    uint64_t start_ns;
    int ordinal;
    const volatile sig_atomic_t *interrupted; /* set by Ctrl-C */
};

int setup_add_run(struct runner *r, struct err *e);
int setup_add_files(struct runner *r, struct err *e); /* what the model was read from, with hashes */
int setup_add_claims(struct runner *r, struct err *e);
int setup_add_caches(struct runner *r, struct err *e);   /* that a working set may stay in */
int setup_add_left_out(struct runner *r, struct err *e); /* cells that the backend cannot compute */
int setup_add_trials(struct runner *r, struct err *e);   /* with their predictions, from the roofs of round 0 */

int setup_take_roofs(struct runner *r, struct err *e); /* the next round of ceilings.h, stored */

/* run_probes.c: what counters found out about themselves is stored, and what is absent. Those that watch a device closely are
 * opened by themselves, after all that is timed. */
int run_open_probes(struct runner *r, struct err *e);
int run_open_device_probes(struct runner *r, struct err *e);
void run_close_probes(struct runner *r);

/* An execution of the trial, again as long as its readings cannot be true, stored as its rep-th of this pass. */
int run_trial(struct runner *r, struct trial *t, int rep, const struct pass_probes *pass, struct err *e);
int run_bare(struct runner *r, struct trial *t, struct err *e);

/* Takes the roofs again where they are old. */
int run_keep_roofs_near(struct runner *r, struct err *e);

/* run_visits.c: which passes a visit has with the probes that are open, and how many executions all visits take; and they
 * themselves. */
void run_plan_visits(struct runner *r);
int run_visits(struct runner *r, struct err *e);

/* One transaction. */
int run_store_execution(struct runner *r, const struct trial *t, int rep, int rejected, const struct pass_probes *riders,
                        struct err *e);
/* What a device told of that execution: events of the steps that are kept, samples (run_device.c). */
int run_store_device(struct runner *r, int64_t repetition, const struct pass_probes *riders, int rep, struct err *e);

/* How far each trial's logits are from the model in float32, stored (run_accuracy.c). */
int run_accuracy(struct runner *r, struct err *e);

#endif
