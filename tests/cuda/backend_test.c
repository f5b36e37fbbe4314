/* SPDX-License-Identifier: MIT
 * The backend `cuda` through the engine's public door, held against `ref` on the same weights: every dtype of weights and of
 * the cache, few and many sequences, with and without a cache, every way of choosing, recorded and launched one by one. It runs
 * on whatever the plug-in beside it computes with: the emulation, or a GPU. */
#include "backend_room.h"

#include "team.h"

static const char *const dtype_words[] = {"f32", "f16", "bf16"};

/* --- against the reference ---------------------------------------------------------------------------------------------------
 */

enum { STEPS = 3, TOKENS_MOST = 128 };

struct task {
    int batch, prompt;
    bool no_cache, all_logits;
};

/* Two right results differ by the order of their sums, and by what is rounded on the way: activations between the products of
 * a prefill to the weights' dtype, keys and values to the cache's, each by up to 2^-9 (bf16) or 2^-12 (f16) of itself. Some ten
 * such roundings a layer, which the next layers amplify, add up like a random walk. */
static double tolerance(const struct way *way)
{
    static const double of[] = {[DTYPE_F32] = 2e-5, [DTYPE_F16] = 0x1p-12 * 24, [DTYPE_BF16] = 0x1p-9 * 24};

    return of[way->dtype] + of[way->kv_dtype];
}

static double mean_square(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (b ? (double)b[i] : 0), 2);
    return sum / (double)n;
}

/* What ref makes of the tokens of one sequence: logits of each of its positions, [n][vocab]. */
static float *reference(const struct model_config *c, const struct way *way, const int32_t *tokens, int n)
{
    struct way truth = {.backend = "ref", .dtype = way->dtype, .kv_dtype = way->kv_dtype};
    struct session_args a = {
        .batch = 1, .capacity = n, .kv_dtype = way->kv_dtype, .kv_cache = true, .all_logits = true, .ignore_eos = true};
    size_t floats = (size_t)n * (size_t)c->vocab;
    float *logits = malloc(floats * sizeof *logits);
    struct fixture f;

    assert_non_null(logits);
    fixture_open(&f, c, &truth);
    struct session *s = session_of(&f, &a);
    prefill(s, tokens, n);
    memcpy(logits, session_logits(s), floats * sizeof *logits);
    session_close(s);
    fixture_close(&f);
    return logits;
}

/* Logits of prefill and STEPS decode steps, one [rows][vocab] after another, and the tokens of every sequence. */
struct outcome {
    float *logits;
    int32_t tokens[16][TOKENS_MOST];
};

static void compute(struct outcome *out, struct fixture *f, const struct way *way, const struct task *t)
{
    const struct model_config *c = &f->model.config;
    struct session_args a = {.batch = t->batch,
                             .capacity = t->prompt + STEPS,
                             .kv_dtype = way->kv_dtype,
                             .attention = way->attention,
                             .launch = way->launch,
                             .kv_cache = !t->no_cache,
                             .all_logits = t->all_logits,
                             .ignore_eos = true};
    size_t vocab = (size_t)c->vocab, batch = (size_t)t->batch, prompt = (size_t)t->prompt;
    size_t first = batch * (t->all_logits ? prompt : 1) * vocab, step = batch * vocab;
    int n;

    struct session *s = session_of(f, &a);
    out->logits = calloc(first + STEPS * step, sizeof *out->logits);
    assert_non_null(out->logits);
    prefill(s, some_prompt(c, t->batch, t->prompt), t->prompt);
    memcpy(out->logits, session_logits(s), first * sizeof *out->logits);
    for (size_t i = 0; i < STEPS; i++) {
        decode(s);
        memcpy(out->logits + first + i * step, session_logits(s), step * sizeof *out->logits);
    }
    for (int i = 0; i < t->batch; i++)
        memcpy(out->tokens[i], session_tokens(s, i, &n), (size_t)(t->prompt + STEPS) * sizeof(int32_t));
    session_close(s);
}

