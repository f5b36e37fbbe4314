/* SPDX-License-Identifier: MIT
 * Claims about arms against each other: how many times more, and how much more steeply along an axis. */
#include <math.h>
#include <stdlib.h>

#include "claims_eval.h"

/* --- ratio --------------------------------------------------------------------------------------------------------- */

struct pair {
    int of, over; /* trials */
    int x;        /* where it stands on the axis `along` */
    enum series_source source;
    struct estimate ratio; /* n = 0: one side is unknown */
};

static struct pair make_pair(struct judge *j, int of, int over, enum series_metric m, int along)
{
    struct figures *f = j->d->figures;
    enum series_source source = series_common_source(&f[of], &f[over], m);
    struct sample a = series_sample(&f[of], m, source), b = series_sample(&f[over], m, source);
    struct pair p = {of, over, along >= 0 ? j->d->rows.trial[of].axis[along] : 0, source, stats_ratio(a.x, a.n, b.x, b.n)};

    if (source != SERIES_TIMER) /* work has no spread */
        p.ratio.lo = p.ratio.hi = p.ratio.median;
    return p;
}

/* All pairs by rising x; malloc'ed. */
static struct pair *find_pairs(struct judge *j, const struct where *of, const struct where *over, enum series_metric m,
                               int along, int *count)
{
    const struct rows *r = &j->d->rows;
    struct pair *out = NULL;

    *count = 0;
    for (int a = 0; a < r->trials; a++)
        for (int b = 0; b < r->trials; b++) {
            if (!where_matches(of, &r->trial[a]) || !where_matches(over, &r->trial[b]) || a == b ||
                !where_same_case(&r->trial[a], of, &r->trial[b], over, -1))
                continue;
            struct pair *more = realloc(out, (size_t)(*count + 1) * sizeof *out), p = make_pair(j, a, b, m, along);
            if (!more) {
                j->code = err_set(j->d->e, ERR_MEMORY, "out of memory for the claims of a run");
                return out;
            }
            out = more;
            int at = (*count)++;
            for (; at > 0 && out[at - 1].x > p.x; at--)
                out[at] = out[at - 1];
            out[at] = p;
        }
    return out;
}

/* Where a trial stands over several, by what tells those apart. */
static void print_other_side(struct judge *j, const struct pair *p, int n, int i)
{
    const struct rows_trial *t = j->d->rows.trial;
    const char *before = " over ";

    for (int a = 0; a < AXIS_COUNT; a++) {
        bool differs = false;
        for (int k = 0; k < n; k++)
            differs = differs || (p[k].of == p[i].of && t[p[k].over].axis[a] != t[p[i].over].axis[a]);
        if (!differs)
            continue;
        text_puts(&j->evidence, before);
        judge_print_axis(&j->evidence, a, t[p[i].over].axis[a]);
        before = " ";
    }
}

enum { PAIRS_PRINTED = 8 };

static void print_pairs(struct judge *j, const struct pair *p, int n, int along)
{
    char label[FIGURES_LABEL];

    for (int i = 0; i < n && i < PAIRS_PRINTED; i++) {
        text_puts(&j->evidence, i ? ", " : "");
        judge_print_interval(&j->evidence, p[i].ratio.median, p[i].ratio.lo, p[i].ratio.hi, "x");
        if (along >= 0) {
            text_puts(&j->evidence, " at ");
            judge_print_axis(&j->evidence, along, p[i].x);
        } else {
            text_printf(&j->evidence, " for %s", figures_label(label, &j->d->rows, &j->d->rows.trial[p[i].of]));
        }
        print_other_side(j, p, n, i);
    }
    if (n > PAIRS_PRINTED)
        text_printf(&j->evidence, " and %d more", n - PAIRS_PRINTED);
    if (n > 0 && p[0].source != SERIES_TIMER)
        text_printf(&j->evidence, " (%s)", series_source_names[p[0].source]);
}

/* The ratio's bounds, both excluded; infinite where the claim states none. */
struct bounds {
    double above, below;
};

static bool bounded(const struct bounds *b)
{
    return isfinite(b->above) || isfinite(b->below);
}

static void print_bounds(struct text *t, const struct bounds *b)
{
    if (isfinite(b->above))
        text_printf(t, " above %g", b->above);
    if (isfinite(b->below))
        text_printf(t, "%s below %g", isfinite(b->above) ? " and" : "", b->below);
}

static enum result judge_bounds(struct judge *j, const struct pair *p, int n, const struct bounds *b)
{
    enum result result = HELD;

