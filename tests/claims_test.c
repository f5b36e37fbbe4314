/* SPDX-License-Identifier: MIT
 * Claims about verdicts, tokens, ratios and growth, each held, not held and undecided, with the evidence they give. */
#include "check.h"

#include "paper_run.h"

static void bound_is_held_when_every_matching_verdict_agrees(void **state)
{
    (void)state;
    add_roofs();
    add_paper_trial();
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"prefill\", \"is\": \"compute\", "
                              "\"where\": {\"kv_cache\": \"on\", \"prompt_tokens\": \"text\"}}"),
                        "held");
    assert_claim("prefill is compute-bound where kv_cache=on, prompt_tokens=4");
    assert_evidence("1 of 1 trials; efficiency 73 % [67, 80], 4.0x the ridge (analytic)");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"compute\"}"), "not held");
    assert_evidence("0 of 1 trials; kv_cache=on prompt=4 new=3: decode is bandwidth-bound");
    add_paper_trial();
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"prefill\", \"is\": \"compute\"}"), "held");
    assert_evidence("2 of 2 trials; efficiency 73 to 73 %, 4.0x to 4.0x the ridge (analytic)");
}

static void bound_is_undecided_where_the_interval_or_the_data_end(void **state)
{
    static const double slow[3][2] = {{40, 4}, {41, 4.3}, {42, 4.8}};
    int64_t t;

    (void)state;
    add_roofs();
    t = add_trial(true, 4, 2);
    predict(t, 0, 800, 20, 0, 8);
    predict(t, 1, 10, 20, 2, 2.2); /* 2.2 ms of 4.3: 51 %, from 46 to 55 */
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\"}"), "undecided");
    assert_evidence("decode has no verdict: no timed repetition");
    for (int i = 0; i < 3; i++)
        add_repetition(t, "time", false, "aa", slow[i], 2);
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\"}"), "undecided");
    assert_evidence("its efficiency lies anywhere in [46, 55] %");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"overhead\"}"), "undecided");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"compute\"}"), "not held");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"prefill\", \"is\": \"overhead\"}"), "held");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"compute\", \"where\": {\"batch\": 9}}"),
                        "undecided");
    assert_evidence("no trial matches");
}

static void bound_is_not_held_by_one_counterexample(void **state)
{
    static const double slow[] = {80, 22, 22};
    int64_t t;

    (void)state;
    add_roofs();
    add_paper_trial();
    t = add_trial(true, 5, 3);
    predict(t, 0, 800, 20, 0, 8);
    predict(t, 1, 10, 20, 2, 2.2);
    predict(t, 2, 10, 20, 2, 2.2);
    for (int i = 0; i < 3; i++)
        add_repetition(t, "time", false, "aa", slow, 3);
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\"}"), "not held");
    assert_evidence("1 of 2 trials; kv_cache=on prompt=5 new=3: decode is overhead-bound: it takes 10x the time");
}

#define SAME "{\"claim\": \"same_tokens\", \"across\": \"kv_cache\"}"

static void the_same_tokens_are_compared_within_and_between_trials(void **state)
{
    static const double ms[] = {9, 2, 3};
    int64_t on, off, r;

    (void)state;
    on = add_trial(true, 4, 3);
    add_repetition(on, "time", false, "aa", ms, 3);
    assert_string_equal(judge(SAME), "undecided");
    assert_evidence("no two trials differ in kv_cache alone");
    off = add_trial(false, 4, 3);
    assert_string_equal(judge(SAME), "undecided");
    assert_evidence("kv_cache=off prompt=4 new=3: no repetition");
    add_repetition(off, "time", false, "aa", ms, 3);
    assert_string_equal(judge(SAME), "held");
    assert_claim("the same tokens are chosen whatever kv_cache is");
    assert_evidence("1 groups, 2 trials, 2 repetitions compared");
    r = add_repetition(on, "papi:flops", false, "bb", ms, 3);
    assert_string_equal(judge(SAME), "not held");
    assert_evidence("kv_cache=on prompt=4 new=3: its own repetitions chose different tokens");
    (void)r;
}

