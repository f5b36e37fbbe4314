/* SPDX-License-Identifier: MIT
 * At most 100 columns, as summary.c. */
#include "summary_parts.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "words.h"

enum { CELL = 48 };

static const char *const phases[] = {"prefill", "decode"};

/* What the logits depend on. */
static const char *const accuracy_axes[] = {"dtype", "kv_dtype", "gemm", "attention"};
enum { ACCURACY_AXES = sizeof accuracy_axes / sizeof *accuracy_axes };

/* --- what measuring costs --------------------------------------------------------------------------------------------------
 */

static const json_t *find_cost(const json_t *overhead, const char *pass, const char *phase)
{
    json_t *o;
    size_t i;

    json_array_foreach((json_t *)overhead, i, o)
    {
        const char *p = words_string_at(o, "pass"), *q = words_string_at(o, "phase");
        if (p && q && strcmp(p, pass) == 0 && strcmp(q, phase) == 0)
            return o;
    }
    return NULL;
}

/* "+0.21 % [-0.10, +0.52]" */
static void cost_cell(char cell[CELL], const json_t *o)
{
    double median = 100 * words_number_at(o, "ratio.median");
    double lo = 100 * words_number_at(o, "ratio.lo"), hi = 100 * words_number_at(o, "ratio.hi");

    if (!isfinite(median))
        snprintf(cell, CELL, "-");
    else if (!isfinite(lo))
        snprintf(cell, CELL, "%+.2f %%", median);
    else
        snprintf(cell, CELL, "%+.2f %% [%+.2f, %+.2f]", median, lo, hi);
}

static void put_cost(struct text *out, const json_t *overhead, const char *pass)
{
    const json_t *decode = find_cost(overhead, pass, "decode");
    char cell[2][CELL], us[NUMBER_TEXT];

    for (int p = 0; p < 2; p++)
        cost_cell(cell[p], find_cost(overhead, pass, phases[p]));
    text_puts(out, "  ");
    summary_clean(out, pass, strlen(pass));
    text_printf(out, "%*s", strlen(pass) < 20 ? 20 - (int)strlen(pass) : 1, "");
    text_printf(out, "%30s  %30s", cell[0], cell[1]);
    if (isfinite(words_number_at(decode, "us_a_step.median")))
        text_printf(out, "  %10s", number_text(us, words_number_at(decode, "us_a_step.median"), 3));
    text_puts(out, "\n");
}

void summary_costs(struct text *out, const json_t *overhead)
{
    json_t *o;
    size_t i;

    if (!json_array_size(overhead))
        return;
    const char *against = words_string_at(json_array_get(overhead, 0), "against");
    bool bare = against && strcmp(against, "bare") == 0;
    text_printf(out, "\nwhat measuring costs, against %s; [95 %% interval]\n",
                bare ? "executions beside it that nothing watches" : "the timing pass");
    text_printf(out, "  %-20s%30s  %30s%s\n", "pass", "prefill", "decode", bare ? "   us a step" : "");
    json_array_foreach((json_t *)overhead, i, o)
    {
        const char *pass = words_string_at(o, "pass");
        if (pass && find_cost(overhead, pass, phases[0]) == o) /* every pass has a prefill */
            put_cost(out, overhead, pass);
    }
}

/* --- ops -------------------------------------------------------------------------------------------------------------------
 */

static double best_amount(const json_t *op, const char *metric)
{
    const json_t *a = json_object_get(op, metric);
    double counted = words_number_at(a, "counted");

    return isfinite(counted) ? counted : words_number_at(a, "analytic");
}

/* Nothing stands for what an op does not do. */
static const char *amount_text(char b[NUMBER_TEXT], double v)
{
    return v > 0 ? number_text(b, v, 3) : "-";
}

static void put_op(struct text *out, const json_t *op)
{
    const char *name = words_string_at(op, "op"), *kind = words_string_at(op, "verdict.kind");
    const char *roof = words_string_at(op, "verdict.roof");
    double share = words_number_at(op, "share.median"), efficiency = words_number_at(op, "verdict.efficiency");
    char b[5][NUMBER_TEXT], of[CELL] = "-";

    if (isfinite(efficiency) && roof)
        snprintf(of, sizeof of, "%.0f %% of %.20s, %.16s", 100 * efficiency, roof, kind ? kind : "?");
    text_puts(out, "  ");
    summary_clean(out, name ? name : "?", strlen(name ? name : "?"));
    text_printf(out, "%*s%9s %6.1f %%  %7s %7s %7s %7s  %s\n", 10 - (int)strlen(name ? name : "?"), "",
                number_text(b[0], words_number_at(op, "ms.median"), 3), 100 * share,
                amount_text(b[1], best_amount(op, "flops") / 1e6), amount_text(b[2], best_amount(op, "bytes") / 1e6),
                amount_text(b[3], words_number_at(op, "gflops")), amount_text(b[4], words_number_at(op, "gbps")), of);
}

