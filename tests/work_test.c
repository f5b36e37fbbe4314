/* SPDX-License-Identifier: MIT
 * Analytic work: by hand for cases small enough to do on paper, against published parameter counts and KV cache sizes, and
 * against the products that OpenBLAS is really asked for (cblas_sgemm is overridden here to add them up and pass them on). */
#include "check.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "engine.h"
#include "team.h"
#include "work.h"

static double executed_flops;

void cblas_sgemm(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_TRANSPOSE ta,
                 OPENBLAS_CONST enum CBLAS_TRANSPOSE tb, OPENBLAS_CONST blasint m, OPENBLAS_CONST blasint n,
                 OPENBLAS_CONST blasint k, OPENBLAS_CONST float alpha, OPENBLAS_CONST float *a, OPENBLAS_CONST blasint lda,
                 OPENBLAS_CONST float *b, OPENBLAS_CONST blasint ldb, OPENBLAS_CONST float beta, float *c,
                 OPENBLAS_CONST blasint ldc)
{
    void (*real)(enum CBLAS_ORDER, enum CBLAS_TRANSPOSE, enum CBLAS_TRANSPOSE, blasint, blasint, blasint, float, const float *,
                 blasint, const float *, blasint, float, float *, blasint);

    *(void **)&real = dlsym(RTLD_NEXT, "cblas_sgemm");
#pragma omp atomic
    executed_flops += 2.0 * m * n * k;
    real(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* FLOPs of a prefill through OpenBLAS, attention by whole matrices of scores, the head for all positions: sgemm alone.
 * analytic: what work.h says. */
static double execute_prefill(const char *name, const struct pass_shape *p, struct model_config *c, double *analytic)
{
    struct model_args args = {.source = name, .backend = "cpu", .threads = 1, .gemm = GEMM_OPENBLAS, .seed = 1};
    struct session_args shape = {
        .batch = p->batch, .capacity = p->tokens, .attention = ATTENTION_NAIVE, .kv_cache = true, .all_logits = true};
    int32_t *prompt = calloc((size_t)p->batch * (size_t)p->tokens, sizeof *prompt);
    struct model *m = NULL;
    struct session *s = NULL;
    struct err e = {0};

    assert_int_equal(model_open(&m, &args, &e), 0);
    assert_int_equal(session_open(&s, m, &shape, &e), 0);
    executed_flops = 0;
    assert_int_equal(session_prefill(s, prompt, p->tokens, &e), 0);
    *c = *model_config(m);
    *analytic = work_of_pass(c, p).flops;
    session_close(s);
    model_close(m);
    free(prompt);
    return executed_flops;
}

/* Attention by matrices of scores runs in blocks of 64 queries and computes each block's whole triangle. */
static double blocked_attention(const struct model_config *c, const struct pass_shape *p)
{
    double flops = 0;

    for (int first = 0; first < p->tokens; first += 64) {
        int n = p->tokens - first < 64 ? p->tokens - first : 64;
        flops += 4.0 * c->layers * p->batch * c->heads * c->head_dim * n * (first + n);
    }
    return flops;
}

static void prefill_executes_exactly_the_products_that_are_counted(void **unused)
{
    static const struct {
        const char *name;
        struct pass_shape pass;
    } runs[] = {
        {"tiny-gpt2", {.batch = 1, .tokens = 150, .all_logits = true}},
        {"tiny-gpt2", {.batch = 3, .tokens = 100, .all_logits = true}},
        {"tiny-llama", {.batch = 2, .tokens = 70, .all_logits = true}},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct model_config c;
        double analytic, executed = execute_prefill(runs[i].name, &runs[i].pass, &c, &analytic);
        double attention = c.layers * work_of_op(&c, OP_ATTENTION, &runs[i].pass).flops;
        assert_float_equal(executed, analytic - attention + blocked_attention(&c, &runs[i].pass), 0);
    }
}

static void the_causal_half_is_within_three_percent_of_what_distilgpt2_executes(void **unused)
{
    struct pass_shape p = {.batch = 1, .tokens = 192, .all_logits = true};
    struct model_config c;
    double analytic, executed = execute_prefill("distilgpt2", &p, &c, &analytic);

    (void)unused;
    assert_true(executed >= analytic);
    assert_true(executed <= 1.03 * analytic);
}

static int start_team(void **unused)
{
    struct team team;

    (void)unused;
    return team_start(&team, 1, NULL, NULL);
}

static struct model_config preset(const char *name)
{
    struct model_config c;

    assert_int_equal(config_preset(&c, name, NULL), 0);
    return c;
}

/* A GPT-2 of one layer, 2 heads of 4, d_ff 16, vocab 10: every product fits on paper. */
static struct model_config paper_gpt2(void)
{
    return (struct model_config){
        .layers = 1,
        .d_model = 8,
        .heads = 2,
        .kv_heads = 2,
        .head_dim = 4,
        .d_ff = 16,
        .vocab = 10,
        .context = 32,
        .norm = NORM_LAYER,
        .position = POSITION_LEARNED,
        .mlp = MLP_GELU_TANH,
        .qkv_bias = true,
        .out_bias = true,
        .mlp_bias = true,
        .tied_head = true,
    };
}

static void a_prefill_of_three_tokens_counts_as_on_paper(void **unused)
{
    struct model_config c = paper_gpt2();
    struct pass_shape p = {.batch = 1, .tokens = 3};
    struct work w = work_of_pass(&c, &p);

    (void)unused;
    /* qkv 3x24x8, out 3x8x8, up 3x16x8, down 3x8x16, head 1x10x8, each 2 FLOPs a multiply-add;
       attention: 1 + 2 + 3 positions seen, 2 heads, q.k and p.v over 4 each */
    assert_float_equal(w.flops, 2 * (3 * 24 * 8 + 3 * 8 * 8 + 3 * 16 * 8 + 3 * 8 * 16 + 10 * 8) + 4 * 2 * 4 * 6, 0);
    /* weights: 3 tokens and positions of 8; qkv 192 + 24, out 64 + 8, mlp 256 + 16 + 8, two norms and the final of 16; head 80
     */
    assert_float_equal(w.weight_bytes, 4 * (3 * 8 * 2 + 192 + 24 + 64 + 8 + 256 + 24 + 3 * 16 + 80), 0);
    assert_float_equal(w.kv_write_bytes, 4 * 2 * 3 * 8, 0);
    assert_float_equal(w.kv_read_bytes, 4 * 2 * 3 * 8, 0);
}

static void a_decode_step_reads_the_past_and_computes_one_row(void **unused)
{
    struct model_config c = paper_gpt2();
    struct pass_shape p = {.batch = 1, .tokens = 1, .past = 5};
    struct work w = work_of_pass(&c, &p);

    (void)unused;
    assert_float_equal(w.flops, 2 * (24 * 8 + 8 * 8 + 16 * 8 + 8 * 16 + 10 * 8) + 4 * 2 * 4 * 6, 0);
    assert_float_equal(w.kv_read_bytes, 4 * 2 * 6 * 8, 0);
    assert_float_equal(w.kv_write_bytes, 4 * 2 * 8, 0);
}

/* distilgpt2: 6 layers of 2304x768 + 768x768 + 3072x768 + 768x3072, the head's 50257x768 and the token's row make 81,065,472
 * elements in matrices; biases, norms and the position 62,208 floats. tinyllama: 22 layers of 2560x2048 + 2048x2048 +
 * 11264x2048 + 2048x5632, 32000x2048 and the row, 1,034,422,272; norms 92,160. Blocks of 32 take 34 and 18 bytes. */
static void a_decode_step_reads_the_bytes_of_its_dtype(void **unused)
{
    static const struct {
        const char *model;
        enum dtype dtype;
        double bytes;
    } steps[] = {
        {"distilgpt2", DTYPE_F32, 4 * 81065472.0 + 4 * 62208},
        {"distilgpt2", DTYPE_F16, 2 * 81065472.0 + 4 * 62208},
        {"distilgpt2", DTYPE_BF16, 2 * 81065472.0 + 4 * 62208},
        {"distilgpt2", DTYPE_Q8_0, 81065472 / 32 * 34.0 + 4 * 62208},
        {"distilgpt2", DTYPE_Q4_0, 81065472 / 32 * 18.0 + 4 * 62208},
        {"tinyllama-1.1b", DTYPE_F32, 4 * 1034422272.0 + 4 * 92160},
        {"tinyllama-1.1b", DTYPE_F16, 2 * 1034422272.0 + 4 * 92160},
        {"tinyllama-1.1b", DTYPE_BF16, 2 * 1034422272.0 + 4 * 92160},
        {"tinyllama-1.1b", DTYPE_Q8_0, 1034422272 / 32 * 34.0 + 4 * 92160},
        {"tinyllama-1.1b", DTYPE_Q4_0, 1034422272 / 32 * 18.0 + 4 * 92160},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct model_config c = preset(steps[i].model);
        struct pass_shape plain = {.batch = 1, .tokens = 1, .past = 12}, shape = plain;
        shape.dtype = steps[i].dtype;
        struct work w = work_of_pass(&c, &shape), f32 = work_of_pass(&c, &plain);
        assert_float_equal(w.weight_bytes, steps[i].bytes, 0);
        assert_float_equal(w.flops, f32.flops, 0);
        assert_float_equal(w.kv_read_bytes, f32.kv_read_bytes, 0);
        assert_float_equal(w.kv_write_bytes, f32.kv_write_bytes, 0);
    }
}

static void an_embedding_reads_one_row_of_its_dtype_for_each_token_and_positions_in_float32(void **unused)
{
    struct model_config gpt2 = preset("distilgpt2"), llama = preset("tinyllama-1.1b");
    struct pass_shape p = {.batch = 2, .tokens = 3, .dtype = DTYPE_Q4_0};

    (void)unused;
    assert_float_equal(work_of_op(&gpt2, OP_EMBED, &p).weight_bytes, 6 * (768 / 32 * 18 + 768 * 4), 0);
    assert_float_equal(work_of_op(&llama, OP_EMBED, &p).weight_bytes, 6 * (2048 / 32 * 18), 0);
}

static void a_row_that_ends_within_a_block_counts_to_the_end_of_it(void **unused)
{
    struct model_config c = paper_gpt2();
    struct pass_shape p = {.batch = 1, .tokens = 1, .dtype = DTYPE_Q8_0};

    (void)unused;
    assert_float_equal(work_of_op(&c, OP_QKV, &p).weight_bytes, 24 * 34 + 24 * 4, 0); /* 24 rows of 8 */
    c.d_model = 40;
    assert_float_equal(work_of_op(&c, OP_QKV, &p).weight_bytes, 24 * 2 * 34 + 24 * 4, 0);
}

static void keys_and_values_count_in_the_bytes_of_the_cache(void **unused)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    struct model_config distil = preset("distilgpt2"), tiny = preset("tinyllama-1.1b");

    (void)unused;
    for (int i = 0; i < 3; i++) {
        struct pass_shape p = {.batch = 2, .tokens = 1, .past = 12, .dtype = DTYPE_Q4_0, .kv_dtype = dtypes[i]};
        int element = dtypes[i] == DTYPE_F32 ? 4 : 2;
        struct work w = work_of_pass(&distil, &p);
        assert_float_equal(w.kv_read_bytes, 2.0 * 13 * 9216 * element, 0); /* 2 x 6 layers x 12 heads x 64 a token */
        assert_float_equal(w.kv_write_bytes, 2.0 * 9216 * element, 0);
        w = work_of_pass(&tiny, &p);
        assert_float_equal(w.kv_read_bytes, (double)config_kv_bytes(&tiny, 2, 13, element), 0);
        assert_float_equal(w.kv_write_bytes, 2.0 * 22 * 2 * 4 * 64 * element, 0);
    }
}

static void grouped_queries_read_fewer_keys_and_compute_as_many_scores(void **unused)
{
    struct model_config many = paper_gpt2(), grouped = paper_gpt2();
    struct pass_shape p = {.batch = 2, .tokens = 1, .past = 9};

    (void)unused;
    grouped.kv_heads = 1;
    struct work a = work_of_op(&many, OP_ATTENTION, &p), b = work_of_op(&grouped, OP_ATTENTION, &p);
    assert_float_equal(a.flops, b.flops, 0);
    assert_float_equal(a.kv_read_bytes, 2 * b.kv_read_bytes, 0);
}

/* Token by token, layer by layer: what work.c says in closed form. */
static void a_sliding_window_counts_the_positions_that_are_seen(void **unused)
{
    (void)unused;
    for (int window = 1; window < 12; window++)
        for (int past = 0; past < 14; past++) {
            struct model_config c = paper_gpt2();
            struct pass_shape p = {.batch = 1, .tokens = 5, .past = past};
            double pairs = 0, positions = 0;
            c.layers = 3;
            c.window = window;
            c.window_first = 1;
            for (int layer = 0; layer < c.layers; layer++) {
                int first_view = config_visible(&c, layer, past + 1);
                for (int i = 0; i < p.tokens; i++)
                    pairs += config_visible(&c, layer, past + i + 1);
                positions += first_view + p.tokens - 1;
            }
            struct work w = work_of_op(&c, OP_ATTENTION, &p);
            assert_float_equal(c.layers * w.flops, 4 * 2 * 4 * pairs, 1e-9);
            assert_float_equal(c.layers * w.kv_read_bytes, 2 * 4 * 2 * 4 * positions, 1e-9);
        }
}

static void swiglu_has_two_products_up_and_one_down(void **unused)
{
    struct model_config c = paper_gpt2();
    struct pass_shape p = {.batch = 1, .tokens = 1};

    (void)unused;
    double gelu = work_of_op(&c, OP_MLP, &p).flops;
    c.mlp = MLP_SWIGLU;
    assert_float_equal(work_of_op(&c, OP_MLP, &p).flops, gelu * 3 / 2, 0);
}

static void the_head_runs_for_the_last_position_unless_all_are_asked_for(void **unused)
{
    struct model_config c = paper_gpt2();

    (void)unused;
    assert_float_equal(work_of_op(&c, OP_HEAD, &(struct pass_shape){.batch = 2, .tokens = 7}).flops, 2 * 2 * 10 * 8, 0);
    assert_float_equal(work_of_op(&c, OP_HEAD, &(struct pass_shape){.batch = 2, .tokens = 7, .all_logits = true}).flops,
                       2 * 14 * 10 * 8, 0);
}

static void steps_are_passes_over_one_token_with_a_cache_and_over_all_without(void **unused)
{
    struct pass_shape first = work_step_shape(1, 13, 0, true), on = work_step_shape(1, 13, 4, true);
    struct pass_shape off = work_step_shape(1, 13, 4, false);

    (void)unused;
    assert_int_equal(first.tokens, 13);
    assert_int_equal(first.past, 0);
    assert_int_equal(on.tokens, 1);
    assert_int_equal(on.past, 16);
    assert_int_equal(off.tokens, 17);
    assert_int_equal(off.past, 0);
}

static void the_slower_roof_gives_the_time_and_an_unknown_one_gives_none(void **unused)
{
    struct work w = {.flops = 4e9, .weight_bytes = 1e9, .kv_read_bytes = 0.5e9, .kv_write_bytes = 0.5e9};

    (void)unused;
    assert_float_equal(work_roof_ns(&w, 1e9, 1e9), 4e9, 0);
    assert_float_equal(work_roof_ns(&w, 8e9, 1e9), 2e9, 0);
    assert_float_equal(work_roof_ns(&w, 0, 1e9), 0, 0);
    assert_float_equal(work_roof_ns(&w, 1e9, 0), 0, 0);
}

static void kv_cache_sizes_are_those_of_the_literature(void **unused)
{
    struct model_config distil = preset("distilgpt2"), llama3 = preset("llama-3-8b");

    (void)unused;
    assert_int_equal(config_kv_bytes(&distil, 1, 1, 4), 9216 * 4); /* 2 x 6 x 12 x 64 floats */
    assert_int_equal(config_kv_bytes(&distil, 1, 13, 4), 479232);  /* 479 KB at the 13-token prompt */
    assert_int_equal(config_kv_bytes(&llama3, 1, 1, 2), 131072);   /* 8 KV heads */
    llama3.kv_heads = 32;
    assert_int_equal(config_kv_bytes(&llama3, 1, 1, 2), 524288); /* had it 32 */
}

static void presets_have_their_published_parameter_counts(void **unused)
{
    static const struct {
        const char *name;
        uint64_t parameters;
    } published[] = {
        {"distilgpt2", 81912576},   {"gpt2", 124439808},        {"tinyllama-1.1b", 1100048384},
        {"llama-2-7b", 6738415616}, {"llama-3-8b", 8030261248},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct model_config c = preset(published[i].name);
        assert_int_equal(config_parameters(&c), published[i].parameters);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefill_of_three_tokens_counts_as_on_paper),
        cmocka_unit_test(a_decode_step_reads_the_past_and_computes_one_row),
        cmocka_unit_test(a_decode_step_reads_the_bytes_of_its_dtype),
        cmocka_unit_test(an_embedding_reads_one_row_of_its_dtype_for_each_token_and_positions_in_float32),
        cmocka_unit_test(a_row_that_ends_within_a_block_counts_to_the_end_of_it),
        cmocka_unit_test(keys_and_values_count_in_the_bytes_of_the_cache),
        cmocka_unit_test(grouped_queries_read_fewer_keys_and_compute_as_many_scores),
        cmocka_unit_test(a_sliding_window_counts_the_positions_that_are_seen),
        cmocka_unit_test(swiglu_has_two_products_up_and_one_down),
        cmocka_unit_test(the_head_runs_for_the_last_position_unless_all_are_asked_for),
        cmocka_unit_test(steps_are_passes_over_one_token_with_a_cache_and_over_all_without),
        cmocka_unit_test(the_slower_roof_gives_the_time_and_an_unknown_one_gives_none),
        cmocka_unit_test(kv_cache_sizes_are_those_of_the_literature),
        cmocka_unit_test(presets_have_their_published_parameter_counts),
        cmocka_unit_test(prefill_executes_exactly_the_products_that_are_counted),
        cmocka_unit_test(the_causal_half_is_within_three_percent_of_what_distilgpt2_executes),
    };
    return cmocka_run_group_tests(tests, start_team, NULL);
}
