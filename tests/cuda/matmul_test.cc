/* SPDX-License-Identifier: MIT
 * Products through cublasLt, the emulated one or a GPU's, are those of loops in double precision. */
#include <stdio.h>

#include "matmul_room.h"

static void products_of_any_shape_and_dtype_add_their_bias_and_what_was_there(void **)
{
    products p;

    for (int rows = 1; rows <= 70; rows++) {
        product_room room(random_operation(), rows);
        if (random_int(0, 1))
            room.prepare(p, rows);
        room.run_and_check(p, rows);
    }
}

static void every_dtype_goes_into_itself_and_into_float32(void **)
{
    products p;

    for (int d = DTYPE_F32; d <= DTYPE_BF16; d++)
        for (int add = 0; add < 2; add++) {
            product_room into_itself({48, 64, (enum dtype)d, (enum dtype)d, false, add == 1}, 17);
            product_room into_float({40, 24, (enum dtype)d, DTYPE_F32, true, add == 1}, 9);
            into_itself.prepare(p, 17);
            into_itself.run_and_check(p, 17);
            into_float.prepare(p, 9);
            into_float.run_and_check(p, 9);
        }
}

static void rows_between_and_beyond_those_prepared_are_right(void **)
{
    static const int some[] = {1, 7, 8, 31, 32, 33, 63, 64, 65, 100, 64, 7};
    products p;
    product_room room({56, 128, DTYPE_BF16, DTYPE_F32, true, true}, 100);

    room.prepare(p, 64);
    for (int rows : some)
        room.run_and_check(p, rows);
}

static void products_of_one_shape_differ_by_what_becomes_of_the_sums(void **)
{
    products p;

    for (int kind = 0; kind < 4; kind++) {
        product_room room({32, 40, DTYPE_F16, DTYPE_F32, kind % 2 == 1, kind / 2 == 1}, 12, 0);
        room.prepare(p, 12);
        room.run_and_check(p, 12);
    }
    product_room half({32, 40, DTYPE_F16, DTYPE_F16, false, false}, 12, 0);
    half.run_and_check(p, 12);
}

/* Of one shape: what belongs to a run alone must not stay with the product. */
static void weights_biases_and_inputs_are_those_of_each_run(void **)
{
    products p;
    operation o = {24, 48, DTYPE_BF16, DTYPE_F32, true, false};
    product_room first(o, 10, 16), second(o, 10, 16), padded(o, 10, 48);

    first.prepare(p, 10);
    for (int i = 0; i < 2; i++) {
        first.run_and_check(p, 10);
        second.run_and_check(p, 10);
        padded.run_and_check(p, 10);
    }
}

/* 257 and 259 lie halfway between two of bfloat16's numbers; the sums are exact. */
static void results_are_rounded_to_nearest_even(void **)
{
    products p;
    product_room room({8, 8, DTYPE_BF16, DTYPE_BF16, false, false}, 2);
    std::vector<float> ones(16, 1);
    numbers x(DTYPE_BF16, ones), y = room.result(2);
    std::vector<uint16_t> weights(room.w.memory.n / 2, 0);
    struct err e = {};

    for (size_t i = 0; i < 8; i++) {
        const float row[2] = {256, i % 2 ? 3.0f : 1.0f};
        dtype_encode(DTYPE_BF16, &weights[i * room.w.m.row_bytes / 2], row, 2);
    }
    room.w.memory.put(weights.data(), room.w.memory.n);
    assert_int_equal(matmul_run(p.m, &room.w.m, x.at(), 2, y.at(), DTYPE_BF16, NULL, false, &e), 0);
    std::vector<float> got = y.get();
    for (size_t i = 0; i < got.size(); i++)
        assert_true(got[i] == (i % 2 ? 260.0f : 256.0f));
}

static void a_recorded_product_is_replayed_on_what_is_there_then(void **)
{
    products p;
    product_room room({64, 72, DTYPE_BF16, DTYPE_F32, true, true}, 20);
    numbers y = room.result(20);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    struct err e = {};

    room.prepare(p, 20);
    assert_int_equal(cudaStreamBeginCapture(p.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_int_equal(room.run(p, 20, y.at(), &e), 0);
    assert_int_equal(cudaStreamEndCapture(p.stream, &graph), cudaSuccess);
    assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    assert_true(y.get() == y.values); /* only recorded */
    for (int times = 1; times <= 3; times++) {
        assert_int_equal(cudaGraphLaunch(exec, p.stream), cudaSuccess);
        room.check(y, 20, times);
    }
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
}

static void what_cannot_be_multiplied_is_refused_in_a_sentence(void **)
{
    static const struct {
        enum dtype weights, out;
        bool bias;
        const char *sentence;
    } refused[] = {
        {DTYPE_Q8_0, DTYPE_F32, false, "backend cuda multiplies weights of float32, float16 and bfloat16, not q8_0"},
        {DTYPE_BF16, DTYPE_F16, false,
         "backend cuda: products with bfloat16 weights give float32 or the weights' dtype, not float16"},
        {DTYPE_F32, DTYPE_BF16, false,
         "backend cuda: products with float32 weights give float32 or the weights' dtype, not bfloat16"},
        {DTYPE_F16, DTYPE_F16, true, "backend cuda: a product's bias is added in float32, not in float16"},
    };
    products p;
    product_room room({8, 32, DTYPE_F32, DTYPE_F32, true, false}, 4);

    for (const auto &r : refused) {
        struct matrix w = room.w.m;
        struct err e = {};
        w.dtype = r.weights;
        numbers y = room.result(4);
        assert_int_equal(matmul_run(p.m, &w, room.x.at(), 4, y.at(), r.out, r.bias ? room.bias.floats() : NULL, false, &e),
                         ERR_USAGE);
        assert_string_equal(e.text, r.sentence);
        e = {};
        assert_int_equal(matmul_prepare(p.m, &w, 4, r.out, r.bias, false, room.scratch_x.at(), room.scratch.at(), &e),
                         ERR_USAGE);
        assert_string_equal(e.text, r.sentence);
        for (float v : y.get())
            assert_true(isnan(v));
    }
}

static void the_record_names_the_library(void **)
{
    products p;
    int major = 0, minor = -1, patch = -1;

    assert_int_equal(sscanf(matmul_about(p.m), "cublasLt %d.%d.%d", &major, &minor, &patch), 3);
    assert_true(major >= 12 && minor >= 0 && patch >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_any_shape_and_dtype_add_their_bias_and_what_was_there),
        cmocka_unit_test(every_dtype_goes_into_itself_and_into_float32),
        cmocka_unit_test(rows_between_and_beyond_those_prepared_are_right),
        cmocka_unit_test(products_of_one_shape_differ_by_what_becomes_of_the_sums),
        cmocka_unit_test(weights_biases_and_inputs_are_those_of_each_run),
        cmocka_unit_test(results_are_rounded_to_nearest_even),
        cmocka_unit_test(a_recorded_product_is_replayed_on_what_is_there_then),
        cmocka_unit_test(what_cannot_be_multiplied_is_refused_in_a_sentence),
        cmocka_unit_test(the_record_names_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
