/* SPDX-License-Identifier: MIT
 * Choosing tokens. Every processor is held against an obvious implementation that sorts and masks whole rows as Hugging Face's
 * does. That draws have the distribution that is said here is in draw_test.c. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quick.h"
#include "sample.h"
#include "sampling_obvious.h"

/* --- against the obvious implementation --- */

static void assert_candidates_are(const struct sampler *s, const struct obvious *o)
{
    double probability[VOCAB_MAX] = {0};

    for (int i = 0; i < s->count; i++) {
        assert_true(s->candidate[i].probability > 0);
        assert_true(probability[s->candidate[i].id] == 0);
        probability[s->candidate[i].id] = s->candidate[i].probability;
    }
    for (int i = 0; i < o->vocab; i++)
        assert_true(fabs(probability[i] - o->probability[i]) <= 1e-9 * o->probability[i] + 1e-290);
}

/* The first id at which the sum of probabilities reaches u. */
static int inverse(const struct obvious *o, double u, double *nearest)
{
    double sum = 0;
    int last = 0;

    for (int i = 0; i < o->vocab; i++) {
        if (o->probability[i] == 0)
            continue;
        sum += o->probability[i];
        *nearest = fmin(*nearest, fabs(sum - u));
        if (sum >= u)
            return i;
        last = i;
    }
    return last;
}

static void the_candidates_and_the_draw_are_those_of_the_obvious_implementation(void **state)
{
    enum { SETTINGS = 800, ROWS = 6, HISTORY = 20 };
    struct pcg32 g;
    struct obvious o;
    float logits[VOCAB_MAX];
    int32_t history[HISTORY];
    int compared = 0;

    (void)state;
    pcg32_seed(&g, 1, 1);
    for (int i = 0; i < SETTINGS; i++) {
        struct sampling settings = random_settings(&g);
        int vocab = 1 + below(&g, VOCAB_MAX);
        struct sampler s = opened(&settings, vocab, 1);
        for (int k = 0; k < ROWS; k++) {
            int n = below(&g, HISTORY);
            random_row(&g, logits, vocab);
            for (int h = 0; h < n; h++)
                history[h] = below(&g, vocab);
            obvious_distribution(&o, &settings, logits, vocab, history, n);
            struct pcg32 draws = s.draws[0];
            int32_t chosen = sampler_choose(&s, logits, history, n, 0);
            int expected = inverse(&o, pcg32_uniform(&draws), &o.nearest);
            if (o.nearest < 1e-9)
                continue;
            assert_candidates_are(&s, &o);
            assert_int_equal(chosen, expected);
            compared++;
        }
        sampler_free(&s);
    }
    assert_true(compared > SETTINGS * ROWS * 9 / 10);
}

static int greedy_choice(const float *logits, int vocab)
{
    int best = 0;

    for (int i = 1; i < vocab; i++)
        if (logits[i] > logits[best] || isnan(logits[best]))
            best = i;
    return best;
}

static void all_zero_settings_choose_the_largest_logit_and_the_lowest_id_among_equals(void **state)
{
    struct sampling greedy = {0};
    struct pcg32 g;
    float logits[VOCAB_MAX];

    (void)state;
    pcg32_seed(&g, 2, 1);
    for (int i = 0; i < 2000; i++) {
        int vocab = 1 + below(&g, VOCAB_MAX);
        struct sampler s = opened(&greedy, vocab, 1);
        random_row(&g, logits, vocab);
        assert_int_equal(sampler_choose(&s, logits, NULL, 0, 0), greedy_choice(logits, vocab));
        assert_int_equal(s.count, 1);
        sampler_free(&s);
    }
}

static void a_repetition_penalty_without_a_temperature_chooses_the_largest_penalised_logit(void **state)
{
    struct sampling settings = {.repetition_penalty = 2};
    struct sampler s = opened(&settings, 4, 1);

    (void)state;
    assert_int_equal(sampler_choose(&s, (float[]){3, 4, 1, -1}, (int32_t[]){1, 1, 1}, 3, 0), 0); /* 4 becomes 2, once */
    assert_int_equal(sampler_choose(&s, (float[]){3, 4, 1, -1}, NULL, 0, 0), 1);
    assert_int_equal(sampler_choose(&s, (float[]){-1, -1.5f, -4, -4}, (int32_t[]){0}, 1, 0), 1); /* -1 becomes -2 */
    sampler_free(&s);
}

/* --- borders, by hand --- */

static int candidates_of(const struct sampling *settings, const float *logits, int vocab)
{
    struct sampler s = opened(settings, vocab, 1);

    sampler_choose(&s, logits, NULL, 0, 0);
    int count = s.count;
    sampler_free(&s);
    return count;
}

static void tokens_equal_to_the_kth_stay(void **state)
{
    float logits[] = {1, 3, 2, 2, 2, 0};

    (void)state;
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 1}, logits, 6), 1);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 2}, logits, 6), 4);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 4}, logits, 6), 4);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 5}, logits, 6), 5);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 1000}, logits, 6), 6);
}

