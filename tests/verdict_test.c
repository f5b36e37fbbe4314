/* SPDX-License-Identifier: MIT
 * The roofline verdict on a machine of 100 GFLOP/s and 10 GB/s, whose ridge is 10 FLOP/byte. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "verdict.h"

/* Reports the caller's line, as cmocka's own checks do. */
static void near_at(double a, double b, int line)
{
    if (!(fabs(a - b) <= 1e-9 * fmax(1, fabs(b))))
        fail_msg("line %d: %.12g is not %.12g", line, a, b);
}
#define assert_near(a, b) near_at(a, b, __LINE__)

#define assert_says(v, part)     assert_non_null(strstr((v).sentence, part))
#define assert_says_not(v, part) assert_null(strstr((v).sentence, part))
#define ONLY(kind)               (1u << (kind))

static const struct verdict_roof compute = {"f32 fma", 100e9, 95e9, 105e9}, bandwidth = {"dram read", 10e9, 9e9, 11e9};

static struct verdict decide(double gflop, double gbyte, double ms, double lo, double hi)
{
    double roof_ms = 1e3 * verdict_roof_seconds(gflop, gbyte, 100, 10);
    struct verdict v;

    verdict_decide(&v, &(struct verdict_input){.phase = "prefill",
                                               .flops = gflop * 1e9,
                                               .bytes = gbyte * 1e9,
                                               .seconds = ms / 1e3,
                                               .efficiency = roof_ms / ms,
                                               .efficiency_lo = roof_ms / hi,
                                               .efficiency_hi = roof_ms / lo,
                                               .compute = compute,
                                               .bandwidth = bandwidth});
    return v;
}

static void many_flops_a_byte_near_the_peak_is_compute_bound(void **state)
{
    struct verdict v = decide(10, 0.2, 125, 120, 130); /* 100 ms of compute, 20 ms of memory */

    (void)state;
    assert_int_equal(v.kind, VERDICT_COMPUTE);
    assert_near(v.ai, 50);
    assert_near(v.ridge, 10);
    assert_near(v.margin, 5);
    assert_near(v.efficiency, 0.8);
    assert_near(v.efficiency_lo, 100.0 / 130);
    assert_near(v.efficiency_hi, 100.0 / 120);
    assert_near(v.compute_s, 0.1);
    assert_near(v.memory_s, 0.02);
    assert_near(v.flop_rate, 80e9);
    assert_near(v.byte_rate, 1.6e9);
    assert_int_equal(v.possible, ONLY(VERDICT_COMPUTE));
    assert_string_equal(v.sentence,
                        "prefill is compute-bound: 50.0 FLOP/byte is 5.0x the ridge (10), and it reaches 80 % [77, 83] "
                        "of the f32 fma roof (100 GFLOP/s)");
}

static void few_flops_a_byte_near_the_bandwidth_is_bandwidth_bound(void **state)
{
    struct verdict v = decide(0.5, 1, 125, 124, 126);

    (void)state;
    assert_int_equal(v.kind, VERDICT_BANDWIDTH);
    assert_near(v.margin, 0.05);
    assert_near(v.efficiency, 0.8);
    assert_int_equal(v.possible, ONLY(VERDICT_BANDWIDTH));
    assert_says(v, "0.500 FLOP/byte is 0.050x the ridge");
    assert_says(v, "of the dram read roof (10.0 GB/s)");
}

static void far_from_both_roofs_is_overhead_and_names_the_gap(void **state)
{
    struct verdict v = decide(0.5, 1, 400, 390, 410);

    (void)state;
    assert_int_equal(v.kind, VERDICT_OVERHEAD);
    assert_int_equal(v.possible, ONLY(VERDICT_OVERHEAD));
    assert_string_equal(v.sentence,
                        "prefill is overhead-bound: it takes 4.0x the time that either roof explains (400 ms measured, "
                        "5.0 ms at the f32 fma roof (100 GFLOP/s), 100 ms at the dram read roof (10.0 GB/s))");
}

static void half_of_the_roof_is_enough_and_just_less_is_not(void **state)
{
    (void)state;
    assert_int_equal(decide(0.5, 1, 200, 199, 201).kind, VERDICT_BANDWIDTH);
    assert_int_equal(decide(0.5, 1, 200.1, 199, 201).kind, VERDICT_OVERHEAD);
}

static void an_efficiency_whose_interval_holds_one_half_leaves_overhead_open(void **state)
{
    struct verdict v = decide(0.5, 1, 190, 180, 210);

    (void)state;
    assert_int_equal(v.kind, VERDICT_BANDWIDTH);
    assert_int_equal(v.possible, ONLY(VERDICT_BANDWIDTH) | ONLY(VERDICT_OVERHEAD));
}

