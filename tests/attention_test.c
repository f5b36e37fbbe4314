/* SPDX-License-Identifier: MIT
 * Attention of the cpu backend against a softmax in double precision, written out, on the values that the cache holds: at every
 * instruction-set level of this CPU, for shapes that fit no vector and no block, with every position that may not be seen and
 * the result's own memory poisoned beforehand. */
#include "check.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/attention.h"
#include "isa.h"
#include "pages.h"
#include "team.h"

enum { LAYERS = 2, LAYER = 1 };

struct shape {
    int kv_heads, group, head_dim, batch, past, tokens, window, threads, spare;
    enum dtype dtype;
    enum attention attention;
    float spread; /* queries are random in -spread..spread */
};

struct scene {
    struct model_config config;
    struct pass pass;
    struct cpu cpu;
    float spread;
    uint32_t random;
};

static float random_float(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (1 << 23) - 1;
}

static int random_from(uint32_t *state, int least, int most)
{
    *state = *state * 1664525u + 1013904223u;
    return least + (int)((*state >> 8) % (uint32_t)(most - least + 1));
}

static float *random_floats(uint32_t *state, size_t n, float spread)
{
    float *x = malloc(n * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = spread * random_float(state);
    return x;
}

static size_t row_floats(const struct scene *s)
{
    return (size_t)(s->config.heads + 2 * s->config.kv_heads) * (size_t)s->config.head_dim;
}

static size_t element(const struct scene *s, int sequence, int head, int position)
{
    return kvcache_head(&s->pass.kv, LAYER, sequence, head) + (size_t)position * (size_t)s->config.head_dim;
}

/* Past positions that are still seen hold random numbers; all others NaN, in every dtype. */
static void fill_cache(struct scene *s)
{
    struct pass *p = &s->pass;
    int hd = s->config.head_dim, earliest = p->past + 1 - config_visible(&s->config, LAYER, p->past + 1);
    size_t bytes = kvcache_bytes(&p->kv) / 2;

    p->kv.k = malloc(bytes), p->kv.v = malloc(bytes);
    assert_true(p->kv.k && p->kv.v);
    memset(p->kv.k, 0xff, bytes);
    memset(p->kv.v, 0xff, bytes);
    for (int i = 0; i < p->batch * s->config.kv_heads; i++)
        for (int j = earliest; j < p->past; j++) {
            size_t at = dtype_bytes(p->kv.dtype, element(s, i / s->config.kv_heads, i % s->config.kv_heads, j));
            float *x = random_floats(&s->random, 2 * (size_t)hd, 1);
            dtype_encode(p->kv.dtype, (char *)p->kv.k + at, x, (size_t)hd);
            dtype_encode(p->kv.dtype, (char *)p->kv.v + at, x + hd, (size_t)hd);
            free(x);
        }
}

static void scene_open(struct scene *s, const struct shape *shape, enum isa isa, uint32_t seed)
{
    struct err e = {0};
    int rows = shape->batch * shape->tokens;

    *s = (struct scene){
        .config = {.layers = LAYERS,
                   .heads = shape->kv_heads * shape->group,
                   .kv_heads = shape->kv_heads,
                   .head_dim = shape->head_dim,
                   .window = shape->window,
                   .window_first = LAYER},
        .cpu = {.kernels = cpu_kernels_of(isa), .isa = isa, .base.threads = shape->threads},
        .spread = shape->spread,
        .random = seed,
    };
    s->pass = (struct pass){.config = &s->config,
                            .batch = shape->batch,
                            .tokens = shape->tokens,
                            .past = shape->past,
                            .threads = shape->threads,
                            .attention = shape->attention};
    kvcache_shape(&s->pass.kv, &s->config, shape->batch, shape->past + shape->tokens + shape->spare, true, shape->dtype);
    fill_cache(s);
    s->pass.qkv = random_floats(&s->random, (size_t)rows * row_floats(s), 1);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < s->config.heads * s->config.head_dim; i++)
            s->pass.qkv[(size_t)r * row_floats(s) + (size_t)i] *= shape->spread;
    s->pass.mixed = malloc((size_t)rows * (size_t)(s->config.heads * s->config.head_dim) * sizeof(float));
    memset(s->pass.mixed, 0xff, (size_t)rows * (size_t)(s->config.heads * s->config.head_dim) * sizeof(float));
    assert_int_equal(attention_reserve(&s->cpu, &s->pass, &e), 0);
    memset(s->cpu.attention.data, 0xff, s->cpu.attention.bytes);
}

static void scene_close(struct scene *s)
{
    pages_free(s->cpu.attention.data, s->cpu.attention.bytes);
    free(s->pass.kv.k), free(s->pass.kv.v), free(s->pass.qkv), free(s->pass.mixed);
}

