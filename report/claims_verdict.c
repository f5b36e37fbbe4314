/* SPDX-License-Identifier: MIT
 * Claims about trials one by one: what bounds them, and which tokens they chose. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "claims_eval.h"
#include "number.h"

/* --- bound --------------------------------------------------------------------------------------------------------- */

static enum result judge_verdict(const struct verdict *v, enum verdict_kind wanted)
{
    if (v->kind == VERDICT_UNKNOWN || v->kind == VERDICT_ABOVE)
        return UNDECIDED;
    if (v->possible == 1u << wanted)
        return HELD;
    return v->possible & 1u << wanted ? UNDECIDED : NOT_HELD;
}

/* Trials of a `bound` claim, taken together. */
struct bound_sum {
    enum verdict_kind wanted;
    int trials, held;
    enum result result;
    int worst; /* index of the first trial with that result */
    double efficiency_lo, efficiency_hi, margin_lo, margin_hi;
};

static void bound_evidence(struct judge *j, const struct bound_sum *sum, bool prefill)
{
    const struct figures *f = &j->d->figures[sum->worst];
    const struct verdict *v = prefill ? &f->prefill.verdict : &f->decode.verdict;
    char a[NUMBER_TEXT], b[NUMBER_TEXT], label[FIGURES_LABEL];

    text_printf(&j->evidence, "%d of %d trials; ", sum->held, sum->trials);
    if (sum->result == HELD && sum->wanted != VERDICT_LAUNCH && sum->trials == 1) {
        text_printf(&j->evidence, "efficiency %.0f %% [%.0f, %.0f], %sx the ridge (%s)", 100 * v->efficiency,
                    100 * v->efficiency_lo, 100 * v->efficiency_hi, number_text(a, v->margin, 2),
                    v->counted ? "counted" : "analytic");
        return;
    }
    if (sum->result == HELD && sum->wanted != VERDICT_LAUNCH) {
        text_printf(&j->evidence, "efficiency %.0f to %.0f %%, %sx to %sx the ridge (%s)", 100 * sum->efficiency_lo,
                    100 * sum->efficiency_hi, number_text(a, sum->margin_lo, 2), number_text(b, sum->margin_hi, 2),
                    v->counted ? "counted" : "analytic");
        return;
    }
    text_printf(&j->evidence, "%s: %s", figures_label(label, &j->d->rows, &j->d->rows.trial[sum->worst]), v->sentence);
    if (sum->result != UNDECIDED || v->kind == VERDICT_UNKNOWN)
        return;
    if (!isfinite(v->efficiency_lo))
        text_puts(&j->evidence, "; one repetition has no interval");
    else if (v->possible == (1u << VERDICT_LAUNCH | 1u << VERDICT_OVERHEAD) && isfinite(v->launch_share_lo))
        text_printf(&j->evidence, "; handing over takes anywhere in [%.0f, %.0f] %% of its time, which decides nothing",
                    100 * v->launch_share_lo, 100 * v->launch_share_hi);
    else
        text_printf(&j->evidence, "; its efficiency lies anywhere in [%.0f, %.0f] %%, which decides nothing",
                    100 * v->efficiency_lo, 100 * v->efficiency_hi);
}

enum result judge_bound(struct judge *j)
{
    static const char *const kinds[] = {"unknown", "compute", "bandwidth", "overhead", "launch"}; /* as enum verdict_kind */
    const char *phase = judge_word(j, "phase"), *is = judge_word(j, "is");
    bool prefill = strcmp(phase, "prefill") == 0;
    int wanted = judge_index(is, kinds, sizeof kinds / sizeof *kinds);
    struct where where;
    struct bound_sum sum = {
        .wanted = (enum verdict_kind)wanted, .efficiency_lo = NAN, .efficiency_hi = NAN, .margin_lo = NAN, .margin_hi = NAN};

