/* SPDX-License-Identifier: MIT
 * A kernel of likwid-bench says in its name what it does (stream_sp_mem_avx512_fma: the parts between the underscores), and so
 * which of ours it is compared with. What pages its memory got follows from its page faults. Ours is taken in memory that is
 * fresh in every round, as the peer's is: where small pages happen to lie makes tens of per cent. */
#include "peer.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"

enum { STREAM_ARRAYS = 3, LEAST_BYTES = 128 << 20, OUTPUT_MAX = 1 << 20, DEFAULT_SECONDS = 1, MOST_SECONDS = 4 };

/* --- what the peer printed -------------------------------------------------------------------------------------------------
 */

/* The number behind the first `key` at the beginning of a line; false without one. */
static bool number_after(const char *text, const char *key, double *out)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        char *end;
        *out = strtod(line + strlen(key), &end);
        return end != line + strlen(key);
    }
    return false;
}

static const struct {
    const char *name;
    enum roof_op op;
    const char *note;
} likwid_kernels[] = {
    {"load", ROOF_READ, NULL},
    {"sum", ROOF_READ, NULL},
    {"ddot", ROOF_READ, "the peer reads two arrays"},
    {"store", ROOF_WRITE, NULL},
    {"copy", ROOF_COPY, NULL},
    {"stream", ROOF_TRIAD, NULL},
    {"triad", ROOF_TRIAD, "the peer reads three arrays for each it writes, ours two"},
};

static int likwid_absent(const char *name, struct err *e)
{
    return err_set(e, ERR_ABSENT,
                   "likwid-bench's %s: no roof of ours is like it; load, sum, ddot, store, copy, stream, triad (and _mem: "
                   "non-temporal stores) and peakflops with _fma are understood",
                   name);
}

static int likwid_kernel(struct peer_figure *f, struct err *e)
{
    char name[sizeof f->name], *rest = name, *part;
    const char *base;
    bool single = false, fused = false;
    size_t i = 0;

    snprintf(name, sizeof name, "%s", f->name);
    base = strsep(&rest, "_");
    while ((part = strsep(&rest, "_"))) {
        single = single || strcmp(part, "sp") == 0;
        fused = fused || strcmp(part, "fma") == 0;
        f->bypass = f->bypass || strcmp(part, "mem") == 0;
        f->bits = strcmp(part, "avx512") == 0 ? 512 : strcmp(part, "avx") == 0 ? 256 : strcmp(part, "sse") == 0 ? 128 : f->bits;
    }
    if (strcmp(base, "peakflops") == 0 && fused && f->bits) {
        f->dtype = single ? "f32" : "f64";
        return 0;
    }
    const size_t known = sizeof likwid_kernels / sizeof *likwid_kernels;
    while (i < known && strcmp(base, likwid_kernels[i].name) != 0)
        i++;
    if (i == known)
        return likwid_absent(f->name, e);
    f->op = likwid_kernels[i].op;
    f->note = likwid_kernels[i].note;
    if (f->bits == 0)
        f->note = "the peer computes with scalars";
    if (f->op == ROOF_READ && f->bypass) {
        f->bypass = false;
        f->note = "the peer uses non-temporal loads";
    }
    return 0;
}

static int parse_likwid(struct peer_output *out, const char *text, struct err *e)
{
    struct peer_figure *f = &out->figure[0];
    const char *name = strstr(text, "\nTest: "), *threads = strstr(text, "\nUsing ");
    double rate = 0;

    out->tool = "likwid-bench";
    out->count = 1;
    if (sscanf(name, "\nTest: %47s", f->name) != 1)
        return err_set(e, ERR_FORMAT, "likwid-bench: no name behind 'Test:'");
    for (; threads && strncmp(threads + strcspn(threads + 7, " ") + 7, " threads", 8) != 0;
         threads = strstr(threads, "\nUsing "))
        threads++;
    out->threads = threads ? atoi(threads + strlen("\nUsing ")) : 0;
    int code = likwid_kernel(f, e);
    if (code < 0)
        return code;
    if (!number_after(text, f->dtype ? "MFlops/s:" : "MByte/s:", &rate) ||
        !number_after(text, "Size (Byte):", &out->set_bytes) || !number_after(text, "Time:", &out->seconds) ||
        out->threads < 1 || rate <= 0)
        return err_set(e, ERR_FORMAT, "likwid-bench: its output lacks threads, size, time or rate");
    f->value = rate * 1e6;
    return 0;
}

