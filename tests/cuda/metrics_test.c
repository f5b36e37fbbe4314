/* SPDX-License-Identifier: MIT
 * What each chip can count, asked of CUPTI's own host library, which knows all chips and needs no GPU: every group takes one
 * pass, the ways that are taken are the right ones, and what is absent says why. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"

static const char *const chips[] = {"TU102", "TU116", "GA100", "GA102", "GA10B", "AD102", "GH100",
                                    "GB100", "GB102", "GB110", "GB10B", "GB202", "GB20B"};
enum { CHIPS = sizeof chips / sizeof chips[0] };

/* Chips whose memory is the computer's own: they have no counter of it. */
static const char *const integrated[] = {"GA10B", "GB10B", "GB20B"};
static const enum metric of_memory[] = {METRIC_DRAM_READ_BYTES, METRIC_DRAM_WRITE_BYTES, METRIC_GPU_DRAM_HZ,
                                        METRIC_PEAK_DRAM_BPS, METRIC_DRAM_ACTIVE};

static struct counter_plan of_chip[CHIPS], plan; /* plan: the one that a test looks at */

static struct counter_host host_of(const char *chip)
{
    struct counter_host h = {.chip = chip, .type = CUPTI_PROFILER_TYPE_RANGE_PROFILER};
    struct err e = {0};

    h.cupti = cupti_open(&e);
    if (!h.cupti) {
        print_message("%s\n", e.text);
        skip();
    }
    return h;
}

/* False: this CUPTI is older than the chip. */
static bool plan_all(const char *chip)
{
    const struct counter_host h = host_of(chip);
    int i = 0;

    while (i < CHIPS && strcmp(chips[i], chip) != 0)
        i++;
    assert_true(i < CHIPS);
    if (of_chip[i].choices == 0)
        counter_plan_make(&of_chip[i], &h, NULL, 0, NULL);
    plan = of_chip[i];
    return plan.groups > 0 || strncmp(chip, "GB", 2) != 0;
}

static const struct counter_choice *choice_of(enum metric m)
{
    for (int i = 0; i < plan.choices; i++)
        if (plan.choice[i].metric == m)
            return &plan.choice[i];
    fail_msg("%s is not in the plan", metric_name(m));
    return NULL;
}

static bool is_integrated(const char *chip)
{
    for (size_t i = 0; i < sizeof integrated / sizeof integrated[0]; i++)
        if (strcmp(integrated[i], chip) == 0)
            return true;
    return false;
}

static bool is_of_memory(enum metric m)
{
    for (size_t i = 0; i < sizeof of_memory / sizeof of_memory[0]; i++)
        if (of_memory[i] == m)
            return true;
    return false;
}

static int groups_with(const char *name)
{
    int n = 0;

    for (int g = 0; g < plan.groups; g++)
        n += strcmp(plan.group[g].name, name) == 0;
    return n;
}

/* --- the table -------------------------------------------------------------------------------------------------------------
 */

static void ways_of_a_quantity_stand_together_in_one_set(void **state)
{
    (void)state;
    for (int i = 1; i < counter_way_count; i++)
        for (int j = 0; j < i; j++)
            if (counter_ways[j].metric == counter_ways[i].metric) {
                assert_int_equal(counter_ways[i - 1].metric, counter_ways[i].metric);
                assert_int_equal(counter_ways[j].set, counter_ways[i].set);
            }
}

static void a_value_is_the_weighted_sum_of_its_terms(void **state)
{
    const struct counter_way way = {METRIC_FLOPS_F32, SET_ARITHMETIC, {{"a", 0}, {"b", 2}, {"c", 0.01}}};
    const struct counter_choice choice = {.metric = METRIC_FLOPS_F32, .way = &way, .first = 1};
    const double values[] = {1e9, 3, 5, 700}, holes[] = {1e9, 3, NAN, 700};
    char text[32];

    (void)state;
    assert_true(fabs(counter_choice_value(&choice, values) - 20) < 1e-12);
    assert_true(isnan(counter_choice_value(&choice, holes)));
    counter_way_text(text, sizeof text, &way);
    assert_string_equal(text, "a + 2 b + 0.01 c");
    counter_way_text(text, 5, &way);
    assert_string_equal(text, "a + ");
}

/* --- chips -----------------------------------------------------------------------------------------------------------------
 */

static void every_group_of_every_chip_takes_one_pass(void **state)
{
    (void)state;
    for (int i = 0; i < CHIPS; i++) {
        const struct counter_host h = host_of(chips[i]);
        if (!plan_all(chips[i]))
            continue;
        assert_true(plan.groups >= SET_COUNT);
        for (int g = 0; g < plan.groups; g++) {
            struct counter_config config;
            assert_int_equal(counter_config_open(&config, &h, plan.group[g].names, plan.group[g].count, NULL), 0);
            assert_int_equal(config.passes, 1);
            counter_config_close(&config, &h);
            assert_true(plan.group[g].quantities <= READING_VALUES_MAX);
        }
    }
}

