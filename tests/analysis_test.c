/* SPDX-License-Identifier: MIT
 * What the document must say of a run whose rows were written by hand: whole, counted or not, and in pieces. */
#include "check.h"

#include "paper_run.h"

/* --- times --- */

static void times_are_of_the_timing_pass_without_warm_up(void **state)
{
    (void)state;
    add_roofs();
    count_paper_trial(add_paper_trial());
    analyse();
    assert_number("trials/0/repetitions", 3);
    assert_number("trials/0/prefill/ms/median", 11);
    assert_number("trials/0/prefill/ms/lo", 10);
    assert_number("trials/0/prefill/ms/hi", 12);
    assert_number("trials/0/prefill/ms/iqr", 1);
    assert_number("trials/0/prefill/ms/n", 3);
    assert_number("trials/0/decode/ms/median", 3.5); /* of each repetition's median step: 3, 4, 3.5 */
    assert_number("trials/0/decode/ms/lo", 3);
    assert_number("trials/0/decode/ms/hi", 4);
    assert_number("trials/0/decode_loop_ms/median", 7);
    assert_number("trials/0/tpot_ms/median", 3.5);
    assert_number("trials/0/total_ms/median", 18);
    assert_number("trials/0/ttft_ms/median", 11.5); /* half a millisecond to tokenize */
    assert_number("trials/0/ttft_ms/lo", 10.5);
    assert_number("trials/0/decode/n", 6); /* 2, 2.5, 3, 4, 4.5, 5 */
    assert_number("trials/0/decode/p50_ms", 3.5);
    assert_null_at("trials/0/decode/p90_ms");
    assert_null_at("trials/0/decode/p99_ms");
}

static void rates_follow_their_definitions(void **state)
{
    (void)state;
    add_paper_trial();
    analyse();
    assert_number("trials/0/prefill/tokens_per_s", 4 / 0.011);
    assert_number("trials/0/decode/tokens_per_s", 2 / 0.007);
    assert_number("trials/0/token_per_s", 3 / 0.018);
    assert_number("trials/0/decode/steps", 2);
}

static void a_tail_is_printed_only_from_enough_steps(void **state)
{
    double ms[222];
    int64_t t = add_trial(true, 4, 222);

    (void)state;
    for (int i = 0; i < 222; i++)
        ms[i] = i; /* steps of 1 to 221 ms, three times: 663 of them */
    for (int i = 0; i < 3; i++) {
        analyse();
        assert_true(json_is_null(at("trials/0/decode/p90_ms")) == (i < 1));
        assert_null_at("trials/0/decode/p99_ms");
        add_repetition(t, "time", false, "aa", ms, 222);
    }
    analyse();
    assert_number("trials/0/decode/n", 663);
    assert_number("trials/0/decode/p90_ms", 199); /* rank 0.9 x 662 = 595.8 from 0: the 199th value, three times each */
    assert_number("trials/0/decode/p99_ms", 219);
}

static void steps_carry_medians_and_their_running_sum(void **state)
{
    (void)state;
    count_paper_trial(add_paper_trial());
    analyse();
    assert_text("trials/0/steps/0/phase", "prefill");
    assert_number("trials/0/steps/0/ms", 11);
    assert_text("trials/0/steps/2/phase", "decode");
    assert_number("trials/0/steps/2/ms", 4.5);
    assert_number("trials/0/steps/2/lo", 4);
    assert_number("trials/0/steps/2/hi", 5);
    assert_number("trials/0/steps/2/cumulative_ms", 18);
    assert_number("trials/0/steps/2/kv_len", 6);
    assert_number("trials/0/steps/2/token", 12);
    assert_text("trials/0/steps/2/text", " b");
    assert_number("trials/0/steps/2/flops", 14e6);
    assert_number("trials/0/steps/2/bytes", 23e6); /* weights and cache read, not what is written */
    assert_number("trials/0/steps/2/counted_flops", 14e6);
    assert_number("trials/0/steps/2/counted_bytes", 24e6);
    assert_text("trials/0/text", "a b b");
}

/* --- work and verdicts --- */