    for (int i = 0; i < n; i++) {
        const struct estimate *r = &p[i].ratio;
        bool in = r->lo > b->above && r->hi < b->below, out = r->hi <= b->above || r->lo >= b->below;
        result = judge_worse(result, in ? HELD : out ? NOT_HELD : UNDECIDED);
    }
    if (result == UNDECIDED) {
        text_puts(&j->evidence, "; not every interval is");
        print_bounds(&j->evidence, b);
    }
    return result;
}

/* Pairs that differ along the axis alone. */
static bool same_line(const struct rows *r, const struct pair *a, const struct pair *b, enum axis along)
{
    return series_same_arm(&r->trial[a->of], &r->trial[b->of], along) &&
           series_same_arm(&r->trial[a->over], &r->trial[b->over], along);
}

/* One line of pairs, from its shortest (p[first]) on. */
static enum result judge_line(struct judge *j, const struct pair *p, int n, int first, enum axis along, int *lines)
{
    int last = first;
    bool rises = true;

    for (int i = first + 1; i < n; i++)
        if (same_line(&j->d->rows, &p[i], &p[first], along) && p[i].x > p[last].x) {
            rises = rises && p[i].ratio.median > p[last].ratio.median;
            last = i;
        }
    if (last == first)
        return HELD;
    ++*lines;
    const struct estimate *a = &p[first].ratio, *b = &p[last].ratio;
    enum result result = b->lo > a->hi ? HELD : b->hi <= a->lo ? NOT_HELD : UNDECIDED;
    text_printf(&j->evidence, "; %s from %s=%d to %d, %s",
                result == HELD       ? "grows"
                : result == NOT_HELD ? "does not grow"
                                     : "growth is open",
                axis_names[along], p[first].x, p[last].x, rises ? "rising at every step" : "not rising at every step");
    return result;
}

static enum result judge_growth(struct judge *j, const struct pair *p, int n, int along)
{
    enum result result = HELD;
    int lines = 0;

    for (int i = 0; along >= 0 && i < n; i++) {
        bool covered = false;
        for (int k = 0; k < i; k++)
            covered = covered || same_line(&j->d->rows, &p[k], &p[i], (enum axis)along);
        if (!covered)
            result = judge_worse(result, judge_line(j, p, n, i, (enum axis)along, &lines));
    }
    if (lines > 0)
        return result;
    text_puts(&j->evidence, along >= 0 ? "; growth needs two points on its axis" : "; growth needs an axis (along)");
    return UNDECIDED;
}

static bool pairs_known(struct judge *j, const struct pair *p, int n)
{
    char label[FIGURES_LABEL];

    if (n == 0)
        text_puts(&j->evidence, "no two trials make a pair");
    for (int i = 0; i < n; i++)
        if (!isfinite(p[i].ratio.lo)) {
            text_printf(&j->evidence, "%s: %s", figures_label(label, &j->d->rows, &j->d->rows.trial[p[i].of]),
                        p[i].ratio.n ? "one repetition has no interval" : "it or its partner has no value");
            return false;
        }
    return n > 0;
}

static void ratio_text(struct judge *j, const struct where *of, const struct where *over, const struct bounds *b, bool grows)
{
    text_printf(&j->text, "%s with ", judge_word(j, "metric"));
    where_print(&j->text, of);
    text_puts(&j->text, " over that with ");
    where_print(&j->text, over);
    if (bounded(b)) {
        text_puts(&j->text, " is");
        print_bounds(&j->text, b);
    }
    if (grows)
        text_printf(&j->text, "%s grows along %s", bounded(b) ? " and" : "", judge_word(j, "along"));
}

/* Above 1 unless the claim says something else. */
static struct bounds read_bounds(const struct judge *j, bool grows)
{
    const json_t *above = json_object_get(j->spec, "above"), *below = json_object_get(j->spec, "below");
    struct bounds b = {above ? json_number_value(above) : -INFINITY, below ? json_number_value(below) : INFINITY};

    if (!above && !below && !grows)
        b.above = 1;
    return b;
}

enum result judge_ratio(struct judge *j)
{
    struct where of, over;
    bool grows = json_is_true(json_object_get(j->spec, "grows"));
    struct bounds bounds = read_bounds(j, grows);
    enum result result = UNDECIDED;
    int n = 0;

