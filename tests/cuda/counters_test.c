/* SPDX-License-Identifier: MIT
 * The probe cupti on a CUPTI of the test's own: what is called in which order, what becomes of numbers and of failures, which
 * counters are believed, and that nothing is left behind. */
#include "check.h"

#include "calibrate.h"
#include "cuda_probes.h"
#include "cupti_room.h"

static void assert_all_missing(const struct reading *r, const char *part)
{
    assert_true(r->count > 0);
    for (int i = 0; i < r->count; i++) {
        assert_int_equal(r->value[i].provenance, PROVENANCE_MISSING);
        if (!strstr(r->value[i].why, part))
            fail_msg("'%s' does not say '%s'", r->value[i].why, part);
    }
}

static bool has_metric(struct probe *p, enum metric m)
{
    enum metric metric[READING_VALUES_MAX];

    for (int g = 0; g < p->ops->groups(p); g++) {
        p->ops->select(p, g);
        for (int n = p->ops->metrics(p, metric); n-- > 0;)
            if (metric[n] == m)
                return true;
    }
    return false;
}

static const struct calibration *last_row(struct probe *p, enum metric m)
{
    const struct calibration_list *list = p->ops->calibrations(p);

    for (int i = list->count - 1; i >= 0; i--)
        if (list->item[i].metric == m)
            return &list->item[i];
    return NULL;
}

/* --- brackets --------------------------------------------------------------------------------------------------------------
 */

static void a_bracket_is_one_range_of_a_schedule_that_begins_anew(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:traffic");
    for (int i = 0; i < 2; i++) {
        cupti_fake.calls[0] = 0;
        p->ops->begin(p);
        assert_string_equal(cupti_fake.calls,
                            "RangeProfilerCounterDataImageInitialize RangeProfilerSetConfig RangeProfilerStart "
                            "RangeProfilerPushRange ");
        cupti_fake.calls[0] = 0;
        p->ops->end(p, &r);
        assert_string_equal(cupti_fake.calls, "RangeProfilerPopRange RangeProfilerStop RangeProfilerDecodeData "
                                              "RangeProfilerGetCounterDataInfo ProfilerHostEvaluateToGpuValues ");
    }
    p->ops->close(p);
}

/* Work that was handed over before belongs to nobody's bracket; that of the bracket is over when the range ends. */
static void the_device_is_waited_for_at_either_end(void **state)
{
    struct probe *p = open_probe();
    cudaStream_t stream;
    struct reading r;

    (void)state;
    assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudaMalloc((void **)&fake.witness, 16), cudaSuccess);
    choose_group(p, "cupti:traffic");
    assert_int_equal(cudaMemsetAsync(fake.witness, 1, 16, stream), cudaSuccess);
    p->ops->begin(p);
    assert_int_equal(cudaMemsetAsync(fake.witness, 2, 16, stream), cudaSuccess);
    p->ops->end(p, &r);
    assert_int_equal(fake.at_push_saw, 1);
    assert_int_equal(fake.at_pop_saw, 2);
    cudaFree(fake.witness);
    cudaStreamDestroy(stream);
    p->ops->close(p);
}

static void readings_are_what_ran_between_begin_and_end(void **state)
{
    struct probe *p = open_probe();
    struct reading r;
    const char *why;

    (void)state;
    choose_group(p, "cupti:traffic");
    fake.counted[READ] += 1e12;
    p->ops->begin(p);
    fake.counted[READ] += 3e6;
    fake.counted[WRITTEN] += 1e6;
    fake.counted[TENSOR] += 7e9;
    p->ops->end(p, &r);
    assert_true(find(&r, METRIC_DRAM_READ_BYTES)->value == 3e6);
    assert_true(find(&r, METRIC_DRAM_WRITE_BYTES)->value == 1e6);
    assert_true(find(&r, METRIC_FLOPS_TENSOR)->value == 7e9);
    assert_true(find(&r, METRIC_GPU_NS)->value == 1e6);
    assert_true(find(&r, METRIC_GPU_HZ)->value == 1.5e9);
    assert_null(find(&r, METRIC_FLOPS_F32));
    assert_true(p->ops->plausible(p, &r, &why));
    choose_group(p, "cupti:arithmetic");
    p->ops->begin(p);
    fake.counted[F32] += 500;
    fake.counted[F16] += 300;
    p->ops->end(p, &r);
    assert_int_equal(r.count, 2);
    assert_true(find(&r, METRIC_FLOPS_F32)->value == 500);
    assert_true(find(&r, METRIC_FLOPS_F16)->value == 300);
    p->ops->close(p);
}

