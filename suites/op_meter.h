/* SPDX-License-Identifier: MIT
 * Where within a step the time goes, and what is counted there: a stack of open ops, told by the engine's hooks. What passes
 * between two events belongs to the op that was opened last and is still open, so an op's own figures are without those nested
 * in it, and all ops together are the step less what lies between two of them.
 *
 * Work that is handed to a device runs apart from those events. There a timeline is told for which op it is handed over (a
 * tag), and an op's time is that of the work with its tag.
 *
 * Memory is taken by op_meter_open; everything after it is the measured path or beside it and allocates nothing. */
#ifndef BENCH_OP_METER_H
#define BENCH_OP_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "probe.h"

/* The stretches of steps that are kept; each sums its steps. */
enum op_span { OP_SPAN_PREFILL, OP_SPAN_FIRST, OP_SPAN_LAST, OP_SPAN_DECODE, OP_SPAN_COUNT };

struct op_cell {
    uint64_t ns;
    double value[READING_VALUES_MAX]; /* in the order of the probe's metrics */
};

enum { OP_NESTING_MAX = 4 };

struct op_meter {
    struct probe *probe;    /* read around each stretch; NULL: time only */
    struct probe *timeline; /* of a device; NULL: the clock tells an op's time */
    bool chooses_here;      /* with a timeline: the caller chooses tokens, so the clock tells the time of OP_SAMPLE */
    uint64_t (*clock)(void);
    int layers, places; /* places: cells of a step, OP_COUNT x (layers + 1) */
    struct op_cell *now, *span[OP_SPAN_COUNT];
    struct op_cell *open[OP_NESTING_MAX];
    int depth;
    uint64_t last_ns;
    struct reading total; /* over the ops of the step; in its place the first reading of a stretch that cannot be true; or the
                             timeline's of the step */
    bool spoiled;
};

int op_meter_open(struct op_meter *m, int layers, struct err *e);
void op_meter_close(struct op_meter *m);

/* Before an execution. probe: with its group selected, or NULL; one that takes tags is the timeline. */
void op_meter_reset(struct op_meter *m, struct probe *probe);

/* For the session; m must outlive it. */
struct engine_hooks op_meter_hooks(struct op_meter *m);

/* Around each step, outside its clock. */
void op_meter_begin_step(struct op_meter *m);
void op_meter_end_step(struct op_meter *m, int step, int steps);

/* What the step took in one op, all layers together; after op_meter_end_step. */
uint64_t op_meter_step_ns(const struct op_meter *m, enum op op);

/* A span's cell; layer -1: outside the layers. An op that never ran there has no time. */
const struct op_cell *op_meter_cell(const struct op_meter *m, enum op_span span, enum op op, int layer);

/* The op and layer of a tag; false for work that belongs to none. */
bool op_meter_place(const struct op_meter *m, uint32_t tag, enum op *op, int *layer);

/* Which steps a span holds: *step the first of *steps. False when the execution of so many steps has no such span, or another
 * span is the same. */
bool op_span_steps(enum op_span span, int steps, int *step, int *count);

#endif
