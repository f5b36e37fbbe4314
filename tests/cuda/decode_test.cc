/* SPDX-License-Identifier: MIT
 * The products of a decode step against loops in double precision: shapes that fit no warp and no block, every dtype and number
 * of rows, results and all that must not be read poisoned beforehand. */
#include "device_room.h"

/* Sums of float32 in another order than the loops': relative to the sizes of what is added. */
static const double SUMMING = 2e-6;

struct sum {
    double value, sizes;
};

static struct sum dot(const std::vector<double> &x, const float *w, double bias)
{
    struct sum s = {bias, fabs(bias)};

    for (size_t i = 0; i < x.size(); i++) {
        s.value += x[i] * w[i];
        s.sizes += fabs(x[i] * w[i]);
    }
    return s;
}

struct product {
    int rows, cols, w_rows;
    enum dtype dtype;
    bool bias, add;
    int norm; /* -1: none */
};

/* What a product reads, and what each row of x is after the norm. */
struct operands {
    numbers x, bias;
    random_matrix w;
    random_norm norm;
    bool normed, biased;
    int cols;

    explicit operands(const struct product &p)
        : x(DTYPE_F32, random_floats((size_t)p.rows * (size_t)p.cols, 2)), bias(DTYPE_F32, random_floats((size_t)p.w_rows, 1)),
          w(p.dtype, p.w_rows, p.cols), norm(p.norm == NORM_RMS ? NORM_RMS : NORM_LAYER, p.cols), normed(p.norm >= 0),
          biased(p.bias), cols(p.cols)
    {
    }
    const struct gpu_norm *norm_at() const
    {
        return normed ? &norm.norm : NULL;
    }
    const float *bias_at() const
    {
        return biased ? bias.floats() : NULL;
    }
    std::vector<double> row(int r) const
    {
        const float *from = &x.values[(size_t)r * (size_t)cols];

        return normed ? norm.of(from) : std::vector<double>(from, from + cols);
    }
    struct sum at(const std::vector<double> &of_x, int w_row) const
    {
        return dot(of_x, w.row(w_row), biased ? bias.values[(size_t)w_row] : 0);
    }
};

static void check_product(const struct product &p)
{
    struct operands o(p);
    std::vector<float> before = random_floats((size_t)p.rows * (size_t)p.w_rows, 1);
    numbers there(DTYPE_F32, before), poisoned(DTYPE_F32, before.size()), &y = p.add ? there : poisoned;

    assert_int_equal(
        launch_decode_product(NULL, y.floats(), o.x.floats(), o.norm_at(), &o.w.m, o.bias_at(), p.rows, p.add, NULL),
        cudaSuccess);
    std::vector<float> got = y.get();
    for (int r = 0; r < p.rows; r++) {
        std::vector<double> x = o.row(r);
        for (int i = 0; i < p.w_rows; i++) {
            size_t at = (size_t)r * (size_t)p.w_rows + (size_t)i;
            struct sum s = o.at(x, i);
            assert_close(got[at], s.value + (p.add ? before[at] : 0), SUMMING * (s.sizes + 1), "product", at);
        }
    }
}

static void a_product_of_any_shape_and_dtype_adds_its_bias_and_what_was_there(void **)
{
    in_both_orders([] {
        for (int rows = 1; rows <= DECODE_ROWS_MAX; rows++)
            for (int d = DTYPE_F32; d <= DTYPE_BF16; d++)
                check_product({rows, 8 * random_int(1, 70), random_int(1, 70), (enum dtype)d, random_int(0, 1) == 1,
                               random_int(0, 1) == 1, random_int(-1, 1)});
    });
}

static void more_rows_of_weights_than_warps_are_taken_in_turns(void **)
{
    in_both_orders([] {
        for (int rows = 1; rows <= DECODE_ROWS_MAX; rows += rows < 3 ? 1 : 5)
            check_product({rows, 8 * random_int(1, 20), random_int(128, 300), DTYPE_BF16, true, false, NORM_RMS});
        check_product({1, 64, 65, DTYPE_F16, true, true, -1});
    });
}

/* 96 KB are 24576 floats: of one row, 12288 of two, 6144 of four, 3072 of eight. */
static void rows_of_x_that_shared_memory_cannot_hold_are_taken_in_pieces(void **)
{
    in_both_orders([] {
        check_product({1, 24576 + 8, 3, DTYPE_BF16, true, true, NORM_LAYER});
        check_product({2, 12288 + 4096, 5, DTYPE_F32, true, false, NORM_RMS});
        check_product({3, 6144 + 1000, 9, DTYPE_F16, false, true, -1});
        check_product({8, 2 * 3072 + 8, 70, DTYPE_BF16, false, true, NORM_LAYER});
        check_product({7, 3 * 3072, 33, DTYPE_F32, false, false, NORM_RMS});
        check_product({5, 3072 + 72, 260, DTYPE_F16, true, false, NORM_RMS}); /* each warp twice */
    });
}

