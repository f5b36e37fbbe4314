/* SPDX-License-Identifier: MIT
 * Products with weights for many rows: y[rows][w.rows] = x[rows][w.cols] W^T through cublasLt, W row-major as model.h has it.
 * Inputs x in the weights' dtype; sums in float32. Which of cublasLt's algorithms runs is decided by timing the heuristic's
 * candidates on the real weights and random x, outside the measured path, for powers of two of rows; a run then takes that of
 * its next larger power, or of the largest. One object a device and stream. */
#ifndef BENCH_CUDA_MATMUL_H
#define BENCH_CUDA_MATMUL_H

#include <cuda_runtime_api.h>
#include <stdbool.h>

#include "err.h"
#include "model.h"

struct matmul;

int matmul_open(struct matmul **out, cudaStream_t stream, struct err *e);
void matmul_close(struct matmul *m);

/* Makes every plan that products with w of up to `rows` rows will need, timing candidates where that pays; known ones cost
 * nothing. out: dtype of y; bias: whether one is added; add: y = x W^T + y. x and y: scratch of the largest size, overwritten.
 */
int matmul_prepare(struct matmul *m, const struct matrix *w, int rows, enum dtype out, bool bias, bool add, void *x, void *y,
                   struct err *e);

/* bias: [w.rows] float32 or NULL, with out f32 only. 0, or the sentence in *e; work is only enqueued. */
int matmul_run(struct matmul *m, const struct matrix *w, const void *x, int rows, void *y, enum dtype out, const float *bias,
               bool add, struct err *e);

/* "cublasLt 13.0.2": for the record. */
const char *matmul_about(const struct matmul *m);

#endif
