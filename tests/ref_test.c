/* SPDX-License-Identifier: MIT
 * The reference backend on weights and caches of every dtype: it gives, to the last bit, what it gives in float32 on the same
 * values. So what a dtype costs in accuracy is its rounding and nothing else, and the truth of the others stays one. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "formats/source.h"
#include "team.h"

enum { PROMPT = 5, STEPS = 3, BATCH = 2, SLOTS_MAX = 64 };

static const int32_t prompt_ids[BATCH * PROMPT] = {5, 17, 61, 4, 33, 17, 3, 66, 2, 41};

/* Rows of whole blocks; biases and a tied head, and neither but grouped heads and a window. */
static const struct model_config shapes[] = {
    {
        .name = "paper-gpt2",
        .arch = "gpt2",
        .layers = 2,
        .d_model = 64,
        .heads = 2,
        .kv_heads = 2,
        .head_dim = 32,
        .d_ff = 96,
        .vocab = 70,
        .context = 32,
        .norm = NORM_LAYER,
        .position = POSITION_LEARNED,
        .mlp = MLP_GELU_TANH,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .tied_head = true,
        .norm_eps = 1e-5,
        .bos = -1,
    },
    {
        .name = "paper-llama",
        .arch = "llama",
        .layers = 3,
        .d_model = 96,
        .heads = 4,
        .kv_heads = 2,
        .head_dim = 16,
        .d_ff = 160,
        .vocab = 70,
        .context = 32,
        .norm = NORM_RMS,
        .position = POSITION_ROTARY,
        .mlp = MLP_SWIGLU,
        .norm_eps = 1e-5,
        .rope_theta = 10000,
        .window = 4,
        .window_first = 1,
        .bos = -1,
    },
};
enum { SHAPES = sizeof shapes / sizeof *shapes, LOGITS = BATCH * (1 + STEPS) * 70 };

struct fixture {
    struct model model;
    struct backend_ops ops; /* a copy that a test may change */
};

static void open_fixture(struct fixture *f, const struct model_config *c, enum dtype dtype)
{
    struct err e = {0};

    *f = (struct fixture){.model = {.config = *c}};
    if (weights_alloc(&f->model.weights, c, dtype, &e) < 0 ||
        backend_open(&f->model.backend, "ref", &(struct backend_args){.threads = 1}, &e) < 0)
        fail_msg("%s", e.text);
    synthetic_fill(&f->model.weights, c, 7);
    f->ops = *f->model.backend->ops;
    f->model.backend->ops = &f->ops;
}

static void close_fixture(struct fixture *f)
{
    weights_free(&f->model.weights);
    f->model.backend->ops->close(f->model.backend);
}

/* Logits of prefill, then of each decode step. */
static void generate(struct fixture *f, bool kv_cache, enum dtype kv_dtype, float *logits)
{
    struct session_args a = {.batch = BATCH, .capacity = PROMPT + STEPS, .kv_dtype = kv_dtype, .kv_cache = kv_cache};
    size_t vocab = (size_t)f->model.config.vocab;
    struct session *s = NULL;
    struct err e = {0};

    if (session_open(&s, &f->model, &a, &e) < 0)
        fail_msg("%s", e.text);
    for (int step = 0; step <= STEPS; step++, logits += BATCH * vocab) {
        assert_int_equal(step == 0 ? session_prefill(s, prompt_ids, PROMPT, NULL) : session_decode(s, NULL), 0);
        memcpy(logits, session_logits(s), BATCH * vocab * sizeof *logits);
    }
    session_close(s);
}

/* --- weights -----------------------------------------------------------------------------------------------------------------
 */

struct slots {
    struct matrix at[SLOTS_MAX];
    int count;
};

static int note_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct slots *s = ctx;

    (void)e;
    assert_in_range(s->count, 0, SLOTS_MAX - 1);
    s->at[s->count++] = slot->to;
    return 0;
}

/* Every tensor of `to`, which is float32, becomes what the same tensor of `from` decodes to. */
static void decode_weights(struct model *to, const struct model *from)
{
    struct slots a = {0}, b = {0};

    assert_int_equal(weights_visit(&to->weights, &to->config, note_slot, &a, NULL), 0);
    assert_int_equal(weights_visit(&from->weights, &from->config, note_slot, &b, NULL), 0);
    assert_int_equal(a.count, b.count);
    for (int i = 0; i < a.count; i++)
        for (int r = 0; r < a.at[i].rows; r++)
            dtype_decode(b.at[i].dtype, matrix_row(&a.at[i], r), matrix_row(&b.at[i], r), (size_t)b.at[i].cols);
}

