/* SPDX-License-Identifier: MIT
 * Draws: held against the distribution that they should have, by chi-square tests that fixed seeds make repeatable; the
 * generator against its published output; the sequences of a batch against each other. */
#include "check.h"

#include <math.h>

#include "sample.h"
#include "sampling_obvious.h"

/* --- distributions --- */

/* Probability of a chi-square value of at least x: the finite sums for whole degrees of freedom, Abramowitz and Stegun,
 * Handbook of Mathematical Functions, 26.4.4 and 26.4.5. */
static double chi_square_p(double x, int freedom)
{
    bool odd = freedom % 2;
    double term = (odd ? sqrt(2 * x / M_PI) : 1) * exp(-x / 2), sum = odd ? erfc(sqrt(x / 2)) : 0;

    for (int r = odd; r < freedom; r += 2) {
        sum += term;
        term *= x / (r + 2);
    }
    return sum;
}

static void the_chi_square_probabilities_are_those_of_published_tables(void **state)
{
    /* NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4: upper critical values. */
    static const struct {
        int freedom;
        double p, x;
    } known[] = {{1, 0.05, 3.841},   {1, 0.001, 10.828}, {2, 0.05, 5.991},    {3, 0.01, 11.345},
                 {5, 0.001, 20.515}, {10, 0.05, 18.307}, {10, 0.001, 29.588}, {15, 0.01, 30.578}};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(fabs(chi_square_p(known[i].x, known[i].freedom) - known[i].p) < 0.002 * known[i].p);
}

/* Counts over cells with the given expected counts; rare cells are taken together. Fails where chance would do so once in
 * 10,000 times. */
static void assert_drawn_from(const int *count, const double *expected, int cells)
{
    double x = 0, rare_expected = 0;
    int rare = 0, kinds = 0;

    for (int i = 0; i < cells; i++) {
        if (expected[i] == 0)
            assert_int_equal(count[i], 0);
        if (expected[i] < 5) {
            rare_expected += expected[i];
            rare += count[i];
            continue;
        }
        x += (count[i] - expected[i]) * (count[i] - expected[i]) / expected[i];
        kinds++;
    }
    if (rare_expected >= 5) {
        x += (rare - rare_expected) * (rare - rare_expected) / rare_expected;
        kinds++;
    }
    if (kinds > 1)
        assert_true(chi_square_p(x, kinds - 1) > 1e-4);
}

static void assert_draws_follow(const struct sampling *settings)
{
    enum { VOCAB = 16, DRAWS = 40000 };
    static const float logits[VOCAB] = {0.3f, 2.1f, -1, 0.8f, 2,    1.4f,      -0.6f, 0.8f,
                                        1.1f, 0,    -2, 1.9f, 0.5f, -INFINITY, 0.8f,  3};
    static const int32_t history[] = {4, 15, 2, 4};
    struct sampler s = opened(settings, VOCAB, 1);
    struct obvious o;
    int count[VOCAB] = {0};
    double expected[VOCAB];

    obvious_distribution(&o, settings, logits, VOCAB, history, 4);
    for (int i = 0; i < DRAWS; i++)
        count[sampler_choose(&s, logits, history, 4, 0)]++;
    for (int i = 0; i < VOCAB; i++)
        expected[i] = DRAWS * o.probability[i];
    assert_drawn_from(count, expected, VOCAB);
    sampler_free(&s);
}

static void the_draws_follow_their_distribution(void **state)
{
    static const struct sampling settings[] = {
        {.temperature = 1, .seed = 1},
        {.temperature = 0.5, .seed = 2},
        {.temperature = 2.5, .seed = 3},
        {.temperature = 1, .top_k = 5, .seed = 4},
        {.temperature = 1, .top_p = 0.8, .seed = 5},
        {.temperature = 1, .min_p = 0.2, .seed = 6},
        {.temperature = 1, .repetition_penalty = 1.5, .seed = 7},
        {.temperature = 0.8, .top_k = 10, .top_p = 0.95, .min_p = 0.1, .repetition_penalty = 1.2, .seed = 8},
    };

    (void)state;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        assert_draws_follow(&settings[i]);
}

/* --- the generator --- */

static void pcg32_gives_its_published_numbers(void **state)
{
    /* pcg32-demo of the PCG library, seed 42, sequence 54, round 1. */
    static const uint32_t published[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e};
    struct pcg32 g;

    (void)state;
    pcg32_seed(&g, 42, 54);
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        assert_int_equal(pcg32_next(&g), published[i]);
}

static void a_uniform_number_is_the_high_bits_of_two_draws(void **state)
{
    struct pcg32 g;

    (void)state;
    pcg32_seed(&g, 42, 54);
    assert_true(pcg32_uniform(&g) == ((double)(0xa15c02b7u >> 5) * 0x1p26 + (0x7b47f409u >> 6)) * 0x1p-53);
}

