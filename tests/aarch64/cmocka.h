/* SPDX-License-Identifier: MIT
 * The part of cmocka that the kernels' tests use, for machines that this one only emulates: its library is not installed for
 * them. Prints TAP. */
#ifndef BENCH_AARCH64_CMOCKA_H
#define BENCH_AARCH64_CMOCKA_H

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

static jmp_buf test_over;
enum { TEST_FAILED = 1, TEST_SKIPPED = 2 };

#define cmocka_unit_test(f)                                                                                                    \
    {                                                                                                                          \
#f, f                                                                                                                  \
    }
#define cmocka_run_group_tests(tests, setup, teardown)                                                                         \
    run_tests(tests, sizeof(tests) / sizeof *(tests), (int (*)(void **))(setup), (int (*)(void **))(teardown))

#define print_message(...) printf("# " __VA_ARGS__)
#define skip()             longjmp(test_over, TEST_SKIPPED)
#define fail_msg(...)                                                                                                          \
    do {                                                                                                                       \
        printf("# %s:%d: ", __FILE__, __LINE__);                                                                               \
        printf(__VA_ARGS__);                                                                                                   \
        printf("\n");                                                                                                          \
        longjmp(test_over, TEST_FAILED);                                                                                       \
    } while (0)
#define assert_true(x)                                                                                                         \
    do {                                                                                                                       \
        if (!(x))                                                                                                              \
            fail_msg("not so: %s", #x);                                                                                        \
    } while (0)
#define assert_false(x)                assert_true(!(x))
#define assert_null(p)                 assert_true((p) == NULL)
#define assert_non_null(p)             assert_true((p) != NULL)
#define assert_int_equal(a, b)         assert_true((long long)(a) == (long long)(b))
#define assert_ptr_equal(a, b)         assert_true((const void *)(a) == (const void *)(b))
#define assert_float_equal(a, b, most) assert_true(fabs((double)(a) - (double)(b)) <= (double)(most))
#define assert_memory_equal(a, b, n)   assert_true(memcmp(a, b, n) == 0)
#define assert_string_equal(a, b)      assert_true(strcmp(a, b) == 0)

static inline int run_tests(const struct CMUnitTest *test, size_t n, int (*setup)(void **), int (*teardown)(void **))
{
    volatile int failures = 0;
    void *state = NULL;

    if (setup && setup(&state) != 0) {
        printf("Bail out! the tests' setup failed\n");
        return 1;
    }
    for (volatile size_t i = 0; i < n; i++) {
        const int how = setjmp(test_over);
        if (how == 0)
            test[i].run(&state);
        failures += how == TEST_FAILED;
        printf("%sok %zu - %s%s\n", how == TEST_FAILED ? "not " : "", i + 1, test[i].name,
               how == TEST_SKIPPED ? " # SKIP" : "");
        fflush(stdout);
    }
    if (teardown)
        teardown(&state);
    printf("1..%zu\n", n);
    return failures;
}

#endif
