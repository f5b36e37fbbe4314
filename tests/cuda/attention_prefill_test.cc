/* SPDX-License-Identifier: MIT
 * Attention of many queries against a softmax in double precision, on the values that the cache holds. Positions that are not
 * there yet are NaNs, as are the results before, what lies between the queries of two tokens, and the scores' room. */
#include "device_room.h"

struct shape {
    int batch, kv_heads, group, head_dim, past, tokens, window;
    enum dtype kv_dtype, act;
};

enum way { FLASH, NAIVE };

/* A result that is expected, and how far from it an answer may be. */
struct expected {
    double value, allowed;
};

/* One query and head: keys and values [position][head_dim]. coarse: dtype to which the products' operands are rounded. */
static std::vector<expected> attend(const struct shape &s, int position, const float *q, const float *k, const float *v,
                                    enum dtype coarse)
{
    int hd = s.head_dim, first = s.window ? std::max(0, position + 1 - s.window) : 0, n = position + 1 - first;
    std::vector<double> weight((size_t)n);
    std::vector<expected> out((size_t)hd);
    double most = -INFINITY, sum = 0, largest = 0; /* largest: of what was added up for a score */

    for (int j = 0; j < n; j++) {
        double dot = 0, size = 0;
        for (int d = 0; d < hd; d++) {
            dot += (double)q[d] * k[(first + j) * hd + d];
            size += fabs((double)q[d] * k[(first + j) * hd + d]);
        }
        weight[(size_t)j] = dot / sqrt(hd);
        most = fmax(most, weight[(size_t)j]);
        largest = fmax(largest, size / sqrt(hd));
    }
    for (double &w : weight)
        sum += w = exp(w - most);
    for (int d = 0; d < hd; d++) {
        double mixed = 0, size = 0;
        for (int j = 0; j < n; j++) {
            mixed += weight[(size_t)j] / sum * v[(first + j) * hd + d];
            size += weight[(size_t)j] / sum * fabs(v[(first + j) * hd + d]);
        }
        double floats = 4e-7 * (8 + largest), tiny = coarse == DTYPE_F16 ? 3e-8 * n : 0; /* weights below a half's least */
        out[(size_t)d] = {mixed, (rounding(coarse) + floats) * size + tiny + rounding(s.act) * fabs(mixed)};
    }
    return out;
}

static std::vector<float> as(enum dtype d, std::vector<float> v)
{
    std::vector<char> coded(dtype_bytes(d, v.size()));

    dtype_encode(d, coded.data(), v.data(), v.size());
    dtype_decode(d, v.data(), coded.data(), v.size());
    return v;
}

/* [sequence][kv_head][capacity][head_dim], NaNs from position `there` on. */
static std::vector<float> history(const struct shape &s, int capacity)
{
    std::vector<float> h = random_floats((size_t)(s.batch * s.kv_heads * capacity * s.head_dim), 1);

    for (size_t i = 0; i < h.size(); i++)
        if ((int)(i / (size_t)s.head_dim) % capacity >= s.past + s.tokens)
            h[i] = NAN;
    return h;
}

static cudaError_t launch_way(enum way way, cudaStream_t stream, const numbers &mixed, const numbers &q, int stride,
                              const struct gpu_cache &c, const struct gpu_state *state, int tokens, const numbers &scores)
{
    return way == FLASH
               ? launch_flash_attention(stream, mixed.at(), q.at(), stride, q.dtype, &c, state, tokens)
               : launch_naive_attention(stream, mixed.at(), q.at(), stride, q.dtype, &c, state, tokens, scores.floats());
}

