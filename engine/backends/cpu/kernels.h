/* SPDX-License-Identifier: MIT
 * Kernels of the cpu backend, compiled once per instruction-set level from kernels.c. All single-threaded, all on the measured
 * path, no allocation. Vectors need no alignment and may have any length >= 1. */
#ifndef BENCH_CPU_KERNELS_H
#define BENCH_CPU_KERNELS_H

#include <stdbool.h>

struct cpu_matmul {
    int rows, depth;        /* of x; depth is also w's row length */
    int x_stride, y_stride; /* distance of rows, in floats */
    int from, to;           /* rows of w = columns of y to compute */
    bool add;               /* to what y holds */
};

struct cpu_kernels {
    int few_rows; /* up to so many rows matmul is faster than OpenBLAS's sgemm at this level (measured) */
    /* y[o] = w[o] . x + bias[o] + add[o] for o in [from, to); w is [rows][cols]; bias and add may be NULL; add may be y. */
    void (*matvec)(float *y, const float *w, const float *x, const float *bias, const float *add, int from, int to, int cols);
    /* y[r][o] (+)= x[r] . w[o] for all r and o in [from, to). May prefetch, but never read, beyond w. */
    void (*matmul)(float *y, const float *x, const float *w, const struct cpu_matmul *m);
    /* y = (x - mean) / sqrt(var + eps) * w + b, or RMS without mean; b may be NULL. */
    void (*norm)(float *y, const float *x, const float *w, const float *b, int n, float eps, bool subtract_mean);
    void (*add_bias)(float *y, const float *bias, int n);
    void (*gelu)(float *x, int n);
    /* y = silu(gate) * up; y may be gate. */
    void (*swiglu)(float *y, const float *gate, const float *up, int n);
    /* Rotates the pairs (i, i + half). */
    void (*rotate)(float *head, const float *cosine, const float *sine, int half);
    /* In place: exp(x * scale - max) / sum. */
    void (*softmax)(float *x, int n, float scale);
    /* out = softmax(q k^T / sqrt(hd)) v over n positions; scores: room for n floats. */
    void (*attend)(float *out, const float *q, const float *k, const float *v, float *scores, int n, int hd);
    int (*argmax)(const float *x, int n); /* the first of equals */
};

extern const struct cpu_kernels cpu_kernels_base;
#if defined(__x86_64__)
extern const struct cpu_kernels cpu_kernels_avx2, cpu_kernels_avx512;
#endif

#endif