static int parse_stream(struct peer_output *out, const char *text, struct err *e)
{
    static const struct {
        const char *key;
        struct peer_figure figure;
    } of[] = {
        {"Copy:", {.name = "Copy", .op = ROOF_COPY, .note = "compilers make a memcpy of it, which may store past the caches"}},
        {"Triad:", {.name = "Triad", .op = ROOF_TRIAD}},
    };
    double elements = 0, width = 8, threads = 1, rate = 0, times = 10, average = 0;

    out->tool = "STREAM";
    out->best = true;
    number_after(text, "This system uses ", &width);
    number_after(text, "Number of Threads requested = ", &threads);
    number_after(text, "Number of Threads counted = ", &threads);
    number_after(text, "Each kernel will be executed ", &times);
    if (!number_after(text, "Array size = ", &elements) || elements <= 0 || width <= 0 || threads < 1)
        return err_set(e, ERR_FORMAT, "STREAM: its output lacks the size of the arrays");
    out->threads = (int)threads;
    out->set_bytes = elements * width;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        if (!number_after(text, of[i].key, &rate) || rate <= 0)
            return err_set(e, ERR_FORMAT, "STREAM: its output lacks the line '%s'", of[i].key);
        const char *line = strstr(text, of[i].key);
        if (sscanf(line + strlen(of[i].key), "%*f %lf", &average) == 1)
            out->seconds = times * average;
        out->figure[out->count] = of[i].figure;
        out->figure[out->count++].value = rate * 1e6;
    }
    return 0;
}

int peer_parse(struct peer_output *out, const char *text, struct err *e)
{
    *out = (struct peer_output){0};
    if (strstr(text, "LIKWID MICRO BENCHMARK") && strstr(text, "\nTest: "))
        return parse_likwid(out, text, e);
    if (strstr(text, "STREAM version") || strstr(text, "\nTriad:"))
        return parse_stream(out, text, e);
    return err_set(e, ERR_FORMAT, "--peer: this is neither likwid-bench's output nor STREAM's: %.*s", (int)strcspn(text, "\n"),
                   text);
}

/* --- running ---------------------------------------------------------------------------------------------------------------
 */

static long children_faults(void)
{
    struct rusage u;

    getrusage(RUSAGE_CHILDREN, &u);
    return u.ru_minflt;
}

/* The command may use all CPUs that this process was given; this thread returns to its own. */
static int run_command(struct text *out, const char *command, const cpu_set_t *cpus, struct err *e)
{
    char block[4096];
    cpu_set_t own;
    size_t n;

    out->len = 0;
    if (sched_getaffinity(0, sizeof own, &own) < 0 || sched_setaffinity(0, sizeof *cpus, cpus) < 0)
        return err_set(e, ERR_IO, "--peer: the CPUs cannot be set");
    fflush(NULL);
    FILE *f = popen(command, "re");
    while (f && (n = fread(block, 1, sizeof block, f)) > 0)
        if (out->len < OUTPUT_MAX)
            text_add(out, block, n);
    const int status = f ? pclose(f) : -1;
    sched_setaffinity(0, sizeof own, &own);
    if (status != 0)
        return err_set(e, ERR_IO, "--peer: '%s' %s %d", command,
                       status > 0 && WIFEXITED(status) ? "ended with exit code" : "failed:",
                       status > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : status);
    return out->len ? 0 : err_set(e, ERR_FORMAT, "--peer: '%s' printed nothing", command);
}