static void the_same_seed_draws_the_same_tokens_again(void **state)
{
    enum { VOCAB = 50, DRAWS = 200 };
    struct sampling settings = {.temperature = 1, .top_p = 0.9, .seed = 7}, other = settings;
    struct pcg32 g;
    float logits[DRAWS][VOCAB];
    int32_t first[DRAWS];
    int differ = 0;

    (void)state;
    pcg32_seed(&g, 3, 1);
    for (int i = 0; i < DRAWS; i++)
        for (int k = 0; k < VOCAB; k++)
            logits[i][k] = (float)uniform(&g, -2, 2);
    struct sampler s = opened(&settings, VOCAB, 1);
    for (int i = 0; i < DRAWS; i++)
        first[i] = sampler_choose(&s, logits[i], NULL, 0, 0);
    sampler_reset(&s);
    for (int i = 0; i < DRAWS; i++)
        assert_int_equal(sampler_choose(&s, logits[i], NULL, 0, 0), first[i]);
    other.seed = 8;
    struct sampler t = opened(&other, VOCAB, 1);
    for (int i = 0; i < DRAWS; i++)
        differ += sampler_choose(&t, logits[i], NULL, 0, 0) != first[i];
    assert_true(differ > DRAWS / 2);
    sampler_free(&s);
    sampler_free(&t);
}

static void a_last_bit_in_the_logits_does_not_change_the_draws(void **state)
{
    enum { VOCAB = 200, DRAWS = 500 };
    struct sampling settings = {.temperature = 1, .seed = 7};
    struct sampler s = opened(&settings, VOCAB, 1), t = opened(&settings, VOCAB, 1);
    struct pcg32 g;
    float a[VOCAB], b[VOCAB];

    (void)state;
    pcg32_seed(&g, 4, 1);
    for (int i = 0; i < DRAWS; i++) {
        for (int k = 0; k < VOCAB; k++) {
            a[k] = (float)below(&g, 1000) * 0.01f; /* with many that are nearly equal */
            b[k] = nextafterf(a[k], below(&g, 2) ? INFINITY : -INFINITY);
        }
        assert_int_equal(sampler_choose(&s, a, NULL, 0, 0), sampler_choose(&t, b, NULL, 0, 0));
    }
    sampler_free(&s);
    sampler_free(&t);
}

/* --- batches --- */

enum { BATCH = 8, STEPS = 40 };
static const float flat[10] = {0};

static void neither_batch_size_nor_order_changes_a_sequences_draws(void **state)
{
    struct sampling settings = {.temperature = 1, .seed = 11};
    struct sampler all = opened(&settings, 10, BATCH), backwards = opened(&settings, 10, BATCH);
    int32_t drawn[BATCH][STEPS];

    (void)state;
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < BATCH; i++)
            drawn[i][step] = sampler_choose(&all, flat, NULL, 0, i);
    for (int step = 0; step < STEPS; step++)
        for (int i = BATCH - 1; i >= 0; i--)
            assert_int_equal(sampler_choose(&backwards, flat, NULL, 0, i), drawn[i][step]);
    for (int i = 0; i < BATCH; i++) {
        struct sampler fewer = opened(&settings, 10, i + 1);
        for (int step = 0; step < STEPS; step++)
            assert_int_equal(sampler_choose(&fewer, flat, NULL, 0, i), drawn[i][step]);
        sampler_free(&fewer);
    }
    sampler_free(&all);
    sampler_free(&backwards);
}

/* Pairs of draws fill all 100 cells alike, for neighbours in the batch and for neighbours in time. */
static void the_sequences_of_a_batch_draw_independently(void **state)
{
    enum { DRAWS = 20000 };
    struct sampling settings = {.temperature = 1, .seed = 12};
    struct sampler s = opened(&settings, 10, BATCH);
    int count[BATCH][100] = {0}, in_time[100] = {0}, before = 0;
    double expected[100];

    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        int first = sampler_choose(&s, flat, NULL, 0, 0);
        for (int k = 1; k < BATCH; k++)
            count[k][first * 10 + sampler_choose(&s, flat, NULL, 0, k)]++;
        in_time[before * 10 + first]++;
        before = first;
    }
    for (int i = 0; i < 100; i++)
        expected[i] = DRAWS / 100.0;
    for (int k = 1; k < BATCH; k++)
        assert_drawn_from(count[k], expected, 100);
    assert_drawn_from(in_time, expected, 100);
    sampler_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chi_square_probabilities_are_those_of_published_tables),
        cmocka_unit_test(the_draws_follow_their_distribution),
        cmocka_unit_test(pcg32_gives_its_published_numbers),
        cmocka_unit_test(a_uniform_number_is_the_high_bits_of_two_draws),
        cmocka_unit_test(the_same_seed_draws_the_same_tokens_again),
        cmocka_unit_test(a_last_bit_in_the_logits_does_not_change_the_draws),
        cmocka_unit_test(neither_batch_size_nor_order_changes_a_sequences_draws),
        cmocka_unit_test(the_sequences_of_a_batch_draw_independently),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
