/* SPDX-License-Identifier: MIT
 * Kernels whose arithmetic is known to the last operation. A launcher only puts work on the stream. C, and C++ for nvcc. */
#ifndef BENCH_GPU_KNOWN_KERNELS_H
#define BENCH_GPU_KNOWN_KERNELS_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KNOWN_THREADS = 256,
    KNOWN_CHAINS = 8,                  /* independent, so that latency is hidden */
    KNOWN_FMA_FLOPS = 2,               /* of one multiply-add */
    KNOWN_PAIR_FLOPS = 4,              /* of one on two halves */
    KNOWN_MMA_FLOPS = 2 * 16 * 8 * 16, /* of one product of a warp */
};

/* Each thread does `rounds` x KNOWN_CHAINS multiply-adds of its own; x = x a + b, from its index in the block on. out[blocks x
 * KNOWN_THREADS]: the sum of its chains. */
cudaError_t known_fma_f32(cudaStream_t stream, float *out, float a, float b, int rounds, int blocks);
/* The same in pairs of halves. */
cudaError_t known_fma_f16(cudaStream_t stream, float *out, float a, float b, int rounds, int blocks);

/* Each warp adds `rounds` x KNOWN_CHAINS products of matrices full of `a` to matrices of zeros; out as above, of one element a
 * chain. Inputs are halves or bf16, sums float32. */
cudaError_t known_mma_f16(cudaStream_t stream, float *out, float a, int rounds, int blocks);
cudaError_t known_mma_bf16(cudaStream_t stream, float *out, float a, int rounds, int blocks);

#ifdef __cplusplus
}
#endif

#endif
