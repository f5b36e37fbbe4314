/* SPDX-License-Identifier: MIT
 * Trials that differ in how the engine computes: each is named by what differs, and judged by roofs of its own arithmetic and
 * its own thread count. */
#include "check.h"

#include "paper_run.h"
#include "summary.h"

/* Prefill of 800 MFLOP and 20 MB in 10 ms, a decode step of 10 MFLOP and 21 MB in 3 ms; 10 % around. */
static int64_t measure(struct store_trial t)
{
    int64_t id = put_trial(t);

    predict(id, 0, 800, 20, 0, 8);
    predict(id, 1, 10, 20, 1, 2);
    for (int i = -1; i <= 1; i++)
        add_repetition(id, "time", false, "aa", (double[]){10 * (1 + 0.1 * i), 3 * (1 + 0.1 * i)}, 2);
    return id;
}

static struct store_trial computed_in(const char *dtype, const char *arithmetic, int threads)
{
    struct store_trial t = usual_trial(true, 4, 2);

    set_axis(&t, AXIS_DTYPE, dtype);
    t.axis[AXIS_THREADS] = threads;
    t.arithmetic = arithmetic;
    return t;
}

static void a_trial_is_named_by_what_is_not_usual(void **state)
{
    struct store_trial t = computed_in("q4_0", "int8", 1);

    (void)state;
    measure(usual_trial(true, 4, 2));
    set_axis(&t, AXIS_KV_DTYPE, "bf16");
    set_axis(&t, AXIS_GEMM, "openblas");
    set_axis(&t, AXIS_ATTENTION, "naive");
    measure(t);
    analyse();
    assert_text("trials/0/label", "kv_cache=on prompt=4 new=2"); /* with all of the run's threads */
    assert_text("trials/1/label",
                "kv_cache=on prompt=4 new=2 dtype=q4_0 kv_dtype=bf16 threads=1 gemm=openblas attention=naive");
    assert_text("trials/1/dtype", "q4_0");
    assert_number("trials/1/threads", 1);
    assert_text("trials/1/arithmetic", "int8");
    assert_number("trials/1/weight_bytes", 4000);
    assert_number("trials/0/kv/bytes_per_token", 128);
    assert_number("trials/1/kv/bytes_per_token", 64);
    assert_text("axes/5/name", "dtype");
    assert_text("axes/5/usual", "f32");
    assert_number("axes/2/usual", 4); /* the prompt text */
    assert_number("axes/7/usual", 2); /* the run's threads */
}

static void the_compute_roof_is_that_of_the_trial_s_arithmetic(void **state)
{
    (void)state;
    add_roofs();
    add_roof("bf16 dot", "compute", 0, 200);
    add_roof("int8 dot", "compute", 0, 160);
    measure(computed_in("f16", "f32", 2));
    measure(computed_in("bf16", "bf16", 2));
    measure(computed_in("q8_0", "int8", 2));
    analyse();
    assert_text("trials/0/prefill/verdict/roof", "f32 fma");
    assert_number("trials/0/prefill/verdict/efficiency", 0.8);
    assert_text("trials/1/prefill/verdict/roof", "bf16 dot");
    assert_number("trials/1/prefill/verdict/efficiency", 0.4);
    assert_number("trials/1/prefill/verdict/ridge", 20);
    assert_text("trials/1/decode/verdict/roof", "dram read");
    assert_text("trials/1/decode/verdict/compute_roof", "bf16 dot");
    assert_number("trials/1/decode/verdict/efficiency", 0.7);
    assert_text("trials/2/prefill/verdict/roof", "int8 dot");
    assert_number("trials/2/prefill/verdict/efficiency", 0.5);
}

