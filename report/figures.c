/* SPDX-License-Identifier: MIT
 * Times come from pass 'time' without warm-up and from nothing else; counts from whatever repetition carries a reading. A
 * repetition that lacks a step gives no figure that needs it, so a killed run is analysed like any other. */
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "residency.h"

enum { TIME_SAMPLES = 11 };
static const double enough_counted = 0.5; /* share of decode steps below which their mean says nothing */

static const struct {
    const char *arithmetic, *cpu,
        *gpu; /* roofs by the words that the schema lets in; nobody measures those that nobody needs */
} peaks[] = {{"f32", "f32 fma", "f32 gemm"},
             {"f16", "f16 fma", "f16 gemm"},
             {"bf16", "bf16 dot", "bf16 gemm"},
             {"int8", "int8 dot", "int8 gemm"}};

static const char *peak_of(const struct rows *r, const char *arithmetic)
{
    size_t i = sizeof peaks / sizeof *peaks - 1;

    while (i > 0 && strcmp(peaks[i].arithmetic, arithmetic) != 0)
        i--;
    return r->device ? peaks[i].gpu : peaks[i].cpu;
}

const char *figures_compute_roof(const struct rows *r, const struct rows_trial *t)
{
    return peak_of(r, t->arithmetic);
}

const char *figures_attention_roof(const struct rows *r, const struct rows_trial *t)
{
    return peak_of(r, t->attention_arithmetic);
}

const char *figures_run_roof(const struct rows *r)
{
    return peak_of(r, r->device && r->trials ? r->trial[0].arithmetic : "f32");
}

int figures_roof_threads(const struct rows *r, const struct rows_trial *t)
{
    return r->device ? r->threads : t->axis[AXIS_THREADS];
}

const char *figures_label(char buf[FIGURES_LABEL], const struct rows *r, const struct rows_trial *t)
{
    char value[AXIS_TEXT];
    int n =
        snprintf(buf, FIGURES_LABEL, "kv_cache=%s prompt=%d new=%d", axis_text(AXIS_KV_CACHE, t->axis[AXIS_KV_CACHE], value),
                 t->axis[AXIS_PROMPT_TOKENS], t->axis[AXIS_NEW_TOKENS]);

    for (int a = 0; a < AXIS_COUNT; a++)
        if (a != AXIS_KV_CACHE && a != AXIS_PROMPT_TOKENS && a != AXIS_NEW_TOKENS && t->axis[a] != rows_usual(r, (enum axis)a))
            n += snprintf(buf + n, FIGURES_LABEL - (size_t)n, " %s=%s", axes[a].name,
                          axis_text((enum axis)a, t->axis[a], value));
    return buf;
}

struct verdict_roof figures_roof(const struct rows_roof *roof, const char *name)
{
    struct verdict_roof out = {name, NAN, NAN, NAN};
    double *x = roof ? malloc((size_t)roof->rounds * sizeof *x) : NULL;

    for (int i = 0; x && i < roof->rounds; i++) {
        x[i] = roof->round[i].value;
        out.lo = fmin(x[i], out.lo); /* fmin and fmax pass over NAN */
        out.hi = fmax(x[i], out.hi);
    }
    if (x)
        out.value = stats_median(x, roof->rounds);
    free(x);
    return out;
}

double figures_roof_at(const struct rows_roof *roof, int64_t at_ns)
{
    const struct rows_round *before = NULL, *after = NULL;

    for (int i = 0; roof && i < roof->rounds; i++) {
        const struct rows_round *r = &roof->round[i];
        if (r->at_ns <= at_ns && (!before || r->at_ns > before->at_ns))
            before = r;
        if (r->at_ns > at_ns && (!after || r->at_ns < after->at_ns))
            after = r;
    }
    if (before && after)
        return (before->value + after->value) / 2;
    return before ? before->value : after ? after->value : NAN;
}

static void add(struct sample *s, double v)
{
    if (isfinite(v))
        s->x[s->n++] = v;
}

/* --- energy -------------------------------------------------------------------------------------------------------- */

static void add_energy(struct energy *e, double joules, double ms, double tokens)
{
    add(&e->joules_sample, joules);
    add(&e->watts_sample, joules / (ms / 1e3));
    e->per_token = tokens;
}

static void estimate_energy(struct energy *e)
{
    e->joules = stats_estimate(e->joules_sample.x, e->joules_sample.n);
    e->watts = stats_estimate(e->watts_sample.x, e->watts_sample.n);
    e->per_token = e->joules.median / e->per_token;
}