static void put_phase(struct text *out, const json_t *trial, const char *phase)
{
    const json_t *p = json_object_get(json_object_get(trial, "per_op"), phase);
    char ms[NUMBER_TEXT], perturbation[WORDS_MAX];
    struct text line = {0};
    json_t *op;
    size_t i;

    if (!isfinite(words_number_at(p, "step_ms.median"))) /* no pass timed ops */
        return;
    text_printf(&line, "%s by op, %s: %s ms%s, %s against the timing pass", phase, words_string_at(trial, "label"),
                number_text(ms, words_number_at(p, "step_ms.median"), 3), strcmp(phase, "decode") == 0 ? " a step" : "",
                words_change(perturbation, words_number_at(p, "perturbation")));
    text_puts(out, "\n");
    summary_line(out, line.data);
    text_free(&line);
    text_printf(out, "  %-10s%9s %8s  %7s %7s %7s %7s  %s\n", "op", "ms", "share", "MFLOP", "MB", "GFLOP/s", "GB/s",
                "of its roof");
    json_array_foreach(json_object_get(p, "ops"), i, op) put_op(out, op);
}

static const json_t *shown_trial(const json_t *trials)
{
    const json_t *best = NULL, *t;
    double most = -1;
    size_t i;

    json_array_foreach((json_t *)trials, i, t)
    {
        const char *kv = words_string_at(t, "kv_cache");
        double score = words_number_at(t, "new_tokens") + (kv && strcmp(kv, "on") == 0 ? 1e9 : 0);
        if (json_is_object(json_object_get(t, "per_op")) && score > most) {
            best = t;
            most = score;
        }
    }
    return best;
}

void summary_ops(struct text *out, const json_t *trials)
{
    const json_t *t = shown_trial(trials);

    for (int p = 0; t && p < 2; p++)
        put_phase(out, t, phases[p]);
}

/* --- types -----------------------------------------------------------------------------------------------------------------
 */

/* Of trials that agree in those axes the first alone stands for all. */
static bool is_first(const json_t *trials, size_t trial, const char *const *names, size_t n)
{
    for (size_t i = 0; i < trial; i++) {
        bool same = true;
        for (size_t k = 0; k < n; k++)
            same = same && json_equal(json_object_get(json_array_get(trials, i), names[k]),
                                      json_object_get(json_array_get(trials, trial), names[k]));
        if (same)
            return false;
    }
    return true;
}

void summary_weights(struct text *out, const json_t *document)
{
    static const char *const by[] = {"dtype", "arithmetic"};
    const json_t *trials = json_object_get(document, "trials");
    struct text line = {0};
    char dtype[WORDS_MAX], mb[NUMBER_TEXT];
    bool other = false;
    json_t *t;
    size_t i;
    int shown = 0;

    text_puts(&line, "weights in memory:");
    json_array_foreach((json_t *)trials, i, t)
    {
        other = other || words_is_unusual(json_object_get(document, "axes"), t, "dtype");
        if (!is_first(trials, i, by, 2))
            continue;
        const char *arithmetic = words_string_at(t, "arithmetic");
        text_printf(&line, "%s %s %s MB, computed in %s", shown++ ? ";" : "", words_axis(dtype, t, "dtype"),
                    number_text(mb, words_number_at(t, "weight_bytes") / 1e6, 3), arithmetic ? arithmetic : "?");
    }
    if (other) {
        summary_clean(out, line.data, line.len);
        text_puts(out, "\n");
    }
    text_free(&line);
}