static void percentages_become_shares(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:units");
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_int_equal(r.count, 4);
    for (int i = 0; i < r.count; i++)
        assert_true(fabs(r.value[i].value - 0.5) < 1e-12);
    p->ops->close(p);
}

static void provenance_says_what_was_held_against_known_work(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:traffic");
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_int_equal(find(&r, METRIC_DRAM_READ_BYTES)->provenance, PROVENANCE_COUNTER);
    assert_int_equal(find(&r, METRIC_GPU_NS)->provenance, PROVENANCE_TIMER);
    assert_int_equal(find(&r, METRIC_GPU_HZ)->provenance, PROVENANCE_VENDOR);
    assert_int_equal(find(&r, METRIC_L2_BYTES)->provenance, PROVENANCE_VENDOR);
    p->ops->close(p);
}

/* --- numbers that are none -------------------------------------------------------------------------------------------------
 */

static void what_was_not_collected_is_missing_and_the_rest_is_not(void **state)
{
    static const double values[] = {NAN, INFINITY, -5};
    static const char *const says[] = {"no number", "no number", "backwards"};
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:traffic");
    for (int i = 0; i < 3; i++) {
        fake.odd = "dram__bytes_write.sum";
        fake.value = values[i];
        p->ops->begin(p);
        p->ops->end(p, &r);
        const struct value *v = find(&r, METRIC_DRAM_WRITE_BYTES);
        assert_int_equal(v->provenance, PROVENANCE_MISSING);
        assert_non_null(strstr(v->why, says[i]));
        assert_int_equal(find(&r, METRIC_DRAM_READ_BYTES)->provenance, PROVENANCE_COUNTER);
    }
    p->ops->close(p);
}

static void a_range_that_is_dropped_or_unfinished_or_lost_is_missing(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:traffic");
    fake.dropped = 1;
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_all_missing(&r, "dropped");
    fake.dropped = 0;
    fake.unfinished = true;
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_all_missing(&r, "another pass");
    fake.unfinished = false;
    fake.ranges = 0;
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_all_missing(&r, "0 ranges");
    p->ops->close(p);
}

static void a_bracket_that_fails_is_missing_with_cuptis_words_and_the_next_one_counts(void **state)
{
    static const char *const calls[] = {"RangeProfilerCounterDataImageInitialize",
                                        "RangeProfilerSetConfig",
                                        "RangeProfilerStart",
                                        "RangeProfilerPushRange",
                                        "RangeProfilerPopRange",
                                        "RangeProfilerStop",
                                        "RangeProfilerDecodeData",
                                        "RangeProfilerGetCounterDataInfo",
                                        "ProfilerHostEvaluateToGpuValues"};
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    choose_group(p, "cupti:traffic");
    cupti_fake.result = CUPTI_ERROR_UNKNOWN;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        cupti_fake.failing = calls[i];
        cupti_fake.calls[0] = 0;
        p->ops->begin(p);
        p->ops->end(p, &r);
        assert_all_missing(&r, calls[i]);
        assert_all_missing(&r, "CUPTI_ERROR_OF_THE_TEST (999)");
        const bool started = i > 2, pushed = i > 3;
        assert_int_equal(strstr(cupti_fake.calls, "RangeProfilerStop ") != NULL, started);
        assert_int_equal(strstr(cupti_fake.calls, "RangeProfilerPopRange ") != NULL, pushed);
        cupti_fake.failing = NULL;
        p->ops->begin(p);
        p->ops->end(p, &r);
        assert_int_equal(r.value[0].provenance, PROVENANCE_TIMER);
    }
    p->ops->close(p);
}

