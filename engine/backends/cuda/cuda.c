/* SPDX-License-Identifier: MIT
 * The backend's table, as the plug-in shows it to the program, and what opens and describes it. */
#include "cuda_host.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct backend_ops bench_cuda_backend;

static void cuda_close(struct backend *b)
{
    struct cuda *g = (struct cuda *)b;

    if (!g)
        return;
    matmul_close(g->matmul);
    cudaFree(g->weights);
    if (g->stream)
        cudaStreamDestroy(g->stream);
    free(g);
}

static int cuda_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    struct cuda *g = calloc(1, sizeof *g);

    if (!g)
        return err_set(e, ERR_MEMORY, "backend cuda: out of memory");
    g->base.ops = &bench_cuda_backend;
    int code = cuda_device_choose(g, a->device, e);
    if (code == 0)
        code = cuda_answer(g, cudaStreamCreateWithFlags(&g->stream, cudaStreamNonBlocking), "it does not start", e);
    if (code == 0)
        code = matmul_open(&g->matmul, g->stream, e);
    if (code < 0) {
        cuda_close(&g->base);
        return code;
    }
    *out = &g->base;
    return 0;
}

static void cuda_describe(const struct backend *b, char *buf, size_t size)
{
    const struct cuda *g = (const struct cuda *)b;

    snprintf(buf, size, "%s; decode: fused kernels in one graph, prefill: %s and flash attention", g->about,
             matmul_about(g->matmul));
}

static const char *dtype_word(enum dtype d)
{
    return d == DTYPE_BF16 ? "bf16" : d == DTYPE_F16 ? "f16" : "f32";
}

/* Of cublasLt's and the decode kernels' products: inputs in the weights' dtype, sums in float32. */
static const char *cuda_arithmetic(const struct backend *b, enum dtype d)
{
    (void)b;
    return dtype_word(d);
}

const struct backend_ops bench_cuda_backend = {
    .name = "cuda",
    .open = cuda_open,
    .close = cuda_close,
    .prepare = cuda_prepare,
    .synthesize = cuda_synthesize,
    .available = cuda_available,
    .arithmetic = cuda_arithmetic,
    .attention_arithmetic = cuda_arithmetic, /* in the cache's */
    .describe = cuda_describe,
    .marks = &cuda_ranges,
    .together = cuda_together,
    .record = cuda_record,
    .reserve = cuda_reserve,
    .forget = cuda_forget,
    .alloc = cuda_alloc,
    .release = cuda_release,
    .get = cuda_get,
    .put = cuda_put,
    .embed = cuda_embed,
    .qkv = cuda_qkv,
    .attention = cuda_attention,
    .out = cuda_out,
    .mlp = cuda_mlp,
    .head = cuda_head,
    .choose = cuda_choose,
    .sync = cuda_sync,
    .launches = cuda_launches,
    .reorder = cuda_reorder,
};