static void a_choice_is_found_at_its_place_in_its_group(void **state)
{
    (void)state;
    for (int i = 0; i < CHIPS; i++) {
        plan_all(chips[i]);
        for (int k = 0; k < plan.choices; k++) {
            const struct counter_choice *c = &plan.choice[k];
            if (!c->way)
                continue;
            for (int t = 0; t < WAY_TERMS && c->way->term[t].name; t++)
                assert_string_equal(plan.group[c->group].names[c->first + t], c->way->term[t].name);
            for (int other = 0; other < k; other++)
                assert_true(!plan.choice[other].way || plan.choice[other].group != c->group ||
                            plan.choice[other].first != c->first);
        }
    }
}

static void cards_of_servers_count_everything_in_the_three_sets(void **state)
{
    static const char *const servers[] = {"GA100", "GA102", "AD102", "GH100", "GB100", "GB102", "GB110", "GB202"};

    (void)state;
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        if (!plan_all(servers[i]))
            continue;
        assert_int_equal(plan.groups, SET_COUNT);
        assert_int_equal(groups_with("cupti:traffic"), 1);
        assert_int_equal(groups_with("cupti:arithmetic"), 1);
        assert_int_equal(groups_with("cupti:units"), 1);
        for (int k = 0; k < plan.choices; k++)
            if (!plan.choice[k].way)
                fail_msg("%s: %s: %s", servers[i], metric_name(plan.choice[k].metric), plan.choice[k].why);
    }
}

static void what_does_not_fit_the_pass_gets_a_group_of_its_own(void **state)
{
    (void)state;
    plan_all("TU102");
    assert_int_equal(plan.groups, SET_COUNT + 1);
    assert_int_equal(groups_with("cupti:gpu_dram_hz"), 1);
    assert_string_equal(plan.group[choice_of(METRIC_PEAK_DRAM_BPS)->group].name, "cupti:gpu_dram_hz");
    assert_string_equal(plan.group[choice_of(METRIC_DRAM_READ_BYTES)->group].name, "cupti:traffic");
}

static void what_needs_several_passes_by_itself_is_absent(void **state)
{
    (void)state;
    plan_all("TU102");
    assert_null(choice_of(METRIC_DRAM_ACTIVE)->way);
    assert_string_equal(choice_of(METRIC_DRAM_ACTIVE)->why,
                        "TU102 needs 2 passes of the hardware for it, and a bracket runs once");
}

static void only_chips_without_memory_of_their_own_lack_its_counters(void **state)
{
    char why[96];

    (void)state;
    for (int i = 0; i < CHIPS; i++) {
        if (strncmp(chips[i], "TU", 2) == 0 || !plan_all(chips[i]))
            continue;
        snprintf(why, sizeof why, "%s has no counter for it that CUPTI knows", chips[i]);
        for (int k = 0; k < plan.choices; k++) {
            const struct counter_choice *c = &plan.choice[k];
            assert_int_equal(c->way == NULL, is_integrated(chips[i]) && is_of_memory(c->metric));
            assert_string_equal(c->why, c->way ? "" : why);
        }
    }
}

/* --- ways ------------------------------------------------------------------------------------------------------------------
 */

static void bytes_have_two_names(void **state)
{
    (void)state;
    plan_all("GH100");
    assert_string_equal(choice_of(METRIC_DRAM_READ_BYTES)->way->term[0].name, "dram__bytes_read.sum");
    if (plan_all("GB202"))
        assert_string_equal(choice_of(METRIC_DRAM_READ_BYTES)->way->term[0].name, "dram__bytes_op_read.sum");
}

