/* SPDX-License-Identifier: MIT
 * The view is written top to bottom in the order of the template. Its main trial is the suite's typical request: with the
 * cache, at the text's own prompt length, with the most new tokens. Values that go into a table cell are escaped here (suffix
 * _md or md() around them); those of the fenced block at the top stand as they are, on one line. */
#include "record_view.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "record_parts.h"
#include "words.h"

/* --- the main trial ------------------------------------------------------------------------------------------------------ */

static bool is_greedy(const json_t *of)
{
    const char *strategy = words_string_at(of, "strategy");

    return !strategy || strcmp(strategy, "greedy") == 0;
}

/* Cache, prompt and new tokens are looked at apart. */
static bool is_usual(const json_t *axes, const json_t *trial)
{
    struct text unusual = {0};

    words_unusual(&unusual, axes, trial, " ");
    bool none = unusual.len == 0;
    text_free(&unusual);
    return none;
}

/* Measured before unmeasured, then cache on, then the text's own length, then greedy, then what is usual, then the longest. */
static double preference(const json_t *trial, const json_t *axes, size_t text_tokens)
{
    const char *kv = words_string_at(trial, "kv_cache");
    double score = words_number_at(trial, "new_tokens") / 1e9;

    score += is_greedy(trial) ? 0.5 : 0;
    score += is_usual(axes, trial) ? 0.25 : 0;
    score += words_number_at(trial, "prompt_tokens") == (double)text_tokens ? 1 : 0;
    score += kv && strcmp(kv, "on") == 0 ? 2 : 0;
    score += isfinite(words_number_at(trial, "total_ms.median")) ? 4 : 0;
    return score;
}

static const json_t *main_trial(const json_t *document)
{
    const json_t *best = NULL, *axes = words_at(document, "axes");
    size_t text_tokens = json_array_size(words_at(document, "run.prompt_ids")), i;
    json_t *trial;

    json_array_foreach((json_t *)words_at(document, "trials"), i, trial)
    {
        if (!best || preference(trial, axes, text_tokens) > preference(best, axes, text_tokens))
            best = trial;
    }
    return best;
}

static void put_identity(struct view *v, const json_t *d, const json_t *t)
{
    const char *prompt = words_string_at(d, "run.prompt"), *label = words_string_at(t, "label");
    const char *name = words_string_at(d, "model.name"), *dtype = words_string_at(d, "model.dtype");
    const char *started = words_string_at(d, "run.started"), *generated = words_string_at(t, "text");
    struct text text = {0}, escaped = {0};

    view_put_md(v, v->root, "name", words_string_at(d, "run.suite"), "unnamed");
    view_put_json(v, v->root, "run", json_integer(json_integer_value(words_at(d, "run.id"))));
    text_printf(&text, "%.10s", started ? started : "unknown");
    view_put_text(v, v->root, "date", &text);
    text_printf(&text, "%s @ %s", name ? name : "not recorded", dtype ? dtype : "unknown dtype");
    if (words_number_at(d, "model.stored_bytes") > 0)
        text_printf(&text, " (%s, stored as %s)", words_string_at(d, "model.format"), words_string_at(d, "model.stored"));
    view_put_text(v, v->root, "model", &text);
    view_put_md(v, v->root, "weights", words_string_at(d, "model.weights"), "not recorded");
    words_quoted(&text, prompt ? prompt : "");
    view_put_text(v, v->root, "prompt", &text);
    view_put(v, v->root, "main_label", label ? label : "none: no trial was begun");
    view_put(v, v->root, "kv_cache", label ? words_string_at(t, "kv_cache") : "no trial was begun");
    view_put_json(v, v->root, "repetitions", json_integer(json_integer_value(words_at(t, "repetitions"))));
    words_quoted(&text, generated ? generated : "");
    words_markdown(&escaped, generated ? text.data : "none");
    text_free(&text);
    view_put_text(v, v->root, "generated", &escaped);
}

static const char *machine_value(const json_t *d, const char *key)
{
    json_t *fact;
    size_t i;

    json_array_foreach((json_t *)words_at(d, "machine"), i, fact)
    {
        const char *k = words_string_at(fact, "key");
        if (k && strcmp(k, key) == 0)
            return words_string_at(fact, "value");
    }
    return NULL;
}