static void top_p_stops_when_the_mass_is_reached_and_keeps_at_least_one(void **state)
{
    float logits[] = {0, 0, 0, 0}; /* each a quarter, exactly */

    (void)state;
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 1e-9}, logits, 4), 1);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 0.25}, logits, 4), 1);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 0.5}, logits, 4), 2);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 0.51}, logits, 4), 3);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 1}, logits, 4), 4);
}

static void top_p_counts_the_mass_that_top_k_left(void **state)
{
    float logits[] = {0, 0, 0, 0, -1, -1, -1, -1};

    (void)state;
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_k = 4, .top_p = 0.5}, logits, 8), 2);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .top_p = 0.5}, logits, 8), 3);
}

static void min_p_keeps_what_has_exactly_its_share_of_the_likeliest(void **state)
{
    float logits[] = {0, 0, -1, -2};

    (void)state;
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .min_p = 1}, logits, 4), 2);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1, .min_p = exp(-1)}, logits, 4), 3);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 2, .min_p = exp(-1)}, logits, 4), 4);
}

static void infinities_and_nans_leave_a_choice(void **state)
{
    struct sampling settings = {.temperature = 0.5, .top_p = 0.9, .min_p = 0.1};
    struct sampler s = opened(&settings, 3, 1);
    bool drawn[3] = {0};

    (void)state;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(sampler_choose(&s, (float[]){5, INFINITY, 5}, NULL, 0, 0), 1);
        assert_int_equal(sampler_choose(&s, (float[]){NAN, NAN, -INFINITY}, NULL, 0, 0), 2);
        assert_int_equal(sampler_choose(&s, (float[]){NAN, -3e38f, -INFINITY}, NULL, 0, 0), 1);
        drawn[sampler_choose(&s, (float[]){NAN, NAN, NAN}, NULL, 0, 0)] = true;
    }
    assert_true(drawn[0] && drawn[1] && drawn[2]);
    sampler_free(&s);
}

static void temperatures_of_any_size_are_honoured(void **state)
{
    float logits[] = {1, 1.0000001f, -3e38f};

    (void)state;
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 5e-324}, logits, 3), 1);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1}, logits, 3), 2);
    assert_int_equal(candidates_of(&(struct sampling){.temperature = 1e300}, logits, 3), 3);
}

/* Quickselect is quadratic where pivots are chosen badly: 131072 tokens would then take minutes. */
static void no_pattern_of_logits_is_slow(void **state)
{
    enum { VOCAB = 262144 };
    struct sampling settings = {.temperature = 1, .top_k = 60000, .top_p = 0.9};
    struct sampler s = opened(&settings, VOCAB, 1);
    float *logits = malloc(VOCAB * sizeof *logits);

    (void)state;
    assert_non_null(logits);
    const double begin = own_cpu_s();
    for (int pattern = 0; pattern < 4; pattern++) {
        for (int i = 0; i < VOCAB; i++) {
            int up = pattern == 0 ? i : pattern == 1 ? -i : pattern == 2 ? (i < VOCAB / 2 ? i : VOCAB - i) : 0;
            logits[i] = (float)up * 1e-5f;
        }
        assert_in_range(sampler_choose(&s, logits, NULL, 0, 0), 0, VOCAB - 1);
    }
    assert_was_quick(begin);
    free(logits);
    sampler_free(&s);
}

/* --- for people --- */

static void the_likeliest_tokens_come_largest_first_with_their_softmax(void **state)
{
    struct candidate top[VOCAB_MAX];
    struct sampling plain = {.temperature = 1};
    struct pcg32 g;
    struct obvious o;
    struct err e = {0};
    float logits[VOCAB_MAX];

    (void)state;
    pcg32_seed(&g, 5, 1);
    for (int i = 0; i < 500; i++) {
        int vocab = 1 + below(&g, VOCAB_MAX), k = 1 + below(&g, VOCAB_MAX);
        random_row(&g, logits, vocab);
        obvious_distribution(&o, &plain, logits, vocab, NULL, 0);
        sort(&o);
        int n = sample_top(top, k, logits, vocab, &e);
        assert_in_range(n, 1, k < vocab ? k : vocab);
        for (int r = 0; r < n; r++) {
            assert_int_equal(top[r].id, o.order[r]);
            assert_true(top[r].logit == logits[top[r].id]);
            assert_true(fabs(top[r].probability - o.probability[top[r].id]) <= 1e-9);
        }
        if (n < k && n < vocab)
            assert_true(o.probability[o.order[n]] == 0);
    }
}