static void assert_near(const float *got, const float *expected, size_t n, const struct way *way, const struct task *t,
                        int position)
{
    double off = sqrt(mean_square(got, expected, n) / mean_square(expected, NULL, n));

    if (!(off <= tolerance(way)))
        fail_msg("weights %s, cache %s, attention %d, launch %d, batch %d, prompt %d, position %d: off by %g, %g is allowed",
                 dtype_words[way->dtype], dtype_words[way->kv_dtype], way->attention, way->launch, t->batch, t->prompt,
                 position, off, tolerance(way));
}

static void assert_agrees(const struct model_config *c, const struct way *way, const struct task *t)
{
    size_t vocab = (size_t)c->vocab, prompt = (size_t)t->prompt, rows = t->all_logits ? prompt : 1;
    struct outcome got;
    struct fixture f;

    fixture_open(&f, c, way);
    compute(&got, &f, way, t);
    fixture_close(&f);
    for (size_t i = 0; i < (size_t)t->batch; i++) {
        float *expected = reference(c, way, got.tokens[i], t->prompt + STEPS);
        for (size_t r = 0; r < rows; r++)
            assert_near(got.logits + (i * rows + r) * vocab, expected + (prompt - rows + r) * vocab, vocab, way, t, (int)r);
        const float *steps = got.logits + (size_t)t->batch * rows * vocab;
        for (size_t k = 0; k < STEPS; k++)
            assert_near(steps + (k * (size_t)t->batch + i) * vocab, expected + (prompt + k) * vocab, vocab, way, t,
                        (int)(prompt + k));
        free(expected);
    }
    free(got.logits);
}

static void logits_are_those_of_the_reference_in_every_dtype_of_weights_and_cache(void **unused)
{
    struct model_config models[] = {small_model(false), small_model(true)};

    (void)unused;
    for (int i = 0; i < 9; i++) {
        struct way way = {.backend = "cuda",
                          .dtype = (enum dtype)(i % 3),
                          .kv_dtype = (enum dtype)(i / 3),
                          .attention = i % 4 == 1 ? ATTENTION_NAIVE : ATTENTION_FLASH,
                          .launch = i % 2 == 0 ? LAUNCH_GRAPH : LAUNCH_EAGER,
                          .loaded = i % 5 < 2};
        assert_agrees(&models[(i + i / 3) % 2], &way, &(struct task){.batch = 1 + i % 3, .prompt = i == 8 ? 70 : 2 + i});
    }
}

static void more_sequences_than_the_fused_kernels_take_agree_too(void **unused)
{
    struct model_config gpt2 = small_model(false), llama = small_model(true);
    struct task t = {.batch = 11, .prompt = 2};

    (void)unused;
    assert_agrees(&gpt2, &(struct way){.backend = "cuda"}, &t);
    assert_agrees(&llama, &(struct way){.backend = "cuda"}, &t);
    assert_agrees(&llama, &(struct way){.backend = "cuda", .dtype = DTYPE_BF16, .kv_dtype = DTYPE_BF16}, &t);
}

static void a_window_a_head_of_any_size_and_a_prompt_of_one_token_agree(void **unused)
{
    struct model_config windowed = small_model(true), odd = small_model(true);
    struct way way = {.backend = "cuda"};

    (void)unused;
    windowed.window = 9;
    windowed.window_first = 1;
    assert_agrees(&windowed, &way, &(struct task){.batch = 2, .prompt = 20});
    odd.head_dim = 40;
    assert_agrees(&odd, &way, &(struct task){.batch = 2, .prompt = 7});
    assert_agrees(&odd, &way, &(struct task){.batch = 3, .prompt = 1});
}

