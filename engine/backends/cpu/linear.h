/* SPDX-License-Identifier: MIT
 * Products with weight matrices, shared out over the workers of a pass. */
#ifndef BENCH_CPU_LINEAR_H
#define BENCH_CPU_LINEAR_H

#include "backends/cpu/cpu.h"

/* Packs every matrix of the model in place (own kernels only). */
int linear_prepare(struct cpu *c, struct weights *w, const struct model_config *config, struct err *e);

/* Room for the activations of the largest pass (into c->prepared); before the measured path. */
int linear_reserve(struct cpu *c, const struct pass *largest, struct err *e);

/* Row `row` of a matrix as float32, packed or not: for the embedding. */
void linear_row(const struct cpu *c, float *out, const struct matrix *w, int row);

/* Makes the rows first..last-1 of x, columns from..to-1, from whatever is there before. */
typedef void linear_make(const struct cpu *c, const struct pass *p, int first, int last, int from, int to);

/* y = x w^T + bias (+ y when adding); x's rows are x_stride floats apart, y's w->rows. */
struct linear {
    float *y;
    const float *x;
    int x_stride;
    const struct matrix *w;
    const float *bias; /* or NULL */
    int rows;
    bool add;
    linear_make *make; /* NULL: x is ready. Else called for every part of it, just before that is prepared and still in cache */
};

/* This worker's part of preparing x for the product; every worker calls it, and they meet before linear_product. */
void linear_activations(const struct cpu *c, const struct pass *p, const struct linear *l, int worker);

/* This worker's columns of y, all rows. Activations must be ready. */
void linear_product(const struct cpu *c, const struct pass *p, const struct linear *l, int worker);

#endif