static void settings_say_what_they_are_in_one_line(void **state)
{
    char buf[160];

    (void)state;
    assert_string_equal(sampling_about(&(struct sampling){.seed = 3}, buf, sizeof buf), "greedy");
    assert_string_equal(sampling_about(&(struct sampling){.repetition_penalty = 1.1}, buf, sizeof buf),
                        "greedy, repetition penalty 1.1");
    assert_string_equal(
        sampling_about(&(struct sampling){.temperature = 0.8, .top_k = 40, .top_p = 0.95, .seed = 1}, buf, sizeof buf),
        "temperature 0.8, top-k 40, top-p 0.95, seed 1");
    assert_string_equal(sampling_about(&(struct sampling){.temperature = 1, .top_p = 1, .min_p = 0.05}, buf, sizeof buf),
                        "temperature 1, min-p 0.05, seed 0");
    assert_string_equal(sampling_about(&(struct sampling){.beams = 4}, buf, sizeof buf), "4 beams");
    assert_string_equal(sampling_about(&(struct sampling){.beams = 4, .length_alpha = 1.2, .min_length = 5}, buf, sizeof buf),
                        "4 beams, alpha 1.2, min length 5");
    assert_string_equal(sampling_about(&(struct sampling){.beams = 4}, buf, 4), "4 b");
}

static void only_the_plain_largest_logit_is_greedy(void **state)
{
    (void)state;
    assert_true(sampling_is_greedy(&(struct sampling){.beams = 1, .top_k = 5, .top_p = 1, .repetition_penalty = 1}));
    assert_false(sampling_is_greedy(&(struct sampling){.temperature = 0.1}));
    assert_false(sampling_is_greedy(&(struct sampling){.beams = 2}));
    assert_false(sampling_is_greedy(&(struct sampling){.repetition_penalty = 1.1}));
}

static void settings_out_of_range_are_refused_by_name(void **state)
{
    static const struct {
        struct sampling s;
        const char *named;
    } wrong[] = {
        {{.temperature = -0.1}, "temperature -0.1: "},
        {{.temperature = INFINITY}, "temperature inf: "},
        {{.temperature = NAN}, "temperature nan: "},
        {{.temperature = 1, .top_k = -1}, "top_k -1: "},
        {{.temperature = 1, .top_p = -0.5}, "top_p -0.5: "},
        {{.temperature = 1, .top_p = 1.5}, "top_p 1.5: expected 0 to 1"},
        {{.temperature = 1, .min_p = 2}, "min_p 2: "},
        {{.temperature = 1, .min_p = -2}, "min_p -2: "},
        {{.repetition_penalty = -1}, "repetition_penalty -1: "},
        {{.repetition_penalty = INFINITY}, "repetition_penalty inf: "},
        {{.beams = -1}, "beams -1: "},
        {{.beams = 65}, "beams 65: expected 0 to 64"},
        {{.beams = 2, .length_alpha = -1}, "length_alpha -1: "},
        {{.beams = 2, .length_alpha = NAN}, "length_alpha nan: "},
        {{.beams = 2, .min_length = -1}, "min_length -1: "},
        {{.beams = 2, .temperature = 1}, "temperature 1 with 2 beams: "},
        {{.beams = 2, .top_k = 1}, "top_k 1 with 2 beams: "},
        {{.beams = 2, .top_p = 0.5}, "top_p 0.5 with 2 beams: "},
        {{.beams = 2, .min_p = 0.5}, "min_p 0.5 with 2 beams: "},
        {{.beams = 2, .repetition_penalty = 2}, "repetition_penalty 2 with 2 beams: "},
    };
    static const struct sampling right[] = {
        {0},
        {.temperature = 5, .top_k = 1, .top_p = 1, .min_p = 1, .repetition_penalty = 0.5, .beams = 1},
        {.beams = 64, .top_p = 1, .repetition_penalty = 1, .length_alpha = 2, .min_length = 10},
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct err e = {0};
        assert_int_equal(sampling_check(&wrong[i].s, &e), ERR_USAGE);
        assert_memory_equal(e.text, wrong[i].named, strlen(wrong[i].named));
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_int_equal(sampling_check(&right[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_candidates_and_the_draw_are_those_of_the_obvious_implementation),
        cmocka_unit_test(all_zero_settings_choose_the_largest_logit_and_the_lowest_id_among_equals),
        cmocka_unit_test(a_repetition_penalty_without_a_temperature_chooses_the_largest_penalised_logit),
        cmocka_unit_test(tokens_equal_to_the_kth_stay),
        cmocka_unit_test(top_p_stops_when_the_mass_is_reached_and_keeps_at_least_one),
        cmocka_unit_test(top_p_counts_the_mass_that_top_k_left),
        cmocka_unit_test(min_p_keeps_what_has_exactly_its_share_of_the_likeliest),
        cmocka_unit_test(infinities_and_nans_leave_a_choice),
        cmocka_unit_test(temperatures_of_any_size_are_honoured),
        cmocka_unit_test(no_pattern_of_logits_is_slow),
        cmocka_unit_test(the_likeliest_tokens_come_largest_first_with_their_softmax),
        cmocka_unit_test(settings_say_what_they_are_in_one_line),
        cmocka_unit_test(only_the_plain_largest_logit_is_greedy),
        cmocka_unit_test(settings_out_of_range_are_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