static void run_worker(void *ctx, int worker)
{
    struct scene *s = ctx;

    for (int r = worker; r < s->pass.batch * s->pass.tokens; r += s->pass.threads)
        attention_append(&s->cpu, &s->pass, LAYER, r, r + 1);
    cpu_meet(&s->cpu, &s->pass);
    attention_run(&s->cpu, &s->pass, LAYER, worker);
}

static void scene_run(struct scene *s)
{
    team_run(s->pass.threads, run_worker, s);
}

/* --- the truth ---------------------------------------------------------------------------------------------------------------
 */

/* True where queries and probabilities are rounded to bf16 before they are multiplied. */
static bool rounds(const struct scene *s)
{
    bool few = s->pass.tokens == 1 && s->config.heads / s->config.kv_heads <= 13;

    return s->cpu.isa == ISA_AVX512BF16 && s->pass.kv.dtype == DTYPE_BF16 && !few;
}

static void scaled_query(const struct scene *s, float *q, int row, int head)
{
    int hd = s->config.head_dim;
    uint16_t few[1024];

    for (int d = 0; d < hd; d++)
        q[d] = s->pass.qkv[(size_t)row * row_floats(s) + (size_t)(head * hd + d)] * (1 / sqrtf((float)hd));
    if (!rounds(s))
        return;
    dtype_encode(DTYPE_BF16, few, q, (size_t)hd);
    dtype_decode(DTYPE_BF16, q, few, (size_t)hd);
}

struct truth {
    float *k, *v;  /* of one head, as the cache holds them */
    double *score; /* of one query */
    double out[1024];
    double limit; /* of what float32 may be off */
};

static void truth_open(struct truth *t, const struct scene *s, int sequence, int kv_head)
{
    const struct kvcache *kv = &s->pass.kv;
    size_t n = (size_t)kv->capacity * (size_t)kv->head_dim, at = dtype_bytes(kv->dtype, element(s, sequence, kv_head, 0));

    t->k = malloc(n * sizeof *t->k), t->v = malloc(n * sizeof *t->v), t->score = malloc(n * sizeof *t->score);
    dtype_decode(kv->dtype, t->k, (char *)kv->k + at, n);
    dtype_decode(kv->dtype, t->v, (char *)kv->v + at, n);
}

static void truth_close(struct truth *t)
{
    free(t->k), free(t->v), free(t->score);
}

static void attend(const struct scene *s, struct truth *t, int row, int head)
{
    int hd = s->config.head_dim, to = s->pass.past + row % s->pass.tokens + 1;
    int from = to - config_visible(&s->config, LAYER, to);
    double most = -INFINITY, sum = 0, largest = 0, value = 0;
    float q[1024];

    scaled_query(s, q, row, head);
    for (int j = from; j < to; j++) {
        double size = 0;
        t->score[j] = 0;
        for (int d = 0; d < hd; d++) {
            double product = (double)q[d] * (double)t->k[j * hd + d];
            t->score[j] += product;
            size += fabs(product);
            value = fmax(value, fabs((double)t->v[j * hd + d]));
        }
        most = fmax(most, t->score[j]);
        largest = fmax(largest, size);
    }
    memset(t->out, 0, sizeof t->out);
    for (int j = from; j < to; j++) {
        double p = exp(t->score[j] - most);
        sum += p;
        for (int d = 0; d < hd; d++)
            t->out[d] += p * (double)t->v[j * hd + d];
    }
    for (int d = 0; d < hd; d++)
        t->out[d] /= sum;
    /* Steps of float32 are 2^-23: a score is off by a few of its terms', a probability by as much, twice; and by bf16's. */
    t->limit = value * (4e-6 + largest * 0x1p-21 + (rounds(s) ? 0x1p-9 : 0));
}

static void assert_head_is_right(const struct scene *s, struct truth *t, int row, int head)
{
    int hd = s->config.head_dim;
    const float *got = s->pass.mixed + ((size_t)row * (size_t)s->config.heads + (size_t)head) * (size_t)hd;

    attend(s, t, row, head);
    for (int d = 0; d < hd; d++)
        if (!(fabs((double)got[d] - t->out[d]) <= t->limit))
            fail_msg(
                "%s %s: heads %d/%d x %d, batch %d, past %d, tokens %d, window %d, %d workers: row %d head %d at %d is %g, "
                "not %g within %g",
                isa_name(s->cpu.isa), dtype_name(s->pass.kv.dtype), s->config.heads, s->config.kv_heads, hd, s->pass.batch,
                s->pass.past, s->pass.tokens, s->config.window, s->pass.threads, row, head, d, (double)got[d], t->out[d],
                t->limit);
}

