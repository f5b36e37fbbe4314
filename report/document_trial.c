/* SPDX-License-Identifier: MIT
 * One trial of the document: its figures as JSON, then the rows that stand behind them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"

json_t *document_amount(const struct amount *a)
{
    const char *provenance = !isfinite(a->counted) ? "analytic" : a->multiplexed ? "multiplexed" : "counter";

    return json_pack("{s:o, s:o, s:o, s:s, s:o}", "analytic", document_number(a->analytic), "counted",
                     document_number(a->counted), "error", document_number(a->error), "provenance", provenance, "why",
                     a->why[0] ? document_text(a->why, strlen(a->why)) : json_null());
}

json_t *document_verdict(struct document *d, const struct verdict *v, const struct rows_cache *cache)
{
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"ai", v->ai},
        {"ridge", v->ridge},
        {"margin", v->margin},
        {"margin_lo", v->margin_lo},
        {"margin_hi", v->margin_hi},
        {"efficiency", v->efficiency},
        {"efficiency_lo", v->efficiency_lo},
        {"efficiency_hi", v->efficiency_hi},
        {"t_compute_ms", v->compute_s * 1e3},
        {"t_memory_ms", v->memory_s * 1e3},
        {"t_launch_ms", v->launch_s * 1e3},
        {"launches", v->launches},
        {"gflops", v->flop_rate / 1e9},
        {"gbps", v->byte_rate / 1e9},
    };
    json_t *o = json_object();

    document_put(d, o, "kind", json_string(verdict_kind_name(v->kind)));
    document_put(d, o, "roof", v->roof ? json_string(v->roof) : json_null());
    document_put(d, o, "compute_roof", json_string(v->compute));
    document_put(d, o, "bandwidth_roof", json_string(v->bandwidth));
    document_put(d, o, "launch_roof", v->launch ? json_string(v->launch) : json_null());
    document_put(d, o, "cache", cache ? json_string(cache->level) : json_null());
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        document_put(d, o, numbers[i].key, document_number(numbers[i].value));
    document_put(d, o, "source", json_string(v->counted ? "counter" : "analytic"));
    document_put(d, o, "sentence", json_string(v->sentence));
    return o;
}

static void put_phase(struct document *d, json_t *o, const struct phase *p, double tokens, double ms)
{
    document_put(d, o, "tokens_per_s", document_number(tokens / (ms / 1e3)));
    document_put(d, o, "flops", document_amount(&p->amount[ROWS_FLOPS]));
    document_put(d, o, "bytes", document_amount(&p->amount[ROWS_BYTES]));
    document_put(d, o, "predicted_ms", document_number(p->predicted_ms));
    document_put(d, o, "verdict", document_verdict(d, &p->verdict, p->cache));
}

static json_t *prefill_json(struct document *d, const struct figures *f, const struct rows_trial *t)
{
    json_t *o = json_object();

    document_put(d, o, "ms", document_estimate(&f->prefill.ms));
    put_phase(d, o, &f->prefill, (double)t->axis[AXIS_BATCH] * t->axis[AXIS_PROMPT_TOKENS], f->prefill.ms.median);
    return o;
}

static json_t *decode_json(struct document *d, const struct figures *f, const struct rows_trial *t)
{
    int steps = t->axis[AXIS_NEW_TOKENS] - 1;
    json_t *o;

    if (steps == 0)
        return json_null();
    o = json_object();
    document_put(d, o, "steps", json_integer(steps));
    document_put(d, o, "ms", document_estimate(&f->decode.ms));
    document_put(d, o, "p50_ms", document_number(f->p50_ms));
    document_put(d, o, "p90_ms", document_number(f->p90_ms));
    document_put(d, o, "p99_ms", document_number(f->p99_ms));
    document_put(d, o, "n", json_integer(f->pooled));
    put_phase(d, o, &f->decode, (double)t->axis[AXIS_BATCH] * steps, f->loop_ms.median);
    return o;
}

/* A token for each sequence comes out of a step, however many rows went in. */
static json_t *sample_json(struct document *d, const struct figures *f, const struct rows_trial *t)
{
    json_t *o;

    if (f->choosing.ms.n == 0)
        return json_null();
    o = json_object();
    document_put(d, o, "ms", document_estimate(&f->choosing.ms));
    document_put(d, o, "us_per_token", document_number(1e3 * f->choosing.ms.median / t->axis[AXIS_BATCH]));
    document_put(d, o, "share", document_estimate(&f->choosing.share));
    return o;
}

