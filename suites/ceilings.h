/* SPDX-License-Identifier: MIT
 * The roofs of a plan: a set for each number of threads that its trials run on, and one for the whole team; on a GPU the GPU's
 * alone, which do not depend on threads. A first round
 * takes everything that verdicts may stand on; later rounds only what some trial is held against, so that every execution has
 * its own roofs shortly before and after it. */
#ifndef BENCH_CEILINGS_H
#define BENCH_CEILINGS_H

#include "roofs.h"
#include "run.h"

enum { CEILING_SETS_MAX = 16, CEILING_ROOFS_MAX = 32 };

struct ceiling_set {
    int threads;
    struct roofs *roofs;
    double value[CEILING_ROOFS_MAX]; /* of the first round, by roof_specs; 0: not taken or absent */
};

struct ceilings {
    const struct plan *plan;
    struct ceiling_set set[CEILING_SETS_MAX]; /* the whole team's first */
    int sets, round;
};

/* ms: for each roof in a round. ERR_USAGE where the trials have more numbers of threads than there are sets. Close it also
 * after an error. */
int ceilings_open(struct ceilings *c, const struct plan *p, int ms, struct err *e);
void ceilings_close(struct ceilings *c);

/* Told of each roof; `roof` is NULL where it is absent, and *e says why. Not 0: the round ends, and it is returned. */
typedef int (*ceilings_each)(void *ctx, const struct ceiling_set *set, const struct roof_spec *spec, const struct roof *roof,
                             struct err *e);

/* Measures the next round. each: may be NULL. */
int ceilings_take(struct ceilings *c, ceilings_each each, void *ctx, struct err *e);

/* What the first round found for a trial's arithmetic at its number of threads: FLOP/s and B/s, 0 where not known. */
void ceilings_of(const struct ceilings *c, const struct trial *t, double *flops, double *bytes);

#endif
