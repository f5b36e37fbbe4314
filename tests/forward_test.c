/* SPDX-License-Identifier: MIT
 * The forward pass. `ref` is the truth; `cpu` must agree with it at every instruction-set level, for both model families, on
 * shapes that fit no vector and no block, with and without a window, in every dtype of weights and cache, whoever multiplies
 * and however attention runs, every buffer poisoned beforehand. Against the outside: logits and greedy tokens of models saved
 * by Hugging Face transformers (tests/data/reference). */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "engine.h"
#include "engine_private.h"
#include "formats/source.h"
#include "isa.h"
#include "reference_room.h"
#include "team.h"

enum { THREADS = 2 };

/* --- models of any shape, on any backend, with poisoned memory ------------------------------------------------------------ */

static void *poisoned_alloc(struct backend *b, size_t bytes, struct err *e)
{
    void *p = host_alloc(b, bytes, e);

    if (p)
        memset(p, 0xff, bytes); /* every float a NaN */
    return p;
}

/* ops: a copy that lives as long as the model. */
static void poison(struct model *m, struct backend_ops *ops)
{
    *ops = *m->backend->ops;
    ops->alloc = poisoned_alloc;
    m->backend->ops = ops;
}

struct fixture {
    struct model model;
    struct backend_ops ops;
};

/* One way of computing. All zero: ref in float32. */
struct way {
    const char *backend;
    enum dtype dtype, kv_dtype;
    enum gemm gemm;
    enum attention attention;
    int threads;
    bool parts; /* ops in pieces */
};

static void fixture_open(struct fixture *f, const struct model_config *c, const struct way *way)
{
    struct backend_args args = {.threads = THREADS, .gemm = way->gemm};
    struct err e = {0};

    *f = (struct fixture){0};
    f->model.config = *c;
    assert_int_equal(config_check(c, &e), 0);
    assert_int_equal(weights_alloc(&f->model.weights, c, way->dtype, &e), 0);
    synthetic_fill(&f->model.weights, c, 7);
    assert_int_equal(backend_open(&f->model.backend, way->backend ? way->backend : "ref", &args, &e), 0);
    if (f->model.backend->ops->prepare)
        assert_int_equal(f->model.backend->ops->prepare(f->model.backend, &f->model.weights, c, &e), 0);
    poison(&f->model, &f->ops);
}

static void fixture_close(struct fixture *f)
{
    weights_free(&f->model.weights);
    f->model.backend->ops->close(f->model.backend);
}

static uint32_t random_below(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % n;
}

/* whole: every matrix's rows are whole blocks, as quantised weights need them. */
static struct model_config random_config(uint32_t *state, bool llama, bool whole)
{
    struct model_config c = {
        .layers = 1 + (int)random_below(state, 3),
        .kv_heads = 1 + (int)random_below(state, 3),
        .head_dim = 2 * (1 + (int)random_below(state, 20)),
        .d_ff = 3 + (int)random_below(state, 90) + (random_below(state, 5) == 0 ? 2100 : 0), /* some beyond every block */
        .vocab = 5 + (int)random_below(state, 200),
        .context = 256,
        .norm = llama ? NORM_RMS : NORM_LAYER,
        .position = llama ? POSITION_ROTARY : POSITION_LEARNED,
        .mlp = llama ? MLP_SWIGLU : MLP_GELU_TANH,
        .qkv_bias = !llama,
        .out_bias = !llama,
        .mlp_bias = !llama,
        .tied_head = !llama,
        .norm_eps = 1e-5,
        .rope_theta = 10000,
        .window = random_below(state, 3) == 0 ? 1 + (int)random_below(state, 40) : 0,
        .window_first = (int)random_below(state, 2),
        .bos = -1,
    };

