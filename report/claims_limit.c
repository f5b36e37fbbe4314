/* SPDX-License-Identifier: MIT
 * Claims that hold one figure of every matching trial to a limit: what choosing the token takes, how near a phase or an op
 * comes to its roofs, what share of a phase an op takes, page faults. They differ in the figure alone; judging it by its
 * interval and telling each trial's in the evidence is the same for all. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims_eval.h"
#include "number.h"
#include "ops.h"

/* A trial's figure. Its interval decides; where that is NAN nothing does, and `why` says the reason. */
struct finding {
    int trial;
    struct estimate figure;
    enum result result;
    char why[200];
};

struct limit {
    double value;
    bool above;       /* the figure must be at or above it, else below it */
    bool share;       /* printed in per cent */
    bool decode_only; /* trials of one new token have no such figure */
    void (*measure)(struct judge *j, struct finding *f);
};

/* --- judging -------------------------------------------------------------------------------------------------------- */

static enum result judge_finding(const struct limit *l, const struct estimate *e)
{
    if (l->above)
        return e->lo >= l->value ? HELD : e->hi < l->value ? NOT_HELD : UNDECIDED;
    return e->hi < l->value ? HELD : e->lo >= l->value ? NOT_HELD : UNDECIDED;
}

/* The worst first: by result, then by how far on the wrong side. */
static bool worse(const struct limit *l, const struct finding *a, const struct finding *b)
{
    double x = a->figure.median, y = b->figure.median;

    if (a->result != b->result)
        return a->result > b->result;
    return l->above ? x < y : x > y;
}

static void sort_worst_first(const struct limit *l, struct finding *f, int n)
{
    for (int i = 1; i < n; i++) {
        struct finding moving = f[i];
        int at = i;
        for (; at > 0 && worse(l, &moving, &f[at - 1]); at--)
            f[at] = f[at - 1];
        f[at] = moving;
    }
}

/* By what tells the trial from the others; a trial alone by its whole label. */
static void print_case(struct judge *j, const struct finding *f, const bool *differs)
{
    const struct rows_trial *t = &j->d->rows.trial[f->trial];
    char label[FIGURES_LABEL];
    int named = 0;

    for (int a = 0; a < AXIS_COUNT; a++) {
        if (!differs[a])
            continue;
        text_puts(&j->evidence, named++ ? " " : " at ");
        judge_print_axis(&j->evidence, a, t->axis[a]);
    }
    if (!named)
        text_printf(&j->evidence, " for %s", figures_label(label, &j->d->rows, t));
}

static void print_finding(struct judge *j, const struct limit *l, const struct finding *f, const bool *differs)
{
    double scale = l->share ? 100 : 1;
    const struct estimate *e = &f->figure;

    if (isfinite(e->median))
        judge_print_interval(&j->evidence, scale * e->median, scale * e->lo, scale * e->hi, l->share ? " %" : "");
    else
        text_puts(&j->evidence, "not known");
    print_case(j, f, differs);
    if (f->why[0])
        text_printf(&j->evidence, " (%s)", f->why);
}

static void find_differences(const struct judge *j, const struct finding *f, int n, bool *differs)
{
    const struct rows_trial *t = j->d->rows.trial;

    for (int a = 0; a < AXIS_COUNT; a++)
        for (int i = 1; i < n; i++)
            differs[a] = differs[a] || t[f[i].trial].axis[a] != t[f[0].trial].axis[a];
}

enum { ALL_PRINTED = 12, WORST_PRINTED = 4 };