static void weights_of_any_dtype_compute_as_their_decoded_values_in_float32(void **unused)
{
    static float stored[LOGITS], decoded[LOGITS], exact[LOGITS];

    (void)unused;
    for (int i = 0; i < SHAPES; i++)
        for (enum dtype d = DTYPE_F16; d <= DTYPE_Q4_0; d++) {
            struct fixture in_dtype, in_float;
            open_fixture(&in_dtype, &shapes[i], d);
            open_fixture(&in_float, &shapes[i], DTYPE_F32);
            generate(&in_float, true, DTYPE_F32, exact);
            decode_weights(&in_float.model, &in_dtype.model);
            generate(&in_float, true, DTYPE_F32, decoded);
            generate(&in_dtype, true, DTYPE_F32, stored);
            assert_memory_equal(stored, decoded, sizeof stored);
            assert_true(memcmp(stored, exact, sizeof stored) != 0); /* there was something to round */
            close_fixture(&in_dtype);
            close_fixture(&in_float);
        }
}

/* --- cache -------------------------------------------------------------------------------------------------------------------
 */

static void round_row(void *row, enum dtype d, size_t n)
{
    char stored[HEAD_DIM_MAX * sizeof(float)];

    dtype_encode(d, stored, row, n);
    dtype_decode(d, row, stored, n);
}

/* The real op, and what it appended to a float32 cache rounded afterwards. */
static void qkv_rounded(struct backend *b, const struct pass *p, int layer, enum dtype d)
{
    const struct kvcache *kv = &p->kv;
    size_t hd = (size_t)kv->head_dim;

    backend_ref.qkv(b, p, layer);
    for (int s = 0; s < kv->batch; s++)
        for (int h = 0; h < kv->kv_heads; h++)
            for (int i = p->past; i < p->past + p->tokens; i++) {
                size_t at = kvcache_head(kv, layer, s, h) + (size_t)i * hd;
                round_row((float *)kv->k + at, d, hd);
                round_row((float *)kv->v + at, d, hd);
            }
}

static void qkv_rounded_to_f16(struct backend *b, const struct pass *p, int layer)
{
    qkv_rounded(b, p, layer, DTYPE_F16);
}

static void qkv_rounded_to_bf16(struct backend *b, const struct pass *p, int layer)
{
    qkv_rounded(b, p, layer, DTYPE_BF16);
}

static void a_cache_of_16_bits_computes_as_a_float32_cache_of_rounded_values(void **unused)
{
    static const struct {
        enum dtype dtype;
        void (*qkv)(struct backend *b, const struct pass *p, int layer);
    } caches[] = {{DTYPE_F16, qkv_rounded_to_f16}, {DTYPE_BF16, qkv_rounded_to_bf16}};
    static float stored[LOGITS], rounded[LOGITS], exact[LOGITS];

    (void)unused;
    for (int i = 0; i < SHAPES; i++)
        for (int c = 0; c < 2; c++)
            for (int kv_cache = 0; kv_cache < 2; kv_cache++) {
                struct fixture f;
                open_fixture(&f, &shapes[i], DTYPE_F32);
                generate(&f, kv_cache, caches[c].dtype, stored);
                generate(&f, kv_cache, DTYPE_F32, exact);
                f.ops.qkv = caches[c].qkv;
                generate(&f, kv_cache, DTYPE_F32, rounded);
                assert_memory_equal(stored, rounded, sizeof stored);
                assert_true(memcmp(stored, exact, sizeof stored) != 0);
                close_fixture(&f);
            }
}

static void products_are_float32_whatever_the_weights(void **unused)
{
    struct fixture f;

    (void)unused;
    open_fixture(&f, &shapes[0], DTYPE_F32);
    for (enum dtype d = DTYPE_F32; d <= DTYPE_Q4_0; d++)
        assert_string_equal(f.ops.arithmetic(f.model.backend, d), "f32");
    close_fixture(&f);
}

static int start_team(void **unused)
{
    struct team team;

    (void)unused;
    return team_start(&team, 1, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_any_dtype_compute_as_their_decoded_values_in_float32),
        cmocka_unit_test(a_cache_of_16_bits_computes_as_a_float32_cache_of_rounded_values),
        cmocka_unit_test(products_are_float32_whatever_the_weights),
    };
    return cmocka_run_group_tests(tests, start_team, NULL);
}
