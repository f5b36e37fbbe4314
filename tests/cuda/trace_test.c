/* SPDX-License-Identifier: MIT
 * The timeline of a GPU's work, from records that the test makes (trace_room.h). */
#include "check.h"

#include <string.h>

#include "clock.h"
#include "cuda_probes.h"
#include "cupti.h"
#include "kernel_name.h"
#include "trace_records.h"
#include "trace_room.h"

enum { BASE_NS = 4000 };

/* Times from here to BASE_NS on are within the bracket that is open. */
static uint64_t base_ns(void)
{
    const uint64_t base = clock_ns();

    while (clock_ns() <= base + BASE_NS)
        continue;
    return base;
}

static struct probe *open_trace(void)
{
    const struct probe_args args = {.device = 0};
    struct probe *p = NULL;
    struct err e = {0};

    if (cuda_probe_trace.open(&p, &args, &e) < 0)
        fail_msg("%s", e.text);
    p->ops->select(p, 0);
    return p;
}

static const struct value *value_of(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return &r->value[i];
    fail_msg("no such metric in the reading: %d", (int)m);
    return NULL;
}

static void assert_missing(const struct reading *r, const char *why)
{
    assert_int_equal(r->count, 3);
    for (int i = 0; i < r->count; i++) {
        assert_int_equal(r->value[i].provenance, PROVENANCE_MISSING);
        if (!strstr(r->value[i].why, why))
            fail_msg("'%s' is not in '%s'", why, r->value[i].why);
    }
}

static void assert_value(const struct reading *r, enum metric m, double expected)
{
    const struct value *v = value_of(r, m);

    assert_int_not_equal(v->provenance, PROVENANCE_MISSING);
    if (v->value != expected)
        fail_msg("metric %d is %.17g, not %.17g", (int)m, v->value, expected);
}

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

static void without_a_gpu_it_does_not_open_and_says_why(void **state)
{
    const struct probe_args none = {.device = -1}, beyond = {.device = 7};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(cuda_probe_trace.open(&p, &none, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "not computed on a GPU"));
    assert_int_equal(cuda_probe_trace.open(&p, &beyond, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "GPU 7"));
    assert_null(p);
}

static void only_a_library_with_older_records_than_are_read_is_refused(void **state)
{
    const struct probe_args args = {.device = 0};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    fake.version = 25;
    assert_int_equal(cuda_probe_trace.open(&p, &args, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "LD_LIBRARY_PATH"));
    assert_null(p);
    fake.version = 26; /* CUDA 12.8, whatever this was built with */
    assert_int_equal(cuda_probe_trace.open(&p, &args, &e), 0);
    p->ops->close(p);
}

static void cupti_records_from_select_to_rest_only(void **state)
{
    const struct probe_args args = {.device = 0};
    struct probe *p = NULL;

    (void)state;
    assert_int_equal(cuda_probe_trace.open(&p, &args, NULL), 0);
    assert_int_equal(fake.enabled, 0);
    assert_null(cupti_fake.clock); /* it is left alone until there is something to record */
    for (int i = 0; i < 2; i++) {
        p->ops->select(p, 0);
        assert_ptr_equal(cupti_fake.clock, clock_ns);
        assert_false(fake.enabled_before_clock);
        assert_true(fake.enabled & 1u << CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
        assert_false(fake.enabled & 1u << CUPTI_ACTIVITY_KIND_KERNEL); /* would run kernels one by one */
        a_kernel("ended, not yet given back", 1, 5, 6);
        p->ops->rest(p);
        assert_int_equal(fake.enabled, 0);
    }
    assert_false(fake.disabled_unflushed);
    p->ops->select(p, 0);
    p->ops->close(p);
    assert_int_equal(fake.enabled, 0);
}

static void cupti_is_told_the_clock_once_and_again_where_it_forgot(void **state)
{
    struct probe *p = open_trace();

    (void)state;
    for (int i = 0; i < 3; i++)
        p->ops->select(p, 0);
    assert_int_equal(cupti_fake.clocks, 1);
    cupti_fake.clock = NULL;
    p->ops->select(p, 0);
    assert_int_equal(cupti_fake.clocks, 2);
    p->ops->close(p);

    cupti_install(&table); /* as another library */
    cupti_fake.hides_clock = true;
    p = open_trace();
    p->ops->select(p, 0);
    assert_int_equal(cupti_fake.clocks, 3);
    p->ops->close(p);
}

static void a_bracket_of_a_probe_that_rests_is_missing(void **state)
{
    struct probe *p = open_trace();
    struct reading r;

    (void)state;
    p->ops->rest(p);
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_missing(&r, "not selected");
    p->ops->close(p);
}

/* --- events ----------------------------------------------------------------------------------------------------------------
 */

static void work_becomes_events_in_the_order_of_their_starts(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    a_kernel("_Z10decode_qkvI13__nv_bfloat16Li128EEvPKT_", 3, t + 300, t + 400);
    a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, 4096, 1, t + 100, t + 150);
    a_set(64, 2, t + 200, t + 210);
    a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_DTOH, 8, 4, t + 500, t + 501);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->events(p, &e), 4);
    assert_string_equal(e[0].name, "copy host to device");
    assert_int_equal(e[0].kind, 'c');
    assert_int_equal(e[0].bytes, 4096);
    assert_int_equal(e[0].start_ns, t + 100);
    assert_int_equal(e[0].end_ns, t + 150);
    assert_string_equal(e[1].name, "set");
    assert_int_equal(e[1].kind, 's');
    assert_int_equal(e[1].bytes, 64);
    assert_string_equal(e[2].name, "decode_qkv<bf16, 128>");
    assert_int_equal(e[2].kind, 'k');
    assert_int_equal(e[2].bytes, 0);
    assert_memory_equal(e[2].grid, ((int[]){7, 2, 1}), sizeof e[2].grid);
    assert_memory_equal(e[2].block, ((int[]){256, 1, 3}), sizeof e[2].block);
    assert_int_equal(e[2].registers, 96);
    assert_int_equal(e[2].shared_bytes, 1024);
    assert_string_equal(e[3].name, "copy device to host");
    for (int i = 0; i < 4; i++)
        assert_int_equal(e[i].tag, 0);
    p->ops->close(p);
}

