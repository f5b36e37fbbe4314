/* SPDX-License-Identifier: MIT
 * One phase of one trial by its ops: what each took in pass 'op:time', what was counted in it, and how that stands against the
 * roofs. Decode is the mean step. Names, order and layers come from the rows: the report knows no engine. */
#ifndef BENCH_OPS_H
#define BENCH_OPS_H

#include "figures.h"

enum { OPS_MAX = 16, OPS_COUNTERS = 16, OPS_LAYERS_MAX = 4096 };

/* An op in one layer, or in all of them together. */
struct ops_place {
    double *ms;                   /* [reps]; NAN: it did not run here */
    double part[ROWS_PARTS];      /* as they were counted; NAN: not */
    double counted[ROWS_METRICS]; /* the whole of the parts; NAN: not counted */
};

/* Another quantity that was counted, or a part of one, all layers together. */
struct ops_counter {
    char metric[32];
    double value;
};

struct ops_op {
    char name[16];
    double analytic[ROWS_METRICS];  /* all layers together; bytes: those that are read */
    struct ops_place whole, *layer; /* layer: [layers] */
    struct estimate ms, share;      /* share of its repetition's step */
    struct ops_counter counter[OPS_COUNTERS];
    int counters;
    bool broken[ROWS_PARTS];     /* some layer lacks the reading */
    char why[ROWS_METRICS][200]; /* why not counted; or "" */
    struct verdict verdict;      /* sentence empty: an op without FLOPs has none */
    const struct rows_cache *cache;
};

struct ops {
    int step, steps; /* the span: `steps` steps from `step` on */
    int reps, layers;
    double *step_ms; /* [reps]: the mean step of the same executions */
    int64_t *started_ns;
    struct estimate step_estimate, between; /* between: of the step, in no op */
    struct ops_op op[OPS_MAX];
    int ops; /* 0: there was no such pass */
};

/* The owner calls ops_free, also after a failure. */
int ops_load(struct ops *out, struct store *s, const struct rows *r, int trial, bool prefill, struct err *e);
void ops_free(struct ops *o);

struct ops_op *ops_find(struct ops *o, const char *name); /* NULL: there is no such op */
/* An op as a stretch, with its analytic work; its arrays stay those of the ops. */
void ops_stretch(struct stretch *out, const struct ops *o, struct ops_op *op, const struct rows *r, const struct rows_trial *t);

#endif