static void logits_of_every_position_agree(void **unused)
{
    struct model_config gpt2 = small_model(false), llama = small_model(true);

    (void)unused;
    assert_agrees(&gpt2, &(struct way){.backend = "cuda", .dtype = DTYPE_F16}, &(struct task){2, 9, .all_logits = true});
    assert_agrees(&llama, &(struct way){.backend = "cuda"}, &(struct task){2, 9, .all_logits = true});
    assert_agrees(&gpt2, &(struct way){.backend = "cuda"}, &(struct task){2, 3, .all_logits = true}); /* few rows */
}

static void without_a_cache_every_step_agrees(void **unused)
{
    struct model_config gpt2 = small_model(false), llama = small_model(true);

    (void)unused;
    assert_agrees(&gpt2, &(struct way){.backend = "cuda"}, &(struct task){1, 6, .no_cache = true});
    assert_agrees(&llama, &(struct way){.backend = "cuda", .dtype = DTYPE_BF16}, &(struct task){2, 1, .no_cache = true});
}

/* --- weights -----------------------------------------------------------------------------------------------------------------
 */

static void weights_made_on_the_device_are_those_of_the_host_bit_for_bit(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        const struct model_config c = small_model(i % 2);
        struct way way = {.backend = "cuda", .dtype = (enum dtype)i};
        struct weights expected;
        struct fixture f;
        assert_int_equal(weights_alloc(&expected, &c, way.dtype, NULL), 0);
        synthetic_fill(&expected, &c, 7);
        for (int loaded = 0; loaded < 2; loaded++) {
            way.loaded = loaded;
            fixture_open(&f, &c, &way);
            const struct weights *w = &f.model.weights;
            char *got = malloc(w->bytes);
            assert_non_null(got);
            assert_int_equal(w->bytes, expected.bytes);
            assert_null(w->pages);
            f.ops.get(f.model.backend, got, w->embed.data, w->bytes); /* the first tensor of the block */
            assert_memory_equal(got, expected.pages, w->bytes);
            free(got);
            fixture_close(&f);
        }
        weights_free(&expected);
    }
}

/* --- sessions ----------------------------------------------------------------------------------------------------------------
 */

static void a_replayed_graph_gives_what_single_launches_give_bit_for_bit(void **unused)
{
    (void)unused;
    for (int i = 0; i < 3; i++) {
        struct model_config c = small_model(i % 2);
        struct way way = {.backend = "cuda", .dtype = (enum dtype)i, .kv_dtype = DTYPE_BF16};
        struct task t = {.batch = i < 2 ? 2 : 11, .prompt = 5};
        struct outcome graph, eager;
        struct fixture f;
        size_t floats = (size_t)t.batch * (1 + STEPS) * (size_t)c.vocab;
        fixture_open(&f, &c, &way);
        compute(&graph, &f, &way, &t);
        way.launch = LAUNCH_EAGER;
        compute(&eager, &f, &way, &t);
        fixture_close(&f);
        assert_memory_equal(graph.logits, eager.logits, floats * sizeof *graph.logits);
        free(graph.logits), free(eager.logits);
    }
}

static void prefill_gives_what_decoding_token_by_token_gives(void **unused)
{
    struct model_config c = small_model(true);
    struct way way = {.backend = "cuda"};
    struct session_args a = {.batch = 1, .capacity = 12, .kv_cache = true, .ignore_eos = true};
    struct fixture f;
    int n;

    (void)unused;
    fixture_open(&f, &c, &way);
    struct session *steps = session_of(&f, &a), *whole = session_of(&f, &a);
    prefill(steps, some_prompt(&c, 1, 1), 1);
    for (int i = 1; i < 11; i++)
        decode(steps);
    const int32_t *tokens = session_tokens(steps, 0, &n);
    prefill(whole, tokens, n - 1);
    assert_int_equal(session_chosen(whole)[0], session_chosen(steps)[0]);
    const float *left = session_logits(whole), *right = session_logits(steps);
    assert_true(sqrt(mean_square(left, right, (size_t)c.vocab) / mean_square(right, NULL, (size_t)c.vocab)) < 2e-5);
    session_close(steps);
    session_close(whole);
    fixture_close(&f);
}

