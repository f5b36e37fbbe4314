/* SPDX-License-Identifier: MIT
 * Roofs: every ceiling is measured, hangs together with the others as physics demands, and says how it was taken. No absolute
 * speed is asserted; where two roofs are compared, the best of a few rounds counts, for the machine may be shared. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "roofs.h"
#include "team.h"

enum { THREADS_MAX = 2, BUDGET_MS = 10, ROUNDS = 6 };

static struct team team;
static struct roofs *roofs;

static int index_of(const char *name)
{
    for (int i = 0; i < roof_count; i++)
        if (strcmp(roof_specs[i].name, name) == 0)
            return i;
    fail_msg("no roof %s", name);
    return -1;
}

static void the_roofs_that_carry_verdicts_are_bracketed(void **state)
{
    static const char *const names[] = {"f32 fma",    "f32 gemm", "dram read", "dram copy",
                                        "dram triad", "l1 read",  "l2 read",   "l3 read"};

    (void)state;
    assert_int_equal(roof_count, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(roof_specs[index_of(names[i])].bracket, i < 3);
}

static void every_roof_is_measured_or_absent_with_its_reason(void **state)
{
    (void)state;
    for (int i = 0; i < roof_count; i++) {
        struct roof r;
        struct err e = {0};
        if (roofs_measure(roofs, i, &r, &e) < 0) {
            assert_int_equal(e.code, ERR_ABSENT);
            assert_non_null(strstr(e.text, roof_specs[i].name));
            continue;
        }
        assert_ptr_equal(r.spec, &roof_specs[i]);
        assert_true(r.work > 0 && r.wall_ns > 0 && r.repetitions >= 3);
        assert_true(fabs(r.value - r.work / (double)r.wall_ns * 1e9) <= 1e-6 * r.value);
        assert_non_null(strstr(r.how, "thread"));
    }
}

/* The best of both over a few rounds, until the larger is at least `factor` of the smaller. */
static bool reaches(const char *larger, const char *smaller, double factor)
{
    double high = 0, low = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct roof a = {0}, b = {0};
        if (roofs_measure(roofs, index_of(larger), &a, NULL) < 0 || roofs_measure(roofs, index_of(smaller), &b, NULL) < 0)
            skip();
        high = fmax(high, a.value);
        low = fmax(low, b.value);
        if (high >= factor * low)
            return true;
    }
    return false;
}

static void no_matrix_product_is_faster_than_registers(void **state)
{
    (void)state;
    if (getenv("BENCH_ISA")) {
        print_message("BENCH_ISA may hold our kernels, but not the library's, below what the CPU can do\n");
        skip();
    }
    assert_true(reaches("f32 fma", "f32 gemm", 0.9));
}

static void the_first_cache_is_faster_than_memory(void **state)
{
    (void)state;
    assert_true(reaches("l1 read", "dram read", 1.5));
}

static void a_wrong_number_of_threads_is_refused(void **state)
{
    const int wrong[] = {0, -1, team.threads + 1};
    struct roofs *r = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = {0};
        assert_int_equal(roofs_open(&r, wrong[i], BUDGET_MS, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, "thread"));
    }
}

static void a_budget_of_nothing_and_an_unknown_roof_are_refused(void **state)
{
    struct roofs *r = NULL;
    struct roof out;

    (void)state;
    assert_int_equal(roofs_open(&r, team.threads, 0, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, roof_count, &out, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, -1, &out, NULL), ERR_USAGE);
}

static int open_roofs(void **state)
{
    int most = team_max_threads();

    (void)state;
    if (team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL) < 0)
        return -1;
    return roofs_open(&roofs, team.threads, BUDGET_MS, NULL);
}

static int close_roofs(void **state)
{
    (void)state;
    roofs_close(roofs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_roofs_that_carry_verdicts_are_bracketed),
        cmocka_unit_test(every_roof_is_measured_or_absent_with_its_reason),
        cmocka_unit_test(no_matrix_product_is_faster_than_registers),
        cmocka_unit_test(the_first_cache_is_faster_than_memory),
        cmocka_unit_test(a_wrong_number_of_threads_is_refused),
        cmocka_unit_test(a_budget_of_nothing_and_an_unknown_roof_are_refused),
    };

    return cmocka_run_group_tests(tests, open_roofs, close_roofs);
}
