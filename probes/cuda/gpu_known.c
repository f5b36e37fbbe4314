/* SPDX-License-Identifier: MIT
 * The works, their memory and their graphs. What is read is several times the L2 cache, so that next to nothing of one round is
 * left for the next; products are of a size that every tile divides, so that nothing is computed for padding. */
#include "gpu_known.h"

#include <cuda_runtime_api.h>
#include <stdlib.h>

#include "gpu_known_kernels.h"
#include "gpu_roof_kernels.h"
#include "square_product.h"

enum {
    WORKS = 8,
    STREAM_BLOCKS = 8, /* a multiprocessor */
    FMA_BLOCKS = 2,
    FMA_ROUNDS = 512, /* so many that constants, which compilers load with arithmetic, do not show */
    MMA_ROUNDS = 4, /* by a block on each multiprocessor: enough for counters that are exact, and short where it is emulated */
    SIDE = 2048,    /* of products; halved while memory is scarce */
    L2_TIMES = 8,
    L2_TIMES_LEAST = 4,
    WORKSPACE = 32 << 20,
};
static const size_t stream_least = (size_t)256 << 20, stream_most = (size_t)1 << 30;
static const struct gpu_spread spread = {.in_flight = 8, .threads = KNOWN_THREADS, .blocks = 0};

struct product {
    struct square_product shape;
    cublasLtMatmulHeuristicResult_t chosen;
};

struct gpu_known {
    cudaStream_t stream;
    int processors, side;
    size_t bytes; /* of either memory */
    char *from, *to;
    cublasLtHandle_t lt;
    void *workspace;
    size_t workspace_bytes;
    struct product bf16, f16;
    cudaGraphExec_t graph[WORKS];
};

static int check(cudaError_t code, const char *what, struct err *e)
{
    return code == cudaSuccess ? 0
                               : err_set(e, ERR_ABSENT, "known work for the counters: %s: %s", what, cudaGetErrorString(code));
}

static int check_lt(cublasStatus_t code, const char *what, struct err *e)
{
    return code == CUBLAS_STATUS_SUCCESS
               ? 0
               : err_set(e, ERR_ABSENT, "known work for the counters: %s: cublasLt error %d", what, (int)code);
}

/* --- the works -------------------------------------------------------------------------------------------------------------
 */

static double fma_count(const struct gpu_known *k)
{
    return (double)FMA_ROUNDS * KNOWN_CHAINS * KNOWN_THREADS * FMA_BLOCKS * k->processors;
}

static double fma_amount(const struct gpu_known *k)
{
    return fma_count(k) * KNOWN_FMA_FLOPS;
}

static double pair_amount(const struct gpu_known *k)
{
    return fma_count(k) * KNOWN_PAIR_FLOPS;
}

static double mma_amount(const struct gpu_known *k)
{
    const int warps = KNOWN_THREADS / 32;

    return (double)MMA_ROUNDS * KNOWN_CHAINS * KNOWN_MMA_FLOPS * warps * k->processors;
}

static double product_amount(const struct gpu_known *k)
{
    return 2.0 * k->side * k->side * k->side;
}

static double stream_amount(const struct gpu_known *k)
{
    return (double)k->bytes;
}

static int run_fma_f32(struct gpu_known *k, struct err *e)
{
    return check(known_fma_f32(k->stream, (float *)k->to, 0.5f, 1.0f, FMA_ROUNDS, FMA_BLOCKS * k->processors), "fma", e);
}

static int run_fma_f16(struct gpu_known *k, struct err *e)
{
    return check(known_fma_f16(k->stream, (float *)k->to, 0.5f, 1.0f, FMA_ROUNDS, FMA_BLOCKS * k->processors), "fma", e);
}

static int run_mma_f16(struct gpu_known *k, struct err *e)
{
    return check(known_mma_f16(k->stream, (float *)k->to, 0.5f, MMA_ROUNDS, k->processors), "mma", e);
}

static int run_mma_bf16(struct gpu_known *k, struct err *e)
{
    return check(known_mma_bf16(k->stream, (float *)k->to, 0.5f, MMA_ROUNDS, k->processors), "mma", e);
}