/* --- ours ------------------------------------------------------------------------------------------------------------------
 */

struct ours {
    struct roof_job job[2 * ROOF_VARIANTS];
    int jobs;
    enum roof_pages pages;
};

static double rate_of(const struct roof_job *job, const struct roof_area *area, int threads)
{
    return job->work * threads / (double)job_run(job, area, threads) * 1e9;
}

/* One long repetition, as the peer makes it: workers that waited for each other after every pass would lose more than the
 * peer's do when something else runs. */
static double measure_mean(const struct roof_job *job, const struct roof_area *area, int threads, double seconds)
{
    struct roof_job all = *job;
    const double passes = seconds * rate_of(job, area, threads) / (job->work * threads);

    if (passes > 1) {
        all.passes = (long)(passes * (double)job->passes);
        all.work = job->work / (double)job->passes * (double)all.passes;
    }
    return rate_of(&all, area, threads);
}

static double measure_best(const struct roof_job *job, const struct roof_area *area, int threads, double seconds)
{
    const uint64_t deadline = clock_ns() + (uint64_t)(seconds * 1e9);
    double best = 0;

    do {
        const double rate = rate_of(job, area, threads);
        best = rate > best ? rate : best;
    } while (clock_ns() < deadline);
    return best;
}

/* The variants share the time that the peer took. */
static double measure(const struct ours *o, const struct roof_area *area, const struct peer_output *p)
{
    const double seconds = p->seconds <= 0 ? DEFAULT_SECONDS : p->seconds > MOST_SECONDS ? MOST_SECONDS : p->seconds;
    double result = 0;

    for (int v = 0; v < o->jobs; v++) {
        const double rate = (p->best ? measure_best : measure_mean)(&o->job[v], area, p->threads, seconds / o->jobs);
        result = rate > result ? rate : result;
    }
    return result;
}

/* The level whose vectors the peer's kernel has; ours where the name does not tell or this CPU has less. */
static enum isa level_of(const struct peer_figure *f, enum isa most)
{
    const enum isa named = f->bits == 512 ? ISA_AVX512 : f->bits == 256 ? ISA_AVX2 : f->bits == 128 ? ISA_BASE : most;

    return named < most ? named : most;
}

static int plan_twin(struct ours *o, const struct peer_output *p, int figure, enum isa isa, char how[PEER_HOW], struct err *e)
{
    const struct peer_figure *f = &p->figure[figure];
    const double all = p->set_bytes * (p->best ? roof_arrays(f->op) : 1);
    char size[16];

    if (f->dtype) {
        int code = job_compute(&o->job[0], isa, f->dtype, f->bits, e);
        snprintf(how, PEER_HOW, "%s multiply-add of %d bits", f->dtype, f->bits);
        o->jobs = 1;
        return code;
    }
    /* The first variant is the plain one; what a compiler made of STREAM's loops is not known, so all widths are tried. */
    const enum isa level = level_of(f, isa);
    const size_t set = (size_t)(all / p->threads), least = p->best ? 0 : LEAST_BYTES;
    o->jobs = jobs_stream_widths(o->job, level, f->op, f->bypass, set, least);
    if (o->jobs == 0)
        return err_set(e, ERR_ABSENT, "%s: no such kernel here, or too little memory for each thread", f->name);
    if (!p->best)
        o->jobs = 1;
    snprintf(how, PEER_HOW, "%s, %s, %s for each thread, %s pages as the peer's", isa_name(level), o->job[0].stream->how,
             text_bytes(size, sizeof size, (double)o->job[0].bytes * roof_arrays(f->op)),
             o->pages == ROOF_PAGES_HUGE ? "huge" : "small");
    return 0;
}

