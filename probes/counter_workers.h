/* SPDX-License-Identifier: MIT
 * The same set of events on every worker of the team, read by each worker for itself and summed. */
#ifndef BENCH_COUNTER_WORKERS_H
#define BENCH_COUNTER_WORKERS_H

#include "counter_set.h"
#include "known.h"

struct counter_workers;

int counter_workers_open(struct counter_workers **out, int threads, struct err *e);
void counter_workers_close(struct counter_workers *w); /* stops first */

/* Opens the set on every worker, in place of the one before; ERR_ABSENT with the first worker's reason. */
int counter_workers_start(struct counter_workers *w, const struct counter_layer *layer, const struct counter_set *s,
                          struct err *e);
void counter_workers_stop(struct counter_workers *w);

/* Measured path. */
void counter_workers_begin(struct counter_workers *w);
void counter_workers_end(struct counter_workers *w, struct reading *out);

/* Runs the kernel once on all workers, each with a room like `room` and reading its counters right around its own part, and
 * returns the amount of work done: NaN when there was no memory for it. */
double counter_workers_run(struct counter_workers *w, const struct known *k, const struct known_room *room,
                           struct reading *out);

/* What one read of the started set costs the worker that reads, in nanoseconds; NaN when it fails. */
double counter_workers_read_ns(const struct counter_workers *w);

/* False, with a static sentence in *why, when the reading cannot be true, or stands for a part of the bracket only. */
bool counter_plausible(const struct reading *r, const char **why);

#endif
