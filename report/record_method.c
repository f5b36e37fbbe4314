/* SPDX-License-Identifier: MIT
 * The parts of a record about how it was computed and measured: types, the ops of a step, energy, calibration, what measuring
 * costs, the machine.
 */
#include <math.h>
#include <string.h>

#include "record_parts.h"
#include "words.h"

/* --- types -----------------------------------------------------------------------------------------------------------------
 */

static void fill_weights(struct view *v, json_t *row, const json_t *trial)
{
    char b[WORDS_MAX];

    view_put_md(v, row, "trial", words_string_at(trial, "label"), "?");
    view_put(v, row, "dtype", words_axis(b, trial, "dtype"));
    view_put(v, row, "weights", words_scaled(b, words_number_at(trial, "weight_bytes"), "B"));
    view_put(v, row, "arithmetic", words_string_at(trial, "arithmetic"));
}

static void fill_accuracy(struct view *v, json_t *row, const json_t *trial)
{
    double spread = words_number_at(trial, "accuracy.spread"), max = words_number_at(trial, "accuracy.max_error");
    double mean = words_number_at(trial, "accuracy.mean_error");
    char b[WORDS_MAX];

    fill_weights(v, row, trial);
    view_put(v, row, "max", words_value(b, max, ""));
    view_put(v, row, "max_share", words_percent(b, max / spread));
    view_put(v, row, "mean", words_value(b, mean, ""));
    view_put(v, row, "mean_share", words_percent(b, mean / spread));
    view_put(v, row, "top1", words_percent(b, words_number_at(trial, "accuracy.top1")));
    view_put_json(v, row, "positions", json_integer(json_integer_value(words_at(trial, "accuracy.positions"))));
}

/* A table of what each trial computed with, and one of how exactly; neither where all was float32 and nothing was compared. */
void record_put_types(struct view *v, const json_t *document)
{
    json_t *weights = json_array(), *accuracies = json_array(), *t;
    bool unusual = false;
    size_t i;

    json_array_foreach((json_t *)words_at(document, "trials"), i, t) unusual = unusual || words_is_unusual(v->axes, t, "dtype");
    json_array_foreach((json_t *)words_at(document, "trials"), i, t)
    {
        if (unusual)
            fill_weights(v, view_add_row(v, weights), t);
        if (words_at(t, "accuracy"))
            fill_accuracy(v, view_add_row(v, accuracies), t);
    }
    view_put_json(v, v->root, "types", json_boolean(unusual || json_array_size(accuracies)));
    view_put_json(v, v->root, "weight_types", weights);
    view_put_json(v, v->root, "accuracies", accuracies);
}

/* --- ops -------------------------------------------------------------------------------------------------------------------
 */

static double best_amount(const json_t *op, const char *metric)
{
    const json_t *a = words_at(op, metric);
    double counted = words_number_at(a, "counted");

    return isfinite(counted) ? counted : words_number_at(a, "analytic");
}

static void put_amount(struct view *v, json_t *row, const char *key, double amount, const char *unit)
{
    char b[WORDS_MAX];

    view_put(v, row, key, amount > 0 ? words_scaled(b, amount, unit) : "none");
}

/* "57.4 % of dram read: bandwidth-bound" */
static void put_roof(struct view *v, json_t *row, const json_t *op)
{
    const char *roof = words_string_at(op, "verdict.roof"), *kind = words_string_at(op, "verdict.kind");
    struct text text = {0};
    char b[WORDS_MAX];

    if (roof && kind)
        text_printf(&text, "%s of %s: %s", words_percent(b, words_number_at(op, "verdict.efficiency")), roof, kind);
    else
        text_puts(&text, words_at(op, "verdict") ? "no verdict" : "no FLOPs, no roof");
    view_put_text(v, row, "roof", &text);
}

