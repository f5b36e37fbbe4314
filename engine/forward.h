/* SPDX-License-Identifier: MIT
 * The transformer, written once for GPT-2 and LLaMA in backend ops. Measured path. */
#ifndef BENCH_FORWARD_H
#define BENCH_FORWARD_H

#include "backends/backend.h"
#include "engine.h"

/* One pass; hooks run around each op. The backend's first failure is reported. */
int forward(struct backend *b, const struct pass *p, const struct engine_hooks *hooks, struct err *e);

#endif
