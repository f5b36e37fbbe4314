/* SPDX-License-Identifier: MIT
 * Who gets the time and the counts of nested ops: with a clock and a probe of this test's own that tell what was read when, and
 * with the real engine, where all ops together are the step. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "op_meter.h"
#include "team.h"

enum { LAYERS = 2 };

/* --- a clock that moves when told, and a counter that counts it --- */

static struct {
    uint64_t now;
    double counted, wrong; /* wrong: the next reading, when not 0 */
    double begun;
    int open, brackets;
    bool missing;
} world;

static uint64_t scripted_clock(void)
{
    return world.now;
}

/* A nanosecond of work is three units. */
static void work(uint64_t ns)
{
    world.now += ns;
    world.counted += 3 * (double)ns;
}

static void probe_begin(struct probe *p)
{
    (void)p;
    world.now += 1000; /* reading takes time, which must be nobody's */
    world.begun = world.counted;
    world.open++;
}

static void probe_end(struct probe *p, struct reading *out)
{
    (void)p;
    double value = world.wrong != 0 ? world.wrong : world.counted - world.begun;

    *out = (struct reading){.count = 1};
    out->value[0] = (struct value){.metric = METRIC_FLOPS,
                                   .provenance = world.missing ? PROVENANCE_MISSING : PROVENANCE_COUNTER,
                                   .why = world.missing ? "gone" : NULL,
                                   .value = world.missing ? 0 : value,
                                   .coverage = 1};
    world.now += 1000;
    world.wrong = 0;
    world.open--;
    world.brackets++;
}

static bool probe_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p;
    *why = "negative or nothing";
    return r->value[0].provenance == PROVENANCE_MISSING || r->value[0].value > 0;
}

static const struct probe_ops scripted_ops = {
    .name = "scripted", .begin = probe_begin, .end = probe_end, .plausible = probe_plausible};
static struct probe scripted = {&scripted_ops};

static struct op_meter meter;
static struct engine_hooks hooks;

static int open_meter(void **state)
{
    struct err e = {0};

    (void)state;
    memset(&world, 0, sizeof world);
    if (op_meter_open(&meter, LAYERS, &e) < 0)
        return -1;
    meter.clock = scripted_clock;
    hooks = op_meter_hooks(&meter);
    return 0;
}

static int close_meter(void **state)
{
    (void)state;
    op_meter_close(&meter);
    return 0;
}

static void begin(enum op op, int layer)
{
    hooks.op_begin(hooks.ctx, op, layer);
}

static void end(enum op op, int layer)
{
    hooks.op_end(hooks.ctx, op, layer);
}

/* qkv of a layer as a backend runs it in pieces: 10 for norm, 5 between, 100 for the product, 20 for rotary, 1 after it. */
static void run_qkv(int layer, uint64_t scale)
{
    begin(OP_QKV, layer);
    begin(OP_NORM, layer);
    work(10 * scale);
    end(OP_NORM, layer);
    work(105 * scale);
    begin(OP_ROTARY, layer);
    work(20 * scale);
    end(OP_ROTARY, layer);
    work(1 * scale);
    end(OP_QKV, layer);
}

static void run_step(int step, int steps, uint64_t scale)
{
    op_meter_begin_step(&meter);
    work(7); /* before the first op: nobody's */
    run_qkv(0, scale);
    run_qkv(1, 2 * scale);
    begin(OP_HEAD, -1);
    work(500 * scale);
    end(OP_HEAD, -1);
    op_meter_end_step(&meter, step, steps);
}

#define assert_cell(span, op, layer, want_ns) assert_int_equal(op_meter_cell(&meter, span, op, layer)->ns, want_ns)

static void nested_time_is_the_innermost_ops_alone(void **state)
{
    (void)state;
    op_meter_reset(&meter, NULL);
    run_step(0, 1, 1);
    assert_cell(OP_SPAN_PREFILL, OP_NORM, 0, 10);
    assert_cell(OP_SPAN_PREFILL, OP_QKV, 0, 106); /* without norm and rotary, which ran inside it */
    assert_cell(OP_SPAN_PREFILL, OP_ROTARY, 0, 20);
    assert_cell(OP_SPAN_PREFILL, OP_QKV, 1, 212);
    assert_cell(OP_SPAN_PREFILL, OP_HEAD, -1, 500);
    assert_cell(OP_SPAN_PREFILL, OP_MLP, 0, 0);
    assert_int_equal(op_meter_step_ns(&meter, OP_QKV), 318);
}