static json_t *phase_energy(struct document *d, const struct energy *e)
{
    json_t *o;

    if (e->joules.n == 0)
        return json_null();
    o = json_object();
    document_put(d, o, "joules", document_estimate(&e->joules));
    document_put(d, o, "watts", document_estimate(&e->watts));
    document_put(d, o, "joules_per_token", document_number(e->per_token));
    return o;
}

static json_t *energy_json(struct document *d, const struct figures *f)
{
    json_t *prefill = phase_energy(d, &f->energy[0]), *decode = phase_energy(d, &f->energy[1]);

    if (json_is_null(prefill) && json_is_null(decode))
        return json_null();
    return json_pack("{s:s, s:o, s:o}", "of", d->rows.board_energy ? "GPU board" : "CPU packages", "prefill", prefill, "decode",
                     decode);
}

static json_t *kv_json(struct document *d, const struct rows_trial *t, const json_t *model)
{
    json_t *kv = document_query_one(
        d, "SELECT kv_bytes_formula AS formula_bytes, kv_bytes_allocated AS allocated_bytes FROM trial WHERE id = ?1", t->id);
    json_t *shape = json_array();

    bool half = strcmp(axes[AXIS_KV_DTYPE].words[t->axis[AXIS_KV_DTYPE]], "f32") != 0; /* the others have 16 bits */
    json_int_t numbers = json_integer_value(json_object_get(model, "kv_numbers_per_token"));

    document_put(d, kv, "bytes_per_token", json_integer(numbers * (half ? 2 : 4)));
    if (t->axis[AXIS_KV_CACHE]) { /* the last token chosen is never fed, so never held */
        document_append(d, shape, json_integer(t->rows));
        document_append(d, shape, json_incref(json_object_get(model, "kv_heads")));
        document_append(d, shape, json_integer((json_int_t)t->axis[AXIS_PROMPT_TOKENS] + t->axis[AXIS_NEW_TOKENS] - 1));
        document_append(d, shape, json_incref(json_object_get(model, "head_dim")));
    }
    document_put(d, kv, "shape", shape);
    return kv;
}

/* Tokens and texts of the first repetition; times and counts are medians over the repetitions that count. */
static const char steps_sql[] =
    "WITH first(id) AS (SELECT min(id) FROM repetition WHERE trial = ?1 AND prefill_ns IS NULL), "
    "n(step) AS (SELECT step FROM prediction WHERE trial = ?1 UNION SELECT step FROM step WHERE repetition = (SELECT id FROM "
    "first)) "
    "SELECT n.step, CASE n.step WHEN 0 THEN 'prefill' ELSE 'decode' END AS phase, s.kv_len, s.token, s.token_text AS text, "
    "p.flops, p.weight_bytes + p.kv_read_bytes AS bytes FROM n LEFT JOIN prediction p ON p.trial = ?1 AND p.step = n.step "
    "LEFT JOIN step s ON s.repetition = (SELECT id FROM first) AND s.step = n.step ORDER BY n.step";

static void put_step_figures(struct document *d, json_t *o, const struct rows_trial *t, double *cumulative, double *buf)
{
    int step = (int)json_integer_value(json_object_get(o, "step"));
    bool known = step >= 0 && step < t->axis[AXIS_NEW_TOKENS];
    struct estimate ms = stats_estimate(buf, known ? rows_step_ms(t, 0, step, buf) : 0);

    *cumulative += ms.median; /* not known from the first gap on */
    document_put(d, o, "ms", document_number(ms.median));
    document_put(d, o, "lo", document_number(ms.lo));
    document_put(d, o, "hi", document_number(ms.hi));
    document_put(d, o, "cumulative_ms", document_number(*cumulative));
    double sample_ms = stats_median(buf, known ? rows_step_sample_ms(t, 0, step, buf) : 0);
    document_put(d, o, "sample_ms", document_number(sample_ms));
    double flops = known ? rows_step_counted(t, ROWS_FLOPS, step, buf) : NAN;
    document_put(d, o, "counted_flops", document_number(flops));
    double bytes = known ? rows_step_counted(t, ROWS_BYTES, step, buf) : NAN;
    document_put(d, o, "counted_bytes", document_number(bytes));
}

static json_t *steps_json(struct document *d, const struct rows_trial *t)
{
    json_t *steps = document_query(d, steps_sql, t->id), *step;
    double *buf = calloc((size_t)t->reps + 1, sizeof *buf), cumulative = 0;
    size_t i;

    if (!buf)
        d->code = err_set(d->e, ERR_MEMORY, "out of memory for the document of a run");
    else
        json_array_foreach(steps, i, step) put_step_figures(d, step, t, &cumulative, buf);
    free(buf);
    return steps;
}

