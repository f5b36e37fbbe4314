/* SPDX-License-Identifier: MIT
 * One execution to rows: the repetition with what the witness saw, its steps with their readings, or its ops. All of it is one
 * transaction. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "runner.h"

static struct store_reading reading_row(const struct probe *p, const struct value *v, int step)
{
    return (struct store_reading){
        .step = step,
        .probe = p->ops->name,
        .metric = metric_name(v->metric),
        .provenance = provenance_name(v->provenance),
        .why = v->why,
        .value = v->provenance == PROVENANCE_MISSING ? NAN : v->value,
        .coverage = v->coverage,
    };
}

static int store_readings(struct runner *r, int64_t repetition, int step, const struct pass_probes *riders, struct err *e)
{
    int code = 0;

    for (int i = 0; i < riders->count; i++) {
        const struct reading *reading = &r->execution.reading[(size_t)step * PROBES_MAX + (size_t)i];
        for (int v = 0; code == 0 && v < reading->count; v++) {
            struct store_reading row = reading_row(riders->riding[i], &reading->value[v], step);
            code = store_add_reading(r->store, repetition, &row, e);
        }
    }
    return code;
}

static int store_steps(struct runner *r, int64_t repetition, const struct pass_probes *riders, struct err *e)
{
    struct text token = {0};
    int code = 0;

    for (int i = 0; code == 0 && i < r->execution.steps; i++) {
        const struct executed_step *s = &r->execution.step[i];
        token.len = 0;
        text_puts(&token, "");
        model_token_text(r->plan->model[0].model, s->token, &token);
        struct store_step row = {i, s->wall_ns, s->sample_ns, s->kv_len, s->token, s->launches, token.data};
        code = store_add_step(r->store, repetition, &row, e);
        if (code == 0 && riders->kind == PASS_STEPS)
            code = store_readings(r, repetition, i, riders, e);
    }
    text_free(&token);
    return code;
}

/* Values that some step lacked are missing in every span: x->reading says why. */
static const struct value *missing_value(const struct execution *x, int v)
{
    for (int step = 0; step < x->steps; step++) {
        const struct value *value = &x->reading[(size_t)step * PROBES_MAX].value[v];
        if (value->provenance == PROVENANCE_MISSING)
            return value;
    }
    return NULL;
}

static int store_op_readings(struct runner *r, int64_t repetition, const struct store_op_place *at, const struct op_cell *cell,
                             struct err *e)
{
    const struct execution *x = &r->execution;
    const struct probe *p = x->meter.probe;
    int code = 0;

    for (int v = 0; code == 0 && v < x->reading[0].count; v++) {
        const struct value *missing = missing_value(x, v);
        struct value value = missing ? *missing : x->reading[0].value[v];
        if (!metric_adds(value.metric)) /* nothing of the step's, and nothing of a span's */
            continue;
        value.value = cell->value[v];
        struct store_reading row = reading_row(p, &value, 0);
        code = store_add_op_reading(r->store, repetition, at, &row, e);
    }
    return code;
}

static int store_span(struct runner *r, int64_t repetition, enum op_span span, struct err *e)
{
    const struct op_meter *m = &r->execution.meter;
    struct store_op_place at;
    int code = 0;

    if (!op_span_steps(span, r->execution.steps, &at.span.step, &at.span.steps))
        return 0;
    for (int op = 0; op < OP_COUNT; op++)
        for (at.layer = -1; code == 0 && at.layer < m->layers; at.layer++) {
            const struct op_cell *cell = op_meter_cell(m, span, (enum op)op, at.layer);
            at.op = op_name((enum op)op);
            if (cell->ns == 0) /* it does not run there */
                continue;
            code = m->probe ? store_op_readings(r, repetition, &at, cell, e)
                            : store_add_op_step(r->store, repetition, &at, (int64_t)cell->ns, e);
        }
    return code;
}

/* Ops whose work is not all known have no time. */
static int store_ops(struct runner *r, int64_t repetition, struct err *e)
{
    const struct value *lost = r->execution.meter.timeline ? missing_value(&r->execution, 0) : NULL;
    int code = 0;

    if (lost && !r->told_lost)
        code = store_add_absent(r->store, r->run, "op:time", lost->why, e);
    r->told_lost |= lost != NULL;
    if (lost)
        return code;
    for (int span = 0; code == 0 && span < OP_SPAN_COUNT; span++)
        code = store_span(r, repetition, (enum op_span)span, e);
    return code;
}

int run_store_execution(struct runner *r, const struct trial *t, int rep, int rejected, const struct pass_probes *riders,
                        struct err *e)
{
    const struct execution *x = &r->execution;
    char hash[17];
    int64_t id;

    snprintf(hash, sizeof hash, "%016" PRIx64, x->tokens_hash);
    struct store_repetition row = {
        .pass = riders->name,
        .tokens_hash = hash,
        .rep = rep,
        .ordinal = r->ordinal++,
        .rejected = rejected,
        .warmup = riders->warmup,
        .started_ns = x->started_ns - (int64_t)r->start_ns,
        .wall_ns = x->wall_ns,
        .switches_involuntary = x->witness.switches_involuntary,
        .page_faults_minor = x->witness.page_faults_minor,
        .page_faults_major = x->witness.page_faults_major,
        .steal_ticks = x->witness.steal_ticks,
        .other_busy = x->witness.other_busy,
        .load1 = x->witness.load1,
        .interrupts = x->witness.interrupts,
        .throttled = x->witness.throttled,
        .frequency_hz = x->witness.frequency_hz,
        .sibling_busy = x->witness.sibling_busy,
        .huge_share = x->witness.huge_share,
        .remote_share = x->witness.remote_share,
        .prefill_ns = x->prefill_ns,
    };
    int code = store_begin(r->store, e);
    if (code == 0)
        code = store_add_repetition(r->store, t->id, &row, &id, e);
    if (code == 0)
        code = store_steps(r, id, riders, e);
    if (code == 0 && riders->kind == PASS_OPS)
        code = store_ops(r, id, e);
    if (code == 0)
        code = run_store_device(r, id, riders, rep, e);
    if (code == 0)
        code = store_commit(r->store, e);
    if (code < 0)
        store_rollback(r->store);
    return code;
}