static void counts_go_where_the_time_goes_and_reading_them_is_nobodys_time(void **state)
{
    (void)state;
    op_meter_reset(&meter, &scripted);
    run_step(0, 1, 1);
    assert_cell(OP_SPAN_PREFILL, OP_QKV, 1, 212);
    assert_true(op_meter_cell(&meter, OP_SPAN_PREFILL, OP_NORM, 0)->value[0] == 30);
    assert_true(op_meter_cell(&meter, OP_SPAN_PREFILL, OP_QKV, 0)->value[0] == 318);
    assert_true(op_meter_cell(&meter, OP_SPAN_PREFILL, OP_HEAD, -1)->value[0] == 1500);
    assert_true(meter.total.value[0].value == 3 * (3 * 136 + 500)); /* all but what lies outside the ops */
    assert_int_equal(world.open, 0);                                /* every bracket was closed */
    assert_int_equal(world.brackets, 2 * 5 + 1);
}

static void steps_are_kept_as_prefill_first_last_and_the_sum_of_decode(void **state)
{
    (void)state;
    op_meter_reset(&meter, NULL);
    for (int step = 0; step < 4; step++)
        run_step(step, 4, (uint64_t)step + 1);
    assert_cell(OP_SPAN_PREFILL, OP_HEAD, -1, 500);
    assert_cell(OP_SPAN_FIRST, OP_HEAD, -1, 1000);
    assert_cell(OP_SPAN_LAST, OP_HEAD, -1, 2000);
    assert_cell(OP_SPAN_DECODE, OP_HEAD, -1, 1000 + 1500 + 2000);
    op_meter_reset(&meter, NULL);
    run_step(0, 1, 1);
    assert_cell(OP_SPAN_DECODE, OP_HEAD, -1, 0);
}

static void a_span_that_another_one_is_too_is_not_told_twice(void **state)
{
    int step, count, known[5] = {0};

    (void)state;
    for (int steps = 1; steps <= 4; steps++)
        for (int s = 0; s < OP_SPAN_COUNT; s++)
            known[steps] += op_span_steps((enum op_span)s, steps, &step, &count);
    assert_int_equal(known[1], 1);
    assert_int_equal(known[2], 2); /* the only decode step is first, last and all */
    assert_int_equal(known[3], 4);
    assert_true(op_span_steps(OP_SPAN_DECODE, 4, &step, &count));
    assert_int_equal(step, 1);
    assert_int_equal(count, 3);
    assert_true(op_span_steps(OP_SPAN_LAST, 4, &step, &count));
    assert_int_equal(step, 3);
}

static void one_impossible_stretch_spoils_its_step(void **state)
{
    const char *why;

    (void)state;
    op_meter_reset(&meter, &scripted);
    op_meter_begin_step(&meter);
    run_qkv(0, 1);
    begin(OP_HEAD, -1);
    work(5);
    world.wrong = -1; /* would vanish in the sum */
    end(OP_HEAD, -1);
    run_qkv(1, 1);
    op_meter_end_step(&meter, 0, 1);
    assert_false(probe_plausible(&scripted, &meter.total, &why));
    op_meter_begin_step(&meter); /* and no other */
    run_qkv(0, 1);
    op_meter_end_step(&meter, 0, 1);
    assert_true(probe_plausible(&scripted, &meter.total, &why));
}

static void a_stretch_that_is_long_must_have_been_counted(void **state)
{
    const char *why;

    (void)state;
    op_meter_reset(&meter, &scripted);
    op_meter_begin_step(&meter);
    run_qkv(0, 1);
    begin(OP_HEAD, -1);
    world.now += 1000000; /* a millisecond in which nothing was counted */
    end(OP_HEAD, -1);
    op_meter_end_step(&meter, 0, 1);
    assert_false(probe_plausible(&scripted, &meter.total, &why));
}

static void a_value_that_is_missing_once_is_missing(void **state)
{
    (void)state;
    op_meter_reset(&meter, &scripted);
    op_meter_begin_step(&meter);
    run_qkv(0, 1);
    world.missing = true;
    begin(OP_HEAD, -1);
    end(OP_HEAD, -1);
    world.missing = false;
    run_qkv(1, 1);
    op_meter_end_step(&meter, 0, 1);
    assert_int_equal(meter.total.value[0].provenance, PROVENANCE_MISSING);
    assert_string_equal(meter.total.value[0].why, "gone");
}

/* --- a device, whose work runs apart from the clock --- */

/* As a probe that traces a device: what is handed over is known by the tag of that moment. */
static struct {
    uint32_t tag;
    struct device_event event[32];
    int events, brackets;
    uint64_t now;
} device;

