/* SPDX-License-Identifier: MIT
 * How products are planned: which algorithm is taken, when cublasLt is asked, and what comes of refusals. The emulated library
 * counts, and is as fast and as stubborn as a test says. */
#include "emu_machine.h"
#include "matmul_room.h"
#include "products.h"

static struct emu_machine machine;

static int be_usual(void **)
{
    machine = emu_machine;
    emu_products.fastest = emu_products.broken = -1;
    emu_products.breaks_with = CUBLAS_STATUS_NOT_SUPPORTED;
    return 0;
}

static int put_back(void **)
{
    long given = emu_machine.given;

    emu_machine = machine;
    emu_machine.given = given;
    return 0;
}

static size_t free_bytes()
{
    size_t now = 0, total = 0;

    assert_int_equal(cudaMemGetInfo(&now, &total), cudaSuccess);
    return now;
}

static const operation usual = {40, 64, DTYPE_BF16, DTYPE_F32, true, true};

static void the_fastest_algorithm_is_taken(void **)
{
    for (int fastest = 0; fastest < EMU_ALGORITHMS; fastest++) {
        products p;
        product_room room(usual, 32);
        emu_products.fastest = fastest;
        room.prepare(p, 32);
        room.run_and_check(p, 32);
        assert_int_equal(emu_products.last, fastest);
        room.run_and_check(p, 24); /* the next larger power's */
        assert_int_equal(emu_products.last, fastest);
    }
}

static void a_known_number_of_rows_asks_nothing_and_takes_no_memory(void **)
{
    static const int some[] = {64, 48, 57, 1, 3};
    products p;
    product_room room(usual, 64);

    room.prepare(p, 64);
    for (int rows : some)
        room.run_and_check(p, rows);
    long asked = emu_products.asked, checked = emu_products.checked;
    for (int i = 0; i < 3; i++)
        for (int rows : some) {
            numbers y = room.result(rows);
            size_t before = free_bytes();
            long given = emu_machine.given;
            assert_int_equal(room.run(p, rows, y.at(), NULL), 0);
            assert_int_equal(emu_machine.given - given, 1);
            assert_int_equal(free_bytes(), before);
            room.check(y, rows);
        }
    assert_int_equal(emu_products.asked, asked);
    assert_int_equal(emu_products.checked, checked);
}

static void what_is_prepared_already_costs_nothing_again(void **)
{
    products p;
    product_room room(usual, 100, 16), like_it(usual, 100, 16);

    room.prepare(p, 64);
    long asked = emu_products.asked, given = emu_machine.given;
    like_it.prepare(p, 64);
    room.prepare(p, 33);
    room.prepare(p, 2);
    assert_int_equal(emu_products.asked, asked);
    assert_int_equal(emu_machine.given, given);
    room.prepare(p, 100);
    assert_int_equal(emu_products.asked, asked + 1);
}

static void rows_that_the_decided_algorithm_cannot_do_get_the_heuristics_first(void **)
{
    products p;
    product_room room(usual, 64);

    emu_products.fastest = 1;
    room.prepare(p, 64);
    long asked = emu_products.asked;
    room.run_and_check(p, 56);
    assert_int_equal(emu_products.last, 1);
    assert_int_equal(emu_products.asked, asked);
    room.run_and_check(p, 57);
    assert_int_equal(emu_products.last, 0);
    assert_int_equal(emu_products.asked, asked + 1);
    room.run_and_check(p, 57);
    assert_int_equal(emu_products.asked, asked + 1);
}

static void a_later_decision_replaces_what_the_heuristic_said(void **)
{
    products p;
    product_room room(usual, 32);

    emu_products.fastest = 2;
    room.run_and_check(p, 32);
    assert_int_equal(emu_products.last, 0);
    room.prepare(p, 32);
    room.run_and_check(p, 32);
    assert_int_equal(emu_products.last, 2);
}

