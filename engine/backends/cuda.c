/* SPDX-License-Identifier: MIT
 * The backend `cuda` as far as it is part of the program: what it is, what it cannot do, and how it is fetched. All else is in
 * the plug-in (backends/cuda/), whose own table an open backend has. */
#include "backend.h"
#include "plugin.h"

static const char *cuda_refuses(enum dtype dtype, enum gemm gemm, enum dtype kv_dtype, enum attention attention)
{
    (void)kv_dtype, (void)attention;
    if (dtype != DTYPE_F32 && dtype != DTYPE_F16 && dtype != DTYPE_BF16)
        return "backend cuda computes with f32, f16 and bf16 weights";
    if (gemm != GEMM_OWN)
        return "backend cuda multiplies by its own kernels and cublasLt; gemm openblas is the CPU's";
    return NULL;
}

static int cuda_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    const struct backend_ops *ops = plugin_symbol(PLUGIN_CUDA, "bench_cuda_backend", e);

    return ops ? ops->open(out, a, e) : err_wrap(e, "backend cuda");
}

const struct backend_ops backend_cuda = {
    .name = "cuda",
    .about = "an NVIDIA GPU: fused decode kernels in one graph, cublasLt and flash attention in prefill",
    .refuses = cuda_refuses,
    .open = cuda_open,
};