/* --- times --------------------------------------------------------------------------------------------------------- */

static double median_of(const double *x, int n, double *finite)
{
    int kept = 0;

    for (int i = 0; i < n; i++)
        if (isfinite(x[i]))
            finite[kept++] = x[i];
    return stats_median(finite, kept);
}

static void add_repetition(struct figures *f, const struct rows_trial *t, const struct rows_repetition *r, double *pool)
{
    int steps = t->axis[AXIS_NEW_TOKENS];
    double loop = 0, choosing = 0; /* NAN as soon as one step is */

    for (int i = 1; i < steps; i++) {
        loop += r->ms[i];
        choosing += r->sample_ms[i];
    }
    add(&f->prefill.sample, r->ms[0]);
    add(&f->total, r->ms[0] + loop);
    if (steps > 1) {
        add(&f->decode.sample, median_of(r->ms + 1, steps - 1, pool + f->pooled));
        add(&f->loop, loop);
        add(&f->tpot, loop / (steps - 1));
        add(&f->choosing.sample, median_of(r->sample_ms + 1, steps - 1, pool + f->pooled));
        add(&f->choosing.share_sample, choosing / loop);
    }
    for (int i = 1; i < steps; i++)
        if (isfinite(r->ms[i]))
            pool[f->pooled++] = r->ms[i];
    if (steps > 1)
        add_energy(&f->energy[1], r->energy[1], loop, (double)t->axis[AXIS_BATCH] * (steps - 1));
    add_energy(&f->energy[0], r->energy[0], r->ms[0], (double)t->axis[AXIS_BATCH] * t->axis[AXIS_PROMPT_TOKENS]);
    f->timed++;
}

static void time_samples(struct figures *f, struct sample *out[TIME_SAMPLES])
{
    struct sample *const all[TIME_SAMPLES] = {&f->prefill.sample,
                                              &f->decode.sample,
                                              &f->loop,
                                              &f->total,
                                              &f->tpot,
                                              &f->choosing.sample,
                                              &f->choosing.share_sample,
                                              &f->energy[0].joules_sample,
                                              &f->energy[0].watts_sample,
                                              &f->energy[1].joules_sample,
                                              &f->energy[1].watts_sample};

    memcpy(out, all, sizeof all);
}

static bool alloc_samples(struct figures *f, int reps)
{
    struct sample *all[TIME_SAMPLES];
    bool ok = true;

    time_samples(f, all);
    for (int i = 0; i < TIME_SAMPLES; i++) {
        all[i]->x = malloc(((size_t)reps + 1) * sizeof *all[i]->x);
        ok = ok && all[i]->x;
    }
    return ok;
}

static void estimate_times(struct figures *f, const double *pool, double tokenize_ms)
{
    f->prefill.ms = stats_estimate(f->prefill.sample.x, f->prefill.sample.n);
    f->decode.ms = stats_estimate(f->decode.sample.x, f->decode.sample.n);
    f->loop_ms = stats_estimate(f->loop.x, f->loop.n);
    f->total_ms = stats_estimate(f->total.x, f->total.n);
    f->tpot_ms = stats_estimate(f->tpot.x, f->tpot.n);
    f->choosing.ms = stats_estimate(f->choosing.sample.x, f->choosing.sample.n);
    f->choosing.share = stats_estimate(f->choosing.share_sample.x, f->choosing.share_sample.n);
    f->ttft_ms = f->prefill.ms; /* tokenizing was timed once, it shifts */
    f->ttft_ms.median += tokenize_ms;
    f->ttft_ms.lo += tokenize_ms;
    f->ttft_ms.hi += tokenize_ms;
    estimate_energy(&f->energy[0]);
    estimate_energy(&f->energy[1]);
    f->p50_ms = stats_median(pool, f->pooled);
    f->p90_ms = f->pooled >= STATS_P90_MIN ? stats_quantile(pool, f->pooled, 0.9) : NAN;
    f->p99_ms = f->pooled >= STATS_P99_MIN ? stats_quantile(pool, f->pooled, 0.99) : NAN;
}

static int compute_times(struct figures *f, const struct rows *r, const struct rows_trial *t, struct err *e)
{
    /* One more repetition's room: median_of puts its finite values behind the pool before they are added to it. */
    double *pool = calloc((size_t)t->reps + 1, (size_t)t->axis[AXIS_NEW_TOKENS] * sizeof *pool);

    if (!pool || !alloc_samples(f, t->reps)) {
        free(pool);
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    }
    for (int i = 0; i < t->reps; i++)
        if (t->rep[i].pass == 0 && !t->rep[i].warmup)
            add_repetition(f, t, &t->rep[i], pool);
    estimate_times(f, pool, r->tokenize_ms);
    free(pool);
    return 0;
}

