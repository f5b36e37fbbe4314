/* SPDX-License-Identifier: MIT
 * Probes: their names, what the light ones measure, that counters are per worker and summed, what is refused as implausible.
 * Counting runs on the real library, with page faults: every machine has them. */
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "counter_layer.h"
#include "pages.h"
#include "papi_probe.h"
#include "team.h"

enum { THREADS_MAX = 2, FRESH_PAGES = 1000 };

static struct team team;

/* Sanitizers would touch pages of their own for each access. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static void touch(volatile char *p, size_t bytes, size_t page)
{
    for (size_t i = 0; i < bytes; i += page)
        p[i] = 1;
}

static char *fresh_pages(size_t *bytes, size_t *page)
{
    *page = (size_t)sysconf(_SC_PAGESIZE);
    *bytes = FRESH_PAGES * *page;
    char *p = pages_alloc(*bytes, NULL);
    assert_non_null(p);
    madvise(p, *bytes, MADV_NOHUGEPAGE);
    return p;
}

static struct probe *open_probe(const char *name)
{
    const struct probe_args args = {.threads = team.threads};
    const struct probe_ops *ops = probe_find(name, NULL);
    struct probe *p = NULL;
    struct err e = {0};

    assert_non_null(ops);
    if (ops->open(&p, &args, &e) < 0)
        fail_msg("%s: %s", name, e.text);
    return p;
}

/* Skips only where the kernel has no counting at all; elsewhere a probe that does not open is a failure. */
static struct probe *open_papi(void)
{
    struct counter_machine machine;
    struct err e = {0};

    if (counter_layer_raw->init("", &machine, &e) < 0) {
        print_message("%s\n", e.text);
        skip();
    }
    return open_probe("papi");
}

static double value_of(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m && r->value[i].provenance != PROVENANCE_MISSING)
            return r->value[i].value;
    return NAN;
}

/* --- names -----------------------------------------------------------------------------------------------------------------
 */

static void every_metric_and_provenance_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < METRIC_COUNT; i++) {
        assert_non_null(metric_name((enum metric)i));
        assert_non_null(metric_unit((enum metric)i));
        assert_non_null(metric_about((enum metric)i));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(metric_name((enum metric)i), metric_name((enum metric)j));
    }
    for (int i = 0; i < PROVENANCE_COUNT; i++)
        assert_non_null(provenance_name((enum provenance)i));
    assert_string_equal(metric_name(METRIC_DRAM_READ_BYTES), "dram_read_bytes");
    assert_string_equal(provenance_name(PROVENANCE_MULTIPLEXED), "multiplexed");
}

/* The database's spelling, and what a screen writes after a number. */
static void metrics_of_gpus_keep_their_names_and_units(void **state)
{
    static const struct {
        enum metric metric;
        const char *name, *unit;
        bool adds;
    } lines[] = {
        {METRIC_FLOPS_TENSOR, "flops_tensor", "FLOP", true},
        {METRIC_FLOPS_F16, "flops_f16", "FLOP", true},
        {METRIC_L2_BYTES, "l2_bytes", "B", true},
        {METRIC_L1_BYTES, "l1_bytes", "B", true},
        {METRIC_GPU_NS, "gpu_ns", "ns", true},
        {METRIC_GPU_BUSY_NS, "gpu_busy_ns", "ns", true},
        {METRIC_KERNELS, "kernels", "", true},
        {METRIC_GPU_ENERGY_J, "gpu_energy_j", "J", true},
        {METRIC_GPU_HZ, "gpu_hz", "Hz", false},
        {METRIC_GPU_DRAM_HZ, "gpu_dram_hz", "Hz", false},
        {METRIC_PEAK_DRAM_BPS, "peak_dram_bps", "B/s", false},
        {METRIC_PEAK_TENSOR_FLOPS, "peak_tensor_flops", "FLOP/s", false},
        {METRIC_SM_ACTIVE, "sm_active", "share", false},
        {METRIC_WARPS_ACTIVE, "warps_active", "share", false},
        {METRIC_TENSOR_ACTIVE, "tensor_active", "share", false},
        {METRIC_DRAM_ACTIVE, "dram_active", "share", false},
        {METRIC_GPU_POWER_W, "gpu_power_w", "W", false},
        {METRIC_GPU_UTILIZATION, "gpu_utilization", "share", false},
        {METRIC_GPU_MEMORY_BYTES, "gpu_memory_bytes", "B", false},
        {METRIC_GPU_TEMPERATURE_C, "gpu_temperature_c", "C", false},
        {METRIC_GPU_SLOWED, "gpu_slowed", "bits", false},
    };

    (void)state;
    assert_int_equal(METRIC_COUNT - METRIC_ENERGY_DRAM_J - 1, sizeof lines / sizeof lines[0]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_string_equal(metric_name(lines[i].metric), lines[i].name);
        assert_string_equal(metric_unit(lines[i].metric), lines[i].unit);
        assert_int_equal(metric_adds(lines[i].metric), lines[i].adds);
    }
}

