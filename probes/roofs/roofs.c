/* SPDX-License-Identifier: MIT
 * The roofs of a run: a few jobs, each with a budget; the best repetition over all variants of the kernel is the roof. Kept
 * between rounds: the memory. Non-temporal stores have no read-for-ownership, and usually win copy and triad. A GPU's are the
 * plug-in's business; the table at the bottom is of both. */
#include "roofs.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "gpu.h"
#include "jobs.h"
#include "team.h"
#include "text.h"

enum {
    LEAST_REPETITIONS = 3,
    LEAST_BYTES = 32 << 20, /* of a repetition: a millisecond or so, long enough to be timed */
    BESIDE_MOST = 16,       /* objects that are open at a time, one for each number of threads */
    MEMORY_SHARE = 3,       /* of the machine, for all of them */
};

struct roofs {
    int budget_ms;
    const struct gpu_plugin *gpu; /* whose roofs these are, with what it needs for them; NULL: the CPU's, from here on */
    void *on_gpu;
    int threads;
    enum isa isa;
    struct caches caches;
    struct roof_area area;
};

/* Plans: a roof's jobs, 2 * ROOF_VARIANTS at most, whose best is the roof; how many, or ERR_ABSENT with the reason. */

static int plan_stream(const struct roofs *r, enum roof_op op, enum roof_level level, struct roof_job *job, struct err *e)
{
    const size_t set = roof_set_bytes(level, &r->caches, r->threads, r->area.part_bytes);
    int n = jobs_stream(job, kernels_of(r->isa), op, false, set, LEAST_BYTES);

    /* Reading has no stores to bypass the caches with, and fills the variants alone. */
    if (op != ROOF_READ)
        n += jobs_stream(job + n, kernels_of(r->isa), op, true, set, LEAST_BYTES);
    return n > 0 ? n : err_set(e, ERR_ABSENT, "no room for %d threads in a cache of that level", r->threads);
}

static int plan_arithmetic(const struct roofs *r, const char *dtype, struct roof_job *job, struct err *e)
{
    const int code = job_compute(job, r->isa, dtype, kernels_of(r->isa)->bits, e);

    return code < 0 ? code : 1;
}

static int plan_fma(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_arithmetic(r, "f32", job, e);
}

static int plan_gemm(const struct roofs *r, struct roof_job *job, struct err *e)
{
    (void)r, (void)e;
    return jobs_product(job);
}

static int plan_bf16(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_arithmetic(r, "bf16", job, e);
}

static int plan_int8(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_arithmetic(r, "int8", job, e);
}

static int plan_dram_read(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_READ, ROOF_DRAM, job, e);
}

static int plan_copy(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_COPY, ROOF_DRAM, job, e);
}

static int plan_triad(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_TRIAD, ROOF_DRAM, job, e);
}

static int plan_l1(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_READ, ROOF_L1, job, e);
}

static int plan_l2(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_READ, ROOF_L2, job, e);
}

static int plan_l3(const struct roofs *r, struct roof_job *job, struct err *e)
{
    return plan_stream(r, ROOF_READ, ROOF_L3, job, e);
}

static void describe(const struct roofs *r, const struct roof_job *job, char *how, size_t size)
{
    char bytes[16];
    int n = snprintf(how, size, "%s, %d thread%s, ", isa_name(r->isa), r->threads, r->threads == 1 ? "" : "s");
    char *rest = how + n;

    size -= (size_t)n;
    if (job->compute)
        snprintf(rest, size, "12 chains of %s on vectors of %d bits", job->compute->how, job->compute->bits);
    else if (job->rows)
        snprintf(rest, size, "OpenBLAS %d x %d x %d each", job->rows, job->rows, job->rows);
    else
        snprintf(rest, size, "%s each, %s", text_bytes(bytes, sizeof bytes, (double)job->bytes * roof_arrays(job->stream->op)),
                 job->stream->how);
}

/* In the order of roof_specs; NULL: no roof of a CPU. */
static int (*const plans[])(const struct roofs *r, struct roof_job *job, struct err *e) = {
    plan_fma,  plan_gemm,  NULL,    NULL,    NULL,    plan_bf16, plan_int8, plan_dram_read,
    plan_copy, plan_triad, plan_l1, plan_l2, plan_l3, NULL,      NULL,
};

/* The variants take turns until the budget is spent, so that what else happens on the machine hits them alike. */
static int measure_on_cpu(struct roofs *r, int index, struct roof *out, struct err *e)
{
    struct roof_job job[2 * ROOF_VARIANTS];
    const int variants = plans[index](r, job, e);
    int done = 0;

    if (variants < 0)
        return variants;
    *out = (struct roof){.spec = &roof_specs[index]};
    const uint64_t deadline = clock_ns() + (uint64_t)r->budget_ms * 1000000;
    for (; done < LEAST_REPETITIONS || done < variants || clock_ns() < deadline; done++) {
        const struct roof_job *this = &job[done % variants];
        uint64_t ns = job_run(this, &r->area, r->threads);
        double work = this->work * r->threads;
        double value = work / (double)ns * 1e9;
        if (value <= out->value)
            continue;
        out->value = value;
        out->work = work;
        out->wall_ns = ns;
        describe(r, this, out->how, sizeof out->how);
    }
    out->repetitions = done;
    return 0;
}

