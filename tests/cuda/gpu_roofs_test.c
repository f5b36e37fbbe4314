/* SPDX-License-Identifier: MIT
 * The roofs of a GPU on the emulated one: the kernels do all of the work that is counted and no more, every roof is measured or
 * says why not, and nothing is left behind. Speeds mean nothing here. */
#include "check.h"

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_probes.h"
#include "emu_machine.h"
#include "gpu_roof_kernels.h"

enum { TILES = 7, MEMORY = 16 << 20 };

static const struct gpu_spread spreads[] = {{4, 32, 3}, {8, 64, 2}, {16, 32, 5}, {4, 64, 1}, {8, 32, 9}, {16, 64, 7}};
enum { SPREADS = sizeof spreads / sizeof spreads[0] };

static void *on_device(size_t bytes)
{
    void *p = NULL;

    assert_int_equal(cudaMalloc(&p, bytes), cudaSuccess);
    return p;
}

/* --- kernels -----------------------------------------------------------------------------------------------------------------
 */

static void every_word_is_read_in_every_pass_by_every_spread(void **state)
{
    (void)state;
    for (int i = 0; i < SPREADS; i++) {
        const struct gpu_spread *s = &spreads[i];
        const size_t bytes = TILES * gpu_tile_bytes(s), sums = (size_t)(s->blocks * s->threads);
        uint32_t *from = on_device(bytes), *sum = on_device(sums * sizeof *sum), expected = 0;
        for (size_t w = 0; w < bytes / 4; w++)
            expected += from[w] = 0x9e3779b9u * (uint32_t)(w + 1);
        for (int passes = 1; passes < 4; passes++) {
            uint32_t got = 0;
            assert_int_equal(gpu_read(NULL, s, sum, from, bytes, passes), cudaSuccess);
            assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
            for (size_t t = 0; t < sums; t++)
                got += sum[t];
            assert_int_equal(got, expected * (uint32_t)passes);
        }
        cudaFree(from);
        cudaFree(sum);
    }
}

static void every_byte_is_copied_and_no_other(void **state)
{
    (void)state;
    for (int i = 0; i < SPREADS; i++) {
        const size_t bytes = TILES * gpu_tile_bytes(&spreads[i]), beyond = 4096;
        unsigned char *from = on_device(bytes + beyond), *to = on_device(bytes + beyond);
        for (size_t b = 0; b < bytes + beyond; b++) {
            from[b] = (unsigned char)(b * 31 + b / 256);
            to[b] = 0xee;
        }
        assert_int_equal(gpu_copy(NULL, &spreads[i], to, from, bytes), cudaSuccess);
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_memory_equal(to, from, bytes);
        for (size_t b = bytes; b < bytes + beyond; b++)
            assert_int_equal(to[b], 0xee);
        cudaFree(from);
        cudaFree(to);
    }
}

static double element(const void *p, cudaDataType_t type, size_t i)
{
    const uint16_t half = ((const uint16_t *)p)[i];
    const uint32_t wide = (uint32_t)half << 16;
    float f;

    if (type == CUDA_R_32F)
        return (double)((const float *)p)[i];
    if (type == CUDA_R_16BF) {
        memcpy(&f, &wide, sizeof f);
        return (double)f;
    }
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const double magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half >> 15 ? -magnitude : magnitude;
}

static void random_data_is_spread_evenly_and_has_no_zeros_to_speak_of(void **state)
{
    static const cudaDataType_t types[] = {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF};
    enum { N = 10007 };

    (void)state;
    for (int t = 0; t < 3; t++) {
        void *p = on_device(N * 4), *again = on_device(N * 4), *other = on_device(N * 4);
        const size_t bytes = N * (t ? 2 : 4);
        double sum = 0, squares = 0;
        int zeros = 0;
        assert_int_equal(gpu_fill(NULL, p, types[t], N, 1), cudaSuccess);
        assert_int_equal(gpu_fill(NULL, again, types[t], N, 1), cudaSuccess);
        assert_int_equal(gpu_fill(NULL, other, types[t], N, 2), cudaSuccess);
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_memory_equal(p, again, bytes);
        assert_memory_not_equal(p, other, bytes);
        for (size_t i = 0; i < N; i++) {
            const double v = element(p, types[t], i);
            assert_true(v >= -1 && v <= 1);
            sum += v;
            squares += v * v;
            zeros += v == 0;
        }
        assert_true(fabs(sum / N) < 0.03 && fabs(squares / N - 1.0 / 3) < 0.02 && zeros < 5);
        cudaFree(p);
        cudaFree(again);
        cudaFree(other);
    }
    assert_int_equal(gpu_fill(NULL, NULL, CUDA_R_64F, 1, 1), cudaErrorInvalidValue);
}

