/* SPDX-License-Identifier: MIT
 * What the document says of a run on a GPU, and how its claims are judged. With a path the program makes a database of such a
 * run there and prints its document, for whoever wants to see a page of it: nothing in it was measured. */
#include "check.h"

#include <sqlite3.h>

#include "gpu_run.h"

/* --- roofs and verdicts --------------------------------------------------------------------------------------------- */

static void a_gpu_is_held_against_a_library_s_products_whatever_the_threads(void **state)
{
    struct store_trial t = gpu_trial("graph");

    (void)state;
    add_gpu_run();
    t.axis[AXIS_THREADS] = 1;
    t.arithmetic = "f16";
    time_gpu_trial(put_trial(t), 12.5, 1.25);
    analyse();
    assert_text("trials/0/prefill/verdict/kind", "compute-bound");
    assert_text("trials/0/prefill/verdict/roof", "bf16 gemm");
    assert_number("trials/0/prefill/verdict/efficiency", 0.8);
    assert_text("trials/0/decode/verdict/kind", "bandwidth-bound");
    assert_text("trials/0/decode/verdict/bandwidth_roof", "dram read");
    assert_text("trials/2/decode/verdict/compute_roof", "f16 gemm");
    assert_text("ridge/compute", "bf16 gemm");
    assert_number("ridge/ai", 200);
    add_roof("f16 gemm", "compute", 0, 1000e3);
    for (int i = 0; i < GPU_STEPS; i++)
        predict((int64_t)json_integer_value(at("trials/2/id")), i, 8e6, 4000, 0, 10);
    analyse();
    assert_number("trials/2/prefill/verdict/efficiency", 0.64);
}

static void a_roof_that_was_not_measured_is_missed_without_a_thread_count(void **state)
{
    (void)state;
    time_gpu_trial(put_gpu_trial("graph"), 12.5, 1.25);
    analyse();
    assert_text("trials/0/decode/verdict/sentence", "decode has no verdict: the roof 'bf16 gemm' was not measured");
    judge("{\"claim\": \"efficiency\", \"phase\": \"decode\", \"above\": 0.5}");
    assert_evidence("(the roof 'bf16 gemm' was not measured)");
}

static void what_is_handed_over_is_held_against_the_way_it_is_handed_over(void **state)
{
    struct store_trial uncached = gpu_trial("graph");
    int64_t graph, other;

    (void)state;
    add_gpu_roofs();
    graph = put_gpu_trial("graph");
    time_gpu_trial(graph, 12.5, 1.25);
    launches_a_step = 9; /* of no timed execution */
    for (int i = 0; i < 9; i++) {
        add_repetition(graph, "time", true, "aa", gpu_ms, GPU_STEPS);
        add_repetition(graph, "cupti:traffic", false, "aa", gpu_ms, GPU_STEPS);
    }
    time_gpu_trial(put_gpu_trial("eager"), 12.5, 2.4);
    uncached.axis[AXIS_KV_CACHE] = false;
    other = put_trial(uncached);
    for (int i = 0; i < GPU_STEPS; i++)
        predict(other, i, 16000, 4000, 0, 1);
    time_gpu_trial(other, 12.5, 1.25);
    analyse();
    assert_text("trials/2/decode/verdict/launch_roof", "launch eager"); /* no graph is recorded without a cache */
    assert_text("trials/0/decode/verdict/launch_roof", "launch graph");
    assert_number("trials/0/decode/verdict/t_launch_ms", 0.6);
    assert_number("trials/0/decode/verdict/launches", 600);
    assert_text("trials/1/decode/verdict/launch_roof", "launch eager");
    assert_number("trials/1/decode/verdict/t_launch_ms", 1.5);
    assert_text("trials/0/prefill/verdict/launch_roof", "launch eager"); /* a graph is of a decode step */
    assert_text("trials/1/decode/verdict/kind", "launch-bound");
    assert_says("trials/1/decode/verdict/sentence",
                "it hands over 600 kernels, which take 1.5 ms at the launch eager roof (2.50 us each) of 2.40 ms measured");
    assert_text("roofs/2/unit", "kernels/s");
    assert_text("roofs/2/kind", "launch");
}

