/* SPDX-License-Identifier: MIT
 * Statistics: figures done by hand, and the bootstrap against what it must satisfy for any sample. */
#include "check.h"

#include <math.h>
#include <stdio.h>

#include "number.h"
#include "stats.h"

/* Reports the caller's line, as cmocka's own checks do. */
static void near_at(double a, double b, int line)
{
    if (!(fabs(a - b) <= 1e-9 * fmax(1, fabs(b))))
        fail_msg("line %d: %.12g is not %.12g", line, a, b);
}
#define assert_near(a, b) near_at(a, b, __LINE__)

static void median_is_the_middle_or_the_mean_of_the_two(void **state)
{
    (void)state;
    assert_near(stats_median((const double[]){7}, 1), 7);
    assert_near(stats_median((const double[]){9, 1, 5}, 3), 5);
    assert_near(stats_median((const double[]){9, 1, 5, 6}, 4), 5.5);
    assert_true(isnan(stats_median(NULL, 0)));
}

static void quantiles_are_of_type_seven(void **state)
{
    const double x[] = {40, 10, 20, 30}; /* numpy.quantile([10, 20, 30, 40], q) */

    (void)state;
    assert_near(stats_quantile(x, 4, 0), 10);
    assert_near(stats_quantile(x, 4, 0.25), 17.5);
    assert_near(stats_quantile(x, 4, 0.9), 37);
    assert_near(stats_quantile(x, 4, 1), 40);
}

static void nothing_gives_no_estimate_and_one_value_no_interval(void **state)
{
    struct estimate none = stats_estimate(NULL, 0), one = stats_estimate((const double[]){3}, 1);

    (void)state;
    assert_int_equal(none.n, 0);
    assert_true(isnan(none.median));
    assert_int_equal(one.n, 1);
    assert_near(one.median, 3);
    assert_true(isnan(one.lo) && isnan(one.hi) && isnan(one.iqr));
}

static void two_values_span_their_own_interval(void **state)
{
    /* Medians of resamples are 1, 2 or 3 with probabilities 1/4, 1/2, 1/4. */
    struct estimate e = stats_estimate((const double[]){3, 1}, 2);

    (void)state;
    assert_near(e.median, 2);
    assert_near(e.lo, 1);
    assert_near(e.hi, 3);
    assert_near(e.iqr, 1);
}

static void equal_values_have_a_point_for_an_interval(void **state)
{
    struct estimate e = stats_estimate((const double[]){4, 4, 4, 4, 4}, 5);

    (void)state;
    assert_near(e.lo, 4);
    assert_near(e.hi, 4);
    assert_near(e.iqr, 0);
}

static void five_values_reach_from_end_to_end(void **state)
{
    /* A resample's median is 1 when three or more draws of five are: sum C(5,k) 0.2^k 0.8^(5-k), k >= 3 = 5.8 % > 2.5 %. */
    struct estimate e = stats_estimate((const double[]){3, 1, 4, 5, 2}, 5);

    (void)state;
    assert_near(e.median, 3);
    assert_near(e.lo, 1);
    assert_near(e.hi, 5);
    assert_near(e.iqr, 2);
}

static void seven_values_leave_out_the_ends(void **state)
{
    /* The median is 1 when four or more draws of seven are: 1.0 % < 2.5 %; at most 2: 21 %. So the ends are 2 and 6. */
    struct estimate e = stats_estimate((const double[]){1, 2, 3, 4, 5, 6, 7}, 7);

    (void)state;
    assert_near(e.lo, 2);
    assert_near(e.hi, 6);
}

static void six_values_have_medians_between_two_of_them(void **state)
{
    /* A resample's median is 1 (four draws of it or more, 0.9 %) or 1.5 (three, and a 2 next: 2.6 %): 3.5 % > 2.5 %. */
    struct estimate e = stats_estimate((const double[]){1, 2, 3, 4, 5, 6}, 6);

    (void)state;
    assert_near(e.lo, 1.5);
    assert_near(e.hi, 5.5);
}

static void the_interval_covers_the_truth_nineteen_times_of_twenty(void **state)
{
    uint32_t r = 1;
    int covered = 0;
    double x[25];

    (void)state;
    for (int run = 0; run < 300; run++) {
        for (int i = 0; i < 25; i++) { /* uniform on [0, 1): the median is 0.5 */
            r = r * 1664525 + 1013904223;
            x[i] = (r >> 8) / 16777216.0;
        }
        struct estimate e = stats_estimate(x, 25);
        covered += e.lo <= 0.5 && 0.5 <= e.hi;
    }
    assert_in_range(covered, 0.91 * 300, 0.99 * 300);
}

static void the_same_sample_gives_the_same_interval(void **state)
{
    const double x[] = {5, 1, 4, 2, 8, 3}, y[] = {8, 5, 4, 3, 2, 1};
    struct estimate a = stats_estimate(x, 6), b = stats_estimate(y, 6);

    (void)state;
    assert_true(a.lo == b.lo && a.hi == b.hi);
}

