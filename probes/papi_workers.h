/* SPDX-License-Identifier: MIT
 * The same set of events on every worker of the team, read by each worker for itself and summed. */
#ifndef BENCH_PAPI_WORKERS_H
#define BENCH_PAPI_WORKERS_H

#include "papi_events.h"
#include "papi_layer.h"

enum { PAPI_SET_EVENTS = PAPI_GROUP_METRICS * PAPI_CANDIDATE_EVENTS };

/* Quantities counted together, and their events in a row. All-zero is the empty set. */
struct papi_set {
    const struct papi_candidate *member[PAPI_GROUP_METRICS];
    int members;
    const char *event[PAPI_SET_EVENTS];
    double weight[PAPI_SET_EVENTS];
    int owner[PAPI_SET_EVENTS]; /* which member the event belongs to */
    int events, slots;
};

/* False when the candidate needs more counters than are left. */
bool papi_set_add(struct papi_set *s, const struct papi_candidate *c);

struct papi_workers;

int papi_workers_open(struct papi_workers **out, const struct papi_layer *layer, int threads, struct err *e);
void papi_workers_close(struct papi_workers *w); /* stops first */

/* Opens the set on every worker, in place of the one before. 0, or negative with a static sentence in *why. */
int papi_workers_start(struct papi_workers *w, const struct papi_set *s, const char **why);
void papi_workers_stop(struct papi_workers *w);

/* Measured path. */
void papi_workers_begin(struct papi_workers *w);
void papi_workers_end(struct papi_workers *w, struct reading *out);

/* Runs the kernel once on all workers, each reading its counters right around its own part, and returns the amount of work
 * done: NaN when there was no memory for it. */
double papi_workers_run(struct papi_workers *w, const struct papi_known *k, struct reading *out);

/* False, with a static sentence in *why, when the reading cannot be true. */
bool papi_plausible(const struct reading *r, const char **why);

#endif
