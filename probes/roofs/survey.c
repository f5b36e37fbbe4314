/* SPDX-License-Identifier: MIT
 * Variants of a kernel take turns within a cell, and the one with the best median is the cell's: a single lucky repetition does
 * not decide. Involuntary switches are counted around every cell of every round; the witness costs too much for that, and
 * stands around whole rounds. Outside the window: memory, links of a chase, warming. */
#include "survey.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "chase.h"
#include "clock.h"
#include "core_clock.h"
#include "sort.h"

enum {
    SAMPLES_A_ROUND = 128,
    LEAST_BYTES = 128 << 20, /* of a repetition in a cache: half a millisecond */
    MEMORY_BUDGETS = 4,
    MEMORY_SHARE = 8, /* each of the two areas takes at most an eighth of the machine */
    CHASE_STEPS = 100000,
};

struct survey_samples {
    int count[ROOF_VARIANTS][SURVEY_ROUNDS_MAX];
    double value[ROOF_VARIANTS][SURVEY_ROUNDS_MAX][SAMPLES_A_ROUND];
};

double survey_traffic(enum roof_op op)
{
    const int arrays = roof_arrays(op);

    return op == ROOF_READ ? 1 : (double)(arrays + 1) / arrays;
}

const char *survey_op_name(enum roof_op op, bool bypass)
{
    static const char *const name[ROOF_OPS][2] = {
        [ROOF_READ] = {"read", "read"},
        [ROOF_WRITE] = {"write", "write, nt"},
        [ROOF_COPY] = {"copy", "copy, nt"},
        [ROOF_TRIAD] = {"triad", "triad, nt"},
    };

    return name[op][bypass];
}

const char *survey_level_name(enum roof_level level)
{
    static const char *const name[ROOF_LEVELS] = {"L1", "L2", "L3", "DRAM"};

    return name[level];
}

const char *survey_width_name(int bits)
{
    return bits == 512 ? "512-bit" : bits == 256 ? "256-bit" : bits == 128 ? "128-bit" : "scalar";
}

/* --- the table -------------------------------------------------------------------------------------------------------------
 */

static void add_cell(struct survey *s, struct survey_cell cell)
{
    if (s->count < SURVEY_CELLS_MAX)
        s->cell[s->count++] = cell;
}

/* Copy and triad past the caches are of interest only where memory is meant. */
static void add_streams(struct survey *s, int threads)
{
    for (int level = 0; level < ROOF_LEVELS; level++)
        for (int op = 0; op < ROOF_OPS; op++)
            for (int bypass = 0; bypass < 2; bypass++)
                for (int pages = 0; pages < ROOF_PAGES; pages++) {
                    if (bypass && (op == ROOF_READ || (op != ROOF_WRITE && level != ROOF_DRAM)))
                        continue;
                    add_cell(s, (struct survey_cell){.kind = SURVEY_STREAM,
                                                     .threads = threads,
                                                     .level = (enum roof_level)level,
                                                     .op = (enum roof_op)op,
                                                     .bypass = bypass,
                                                     .pages = (enum roof_pages)pages});
                }
}

static void add_arithmetic(struct survey *s, int threads)
{
    static const struct {
        const char *dtype;
        int bits;
    } of[] = {{"f32", 32},  {"f32", 128}, {"f32", 256}, {"f32", 512},  {"f64", 64},
              {"f64", 128}, {"f64", 256}, {"f64", 512}, {"bf16", 512}, {"int8", 512}};

    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        add_cell(s, (struct survey_cell){.kind = SURVEY_COMPUTE, .threads = threads, .dtype = of[i].dtype, .bits = of[i].bits});
    add_cell(s, (struct survey_cell){.kind = SURVEY_PRODUCT, .threads = threads, .dtype = "f32", .pages = ROOF_PAGES_HUGE});
}

static void add_chains(struct survey *s)
{
    add_cell(s, (struct survey_cell){.kind = SURVEY_CLOCK, .threads = 1});
    for (int level = 0; level < ROOF_LEVELS; level++)
        for (int pages = 0; pages < ROOF_PAGES; pages++)
            add_cell(
                s, (struct survey_cell){
                       .kind = SURVEY_LATENCY, .threads = 1, .level = (enum roof_level)level, .pages = (enum roof_pages)pages});
}

/* A chase over a large part of the third level takes so long that neighbours who share it evict its lines (165 ns were seen
 * where 14 are right): just more than the second level holds. */
static size_t set_of(const struct survey *s, const struct survey_cell *c)
{
    const struct roof_area *a = &s->area[c->pages];
    const size_t set = roof_set_bytes(c->level, &s->caches, c->threads, c->threads == 1 ? a->solo_bytes : a->part_bytes);

    return c->kind == SURVEY_LATENCY && c->level == ROOF_L3 && set > 2 * s->caches.l2 ? 2 * s->caches.l2 : set;
}