static void different_tokens_name_the_step_where_they_part(void **state)
{
    static const double ms[] = {9, 2, 3};
    int64_t r;

    (void)state;
    add_repetition(add_trial(true, 4, 3), "time", false, "aa", ms, 3);
    r = add_repetition(add_trial(false, 4, 3), "time", false, "bb", ms, 2);
    assert_ok(store_add_step(store, r, &(struct store_step){2, 1, -1, 6, 999, -1, "?"}, &error));
    assert_string_equal(judge(SAME), "not held");
    assert_evidence("kv_cache=on prompt=4 new=3 chose aa, kv_cache=off prompt=4 new=3 chose bb (they part at step 2)");
}

#define RATIO(more)                                                                                                            \
    "{\"claim\": \"ratio\", \"metric\": \"total_ms\", \"of\": {\"kv_cache\": \"off\"}, \"over\": {\"kv_cache\": \"on\"}" more  \
    "}"

static void a_ratio_is_held_when_every_pair_s_interval_is_above(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 16, 2, 0.01); /* 2x, 4x, 8x */
    assert_string_equal(judge(RATIO(", \"along\": \"new_tokens\", \"above\": 1, \"grows\": true")), "held");
    assert_claim("total_ms with kv_cache=off over that with kv_cache=on is above 1 and grows along new_tokens");
    assert_evidence(
        "2.00x [1.96, 2.04] at new_tokens=2, 4.00x [3.92, 4.08] at new_tokens=4, 8.00x [7.84, 8.16] at new_tokens=8; "
        "grows from new_tokens=2 to 8, rising at every step");
    assert_string_equal(judge(RATIO(", \"above\": 3")), "not held");
    assert_string_equal(judge(RATIO(", \"above\": 1.98")), "undecided");
    assert_string_equal(judge(RATIO("")), "held"); /* above 1 unless said otherwise */
    assert_string_equal(judge(RATIO(", \"grows\": true")), "undecided");
    assert_evidence("growth needs an axis");
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"flops\", \"of\": {\"kv_cache\": \"off\"}, \"over\": "
                              "{\"kv_cache\": \"on\"}, \"along\": \"new_tokens\", \"grows\": true}"),
                        "held");
    assert_evidence("2.00x at new_tokens=2, 4.00x at new_tokens=4, 8.00x at new_tokens=8 (analytic)");
}

static void a_ratio_may_have_a_bound_above_and_one_below(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 16, 2, 0.01); /* 2x, 4x, 8x */
    assert_string_equal(judge(RATIO(", \"above\": 1, \"below\": 9")), "held");
    assert_claim("total_ms with kv_cache=off over that with kv_cache=on is above 1 and below 9");
    assert_string_equal(judge(RATIO(", \"below\": 9")), "held");
    assert_claim("kv_cache=on is below 9");
    assert_string_equal(judge(RATIO(", \"below\": 5")), "not held");
    assert_string_equal(judge(RATIO(", \"above\": 1, \"below\": 8.01")), "undecided");
    assert_evidence("not every interval is above 1 and below 8.01");
}

/* Steps of about 2, 3 and 3 ms, each in three repetitions 5 % apart. */
static void add_strategy(const char *strategy, double ms)
{
    int64_t t = add_chosen_trial(true, 4, 3, strategy, "settings", 1);

    for (int i = -1; i <= 1; i++)
        add_repetition(t, "time", false, strategy, (double[]){2, ms * (1 + 0.05 * i), ms * (1 + 0.05 * i)}, 3);
}

static void strategies_are_arms_like_any_other(void **state)
{
    (void)state;
    sample_share = 0.1;
    add_strategy("greedy", 3);
    add_strategy("beam", 6);
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"decode_ms\", \"of\": {\"strategy\": \"beam\"}, \"over\": "
                              "{\"strategy\": \"greedy\"}, \"above\": 1, \"below\": 4}"),
                        "held");
    assert_claim("decode_ms with strategy=beam over that with strategy=greedy is above 1 and below 4");
    assert_evidence("2.00x [1.81, 2.21] for kv_cache=on prompt=4 new=3 strategy=beam");
    assert_string_equal(judge("{\"claim\": \"same_tokens\", \"across\": \"strategy\"}"), "not held");
    assert_evidence("kv_cache=on prompt=4 new=3 chose greedy, kv_cache=on prompt=4 new=3 strategy=beam chose beam");
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"decode_ms\", \"of\": {\"strategy\": \"guess\"}, \"over\": "
                              "{\"strategy\": \"greedy\"}}"),
                        "undecided");
    assert_evidence("of names no axis and value of a trial: strategy");
}

