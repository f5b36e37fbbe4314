/* SPDX-License-Identifier: MIT
 * Arithmetic in registers and nothing beside it: chains that the compiler can neither shorten nor fold, for it knows neither
 * factor nor summand. */
#include "gpu_known_kernels.h"

#include "kernel.cuh"

enum { WARP = 32 };

#ifdef CUDA_EMU
static __half2 fma_pair(__half2 x, __half2 a, __half2 b)
{
    const float2 v = __half22float2(x), f = __half22float2(a), s = __half22float2(b);

    return __floats2half2_rn(v.x * f.x + s.x, v.y * f.y + s.y);
}
#else
__device__ __forceinline__ __half2 fma_pair(__half2 x, __half2 a, __half2 b)
{
    return __hfma2(x, a, b);
}

template <class T> __device__ void mma_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
#define MMA_16816(type, word)                                                                                                  \
    template <> __device__ __forceinline__ void mma_16816<type>(float(&d)[4], const uint32_t(&a)[4], const uint32_t(&b)[2])    \
    {                                                                                                                          \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." word "." word ".f32 "                                            \
                     "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                                         \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                          \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                                      \
    }
MMA_16816(__half, "f16")
MMA_16816(__nv_bfloat16, "bf16")
#endif

__global__ void fma_f32_kernel(float *out, float a, float b, int rounds)
{
    float x[KNOWN_CHAINS], sum = 0;

#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        x[c] = (float)((int)threadIdx.x + c);
    for (int i = 0; i < rounds; i++)
#pragma unroll
        for (int c = 0; c < KNOWN_CHAINS; c++)
            x[c] = fmaf(x[c], a, b);
#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        sum += x[c];
    out[(size_t)blockIdx.x * KNOWN_THREADS + threadIdx.x] = sum;
}

__global__ void fma_f16_kernel(float *out, float a, float b, int rounds)
{
    const __half2 factor = __float2half2_rn(a), summand = __float2half2_rn(b);
    __half2 x[KNOWN_CHAINS];
    float sum = 0;

#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        x[c] = __float2half2_rn((float)((int)threadIdx.x + c));
    for (int i = 0; i < rounds; i++)
#pragma unroll
        for (int c = 0; c < KNOWN_CHAINS; c++)
            x[c] = fma_pair(x[c], factor, summand);
#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        sum += __low2float(x[c]) + __high2float(x[c]);
    out[(size_t)blockIdx.x * KNOWN_THREADS + threadIdx.x] = sum;
}

__device__ __forceinline__ uint32_t two_of(float a, __half)
{
    const __half h = __float2half_rn(a);
    uint16_t bits;

    memcpy(&bits, &h, sizeof bits);
    return (uint32_t)bits << 16 | bits;
}

__device__ __forceinline__ uint32_t two_of(float a, __nv_bfloat16)
{
    const __nv_bfloat16 h = __float2bfloat16_rn(a);
    uint16_t bits;

    memcpy(&bits, &h, sizeof bits);
    return (uint32_t)bits << 16 | bits;
}

template <class T> __global__ void mma_kernel(float *out, float a, int rounds)
{
    const uint32_t full = two_of(a, T());
    const uint32_t left[4] = {full, full, full, full}, right[2] = {full, full};
    float d[KNOWN_CHAINS][4], sum = 0;

#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        d[c][0] = d[c][1] = d[c][2] = d[c][3] = 0;
    for (int i = 0; i < rounds; i++)
#pragma unroll
        for (int c = 0; c < KNOWN_CHAINS; c++)
            mma_16816<T>(d[c], left, right);
#pragma unroll
    for (int c = 0; c < KNOWN_CHAINS; c++)
        sum += d[c][0];
    out[(size_t)blockIdx.x * KNOWN_THREADS + threadIdx.x] = sum;
}

extern "C" cudaError_t known_fma_f32(cudaStream_t stream, float *out, float a, float b, int rounds, int blocks)
{
    return launch(stream, dim3((unsigned)blocks), dim3(KNOWN_THREADS), 0, false, fma_f32_kernel, out, a, b, rounds);
}

extern "C" cudaError_t known_fma_f16(cudaStream_t stream, float *out, float a, float b, int rounds, int blocks)
{
    return launch(stream, dim3((unsigned)blocks), dim3(KNOWN_THREADS), 0, false, fma_f16_kernel, out, a, b, rounds);
}

extern "C" cudaError_t known_mma_f16(cudaStream_t stream, float *out, float a, int rounds, int blocks)
{
    return launch(stream, dim3((unsigned)blocks), dim3(KNOWN_THREADS), 0, false, mma_kernel<__half>, out, a, rounds);
}

extern "C" cudaError_t known_mma_bf16(cudaStream_t stream, float *out, float a, int rounds, int blocks)
{
    return launch(stream, dim3((unsigned)blocks), dim3(KNOWN_THREADS), 0, false, mma_kernel<__nv_bfloat16>, out, a, rounds);
}
