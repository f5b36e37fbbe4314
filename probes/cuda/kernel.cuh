/* SPDX-License-Identifier: MIT
 * What this folder's kernels are written in. Compiled by nvcc for a GPU; with CUDA_EMU by a C++ compiler, the words then being
 * those of tests/emu/cuda_emu.h, so that the same kernels run on a CPU. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef CUDA_EMU
#include "cuda_emu.h"

inline uint4 load_past_l1(const uint4 *p)
{
    return *p;
}
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

/* Starts a kernel. follows: it may begin while the one before it in the stream still runs, which it waits for with pdl_wait();
 * only where the compute capability is 9.0 or more. */
template <class... P, class... A>
static cudaError_t launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared, bool follows, void (*kernel)(P...),
                          A... args)
{
    cudaLaunchAttribute overlap = {};
    cudaLaunchConfig_t config = {};

    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &overlap;
    config.numAttrs = follows ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
}

__device__ __forceinline__ void pdl_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void pdl_let_next_begin()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* From L2 or beyond, each time: the L1 caches of all multiprocessors together may be larger than a part of L2. */
__device__ __forceinline__ uint4 load_past_l1(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
#endif