/* The tokens that a session of these arguments makes, [batch][12]. */
static void tokens_of(struct fixture *f, const struct session_args *a, int32_t tokens[][12])
{
    struct session *s = session_of(f, a);
    int n;

    prefill(s, some_prompt(&f->model.config, a->batch, 4), 4);
    for (int i = 0; i < 4; i++)
        decode(s);
    for (int i = 0; i < a->batch; i++) {
        const int32_t *t = session_tokens(s, i, &n);
        memset(tokens[i], 0, sizeof tokens[i]);
        memcpy(tokens[i], t, (size_t)n * sizeof *t);
    }
    session_close(s);
}

static void what_the_host_chooses_is_what_it_chooses_with_the_reference(void **unused)
{
    static const struct sampling ways[] = {
        {.temperature = 0.8, .top_k = 20, .seed = 3}, {.beams = 4}, {.repetition_penalty = 1.5}};

    (void)unused;
    for (int i = 0; i < 3; i++) {
        struct model_config c = small_model(i % 2);
        struct session_args a = {.batch = 2, .capacity = 12, .kv_cache = true, .ignore_eos = true, .sampling = ways[i]};
        int32_t expected[2][12], got[2][12], eager[2][12];
        struct fixture f;
        fixture_open(&f, &c, &(struct way){.backend = "ref"});
        tokens_of(&f, &a, expected);
        fixture_close(&f);
        fixture_open(&f, &c, &(struct way){.backend = "cuda"});
        tokens_of(&f, &a, got);
        a.launch = LAUNCH_EAGER;
        tokens_of(&f, &a, eager);
        fixture_close(&f);
        assert_memory_equal(got, expected, sizeof got);
        assert_memory_equal(eager, expected, sizeof eager);
    }
}

static void two_sessions_that_take_turns_are_what_each_is_alone(void **unused)
{
    struct model_config c = small_model(true);
    struct session_args small = {.batch = 1, .capacity = 12, .kv_cache = true, .ignore_eos = true}, large = small;
    int32_t alone[1][12], beside[3][12];
    struct fixture f;
    int n;

    (void)unused;
    large.batch = 3;
    fixture_open(&f, &c, &(struct way){.backend = "cuda", .dtype = DTYPE_BF16});
    tokens_of(&f, &small, alone);
    tokens_of(&f, &large, beside);
    struct session *one = session_of(&f, &small), *other = session_of(&f, &large);
    prefill(one, some_prompt(&c, 1, 4), 4);
    prefill(other, some_prompt(&c, 3, 4), 4);
    for (int i = 0; i < 4; i++) {
        decode(one);
        decode(other);
    }
    assert_memory_equal(session_tokens(one, 0, &n), alone[0], sizeof alone[0]);
    session_close(one);
    assert_memory_equal(session_tokens(other, 2, &n), beside[2], sizeof beside[2]);
    session_reset(other);
    prefill(other, some_prompt(&c, 3, 4), 4);
    for (int i = 0; i < 4; i++)
        decode(other);
    assert_memory_equal(session_tokens(other, 1, &n), beside[1], sizeof beside[1]);
    session_close(other);
    fixture_close(&f);
}

static void cached_keys_and_values_can_be_looked_at(void **unused)
{
    struct model_config c = small_model(true);
    struct session_args a = {.batch = 2, .capacity = 8, .kv_dtype = DTYPE_F16, .kv_cache = true, .ignore_eos = true};
    float rows[2][16];

    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct fixture f;
        fixture_open(&f, &c, &(struct way){.backend = i ? "cuda" : "ref"});
        struct session *s = session_of(&f, &a);
        prefill(s, some_prompt(&c, 2, 4), 4);
        decode(s);
        assert_int_equal(session_kv_read(s, false, 1, 1, 1, 4, rows[i], NULL), 0);
        session_close(s);
        fixture_close(&f);
    }
    for (int i = 0; i < 16; i++)
        assert_true(fabs((double)rows[0][i] - rows[1][i]) <= 0x1p-10 * fmax(0.1, fabs((double)rows[0][i])));
}

