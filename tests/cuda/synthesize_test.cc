/* SPDX-License-Identifier: MIT
 * Weights made on the device are those that the host makes, bit for bit, and padding is not touched. */
extern "C" {
#include "formats/source.h"
#include "model.h"
}

#include "device_room.h"

/* One tensor, and what the host made of it. */
static int compare(void *, const struct matrix *host, uint64_t key, float offset, float scale)
{
    size_t bytes = (size_t)host->rows * host->row_bytes;
    device_bytes memory(bytes);
    struct matrix m = *host;

    m.data = memory.at;
    assert_int_equal(launch_synthesize(NULL, &m, key, offset, scale), cudaSuccess);
    std::vector<char> got = memory.get();
    for (int row = 0; row < m.rows; row++)
        assert_memory_equal(&got[(size_t)row * m.row_bytes], matrix_row(host, row), dtype_bytes(m.dtype, (size_t)m.cols));
    return 0;
}

static void a_model_is_the_one_that_the_host_makes(void **)
{
    struct model_config c = {};
    struct err e = {};

    c.layers = 2, c.d_model = 72, c.heads = 6, c.kv_heads = 2, c.head_dim = 12, c.d_ff = 88, c.vocab = 151, c.context = 40;
    c.norm = NORM_LAYER, c.position = POSITION_LEARNED, c.mlp = MLP_SWIGLU;
    c.qkv_bias = c.out_bias = c.mlp_bias = true;
    c.norm_eps = 1e-5, c.rope_theta = 10000, c.bos = -1;
    for (enum dtype d : {DTYPE_F32, DTYPE_F16, DTYPE_BF16}) {
        struct weights w = {};
        if (weights_alloc(&w, &c, d, &e) < 0)
            fail_msg("%s", e.text);
        synthetic_fill(&w, &c, 1234567);
        in_both_orders([&] { assert_int_equal(synthetic_visit(&w, &c, 1234567, compare, NULL), 0); });
        weights_free(&w);
    }
}

/* What formats/source.h says of an element, said again. */
static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static float element(uint64_t key, uint64_t i, float offset, float scale)
{
    uint64_t bits = mix(key + i / 2 * 2);
    uint32_t half = (uint32_t)(i % 2 ? bits >> 32 : bits);

    return offset + scale * (float)((int)(half & 0xffff) + (int)(half >> 16) - 65535);
}

static void check(enum dtype d, int rows, int cols, size_t row_bytes, float offset, float scale)
{
    uint64_t key = random_bits();
    device_bytes memory((size_t)rows * row_bytes);
    struct matrix m = {memory.at, d, rows, cols, row_bytes};
    std::vector<float> values((size_t)cols);
    std::vector<char> want(row_bytes);

    assert_int_equal(launch_synthesize(NULL, &m, key, offset, scale), cudaSuccess);
    std::vector<char> got = memory.get();
    for (int r = 0; r < rows; r++) {
        for (int col = 0; col < cols; col++)
            values[(size_t)col] = element(key, (uint64_t)r * (uint64_t)cols + (uint64_t)col, offset, scale);
        std::fill(want.begin(), want.end(), (char)POISON);
        dtype_encode(d, want.data(), values.data(), (size_t)cols);
        assert_memory_equal(&got[(size_t)r * row_bytes], want.data(), row_bytes);
    }
}

static void rows_of_any_length_are_made_and_their_padding_is_left(void **)
{
    for (enum dtype d : {DTYPE_F32, DTYPE_F16, DTYPE_BF16})
        for (int cols : {1, 2, 3, 7, 8, 9, 15, 16, 24, 63, 100, 1001})
            for (size_t pad : {0, 4, 16, 20})
                check(d, random_int(1, 9), cols, (dtype_bytes(d, (size_t)cols) + 3) / 4 * 4 + pad, 0, 0.0123f);
}

static void every_size_of_value_is_rounded_as_the_host_rounds(void **)
{
    for (enum dtype d : {DTYPE_F32, DTYPE_F16, DTYPE_BF16})
        for (float scale :
             {1e-14f, 1e-12f, 1e-9f, 1e-6f, 0x1p-18f, 1e-3f, 2.0f}) /* halves: subnormal, and beyond the largest */
            check(d, 3, 4096, dtype_bytes(d, 4096), scale == 0x1p-18f ? 1 : 0, scale);
}

static void a_matrix_of_more_than_the_grid_is_made_whole(void **)
{
    check(DTYPE_BF16, 1500, 6000, 12000, 0, 1e-5f); /* 8.4 million are a grid's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_the_one_that_the_host_makes),
        cmocka_unit_test(rows_of_any_length_are_made_and_their_padding_is_left),
        cmocka_unit_test(every_size_of_value_is_rounded_as_the_host_rounds),
        cmocka_unit_test(a_matrix_of_more_than_the_grid_is_made_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
