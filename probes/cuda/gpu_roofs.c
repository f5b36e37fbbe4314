/* SPDX-License-Identifier: MIT
 * The roofs of a GPU: a few ways for each, in turn until the budget is spent, timed by events on the stream; the best
 * repetition of the best way is the roof. Memory is taken for one roof at a time and given back. A way that this GPU refuses is
 * left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cuda_probes.h"
#include "gpu_roof_ways.h"
#include "text.h"

enum {
    LEAST_REPETITIONS = 3,
    RUNS_MAX = 1000,
    PAGE = 4096,
    SEED = 0x6770,
    KERNELS = 200, /* of a run of the launch roofs, of which a repetition has several */
};
static const double LEAST_NS = 2e6; /* of a repetition: an event is worth a microsecond or so */
static const size_t STREAM_BYTES = (size_t)4 << 30, LEAST_STREAM = 256 << 10, L2_TIMES = 4;

/* Loads in flight, threads of a block, and blocks of a multiprocessor. */
static const struct gpu_spread spreads[] = {{4, 256, 8}, {4, 512, 16}, {8, 256, 4}, {8, 256, 16}, {8, 512, 2}, {16, 256, 2}};
enum { SPREADS = sizeof spreads / sizeof spreads[0] };

int gpu_check(cudaError_t code, const char *what, struct err *e)
{
    if (code == cudaSuccess)
        return 0;
    (void)cudaGetLastError(); /* or the next launch would be blamed for it */
    const bool absent = code == cudaErrorMemoryAllocation || code == cudaErrorNoKernelImageForDevice;
    return err_set(e, absent ? ERR_ABSENT : ERR_IO, "%s: %s", what, cudaGetErrorString(code));
}

int gpu_take_memory(struct gpu_roofs *r, size_t want, size_t least, struct err *e)
{
    size_t available, all;
    char free_text[16], least_text[16];
    int code = gpu_check(cudaMemGetInfo(&available, &all), "asking for free memory", e);

    if (code < 0)
        return code;
    want = (want + PAGE - 1) / PAGE * PAGE;
    r->bytes = want < available / 2 ? want : available / 2 / PAGE * PAGE;
    if (r->bytes < least)
        return err_set(e, ERR_ABSENT, "%s of the GPU's memory are free, twice %s are needed",
                       text_bytes(free_text, sizeof free_text, (double)available),
                       text_bytes(least_text, sizeof least_text, (double)least));
    return gpu_check(cudaMalloc((void **)&r->memory, r->bytes), "taking memory", e);
}

/* --- streams ---------------------------------------------------------------------------------------------------------------
 */

static int run_read(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    uint32_t *sums = (uint32_t *)(void *)r->memory;
    const size_t room = r->bytes - w->bytes; /* of the sums, before what is read */

    return gpu_check(gpu_read(r->stream, &w->spread, sums, r->memory + room, w->bytes, w->passes), "reading", e);
}

static int run_copy(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    return gpu_check(gpu_copy(r->stream, &w->spread, r->memory, r->memory + r->bytes / 2, w->bytes), "copying", e);
}

static int run_driver_copy(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    return gpu_check(cudaMemcpyAsync(r->memory, r->memory + r->bytes / 2, w->bytes, cudaMemcpyDeviceToDevice, r->stream),
                     "copying", e);
}

static void add_spreads(struct gpu_roofs *r, const struct gpu_way *like)
{
    char bytes[16];

    for (int i = 0; i < SPREADS; i++) {
        struct gpu_way *w = &r->way[r->ways++];
        *w = *like;
        w->spread = spreads[i];
        w->spread.blocks *= r->multiprocessors;
        w->bytes = like->bytes / gpu_tile_bytes(&w->spread) * gpu_tile_bytes(&w->spread);
        w->work = like->work * (double)w->bytes * w->passes;
        snprintf(w->how, sizeof w->how, "16-byte loads, %d in flight, %d blocks of %d threads, %s", w->spread.in_flight,
                 w->spread.blocks, w->spread.threads, text_bytes(bytes, sizeof bytes, (double)w->bytes));
    }
}

