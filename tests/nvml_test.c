/* SPDX-License-Identifier: MIT
 * NVML against a library made for it (data/fake_nvml.c): every value, each one refused for itself, libraries that lack
 * something or everything, the probe's energy and how often it asks, and the rows of a record. */
#include "check.h"

#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/fake_nvml.h"
#include "gpu.h"
#include "nvml.h"

static const char pci[] = "0000:18:00.0";
static const uint64_t never = UINT64_MAX;
static char library[512], old_library[512];
static struct fake_nvml *fake; /* that of `library`, which stays loaded */

/* --- the plug-in of this test, in place of the program's ---------------------------------------------------------------------
 */

static bool plugged;

static int plug_facts(int device, struct gpu_facts *out, struct err *e)
{
    if (device != 0)
        return err_set(e, ERR_ABSENT, "there is no GPU %d", device);
    *out = (struct gpu_facts){.name = "NVIDIA H200",
                              .major = 9,
                              .sms = 132,
                              .memory_bytes = 150000000000,
                              .l2_bytes = 50 << 20,
                              .shared_per_sm = 228 << 10,
                              .runtime_version = 12060,
                              .driver_version = 13000};
    snprintf(out->pci, sizeof out->pci, "%s", pci);
    return 0;
}

const struct gpu_plugin *gpu_plugin(struct err *e)
{
    static const struct gpu_plugin plugin = {.facts = plug_facts};

    if (plugged)
        return &plugin;
    err_set(e, ERR_ABSENT, "built without the plug-in");
    return NULL;
}

/* --- values ------------------------------------------------------------------------------------------------------------------
 */

static struct nvml *open_fake(const char *path)
{
    struct nvml *n = NULL;
    struct err e = {0};

    if (nvml_open(&n, path, pci, &e) < 0)
        fail_msg("%s", e.text);
    return n;
}

static const struct {
    enum nvml_value value;
    enum fake_function function;
    double expected;
    const char *what;
} values[] = {
    {NVML_ENERGY_J, FAKE_ENERGY, 5000.25, "energy"},
    {NVML_POWER_W, FAKE_POWER, 412.5, "power"},
    {NVML_UTILIZATION, FAKE_UTILIZATION, 0.87, "utilization"},
    {NVML_MEMORY_BYTES, FAKE_MEMORY, 14e9, "memory in use"},
    {NVML_SM_HZ, FAKE_CLOCK, 1.755e9, "clock"},
    {NVML_SM_HZ_MOST, FAKE_MOST_CLOCK, 1.98e9, "highest clock"},
    {NVML_DRAM_HZ_MOST, FAKE_MOST_CLOCK, 3.201e9, "memory's highest clock"},
    {NVML_TEMPERATURE_C, FAKE_TEMPERATURE, 61, "temperature"},
    {NVML_SLOWED, FAKE_REASONS, 4, "slowing of the clock"},
};
enum { VALUES = sizeof values / sizeof values[0] };

static void every_value_comes_in_its_unit(void **state)
{
    struct nvml *n = open_fake(library);
    char driver[80];

    (void)state;
    assert_int_equal(VALUES, NVML_VALUES);
    for (int i = 0; i < VALUES; i++) {
        double got = -1;
        struct err e = {0};
        if (nvml_read(n, values[i].value, &got, &e) < 0)
            fail_msg("%s", e.text);
        assert_float_equal(got, values[i].expected, 1e-9 * values[i].expected);
    }
    nvml_driver(n, driver, sizeof driver);
    assert_string_equal(driver, "580.65.06");
    nvml_close(n);
}

static void each_value_may_be_refused_alone(void **state)
{
    struct nvml *n = open_fake(library);

    (void)state;
    for (int refused = 0; refused < VALUES; refused++) {
        fake->answer[values[refused].function] = 3;
        for (int i = 0; i < VALUES; i++) {
            char expected[96];
            double got;
            struct err e = {0};
            const bool hit = values[i].function == values[refused].function;
            assert_int_equal(nvml_read(n, values[i].value, &got, &e), hit ? ERR_ABSENT : 0);
            snprintf(expected, sizeof expected, "the %s of the GPU is not told: Not Supported", values[i].what);
            assert_string_equal(e.text, hit ? expected : "");
        }
        fake->answer[values[refused].function] = 0;
    }
    nvml_close(n);
}

static void a_driver_that_does_not_tell_its_version_leaves_it_empty(void **state)
{
    struct nvml *n = open_fake(library);
    char driver[80];

    (void)state;
    fake->answer[FAKE_VERSION] = 3;
    nvml_driver(n, driver, sizeof driver);
    assert_string_equal(driver, "");
    nvml_close(n);
}