    c.heads = c.kv_heads * (llama ? 1 + (int)random_below(state, 3) : 1);
    c.d_model = llama ? 4 + (int)random_below(state, 70) + (random_below(state, 5) == 0 ? 1100 : 0) : c.heads * c.head_dim;
    if (whole) {
        c.head_dim = 32 * (1 + (int)random_below(state, 3));
        c.d_ff = (c.d_ff + 31) / 32 * 32;
        c.d_model = llama ? (c.d_model + 31) / 32 * 32 : c.heads * c.head_dim;
    }
    snprintf(c.name, sizeof c.name, "random");
    snprintf(c.arch, sizeof c.arch, llama ? "llama" : "gpt2");
    return c;
}

struct generation {
    int batch, prompt, steps;
    bool kv_cache, all_logits;
};

/* Logits of prefill, then of every decode step, one after another; chosen tokens likewise. */
static void generate(struct fixture *f, const struct way *way, const struct generation *g, const int32_t *prompt, float *logits,
                     int32_t *chosen)
{
    struct session_args args = {
        .batch = g->batch,
        .capacity = g->prompt + g->steps,
        .threads = way->threads,
        .kv_dtype = way->kv_dtype,
        .attention = way->attention,
        .kv_cache = g->kv_cache,
        .all_logits = g->all_logits,
        .hooks.parts = way->parts,
    };
    size_t vocab = (size_t)f->model.config.vocab, rows = (size_t)g->batch * (g->all_logits ? (size_t)g->prompt : 1);
    struct session *s = NULL;
    struct err e = {0};

    assert_int_equal(session_open(&s, &f->model, &args, &e), 0);
    assert_int_equal(session_prefill(s, prompt, g->prompt, &e), 0);
    memcpy(logits, session_logits(s), rows * vocab * sizeof *logits);
    memcpy(chosen, session_chosen(s), (size_t)g->batch * sizeof *chosen);
    logits += rows * vocab;
    for (int i = 0; i < g->steps; i++) {
        chosen += g->batch;
        assert_int_equal(session_decode(s, &e), 0);
        assert_int_equal(session_kv_len(s), g->prompt + i + 1);
        memcpy(chosen, session_chosen(s), (size_t)g->batch * sizeof *chosen);
        if (g->all_logits)
            continue;
        memcpy(logits, session_logits(s), (size_t)g->batch * vocab * sizeof *logits);
        logits += (size_t)g->batch * vocab;
    }
    session_close(s);
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= most)) /* a NaN on either side is the largest of all */
            most = d;
    }
    return most;
}

static double largest(const float *a, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i]));
    return most;
}

/* How far two right results may be apart, as a share of the logits: where both compute in float32 the order of the sums, for
 * any one logit; where one rounds activations or cached values that rounding, which travels through the layers, in the mean. */
static double tolerance(const struct fixture *f, const struct way *way)
{
    const char *arithmetic = f->model.backend->ops->arithmetic(f->model.backend, way->dtype);

    if (strcmp(arithmetic, "int8") == 0)
        return 0.15;
    if (strcmp(arithmetic, "bf16") == 0)
        return 0.03;
    return way->kv_dtype == DTYPE_BF16 ? 0.03 : way->kv_dtype == DTYPE_F16 ? 4e-3 : 5e-5;
}

static double root_mean_square(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (b ? (double)b[i] : 0), 2);
    return sqrt(sum / (double)n);
}

struct answer {
    size_t logits_n, chosen_n;
    float *logits;
    int32_t *chosen;
};

static struct answer answer_of(const struct model_config *c, const struct way *way, const struct generation *g,
                               const int32_t *prompt, double *share)
{
    size_t rows = (size_t)g->batch * (g->all_logits ? (size_t)g->prompt : 1 + (size_t)g->steps);
    struct answer a = {.logits_n = rows * (size_t)c->vocab, .chosen_n = (size_t)g->batch * (1 + (size_t)g->steps)};
    struct fixture f;

    a.logits = malloc(a.logits_n * sizeof *a.logits);
    a.chosen = malloc(a.chosen_n * sizeof *a.chosen);
    fixture_open(&f, c, way);
    *share = tolerance(&f, way);
    generate(&f, way, g, prompt, a.logits, a.chosen);
    fixture_close(&f);
    return a;
}

