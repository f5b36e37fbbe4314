/* SPDX-License-Identifier: MIT
 * What the kernels are written in beside kernel.cuh: conversions, reductions, and the few machine instructions that C++ has no
 * word for. Compiled by nvcc for a GPU; with CUDA_EMU by a C++ compiler, the words below then being those of
 * tests/emu/cuda_emu.h, so that the same kernels run on a CPU and can be held against the reference where there is no GPU.
 * Kernels use nothing that is not here: no inline assembly of their own, no cooperative groups, no waiting for other blocks. */
#pragma once

#include <float.h>
#include <stdint.h>

#include "kernel.cuh"

#ifdef CUDA_EMU
using std::max;
using std::min;
#else
#define EXTERN_SHARED(type, name)                                                                                              \
    extern __shared__ __align__(16) char name##_bytes[];                                                                       \
    type *name = (type *)name##_bytes

/* Asks for the line to be brought into L2: no register waits for it, and no block stays for it, as one does for a bulk
 * prefetch. */
__device__ __forceinline__ void prefetch_l2(const void *p)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/* 16 bytes that are read once: past L1. */
__device__ __forceinline__ uint4 load_stream(const void *p)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

/* 2^x to two units in the last place, 0 where that is subnormal: one instruction. */
__device__ __forceinline__ float exp2_approx(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* d[16 x 8] += a[16 x 16] b[16 x 8], fragments as the PTX manual lays them out (mma.m16n8k16, row.col). T: what a and b hold.
 */
template <class T> __device__ __forceinline__ void mma_16816(float d[4], const uint32_t a[4], const uint32_t b[2]);
template <> __device__ __forceinline__ void mma_16816<__nv_bfloat16>(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <> __device__ __forceinline__ void mma_16816<__half>(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Four 8 x 8 matrices of 16-bit elements out of shared memory: lane 8 i + j gives the address of row j of matrix i; r[i] is
 * elements 2 (lane % 4) and the next of row lane / 4 of matrix i, or of its column with _trans. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* 16 bytes from global to shared memory in the background; zeros where not valid (the address is then not read). */
__device__ __forceinline__ void copy_async16(void *shared, const void *global, bool valid)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(valid ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copy_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int LEFT> __device__ __forceinline__ void copy_async_wait() /* until at most LEFT groups are under way */
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
#endif

/* What the device that the calling thread uses has of something; 1 where it does not say. */
static inline int device_has(enum cudaDeviceAttr what)
{
    int device = 0, n = 0;

    return cudaGetDevice(&device) == cudaSuccess && cudaDeviceGetAttribute(&n, what, device) == cudaSuccess && n > 0 ? n : 1;
}

static inline int multiprocessors()
{
    return device_has(cudaDevAttrMultiProcessorCount);
}

enum { LINE = 128 }; /* bytes that L2 fetches together */

/* --- reductions ----------------------------------------------------------------------------------------------------------- */

enum { WARP = 32 };

__device__ __forceinline__ float warp_sum(float v)
{
    for (int m = WARP / 2; m; m >>= 1)
        v += __shfl_xor_sync(0xffffffffu, v, m);
    return v;
}

__device__ __forceinline__ float warp_max(float v)
{
    for (int m = WARP / 2; m; m >>= 1)
        v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, m));
    return v;
}

/* N sums over the block, for every thread; buf: N floats a warp, free to use again afterwards. */
template <int N> __device__ __forceinline__ void block_sums(float (&v)[N], float *buf)
{
    int warps = blockDim.x / WARP;

#pragma unroll
    for (int n = 0; n < N; n++) {
        v[n] = warp_sum(v[n]);
        if (threadIdx.x % WARP == 0)
            buf[n * warps + threadIdx.x / WARP] = v[n];
    }
    __syncthreads();
#pragma unroll
    for (int n = 0; n < N; n++) {
        v[n] = 0;
        for (int i = 0; i < warps; i++)
            v[n] += buf[n * warps + i];
    }
    __syncthreads();
}

/* N sums over the warp, N a power of two up to 32: lane l gets that of v[l % N]. Each step halves what a lane still adds, so
 * that all of them cost little more than one. */
template <int N, int LEFT = N> __device__ __forceinline__ float lane_sums(float (&v)[N])
{
    if constexpr (LEFT > 1) {
        bool upper = threadIdx.x & (LEFT / 2);
#pragma unroll
        for (int i = 0; i < LEFT / 2; i++) {
            float give = upper ? v[i] : v[i + LEFT / 2], keep = upper ? v[i + LEFT / 2] : v[i];
            v[i] = keep + __shfl_xor_sync(0xffffffffu, give, LEFT / 2);
        }
        return lane_sums<N, LEFT / 2>(v);
    } else if constexpr (N < WARP) {
        for (int m = N; m < WARP; m *= 2)
            v[0] += __shfl_xor_sync(0xffffffffu, v[0], m);
    }
    return v[0];
}

/* --- element types -------------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ float to_float(float v)
{
    return v;
}
__device__ __forceinline__ float to_float(__half v)
{
    return __half2float(v);
}
__device__ __forceinline__ float to_float(__nv_bfloat16 v)
{
    return __bfloat162float(v);
}

template <class T> __device__ __forceinline__ T from_float(float v);
template <> __device__ __forceinline__ float from_float<float>(float v)
{
    return v;
}
template <> __device__ __forceinline__ __half from_float<__half>(float v)
{
    return __float2half_rn(v);
}
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float v)
{
    return __float2bfloat16_rn(v);
}

/* The elements of 16 bytes. */
template <class T> struct pack16 {
    enum { N = 16 / sizeof(T) };
    union {
        uint4 raw;
        T at[N];
    };
    __device__ __forceinline__ pack16()
    {
    }
};

/* Four elements at an address that is a multiple of their size. */
template <class T> __device__ __forceinline__ float4 load_four(const void *p)
{
    union {
        uint2 raw;
        T at[4];
    } v;
    v.raw = *(const uint2 *)p;
    return float4{to_float(v.at[0]), to_float(v.at[1]), to_float(v.at[2]), to_float(v.at[3])};
}
template <> __device__ __forceinline__ float4 load_four<float>(const void *p)
{
    return *(const float4 *)p;
}

template <class T> __device__ __forceinline__ void store_four(void *p, float4 v)
{
    union {
        uint2 raw;
        T at[4];
    } w;
    w.at[0] = from_float<T>(v.x), w.at[1] = from_float<T>(v.y), w.at[2] = from_float<T>(v.z), w.at[3] = from_float<T>(v.w);
    *(uint2 *)p = w.raw;
}
template <> __device__ __forceinline__ void store_four<float>(void *p, float4 v)
{
    *(float4 *)p = v;
}

/* Element i of what has a dtype that the kernel is told, where a template for each would only be more code. */
__device__ __forceinline__ float load_as(int dtype, const void *p, size_t i)
{
    return dtype == 0   ? ((const float *)p)[i]
           : dtype == 1 ? to_float(((const __half *)p)[i])
                        : to_float(((const __nv_bfloat16 *)p)[i]);
}

__device__ __forceinline__ void store_as(int dtype, void *p, size_t i, float v)
{
    if (dtype == 0)
        ((float *)p)[i] = v;
    else if (dtype == 1)
        ((__half *)p)[i] = from_float<__half>(v);
    else
        ((__nv_bfloat16 *)p)[i] = from_float<__nv_bfloat16>(v);
}

/* Elements i to i + 3, likewise. */
__device__ __forceinline__ void store_four_as(int dtype, void *p, size_t i, float4 v)
{
    if (dtype == 0)
        store_four<float>((float *)p + i, v);
    else if (dtype == 1)
        store_four<__half>((__half *)p + i, v);
    else
        store_four<__nv_bfloat16>((__nv_bfloat16 *)p + i, v);
}

/* The dtype's number of a type. */
template <class T> __device__ __forceinline__ constexpr int type_of();
template <> __device__ __forceinline__ constexpr int type_of<float>()
{
    return 0;
}
template <> __device__ __forceinline__ constexpr int type_of<__half>()
{
    return 1;
}
template <> __device__ __forceinline__ constexpr int type_of<__nv_bfloat16>()
{
    return 2;
}

/* Calls f with an element of the type that the dtype names, so that a launcher picks its template: with_type(d, [&](auto t) {
 * ... }). Other dtypes are refused. */
template <class F> static cudaError_t with_type(int dtype, F f)
{
    switch (dtype) {
    case 0: /* DTYPE_F32 */
        return f(float());
    case 1: /* DTYPE_F16 */
        return f(__half());
    case 2: /* DTYPE_BF16 */
        return f(__nv_bfloat16());
    default:
        return cudaErrorInvalidValue;
    }
}