static void near_the_ridge_the_roofs_spread_decides(void **state)
{
    struct verdict inside = decide(9, 1, 110, 109, 111); /* 9 FLOP/byte; the ridge lies in 95/11 = 8.6 to 105/9 = 11.7 */
    struct verdict outside = decide(8, 1, 110, 109, 111);

    (void)state;
    assert_int_equal(inside.kind, VERDICT_RIDGE);
    assert_int_equal(inside.possible, ONLY(VERDICT_COMPUTE) | ONLY(VERDICT_BANDWIDTH));
    assert_says(inside, "prefill is at the ridge: 9.00 FLOP/byte is 0.90x the ridge (10), anywhere from 0.77x to 1.0x");
    assert_int_equal(outside.kind, VERDICT_BANDWIDTH);
}

static void at_the_ridge_but_slow_is_overhead(void **state)
{
    (void)state;
    assert_int_equal(decide(9, 1, 300, 299, 301).kind, VERDICT_OVERHEAD);
}

static void above_its_roof_is_called_an_error_and_decides_nothing(void **state)
{
    struct verdict v = decide(0.5, 1, 50, 49, 51);

    (void)state;
    assert_int_equal(v.kind, VERDICT_ABOVE);
    assert_string_equal(verdict_kind_name(v.kind), "above its roof");
    assert_near(v.efficiency, 2);
    assert_says(v, "prefill is above its roof: the roof or the count is wrong: ");
    assert_says(v, "reaches 200 % [196, 204] of the dram read roof");
    assert_int_equal(v.possible, ONLY(VERDICT_COMPUTE) | ONLY(VERDICT_BANDWIDTH) | ONLY(VERDICT_OVERHEAD));
    assert_int_equal(decide(0.5, 1, 96, 95, 97).kind, VERDICT_BANDWIDTH);   /* 104 %: the roof's highest round is 110 */
    assert_int_equal(decide(0.5, 1, 88, 80, 101).kind, VERDICT_BANDWIDTH);  /* 114 %, but anything from 99 % */
    assert_int_equal(decide(0.5, 1, 88, NAN, NAN).kind, VERDICT_BANDWIDTH); /* one repetition: 103 % of the highest round */
    assert_int_equal(decide(0.5, 1, 80, NAN, NAN).kind, VERDICT_ABOVE);
}

/* 0.5 ms of the compute roof; bytes from a cache of 50 GB/s. */
static struct verdict decide_in_cache(double ms, double roof_ms, struct verdict_roof cache_roof, double from_memory)
{
    struct verdict v;

    verdict_decide(&v, &(struct verdict_input){.phase = "decode",
                                               .flops = 50e6,
                                               .bytes = 100e6,
                                               .seconds = ms / 1e3,
                                               .efficiency = roof_ms / ms,
                                               .efficiency_lo = roof_ms / ms,
                                               .efficiency_hi = roof_ms / ms,
                                               .compute = compute,
                                               .bandwidth = cache_roof,
                                               .cache = "l3",
                                               .cache_bytes = 128e6,
                                               .from_memory = from_memory});
    return v;
}

static void what_stays_in_cache_is_held_against_the_roof_of_that_cache(void **state)
{
    const struct verdict_roof l3 = {"l3 read", 50e9, 50e9, 50e9};
    struct verdict v = decide_in_cache(2.5, 2, l3, NAN);

    (void)state;
    assert_int_equal(v.kind, VERDICT_BANDWIDTH);
    assert_near(v.ridge, 2);
    assert_string_equal(v.roof, "l3 read");
    assert_says(v, "80 % [80, 80] of the l3 read roof (50.0 GB/s); in cache: its 100 MB fit into l3 (128 MB)");
    assert_says(decide_in_cache(2.5, 2, l3, 0.1), "; in cache: 10 % of its 100 MB came from memory");
}

static void a_cache_without_a_roof_leaves_compute_as_the_only_bound(void **state)
{
    const struct verdict_roof none = {"dram read", NAN, NAN, NAN};
    struct verdict fast = decide_in_cache(0.6, 0.5, none, NAN), slow = decide_in_cache(5, 0.5, none, NAN);

    (void)state;
    assert_int_equal(fast.kind, VERDICT_COMPUTE);
    assert_int_equal(slow.kind, VERDICT_UNKNOWN);
    assert_says(slow, "decode has no verdict: it is far below the compute roof, and memory is not what it waits for");
    assert_says(slow, "fit into l3 (128 MB), of which no read roof was measured");
    assert_int_equal(slow.possible, ONLY(VERDICT_COMPUTE) | ONLY(VERDICT_BANDWIDTH) | ONLY(VERDICT_OVERHEAD));
}