static void assert_right(const struct scene *s)
{
    int group = s->config.heads / s->config.kv_heads;
    struct truth t;

    for (int i = 0; i < s->pass.batch * s->config.kv_heads; i++) {
        int sequence = i / s->config.kv_heads, kv_head = i % s->config.kv_heads;
        truth_open(&t, s, sequence, kv_head);
        for (int j = 0; j < s->pass.tokens * group; j++)
            assert_head_is_right(s, &t, sequence * s->pass.tokens + j / group, kv_head * group + j % group);
        truth_close(&t);
    }
}

static void assert_shape_is_right(const struct shape *shape, enum isa isa, uint32_t seed)
{
    struct scene s;

    scene_open(&s, shape, isa, seed);
    scene_run(&s);
    assert_right(&s);
    scene_close(&s);
}

static enum isa best;

/* --- the tests ---------------------------------------------------------------------------------------------------------------
 */

static struct shape random_shape(uint32_t *state, int tokens)
{
    static const float spreads[] = {0.1f, 1, 6};
    struct shape s = {
        .kv_heads = random_from(state, 1, 3),
        .group = random_from(state, 0, 2) ? 1 : random_from(state, 2, 20),
        .head_dim = random_from(state, 0, 2) ? random_from(state, 1, 130) : 32 * random_from(state, 1, 4),
        .batch = random_from(state, 1, 2),
        .past = random_from(state, 0, 2) ? random_from(state, 0, 300) : 0,
        .tokens = tokens,
        .window = random_from(state, 0, 2) ? 0 : random_from(state, 1, 120),
        .threads = random_from(state, 1, 2),
        .spare = random_from(state, 0, 9),
        .dtype = (enum dtype)random_from(state, DTYPE_F32, DTYPE_BF16),
        .spread = spreads[random_from(state, 0, 2)],
    };

    return s;
}

static void one_token_sees_all_that_is_cached(void **unused)
{
    uint32_t state = 3;

    (void)unused;
    for (int i = 0; i < 40; i++)
        for (int isa = 0; isa <= (int)best; isa++) {
            struct shape shape = random_shape(&state, 1);
            assert_shape_is_right(&shape, (enum isa)isa, state);
        }
}

static void a_prompt_sees_what_came_before_each_of_its_tokens(void **unused)
{
    uint32_t state = 5;

    (void)unused;
    for (int i = 0; i < 30; i++)
        for (int isa = 0; isa <= (int)best; isa++) {
            struct shape shape = random_shape(&state, random_from(&state, 2, i % 4 ? 40 : 150));
            shape.group = shape.group > 4 ? 4 : shape.group;
            assert_shape_is_right(&shape, (enum isa)isa, state);
        }
}

static void the_naive_variant_gives_the_same(void **unused)
{
    uint32_t state = 7;

    (void)unused;
    for (int i = 0; i < 40; i++) {
        struct shape shape = random_shape(&state, i % 2 ? 1 : random_from(&state, 2, 150));
        shape.dtype = DTYPE_F32;
        shape.attention = ATTENTION_NAIVE;
        assert_shape_is_right(&shape, best, state);
    }
}