/* Bytes for what the threads of any spread add up to, in whole pages. */
static size_t sums_bytes(const struct gpu_roofs *r)
{
    size_t most = 0;

    for (int i = 0; i < SPREADS; i++) {
        const size_t n = (size_t)spreads[i].blocks * (size_t)r->multiprocessors * (size_t)spreads[i].threads;
        most = n > most ? n : most;
    }
    return (most * sizeof(uint32_t) + PAGE - 1) / PAGE * PAGE;
}

static int fill(struct gpu_roofs *r, struct err *e)
{
    return gpu_check(gpu_fill(r->stream, r->memory, CUDA_R_32F, r->bytes / 4, SEED), "filling memory", e);
}

static int ways_of_read(struct gpu_roofs *r, size_t want, size_t least, int passes, struct err *e)
{
    const size_t sums = sums_bytes(r);
    if (want < LEAST_STREAM)
        return err_set(e, ERR_ABSENT, "the cache is not told, or too small");
    int code = gpu_take_memory(r, want + sums, least + sums, e);

    if (code == 0 && (code = fill(r, e)) == 0)
        add_spreads(r, &(struct gpu_way){.run = run_read, .bytes = r->bytes - sums, .passes = passes, .work = 1});
    return code;
}

static int ways_of_dram_read(struct gpu_roofs *r, struct err *e)
{
    return ways_of_read(r, STREAM_BYTES, L2_TIMES * r->l2_bytes, 1, e);
}

/* A third: beside what else is in the cache, and in each half of one that is in two halves. */
static int ways_of_l2_read(struct gpu_roofs *r, struct err *e)
{
    enum { PASSES = 64 };

    return ways_of_read(r, r->l2_bytes / 3, r->l2_bytes / 3, PASSES, e);
}

static int ways_of_dram_copy(struct gpu_roofs *r, struct err *e)
{
    char bytes[16];
    int code = gpu_take_memory(r, STREAM_BYTES, L2_TIMES * r->l2_bytes, e);

    if (code < 0 || (code = fill(r, e)) < 0)
        return code;
    const size_t half = r->bytes / 2;
    add_spreads(r, &(struct gpu_way){.run = run_copy, .bytes = half, .passes = 1, .work = 2});
    struct gpu_way *w = &r->way[r->ways++];
    *w = (struct gpu_way){.run = run_driver_copy, .bytes = half, .work = 2 * (double)half};
    snprintf(w->how, sizeof w->how, "cudaMemcpyAsync, %s", text_bytes(bytes, sizeof bytes, (double)half));
    return 0;
}

/* --- products --------------------------------------------------------------------------------------------------------------
 */

static int ways_of_f32(struct gpu_roofs *r, struct err *e)
{
    return gpu_product_ways(r, (struct gpu_arithmetic){CUDA_R_32F, CUBLAS_COMPUTE_32F}, e);
}

static int ways_of_tf32(struct gpu_roofs *r, struct err *e)
{
    return gpu_product_ways(r, (struct gpu_arithmetic){CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32}, e);
}

static int ways_of_f16(struct gpu_roofs *r, struct err *e)
{
    return gpu_product_ways(r, (struct gpu_arithmetic){CUDA_R_16F, CUBLAS_COMPUTE_32F}, e);
}

static int ways_of_bf16(struct gpu_roofs *r, struct err *e)
{
    return gpu_product_ways(r, (struct gpu_arithmetic){CUDA_R_16BF, CUBLAS_COMPUTE_32F}, e);
}

/* --- launches --------------------------------------------------------------------------------------------------------------
 */

static int give_kernels(struct gpu_roofs *r, int kernels, bool follow, struct err *e)
{
    cudaError_t code = cudaSuccess;

    for (int i = 0; code == cudaSuccess && i < kernels; i++)
        code = gpu_nothing(r->stream, follow && i > 0, NULL);
    return gpu_check(code, "starting a kernel", e);
}

static int run_eager(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    return give_kernels(r, KERNELS, w->follows, e);
}

static int run_graph(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    return gpu_check(cudaGraphLaunch(r->graph[w - r->way], r->stream), "starting a graph", e);
}