/* --- hooks and counts --------------------------------------------------------------------------------------------------------
 */

struct seen {
    int begun[OP_COUNT], ended[OP_COUNT];
};

static void see_begin(void *ctx, enum op op, int layer)
{
    (void)layer;
    ((struct seen *)ctx)->begun[op]++;
}

static void see_end(void *ctx, enum op op, int layer)
{
    (void)layer;
    ((struct seen *)ctx)->ended[op]++;
}

static void hooks_run_around_ops_only_where_a_pass_is_in_parts(void **unused)
{
    struct model_config c = small_model(true);
    struct session_args a = {.batch = 1, .capacity = 8, .kv_cache = true, .ignore_eos = true};
    struct fixture f;

    (void)unused;
    fixture_open(&f, &c, &(struct way){.backend = "cuda"});
    for (int parts = 0; parts < 2; parts++) {
        struct seen seen = {{0}, {0}};
        a.hooks = (struct engine_hooks){.ctx = &seen, .op_begin = see_begin, .op_end = see_end, .parts = parts};
        struct session *s = session_of(&f, &a);
        memset(&seen, 0, sizeof seen);
        prefill(s, some_prompt(&c, 1, 5), 5);
        for (enum op op = 0; op < OP_COUNT; op++) {
            bool in_layers = op != OP_EMBED && op != OP_HEAD && op != OP_SAMPLE;
            int times = op == OP_NORM ? 2 * c.layers : in_layers ? c.layers : 1;
            assert_int_equal(seen.begun[op], parts ? times : 0);
            assert_int_equal(seen.ended[op], parts ? times : 0);
        }
        decode(s);
        assert_int_equal(seen.begun[OP_MLP], parts ? 2 * c.layers : 0);
        session_close(s);
    }
    fixture_close(&f);
}

static void a_step_is_as_many_launches_in_a_graph_as_one_by_one(void **unused)
{
    struct session_args a = {.batch = 2, .capacity = 9, .kv_cache = true, .ignore_eos = true};

    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct model_config c = small_model(i);
        int launches[LAUNCH_COUNT];
        struct fixture f;
        fixture_open(&f, &c, &(struct way){.backend = "cuda"});
        for (enum launch l = 0; l < LAUNCH_COUNT; l++) {
            a.launch = l;
            struct session *s = session_of(&f, &a);
            prefill(s, some_prompt(&c, 2, 4), 4);
            assert_true(session_launches(s) > 0);
            decode(s);
            launches[l] = session_launches(s);
            session_close(s);
        }
        assert_int_equal(launches[LAUNCH_GRAPH], launches[LAUNCH_EAGER]);
        assert_true(launches[LAUNCH_GRAPH] >= 5 * c.layers + 3);
        fixture_close(&f);
    }
}

/* --- what it says of itself --------------------------------------------------------------------------------------------------
 */

static void a_model_on_the_device_says_so(void **unused)
{
    (void)unused;
    for (enum dtype d = DTYPE_F32; d <= DTYPE_BF16; d++) {
        struct model_args a = {.source = "tiny-gpt2", .backend = "cuda", .threads = 1, .dtype = d, .seed = 1};
        struct model *m = NULL;
        struct err e = {0};
        if (model_open(&m, &a, &e) < 0)
            fail_msg("%s", e.text);
        assert_true(model_info(m)->on_device);
        assert_string_equal(model_info(m)->arithmetic, dtype_words[d]);
        assert_string_equal(model_attention_arithmetic(m, d), dtype_words[d]);
        assert_non_null(strstr(model_info(m)->backend_about, "compute capability"));
        assert_non_null(strstr(model_info(m)->backend_about, "driver"));
        assert_true(model_info(m)->load_ns > 0);
        assert_true(model_available_bytes(m) > 0);
        model_close(m);
    }
}

