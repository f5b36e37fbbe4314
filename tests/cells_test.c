/* SPDX-License-Identifier: MIT
 * Which cells a matrix has, in which order they are listed, and in which order a round visits them. */
#include "check.h"

#include <string.h>

#include "suite.h"

#define SHIPPED "suites/kvcache_on_off"

static const struct suite bare = {.path = "x.yaml", .usual = {{1, 1, 0, 16}}};

static void add(struct axis_values *v, enum axis a, int value)
{
    v->value[a][v->len[a]++] = value;
}

static struct axis_values one(enum axis a, int value)
{
    struct axis_values v = {.len = {0}};

    add(&v, a, value);
    return v;
}

static void expect_cells(const struct suite *s, const struct cell *expected, int n)
{
    struct cell cells[TRIALS_MAX];
    struct err err = {0};
    int count = 0;

    assert_int_equal(suite_cells(s, cells, TRIALS_MAX, &count, &err), 0);
    assert_int_equal(count, n);
    for (int i = 0; i < n; i++)
        for (int a = 0; a < AXIS_COUNT; a++)
            if (cells[i].value[a] != expected[i].value[a])
                fail_msg("cell %d: %s is %d, expected %d", i, axis_names[a], cells[i].value[a], expected[i].value[a]);
}

static void expect_cells_of_file(const char *const *overrides, bool quick, const struct cell *expected, int n)
{
    struct suite s = {0};
    struct err err = {0};

    if (suite_read(&s, SHIPPED, overrides, quick, &err))
        fail_msg("%s", err.text);
    expect_cells(&s, expected, n);
    suite_free(&s);
}

static void axes_are_called_as_in_the_suite(void **state)
{
    (void)state;
    assert_string_equal(axis_names[AXIS_KV_CACHE], "kv_cache");
    assert_string_equal(axis_names[AXIS_BATCH], "batch");
    assert_string_equal(axis_names[AXIS_PROMPT_TOKENS], "prompt_tokens");
    assert_string_equal(axis_names[AXIS_NEW_TOKENS], "new_tokens");
    assert_string_equal(axis_names[AXIS_STRATEGY], "strategy");
    for (int a = 0; a < AXIS_COUNT; a++)
        assert_string_equal(axis_names[a], axes[a].name);
}

static void a_suite_without_a_matrix_is_its_workload(void **state)
{
    (void)state;
    expect_cells(&bare, &bare.usual, 1);
}

static void the_product_turns_its_last_axis_fastest(void **state)
{
    struct suite s = bare;

    (void)state;
    s.matrix.len[AXIS_KV_CACHE] = s.matrix.len[AXIS_BATCH] = s.matrix.len[AXIS_NEW_TOKENS] = 2;
    memcpy(s.matrix.value[AXIS_KV_CACHE], ((int[]){1, 0}), 2 * sizeof(int));
    memcpy(s.matrix.value[AXIS_BATCH], ((int[]){1, 8}), 2 * sizeof(int));
    memcpy(s.matrix.value[AXIS_NEW_TOKENS], ((int[]){5, 3}), 2 * sizeof(int));
    expect_cells(&s,
                 (const struct cell[]){{{1, 1, 0, 5}},
                                       {{1, 1, 0, 3}},
                                       {{1, 8, 0, 5}},
                                       {{1, 8, 0, 3}},
                                       {{0, 1, 0, 5}},
                                       {{0, 1, 0, 3}},
                                       {{0, 8, 0, 5}},
                                       {{0, 8, 0, 3}}},
                 8);
}

static void exclude_removes_what_matches_all_the_axes_it_names(void **state)
{
    struct suite s = bare;

    (void)state;
    s.matrix.len[AXIS_KV_CACHE] = s.matrix.len[AXIS_NEW_TOKENS] = 2;
    memcpy(s.matrix.value[AXIS_KV_CACHE], ((int[]){1, 0}), 2 * sizeof(int));
    memcpy(s.matrix.value[AXIS_NEW_TOKENS], ((int[]){16, 64}), 2 * sizeof(int));
    s.excludes = 1;
    s.exclude[0] = one(AXIS_KV_CACHE, 0);
    add(&s.exclude[0], AXIS_NEW_TOKENS, 64);
    expect_cells(&s, (const struct cell[]){{{1, 1, 0, 16}}, {{1, 1, 0, 64}}, {{0, 1, 0, 16}}}, 3);
}

