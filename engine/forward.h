/* SPDX-License-Identifier: MIT
 * The transformer, written once for GPT-2 and LLaMA in backend ops. Measured path. */
#ifndef BENCH_FORWARD_H
#define BENCH_FORWARD_H

#include "backends/backend.h"
#include "engine.h"

/* One pass; hooks run around each op, in the calling thread alone. Where the backend runs the whole pass as one parallel region
 * an op ends for all workers together, so that a pair of hooks brackets all of it; a worker may be in the next op already while
 * a hook still runs. A device is only given its work, so that there hooks run for a pass in parts alone: whoever asks for these
 * knows to tell the device's own clock which work is whose. The backend's first failure is reported. */
int forward(struct backend *b, const struct pass *p, const struct engine_hooks *hooks, struct err *e);

/* Shows a session's decode step to a backend that replays recorded passes; not on the measured path. */
int forward_record(struct backend *b, const struct pass *step, struct err *e);

#endif