/* Backends that run on the CPU use no GPU; of another one that tells nothing this record knows no utilisation. */
static bool on_cpu(const json_t *d)
{
    static const char *const cpu[] = {"cpu", "ref", "null"};
    const char *backend = words_string_at(d, "run.backend");

    for (size_t i = 0; i < sizeof cpu / sizeof *cpu; i++)
        if (backend && strcmp(backend, cpu[i]) == 0)
            return true;
    return false;
}

/* "Sample GPU, Sample CPU, 2 threads on CPU 0,1" */
static void put_hardware(struct view *v, const json_t *d)
{
    const char *cpu = machine_value(d, "CPU"), *cpus = words_string_at(d, "run.cpus");
    json_int_t threads = json_integer_value(words_at(d, "run.threads"));
    const char *gpu = words_string_at(d, "device.name");
    struct text text = {0};

    if (words_at(d, "device"))
        text_printf(&text, "%s; host: ", gpu ? gpu : "GPU not recorded");
    text_printf(&text, "%s, %lld thread%s on CPU %s", cpu ? cpu : "CPU not recorded", (long long)threads,
                threads == 1 ? "" : "s", cpus ? cpus : "?");
    view_put_text(v, v->root, "hardware", &text);
}

static void put_setting(struct view *v, const json_t *d, const json_t *t)
{
    json_int_t batch = json_integer_value(words_at(t, "batch"));
    struct text text = {0};

    put_hardware(v, d);
    if (!t)
        text_puts(&text, "no trial was begun");
    else if (batch == 1)
        text_puts(&text, "single request (batch 1, no waiting window)");
    else
        text_printf(&text, "%lld sequences at once, same prompt (no waiting window)", (long long)batch);
    view_put_text(v, v->root, "batch_policy", &text);
    if (words_at(d, "device"))
        record_put_utilization(v, t);
    else
        view_put(v, v->root, "gpu_utilization", on_cpu(d) ? "N/A (CPU only)" : "not measured");
}

/* "5.18 ms (13 tokens, 0.398 ms/token)" */
static void put_phase(struct view *v, const char *key, double ms, double count, const char *what)
{
    char total[WORDS_MAX], each[WORDS_MAX];
    struct text text = {0};

    text_puts(&text, words_value(total, ms, "ms"));
    if (isfinite(ms) && count > 0)
        text_printf(&text, " (%.0f %s%s, %s/%s)", count, what, count == 1 ? "" : "s", words_value(each, ms / count, "ms"),
                    what);
    view_put_text(v, v->root, key, &text);
}

/* "412 ms, 86.2 MB stored at 209 MB/s, peak memory 610 MB" */
static void put_loading(struct view *v, const json_t *d)
{
    double took = words_number_at(d, "run.load_model_ms"), peak = words_number_at(d, "model.load_peak_bytes");
    double stored = isfinite(took) ? words_number_at(d, "model.stored_bytes") : NAN;
    char b[WORDS_MAX];
    struct text text = {0};

    text_puts(&text, words_value(b, took, "ms"));
    if (stored > 0)
        text_printf(&text, ", %s stored", words_scaled(b, stored, "B"));
    if (stored > 0)
        text_printf(&text, " at %s", words_scaled(b, words_number_at(d, "model.load_bytes_per_s"), "B/s"));
    if (isfinite(took + peak))
        text_printf(&text, ", peak memory %s", words_scaled(b, peak, "B"));
    view_put_text(v, v->root, "load_model", &text);
}

static void put_metrics(struct view *v, const json_t *d, const json_t *t)
{
    char b[WORDS_MAX];

    put_loading(v, d);
    view_put(v, v->root, "load_tokenizer", words_value(b, words_number_at(d, "run.load_tokenizer_ms"), "ms"));
    put_phase(v, "tokenize", words_number_at(d, "run.tokenize_ms"), (double)json_array_size(words_at(d, "run.prompt_ids")),
              "token");
    put_phase(v, "prefill", words_number_at(t, "prefill.ms.median"), words_number_at(t, "prompt_tokens"), "token");
    put_phase(v, "decode_loop", words_number_at(t, "decode_loop_ms.median"), words_number_at(t, "decode.steps"), "step");
    view_put(v, v->root, "total_generate", words_value(b, words_number_at(t, "total_ms.median"), "ms"));
    view_put(v, v->root, "token_per_s", words_value(b, words_number_at(t, "token_per_s"), "tokens/s"));
}