static void put_accuracy(struct text *out, const json_t *document, const json_t *trial)
{
    const json_t *a = json_object_get(trial, "accuracy");
    double spread = words_number_at(a, "spread"), max = words_number_at(a, "max_error");
    double mean = words_number_at(a, "mean_error");
    struct text name = {0};
    char dtype[WORDS_MAX], b[4][NUMBER_TEXT];

    text_puts(&name, words_axis(dtype, trial, "dtype"));
    for (size_t i = 1; i < ACCURACY_AXES; i++)
        if (words_is_unusual(json_object_get(document, "axes"), trial, accuracy_axes[i]))
            text_printf(&name, " %s=%s", accuracy_axes[i], words_axis(dtype, trial, accuracy_axes[i]));
    text_puts(out, "  ");
    summary_clean(out, name.data, name.len);
    text_printf(out, "%*s%10s %10s  %8s %%  %8s %%  %8.1f %%\n", name.len < 34 ? 34 - (int)name.len : 1, "",
                number_text(b[0], max, 3), number_text(b[1], mean, 3), number_text(b[2], 100 * max / spread, 2),
                number_text(b[3], 100 * mean / spread, 2), 100 * words_number_at(a, "top1"));
    text_free(&name);
}

void summary_accuracy(struct text *out, const json_t *document)
{
    const json_t *trials = json_object_get(document, "trials");
    json_t *t;
    size_t i;
    int shown = 0;

    json_array_foreach((json_t *)trials, i, t)
    {
        const json_t *a = json_object_get(t, "accuracy");
        if (!json_is_object(a) || !is_first(trials, i, accuracy_axes, ACCURACY_AXES))
            continue;
        if (shown++ == 0) {
            text_printf(out, "\nlogits against those in float32, over %.0f positions; spread: their standard deviation\n",
                        words_number_at(a, "positions"));
            text_printf(out, "  %-34s%10s %10s  %10s  %10s  %10s\n", "", "max error", "mean", "max/spread", "mean/spread",
                        "same top");
        }
        put_accuracy(out, document, t);
    }
}

/* --- GPU -------------------------------------------------------------------------------------------------------------------
 */

static double reading(const json_t *trial, const char *phase, const char *metric)
{
    return words_number_at(json_object_get(json_object_get(words_at(trial, "device.readings"), phase), metric), "value");
}

/* "; decode 194 kernels a step, busy 88 % of it, 612 W" */
static void put_device(struct text *line, const json_t *trial, const char *phase)
{
    double kernels = words_number_at(words_at(trial, "device.launches"), phase), watts = reading(trial, phase, "gpu_power_w");
    double busy = reading(trial, phase, "gpu_busy_ns") / reading(trial, phase, "gpu_ns");
    bool decode = strcmp(phase, "decode") == 0;
    char w[NUMBER_TEXT];

    if (!isfinite(kernels))
        return;
    text_printf(line, "%s %s %.0f kernels%s", decode ? ";" : ":", phase, kernels, decode ? " a step" : "");
    if (isfinite(busy))
        text_printf(line, ", busy %.0f %% of it", 100 * busy);
    if (isfinite(watts))
        text_printf(line, ", %s W", number_text(w, watts, 3));
}

void summary_device(struct text *out, const json_t *trials)
{
    json_t *t, *word;
    size_t i, k;

    json_array_foreach((json_t *)trials, i, t)
    {
        struct text line = {0};
        if (!words_at(t, "device"))
            continue;
        text_printf(&line, "GPU, %s", words_string_at(t, "label"));
        for (int p = 0; p < 2; p++)
            put_device(&line, t, phases[p]);
        json_array_foreach((json_t *)words_at(t, "device.slowed"), k, word)
            text_printf(&line, "%s%s", k ? ", " : "; slowed by: ", json_string_value(word));
        summary_line(out, line.data);
        text_free(&line);
    }
}

/* --- energy ----------------------------------------------------------------------------------------------------------------
 */

static void put_energy(struct text *line, const json_t *trial, const char *phase)
{
    const json_t *e = json_object_get(json_object_get(trial, "energy"), phase);
    char j[NUMBER_TEXT], w[NUMBER_TEXT];

    if (json_is_object(e))
        text_printf(line, ", %s %s J a token at %s W", phase, number_text(j, words_number_at(e, "joules_per_token"), 3),
                    number_text(w, words_number_at(e, "watts.median"), 3));
}

void summary_energy(struct text *out, const json_t *trials)
{
    json_t *t;
    size_t i;

    json_array_foreach((json_t *)trials, i, t)
    {
        const char *of = words_string_at(t, "energy.of"), *label = words_string_at(t, "label");
        struct text line = {0};
        if (!json_is_object(json_object_get(t, "energy")))
            continue;
        text_printf(&line, "energy%s, %s", of && strcmp(of, "GPU board") == 0 ? " of the GPU" : "", label ? label : "?");
        put_energy(&line, t, "prefill");
        put_energy(&line, t, "decode");
        summary_line(out, line.data);
        text_free(&line);
    }
}