/* All variants of the operation, stores of both kinds, huge pages. */
static void plan_roof(struct ours *o, const struct ours *twin, enum isa isa, size_t least, char how[PEER_HOW])
{
    const struct roof_job *like = &twin->job[0];

    *o = *twin;
    snprintf(how, PEER_HOW, "%s", like->stream ? "" : "the same");
    if (!like->stream)
        return;
    const enum roof_op op = like->stream->op;
    const size_t set = like->bytes * (size_t)roof_arrays(op);
    o->pages = ROOF_PAGES_HUGE;
    o->jobs = jobs_stream_widths(o->job, isa, op, false, set, least);
    if (op != ROOF_READ)
        o->jobs += jobs_stream_widths(o->job + o->jobs, isa, op, true, set, least);
    snprintf(how, PEER_HOW, "%s, the best of %d variants, huge pages asked for", isa_name(isa), o->jobs);
}

/* A fault for every small page of its arrays, or one for each huge page. */
static enum roof_pages pages_of_peer(const struct peer_output *p, long faults)
{
    const double all = p->set_bytes * (p->best ? STREAM_ARRAYS : 1);

    return (double)faults * (double)sysconf(_SC_PAGESIZE) < all / 2 ? ROOF_PAGES_HUGE : ROOF_PAGES_SMALL;
}

/* In memory of its own, which is given back before the peer runs again. */
static int measure_fresh(double *out, const struct ours *o, const struct peer_output *p, struct err *e)
{
    const struct roof_job *job = &o->job[0];
    const size_t part = job->stream ? job->bytes * (size_t)roof_arrays(job->stream->op) + (2 << 20) : 2 << 20;
    struct roof_area area;
    int code = area_open(&area, o->pages, p->threads, part, part, e);

    if (code == 0)
        *out = measure(o, &area, p);
    area_close(&area);
    return code;
}

static int one_round(struct peer_comparison *c, int round, const struct ours *twin, const struct ours *roof,
                     const char *printed, struct err *e)
{
    struct peer_output now;
    int code = peer_parse(&now, printed, e);

    for (int i = 0; code == 0 && i < c->output.count; i++) {
        struct peer_round *r = &c->round[i][round];
        r->peer = now.figure[i].value;
        code = measure_fresh(&r->twin, &twin[i], &c->output, e);
        if (code == 0)
            code = measure_fresh(&r->roof, &roof[i], &c->output, e);
    }
    return code;
}

/* Both of ours for every figure of the peer's first run. */
static int plan(struct peer_comparison *c, struct ours *twin, struct ours *roof, long faults, int threads, struct err *e)
{
    const struct peer_output *p = &c->output;
    enum isa isa;
    int code = isa_choose(&isa, e);

    if (code == 0 && p->threads > threads)
        code = err_set(e, ERR_USAGE, "the peer runs %d threads, this team has %d: say --threads %d", p->threads, threads,
                       p->threads);
    for (int i = 0; code == 0 && i < p->count; i++) {
        twin[i] = (struct ours){.pages = pages_of_peer(p, faults)};
        code = plan_twin(&twin[i], p, i, isa, c->twin[i], e);
        if (code == 0)
            plan_roof(&roof[i], &twin[i], isa, p->best ? 0 : LEAST_BYTES, c->roof[i]);
    }
    return code;
}

int peer_compare(struct peer_comparison *c, const char *command, int rounds, int threads, const cpu_set_t *cpus, struct err *e)
{
    struct ours twin[PEER_FIGURES], roof[PEER_FIGURES];
    struct text printed = {0};
    const long faults = children_faults();
    int code = run_command(&printed, command, cpus, e);

    *c = (struct peer_comparison){0};
    openblas_set_num_threads(1);
    if (code == 0)
        code = peer_parse(&c->output, printed.data, e);
    if (code == 0)
        code = plan(c, twin, roof, children_faults() - faults, threads, e);
    for (int round = 0; code == 0 && round < rounds; round++) {
        if (round > 0)
            code = run_command(&printed, command, cpus, e);
        if (code == 0)
            code = one_round(c, round, twin, roof, printed.data, e);
        c->rounds = round + (code == 0);
    }
    text_free(&printed);
    return code;
}
