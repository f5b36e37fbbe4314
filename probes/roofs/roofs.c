/* SPDX-License-Identifier: MIT
 * The driver of the roofs: every worker of the team runs the same kernel on its own part of memory, starting together; the time
 * is from the first start to the last end, and the best repetition over all variants of the kernel is the roof.
 *
 * Outside the window: allocation, first touch (by the worker that will read), random data, the choice of sizes. Kept between
 * rounds: the memory. Bytes of copy and triad are those the program names, read and written; what a plain store reads to own
 * its line is not counted (non-temporal stores have no such traffic, and usually win). */
#include "roofs.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caches.h"
#include "clock.h"
#include "isa.h"
#include "kernels.h"
#include "pages.h"
#include "text.h"

enum {
    LEAST_REPETITIONS = 3,
    VARIANTS_MAX = 4,
    GEMM_MAX = 1024,
    LEAST_PART = 16 << 20, /* of a worker: two matrices in the half that is never written, the product in the other */
};

struct roof_worker {
    _Alignas(128) float *part;
    uint64_t start_ns, end_ns;
    double sink; /* results end here, so that they must be computed */
};

struct roofs {
    int threads, budget_ms;
    enum isa isa;
    const struct roof_kernels *kernels;
    struct caches caches;
    size_t part_bytes; /* of memory, each worker */
    struct roof_worker *worker;
};

/* What a repetition does, the same on every worker. */
struct roof_job {
    void (*run)(const struct roofs *r, struct roof_worker *me, const struct roof_job *job);
    int variant;
    size_t bytes; /* bandwidth: the working set of a worker */
    long passes;
    double work; /* of one worker */
};

static void run_fma(const struct roofs *r, struct roof_worker *me, const struct roof_job *job)
{
    me->sink += (double)r->kernels->fma(job->passes);
}

static void run_gemm(const struct roofs *r, struct roof_worker *me, const struct roof_job *job)
{
    const int n = (int)job->bytes; /* rows, columns and depth */
    const float *a = me->part + r->part_bytes / sizeof(float) / 2, *b = a + (size_t)GEMM_MAX * GEMM_MAX;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, a, n, b, n, 0.0f, me->part, n);
}

static void run_read(const struct roofs *r, struct roof_worker *me, const struct roof_job *job)
{
    me->sink += (double)r->kernels->read[job->variant].run(me->part, job->bytes, job->passes);
}

static void run_copy(const struct roofs *r, struct roof_worker *me, const struct roof_job *job)
{
    r->kernels->write[job->variant].copy(me->part, me->part + job->bytes / sizeof(float), job->bytes);
}

static void run_triad(const struct roofs *r, struct roof_worker *me, const struct roof_job *job)
{
    const size_t n = job->bytes / sizeof(float);

    r->kernels->write[job->variant].triad(me->part, me->part + n, me->part + 2 * n, job->bytes);
}

/* --- what each roof consists of: fills job for the variant; false when there is none (no variant 0: no such level) ------ */

static bool plan_fma(const struct roofs *r, int variant, struct roof_job *job)
{
    *job = (struct roof_job){.run = run_fma, .passes = 200000};
    job->work = r->kernels->fma_flops * (double)job->passes;
    return variant == 0;
}

static const int gemm_sizes[] = {512, 768, GEMM_MAX};

static bool plan_gemm(const struct roofs *r, int variant, struct roof_job *job)
{
    (void)r;
    if (variant >= (int)(sizeof gemm_sizes / sizeof gemm_sizes[0]))
        return false;
    double n = gemm_sizes[variant];
    *job = (struct roof_job){.run = run_gemm, .bytes = (size_t)n, .work = 2 * n * n * n};
    return true;
}

/* Small sets are passed over until the repetition is long enough (a millisecond or so) to be timed. */
static bool plan_read(size_t set, int variant, struct roof_job *job)
{
    const size_t least = (size_t)32 << 20;

    set = set / ROOF_BLOCK * ROOF_BLOCK;
    if (variant >= ROOF_READS || set == 0)
        return false;
    *job = (struct roof_job){.run = run_read, .bytes = set, .passes = set < least ? (long)(least / set) : 1};
    job->work = (double)set * (double)job->passes;
    return true;
}

static bool plan_l1(const struct roofs *r, int variant, struct roof_job *job)
{
    return plan_read(r->caches.l1 / 2, variant, job);
}

static bool plan_l2(const struct roofs *r, int variant, struct roof_job *job)
{
    return plan_read(r->caches.l2 / 2, variant, job);
}

