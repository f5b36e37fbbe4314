/* SPDX-License-Identifier: MIT
 * Attention of one token a sequence against a softmax in double precision, on the values that the cache holds. Every position
 * that may not be seen is poisoned, as are the results and the scratch between the two kernels, which has guards around it. */
#include "device_room.h"

struct shape {
    int batch, kv_heads, group, head_dim, capacity, past, window;
    enum dtype kv_dtype, act;
    float spread; /* queries are random in -spread..spread */
    bool below;   /* queries below zero, keys above: every score is negative */
};

struct scene {
    int heads, hd, first, seen; /* positions first to first + seen - 1 are seen */
    std::vector<float> k, v;    /* NaN where nobody may look */
};

static struct scene make(const struct shape &s)
{
    struct scene made = {s.kv_heads * s.group, s.head_dim, s.window ? std::max(0, s.past + 1 - s.window) : 0, 0, {}, {}};
    size_t n = (size_t)(s.batch * s.kv_heads * s.capacity * s.head_dim);

    made.seen = s.past + 1 - made.first;
    made.k = random_floats(n, 1), made.v = random_floats(n, 1);
    for (size_t i = 0; i < n; i++) {
        int position = (int)(i / (size_t)s.head_dim) % s.capacity;
        made.k[i] = s.below ? fabsf(made.k[i]) : made.k[i];
        if (position < made.first || position > s.past)
            made.k[i] = made.v[i] = NAN;
    }
    return made;
}

/* One head's result. */
static std::vector<double> attend(const struct scene &s, const float *q, const float *k, const float *v)
{
    std::vector<double> scores((size_t)s.seen), mixed((size_t)s.hd);
    double most = -INFINITY, sum = 0;

    for (int j = 0; j < s.seen; j++) {
        double dot = 0;
        for (int i = 0; i < s.hd; i++)
            dot += (double)q[i] * k[(s.first + j) * s.hd + i];
        scores[(size_t)j] = dot / sqrt(s.hd);
        most = fmax(most, scores[(size_t)j]);
    }
    for (int j = 0; j < s.seen; j++)
        sum += scores[(size_t)j] = exp(scores[(size_t)j] - most);
    for (int j = 0; j < s.seen; j++)
        for (int i = 0; i < s.hd; i++)
            mixed[(size_t)i] += scores[(size_t)j] / sum * v[(s.first + j) * s.hd + i];
    return mixed;
}

static void check(const struct shape &shape)
{
    struct scene s = make(shape);
    int stride = s.heads * s.hd + 8 * random_int(0, 3);
    std::vector<float> queries = random_floats((size_t)(shape.batch * stride), shape.spread);

    for (float &x : queries)
        x = shape.below ? -fabsf(x) : x;
    numbers q(shape.act, queries), k(shape.kv_dtype, s.k), v(shape.kv_dtype, s.v);
    numbers mixed(shape.act, (size_t)(shape.batch * s.heads * s.hd));
    struct gpu_cache cache = {k.at(),         v.at(), shape.kv_dtype, shape.batch, s.heads,
                              shape.kv_heads, s.hd,   shape.capacity, shape.window};
    position_state state(shape.past, {});
    device_bytes partial(gpu_partial_bytes(&cache));

    assert_int_equal(
        launch_decode_attention(NULL, mixed.at(), q.at(), stride, shape.act, &cache, state.at(), (float *)partial.at),
        cudaSuccess);
    std::vector<float> got = mixed.get();
    partial.get();
    for (int b = 0; b < shape.batch; b++)
        for (int h = 0; h < s.heads; h++) {
            size_t history = (size_t)((b * shape.kv_heads + h / shape.group) * shape.capacity * s.hd);
            std::vector<double> want =
                attend(s, &q.values[(size_t)(b * stride + h * s.hd)], &k.values[history], &v.values[history]);
            for (int i = 0; i < s.hd; i++) {
                size_t at = (size_t)((b * s.heads + h) * s.hd + i);
                double w = want[(size_t)i];
                assert_close(got[at], w, rounding(shape.act) * fabs(w) + 2e-6 * (1 + shape.spread), "mixed", at);
            }
        }
}