/* 100 ms of memory, and so many kernels of 1 ms each. */
static struct verdict decide_on_device(double launches, double ms, double lo, double hi)
{
    struct verdict v;

    verdict_decide(&v, &(struct verdict_input){.phase = "decode",
                                               .flops = 0.5e9,
                                               .bytes = 1e9,
                                               .seconds = ms / 1e3,
                                               .efficiency = 100 / ms,
                                               .efficiency_lo = 100 / hi,
                                               .efficiency_hi = 100 / lo,
                                               .compute = compute,
                                               .bandwidth = bandwidth,
                                               .launches = launches,
                                               .launch = {"launch graph", 1000, 990, 1010},
                                               .launch_share = launches / ms,
                                               .launch_share_lo = launches / hi,
                                               .launch_share_hi = launches / lo});
    return v;
}

static void far_from_both_roofs_and_mostly_handing_over_is_launch_bound(void **state)
{
    struct verdict v = decide_on_device(300, 400, 390, 410);

    (void)state;
    assert_int_equal(v.kind, VERDICT_LAUNCH);
    assert_string_equal(verdict_kind_name(v.kind), "launch-bound");
    assert_int_equal(v.possible, ONLY(VERDICT_LAUNCH));
    assert_near(v.launch_s, 0.3);
    assert_near(v.launch_share, 0.75);
    assert_string_equal(v.roof, "dram read"); /* that the efficiency is of */
    assert_string_equal(v.launch, "launch graph");
    assert_string_equal(
        v.sentence, "decode is launch-bound: it hands over 300 kernels, which take 300 ms at the launch graph roof (1000 us "
                    "each) of 400 ms measured; 5.0 ms at the f32 fma roof (100 GFLOP/s), 100 ms at the dram read roof (10.0 "
                    "GB/s)");
}

static void half_of_the_time_is_enough_to_be_launch_bound_and_just_less_is_not(void **state)
{
    struct verdict less = decide_on_device(199.9, 400, 400, 400);

    (void)state;
    assert_int_equal(decide_on_device(200, 400, 400, 400).kind, VERDICT_LAUNCH);
    assert_int_equal(less.kind, VERDICT_OVERHEAD);
    assert_int_equal(less.possible, ONLY(VERDICT_OVERHEAD));
    assert_says(less, ", its 200 kernels 200 ms at the launch graph roof (1000 us each))");
}

static void what_reaches_half_of_a_roof_is_not_launch_bound_whatever_it_hands_over(void **state)
{
    struct verdict v = decide_on_device(190, 200, 199, 200);

    (void)state;
    assert_int_equal(v.kind, VERDICT_BANDWIDTH);
    assert_int_equal(v.possible, ONLY(VERDICT_BANDWIDTH));
    assert_int_equal(decide_on_device(190, 200.1, 199, 201).kind, VERDICT_LAUNCH);
}

static void a_share_whose_interval_holds_one_half_leaves_launch_and_overhead_open(void **state)
{
    struct verdict v = decide_on_device(200, 395, 380, 410);

    (void)state;
    assert_int_equal(v.kind, VERDICT_LAUNCH);
    assert_int_equal(v.possible, ONLY(VERDICT_LAUNCH) | ONLY(VERDICT_OVERHEAD));
    assert_int_equal(decide_on_device(300, 400, 190, 410).possible, ONLY(VERDICT_LAUNCH) | ONLY(VERDICT_BANDWIDTH));
}

static void kernels_without_a_launch_roof_may_be_either(void **state)
{
    struct verdict_input in = {.phase = "decode",
                               .flops = 0.5e9,
                               .bytes = 1e9,
                               .seconds = 0.4,
                               .efficiency = 0.25,
                               .efficiency_lo = 0.24,
                               .efficiency_hi = 0.26,
                               .compute = compute,
                               .bandwidth = bandwidth,
                               .launches = 300,
                               .launch = {"launch eager", NAN, NAN, NAN},
                               .launch_share = NAN,
                               .launch_share_lo = NAN,
                               .launch_share_hi = NAN};
    struct verdict v;

    (void)state;
    verdict_decide(&v, &in);
    assert_int_equal(v.kind, VERDICT_OVERHEAD);
    assert_int_equal(v.possible, ONLY(VERDICT_LAUNCH) | ONLY(VERDICT_OVERHEAD));
    assert_says(v, "; it hands over 300 kernels, but the roof 'launch eager' was not measured)");
    in.launches = NAN;
    verdict_decide(&v, &in);
    assert_int_equal(v.possible, ONLY(VERDICT_OVERHEAD));
    assert_null(v.launch);
    assert_says_not(v, "kernels");
}