int roofs_measure(struct roofs *r, int index, struct roof *out, struct err *e)
{
    int code;

    if (index < 0 || index >= roof_count)
        return err_set(e, ERR_USAGE, "roof %d: there are %d", index, roof_count);
    if (!(roof_specs[index].of & (r->gpu ? ROOF_OF_GPU : ROOF_OF_CPU)))
        code = err_set(e, ERR_ABSENT, "a %s has no such roof", r->gpu ? "GPU" : "CPU");
    else if (r->gpu)
        code = r->gpu->roofs_measure(r->on_gpu, &roof_specs[index], r->budget_ms, out, e);
    else
        code = measure_on_cpu(r, index, out, e);
    if (code < 0)
        err_wrap(e, "%s", roof_specs[index].name);
    return code;
}

static int open_on_gpu(struct roofs *r, int device, struct err *e)
{
    const struct gpu_plugin *gpu = gpu_plugin(e);

    if (!gpu)
        return ERR_ABSENT;
    const int code = gpu->roofs_open(&r->on_gpu, device, e);
    if (code == 0)
        r->gpu = gpu;
    return code;
}

static int open_on_cpu(struct roofs *r, int threads, struct err *e)
{
    const int team = team_size(); /* not what the pinned main thread may use: its CPU mask says 1 */

    if (threads < 1 || threads > team)
        return err_set(e, ERR_USAGE, "roofs of %d threads: the team has %d", threads, team);
    r->threads = threads;
    const int code = isa_choose(&r->isa, e);
    if (code < 0)
        return code;
    caches_find(&r->caches);
    openblas_set_num_threads(1); /* each worker calls it for itself */
    const size_t part = roof_part_bytes(&r->caches, threads, MEMORY_SHARE * (team < BESIDE_MOST ? team : BESIDE_MOST));
    return area_open(&r->area, ROOF_PAGES_HUGE, threads, part, part, e);
}

int roofs_open(struct roofs **out, int device, int threads, int budget_ms, struct err *e)
{
    if (budget_ms < 1)
        return err_set(e, ERR_USAGE, "roofs: a budget of %d ms: at least 1 is needed", budget_ms);
    struct roofs *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "roofs: out of memory");
    r->budget_ms = budget_ms;
    const int code = device >= 0 ? open_on_gpu(r, device, e) : open_on_cpu(r, threads, e);
    if (code < 0)
        roofs_close(r);
    else
        *out = r;
    return code;
}

void roofs_close(struct roofs *r)
{
    if (!r)
        return;
    if (r->gpu)
        r->gpu->roofs_close(r->on_gpu);
    area_close(&r->area);
    free(r);
}

enum { OF_BOTH = ROOF_OF_CPU | ROOF_OF_GPU };

const struct roof_spec roof_specs[] = {
    {"f32 fma", ROOF_COMPUTE, "registers", ROOF_OF_CPU, "single-precision multiply-adds on registers alone", true},
    {"f32 gemm", ROOF_COMPUTE, "registers", OF_BOTH, "the best single-precision matrix product of the library", true},
    {"tf32 gemm", ROOF_COMPUTE, "registers", ROOF_OF_GPU, "the same with its inputs rounded to 19 bits for the tensor cores",
     false},
    {"f16 gemm", ROOF_COMPUTE, "registers", ROOF_OF_GPU, "the best product of half-precision matrices, summed in single",
     false},
    {"bf16 gemm", ROOF_COMPUTE, "registers", ROOF_OF_GPU, "the best product of bfloat16 matrices, summed in single", false},
    {"bf16 dot", ROOF_COMPUTE, "registers", ROOF_OF_CPU,
     "dot products of bfloat16, summed in single precision, on registers alone", false},
    {"int8 dot", ROOF_COMPUTE, "registers", ROOF_OF_CPU,
     "dot products of 8-bit integers, summed in 32 bits, on registers alone", false},
    {"dram read", ROOF_BANDWIDTH, "dram", OF_BOTH, "reading memory; the roof of decoding", true},
    {"dram copy", ROOF_BANDWIDTH, "dram", OF_BOTH, "a = b: bytes read and written", false},
    {"dram triad", ROOF_BANDWIDTH, "dram", ROOF_OF_CPU, "a = b + s c: bytes read and written", false},
    {"l1 read", ROOF_BANDWIDTH, "l1", ROOF_OF_CPU, "reading half of the first-level data cache", false},
    {"l2 read", ROOF_BANDWIDTH, "l2", OF_BOTH, "reading a part of the second-level cache", false},
    {"l3 read", ROOF_BANDWIDTH, "l3", ROOF_OF_CPU, "reading a part of the third-level cache, shared by the workers", false},
    {"launch graph", ROOF_LAUNCH, "launch", ROOF_OF_GPU, "kernels that do nothing, one after another in a recorded graph",
     true},
    {"launch eager", ROOF_LAUNCH, "launch", ROOF_OF_GPU, "kernels that do nothing, one after another, a call each", true},
};
const int roof_count = sizeof roof_specs / sizeof roof_specs[0];
_Static_assert(sizeof roof_specs / sizeof roof_specs[0] == sizeof plans / sizeof plans[0], "one plan for each roof");