static void an_old_library_lacks_the_energy_alone_and_knows_a_function_by_its_former_name(void **state)
{
    struct nvml *n = open_fake(old_library);
    double got;
    struct err e = {0};

    (void)state;
    assert_int_equal(nvml_read(n, NVML_ENERGY_J, &got, &e), ERR_ABSENT);
    assert_string_equal(e.text,
                        "the energy of the GPU is not told: this driver's NVML has no nvmlDeviceGetTotalEnergyConsumption");
    assert_int_equal(nvml_read(n, NVML_SLOWED, &got, &e), 0);
    assert_float_equal(got, 4, 0);
    nvml_close(n);
}

/* --- no library --------------------------------------------------------------------------------------------------------------
 */

static void assert_refused(const char *path, const char *place, const char *sentence)
{
    struct nvml *n = NULL;
    struct err e = {0};

    assert_int_equal(nvml_open(&n, path, place, &e), ERR_ABSENT);
    assert_null(n);
    if (!strstr(e.text, sentence))
        fail_msg("'%s' is not in '%s'", sentence, e.text);
}

static void what_keeps_nvml_from_opening_is_said(void **state)
{
    (void)state;
    assert_refused("/nowhere/libnvidia-ml.so.1", pci, "it comes with NVIDIA's driver");
    assert_refused("libm.so.6", pci, "has no nvmlInit_v2; install a newer NVIDIA driver");
    assert_refused(library, "0000:99:00.0", "NVML knows no GPU at 0000:99:00.0: Not Found");
    assert_int_equal(fake->started, 0);
    fake->answer[FAKE_INIT] = 9;
    assert_refused(library, pci, "NVML does not start: Driver Not Loaded");
    assert_int_equal(fake->started, 0);
}

static void every_start_has_its_shutdown(void **state)
{
    struct nvml *n = open_fake(library), *m = open_fake(library);

    (void)state;
    assert_int_equal(fake->started, 2);
    nvml_close(n);
    nvml_close(m);
    assert_int_equal(fake->started, 0);
    nvml_close(NULL);
}

/* --- the probe ---------------------------------------------------------------------------------------------------------------
 */

static struct probe *open_probe(const char *path, uint64_t refresh_ns)
{
    struct probe *p = NULL;
    struct err e = {0};