    if (!where_read(j, "of", &of) || !where_read(j, "over", &over))
        return UNDECIDED;
    ratio_text(j, &of, &over, &bounds, grows);
    int metric = judge_metric(j), along = json_object_get(j->spec, "along") ? judge_axis(j, "along") : -1;
    if (metric < 0)
        return UNDECIDED;
    struct pair *p = find_pairs(j, &of, &over, (enum series_metric)metric, along, &n);
    if (j->code == 0 && pairs_known(j, p, n)) {
        print_pairs(j, p, n, along);
        result = bounded(&bounds) ? judge_bounds(j, p, n, &bounds) : HELD;
        if (grows)
            result = judge_worse(result, judge_growth(j, p, n, along));
    }
    free(p);
    return result;
}

/* --- exponent ------------------------------------------------------------------------------------------------------ */

struct arm {
    struct stats_fit fit;
    double theory_here;
    enum series_source source;
    int points;
};

static struct arm fit_arm(struct judge *j, int trial, enum axis along, enum series_metric m)
{
    struct arm out = {{NAN, NAN, NAN, NAN}, NAN, SERIES_TIMER, 0};
    struct series s;
    int code = series_init(&s, &j->d->rows, j->d->figures, trial, along, m, j->d->e);

    if (code < 0) {
        j->code = code;
        return out;
    }
    out = (struct arm){series_fit(&s), series_theory_here(&s, j->d->figures), s.source, s.points};
    series_free(&s);
    return out;
}

/* The first trial of its arm that matches, so that each arm is judged once. */
static bool opens_arm(const struct rows *r, int trial, const struct where *w, int along)
{
    for (int i = 0; i < trial; i++)
        if (where_matches(w, &r->trial[i]) && series_same_arm(&r->trial[i], &r->trial[trial], (enum axis)along))
            return false;
    return where_matches(w, &r->trial[trial]);
}

static enum result judge_arms(struct judge *j, const struct arm *steeper, const struct arm *than)
{
    judge_print_interval(&j->evidence, steeper->fit.exponent, steeper->fit.lo, steeper->fit.hi, "");
    text_puts(&j->evidence, " against ");
    judge_print_interval(&j->evidence, than->fit.exponent, than->fit.lo, than->fit.hi, "");
    text_printf(&j->evidence, " (%d and %d points, %s)", steeper->points, than->points, series_source_names[steeper->source]);
    if (steeper->source != SERIES_ANALYTIC && isfinite(steeper->theory_here + than->theory_here))
        text_printf(&j->evidence, "; analytic FLOPs at these points: %.2f against %.2f", steeper->theory_here,
                    than->theory_here);
    if (!isfinite(steeper->fit.lo + than->fit.lo)) {
        text_puts(&j->evidence, "; one repetition has no interval");
        return UNDECIDED;
    }
    return steeper->fit.lo > than->fit.hi ? HELD : steeper->fit.hi <= than->fit.lo ? NOT_HELD : UNDECIDED;
}

enum result judge_exponent(struct judge *j)
{
    const struct rows *r = &j->d->rows;
    struct where steeper, than;
    enum result result = HELD;
    int pairs = 0;

    if (!where_read(j, "steeper", &steeper) || !where_read(j, "than", &than))
        return UNDECIDED;
    text_printf(&j->text, "%s grows more steeply along %s with ", judge_word(j, "metric"), judge_word(j, "along"));
    where_print(&j->text, &steeper);
    text_puts(&j->text, " than with ");
    where_print(&j->text, &than);
    int metric = judge_metric(j), along = metric < 0 ? -1 : judge_axis(j, "along");
    if (along < 0)
        return UNDECIDED;
    for (int a = 0; a < r->trials; a++)
        for (int b = 0; b < r->trials && opens_arm(r, a, &steeper, along); b++) {
            if (!opens_arm(r, b, &than, along) || !where_same_case(&r->trial[a], &steeper, &r->trial[b], &than, along))
                continue;
            struct arm s = fit_arm(j, a, (enum axis)along, (enum series_metric)metric);
            struct arm t = fit_arm(j, b, (enum axis)along, (enum series_metric)metric);
            if (!isfinite(s.fit.exponent) || !isfinite(t.fit.exponent))
                continue;
            text_puts(&j->evidence, pairs++ ? "; " : "");
            result = judge_worse(result, judge_arms(j, &s, &t));
        }
    if (pairs > 0)
        return result;
    text_printf(&j->evidence, "no two arms with values at three lengths of %s", judge_word(j, "along"));
    return UNDECIDED;
}