static void threads_mean_nothing_to_it(void **unused)
{
    struct model_config c = small_model(false);
    struct session_args a = {.batch = 1, .capacity = 6, .threads = 64, .kv_cache = true, .ignore_eos = true};
    struct fixture f;

    (void)unused;
    fixture_open(&f, &c, &(struct way){.backend = "cuda"});
    struct session *s = session_of(&f, &a);
    prefill(s, some_prompt(&c, 1, 3), 3);
    decode(s);
    session_close(s);
    fixture_close(&f);
}

static void assert_refused(struct model_args a, const char *sentence)
{
    struct model *m = NULL;
    struct err e = {0};

    a.backend = "cuda";
    a.threads = 1;
    assert_int_equal(model_open(&m, &a, &e), ERR_USAGE);
    assert_string_equal(e.text, sentence);
    assert_null(m);
}

static void what_it_cannot_compute_is_refused_with_the_reason(void **unused)
{
    (void)unused;
    assert_refused((struct model_args){.source = "tiny-gpt2", .dtype = DTYPE_Q8_0},
                   "backend cuda computes with f32, f16 and bf16 weights");
    assert_refused((struct model_args){.source = "tiny-gpt2", .gemm = GEMM_OPENBLAS},
                   "backend cuda multiplies by its own kernels and cublasLt; gemm openblas is the CPU's");
    assert_refused((struct model_args){.source = "tiny-llama"},
                   "tiny-llama: weights: d_model is 60; backend cuda needs a multiple of 8, take backend cpu");
    assert_string_equal(backend_refusal("cuda", DTYPE_Q4_0, GEMM_OWN, DTYPE_F32, ATTENTION_FLASH),
                        "backend cuda computes with f32, f16 and bf16 weights");
    assert_null(backend_refusal("cuda", DTYPE_BF16, GEMM_OWN, DTYPE_BF16, ATTENTION_NAIVE));
    assert_null(backend_refusal("cpu", DTYPE_Q4_0, GEMM_OWN, DTYPE_F32, ATTENTION_FLASH));
}

static int start_team(void **state)
{
    struct team team;

    (void)state;
    return team_start(&team, 1, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_the_reference_in_every_dtype_of_weights_and_cache),
        cmocka_unit_test(more_sequences_than_the_fused_kernels_take_agree_too),
        cmocka_unit_test(a_window_a_head_of_any_size_and_a_prompt_of_one_token_agree),
        cmocka_unit_test(logits_of_every_position_agree),
        cmocka_unit_test(without_a_cache_every_step_agrees),
        cmocka_unit_test(weights_made_on_the_device_are_those_of_the_host_bit_for_bit),
        cmocka_unit_test(a_replayed_graph_gives_what_single_launches_give_bit_for_bit),
        cmocka_unit_test(prefill_gives_what_decoding_token_by_token_gives),
        cmocka_unit_test(what_the_host_chooses_is_what_it_chooses_with_the_reference),
        cmocka_unit_test(two_sessions_that_take_turns_are_what_each_is_alone),
        cmocka_unit_test(cached_keys_and_values_can_be_looked_at),
        cmocka_unit_test(hooks_run_around_ops_only_where_a_pass_is_in_parts),
        cmocka_unit_test(a_step_is_as_many_launches_in_a_graph_as_one_by_one),
        cmocka_unit_test(a_model_on_the_device_says_so),
        cmocka_unit_test(threads_mean_nothing_to_it),
        cmocka_unit_test(what_it_cannot_compute_is_refused_with_the_reason),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
