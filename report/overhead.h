/* SPDX-License-Identifier: MIT
 * What measuring costs: executions against the bare one beside them. A visit is a run of executions of one trial with none of
 * another between them; within it an execution and a bare one that are each other's nearest are a pair, so that the machine's
 * drift stays out of the difference as far as it can. */
#ifndef BENCH_OVERHEAD_H
#define BENCH_OVERHEAD_H

#include "figures.h"

struct overhead {
    bool bare;             /* against pass 'bare', pairwise; else (old runs) step medians against those of the timing pass */
    struct estimate ratio; /* time with / time without - 1, over the pairs of all trials; of old runs over the steps */
    struct estimate us;    /* microseconds more a step; n = 0 of old runs */
};

/* Of one pass and phase; ratio.n = 0 when there is nothing to compare. ERR_MEMORY. */
int overhead_of(struct overhead *out, const struct rows *r, int pass, bool prefill, struct err *e);

#endif
