/* SPDX-License-Identifier: MIT
 * Claims that hold a figure of every matching trial to a limit, each held, not held and undecided, with their evidence. */
#include "check.h"

#include "paper_run.h"

/* --- sampling --- */

/* Steps of about 2, 3 and 3 ms, each in three repetitions 5 % apart. */
static void add_strategy(const char *strategy, double ms)
{
    int64_t t = add_chosen_trial(true, 4, 3, strategy, "settings", 1);

    for (int i = -1; i <= 1; i++)
        add_repetition(t, "time", false, strategy, (double[]){2, ms * (1 + 0.05 * i), ms * (1 + 0.05 * i)}, 3);
}

#define SAMPLING(more) "{\"claim\": \"sampling\"" more "}"

static void the_share_of_choosing_is_held_by_its_interval(void **state)
{
    (void)state;
    sample_share = 0.1;
    add_strategy("greedy", 3);
    sample_share = 0.3;
    add_strategy("top_p", 3);
    assert_string_equal(judge(SAMPLING(", \"below\": 0.31")), "held");
    assert_claim("choosing the token takes less than 31 % of a decode step");
    assert_evidence("2 of 2 trials: 10.0 % at strategy=greedy, 30.0 % at strategy=top_p");
    assert_string_equal(judge(SAMPLING(", \"below\": 0.2")), "not held");
    assert_evidence("1 of 2 trials: 10.0 % at strategy=greedy, 30.0 % at strategy=top_p");
    assert_string_equal(judge(SAMPLING(", \"below\": 0.2, \"where\": {\"strategy\": \"greedy\"}")), "held");
    assert_claim("of a decode step where strategy=greedy");
    assert_string_equal(judge(SAMPLING(", \"below\": 0.2, \"where\": {\"strategy\": \"min_p\"}")), "undecided");
    assert_evidence("no trial matches");
}

static void a_share_whose_interval_reaches_over_the_line_is_undecided(void **state)
{
    (void)state;
    int64_t t = add_chosen_trial(true, 4, 3, "top_p", "p", 1);
    for (int i = 1; i <= 3; i++) {
        sample_share = 0.1 * i;
        add_repetition(t, "time", false, "a", (double[]){2, 2, 2}, 3);
    }
    assert_string_equal(judge(SAMPLING(", \"below\": 0.25")), "undecided");
    assert_evidence("0 of 1 trials: 20.0 % [10.0, 30.0] for kv_cache=on prompt=4 new=3 strategy=top_p");
    assert_string_equal(judge(SAMPLING(", \"below\": 0.31")), "held");
    assert_string_equal(judge(SAMPLING(", \"below\": 0.05")), "not held");
}

static void choosing_that_was_not_measured_decides_nothing(void **state)
{
    (void)state;
    add_strategy("greedy", 3);
    assert_string_equal(judge(SAMPLING(", \"below\": 0.5")), "undecided");
    assert_evidence("not known for kv_cache=on prompt=4 new=3 (not measured)");
    sample_share = 0.1;
    add_repetition(add_chosen_trial(true, 4, 3, "top_k", "k", 1), "time", false, "a", (double[]){1, 2, 2}, 3);
    assert_string_equal(judge(SAMPLING(", \"below\": 0.5, \"where\": {\"strategy\": \"top_k\"}")), "undecided");
    assert_evidence("one repetition has no interval");
}

/* --- efficiency --- */

#define EFFICIENCY(phase, above, more) "{\"claim\": \"efficiency\", \"phase\": \"" phase "\", \"above\": " #above more "}"

static void a_phase_is_held_against_the_roofline_of_its_moments(void **state)
{
    (void)state;
    add_roofs();
    add_paper_trial(); /* decode: 2.2 ms at 10 GB/s, in 3, 4 and 3.5 ms */
    assert_string_equal(judge(EFFICIENCY("decode", 0.55, "")), "held");
    assert_claim("decode reaches at least 55 % of its roofline");
    assert_evidence("1 of 1 trials: 62.9 % [55.0, 73.3] for kv_cache=on prompt=4 new=3");
    assert_string_equal(judge(EFFICIENCY("decode", 0.6, "")), "undecided");
    assert_string_equal(judge(EFFICIENCY("decode", 0.74, "")), "not held");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.66, "")), "held"); /* 8 ms in 10, 12 and 11 */
    assert_evidence("72.7 % [66.7, 80.0]");
    count_paper_trial(1); /* counters saw more work be done than must be: that is no merit */
    assert_string_equal(judge(EFFICIENCY("decode", 0.6, "")), "undecided");
    assert_evidence("62.9 % [55.0, 73.3]");
}