/* --- outcome ---------------------------------------------------------------------------------------------------------------
 */

static void put_outcome(struct view *v, const json_t *d)
{
    const char *outcome = words_string_at(d, "run.outcome"), *problem = words_string_at(d, "run.problem");
    bool ended = words_string_at(d, "run.finished") && outcome;
    bool whole = ended && (strcmp(outcome, "held") == 0 || strcmp(outcome, "not held") == 0);

    view_put_md(v, v->root, "question", words_string_at(d, "run.question"), "not recorded");
    view_put(v, v->root, "outcome",
             !ended              ? "unfinished"
             : !whole            ? outcome
             : outcome[0] == 'h' ? "all claims held"
                                 : "not every claim held");
    if (whole)
        view_put(v, v->root, "unfinished", "");
    else
        view_put_md(v, v->root, "unfinished", problem, "no end was recorded: it is still running, or it was killed");
}

static void fill_claim(struct view *v, json_t *row, const json_t *claim)
{
    const char *result = words_string_at(claim, "result"), *text = words_string_at(claim, "text");
    char *spec = text ? NULL : json_dumps(words_at(claim, "spec"), JSON_COMPACT);

    view_put(v, row, "result", result ? result : "not evaluated");
    view_put_md(v, row, "claim", text ? text : spec, "not recorded");
    view_put_md(v, row, "evidence", words_string_at(claim, "evidence"), "the run ended before it was evaluated");
    free(spec);
}

static void put_verdict(struct view *v, json_t *list, const json_t *trial, const char *phase)
{
    const json_t *p = words_at(trial, phase);
    const char *kind = words_string_at(p, "verdict.kind");
    struct text verdict = {0};
    char b[WORDS_MAX];

    if (!kind)
        return;
    json_t *row = view_add_row(v, list);
    view_put(v, row, "phase", phase);
    view_put_md(v, row, "trial", words_string_at(trial, "label"), "?");
    text_printf(&verdict, "%s%s", kind, words_string_at(p, "verdict.cache") ? ", in cache" : "");
    view_put_text(v, row, "verdict", &verdict);
    view_put(v, row, "of_roof", words_percent(b, words_number_at(p, "verdict.efficiency")));
    view_put(v, row, "ai", words_value(b, words_number_at(p, "verdict.ai"), ""));
    view_put(v, row, "gflops", words_value(b, words_number_at(p, "verdict.gflops"), ""));
    view_put(v, row, "gbps", words_value(b, words_number_at(p, "verdict.gbps"), ""));
    view_put_md(v, row, "work", words_string_at(p, "verdict.source"), "not known");
}

static void put_verdicts(struct view *v, const json_t *d)
{
    json_t *list = json_array(), *trial;
    size_t i;

    view_put_json(v, v->root, "verdicts", list);
    json_array_foreach((json_t *)words_at(d, "trials"), i, trial) put_verdict(v, list, trial, "prefill");
    json_array_foreach((json_t *)words_at(d, "trials"), i, trial) put_verdict(v, list, trial, "decode");
}

/* --- tables ----------------------------------------------------------------------------------------------------------------
 */

static void fill_trial(struct view *v, json_t *row, const json_t *t)
{
    char b[WORDS_MAX];
    bool decodes = words_number_at(t, "new_tokens") > 1;

    view_put_md(v, row, "trial", words_string_at(t, "label"), "?");
    view_put(v, row, "prefill", words_estimate(b, words_at(t, "prefill.ms"), ""));
    view_put(v, row, "ttft", words_estimate(b, words_at(t, "ttft_ms"), ""));
    view_put(v, row, "step", decodes ? words_estimate(b, words_at(t, "decode.ms"), "") : "no decode");
    view_put(v, row, "tpot", decodes ? words_estimate(b, words_at(t, "tpot_ms"), "") : "no decode");
    view_put(v, row, "total", words_estimate(b, words_at(t, "total_ms"), ""));
    view_put(v, row, "rate", words_value(b, words_number_at(t, "token_per_s"), ""));
    view_put_json(v, row, "timed", json_integer(json_integer_value(words_at(t, "repetitions"))));
    view_put(v, row, "remark",
             !json_is_true(words_at(t, "planned_done")) ? "not all planned repetitions"
             : json_is_true(words_at(t, "unconverged")) ? "interval wider than asked"
                                                        : "");
}

