/* SPDX-License-Identifier: MIT
 * A roof is the best of several ways to do its work: more or fewer loads in flight, one algorithm of the library or another.
 * Here is what a way is, and the room that ways share while their roof is measured. */
#ifndef BENCH_GPU_ROOF_WAYS_H
#define BENCH_GPU_ROOF_WAYS_H

#include <cuda_runtime_api.h>

#include "err.h"
#include "gpu_roof_kernels.h"
#include "square_product.h"

enum { GPU_WAYS_MAX = 8, GPU_PRODUCTS_MAX = 2 };

struct gpu_roofs;

struct gpu_way {
    int (*run)(struct gpu_roofs *r, const struct gpu_way *w, struct err *e); /* enqueues the work once */
    double work;                                                             /* bytes, operations or kernels */
    int runs; /* of a repetition: as many as make it long enough to be timed */
    char how[96];

    /* What the run is told, as far as it needs it. */
    struct gpu_spread spread;
    size_t bytes;
    int passes;
    bool follows;
    const struct square_product *product;
    cublasLtMatmulAlgo_t algorithm;
};

struct gpu_roofs {
    int device, multiprocessors, major;
    size_t l2_bytes;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    cublasLtHandle_t lt; /* NULL until a product was asked for */

    /* While a roof is measured. */
    char *memory;
    size_t bytes;
    cudaGraphExec_t graph[GPU_WAYS_MAX]; /* of the ways that replay one */
    struct square_product product[GPU_PRODUCTS_MAX];
    struct gpu_way way[GPU_WAYS_MAX];
    int ways;
};

/* 0, or what CUDA says of `what`: ERR_ABSENT when memory lacks, else ERR_IO. */
int gpu_check(cudaError_t code, const char *what, struct err *e);

/* Takes `want` bytes for the roof that is measured, or half of what is free now; ERR_ABSENT when that is less than `least`. */
int gpu_take_memory(struct gpu_roofs *r, size_t want, size_t least, struct err *e);

/* Ways to multiply (gpu_roof_products.c). Sums are always single precision. */
struct gpu_arithmetic {
    cudaDataType_t type; /* of all three matrices */
    cublasComputeType_t compute;
};
int gpu_product_ways(struct gpu_roofs *r, struct gpu_arithmetic a, struct err *e);
void gpu_products_forget(struct gpu_roofs *r);

#endif