static void include_adds_after_the_product_takes_the_rest_from_the_workload_and_no_cell_twice(void **state)
{
    struct suite s = bare;

    (void)state;
    s.matrix.len[AXIS_BATCH] = 2;
    memcpy(s.matrix.value[AXIS_BATCH], ((int[]){1, 2}), 2 * sizeof(int));
    s.excludes = 1;
    s.exclude[0] = one(AXIS_BATCH, 2);
    s.includes = 4;
    s.include[0] = one(AXIS_PROMPT_TOKENS, 512);
    s.include[1] = one(AXIS_BATCH, 1);
    s.include[2] = one(AXIS_PROMPT_TOKENS, 512);
    s.include[3] = one(AXIS_BATCH, 2);
    expect_cells(&s, (const struct cell[]){{{1, 1, 0, 16}}, {{1, 1, 512, 16}}, {{1, 2, 0, 16}}}, 3);
}

static void lists_in_rules_are_their_product_and_each_of_their_values(void **state)
{
    struct suite s = bare;

    (void)state;
    add(&s.matrix, AXIS_BATCH, 1);
    add(&s.matrix, AXIS_BATCH, 2);
    add(&s.matrix, AXIS_BATCH, 3);
    s.excludes = s.includes = 1;
    s.exclude[0] = one(AXIS_BATCH, 1);
    add(&s.exclude[0], AXIS_BATCH, 3);
    s.include[0] = one(AXIS_BATCH, 5);
    add(&s.include[0], AXIS_BATCH, 6);
    add(&s.include[0], AXIS_DTYPE, 2);
    add(&s.include[0], AXIS_DTYPE, 0);
    expect_cells(
        &s,
        (const struct cell[]){{{1, 2, 0, 16}}, {{1, 5, 0, 16, 0, 2}}, {{1, 5, 0, 16}}, {{1, 6, 0, 16, 0, 2}}, {{1, 6, 0, 16}}},
        5);
}

static void no_cells_and_too_many_cells_are_errors_that_name_the_file(void **state)
{
    struct suite s = bare;
    struct cell cells[4];
    struct err err = {0};
    int count;

    (void)state;
    s.matrix.len[AXIS_BATCH] = 4;
    memcpy(s.matrix.value[AXIS_BATCH], ((int[]){1, 2, 3, 4}), 4 * sizeof(int));
    assert_int_equal(suite_cells(&s, cells, 4, &count, &err), 0);
    assert_int_equal(count, 4);
    assert_int_equal(suite_cells(&s, cells, 3, &count, &err), ERR_USAGE);
    assert_string_equal(err.text, "x.yaml: matrix: more than 3 cells; shorten an axis or exclude some");
    s.excludes = 1;
    s.exclude[0] = one(AXIS_KV_CACHE, 1);
    assert_int_equal(suite_cells(&s, cells, 4, &count, &err), ERR_USAGE);
    assert_string_equal(err.text, "x.yaml: matrix: no cells are left; the exclude rules remove all of them");
}

static void the_shipped_suite_has_its_ten_cells(void **state)
{
    (void)state;
    expect_cells_of_file(NULL, false,
                         (const struct cell[]){{{1, 1, 0, 16}},
                                               {{1, 1, 0, 32}},
                                               {{1, 1, 0, 64}},
                                               {{1, 1, 0, 128}},
                                               {{0, 1, 0, 16}},
                                               {{0, 1, 0, 32}},
                                               {{0, 1, 0, 64}},
                                               {{0, 1, 0, 128}},
                                               {{1, 1, 128, 16}},
                                               {{1, 1, 512, 16}}},
                         10);
}

static void the_shipped_suite_shrinks_to_four_cells_when_quick(void **state)
{
    (void)state;
    expect_cells_of_file(NULL, true, (const struct cell[]){{{1, 1, 0, 2}}, {{1, 1, 0, 4}}, {{0, 1, 0, 2}}, {{0, 1, 0, 4}}}, 4);
}