static void work_has_the_tag_under_which_it_was_handed_over(void **state)
{
    static const uint32_t correlation[] = {30, 11, 25, 13, 20}, tag[] = {0, 5, 9, 0, 5}; /* 9 is told instead of 5 */
    struct probe *p = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    for (int i = 0; i < 5; i++) {
        p->ops->tag(p, tag[i]);
        a_call(correlation[i]);
    }
    p->ops->tag(p, 0);
    assert_int_equal(fake.tags, 0);
    for (uint64_t i = 0; i < 5; i++) /* the GPU takes its time, and ends the last first */
        a_kernel("k", correlation[i], t + 1000 - 50 * i, t + 1020 - 50 * i);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->events(p, &e), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(e[i].tag, tag[4 - i]);
    p->ops->close(p);
}

static void all_of_a_graph_has_the_tag_of_its_launch(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    p->ops->tag(p, 3);
    a_call(100);
    p->ops->tag(p, 4);
    a_call(101);
    p->ops->tag(p, 0);
    for (uint32_t i = 0; i < 6; i++)
        a_kernel("node", 100, t + 10 * i, t + 10 * i + 5);
    a_set(4, 101, t + 200, t + 210);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->events(p, &e), 7);
    for (int i = 0; i < 6; i++)
        assert_int_equal(e[i].tag, 3);
    assert_int_equal(e[6].tag, 4);
    p->ops->close(p);
}

static void closing_takes_a_tag_back_that_is_still_set(void **state)
{
    struct probe *p = open_trace();

    (void)state;
    p->ops->tag(p, 8);
    assert_int_equal(fake.tags, 1);
    p->ops->close(p);
    assert_int_equal(fake.tags, 0);
}

static void many_buffers_come_and_go_and_none_is_lost(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    for (int round = 0; round < 5; round++) {
        fake.per_buffer = 3 + round;
        p->ops->begin(p);
        const uint64_t t = base_ns();
        for (uint32_t i = 0; i < 1000; i++)
            a_kernel(i % 2 ? "odd" : "even", i + 1, t + i, t + i + 1);
        p->ops->end(p, &r);
        assert_int_equal(p->ops->events(p, &e), 1000);
        assert_value(&r, METRIC_KERNELS, 1000);
        assert_string_equal(e[999].name, "odd");
    }
    assert_int_equal(fake.declined, 0);
    p->ops->close(p);
}

static void what_happened_outside_of_the_bracket_is_left_out(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    const uint64_t before = clock_ns(), later = 3600000000000;
    struct reading r;

    (void)state;
    a_kernel("given back before the bracket", 1, before, before + later);
    fake.dropped = 3;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    a_kernel("given back late", 1, before - 500, before - 1);
    a_kernel("inside", 2, t, t + 10);
    a_kernel("of the future", 3, t + later, t + later + 1);
    p->ops->end(p, &r);
    a_kernel("given back after the bracket", 4, t, t + 1);
    p->ops->rest(p);
    assert_int_equal(p->ops->events(p, &e), 1);
    assert_string_equal(e[0].name, "inside");
    assert_value(&r, METRIC_KERNELS, 1);
    assert_value(&r, METRIC_GPU_NS, 10);
    assert_false(fake.flushed_unforced);
    p->ops->close(p);
}

