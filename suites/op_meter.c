/* SPDX-License-Identifier: MIT
 * Each event reads the clock, gives the stretch since the last event to the innermost open op, and reads the clock again after
 * the counters were read, so that reading them is nobody's time. A stretch too short for the plausibility of its counts is
 * judged with its step alone. With a timeline the events' times take the place of the clock's once the step is over. */
#include "op_meter.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

static const uint64_t long_enough_ns = 50000; /* for cycles and instructions to be many */

int op_meter_open(struct op_meter *m, int layers, struct err *e)
{
    *m = (struct op_meter){.clock = clock_ns, .layers = layers, .places = OP_COUNT * (layers + 1)};
    m->now = calloc((size_t)m->places * (1 + OP_SPAN_COUNT), sizeof *m->now);
    if (!m->now)
        return err_set(e, ERR_MEMORY, "out of memory for the ops of %d layers", layers);
    for (int i = 0; i < OP_SPAN_COUNT; i++)
        m->span[i] = m->now + (size_t)m->places * (size_t)(1 + i);
    return 0;
}

void op_meter_close(struct op_meter *m)
{
    free(m->now);
    *m = (struct op_meter){0};
}

void op_meter_reset(struct op_meter *m, struct probe *probe)
{
    const bool tags = probe && probe->ops->tag;

    m->probe = tags ? NULL : probe;
    m->timeline = tags ? probe : NULL;
    m->chooses_here = false;
    m->depth = 0;
    memset(m->now, 0, (size_t)m->places * (1 + OP_SPAN_COUNT) * sizeof *m->now);
}

static size_t place_of(const struct op_meter *m, enum op op, int layer)
{
    return (size_t)op * (size_t)(m->layers + 1) + (size_t)(layer + 1);
}

/* --- the measured path -----------------------------------------------------------------------------------------------------
 */

static bool is_believed(const struct op_meter *m, const struct reading *r, uint64_t ns)
{
    const struct probe_ops *ops = m->probe->ops;
    const char *why;

    if (ns >= long_enough_ns)
        return !ops->plausible || ops->plausible(m->probe, r, &why);
    for (int i = 0; i < r->count; i++)
        if (r->value[i].provenance != PROVENANCE_MISSING && !(r->value[i].value >= 0))
            return false;
    return true;
}

/* A value that is missing once, or counted for a part of a stretch, is so for the step. */
static void add_value(struct value *sum, const struct value *v)
{
    double before = sum->value;
    enum provenance worst = sum->provenance;

    if (worst == PROVENANCE_MISSING)
        return;
    *sum = *v;
    sum->value = before + v->value;
    if (worst == PROVENANCE_MULTIPLEXED && v->provenance != PROVENANCE_MISSING)
        sum->provenance = worst;
}

static void add_reading(struct op_meter *m, const struct reading *r, uint64_t ns)
{
    struct op_cell *cell = m->open[m->depth - 1];
    bool first = m->total.count == 0;

    if (m->spoiled)
        return;
    if (first || !is_believed(m, r, ns)) {
        m->spoiled = !is_believed(m, r, ns);
        m->total = *r;
    } else {
        for (int i = 0; i < r->count; i++)
            add_value(&m->total.value[i], &r->value[i]);
    }
    for (int i = 0; i < r->count; i++)
        cell->value[i] += r->value[i].value;
}

/* What passed since the last event was the innermost open op's. */
static void close_stretch(struct op_meter *m)
{
    uint64_t now = m->clock(), ns = now - m->last_ns;
    struct reading r;

    m->last_ns = now;
    if (m->depth == 0)
        return;
    m->open[m->depth - 1]->ns += ns;
    if (m->probe) {
        m->probe->ops->end(m->probe, &r);
        add_reading(m, &r, ns);
    }
}

static void open_stretch(struct op_meter *m)
{
    if (m->timeline) /* a place's tag is its number from 1 */
        m->timeline->ops->tag(m->timeline, m->depth ? (uint32_t)(m->open[m->depth - 1] - m->now) + 1 : 0);
    if (m->probe && m->depth > 0)
        m->probe->ops->begin(m->probe);
    if (m->probe || m->timeline)
        m->last_ns = m->clock();
}

