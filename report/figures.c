/* SPDX-License-Identifier: MIT
 * Times come from pass 'time' without warm-up and from nothing else; counts from whatever repetition carries a reading. A
 * repetition that lacks a step gives no figure that needs it, so a killed run is analysed like any other. */
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIME_SAMPLES = 7 };
static const double enough_counted = 0.5; /* share of decode steps below which their mean says nothing */

const char *figures_label(char buf[FIGURES_LABEL], const struct rows_trial *t)
{
    int n = snprintf(buf, FIGURES_LABEL, "kv_cache=%s prompt=%d new=%d", t->axis[ROWS_KV_CACHE] ? "on" : "off",
                     t->axis[ROWS_PROMPT_TOKENS], t->axis[ROWS_NEW_TOKENS]);

    if (t->axis[ROWS_BATCH] != 1)
        n += snprintf(buf + n, FIGURES_LABEL - (size_t)n, " batch=%d", t->axis[ROWS_BATCH]);
    if (t->axis[ROWS_STRATEGY] != STRATEGY_GREEDY)
        snprintf(buf + n, FIGURES_LABEL - (size_t)n, " strategy=%s", strategy_names[t->axis[ROWS_STRATEGY]]);
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
    int steps = t->axis[ROWS_NEW_TOKENS];
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
    f->timed++;
}

static void time_samples(struct figures *f, struct sample *out[TIME_SAMPLES])
{
    struct sample *const all[TIME_SAMPLES] = {&f->prefill.sample,  &f->decode.sample,        &f->loop, &f->total, &f->tpot,
                                              &f->choosing.sample, &f->choosing.share_sample};

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
    f->p50_ms = stats_median(pool, f->pooled);
    f->p90_ms = f->pooled >= STATS_P90_MIN ? stats_quantile(pool, f->pooled, 0.9) : NAN;
    f->p99_ms = f->pooled >= STATS_P99_MIN ? stats_quantile(pool, f->pooled, 0.99) : NAN;
}

static int compute_times(struct figures *f, const struct rows *r, const struct rows_trial *t, struct err *e)
{
    /* One more repetition's room: median_of puts its finite values behind the pool before they are added to it. */
    double *pool = calloc((size_t)t->reps + 1, (size_t)t->axis[ROWS_NEW_TOKENS] * sizeof *pool);

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
        int n = rows_step_counted(t, m, i, buf);
        sum.analytic += analytic;
        if (n == 0)
            continue;
        sum.counted += stats_median(buf, n);
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
    int steps = t->axis[ROWS_NEW_TOKENS];
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

/* --- verdicts ------------------------------------------------------------------------------------------------------ */

/* Both amounts from the counters, or both analytic: an intensity of mixed provenance would have none. */
static bool counted_both(const struct phase *p)
{
    for (int m = 0; m < ROWS_METRICS; m++)
        if (!isfinite(p->amount[m].counted) || p->amount[m].multiplexed)
            return false;
    return true;
}

/* Each repetition against the roofs of its own moment: a bandwidth that drifts moves both, and their ratio stays. */
static int compute_efficiency(struct phase *p, const struct rows *r, const struct rows_trial *t, bool prefill, double flops,
                              double bytes, struct err *e)
{
    const struct rows_roof *compute = rows_find_roof(r, FIGURES_COMPUTE_ROOF);
    const struct rows_roof *bandwidth = rows_find_roof(r, FIGURES_BANDWIDTH_ROOF);
    int steps = t->axis[ROWS_NEW_TOKENS];
    double *buf = malloc(((size_t)steps + 1) * sizeof *buf);
    struct sample s = {malloc(((size_t)t->reps + 1) * sizeof *s.x), 0};

    for (int i = 0; buf && s.x && i < t->reps; i++) {
        const struct rows_repetition *rep = &t->rep[i];
        if (rep->pass != 0 || rep->warmup)
            continue;
        double ms = prefill ? rep->ms[0] : median_of(rep->ms + 1, steps - 1, buf);
        add(&s, 1e3 / ms *
                    verdict_roof_seconds(flops, bytes, figures_roof_at(compute, rep->started_ns),
                                         figures_roof_at(bandwidth, rep->started_ns)));
    }
    bool ok = buf && s.x;
    if (ok)
        p->efficiency = stats_estimate(s.x, s.n);
    free(buf);
    free(s.x);
    return ok ? 0 : err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
}

static int compute_verdict(struct phase *p, const struct rows *r, const struct rows_trial *t, bool prefill, struct err *e)
{
    bool counted = counted_both(p);
    const struct amount *flops = &p->amount[ROWS_FLOPS], *bytes = &p->amount[ROWS_BYTES];
    struct verdict_input in = {
        .phase = prefill ? "prefill" : "decode",
        .flops = counted ? flops->counted : flops->analytic,
        .bytes = counted ? bytes->counted : bytes->analytic,
        .analytic_bytes = bytes->analytic,
        .counted = counted,
        .seconds = p->ms.median / 1e3,
        .compute = figures_roof(rows_find_roof(r, FIGURES_COMPUTE_ROOF), FIGURES_COMPUTE_ROOF),
        .bandwidth = figures_roof(rows_find_roof(r, FIGURES_BANDWIDTH_ROOF), FIGURES_BANDWIDTH_ROOF),
    };
    int code = compute_efficiency(p, r, t, prefill, in.flops, in.bytes, e);

    in.efficiency = p->efficiency.median;
    in.efficiency_lo = p->efficiency.lo;
    in.efficiency_hi = p->efficiency.hi;
    verdict_decide(&p->verdict, &in);
    return code;
}

static void compute_predicted(struct figures *f, const struct rows_trial *t)
{
    int steps = t->axis[ROWS_NEW_TOKENS];
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
            code = compute_verdict(&f[i].prefill, r, t, true, e);
        if (code == 0)
            code = compute_verdict(&f[i].decode, r, t, false, e);
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

/* --- overhead ------------------------------------------------------------------------------------------------------ */

int figures_overhead(struct sample *out, const struct rows *r, int pass, bool prefill, struct err *e)
{
    size_t steps = 0, reps = 0;
    double *buf;

    for (int i = 0; i < r->trials; i++) {
        steps += (size_t)r->trial[i].axis[ROWS_NEW_TOKENS];
        reps += (size_t)r->trial[i].reps;
    }
    *out = (struct sample){malloc((steps + 1) * sizeof *out->x), 0};
    buf = malloc((reps + 1) * sizeof *buf);
    if (!out->x || !buf) {
        free(out->x);
        free(buf);
        return err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    }
    for (int i = 0; i < r->trials; i++) {
        const struct rows_trial *t = &r->trial[i];
        for (int k = prefill ? 0 : 1; k < (prefill ? 1 : t->axis[ROWS_NEW_TOKENS]); k++) {
            double with = stats_median(buf, rows_step_ms(t, pass, k, buf));
            double without = stats_median(buf, rows_step_ms(t, 0, k, buf));
            add(out, with / without - 1);
        }
    }
    free(buf);
    return 0;
}
