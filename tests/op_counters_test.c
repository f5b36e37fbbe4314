/* SPDX-License-Identifier: MIT
 * Counters by op: the papi probe over a counting machine of these tests' own, read around every op by the meter. What the
 * machine did in an op is what the op shows; a machine that lies within a step is found out. */
#include "check.h"

#include "clock.h"
#include "counter_room.h"
#include "op_meter.h"

enum { LAYERS = 2, LONG_NS = 80000 };

/* A stretch long enough to be judged by itself. */
static void work_for_long(enum metric m, double amount)
{
    uint64_t until = clock_ns() + LONG_NS;

    work(m, amount);
    while (clock_ns() < until)
        ;
}

/* Two layers of an op inside another, then one outside the layers. */
static void run_step(struct op_meter *m)
{
    struct engine_hooks h = op_meter_hooks(m);

    op_meter_begin_step(m);
    for (int layer = 0; layer < LAYERS; layer++) {
        h.op_begin(h.ctx, OP_MLP, layer);
        h.op_begin(h.ctx, OP_NORM, layer);
        work_for_long(METRIC_FLOPS, 1000);
        h.op_end(h.ctx, OP_NORM, layer);
        work_for_long(METRIC_FLOPS, 40000 * (layer + 1));
        h.op_end(h.ctx, OP_MLP, layer);
    }
    h.op_begin(h.ctx, OP_HEAD, -1);
    work_for_long(METRIC_FLOPS, 500000);
    h.op_end(h.ctx, OP_HEAD, -1);
    work(METRIC_FLOPS, 7e6); /* in no op */
    op_meter_end_step(m, 0, 1);
}

static void select_flops(struct probe *p)
{
    p->ops->select(p, quantity_of(p, METRIC_FLOPS).group);
}

/* Where the metric stands in the group's readings. */
static int place_of(const struct probe *p, enum metric wanted)
{
    enum metric metric[READING_VALUES_MAX];
    int n = p->ops->metrics(p, metric), i = 0;

    while (i < n && metric[i] != wanted)
        i++;
    assert_true(i < n);
    return i;
}

static void what_the_machine_did_in_an_op_is_what_the_op_shows(void **state)
{
    struct op_meter m;
    struct probe *p = NULL;
    const char *why;

    (void)state;
    assert_int_equal(op_meter_open(&m, LAYERS, NULL), 0);
    assert_int_equal(open_with(RIGHT, &p, NULL), 0);
    select_flops(p);
    op_meter_reset(&m, p);
    run_step(&m);
    int flops = place_of(p, METRIC_FLOPS);
    assert_true(op_meter_cell(&m, OP_SPAN_PREFILL, OP_NORM, 1)->value[flops] == 1000);
    assert_true(op_meter_cell(&m, OP_SPAN_PREFILL, OP_MLP, 0)->value[flops] == 40000);
    assert_true(op_meter_cell(&m, OP_SPAN_PREFILL, OP_MLP, 1)->value[flops] == 80000);
    assert_true(op_meter_cell(&m, OP_SPAN_PREFILL, OP_HEAD, -1)->value[flops] == 500000);
    assert_true(m.total.value[flops].value == 622000);
    assert_int_equal(m.total.value[flops].provenance, PROVENANCE_COUNTER);
    assert_true(p->ops->plausible(p, &m.total, &why));
    p->ops->close(p);
    op_meter_close(&m);
}

/* Opened while the machine is right, so that the fault comes after calibration. */
static bool is_found_out(enum fault fault)
{
    struct op_meter m;
    struct probe *p = NULL;
    const char *why;

    assert_int_equal(op_meter_open(&m, LAYERS, NULL), 0);
    assert_int_equal(open_with(RIGHT, &p, NULL), 0);
    select_flops(p);
    op_meter_reset(&m, p);
    machine.fault = fault;
    run_step(&m);
    bool found = !p->ops->plausible(p, &m.total, &why);
    p->ops->close(p);
    op_meter_close(&m);
    return found;
}

static void a_machine_that_lies_within_a_step_is_found_out(void **state)
{
    static const enum fault faults[] = {ZERO, FROZEN, BACKWARDS, OVERFLOWED, DROPS, SHARED};

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (!is_found_out(faults[i]))
            fail_msg("fault %d was believed", (int)faults[i]);
    assert_false(is_found_out(RIGHT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_machine_did_in_an_op_is_what_the_op_shows),
        cmocka_unit_test(a_machine_that_lies_within_a_step_is_found_out),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