/* --- work ---------------------------------------------------------------------------------------------------------- */

struct tally { /* over some steps */
    double analytic, counted;
    double analytic_where_counted;
    int steps, counted_steps;
};

static struct tally tally(const struct rows_trial *t, enum rows_metric m, int from, int to, double *buf)
{
    struct tally sum = {.steps = to - from};

    for (int i = from; i < to; i++) {
        double analytic = t->predicted[i].work[m];
        double counted = rows_step_counted(t, m, i, buf);
        sum.analytic += analytic;
        if (!isfinite(counted))
            continue;
        sum.counted += counted;
        sum.analytic_where_counted += analytic;
        sum.counted_steps++;
    }
    return sum;
}

static void explain_uncounted(struct amount *a, const struct rows *r, const struct rows_trial *t, enum rows_metric m,
                              const struct tally *sum)
{
    if (sum->counted_steps > 0)
        snprintf(a->why, sizeof a->why, "%d of %d steps were counted", sum->counted_steps, sum->steps);
    else if (t->why[m][0])
        snprintf(a->why, sizeof a->why, "%s", t->why[m]);
    else if (r->why[m][0])
        snprintf(a->why, sizeof a->why, "%s", r->why[m]);
    else
        snprintf(a->why, sizeof a->why, "no counting pass has recorded it");
}

static void compute_amount(struct amount *a, const struct rows *r, const struct rows_trial *t, enum rows_metric m,
                           const struct tally *sum)
{
    *a = (struct amount){sum->analytic / sum->steps, NAN, NAN, t->multiplexed[m], ""};
    if (sum->counted_steps > 0 && sum->counted_steps >= enough_counted * sum->steps) {
        a->counted = sum->counted / sum->counted_steps;
        a->error = sum->analytic_where_counted > 0 ? sum->counted / sum->analytic_where_counted - 1 : NAN;
    }
    if (sum->counted_steps < sum->steps)
        explain_uncounted(a, r, t, m, sum);
}

static int compute_work(struct figures *f, const struct rows *r, const struct rows_trial *t, struct err *e)
{
    int steps = t->axis[AXIS_NEW_TOKENS];
    double *buf = malloc(((size_t)t->reps + 1) * sizeof *buf);

    if (!buf)
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int m = 0; m < ROWS_METRICS; m++) {
        struct tally prefill = tally(t, m, 0, 1, buf), decode = tally(t, m, 1, steps, buf);
        bool whole = prefill.counted_steps + decode.counted_steps == steps && !t->multiplexed[m];

        compute_amount(&f->prefill.amount[m], r, t, m, &prefill);
        compute_amount(&f->decode.amount[m], r, t, m, &decode);
        f->work[m] = prefill.analytic + decode.analytic;
        f->work_counted[m] = whole ? prefill.counted + decode.counted : NAN;
    }
    free(buf);
    return 0;
}

/* The median over the timed repetitions' steps. */
static int compute_launches(struct phase *p, const struct rows_trial *t, int from, int to, struct err *e)
{
    double *x = malloc(((size_t)t->reps * (size_t)(to - from) + 1) * sizeof *x);
    int n = 0;

    if (!x)
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int i = 0; i < t->reps; i++) {
        const struct rows_repetition *rep = &t->rep[i];
        for (int k = from; rep->pass == 0 && !rep->warmup && rep->launches && k < to; k++)
            if (isfinite(rep->launches[k]))
                x[n++] = rep->launches[k];
    }
    p->launches = stats_median(x, n);
    free(x);
    return 0;
}

/* --- verdicts ------------------------------------------------------------------------------------------------------ */

/* Both amounts from the counters, or both analytic: an intensity of mixed provenance would have none. */
static bool counted_both(const struct phase *p)
{
    for (int m = 0; m < ROWS_METRICS; m++)
        if (!isfinite(p->amount[m].counted) || p->amount[m].multiplexed)
            return false;
    return true;
}