static void set_values_change_the_cells(void **state)
{
    (void)state;
    expect_cells_of_file((const char *[]){"matrix.new_tokens=8", "workload.batch=2", NULL}, true,
                         (const struct cell[]){{{1, 2, 0, 8}}, {{0, 2, 0, 8}}}, 2);
}

static void expect_permutation(const int *order, int n)
{
    bool seen[TRIALS_MAX] = {false};

    for (int i = 0; i < n; i++) {
        assert_in_range(order[i], 0, n - 1);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
    }
}

static void every_order_is_a_permutation(void **state)
{
    int order[TRIALS_MAX];

    (void)state;
    for (int n = 1; n <= TRIALS_MAX; n++)
        for (int round = 0; round < 3; round++) {
            suite_order(order, n, (uint64_t)n << 40, round);
            expect_permutation(order, n);
        }
}

static void rounds_and_seeds_differ_and_repeat_exactly(void **state)
{
    enum { N = 10, SEEDS = 8, ROUNDS = 16 };
    int order[SEEDS * ROUNDS][N], again[N];

    (void)state;
    for (int i = 0; i < SEEDS * ROUNDS; i++) {
        suite_order(order[i], N, (uint64_t)(i / ROUNDS), i % ROUNDS);
        suite_order(again, N, (uint64_t)(i / ROUNDS), i % ROUNDS);
        assert_memory_equal(order[i], again, sizeof again);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(order[i], order[j], sizeof again);
    }
}

/* Chi-square of where the first trial goes: 9 degrees of freedom, 27.9 is the 99.9 % point. The seed is fixed. */
static void no_place_in_the_round_is_favoured(void **state)
{
    enum { N = 10, ROUNDS = 10000 };
    const double fair = (double)ROUNDS / N;
    int order[N], place[N] = {0};
    double chi2 = 0;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        suite_order(order, N, 7, round);
        for (int i = 0; i < N; i++)
            place[i] += order[i] == 0;
    }
    for (int i = 0; i < N; i++)
        chi2 += (place[i] - fair) * (place[i] - fair) / fair;
    assert_true(chi2 < 27.9);
}

/* Written down once, from an independent implementation: the order must not depend on the machine. */
static void the_order_of_a_seed_is_the_same_everywhere(void **state)
{
    int order[10];

    (void)state;
    suite_order(order, 10, 1, 0);
    assert_memory_equal(order, ((int[]){0, 8, 1, 4, 2, 3, 6, 9, 7, 5}), sizeof order);
    suite_order(order, 10, 1, 1);
    assert_memory_equal(order, ((int[]){4, 9, 7, 3, 5, 2, 0, 8, 6, 1}), sizeof order);
    suite_order(order, 10, UINT64_MAX, 3);
    assert_memory_equal(order, ((int[]){9, 7, 4, 3, 1, 5, 0, 2, 6, 8}), sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(axes_are_called_as_in_the_suite),
        cmocka_unit_test(a_suite_without_a_matrix_is_its_workload),
        cmocka_unit_test(the_product_turns_its_last_axis_fastest),
        cmocka_unit_test(exclude_removes_what_matches_all_the_axes_it_names),
        cmocka_unit_test(include_adds_after_the_product_takes_the_rest_from_the_workload_and_no_cell_twice),
        cmocka_unit_test(lists_in_rules_are_their_product_and_each_of_their_values),
        cmocka_unit_test(no_cells_and_too_many_cells_are_errors_that_name_the_file),
        cmocka_unit_test(the_shipped_suite_has_its_ten_cells),
        cmocka_unit_test(the_shipped_suite_shrinks_to_four_cells_when_quick),
        cmocka_unit_test(set_values_change_the_cells),
        cmocka_unit_test(every_order_is_a_permutation),
        cmocka_unit_test(rounds_and_seeds_differ_and_repeat_exactly),
        cmocka_unit_test(no_place_in_the_round_is_favoured),
        cmocka_unit_test(the_order_of_a_seed_is_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