static void what_fits_into_the_gpu_s_second_level_is_held_against_that(void **state)
{
    int64_t t;

    (void)state;
    add_gpu_roofs();
    t = put_trial(gpu_trial("graph"));
    for (int i = 0; i < GPU_STEPS; i++)
        predict(t, i, 160, 40, 0, 0.01);
    time_gpu_trial(t, 0.01, 0.01);
    analyse();
    assert_text("trials/0/decode/verdict/cache", "l2");
    assert_text("trials/0/decode/verdict/bandwidth_roof", "l2 read");
    assert_number("trials/0/decode/verdict/efficiency", 0.5); /* 40 MB at 8000 GB/s */
}

/* --- counted work ---------------------------------------------------------------------------------------------------- */

static void flops_are_the_sum_of_those_counted_in_their_own_passes(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_number("trials/0/prefill/flops/counted", 8e12);
    assert_number("trials/0/decode/flops/counted", 16e9);
    assert_number("trials/0/prefill/bytes/counted", 4.4e9);
    assert_number("trials/0/decode/bytes/counted", 4.2e9);
    assert_text("trials/0/decode/verdict/source", "counter");
    assert_number("trials/0/steps/1/counted_flops", 16e9);
    assert_null_at("trials/1/decode/flops/counted");
    assert_text("trials/1/decode/verdict/source", "analytic");
}

static void half_precision_outside_the_tensor_cores_is_added_where_it_was_counted(void **state)
{
    int64_t t, r;

    (void)state;
    add_gpu_roofs();
    t = put_gpu_trial("graph");
    count_gpu_trial(t);
    r = add_repetition(t, "cupti:half", false, "aa", gpu_ms, GPU_STEPS);
    add_reading_of("cupti", r, 0, "flops_f16", 1e12, "counter", NULL);
    add_reading_of("cupti", r, 1, "flops_f16", 0, "missing", "no such counter");
    analyse();
    assert_number("trials/0/prefill/flops/counted", 9e12);
    assert_number("trials/0/decode/flops/counted", 16e9);
    assert_null_at("trials/0/decode/flops/why");
}

static void a_part_that_is_missing_leaves_the_whole_uncounted_with_its_reason(void **state)
{
    int64_t t, r;

    (void)state;
    add_gpu_roofs();
    t = put_gpu_trial("graph");
    r = add_repetition(t, "cupti:traffic", false, "aa", gpu_ms, GPU_STEPS);
    for (int i = 0; i < GPU_STEPS; i++) {
        add_reading_of("cupti", r, i, "flops_tensor", 15e9, "counter", NULL);
        add_reading_of("cupti", r, i, "flops_f16", 0, "missing", "no such counter");
        add_reading_of("cupti", r, i, "flops_f32", 0, "missing", "needs 2 passes");
    }
    time_gpu_trial(t, 12.5, 1.25);
    analyse();
    assert_null_at("trials/0/decode/flops/counted");
    assert_text("trials/0/decode/flops/why", "needs 2 passes");
    assert_text("trials/0/decode/verdict/source", "analytic");
}

static void a_run_without_counters_says_why_and_is_judged_by_theory(void **state)
{
    (void)state;
    add_gpu_roofs();
    time_gpu_trial(put_gpu_trial("graph"), 12.5, 1.25);
    assert_ok(store_add_absent(store, run, "cupti", "only root may use counters here", &error));
    analyse();
    assert_text("trials/0/decode/flops/why", "cupti: only root may use counters here");
    assert_text("trials/0/decode/verdict/kind", "bandwidth-bound");
    assert_null_at("trials/0/device/samples");
    assert_int_equal(json_array_size(at("trials/0/device/timeline")), 0);
    assert_int_equal(json_array_size(at("trials/0/device/top_kernels")), 0);
}

static void ops_are_counted_in_parts_too(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_text("trials/0/per_op/decode/ops/1/op", "mlp");
    assert_number("trials/0/per_op/decode/ops/1/flops/counted", 12e9);
    assert_number("trials/0/per_op/decode/ops/1/bytes/counted", 2.4e9);
    assert_number("trials/0/per_op/decode/ops/1/counters/flops_tensor", 9e9);
    assert_number("trials/0/per_op/decode/ops/1/layers/0/counted_flops", 6e9);
    assert_text("trials/0/per_op/decode/ops/1/verdict/source", "counter");
    assert_number("trials/0/per_op/decode/ops/1/verdict/efficiency", 1); /* 2.4 GB in 0.6 ms */
    assert_null_at("trials/0/per_op/decode/ops/1/verdict/launch_roof");
}