/* A run may have both: weights of one, a cache of the other. */
static void tensor_products_of_halves_and_of_bf16_are_counted_in_one_pass(void **state)
{
    static const struct {
        const char *chip;
        int terms;
        const char *last;
    } lines[] = {
        {"GH100", 4, "sm__ops_path_tensor_op_hmma_src_fp16_dst_fp32_sparsity_off.sum"},
        {"GA100", 2, "sm__ops_path_tensor_src_fp16_dst_fp32_sparsity_off.sum"},
        {"AD102", 2, "sm__ops_path_tensor_src_fp16_dst_fp32_sparsity_off.sum"},
        {"GB100", 2, "sm__ops_path_tensor_src_fp16_dst_fp32_realtime.sum"},
        {"GB202", 2, "sm__ops_path_tensor_src_fp16_dst_fp32_realtime.sum"},
        {"TU102", 1, "sm__ops_path_tensor_src_fp16_bf16_tf32_dst_fp32.sum"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (!plan_all(lines[i].chip))
            continue;
        const struct counter_way *way = choice_of(METRIC_FLOPS_TENSOR)->way;
        assert_non_null(way);
        assert_string_equal(way->term[lines[i].terms - 1].name, lines[i].last);
        assert_null(way->term[lines[i].terms].name);
    }
}

/* Why it is counted so: the obvious names would take two. */
static void the_parents_of_these_counters_would_need_two_passes(void **state)
{
    const char *const names[] = {"sm__ops_path_tensor_src_bf16_dst_fp32.sum", "sm__ops_path_tensor_src_fp16.sum"};
    const struct counter_host h = host_of("GH100");
    struct counter_config config;

    (void)state;
    assert_int_equal(counter_config_open(&config, &h, names, 2, NULL), 0);
    assert_true(config.passes > 1);
    counter_config_close(&config, &h);
}

static void a_way_that_was_refused_is_passed_over(void **state)
{
    const struct counter_way *refused[METRIC_COUNT] = {NULL};
    const struct counter_host h = host_of("GH100");

    (void)state;
    plan_all("GH100");
    refused[METRIC_FLOPS_TENSOR] = choice_of(METRIC_FLOPS_TENSOR)->way;
    refused[METRIC_L2_BYTES] = choice_of(METRIC_L2_BYTES)->way;
    counter_plan_make(&plan, &h, NULL, 0, refused);
    assert_true(choice_of(METRIC_FLOPS_TENSOR)->way != refused[METRIC_FLOPS_TENSOR]);
    assert_null(choice_of(METRIC_L2_BYTES)->way);
    assert_non_null(choice_of(METRIC_L1_BYTES)->way);
}

static void only_what_is_wanted_is_planned(void **state)
{
    const enum metric wanted[] = {METRIC_FLOPS_F32, METRIC_CYCLES, METRIC_DRAM_READ_BYTES};
    const struct counter_host h = host_of("GH100");

    (void)state;
    counter_plan_make(&plan, &h, wanted, 3, NULL);
    assert_int_equal(plan.choices, 2); /* no GPU counts the CPU's cycles */
    assert_int_equal(plan.choice[0].metric, METRIC_FLOPS_F32);
    assert_int_equal(plan.choice[1].metric, METRIC_DRAM_READ_BYTES);
    assert_int_equal(plan.groups, 2);
    assert_string_equal(plan.group[0].name, "cupti:arithmetic");
}

static void an_unknown_chip_counts_nothing(void **state)
{
    const struct counter_host h = host_of("XY100");

    (void)state;
    counter_plan_make(&plan, &h, NULL, 0, NULL);
    assert_int_equal(plan.groups, 0);
    for (int k = 0; k < plan.choices; k++)
        assert_string_equal(plan.choice[k].why, "XY100 has no counter for it that CUPTI knows");
}

static void an_unknown_name_is_refused_with_cuptis_words(void **state)
{
    const char *const names[] = {"dram__bytes_read.sum", "no_such__metric.sum"};
    const struct counter_host h = host_of("GH100");
    struct counter_config config;
    struct err e = {0};

    (void)state;
    assert_int_equal(counter_config_open(&config, &h, names, 2, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "CUPTI ProfilerHostConfigAddMetrics: CUPTI_ERROR_"));
    assert_null(config.object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_of_a_quantity_stand_together_in_one_set),
        cmocka_unit_test(a_value_is_the_weighted_sum_of_its_terms),
        cmocka_unit_test(every_group_of_every_chip_takes_one_pass),
        cmocka_unit_test(a_choice_is_found_at_its_place_in_its_group),
        cmocka_unit_test(cards_of_servers_count_everything_in_the_three_sets),
        cmocka_unit_test(what_does_not_fit_the_pass_gets_a_group_of_its_own),
        cmocka_unit_test(what_needs_several_passes_by_itself_is_absent),
        cmocka_unit_test(only_chips_without_memory_of_their_own_lack_its_counters),
        cmocka_unit_test(bytes_have_two_names),
        cmocka_unit_test(tensor_products_of_halves_and_of_bf16_are_counted_in_one_pass),
        cmocka_unit_test(the_parents_of_these_counters_would_need_two_passes),
        cmocka_unit_test(a_way_that_was_refused_is_passed_over),
        cmocka_unit_test(only_what_is_wanted_is_planned),
        cmocka_unit_test(an_unknown_chip_counts_nothing),
        cmocka_unit_test(an_unknown_name_is_refused_with_cuptis_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
