/* SPDX-License-Identifier: MIT
 * Counters are believed only when they count known work rightly. The first part judges single comparisons; the second puts a
 * machine with a fault under the papi probe; the third bends the readings of the real layers. */
#include "counter_room.h"

static struct calibration judged(enum metric m, double expected, double measured)
{
    struct calibration c = {.metric = m, .expected = expected, .measured = measured, .limit = calibration_limit(m)};

    calibration_judge(&c);
    return c;
}

static void flops_may_be_two_percent_off_and_bytes_five(void **state)
{
    (void)state;
    assert_true(judged(METRIC_FLOPS, 1e9, 1.019e9).accepted);
    assert_true(judged(METRIC_FLOPS, 1e9, 0.981e9).accepted);
    assert_false(judged(METRIC_FLOPS, 1e9, 1.021e9).accepted);
    assert_true(judged(METRIC_DRAM_READ_BYTES, 1e9, 0.955e9).accepted);
    assert_false(judged(METRIC_DRAM_READ_BYTES, 1e9, 0.945e9).accepted);
}

static void what_must_not_be_seen_is_measured_against_the_work_that_was_done(void **state)
{
    struct calibration c = {.metric = METRIC_FLOPS_F64, .work = 1e9, .limit = calibration_limit(METRIC_FLOPS_F64)};

    (void)state;
    calibration_judge(&c); /* 0 counted where 0 is expected */
    assert_true(c.accepted);
    c.measured = 0.03e9;
    calibration_judge(&c);
    assert_false(c.accepted);
    assert_non_null(strstr(c.why, "3 % of work that it must not see"));
}

static void an_accepted_comparison_has_its_error_and_no_reason(void **state)
{
    struct calibration c = judged(METRIC_FLOPS, 1e9, 1.01e9);

    (void)state;
    assert_true(fabs(c.rel_error - 0.01) < 1e-12);
    assert_string_equal(c.why, "");
}

static void a_refusal_says_how_far_off_the_counter_was(void **state)
{
    struct calibration c = judged(METRIC_FLOPS, 1e9, 0.5e9);

    (void)state;
    assert_false(c.accepted);
    assert_non_null(strstr(c.why, "50 % off"));
}

static void impossible_readings_are_refused_whatever_the_limit(void **state)
{
    const double impossible[] = {NAN, -1e9, 0, 70368744177664.0, 1e9 + 140737488355328.0};

    (void)state;
    for (size_t i = 0; i < sizeof impossible / sizeof impossible[0]; i++) {
        struct calibration c = {.metric = METRIC_FLOPS, .expected = 1e9, .measured = impossible[i], .limit = INFINITY};
        calibration_judge(&c);
        assert_false(c.accepted);
        assert_string_not_equal(c.why, "");
    }
    assert_true(isnan(judged(METRIC_FLOPS, 1e9, NAN).rel_error));
}

static void work_that_is_not_known_proves_nothing(void **state)
{
    (void)state;
    assert_false(judged(METRIC_FLOPS, NAN, 1e9).accepted);
    assert_false(judged(METRIC_FLOPS, 0, 1e9).accepted);
}

/* --- a machine with a fault ------------------------------------------------------------------------------------------------
 */

static void a_right_machine_has_everything_accepted(void **state)
{
    const enum metric all[] = {METRIC_FLOPS, METRIC_CYCLES, METRIC_DRAM_READ_BYTES, METRIC_INSTRUCTIONS,
                               METRIC_PAGE_FAULTS_MINOR};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(RIGHT, &p, &e), 0);
    assert_int_equal(p->ops->groups(p), 3);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct papi_quantity q = quantity_of(p, all[i]);
        assert_true(q.accepted);
        assert_int_equal(q.rejects, 0);
        assert_true(q.rel_error < 0.02);
    }
    p->ops->close(p);
    assert_int_equal(machine.open, 0); /* every set that was opened is closed */
}