static void an_op_of_which_a_layer_lacks_a_part_is_not_counted(void **state)
{
    const struct store_op_place at_layer = {{1, GPU_STEPS - 1}, "mlp", 1};
    const struct store_reading missing = {
        .probe = "cupti", .metric = "flops_f32", .provenance = "missing", .why = "the counter overflowed"};
    int64_t t, timed, counted;

    (void)state;
    add_gpu_roofs();
    t = put_gpu_trial("graph");
    timed = add_repetition(t, "op:time", false, "aa", gpu_ms, GPU_STEPS);
    counted = add_repetition(t, "op:cupti:traffic", false, "aa", gpu_ms, GPU_STEPS);
    add_gpu_op(t, timed, counted, "mlp", 0.6, 12, 2.4);
    assert_int_equal(
        sqlite3_exec(store_handle(store), "DELETE FROM op_reading WHERE layer = 1 AND metric = 'flops_f32'", NULL, NULL, NULL),
        SQLITE_OK);
    assert_ok(store_add_op_reading(store, counted, &at_layer, &missing, &error));
    analyse();
    assert_null_at("trials/0/per_op/decode/ops/0/flops/counted");
    assert_text("trials/0/per_op/decode/ops/0/flops/why", "the counter overflowed");
    assert_text("trials/0/per_op/decode/ops/0/verdict/source", "analytic");
    assert_number("trials/0/per_op/decode/ops/0/bytes/counted", 2.4e9);
}

/* --- what the device says ---------------------------------------------------------------------------------------------- */

static void the_run_names_its_device_and_each_trial_what_it_gave_it(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_text("device/name", "Sample GPU 9000 (synthetic data)");
    assert_number("trials/0/device/launches/prefill", 600);
    assert_number("trials/0/device/launches/decode", 600);
    assert_text("trials/1/launch", "eager");
    assert_text("axes/10/name", "launch");
    assert_text("axes/10/usual", "graph");
    assert_says("trials/1/label", "launch=eager");
}

static void a_run_on_the_cpu_has_no_device(void **state)
{
    (void)state;
    add_roofs();
    add_paper_trial();
    analyse();
    assert_null_at("device");
    assert_null_at("trials/0/device");
    assert_null_at("trials/0/prefill/verdict/launches");
    assert_null_at("trials/0/prefill/verdict/t_launch_ms");
    assert_text("trials/0/prefill/verdict/compute_roof", "f32 fma");
}

static void readings_are_those_of_prefill_and_of_the_median_step(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_number("trials/0/device/readings/prefill/gpu_power_w/value", 600);
    assert_number("trials/0/device/readings/decode/gpu_power_w/value", 602);
    assert_text("trials/0/device/readings/decode/gpu_power_w/unit", "W");
    assert_text("trials/0/device/readings/decode/gpu_power_w/provenance", "vendor");
    assert_number("trials/0/device/readings/decode/gpu_ns/value", 1.2e6);   /* the timeline's */
    assert_number("trials/0/device/readings/decode/gpu_hz/value", 1.755e9); /* the counters' */
    assert_null_at("trials/0/device/readings/decode/l2_bytes/value");
    assert_text("trials/0/device/readings/decode/l2_bytes/why", "the chip has no such counter");
    assert_number("trials/1/device/readings/decode/gpu_hz/value", 1.98e9); /* as NVML says it, where nothing counted */
    assert_int_equal(json_array_size(at("trials/0/device/slowed")), 1);    /* and being idle is no reason */
    assert_text("trials/0/device/slowed/0", "power cap");
}

static void energy_is_that_of_the_board(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_text("trials/0/energy/of", "GPU board");
    assert_number("trials/0/energy/decode/joules_per_token", 0.75);
    assert_number("trials/0/energy/prefill/watts/median", 600);
}

static void a_meter_that_has_not_moved_has_measured_nothing(void **state)
{
    int64_t r;

    (void)state;
    r = add_repetition(put_gpu_trial("graph"), "time", false, "aa", gpu_ms, GPU_STEPS);
    for (int i = 0; i < GPU_STEPS; i++)
        add_reading_of("nvml", r, i, "gpu_energy_j", i, "vendor", NULL);
    analyse();
    assert_null_at("trials/0/energy/prefill");
    assert_number("trials/0/energy/decode/joules/median", 6);
}

