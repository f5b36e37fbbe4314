/* SPDX-License-Identifier: MIT
 * A trial's ops as JSON: of each phase the ops with all layers together, and inside each op its layers. */
#include <math.h>
#include <stdio.h>

#include "document.h"
#include "ops.h"

static json_t *counters_json(struct document *d, const struct ops_op *op)
{
    json_t *o = json_object();

    for (int i = 0; i < op->counters; i++)
        document_put(d, o, op->counter[i].metric, document_number(op->counter[i].value));
    return o;
}

static json_t *counted_json(struct document *d, const struct ops_op *op, enum rows_metric m)
{
    struct amount a = {.analytic = op->analytic[m], .counted = op->whole.counted[m], .error = NAN};

    if (isfinite(a.counted) && a.analytic > 0)
        a.error = a.counted / a.analytic - 1;
    snprintf(a.why, sizeof a.why, "%s", op->why[m][0] ? op->why[m] : d->rows.why[m][0] ? d->rows.why[m] : "");
    if (isfinite(a.counted))
        a.why[0] = 0;
    else if (!a.why[0])
        snprintf(a.why, sizeof a.why, "no counting pass has recorded it by op");
    return document_amount(&a);
}

static json_t *layers_json(struct document *d, const struct ops *o, const struct ops_op *op)
{
    json_t *out = json_array();

    for (int l = 0; l < o->layers; l++) {
        const struct ops_place *p = &op->layer[l];
        double ms = stats_median(p->ms, o->reps);
        if (!isfinite(ms))
            continue;
        document_append(d, out,
                        json_pack("{s:i, s:o, s:o, s:o}", "layer", l, "ms", document_number(ms), "counted_flops",
                                  document_number(p->counted[ROWS_FLOPS]), "counted_bytes",
                                  document_number(p->counted[ROWS_BYTES])));
    }
    return out;
}

/* Rates of what the verdict rests on; an op without one has those of its analytic work. */
static json_t *op_json(struct document *d, const struct ops *o, const struct ops_op *op)
{
    json_t *j = json_object();
    bool judged = op->verdict.sentence[0];
    double s = op->ms.median / 1e3;

    document_put(d, j, "op", json_string(op->name));
    document_put(d, j, "ms", document_estimate(&op->ms));
    document_put(d, j, "share", document_estimate(&op->share));
    document_put(d, j, "flops", counted_json(d, op, ROWS_FLOPS));
    document_put(d, j, "bytes", counted_json(d, op, ROWS_BYTES));
    document_put(d, j, "gflops", document_number(judged ? op->verdict.flop_rate / 1e9 : NAN));
    document_put(d, j, "gbps", document_number((judged ? op->verdict.byte_rate : op->analytic[ROWS_BYTES] / s) / 1e9));
    document_put(d, j, "verdict", judged ? document_verdict(d, &op->verdict, op->cache) : json_null());
    document_put(d, j, "counters", counters_json(d, op));
    document_put(d, j, "layers", layers_json(d, o, op));
    return j;
}

/* Both are mean steps: of pass 'op:time' and of the timing pass. */
static double perturbation(const struct figures *f, bool prefill, const struct ops *o)
{
    double timed = prefill ? f->prefill.ms.median : f->loop_ms.median / o->steps;

    return o->step_estimate.median / timed - 1;
}

static json_t *phase_json(struct document *d, int trial, bool prefill)
{
    struct ops o;
    json_t *out = json_null();
    int code = ops_load(&o, d->s, &d->rows, trial, prefill, d->e);

    if (code < 0 && d->code == 0)
        d->code = code;
    if (code == 0 && o.ops > 0) {
        json_t *ops = json_array();
        for (int i = 0; i < o.ops; i++)
            if (o.op[i].ms.n > 0)
                document_append(d, ops, op_json(d, &o, &o.op[i]));
        out = json_object();
        document_put(d, out, "step_ms", document_estimate(&o.step_estimate));
        document_put(d, out, "between_ms", document_estimate(&o.between));
        document_put(d, out, "perturbation", document_number(perturbation(&d->figures[trial], prefill, &o)));
        document_put(d, out, "ops", ops);
    }
    ops_free(&o);
    return out;
}

json_t *document_per_op(struct document *d, int trial)
{
    json_t *prefill = phase_json(d, trial, true), *decode = phase_json(d, trial, false);

    if (json_is_null(prefill) && json_is_null(decode))
        return json_null();
    return json_pack("{s:o, s:o}", "prefill", prefill, "decode", decode);
}
