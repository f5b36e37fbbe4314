/* SPDX-License-Identifier: MIT
 * Samples of the GPU over time, which the test makes (pm_room.h), and what CUPTI's host library, which needs no GPU, says of
 * the metrics on the chips that it knows. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "cuda_probes.h"
#include "pm.h"
#include "pm_room.h"

static int try_open(struct probe **p, struct err *e)
{
    const struct probe_args args = {.device = 0};

    return cuda_probe_pm.open(p, &args, e);
}

static struct probe *open_pm(void)
{
    struct probe *p = NULL;
    struct err e = {0};

    if (try_open(&p, &e) < 0)
        fail_msg("%s", e.text);
    p->ops->select(p, 0);
    return p;
}

/* Closed, it leaves nothing behind. */
static void close_pm(struct probe *p)
{
    p->ops->close(p);
    assert_false(fake.enabled);
    assert_int_equal(cupti_fake.hosts, 0);
}

static void add_sample(uint64_t start, uint64_t end, double bytes)
{
    assert_true(fake.samples < SAMPLES);
    fake.sample[fake.samples].start = start;
    fake.sample[fake.samples].end = end;
    fake.sample[fake.samples].read = bytes;
    fake.sample[fake.samples].write = bytes / 4;
    fake.sample[fake.samples].sm = 50;
    fake.sample[fake.samples++].tensor = 12.5;
}

static void assert_missing(const struct value *v, const char *why)
{
    assert_int_equal(v->provenance, PROVENANCE_MISSING);
    if (!strstr(v->why, why))
        fail_msg("'%s' is not in '%s'", why, v->why);
}

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

static void without_a_gpu_it_does_not_open_and_says_why(void **state)
{
    const struct probe_args none = {.device = -1}, beyond = {.device = 7};
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(cuda_probe_pm.open(&p, &none, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "not computed on a GPU"));
    assert_int_equal(cuda_probe_pm.open(&p, &beyond, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "GPU 7"));
    assert_null(p);
}

static void without_permission_it_does_not_open_and_names_the_remedy(void **state)
{
    static const char *const calls[] = {"ProfilerDeviceSupported", "PmSamplingGetCounterAvailability", "PmSamplingEnable",
                                        "PmSamplingSetConfig"};

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct probe *p = NULL;
        struct err e = {0};
        cupti_fake.failing = calls[i];
        cupti_fake.result = CUPTI_ERROR_INSUFFICIENT_PRIVILEGES;
        assert_int_equal(try_open(&p, &e), ERR_ABSENT);
        assert_non_null(strstr(e.text, "NVreg_RestrictProfilingToAdminUsers=0"));
        assert_null(p);
        assert_false(fake.enabled);
        assert_int_equal(cupti_fake.hosts, 0);
    }
}

static void a_chip_without_any_of_the_metrics_is_absent(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    cupti_fake.unknown = "__";
    assert_int_equal(try_open(&p, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "GH100"));
    assert_int_equal(cupti_fake.hosts, 0);
}

static void chips_without_a_fixed_clock_are_sampled_by_the_system_clock(void **state)
{
    static const struct {
        const char *chip;
        CUpti_PmSampling_TriggerMode trigger;
    } chips[] = {
        {"TU102", CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_SYSCLK_INTERVAL},
        {"GA100", CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_SYSCLK_INTERVAL},
        {"GA102", CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL},
        {"GH100", CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL},
        {"GB202", CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        cupti_fake.chip = chips[i].chip;
        struct probe *p = open_pm();
        assert_int_equal(fake.trigger, chips[i].trigger);
        close_pm(p);
    }
}

static void the_counters_are_free_outside_of_brackets(void **state)
{
    struct probe *p = open_pm();
    struct reading r;

    (void)state;
    assert_int_equal(cupti_fake.support.api, CUPTI_PROFILER_PM_SAMPLING);
    assert_int_equal(cupti_fake.type, CUPTI_PROFILER_TYPE_PM_SAMPLING);
    assert_false(fake.enabled);
    for (int i = 0; i < 3; i++) {
        p->ops->begin(p);
        assert_true(fake.started);
        assert_ptr_equal(cupti_fake.clock, clock_ns);
        assert_int_equal(fake.interval, 20000);
        p->ops->end(p, &r);
        assert_false(fake.enabled);
    }
    assert_int_equal(cupti_fake.clocks, 1);
    close_pm(p);
}

/* --- samples ---------------------------------------------------------------------------------------------------------------
 */

static void samples_are_given_as_bytes_and_shares_and_add_up_to_the_totals(void **state)
{
    struct probe *p = open_pm();
    const struct device_sample *s;
    enum metric metrics[READING_VALUES_MAX];
    struct reading r;

    (void)state;
    assert_int_equal(p->ops->metrics(p, metrics), 2);
    p->ops->begin(p);
    const uint64_t t = clock_ns();
    add_sample(t, t, 999); /* covers no time, as the first ones do */
    for (uint64_t i = 0; i < 5; i++)
        add_sample(t + 20000 * i, t + 20000 * (i + 1), 4000 + (double)i);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->samples(p, &s), 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(s[i].at_ns, t + 20000 * (uint64_t)i);
        assert_int_equal(s[i].span_ns, 20000);
        assert_true(s[i].read_bytes == 4000 + i && s[i].write_bytes == (4000 + i) / 4.0);
        assert_true(s[i].sm_active == 0.5 && s[i].tensor_active == 0.125);
    }
    assert_int_equal(r.count, 2);
    assert_int_equal(r.value[0].metric, metrics[0]);
    assert_int_equal(r.value[0].metric, METRIC_DRAM_READ_BYTES);
    assert_int_equal(r.value[1].metric, METRIC_DRAM_WRITE_BYTES);
    assert_int_equal(r.value[0].provenance, PROVENANCE_VENDOR);
    assert_true(r.value[0].value == 20010 && r.value[1].value == 20010 / 4.0);
    const char *why;
    assert_true(p->ops->plausible(p, &r, &why));
    close_pm(p);
}

