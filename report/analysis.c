/* SPDX-License-Identifier: MIT
 * The document's outline: facts by query, figures by figures.c, growth by series.c. All of it is read in one snapshot, so that
 * a run that is still being written gives a consistent, shorter document. */
#include "analysis.h"

#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "overhead.h"
#include "series.h"

double analysis_relative_interval(const double *x, int n)
{
    struct estimate e = stats_estimate(x, n);
    double half = (e.hi - e.lo) / 2 / e.median;

    return isfinite(half) ? half : INFINITY;
}

static const char run_sql[] =
    "SELECT id, suite, question, started, finished, outcome, problem, command, version, compiler, backend, backend_about, "
    "threads, "
    "cpus, seed, prompt, prompt_tokens AS \"prompt_ids{}\", tokenizer, load_model_ns / 1e6 AS load_model_ms, "
    "load_tokenizer_ns / 1e6 AS load_tokenizer_ms, tokenize_ns / 1e6 AS tokenize_ms, conventions, suite_yaml FROM run WHERE id "
    "= ?1";

static const char model_sql[] =
    "SELECT model AS name, arch, dtype, weights, format, stored, stored_bytes, load_peak_bytes, "
    "nullif(stored_bytes, 0) * 1e9 / load_model_ns AS load_bytes_per_s, parameters, weight_bytes, layers, d_model, heads, "
    "kv_heads, head_dim, d_ff, "
    "vocab, "
    "context, 2 * layers * kv_heads * head_dim AS kv_numbers_per_token FROM run WHERE id = ?1";

/* Facts that need no figures. */
static const struct {
    const char *key, *sql;
} fact_lists[] = {
    {"model_files", "SELECT path, bytes, sha256 FROM model_file WHERE run = ?1 ORDER BY rowid"},
    {"caches", "SELECT level, bytes FROM cache WHERE run = ?1 ORDER BY bytes"},
    {"machine", "SELECT key, value, source FROM machine WHERE run = ?1 ORDER BY key"},
    {"calibrations", "SELECT metric, probe, event, kernel, expected, measured, rel_error, rel_limit AS \"limit\", "
                     "accepted AS \"accepted?\", why FROM calibration WHERE run = ?1 ORDER BY id"},
    {"absent", "SELECT what, why FROM absent WHERE run = ?1 ORDER BY rowid"},
    {"claims", "SELECT spec AS \"spec{}\", result, text, evidence FROM claim WHERE run = ?1 ORDER BY ordinal"},
};

static const char *roof_unit(const struct rows_roof *roof)
{
    return strcmp(roof->kind, "compute") == 0 ? "FLOP/s" : strcmp(roof->kind, "launch") == 0 ? "kernels/s" : "B/s";
}

static json_t *roof_json(struct document *d, const struct rows_roof *roof)
{
    struct verdict_roof v = figures_roof(roof, roof->name);
    json_t *rounds = json_array();

    for (int i = 0; i < roof->rounds; i++)
        document_append(d, rounds,
                        json_pack("{s:i, s:o}", "round", roof->round[i].round, "value", document_number(roof->round[i].value)));
    return json_pack("{s:o, s:s, s:s, s:i, s:s, s:o, s:o, s:o, s:i, s:o, s:o}", "name",
                     document_text(roof->name, strlen(roof->name)), "kind", roof->kind, "level", roof->level, "threads",
                     roof->threads, "unit", roof_unit(roof), "value", document_number(v.value), "lo", document_number(v.lo),
                     "hi", document_number(v.hi), "n", roof->rounds, "how", document_text(roof->how, strlen(roof->how)),
                     "rounds", rounds);
}

static json_t *roofs_json(struct document *d)
{
    json_t *out = json_array();

    for (int i = 0; i < d->rows.roofs; i++)
        document_append(d, out, roof_json(d, &d->rows.roof[i]));
    return out;
}

/* Of the run as a whole; trials that compute otherwise have ridges of their own, in their verdicts. */
static json_t *ridge_json(const struct rows *r)
{
    const char *compute = figures_run_roof(r);
    double peak = figures_roof(rows_find_roof(r, compute, r->threads), "").value;
    double bandwidth = figures_roof(rows_find_roof(r, FIGURES_BANDWIDTH_ROOF, r->threads), "").value;

    if (!isfinite(peak / bandwidth))
        return json_null();
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "compute", compute, "bandwidth", FIGURES_BANDWIDTH_ROOF, "peak_flops",
                     document_number(peak), "peak_bps", document_number(bandwidth), "ai", document_number(peak / bandwidth));
}

static const char *const phases[] = {"prefill", "decode"};

/* The axes, with what each has where nothing else was asked for, so that readers can name what differs from that. */
static json_t *axes_json(struct document *d)
{
    json_t *out = json_array();

    for (int a = 0; a < AXIS_COUNT; a++)
        document_append(d, out,
                        json_pack("{s:s, s:o}", "name", axes[a].name, "usual",
                                  document_axis((enum axis)a, rows_usual(&d->rows, (enum axis)a))));
    return out;
}

/* The GPU that computed, null where none did. */
static json_t *device_json(struct document *d)
{
    json_t *fact;

    if (!d->rows.device)
        return json_null();
    fact = document_query_one(d, "SELECT value AS name FROM machine WHERE run = ?1 AND key = 'GPU'", d->rows.run);
    return json_is_null(fact) ? json_pack("{s:n}", "name") : fact;
}

static json_t *overhead_row(struct document *d, int pass, bool prefill, const struct overhead *o)
{
    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "phase", phases[!prefill], "pass",
                     document_text(d->rows.pass[pass], strlen(d->rows.pass[pass])), "against", o->bare ? "bare" : "time",
                     "ratio", document_estimate(&o->ratio), "us_a_step", document_estimate(&o->us));
}