static void every_head_dimension_and_dtype_is_the_softmax_of_its_scores(void **)
{
    in_both_orders([] {
        for (int head_dim : {8, 16, 32, 64, 80, 96, 128, 256})
            for (int kv = DTYPE_F32; kv <= DTYPE_BF16; kv++) {
                int capacity = random_int(1, 90);
                check({random_int(1, 2), random_int(1, 2), random_int(1, 2), head_dim, capacity, random_int(0, capacity - 1), 0,
                       (enum dtype)kv, random_dtype(), 3, false});
            }
    });
}

static void head_dimensions_that_no_load_fits_go_another_way(void **)
{
    in_both_orders([] {
        for (int head_dim : {2, 20, 36, 264, 300})
            check({2, 2, random_int(1, 3), head_dim, 70, random_int(0, 69), random_int(0, 1) * 9, random_dtype(),
                   random_dtype(), 3, false});
    });
}

static void groups_of_any_size_share_their_keys(void **)
{
    in_both_orders([] {
        for (int group : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17})
            check({random_int(1, 2), random_int(1, 2), group, 16, 40, random_int(0, 39), 0, random_dtype(), random_dtype(), 3,
                   false});
    });
}

static void every_position_from_the_first_on_is_seen_whatever_the_splits(void **)
{
    in_both_orders([] {
        for (int past : {0, 1, 2, 5, 31, 32, 63, 64, 127, 200, 299})
            check({1, 2, 2, 32, 300, past, 0, random_dtype(), DTYPE_F32, 3, false});
    });
}

static void a_window_hides_what_is_before_it(void **)
{
    in_both_orders([] {
        for (int window : {1, 2, 7, 64, 100, 250})
            for (int past : {0, 6, 99, 249})
                check({1, 1, 2, 16, 250, past, window, random_dtype(), random_dtype(), 3, false});
    });
}

static void scores_far_apart_or_far_below_zero_lose_nothing(void **)
{
    in_both_orders([] {
        for (int head_dim : {20, 64}) {
            check({2, 1, 3, head_dim, 100, 80, 0, DTYPE_F32, DTYPE_F32, 300, false});
            check({2, 1, 3, head_dim, 100, 80, 0, DTYPE_F32, DTYPE_F32, 300, true});
        }
    });
}

static void scratch_depends_on_shapes_alone_and_no_split_is_short(void **)
{
    struct gpu_cache c = {NULL, NULL, DTYPE_BF16, 1, 32, 8, 128, 4096, 0};
    size_t entry = 32 * (128 + 2) * sizeof(float);

    assert_int_equal(gpu_partial_bytes(&c), 33 * entry); /* 264 blocks */
    c.capacity = 256;
    assert_int_equal(gpu_partial_bytes(&c), 4 * entry);
    c.capacity = 4096, c.window = 128;
    assert_int_equal(gpu_partial_bytes(&c), 2 * entry);
    c.window = 0, c.batch = 64;
    assert_int_equal(gpu_partial_bytes(&c), 64 * entry); /* the sequences alone are blocks enough */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_dimension_and_dtype_is_the_softmax_of_its_scores),
        cmocka_unit_test(head_dimensions_that_no_load_fits_go_another_way),
        cmocka_unit_test(groups_of_any_size_share_their_keys),
        cmocka_unit_test(every_position_from_the_first_on_is_seen_whatever_the_splits),
        cmocka_unit_test(a_window_hides_what_is_before_it),
        cmocka_unit_test(scores_far_apart_or_far_below_zero_lose_nothing),
        cmocka_unit_test(scratch_depends_on_shapes_alone_and_no_split_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