static void a_ratio_that_does_not_grow_or_cannot_be_told_is_said(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 32, 1.01, 0.01); /* 2.01x, 2.03x, 2.04x, each within 2 % */
    assert_string_equal(judge(RATIO(", \"along\": \"new_tokens\", \"grows\": true")), "undecided");
    assert_evidence("growth is open from new_tokens=2 to 8");
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"total_ms\", \"of\": {\"kv_cache\": \"on\"}, \"over\": "
                              "{\"batch\": 3}}"),
                        "undecided");
    assert_evidence("no two trials make a pair");
}

static void a_shrinking_ratio_does_not_grow(void **state)
{
    (void)state;
    add_arm(true, 16, 2, 0.01);
    add_arm(false, 160, 1, 0.01);
    assert_string_equal(judge(RATIO(", \"along\": \"new_tokens\", \"grows\": true")), "not held");
    assert_evidence("does not grow from new_tokens=2 to 8, not rising at every step");
}

static void one_repetition_decides_no_ratio(void **state)
{
    static const double ms[] = {9, 2, 3};

    (void)state;
    add_repetition(add_trial(true, 4, 3), "time", false, "aa", ms, 3);
    add_repetition(add_trial(false, 4, 3), "time", false, "aa", ms, 3);
    assert_string_equal(judge(RATIO("")), "undecided");
    assert_evidence("one repetition has no interval");
}

static void exponents_are_compared_by_their_intervals(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 16, 2, 0.01);
    add_trial(true, 512, 16); /* a length of its own is no arm */
    assert_string_equal(judge(STEEPER("total_ms", "off", "on")), "held");
    assert_claim("total_ms grows more steeply along new_tokens with kv_cache=off than with kv_cache=on");
    assert_evidence("(3 and 3 points, timer); analytic FLOPs at these points: 2.00 against 1.00");
    assert_string_equal(judge(STEEPER("total_ms", "on", "off")), "not held");
    assert_string_equal(judge(STEEPER("flops", "off", "on")), "held");
    assert_evidence("2.00 against 1.00 (3 and 3 points, analytic)");
}

static void overlapping_exponents_decide_nothing(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.2);
    add_arm(false, 16, 1.02, 0.2);
    assert_string_equal(judge(STEEPER("total_ms", "off", "on")), "undecided");
}

static void no_arms_with_three_lengths_are_undecided(void **state)
{
    (void)state;
    add_paper_trial();
    assert_string_equal(judge(STEEPER("total_ms", "off", "on")), "undecided");
    assert_evidence("no two arms with values at three lengths of new_tokens");
}

/* A trial of another type of weights, in which both phases do what the paper trial's do. */
static void add_paper_trial_of(const char *dtype, int threads)
{
    static const double ms[3][3] = {{10, 2, 4}, {12, 3, 5}, {11, 2.5, 4.5}};
    struct store_trial t = usual_trial(true, 4, 3);

    set_axis(&t, AXIS_DTYPE, dtype);
    t.axis[AXIS_THREADS] = threads;
    int64_t id = put_trial(t);
    predict(id, 0, 800, 20, 0, 8);
    predict(id, 1, 10, 20, 1, 2);
    predict(id, 2, 14, 20, 3, 2.5);
    for (int i = 0; i < 3; i++)
        add_repetition(id, "time", false, "aa", ms[i], 3);
}

static void a_filter_may_list_values_of_which_any_matches(void **state)
{
    (void)state;
    add_roofs();
    add_paper_trial_of("f32", 2);
    add_paper_trial_of("bf16", 2);
    add_paper_trial_of("q4_0", 2);
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"prefill\", \"is\": \"compute\", \"where\": {\"dtype\": "
                              "[\"f32\", \"bf16\"], \"threads\": \"all\", \"prompt_tokens\": 4}}"),
                        "held");
    assert_claim("prefill is compute-bound where prompt_tokens=4, dtype=f32 or bf16, threads=2");
    assert_evidence("2 of 2 trials");
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"decode_ms\", \"of\": {\"dtype\": [\"bf16\", \"q4_0\"]}, "
                              "\"over\": {\"dtype\": \"f32\"}, \"above\": 0.7}"),
                        "held");
    assert_evidence(
        "1.00x [0.750, 1.33] for kv_cache=on prompt=4 new=3 dtype=bf16, 1.00x [0.750, 1.33] for kv_cache=on prompt=4 "
        "new=3 dtype=q4_0");
}