static void a_kernel_that_does_nothing_runs_once_for_each_launch(void **state)
{
    uint32_t *count = on_device(sizeof *count);

    (void)state;
    *count = 0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(gpu_nothing(NULL, i % 2, i < 3 ? count : NULL), cudaSuccess);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(*count, 3);
    cudaFree(count);
}

/* --- roofs -------------------------------------------------------------------------------------------------------------------
 */

static const struct roof_spec *spec_of(const char *name)
{
    for (int i = 0; i < roof_count; i++)
        if (strcmp(roof_specs[i].name, name) == 0)
            return &roof_specs[i];
    fail_msg("no roof %s", name);
    return NULL;
}

static void *open_roofs(void)
{
    void *r = NULL;
    struct err e = {0};

    if (gpu_roofs_open(&r, 0, &e) < 0)
        fail_msg("%s", e.text);
    return r;
}

static size_t free_memory(void)
{
    size_t available, all;

    assert_int_equal(cudaMemGetInfo(&available, &all), cudaSuccess);
    return available;
}

static struct roof measured(void *r, const char *name)
{
    const size_t before = free_memory();
    struct roof out;
    struct err e = {0};

    if (gpu_roofs_measure(r, spec_of(name), 1, &out, &e) < 0)
        fail_msg("%s: %s", name, e.text);
    assert_ptr_equal(out.spec, spec_of(name));
    assert_true(out.value > 0 && out.work > 0 && out.wall_ns > 0 && out.repetitions >= 3);
    assert_true(fabs(out.value - out.work / (double)out.wall_ns * 1e9) <= 1e-6 * out.value);
    assert_int_equal(free_memory(), before);
    return out;
}

static void every_roof_of_a_gpu_is_measured(void **state)
{
    static const char *const how[][2] = {
        {"dram read", "16-byte loads, "},
        {"l2 read", "16-byte loads, "},
        {"dram copy", ""}, /* ours or the driver's */
        {"f32 gemm", "cublasLt, 64 x 64 x 64, random, algorithm "},
        {"tf32 gemm", "cublasLt, 64 x 64 x 64, random, algorithm "},
        {"f16 gemm", "cublasLt, 64 x 64 x 64, random, algorithm "},
        {"bf16 gemm", "cublasLt, 64 x 64 x 64, random, algorithm "},
        {"launch eager", "200 kernels of one thread, a call each"},
        {"launch graph", "200 kernels of one thread, in a graph"},
    };
    void *r = open_roofs();
    int seen = 0;

    (void)state;
    for (int i = 0; i < roof_count; i++) {
        struct roof out;
        struct err e = {0};
        if (!(roof_specs[i].of & ROOF_OF_GPU)) {
            assert_int_equal(gpu_roofs_measure(r, &roof_specs[i], 1, &out, &e), ERR_ABSENT);
            continue;
        }
        seen++;
    }
    assert_int_equal(seen, sizeof how / sizeof how[0]);
    for (int i = 0; i < seen; i++) {
        const struct roof roof = measured(r, how[i][0]);
        if (strncmp(roof.how, how[i][1], strlen(how[i][1])) != 0)
            fail_msg("%s: %s", how[i][0], roof.how);
    }
    gpu_roofs_close(r);
}

static void work_is_what_was_done(void **state)
{
    void *r = open_roofs();
    double bytes, runs;
    int blocks, threads, flight;
    char unit[8];

    (void)state;
    const struct roof read = measured(r, "dram read");
    assert_int_equal(sscanf(read.how, "16-byte loads, %d in flight, %d blocks of %d threads, %lf %7s", &flight, &blocks,
                            &threads, &bytes, unit),
                     5);
    assert_string_equal(unit, "MB");
    runs = read.work / (bytes * 1e6);
    assert_true(fabs(runs - round(runs)) < 0.01 * runs && runs > 0.9);
    assert_true(bytes * 1e6 >= 4.0 * (1 << 20) && bytes * 1e6 <= MEMORY / 2.0); /* four times the cache, half of what is free */
    const struct roof cached = measured(r, "l2 read");
    assert_int_equal(sscanf(cached.how, "16-byte loads, %d in flight, %d blocks of %d threads, %lf %7s", &flight, &blocks,
                            &threads, &bytes, unit),
                     5);
    assert_true(strcmp(unit, "kB") == 0 && bytes * 1e3 <= (1 << 20) / 3.0);
    gpu_roofs_close(r);
}

