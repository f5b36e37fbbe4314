/* SPDX-License-Identifier: MIT
 * The kernels behind a GPU's roofs. A launcher only puts work on the stream and returns the launch's own error. Pointers are
 * device memory. C, and C++ for nvcc. */
#ifndef BENCH_GPU_ROOF_KERNELS_H
#define BENCH_GPU_ROOF_KERNELS_H

#include <cuda_runtime_api.h>
#include <library_types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a stream is spread: each thread, at most 512 a block, has in_flight loads of 16 bytes under way (4, 8 or 16), a block
 * goes over tiles of in_flight x threads x 16 bytes, the grid's blocks in turn. */
struct gpu_spread {
    int in_flight, threads, blocks;
};
size_t gpu_tile_bytes(const struct gpu_spread *s);

/* Reads `bytes`, a multiple of the tile's, `passes` times past L1. sums[blocks x threads]: what each thread's 32-bit
 * words add up to. */
cudaError_t gpu_read(cudaStream_t stream, const struct gpu_spread *s, uint32_t *sums, const void *from, size_t bytes,
                     int passes);

cudaError_t gpu_copy(cudaStream_t stream, const struct gpu_spread *s, void *to, const void *from, size_t bytes);

/* n elements of CUDA_R_32F, CUDA_R_16F or CUDA_R_16BF, uniform over [-1, 1), the same for the same seed. */
cudaError_t gpu_fill(cudaStream_t stream, void *to, cudaDataType_t type, size_t n, uint32_t seed);

/* A kernel of one thread that does nothing, or adds 1 to *count. follows: may begin before the kernel before it has ended, and
 * waits for it then; compute capability 9.0 and more. */
cudaError_t gpu_nothing(cudaStream_t stream, bool follows, uint32_t *count);

#ifdef __cplusplus
}
#endif

#endif