/* A bandwidth that drifts moves both, and their ratio stays. */
int figures_efficiency(struct estimate *out, const struct stretch *s, const struct rows_roof *compute,
                       const struct rows_roof *bandwidth, struct err *e)
{
    struct sample all = {malloc(((size_t)s->n + 1) * sizeof *all.x), 0};

    if (!all.x)
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int i = 0; i < s->n; i++) {
        double peak = figures_roof_at(compute, s->started_ns[i]), rate = figures_roof_at(bandwidth, s->started_ns[i]);
        double roof_s = !bandwidth ? s->flops / peak
                        : !compute ? s->bytes / rate
                                   : verdict_roof_seconds(s->flops, s->bytes, peak, rate);
        add(&all, 1e3 * roof_s / s->ms[i]);
    }
    *out = stats_estimate(all.x, all.n);
    free(all.x);
    return 0;
}

/* Of each repetition the share that handing over its work would take by itself, at the roof of its moment. */
static int launch_share(struct estimate *out, const struct stretch *s, const struct rows_roof *launch, struct err *e)
{
    struct sample all = {malloc(((size_t)s->n + 1) * sizeof *all.x), 0};

    if (!all.x)
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int i = 0; i < s->n; i++)
        add(&all, 1e3 * s->launches / figures_roof_at(launch, s->started_ns[i]) / s->ms[i]);
    *out = stats_estimate(all.x, all.n);
    free(all.x);
    return 0;
}

const struct rows_cache *figures_cache(const struct rows *r, const struct stretch *s)
{
    const struct residency of = {s->threads, s->analytic_bytes, s->pass_bytes, s->counted_bytes};

    return residency_of(r, &of);
}

int figures_judge(struct verdict *out, const struct rows *r, struct stretch *s, struct err *e)
{
    const struct rows_roof *compute = rows_find_roof(r, s->compute, s->threads);
    const struct rows_roof *bandwidth = rows_find_roof(r, FIGURES_BANDWIDTH_ROOF, s->threads);
    const struct rows_cache *cache = figures_cache(r, s);
    const struct rows_roof *launch = s->launch ? rows_find_roof(r, s->launch, s->threads) : NULL;
    struct estimate efficiency = {NAN, NAN, NAN, NAN, 0}, handing = efficiency;

    if (cache) { /* counters see what memory sent; a cache sends all of it */
        bandwidth = residency_roof(r, cache, s->threads);
        s->flops = s->analytic_flops;
        s->bytes = s->analytic_bytes;
        s->counted = false;
    }
    struct verdict_input in = {
        .phase = s->name,
        .flops = s->flops,
        .bytes = s->bytes,
        .counted = s->counted,
        .seconds = stats_median(s->ms, s->n) / 1e3,
        .compute = figures_roof(compute, s->compute),
        .bandwidth = figures_roof(bandwidth, bandwidth ? bandwidth->name : FIGURES_BANDWIDTH_ROOF),
        .launches = s->launches,
        .launch = figures_roof(launch, s->launch),
        .threads = r->device ? 0 : s->threads,
        .cache = cache ? cache->level : NULL,
        .cache_bytes = cache ? residency_bytes(r, cache, s->threads) : NAN,
        .from_memory = s->counted_bytes / s->analytic_bytes,
    };
    int code = compute && (bandwidth || cache) ? figures_efficiency(&efficiency, s, compute, bandwidth, e) : 0;
    if (code == 0)
        code = launch_share(&handing, s, launch, e);
    if (code < 0)
        return code;
    in.efficiency = efficiency.median;
    in.efficiency_lo = efficiency.lo;
    in.efficiency_hi = efficiency.hi;
    in.launch_share = handing.median;
    in.launch_share_lo = handing.lo;
    in.launch_share_hi = handing.hi;
    verdict_decide(out, &in);
    return 0;
}

/* The median step of each repetition that has one, with its moment. */
static int phase_times(struct stretch *s, const struct rows_trial *t, bool prefill, struct err *e)
{
    int steps = t->axis[AXIS_NEW_TOKENS];
    double *buf = malloc(((size_t)steps + 1) * sizeof *buf);

    s->ms = malloc(((size_t)t->reps + 1) * sizeof *s->ms);
    s->started_ns = malloc(((size_t)t->reps + 1) * sizeof *s->started_ns);
    for (int i = 0; buf && s->ms && s->started_ns && i < t->reps; i++) {
        const struct rows_repetition *rep = &t->rep[i];
        double ms = prefill ? rep->ms[0] : median_of(rep->ms + 1, steps - 1, buf);
        if (rep->pass != 0 || rep->warmup || !isfinite(ms))
            continue;
        s->ms[s->n] = ms;
        s->started_ns[s->n++] = rep->started_ns;
    }
    bool ok = buf && s->ms && s->started_ns;
    free(buf);
    return ok ? 0 : err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
}