/* Greedy has no settings: it takes the largest logit. */
static void fill_choosing(struct view *v, json_t *row, const json_t *t)
{
    char b[WORDS_MAX];
    struct text share = {0};

    view_put_md(v, row, "trial", words_string_at(t, "label"), "?");
    view_put_md(v, row, "settings", words_string_at(t, "sampling"), "the largest logit");
    view_put(v, row, "ms", words_estimate(b, words_at(t, "sample.ms"), ""));
    view_put(v, row, "each", words_value(b, words_number_at(t, "sample.us_per_token"), ""));
    text_puts(&share, words_percent(b, words_number_at(t, "sample.share.median")));
    if (isfinite(words_number_at(t, "sample.share.lo"))) {
        text_printf(&share, " [%s, ", words_value(b, 100 * words_number_at(t, "sample.share.lo"), ""));
        text_printf(&share, "%s]", words_value(b, 100 * words_number_at(t, "sample.share.hi"), ""));
    }
    view_put_text(v, row, "share", &share);
}

static void fill_file(struct view *v, json_t *row, const json_t *f)
{
    view_put_md(v, row, "path", words_string_at(f, "path"), "?");
    view_put_json(v, row, "bytes", json_integer(json_integer_value(words_at(f, "bytes"))));
    view_put_md(v, row, "sha256", words_string_at(f, "sha256"), "?");
}

static void fill_step(struct view *v, json_t *row, const json_t *s)
{
    char b[WORDS_MAX];
    const char *token = words_string_at(s, "text");
    struct text quoted = {0}, text = {0};

    text_printf(&text, "%lld%s", (long long)json_integer_value(words_at(s, "step")),
                json_integer_value(words_at(s, "step")) == 0 ? " (prefill)" : "");
    view_put_text(v, row, "step", &text);
    view_put(v, row, "ms", words_value(b, words_number_at(s, "ms"), ""));
    double held = words_number_at(s, "kv_len");
    text_printf(&text, isfinite(held) ? "%.0f" : "not measured", held);
    view_put_text(v, row, "kv_len", &text);
    words_quoted(&quoted, token ? token : "");
    words_markdown(&text, token ? quoted.data : "not measured");
    text_free(&quoted);
    view_put_text(v, row, "token", &text);
}

static void put_cache_sizes(struct view *v, json_t *row, const json_t *t)
{
    double formula = words_number_at(t, "kv.formula_bytes"), allocated = words_number_at(t, "kv.allocated_bytes");
    const json_t *shape = words_at(t, "kv.shape");
    struct text text = {0};
    json_t *n;
    size_t i;

    json_array_foreach((json_t *)shape, i, n)
        text_printf(&text, "%s%" JSON_INTEGER_FORMAT, i ? ", " : "(", json_integer_value(n));
    text_puts(&text, json_array_size(shape) ? ")" : "no cache in this arm");
    view_put_text(v, row, "shape", &text);
    text_printf(&text, isfinite(formula) ? "%.0f" : "not computed", formula);
    if (!json_array_size(shape))
        text_puts(&text, ", were it kept");
    view_put_text(v, row, "formula", &text);
    text_printf(&text, isfinite(allocated) ? "%.0f" : "not recorded", allocated);
    if (!json_array_size(shape) && allocated * v->layers == formula)
        text_puts(&text, ", one layer while it is computed");
    view_put_text(v, row, "allocated", &text);
}

static void fill_cache(struct view *v, json_t *row, const json_t *t)
{
    view_put_md(v, row, "trial", words_string_at(t, "label"), "?");
    put_cache_sizes(v, row, t);
}