static void work_of_the_bracket_with_times_of_another_clock_is_lost(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    const uint64_t other = 1700000000000000000, before = clock_ns();
    struct reading r;

    (void)state;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    a_kernel("left from before", 1, before - 500, before - 1);
    a_call(2);
    a_kernel("inside", 2, t, t + 10);
    a_call(3);
    a_kernel("inside, by another clock", 3, other, other + 10);
    a_kernel("inside, not well converted", 3, before - 20, before - 10);
    p->ops->end(p, &r);
    assert_missing(&r, "1 of CUPTI's records were lost or had impossible times, 2 are there");
    assert_int_equal(p->ops->events(p, &e), 2);
    assert_string_equal(e[0].name, "inside, not well converted");
    p->ops->close(p);
}

static void two_probes_do_not_get_in_each_others_way(void **state)
{
    struct probe *p = open_trace(), *q = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    const uint64_t t = base_ns();
    a_kernel("first", 1, t, t + 1);
    p->ops->end(p, &r);
    q->ops->begin(q);
    const uint64_t t2 = base_ns();
    a_kernel("second", 1, t2, t2 + 1);
    q->ops->end(q, &r);
    assert_int_equal(p->ops->events(p, &e), 1);
    assert_string_equal(e[0].name, "first");
    p->ops->close(p);
    assert_int_equal(q->ops->events(q, &e), 1);
    assert_string_equal(e[0].name, "second");
    q->ops->close(q);
}

/* --- the reading -----------------------------------------------------------------------------------------------------------
 */

static void busy_is_when_anything_ran(void **state)
{
    struct probe *p = open_trace();
    enum metric metrics[READING_VALUES_MAX];
    struct reading r;

    (void)state;
    assert_int_equal(p->ops->metrics(p, metrics), 3);
    p->ops->begin(p);
    const uint64_t t = base_ns();
    a_kernel("long", 1, t + 100, t + 500);
    a_kernel("within it", 2, t + 200, t + 300);
    a_kernel("over its end", 3, t + 450, t + 600);
    a_set(4, 4, t + 700, t + 750);
    a_kernel("follows at once", 5, t + 750, t + 800);
    p->ops->end(p, &r);
    assert_int_equal(r.count, 3);
    for (int i = 0; i < r.count; i++)
        assert_int_equal(r.value[i].metric, metrics[i]);
    assert_value(&r, METRIC_GPU_BUSY_NS, 500 + 100);
    assert_value(&r, METRIC_GPU_NS, 700);
    assert_value(&r, METRIC_KERNELS, 5);
    p->ops->close(p);
}

static void busy_agrees_with_counting_nanosecond_by_nanosecond(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++) {
        struct device_event e[12];
        bool ran[400] = {false};
        uint64_t at = 0;
        const int n = (int)(seed % 12) + 1;
        unsigned x = seed * 2654435761u;
        int busy = 0;
        for (int i = 0; i < n; i++) {
            x = x * 1664525u + 1013904223u;
            at += x >> 27; /* up to 31 later */
            e[i] = (struct device_event){.start_ns = at, .end_ns = at + (x >> 8) % 40};
            for (uint64_t ns = e[i].start_ns; ns < e[i].end_ns; ns++)
                ran[ns] = true;
        }
        for (int ns = 0; ns < 400; ns++)
            busy += ran[ns];
        assert_int_equal(trace_busy_ns(e, n), busy);
    }
}

static void lost_records_make_the_reading_missing_and_leave_the_events(void **state)
{
    struct probe *p = open_trace();
    const struct device_event *e;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    uint64_t t = base_ns();
    a_kernel("k", 1, t, t + 1);
    fake.dropped = 41;
    p->ops->end(p, &r);
    assert_missing(&r, "41 of CUPTI's records were lost or had impossible times, 1 are there");
    assert_int_equal(p->ops->events(p, &e), 1);

    p->ops->begin(p);
    t = base_ns();
    a_kernel("k", 1, t, t + 1);
    a_kernel("without times", 2, 0, 0);
    a_kernel("backwards", 3, t + 5, t + 4);
    p->ops->end(p, &r);
    assert_missing(&r, "2 of CUPTI's records were lost");

    p->ops->begin(p); /* and that is over */
    t = base_ns();
    a_kernel("k", 1, t, t + 1);
    p->ops->end(p, &r);
    assert_value(&r, METRIC_KERNELS, 1);
    p->ops->close(p);
}

static void a_bracket_without_any_work_is_no_zero(void **state)
{
    struct probe *p = open_trace();
    struct reading r;

    (void)state;
    p->ops->begin(p);
    a_call(1);
    p->ops->end(p, &r);
    assert_missing(&r, "recorded no work");
    p->ops->close(p);
}