static void counts_of_all_workers_are_summed(void **state)
{
    struct probe *p = NULL;
    struct reading r;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(RIGHT, &p, &e), 0);
    p->ops->select(p, 0);
    assert_string_equal(p->ops->group_name(p, 0), "papi:flops");
    p->ops->begin(p);
    team_run(team.threads, do_f32_on, NULL);
    p->ops->end(p, &r);
    assert_int_equal(r.value[0].metric, METRIC_FLOPS);
    assert_int_equal(r.value[0].provenance, PROVENANCE_COUNTER);
    assert_true(r.value[0].value == 1e6 * team.threads);
    p->ops->close(p);
}

static void a_machine_wrong_in_everything_leaves_no_probe(void **state)
{
    const enum fault faults[] = {ZERO, FROZEN, HALF, BACKWARDS, OVERFLOWED, BALANCED, DEAF};

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct probe *p = NULL;
        struct err e = {0};
        assert_int_equal(open_with(faults[i], &p, &e), ERR_ABSENT);
        assert_non_null(strstr(e.text, "refused"));
        assert_int_equal(machine.open, 0);
    }
}

static void a_spell_of_impossible_readings_is_waited_out_and_counted(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(SPELL, &p, &e), 0);
    assert_true(quantity_of(p, METRIC_FLOPS).accepted);
    assert_true(quantity_of(p, METRIC_FLOPS).rejects > 0);
    p->ops->close(p);
}

static void readings_dropped_now_and_then_are_repeated_and_counted(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};
    int rejects = 0;

    (void)state;
    assert_int_equal(open_with(DROPS, &p, &e), 0);
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q);
    for (int i = 0; i < n; i++) {
        assert_true(q[i].accepted);
        rejects += q[i].rejects;
    }
    assert_true(rejects > 0);
    p->ops->close(p);
}

static void counters_that_others_hold_too_are_refused_not_scaled(void **state)
{
    struct probe *p = NULL;
    struct reading r;
    const char *why;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(SHARED, &p, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "part of the bracket"));
    assert_int_equal(open_with(RIGHT, &p, &e), 0);
    p->ops->select(p, 0);
    machine.fault = SHARED;
    p->ops->begin(p);
    team_run(team.threads, do_f32_on, NULL);
    p->ops->end(p, &r);
    assert_int_equal(r.value[0].provenance, PROVENANCE_MULTIPLEXED);
    assert_true(r.value[0].coverage < 0.7);
    assert_false(p->ops->plausible(p, &r, &why));
    p->ops->close(p);
}

static void events_that_change_places_are_counted_apart(void **state)
{
    const enum fault faults[] = {SWAPPED, CROWDED};

    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        struct probe *p = NULL;
        struct err e = {0};
        assert_int_equal(open_with(faults[i], &p, &e), 0);
        assert_int_equal(p->ops->groups(p), 5);
        assert_string_equal(group_of(p, METRIC_FLOPS), "papi:flops");
        assert_string_equal(group_of(p, METRIC_CYCLES), "papi:cycles");
        assert_string_equal(group_of(p, METRIC_DRAM_READ_BYTES), "papi:dram");
        assert_string_equal(group_of(p, METRIC_INSTRUCTIONS), "papi:instructions");
        p->ops->close(p);
        assert_int_equal(machine.open, 0);
    }
}

static void an_event_of_the_wrong_precision_is_refused(void **state)
{
    static const char events[] = EVENTS_HEAD "quantity flops_f32\npapi takes 2\n1 x F64\nfrom here\n"
                                             "papi takes 2\n1 x FLOPS\nfrom here\npapi takes 2\n1 x F32\nfrom here\n"
                                             "quantity flops_f64\npapi takes 2\n1 x F32\nfrom here\n";
    const enum metric wanted[] = {METRIC_FLOPS_F32, METRIC_FLOPS_F64};
    const struct counter_setup setup = machine_setup(RIGHT, events);
    const struct probe_args args = {.threads = team.threads, .wanted = wanted, .wanted_count = 2};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(papi_open_on(&setup, &p, &args, &e), 0);
    assert_string_equal(quantity_of(p, METRIC_FLOPS_F32).event, "F32");
    assert_false(quantity_of(p, METRIC_FLOPS_F64).accepted);
    assert_non_null(strstr(quantity_of(p, METRIC_FLOPS_F64).why, "refused: f32"));
    p->ops->close(p);
}