static void what_a_cpu_counts_can_be_added_up(void **state)
{
    (void)state;
    for (int i = METRIC_WALL_NS; i <= METRIC_ENERGY_DRAM_J; i++)
        assert_true(metric_adds((enum metric)i));
}

static void probes_of_a_gpu_are_absent_where_none_computes(void **state)
{
    static const char *const names[] = {"cupti", "trace", "pm"};
    const struct probe_args args = {.threads = 1, .device = -1};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct probe_ops *ops = probe_find(names[i], NULL);
        struct probe *p = NULL;
        struct err e = {0};
        assert_true(ops->needs_device && ops->weight == PROBE_HEAVY);
        assert_int_equal(ops->open(&p, &args, &e), ERR_ABSENT);
        assert_null(p);
        assert_non_null(strstr(e.text, names[i]));
        assert_non_null(strstr(e.text, "--backend cuda"));
    }
}

static void every_probe_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; probes[i]; i++)
        assert_ptr_equal(probe_find(probes[i]->name, NULL), probes[i]);
}

static void a_typo_is_answered_with_the_nearest_name(void **state)
{
    struct err e = {0};

    (void)state;
    assert_null(probe_find("rusaeg", &e));
    assert_int_equal(e.code, ERR_USAGE);
    assert_string_equal(e.text, "no probe 'rusaeg': did you mean 'rusage'?");
}

static void an_unknown_name_is_answered_with_all_names(void **state)
{
    struct err e = {0};

    (void)state;
    assert_null(probe_find("thermometer", &e));
    assert_string_equal(e.text, "no probe 'thermometer': there are null, clock, rusage, papi, rapl, cupti, trace, pm, nvml");
}

/* --- light probes ----------------------------------------------------------------------------------------------------------
 */

static void the_null_probe_reports_nothing(void **state)
{
    enum metric metric[READING_VALUES_MAX];
    struct probe *p = open_probe("null");
    struct reading r = {.count = 7};
    const char *why;

    (void)state;
    assert_int_equal(p->ops->groups(p), 1);
    assert_int_equal(p->ops->metrics(p, metric), 0);
    p->ops->select(p, 0);
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_int_equal(r.count, 0);
    assert_true(p->ops->plausible(p, &r, &why));
    p->ops->close(p);
}

static void the_clock_measures_the_time_between_begin_and_end(void **state)
{
    const struct timespec nap = {.tv_nsec = 3000000};
    struct probe *p = open_probe("clock");
    struct reading r;
    const char *why;

    (void)state;
    uint64_t outside = clock_ns();
    p->ops->begin(p);
    nanosleep(&nap, NULL);
    p->ops->end(p, &r);
    outside = clock_ns() - outside;
    assert_int_equal(r.value[0].provenance, PROVENANCE_TIMER);
    assert_true(value_of(&r, METRIC_WALL_NS) >= 3e6);
    assert_true(value_of(&r, METRIC_WALL_NS) <= (double)outside);
    assert_true(p->ops->plausible(p, &r, &why));
    r.value[0].value = 0;
    assert_false(p->ops->plausible(p, &r, &why));
    p->ops->close(p);
}

static void rusage_sees_page_faults_and_cpu_time(void **state)
{
    struct probe *p = open_probe("rusage");
    size_t bytes, page;
    struct reading r;
    const char *why;

    (void)state;
    char *fresh = fresh_pages(&bytes, &page);
    p->ops->begin(p);
    touch(fresh, bytes, page);
    for (uint64_t end = clock_ns() + 5000000; clock_ns() < end;)
        ;
    p->ops->end(p, &r);
    assert_true(value_of(&r, METRIC_PAGE_FAULTS_MINOR) >= FRESH_PAGES);
    assert_true(value_of(&r, METRIC_CPU_NS) > 0);
    assert_int_equal(r.value[0].provenance, PROVENANCE_OS);
    assert_true(p->ops->plausible(p, &r, &why));
    pages_free(fresh, bytes);
    p->ops->close(p);
}

/* --- counters --------------------------------------------------------------------------------------------------------------
 */

static void select_group(struct probe *p, const char *name)
{
    for (int i = 0; i < p->ops->groups(p); i++)
        if (strcmp(p->ops->group_name(p, i), name) == 0) {
            p->ops->select(p, i);
            return;
        }
    print_message("no group %s on this machine\n", name);
    p->ops->close(p);
    skip();
}

struct fresh_memory {
    char *of[THREADS_MAX];
    size_t bytes, page;
};

static void touch_fresh(void *memory, int worker)
{
    const struct fresh_memory *m = memory;

    touch(m->of[worker], m->bytes, m->page);
}

static void the_faults_of_every_worker_are_counted_and_no_others(void **state)
{
    struct probe *p = open_papi();
    struct fresh_memory memory;
    struct reading r;
    const char *why;

    (void)state;
    select_group(p, "papi:faults");
    for (int workers = 1; workers <= team.threads; workers++) {
        for (int t = 0; t < workers; t++)
            memory.of[t] = fresh_pages(&memory.bytes, &memory.page);
        p->ops->begin(p);
        team_run(workers, touch_fresh, &memory);
        p->ops->end(p, &r);
        assert_int_equal(r.count, 1);
        assert_int_equal(r.value[0].provenance, PROVENANCE_OS);
        assert_true(fabs(value_of(&r, METRIC_PAGE_FAULTS_MINOR) / (FRESH_PAGES * workers) - 1) < 0.02);
        assert_true(p->ops->plausible(p, &r, &why));
        for (int t = 0; t < workers; t++)
            pages_free(memory.of[t], memory.bytes);
    }
    p->ops->close(p);
}

