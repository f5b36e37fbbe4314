/* SPDX-License-Identifier: MIT
 * What each strategy of a suite takes from workload.sampling. */
#include "check.h"

#include "sampling_keys.h"
#include "suite_keys.h"
#include "suite_room.h"

static struct sampling settings(const struct suite *s, enum strategy strategy)
{
    struct cell cell = {.value = {[AXIS_STRATEGY] = strategy}};
    struct sampling out;
    struct err e;

    suite_sampling(s, &cell, 7, &out);
    if (sampling_check(&out, &e))
        fail_msg("%s: %s", axes[AXIS_STRATEGY].words[strategy], e.text);
    return out;
}

static void assert_about(const struct suite *s, enum strategy strategy, const char *about)
{
    struct sampling sampling = settings(s, strategy);
    char buf[160];

    assert_string_equal(sampling_about(&sampling, buf, sizeof buf), about);
}

static void without_settings_every_strategy_has_its_own(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r, HEAD, NULL, false));
    assert_about(&r->suite, STRATEGY_GREEDY, "greedy");
    assert_about(&r->suite, STRATEGY_SAMPLE, "temperature 1, seed 7");
    assert_about(&r->suite, STRATEGY_TOP_K, "temperature 1, top-k 50, seed 7");
    assert_about(&r->suite, STRATEGY_TOP_P, "temperature 1, top-p 0.9, seed 7");
    assert_about(&r->suite, STRATEGY_MIN_P, "temperature 1, min-p 0.05, seed 7");
    assert_about(&r->suite, STRATEGY_BEAM, "4 beams, alpha 1.2, min length 5");
}

static void a_strategy_takes_its_own_settings_and_sample_takes_all_that_draw(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r,
                             HEAD "  sampling: {temperature: 0.5, top_k: 9, top_p: 0.8, min_p: 0.1, repetition_penalty: 1.5,\n"
                                  "    beams: 3, length_alpha: 0, min_length: 2}\n",
                             NULL, false));
    assert_about(&r->suite, STRATEGY_GREEDY, "greedy");
    assert_about(&r->suite, STRATEGY_SAMPLE, "temperature 0.5, repetition penalty 1.5, top-k 9, top-p 0.8, min-p 0.1, seed 7");
    assert_about(&r->suite, STRATEGY_TOP_K, "temperature 0.5, top-k 9, seed 7");
    assert_about(&r->suite, STRATEGY_TOP_P, "temperature 0.5, top-p 0.8, seed 7");
    assert_about(&r->suite, STRATEGY_MIN_P, "temperature 0.5, min-p 0.1, seed 7");
    assert_about(&r->suite, STRATEGY_BEAM, "3 beams");
    assert_float_equal(settings(&r->suite, STRATEGY_BEAM).min_length, 2, 0);
}

static void greedy_is_plain_whatever_is_set(void **state)
{
    struct room *r = *state;

    expect_good(r, read_text(r, HEAD "  sampling: {repetition_penalty: 1.5}\n", NULL, false));
    struct sampling greedy = settings(&r->suite, STRATEGY_GREEDY);
    assert_true(sampling_is_greedy(&greedy));
}

static void every_setting_can_be_set_from_the_command_line(void **state)
{
    struct room *r = *state;
    char key[96], set[128];

    for (const struct sampling_key *k = sampling_keys; k->name; k++) {
        snprintf(key, sizeof key, "workload.sampling.%s", k->name);
        assert_true(suite_key_settable(key));
        snprintf(set, sizeof set, "%s=1", key);
        expect_good(r, read_text(r, HEAD, (const char *[]){set, NULL}, false));
        const char *at = (const char *)&r->suite.sampling + k->offset;
        assert_true(k->integer ? *(const int *)(const void *)at == 1 : *(const double *)(const void *)at == 1);
    }
    assert_int_equal(read_text(r, HEAD, (const char *[]){"workload.sampling.top_p=2", NULL}, false), ERR_USAGE);
    assert_string_equal(r->err.text, "--set workload.sampling.top_p: top_p 2: expected 0 to 1");
}

static void the_matrix_turns_strategies_fastest(void **state)
{
    struct room *r = *state;
    struct cell cells[TRIALS_MAX];
    int count;

    expect_good(
        r, read_text(
               r, HEAD "matrix: {new_tokens: [1, 2], strategy: [beam, greedy], exclude: [{strategy: beam, new_tokens: 2}]}\n",
               NULL, false));
    assert_int_equal(suite_cells(&r->suite, cells, TRIALS_MAX, &count, &r->err), 0);
    assert_int_equal(count, 3);
    assert_int_equal(cells[0].value[AXIS_STRATEGY], STRATEGY_BEAM);
    assert_int_equal(cells[1].value[AXIS_STRATEGY], STRATEGY_GREEDY);
    assert_int_equal(cells[2].value[AXIS_STRATEGY], STRATEGY_GREEDY);
    assert_int_equal(cells[2].value[AXIS_NEW_TOKENS], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_ROOM(without_settings_every_strategy_has_its_own),
        IN_A_ROOM(a_strategy_takes_its_own_settings_and_sample_takes_all_that_draw),
        IN_A_ROOM(greedy_is_plain_whatever_is_set),
        IN_A_ROOM(every_setting_can_be_set_from_the_command_line),
        IN_A_ROOM(the_matrix_turns_strategies_fastest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
