/* SPDX-License-Identifier: MIT
 * What stands around products on the GPU, against loops in double precision or, where nothing is rounded, exactly: every dtype,
 * shapes that fit no block, results and all that must not be read poisoned beforehand. */
#include "device_room.h"

static bool heads_or_tails()
{
    return random_int(0, 1) == 1;
}

/* --- embedding and norm --------------------------------------------------------------------------------------------------- */

static void check_embed(int batch, int tokens, int cols, int past, bool learned, enum dtype dtype)
{
    enum { VOCAB = 17, CONTEXT = 12 };
    random_matrix table(dtype, VOCAB, cols);
    numbers position(DTYPE_F32, random_floats((size_t)(CONTEXT * cols), 1)), x(DTYPE_F32, (size_t)(batch * tokens * cols));
    std::vector<int32_t> ids((size_t)(batch * tokens));

    for (int32_t &id : ids)
        id = random_int(0, VOCAB - 1);
    position_state state(past, ids);
    assert_int_equal(launch_embed(NULL, x.floats(), &table.m, learned ? position.floats() : NULL, state.at(), batch, tokens),
                     cudaSuccess);
    std::vector<float> got = x.get();
    for (size_t i = 0; i < got.size(); i++) {
        int row = (int)i / cols, col = (int)i % cols;
        float at = learned ? position.values[(size_t)((past + row % tokens) * cols + col)] : 0;
        assert_true(got[i] == table.row(ids[(size_t)row])[col] + at);
    }
}

static void a_row_is_embedded_by_its_id_and_its_position(void **)
{
    in_both_orders([] {
        for (int d = DTYPE_F32; d <= DTYPE_BF16; d++) {
            int tokens = random_int(1, 4);
            check_embed(random_int(1, 3), tokens, 8 * random_int(1, 150), random_int(0, 12 - tokens), heads_or_tails(),
                        (enum dtype)d);
            check_embed(2, 3, 16, 9, true, (enum dtype)d);
        }
    });
}

static void check_norm(enum norm_kind kind, int rows, int cols, int first, int stride, enum dtype act)
{
    numbers x(DTYPE_F32, random_floats((size_t)((first + (rows - 1) * stride + 1) * cols), 3)), out(act, (size_t)(rows * cols));
    struct random_norm norm(kind, cols);

    assert_int_equal(launch_norm(NULL, out.at(), act, x.floats(), &norm.norm, rows, cols, first, stride), cudaSuccess);
    std::vector<float> got = out.get();
    for (int r = 0; r < rows; r++) {
        std::vector<double> want = norm.of(&x.values[(size_t)((first + r * stride) * cols)]);
        for (int i = 0; i < cols; i++)
            assert_close(got[(size_t)(r * cols + i)], want[(size_t)i], 3e-6 + rounding(act) * fabs(want[(size_t)i]), "norm",
                         (size_t)i);
    }
}

static void rows_are_normed_in_the_dtype_that_is_asked_for_all_or_every_few(void **)
{
    in_both_orders([] {
        for (int act = DTYPE_F32; act <= DTYPE_BF16; act++)
            for (int kind = NORM_LAYER; kind <= NORM_RMS; kind++) {
                check_norm((enum norm_kind)kind, random_int(1, 4), 8 * random_int(1, 200), 0, 1, (enum dtype)act);
                check_norm((enum norm_kind)kind, random_int(1, 4), 8 * random_int(1, 9), random_int(0, 5), random_int(1, 6),
                           (enum dtype)act);
            }
    });
}

/* --- rotary positions and the cache --------------------------------------------------------------------------------------- */

struct appended {
    int batch, tokens, heads, kv_heads, head_dim, capacity, past;
    bool rotary, bias;
    enum dtype act, kv_dtype;
};