static void check(enum way way, const struct shape &s)
{
    int heads = s.kv_heads * s.group, hd = s.head_dim, rows = s.batch * s.tokens;
    int stride = heads * hd + 8 * random_int(0, 9), capacity = s.past + s.tokens + random_int(0, 9);
    std::vector<float> queries = random_floats((size_t)(rows * stride), 4);
    for (int i = 0; i < rows * stride; i++)
        queries[(size_t)i] = i % stride < heads * hd ? queries[(size_t)i] : NAN;
    numbers q(s.act, queries), k(s.kv_dtype, history(s, capacity)), v(s.kv_dtype, history(s, capacity));
    numbers mixed(s.act, (size_t)(rows * heads * hd)), scores(DTYPE_F32, (size_t)(heads * rows * capacity));
    position_state state(s.past, {});
    struct gpu_cache c = {k.at(), v.at(), s.kv_dtype, s.batch, heads, s.kv_heads, hd, capacity, s.window};
    enum dtype coarse = way == FLASH ? s.kv_dtype : DTYPE_F32;

    assert_int_equal(launch_way(way, NULL, mixed, q, stride, c, state.at(), s.tokens, scores), cudaSuccess);
    std::vector<float> got = mixed.get(), rounded = as(coarse, q.values);
    scores.get(); /* its guards */
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < heads; h++) {
            size_t at = (size_t)((r / s.tokens * s.kv_heads + h / s.group) * capacity * hd),
                   to = (size_t)((r * heads + h) * hd);
            std::vector<expected> want =
                attend(s, s.past + r % s.tokens, &rounded[(size_t)(r * stride + h * hd)], &k.values[at], &v.values[at], coarse);
            for (size_t d = 0; d < (size_t)hd; d++)
                assert_close(got[to + d], want[d].value, want[d].allowed, "mixed", to + d);
        }
}

static void every_head_dimension_and_dtype_is_the_softmax_of_its_scores(void **)
{
    in_both_orders([] {
        for (int hd = 1; hd <= HEAD_DIM_MAX; hd++)
            if (gpu_has_head_dim(hd))
                for (enum dtype kv : {DTYPE_F32, DTYPE_F16, DTYPE_BF16})
                    check(FLASH, {1, 1, 1, hd, random_int(0, 40), random_int(2, 20), 0, kv, random_dtype()});
    });
}