/* Where kernels cannot overlap there is one way alone: two runs to warm it up, then the repetitions, all of the same length.
 * For a graph one more, to have the kernel loaded. */
static void launches_are_given_as_often_as_they_are_counted(void **state)
{
    static const char *const names[] = {"launch eager", "launch graph"};

    (void)state;
    emu_machine.major = 8;
    void *r = open_roofs();
    for (int i = 0; i < 2; i++) {
        const long before = emu_machine.given;
        const struct roof roof = measured(r, names[i]);
        assert_true(emu_machine.given - before == i + 2 * 200 + (long)roof.work * roof.repetitions);
        assert_true((long)roof.work % 200 == 0);
    }
    gpu_roofs_close(r);
}

static void a_gpu_without_room_for_a_roof_says_how_much_lacks(void **state)
{
    void *r = open_roofs();
    struct roof out;
    struct err e = {0};

    (void)state;
    emu_machine.memory = 6 << 20; /* half of it is less than four times the cache */
    assert_int_equal(gpu_roofs_measure(r, spec_of("dram read"), 1, &out, &e), ERR_ABSENT);
    assert_string_equal(e.text, "6.29 MB of the GPU's memory are free, twice 4.33 MB are needed");
    assert_int_equal(gpu_roofs_measure(r, spec_of("dram copy"), 1, &out, &e), ERR_ABSENT);
    measured(r, "l2 read");
    emu_machine.memory = MEMORY;
    measured(r, "dram read");
    gpu_roofs_close(r);
}

static void work_that_fails_is_an_error_and_leaves_nothing_behind(void **state)
{
    static const struct {
        const char *roof;
        int nth; /* piece of work: while filling, warming up, measuring */
    } failures[] = {{"dram read", 1}, {"dram read", 3},    {"dram read", 15},
                    {"dram copy", 2}, {"launch eager", 1}, {"launch graph", 1}};
    void *r = open_roofs();

    (void)state;
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        const size_t before = free_memory();
        struct roof out;
        struct err e = {0};
        emu_machine.failing = emu_machine.given + failures[i].nth;
        assert_int_equal(gpu_roofs_measure(r, spec_of(failures[i].roof), 1, &out, &e), ERR_IO);
        assert_non_null(strstr(e.text, "unspecified launch failure"));
        emu_machine.failing = 0;
        assert_int_equal(free_memory(), before);
    }
    measured(r, "dram read");
    measured(r, "launch graph");
    gpu_roofs_close(r);
}

static void a_gpu_that_is_not_there_has_no_roofs(void **state)
{
    void *r = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(gpu_roofs_open(&r, 1, &e), ERR_ABSENT);
    assert_string_equal(e.text, "there is no GPU 1; CUDA sees 1, from 0");
    assert_null(r);
}

/* --- the machine that each test begins with ----------------------------------------------------------------------------------
 */

static struct emu_machine machine;

static int small_machine(void **state)
{
    (void)state;
    machine = emu_machine;
    emu_machine.memory = MEMORY;
    return 0;
}

static int machine_as_it_was(void **state)
{
    (void)state;
    const long given = emu_machine.given;
    emu_machine = machine;
    emu_machine.given = given;
    return free_memory() == machine.memory ? 0 : -1; /* nothing was kept */
}

int main(void)
{
#define ON_GPU(test) cmocka_unit_test_setup_teardown(test, small_machine, machine_as_it_was)
    const struct CMUnitTest tests[] = {
        ON_GPU(every_word_is_read_in_every_pass_by_every_spread),
        ON_GPU(every_byte_is_copied_and_no_other),
        ON_GPU(random_data_is_spread_evenly_and_has_no_zeros_to_speak_of),
        ON_GPU(a_kernel_that_does_nothing_runs_once_for_each_launch),
        ON_GPU(every_roof_of_a_gpu_is_measured),
        ON_GPU(work_is_what_was_done),
        ON_GPU(launches_are_given_as_often_as_they_are_counted),
        ON_GPU(a_gpu_without_room_for_a_roof_says_how_much_lacks),
        ON_GPU(work_that_fails_is_an_error_and_leaves_nothing_behind),
        ON_GPU(a_gpu_that_is_not_there_has_no_roofs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