/* --- what it did when ----------------------------------------------------------------------------------------------------- */

static void the_timeline_has_the_events_of_the_steps_that_are_kept(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_int_equal(json_array_size(at("trials/0/device/timeline")), 6);
    assert_text("trials/0/device/timeline/0/pass", "trace");
    assert_text("trials/0/device/timeline/0/span", "prefill");
    assert_text("trials/0/device/timeline/1/span", "first decode step");
    assert_text("trials/0/device/timeline/2/span", "last decode step");
    assert_number("trials/0/device/timeline/2/step", 3);
    assert_number("trials/0/device/timeline/2/ms", 1.007); /* 1000 us of kernels, 5 gaps, a copy */
    assert_int_equal(json_array_size(at("trials/0/device/timeline/2/names")), 4);
    assert_int_equal(json_array_size(at("trials/0/device/timeline/2/events")), 6);
    assert_null_at("trials/0/device/timeline/2/events/1/4"); /* a graph tells no ops */
    assert_text("trials/0/device/timeline/3/pass", "op:time");
    assert_number("trials/0/device/timeline/5/events/1/0", 101);
    assert_number("trials/0/device/timeline/5/events/1/1", 300);
    assert_text("trials/0/device/timeline/5/events/1/2", "kernel");
    assert_number("trials/0/device/timeline/5/events/1/3", 1);
    assert_text("trials/0/device/timeline/5/events/1/4", "mlp");
    assert_number("trials/0/device/timeline/5/events/1/5", 0);
    assert_number("trials/0/device/timeline/5/events/3/3", 1); /* a name that was there before */
    assert_number("trials/0/device/timeline/5/events/4/5", -1);
    assert_text("trials/0/device/timeline/5/events/5/2", "copy");
}

static void of_a_pass_that_ran_twice_the_first_execution_is_shown(void **state)
{
    int64_t t, warm;

    (void)state;
    t = put_gpu_trial("graph");
    warm = add_repetition(t, "trace", true, "aa", gpu_ms, GPU_STEPS);
    add_gpu_step(warm, 1, 7, false);
    trace_gpu_trial(t);
    trace_gpu_trial(t);
    analyse();
    assert_int_equal(json_array_size(at("trials/0/device/timeline")), 3);
    assert_text("trials/0/device/timeline/0/span", "prefill");
}

static void the_kernels_that_take_the_most_come_first(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_int_equal(json_array_size(at("trials/0/device/top_kernels")), 8);
    assert_text("trials/0/device/top_kernels/0/name", "decode_mlp<bf16>");
    assert_text("trials/0/device/top_kernels/0/op", "mlp");
    assert_text("trials/0/device/top_kernels/0/phase", "prefill");
    assert_number("trials/0/device/top_kernels/0/n", 2);
    assert_number("trials/0/device/top_kernels/0/ms", 6);
    assert_number("trials/0/device/top_kernels/0/share", 6000.0 / 10002);
    assert_text("trials/0/device/top_kernels/3/phase", "decode");
    assert_number("trials/0/device/top_kernels/3/share", 600.0 / 1002); /* of the last step alone */
}

static void at_most_ten_kernels_of_a_phase_are_listed(void **state)
{
    int64_t r;
    char name[16];

    (void)state;
    r = add_repetition(put_gpu_trial("graph"), "trace", false, "aa", gpu_ms, GPU_STEPS);
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "kernel %d", i);
        add_gpu_event(r, i % 2, i / 2, name, NULL, -1, 100 * i, 100 + i);
    }
    analyse();
    assert_int_equal(json_array_size(at("trials/0/device/top_kernels")), 20);
    assert_text("trials/0/device/top_kernels/0/name", "kernel 39");
    assert_text("trials/0/device/top_kernels/19/name", "kernel 20");
}

static void samples_are_thinned_to_what_a_chart_can_show_by_averaging_neighbours(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    assert_number("trials/0/device/samples/prefill_ms", 12.5);
    assert_int_equal(json_array_size(at("trials/0/device/samples/points")), GPU_SAMPLES / 3);
    assert_number("trials/0/device/samples/points/1/0", 0.06);
    assert_number("trials/0/device/samples/points/1/1", 0.06);
    assert_number("trials/0/device/samples/points/1/2", 2000); /* 120 MB in 60 us */
    assert_number("trials/0/device/samples/points/1/3", 150);
    assert_number("trials/0/device/samples/points/1/4", 0.5);
    assert_number("trials/0/device/samples/points/1/5", 0.25); /* of the two that are known */
}

