/* SPDX-License-Identifier: MIT
 * Reads a stored claim, has it judged, writes result, sentence and evidence back. */
#include "claims_eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"
#include "number.h"

static const char *const result_names[] = {[HELD] = "held", [UNDECIDED] = "undecided", [NOT_HELD] = "not held"};

const char *judge_word(const struct judge *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j->spec, key));

    return s ? s : "";
}

int judge_index(const char *name, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* on, off, strategies and numbers, as JSON or as the suite's words; "text" is the prompt as it tokenises. */
static bool axis_value(const struct judge *j, int axis, const json_t *v, int *out)
{
    const char *s = json_string_value(v);
    char *end;

    if (json_is_boolean(v) || json_is_integer(v)) {
        *out = json_is_integer(v) ? (int)json_integer_value(v) : json_is_true(v);
        return true;
    }
    if (s && axis == ROWS_KV_CACHE) {
        *out = strcmp(s, "on") == 0;
        return *out || strcmp(s, "off") == 0;
    }
    if (s && axis == ROWS_STRATEGY) {
        *out = judge_index(s, strategy_names, STRATEGY_COUNT);
        return *out >= 0;
    }
    if (s && axis == ROWS_PROMPT_TOKENS && strcmp(s, "text") == 0) {
        *out = j->d->rows.prompt_ids;
        return true;
    }
    *out = s ? (int)strtol(s, &end, 10) : 0;
    return s && end != s && !*end;
}

bool where_read(struct judge *j, const char *key, struct where *out)
{
    const char *name;
    json_t *v;

    *out = (struct where){0};
    json_object_foreach(json_object_get(j->spec, key), name, v)
    {
        int axis = judge_index(name, rows_axis_names, ROWS_AXES);
        if (axis < 0 || !axis_value(j, axis, v, &out->value[axis])) {
            text_printf(&j->evidence, "the claim's %s names no axis and value of a trial: %s", key, name);
            return false;
        }
        out->named[axis] = true;
    }
    return true;
}

bool where_matches(const struct where *w, const struct rows_trial *t)
{
    for (int a = 0; a < ROWS_AXES; a++)
        if (w->named[a] && w->value[a] != t->axis[a])
            return false;
    return true;
}

void judge_print_axis(struct text *t, int axis, int value)
{
    text_printf(t, "%s=", rows_axis_names[axis]);
    if (axis == ROWS_KV_CACHE)
        text_puts(t, value ? "on" : "off");
    else if (axis == ROWS_STRATEGY)
        text_puts(t, strategy_names[value]);
    else
        text_printf(t, "%d", value);
}

void where_print(struct text *t, const struct where *w)
{
    const char *comma = "";

    for (int a = 0; a < ROWS_AXES; a++) {
        if (!w->named[a])
            continue;
        text_puts(t, comma);
        judge_print_axis(t, a, w->value[a]);
        comma = ", ";
    }
}

bool where_same_case(const struct rows_trial *a, const struct where *wa, const struct rows_trial *b, const struct where *wb,
                     int but)
{
    for (int i = 0; i < ROWS_AXES; i++)
        if (i != but && !(wa->named[i] && wb->named[i]) && a->axis[i] != b->axis[i])
            return false;
    return true;
}

int judge_metric(struct judge *j)
{
    int m = judge_index(judge_word(j, "metric"), series_metric_names, SERIES_METRICS);

    if (m < 0)
        text_printf(&j->evidence, "the claim's metric is unknown: '%s'", judge_word(j, "metric"));
    return m;
}

int judge_axis(struct judge *j, const char *key)
{
    int a = judge_index(judge_word(j, key), rows_axis_names, ROWS_AXES);

    if (a < 0)
        text_printf(&j->evidence, "the claim's %s names no axis: '%s'", key, judge_word(j, key));
    return a;
}

void judge_print_interval(struct text *t, double v, double lo, double hi, const char *unit)
{
    char a[NUMBER_TEXT], b[NUMBER_TEXT], c[NUMBER_TEXT];

    text_printf(t, "%s%s", number_text(a, v, 3), unit);
    if (isfinite(lo) && lo < hi)
        text_printf(t, " [%s, %s]", number_text(b, lo, 3), number_text(c, hi, 3));
}

enum result judge_worse(enum result a, enum result b)
{
    return a > b ? a : b;
}

static const struct {
    const char *kind; /* as claim_kinds */
    enum result (*judge)(struct judge *j);
} judges[] = {
    {"bound", judge_bound}, {"same_tokens", judge_same_tokens}, {"sampling", judge_sampling},
    {"ratio", judge_ratio}, {"exponent", judge_exponent},
};

static enum result judge_claim(struct judge *j)
{
    const char *kind = judge_word(j, "claim");

    for (size_t i = 0; i < sizeof judges / sizeof *judges; i++)
        if (strcmp(judges[i].kind, kind) == 0)
            return judges[i].judge(j);
    text_printf(&j->text, "a claim of kind '%s'", kind);
    text_puts(&j->evidence, "this program does not know that kind");
    return UNDECIDED;
}

static int judge_one(struct document *d, const json_t *row, bool *held)
{
    struct judge j = {.d = d, .spec = json_object_get(row, "spec")};
    int ordinal = (int)json_integer_value(json_object_get(row, "ordinal"));

    text_puts(&j.text, "");
    text_puts(&j.evidence, "");
    enum result result = judge_claim(&j);
    if (j.code == 0)
        j.code = d->code;
    if (j.code == 0)
        j.code = store_set_claim(d->s, d->rows.run, ordinal, result_names[result], j.text.data, j.evidence.data, d->e);
    *held = result == HELD;
    text_free(&j.text);
    text_free(&j.evidence);
    return j.code;
}

static int judge_all(struct document *d, bool *all_held)
{
    json_t *rows =
        document_query(d, "SELECT ordinal, spec AS \"spec{}\" FROM claim WHERE run = ?1 ORDER BY ordinal", d->rows.run);
    int code = d->code;
    json_t *row;
    size_t i;

    *all_held = true;
    json_array_foreach(rows, i, row)
    {
        bool held = false;
        if (code == 0)
            code = judge_one(d, row, &held);
        *all_held = *all_held && held;
    }
    json_decref(rows);
    return code;
}

int analysis_claims(struct store *s, int64_t run, bool *all_held, struct err *e)
{
    struct document d = {.s = s, .e = e};

    *all_held = false;
    d.code = rows_load(&d.rows, s, run, e);
    if (d.code == 0)
        d.code = figures_open(&d.figures, &d.rows, e);
    int code = d.code == 0 ? judge_all(&d, all_held) : d.code;
    figures_close(d.figures, &d.rows);
    rows_free(&d.rows);
    return code;
}