/* The one column of a query's first row. */
static json_t *query_text(struct document *d, const char *sql, int64_t trial)
{
    json_t *row = document_query_one(d, sql, trial);
    json_t *text = json_incref(json_object_get(row, "text"));

    json_decref(row);
    return text;
}

static json_t *generated_text(struct document *d, int64_t trial)
{
    return query_text(d,
                      "SELECT group_concat(token_text, '') AS text FROM (SELECT token_text FROM step WHERE "
                      "repetition = (SELECT min(id) FROM repetition WHERE trial = ?1 AND prefill_ns IS NULL) ORDER BY step)",
                      trial);
}

static json_t *accuracy_json(const struct store_accuracy *a)
{
    if (a->positions == 0)
        return json_null();
    return json_pack("{s:i, s:o, s:o, s:o, s:o}", "positions", a->positions, "max_error", document_number(a->max_error),
                     "mean_error", document_number(a->mean_error), "spread", document_number(a->spread), "top1",
                     document_number(a->top1));
}

static void put_identity(struct document *d, json_t *o, const struct rows_trial *t, const struct figures *f)
{
    char label[FIGURES_LABEL];

    document_put(d, o, "id", json_integer(t->id));
    document_put(d, o, "label", json_string(figures_label(label, &d->rows, t)));
    for (int a = 0; a < AXIS_COUNT; a++)
        document_put(d, o, axes[a].name, document_trial_axis(t, (enum axis)a));
    document_put(d, o, "arithmetic", json_string(t->arithmetic));
    document_put(d, o, "weight_bytes", document_number(t->weight_bytes));
    document_put(d, o, "accuracy", accuracy_json(&t->accuracy));
    document_put(d, o, "sampling", query_text(d, "SELECT sampling AS text FROM trial WHERE id = ?1", t->id));
    document_put(d, o, "rows", json_integer(t->rows));
    document_put(d, o, "repetitions", json_integer(f->timed));
    document_put(d, o, "planned_done", json_boolean(t->unconverged >= 0));
    document_put(d, o, "unconverged", t->unconverged < 0 ? json_null() : json_boolean(t->unconverged));
    document_put(d, o, "tokens_hash", f->tokens_hash ? json_string(f->tokens_hash) : json_null());
    document_put(d, o, "tokens_agree", f->tokens_hash ? json_boolean(f->tokens_agree) : json_null());
    document_put(d, o, "text", generated_text(d, t->id));
}

json_t *document_trial(struct document *d, int trial, const json_t *model)
{
    static const char witness[] =
        "SELECT rep, pass, warmup AS \"warmup?\", wall_ns / 1e6 AS wall_ms, switches_involuntary, "
        "page_faults_minor, page_faults_major, steal_ticks, other_busy, load1, interrupts, throttled, "
        "frequency_hz, sibling_busy, huge_share, remote_share FROM repetition "
        "WHERE trial = ?1 ORDER BY id";
    const struct rows_trial *t = &d->rows.trial[trial];
    const struct figures *f = &d->figures[trial];
    double tokens = (double)t->axis[AXIS_NEW_TOKENS] * t->axis[AXIS_BATCH];
    json_t *o = json_object();

    put_identity(d, o, t, f);
    document_put(d, o, "kv", kv_json(d, t, model));
    document_put(d, o, "prefill", prefill_json(d, f, t));
    document_put(d, o, "decode", decode_json(d, f, t));
    document_put(d, o, "sample", sample_json(d, f, t));
    document_put(d, o, "ttft_ms", document_estimate(&f->ttft_ms));
    document_put(d, o, "tpot_ms", document_estimate(&f->tpot_ms));
    document_put(d, o, "total_ms", document_estimate(&f->total_ms));
    document_put(d, o, "decode_loop_ms", document_estimate(&f->loop_ms));
    document_put(d, o, "token_per_s", document_number(tokens / (f->total_ms.median / 1e3)));
    document_put(d, o, "witness", document_query(d, witness, t->id));
    document_put(
        d, o, "ops",
        document_query(d, "SELECT step, op, flops, bytes FROM op WHERE trial = ?1 AND steps = 1 ORDER BY step, rowid", t->id));
    document_put(d, o, "per_op", document_per_op(d, trial));
    document_put(d, o, "energy", energy_json(d, f));
    document_put(d, o, "device", document_device(d, trial));
    document_put(d, o, "steps", steps_json(d, t));
    return o;
}