static void assert_same(const struct model_config *c, const struct way *way, const struct generation *g,
                        const struct answer *got, const struct answer *right, double share)
{
    const size_t n = right->logits_n;
    bool rounded = share > 1e-4;

    if (!rounded)
        assert_memory_equal(got->chosen, right->chosen, right->chosen_n * sizeof *right->chosen);
    double off = rounded ? root_mean_square(got->logits, right->logits, n) : largest_difference(got->logits, right->logits, n);
    double limit = share * (rounded ? root_mean_square(right->logits, NULL, n) : fmax(1, largest(right->logits, n)));
    if (!(off <= limit))
        print_error(
            "%s: layers %d d %d heads %d/%d x %d ff %d vocab %d, batch %d prompt %d, dtype %s cache %s gemm %d attention %d "
            "threads %d parts %d: off by %g, limit %g\n",
            c->arch, c->layers, c->d_model, c->heads, c->kv_heads, c->head_dim, c->d_ff, c->vocab, g->batch, g->prompt,
            dtype_name(way->dtype), dtype_name(way->kv_dtype), way->gemm, way->attention, way->threads, way->parts, off, limit);
    assert_true(off <= limit);
}

/* The reference's answer to a random prompt is that at every ISA level. */
static void assert_agrees(const struct model_config *c, const struct way *way, const struct generation *g, uint32_t *state)
{
    const struct way truth = {.dtype = way->dtype, .kv_dtype = way->kv_dtype};
    int32_t *prompt = malloc((size_t)g->batch * (size_t)g->prompt * sizeof *prompt);
    double share;

    for (int i = 0; i < g->batch * g->prompt; i++)
        prompt[i] = (int32_t)random_below(state, (uint32_t)c->vocab);
    struct answer right = answer_of(c, &truth, g, prompt, &share);
    for (int level = 0; level < ISA_COUNT; level++) {
        enum isa isa;
        setenv("BENCH_ISA", isa_name((enum isa)level), 1);
        if (isa_choose(&isa, NULL) == 0) {
            struct answer got = answer_of(c, way, g, prompt, &share);
            assert_same(c, way, g, &got, &right, share);
            free(got.logits), free(got.chosen);
        }
        unsetenv("BENCH_ISA");
    }
    free(right.logits), free(right.chosen), free(prompt);
}

/* steps 0: where rounding may change what is chosen, a further step would be another question. */
static struct generation random_generation(uint32_t *state, bool far, bool steps)
{
    return (struct generation){
        .batch = 1 + (int)random_below(state, 3),
        .prompt = 1 + (int)random_below(state, far ? 150 : 20), /* some cross the blocks of attention */
        .steps = steps ? (int)random_below(state, 4) : 0,
        .kv_cache = random_below(state, 4) > 0,
        .all_logits = random_below(state, 3) == 0,
    };
}

static struct way random_way(uint32_t *state)
{
    return (struct way){
        .backend = "cpu",
        .gemm = random_below(state, 4) == 0 ? GEMM_OPENBLAS : GEMM_OWN,
        .attention = random_below(state, 3) == 0 ? ATTENTION_NAIVE : ATTENTION_FLASH,
        .threads = 1 + (int)random_below(state, THREADS),
        .parts = random_below(state, 3) == 0,
    };
}

static void cpu_agrees_with_ref(bool llama)
{
    uint32_t state = llama ? 11 : 5;

    for (int i = 0; i < 25; i++) {
        struct model_config c = random_config(&state, llama, false);
        struct generation g = random_generation(&state, i % 5 == 0, true);
        struct way way = random_way(&state);
        assert_agrees(&c, &way, &g, &state);
    }
}