static void a_wrong_weight_or_event_in_a_file_is_refused(void **state)
{
    static const char *const wrong[] = {
        EVENTS_HEAD "quantity flops\npapi takes 2\n2 x FLOPS\nfrom here\n" EVENTS_TAIL,
        EVENTS_HEAD "quantity flops\npapi takes 2\n0.5 x FLOPS\nfrom here\n" EVENTS_TAIL,
        EVENTS_HEAD "quantity flops\npapi takes 2\n1 x FLOPS\n1 x F32\nfrom here\n" EVENTS_TAIL,
        EVENTS_HEAD "quantity flops\npapi takes 2\n1 x HALF_THE_FLOPS\nfrom here\n" EVENTS_TAIL,
        EVENTS_HEAD "quantity flops\npapi takes 2\n1 x INSTRUCTIONS\nfrom here\n" EVENTS_TAIL,
    };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct probe *p = NULL;
        struct err e = {0};
        assert_int_equal(open_events(RIGHT, wrong[i], &p, &e), 0); /* the others are right */
        assert_false(quantity_of(p, METRIC_FLOPS).accepted);
        assert_non_null(strstr(quantity_of(p, METRIC_FLOPS).why, "refused"));
        assert_true(quantity_of(p, METRIC_DRAM_READ_BYTES).accepted);
        p->ops->close(p);
    }
}

static void the_next_candidate_is_tried_and_the_refusal_recorded(void **state)
{
    static const char events[] = EVENTS_HEAD "quantity flops\npapi takes 1\n1 x NOT_HERE\nfrom here\n"
                                             "papi takes 2\n1 x HALF_THE_FLOPS\nfrom here\n"
                                             "raw takes 2\n1 x cpu/0x3/\nfrom here\n" EVENTS_TAIL;
    const struct calibration_list *list;
    bool recorded = false;
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_events(RIGHT, events, &p, &e), 0);
    assert_string_equal(quantity_of(p, METRIC_FLOPS).event, "cpu/0x3/");
    assert_string_equal(quantity_of(p, METRIC_FLOPS).layer, "raw");
    list = papi_calibrations(p);
    for (int i = 0; i < list->count; i++)
        recorded |= strcmp(list->item[i].event, "HALF_THE_FLOPS") == 0 && !list->item[i].accepted;
    assert_true(recorded);
    p->ops->close(p);
}

static bool no_memory(struct known_room *room)
{
    (void)room;
    return false;
}

static void a_kernel_without_memory_refuses_and_says_so(void **state)
{
    static const struct known kernels[] = {
        {.name = "f32", .prepare = no_memory, .run = do_f32, .expect = {{METRIC_FLOPS, 1, true}}}, {.name = NULL}};
    static const struct known *const tables[] = {kernels, NULL};
    static const enum metric wanted[] = {METRIC_FLOPS};
    const struct probe_args args = {.threads = team.threads, .wanted = wanted, .wanted_count = 1};
    struct counter_setup setup = machine_setup(RIGHT, usual_events);
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    setup.known = tables;
    assert_int_equal(papi_open_on(&setup, &p, &args, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "no memory"));
}

static void without_its_library_the_raw_events_count(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(PAPI_GONE, &p, &e), 0);
    assert_string_equal(quantity_of(p, METRIC_FLOPS).event, "cpu/0x3/");
    assert_string_equal(quantity_of(p, METRIC_PAGE_FAULTS_MINOR).event, "software/5/");
    assert_false(quantity_of(p, METRIC_CYCLES).accepted); /* no raw event in the file */
    assert_non_null(strstr(quantity_of(p, METRIC_CYCLES).why, "does not start"));
    p->ops->close(p);
}

static void without_hardware_the_software_events_are_left_and_the_rest_says_why(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(NO_HARDWARE, &p, &e), 0);
    assert_int_equal(p->ops->groups(p), 1);
    assert_string_equal(p->ops->group_name(p, 0), "papi:faults");
    assert_string_equal(quantity_of(p, METRIC_FLOPS).why, "no hardware counters: none was built in");
    p->ops->close(p);
}