static void one_roof_alone_may_be_named(void **state)
{
    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++)
        add_roof("f32 gemm", "compute", i, 80);
    add_paper_trial();
    assert_string_equal(judge(EFFICIENCY("prefill", 0.1, ", \"roof\": \"dram read\"")), "held"); /* 2 ms in 10, 12 and 11 */
    assert_claim("prefill reaches at least 10 % of the dram read roof");
    assert_evidence("18.2 % [16.7, 20.0]");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.8, ", \"roof\": \"f32 gemm\"")), "held"); /* 10 ms in 10, 12 and 11 */
    assert_evidence("90.9 % [83.3, 100]");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.8, ", \"roof\": \"bf16 dot\"")), "undecided");
    assert_evidence("not known for kv_cache=on prompt=4 new=3 (the roof 'bf16 dot' was not measured with 2 threads)");
}

/* Decode of 20 MB in `ms`, and 1 % more and less; no FLOPs to speak of. */
static void add_decode(const char *dtype, const char *arithmetic, int threads, double ms)
{
    struct store_trial t = usual_trial(true, 4, 2);

    set_axis(&t, AXIS_DTYPE, dtype);
    t.axis[AXIS_THREADS] = threads;
    t.arithmetic = arithmetic;
    int64_t id = put_trial(t);
    predict(id, 0, 800, 20, 0, 8);
    predict(id, 1, 1, 20, 0, 2);
    for (int i = -1; i <= 1; i++)
        add_repetition(id, "time", false, "aa", (double[]){10, ms * (1 + 0.01 * i)}, 2);
}

static void every_trial_has_roofs_of_its_own_thread_count(void **state)
{
    (void)state;
    add_roofs();
    add_decode("f32", "f32", 2, 2.5); /* 80 % of 10 GB/s */
    add_decode("f32", "f32", 1, 5);   /* and there is no roof with one thread */
    assert_string_equal(judge(EFFICIENCY("decode", 0.7, "")), "undecided");
    assert_evidence("1 of 2 trials: 80.0 % [79.2, 80.8] at threads=2, not known at threads=1 (the roof 'f32 fma' was not "
                    "measured with 1 thread)");
    for (int i = 0; i < 3; i++) {
        add_roof_of("f32 fma", "compute", 1, i, 50);
        add_roof_of("dram read", "bandwidth", 1, i, 5);
    }
    assert_string_equal(judge(EFFICIENCY("decode", 0.7, "")), "held");
    assert_evidence("2 of 2 trials: 80.0 % [79.2, 80.8] at threads=2, 80.0 % [79.2, 80.8] at threads=1");
}

static void what_cannot_be_decides_nothing(void **state)
{
    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++)
        add_roof("f32 gemm", "compute", i, 60); /* a library's product may be beaten, memory may not */
    add_decode("f32", "f32", 2, 1.5);
    assert_string_equal(judge(EFFICIENCY("decode", 0.7, ", \"roof\": \"dram read\"")), "undecided");
    assert_evidence("133 % for kv_cache=on prompt=4 new=2 (above its roof: the roof or the count is wrong)");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.7, ", \"roof\": \"f32 gemm\"")), "held");
    assert_evidence("133 % for");
}

static void what_stays_in_a_cache_says_nothing_about_memory(void **state)
{
    (void)state;
    add_roofs();
    assert_ok(store_add_cache(store, run, "l3", 30000000, &error));
    add_decode("f32", "f32", 2, 2.5);
    assert_string_equal(judge(EFFICIENCY("decode", 0.5, ", \"roof\": \"dram read\"")), "undecided");
    assert_evidence("(its data stays in l3)");
    assert_string_equal(judge(EFFICIENCY("decode", 0.5, "")), "undecided");
    assert_evidence("(the roof 'l3 read' was not measured with 2 threads)");
    for (int i = 0; i < 3; i++)
        add_roof("l3 read", "bandwidth", i, 16);
    assert_string_equal(judge(EFFICIENCY("decode", 0.4, "")), "held");
    assert_evidence("50.0 % [49.5, 50.5]");
}