static void what_happens_outside_a_bracket_is_not_counted(void **state)
{
    struct probe *p = open_papi();
    size_t bytes, page;
    struct reading r;

    (void)state;
    select_group(p, "papi:faults");
    char *fresh = fresh_pages(&bytes, &page);
    touch(fresh, bytes, page);
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_true(value_of(&r, METRIC_PAGE_FAULTS_MINOR) < 20);
    pages_free(fresh, bytes);
    p->ops->close(p);
}

struct bracket {
    struct probe *p;
    struct reading r;
};

static void *run_bracket(void *arg)
{
    struct bracket *b = arg;

    b->p->ops->begin(b->p);
    b->p->ops->end(b->p, &b->r);
    return NULL;
}

static void a_bracket_by_another_team_is_missing_not_wrong(void **state)
{
    struct bracket b = {.p = open_papi()};
    pthread_t other;

    (void)state;
    b.p->ops->select(b.p, 0);
    assert_int_equal(pthread_create(&other, NULL, run_bracket, &b), 0);
    pthread_join(other, NULL);
    assert_int_equal(b.r.value[0].provenance, PROVENANCE_MISSING);
    assert_non_null(strstr(b.r.value[0].why, "workers"));
    b.p->ops->close(b.p);
}

static void every_quantity_is_accepted_or_says_why_not(void **state)
{
    struct probe *p = open_papi();
    const struct calibration_list *list = papi_calibrations(p);
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q), accepted = 0;

    (void)state;
    assert_int_equal(n, 5);
    for (int i = 0; i < n; i++) {
        assert_true(q[i].accepted == (q[i].why[0] == 0));
        assert_true(q[i].accepted == (q[i].event[0] != 0));
        assert_true(!q[i].accepted || q[i].rel_error <= calibration_limit(q[i].metric));
        accepted += q[i].accepted;
    }
    assert_true(accepted > 0 && list->count >= accepted);
    p->ops->close(p);
}

static void readings_that_cannot_be_true_are_told(void **state)
{
    static const struct {
        double value;
        enum metric metric;
        bool possible;
    } lines[] = {
        {0, METRIC_FLOPS, true},           {1e12, METRIC_FLOPS, true},
        {-1, METRIC_FLOPS, false},         {70368744177664.0, METRIC_FLOPS, false},
        {NAN, METRIC_FLOPS, false},        {1e9, METRIC_CYCLES, true},
        {0, METRIC_CYCLES, false},         {3, METRIC_INSTRUCTIONS, false},
        {0, METRIC_DRAM_READ_BYTES, true}, {1e9 + 140737488355328.0, METRIC_DRAM_READ_BYTES, false},
    };
    const struct probe_ops *papi = probe_find("papi", NULL);

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reading r = {.count = 2};
        const char *why = NULL;
        r.value[0] = (struct value){.metric = METRIC_INSTRUCTIONS, .provenance = PROVENANCE_COUNTER, .value = 1e6};
        r.value[1] = (struct value){.metric = lines[i].metric, .provenance = PROVENANCE_COUNTER, .value = lines[i].value};
        if (lines[i].metric == METRIC_INSTRUCTIONS)
            r.value[0] = r.value[1];
        assert_int_equal(papi->plausible(NULL, &r, &why), lines[i].possible);
        assert_true(lines[i].possible == (why == NULL));
    }
}

static int start_team(void **state)
{
    int most = team_max_threads();

    (void)state;
    return team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_and_provenance_has_a_name_of_its_own),
        cmocka_unit_test(metrics_of_gpus_keep_their_names_and_units),
        cmocka_unit_test(what_a_cpu_counts_can_be_added_up),
        cmocka_unit_test(probes_of_a_gpu_are_absent_where_none_computes),
        cmocka_unit_test(every_probe_is_found_by_its_name),
        cmocka_unit_test(a_typo_is_answered_with_the_nearest_name),
        cmocka_unit_test(an_unknown_name_is_answered_with_all_names),
        cmocka_unit_test(the_null_probe_reports_nothing),
        cmocka_unit_test(the_clock_measures_the_time_between_begin_and_end),
        cmocka_unit_test(rusage_sees_page_faults_and_cpu_time),
        cmocka_unit_test(the_faults_of_every_worker_are_counted_and_no_others),
        cmocka_unit_test(what_happens_outside_a_bracket_is_not_counted),
        cmocka_unit_test(a_bracket_by_another_team_is_missing_not_wrong),
        cmocka_unit_test(every_quantity_is_accepted_or_says_why_not),
        cmocka_unit_test(readings_that_cannot_be_true_are_told),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
