/* SPDX-License-Identifier: MIT
 * Generation as a person sees it, on the preset tiny-gpt2 and its tokenizer, for the tests of it. Where one needs known tokens
 * the model is given weights that say them: nothing is added in its layers, and each position's embedding is that of the token
 * to follow. The products are OpenBLAS's, who leaves the weights as they were laid out. Included once by each program that
 * needs it, after check.h. */
#ifndef BENCH_GENERATE_ROOM_H
#define BENCH_GENERATE_ROOM_H

#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "generate.h"
#include "team.h"

enum { TOKENS_MAX = 64, PIECES_MAX = 256 };

static inline int open_model(void **state)
{
    struct model_args args = {.source = "tiny-gpt2", .backend = "cpu", .threads = 1, .gemm = GEMM_OPENBLAS, .seed = 1};
    struct model *m = NULL;
    struct err e = {0};

    if (model_open(&m, &args, &e) < 0) {
        print_error("%s\n", e.text);
        return -1;
    }
    *state = m;
    return 0;
}

static inline int close_model(void **state)
{
    model_close(*state);
    return 0;
}

/* --- what a person sees --- */

struct seen {
    struct text text;
    size_t border[PIECES_MAX]; /* where each piece began */
    int pieces;
    int steps, pieces_before_the_last_step;
    int interrupt_at; /* step; -1: never */
    size_t kv_bytes;
    int heads; /* times that the op ran */
    uint64_t ns[TOKENS_MAX];
};

static inline void see_text(void *ctx, const char *bytes, size_t n)
{
    struct seen *s = ctx;

    assert_true(n > 0);
    assert_in_range(s->pieces, 0, PIECES_MAX - 1);
    s->border[s->pieces++] = s->text.len;
    text_add(&s->text, bytes, n);
}

static inline int see_step(void *ctx, struct session *session, int step, uint64_t wall_ns)
{
    struct seen *s = ctx;

    assert_int_equal(step, s->steps);
    s->kv_bytes = session_kv_bytes(session);
    s->ns[s->steps++] = wall_ns;
    s->pieces_before_the_last_step = s->pieces;
    return step == s->interrupt_at;
}

static inline void see_op(void *ctx, enum op op, int layer)
{
    struct seen *s = ctx;

    (void)layer;
    s->heads += op == OP_HEAD;
}

static inline struct generate_args watched(struct seen *s, int max_new_tokens)
{
    *s = (struct seen){.interrupt_at = -1};
    return (struct generate_args){.max_new_tokens = max_new_tokens,
                                  .hooks = {.ctx = s, .op_begin = see_op},
                                  .step = see_step,
                                  .text = see_text,
                                  .ctx = s};
}

static inline struct generated generated_by(struct model *m, const int32_t *prompt, int n, const struct generate_args *a)
{
    struct generated g;
    struct err e = {0};

    if (generate(&g, m, prompt, n, a, &e) < 0)
        fail_msg("%s", e.text);
    return g;
}

static inline void assert_text_is(const struct text *t, const char *expected)
{
    assert_int_equal(t->len, strlen(expected));
    assert_memory_equal(t->data ? t->data : "", expected, t->len);
}

static inline void forget(struct generated *g, struct seen *s)
{
    generated_free(g);
    text_free(&s->text);
}

/* --- a model that says what it is told to --- */

static inline void clear(struct matrix *m)
{
    memset(m->data, 0, (size_t)m->rows * m->row_bytes);
}

/* After a prompt of n tokens come ids[0, count). */
static inline void script(struct model *m, int n, const int32_t *ids, int count)
{
    struct weights *w = &m->weights;
    size_t d = (size_t)m->config.d_model;

    for (int l = 0; l < m->config.layers; l++) {
        clear(&w->layers[l].out);
        clear(&w->layers[l].down);
    }
    for (int i = 0; i < count; i++) {
        float *position = matrix_row(&w->position, n - 1 + i);
        const float *token = matrix_row(&w->embed, ids[i]);
        for (size_t k = 0; k < d; k++)
            position[k] = 100 * token[k];
    }
}

static inline int script_text(struct model *m, int n, const char *text, int32_t *out)
{
    int32_t *ids = NULL;
    size_t count = 0;
    struct err e = {0};

    assert_int_equal(model_tokenize(m, text, &ids, &count, &e), 0);
    assert_in_range(count, 1, TOKENS_MAX);
    script(m, n, ids, (int)count);
    memcpy(out, ids, count * sizeof *ids);
    free(ids);
    return (int)count;
}

static const int32_t hello[] = {15496, 995}; /* "Hello world" */
enum { HELLO = 2 };

static inline int start_team(void **state)
{
    struct team team;

    (void)state;
    return team_start(&team, 1, NULL, NULL);
}

#define on_a_model(test) cmocka_unit_test_setup_teardown(test, open_model, close_model)

#endif