/* "2 x 6 layers x 12 heads x 64 = 9216 numbers = 36864 bytes" */
static void put_cache(struct view *v, const json_t *d, const json_t *t)
{
    double layers = v->layers, heads = words_number_at(d, "model.kv_heads");
    double dim = words_number_at(d, "model.head_dim"), bytes = words_number_at(t, "kv.bytes_per_token");
    struct text text = {0};

    if (isfinite(layers * heads * dim))
        text_printf(&text, "2 (K and V) x %.0f layers x %.0f heads x %.0f = %.0f numbers", layers, heads, dim,
                    2 * layers * heads * dim);
    else
        text_puts(&text, "an amount that was not recorded");
    if (isfinite(bytes))
        text_printf(&text, " = %.0f bytes", bytes);
    view_put_text(v, v->root, "kv_per_token", &text);
    json_t *own = json_object();
    put_cache_sizes(v, own, t);
    view_put_json(v, v->root, "kv_shape", json_incref(json_object_get(own, "shape")));
    view_put_json(v, v->root, "kv_formula", json_incref(json_object_get(own, "formula")));
    view_put_json(v, v->root, "kv_allocated", json_incref(json_object_get(own, "allocated")));
    json_decref(own);
    view_put_list(v, "caches", words_at(d, "trials"), fill_cache);
}

static void fill_fit(struct view *v, json_t *row, const json_t *f)
{
    const char *kv = words_string_at(f, "arm.kv_cache");
    double lo = words_number_at(f, "theory_lo"), hi = words_number_at(f, "theory_hi");
    struct text text = {0};
    char b[WORDS_MAX], low[WORDS_MAX], high[WORDS_MAX];

    text_printf(&text, "cache %s, prompt %.0f", kv ? kv : "?", words_number_at(f, "arm.prompt_tokens"));
    words_unusual(&text, v->axes, words_at(f, "arm"), ", ");
    view_put_text(v, row, "arm", &text);
    view_put_md(v, row, "metric", words_string_at(f, "metric"), "?");
    view_put_md(v, row, "source", words_string_at(f, "source"), "?");
    text_puts(&text, words_value(b, words_number_at(f, "exponent"), ""));
    if (isfinite(words_number_at(f, "lo")))
        text_printf(&text, " [%s, %s]", words_value(low, words_number_at(f, "lo"), ""),
                    words_value(high, words_number_at(f, "hi"), ""));
    view_put_text(v, row, "exponent", &text);
    view_put(v, row, "here", words_value(b, words_number_at(f, "theory_here"), ""));
    view_put_md(v, row, "theory", words_string_at(f, "theory"), "none stated");
    text_printf(&text, isfinite(lo) ? "%.0f to %.0f" : "none stated", lo, hi);
    view_put_text(v, row, "limits", &text);
}

/* The number of a reason in the list of reasons, which grows when it is new. */
static void put_reason(struct view *v, json_t *row, const char *why)
{
    json_t *reasons = json_object_get(v->root, "reasons"), *reason;
    struct text text = {0};
    size_t i;

    words_markdown(&text, why);
    json_array_foreach(reasons, i, reason)
    {
        if (strcmp(words_string_at(reason, "reason"), text.data) == 0)
            break;
    }
    if (i == json_array_size(reasons)) {
        reason = view_add_row(v, reasons);
        view_put(v, reason, "reason", text.data);
        view_put_json(v, reason, "number", json_integer((json_int_t)i + 1));
    }
    text_free(&text);
    text_printf(&text, "see %zu", i + 1);
    view_put_text(v, row, "why", &text);
}

static void put_amount(struct view *v, json_t *list, const json_t *trial, const char *phase, const char *metric)
{
    static const char unit[2][8] = {"FLOP", "B"};
    bool bytes = strcmp(metric, "bytes") == 0;
    const json_t *a = words_at(words_at(trial, phase), metric);
    char b[WORDS_MAX];

    if (!a)
        return;
    json_t *row = view_add_row(v, list);
    double counted = words_number_at(a, "counted");
    view_put_md(v, row, "trial", words_string_at(trial, "label"), "?");
    view_put(v, row, "phase", phase);
    view_put(v, row, "metric", bytes ? "bytes from memory" : "FLOPs");
    view_put(v, row, "analytic", words_scaled(b, words_number_at(a, "analytic"), unit[bytes]));
    view_put(v, row, "counted", isfinite(counted) ? words_scaled(b, counted, unit[bytes]) : "not counted");
    view_put(v, row, "error", isfinite(counted) ? words_change(b, words_number_at(a, "error")) : "none");
    view_put(v, row, "provenance", isfinite(counted) ? words_string_at(a, "provenance") : "analytic");
    if (isfinite(counted))
        view_put_md(v, row, "why", words_string_at(a, "why"), "");
    else
        put_reason(v, row, words_string_at(a, "why") ? words_string_at(a, "why") : "no reason was recorded");
}