static void a_few_samples_stay_as_they_are_and_what_is_not_known_is_null(void **state)
{
    struct store_repetition r = {.pass = "pm", .tokens_hash = "aa", .wall_ns = 100000, .prefill_ns = 50000};
    struct store_sample s = {0, 20000, NAN, 4e6, NAN, 0.125};
    int64_t id;

    (void)state;
    assert_ok(store_add_repetition(store, put_gpu_trial("graph"), &r, &id, &error));
    assert_ok(store_add_sample(store, id, &s, &error));
    s.at_ns = 20000;
    assert_ok(store_add_sample(store, id, &s, &error));
    add_reading_of("pm", id, 0, "dram_read_bytes", 20e9, "counter", NULL); /* of the whole execution, not of its prefill */
    analyse();
    assert_int_equal(json_array_size(at("trials/0/device/samples/points")), 2);
    assert_null_at("trials/0/device/samples/points/1/2");
    assert_number("trials/0/device/samples/points/1/3", 200);
    assert_null_at("trials/0/device/samples/points/1/4");
    assert_number("trials/0/device/samples/points/1/5", 0.125);
    assert_int_equal(json_object_size(at("trials/0/device/readings/prefill")), 0);
}

static void an_execution_without_steps_is_no_bare_one_and_costs_what_it_costs(void **state)
{
    static const double ms[GPU_STEPS] = {12.5, 1, 1, 1};
    struct store_repetition bare = {.pass = "bare", .tokens_hash = "aa", .wall_ns = 15000000, .prefill_ns = 12500000};
    int64_t t, id;

    (void)state;
    add_gpu_roofs();
    t = put_gpu_trial("graph");
    add_repetition(t, "time", false, "aa", ms, GPU_STEPS);
    bare.ordinal = repetition_ordinal++;
    assert_ok(store_add_repetition(store, t, &bare, &id, &error));
    sample_gpu_trial(t);
    analyse();
    assert_int_equal(json_array_size(at("overhead")), 4);
    assert_text("overhead/0/pass", "time");
    assert_number("overhead/1/ratio/median", 0.2); /* 3 ms against 2.5 ms of decoding */
    assert_text("overhead/3/pass", "pm");
    assert_text("overhead/3/phase", "decode");
    assert_number("overhead/3/ratio/median", 0.4); /* 3.5 ms */
    assert_text("trials/0/steps/0/text", "a");
}

/* --- claims ------------------------------------------------------------------------------------------------------------------
 */

#define LAUNCH_BOUND(launch)                                                                                                   \
    "{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"launch\", \"where\": {\"launch\": \"" launch "\"}}"

static void being_launch_bound_can_be_claimed(void **state)
{
    (void)state;
    add_gpu_run();
    assert_string_equal(judge(LAUNCH_BOUND("eager")), "held");
    assert_claim("decode is launch-bound where launch=eager");
    assert_evidence("1 of 1 trials; kv_cache=on prompt=4 new=4");
    assert_evidence("it hands over 600 kernels, which take 1.5 ms at the launch eager roof");
    assert_string_equal(judge(LAUNCH_BOUND("graph")), "not held");
    assert_evidence("decode is bandwidth-bound");
}

static void a_launch_share_around_one_half_decides_nothing(void **state)
{
    (void)state;
    add_gpu_roofs();
    time_gpu_trial(put_gpu_trial("eager"), 12.5, 3);
    assert_string_equal(judge(LAUNCH_BOUND("eager")), "undecided");
    assert_evidence("handing over takes anywhere in [49, 51] % of its time, which decides nothing");
}

static void without_a_verdict_nothing_is_launch_bound_or_not(void **state)
{
    (void)state;
    put_gpu_trial("eager");
    assert_string_equal(judge(LAUNCH_BOUND("eager")), "undecided");
}

static void an_efficiency_may_be_claimed_of_a_roof_of_the_gpu_but_not_of_launches(void **state)
{
    (void)state;
    add_gpu_run();
    assert_string_equal(judge("{\"claim\": \"efficiency\", \"phase\": \"prefill\", \"above\": 0.75, \"roof\": \"bf16 gemm\"}"),
                        "held");
    assert_evidence("2 of 2 trials: 80.0 %");
    judge("{\"claim\": \"efficiency\", \"phase\": \"decode\", \"above\": 0.75, \"roof\": \"launch graph\"}");
    assert_evidence("the roof 'launch graph' is of handing work over, not of doing it");
}