static json_t *overhead_json(struct document *d)
{
    json_t *out = json_array();
    struct overhead o;

    for (int pass = 0; pass < d->rows.passes; pass++)
        for (int prefill = 1; prefill >= 0; prefill--) {
            int code = overhead_of(&o, &d->rows, pass, prefill, d->e);
            if (code < 0) {
                d->code = code;
                return out;
            }
            if (o.ratio.n > 0)
                document_append(d, out, overhead_row(d, pass, prefill, &o));
        }
    return out;
}

/* --- growth -------------------------------------------------------------------------------------------------------- */

/* Cost of generating T tokens as theory has it, and the exponents of its first and last term. */
static const struct {
    const char *text;
    int lo, hi;
} theory[] = {
    {"O(T^2 d^2 + T^3 d)", 2, 3}, /* every step recomputes all tokens */
    {"O(T d^2 + T^2 d)", 1, 2},   /* with a cache */
};

static json_t *points_json(struct document *d, const struct series *s)
{
    json_t *out = json_array();

    for (int i = 0; i < s->points; i++)
        document_append(
            d, out,
            json_pack("[o, o]", document_number(s->point[i].x), document_number(stats_median(s->point[i].y, s->point[i].n))));
    return out;
}

static void append_fit(struct document *d, json_t *out, int trial, enum series_metric m)
{
    const struct rows_trial *t = &d->rows.trial[trial];
    bool kv = t->axis[AXIS_KV_CACHE];
    struct series s;
    int code = series_init(&s, &d->rows, d->figures, trial, AXIS_NEW_TOKENS, m, d->e);

    if (code < 0) {
        d->code = code;
        return;
    }
    struct stats_fit fit = series_fit(&s);
    if (isfinite(fit.exponent)) {
        json_t *arm = json_object();
        for (int a = 0; a < AXIS_COUNT; a++)
            if (a != AXIS_NEW_TOKENS)
                document_put(d, arm, axes[a].name, document_trial_axis(t, (enum axis)a));
        document_append(d, out,
                        json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:s, s:i, s:i, s:o}", "arm", arm, "along",
                                  axis_names[AXIS_NEW_TOKENS], "metric", series_metric_names[m], "source",
                                  series_source_names[s.source], "exponent", document_number(fit.exponent), "lo",
                                  document_number(fit.lo), "hi", document_number(fit.hi), "coefficient",
                                  document_number(fit.coefficient), "points", points_json(d, &s), "theory", theory[kv].text,
                                  "theory_lo", theory[kv].lo, "theory_hi", theory[kv].hi, "theory_here",
                                  document_number(series_theory_here(&s, d->figures))));
    }
    series_free(&s);
}

static json_t *fits_json(struct document *d)
{
    json_t *out = json_array();

    for (int i = 0; i < d->rows.trials; i++) {
        bool first = true;
        for (int k = 0; k < i; k++)
            first = first && !series_same_arm(&d->rows.trial[k], &d->rows.trial[i], AXIS_NEW_TOKENS);
        if (!first)
            continue;
        append_fit(d, out, i, SERIES_TOTAL_MS);
        append_fit(d, out, i, SERIES_FLOPS);
    }
    return out;
}

/* --- the whole ----------------------------------------------------------------------------------------------------- */

static json_t *build(struct document *d)
{
    int64_t run = d->rows.run;
    json_t *root = json_object(), *trials = json_array(), *rejected;

    document_put(d, root, "format", json_string("bench-run/1"));
    document_put(d, root, "run", document_query_one(d, run_sql, run));
    document_put(d, root, "model", document_query_one(d, model_sql, run));
    for (size_t i = 0; i < sizeof fact_lists / sizeof *fact_lists; i++)
        document_put(d, root, fact_lists[i].key, document_query(d, fact_lists[i].sql, run));
    document_put(d, root, "device", device_json(d));
    document_put(d, root, "axes", axes_json(d));
    document_put(d, root, "roofs", roofs_json(d));
    document_put(d, root, "ridge", ridge_json(&d->rows));
    document_put(d, root, "overhead", overhead_json(d));
    rejected = document_query_one(d,
                                  "SELECT coalesce(sum(rejected), 0) AS n FROM repetition WHERE trial IN "
                                  "(SELECT id FROM trial WHERE run = ?1)",
                                  run);
    document_put(d, root, "rejected", json_incref(json_object_get(rejected, "n")));
    json_decref(rejected);
    for (int i = 0; i < d->rows.trials; i++)
        document_append(d, trials, document_trial(d, i, json_object_get(root, "model")));
    document_put(d, root, "trials", trials);
    document_put(d, root, "fits", fits_json(d));
    return root;
}

int analysis_document(json_t **out, struct store *s, int64_t run, struct err *e)
{
    struct document d = {.s = s, .e = e};
    json_t *root = NULL;

    *out = NULL;
    if (sqlite3_exec(store_handle(s), "SAVEPOINT document", NULL, NULL, NULL) != SQLITE_OK)
        return store_error(s, e);
    d.code = rows_load(&d.rows, s, run, e);
    if (d.code == 0)
        d.code = figures_open(&d.figures, &d.rows, e);
    if (d.code == 0)
        root = build(&d);
    if (d.code < 0) {
        json_decref(root);
        root = NULL;
    }
    sqlite3_exec(store_handle(s), "RELEASE document", NULL, NULL, NULL);
    figures_close(d.figures, &d.rows);
    rows_free(&d.rows);
    *out = root;
    return d.code;
}