static void check_rope_append(const struct appended &a)
{
    int all = a.heads + 2 * a.kv_heads, half = a.head_dim / 2, hd = a.head_dim;
    numbers qkv(a.act, random_floats((size_t)(a.batch * a.tokens * all * hd), 2)),
        bias(DTYPE_F32, random_floats((size_t)(all * hd), 1));
    numbers cosines(DTYPE_F32, random_floats((size_t)(a.capacity * half) + 1, 1));
    numbers sines(DTYPE_F32, random_floats((size_t)(a.capacity * half) + 1, 1));
    size_t cached = (size_t)(a.batch * a.kv_heads * a.capacity * hd), written = 0;
    numbers k(a.kv_dtype, cached), v(a.kv_dtype, cached);
    struct gpu_cache cache = {k.at(), v.at(), a.kv_dtype, a.batch, a.heads, a.kv_heads, hd, a.capacity, 0};
    position_state state(a.past, {});

    assert_int_equal(launch_rope_append(NULL, qkv.at(), a.act, a.bias ? bias.floats() : NULL,
                                        a.rotary ? cosines.floats() : NULL, a.rotary ? sines.floats() : NULL, &cache,
                                        state.at(), a.tokens),
                     cudaSuccess);
    std::vector<float> q_got = qkv.get(), k_got = k.get(), v_got = v.get();
    auto biased = [&](int at, int col) { return (double)qkv.values[(size_t)at] + (a.bias ? bias.values[(size_t)col] : 0); };
    for (int at = 0; at < a.batch * a.tokens * all * hd; at++) {
        int row = at / (all * hd), col = at % (all * hd), head = col / hd, i = col % hd, other = i < half ? half : -half;
        int position = a.past + row % a.tokens;
        bool query = head < a.heads, key = !query && head < a.heads + a.kv_heads;
        double want = biased(at, col);
        if (a.rotary && (query || key)) {
            size_t angle = (size_t)(position * half + i % half);
            want = want * cosines.values[angle] + (i < half ? -1 : 1) * biased(at + other, col + other) * sines.values[angle];
        }
        size_t cell =
            (size_t)(((row / a.tokens * a.kv_heads + (head - a.heads) % a.kv_heads) * a.capacity + position) * hd + i);
        double got = query ? q_got[(size_t)at] : key ? k_got[cell] : v_got[cell];
        assert_close(got, want, rounding(query ? a.act : a.kv_dtype) * fabs(want) + 1e-6,
                     query ? "q"
                     : key ? "k"
                           : "v",
                     (size_t)at);
        written += !query;
    }
    size_t poisoned = 0;
    for (size_t i = 0; i < cached; i++)
        poisoned += isnan(k_got[i]) + isnan(v_got[i]);
    assert_int_equal(poisoned + written, 2 * cached); /* other positions are as they were */
}

static void after_a_product_queries_are_rotated_in_place_and_keys_and_values_appended(void **)
{
    in_both_orders([] {
        for (int act = DTYPE_F32; act <= DTYPE_BF16; act++)
            for (int group = 1; group <= 4; group++) {
                int kv_heads = random_int(1, 3), tokens = random_int(1, 5), capacity = tokens + random_int(0, 6);
                check_rope_append({random_int(1, 3), tokens, group * kv_heads, kv_heads,
                                   heads_or_tails() ? 8 * random_int(1, 8) : 2 * random_int(1, 20), capacity,
                                   random_int(0, capacity - tokens), random_int(0, 3) > 0, heads_or_tails(), (enum dtype)act,
                                   random_dtype()});
            }
        check_rope_append({2, 3, 3, 1, 5, 4, 1, false, true, DTYPE_BF16, DTYPE_F16}); /* an odd head has a middle */
    });
}

/* --- activations and conversion ------------------------------------------------------------------------------------------- */

static void check_activation(enum mlp_kind kind, int rows, int d_ff, enum dtype act, bool bias, bool in_place)
{
    int gated = kind == MLP_SWIGLU, width = d_ff * (1 + gated);
    numbers up(act, random_floats((size_t)(rows * width), 6)), b(DTYPE_F32, random_floats((size_t)width, 1));
    numbers apart(act, (size_t)(rows * d_ff)), &hidden = in_place ? up : apart;

    assert_int_equal(launch_activation(NULL, hidden.at(), up.at(), act, bias ? b.floats() : NULL, kind, rows, d_ff),
                     cudaSuccess);
    std::vector<float> got = hidden.get();
    for (int i = 0; i < rows * d_ff; i++) {
        int from = i / d_ff * width + i % d_ff;
        double u = (double)up.values[(size_t)from] + (bias ? b.values[(size_t)(i % d_ff)] : 0), want = gelu_of(u);
        if (gated)
            want = silu_of(u) * ((double)up.values[(size_t)(from + d_ff)] + (bias ? b.values[(size_t)(d_ff + i % d_ff)] : 0));
        assert_close(got[(size_t)i], want, rounding(act) * fabs(want) + 4e-6, "hidden", (size_t)i);
    }
}

static void activations_take_their_bias_and_gelu_may_stay_in_place(void **)
{
    in_both_orders([] {
        for (int act = DTYPE_F32; act <= DTYPE_BF16; act++) {
            check_activation(MLP_GELU_TANH, random_int(1, 4), 8 * random_int(1, 160), (enum dtype)act, heads_or_tails(), true);
            check_activation(MLP_GELU_TANH, random_int(1, 4), 8 * random_int(1, 9), (enum dtype)act, heads_or_tails(), false);
            check_activation(MLP_SWIGLU, random_int(1, 4), 8 * random_int(1, 160), (enum dtype)act, heads_or_tails(), false);
        }
    });
}

/* --- the choice ----------------------------------------------------------------------------------------------------------- */

static int first_of_the_largest(const float *row, int vocab)
{
    int best = -1;

    for (int i = 0; i < vocab; i++)
        if (!isnan(row[i]) && (best < 0 || row[i] > row[best]))
            best = i;
    return best < 0 ? 0 : best;
}

