/* SPDX-License-Identifier: MIT
 * Reads a stored claim, has it judged, writes result, sentence and evidence back. */
#include "claims_eval.h"

#include <math.h>
#include <stdio.h>
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

/* A word or a number of the axis, as JSON or as the suite's words; "text" and "all" stand for what they are in this run. */
static bool read_value(const struct judge *j, enum axis axis, const json_t *v, int *out)
{
    const char *s = json_string_value(v);
    char digits[32];

    if (json_is_boolean(v))
        s = json_is_true(v) ? "on" : "off";
    if (json_is_integer(v)) {
        snprintf(digits, sizeof digits, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        s = digits;
    }
    if (!s || !axis_value(axis, s, out))
        return false;
    if (axes[axis].zero && *out == 0)
        *out = rows_usual(&j->d->rows, axis);
    return true;
}

/* A value, or a list of them of which any matches. */
static bool read_values(const struct judge *j, enum axis axis, const json_t *v, struct where *out)
{
    size_t n = json_is_array(v) ? json_array_size(v) : 1;

    if (n < 1 || n > WHERE_VALUES_MAX)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_value(j, axis, json_is_array(v) ? json_array_get(v, i) : v, &out->value[axis][i]))
            return false;
    out->values[axis] = (int)n;
    return true;
}

bool where_read(struct judge *j, const char *key, struct where *out)
{
    const char *name;
    json_t *v;

    *out = (struct where){0};
    json_object_foreach(json_object_get(j->spec, key), name, v)
    {
        int axis = axis_find(name);
        if (axis < 0 || !read_values(j, (enum axis)axis, v, out)) {
            text_printf(&j->evidence, "the claim's %s names no axis and value of a trial: %s", key, name);
            return false;
        }
    }
    return true;
}

bool where_matches(const struct where *w, const struct rows_trial *t)
{
    for (int a = 0; a < AXIS_COUNT; a++) {
        bool found = w->values[a] == 0;
        for (int i = 0; i < w->values[a]; i++)
            found = found || w->value[a][i] == t->axis[a];
        if (!found)
            return false;
    }
    return true;
}

void judge_print_axis(struct text *t, int axis, int value)
{
    char buf[AXIS_TEXT];

    text_printf(t, "%s=%s", axes[axis].name, axis_text((enum axis)axis, value, buf));
}

void where_print(struct text *t, const struct where *w)
{
    const char *comma = "";
    char buf[AXIS_TEXT];

    for (int a = 0; a < AXIS_COUNT; a++) {
        if (w->values[a] == 0)
            continue;
        text_puts(t, comma);
        judge_print_axis(t, a, w->value[a][0]);
        for (int i = 1; i < w->values[a]; i++)
            text_printf(t, "%s%s", i == w->values[a] - 1 ? " or " : ", ", axis_text((enum axis)a, w->value[a][i], buf));
        comma = ", ";
    }
}

void judge_print_where(struct judge *j, const struct where *w)
{
    if (json_object_size(json_object_get(j->spec, "where")) > 0)
        text_puts(&j->text, " where ");
    where_print(&j->text, w);
}

bool where_same_case(const struct rows_trial *a, const struct where *wa, const struct rows_trial *b, const struct where *wb,
                     int but)
{
    for (int i = 0; i < AXIS_COUNT; i++)
        if (i != but && !(wa->values[i] && wb->values[i]) && a->axis[i] != b->axis[i])
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
    int a = axis_find(judge_word(j, key));

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
    {"bound", judge_bound}, {"same_tokens", judge_same_tokens}, {"sampling", judge_sampling}, {"efficiency", judge_efficiency},
    {"share", judge_share}, {"faults", judge_faults},           {"ratio", judge_ratio},       {"exponent", judge_exponent},
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
