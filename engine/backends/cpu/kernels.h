/* SPDX-License-Identifier: MIT
 * Kernels of the cpu backend. Each *_kernels.c is compiled once per instruction-set level and leaves tables behind; levels.c
 * puts them together. All single-threaded, all on the measured path, no allocation. */
#ifndef BENCH_CPU_KERNELS_H
#define BENCH_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "dtype.h"
#include "isa.h"

/* --- elementwise_kernels.c: vectors of any length >= 1, of any alignment ----------------------------------------------------
 */

struct cpu_elementwise {
    /* y = (x - mean) / sqrt(var + eps) * w + b, or RMS without mean; b may be NULL. */
    void (*norm)(float *y, const float *x, const float *w, const float *b, int n, float eps, bool subtract_mean);
    void (*gelu)(float *x, int n);
    /* y = silu(gate) * up; y may be gate. */
    void (*swiglu)(float *y, const float *gate, const float *up, int n);
    /* Rotates the pairs (i, i + half). */
    void (*rotate)(float *head, const float *cosine, const float *sine, int half);
    /* In place: exp((x - max) * scale) / sum. */
    void (*softmax)(float *x, int n, float scale);
    int (*argmax)(const float *x, int n); /* the first of equals */
};

/* --- float_kernels.c, int8_kernels.c: products with packed weights, one format for each dtype -------------------------------
 */

/* A matrix is packed in panels of `panel` rows (outputs): 4 bytes of each row's depth (one f32, two bf16, four int8; the
 * private matter of a format) of all of a panel's rows stand together, so that a vector load brings one step of depth of many
 * outputs and a panel is one contiguous stream. The activations of a product are prepared first: converted, and cut into tiles
 * of at most tile_rows rows, the same step of depth of all of a tile's rows together. A tile's sums stay in registers: whatever
 * the number of rows, weights are read from memory once, and for up to tile_rows rows they are read once altogether. */
struct cpu_product {
    int rows, cols;    /* of x; cols is the depth */
    int y_stride;      /* distance of y's rows in floats */
    int from, to;      /* panels of w to compute */
    int outputs;       /* rows of w = columns of y: where the last panel ends */
    size_t row_bytes;  /* of w, as struct matrix has it: a panel is `panel` times as long */
    const float *bias; /* [outputs], or NULL */
    bool add;          /* to what y holds */
};

struct cpu_format {
    const char *arithmetic; /* "f32", "bf16", "int8" */
    int panel;              /* divides MATRIX_ROWS */
    int tile_rows;
    int depth_unit; /* a part of depth that prepare can be asked for begins at a multiple of it, and ends there or at cols */
    /* Packs one panel in place: `panel` rows of cols elements, row_bytes apart, zero padded. room: as long as the panel. */
    void (*pack)(void *panel, void *room, size_t row_bytes, int cols);
    /* Row `row` of a packed panel as float32. */
    void (*unpack_row)(float *out, const void *panel, size_t row_bytes, int cols, int row);
    /* Room for a product's prepared activations. Aligned to 64 bytes. */
    size_t (*prepared_bytes)(int rows, int cols);
    /* Prepares tile `tile` of x (rows x_stride floats apart), its depth from..to-1. Any order, any worker. */
    void (*prepare)(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to);
    /* y[r][o] (+)= x[r] . w[o] + bias[o] for all rows r and the outputs o of the panels from..to-1. May prefetch, but never
     * read, beyond w. */
    void (*product)(float *y, const void *prepared, const void *w, const struct cpu_product *m);
};

/* Tiles that rows are cut into, as even as can be, and the first row of one (of tile `tiles`: the end). */
static inline int tiles_of(int rows, int tile_rows)
{
    return (rows + tile_rows - 1) / tile_rows;
}

static inline int tile_first(int rows, int tiles, int tile)
{
    return (int)((long long)rows * tile / tiles);
}

enum { CPU_FLOAT_FORMATS = 3, CPU_INT8_FORMATS = 2 };

/* --- all of a level ----------------------------------------------------------------------------------------------------------
 */

struct cpu_attention; /* attention.h */

struct cpu_kernels {
    const struct cpu_elementwise *elementwise;
    const struct cpu_format *format[DTYPE_Q4_0 + 1]; /* by enum dtype */
    const struct cpu_attention *attention;           /* [DTYPE_BF16 + 1], by the dtype of the cache */
};

const struct cpu_kernels *cpu_kernels_of(enum isa isa);

#endif