static void a_trial_over_several_names_each(void **state)
{
    (void)state;
    add_paper_trial_of("f32", 2);
    add_paper_trial_of("bf16", 2);
    add_paper_trial_of("q4_0", 2);
    assert_string_equal(judge("{\"claim\": \"ratio\", \"metric\": \"decode_ms\", \"of\": {\"dtype\": \"f32\"}, \"over\": "
                              "{\"dtype\": [\"bf16\", \"q4_0\"]}, \"above\": 0.7}"),
                        "held");
    assert_evidence("1.00x [0.750, 1.33] for kv_cache=on prompt=4 new=3 over dtype=bf16, 1.00x [0.750, 1.33] for kv_cache=on "
                    "prompt=4 new=3 over dtype=q4_0");
}

static void words_that_name_nothing_are_undecided_with_the_reason(void **state)
{
    (void)state;
    add_paper_trial();
    assert_string_equal(judge("{\"claim\": \"magic\"}"), "undecided");
    assert_evidence("does not know that kind");
    assert_string_equal(judge("not json"), "undecided");
    assert_string_equal(
        judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\", \"where\": {\"colour\": 1}}"), "undecided");
    assert_evidence("names no axis and value of a trial: colour");
    assert_string_equal(judge(STEEPER("joules", "off", "on")), "undecided");
    assert_evidence("metric is unknown: 'joules'");
    assert_string_equal(judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\", \"where\": "
                              "{\"dtype\": [\"f32\", \"f64\"]}}"),
                        "undecided");
    assert_evidence("names no axis and value of a trial: dtype");
    assert_string_equal(judge("{\"claim\": \"same_tokens\", \"across\": \"colour\"}"), "undecided");
    assert_evidence("across names no axis: 'colour'");
}

static void all_held_is_false_as_soon_as_one_is_not(void **state)
{
    static const double ms[] = {9, 2, 3};
    bool all_held = false;

    (void)state;
    assert_ok(analysis_claims(store, run, &all_held, &error));
    assert_true(all_held); /* no claim, none broken */
    add_repetition(add_trial(true, 4, 3), "time", false, "aa", ms, 3);
    add_repetition(add_trial(false, 4, 3), "time", false, "aa", ms, 3);
    assert_ok(store_add_claim(store, run, 0, SAME, &error));
    assert_ok(analysis_claims(store, run, &all_held, &error));
    assert_true(all_held);
    assert_ok(store_add_claim(store, run, 1, RATIO(""), &error));
    assert_ok(store_add_claim(store, run, 2, SAME, &error));
    assert_ok(analysis_claims(store, run, &all_held, &error));
    assert_false(all_held);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(bound_is_held_when_every_matching_verdict_agrees),
        test(bound_is_undecided_where_the_interval_or_the_data_end),
        test(bound_is_not_held_by_one_counterexample),
        test(the_same_tokens_are_compared_within_and_between_trials),
        test(different_tokens_name_the_step_where_they_part),
        test(a_ratio_is_held_when_every_pair_s_interval_is_above),
        test(a_ratio_may_have_a_bound_above_and_one_below),
        test(strategies_are_arms_like_any_other),
        test(a_ratio_that_does_not_grow_or_cannot_be_told_is_said),
        test(a_shrinking_ratio_does_not_grow),
        test(one_repetition_decides_no_ratio),
        test(exponents_are_compared_by_their_intervals),
        test(overlapping_exponents_decide_nothing),
        test(no_arms_with_three_lengths_are_undecided),
        test(a_filter_may_list_values_of_which_any_matches),
        test(a_trial_over_several_names_each),
        test(words_that_name_nothing_are_undecided_with_the_reason),
        test(all_held_is_false_as_soon_as_one_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