static void put_amounts(struct view *v, const json_t *d)
{
    static const char *const phases[] = {"prefill", "decode"};
    json_t *list = json_array(), *trial;
    size_t i;

    view_put_json(v, v->root, "amounts", list);
    view_put_json(v, v->root, "reasons", json_array());
    json_array_foreach((json_t *)words_at(d, "trials"), i, trial)
    {
        for (int p = 0; p < 2; p++) {
            put_amount(v, list, trial, phases[p], "flops");
            put_amount(v, list, trial, phases[p], "bytes");
        }
    }
}

/* "533 GFLOP/s"; of launches "0.776 M kernels/s" */
static const char *roof_text(char buf[WORDS_MAX], const json_t *r, const char *key)
{
    const char *unit = words_string_at(r, "unit");
    double v = words_number_at(r, key);

    if (unit && strcmp(unit, "kernels/s") == 0)
        return words_value(buf, v / 1e6, "M kernels/s");
    return words_scaled(buf, v, unit ? unit : "");
}

static void fill_roof(struct view *v, json_t *row, const json_t *r)
{
    char b[WORDS_MAX], low[WORDS_MAX], high[WORDS_MAX];
    struct text text = {0};

    view_put_md(v, row, "roof", words_string_at(r, "name"), "?");
    text_printf(&text, "%.0f", words_number_at(r, "threads"));
    view_put_text(v, row, "threads", &text);
    view_put_md(v, row, "level", words_string_at(r, "level"), "?");
    view_put(v, row, "value", roof_text(b, r, "value"));
    if (json_integer_value(words_at(r, "n")) > 1)
        text_printf(&text, "%s to %s", roof_text(low, r, "lo"), roof_text(high, r, "hi"));
    else
        text_puts(&text, "one round");
    view_put_text(v, row, "spread", &text);
    view_put_json(v, row, "rounds", json_integer(json_integer_value(words_at(r, "n"))));
    view_put_md(v, row, "how", words_string_at(r, "how"), "not recorded");
}

int record_view(json_t **out, const json_t *document, struct err *e)
{
    const json_t *t = main_trial(document);
    struct view v = {
        .root = json_object(), .axes = words_at(document, "axes"), .layers = words_number_at(document, "model.layers")};

    put_identity(&v, document, t);
    put_setting(&v, document, t);
    put_metrics(&v, document, t);
    put_outcome(&v, document);
    view_put_list(&v, "claims", words_at(document, "claims"), fill_claim);
    put_verdicts(&v, document);
    view_put_list(&v, "trials", words_at(document, "trials"), fill_trial);
    view_put_list(&v, "choosing", words_at(document, "trials"), fill_choosing);
    record_put_types(&v, document);
    view_put(&v, v.root, "no_files",
             words_string_at(document, "model.format") ? "none: the weights were made, not read" : "not recorded");
    view_put_list(&v, "files", words_at(document, "model_files"), fill_file);
    view_put_list(&v, "steps", words_at(t, "steps"), fill_step);
    put_cache(&v, document, t);
    view_put_list(&v, "fits", words_at(document, "fits"), fill_fit);
    put_amounts(&v, document);
    view_put_list(&v, "roofs", words_at(document, "roofs"), fill_roof);
    record_put_energy(&v, document);
    record_put_device(&v, document);
    record_put_ops(&v, t);
    record_put_method(&v, document);
    if (v.failed) {
        json_decref(v.root);
        return err_set(e, ERR_MEMORY,
                       "the run's document cannot be put into words: out of memory, or a text that is not UTF-8");
    }
    *out = v.root;
    return 0;
}