static void many_trials_are_their_range_and_the_worst(void **state)
{
    static const char *const dtypes[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};

    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++) {
        add_roof("bf16 dot", "compute", i, 200);
        for (int threads = 1; threads <= 3; threads += 2) {
            add_roof_of("f32 fma", "compute", threads, i, 100);
            add_roof_of("dram read", "bandwidth", threads, i, 10);
        }
    }
    for (int threads = 1; threads <= 3; threads++)
        for (int i = 0; i < 5; i++)
            add_decode(dtypes[i], "f32", threads, 2.2 + 0.1 * (5 * threads + i));
    assert_string_equal(judge(EFFICIENCY("decode", 0.6, "")), "not held");
    assert_evidence("7 of 15 trials, 48.8 to 74.1 %; the worst: 48.8 % [48.3, 49.3] at dtype=q4_0 threads=3, 50.0 % [49.5, "
                    "50.5] at dtype=q8_0 threads=3, 51.3 %");
    assert_string_equal(judge(EFFICIENCY("decode", 0.6, ", \"where\": {\"threads\": [1, 2], \"dtype\": [\"f32\", \"q4_0\"]}")),
                        "not held");
    assert_claim("decode reaches at least 60 % of its roofline where dtype=f32 or q4_0, threads=1 or 2");
    assert_evidence("3 of 4 trials: 74.1 % [73.3, 74.8] at dtype=f32 threads=1, 64.5 % ");
}

/* --- ops --- */

/* Prefill of 10 ms: mlp 4 ms of 320 MFLOP, attention 2 ms of 100 MFLOP, norm 0.5 ms, and 3.5 ms in no op; and 10 % around. */
static void add_ops(const char *arithmetic, const char *attention)
{
    struct store_trial t = usual_trial(true, 4, 1);

    t.arithmetic = arithmetic;
    t.attention_arithmetic = attention;
    int64_t id = put_trial(t), r;
    predict(id, 0, 420, 20, 0, 8);
    add_repetition(id, "time", false, "aa", (double[]){10}, 1);
    add_op_work(id, 0, 1, "norm", 0, 1, 0);
    add_op_work(id, 0, 1, "attention", 100, 1, 0);
    add_op_work(id, 0, 1, "mlp", 320, 1, 0);
    for (int i = -1; i <= 1; i++) {
        r = add_repetition(id, "op:time", false, "aa", (double[]){10 * (1 + 0.1 * i)}, 1);
        add_op_ms(r, 0, 1, "norm", 0, 0.5);
        add_op_ms(r, 0, 1, "attention", 0, 2);
        add_op_ms(r, 0, 1, "mlp", 0, 4 * (1 + 0.1 * i));
    }
}

static void an_op_is_held_against_the_roof_of_its_arithmetic(void **state)
{
    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++)
        add_roof("bf16 dot", "compute", i, 200);
    add_ops("bf16", "f32");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.36, ", \"op\": \"mlp\"")), "held"); /* 1.6 ms in 3.6, 4 and 4.4 */
    assert_claim("mlp reaches at least 36 % of its roofline in prefill");
    assert_evidence("40.0 % [36.4, 44.4]");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.5, ", \"op\": \"attention\"")), "held"); /* in float32: 1 ms in 2 */
    assert_evidence("50.0 %");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.5, ", \"op\": \"attention\", \"roof\": \"bf16 dot\"")), "not held");
    assert_evidence("25.0 %");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.5, ", \"op\": \"head\"")), "undecided");
    assert_evidence("it has no op 'head'");
    add_paper_trial();
    assert_string_equal(judge(EFFICIENCY("prefill", 0.5, ", \"op\": \"mlp\", \"where\": {\"new_tokens\": 3}")), "undecided");
    assert_evidence("its ops were not measured: the suite needs per: op");
}

