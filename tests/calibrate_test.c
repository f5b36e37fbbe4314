/* SPDX-License-Identifier: MIT
 * Counters are believed only when they count known work rightly. The first part judges single comparisons; the second puts a
 * machine with a fault of its own under the PAPI probe (its events and its known work are made here, so that every fault can be
 * had on every machine); the third bends the readings of the real library. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "calibrate.h"
#include "papi_layer.h"
#include "papi_probe.h"
#include "probe_list.h"
#include "team.h"

enum { THREADS_MAX = 2, SETS_MAX = 256, EVENTS_MAX = 8 };

static struct team team;

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

enum fault {
    RIGHT,
    ZERO,           /* every counter stays at 0 */
    FROZEN,         /* every counter stays at some number */
    HALF,           /* as when a worker is not counted */
    BACKWARDS,      /* totals fall */
    OVERFLOWED,     /* value + 2^47 at the end of a bracket */
    BALANCED,       /* one worker's overflow hides another's fall */
    SPELL,          /* overflowed for the first brackets, then right */
    DEAF,           /* the read fails */
    SWAPPED,        /* two events in one set change places */
    CROWDED,        /* the second event of a set shows 3 */
    FLOPS_ARE_WIDE, /* right, but FLOPs take all four counters */
    FIRST_IS_WRONG, /* the first candidate for FLOPs counts half; another is right */
};

/* What this thread's processor has really done. */
static _Thread_local double done[METRIC_COUNT];

static struct {
    enum fault fault;
    int sets, open;
    struct {
        enum metric metric[EVENTS_MAX];
        bool half[EVENTS_MAX];
        int events, reads;
    } set[SETS_MAX];
} machine;

static const struct {
    const char *event;
    enum metric metric;
} events_there[] = {
    {"RETIRED_SSE_AVX_FLOPS:ANY", METRIC_FLOPS},
    {"PAPI_FP_OPS", METRIC_FLOPS},
    {"PAPI_SP_OPS", METRIC_FLOPS},
    {"ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR:DRAM_IO_FAR", METRIC_DRAM_READ_BYTES},
    {"CYCLES_NOT_IN_HALT", METRIC_CYCLES},
    {"RETIRED_INSTRUCTIONS", METRIC_INSTRUCTIONS},
    {"perf::MINOR-FAULTS", METRIC_PAGE_FAULTS_MINOR},
};

static int machine_init(struct papi_machine *m, struct err *e)
{
    (void)e;
    *m = (struct papi_machine){.pmu = "test"};
    return 0;
}

static int machine_set_open(int *set, const char *const *events, int count, const char **why)
{
    assert_true(machine.sets < SETS_MAX && count <= EVENTS_MAX);
    *set = machine.sets;
    machine.set[*set].events = machine.set[*set].reads = 0;
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof events_there / sizeof events_there[0]; k++)
            if (strcmp(events[i], events_there[k].event) == 0 && (machine.fault != FLOPS_ARE_WIDE || k >= 2)) {
                int n = machine.set[*set].events++;
                machine.set[*set].metric[n] = events_there[k].metric;
                machine.set[*set].half[n] = k == 0 && machine.fault == FIRST_IS_WRONG;
            }
    *why = "no such event";
    if (machine.set[*set].events < count)
        return -1;
    machine.sets++;
    machine.open++;
    return 0;
}

static double machine_counter(int set, int event)
{
    double true_value = done[machine.set[set].metric[event]];
    bool ends = machine.set[set].reads % 2 == 1; /* brackets are two reads */

    switch (machine.fault) {
    case ZERO:
        return 0;
    case FROZEN:
        return 123456;
    case HALF:
        return true_value / 2;
    case BACKWARDS:
        return -true_value;
    case OVERFLOWED:
        return ends ? true_value + 140737488355328.0 : true_value;
    case BALANCED:
        return ends ? true_value + (set % 2 ? 1 : -1) * 140737488355328.0 : true_value;
    case SPELL:
        return ends && machine.set[set].reads < 4 ? true_value + 140737488355328.0 : true_value;
    case CROWDED:
        return event == 1 ? (ends ? 3 : 0) : true_value;
    case FIRST_IS_WRONG:
        return machine.set[set].half[event] ? true_value / 2 : true_value;
    default:
        return true_value;
    }
}

static int machine_set_read(int set, long long *out)
{
    const int events = machine.set[set].events;

    if (machine.fault == DEAF)
        return -1;
    for (int i = 0; i < events; i++)
        out[machine.fault == SWAPPED ? events - 1 - i : i] = (long long)machine_counter(set, i);
    machine.set[set].reads++;
    return 0;
}

static void machine_set_close(int set)
{
    (void)set;
    machine.open--;
}

/* All work executes instructions and takes time. */
static double work(enum metric m, double counted, double amount)
{
    done[METRIC_CYCLES] += 50000;
    done[METRIC_INSTRUCTIONS] += 70000;
    done[m] += counted;
    return amount;
}

static double do_flops(struct papi_room *room)
{
    (void)room;
    return work(METRIC_FLOPS, 1e6, 1e6);
}

static double do_bytes(struct papi_room *room)
{
    (void)room;
    return work(METRIC_DRAM_READ_BYTES, 1e6, 64e6);
}

static double do_faults(struct papi_room *room)
{
    (void)room;
    return work(METRIC_PAGE_FAULTS_MINOR, 512, 512);
}

static double do_cycles(struct papi_room *room)
{
    (void)room;
    return work(METRIC_CYCLES, 10e6, 10e6);
}

static double do_instructions(struct papi_room *room)
{
    (void)room;
    return work(METRIC_INSTRUCTIONS, 20e6, 20e6);
}

