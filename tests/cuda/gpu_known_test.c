/* SPDX-License-Identifier: MIT
 * The work that counters are held against does what it says: its kernels to the last operation, its streams to the last byte,
 * its graphs as much as its launches. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "emu_machine.h"
#include "gpu_known.h"
#include "gpu_known_kernels.h"

enum { BLOCKS = 3, SUMS = BLOCKS * KNOWN_THREADS, SMALL = 16 << 20 };

static float *sums(void)
{
    float *p = NULL;

    assert_int_equal(cudaMalloc((void **)&p, (SUMS + 1) * sizeof *p), cudaSuccess);
    p[SUMS] = 77;
    return p;
}

/* Of what threads start with: their index and that of the chain. */
static double starts(int thread)
{
    return KNOWN_CHAINS * thread + KNOWN_CHAINS * (KNOWN_CHAINS - 1) / 2;
}

static void multiply_adds_are_as_many_as_said(void **state)
{
    static const int rounds[] = {0, 1, 7, 64};
    float *out = sums();

    (void)state;
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        assert_int_equal(known_fma_f32(NULL, out, 1, 1, rounds[i], BLOCKS), cudaSuccess);
        for (int t = 0; t < SUMS; t++)
            assert_true(out[t] == (float)(starts(t % KNOWN_THREADS) + KNOWN_CHAINS * rounds[i]));
        assert_int_equal(known_fma_f16(NULL, out, 1, 1, rounds[i], BLOCKS), cudaSuccess);
        for (int t = 0; t < SUMS; t++)
            assert_true(out[t] == (float)(2 * (starts(t % KNOWN_THREADS) + KNOWN_CHAINS * rounds[i])));
        assert_true(out[SUMS] == 77);
    }
    cudaFree(out);
}

static void the_factor_is_used_as_the_summand_is(void **state)
{
    float *out = sums();

    (void)state;
    assert_int_equal(known_fma_f32(NULL, out, 2, 0, 3, BLOCKS), cudaSuccess);
    for (int t = 0; t < SUMS; t++)
        assert_true(out[t] == (float)(8 * starts(t % KNOWN_THREADS)));
    cudaFree(out);
}

/* An element of a product of matrices full of a is 16 a^2. */
static void products_of_a_warp_are_as_many_as_said(void **state)
{
    static const int rounds[] = {0, 1, 9};
    float *out = sums();

    (void)state;
    for (size_t i = 0; i < sizeof rounds / sizeof rounds[0]; i++) {
        assert_int_equal(known_mma_f16(NULL, out, 0.5f, rounds[i], BLOCKS), cudaSuccess);
        for (int t = 0; t < SUMS; t++)
            assert_true(out[t] == (float)(4 * KNOWN_CHAINS * rounds[i]));
        assert_int_equal(known_mma_bf16(NULL, out, 2, rounds[i], BLOCKS), cudaSuccess);
        for (int t = 0; t < SUMS; t++)
            assert_true(out[t] == (float)(64 * KNOWN_CHAINS * rounds[i]));
        assert_true(out[SUMS] == 77);
    }
    cudaFree(out);
}

static size_t free_bytes(void)
{
    size_t now = 0, total = 0;

    assert_int_equal(cudaMemGetInfo(&now, &total), cudaSuccess);
    return now;
}

static void every_work_runs_by_itself_and_as_a_graph(void **state)
{
    const size_t before = free_bytes();
    struct gpu_known *k = NULL;
    struct err e = {0};

    (void)state;
    if (gpu_known_open(&k, 0, &e) < 0)
        fail_msg("%s", e.text);
    for (int i = 0; i < gpu_known_work_count; i++) {
        assert_true(gpu_known_works[i].amount(k) > 0);
        for (int graph = 0; graph < 2; graph++) {
            const long given = emu_machine.given;
            assert_int_equal(gpu_known_run(k, i, graph > 0, &e), 0);
            assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
            assert_int_equal(emu_machine.given - given, 1);
        }
    }
    gpu_known_close(k);
    assert_int_equal(free_bytes(), before);
}

static void streams_are_several_times_the_l2_cache_and_what_is_said_of_them_is_found(void **state)
{
    struct gpu_known *k = NULL;
    int l2 = 0;

    (void)state;
    assert_int_equal(gpu_known_open(&k, 0, NULL), 0);
    assert_int_equal(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, 0), cudaSuccess);
    for (int i = 0; i < gpu_known_work_count; i++) {
        const struct gpu_known_expectation *reads = gpu_known_expects(&gpu_known_works[i], METRIC_DRAM_READ_BYTES);
        if (!reads)
            continue;
        assert_true(gpu_known_works[i].amount(k) >= 4.0 * l2);
        assert_true(reads->factor == 1);
        assert_null(gpu_known_expects(&gpu_known_works[i], METRIC_FLOPS_TENSOR));
    }
    gpu_known_close(k);
}

static void too_little_memory_is_an_absence_that_says_how_much_there_is(void **state)
{
    struct gpu_known *k = NULL;
    struct err e = {0};

    (void)state;
    emu_machine.memory = 3 << 20;
    assert_int_equal(gpu_known_open(&k, 0, &e), ERR_ABSENT);
    assert_null(k);
    assert_string_equal(e.text, "only 3 MiB are free on the GPU, too little to check its counters beyond its L2 cache");
    assert_int_equal(free_bytes(), 3 << 20);
}

/* The first thing it is given sets memory, then each work runs once. */
static void a_device_that_refuses_work_is_an_absence_without_a_leak(void **state)
{
    const size_t before = free_bytes();
    struct gpu_known *k = NULL;

    (void)state;
    for (long nth = 1; nth <= 1 + gpu_known_work_count; nth += 4) {
        struct err e = {0};
        emu_machine.given = 0;
        emu_machine.failing = nth;
        assert_int_equal(gpu_known_open(&k, 0, &e), ERR_ABSENT);
        assert_null(k);
        assert_non_null(strstr(e.text, "known work for the counters: "));
        assert_int_equal(free_bytes(), before);
    }
}

static int small_machine(void **state)
{
    (void)state;
    emu_machine.memory = SMALL;
    emu_machine.failing = 0;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(multiply_adds_are_as_many_as_said, small_machine),
        cmocka_unit_test_setup(the_factor_is_used_as_the_summand_is, small_machine),
        cmocka_unit_test_setup(products_of_a_warp_are_as_many_as_said, small_machine),
        cmocka_unit_test_setup(every_work_runs_by_itself_and_as_a_graph, small_machine),
        cmocka_unit_test_setup(streams_are_several_times_the_l2_cache_and_what_is_said_of_them_is_found, small_machine),
        cmocka_unit_test_setup(too_little_memory_is_an_absence_that_says_how_much_there_is, small_machine),
        cmocka_unit_test_setup(a_device_that_refuses_work_is_an_absence_without_a_leak, small_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