static void a_layer_norm_keeps_its_precision_far_from_zero(void **)
{
    struct product p = {2, 64, 7, DTYPE_F32, false, false, NORM_LAYER};
    struct operands o(p);
    numbers y(DTYPE_F32, (size_t)(p.rows * p.w_rows));

    for (float &x : o.x.values)
        x += 3000;
    o.x.memory.put(o.x.values.data(), o.x.memory.n);
    assert_int_equal(launch_decode_product(NULL, y.floats(), o.x.floats(), o.norm_at(), &o.w.m, NULL, p.rows, false, NULL),
                     cudaSuccess);
    std::vector<float> got = y.get();
    for (int i = 0; i < p.rows * p.w_rows; i++) {
        struct sum s = o.at(o.row(i / p.w_rows), i % p.w_rows);
        assert_close(got[(size_t)i], s.value, 3e-4 * s.sizes, "product", (size_t)i); /* x has 13 bits after its thousands */
    }
}

static void check_up(enum mlp_kind kind, int rows, int cols, int d_ff, enum dtype dtype, bool bias)
{
    int gated = kind == MLP_SWIGLU;
    struct operands o({rows, cols, d_ff * (1 + gated), dtype, bias, false, gated ? NORM_RMS : NORM_LAYER});
    numbers hidden(DTYPE_F32, (size_t)rows * (size_t)d_ff);

    assert_int_equal(
        launch_decode_up(NULL, hidden.floats(), o.x.floats(), o.norm_at(), &o.w.m, o.bias_at(), kind, rows, d_ff, NULL),
        cudaSuccess);
    std::vector<float> got = hidden.get();
    for (int r = 0; r < rows; r++) {
        std::vector<double> x = o.row(r);
        for (int i = 0; i < d_ff; i++) {
            struct sum a = o.at(x, i), b = gated ? o.at(x, d_ff + i) : a;
            double want = gated ? silu_of(a.value) * b.value : gelu_of(a.value);
            double allowed =
                SUMMING * (gated ? a.sizes * (fabs(b.value) + 1) + b.sizes * (fabs(a.value) + 1) : a.sizes + 1) * 1.2;
            assert_close(got[(size_t)r * (size_t)d_ff + (size_t)i], want, allowed, "hidden", (size_t)i);
        }
    }
}

static void up_is_a_product_and_its_activation(void **)
{
    in_both_orders([] {
        for (int rows = 1; rows <= DECODE_ROWS_MAX; rows++)
            for (int kind = MLP_GELU_TANH; kind <= MLP_SWIGLU; kind++)
                check_up((enum mlp_kind)kind, rows, 8 * random_int(1, 40), random_int(1, 40), random_dtype(),
                         random_int(0, 1) == 1);
    });
}

struct heads {
    int rows, cols, heads, kv_heads, head_dim, capacity, past;
    bool rotary, bias;
    enum dtype dtype, kv_dtype;
};