static void counts_stand_beside_the_analytic_work(void **state)
{
    (void)state;
    count_paper_trial(add_paper_trial());
    analyse();
    assert_number("trials/0/prefill/flops/analytic", 800e6);
    assert_number("trials/0/prefill/flops/counted", 808e6);
    assert_number("trials/0/prefill/flops/error", 0.01);
    assert_text("trials/0/prefill/flops/provenance", "counter");
    assert_null_at("trials/0/prefill/flops/why");
    assert_number("trials/0/prefill/bytes/error", 0.01);
    assert_number("trials/0/decode/flops/analytic", 12e6); /* a step, in the mean */
    assert_number("trials/0/decode/flops/counted", 12.5e6);
    assert_number("trials/0/decode/flops/error", 1.0 / 24);
    assert_number("trials/0/decode/bytes/analytic", 22e6);
    assert_number("trials/0/decode/bytes/counted", 22.5e6);
    assert_number("rejected", 6);
}

static void without_counters_the_reason_stands_beside_the_analytic_value(void **state)
{
    struct store_calibration c = {.metric = "dram_read_bytes",
                                  .probe = "papi",
                                  .event = "FILLS",
                                  .kernel = "read stream",
                                  .why = "40 % off",
                                  .expected = 1,
                                  .measured = 1.4,
                                  .rel_error = 0.4,
                                  .limit = 0.05};

    (void)state;
    add_roofs();
    add_paper_trial();
    analyse();
    assert_null_at("trials/0/prefill/flops/counted");
    assert_null_at("trials/0/prefill/flops/error");
    assert_text("trials/0/prefill/flops/provenance", "analytic");
    assert_text("trials/0/prefill/flops/why", "no counting pass has recorded it");
    assert_ok(store_add_absent(store, run, "papi", "perf_event_paranoid is 4", &error));
    assert_ok(store_add_calibration(store, run, &c, &error));
    analyse();
    assert_text("trials/0/prefill/flops/why", "papi: perf_event_paranoid is 4");
    assert_text("trials/0/decode/bytes/why", "FILLS on read stream: 40 % off"); /* the refusal says more than the absence */
    assert_text("trials/0/prefill/verdict/source", "analytic");
    assert_text("trials/0/prefill/verdict/kind", "compute-bound"); /* and the verdict is given all the same */
}

static void missing_readings_are_told_apart_from_none(void **state)
{
    static const double ms[] = {12, 3, 5};
    int64_t t, r;

    (void)state;
    t = add_paper_trial();
    r = add_repetition(t, "papi:flops", false, "aa", ms, 3);
    add_reading(r, 0, "flops", 0, "missing", "the counter stood still");
    add_reading(r, 1, "flops", 11, "counter", NULL);
    analyse();
    assert_text("trials/0/prefill/flops/why", "the counter stood still");
    assert_number("trials/0/decode/flops/counted", 11e6); /* one step of two: enough for a mean */
    assert_number("trials/0/decode/flops/error", 0.1);    /* against the same step's 10 M */
    assert_text("trials/0/decode/flops/why", "1 of 2 steps were counted");
    assert_null_at("trials/0/steps/0/counted_flops");
}

static void multiplexed_counts_are_marked_and_give_no_verdict(void **state)
{
    static const double ms[] = {12, 3, 5};
    int64_t t, r;

    (void)state;
    add_roofs();
    t = add_paper_trial();
    r = add_repetition(t, "papi", false, "aa", ms, 3);
    for (int i = 0; i < 3; i++) {
        add_reading(r, i, "flops", 10, "multiplexed", NULL);
        add_reading(r, i, "dram_read_bytes", 10, "counter", NULL);
    }
    analyse();
    assert_text("trials/0/decode/flops/provenance", "multiplexed");
    assert_text("trials/0/decode/bytes/provenance", "counter");
    assert_text("trials/0/decode/verdict/source", "analytic");
}