/* A quarter of the cache, shared by the workers; but more than L2 holds, or L2 would be what is measured. */
static size_t l3_set(const struct roofs *r)
{
    const size_t sharers = (size_t)(r->threads < r->caches.l3_cores ? r->threads : r->caches.l3_cores);

    if (r->caches.l3 == 0 || sharers == 0)
        return 0;
    size_t set = r->caches.l3 / 4 / sharers;
    set = set < 2 * r->caches.l2 ? 2 * r->caches.l2 : set;
    return set * sharers <= r->caches.l3 * 3 / 4 && set <= r->part_bytes ? set : 0;
}

static bool plan_l3(const struct roofs *r, int variant, struct roof_job *job)
{
    return plan_read(l3_set(r), variant, job);
}

static bool plan_dram_read(const struct roofs *r, int variant, struct roof_job *job)
{
    return plan_read(r->part_bytes, variant, job);
}

static bool plan_write(const struct roofs *r, int variant, int arrays, struct roof_job *job)
{
    if (variant >= ROOF_WRITES || !r->kernels->write[variant].name)
        return false;
    *job = (struct roof_job){.bytes = r->part_bytes / (size_t)arrays / ROOF_BLOCK * ROOF_BLOCK};
    job->work = (double)job->bytes * arrays;
    return true;
}

static bool plan_copy(const struct roofs *r, int variant, struct roof_job *job)
{
    bool more = plan_write(r, variant, 2, job);

    job->run = run_copy;
    return more;
}

static bool plan_triad(const struct roofs *r, int variant, struct roof_job *job)
{
    bool more = plan_write(r, variant, 3, job);

    job->run = run_triad;
    return more;
}

/* --- measuring -------------------------------------------------------------------------------------------------------------
 */

static uint64_t run_once(struct roofs *r, struct roof_job *job)
{
    uint64_t start = UINT64_MAX, end = 0;

#pragma omp parallel num_threads(r->threads)
    {
        struct roof_worker *me = &r->worker[omp_get_thread_num()];
#pragma omp barrier
        me->start_ns = clock_ns();
        job->run(r, me, job);
        me->end_ns = clock_ns();
    }
    for (int t = 0; t < r->threads; t++) {
        start = r->worker[t].start_ns < start ? r->worker[t].start_ns : start;
        end = r->worker[t].end_ns > end ? r->worker[t].end_ns : end;
    }
    return end > start ? end - start : 1;
}

static void describe(const struct roofs *r, const struct roof_job *job, char *how, size_t size)
{
    char bytes[16];
    int n = snprintf(how, size, "%s, %d thread%s, ", isa_name(r->isa), r->threads, r->threads == 1 ? "" : "s");
    char *rest = how + n;

    size -= (size_t)n;
    if (job->run == run_fma)
        snprintf(rest, size, "%s in registers", r->isa == ISA_BASE ? "multiply and add" : "12 chains of FMA");
    else if (job->run == run_gemm)
        snprintf(rest, size, "OpenBLAS %zu x %zu x %zu each", job->bytes, job->bytes, job->bytes);
    else if (job->run == run_read)
        snprintf(rest, size, "%s each, %s", text_bytes(bytes, sizeof bytes, (double)job->bytes),
                 r->kernels->read[job->variant].name);
    else
        snprintf(rest, size, "%s each, %s", text_bytes(bytes, sizeof bytes, job->work), r->kernels->write[job->variant].name);
}

/* In the order of roof_specs. */
static bool (*const plans[])(const struct roofs *r, int variant, struct roof_job *job) = {
    plan_fma, plan_gemm, plan_dram_read, plan_copy, plan_triad, plan_l1, plan_l2, plan_l3,
};