static void print_findings(struct judge *j, const struct limit *l, struct finding *f, int n)
{
    bool differs[AXIS_COUNT] = {false};
    int held = 0, shown = n <= ALL_PRINTED ? n : WORST_PRINTED;
    double lo = NAN, hi = NAN, scale = l->share ? 100 : 1;
    char a[NUMBER_TEXT], b[NUMBER_TEXT];

    find_differences(j, f, n, differs);
    for (int i = 0; i < n; i++) {
        held += f[i].result == HELD;
        lo = fmin(lo, f[i].figure.median);
        hi = fmax(hi, f[i].figure.median);
    }
    text_printf(&j->evidence, "%d of %d trials", held, n);
    if (shown < n) {
        sort_worst_first(l, f, n);
        text_printf(&j->evidence, ", %s to %s%s; the worst", number_text(a, scale * lo, 3), number_text(b, scale * hi, 3),
                    l->share ? " %" : "");
    }
    text_puts(&j->evidence, ": ");
    for (int i = 0; i < shown; i++) {
        text_puts(&j->evidence, i ? ", " : "");
        print_finding(j, l, &f[i], differs);
    }
}

static enum result judge_limit(struct judge *j, const struct limit *l, const struct where *where)
{
    const struct rows *r = &j->d->rows;
    struct finding *f = calloc((size_t)r->trials + 1, sizeof *f);
    enum result result = HELD;
    int n = 0;

    if (!f)
        j->code = err_set(j->d->e, ERR_MEMORY, "out of memory for the claims of a run");
    for (int i = 0; f && i < r->trials; i++) {
        if (!where_matches(where, &r->trial[i]) || (l->decode_only && r->trial[i].axis[AXIS_NEW_TOKENS] == 1))
            continue;
        f[n] = (struct finding){.trial = i, .figure = {NAN, NAN, NAN, NAN, 0}};
        l->measure(j, &f[n]);
        f[n].result = judge_finding(l, &f[n].figure);
        if (f[n].figure.n == 1 && !f[n].why[0] && f[n].result == UNDECIDED)
            snprintf(f[n].why, sizeof f[n].why, "one repetition has no interval");
        result = judge_worse(result, f[n++].result);
    }
    if (n > 0)
        print_findings(j, l, f, n);
    else
        text_puts(&j->evidence, "no trial matches");
    free(f);
    return n > 0 ? result : UNDECIDED;
}

static double number_of(const struct judge *j, const char *key)
{
    return json_number_value(json_object_get(j->spec, key));
}

static bool is_decode(const struct judge *j)
{
    return strcmp(judge_word(j, "phase"), "decode") == 0;
}

/* --- sampling ------------------------------------------------------------------------------------------------------- */

static void measure_choosing(struct judge *j, struct finding *f)
{
    f->figure = j->d->figures[f->trial].choosing.share;
    if (f->figure.n == 0)
        snprintf(f->why, sizeof f->why, "not measured");
}

enum result judge_sampling(struct judge *j)
{
    const struct limit l = {.value = number_of(j, "below"), .share = true, .decode_only = true, .measure = measure_choosing};
    struct where where;

    if (!where_read(j, "where", &where))
        return UNDECIDED;
    text_printf(&j->text, "choosing the token takes less than %g %% of a decode step", 100 * l.value);
    judge_print_where(j, &where);
    return judge_limit(j, &l, &where);
}

/* --- efficiency ----------------------------------------------------------------------------------------------------- */

static void lacks_roof(struct judge *j, struct finding *f, const char *name, int threads)
{
    int n = snprintf(f->why, sizeof f->why, "the roof '%.32s' was not measured", name);

    if (!j->d->rows.device)
        snprintf(f->why + n, sizeof f->why - (size_t)n, " with %d thread%s", threads, threads == 1 ? "" : "s");
}

/* The ceilings that a stretch is held against; one of them NULL: the other alone. */
struct ceiling {
    const struct rows_roof *compute, *bandwidth;
};

/* The roof that the claim names. What stays in a cache tells nothing about memory. */
static bool named_ceiling(struct judge *j, struct finding *f, const struct stretch *s, struct ceiling *out)
{
    const char *name = judge_word(j, "roof");
    const struct rows_roof *roof = rows_find_roof(&j->d->rows, name, s->threads);
    const struct rows_cache *cache = figures_cache(&j->d->rows, s);

    if (!roof) {
        lacks_roof(j, f, name, s->threads);
        return false;
    }
    if (strcmp(roof->kind, "launch") == 0) {
        snprintf(f->why, sizeof f->why, "the roof '%.32s' is of handing work over, not of doing it", name);
        return false;
    }
    if (cache && strcmp(roof->level, "dram") == 0) {
        snprintf(f->why, sizeof f->why, "its data stays in %s", cache->level[0] ? cache->level : "a cache");
        return false;
    }
    *out = strcmp(roof->kind, "compute") == 0 ? (struct ceiling){roof, NULL} : (struct ceiling){NULL, roof};
    return true;
}