static void the_verdict_takes_counters_when_both_are_there(void **state)
{
    (void)state;
    add_roofs();
    count_paper_trial(add_paper_trial());
    analyse();
    assert_text("trials/0/prefill/verdict/kind", "compute-bound");
    assert_text("trials/0/prefill/verdict/source", "counter");
    assert_number("trials/0/prefill/verdict/ai", 40); /* 808 M / 20.2 MB */
    assert_number("trials/0/prefill/verdict/margin", 4);
    assert_number("trials/0/prefill/verdict/t_compute_ms", 8.08);
    assert_number("trials/0/prefill/verdict/efficiency", 8.08 / 11);
    assert_number("trials/0/prefill/verdict/efficiency_lo", 8.08 / 12);
    assert_number("trials/0/prefill/verdict/efficiency_hi", 8.08 / 10);
    assert_number("trials/0/prefill/verdict/gflops", 808.0 / 11);
    assert_text("trials/0/decode/verdict/kind", "bandwidth-bound");
    assert_number("trials/0/decode/verdict/efficiency", 2.25 / 3.5);
    assert_number("trials/0/decode/verdict/gbps", 22.5 / 3.5);
    assert_says("trials/0/decode/verdict/sentence", "decode is bandwidth-bound: 0.556 FLOP/byte");
    assert_number("trials/0/prefill/predicted_ms", 8);
    assert_number("trials/0/decode/predicted_ms", 2.25);
}

static void each_repetition_is_compared_with_the_roofs_of_its_own_moment(void **state)
{
    static const double fast[] = {10, 2}, slow[] = {20, 4};
    int64_t t;

    (void)state;
    for (int round = 0; round < 4; round++) { /* the machine is half as fast from round 2 on */
        add_roof("f32 fma", "compute", round, round < 2 ? 100 : 50);
        add_roof("dram read", "bandwidth", round, round < 2 ? 10 : 5);
    }
    t = add_trial(true, 4, 2);
    predict(t, 0, 800, 20, 0, 8);
    predict(t, 1, 10, 16, 0, 1.6);
    repetition_starts_ns = 500;
    add_repetition(t, "time", false, "aa", fast, 2);
    repetition_starts_ns = 2500;
    add_repetition(t, "time", false, "aa", slow, 2);
    repetition_starts_ns = 1500;
    analyse();
    assert_number("trials/0/prefill/verdict/efficiency", 0.8);
    assert_number("trials/0/prefill/verdict/efficiency_lo", 0.8);
    assert_number("trials/0/prefill/verdict/efficiency_hi", 0.8);
    assert_number("trials/0/decode/verdict/efficiency", 0.8);
}

static void roofs_are_medians_of_rounds_with_their_extremes(void **state)
{
    (void)state;
    add_roofs();
    analyse();
    assert_text("roofs/0/name", "f32 fma");
    assert_text("roofs/0/unit", "FLOP/s");
    assert_number("roofs/0/value", 100e9);
    assert_number("roofs/0/lo", 98e9);
    assert_number("roofs/0/hi", 102e9);
    assert_number("roofs/0/n", 3);
    assert_number("roofs/1/rounds/2/value", 9.5e9);
    assert_text("roofs/1/unit", "B/s");
    assert_text("ridge/compute", "f32 fma");
    assert_number("ridge/ai", 10);
    assert_number("ridge/peak_bps", 10e9);
}

static void a_roof_of_another_thread_count_is_no_ceiling(void **state)
{
    struct store_roof r = {.name = "dram read", .kind = "bandwidth", .level = "dram", .how = "", .threads = 1, .value = 5e9};

    (void)state;
    add_roof("f32 fma", "compute", 0, 100);
    assert_ok(store_add_roof(store, run, &r, &error));
    add_paper_trial();
    analyse();
    assert_null_at("ridge");
    assert_text("trials/0/decode/verdict/kind", "unknown");
    assert_null_at("trials/0/decode/verdict/efficiency");
}