static void put_op(struct view *v, json_t *list, const json_t *op, const char *phase)
{
    json_t *row = view_add_row(v, list);
    double counted = words_number_at(op, "flops.counted") + words_number_at(op, "bytes.counted");
    char b[WORDS_MAX];

    view_put(v, row, "phase", phase);
    view_put_md(v, row, "op", words_string_at(op, "op"), "?");
    view_put(v, row, "ms", words_estimate(b, words_at(op, "ms"), ""));
    view_put(v, row, "share", words_percent(b, words_number_at(op, "share.median")));
    put_amount(v, row, "flops", best_amount(op, "flops"), "FLOP");
    put_amount(v, row, "bytes", best_amount(op, "bytes"), "B");
    view_put(v, row, "work", isfinite(counted) ? "counter" : "analytic");
    put_amount(v, row, "gflops", 1e9 * words_number_at(op, "gflops"), "FLOP/s");
    put_amount(v, row, "gbps", 1e9 * words_number_at(op, "gbps"), "B/s");
    put_roof(v, row, op);
}

static void add_perturbation(struct text *out, const json_t *trial, const char *phase)
{
    const json_t *p = words_at(words_at(trial, "per_op"), phase);
    char b[WORDS_MAX];

    if (p)
        text_printf(out, "%s%s %s", out->len ? ", " : "", phase, words_change(b, words_number_at(p, "perturbation")));
}

void record_put_ops(struct view *v, const json_t *trial)
{
    static const char *const phases[] = {"prefill", "decode"};
    json_t *list = json_array(), *op;
    struct text text = {0};
    size_t i;

    view_put_json(v, v->root, "ops", list);
    for (int p = 0; p < 2; p++) {
        json_array_foreach((json_t *)words_at(words_at(words_at(trial, "per_op"), phases[p]), "ops"), i, op)
            put_op(v, list, op, phases[p]);
        add_perturbation(&text, trial, phases[p]);
    }
    if (text.len == 0)
        text_puts(&text, "not measured");
    view_put_text(v, v->root, "perturbation", &text);
}

/* --- energy ----------------------------------------------------------------------------------------------------------------
 */

static void put_phase_energy(struct view *v, json_t *list, const json_t *trial, const char *phase)
{
    const json_t *e = words_at(words_at(trial, "energy"), phase);
    char b[WORDS_MAX];

    if (!e)
        return;
    json_t *row = view_add_row(v, list);
    view_put(v, row, "phase", phase);
    view_put_md(v, row, "trial", words_string_at(trial, "label"), "?");
    view_put(v, row, "joules", words_estimate(b, words_at(e, "joules"), ""));
    view_put(v, row, "each", words_value(b, words_number_at(e, "joules_per_token"), ""));
    view_put(v, row, "watts", words_estimate(b, words_at(e, "watts"), ""));
}

void record_put_energy(struct view *v, const json_t *document)
{
    bool gpu = words_at(document, "device");
    json_t *list = json_array(), *trial, *a;
    const char *why = "the suite asked for no probe of it", *of = NULL, *probe = gpu ? "nvml" : "rapl";
    size_t i;

    view_put_json(v, v->root, "energies", list);
    json_array_foreach((json_t *)words_at(document, "trials"), i, trial)
    {
        put_phase_energy(v, list, trial, "prefill");
        put_phase_energy(v, list, trial, "decode");
        of = of ? of : words_string_at(trial, "energy.of");
    }
    json_array_foreach((json_t *)words_at(document, "absent"), i, a)
    {
        const char *what = words_string_at(a, "what");
        if (what && strcmp(what, probe) == 0 && words_string_at(a, "why"))
            why = words_string_at(a, "why");
    }
    view_put_md(v, v->root, "no_energy", why, "");
    view_put(v, v->root, "energy_of", (of ? strcmp(of, "GPU board") == 0 : gpu) ? "the GPU's board" : "the CPU packages");
}

/* --- method ----------------------------------------------------------------------------------------------------------------
 */

