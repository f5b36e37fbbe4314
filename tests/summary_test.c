/* SPDX-License-Identifier: MIT
 * The document on a terminal, and the list of runs. */
#include "check.h"

#include "paper_run.h"
#include "summary.h"

static void assert_narrow(const char *text)
{
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        if (n > 100)
            fail_msg("%zu columns: %.*s", n, (int)n, text);
    }
}

static void the_summary_fits_a_terminal_and_says_it_all(void **state)
{
    struct text out = {0};

    (void)state;
    add_roofs();
    count_paper_trial(add_paper_trial());
    add_arm(true, 16, 1, 0.01);
    add_arm(false, 16, 2, 0.01);
    judge("{\"claim\": \"bound\", \"phase\": \"decode\", \"is\": \"bandwidth\", \"where\": {\"prompt_tokens\": 4}}");
    judge(STEEPER("total_ms", "off", "on"));
    summary_text(doc, &out);
    assert_narrow(out.data);
    has_text(out.data, "   on       4    3        11.0    364  73 %  3.50 [3.00, 4.00]    286     3.57   6.43  64 %\n",
             __LINE__);
    has_text(out.data, "roofs: f32 fma 100 [98.0, 102] GFLOP/s, dram read 10.0 [9.50, 10.5] GB/s", __LINE__);
    has_text(out.data, "prefill is compute-bound: 40.0 FLOP/byte is 4.0x the ridge (10)", __LINE__);
    has_text(out.data,
             "growth with new tokens T, kv_cache=off prompt=4: total_ms ~ T^2.00 [1.99, 2.01] (timer), flops ~\n"
             "  T^2.00 (analytic), theory O(T^2 d^2 + T^3 d): 2 to 3, at these lengths 2.00\n",
             __LINE__);
    has_text(out.data, "prefill FLOPs +1.0 %", __LINE__);
    has_text(out.data, "what measuring costs, against the timing pass; [95 % interval]\n", __LINE__);
    has_text(out.data, "  papi:flops                                +10.00 %       +15.00 % [+10.00, +20.00]\n", __LINE__);
    has_text(out.data, "HELD       total_ms grows more steeply", __LINE__);
    has_text(out.data, "unfinished", __LINE__);
    text_free(&out);
}

static void strategies_are_told_apart_and_choosing_has_its_line(void **state)
{
    static const double ms[] = {10, 2, 4};
    struct text out = {0};

    (void)state;
    sample_share = 0.01;
    add_repetition(add_chosen_trial(true, 4, 3, "greedy", NULL, 1), "time", false, "aa", ms, 3);
    sample_share = 0.1;
    add_repetition(add_chosen_trial(true, 4, 3, "top_p", "temperature 1, top-p 0.9, seed 7", 1), "time", false, "bb", ms, 3);
    int64_t widest = add_chosen_trial(false, 1048576, 3, "sample", "temperature 1, seed 7", 1);
    add_repetition(widest, "time", false, "bb", (double[]){10, 200000, 200000}, 3);
    add_repetition(widest, "time", false, "bb", (double[]){10, 200100, 200100}, 3);
    analyse();
    summary_text(doc, &out);
    assert_narrow(out.data);
    has_text(out.data, " top_p ", __LINE__);
    has_text(out.data,
             "choosing the token: greedy 0.0300 ms, 1.0 % of the step; top_p (temperature 1, top-p 0.9, seed 7)\n"
             "  0.300 ms, 10 % of the step; sample (temperature 1, seed 7) 20005 ms, 10 % of the step\n",
             __LINE__);
    text_free(&out);
}

static void the_files_of_the_model_stand_at_the_top(void **state)
{
    struct text out = {0};
    char path[16];

    (void)state;
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "%d.gguf", i);
        assert_ok(store_add_model_file(store, run, path, 1700,
                                       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", &error));
    }
    analyse();
    summary_text(doc, &out);
    assert_narrow(out.data);
    has_text(out.data, "\nloaded in 3.00 ms: GGUF, Q8_0, 0.00150 MB at 0.500 MB/s, peak memory 0.00900 MB; 0.gguf sha256\n",
             __LINE__);
    has_text(out.data, "0123456789ab...; 1.gguf", __LINE__);
    has_text(out.data, "and 2 files more\n", __LINE__);
    text_free(&out);
}

static void the_summary_of_an_empty_run_says_so_and_holds(void **state)
{
    struct text out = {0};

    (void)state;
    add_trial(true, 4, 3);
    analyse();
    summary_text(doc, &out);
    assert_narrow(out.data);
    has_text(out.data, "roofs: none measured", __LINE__);
    has_text(out.data, "prefill has no verdict: no timed repetition", __LINE__);
    text_free(&out);
}

static void the_list_has_a_line_for_each_run(void **state)
{
    struct text out = {0};

    (void)state;
    add_paper_trial();
    assert_ok(summary_list(store, &out, &error));
    has_text(out.data, "   1  paper                 tiny", __LINE__);
    has_text(out.data, "  4  unfinished\n", __LINE__);
    assert_ok(store_finish_run(store, run, "not held", NULL, &error));
    out.len = 0;
    assert_ok(summary_list(store, &out, &error));
    has_text(out.data, "  4  not held\n", __LINE__);
    text_free(&out);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_summary_fits_a_terminal_and_says_it_all),
        test(strategies_are_told_apart_and_choosing_has_its_line),
        test(the_files_of_the_model_stand_at_the_top),
        test(the_summary_of_an_empty_run_says_so_and_holds),
        test(the_list_has_a_line_for_each_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