static void the_counting_passes_cost_is_paired_step_by_step(void **state)
{
    (void)state;
    count_paper_trial(add_paper_trial());
    analyse();
    assert_int_equal(json_array_size(at("overhead")), 4);
    assert_text("overhead/0/pass", "papi:flops");
    assert_text("overhead/0/phase", "prefill");
    assert_number("overhead/0/ratio/median", 0.1); /* 12.1 over 11 */
    assert_text("overhead/1/phase", "decode");
    assert_number("overhead/1/ratio/median", 0.15); /* 2.75 over 2.5, 5.4 over 4.5 */
    assert_number("overhead/1/ratio/n", 2);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void facts_are_copied_with_their_types(void **state)
{
    struct store_calibration c = {.metric = "flops",
                                  .probe = "papi",
                                  .event = "E",
                                  .kernel = "fma",
                                  .why = "",
                                  .expected = 1,
                                  .measured = NAN,
                                  .rel_error = NAN,
                                  .limit = 0.02,
                                  .accepted = false};

    (void)state;
    add_paper_trial();
    assert_ok(store_add_machine(store, run, "cpu", "Imaginary 9000", "/proc/cpuinfo", &error));
    assert_ok(store_add_calibration(store, run, &c, &error));
    const struct store_op op = {{0, 1}, "mlp", 5, 6, 1};
    assert_ok(store_add_op(store, 1, &op, &error));
    assert_ok(store_add_model_file(store, run, "models/x.gguf", 1700, HASH, &error));
    assert_ok(store_add_claim(store, run, 0, "{\"claim\": \"same_tokens\", \"across\": \"kv_cache\"}", &error));
    analyse();
    assert_text("format", "bench-run/1");
    assert_number("run/prompt_ids/3", 8);
    assert_number("run/load_model_ms", 3);
    assert_null_at("run/load_tokenizer_ms");
    assert_null_at("run/finished");
    assert_number("model/kv_numbers_per_token", 2 * 2 * 2 * 4);
    assert_text("machine/0/value", "Imaginary 9000");
    assert_text("model/format", "GGUF");
    assert_text("model/stored", "Q8_0");
    assert_number("model/stored_bytes", 1500);
    assert_number("model/load_peak_bytes", 9000);
    assert_number("model/load_bytes_per_s", 500000); /* 1500 bytes in 3 ms */
    assert_text("model_files/0/path", "models/x.gguf");
    assert_number("model_files/0/bytes", 1700);
    assert_text("model_files/0/sha256", HASH);
    assert_true(json_is_false(at("calibrations/0/accepted")));
    assert_null_at("calibrations/0/measured");
    assert_number("calibrations/0/limit", 0.02);
    assert_text("trials/0/ops/0/op", "mlp");
    assert_text("claims/0/spec/across", "kv_cache");
    assert_null_at("claims/0/result");
    assert_text("trials/0/label", "kv_cache=on prompt=4 new=3");
    assert_int_equal(json_array_size(at("trials/0/witness")), 4);
    assert_true(json_is_true(at("trials/0/witness/0/warmup")));
    assert_number("trials/0/witness/0/load1", 0.25);
    assert_null_at("trials/0/witness/0/steal_ticks");
    assert_number("trials/0/kv/shape/1", 2); /* [batch, kv heads, tokens held, head dim] */
    assert_number("trials/0/kv/shape/2", 6); /* 4 + 3 - 1: the last token is never fed */
    assert_number("trials/0/kv/formula_bytes", 2048);
    assert_number("trials/0/kv/bytes_per_token", 2 * 2 * 2 * 4 * 4);
    assert_null_at("trials/0/unconverged");
    assert_true(json_is_false(at("trials/0/planned_done")));
    assert_ok(store_set_trial(store, 1, 2048, true, &error));
    analyse();
    assert_true(json_is_true(at("trials/0/unconverged")));
    assert_true(json_is_true(at("trials/0/planned_done")));
}

/* --- choosing --- */

static void choosing_is_a_part_of_the_decode_step(void **state)
{
    static const double ms[3][3] = {{10, 2, 4}, {12, 3, 5}, {11, 2.5, 4.5}};
    int64_t t;

    (void)state;
    t = add_chosen_trial(true, 4, 3, "beam", "4 beams", 4);
    for (int i = 0; i < 3; i++) {
        sample_share = 0.1 * (i + 1);
        add_repetition(t, "time", false, "aa", ms[i], 3);
    }
    analyse();
    assert_text("trials/0/label", "kv_cache=on prompt=4 new=3 strategy=beam");
    assert_text("trials/0/strategy", "beam");
    assert_text("trials/0/sampling", "4 beams");
    assert_number("trials/0/rows", 4);
    assert_number("trials/0/kv/shape/0", 4);
    assert_number("trials/0/decode/tokens_per_s", 2 / 0.007); /* a token a step for the sequence, not for each beam */
    assert_number("trials/0/sample/ms/median", 0.8);          /* of 0.3, 0.8 and 1.05, medians of the steps' */
    assert_number("trials/0/sample/us_per_token", 800);
    assert_number("trials/0/sample/share/median", 0.2);
    assert_number("trials/0/sample/share/n", 3);
    assert_number("trials/0/steps/1/sample_ms", 0.6); /* of 0.2, 0.6 and 0.75 */
}

static void choosing_that_was_not_measured_is_null(void **state)
{
    (void)state;
    add_paper_trial();
    analyse();
    assert_text("trials/0/strategy", "greedy");
    assert_null_at("trials/0/sampling");
    assert_null_at("trials/0/sample");
    assert_null_at("trials/0/steps/1/sample_ms");
}

/* --- what is not whole --- */

static void a_run_without_trials_is_a_document_too(void **state)
{
    (void)state;
    analyse();
    assert_int_equal(json_array_size(at("trials")), 0);
    assert_int_equal(json_array_size(at("roofs")), 0);
    assert_int_equal(json_array_size(at("fits")), 0);
    assert_null_at("ridge");
    json_decref(doc);
    assert_int_equal(analysis_document(&doc, store, 99, &error), ERR_USAGE);
    assert_null(doc);
    has_text(error.text, "no run 99", __LINE__);
}

static void a_trial_that_never_ran_has_nulls(void **state)
{
    int64_t t = add_trial(false, 4, 3);

    (void)state;
    predict(t, 0, 800, 20, 0, 8);
    analyse();
    assert_number("trials/0/repetitions", 0);
    assert_null_at("trials/0/prefill/ms");
    assert_null_at("trials/0/prefill/tokens_per_s");
    assert_null_at("trials/0/decode/ms");
    assert_null_at("trials/0/total_ms");
    assert_null_at("trials/0/tokens_hash");
    assert_null_at("trials/0/tokens_agree");
    assert_null_at("trials/0/text");
    assert_text("trials/0/decode/verdict/kind", "unknown");
    assert_number("trials/0/steps/0/flops", 800e6); /* the prediction is there */
    assert_null_at("trials/0/steps/0/ms");
    assert_int_equal(json_array_size(at("trials/0/kv/shape")), 0); /* nothing is cached */
}

static void warm_up_alone_is_no_figure(void **state)
{
    static const double ms[] = {9, 2, 3};

    (void)state;
    add_repetition(add_trial(true, 4, 3), "time", true, "aa", ms, 3);
    analyse();
    assert_number("trials/0/repetitions", 0);
    assert_null_at("trials/0/prefill/ms");
    assert_null_at("trials/0/steps/0/ms");
    assert_text("trials/0/text", "a b b"); /* its tokens are as good as any */
    assert_text("trials/0/tokens_hash", "aa");
}

static void half_a_repetition_gives_the_figures_it_can(void **state)
{
    static const double ms[] = {9, 2};

    (void)state;
    add_repetition(add_trial(true, 4, 3), "time", false, "aa", ms, 2);
    analyse();
    assert_number("trials/0/prefill/ms/median", 9);
    assert_null_at("trials/0/prefill/ms/lo"); /* one repetition */
    assert_number("trials/0/decode/ms/median", 2);
    assert_null_at("trials/0/total_ms");
    assert_null_at("trials/0/decode/tokens_per_s");
    assert_number("trials/0/steps/1/cumulative_ms", 11);
}

static void one_new_token_has_no_decode(void **state)
{
    static const double ms[] = {9};

    (void)state;
    add_repetition(add_trial(true, 4, 1), "time", false, "aa", ms, 1);
    analyse();
    assert_null_at("trials/0/decode");
    assert_null_at("trials/0/tpot_ms");
    assert_null_at("trials/0/decode_loop_ms");
    assert_number("trials/0/total_ms/median", 9);
}

static void token_texts_that_are_no_utf8_become_replacement_characters(void **state)
{
    static const double ms[] = {9, 2};
    int64_t t = add_trial(true, 4, 4), r = add_repetition(t, "time", false, "aa", ms, 1);

    (void)state;
    assert_ok(store_add_step(store, r, &(struct store_step){1, 1, -1, 5, 1, -1, "\xe2\x82"},
                             &error)); /* a euro sign over two tokens */
    assert_ok(store_add_step(store, r, &(struct store_step){2, 1, -1, 6, 2, -1, "\xac"}, &error));
    assert_ok(store_add_step(store, r, &(struct store_step){3, 1, -1, 7, 3, -1, "\xff"}, &error));
    analyse();
    assert_text("trials/0/steps/2/text", "\xef\xbf\xbd");
    assert_text("trials/0/text", "a\xe2\x82\xac\xef\xbf\xbd");
}

/* --- growth --- */

static void growth_is_fitted_for_each_arm_beside_the_theory(void **state)
{
    (void)state;
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 16, 2, 0.01);
    analyse();
    assert_int_equal(json_array_size(at("fits")), 4);
    assert_text("fits/0/arm/kv_cache", "on");
    assert_text("fits/0/arm/strategy", "greedy");
    assert_number("fits/0/arm/prompt_tokens", 4);
    assert_text("fits/0/metric", "total_ms");
    assert_text("fits/0/source", "timer");
    assert_number("fits/0/exponent", 1);
    assert_number("fits/0/coefficient", 16);
    assert_true(json_number_value(at("fits/0/lo")) > 0.97 && json_number_value(at("fits/0/lo")) < 1);
    assert_number("fits/0/points/2/0", 8);
    assert_number("fits/0/points/2/1", 128);
    assert_text("fits/0/theory", "O(T d^2 + T^2 d)");
    assert_number("fits/0/theory_hi", 2);
    assert_number("fits/0/theory_here", 1);
    assert_text("fits/3/metric", "flops");
    assert_text("fits/3/source", "analytic");
    assert_number("fits/3/exponent", 2);
    assert_number("fits/3/lo", 2);
    assert_text("fits/3/theory", "O(T^2 d^2 + T^3 d)");
    assert_number("fits/3/theory_lo", 2);
}