static void fill_fact(struct view *v, json_t *row, const json_t *fact)
{
    view_put_md(v, row, "key", words_string_at(fact, "key"), "?");
    view_put_md(v, row, "value", words_string_at(fact, "value"), "not recorded");
    view_put_md(v, row, "source", words_string_at(fact, "source"), "?");
}

static void fill_calibration(struct view *v, json_t *row, const json_t *c)
{
    bool accepted = json_is_true(words_at(c, "accepted"));
    struct text text = {0};
    char b[WORDS_MAX];

    view_put_md(v, row, "metric", words_string_at(c, "metric"), "?");
    view_put_md(v, row, "event", words_string_at(c, "event"), "?");
    view_put_md(v, row, "kernel", words_string_at(c, "kernel"), "?");
    double off = words_number_at(c, "rel_error");
    text_printf(&text, isfinite(off) ? "%.2f %%" : "no reading", 100 * off);
    view_put_text(v, row, "error", &text);
    view_put(v, row, "limit", words_percent(b, words_number_at(c, "limit")));
    text_puts(&text, accepted ? "accepted" : "refused: ");
    words_markdown(&text, accepted || !words_string_at(c, "why") ? "" : words_string_at(c, "why"));
    view_put_text(v, row, "verdict", &text);
}

static void put_cost(struct view *v, json_t *row, const json_t *o)
{
    double lo = words_number_at(o, "ratio.lo"), hi = words_number_at(o, "ratio.hi");
    char b[WORDS_MAX], low[WORDS_MAX], high[WORDS_MAX];
    struct text text = {0};

    text_puts(&text, words_change(b, words_number_at(o, "ratio.median")));
    if (isfinite(lo))
        text_printf(&text, " [%s, %s]", words_change(low, lo), words_change(high, hi));
    view_put_text(v, row, "slower", &text);
}

static void fill_overhead(struct view *v, json_t *row, const json_t *o)
{
    const char *against = words_string_at(o, "against");
    char b[WORDS_MAX];

    view_put_md(v, row, "phase", words_string_at(o, "phase"), "?");
    view_put_md(v, row, "pass", words_string_at(o, "pass"), "?");
    put_cost(v, row, o);
    view_put(v, row, "us", words_value(b, words_number_at(o, "us_a_step.median"), ""));
    view_put_json(v, row, "pairs", json_integer(json_integer_value(words_at(o, "ratio.n"))));
    view_put(v, row, "against", against && strcmp(against, "bare") == 0 ? "bare" : "the timing pass");
}

static void fill_absent(struct view *v, json_t *row, const json_t *a)
{
    view_put_md(v, row, "what", words_string_at(a, "what"), "?");
    view_put_md(v, row, "why", words_string_at(a, "why"), "no reason was recorded");
}

void record_put_method(struct view *v, const json_t *d)
{
    double rejected = words_number_at(d, "rejected");
    struct text text = {0};

    view_put_md(v, v->root, "conventions", words_string_at(d, "run.conventions"), "not recorded");
    text_printf(&text, isfinite(rejected) ? "%.0f" : "an unknown number of", rejected);
    view_put_text(v, v->root, "rejected", &text);
    view_put_list(v, "calibrations", words_at(d, "calibrations"), fill_calibration);
    view_put_list(v, "overheads", words_at(d, "overhead"), fill_overhead);
    view_put_list(v, "absent", words_at(d, "absent"), fill_absent);
    view_put_list(v, "machine", words_at(d, "machine"), fill_fact);
    view_put_md(v, v->root, "command", words_string_at(d, "run.command"), "not recorded");
    view_put_md(v, v->root, "version", words_string_at(d, "run.version"), "not recorded");
    view_put_md(v, v->root, "compiler", words_string_at(d, "run.compiler"), "not recorded");
    view_put_md(v, v->root, "backend", words_string_at(d, "run.backend"), "not recorded");
    view_put_md(v, v->root, "backend_about", words_string_at(d, "run.backend_about"), "not described");
}