/* The variants take turns until the budget is spent, so that what else happens on the machine hits them alike. */
int roofs_measure(struct roofs *r, int index, struct roof *out, struct err *e)
{
    struct roof_job job[VARIANTS_MAX];
    int variants = 0, done = 0;

    if (index < 0 || index >= roof_count)
        return err_set(e, ERR_USAGE, "roof %d: there are %d", index, roof_count);
    for (; variants < VARIANTS_MAX && plans[index](r, variants, &job[variants]); variants++)
        job[variants].variant = variants;
    if (variants == 0)
        return err_set(e, ERR_ABSENT, "%s: no room for %d threads in a cache of that level", roof_specs[index].name,
                       r->threads);
    *out = (struct roof){.spec = &roof_specs[index]};
    const uint64_t deadline = clock_ns() + (uint64_t)r->budget_ms * 1000000;
    for (; done < LEAST_REPETITIONS || done < variants || clock_ns() < deadline; done++) {
        struct roof_job *this = &job[done % variants];
        uint64_t ns = run_once(r, this);
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

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

static const struct roof_kernels *const kernels_of[ISA_COUNT] = {
    [ISA_BASE] = &roof_kernels_base,
#if defined(__x86_64__)
    [ISA_AVX2] = &roof_kernels_avx2,
    [ISA_AVX512] = &roof_kernels_avx512,
#endif
};

/* At least four times the last-level caches in all, so that they hold next to nothing of a pass, but never more than a quarter
 * of the memory. */
static size_t part_size(const struct roofs *r)
{
    const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t total = 4 * caches_last_level(&r->caches, r->threads);

    total = total < (size_t)256 << 20 ? (size_t)256 << 20 : total;
    total = total > memory / 4 ? memory / 4 : total;
    size_t part = total / (size_t)r->threads;
    part = part < LEAST_PART ? LEAST_PART : part;
    return part / (2 << 20) * (2 << 20);
}

/* First touch by the worker that will use it. Small random numbers of both signs: products stay finite, and no hardware saves
 * energy on zeros. */
static void fill(float *part, size_t bytes, uint64_t seed)
{
    const size_t block = 64 << 10;
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

    for (size_t i = 0; i < block / sizeof(float); i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        part[i] = (float)(int32_t)(x >> 32) / 2147483648.0f;
    }
    for (size_t at = block; at < bytes; at += block)
        memcpy((char *)part + at, part, block);
}

static int take_memory(struct roofs *r, struct err *e)
{
    r->worker = aligned_alloc(_Alignof(struct roof_worker), (size_t)r->threads * sizeof *r->worker);
    if (!r->worker)
        return err_set(e, ERR_MEMORY, "roofs: out of memory for %d workers", r->threads);
    for (int t = 0; t < r->threads; t++)
        r->worker[t] = (struct roof_worker){0};
    for (int t = 0; t < r->threads; t++) {
        r->worker[t].part = pages_alloc(r->part_bytes, e);
        if (!r->worker[t].part)
            return err_wrap(e, "roofs");
    }
#pragma omp parallel num_threads(r->threads)
    {
        int t = omp_get_thread_num();
        fill(r->worker[t].part, r->part_bytes, (uint64_t)t + 1);
    }
    return 0;
}

int roofs_open(struct roofs **out, int threads, int budget_ms, struct err *e)
{
    struct roofs *r = NULL;
    int code;

    /* The started team's size; the pinned main thread's own CPU mask would say 1. */
    if (threads < 1 || threads > omp_get_max_threads())
        return err_set(e, ERR_USAGE, "roofs of %d threads: the team has %d", threads, omp_get_max_threads());
    if (budget_ms < 1)
        return err_set(e, ERR_USAGE, "roofs: a budget of %d ms: at least 1 is needed", budget_ms);
    r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_MEMORY, "roofs: out of memory");
    r->threads = threads;
    r->budget_ms = budget_ms;
    if ((code = isa_choose(&r->isa, e)) < 0)
        goto fail;
    r->kernels = kernels_of[r->isa];
    caches_find(&r->caches);
    r->part_bytes = part_size(r);
    openblas_set_num_threads(1); /* each worker calls it for itself */
    if ((code = take_memory(r, e)) < 0)
        goto fail;
    *out = r;
    return 0;
fail:
    roofs_close(r);
    return code;
}

void roofs_close(struct roofs *r)
{
    if (!r)
        return;
    for (int t = 0; r->worker && t < r->threads; t++)
        pages_free(r->worker[t].part, r->part_bytes);
    free(r->worker);
    free(r);
}

const struct roof_spec roof_specs[] = {
    {"f32 fma", ROOF_COMPUTE, "registers", "single-precision multiply-adds on registers alone", true},
    {"f32 gemm", ROOF_COMPUTE, "registers", "the best single-precision matrix product of the BLAS library", true},
    {"dram read", ROOF_BANDWIDTH, "dram", "reading memory; the roof of decoding", true},
    {"dram copy", ROOF_BANDWIDTH, "dram", "a = b: bytes read and written", false},
    {"dram triad", ROOF_BANDWIDTH, "dram", "a = b + s c: bytes read and written", false},
    {"l1 read", ROOF_BANDWIDTH, "l1", "reading half of the first-level data cache", false},
    {"l2 read", ROOF_BANDWIDTH, "l2", "reading half of the second-level cache", false},
    {"l3 read", ROOF_BANDWIDTH, "l3", "reading a part of the third-level cache, shared by the workers", false},
};
const int roof_count = sizeof roof_specs / sizeof roof_specs[0];
_Static_assert(sizeof roof_specs / sizeof roof_specs[0] == sizeof plans / sizeof plans[0], "one plan for each roof");