static void two_lengths_are_no_fit(void **state)
{
    static const double ms[] = {1, 1, 1, 1};

    (void)state;
    add_repetition(add_trial(true, 4, 2), "time", false, "aa", ms, 2);
    add_repetition(add_trial(true, 4, 4), "time", false, "aa", ms, 4);
    add_repetition(add_trial(true, 5, 3), "time", false, "aa", ms, 3); /* another arm */
    analyse();
    assert_int_equal(json_array_size(at("fits")), 0);
}

static void the_stopping_rule_sees_half_the_relative_interval(void **state)
{
    (void)state;
    assert_true(isinf(analysis_relative_interval((const double[]){5}, 1)));
    assert_true(isinf(analysis_relative_interval(NULL, 0)));
    assert_true(fabs(analysis_relative_interval((const double[]){9, 11}, 2) - 0.1) < 1e-12);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(times_are_of_the_timing_pass_without_warm_up),
        test(rates_follow_their_definitions),
        test(a_tail_is_printed_only_from_enough_steps),
        test(steps_carry_medians_and_their_running_sum),
        test(counts_stand_beside_the_analytic_work),
        test(without_counters_the_reason_stands_beside_the_analytic_value),
        test(missing_readings_are_told_apart_from_none),
        test(multiplexed_counts_are_marked_and_give_no_verdict),
        test(the_verdict_takes_counters_when_both_are_there),
        test(each_repetition_is_compared_with_the_roofs_of_its_own_moment),
        test(roofs_are_medians_of_rounds_with_their_extremes),
        test(a_roof_of_another_thread_count_is_no_ceiling),
        test(the_counting_passes_cost_is_paired_step_by_step),
        test(facts_are_copied_with_their_types),
        test(choosing_is_a_part_of_the_decode_step),
        test(choosing_that_was_not_measured_is_null),
        test(a_run_without_trials_is_a_document_too),
        test(a_trial_that_never_ran_has_nulls),
        test(warm_up_alone_is_no_figure),
        test(half_a_repetition_gives_the_figures_it_can),
        test(one_new_token_has_no_decode),
        test(token_texts_that_are_no_utf8_become_replacement_characters),
        test(growth_is_fitted_for_each_arm_beside_the_theory),
        test(two_lengths_are_no_fit),
        test(the_stopping_rule_sees_half_the_relative_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