static int record_graph(struct gpu_roofs *r, bool follow, cudaGraphExec_t *out, struct err *e)
{
    cudaGraph_t graph = NULL;
    int code = gpu_check(cudaStreamBeginCapture(r->stream, cudaStreamCaptureModeThreadLocal), "recording a graph", e);

    if (code < 0)
        return code;
    code = give_kernels(r, KERNELS, follow, e);
    const cudaError_t end = cudaStreamEndCapture(r->stream, &graph);
    if (code == 0)
        code = gpu_check(end, "recording a graph", e);
    if (code == 0)
        code = gpu_check(cudaGraphInstantiate(out, graph, 0), "making a graph", e);
    if (graph)
        cudaGraphDestroy(graph);
    return code;
}

/* Kernels after one another, and where the GPU can, each beginning while the one before it ends. */
static void add_launches(struct gpu_roofs *r, int (*run)(struct gpu_roofs *, const struct gpu_way *, struct err *),
                         const char *what)
{
    for (int follow = 0; follow <= (r->major >= 9); follow++) {
        struct gpu_way *w = &r->way[r->ways++];
        *w = (struct gpu_way){.run = run, .work = KERNELS, .follows = follow};
        snprintf(w->how, sizeof w->how, "%d kernels of one thread, %s%s", KERNELS, what,
                 follow ? "; each may begin before the last has ended" : "");
    }
}

static int ways_of_eager(struct gpu_roofs *r, struct err *e)
{
    (void)e;
    add_launches(r, run_eager, "a call each");
    return 0;
}

/* Code is loaded when it is first used, which must not be while recording. Drivers that cannot record kernels that overlap have
 * the first way alone. */
static int ways_of_graph(struct gpu_roofs *r, struct err *e)
{
    add_launches(r, run_graph, "in a graph");
    int code = give_kernels(r, 1, false, e);
    if (code == 0)
        code = record_graph(r, false, &r->graph[0], e);
    if (code == 0 && r->ways > 1 && record_graph(r, true, &r->graph[1], NULL) < 0)
        r->ways = 1;
    return code;
}

/* --- measuring -------------------------------------------------------------------------------------------------------------
 */

static int time_runs(struct gpu_roofs *r, const struct gpu_way *w, int runs, double *ns, struct err *e)
{
    float ms = 0;
    int code = gpu_check(cudaEventRecord(r->begin, r->stream), "an event", e);

    for (int i = 0; code == 0 && i < runs; i++)
        code = w->run(r, w, e);
    if (code == 0)
        code = gpu_check(cudaEventRecord(r->end, r->stream), "an event", e);
    if (code == 0)
        code = gpu_check(cudaEventSynchronize(r->end), "waiting for the GPU", e);
    if (code == 0)
        code = gpu_check(cudaEventElapsedTime(&ms, r->begin, r->end), "an event", e);
    *ns = ms > 0 ? (double)ms * 1e6 : 1;
    return code;
}

static int runs_of_repetition(double ns)
{
    return ns >= LEAST_NS ? 1 : ns * RUNS_MAX <= LEAST_NS ? RUNS_MAX : (int)(LEAST_NS / ns) + 1;
}

static void swap_ways(struct gpu_roofs *r, int a, int b)
{
    const struct gpu_way way = r->way[a];
    const cudaGraphExec_t graph = r->graph[a];

    r->way[a] = r->way[b];
    r->graph[a] = r->graph[b];
    r->way[b] = way;
    r->graph[b] = graph;
}

/* Runs each way twice, for the first time loads its code, and finds how many runs a repetition takes. Ways that are refused go.
 */
static int warm_up(struct gpu_roofs *r, struct err *e)
{
    struct err why = {.text = "nobody knows a way to do it on this GPU"};
    int code = ERR_ABSENT, kept = 0;

    for (int i = 0; i < r->ways; i++) {
        double ns;
        code = time_runs(r, &r->way[i], 1, &ns, &why);
        if (code == 0)
            code = time_runs(r, &r->way[i], 1, &ns, &why);
        if (code < 0 && code != ERR_ABSENT)
            break;
        if (code < 0)
            continue;
        r->way[i].runs = runs_of_repetition(ns);
        swap_ways(r, i, kept++);
    }
    if ((code < 0 && code != ERR_ABSENT) || kept == 0)
        return err_set(e, code, "%s", why.text);
    r->ways = kept;
    return 0;
}