static void a_ratio_is_of_medians_and_its_interval_of_both_samples(void **state)
{
    struct estimate e = stats_ratio((const double[]){6, 8}, 2, (const double[]){2, 4}, 2);

    (void)state;
    assert_near(e.median, 7.0 / 3);
    assert_near(e.lo, 6.0 / 4); /* 1/16 of the draws each: inside the outer 2.5 % on neither side */
    assert_near(e.hi, 8.0 / 2);
    assert_true(isnan(stats_ratio((const double[]){6}, 1, (const double[]){2, 4}, 2).lo));
    assert_int_equal(stats_ratio(NULL, 0, (const double[]){2, 4}, 2).n, 0);
}

static void a_power_law_gives_back_its_exponent_and_coefficient(void **state)
{
    const double y[] = {3 * 16 * 16, 3 * 32 * 32, 3 * 64 * 64};
    const struct stats_point p[] = {{16, &y[0], 1}, {32, &y[1], 1}, {64, &y[2], 1}};
    struct stats_fit f = stats_power_fit(p, 3);

    (void)state;
    assert_near(f.exponent, 2);
    assert_near(f.coefficient, 3);
    assert_true(isnan(f.lo) && isnan(f.hi)); /* one repetition a point */
}

static void a_slope_is_least_squares_in_logarithms(void **state)
{
    /* log2: x = 0, 1, 2; y = 0, 2, 3. Slope = sum((x - 1)(y - 5/3)) / 2 = (5/3 + 4/3) / 2 = 1.5; intercept 1/6. */
    const double y[] = {1, 4, 8};
    const struct stats_point p[] = {{1, &y[0], 1}, {2, &y[1], 1}, {4, &y[2], 1}};
    struct stats_fit f = stats_power_fit(p, 3);

    (void)state;
    assert_near(f.exponent, 1.5);
    assert_near(f.coefficient, pow(2, 1.0 / 6));
}

static void a_slope_s_interval_comes_from_the_repetitions(void **state)
{
    /* Each end is 2 wide in log2 and takes its three values with 1/4, 1/2, 1/4; both extremes together are 1/16. */
    const double low[] = {1, 4}, high[] = {16, 64};
    const struct stats_point p[] = {{1, low, 2}, {16, high, 2}};
    struct stats_fit f = stats_power_fit(p, 2);

    (void)state;
    assert_near(f.lo, 0.5); /* from 4 to 16 over 4 doublings */
    assert_near(f.hi, 1.5);
    assert_true(f.lo < f.exponent && f.exponent < f.hi);
}

static void no_slope_without_two_lengths_or_with_values_that_have_no_logarithm(void **state)
{
    const double y[] = {1, 0, 5};
    const struct stats_point same[] = {{8, &y[0], 1}, {8, &y[2], 1}}, zero[] = {{8, &y[0], 1}, {16, &y[1], 1}};

    (void)state;
    assert_true(isnan(stats_power_fit(same, 2).exponent));
    assert_true(isnan(stats_power_fit(zero, 2).exponent));
    assert_true(isnan(stats_power_fit(NULL, 0).exponent));
}

static void numbers_keep_their_digits_and_no_more(void **state)
{
    char b[NUMBER_TEXT];

    (void)state;
    assert_string_equal(number_text(b, 24.13, 3), "24.1");
    assert_string_equal(number_text(b, 0.0812, 2), "0.081");
    assert_string_equal(number_text(b, 12345, 3), "12345");
    assert_string_equal(number_text(b, 9.97, 2), "10");
    assert_string_equal(number_text(b, 99.96, 3), "100");
    assert_string_equal(number_text(b, 0, 3), "0");
    assert_string_equal(number_text(b, -1.5, 2), "-1.5");
    assert_string_equal(number_text(b, NAN, 3), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(median_is_the_middle_or_the_mean_of_the_two),
        cmocka_unit_test(quantiles_are_of_type_seven),
        cmocka_unit_test(nothing_gives_no_estimate_and_one_value_no_interval),
        cmocka_unit_test(two_values_span_their_own_interval),
        cmocka_unit_test(equal_values_have_a_point_for_an_interval),
        cmocka_unit_test(five_values_reach_from_end_to_end),
        cmocka_unit_test(seven_values_leave_out_the_ends),
        cmocka_unit_test(six_values_have_medians_between_two_of_them),
        cmocka_unit_test(the_interval_covers_the_truth_nineteen_times_of_twenty),
        cmocka_unit_test(the_same_sample_gives_the_same_interval),
        cmocka_unit_test(a_ratio_is_of_medians_and_its_interval_of_both_samples),
        cmocka_unit_test(a_power_law_gives_back_its_exponent_and_coefficient),
        cmocka_unit_test(a_slope_is_least_squares_in_logarithms),
        cmocka_unit_test(a_slope_s_interval_comes_from_the_repetitions),
        cmocka_unit_test(no_slope_without_two_lengths_or_with_values_that_have_no_logarithm),
        cmocka_unit_test(numbers_keep_their_digits_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
