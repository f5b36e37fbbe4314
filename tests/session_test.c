/* SPDX-License-Identifier: MIT
 * Sessions beyond the greedy choice: sampled and beam-searched sequences are what the choosing functions make of the session's
 * own logits, a batch does not change them, the cache follows beams that change places whatever its dtype, threads change
 * nothing but time, and hooks see every op. */
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "team.h"

enum { THREADS = 2, PROMPT = 7, STEPS = 9 };

static const int32_t prompt_ids[2 * PROMPT] = {5, 17, 230, 4, 99, 17, 3, 300, 2, 77, 41, 8, 16, 25};

static struct model *model;

static int open_model(void **unused)
{
    struct model_args a = {.source = "tiny-llama", .backend = "cpu", .threads = THREADS, .seed = 3};
    struct team team;

    (void)unused;
    return team_start(&team, THREADS, NULL, NULL) < 0 || model_open(&model, &a, NULL) < 0;
}

static int close_model(void **unused)
{
    (void)unused;
    model_close(model);
    return 0;
}

static struct session *open_with(const struct session_args *a)
{
    struct session *s = NULL;
    struct err e = {0};

    if (session_open(&s, model, a, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

static struct session *open_session(int batch, bool kv_cache, const struct sampling *sampling)
{
    return open_with(&(struct session_args){
        .batch = batch, .capacity = PROMPT + STEPS, .kv_cache = kv_cache, .ignore_eos = true, .sampling = *sampling});
}

/* Prefill and STEPS - 1 decode steps; the tokens chosen for each sequence, [batch][STEPS]. */
static void run(struct session *s, int batch, const int32_t *prompt, int32_t *chosen)
{
    for (int step = 0; step < STEPS; step++) {
        assert_int_equal(step == 0 ? session_prefill(s, prompt, PROMPT, NULL) : session_decode(s, NULL), 0);
        for (int i = 0; i < batch; i++)
            chosen[i * STEPS + step] = session_chosen(s)[i];
    }
}

static const struct sampling warm = {.temperature = 0.9, .top_k = 40, .top_p = 0.95, .repetition_penalty = 1.3, .seed = 11};

static void a_sampled_session_chooses_what_the_sampler_makes_of_its_logits(void **unused)
{
    struct session *s = open_session(1, true, &warm);
    int vocab = model_config(model)->vocab;
    struct sampler sampler = {0};

    (void)unused;
    assert_int_equal(sampler_init(&sampler, &warm, vocab, 1, NULL), 0);
    for (int step = 0; step < STEPS; step++) {
        int n;
        assert_int_equal(step == 0 ? session_prefill(s, prompt_ids, PROMPT, NULL) : session_decode(s, NULL), 0);
        const int32_t *tokens = session_tokens(s, 0, &n);
        assert_int_equal(n, PROMPT + step + 1);
        assert_int_equal(sampler_choose(&sampler, session_logits(s), tokens, n - 1, 0), session_chosen(s)[0]);
        assert_int_equal(tokens[n - 1], session_chosen(s)[0]);
    }
    sampler_free(&sampler);
    session_close(s);
}

static void a_seed_gives_the_same_tokens_again_and_another_seed_others(void **unused)
{
    struct sampling other = warm;
    int32_t first[STEPS], again[STEPS], reopened[STEPS], different[STEPS];
    struct session *s = open_session(1, true, &warm);

    (void)unused;
    run(s, 1, prompt_ids, first);
    run(s, 1, prompt_ids, again);
    session_close(s);
    s = open_session(1, false, &warm);
    run(s, 1, prompt_ids, reopened);
    session_close(s);
    other.seed++;
    s = open_session(1, true, &other);
    run(s, 1, prompt_ids, different);
    session_close(s);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_equal(first, reopened, sizeof first);
    assert_true(memcmp(first, different, sizeof first) != 0);
}

static void the_first_sequence_of_a_batch_is_what_it_is_alone(void **unused)
{
    int32_t alone[STEPS], both[2 * STEPS];
    struct session *s = open_session(1, true, &warm);

    (void)unused;
    run(s, 1, prompt_ids, alone);
    session_close(s);
    s = open_session(2, true, &warm);
    run(s, 2, prompt_ids, both);
    session_close(s);
    assert_memory_equal(alone, both, sizeof alone);
    assert_true(memcmp(both, both + STEPS, sizeof alone) != 0);
}

/* Sum of log-probabilities of a sequence's last `generated` tokens, by plain passes over it. */
static double score_of(const int32_t *tokens, int n, int generated)
{
    static const struct sampling greedy;
    int vocab = model_config(model)->vocab;
    double score = 0;

    for (int i = n - generated; i < n; i++) {
        struct session *s = open_session(1, false, &greedy);
        assert_int_equal(session_prefill(s, tokens, i, NULL), 0);
        const float *logits = session_logits(s);
        double sum = 0, most = -INFINITY;
        for (int v = 0; v < vocab; v++)
            most = fmax(most, logits[v]);
        for (int v = 0; v < vocab; v++)
            sum += exp(logits[v] - most);
        score += logits[tokens[i]] - most - log(sum);
        session_close(s);
    }
    return score;
}

static void beams_carry_their_cache_and_tokens_along(void **unused)
{
    static const struct sampling greedy, beams = {.beams = 4};
    int32_t chosen[STEPS], plain[PROMPT + STEPS], kept[PROMPT + STEPS], *tokens[] = {plain, kept};
    int n = 0;

    (void)unused;
    for (int kv = 0; kv < 2; kv++) {
        struct session *s = open_session(1, kv, &beams);
        run(s, 1, prompt_ids, chosen);
        const int32_t *best = session_tokens(s, 0, &n);
        assert_int_equal(n, PROMPT + STEPS);
        memcpy(tokens[kv], best, sizeof plain);
        session_close(s);
    }
    assert_memory_equal(plain, kept, sizeof plain);
    assert_memory_equal(plain, prompt_ids, PROMPT * sizeof *plain);

    struct session *s = open_session(1, true, &greedy);
    int32_t walk[PROMPT + STEPS];
    run(s, 1, prompt_ids, chosen);
    memcpy(walk, session_tokens(s, 0, &n), sizeof walk);
    session_close(s);
    assert_true(score_of(plain, PROMPT + STEPS, STEPS) > score_of(walk, PROMPT + STEPS, STEPS) - 1e-4);
}

static void beams_carry_a_cache_of_any_dtype_along_with_any_number_of_threads(void **unused)
{
    static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    int32_t chosen[2 * STEPS], plain[2 * (PROMPT + STEPS)], kept[2 * (PROMPT + STEPS)], *tokens;
    int n;

    (void)unused;
    for (int d = 0; d < 3; d++)
        for (int threads = 0; threads <= THREADS; threads++) { /* 0: without a cache */
            struct session *s = open_with(&(struct session_args){.batch = 2,
                                                                 .capacity = PROMPT + STEPS,
                                                                 .threads = threads,
                                                                 .kv_dtype = dtypes[d],
                                                                 .kv_cache = threads > 0,
                                                                 .ignore_eos = true,
                                                                 .sampling = {.beams = 4}});
            tokens = threads ? kept : plain;
            run(s, 2, prompt_ids, chosen);
            for (int i = 0; i < 2; i++)
                memcpy(tokens + (size_t)i * (PROMPT + STEPS), session_tokens(s, i, &n), sizeof plain / 2);
            session_close(s);
            if (threads)
                assert_memory_equal(kept, plain, sizeof plain);
        }
}

static void beams_of_two_sequences_do_not_mix(void **unused)
{
    static const struct sampling beams = {.beams = 3, .length_alpha = 1.2, .min_length = 5};
    int32_t chosen[2 * STEPS], alone[2][PROMPT + STEPS];
    int n;

    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct session *s = open_session(1, true, &beams);
        run(s, 1, prompt_ids + i * PROMPT, chosen);
        memcpy(alone[i], session_tokens(s, 0, &n), sizeof alone[i]);
        session_close(s);
    }
    struct session *s = open_session(2, true, &beams);
    run(s, 2, prompt_ids, chosen);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(session_tokens(s, i, &n), alone[i], sizeof alone[i]);
    session_close(s);
}

static void keys_can_be_read_back_and_do_not_change_when_tokens_are_added(void **unused)
{
    static const struct sampling greedy;
    const struct model_config *c = model_config(model);
    struct session *s = open_session(1, true, &greedy), *off = open_session(1, false, &greedy);
    float before[64], after[64], values[64];
    struct err e = {0};

    (void)unused;
    assert_int_equal(session_prefill(s, prompt_ids, PROMPT, NULL), 0);
    assert_int_equal(session_kv_read(s, false, 1, 0, c->kv_heads - 1, PROMPT - 1, before, &e), 0);
    assert_int_equal(session_kv_read(s, false, 1, 0, 0, PROMPT, before, &e), ERR_USAGE);
    assert_int_equal(session_decode(s, NULL), 0);
    assert_int_equal(session_kv_read(s, false, 1, 0, c->kv_heads - 1, PROMPT - 1, after, &e), 0);
    assert_int_equal(session_kv_read(s, true, 1, 0, c->kv_heads - 1, PROMPT - 1, values, &e), 0);
    assert_memory_equal(before, after, (size_t)c->head_dim * sizeof *before);
    assert_true(memcmp(before, values, (size_t)c->head_dim * sizeof *before) != 0);
    assert_int_equal(session_kv_read(s, false, c->layers, 0, 0, 0, before, &e), ERR_USAGE);
    assert_int_equal(session_prefill(off, prompt_ids, PROMPT, NULL), 0);
    assert_int_equal(session_kv_read(off, false, 0, 0, 0, 0, before, &e), ERR_USAGE);
    session_close(s);
    session_close(off);
}

static size_t kv_bytes_of(bool kv_cache, enum dtype kv_dtype)
{
    struct session *s =
        open_with(&(struct session_args){.batch = 2, .capacity = 11, .kv_dtype = kv_dtype, .kv_cache = kv_cache});
    size_t bytes = session_kv_bytes(s);

    session_close(s);
    return bytes;
}

static void a_cache_of_16_bits_takes_half_the_bytes(void **unused)
{
    const struct model_config *c = model_config(model);

    (void)unused;
    assert_int_equal(kv_bytes_of(true, DTYPE_F32), config_kv_bytes(c, 2, 11, 4));
    assert_int_equal(kv_bytes_of(true, DTYPE_F16), config_kv_bytes(c, 2, 11, 2));
    assert_int_equal(kv_bytes_of(true, DTYPE_BF16), config_kv_bytes(c, 2, 11, 2));
    assert_int_equal(kv_bytes_of(false, DTYPE_BF16), config_kv_bytes(c, 2, 11, 2) / (uint64_t)c->layers);
}

/* In the first layer they do not yet depend on what was kept. */
static void keys_and_values_are_read_back_as_the_cache_rounded_them(void **unused)
{
    static const enum dtype dtypes[] = {DTYPE_F16, DTYPE_BF16};
    size_t n = (size_t)model_config(model)->head_dim;
    float exact[64], kept[64];
    uint16_t stored[64];

    (void)unused;
    for (int d = 0; d < 2; d++) {
        struct session_args a = {.batch = 2, .capacity = PROMPT + 1, .kv_cache = true};
        struct session *in_float = open_with(&a);
        a.kv_dtype = dtypes[d];
        struct session *in_16_bits = open_with(&a);
        assert_int_equal(session_prefill(in_float, prompt_ids, PROMPT, NULL), 0);
        assert_int_equal(session_prefill(in_16_bits, prompt_ids, PROMPT, NULL), 0);
        for (int i = 0; i < 2 * 2 * PROMPT; i++) { /* keys and values of one head, two sequences, every position */
            bool values = i % 2;
            assert_int_equal(session_kv_read(in_float, values, 0, i / 2 % 2, 1, i / 4, exact, NULL), 0);
            assert_int_equal(session_kv_read(in_16_bits, values, 0, i / 2 % 2, 1, i / 4, kept, NULL), 0);
            assert_true(memcmp(exact, kept, n * sizeof *kept) != 0);
            dtype_encode(dtypes[d], stored, exact, n);
            dtype_decode(dtypes[d], exact, stored, n);
            assert_memory_equal(exact, kept, n * sizeof *kept);
        }
        session_close(in_float);
        session_close(in_16_bits);
    }
}

static void assert_refused(const struct session_args *a, const char *sentence)
{
    struct session *s = NULL;
    struct err e = {0};

    assert_int_equal(session_open(&s, model, a, &e), ERR_USAGE);
    assert_string_equal(e.text, sentence);
    assert_null(s);
}

static void a_session_refuses_a_cache_and_threads_that_there_are_not(void **unused)
{
    struct session_args a = {.batch = 1, .capacity = 4, .kv_cache = true, .kv_dtype = DTYPE_Q8_0};

    (void)unused;
    assert_refused(&a, "session: kv_dtype Q8_0: keys and values are kept in F32, F16 or BF16");
    a.kv_dtype = DTYPE_F32;
    a.threads = THREADS + 1;
    assert_refused(&a, "session: 3 threads wanted, the model was opened for 2");
    a.threads = -1;
    assert_refused(&a, "session: -1 threads wanted, the model was opened for 2");
}

/* --- one parallel region a pass ------------------------------------------------------------------------------------------ */

struct seen {
    int regions, workers;
    enum attention attention;
};
static struct seen seen;

/* The real one, counted. */
static void watch_together(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx)
{
    seen = (struct seen){seen.regions + 1, p->threads, p->attention};
    backend_cpu.together(b, p, pass, ctx);
}

/* A prefill and a decode step. */
static struct seen watched_passes(int threads, const struct engine_hooks *hooks)
{
    struct session_args a = {.batch = 1,
                             .capacity = PROMPT + 1,
                             .threads = threads,
                             .attention = ATTENTION_NAIVE,
                             .kv_cache = true,
                             .hooks = *hooks};
    struct session *s = open_with(&a);
    const struct backend_ops *real = model->backend->ops;
    struct backend_ops watched = *real;

    seen = (struct seen){0};
    watched.together = watch_together;
    model->backend->ops = &watched;
    int failed = session_prefill(s, prompt_ids, PROMPT, NULL) < 0 || session_decode(s, NULL) < 0;
    model->backend->ops = real;
    session_close(s);
    assert_false(failed);
    return seen;
}

static void ignore_op(void *ctx, enum op op, int layer)
{
    (void)ctx, (void)op, (void)layer;
}

static void a_pass_is_one_region_of_the_sessions_workers_unless_its_parts_are_asked_for(void **unused)
{
    static const struct engine_hooks none, ops = {.op_begin = ignore_op}, parts = {.op_begin = ignore_op, .parts = true};
    static const struct {
        int threads;
        const struct engine_hooks *hooks;
        struct seen expected;
    } cases[] = {
        {0, &none, {2, THREADS, ATTENTION_NAIVE}},
        {1, &none, {2, 1, ATTENTION_NAIVE}},
        {2, &ops, {2, 2, ATTENTION_NAIVE}},
        {2, &parts, {0}},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen got = watched_passes(cases[i].threads, cases[i].hooks);
        assert_int_equal(got.regions, cases[i].expected.regions);
        assert_int_equal(got.workers, cases[i].expected.workers);
        assert_int_equal(got.attention, cases[i].expected.attention);
    }
}

static void threads_change_no_logit_by_more_than_its_rounding(void **unused)
{
    size_t vocab = (size_t)model_config(model)->vocab;
    float *one = malloc(vocab * sizeof *one);

    (void)unused;
    for (int threads = 1; threads <= THREADS; threads++) {
        struct session *s =
            open_with(&(struct session_args){.batch = 1, .capacity = PROMPT + STEPS, .threads = threads, .kv_cache = true});
        assert_int_equal(session_prefill(s, prompt_ids, PROMPT, NULL), 0);
        for (int step = 0; step < STEPS; step++)
            assert_int_equal(session_decode(s, NULL), 0);
        if (threads == 1)
            memcpy(one, session_logits(s), vocab * sizeof *one);
        for (size_t i = 0; i < vocab; i++)
            assert_float_equal(session_logits(s)[i], one[i], 1e-4);
        session_close(s);
    }
    free(one);
}

/* --- hooks --------------------------------------------------------------------------------------------------------------- */

struct calls {
    struct text log;
    int depth;
    pthread_t caller;
    bool elsewhere; /* called by another thread */
};

static void note_begin(void *ctx, enum op op, int layer)
{
    struct calls *c = ctx;

    if (layer <= 0) /* the first layer and what is outside layers */
        text_printf(&c->log, "%s(", op_name(op));
    c->depth++;
    c->elsewhere |= !pthread_equal(pthread_self(), c->caller);
}

static void note_end(void *ctx, enum op op, int layer)
{
    struct calls *c = ctx;

    (void)op;
    if (layer <= 0)
        text_puts(&c->log, ")");
    c->depth--;
    c->elsewhere |= !pthread_equal(pthread_self(), c->caller);
}

static void hooks_run_in_the_callers_thread_and_show_parts_when_asked_and_the_result_stays(void **unused)
{
    static const char *const expected[] = {
        "embed()qkv()attention()out()mlp()head()sample()",
        "embed()qkv(norm()rotary())attention()out()mlp(norm())head()sample()",
    };
    float *logits[2];
    size_t bytes = (size_t)model_config(model)->vocab * sizeof **logits;

    (void)unused;
    for (int parts = 0; parts < 2; parts++) {
        struct calls calls = {.caller = pthread_self()};
        struct session_args a = {
            .batch = 1, .capacity = PROMPT, .kv_cache = true, .hooks = {&calls, note_begin, note_end, parts}};
        struct session *s = NULL;
        assert_int_equal(session_open(&s, model, &a, NULL), 0);
        assert_int_equal(session_prefill(s, prompt_ids, PROMPT, NULL), 0);
        assert_string_equal(calls.log.data, expected[parts]);
        assert_int_equal(calls.depth, 0);
        assert_false(calls.elsewhere);
        logits[parts] = malloc(bytes);
        memcpy(logits[parts], session_logits(s), bytes);
        text_free(&calls.log);
        session_close(s);
    }
    assert_memory_equal(logits[0], logits[1], bytes);
    free(logits[0]);
    free(logits[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sampled_session_chooses_what_the_sampler_makes_of_its_logits),
        cmocka_unit_test(a_seed_gives_the_same_tokens_again_and_another_seed_others),
        cmocka_unit_test(the_first_sequence_of_a_batch_is_what_it_is_alone),
        cmocka_unit_test(beams_carry_their_cache_and_tokens_along),
        cmocka_unit_test(beams_carry_a_cache_of_any_dtype_along_with_any_number_of_threads),
        cmocka_unit_test(beams_of_two_sequences_do_not_mix),
        cmocka_unit_test(keys_can_be_read_back_and_do_not_change_when_tokens_are_added),
        cmocka_unit_test(a_cache_of_16_bits_takes_half_the_bytes),
        cmocka_unit_test(keys_and_values_are_read_back_as_the_cache_rounded_them),
        cmocka_unit_test(a_session_refuses_a_cache_and_threads_that_there_are_not),
        cmocka_unit_test(a_pass_is_one_region_of_the_sessions_workers_unless_its_parts_are_asked_for),
        cmocka_unit_test(threads_change_no_logit_by_more_than_its_rounding),
        cmocka_unit_test(hooks_run_in_the_callers_thread_and_show_parts_when_asked_and_the_result_stays),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