/* Calibration goes through several brackets of a group too: it has the counters believed. */
static void a_profiler_that_serves_for_one_bracket_is_made_anew_for_each(void **state)
{
    static const char *const calls[] = {"RangeProfilerSetConfig", "RangeProfilerStart", "RangeProfilerPushRange",
                                        "RangeProfilerDecodeData"};
    struct reading r;

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        cupti_fake.once = calls[i];
        struct probe *p = open_probe();
        choose_group(p, "cupti:traffic");
        for (int n = 0; n < 3; n++) {
            p->ops->begin(p);
            p->ops->end(p, &r);
            const struct value *v = find(&r, METRIC_DRAM_READ_BYTES);
            assert_true(v && v->provenance == PROVENANCE_COUNTER);
            assert_int_equal(fake.profilers, 1);
        }
        p->ops->rest(p);
        p->ops->begin(p);
        p->ops->end(p, &r);
        assert_all_missing(&r, "no group of counters is selected");
        p->ops->close(p);
    }
}

/* --- between passes --------------------------------------------------------------------------------------------------------
 */

static void after_a_rest_no_profiler_is_left_and_brackets_are_missing(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    assert_int_equal(fake.profilers, 0);
    choose_group(p, "cupti:traffic");
    assert_int_equal(fake.profilers, 1);
    p->ops->rest(p);
    assert_int_equal(fake.profilers + cupti_fake.hosts, 0);
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_all_missing(&r, "no group of counters is selected");
    choose_group(p, "cupti:traffic");
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_int_equal(find(&r, METRIC_DRAM_READ_BYTES)->provenance, PROVENANCE_COUNTER);
    p->ops->close(p);
}

static void a_group_that_cannot_be_set_up_is_missing_with_the_reason(void **state)
{
    struct probe *p = open_probe();
    struct reading r;

    (void)state;
    cupti_fake.failing = "RangeProfilerEnable";
    cupti_fake.result = CUPTI_ERROR_HARDWARE_BUSY;
    choose_group(p, "cupti:traffic");
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_all_missing(&r, "another profiler uses the counters");
    assert_int_equal(cupti_fake.hosts, 0);
    p->ops->close(p);
}

/* --- who may count ---------------------------------------------------------------------------------------------------------
 */

static void without_the_privilege_the_sentence_has_the_remedy(void **state)
{
    struct probe *p = NULL;
    struct err e = {0}, doctor = {0};

    (void)state;
    cupti_fake.failing = "RangeProfilerEnable";
    cupti_fake.result = CUPTI_ERROR_INSUFFICIENT_PRIVILEGES;
    assert_int_equal(try_open(&p, &e), ERR_ABSENT);
    assert_null(p);
    assert_non_null(strstr(e.text, "NVreg_RestrictProfilingToAdminUsers=0"));
    assert_non_null(strstr(e.text, "RmProfilingAdminOnly"));
    assert_int_equal(cuda_counters_allowed(0, &doctor), ERR_ABSENT);
    assert_string_equal(doctor.text, e.text);
    cupti_fake.failing = "ProfilerGetCounterAvailability"; /* where drivers refuse first */
    assert_int_equal(try_open(&p, &e), ERR_ABSENT);
    assert_int_equal(cuda_counters_allowed(0, &doctor), ERR_ABSENT);
    assert_string_equal(doctor.text, e.text);
    assert_non_null(strstr(e.text, "NVreg_RestrictProfilingToAdminUsers=0"));
    assert_int_equal(fake.profilers, 0);
}