static void hand_over(uint64_t ns)
{
    device.event[device.events++] = (struct device_event){
        .start_ns = device.now, .end_ns = device.now + ns, .tag = device.tag, .name = "kernel", .kind = 'k'};
    device.now += ns;
    world.now += 3; /* handing it over takes the caller no longer, whatever it is */
}

static void timeline_begin(struct probe *p)
{
    (void)p;
    device.events = 0;
    device.brackets++;
}

static void timeline_end(struct probe *p, struct reading *out)
{
    (void)p;
    *out = (struct reading){.count = 1};
    out->value[0] =
        (struct value){.metric = METRIC_KERNELS, .provenance = PROVENANCE_VENDOR, .value = device.events, .coverage = 1};
    world.now += 1000000; /* waiting for records is in no step */
}

static void timeline_tag(struct probe *p, uint32_t tag)
{
    (void)p;
    device.tag = tag;
    world.now += 500;
}

static int timeline_events(const struct probe *p, const struct device_event **out)
{
    (void)p;
    *out = device.event;
    return device.events;
}

static const struct probe_ops timeline_ops = {
    .name = "timeline", .begin = timeline_begin, .end = timeline_end, .tag = timeline_tag, .events = timeline_events};
static struct probe timeline = {&timeline_ops};

/* Norm and rotary within qkv; then a copy that belongs to no op; then the head and the choice. */
static void run_device_step(int step, int steps, uint64_t scale)
{
    op_meter_begin_step(&meter);
    for (int layer = 0; layer < LAYERS; layer++) {
        begin(OP_QKV, layer);
        hand_over(2 * scale);
        begin(OP_NORM, layer);
        hand_over(10 * scale);
        end(OP_NORM, layer);
        hand_over((uint64_t)(100 + layer) * scale);
        end(OP_QKV, layer);
    }
    hand_over(7777);
    begin(OP_HEAD, -1);
    hand_over(500 * scale);
    end(OP_HEAD, -1);
    begin(OP_SAMPLE, -1);
    hand_over(20);
    work(4000); /* the caller chooses */
    end(OP_SAMPLE, -1);
    op_meter_end_step(&meter, step, steps);
}

static void on_a_device_an_op_takes_what_its_own_work_takes_there(void **state)
{
    (void)state;
    memset(&device, 0, sizeof device);
    op_meter_reset(&meter, &timeline);
    run_device_step(0, 1, 1);
    assert_cell(OP_SPAN_PREFILL, OP_NORM, 0, 10);
    assert_cell(OP_SPAN_PREFILL, OP_QKV, 0, 102); /* before and after the norm in it */
    assert_cell(OP_SPAN_PREFILL, OP_QKV, 1, 103);
    assert_cell(OP_SPAN_PREFILL, OP_HEAD, -1, 500);
    assert_cell(OP_SPAN_PREFILL, OP_SAMPLE, -1, 20);
    assert_cell(OP_SPAN_PREFILL, OP_MLP, 0, 0);
    assert_int_equal(device.brackets, 1); /* around the step, not around ops */
    assert_int_equal(device.tag, 0);
    assert_true(meter.total.value[0].value == device.events);
}

static void steps_of_a_device_add_up_to_spans(void **state)
{
    (void)state;
    op_meter_reset(&meter, &timeline);
    for (int step = 0; step < 4; step++)
        run_device_step(step, 4, (uint64_t)step + 1);
    assert_cell(OP_SPAN_PREFILL, OP_HEAD, -1, 500);
    assert_cell(OP_SPAN_LAST, OP_NORM, 1, 40);
    assert_cell(OP_SPAN_DECODE, OP_NORM, 1, 20 + 30 + 40);
    assert_true(op_meter_cell(&meter, OP_SPAN_DECODE, OP_NORM, 1)->value[0] == 0); /* what it read is the step's, no op's */
}

static void where_the_caller_chooses_the_choice_takes_what_its_clock_says(void **state)
{
    (void)state;
    op_meter_reset(&meter, &timeline);
    meter.chooses_here = true;
    run_device_step(0, 1, 1);
    assert_cell(OP_SPAN_PREFILL, OP_SAMPLE, -1, 4003); /* telling the tag is no part of it */
    assert_cell(OP_SPAN_PREFILL, OP_HEAD, -1, 500);
}

