/* SPDX-License-Identifier: MIT
 * What a device told of an execution, to rows: its kernels, copies and sets in the steps that are kept, of the first repetition
 * of a pass; samples taken beside the whole. */
#include <stdio.h>

#include "runner.h"

static const char *kind_name(char kind)
{
    return kind == 'k' ? "kernel" : kind == 'c' ? "copy" : "set";
}

static int store_event(struct runner *r, int64_t repetition, const struct logged_step *s, int i, struct err *e)
{
    const struct device_event *event = &s->event[i];
    struct store_event row = {
        .step = s->step,
        .ordinal = i,
        .kind = kind_name(event->kind),
        .name = event->name,
        .layer = -1,
        .start_ns = (int64_t)(event->start_ns - s->event[0].start_ns),
        .wall_ns = (int64_t)(event->end_ns - event->start_ns),
        .grid = {event->grid[0], event->grid[1], event->grid[2]},
        .block = {event->block[0], event->block[1], event->block[2]},
        .registers = event->registers,
        .shared_bytes = event->shared_bytes,
        .bytes = (int64_t)event->bytes,
    };
    enum op op;

    if (op_meter_place(&r->execution.meter, event->tag, &op, &row.layer))
        row.op = op_name(op);
    return store_add_event(r->store, repetition, &row, e);
}

static int store_left_out(struct runner *r, const struct logged_step *s, const char *pass, struct err *e)
{
    char why[128];

    snprintf(why, sizeof why, "%d of the %d kernels, copies and sets of step %d of pass %s are kept", s->count,
             s->count + s->left_out, s->step, pass);
    return store_add_absent(r->store, r->run, "events", why, e);
}

static int store_events(struct runner *r, int64_t repetition, const char *pass, struct err *e)
{
    const struct device_log *log = &r->execution.log;
    int code = 0;

    for (int s = 0; code == 0 && s < log->steps; s++) {
        for (int i = 0; code == 0 && i < log->kept[s].count; i++)
            code = store_event(r, repetition, &log->kept[s], i, e);
        if (code == 0 && log->kept[s].left_out)
            code = store_left_out(r, &log->kept[s], pass, e);
    }
    return code;
}

/* Those of the execution itself: the probe watches a little longer. */
static int store_samples(struct runner *r, int64_t repetition, const struct probe *p, struct err *e)
{
    const struct execution *x = &r->execution;
    const struct device_sample *sample = NULL;
    const int n = p->ops->samples(p, &sample);
    int code = 0;

    for (int i = 0; code == 0 && i < n; i++) {
        const struct store_sample row = {
            .at_ns = (int64_t)sample[i].at_ns - x->started_ns,
            .span_ns = (int64_t)sample[i].span_ns,
            .read_bytes = sample[i].read_bytes,
            .write_bytes = sample[i].write_bytes,
            .sm_active = sample[i].sm_active,
            .tensor_active = sample[i].tensor_active,
        };
        if (row.at_ns >= 0 && row.at_ns < x->wall_ns)
            code = store_add_sample(r->store, repetition, &row, e);
    }
    return code;
}

/* Samples that are not all there say why. */
static int store_lost_samples(struct runner *r, const char *pass, struct err *e)
{
    const struct reading *whole = r->execution.reading;

    for (int v = 0; v < whole->count; v++)
        if (whole->value[v].provenance == PROVENANCE_MISSING)
            return store_add_absent(r->store, r->run, pass, whole->value[v].why, e);
    return 0;
}

int run_store_device(struct runner *r, int64_t repetition, const struct pass_probes *riders, int rep, struct err *e)
{
    int code = 0;

    if (rep == 0 && !riders->warmup)
        code = store_events(r, repetition, riders->name, e);
    if (code < 0 || riders->kind != PASS_SERIES)
        return code;
    code = store_samples(r, repetition, riders->riding[0], e);
    return code == 0 ? store_lost_samples(r, riders->name, e) : code;
}