static void what_is_decoded_bit_by_bit_is_all_there(void **state)
{
    struct probe *p = open_pm();
    const struct device_sample *s;
    struct reading r;

    (void)state;
    fake.per_decode = 2;
    p->ops->begin(p);
    const uint64_t t = clock_ns();
    for (uint64_t i = 0; i < 5; i++)
        add_sample(t + 20000 * i, t + 20000 * (i + 1), 1);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->samples(p, &s), 5);
    assert_true(r.value[0].value == 5);
    close_pm(p);
}

static void a_first_sample_that_goes_back_before_the_bracket_is_left_out(void **state)
{
    struct probe *p = open_pm();
    const struct device_sample *s;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    uint64_t t = clock_ns();
    add_sample(t - 1000000000, t, 999);
    add_sample(t, t + 20000, 7);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->samples(p, &s), 1);
    assert_true(r.value[0].value == 7);

    fake.samples = 0; /* but that is for the first ones only */
    p->ops->begin(p);
    t = clock_ns();
    for (int i = 0; i < 3; i++)
        add_sample(t - 1000000000, t, 999);
    add_sample(t, t + 20000, 7);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "the times of 3 of 4 samples are of another clock");
    close_pm(p);
}

static void what_a_chip_does_not_have_is_not_known_and_says_so(void **state)
{
    struct probe *p;
    const struct device_sample *s;
    struct reading r;

    (void)state;
    cupti_fake.unknown = "dram__";
    cupti_fake.two_passes = "tensor";
    p = open_pm();
    p->ops->begin(p);
    const uint64_t t = clock_ns();
    add_sample(t, t + 20000, 1);
    p->ops->end(p, &r);
    assert_int_equal(p->ops->samples(p, &s), 1);
    assert_true(isnan(s[0].read_bytes) && isnan(s[0].write_bytes) && isnan(s[0].tensor_active));
    assert_true(s[0].sm_active == 0.5);
    assert_missing(&r.value[0], "GH100 has no such counter");
    assert_missing(&r.value[1], "GH100 has no such counter");
    close_pm(p);
}

static void what_is_longer_than_the_samples_that_fit_is_run_again_with_longer_ones(void **state)
{
    struct probe *p = open_pm();
    const struct device_sample *s;
    const char *why = NULL;
    struct reading r;

    (void)state;
    fake.overflow = true; /* of the hardware's buffer: there is nothing left of it */
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "8192 samples of 20 us");
    assert_false(p->ops->plausible(p, &r, &why));
    assert_string_equal(why, r.value[0].why);
    assert_int_equal(p->ops->samples(p, &s), 0);

    fake.overflow = false;
    fake.full = true; /* the image: what was decoded is there */
    p->ops->begin(p);
    assert_int_equal(fake.interval, 40000);
    uint64_t t = clock_ns();
    add_sample(t, t + 40000, 1);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "8192 samples of 40 us");
    assert_false(p->ops->plausible(p, &r, &why));
    assert_int_equal(p->ops->samples(p, &s), 1);

    fake.full = false;
    fake.samples = 0;
    p->ops->begin(p);
    assert_int_equal(fake.interval, 80000);
    t = clock_ns();
    add_sample(t, t + 80000, 1);
    p->ops->end(p, &r);
    assert_true(p->ops->plausible(p, &r, &why));
    assert_true(r.value[0].value == 1);

    p->ops->select(p, 0); /* another pass begins anew */
    p->ops->begin(p);
    assert_int_equal(fake.interval, 20000);
    p->ops->end(p, &r);
    close_pm(p);
}

static void the_same_number_of_samples_is_asked_for_each_time(void **state)
{
    struct probe *p = open_pm();
    const uint32_t opened_with = fake.max_samples;
    struct reading r;

    (void)state;
    assert_true(opened_with > 0);
    fake.overflow = true;
    for (int i = 0; i < 3; i++) {
        p->ops->begin(p);
        assert_int_equal(fake.max_samples, opened_with);
        p->ops->end(p, &r);
    }
    close_pm(p);
}