static void roofs_are_those_of_the_trial_s_own_thread_count(void **state)
{
    (void)state;
    add_roofs();
    measure(computed_in("f32", "f32", 1));
    measure(computed_in("bf16", "bf16", 2));
    analyse();
    assert_text("trials/0/decode/verdict/kind", "unknown");
    assert_text("trials/0/decode/verdict/sentence", "decode has no verdict: the roof 'f32 fma' was not measured with 1 thread");
    assert_text("trials/1/prefill/verdict/sentence",
                "prefill has no verdict: the roof 'bf16 dot' was not measured with 2 threads");
    assert_null_at("trials/1/prefill/verdict/roof");
    add_roof_of("f32 fma", "compute", 1, 0, 90);
    analyse();
    assert_text("trials/0/decode/verdict/sentence",
                "decode has no verdict: the roof 'dram read' was not measured with 1 thread");
    add_roof_of("dram read", "bandwidth", 1, 0, 7.5);
    analyse();
    assert_text("trials/0/decode/verdict/kind", "bandwidth-bound");
    assert_number("trials/0/decode/verdict/efficiency", 2.8 / 3);
    assert_number("trials/0/prefill/verdict/t_compute_ms", 800 / 90.0);
}

static void fewer_threads_have_their_share_of_the_second_level_and_all_of_the_third(void **state)
{
    (void)state;
    add_roofs();
    add_roof_of("f32 fma", "compute", 1, 0, 50);
    add_roof_of("l3 read", "bandwidth", 1, 0, 20);
    add_roof("l2 read", "bandwidth", 0, 80);
    assert_ok(store_add_cache(store, run, "l2", 30000000, &error));
    assert_ok(store_add_cache(store, run, "l3", 50000000, &error));
    measure(computed_in("f32", "f32", 2));
    measure(computed_in("f32", "f32", 1));
    analyse();
    assert_text("trials/0/decode/verdict/cache", "l2");
    assert_says("trials/0/decode/verdict/sentence", "fit into l2 (30.0 MB)");
    assert_text("trials/1/decode/verdict/cache", "l3"); /* 15 MB of the second level do not hold 21 MB */
    assert_says("trials/1/decode/verdict/sentence", "fit into l3 (50.0 MB)");
}

static void types_and_thread_counts_are_in_the_summary(void **state)
{
    const struct store_accuracy exact = {128, 0, 0, 2, 1}, near = {128, 0.5, 0.02, 2, 0.96875};
    struct text out = {0};

    (void)state;
    add_roofs();
    add_roof_of("dram read", "bandwidth", 1, 0, 7.5);
    assert_ok(store_add_accuracy(store, measure(computed_in("f32", "f32", 2)), &exact, &error));
    assert_ok(store_add_accuracy(store, measure(computed_in("bf16", "bf16", 2)), &near, &error));
    assert_ok(store_add_accuracy(store, measure(computed_in("bf16", "bf16", 1)), &near, &error));
    analyse();
    summary_text(doc, &out);
    has_text(out.data, " kv prompt new dtype threads prefill ms tok/s roof    decode ms/step tok/s GFLOP/s GB/s roof\n",
             __LINE__);
    has_text(out.data, " on      4   2  bf16       1       10.0   400    - 3.00 [2.70, 3.30]   333    3.33 7.00    -\n",
             __LINE__);
    has_text(out.data, "roofs with 2 threads: f32 fma 100 [98.0, 102] GFLOP/s, dram read", __LINE__);
    has_text(out.data, "\nroofs with 1 thread: dram read 7.50 GB/s\n", __LINE__);
    has_text(out.data, "weights in memory: f32 0.00400 MB, computed in f32; bf16 0.00400 MB, computed in bf16\n", __LINE__);
    has_text(out.data, "\nlogits against those in float32, over 128 positions;", __LINE__);
    has_text(out.data, "  bf16                                   0.500     0.0200        25 %       1.0 %      96.9 %\n",
             __LINE__);
    assert_null(strstr(strstr(out.data, "96.9") + 1, "96.9")); /* threads change nothing of it */
    assert_number("trials/1/accuracy/max_error", 0.5);
    text_free(&out);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_trial_is_named_by_what_is_not_usual),
        test(the_compute_roof_is_that_of_the_trial_s_arithmetic),
        test(roofs_are_those_of_the_trial_s_own_thread_count),
        test(fewer_threads_have_their_share_of_the_second_level_and_all_of_the_third),
        test(types_and_thread_counts_are_in_the_summary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