/* Tiles are large where these are blocks enough for every multiprocessor to have two. */
static int sequences_for_large_tiles(int heads)
{
    int processors;

    assert_int_equal(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
    return (2 * processors + heads - 1) / heads;
}

static void many_queries_take_large_tiles_with_the_same_result(void **)
{
    for (int hd = 1; hd <= HEAD_DIM_MAX; hd++)
        if (gpu_has_head_dim(hd))
            for (enum dtype kv : {DTYPE_F16, DTYPE_BF16})
                check(FLASH,
                      {sequences_for_large_tiles(4), 1, 4, hd, random_int(0, 9), random_int(33, 42), 0, kv, random_dtype()});
    check(FLASH, {sequences_for_large_tiles(4), 1, 4, 32, 100, 40, 20, DTYPE_F16, DTYPE_F32});
    check(FLASH, {sequences_for_large_tiles(8), 1, 4, 64, 3, 140, 0, DTYPE_F16, DTYPE_F32});
}

static void tiles_may_be_short_at_either_end(void **)
{
    for (int past : {0, 1, 47, 63, 64, 65})
        for (int tokens : {1, 15, 17})
            check(FLASH, {1, 1, 1, 32, past, tokens, 0, random_dtype(), random_dtype()});
    for (int tokens : {63, 64, 65, 127, 128, 129, 150})
        check(FLASH, {1, 1, 1, 32, 0, tokens, 0, random_dtype(), DTYPE_F32});
}

static void groups_share_their_keys_and_sequences_do_not(void **)
{
    in_both_orders([] {
        for (int group : {1, 2, 3, 4, 8})
            for (enum way way : {FLASH, NAIVE})
                check(way, {random_int(1, 3), random_int(1, 2), group, 32, random_int(0, 70), random_int(1, 9), 0,
                            random_dtype(), random_dtype()});
    });
}

static void a_window_hides_what_is_before_it(void **)
{
    for (int window : {1, 2, 31, 64, 65, 100})
        for (enum dtype kv : {DTYPE_F32, DTYPE_F16})
            for (enum way way : {FLASH, NAIVE})
                check(way, {1, 1, 1, 32, random_int(0, 90), random_int(1, 70), window, kv, DTYPE_F32});
}

/* Queries begin anywhere in a tile of keys, and so does what a window lets them see. */
static void queries_may_stand_anywhere_among_the_tiles(void **)
{
    for (int past = 0; past < 64; past++) {
        check(FLASH, {1, 1, 1, 32, past, 17, 0, DTYPE_F16, DTYPE_F32});
        check(FLASH, {1, 1, 1, 32, past, 33, 20, DTYPE_F16, DTYPE_F32});
        check(FLASH, {1, 1, 1, 32, past + 64, 33, 90, DTYPE_F16, DTYPE_F32});
        check(FLASH, {1, 1, 1, 32, past, 17, past % 3 * 10, DTYPE_F32, DTYPE_F32});
    }
}

static void the_naive_way_has_any_head_dimension(void **)
{
    in_both_orders([] {
        for (int hd : {8, 20, 33, 64, 80, 128, 200})
            check(NAIVE, {random_int(1, 2), 1, 2, hd, random_int(0, 50), random_int(1, 70), 0, random_dtype(), random_dtype()});
    });
}

static void a_head_dimension_without_a_kernel_is_refused(void **)
{
    numbers q(DTYPE_F32, 24);
    struct gpu_cache c = {q.at(), q.at(), DTYPE_F32, 1, 1, 1, 24, 1, 0};

    assert_false(gpu_has_head_dim(24));
    assert_true(gpu_has_head_dim(64));
    assert_true(gpu_has_head_dim(128));
    assert_int_equal(launch_flash_attention(NULL, q.at(), q.at(), 24, DTYPE_F32, &c, NULL, 1), cudaErrorInvalidValue);
}

/* The position is the device's affair: work that was recorded once follows it. */
static void a_recorded_attention_goes_where_the_state_says(void **)
{
    enum { HD = 64, CAPACITY = 100, TOKENS = 3 };
    for (enum way way : {FLASH, NAIVE}) {
        struct shape s = {1, 1, 1, HD, CAPACITY - TOKENS, TOKENS, 0, DTYPE_BF16, DTYPE_F32};
        numbers q(s.act, random_floats(TOKENS * HD, 4)), k(s.kv_dtype, history(s, CAPACITY)),
            v(s.kv_dtype, history(s, CAPACITY));
        numbers mixed(s.act, TOKENS * HD), scores(DTYPE_F32, TOKENS * CAPACITY);
        struct gpu_cache c = {k.at(), v.at(), s.kv_dtype, 1, 1, 1, HD, CAPACITY, 0};
        enum dtype coarse = way == FLASH ? s.kv_dtype : DTYPE_F32;
        device_bytes state(sizeof(struct gpu_state));
        cudaStream_t stream;
        cudaGraph_t graph;
        cudaGraphExec_t exec;

        assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
        assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
        cudaError_t code = launch_way(way, stream, mixed, q, HD, c, (const struct gpu_state *)state.at, TOKENS, scores);
        assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaSuccess);
        assert_int_equal(code, cudaSuccess);
        assert_int_equal(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
        for (int past : {0, 70, 5}) {
            state.put(&past, sizeof past);
            assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
            assert_int_equal(cudaStreamSynchronize(stream), cudaSuccess);
            std::vector<float> got = mixed.get(), rounded = as(coarse, q.values);
            for (int r = 0; r < TOKENS; r++) {
                std::vector<expected> want =
                    attend(s, past + r, &rounded[(size_t)(r * HD)], &k.values[0], &v.values[0], coarse);
                for (size_t d = 0; d < HD; d++)
                    assert_close(got[(size_t)r * HD + d], want[d].value, want[d].allowed, "mixed", d);
            }
        }
        cudaGraphExecDestroy(exec);
        cudaGraphDestroy(graph);
        cudaStreamDestroy(stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_dimension_and_dtype_is_the_softmax_of_its_scores),
        cmocka_unit_test(many_queries_take_large_tiles_with_the_same_result),
        cmocka_unit_test(tiles_may_be_short_at_either_end),
        cmocka_unit_test(groups_share_their_keys_and_sequences_do_not),
        cmocka_unit_test(a_window_hides_what_is_before_it),
        cmocka_unit_test(queries_may_stand_anywhere_among_the_tiles),
        cmocka_unit_test(the_naive_way_has_any_head_dimension),
        cmocka_unit_test(a_head_dimension_without_a_kernel_is_refused),
        cmocka_unit_test(a_recorded_attention_goes_where_the_state_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
