/* SPDX-License-Identifier: MIT
 * The transformer, written once for GPT-2 and LLaMA in backend ops. Measured path. */
#ifndef BENCH_FORWARD_H
#define BENCH_FORWARD_H

#include "backends/backend.h"
#include "engine.h"

/* One pass; hooks run around each op, in the calling thread alone. Where the backend runs the whole pass as one parallel region
 * an op ends for all workers together, so that a pair of hooks brackets all of it; a worker may be in the next op already while
 * a hook still runs. The backend's first failure is reported. */
int forward(struct backend *b, const struct pass *p, const struct engine_hooks *hooks, struct err *e);

#endif