/* A graph is recorded of a decode step, and only where there is a cache: other passes are given kernel by kernel. */
static const char *launch_roof(const struct rows_trial *t, bool prefill)
{
    bool eager = prefill || !t->axis[AXIS_KV_CACHE] || strcmp(axes[AXIS_LAUNCH].words[t->axis[AXIS_LAUNCH]], "eager") == 0;

    return eager ? "launch eager" : "launch graph";
}

int figures_stretch(struct stretch *out, const struct rows *r, const struct figures *f, const struct rows_trial *t,
                    bool prefill, struct err *e)
{
    const struct phase *p = prefill ? &f->prefill : &f->decode;
    const struct amount *flops = &p->amount[ROWS_FLOPS], *bytes = &p->amount[ROWS_BYTES];

    *out = (struct stretch){
        .name = prefill ? "prefill" : "decode",
        .flops = flops->analytic,
        .bytes = bytes->analytic,
        .analytic_flops = flops->analytic,
        .analytic_bytes = bytes->analytic,
        .pass_bytes = bytes->analytic,
        .counted_bytes = bytes->multiplexed ? NAN : bytes->counted,
        .compute = figures_compute_roof(r, t),
        .threads = figures_roof_threads(r, t),
        .launches = p->launches,
        .launch = launch_roof(t, prefill),
    };
    return phase_times(out, t, prefill, e);
}

void figures_stretch_free(struct stretch *s)
{
    free(s->ms);
    free(s->started_ns);
}

static int compute_verdict(struct figures *f, const struct rows *r, const struct rows_trial *t, bool prefill, struct err *e)
{
    struct phase *p = prefill ? &f->prefill : &f->decode;
    struct stretch s;
    int code = figures_stretch(&s, r, f, t, prefill, e);

    if (counted_both(p)) {
        s.flops = p->amount[ROWS_FLOPS].counted;
        s.bytes = p->amount[ROWS_BYTES].counted;
        s.counted = true;
    }
    if (code == 0)
        code = figures_judge(&p->verdict, r, &s, e);
    p->cache = figures_cache(r, &s);
    figures_stretch_free(&s);
    return code;
}

static void compute_predicted(struct figures *f, const struct rows_trial *t)
{
    int steps = t->axis[AXIS_NEW_TOKENS];
    double sum = 0;

    for (int i = 1; i < steps; i++)
        sum += t->predicted[i].roof_ms;
    f->prefill.predicted_ms = t->predicted[0].roof_ms;
    f->decode.predicted_ms = steps > 1 ? sum / (steps - 1) : NAN;
}

static void compute_tokens(struct figures *f, const struct rows_trial *t)
{
    const char *first = t->reps ? t->rep[0].tokens_hash : NULL;

    f->tokens_hash = first;
    f->tokens_agree = true;
    for (int i = 1; first && i < t->reps; i++)
        f->tokens_agree = f->tokens_agree && strcmp(t->rep[i].tokens_hash, first) == 0;
}

int figures_open(struct figures **out, const struct rows *r, struct err *e)
{
    struct figures *f = calloc((size_t)r->trials + 1, sizeof *f);
    int code = 0;

    *out = f;
    if (!f)
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int i = 0; code == 0 && i < r->trials; i++) {
        const struct rows_trial *t = &r->trial[i];
        code = compute_times(&f[i], r, t, e);
        if (code == 0)
            code = compute_work(&f[i], r, t, e);
        if (code == 0)
            code = compute_launches(&f[i].prefill, t, 0, 1, e);
        if (code == 0)
            code = compute_launches(&f[i].decode, t, 1, t->axis[AXIS_NEW_TOKENS], e);
        if (code == 0)
            code = compute_verdict(&f[i], r, t, true, e);
        if (code == 0)
            code = compute_verdict(&f[i], r, t, false, e);
        if (code < 0)
            break;
        compute_predicted(&f[i], t);
        compute_tokens(&f[i], t);
    }
    if (code < 0) {
        figures_close(f, r);
        *out = NULL;
    }
    return code;
}

void figures_close(struct figures *f, const struct rows *r)
{
    if (!f)
        return;
    for (int i = 0; i < r->trials; i++) {
        struct sample *all[TIME_SAMPLES];
        time_samples(&f[i], all);
        for (int k = 0; k < TIME_SAMPLES; k++)
            free(all[k]->x);
    }
    free(f);
}