static void roofs_that_know_no_threads_are_missed_without_them(void **state)
{
    struct verdict_input in = {
        .phase = "decode", .flops = 1, .bytes = 1, .seconds = 1, .compute = {"bf16 gemm", NAN, NAN, NAN}};
    struct verdict v;

    (void)state;
    verdict_decide(&v, &in);
    assert_string_equal(v.sentence, "decode has no verdict: the roof 'bf16 gemm' was not measured");
}

static void one_repetition_has_a_kind_but_no_interval_and_decides_nothing(void **state)
{
    struct verdict v = decide(10, 0.2, 125, NAN, NAN);

    (void)state;
    assert_int_equal(v.kind, VERDICT_COMPUTE);
    assert_true(isnan(v.efficiency_lo) && isnan(v.efficiency_hi));
    assert_says(v, "reaches 80 % of");
    assert_int_equal(v.possible, ONLY(VERDICT_COMPUTE) | ONLY(VERDICT_BANDWIDTH) | ONLY(VERDICT_OVERHEAD));
}

static void what_is_missing_is_said(void **state)
{
    const struct verdict_roof none = {"f32 fma", NAN, NAN, NAN};
    struct verdict_input in = {.phase = "decode",
                               .flops = 1e9,
                               .bytes = 1e9,
                               .seconds = 1,
                               .efficiency = 0.1,
                               .efficiency_lo = 0.1,
                               .efficiency_hi = 0.1,
                               .compute = none,
                               .bandwidth = bandwidth,
                               .threads = 1};
    struct verdict v;

    (void)state;
    verdict_decide(&v, &in);
    assert_int_equal(v.kind, VERDICT_UNKNOWN);
    assert_string_equal(verdict_kind_name(v.kind), "unknown");
    assert_string_equal(v.sentence, "decode has no verdict: the roof 'f32 fma' was not measured with 1 thread");
    assert_near(v.flop_rate, 1e9); /* what can be said is said */
    in.compute = compute;
    in.bandwidth = (struct verdict_roof){"dram read", NAN, NAN, NAN};
    verdict_decide(&v, &in);
    assert_says(v, "the roof 'dram read' was not measured with 1 thread");
    in.bandwidth = bandwidth;
    in.seconds = NAN;
    verdict_decide(&v, &in);
    assert_says(v, "no timed repetition");
    in.seconds = 1;
    in.bytes = NAN;
    verdict_decide(&v, &in);
    assert_says(v, "its FLOPs or bytes are not known");
    in.bytes = 1e9;
    in.efficiency = NAN;
    verdict_decide(&v, &in);
    assert_says(v, "no repetition could be compared with a roof");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_flops_a_byte_near_the_peak_is_compute_bound),
        cmocka_unit_test(few_flops_a_byte_near_the_bandwidth_is_bandwidth_bound),
        cmocka_unit_test(far_from_both_roofs_is_overhead_and_names_the_gap),
        cmocka_unit_test(half_of_the_roof_is_enough_and_just_less_is_not),
        cmocka_unit_test(an_efficiency_whose_interval_holds_one_half_leaves_overhead_open),
        cmocka_unit_test(near_the_ridge_the_roofs_spread_decides),
        cmocka_unit_test(at_the_ridge_but_slow_is_overhead),
        cmocka_unit_test(above_its_roof_is_called_an_error_and_decides_nothing),
        cmocka_unit_test(what_stays_in_cache_is_held_against_the_roof_of_that_cache),
        cmocka_unit_test(a_cache_without_a_roof_leaves_compute_as_the_only_bound),
        cmocka_unit_test(far_from_both_roofs_and_mostly_handing_over_is_launch_bound),
        cmocka_unit_test(half_of_the_time_is_enough_to_be_launch_bound_and_just_less_is_not),
        cmocka_unit_test(what_reaches_half_of_a_roof_is_not_launch_bound_whatever_it_hands_over),
        cmocka_unit_test(a_share_whose_interval_holds_one_half_leaves_launch_and_overhead_open),
        cmocka_unit_test(kernels_without_a_launch_roof_may_be_either),
        cmocka_unit_test(roofs_that_know_no_threads_are_missed_without_them),
        cmocka_unit_test(one_repetition_has_a_kind_but_no_interval_and_decides_nothing),
        cmocka_unit_test(what_is_missing_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
