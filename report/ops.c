/* SPDX-License-Identifier: MIT
 * Three queries: the ops with their analytic work in the order of the pass, the times, the counts. A repetition's times are of
 * one execution, so that shares add up to its own step. */
#include "ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"

/* --- the rows --------------------------------------------------------------------------------------------------------------
 */

static struct cursor open_query(struct store *s, const struct ops *o, int64_t trial, const char *text, struct err *e)
{
    char sql[700];

    snprintf(sql, sizeof sql, text, o->step, o->steps);
    return cursor_open(s, sql, trial, e);
}

struct ops_op *ops_find(struct ops *o, const char *name)
{
    for (int i = 0; i < o->ops; i++)
        if (strcmp(o->op[i].name, name) == 0)
            return &o->op[i];
    return NULL;
}

static void forget_place(struct ops_place *p)
{
    for (int k = 0; k < ROWS_PARTS; k++)
        p->part[k] = NAN;
    for (int m = 0; m < ROWS_METRICS; m++)
        p->counted[m] = NAN;
}

static int load_analytic(struct ops *o, struct store *s, int64_t trial, struct err *e)
{
    struct cursor c = open_query(s, o, trial,
                                 "SELECT op, flops / steps, (bytes - coalesce(write_bytes, 0)) / steps FROM op "
                                 "WHERE trial = ?1 AND step = %d AND steps = %d ORDER BY rowid",
                                 e);

    while (cursor_next(&c) && o->ops < OPS_MAX) {
        struct ops_op *op = &o->op[o->ops++];
        cursor_text(&c, 0, op->name, sizeof op->name);
        op->analytic[ROWS_FLOPS] = cursor_real(&c, 1);
        op->analytic[ROWS_BYTES] = cursor_real(&c, 2);
        forget_place(&op->whole);
    }
    return cursor_close(&c);
}

/* The executions of the pass, and how many layers they had. */
static int load_executions(struct ops *o, struct store *s, int64_t trial, struct err *e)
{
    struct cursor c =
        open_query(s, o, trial,
                   "SELECT r.started_ns, (SELECT sum(wall_ns) / 1e6 / %2$d FROM step WHERE repetition = r.id AND step "
                   ">= %1$d AND step < %1$d + %2$d), (SELECT max(layer) + 1 FROM op_step WHERE repetition = r.id) "
                   "FROM repetition r WHERE r.trial = ?1 AND r.pass = 'op:time' AND r.warmup = 0 ORDER BY r.id",
                   e);

    while (cursor_next(&c)) {
        int64_t *started = cursor_grow(&c, o->started_ns, o->reps, sizeof *started);
        double *ms = started ? cursor_grow(&c, o->step_ms, o->reps, sizeof *ms) : NULL;
        o->started_ns = started ? started : o->started_ns;
        if (!ms)
            break;
        o->step_ms = ms;
        started[o->reps] = cursor_int64(&c, 0);
        ms[o->reps++] = cursor_real(&c, 1);
        o->layers = cursor_int(&c, 2);
    }
    if (c.code == 0 && (o->layers < 0 || o->layers > OPS_LAYERS_MAX))
        c.code = err_set(e, ERR_FORMAT, "a trial whose ops ran in %d layers cannot be", o->layers);
    return cursor_close(&c);
}

static int take_places(struct ops *o, struct err *e)
{
    for (int i = 0; i < o->ops; i++) {
        struct ops_op *op = &o->op[i];
        op->layer = calloc((size_t)o->layers + 1, sizeof *op->layer);
        if (!op->layer)
            return err_set(e, ERR_MEMORY, "out of memory for the ops of a run");
        for (int l = -1; l < o->layers; l++) {
            struct ops_place *p = l < 0 ? &op->whole : &op->layer[l];
            p->ms = malloc(((size_t)o->reps + 1) * sizeof *p->ms);
            if (!p->ms)
                return err_set(e, ERR_MEMORY, "out of memory for the ops of a run");
            for (int k = 0; k < o->reps; k++)
                p->ms[k] = NAN;
            forget_place(p);
        }
    }
    return 0;
}

static void add_known(double *sum, double v)
{
    *sum = isnan(*sum) ? v : *sum + v;
}