static void lost_samples_and_another_clock_make_the_totals_missing(void **state)
{
    struct probe *p = open_pm();
    const struct device_sample *s;
    const char *why;
    struct reading r;

    (void)state;
    p->ops->begin(p);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "took no samples");

    p->ops->begin(p);
    uint64_t t = clock_ns();
    add_sample(t, t + 20000, 1);
    add_sample(0, 0, 1);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "lost samples");
    assert_int_equal(p->ops->samples(p, &s), 1);

    fake.samples = 0;
    p->ops->begin(p);
    add_sample(1700000000000000000, 1700000000000020000, 1); /* since 1970 */
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "another clock");
    assert_int_equal(p->ops->samples(p, &s), 0);

    fake.samples = 0;
    p->ops->begin(p);
    t = clock_ns();
    add_sample(t, t + 20000, NAN);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "no value for some samples");
    assert_true(p->ops->plausible(p, &r, &why));
    close_pm(p);
}

static void a_sampler_that_does_not_start_is_told_and_not_left_enabled(void **state)
{
    struct probe *p = open_pm();
    struct reading r;

    (void)state;
    cupti_fake.failing = "PmSamplingStart";
    cupti_fake.result = CUPTI_ERROR_HARDWARE_BUSY;
    p->ops->begin(p);
    assert_false(fake.enabled);
    p->ops->end(p, &r);
    assert_missing(&r.value[0], "PmSamplingStart");
    assert_missing(&r.value[1], "another profiler uses the counters");
    close_pm(p);
}

/* --- the real library's tables ----------------------------------------------------------------------------------------------
 */

static void every_chip_samples_what_is_known_of_it_in_one_pass(void **state)
{
    static const struct {
        const char *chip;
        bool memory, tensor;
    } chips[] = {
        {"TU102", true, false}, {"TU116", true, true}, {"GA100", true, true}, {"GA102", true, true},  {"GA10B", false, true},
        {"AD102", true, true},  {"GH100", true, true}, {"GB100", true, true}, {"GB10B", false, true}, {"GB202", true, true},
    };
    const struct cupti *real;
    struct err e = {0};

    (void)state;
    cupti_install(NULL);
    if (!(real = cupti_open(&e))) {
        print_message("%s\n", e.text);
        skip();
    }
    for (size_t i = 0; i < sizeof chips / sizeof chips[0]; i++) {
        const struct counter_host h = {.cupti = real, .chip = chips[i].chip, .type = CUPTI_PROFILER_TYPE_PM_SAMPLING};
        struct pm_choice c;
        bool has[PM_COUNT] = {false};
        if (pm_choose(&c, &h, &e) < 0 && CUPTI_API_VERSION < 130000 && strncmp(h.chip, "GB", 2) == 0)
            continue; /* newer than the library */
        if (e.code)
            fail_msg("%s: %s", chips[i].chip, e.text);
        for (int m = 0; m < c.count; m++)
            has[c.quantity[m]] = true;
        assert_int_equal(c.config.passes, 1);
        if (has[PM_READ] != chips[i].memory || has[PM_WRITE] != chips[i].memory || !has[PM_SM] ||
            has[PM_TENSOR] != chips[i].tensor)
            fail_msg("%s: read %d, write %d, sm %d, tensor %d", chips[i].chip, has[PM_READ], has[PM_WRITE], has[PM_SM],
                     has[PM_TENSOR]);
        counter_config_close(&c.config, &h);
    }
}

static void a_chip_that_cannot_be_sampled_is_absent_with_what_cupti_says(void **state)
{
    const struct counter_host h = {.cupti = NULL, .chip = "GV100", .type = CUPTI_PROFILER_TYPE_PM_SAMPLING};
    struct counter_host real = h;
    struct pm_choice c;
    struct err e = {0};

    (void)state;
    cupti_install(NULL);
    if (!(real.cupti = cupti_open(&e)))
        skip();
    assert_int_equal(pm_choose(&c, &real, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "GV100"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_gpu_it_does_not_open_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_permission_it_does_not_open_and_names_the_remedy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chip_without_any_of_the_metrics_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chips_without_a_fixed_clock_are_sampled_by_the_system_clock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_counters_are_free_outside_of_brackets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_are_given_as_bytes_and_shares_and_add_up_to_the_totals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_decoded_bit_by_bit_is_all_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_first_sample_that_goes_back_before_the_bracket_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_chip_does_not_have_is_not_known_and_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_longer_than_the_samples_that_fit_is_run_again_with_longer_ones, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_same_number_of_samples_is_asked_for_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_samples_and_another_clock_make_the_totals_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sampler_that_does_not_start_is_told_and_not_left_enabled, set_up, tear_down),
        cmocka_unit_test(every_chip_samples_what_is_known_of_it_in_one_pass),
        cmocka_unit_test(a_chip_that_cannot_be_sampled_is_absent_with_what_cupti_says),
    };

    return cmocka_run_group_tests_name("pm", tests, NULL, NULL);
}