static void attention_is_held_against_the_roof_of_its_own_arithmetic(void **state)
{
    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++)
        add_roof("bf16 dot", "compute", i, 200);
    add_ops("f32", "bf16");
    assert_string_equal(judge(EFFICIENCY("prefill", 0.25, ", \"op\": \"attention\"")), "held"); /* 0.5 ms in 2 */
    assert_evidence("25.0 %");
}

#define SHARE(of, below) "{\"claim\": \"share\", \"of\": \"" of "\", \"phase\": \"prefill\", \"below\": " #below "}"

static void a_share_is_of_its_own_execution_and_the_rest_is_all_but_the_products(void **state)
{
    (void)state;
    add_ops("f32", "f32");
    assert_string_equal(judge(SHARE("norm", 0.06)), "held"); /* 0.5 of 9, 10 and 11 */
    assert_claim("norm takes less than 6 % of prefill");
    assert_evidence("1 of 1 trials: 5.00 % [4.55, 5.56] for kv_cache=on prompt=4 new=1");
    assert_string_equal(judge(SHARE("norm", 0.05)), "undecided");
    assert_string_equal(judge(SHARE("norm", 0.04)), "not held");
    assert_string_equal(judge(SHARE("rest", 0.42)), "held"); /* 1 - (2 + 0.4 x) / x of 9, 10 and 11 */
    assert_claim("all but qkv, attention, out, mlp and head takes less than 42 % of prefill");
    assert_evidence("40.0 % [37.8, 41.8]");
    assert_string_equal(judge(SHARE("rest", 0.3)), "not held");
    assert_string_equal(judge(SHARE("colour", 0.3)), "undecided");
    assert_evidence("it has no op 'colour'");
}

/* --- faults --- */

static void add_execution(int64_t trial, bool warmup, int64_t minor, int64_t major)
{
    const struct store_repetition r = {.pass = "time",
                                       .tokens_hash = "aa",
                                       .rep = repetition_ordinal,
                                       .ordinal = repetition_ordinal,
                                       .warmup = warmup,
                                       .page_faults_minor = minor,
                                       .page_faults_major = major};
    int64_t id;

    repetition_ordinal++;
    assert_ok(store_add_repetition(store, trial, &r, &id, &error));
}

#define FAULTS "{\"claim\": \"faults\", \"below\": 1}"

static void no_timed_execution_may_have_as_many_faults(void **state)
{
    int64_t t = add_trial(true, 4, 3), u;

    (void)state;
    add_execution(t, true, 500, 3); /* warm-up may */
    assert_string_equal(judge(FAULTS), "undecided");
    assert_evidence("no timed repetition");
    add_execution(t, false, 0, 0);
    assert_string_equal(judge(FAULTS), "held");
    assert_claim("every timed execution has fewer than 1 page fault");
    assert_evidence("1 of 1 trials: 0 for kv_cache=on prompt=4 new=3");
    u = add_trial(false, 4, 3);
    add_execution(u, false, 0, 0);
    add_execution(u, false, -1, -1);
    assert_string_equal(judge(FAULTS), "undecided");
    assert_evidence("0 at kv_cache=off (not recorded of every execution)");
    add_execution(u, false, 1, 1);
    assert_string_equal(judge(FAULTS), "not held");
    assert_evidence("1 of 2 trials: ");
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_share_of_choosing_is_held_by_its_interval),
        test(a_share_whose_interval_reaches_over_the_line_is_undecided),
        test(choosing_that_was_not_measured_decides_nothing),
        test(a_phase_is_held_against_the_roofline_of_its_moments),
        test(one_roof_alone_may_be_named),
        test(every_trial_has_roofs_of_its_own_thread_count),
        test(what_cannot_be_decides_nothing),
        test(what_stays_in_a_cache_says_nothing_about_memory),
        test(many_trials_are_their_range_and_the_worst),
        test(an_op_is_held_against_the_roof_of_its_arithmetic),
        test(attention_is_held_against_the_roof_of_its_own_arithmetic),
        test(a_share_is_of_its_own_execution_and_the_rest_is_all_but_the_products),
        test(no_timed_execution_may_have_as_many_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