static int load_times(struct ops *o, struct store *s, int64_t trial, struct err *e)
{
    struct cursor c =
        open_query(s, o, trial,
                   "SELECT t.op, t.layer, dense_rank() OVER (ORDER BY r.id) - 1, t.wall_ns / 1e6 / t.steps FROM "
                   "repetition r JOIN op_step t ON t.repetition = r.id WHERE r.trial = ?1 AND r.pass = 'op:time' AND "
                   "r.warmup = 0 AND t.step = %d AND t.steps = %d",
                   e);
    char name[16];

    while (cursor_next(&c)) {
        cursor_text(&c, 0, name, sizeof name);
        struct ops_op *op = ops_find(o, name);
        int layer = cursor_int(&c, 1), rep = cursor_int(&c, 2);
        if (!op || layer < -1 || layer >= o->layers || rep >= o->reps)
            continue;
        if (layer >= 0)
            op->layer[layer].ms[rep] = cursor_real(&c, 3);
        add_known(&op->whole.ms[rep], cursor_real(&c, 3));
    }
    return cursor_close(&c);
}

static void add_counter(struct ops_op *op, const char *metric, double v)
{
    int i = 0;

    while (i < op->counters && strcmp(op->counter[i].metric, metric) != 0)
        i++;
    if (i == OPS_COUNTERS || isnan(v))
        return;
    if (i == op->counters)
        snprintf(op->counter[op->counters++].metric, sizeof op->counter[i].metric, "%s", metric);
    op->counter[i].value += v;
}

/* The reading of a part in a place; a layer without one leaves the op as a whole without. */
static void add_part(struct ops_op *op, int layer, int part, double value, const struct cursor *c, int why)
{
    int m = rows_part_metric[part];

    if (isnan(value)) {
        op->broken[part] = true;
        if (!op->why[m][0])
            cursor_text(c, why, op->why[m], sizeof op->why[m]);
        return;
    }
    if (layer >= 0)
        op->layer[layer].part[part] = value;
    add_known(&op->whole.part[part], value);
}

static void sum_parts(struct ops_op *op, int layers)
{
    for (int p = 0; p < ROWS_PARTS; p++)
        if (op->broken[p])
            op->whole.part[p] = NAN;
    for (int m = 0; m < ROWS_METRICS; m++) {
        op->whole.counted[m] = rows_whole((enum rows_metric)m, op->whole.part);
        for (int l = 0; l < layers; l++)
            op->layer[l].counted[m] = rows_whole((enum rows_metric)m, op->layer[l].part);
    }
}

/* Each group counts once; should a metric be counted twice, its mean stands. */
static int load_counts(struct ops *o, struct store *s, int64_t trial, struct err *e)
{
    struct cursor c = open_query(s, o, trial,
                                 "SELECT g.op, g.layer, g.metric, avg(g.value) / g.steps, max(g.why) FROM repetition r JOIN "
                                 "op_reading g ON g.repetition = r.id WHERE r.trial = ?1 AND r.warmup = 0 AND g.step = %d AND "
                                 "g.steps = %d GROUP BY g.op, g.layer, g.metric",
                                 e);
    char name[16], metric[32];

    while (cursor_next(&c)) {
        cursor_text(&c, 0, name, sizeof name);
        cursor_text(&c, 2, metric, sizeof metric);
        struct ops_op *op = ops_find(o, name);
        int layer = cursor_int(&c, 1), part = rows_part_of(metric);
        double value = cursor_real(&c, 3);
        if (!op || layer < -1 || layer >= o->layers)
            continue;
        if (part != ROWS_PART_FLOPS && part != ROWS_PART_BYTES)
            add_counter(op, metric, value);
        if (part < ROWS_PARTS)
            add_part(op, layer, part, value, &c, 4);
    }
    for (int i = 0; i < o->ops; i++)
        sum_parts(&o->op[i], o->layers);
    return cursor_close(&c);
}

/* --- the figures -----------------------------------------------------------------------------------------------------------
 */

static double sum_analytic(const struct ops *o, enum rows_metric m)
{
    double sum = 0;

    for (int i = 0; i < o->ops; i++)
        sum += o->op[i].analytic[m];
    return sum;
}