static void what_cupti_refuses_is_told_and_nothing_stays_enabled(void **state)
{
    struct probe *p;
    const struct device_event *e;
    struct reading r;

    (void)state;
    fake.refused = CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL; /* the last */
    p = open_trace();
    p->ops->begin(p);
    assert_int_equal(fake.enabled, 0);
    p->ops->end(p, &r);
    assert_missing(&r, "ActivityEnable: CUPTI_ERROR_NOT_COMPATIBLE");
    assert_int_equal(fake.flushes, 0);
    assert_int_equal(p->ops->events(p, &e), 0);
    p->ops->close(p);
}

/* --- the real library ------------------------------------------------------------------------------------------------------
 */

static void the_real_library_walks_these_records_as_they_are_read_here(void **state)
{
    const struct cupti *real;
    const struct device_event *e;
    struct reading r;
    struct err why = {0};
    uint32_t version = 0;

    (void)state;
    cupti_install(NULL);
    if (!(real = cupti_open(&why))) {
        print_message("%s\n", why.text);
        skip();
    }
    assert_int_equal(real->GetVersion(&version), CUPTI_SUCCESS);
    if (version != CUPTI_API_VERSION)
        skip(); /* writes records of other sizes */
    table.ActivityGetNextRecord = real->ActivityGetNextRecord;
    cupti_install(&table);
    struct probe *p = open_trace();
    p->ops->begin(p);
    const uint64_t t = base_ns();
    p->ops->tag(p, 6);
    a_call(21);
    a_kernel("k", 21, t + 1, t + 2);
    a_copy(CUPTI_ACTIVITY_MEMCPY_KIND_DTOD, 77, 22, t + 3, t + 4);
    a_set(78, 23, t + 5, t + 6);
    a_kernel("k", 24, t + 7, t + 8);
    p->ops->tag(p, 0);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->events(p, &e), 4);
    assert_int_equal(e[0].tag, 6);
    assert_int_equal(e[1].bytes, 77);
    assert_int_equal(e[2].bytes, 78);
    assert_string_equal(e[3].name, "k");
    p->ops->close(p);
}

/* --- names -----------------------------------------------------------------------------------------------------------------
 */

static void kernels_names_are_readable(void **state)
{
    static const struct {
        const char *mangled, *expected;
    } names[] = {
        {"_Z5plainPf", "plain"},
        {"_Z10decode_qkvI13__nv_bfloat16Li128ELb1EEvPT_f", "decode_qkv<bf16, 128, true>"},
        {"_ZN12_GLOBAL__N_15mergeIfEEvPT_", "merge<f32>"},
        {"_Z5fancyIL4mode1E2opEvT0_", "fancy<(mode)1, op>"},
        {"_Z4loadI6__halfEvPKT_P6float4", "load<f16>"},
        {"_Z4fillI6float47__half2EvPT_", "fill<float4, __half2>"},
        {"_ZN7cutlass7Kernel2I68cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_tn_align8EEvv",
         "cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_32x3_tn_align8>"},
        {"nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNN", "nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNN"},
        {"_Z", "_Z"},
        {"", ""},
    };
    char out[120], tiny[12];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        kernel_name(names[i].mangled, out, sizeof out);
        assert_string_equal(out, names[i].expected);
    }
    kernel_name("_Z10decode_qkvI13__nv_bfloat16Li128ELb1EEvPT_f", tiny, sizeof tiny);
    assert_string_equal(tiny, "decode_q...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_gpu_it_does_not_open_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_library_with_older_records_than_are_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cupti_records_from_select_to_rest_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cupti_is_told_the_clock_once_and_again_where_it_forgot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bracket_of_a_probe_that_rests_is_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(work_becomes_events_in_the_order_of_their_starts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(work_has_the_tag_under_which_it_was_handed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_of_a_graph_has_the_tag_of_its_launch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closing_takes_a_tag_back_that_is_still_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_buffers_come_and_go_and_none_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_happened_outside_of_the_bracket_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(work_of_the_bracket_with_times_of_another_clock_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_probes_do_not_get_in_each_others_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(busy_is_when_anything_ran, set_up, tear_down),
        cmocka_unit_test(busy_agrees_with_counting_nanosecond_by_nanosecond),
        cmocka_unit_test_setup_teardown(lost_records_make_the_reading_missing_and_leave_the_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bracket_without_any_work_is_no_zero, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cupti_refuses_is_told_and_nothing_stays_enabled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_real_library_walks_these_records_as_they_are_read_here, set_up, tear_down),
        cmocka_unit_test(kernels_names_are_readable),
    };

    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