/* The roofline: the verdict's roofs. */
static bool verdict_ceiling(struct judge *j, struct finding *f, const struct stretch *s, struct ceiling *out)
{
    const struct rows *r = &j->d->rows;
    const struct rows_cache *cache = figures_cache(r, s);
    char read[32];

    snprintf(read, sizeof read, "%s read", cache ? cache->level : "dram");
    *out = (struct ceiling){rows_find_roof(r, s->compute, s->threads), rows_find_roof(r, read, s->threads)};
    if (!out->compute || !out->bandwidth)
        lacks_roof(j, f, out->compute ? read : s->compute, s->threads);
    return out->compute && out->bandwidth;
}

/* What no machine can do decides nothing. A product may well be faster than a library's: that roof is no law of nature. */
static void check_possible(struct finding *f, const struct stretch *s, const struct ceiling *c)
{
    struct verdict_roof compute = figures_roof(c->compute, ""), bandwidth = figures_roof(c->bandwidth, "");
    bool memory = !c->compute || s->bytes / bandwidth.value > s->flops / compute.value;

    if (!memory && strstr(c->compute->name, "gemm"))
        return;
    if (!verdict_impossible(f->figure.median, f->figure.lo, memory ? &bandwidth : &compute))
        return;
    f->figure.lo = f->figure.hi = NAN;
    snprintf(f->why, sizeof f->why, "above its roof: the roof or the count is wrong");
}

/* The work that must be done, whatever counters saw be done, over the time that it took. */
static void measure_stretch(struct judge *j, struct finding *f, const struct stretch *s)
{
    struct ceiling c;

    if (s->n == 0)
        snprintf(f->why, sizeof f->why, "no timed repetition");
    else if (judge_word(j, "roof")[0] ? named_ceiling(j, f, s, &c) : verdict_ceiling(j, f, s, &c)) {
        int code = figures_efficiency(&f->figure, s, c.compute, c.bandwidth, j->d->e);
        if (code < 0)
            j->code = code;
        else if (f->figure.n > 0)
            check_possible(f, s, &c);
    }
}

static void measure_phase(struct judge *j, struct finding *f)
{
    struct stretch s;
    int code = figures_stretch(&s, &j->d->rows, &j->d->figures[f->trial], &j->d->rows.trial[f->trial], !is_decode(j), j->d->e);

    if (code == 0)
        measure_stretch(j, f, &s);
    else
        j->code = code;
    figures_stretch_free(&s);
}

/* The ops of the claim's phase; false with the reason where they had no pass. The owner calls ops_free in either case. */
static bool load_ops(struct judge *j, struct finding *f, struct ops *out)
{
    int code = ops_load(out, j->d->s, &j->d->rows, f->trial, !is_decode(j), j->d->e);

    if (code < 0)
        j->code = code;
    else if (out->ops == 0)
        snprintf(f->why, sizeof f->why, "its ops were not measured: the suite needs per: op");
    return code == 0 && out->ops > 0;
}

static void measure_op(struct judge *j, struct finding *f)
{
    struct ops o;
    struct stretch s;

    if (load_ops(j, f, &o)) {
        struct ops_op *op = ops_find(&o, judge_word(j, "op"));
        if (op) {
            ops_stretch(&s, &o, op, &j->d->rows, &j->d->rows.trial[f->trial]);
            measure_stretch(j, f, &s);
        } else {
            snprintf(f->why, sizeof f->why, "it has no op '%.32s'", judge_word(j, "op"));
        }
    }
    ops_free(&o);
}