static int find_best(struct gpu_roofs *r, int budget_ms, struct roof *out, struct err *e)
{
    const uint64_t deadline = clock_ns() + (uint64_t)budget_ms * 1000000;
    int done = 0;

    for (; done < LEAST_REPETITIONS || done < r->ways || clock_ns() < deadline; done++) {
        const struct gpu_way *w = &r->way[done % r->ways];
        const double work = w->work * w->runs;
        double ns;
        const int code = time_runs(r, w, w->runs, &ns, e);
        if (code < 0)
            return code;
        if (work / (double)(uint64_t)ns * 1e9 <= out->value)
            continue;
        out->wall_ns = (uint64_t)ns;
        out->work = work;
        out->value = work / (double)out->wall_ns * 1e9;
        snprintf(out->how, sizeof out->how, "%s", w->how);
    }
    out->repetitions = done;
    return 0;
}

static void give_back(struct gpu_roofs *r)
{
    cudaStreamSynchronize(r->stream);
    for (int i = 0; i < GPU_WAYS_MAX; i++)
        if (r->graph[i])
            cudaGraphExecDestroy(r->graph[i]);
    memset(r->graph, 0, sizeof r->graph);
    gpu_products_forget(r);
    cudaFree(r->memory);
    r->memory = NULL;
    r->ways = 0;
}

static const struct plan {
    const char *roof;
    int (*ways)(struct gpu_roofs *r, struct err *e); /* fills r->way and what the ways need */
} plans[] = {
    {"f32 gemm", ways_of_f32},    {"tf32 gemm", ways_of_tf32},      {"f16 gemm", ways_of_f16},
    {"bf16 gemm", ways_of_bf16},  {"dram read", ways_of_dram_read}, {"dram copy", ways_of_dram_copy},
    {"l2 read", ways_of_l2_read}, {"launch graph", ways_of_graph},  {"launch eager", ways_of_eager},
};
enum { PLANS = sizeof plans / sizeof plans[0] };

int gpu_roofs_measure(void *roofs, const struct roof_spec *spec, int budget_ms, struct roof *out, struct err *e)
{
    struct gpu_roofs *r = roofs;
    int plan = 0;

    while (plan < PLANS && strcmp(plans[plan].roof, spec->name) != 0)
        plan++;
    if (plan == PLANS)
        return err_set(e, ERR_ABSENT, "a GPU has no such roof");
    *out = (struct roof){.spec = spec};
    int code = gpu_check(cudaSetDevice(r->device), "choosing the GPU", e);
    if (code == 0)
        code = plans[plan].ways(r, e);
    if (code == 0)
        code = warm_up(r, e);
    if (code == 0)
        code = find_best(r, budget_ms, out, e);
    give_back(r);
    return code;
}

int gpu_roofs_open(void **out, int device, struct err *e)
{
    struct gpu_facts facts;
    int code = bench_cuda_probes.facts(device, &facts, e);

    if (code < 0)
        return code;
    struct gpu_roofs *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "roofs of a GPU: out of memory");
    r->device = device;
    r->multiprocessors = facts.sms;
    r->major = facts.major;
    r->l2_bytes = facts.l2_bytes;
    if ((code = gpu_check(cudaSetDevice(device), "choosing the GPU", e)) < 0 ||
        (code = gpu_check(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking), "a stream", e)) < 0 ||
        (code = gpu_check(cudaEventCreate(&r->begin), "an event", e)) < 0 ||
        (code = gpu_check(cudaEventCreate(&r->end), "an event", e)) < 0) {
        gpu_roofs_close(r);
        return code;
    }
    *out = r;
    return 0;
}

void gpu_roofs_close(void *roofs)
{
    struct gpu_roofs *r = roofs;

    cudaSetDevice(r->device);
    if (r->lt)
        cublasLtDestroy(r->lt);
    if (r->end)
        cudaEventDestroy(r->end);
    if (r->begin)
        cudaEventDestroy(r->begin);
    if (r->stream)
        cudaStreamDestroy(r->stream);
    free(r);
}