static void check_qkv(const struct heads &h)
{
    int all = h.heads + 2 * h.kv_heads, half = h.head_dim / 2;
    struct operands o({h.rows, h.cols, all * h.head_dim, h.dtype, h.bias, false, h.rotary ? NORM_RMS : NORM_LAYER});
    numbers q(DTYPE_F32, (size_t)(h.rows * h.heads * h.head_dim));
    numbers cosines(DTYPE_F32, random_floats((size_t)(h.capacity * half) + 1, 1));
    numbers sines(DTYPE_F32, random_floats((size_t)(h.capacity * half) + 1, 1));
    size_t cached = (size_t)h.rows * (size_t)(h.kv_heads * h.capacity * h.head_dim);
    numbers k(h.kv_dtype, cached), v(h.kv_dtype, cached);
    struct gpu_cache cache = {k.at(), v.at(), h.kv_dtype, h.rows, h.heads, h.kv_heads, h.head_dim, h.capacity, 0};
    position_state state(h.past, {});

    assert_int_equal(launch_decode_qkv(NULL, q.floats(), o.x.floats(), o.norm_at(), &o.w.m, o.bias_at(),
                                       h.rotary ? cosines.floats() : NULL, h.rotary ? sines.floats() : NULL, &cache, state.at(),
                                       NULL),
                     cudaSuccess);
    std::vector<float> q_got = q.get(), k_got = k.get(), v_got = v.get();
    size_t written = 0;
    for (int r = 0; r < h.rows; r++) {
        std::vector<double> x = o.row(r);
        for (int head = 0; head < all; head++)
            for (int i = 0; i < h.head_dim; i++) {
                bool rotated = h.rotary && head < h.heads + h.kv_heads, first = i < half, key = head < h.heads + h.kv_heads;
                struct sum s = o.at(x, head * h.head_dim + i);
                if (rotated) {
                    struct sum t = o.at(x, head * h.head_dim + (first ? i + half : i - half));
                    size_t angle = (size_t)(h.past * half + i % half);
                    s.value = s.value * cosines.values[angle] + (first ? -1 : 1) * t.value * sines.values[angle];
                    s.sizes += t.sizes;
                }
                size_t cell = ((size_t)(r * h.kv_heads + (head - h.heads) % h.kv_heads) * (size_t)h.capacity + (size_t)h.past) *
                                  (size_t)h.head_dim +
                              (size_t)i;
                float got = head < h.heads ? q_got[(size_t)((r * h.heads + head) * h.head_dim + i)]
                            : key          ? k_got[cell]
                                           : v_got[cell];
                double round = head < h.heads ? 0 : rounding(h.kv_dtype) * fabs(s.value) + 6e-8;
                assert_close(got, s.value, SUMMING * (s.sizes + 1) + round, head < h.heads ? "q" : key ? "k" : "v", (size_t)i);
                written += head >= h.heads;
            }
    }
    size_t poisoned = 0;
    for (size_t i = 0; i < cached; i++)
        poisoned += isnan(k_got[i]) + isnan(v_got[i]);
    assert_int_equal(poisoned + written, 2 * cached); /* other positions are as they were */
}

static void queries_are_rotated_and_keys_and_values_appended_at_the_position(void **)
{
    in_both_orders([] {
        for (int rows = 1; rows <= DECODE_ROWS_MAX; rows++)
            for (int rotary = 0; rotary < 2; rotary++) {
                int kv_heads = random_int(1, 2), group = random_int(1, 4), capacity = random_int(1, 9);
                check_qkv({rows, 8 * random_int(1, 12), group * kv_heads, kv_heads, 2 * random_int(1, 6), capacity,
                           random_int(0, capacity - 1), rotary == 1, random_int(0, 1) == 1, random_dtype(), random_dtype()});
            }
    });
}

static void without_rotation_any_head_dimension_will_do(void **)
{
    in_both_orders([] { check_qkv({3, 24, 3, 1, 5, 4, 3, false, true, DTYPE_F16, DTYPE_BF16}); });
}

static void what_no_kernel_computes_is_refused(void **)
{
    struct operands o({1, 16, 8, DTYPE_F32, false, false, -1});
    numbers y(DTYPE_F32, 8 * 8);
    struct matrix quantised = o.w.m, narrow = o.w.m;

    quantised.dtype = DTYPE_Q8_0;
    narrow.cols = 12;
    assert_int_equal(
        launch_decode_product(NULL, y.floats(), o.x.floats(), NULL, &o.w.m, NULL, DECODE_ROWS_MAX + 1, false, NULL),
        cudaErrorInvalidValue);
    assert_int_equal(launch_decode_product(NULL, y.floats(), o.x.floats(), NULL, &quantised, NULL, 1, false, NULL),
                     cudaErrorInvalidValue);
    assert_int_equal(launch_decode_product(NULL, y.floats(), o.x.floats(), NULL, &narrow, NULL, 1, false, NULL),
                     cudaErrorInvalidValue);
    for (float v : y.get())
        assert_true(isnan(v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_of_any_shape_and_dtype_adds_its_bias_and_what_was_there),
        cmocka_unit_test(more_rows_of_weights_than_warps_are_taken_in_turns),
        cmocka_unit_test(rows_of_x_that_shared_memory_cannot_hold_are_taken_in_pieces),
        cmocka_unit_test(a_layer_norm_keeps_its_precision_far_from_zero),
        cmocka_unit_test(up_is_a_product_and_its_activation),
        cmocka_unit_test(queries_are_rotated_and_keys_and_values_appended_at_the_position),
        cmocka_unit_test(without_rotation_any_head_dimension_will_do),
        cmocka_unit_test(what_no_kernel_computes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