    if (!where_read(j, "where", &where))
        return UNDECIDED;
    text_printf(&j->text, "%s is %s-bound", phase, is);
    judge_print_where(j, &where);
    for (int i = 0; wanted > 0 && i < j->d->rows.trials; i++) {
        const struct figures *f = &j->d->figures[i];
        const struct verdict *v = prefill ? &f->prefill.verdict : &f->decode.verdict;
        if (!where_matches(&where, &j->d->rows.trial[i]) || (!prefill && j->d->rows.trial[i].axis[AXIS_NEW_TOKENS] == 1))
            continue;
        enum result one = judge_verdict(v, (enum verdict_kind)wanted);
        if (sum.trials++ == 0 || one > sum.result)
            sum.worst = i;
        sum.result = judge_worse(sum.result, one);
        sum.held += one == HELD;
        sum.efficiency_lo = fmin(sum.efficiency_lo, v->efficiency);
        sum.efficiency_hi = fmax(sum.efficiency_hi, v->efficiency);
        sum.margin_lo = fmin(sum.margin_lo, v->margin);
        sum.margin_hi = fmax(sum.margin_hi, v->margin);
    }
    if (sum.trials == 0) {
        text_puts(&j->evidence, "no trial matches");
        return UNDECIDED;
    }
    bound_evidence(j, &sum, prefill);
    return sum.result;
}

/* --- same_tokens --------------------------------------------------------------------------------------------------- */

/* The first step at which two trials' first sequences differ; -1 when they do not (another sequence of the batch did). */
static int first_difference(struct judge *j, const struct rows_trial *a, const struct rows_trial *b)
{
    char sql[400];

    snprintf(sql, sizeof sql,
             "SELECT coalesce(min(a.step), -1) AS step FROM step a JOIN step b ON b.step = a.step AND b.repetition = %lld "
             "WHERE a.repetition = ?1 AND a.token <> b.token",
             (long long)rows_first_stepped(b)->id);
    json_t *row = document_query_one(j->d, sql, rows_first_stepped(a)->id);
    int step = (int)json_integer_value(json_object_get(row, "step"));
    json_decref(row);
    return step;
}

/* One trial against the first of its group. */
static enum result judge_tokens(struct judge *j, int first, int i)
{
    const struct rows *r = &j->d->rows;
    const struct figures *a = &j->d->figures[first], *b = &j->d->figures[i];
    char la[FIGURES_LABEL], lb[FIGURES_LABEL];

    if (b->tokens_hash && !b->tokens_agree) {
        text_printf(&j->evidence, "%s: its own repetitions chose different tokens; ", figures_label(lb, r, &r->trial[i]));
        return NOT_HELD;
    }
    if (!a->tokens_hash || !b->tokens_hash) {
        text_printf(&j->evidence, "%s: no repetition; ", figures_label(lb, r, &r->trial[b->tokens_hash ? first : i]));
        return UNDECIDED;
    }
    if (strcmp(a->tokens_hash, b->tokens_hash) == 0)
        return HELD;
    int step = first_difference(j, &r->trial[first], &r->trial[i]);
    text_printf(&j->evidence, "%s chose %s, %s chose %s", figures_label(la, r, &r->trial[first]), a->tokens_hash,
                figures_label(lb, r, &r->trial[i]), b->tokens_hash);
    if (step >= 0)
        text_printf(&j->evidence, " (they part at step %d)", step);
    text_puts(&j->evidence, "; ");
    return NOT_HELD;
}

enum result judge_same_tokens(struct judge *j)
{
    const struct rows *r = &j->d->rows;
    int axis = judge_axis(j, "across"), groups = 0, trials = 0, repetitions = 0;
    enum result result = HELD;

    text_printf(&j->text, "the same tokens are chosen whatever %s is", judge_word(j, "across"));
    for (int first = 0; axis >= 0 && first < r->trials; first++) {
        int members = 0;
        bool covered = false;
        for (int i = 0; i < r->trials; i++) {
            bool same = series_same_arm(&r->trial[i], &r->trial[first], (enum axis)axis);
            covered = covered || (same && i < first);
            members += same;
        }
        if (covered || members < 2)
            continue;
        groups++;
        for (int i = first; i < r->trials; i++)
            if (series_same_arm(&r->trial[i], &r->trial[first], (enum axis)axis)) {
                result = judge_worse(result, judge_tokens(j, first, i));
                trials++;
                repetitions += r->trial[i].reps;
            }
    }
    if (axis >= 0 && groups == 0)
        text_printf(&j->evidence, "no two trials differ in %s alone", judge_word(j, "across"));
    if (groups == 0)
        return UNDECIDED;
    text_printf(&j->evidence, "%d groups, %d trials, %d repetitions compared", groups, trials, repetitions);
    return result;
}