/* The cell's jobs; 0 with the reason in c->absent. */
static int plan(const struct survey *s, struct survey_cell *c, struct roof_job *job)
{
    struct err e = {0};
    int n = 0;

    if (c->kind == SURVEY_PRODUCT)
        return jobs_product(job);
    if (c->kind == SURVEY_COMPUTE) {
        if (job_compute(job, s->isa, c->dtype, c->bits, &e) == 0)
            return 1;
        snprintf(c->absent, sizeof c->absent, "%s", e.text);
        return 0;
    }
    c->set_bytes = set_of(s, c);
    n = jobs_stream_widths(job, s->isa, c->op, c->bypass, c->set_bytes, LEAST_BYTES);
    if (c->set_bytes == 0)
        snprintf(c->absent, sizeof c->absent, "%s: no such cache here, or no room in it for %d threads",
                 survey_level_name(c->level), c->threads);
    else if (n == 0)
        snprintf(c->absent, sizeof c->absent, "%s: no such stores on this architecture", survey_op_name(c->op, c->bypass));
    return n;
}

/* --- measuring -------------------------------------------------------------------------------------------------------------
 */

static uint64_t deadline_of(const struct survey *s, const struct survey_cell *c)
{
    const bool memory = (c->kind == SURVEY_STREAM || c->kind == SURVEY_LATENCY) && c->level == ROOF_DRAM;

    return clock_ns() + (uint64_t)s->budget_ms * 1000000 * (memory ? MEMORY_BUDGETS : 1);
}

/* False when the round is full. */
static bool add_sample(struct survey_samples *at, int variant, int round, double value)
{
    int *n = &at->count[variant][round];

    at->value[variant][round][(*n)++] = value;
    return *n < SAMPLES_A_ROUND;
}

static void measure_jobs(struct survey *s, struct survey_cell *c, struct survey_samples *at, int round)
{
    struct roof_job job[ROOF_VARIANTS];
    const int variants = plan(s, c, job);
    const struct roof_area *area = &s->area[c->pages];

    if (variants == 0)
        return;
    /* Caches are filled, and the clock has risen, before the first repetition counts. */
    if (c->kind == SURVEY_COMPUTE || c->level != ROOF_DRAM)
        job_run(&job[0], area, c->threads);
    const uint64_t deadline = deadline_of(s, c);
    for (int done = 0; done < variants || clock_ns() < deadline; done++) {
        const int v = done % variants;
        const uint64_t ns = job_run(&job[v], area, c->threads);
        if (!add_sample(at, v, round, job[v].work * c->threads / (double)ns * 1e9))
            break;
    }
}

/* A chase goes on where it was, for its first lines would be found in a cache again. */
static void measure_latency(struct survey *s, struct survey_cell *c, struct survey_samples *at, int round)
{
    const struct roof_area *area = &s->area[c->pages], *other = &s->area[!c->pages];
    const struct roof_stream *read = &kernels_of(s->isa)->stream[0];
    const void *p = area_part(area, 0);
    size_t lines;

    c->set_bytes = set_of(s, c);
    lines = chase_link(area_part(area, 0), c->set_bytes);
    if (lines == 0) {
        snprintf(c->absent, sizeof c->absent, "%s: no such cache here", survey_level_name(c->level));
        return;
    }
    if (c->level == ROOF_DRAM) /* what linking left in the caches goes */
        read->run(area_part(other, 0), other->solo_bytes, 1);
    else
        p = chase_run(p, (long)lines);
    const uint64_t deadline = deadline_of(s, c);
    bool more = true;
    while (more) {
        const uint64_t start = clock_ns();
        p = chase_run(p, CHASE_STEPS);
        const uint64_t end = clock_ns();
        more = add_sample(at, 0, round, CHASE_STEPS * 1e9 / (double)(end - start)) && end < deadline;
    }
    area_refill(area, c->set_bytes);
}

static void measure_clock(struct survey *s, struct survey_cell *c, struct survey_samples *at, int round)
{
    const uint64_t deadline = deadline_of(s, c);
    double hz = core_clock_hz();

    if (hz < 0)
        snprintf(c->absent, sizeof c->absent, "no chain of additions for this architecture");
    while (hz > 0 && add_sample(at, 0, round, hz) && clock_ns() < deadline)
        hz = core_clock_hz();
}

static int64_t switches_so_far(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw;
}

