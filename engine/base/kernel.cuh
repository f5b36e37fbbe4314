/* SPDX-License-Identifier: MIT
 * How kernels are started, and how they follow one another: for the kernels of every room that has some. Compiled by nvcc for a
 * GPU; with CUDA_EMU by a C++ compiler, CUDA's words then being those of tests/emu/cuda_emu.h, so that the same kernels run on
 * a CPU. Part of the plug-in alone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef CUDA_EMU
#include "cuda_emu.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

enum {
    SHARED_DEFAULT = 48 << 10, /* more must be asked for */
    SHARED_MOST = 99 << 10,    /* what every GPU from compute capability 8.0 on allows */
};

/* The one way to start a kernel. follows: it may begin while the kernel before it in the stream still runs, which it waits for
 * with pdl_wait() before it reads or writes anything that others touch; every kernel that calls pdl_wait may follow. */
template <class... P, class... A>
static cudaError_t launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared, bool follows, void (*kernel)(P...),
                          A... args)
{
    cudaLaunchAttribute overlap = {};
    cudaLaunchConfig_t config = {};

    /* Always the most, whatever this launch takes: the bound is the kernel's, so that a smaller one would also bind the larger
     * launches of it that graphs have recorded. */
    if (shared > SHARED_DEFAULT) {
        cudaError_t code = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_MOST);
        if (code != cudaSuccess)
            return code;
    }
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

/* True where kernels may follow one another so: compute capability 9.0 and above. */
static inline bool may_follow()
{
    int device = 0, major = 0;

    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major >= 9;
}

#ifndef CUDA_EMU
/* Waits until the kernel before this one has ended and its memory is seen; nothing without `follows`. */
__device__ __forceinline__ void pdl_wait()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Lets the kernel that follows begin its part before pdl_wait. */
__device__ __forceinline__ void pdl_let_next_begin()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}
#endif