static void where_counters_may_be_used_the_question_leaves_nothing_behind(void **state)
{
    (void)state;
    assert_int_equal(cuda_counters_allowed(0, NULL), 0);
    assert_int_equal(cupti_fake.support.api, CUPTI_PROFILER_RANGE_PROFILING);
    assert_int_equal(fake.profilers, 0);
}

static void a_device_that_cannot_be_profiled_says_why(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    cupti_fake.support.isSupported = CUPTI_PROFILER_CONFIGURATION_UNSUPPORTED;
    cupti_fake.support.vGpu = CUPTI_PROFILER_CONFIGURATION_DISABLED;
    assert_int_equal(try_open(&p, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "virtual GPU"));
    cupti_fake.support.vGpu = CUPTI_PROFILER_CONFIGURATION_SUPPORTED;
    cupti_fake.support.confidentialCompute = CUPTI_PROFILER_CONFIGURATION_UNSUPPORTED;
    assert_int_equal(try_open(&p, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "confidential computing"));
    cupti_fake.support.confidentialCompute = CUPTI_PROFILER_CONFIGURATION_UNKNOWN; /* trying tells more than this does */
    assert_int_equal(try_open(&p, &e), 0);
    p->ops->close(p);
}

static void whatever_fails_while_opening_is_an_absence_without_a_leak(void **state)
{
    static const char *const calls[] = {"ProfilerInitialize",
                                        "ProfilerDeviceSupported",
                                        "DeviceGetChipName",
                                        "ProfilerGetCounterAvailability",
                                        "ProfilerHostInitialize",
                                        "ProfilerHostConfigAddMetrics",
                                        "ProfilerHostGetConfigImageSize",
                                        "ProfilerHostGetConfigImage",
                                        "ProfilerHostGetNumOfPasses",
                                        "RangeProfilerEnable"};
    struct probe *p = NULL;

    (void)state;
    cupti_fake.result = CUPTI_ERROR_UNKNOWN;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct err e = {0};
        cupti_fake.failing = calls[i];
        cupti_fake.calls[0] = 0;
        assert_int_equal(try_open(&p, &e), ERR_ABSENT);
        assert_true(e.text[0]);
        assert_null(p);
        assert_non_null(strstr(cupti_fake.calls, calls[i]));
        assert_int_equal(cupti_fake.hosts + fake.profilers + fake.knowns, 0);
    }
}

/* --- what is believed ------------------------------------------------------------------------------------------------------
 */

static void every_known_work_is_counted_by_itself_and_as_a_graph(void **state)
{
    struct probe *p = open_probe();
    const struct calibration_list *list = p->ops->calibrations(p);
    int rows = 0;

    (void)state;
    for (int w = 0; w < gpu_known_work_count; w++)
        for (int i = 0; i < GPU_KNOWN_EXPECTATIONS && gpu_known_works[w].expect[i].metric != METRIC_WALL_NS; i++)
            rows += 2;
    assert_int_equal(list->count, rows);
    for (int i = 0; i < list->count; i++) {
        assert_true(list->item[i].accepted);
        assert_string_equal(list->item[i].probe, "cupti");
    }
    assert_string_equal(last_row(p, METRIC_DRAM_READ_BYTES)->kernel, "reading, as a graph");
    assert_string_equal(last_row(p, METRIC_DRAM_READ_BYTES)->event, "dram__bytes_read.sum");
    p->ops->close(p);
}