/* Both factors are the same memory: only how much is computed matters. */
static int run_product(struct gpu_known *k, const struct product *p, struct err *e)
{
    const struct square_operands o = {k->from, k->from, k->to, k->workspace, k->workspace_bytes};

    return check_lt(square_product_run(&p->shape, k->lt, &p->chosen.algo, &o, k->stream), "product", e);
}

static int run_product_f16(struct gpu_known *k, struct err *e)
{
    return run_product(k, &k->f16, e);
}

static int run_product_bf16(struct gpu_known *k, struct err *e)
{
    return run_product(k, &k->bf16, e);
}

static struct gpu_spread spread_of(const struct gpu_known *k)
{
    struct gpu_spread s = spread;

    s.blocks = STREAM_BLOCKS * k->processors;
    return s;
}

static int run_read(struct gpu_known *k, struct err *e)
{
    const struct gpu_spread s = spread_of(k);

    return check(gpu_read(k->stream, &s, (uint32_t *)k->to, k->from, k->bytes, 1), "read", e);
}

static int run_copy(struct gpu_known *k, struct err *e)
{
    const struct gpu_spread s = spread_of(k);

    return check(gpu_copy(k->stream, &s, k->to, k->from, k->bytes), "copy", e);
}

const struct gpu_known_expectation *gpu_known_expects(const struct gpu_known_work *w, enum metric m)
{
    for (int i = 0; i < GPU_KNOWN_EXPECTATIONS && w->expect[i].metric != METRIC_WALL_NS; i++)
        if (w->expect[i].metric == m)
            return &w->expect[i];
    return NULL;
}

int gpu_known_run(struct gpu_known *k, int i, bool as_graph, struct err *e)
{
    return as_graph ? check(cudaGraphLaunch(k->graph[i], k->stream), "graph", e) : gpu_known_works[i].run(k, e);
}

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

static int record(struct gpu_known *k, int i, struct err *e)
{
    cudaGraph_t graph = NULL;
    int code = check(cudaStreamBeginCapture(k->stream, cudaStreamCaptureModeThreadLocal), "capture", e);

    if (code < 0)
        return code;
    code = gpu_known_works[i].run(k, e);
    if (cudaStreamEndCapture(k->stream, &graph) != cudaSuccess && code == 0)
        code = err_set(e, ERR_ABSENT, "known work for the counters: %s cannot be recorded", gpu_known_works[i].name);
    if (code == 0)
        code = check(cudaGraphInstantiate(&k->graph[i], graph, 0), "graph", e);
    if (graph)
        cudaGraphDestroy(graph);
    return code;
}

/* The heuristic's first algorithm. */
static int make_product(struct gpu_known *k, struct product *p, cudaDataType_t type, struct err *e)
{
    int found;
    cublasStatus_t r = square_product_init(&p->shape, type, CUBLAS_COMPUTE_32F, k->side);

    if (r == CUBLAS_STATUS_SUCCESS)
        r = square_product_ask(&p->shape, k->lt, k->workspace_bytes, &p->chosen, 1, &found);
    return check_lt(r, "product", e);
}

static size_t clamp(size_t v, size_t least, size_t most)
{
    return v < least ? least : v > most ? most : v;
}

/* At most a quarter of what is free for either memory: a model may come later. */
static int take_memory(struct gpu_known *k, size_t l2, struct err *e)
{
    const struct gpu_spread s = spread_of(k);
    const size_t tile = gpu_tile_bytes(&s), results = sizeof(float) * KNOWN_THREADS * STREAM_BLOCKS * (size_t)k->processors;
    size_t free_now = 0, total = 0;
    int code = check(cudaMemGetInfo(&free_now, &total), "memory", e);

    if (code < 0)
        return code;
    k->bytes = clamp(L2_TIMES * l2, stream_least, stream_most);
    if (k->bytes > free_now / 4)
        k->bytes = free_now / 4;
    k->bytes = k->bytes / tile * tile;
    for (k->side = SIDE; (size_t)k->side * (size_t)k->side * 2 > k->bytes / 16; k->side /= 2)
        ;
    k->workspace_bytes = k->bytes < WORKSPACE ? k->bytes : WORKSPACE;
    if (k->bytes < L2_TIMES_LEAST * l2 || k->bytes < results)
        return err_set(e, ERR_ABSENT, "only %zu MiB are free on the GPU, too little to check its counters beyond its L2 cache",
                       free_now >> 20);
    if ((code = check(cudaMalloc((void **)&k->from, k->bytes), "memory", e)) < 0 ||
        (code = check(cudaMalloc((void **)&k->to, k->bytes), "memory", e)) < 0 ||
        (code = check(cudaMalloc(&k->workspace, k->workspace_bytes), "memory", e)) < 0)
        return code;
    return check(cudaMemsetAsync(k->from, 0x3c, k->bytes, k->stream), "memory", e);
}

