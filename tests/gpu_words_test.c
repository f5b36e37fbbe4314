/* SPDX-License-Identifier: MIT
 * A run on a GPU in words: on a terminal, and as an experiment's record. */
#include "check.h"

#include <unistd.h>

#include "gpu_run.h"
#include "record.h"
#include "summary.h"
#include "text.h"

static struct text words;

static void summarise(void)
{
    words.len = 0;
    analyse();
    summary_text(doc, &words);
    for (const char *line = words.data, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (end - line > 100)
            fail_msg("%d columns: %.*s", (int)(end - line), (int)(end - line), line);
    }
}

static void record(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[300];

    snprintf(path, sizeof path, "%s/gpu_words_test_XXXXXX", tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
    words.len = 0;
    assert_ok(record_write(doc, NULL, path, &error));
    assert_ok(text_read_file(&words, path, 1 << 20, &error));
    assert_int_equal(unlink(path), 0);
    assert_null(strstr(words.data, "nan"));
    assert_null(strstr(words.data, "(null)"));
}

#define assert_words(part) has_text(words.data, part, __LINE__)

static int close_words(void **state)
{
    text_free(&words);
    return close_run(state);
}

static void the_summary_names_the_gpu_its_roofs_and_what_it_was_given(void **state)
{
    (void)state;
    add_gpu_run();
    summarise();
    assert_words("backend cuda, Sample GPU 9000 (synthetic data); unfinished\n");
    assert_null(strstr(words.data, "2 threads"));
    assert_words(" launch ");
    assert_words("roofs: bf16 gemm 800 [792, 808] TFLOP/s, dram read 4000 [3960, 4040] GB/s, launch graph 1.00");
    assert_words("launch eager 0.400 [0.396, 0.404] M kernels/s");
    assert_words("decode is launch-bound: it hands over 600 kernels, which take 1.5 ms at the launch eager roof");
    assert_words("\nGPU, kv_cache=on prompt=4 new=4 dtype=bf16 kv_dtype=bf16: prefill 600 kernels, busy 99 % of it, 600\n"
                 "  W; decode 600 kernels a step, busy 95 % of it, 602 W; slowed by: power cap\n");
    assert_words("\nenergy of the GPU, kv_cache=on prompt=4 new=4 dtype=bf16 kv_dtype=bf16, prefill 1.88 J a token");
}

static void a_run_on_the_cpu_says_nothing_of_a_gpu(void **state)
{
    (void)state;
    add_roofs();
    add_paper_trial();
    summarise();
    assert_words("backend ref, 2 threads");
    assert_null(strstr(words.data, "GPU"));
    assert_null(strstr(words.data, "launch"));
    record();
    assert_null(strstr(words.data, "### GPU"));
    assert_words("Of the CPU packages, other processes' share included.");
    assert_words("GPU Utilization   : N/A (CPU only)\n");
}

static void a_killed_run_on_a_gpu_holds_in_both(void **state)
{
    (void)state;
    put_gpu_trial("graph");
    summarise();
    assert_words("backend cuda, a GPU whose name was not recorded");
    record();
    assert_words("Hardware: GPU not recorded; host: CPU not recorded, 2 threads on CPU 0,1\n");
    assert_words("GPU Utilization   : not measured\n");
    assert_words(
        "| decode | kv_cache=on prompt=4 new=4 dtype=bf16 kv_dtype=bf16 | not measured | not measured | not measured | ");
}

static void the_record_shows_the_hardware_what_each_phase_was_given_and_the_method(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    record();
    assert_words("Hardware: Sample GPU 9000 (synthetic data); host: Sample CPU 9000 (synthetic data), 2 threads on CPU 0,1\n");
    assert_words("| decode | kv_cache=on prompt=4 new=4 dtype=bf16 kv_dtype=bf16 launch=eager | launch-bound | 41.7 % | ");
    assert_words("| decode | kv_cache=on prompt=4 new=4 dtype=bf16 kv_dtype=bf16 | 600 | 0.600 | 95.0 % | not measured | not "
                 "measured | 1.75 GHz | 602 W | power cap |\n");
    assert_words("| launch graph | launch | 2 | 1.00 M kernels/s | 0.990 M kernels/s to 1.01 M kernels/s | 3 | by hand |\n");
    assert_words("Of the GPU's board, other processes' share included.");
    assert_words("| 0.750 | 600 [588, 612] |\n");
    assert_words("- A step's time ends when the GPU has finished it.");
}

static void the_driver_s_utilization_needs_a_loop_that_lasts_as_long_as_its_sample_period(void **state)
{
    (void)state;
    add_gpu_run();
    analyse();
    record();
    assert_words(
        "GPU Utilization   : not measured: the decode loop took 3.75 ms, and the driver's figure is a mean over up to a "
        "second\n");
}

static void utilization_of_a_long_loop_stands_beside_power_and_energy(void **state)
{
    (void)state;
    add_gpu_roofs();
    time_gpu_trial(put_gpu_trial("graph"), 12.5, 400);
    analyse();
    record();
    assert_words("GPU Utilization   : 97.0 % while decoding (NVML, in its last sample period, median over the steps), 602 W, "
                 "0.750 J a token\n");
}

static void utilization_that_could_not_be_read_says_why(void **state)
{
    int64_t r;

    (void)state;
    r = add_repetition(put_gpu_trial("graph"), "time", false, "aa", gpu_ms, GPU_STEPS);
    add_reading_of("nvml", r, 1, "gpu_utilization", 0, "missing", "NVML: not supported");
    assert_ok(store_add_absent(store, run, "nvml", "there is no energy meter", &error));
    analyse();
    record();
    assert_words("GPU Utilization   : not measured: NVML: not supported\n");
    assert_words("| none | there is no energy meter | | | |\n");
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_gpu_run, close_words)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_summary_names_the_gpu_its_roofs_and_what_it_was_given),
        cmocka_unit_test_setup_teardown(a_run_on_the_cpu_says_nothing_of_a_gpu, open_run, close_words),
        test(a_killed_run_on_a_gpu_holds_in_both),
        test(the_record_shows_the_hardware_what_each_phase_was_given_and_the_method),
        test(the_driver_s_utilization_needs_a_loop_that_lasts_as_long_as_its_sample_period),
        test(utilization_of_a_long_loop_stands_beside_power_and_energy),
        test(utilization_that_could_not_be_read_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