static void a_counter_that_is_wrong_gives_way_to_the_next_one(void **state)
{
    const struct calibration_list *list;
    struct probe *p;
    struct reading r;

    (void)state;
    fake.odd = "dram__bytes_read.sum";
    fake.value = AMOUNT * 1.2;
    p = open_probe();
    fake.odd = NULL;
    list = p->ops->calibrations(p);
    assert_string_equal(last_row(p, METRIC_DRAM_READ_BYTES)->event, "dram__bytes_op_read.sum");
    assert_true(last_row(p, METRIC_DRAM_READ_BYTES)->accepted);
    int refused = 0;
    for (int i = 0; i < list->count; i++)
        refused += !list->item[i].accepted;
    assert_int_equal(refused, 1);
    choose_group(p, "cupti:traffic");
    p->ops->begin(p);
    fake.counted[READ] += 1000;
    p->ops->end(p, &r);
    assert_true(find(&r, METRIC_DRAM_READ_BYTES)->value == 1000);
    p->ops->close(p);
}

static void a_quantity_without_a_right_counter_is_absent_and_says_why(void **state)
{
    struct probe *p;

    (void)state;
    fake.odd = "op_ffma_";
    fake.value = 0;
    p = open_probe();
    const struct calibration *row = last_row(p, METRIC_FLOPS_F32);
    assert_false(row->accepted);
    assert_string_equal(row->kernel, "");
    assert_string_equal(row->why, "adding: frozen at 0");
    assert_true(row->expected == 0 && isnan(row->measured));
    assert_false(has_metric(p, METRIC_FLOPS_F32));
    assert_true(has_metric(p, METRIC_FLOPS_F16));
    assert_true(has_metric(p, METRIC_FLOPS_TENSOR));
    p->ops->close(p);
}

static void a_counter_that_does_not_see_graphs_is_refused(void **state)
{
    struct probe *p = NULL;

    (void)state;
    fake.graphs_unseen = true;
    p = open_probe();
    assert_string_equal(last_row(p, METRIC_FLOPS_F16)->why, "halving, as a graph: frozen at 0");
    assert_false(has_metric(p, METRIC_DRAM_READ_BYTES));
    assert_true(has_metric(p, METRIC_GPU_HZ));
    p->ops->close(p);
}

static void a_bracket_that_was_disturbed_is_tried_again(void **state)
{
    struct probe *p;

    (void)state;
    fake.odd = "dram__bytes_read.sum";
    fake.value = AMOUNT * 3;
    fake.odd_times = 2;
    p = open_probe();
    assert_string_equal(last_row(p, METRIC_DRAM_READ_BYTES)->event, "dram__bytes_read.sum");
    assert_true(has_metric(p, METRIC_DRAM_READ_BYTES));
    p->ops->close(p);
}

static void what_counts_beside_its_own_work_is_refused(void **state)
{
    struct probe *p;

    (void)state;
    fake.odd = "op_fadd_";
    fake.value = AMOUNT * 0.5;
    p = open_probe();
    assert_false(has_metric(p, METRIC_FLOPS_F32));
    p->ops->close(p);
}

static void without_known_work_only_what_needs_none_is_left(void **state)
{
    struct probe *p;

    (void)state;
    fake.no_known = true;
    p = open_probe();
    assert_false(has_metric(p, METRIC_DRAM_READ_BYTES));
    assert_string_equal(last_row(p, METRIC_DRAM_READ_BYTES)->why, "only 3 MiB are free on the GPU");
    assert_true(has_metric(p, METRIC_SM_ACTIVE));
    p->ops->close(p);
}

static void only_the_wanted_quantities_are_counted(void **state)
{
    const enum metric wanted[] = {METRIC_DRAM_READ_BYTES}, others[] = {METRIC_CYCLES};
    const struct probe_args args = {.wanted = wanted, .wanted_count = 1}, none = {.wanted = others, .wanted_count = 1};
    enum metric metric[READING_VALUES_MAX];
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(cuda_probe_cupti.open(&p, &args, &e), 0);
    assert_int_equal(p->ops->groups(p), 1);
    p->ops->select(p, 0);
    assert_int_equal(p->ops->metrics(p, metric), 1);
    assert_int_equal(metric[0], METRIC_DRAM_READ_BYTES);
    p->ops->close(p);
    assert_int_equal(cuda_probe_cupti.open(&p, &none, &e), ERR_ABSENT);
    assert_string_equal(e.text, "none of the wanted quantities is a GPU's");
}

