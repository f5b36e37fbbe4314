/* SPDX-License-Identifier: MIT
 * Every worker runs the same kernel on its own memory, all starting together. Outside the window: allocation, first touch, the
 * choice of kernels and sizes. Bytes are those the program names; what a plain store reads to own its line is not among them.
 */
#include "jobs.h"

#include <cblas.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "team.h"

enum { COMPUTE_ROUNDS = 200000, LEAST_TOTAL = 256 << 20, LEAST_PART = 4 << 20 };

/* Kernels are in files of their own and called through tables, so that what they return need not be used. */

static void run_stream(const struct roof_job *job, const struct roof_area *area, int worker)
{
    (void)job->stream->run(area_part(area, worker), job->bytes, job->passes);
}

static void run_compute(const struct roof_job *job, const struct roof_area *area, int worker)
{
    (void)area, (void)worker;
    (void)job->compute->run(job->passes);
}

static void run_product(const struct roof_job *job, const struct roof_area *area, int worker)
{
    const int n = job->rows;
    const size_t each = (size_t)ROOF_MATRIX_ROWS * ROOF_MATRIX_ROWS;
    float *a = area_matrices(area, worker), *b = a + each, *c = b + each;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0f, a, n, b, n, 0.0f, c, n);
}

struct repetition {
    struct team_barrier ready;
    const struct roof_job *job;
    const struct roof_area *area;
    int workers;
    _Alignas(64) uint64_t start, end; /* of the first and of the last worker; apart from what the others still read */
};

static void keep_least(uint64_t *least, uint64_t value)
{
    uint64_t seen = __atomic_load_n(least, __ATOMIC_RELAXED);

    while (value < seen && !__atomic_compare_exchange_n(least, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void keep_most(uint64_t *most, uint64_t value)
{
    uint64_t seen = __atomic_load_n(most, __ATOMIC_RELAXED);

    while (value > seen && !__atomic_compare_exchange_n(most, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void work(void *repetition, int worker)
{
    struct repetition *r = repetition;

    team_wait(&r->ready, r->workers);
    const uint64_t start = clock_ns();
    r->job->run(r->job, r->area, worker);
    const uint64_t end = clock_ns();
    keep_least(&r->start, start);
    keep_most(&r->end, end);
}

uint64_t job_run(const struct roof_job *job, const struct roof_area *area, int threads)
{
    struct repetition r = {.job = job, .area = area, .workers = threads, .start = UINT64_MAX};

    team_run(threads, work, &r);
    return r.end > r.start ? r.end - r.start : 1;
}

/* --- sizes -----------------------------------------------------------------------------------------------------------------
 */

/* A quarter of the cache, shared by the workers; but more than L2 holds, or L2 would be what is measured. */
static size_t l3_set(const struct caches *c, int threads)
{
    const size_t sharers = (size_t)(threads < c->l3_cores ? threads : c->l3_cores);

    if (c->l3 == 0 || sharers == 0)
        return 0;
    size_t set = c->l3 / 4 / sharers;
    set = set < 2 * c->l2 ? 2 * c->l2 : set;
    return set * sharers <= c->l3 * 3 / 4 ? set : 0;
}

size_t roof_set_bytes(enum roof_level level, const struct caches *c, int threads, size_t part_bytes)
{
    const size_t set = level == ROOF_L1   ? c->l1 / 2
                       : level == ROOF_L2 ? c->l2 / 2
                       : level == ROOF_L3 ? l3_set(c, threads)
                                          : part_bytes;

    return set <= part_bytes ? set / ROOF_BLOCK * ROOF_BLOCK : 0;
}

size_t roof_part_bytes(const struct caches *c, int threads, int share)
{
    const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / (size_t)share;
    size_t total = 4 * caches_last_level(c, threads);

    total = total < LEAST_TOTAL ? LEAST_TOTAL : total;
    total = total > memory ? memory : total;
    size_t part = total / (size_t)threads;
    return part < LEAST_PART ? LEAST_PART : part;
}

/* --- kernels ---------------------------------------------------------------------------------------------------------------
 */

static const struct roof_kernels *const levels[ISA_COUNT] = {
    [ISA_BASE] = &roof_kernels_base,
#if defined(__x86_64__)
    [ISA_AVX2] = &roof_kernels_avx2,
    [ISA_AVX512] = &roof_kernels_avx512,
    [ISA_AVX512BF16] = &roof_kernels_avx512bf16,
#endif
};

const struct roof_kernels *kernels_of(enum isa isa)
{
    return levels[isa];
}

int roof_arrays(enum roof_op op)
{
    return op == ROOF_TRIAD ? 3 : op == ROOF_COPY ? 2 : 1;
}

int jobs_stream(struct roof_job *job, const struct roof_kernels *k, enum roof_op op, bool bypass, size_t set, size_t least)
{
    const int arrays = roof_arrays(op);
    const size_t bytes = set / (size_t)arrays / ROOF_BLOCK * ROOF_BLOCK, pass = bytes * (size_t)arrays;
    int n = 0;

    for (int i = 0; i < k->streams && n < ROOF_VARIANTS && bytes > 0; i++) {
        if (k->stream[i].op != op || k->stream[i].bypass != bypass)
            continue;
        job[n] = (struct roof_job){.run = run_stream, .stream = &k->stream[i], .bits = k->bits, .bytes = bytes, .passes = 1};
        if (pass < least)
            job[n].passes = (long)(least / pass);
        job[n].work = (double)pass * (double)job[n].passes;
        n++;
    }
    return n;
}

int jobs_stream_widths(struct roof_job *job, enum isa isa, enum roof_op op, bool bypass, size_t set, size_t least)
{
    int n = jobs_stream(job, levels[isa], op, bypass, set, least);

    for (int level = (int)isa - 1; level >= 0 && op != ROOF_READ && n > 0 && n < ROOF_VARIANTS; level--) {
        struct roof_job narrower[ROOF_VARIANTS];
        if (levels[level] && levels[level]->bits < job[n - 1].bits &&
            jobs_stream(narrower, levels[level], op, bypass, set, least) > 0)
            job[n++] = narrower[0];
    }
    return n;
}

int jobs_product(struct roof_job *job)
{
    static const int rows[] = {512, 768, ROOF_MATRIX_ROWS}; /* powers of two alone are not the fastest */
    int n = 0;

    for (; n < (int)(sizeof rows / sizeof *rows); n++)
        job[n] = (struct roof_job){.run = run_product, .rows = rows[n], .work = 2.0 * rows[n] * rows[n] * rows[n]};
    return n;
}

int job_compute(struct roof_job *job, enum isa isa, const char *dtype, int bits, struct err *e)
{
    for (int level = isa; level >= 0; level--) {
        const struct roof_kernels *k = levels[level];
        for (int i = 0; k && i < k->computes; i++) {
            const struct roof_compute *c = &k->compute[i];
            if (c->bits != bits || strcmp(c->dtype, dtype) != 0)
                continue;
            if (c->present && !c->present())
                return err_set(e, ERR_ABSENT, "%s of %d bits: this CPU has no %s", dtype, bits, c->how);
            *job = (struct roof_job){.run = run_compute, .compute = c, .passes = COMPUTE_ROUNDS};
            job->work = c->ops * (double)job->passes;
            return 0;
        }
    }
    return err_set(e, ERR_ABSENT, "%s of %d bits: no kernel for it at level %s, the best of this CPU or what BENCH_ISA allows",
                   dtype, bits, isa_name(isa));
}