enum result judge_efficiency(struct judge *j)
{
    const char *op = judge_word(j, "op"), *roof = judge_word(j, "roof"), *phase = judge_word(j, "phase");
    const struct limit l = {.value = number_of(j, "above"),
                            .above = true,
                            .share = true,
                            .decode_only = is_decode(j),
                            .measure = op[0] ? measure_op : measure_phase};
    struct where where;

    if (!where_read(j, "where", &where))
        return UNDECIDED;
    text_printf(&j->text, "%s reaches at least %g %% of ", op[0] ? op : phase, 100 * l.value);
    if (roof[0])
        text_printf(&j->text, "the %s roof", roof);
    else
        text_puts(&j->text, "its roofline");
    if (op[0])
        text_printf(&j->text, " in %s", phase);
    judge_print_where(j, &where);
    return judge_limit(j, &l, &where);
}

/* --- share ---------------------------------------------------------------------------------------------------------- */

static const char *const products[] = {"qkv", "attention", "out", "mlp", "head"};
enum { PRODUCTS = sizeof products / sizeof *products };

/* Of each execution's step, all that is not in those ops: the other ops and what lies between them. */
static struct estimate rest_share(struct ops *o, double *x)
{
    for (int k = 0; k < o->reps; k++) {
        double inside = 0;
        for (int i = 0; i < PRODUCTS; i++) {
            const struct ops_op *op = ops_find(o, products[i]);
            inside += op && op->ms.n > 0 ? op->whole.ms[k] : 0;
        }
        x[k] = 1 - inside / o->step_ms[k];
    }
    return stats_estimate(x, o->reps);
}

static void measure_share(struct judge *j, struct finding *f)
{
    const char *of = judge_word(j, "of");
    struct ops o;

    if (load_ops(j, f, &o)) {
        const struct ops_op *op = ops_find(&o, of);
        double *x = malloc(((size_t)o.reps + 1) * sizeof *x);
        if (!x)
            j->code = err_set(j->d->e, ERR_MEMORY, "out of memory for the claims of a run");
        else if (strcmp(of, "rest") == 0)
            f->figure = rest_share(&o, x);
        else if (op)
            f->figure = op->share;
        if (f->figure.n == 0)
            snprintf(f->why, sizeof f->why, "it has no op '%.32s'", of);
        free(x);
    }
    ops_free(&o);
}

enum result judge_share(struct judge *j)
{
    const struct limit l = {
        .value = number_of(j, "below"), .share = true, .decode_only = is_decode(j), .measure = measure_share};
    bool rest = strcmp(judge_word(j, "of"), "rest") == 0;
    struct where where;

    if (!where_read(j, "where", &where))
        return UNDECIDED;
    text_printf(&j->text, "%s takes less than %g %% of %s",
                rest ? "all but qkv, attention, out, mlp and head" : judge_word(j, "of"), 100 * l.value,
                judge_word(j, "phase"));
    judge_print_where(j, &where);
    return judge_limit(j, &l, &where);
}

/* --- faults --------------------------------------------------------------------------------------------------------- */

/* The most that an execution had; one that did not record them may have had more. */
static void measure_faults(struct judge *j, struct finding *f)
{
    const struct rows_trial *t = &j->d->rows.trial[f->trial];
    struct estimate *e = &f->figure;

    for (int i = 0; i < t->reps; i++) {
        const struct rows_repetition *r = &t->rep[i];
        if (r->pass != 0 || r->warmup)
            continue;
        e->n++;
        e->median = e->lo = fmax(e->median, r->faults); /* passes over NAN */
        if (!isfinite(r->faults))
            snprintf(f->why, sizeof f->why, "not recorded of every execution");
    }
    e->hi = f->why[0] ? NAN : e->median;
    if (e->n == 0)
        snprintf(f->why, sizeof f->why, "no timed repetition");
}

enum result judge_faults(struct judge *j)
{
    const struct limit l = {.value = number_of(j, "below"), .measure = measure_faults};
    struct where where;

    if (!where_read(j, "where", &where))
        return UNDECIDED;
    text_printf(&j->text, "every timed execution has fewer than %g page fault%s", l.value, l.value == 1 ? "" : "s");
    judge_print_where(j, &where);
    return judge_limit(j, &l, &where);
}