static void few_heads_are_shared_out_among_many_workers(void **unused)
{
    static const struct shape shapes[] = {
        {.kv_heads = 1, .group = 1, .head_dim = 64, .batch = 1, .past = 700, .tokens = 1, .threads = 5, .spread = 1},
        {.kv_heads = 1, .group = 3, .head_dim = 40, .batch = 1, .past = 20, .tokens = 1, .threads = 5, .spread = 1},
        {.kv_heads = 3, .group = 2, .head_dim = 64, .batch = 1, .past = 333, .tokens = 1, .threads = 4, .spread = 6},
        {.kv_heads = 1, .group = 1, .head_dim = 64, .batch = 1, .past = 500, .tokens = 150, .threads = 5, .spread = 6},
        {.kv_heads = 1, .group = 1, .head_dim = 8, .batch = 1, .past = 0, .tokens = 1, .threads = 3, .spread = 1},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        assert_shape_is_right(&shapes[i], best, 11);
}

static void a_window_begins_anywhere_in_a_block(void **unused)
{
    struct shape shape = {.kv_heads = 1, .head_dim = 24, .batch = 1, .past = 61, .tokens = 70, .threads = 2, .spread = 1};

    (void)unused;
    for (int isa = 0; isa <= (int)best; isa++)
        for (int d = DTYPE_F32; d <= DTYPE_BF16; d++)
            for (shape.group = 1; shape.group <= 3; shape.group++) {
                shape.dtype = (enum dtype)d;
                shape.window = 11 + 7 * shape.group;
                assert_shape_is_right(&shape, (enum isa)isa, 19);
            }
}

static void a_large_group_of_wide_heads_is_right(void **unused)
{
    struct shape shape = {.kv_heads = 1, .group = 70, .head_dim = 1024, .batch = 1, .past = 30, .tokens = 1, .threads = 2};

    (void)unused;
    shape.spread = 1;
    for (int isa = 0; isa <= (int)best; isa++)
        for (int d = DTYPE_F32; d <= DTYPE_BF16; d++) {
            shape.dtype = (enum dtype)d;
            assert_shape_is_right(&shape, (enum isa)isa, 13);
        }
}

static void scores_of_ten_thousand_stay_finite(void **unused)
{
    (void)unused;
    for (int isa = 0; isa <= (int)best; isa++)
        for (int tokens = 1; tokens <= 77; tokens += 76) {
            struct shape shape = {.kv_heads = 1, .group = 2, .head_dim = 64, .batch = 1, .past = 200, .threads = 2};
            shape.tokens = tokens;
            shape.spread = 2e4f;
            assert_shape_is_right(&shape, (enum isa)isa, 17);
        }
}

/* Every pattern of the upper half of a float, with lower halves at and around the borders of rounding. */
static void what_is_appended_is_what_dtype_encode_makes_of_it(void **unused)
{
    static const uint32_t lower[] = {0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { HALVES = 1 << 16, LOWER = sizeof lower / sizeof *lower, AT_ONCE = 99 };
    uint32_t few[AT_ONCE];
    unsigned char got[AT_ONCE * 4], right[AT_ONCE * 4];

    (void)unused;
    for (int isa = 0; isa <= (int)best; isa++)
        for (int d = DTYPE_F32; d <= DTYPE_BF16; d++)
            for (int from = 0; from < HALVES * LOWER; from += AT_ONCE) {
                int n = HALVES * LOWER - from < AT_ONCE ? HALVES * LOWER - from : AT_ONCE;
                size_t bytes = dtype_bytes((enum dtype)d, (size_t)n);
                float x[AT_ONCE];
                for (int i = 0; i < n; i++)
                    few[i] = (uint32_t)((from + i) / LOWER) << 16 | lower[(from + i) % LOWER];
                memcpy(x, few, sizeof x);
                cpu_kernels_of((enum isa)isa)->attention[d].encode(got, x, n);
                dtype_encode((enum dtype)d, right, x, (size_t)n);
                assert_memory_equal(got, right, bytes);
            }
}

static void naive_attention_refuses_a_cache_of_16_bits(void **unused)
{
    struct model_config config = {.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 4};
    struct pass p = {.config = &config, .batch = 1, .tokens = 1, .threads = 1, .attention = ATTENTION_NAIVE};
    struct cpu c = {.kernels = cpu_kernels_of(best), .base.threads = 1};
    struct err e = {0};

    (void)unused;
    kvcache_shape(&p.kv, &config, 1, 8, true, DTYPE_BF16);
    assert_int_equal(attention_reserve(&c, &p, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "BF16"));
    assert_non_null(strstr(e.text, "kv_dtype"));
    assert_null(c.attention.data);
}

static void flash_needs_no_more_room_for_a_longer_context(void **unused)
{
    struct model_config config = {.layers = 1, .heads = 1, .kv_heads = 1, .head_dim = 64};
    struct pass p = {.config = &config, .batch = 1, .tokens = 1, .threads = 1};
    size_t bytes[2];

    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct cpu c = {.kernels = cpu_kernels_of(best), .base.threads = 1};
        kvcache_shape(&p.kv, &config, 1, i ? 1 << 20 : 8, true, DTYPE_F32);
        assert_int_equal(attention_reserve(&c, &p, NULL), 0);
        bytes[i] = c.attention.bytes;
        pages_free(c.attention.data, c.attention.bytes);
    }
    assert_int_equal(bytes[0], bytes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_token_sees_all_that_is_cached),
        cmocka_unit_test(a_prompt_sees_what_came_before_each_of_its_tokens),
        cmocka_unit_test(the_naive_variant_gives_the_same),
        cmocka_unit_test(few_heads_are_shared_out_among_many_workers),
        cmocka_unit_test(a_window_begins_anywhere_in_a_block),
        cmocka_unit_test(a_large_group_of_wide_heads_is_right),
        cmocka_unit_test(scores_of_ten_thousand_stay_finite),
        cmocka_unit_test(what_is_appended_is_what_dtype_encode_makes_of_it),
        cmocka_unit_test(naive_attention_refuses_a_cache_of_16_bits),
        cmocka_unit_test(flash_needs_no_more_room_for_a_longer_context),
    };

    openblas_set_num_threads(1); /* as the backend does when it opens */
    if (isa_choose(&best, NULL) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