static void a_fault_after_calibration_is_implausible(void **state)
{
    const enum fault faults[] = {BACKWARDS, OVERFLOWED, FROZEN};
    struct probe *p = NULL;
    struct reading r;
    const char *why;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(RIGHT, &p, &e), 0);
    p->ops->select(p, 0);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        machine.fault = faults[i];
        p->ops->begin(p);
        team_run(team.threads, do_f32_on, NULL);
        p->ops->end(p, &r);
        assert_false(p->ops->plausible(p, &r, &why));
    }
    machine.fault = DEAF;
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_int_equal(r.value[0].provenance, PROVENANCE_MISSING);
    assert_non_null(r.value[0].why);
    p->ops->close(p);
}

/* --- the real layers, bent -------------------------------------------------------------------------------------------------
 */

static const struct counter_layer *straight;
static struct counter_layer bent;
static void (*bend)(long long *value);

static void to_half(long long *value)
{
    *value /= 2;
}

static void to_zero(long long *value)
{
    *value = 0;
}

static void to_negative(long long *value)
{
    *value = -*value;
}

static void to_overflow(long long *value)
{
    *value *= 1LL << 40;
}

static int bent_set_read(struct counter_handle *h, struct counter_sample *out)
{
    int rc = straight->set_read(h, out);

    bend(&out->value[0]);
    return rc;
}

static void real_counters_bent_are_refused(void **state)
{
    void (*const bends[])(long long *) = {to_half, to_zero, to_negative, to_overflow};
    const struct counter_layer *const layers[EVENT_LAYERS] = {
        [EVENT_PAPI] = counter_layer_papi, [EVENT_RAW] = counter_layer_raw};
    const struct probe_args args = {.threads = team.threads};
    int tried = 0;

    (void)state;
    for (int layer = 0; layer < EVENT_LAYERS; layer++) {
        struct counter_setup setup = {.layer = {NULL}};
        struct probe *p = NULL;
        struct err e = {0};
        setup.layer[layer] = layers[layer];
        if (papi_open_on(&setup, &p, &args, &e) < 0) {
            print_message("no counter is accepted here by %s: %s\n", event_layer_name((enum event_layer)layer), e.text);
            continue;
        }
        p->ops->close(p);
        straight = layers[layer];
        bent = *straight;
        bent.set_read = bent_set_read;
        setup.layer[layer] = &bent;
        for (size_t i = 0; i < sizeof bends / sizeof bends[0]; i++, tried++) {
            bend = bends[i];
            p = NULL;
            assert_int_equal(papi_open_on(&setup, &p, &args, &e), ERR_ABSENT);
        }
    }
    if (!tried)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_may_be_two_percent_off_and_bytes_five),
        cmocka_unit_test(what_must_not_be_seen_is_measured_against_the_work_that_was_done),
        cmocka_unit_test(an_accepted_comparison_has_its_error_and_no_reason),
        cmocka_unit_test(a_refusal_says_how_far_off_the_counter_was),
        cmocka_unit_test(impossible_readings_are_refused_whatever_the_limit),
        cmocka_unit_test(work_that_is_not_known_proves_nothing),
        cmocka_unit_test(a_right_machine_has_everything_accepted),
        cmocka_unit_test(counts_of_all_workers_are_summed),
        cmocka_unit_test(a_machine_wrong_in_everything_leaves_no_probe),
        cmocka_unit_test(a_spell_of_impossible_readings_is_waited_out_and_counted),
        cmocka_unit_test(readings_dropped_now_and_then_are_repeated_and_counted),
        cmocka_unit_test(counters_that_others_hold_too_are_refused_not_scaled),
        cmocka_unit_test(events_that_change_places_are_counted_apart),
        cmocka_unit_test(an_event_of_the_wrong_precision_is_refused),
        cmocka_unit_test(a_wrong_weight_or_event_in_a_file_is_refused),
        cmocka_unit_test(the_next_candidate_is_tried_and_the_refusal_recorded),
        cmocka_unit_test(a_kernel_without_memory_refuses_and_says_so),
        cmocka_unit_test(without_its_library_the_raw_events_count),
        cmocka_unit_test(without_hardware_the_software_events_are_left_and_the_rest_says_why),
        cmocka_unit_test(a_fault_after_calibration_is_implausible),
        cmocka_unit_test(real_counters_bent_are_refused),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