    if (nvml_probe_open_at(path, pci, refresh_ns, &p, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

static const struct value *value_of(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return &r->value[i];
    fail_msg("no %s", metric_name(m));
    return NULL;
}

static void a_bracket(struct probe *p, unsigned long long mj, struct reading *out)
{
    p->ops->begin(p);
    fake->energy_mj += mj;
    p->ops->end(p, out);
}

static void energy_is_what_the_bracket_used(void **state)
{
    struct probe *p = open_probe(library, never);
    enum metric metric[READING_VALUES_MAX];
    struct reading r;
    const char *why;

    (void)state;
    fake->energy_mj += 7777; /* before, and between: nobody's */
    a_bracket(p, 1250, &r);
    assert_float_equal(value_of(&r, METRIC_GPU_ENERGY_J)->value, 1.25, 1e-9);
    fake->energy_mj += 7777;
    a_bracket(p, 750, &r);
    assert_float_equal(value_of(&r, METRIC_GPU_ENERGY_J)->value, 0.75, 1e-9);
    assert_true(p->ops->plausible(p, &r, &why));
    assert_int_equal(p->ops->metrics(p, metric), r.count);
    for (int i = 0; i < r.count; i++) {
        assert_int_equal(r.value[i].metric, metric[i]);
        assert_int_equal(r.value[i].provenance, PROVENANCE_VENDOR);
        assert_true(r.value[i].coverage == 1);
    }
    p->ops->close(p);
    assert_int_equal(fake->started, 0);
}

static void energy_that_runs_backwards_is_not_plausible(void **state)
{
    struct probe *p = open_probe(library, never);
    struct reading r;
    const char *why = "";

    (void)state;
    a_bracket(p, (unsigned long long)-1000, &r); /* the driver was loaded anew */
    assert_false(p->ops->plausible(p, &r, &why));
    assert_string_equal(why, "the GPU's energy counter went backwards");
    p->ops->close(p);
}

static void sensors_are_asked_again_only_after_a_while_and_the_energy_always(void **state)
{
    struct reading r;

    (void)state;
    for (int often = 0; often < 2; often++) {
        struct probe *p = open_probe(library, often ? 0 : never);
        memset(fake->calls, 0, sizeof fake->calls);
        for (int i = 0; i < 3; i++) {
            fake->power_mw = 100000 + 1000 * (unsigned)i;
            a_bracket(p, 1, &r);
            assert_float_equal(value_of(&r, METRIC_GPU_POWER_W)->value, often ? 100 + i : 100, 1e-9);
        }
        assert_int_equal(fake->calls[FAKE_ENERGY], 6);
        for (int f = FAKE_POWER; f <= FAKE_REASONS; f++)
            assert_int_equal(fake->calls[f], f == FAKE_MOST_CLOCK ? 0 : often ? 3 : 1);
        p->ops->close(p);
    }
}

static void a_quantity_that_is_refused_is_missing_with_the_reason(void **state)
{
    struct probe *p = open_probe(library, 0);
    struct reading r;
    const char *why;

    (void)state;
    fake->answer[FAKE_TEMPERATURE] = 3;
    fake->answer[FAKE_ENERGY] = 3;
    a_bracket(p, 1, &r);
    assert_true(p->ops->plausible(p, &r, &why));
    for (int i = 0; i < r.count; i++) {
        const enum metric m = r.value[i].metric;
        const bool refused = m == METRIC_GPU_TEMPERATURE_C || m == METRIC_GPU_ENERGY_J;
        assert_int_equal(r.value[i].provenance, refused ? PROVENANCE_MISSING : PROVENANCE_VENDOR);
        assert_int_equal(r.value[i].why != NULL, refused);
    }
    assert_string_equal(value_of(&r, METRIC_GPU_ENERGY_J)->why, "the energy of the GPU is not told: Not Supported");
    fake->answer[FAKE_TEMPERATURE] = 0;
    fake->answer[FAKE_ENERGY] = 0;
    a_bracket(p, 2000, &r);
    assert_int_equal(value_of(&r, METRIC_GPU_TEMPERATURE_C)->provenance, PROVENANCE_VENDOR);
    assert_float_equal(value_of(&r, METRIC_GPU_ENERGY_J)->value, 2, 1e-9);
    p->ops->close(p);
}

/* An energy that only one end of the bracket was told is no difference. */
static void energy_refused_at_one_end_is_missing(void **state)
{
    struct reading r;

    (void)state;
    for (int end = 0; end < 2; end++) {
        struct probe *p = open_probe(library, never);
        fake->answer[FAKE_ENERGY] = end ? 0 : 3;
        p->ops->begin(p);
        fake->answer[FAKE_ENERGY] = end ? 3 : 0;
        p->ops->end(p, &r);
        assert_int_equal(value_of(&r, METRIC_GPU_ENERGY_J)->provenance, PROVENANCE_MISSING);
        assert_int_equal(value_of(&r, METRIC_GPU_POWER_W)->provenance, PROVENANCE_VENDOR);
        p->ops->close(p);
    }
}

static void the_probe_of_the_list_finds_its_gpu_through_the_plug_in(void **state)
{
    const struct probe_ops *ops = probe_find("nvml", NULL);
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_true(ops->needs_device && ops->weight == PROBE_LIGHT);
    assert_int_equal(ops->open(&p, &(struct probe_args){.device = -1}, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "none computes here"));
    assert_int_equal(ops->open(&p, &(struct probe_args){.device = 0}, &e), ERR_ABSENT);
    assert_string_equal(e.text, "built without the plug-in");
    plugged = true;
    assert_int_equal(ops->open(&p, &(struct probe_args){.device = 1}, &e), ERR_ABSENT);
    assert_string_equal(e.text, "there is no GPU 1");
    assert_int_equal(ops->open(&p, &(struct probe_args){.device = 0}, &e),
                     0); /* the library is found by its name: loaded already */
    assert_int_equal(fake->started, 1);
    p->ops->close(p);
}

/* --- rows of a record --------------------------------------------------------------------------------------------------------
 */

struct seen {
    char text[2048];
    int rows, fail_at;
};

static int see(void *ctx, const char *key, const char *value, const char *source, struct err *e)
{
    struct seen *s = ctx;
    const size_t n = strlen(s->text);

    if (++s->rows == s->fail_at)
        return err_set(e, ERR_IO, "disk full");
    snprintf(s->text + n, sizeof s->text - n, "%s | %s | %s\n", key, value, source);
    return 0;
}

static void a_record_names_the_gpu_its_memory_driver_and_clocks(void **state)
{
    struct seen s = {.fail_at = 0};

    (void)state;
    plugged = true;
    assert_int_equal(gpu_machine_rows(0, see, &s, NULL), 0);
    assert_string_equal(s.text, "GPU | NVIDIA H200, compute capability 9.0, 132 multiprocessors | CUDA\n"
                                "GPU memory | 150 GB | CUDA\n"
                                "GPU L2 | 52.4 MB | CUDA\n"
                                "GPU shared memory | 233 kB a multiprocessor | CUDA\n"
                                "CUDA | 12.6, the driver's 13.0 | CUDA\n"
                                "GPU driver | 580.65.06 | NVML\n"
                                "GPU clocks | 1.98 GHz at most, memory 3.20 GHz | NVML\n");
    assert_int_equal(fake->started, 0);
}

static void what_a_record_cannot_name_says_why(void **state)
{
    struct seen s = {.fail_at = 0};

    (void)state;
    plugged = true;
    fake->answer[FAKE_INIT] = 9;
    assert_int_equal(gpu_machine_rows(0, see, &s, NULL), 0);
    assert_non_null(strstr(s.text, "GPU driver | unknown: NVML does not start: Driver Not Loaded"));
    assert_null(strstr(s.text, "GPU clocks"));
    fake->answer[FAKE_INIT] = 0;
    fake->answer[FAKE_MOST_CLOCK] = 3;
    s = (struct seen){.fail_at = 0};
    assert_int_equal(gpu_machine_rows(0, see, &s, NULL), 0);
    assert_non_null(strstr(s.text, "GPU clocks | unknown: the highest clock of the GPU is not told: Not Supported | NVML\n"));
}

static void a_row_that_fails_ends_the_rows(void **state)
{
    struct seen s = {.fail_at = 3};
    struct err e = {0};

    (void)state;
    assert_int_equal(gpu_machine_rows(0, see, &s, &e), ERR_ABSENT); /* there is no plug-in */
    assert_int_equal(s.rows, 0);
    plugged = true;
    assert_int_equal(gpu_machine_rows(1, see, &s, &e), ERR_ABSENT);
    assert_int_equal(s.rows, 0);
    assert_int_equal(gpu_machine_rows(0, see, &s, &e), ERR_IO);
    assert_int_equal(s.rows, 3);
    assert_string_equal(e.text, "disk full");
}

/* --- the libraries are beside the test ---------------------------------------------------------------------------------------
 */

static int load_fake(void **state)
{
    char self[400];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    (void)state;
    if (n < 0)
        return -1;
    self[n] = 0;
    const char *folder = dirname(self);
    snprintf(library, sizeof library, "%s/fake/libnvidia-ml.so.1", folder);
    snprintf(old_library, sizeof old_library, "%s/fake/old/libnvidia-ml.so.1", folder);
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    fake = handle ? dlsym(handle, "fake_nvml") : NULL;
    if (!fake)
        print_message("%s\n", dlerror());
    return fake ? 0 : -1;
}

static int well_again(void **state)
{
    (void)state;
    *fake = (struct fake_nvml){.energy_mj = 5000250, .power_mw = 412500};
    plugged = false;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_value_comes_in_its_unit, well_again),
        cmocka_unit_test_setup(each_value_may_be_refused_alone, well_again),
        cmocka_unit_test_setup(a_driver_that_does_not_tell_its_version_leaves_it_empty, well_again),
        cmocka_unit_test_setup(an_old_library_lacks_the_energy_alone_and_knows_a_function_by_its_former_name, well_again),
        cmocka_unit_test_setup(what_keeps_nvml_from_opening_is_said, well_again),
        cmocka_unit_test_setup(every_start_has_its_shutdown, well_again),
        cmocka_unit_test_setup(energy_is_what_the_bracket_used, well_again),
        cmocka_unit_test_setup(energy_that_runs_backwards_is_not_plausible, well_again),
        cmocka_unit_test_setup(sensors_are_asked_again_only_after_a_while_and_the_energy_always, well_again),
        cmocka_unit_test_setup(a_quantity_that_is_refused_is_missing_with_the_reason, well_again),
        cmocka_unit_test_setup(energy_refused_at_one_end_is_missing, well_again),
        cmocka_unit_test_setup(the_probe_of_the_list_finds_its_gpu_through_the_plug_in, well_again),
        cmocka_unit_test_setup(a_record_names_the_gpu_its_memory_driver_and_clocks, well_again),
        cmocka_unit_test_setup(what_a_record_cannot_name_says_why, well_again),
        cmocka_unit_test_setup(a_row_that_fails_ends_the_rows, well_again),
    };

    return cmocka_run_group_tests(tests, load_fake, NULL);
}