static void cpu_agrees_with_ref_in_each_dtype(bool llama)
{
    uint32_t state = llama ? 23 : 17;

    for (int i = 0; i < 24; i++) {
        enum dtype dtype = (enum dtype)(i % (DTYPE_Q4_0 + 1));
        struct model_config c = random_config(&state, llama, dtype >= DTYPE_Q8_0);
        struct generation g = random_generation(&state, i % 5 == 0, false);
        struct way way = random_way(&state);
        way.dtype = dtype;
        way.gemm = GEMM_OWN;
        way.kv_dtype = (enum dtype)(i / 5 % (DTYPE_BF16 + 1));
        if (way.kv_dtype != DTYPE_F32)
            way.attention = ATTENTION_FLASH;
        assert_agrees(&c, &way, &g, &state);
    }
}

static void cpu_agrees_with_ref_on_gpt2_of_any_shape_at_every_isa_level(void **unused)
{
    (void)unused;
    cpu_agrees_with_ref(false);
}

static void cpu_agrees_with_ref_on_llama_of_any_shape_at_every_isa_level(void **unused)
{
    (void)unused;
    cpu_agrees_with_ref(true);
}

static void cpu_agrees_with_ref_on_gpt2_in_each_dtype_at_every_isa_level(void **unused)
{
    (void)unused;
    cpu_agrees_with_ref_in_each_dtype(false);
}

static void cpu_agrees_with_ref_on_llama_in_each_dtype_at_every_isa_level(void **unused)
{
    (void)unused;
    cpu_agrees_with_ref_in_each_dtype(true);
}

/* --- the same generation by different ways ---------------------------------------------------------------------------------
 */

static const struct way cpu = {.backend = "cpu"};

static void cache_on_and_off_choose_the_same_tokens_and_logits(void **unused)
{
    static const char *const names[] = {"tiny-gpt2", "tiny-llama"};
    struct model_config c;
    struct fixture f;

    (void)unused;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(config_preset(&c, names[i], NULL), 0);
        size_t n = 9 * (size_t)c.vocab;
        float *on = malloc(n * sizeof *on), *off = malloc(n * sizeof *off);
        int32_t prompt[] = {3, 1, 4, 1, 5, 9, 2, 6}, with[9], without[9];
        fixture_open(&f, &c, &cpu);
        generate(&f, &cpu, &(struct generation){.batch = 1, .prompt = 8, .steps = 8, .kv_cache = true}, prompt, on, with);
        generate(&f, &cpu, &(struct generation){.batch = 1, .prompt = 8, .steps = 8, .kv_cache = false}, prompt, off, without);
        fixture_close(&f);
        assert_memory_equal(with, without, sizeof with);
        assert_true(largest_difference(on, off, n) <= 5e-5 * largest(on, n));
        free(on), free(off);
    }
}

static void a_used_session_gives_what_a_fresh_one_gives(void **unused)
{
    struct model_config c;
    struct fixture f;
    struct session *s = NULL;
    struct err e = {0};
    int32_t prompt[40], first;

    (void)unused;
    for (int i = 0; i < 40; i++)
        prompt[i] = (i * 7) % 400;
    assert_int_equal(config_preset(&c, "tiny-llama", &e), 0);
    fixture_open(&f, &c, &cpu);
    struct session_args args = {.batch = 1, .capacity = 41, .kv_cache = true};
    assert_int_equal(session_open(&s, &f.model, &args, &e), 0);
    float *fresh = malloc((size_t)c.vocab * sizeof *fresh);
    assert_int_equal(session_prefill(s, prompt, 5, &e), 0);
    memcpy(fresh, session_logits(s), (size_t)c.vocab * sizeof *fresh);
    first = session_chosen(s)[0];
    session_reset(s);
    assert_int_equal(session_prefill(s, prompt, 40, &e), 0);
    session_reset(s);
    assert_int_equal(session_prefill(s, prompt, 5, &e), 0);
    assert_memory_equal(fresh, session_logits(s), (size_t)c.vocab * sizeof *fresh);
    assert_int_equal(session_chosen(s)[0], first);
    session_close(s);
    fixture_close(&f);
    free(fresh);
}