static const struct papi_known machine_known[] = {
    {.name = "flops", .metric = METRIC_FLOPS, .run = do_flops},
    {.name = "bytes", .metric = METRIC_DRAM_READ_BYTES, .run = do_bytes},
    {.name = "faults", .metric = METRIC_PAGE_FAULTS_MINOR, .run = do_faults},
    {.name = "cycles", .metric = METRIC_CYCLES, .run = do_cycles},
    {.name = "instructions", .metric = METRIC_INSTRUCTIONS, .run = do_instructions},
    {.name = NULL},
};

static const struct papi_layer machine_layer = {
    .init = machine_init,
    .set_open = machine_set_open,
    .set_read = machine_set_read,
    .set_close = machine_set_close,
    .known = machine_known,
};

static int open_with(enum fault fault, struct probe **out, struct err *e)
{
    const struct probe_args args = {.threads = team.threads};

    memset(&machine, 0, sizeof machine);
    machine.fault = fault;
    return papi_open_on(&machine_layer, out, &args, e);
}

static struct papi_quantity quantity_of(const struct probe *p, enum metric m)
{
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q);

    for (int i = 0; i < n; i++)
        if (q[i].metric == m)
            return q[i];
    fail_msg("no quantity %s", metric_name(m));
    return *q;
}

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
#pragma omp parallel num_threads(team.threads)
    do_flops(NULL);
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

static void events_that_change_places_are_not_used_together(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(SWAPPED, &p, &e), 0);
    assert_true(quantity_of(p, METRIC_FLOPS).accepted);
    assert_false(quantity_of(p, METRIC_CYCLES).accepted);
    assert_true(quantity_of(p, METRIC_DRAM_READ_BYTES).accepted);
    assert_false(quantity_of(p, METRIC_INSTRUCTIONS).accepted);
    p->ops->close(p);
}

static void an_event_that_fails_in_company_is_left_out(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(CROWDED, &p, &e), 0);
    assert_true(quantity_of(p, METRIC_DRAM_READ_BYTES).accepted);
    assert_false(quantity_of(p, METRIC_INSTRUCTIONS).accepted);
    assert_non_null(strstr(quantity_of(p, METRIC_INSTRUCTIONS).why, "refused"));
    p->ops->close(p);
}

static void no_more_counters_are_asked_for_than_work_together(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(FLOPS_ARE_WIDE, &p, &e), 0);
    assert_string_equal(quantity_of(p, METRIC_FLOPS).event, "PAPI_SP_OPS");
    assert_false(quantity_of(p, METRIC_CYCLES).accepted);
    assert_true(quantity_of(p, METRIC_DRAM_READ_BYTES).accepted);
    p->ops->close(p);
}

static void the_next_candidate_is_tried_and_the_refusal_recorded(void **state)
{
    const struct calibration_list *list;
    bool recorded = false;
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_with(FIRST_IS_WRONG, &p, &e), 0);
    assert_string_equal(quantity_of(p, METRIC_FLOPS).event, "PAPI_FP_OPS");
    list = papi_calibrations(p);
    for (int i = 0; i < list->count; i++)
        recorded |= strcmp(list->item[i].event, "RETIRED_SSE_AVX_FLOPS:ANY") == 0 && !list->item[i].accepted;
    assert_true(recorded);
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
#pragma omp parallel num_threads(team.threads)
        do_flops(NULL);
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

/* --- the real library, bent ------------------------------------------------------------------------------------------------
 */

static struct papi_layer bent;
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

static int bent_set_read(int set, long long *out)
{
    int rc = papi_layer_library->set_read(set, out);

    bend(&out[0]);
    return rc;
}

static void real_counters_bent_are_refused(void **state)
{
    void (*const bends[])(long long *) = {to_half, to_zero, to_negative};
    const struct probe_args args = {.threads = team.threads};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    if (!papi_layer_library || papi_open_on(papi_layer_library, &p, &args, &e) < 0 || !p) {
        print_message("no counter is accepted here: %s\n", papi_layer_library ? e.text : "built without PAPI");
        skip();
        return;
    }
    p->ops->close(p);
    bent = *papi_layer_library;
    bent.set_read = bent_set_read;
    for (size_t i = 0; i < sizeof bends / sizeof bends[0]; i++) {
        bend = bends[i];
        p = NULL;
        assert_int_equal(papi_open_on(&bent, &p, &args, &e), ERR_ABSENT);
    }
}

static int start_team(void **state)
{
    int most = team_max_threads();

    (void)state;
    return team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_may_be_two_percent_off_and_bytes_five),
        cmocka_unit_test(an_accepted_comparison_has_its_error_and_no_reason),
        cmocka_unit_test(a_refusal_says_how_far_off_the_counter_was),
        cmocka_unit_test(impossible_readings_are_refused_whatever_the_limit),
        cmocka_unit_test(work_that_is_not_known_proves_nothing),
        cmocka_unit_test(a_right_machine_has_everything_accepted),
        cmocka_unit_test(counts_of_all_workers_are_summed),
        cmocka_unit_test(a_machine_wrong_in_everything_leaves_no_probe),
        cmocka_unit_test(a_spell_of_impossible_readings_is_waited_out_and_counted),
        cmocka_unit_test(events_that_change_places_are_not_used_together),
        cmocka_unit_test(an_event_that_fails_in_company_is_left_out),
        cmocka_unit_test(no_more_counters_are_asked_for_than_work_together),
        cmocka_unit_test(the_next_candidate_is_tried_and_the_refusal_recorded),
        cmocka_unit_test(a_fault_after_calibration_is_implausible),
        cmocka_unit_test(real_counters_bent_are_refused),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