static void more_numbers_of_rows_than_are_remembered_stay_right(void **)
{
    products p;
    product_room room(usual, 300);

    room.prepare(p, 300);
    for (int round = 0; round < 2; round++)
        for (int rows : {44, 300, 7, 263})
            room.run_and_check(p, rows);
}

static void a_text_that_grows_token_by_token_is_planned_once(void **)
{
    enum { FIRST = 13, LAST = 140 };
    products p;
    product_room room(usual, LAST);

    room.prepare(p, LAST);
    for (int rows = FIRST; rows <= LAST; rows++)
        room.run_and_check(p, rows);
    long checked = emu_products.checked;
    for (int rows = FIRST; rows <= LAST; rows++)
        room.run_and_check(p, rows);
    assert_int_equal(emu_products.checked, checked);
}

/* 8192 rows stand for all above. */
static void products_of_many_rows_are_not_timed_for_each_power_of_two(void **)
{
    products p;
    product_room room({8, 8, DTYPE_BF16, DTYPE_F32, false, false}, 1 << 17, 16);

    room.prepare(p, 1 << 13);
    long asked = emu_products.asked;
    room.prepare(p, 1 << 17);
    assert_int_equal(emu_products.asked, asked);
}

static void an_algorithm_that_is_offered_and_does_not_run_is_passed_over(void **)
{
    for (int broken = 0; broken < 3; broken++) {
        emu_products.breaks_with = broken == 1 ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_NOT_SUPPORTED;
        products p;
        product_room room(usual, 16);
        struct matmul *m = p.m;
        struct err e = {};
        emu_products.broken = broken;
        int code = matmul_prepare(m, &room.w.m, 16, DTYPE_F32, true, true, room.scratch_x.at(), room.scratch.at(), &e);
        assert_int_equal(code, 0); /* of a single row only algorithm 0 is offered: it is not timed */
        room.run_and_check(p, 16);
        assert_int_not_equal(emu_products.last, broken);
    }
}

static void a_product_that_nothing_computes_is_refused_in_a_sentence(void **)
{
    products p;
    product_room room(usual, 1);
    numbers y = room.result(1);
    struct err e = {};

    emu_products.broken = 0;
    assert_int_equal(room.run(p, 1, y.at(), &e), ERR_IO);
    assert_string_equal(e.text, "backend cuda: cublasLt: a product of 1 rows with a 40 x 64 matrix of bfloat16, with bias, "
                                "added, into float32: CUBLAS_STATUS_NOT_SUPPORTED");
    assert_true(y.get() == y.values);
}