static void readings_that_cannot_be_true_are_told(void **state)
{
    static const struct {
        double ns, read, peak, flops, peak_flops, share;
        const char *why;
    } lines[] = {
        {1e6, 3e9, 4e12, 9e11, 1e15, 0.9, NULL},
        {0, 0, 4e12, 0, 1e15, 0, NULL}, /* nothing ran */
        {1e6, 9e9, 4e12, 0, 1e15, 0.9, "bytes than the memory"},
        {0, 1, 4e12, 0, 1e15, 0.9, "bytes than the memory"},
        {1e6, 3e9, 4e12, 3e12, 1e15, 0.9, "FLOPs than"},
        {1e6, 3e9, 4e12, 0, 1e15, 1.2, "a share"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        const double values[] = {lines[i].ns,    lines[i].read,       lines[i].peak,
                                 lines[i].flops, lines[i].peak_flops, lines[i].share};
        static const enum metric metrics[] = {METRIC_GPU_NS,       METRIC_DRAM_READ_BYTES,   METRIC_PEAK_DRAM_BPS,
                                              METRIC_FLOPS_TENSOR, METRIC_PEAK_TENSOR_FLOPS, METRIC_SM_ACTIVE};
        struct reading r = {.count = 6};
        const char *why = "";
        for (int k = 0; k < 6; k++)
            r.value[k] = (struct value){.metric = metrics[k], .provenance = PROVENANCE_COUNTER, .value = values[k]};
        assert_int_equal(cuda_probe_cupti.plausible(NULL, &r, &why), lines[i].why == NULL);
        assert_true(lines[i].why ? strstr(why, lines[i].why) != NULL : why == NULL);
        for (int k = 0; k < 6; k++)
            r.value[k].provenance = PROVENANCE_MISSING;
        assert_true(cuda_probe_cupti.plausible(NULL, &r, &why)); /* an absence, not a falsehood */
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, nothing_is_left)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_bracket_is_one_range_of_a_schedule_that_begins_anew),
        TEST(the_device_is_waited_for_at_either_end),
        TEST(readings_are_what_ran_between_begin_and_end),
        TEST(percentages_become_shares),
        TEST(provenance_says_what_was_held_against_known_work),
        TEST(what_was_not_collected_is_missing_and_the_rest_is_not),
        TEST(a_range_that_is_dropped_or_unfinished_or_lost_is_missing),
        TEST(a_bracket_that_fails_is_missing_with_cuptis_words_and_the_next_one_counts),
        TEST(a_profiler_that_serves_for_one_bracket_is_made_anew_for_each),
        TEST(after_a_rest_no_profiler_is_left_and_brackets_are_missing),
        TEST(a_group_that_cannot_be_set_up_is_missing_with_the_reason),
        TEST(without_the_privilege_the_sentence_has_the_remedy),
        TEST(where_counters_may_be_used_the_question_leaves_nothing_behind),
        TEST(a_device_that_cannot_be_profiled_says_why),
        TEST(whatever_fails_while_opening_is_an_absence_without_a_leak),
        TEST(every_known_work_is_counted_by_itself_and_as_a_graph),
        TEST(a_counter_that_is_wrong_gives_way_to_the_next_one),
        TEST(a_quantity_without_a_right_counter_is_absent_and_says_why),
        TEST(a_counter_that_does_not_see_graphs_is_refused),
        TEST(a_bracket_that_was_disturbed_is_tried_again),
        TEST(what_counts_beside_its_own_work_is_refused),
        TEST(without_known_work_only_what_needs_none_is_left),
        TEST(only_the_wanted_quantities_are_counted),
        TEST(readings_that_cannot_be_true_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
