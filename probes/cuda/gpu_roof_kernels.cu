/* SPDX-License-Identifier: MIT
 * Streams, random data, and a kernel that does nothing. Loads of a tile are all issued before the first is used; what was read
 * is added up, so that nothing can be left out. */
#include "gpu_roof_kernels.h"

#include "kernel.cuh"

#ifdef CUDA_EMU
inline uint4 load_past_l1(const uint4 *p)
{
    return *p;
}
#else
/* From L2 or beyond, each time: the L1 caches of all multiprocessors together may be larger than a part of L2. */
__device__ __forceinline__ uint4 load_past_l1(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
#endif

/* The compiler may spend registers on loads: left alone it would use each word before it has asked for the others. */
#define ALL_IN_FLIGHT __launch_bounds__(512, 1)

enum { FILL_THREADS = 256 };
static const size_t FILL_BLOCKS = 128; /* at most */

template <int IN_FLIGHT> __device__ __forceinline__ void load_tile(uint4 (&v)[IN_FLIGHT], const uint4 *from)
{
#pragma unroll
    for (int i = 0; i < IN_FLIGHT; i++)
        v[i] = load_past_l1(from + i * blockDim.x);
}

/* All passes in one go, so that no block waits for the others at the end of each. */
template <int IN_FLIGHT>
__global__ void ALL_IN_FLIGHT read_kernel(uint32_t *sums, const uint4 *from, uint32_t tiles, uint32_t passes)
{
    const size_t tile = (size_t)IN_FLIGHT * blockDim.x;
    const uint64_t end = (uint64_t)tiles * passes;
    uint32_t sum = 0;

    for (uint64_t t = blockIdx.x; t < end; t += gridDim.x) {
        uint4 v[IN_FLIGHT];
        load_tile(v, from + (uint32_t)(t % tiles) * tile + threadIdx.x);
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; i++)
            sum += v[i].x + v[i].y + v[i].z + v[i].w;
    }
    sums[(size_t)blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <int IN_FLIGHT> __global__ void ALL_IN_FLIGHT copy_kernel(uint4 *to, const uint4 *from, size_t tiles)
{
    const size_t tile = (size_t)IN_FLIGHT * blockDim.x;

    for (size_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        uint4 v[IN_FLIGHT];
        load_tile(v, from + t * tile + threadIdx.x);
#pragma unroll
        for (int i = 0; i < IN_FLIGHT; i++)
            to[t * tile + threadIdx.x + i * blockDim.x] = v[i];
    }
}

/* A good mix of all bits (the finaliser of MurmurHash3). */
__device__ __forceinline__ uint32_t mixed(uint32_t h)
{
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

__device__ __forceinline__ void put(float *to, float v)
{
    *to = v;
}
__device__ __forceinline__ void put(__half *to, float v)
{
    *to = __float2half_rn(v);
}
__device__ __forceinline__ void put(__nv_bfloat16 *to, float v)
{
    *to = __float2bfloat16_rn(v);
}

template <class T> __global__ void fill_kernel(T *to, size_t n, uint32_t seed)
{
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) {
        uint32_t h = mixed((uint32_t)i ^ mixed(seed ^ (uint32_t)(i >> 32)));
        put(to + i, (float)(int32_t)h * 0x1p-31f);
    }
}

__global__ void nothing_kernel(uint32_t *count)
{
    pdl_let_next_begin();
    pdl_wait();
    if (count)
        *count += 1;
}

/* --- launchers ---------------------------------------------------------------------------------------------------------------
 */

size_t gpu_tile_bytes(const struct gpu_spread *s)
{
    return (size_t)s->in_flight * s->threads * sizeof(uint4);
}

cudaError_t gpu_read(cudaStream_t stream, const struct gpu_spread *s, uint32_t *sums, const void *from, size_t bytes,
                     int passes)
{
    auto *kernel = s->in_flight == 4 ? read_kernel<4> : s->in_flight == 8 ? read_kernel<8> : read_kernel<16>;

    return launch(stream, dim3(s->blocks), dim3(s->threads), 0, false, kernel, sums, (const uint4 *)from,
                  (uint32_t)(bytes / gpu_tile_bytes(s)), (uint32_t)passes);
}

cudaError_t gpu_copy(cudaStream_t stream, const struct gpu_spread *s, void *to, const void *from, size_t bytes)
{
    auto *kernel = s->in_flight == 4 ? copy_kernel<4> : s->in_flight == 8 ? copy_kernel<8> : copy_kernel<16>;

    return launch(stream, dim3(s->blocks), dim3(s->threads), 0, false, kernel, (uint4 *)to, (const uint4 *)from,
                  bytes / gpu_tile_bytes(s));
}

template <class T> static cudaError_t fill(cudaStream_t stream, void *to, size_t n, uint32_t seed)
{
    const size_t blocks = (n + FILL_THREADS - 1) / FILL_THREADS;

    return launch(stream, dim3((unsigned)(blocks < FILL_BLOCKS ? blocks : FILL_BLOCKS)), dim3(FILL_THREADS), 0, false,
                  fill_kernel<T>, (T *)to, n, seed);
}

cudaError_t gpu_fill(cudaStream_t stream, void *to, cudaDataType_t type, size_t n, uint32_t seed)
{
    switch (type) {
    case CUDA_R_32F:
        return fill<float>(stream, to, n, seed);
    case CUDA_R_16F:
        return fill<__half>(stream, to, n, seed);
    case CUDA_R_16BF:
        return fill<__nv_bfloat16>(stream, to, n, seed);
    default:
        return cudaErrorInvalidValue;
    }
}

cudaError_t gpu_nothing(cudaStream_t stream, bool follows, uint32_t *count)
{
    return launch(stream, dim3(1), dim3(1), 0, follows, nothing_kernel, count);
}