static void an_unknown_product_can_be_recorded(void **)
{
    products p;
    product_room room(usual, 20);
    numbers y = room.result(20);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    struct err e = {};

    assert_int_equal(cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_int_equal(room.run(p, 20, y.at(), &e), 0);
    assert_int_equal(cudaStreamEndCapture(p.stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    assert_int_equal(cudaGraphLaunch(exec, p.stream), cudaSuccess);
    room.check(y, 20);
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
}

static void memory_that_is_aligned_less_than_to_16_bytes_is_refused(void **)
{
    products p;
    product_room room(usual, 9);
    numbers y = room.result(9);
    char *const x = (char *)room.x.at(), *const to = (char *)y.at();
    struct matrix w = room.w.m;
    struct err e = {};

    assert_int_equal(matmul_run(p.m, &w, x + 8, 8, to, DTYPE_F32, room.bias_at(), true, &e), ERR_IO);
    assert_int_equal(matmul_run(p.m, &w, x, 8, to + 4, DTYPE_F32, room.bias_at(), true, &e), ERR_IO);
    assert_int_equal(matmul_run(p.m, &w, x, 8, to, DTYPE_F32, room.bias_at() + 1, true, &e), ERR_IO);
    w.data = (char *)w.data + 8;
    assert_int_equal(matmul_run(p.m, &w, x, 8, to, DTYPE_F32, room.bias_at(), true, &e), ERR_IO);
    assert_non_null(strstr(e.text, "a product of 8 rows with a 40 x 64 matrix of bfloat16"));
    assert_true(y.get() == y.values);
}

static std::vector<float> without_first(const numbers &n, int elements)
{
    return std::vector<float>(n.values.begin() + elements, n.values.end());
}

static void memory_aligned_to_16_bytes_and_no_more_will_do(void **)
{
    enum { ROWS = 8, HALVES = 8, FLOATS = 4 /* of 16 bytes */ };
    products p;
    product_room room(usual, ROWS + 1);
    numbers bias(DTYPE_F32, random_floats(40 + FLOATS, 1)), y = room.result(ROWS + 1);
    numbers same_x(DTYPE_BF16, without_first(room.x, HALVES)), same_bias(DTYPE_F32, without_first(bias, FLOATS)),
        same_y(DTYPE_F32, without_first(y, FLOATS));
    char *x = (char *)room.x.at() + 16;

    room.prepare(p, ROWS);
    assert_int_equal(matmul_run(p.m, &room.w.m, x, ROWS, y.floats() + FLOATS, DTYPE_F32, bias.floats() + FLOATS, true, NULL),
                     0);
    assert_int_equal(matmul_run(p.m, &room.w.m, same_x.at(), ROWS, same_y.at(), DTYPE_F32, same_bias.floats(), true, NULL), 0);
    std::vector<float> got = y.get(), want = same_y.get();
    assert_true(want != same_y.values);
    assert_true(std::equal(want.begin(), want.end(), got.begin() + FLOATS));
}

static void a_machine_without_room_for_the_workspace_is_told_so(void **)
{
    size_t before = free_bytes();
    struct matmul *m = NULL;
    struct err e = {};

    emu_machine.memory -= before - (1 << 20);
    assert_int_equal(matmul_open(&m, NULL, &e), ERR_MEMORY);
    assert_null(m);
    assert_string_equal(e.text, "backend cuda: a workspace of 32 MiB for cublasLt: out of memory");
    emu_machine.memory += before - (1 << 20);
    assert_int_equal(free_bytes(), before);
}

static void a_device_that_fails_while_timing_is_an_error_and_leaves_nothing(void **)
{
    size_t before = free_bytes();
    {
        products p;
        product_room room(usual, 8);
        struct err e = {};
        emu_machine.failing = emu_machine.given + 10;
        assert_int_equal(room.prepare(p, 8, &e), ERR_IO);
        assert_non_null(strstr(e.text, "CUBLAS_STATUS_EXECUTION_FAILED"));
        emu_machine.failing = 0;
        room.prepare(p, 8);
        room.run_and_check(p, 8);
    }
    assert_int_equal(free_bytes(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, be_usual, put_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_fastest_algorithm_is_taken),
        TEST(a_known_number_of_rows_asks_nothing_and_takes_no_memory),
        TEST(what_is_prepared_already_costs_nothing_again),
        TEST(rows_that_the_decided_algorithm_cannot_do_get_the_heuristics_first),
        TEST(a_later_decision_replaces_what_the_heuristic_said),
        TEST(more_numbers_of_rows_than_are_remembered_stay_right),
        TEST(a_text_that_grows_token_by_token_is_planned_once),
        TEST(products_of_many_rows_are_not_timed_for_each_power_of_two),
        TEST(an_algorithm_that_is_offered_and_does_not_run_is_passed_over),
        TEST(a_product_that_nothing_computes_is_refused_in_a_sentence),
        TEST(an_unknown_product_can_be_recorded),
        TEST(memory_that_is_aligned_less_than_to_16_bytes_is_refused),
        TEST(memory_aligned_to_16_bytes_and_no_more_will_do),
        TEST(a_machine_without_room_for_the_workspace_is_told_so),
        TEST(a_device_that_fails_while_timing_is_an_error_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