static void check_choose(int batch, int vocab, int first, int stride, const std::vector<float> &logits)
{
    numbers at(DTYPE_F32, logits);
    device_bytes chosen((size_t)batch * sizeof(int32_t));
    position_state state(7, std::vector<int32_t>((size_t)batch, -1));

    assert_int_equal(launch_choose(NULL, (int32_t *)chosen.at, state.at(), at.floats(), batch, vocab, first, stride, 5),
                     cudaSuccess);
    std::vector<char> got = chosen.get();
    for (int i = 0; i < batch; i++) {
        int32_t id;
        memcpy(&id, &got[(size_t)i * sizeof id], sizeof id);
        assert_int_equal(id, first_of_the_largest(&logits[(size_t)(first + i * stride) * (size_t)vocab], vocab));
        assert_int_equal(state.id(i), id);
    }
    assert_int_equal(state.past(), 12);
}

/* Few different numbers, so that the largest is there often. */
static std::vector<float> coarse_logits(size_t n)
{
    std::vector<float> v(n);

    for (float &x : v)
        x = random_int(0, 30) == 0 ? NAN : (float)random_int(-5, 5);
    return v;
}

static void the_first_of_the_largest_logits_is_chosen_and_the_state_moves_on(void **)
{
    in_both_orders([] {
        for (int i = 0; i < 12; i++) {
            int batch = random_int(1, 4), first = random_int(0, 3), stride = random_int(1, 3), vocab = random_int(1, 9000);
            size_t n = (size_t)(first + (batch - 1) * stride + 1) * (size_t)vocab;
            check_choose(batch, vocab, first, stride, heads_or_tails() ? coarse_logits(n) : random_floats(n, 10));
        }
    });
}

static void nothing_but_nan_and_infinity_is_a_choice_too(void **)
{
    const float inf = INFINITY;

    in_both_orders([&] { check_choose(4, 3, 0, 1, {NAN, NAN, NAN, NAN, -inf, NAN, -inf, -inf, -inf, 1, inf, inf}); });
}

/* --- sequences that change places ----------------------------------------------------------------------------------------- */

static void check_reorder(const std::vector<int32_t> &parent, int layers, int kv_heads, int head_dim, int capacity, int length,
                          enum dtype dtype, bool kept)
{
    int batch = (int)parent.size();
    struct kvcache kv = {NULL, NULL, NULL, dtype, batch, kv_heads, head_dim, capacity, layers, kept};
    size_t layer = kvcache_layer(&kv), all = layer * (size_t)layers;
    numbers k(dtype, random_floats(all, 1)), v(dtype, random_floats(all, 1)), spare(dtype, layer);
    device_bytes parents(parent.size() * sizeof(int32_t));

    parents.put(parent.data(), parents.n);
    kv.k = k.at(), kv.v = v.at(), kv.spare = spare.at();
    assert_int_equal(launch_reorder(NULL, &kv, (const int32_t *)parents.at, length), cudaSuccess);
    std::vector<float> k_got = k.get(), v_got = v.get();
    spare.get();
    size_t one = (size_t)(capacity * head_dim), sequence = one * (size_t)kv_heads;
    for (size_t at = 0; at < all; at++) {
        size_t i = at % layer / sequence;
        bool moves = kept && at % one < (size_t)(length * head_dim);
        size_t from = moves ? at - i * sequence + (size_t)parent[i] * sequence : at;
        assert_true(k_got[at] == k.values[from]);
        assert_true(v_got[at] == v.values[from]);
    }
}

static void sequences_go_on_with_the_past_of_their_parents(void **)
{
    in_both_orders([] {
        for (int i = 0; i < 12; i++) {
            std::vector<int32_t> parent((size_t)random_int(1, 5));
            for (int32_t &p : parent)
                p = random_int(0, (int)parent.size() - 1);
            int capacity = random_int(1, 20);
            check_reorder(parent, random_int(1, 3), random_int(1, 3),
                          heads_or_tails() ? 8 * random_int(1, 8) : random_int(2, 20), capacity, random_int(0, capacity),
                          random_dtype(), true);
        }
        check_reorder({1, 2, 0}, 2, 2, 16, 5, 5, DTYPE_F16, true);
        check_reorder({1, 0}, 1, 2, 16, 5, 5, DTYPE_F16, false); /* nothing is kept: nothing moves */
    });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_embedded_by_its_id_and_its_position),
        cmocka_unit_test(rows_are_normed_in_the_dtype_that_is_asked_for_all_or_every_few),
        cmocka_unit_test(after_a_product_queries_are_rotated_in_place_and_keys_and_values_appended),
        cmocka_unit_test(activations_take_their_bias_and_gelu_may_stay_in_place),
        cmocka_unit_test(the_first_of_the_largest_logits_is_chosen_and_the_state_moves_on),
        cmocka_unit_test(nothing_but_nan_and_infinity_is_a_choice_too),
        cmocka_unit_test(sequences_go_on_with_the_past_of_their_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