/* --- the sample of such a document ------------------------------------------------------------------------------------------
 */

static void finish_run(void)
{
    bool held;

    assert_ok(store_add_claim(store, run, 0, LAUNCH_BOUND("eager"), &error));
    assert_ok(analysis_claims(store, run, &held, &error));
    assert_ok(store_finish_run(store, run, "held", NULL, &error));
    assert_int_equal(sqlite3_exec(store_handle(store),
                                  "UPDATE run SET started = '2026-01-31T12:00:00Z', finished = '2026-01-31T12:00:09Z'", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    analyse();
}

/* Lists by their first element; a value that is missing in one of them may be of any kind in the other. */
static void same_shape(const json_t *a, const json_t *b, const char *path)
{
    const char *key;
    json_t *v;

    if (json_is_null(a) || json_is_null(b))
        return;
    if (json_is_object(a) != json_is_object(b) || json_is_array(a) != json_is_array(b) ||
        json_is_string(a) != json_is_string(b) || json_object_size(a) != json_object_size(b))
        fail_msg("%s has another shape in the sample", path);
    if (json_is_array(a) && json_array_size(a) && json_array_size(b))
        same_shape(json_array_get(a, 0), json_array_get(b, 0), path);
    json_object_foreach((json_t *)a, key, v)
    {
        if (!json_object_get(b, key))
            fail_msg("%s has no %s", path, key);
        same_shape(v, json_object_get(b, key), key);
    }
}

static void the_sample_document_has_the_shape_of_this_one(void **state)
{
    json_t *sample = json_load_file("tests/data/document_gpu.json", 0, NULL);

    (void)state;
    assert_non_null(sample);
    add_gpu_run();
    finish_run();
    same_shape(doc, sample, "document");
    json_decref(sample);
}

static int write_sample(const char *path)
{
    if (open_run_of("cuda", path) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    add_gpu_run();
    finish_run();
    json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    puts("");
    return close_run(NULL);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_gpu_run, close_run)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        test(a_gpu_is_held_against_a_library_s_products_whatever_the_threads),
        test(a_roof_that_was_not_measured_is_missed_without_a_thread_count),
        test(what_is_handed_over_is_held_against_the_way_it_is_handed_over),
        test(what_fits_into_the_gpu_s_second_level_is_held_against_that),
        test(flops_are_the_sum_of_those_counted_in_their_own_passes),
        test(half_precision_outside_the_tensor_cores_is_added_where_it_was_counted),
        test(a_part_that_is_missing_leaves_the_whole_uncounted_with_its_reason),
        test(a_run_without_counters_says_why_and_is_judged_by_theory),
        test(ops_are_counted_in_parts_too),
        test(an_op_of_which_a_layer_lacks_a_part_is_not_counted),
        test(the_run_names_its_device_and_each_trial_what_it_gave_it),
        cmocka_unit_test_setup_teardown(a_run_on_the_cpu_has_no_device, open_run, close_run),
        test(readings_are_those_of_prefill_and_of_the_median_step),
        test(energy_is_that_of_the_board),
        test(a_meter_that_has_not_moved_has_measured_nothing),
        test(the_timeline_has_the_events_of_the_steps_that_are_kept),
        test(of_a_pass_that_ran_twice_the_first_execution_is_shown),
        test(the_kernels_that_take_the_most_come_first),
        test(at_most_ten_kernels_of_a_phase_are_listed),
        test(samples_are_thinned_to_what_a_chart_can_show_by_averaging_neighbours),
        test(a_few_samples_stay_as_they_are_and_what_is_not_known_is_null),
        test(an_execution_without_steps_is_no_bare_one_and_costs_what_it_costs),
        test(being_launch_bound_can_be_claimed),
        test(a_launch_share_around_one_half_decides_nothing),
        test(without_a_verdict_nothing_is_launch_bound_or_not),
        test(an_efficiency_may_be_claimed_of_a_roof_of_the_gpu_but_not_of_launches),
        test(the_sample_document_has_the_shape_of_this_one),
    };

    return argc == 2 ? write_sample(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