/* The one op with FLOPs that multiplies no weights: what it computes in is the cache's matter. */
static const char attention[] = "attention";

void ops_stretch(struct stretch *out, const struct ops *o, struct ops_op *op, const struct rows *r, const struct rows_trial *t)
{
    *out = (struct stretch){
        .name = op->name,
        .flops = op->analytic[ROWS_FLOPS],
        .bytes = op->analytic[ROWS_BYTES],
        .analytic_flops = op->analytic[ROWS_FLOPS],
        .analytic_bytes = op->analytic[ROWS_BYTES],
        .pass_bytes = sum_analytic(o, ROWS_BYTES),
        .counted_bytes = op->whole.counted[ROWS_BYTES],
        .ms = op->whole.ms,
        .started_ns = o->started_ns,
        .n = op->ms.n,
        .compute = strcmp(op->name, attention) == 0 ? figures_attention_roof(r, t) : figures_compute_roof(r, t),
        .threads = figures_roof_threads(r, t),
        .launches = NAN,
    };
}

static int judge(struct ops_op *op, const struct ops *o, const struct rows *r, const struct rows_trial *t, struct err *e)
{
    const double *counted = op->whole.counted;
    struct stretch s;

    ops_stretch(&s, o, op, r, t);
    if (isfinite(counted[ROWS_FLOPS] + counted[ROWS_BYTES])) {
        s.flops = counted[ROWS_FLOPS];
        s.bytes = counted[ROWS_BYTES];
        s.counted = true;
    }
    op->cache = figures_cache(r, &s);
    return op->analytic[ROWS_FLOPS] > 0 && op->ms.n > 0 ? figures_judge(&op->verdict, r, &s, e) : 0;
}

static int compute(struct ops *o, const struct rows *r, const struct rows_trial *t, struct err *e)
{
    double *x = malloc(((size_t)o->reps + 1) * sizeof *x);
    int code = x ? 0 : err_set(e, ERR_MEMORY, "out of memory for the ops of a run");

    for (int i = 0; code == 0 && i < o->ops; i++) {
        struct ops_op *op = &o->op[i];
        int n = 0;
        for (int k = 0; k < o->reps; k++)
            if (isfinite(op->whole.ms[k]))
                op->whole.ms[n++] = op->whole.ms[k]; /* executions are whole: an op ran in all of them or in none */
        for (int k = 0; k < n; k++)
            x[k] = op->whole.ms[k] / o->step_ms[k];
        op->ms = stats_estimate(op->whole.ms, n);
        op->share = stats_estimate(x, n);
        code = judge(op, o, r, t, e);
    }
    for (int k = 0; code == 0 && k < o->reps; k++) {
        x[k] = o->step_ms[k];
        for (int i = 0; i < o->ops; i++)
            x[k] -= o->op[i].ms.n ? o->op[i].whole.ms[k] : 0;
    }
    if (code == 0) {
        o->step_estimate = stats_estimate(o->step_ms, o->reps);
        o->between = stats_estimate(x, o->reps);
    }
    free(x);
    return code;
}

int ops_load(struct ops *out, struct store *s, const struct rows *r, int trial, bool prefill, struct err *e)
{
    const struct rows_trial *t = &r->trial[trial];
    int decode_steps = t->axis[AXIS_NEW_TOKENS] - 1, code;

    *out = (struct ops){.step = prefill ? 0 : 1, .steps = prefill ? 1 : decode_steps};
    if (out->steps == 0)
        return 0;
    code = load_executions(out, s, t->id, e);
    if (code < 0 || out->reps == 0)
        return code;
    code = load_analytic(out, s, t->id, e);
    if (code == 0)
        code = take_places(out, e);
    if (code == 0)
        code = load_times(out, s, t->id, e);
    if (code == 0)
        code = load_counts(out, s, t->id, e);
    return code == 0 ? compute(out, r, t, e) : code;
}

void ops_free(struct ops *o)
{
    for (int i = 0; i < o->ops; i++) {
        for (int l = 0; o->op[i].layer && l < o->layers; l++)
            free(o->op[i].layer[l].ms);
        free(o->op[i].layer);
        free(o->op[i].whole.ms);
    }
    free(o->step_ms);
    free(o->started_ns);
    *o = (struct ops){0};
}