static void a_tag_is_an_op_in_a_layer(void **state)
{
    enum op op;
    int layer;

    (void)state;
    op_meter_reset(&meter, &timeline);
    run_device_step(0, 1, 1);
    assert_true(op_meter_place(&meter, device.event[1].tag, &op, &layer));
    assert_int_equal(op, OP_NORM);
    assert_int_equal(layer, 0);
    assert_true(op_meter_place(&meter, device.event[7].tag, &op, &layer));
    assert_int_equal(op, OP_HEAD);
    assert_int_equal(layer, -1);
    assert_false(op_meter_place(&meter, device.event[6].tag, &op, &layer)); /* between two ops */
    assert_false(op_meter_place(&meter, 100000, &op, &layer));
}

static void after_a_device_the_clock_tells_the_time_again(void **state)
{
    (void)state;
    op_meter_reset(&meter, &timeline);
    run_device_step(0, 1, 1);
    op_meter_reset(&meter, NULL);
    run_step(0, 1, 1);
    assert_cell(OP_SPAN_PREFILL, OP_NORM, 0, 10);
    assert_cell(OP_SPAN_PREFILL, OP_SAMPLE, -1, 0);
}

/* --- the engine --- */

/* 60 steps of a session on so many of the model's workers. */
static void run_real_steps(struct model *model, int threads)
{
    static const int32_t prompt[4] = {5, 17, 230, 4};
    const int layers = model_config(model)->layers;
    struct session *s = NULL;
    struct op_meter real;
    double most = 0;

    assert_int_equal(op_meter_open(&real, layers, NULL), 0);
    op_meter_reset(&real, NULL);
    struct session_args args = {
        .batch = 1, .capacity = 64, .threads = threads, .kv_cache = true, .ignore_eos = true, .hooks = op_meter_hooks(&real)};
    assert_int_equal(session_open(&s, model, &args, NULL), 0);
    for (int step = 0; step < 60; step++) {
        uint64_t start = clock_ns(), ops_ns = 0;
        op_meter_begin_step(&real);
        assert_int_equal(step == 0 ? session_prefill(s, prompt, 4, NULL) : session_decode(s, NULL), 0);
        op_meter_end_step(&real, step, 60);
        const uint64_t step_ns = clock_ns() - start;
        for (int op = 0; op < OP_COUNT; op++)
            ops_ns += op_meter_step_ns(&real, (enum op)op);
        assert_true(ops_ns <= step_ns);
        most = fmax(most, (double)ops_ns / (double)step_ns);
    }
    assert_true(most > 0.8); /* in one step at least no neighbour's burst falls between two ops */
    for (int layer = 0; layer < layers; layer++)
        for (int op = OP_NORM; op <= OP_MLP; op++)
            assert_true(op_meter_cell(&real, OP_SPAN_DECODE, (enum op)op, layer)->ns > 0);
    assert_int_equal(op_meter_cell(&real, OP_SPAN_DECODE, OP_MLP, -1)->ns, 0);
    assert_true(op_meter_cell(&real, OP_SPAN_DECODE, OP_SAMPLE, -1)->ns > 0);
    session_close(s);
    op_meter_close(&real);
}

static void all_ops_of_a_real_step_together_are_the_step_on_any_number_of_workers(void **state)
{
    struct team team;
    struct model *model = NULL;

    (void)state;
    assert_int_equal(team_start(&team, team_max_threads() < 2 ? 1 : 2, NULL, NULL), 0);
    struct model_args args = {.source = "tiny-llama", .backend = "cpu", .threads = team.threads, .seed = 1};
    assert_int_equal(model_open(&model, &args, NULL), 0);
    for (int threads = team.threads; threads >= 1; threads--)
        run_real_steps(model, threads);
    model_close(model);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_meter, close_meter)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(nested_time_is_the_innermost_ops_alone),
        test(counts_go_where_the_time_goes_and_reading_them_is_nobodys_time),
        test(steps_are_kept_as_prefill_first_last_and_the_sum_of_decode),
        test(a_span_that_another_one_is_too_is_not_told_twice),
        test(one_impossible_stretch_spoils_its_step),
        test(a_stretch_that_is_long_must_have_been_counted),
        test(a_value_that_is_missing_once_is_missing),
        test(on_a_device_an_op_takes_what_its_own_work_takes_there),
        test(steps_of_a_device_add_up_to_spans),
        test(where_the_caller_chooses_the_choice_takes_what_its_clock_says),
        test(a_tag_is_an_op_in_a_layer),
        test(after_a_device_the_clock_tells_the_time_again),
        cmocka_unit_test(all_ops_of_a_real_step_together_are_the_step_on_any_number_of_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
