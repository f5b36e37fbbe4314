/* SPDX-License-Identifier: MIT
 * A run in progress, shared by run.c (the order, the passes), run_store.c (an execution to rows), run_setup.c and
 * run_accuracy.c (what stands around the trials). */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include <signal.h>

#include "ceilings.h"
#include "execute.h"
#include "progress.h"
#include "run.h"

struct runner {
    struct plan *plan;
    const struct run_options *options;
    struct store *store;
    int64_t run;
    struct progress progress;
    struct progress_state state;
    struct probe *clock;
    struct probe *probe[PROBES_MAX];
    int probes, heavy_groups, visits_planned;
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
int setup_add_caches(struct runner *r, struct err *e);  /* that a working set may stay in */
int setup_open_probes(struct runner *r, struct err *e); /* counters calibrate themselves; results and absences are stored */
int setup_add_trials(struct runner *r, struct err *e);  /* with their predictions, from the roofs of round 0 */

int setup_take_roofs(struct runner *r, struct err *e); /* the next round of ceilings.h, stored */

/* One transaction. */
int run_store_execution(struct runner *r, const struct trial *t, int rep, int rejected, const struct pass_probes *riders,
                        struct err *e);

/* How far each trial's logits are from the model in float32, stored (run_accuracy.c). */
int run_accuracy(struct runner *r, struct err *e);

#endif