static void begin_op(void *ctx, enum op op, int layer)
{
    struct op_meter *m = ctx;

    close_stretch(m);
    if (m->depth < OP_NESTING_MAX)
        m->open[m->depth++] = &m->now[place_of(m, op, layer)];
    open_stretch(m);
}

static void end_op(void *ctx, enum op op, int layer)
{
    struct op_meter *m = ctx;

    (void)op, (void)layer;
    close_stretch(m);
    if (m->depth > 0)
        m->depth--;
    open_stretch(m);
}

struct engine_hooks op_meter_hooks(struct op_meter *m)
{
    return (struct engine_hooks){.ctx = m, .op_begin = begin_op, .op_end = end_op, .parts = true};
}

/* --- beside it -------------------------------------------------------------------------------------------------------------
 */

bool op_span_steps(enum op_span span, int steps, int *step, int *count)
{
    static const int least[OP_SPAN_COUNT] = {1, 2, 3, 3}; /* steps of an execution in which the span is not another one too */
    const int first[OP_SPAN_COUNT] = {0, 1, steps - 1, 1}, counts[OP_SPAN_COUNT] = {1, 1, 1, steps - 1};

    *step = first[span];
    *count = counts[span];
    return steps >= least[span];
}

void op_meter_begin_step(struct op_meter *m)
{
    memset(m->now, 0, (size_t)m->places * sizeof *m->now);
    m->total = (struct reading){0};
    m->spoiled = false;
    m->depth = 0;
    if (m->timeline)
        m->timeline->ops->begin(m->timeline);
    m->last_ns = m->clock();
}

/* What the device did for each op takes the place of what handing it over took. */
static void take_timeline(struct op_meter *m)
{
    const size_t sample = place_of(m, OP_SAMPLE, -1);
    const uint64_t chosen_ns = m->now[sample].ns;
    const struct device_event *event = NULL;

    m->timeline->ops->end(m->timeline, &m->total);
    memset(m->now, 0, (size_t)m->places * sizeof *m->now);
    const int n = m->timeline->ops->events(m->timeline, &event);
    for (int i = 0; i < n; i++)
        if (event[i].tag > 0 && event[i].tag <= (uint32_t)m->places)
            m->now[event[i].tag - 1].ns += event[i].end_ns - event[i].start_ns;
    if (m->chooses_here)
        m->now[sample].ns = chosen_ns;
}

/* Only a probe's values are those of ops. */
static int values(const struct op_meter *m)
{
    return m->probe ? m->total.count : 0;
}

void op_meter_end_step(struct op_meter *m, int step, int steps)
{
    if (m->timeline)
        take_timeline(m);
    for (int s = 0; s < OP_SPAN_COUNT; s++) {
        int from, count;
        if (!op_span_steps((enum op_span)s, steps, &from, &count) || step < from || step >= from + count)
            continue;
        for (int i = 0; i < m->places; i++) {
            m->span[s][i].ns += m->now[i].ns;
            for (int v = 0; v < values(m); v++)
                m->span[s][i].value[v] += m->now[i].value[v];
        }
    }
}

uint64_t op_meter_step_ns(const struct op_meter *m, enum op op)
{
    uint64_t sum = 0;

    for (int layer = -1; layer < m->layers; layer++)
        sum += m->now[place_of(m, op, layer)].ns;
    return sum;
}

bool op_meter_place(const struct op_meter *m, uint32_t tag, enum op *op, int *layer)
{
    if (tag == 0 || tag > (uint32_t)m->places)
        return false;
    *op = (enum op)((int)(tag - 1) / (m->layers + 1));
    *layer = (int)(tag - 1) % (m->layers + 1) - 1;
    return true;
}

const struct op_cell *op_meter_cell(const struct op_meter *m, enum op_span span, enum op op, int layer)
{
    return &m->span[span][place_of(m, op, layer)];
}
