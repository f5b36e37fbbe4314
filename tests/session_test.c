/* SPDX-License-Identifier: MIT
 * Sessions beyond the greedy choice: sampled and beam-searched sequences are what the choosing functions make of the session's
 * own logits, a batch does not change them, the cache follows beams that change places, and hooks see every op. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "team.h"

enum { THREADS = 2, PROMPT = 7, STEPS = 9 };

static const int32_t prompt_ids[2 * PROMPT] = {5, 17, 230, 4, 99, 17, 3, 300, 2, 77, 41, 8, 16, 25};

static struct model *model;

static int open_model(void **unused)
{
    struct model_args a = {.source = "tiny-llama", .backend = "cpu", .threads = THREADS, .seed = 3};
    struct team team;

    (void)unused;
    return team_start(&team, THREADS, NULL) < 0 || model_open(&model, &a, NULL) < 0;
}

static int close_model(void **unused)
{
    (void)unused;
    model_close(model);
    return 0;
}

static struct session *open_session(int batch, bool kv_cache, const struct sampling *sampling)
{
    struct session_args a = {
        .batch = batch, .capacity = PROMPT + STEPS, .kv_cache = kv_cache, .ignore_eos = true, .sampling = *sampling};
    struct session *s = NULL;
    struct err e = {0};

    if (session_open(&s, model, &a, &e) < 0)
        fail_msg("%s", e.text);
    return s;
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

/* --- hooks --------------------------------------------------------------------------------------------------------------- */

struct calls {
    struct text log;
    int depth;
};

static void note_begin(void *ctx, enum op op, int layer)
{
    struct calls *c = ctx;

    if (layer <= 0) /* the first layer and what is outside layers */
        text_printf(&c->log, "%s(", op_name(op));
    c->depth++;
}

static void note_end(void *ctx, enum op op, int layer)
{
    struct calls *c = ctx;

    (void)op;
    if (layer <= 0)
        text_puts(&c->log, ")");
    c->depth--;
}

static void hooks_show_the_parts_of_fused_ops_when_asked_and_the_result_stays(void **unused)
{
    static const char *const expected[] = {
        "embed()qkv()attention()out()mlp()head()sample()",
        "embed()qkv(norm()rotary())attention()out()mlp(norm())head()sample()",
    };
    float *logits[2];
    size_t bytes = (size_t)model_config(model)->vocab * sizeof **logits;

    (void)unused;
    for (int parts = 0; parts < 2; parts++) {
        struct calls calls = {0};
        struct session_args a = {
            .batch = 1, .capacity = PROMPT, .kv_cache = true, .hooks = {&calls, note_begin, note_end, parts}};
        struct session *s = NULL;
        assert_int_equal(session_open(&s, model, &a, NULL), 0);
        assert_int_equal(session_prefill(s, prompt_ids, PROMPT, NULL), 0);
        assert_string_equal(calls.log.data, expected[parts]);
        assert_int_equal(calls.depth, 0);
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
        cmocka_unit_test(beams_of_two_sequences_do_not_mix),
        cmocka_unit_test(keys_can_be_read_back_and_do_not_change_when_tokens_are_added),
        cmocka_unit_test(hooks_show_the_parts_of_fused_ops_when_asked_and_the_result_stays),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