/* --- against Hugging Face ---------------------------------------------------------------------------------------------------
 */

static void model_matches(const char *name)
{
    static const char *const through[] = {"ref", "cpu"};
    char path[256];

    snprintf(path, sizeof path, "tests/data/reference/%s", name);
    json_t *expected = reference_load(path);
    for (int b = 0; b < 2; b++) {
        struct model_args args = {.source = path, .backend = through[b], .threads = THREADS};
        struct backend_ops ops;
        struct model *m = NULL;
        struct err e = {0};
        if (model_open(&m, &args, &e) != 0)
            fail_msg("%s", e.text);
        poison(m, &ops);
        reference_matches(m, expected);
        model_close(m);
    }
    json_decref(expected);
}

static void gpt2_matches_hugging_face_logits_and_tokens(void **unused)
{
    (void)unused;
    model_matches("gpt2-a");
}

static void llama_matches_hugging_face_logits_and_tokens(void **unused)
{
    (void)unused;
    model_matches("llama-mha");
}

static void llama_with_grouped_queries_and_scaled_rope_matches_hugging_face(void **unused)
{
    (void)unused;
    model_matches("llama-rope3");
}

/* --- limits ------------------------------------------------------------------------------------------------------------------
 */

static void sessions_refuse_what_does_not_fit(void **unused)
{
    struct model_config c;
    struct fixture f;
    struct session *s = NULL;
    struct err e = {0};
    int32_t bad = 1 << 30, good = 1;

    (void)unused;
    assert_int_equal(config_preset(&c, "tiny-gpt2", &e), 0);
    fixture_open(&f, &c, &cpu);
    struct session_args args = {.batch = 1, .capacity = c.context + 1, .kv_cache = true};
    assert_int_equal(session_open(&s, &f.model, &args, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "its context holds"));
    args.capacity = 2;
    assert_int_equal(session_open(&s, &f.model, &args, &e), 0);
    assert_int_equal(session_decode(s, &e), ERR_USAGE);
    assert_int_equal(session_prefill(s, &bad, 1, &e), ERR_USAGE);
    assert_int_equal(session_prefill(s, &good, 1, &e), 0);
    assert_int_equal(session_decode(s, &e), 0);
    assert_int_equal(session_decode(s, &e), ERR_USAGE); /* two tokens hold no third */
    assert_string_equal(e.text, "decode beyond the session's 2 tokens");
    session_close(s);
    fixture_close(&f);
}

static int start_team(void **unused)
{
    struct team team;
    int most = team_max_threads();

    (void)unused;
    return team_start(&team, most < THREADS ? most : THREADS, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_agrees_with_ref_on_gpt2_of_any_shape_at_every_isa_level),
        cmocka_unit_test(cpu_agrees_with_ref_on_llama_of_any_shape_at_every_isa_level),
        cmocka_unit_test(cpu_agrees_with_ref_on_gpt2_in_each_dtype_at_every_isa_level),
        cmocka_unit_test(cpu_agrees_with_ref_on_llama_in_each_dtype_at_every_isa_level),
        cmocka_unit_test(cache_on_and_off_choose_the_same_tokens_and_logits),
        cmocka_unit_test(a_used_session_gives_what_a_fresh_one_gives),
        cmocka_unit_test(gpt2_matches_hugging_face_logits_and_tokens),
        cmocka_unit_test(llama_matches_hugging_face_logits_and_tokens),
        cmocka_unit_test(llama_with_grouped_queries_and_scaled_rope_matches_hugging_face),
        cmocka_unit_test(sessions_refuse_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, start_team, NULL);
}