void survey_measure(struct survey *s, int cell, int round)
{
    struct survey_cell *c = &s->cell[cell];

    if (c->absent[0])
        return;
    const int64_t switches = switches_so_far();
    if (c->kind == SURVEY_LATENCY)
        measure_latency(s, c, &s->samples[cell], round);
    else if (c->kind == SURVEY_CLOCK)
        measure_clock(s, c, &s->samples[cell], round);
    else
        measure_jobs(s, c, &s->samples[cell], round);
    c->round[round].switches = switches_so_far() - switches;
}

/* --- results ---------------------------------------------------------------------------------------------------------------
 */

/* The variant's samples of all rounds, in order of size. Returns how many. */
static int sorted(const struct survey_samples *at, int variant, double *out)
{
    int n = 0;

    for (int round = 0; round < SURVEY_ROUNDS_MAX; round++) {
        memcpy(out + n, at->value[variant][round], (size_t)at->count[variant][round] * sizeof *out);
        n += at->count[variant][round];
    }
    sort_doubles(out, (size_t)n);
    return n;
}

static void conclude_rounds(struct survey_cell *c, const struct survey_samples *at, int variant, int rounds)
{
    double least = c->best, most = 0;

    for (int i = 0; i < rounds; i++) {
        struct survey_round *r = &c->round[i];
        r->best = 0;
        for (int k = 0; k < at->count[variant][i]; k++)
            r->best = at->value[variant][i][k] > r->best ? at->value[variant][i][k] : r->best;
        least = r->best < least ? r->best : least;
        most = r->best > most ? r->best : most;
        c->disturbed = c->disturbed || r->switches > 0;
    }
    c->drift = most > 0 ? (most - least) / most : 0;
}

static void conclude_cell(const struct survey *s, struct survey_cell *c, const struct survey_samples *at)
{
    double value[SURVEY_ROUNDS_MAX * SAMPLES_A_ROUND];
    struct roof_job job[ROOF_VARIANTS];
    int best = 0;

    for (int v = 0; v < ROOF_VARIANTS; v++) {
        const int n = sorted(at, v, value);
        const double median = n ? (value[(n - 1) / 2] + value[n / 2]) / 2 : 0;
        if (median <= c->median)
            continue;
        best = v;
        c->repetitions = n;
        c->quartile_low = value[n / 4];
        c->median = median;
        c->quartile_high = value[n * 3 / 4];
        c->best = value[n - 1];
    }
    conclude_rounds(c, at, best, s->rounds);
    if (c->kind == SURVEY_LATENCY || c->kind == SURVEY_CLOCK) {
        c->how = c->kind == SURVEY_CLOCK ? "dependent additions" : "pointer chase";
        return;
    }
    plan(s, c, job);
    c->rows = job[best].rows;
    if (c->kind == SURVEY_STREAM)
        c->bits = job[best].bits;
    c->how = job[best].stream ? job[best].stream->how : job[best].compute ? job[best].compute->how : openblas_get_corename();
}

void survey_conclude(struct survey *s)
{
    for (int i = 0; i < s->count; i++)
        if (!s->cell[i].absent[0])
            conclude_cell(s, &s->cell[i], &s->samples[i]);
}

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

int survey_open(struct survey *s, int threads, int rounds, int budget_ms, struct err *e)
{
    int code;

    *s = (struct survey){.threads = threads, .rounds = rounds, .budget_ms = budget_ms};
    if (rounds < 1 || rounds > SURVEY_ROUNDS_MAX || budget_ms < 1)
        return err_set(e, ERR_USAGE, "roofs: %d rounds of %d ms: 1 to %d of at least 1 are possible", rounds, budget_ms,
                       SURVEY_ROUNDS_MAX);
    if ((code = isa_choose(&s->isa, e)) < 0)
        return code;
    caches_find(&s->caches);
    openblas_set_num_threads(1); /* each worker calls it for itself */
    add_chains(s);
    for (int n = 1; n <= threads; n += threads > 1 ? threads - 1 : 1) {
        add_streams(s, n);
        add_arithmetic(s, n);
    }
    s->samples = calloc((size_t)s->count, sizeof *s->samples);
    if (!s->samples)
        return err_set(e, ERR_MEMORY, "roofs: out of memory");
    /* One worker alone needs memory beyond its own caches, not beyond everybody's. */
    const size_t part = roof_part_bytes(&s->caches, threads, MEMORY_SHARE);
    const size_t most = (size_t)threads * part, wanted = 4 * caches_last_level(&s->caches, 1);
    for (int pages = 0; pages < ROOF_PAGES; pages++)
        if ((code = area_open(&s->area[pages], (enum roof_pages)pages, threads, part, wanted < most ? wanted : most, e)) < 0)
            return code;
    return 0;
}

void survey_close(struct survey *s)
{
    for (int pages = 0; pages < ROOF_PAGES; pages++)
        area_close(&s->area[pages]);
    free(s->samples);
    *s = (struct survey){0};
}