static int prepare(struct gpu_known *k, int device, struct err *e)
{
    int l2 = 0, code;

    if ((code = check(cudaSetDevice(device), "device", e)) < 0 ||
        (code = check(cudaDeviceGetAttribute(&k->processors, cudaDevAttrMultiProcessorCount, device), "device", e)) < 0 ||
        (code = check(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device), "device", e)) < 0 ||
        (code = check(cudaStreamCreateWithFlags(&k->stream, cudaStreamNonBlocking), "stream", e)) < 0)
        return code;
    if ((code = take_memory(k, (size_t)l2, e)) < 0 || (code = check_lt(cublasLtCreate(&k->lt), "library", e)) < 0 ||
        (code = make_product(k, &k->bf16, CUDA_R_16BF, e)) < 0 || (code = make_product(k, &k->f16, CUDA_R_16F, e)) < 0)
        return code;
    for (int i = 0; i < WORKS; i++) /* once by itself: what is loaded lazily cannot be loaded while a stream is recorded */
        if ((code = gpu_known_works[i].run(k, e)) < 0 ||
            (code = check(cudaStreamSynchronize(k->stream), gpu_known_works[i].name, e)) < 0 || (code = record(k, i, e)) < 0)
            return code;
    return 0;
}

void gpu_known_close(struct gpu_known *k)
{
    if (!k)
        return;
    for (int i = 0; i < WORKS; i++)
        if (k->graph[i])
            cudaGraphExecDestroy(k->graph[i]);
    square_product_free(&k->bf16.shape);
    square_product_free(&k->f16.shape);
    if (k->lt)
        cublasLtDestroy(k->lt);
    cudaFree(k->workspace);
    cudaFree(k->to);
    cudaFree(k->from);
    if (k->stream)
        cudaStreamDestroy(k->stream);
    free(k);
}

int gpu_known_open(struct gpu_known **out, int device, struct err *e)
{
    struct gpu_known *k = calloc(1, sizeof *k);

    *out = NULL;
    if (!k)
        return err_set(e, ERR_MEMORY, "known work for the counters: out of memory");
    const int code = prepare(k, device, e);
    if (code < 0) {
        gpu_known_close(k);
        return code;
    }
    *out = k;
    return 0;
}

/* The library's products have arithmetic of their own around them, and single multiply-adds of halves may run on the tensor
 * cores' pipe: neither says anything of the other quantities. */
const struct gpu_known_work gpu_known_works[] = {
    {"f32 fma", run_fma_f32, fma_amount, {{METRIC_FLOPS_F32, 1}, {METRIC_FLOPS_F16, 0}, {METRIC_FLOPS_TENSOR, 0}}},
    {"f16 fma", run_fma_f16, pair_amount, {{METRIC_FLOPS_F16, 1}, {METRIC_FLOPS_F32, 0}}},
    {"bf16 mma", run_mma_bf16, mma_amount, {{METRIC_FLOPS_TENSOR, 1}, {METRIC_FLOPS_F32, 0}}},
    {"f16 mma", run_mma_f16, mma_amount, {{METRIC_FLOPS_TENSOR, 1}, {METRIC_FLOPS_F32, 0}}},
    {"bf16 product", run_product_bf16, product_amount, {{METRIC_FLOPS_TENSOR, 1}}},
    {"f16 product", run_product_f16, product_amount, {{METRIC_FLOPS_TENSOR, 1}}},
    {"read stream", run_read, stream_amount, {{METRIC_DRAM_READ_BYTES, 1}}},
    {"copy", run_copy, stream_amount, {{METRIC_DRAM_READ_BYTES, 1}, {METRIC_DRAM_WRITE_BYTES, 1}}},
};
const int gpu_known_work_count = WORKS;
_Static_assert(sizeof gpu_known_works / sizeof gpu_known_works[0] == WORKS, "a graph for each");
