/* SPDX-License-Identifier: MIT
 * A session's memory is taken once, for its largest pass; prefill and decode then only compute. Without a KV cache every step
 * is a pass over all tokens so far with nothing in the past, exactly as generation with use_cache=False runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "engine_private.h"
#include "forward.h"
#include "rope.h"

struct room {
    float **at;
    size_t floats;
};

enum { ROOMS_MAX = 11 };

struct session {
    struct model *model;
    struct session_args args;
    struct pass pass;
    bool greedy;            /* the backend chooses; else chooser */
    struct chooser chooser; /* rows = batch x beams: what a pass and the cache know as sequences */
    int rows;
    float *rope_cos, *rope_sin;
    int32_t *history; /* [rows][capacity + 1]: prompt and chosen tokens */
    int32_t *spare;   /* the same again: histories on the move, a sequence for the caller */
    int32_t *ids;     /* [rows][tokens of this pass]: what the pass reads */
    int32_t *chosen;  /* [batch] */
    bool *ended;      /* [batch] */
    float *logits_copy;
    size_t logits_bytes;
    int prompt, length; /* tokens of each sequence in history: the prompt's; all, the last chosen one included */
    struct room rooms[ROOMS_MAX];
    int room_count;
};

static const char *const op_names[OP_COUNT] = {"embed", "norm", "qkv", "rotary", "attention", "out", "mlp", "head", "sample"};

const char *op_name(enum op op)
{
    return op_names[op];
}

static void plan_room(struct session *s, float **at, size_t floats)
{
    if (floats)
        s->rooms[s->room_count++] = (struct room){at, floats};
}

/* Rows of the largest pass, and every buffer that it needs. */
static void plan_rooms(struct session *s)
{
    const struct model_config *c = &s->model->config;
    struct pass *p = &s->pass;
    size_t rows = (size_t)s->rows * (size_t)s->args.capacity;
    size_t logit_rows = s->args.all_logits ? rows : (size_t)s->rows;
    size_t rope = c->position == POSITION_ROTARY ? (size_t)s->args.capacity * (size_t)(c->head_dim / 2) : 0;
    size_t kv = kvcache_bytes(&p->kv) / 2 / sizeof(float);

    plan_room(s, &p->kv.k, kv);
    plan_room(s, &p->kv.v, kv);
    plan_room(s, &p->kv.spare, s->rows > s->args.batch && p->kv.kept ? kvcache_layer(&p->kv) : 0);
    plan_room(s, &p->x, rows * (size_t)c->d_model);
    plan_room(s, &p->normed, rows * (size_t)c->d_model);
    plan_room(s, &p->qkv, rows * (size_t)(c->heads + 2 * c->kv_heads) * (size_t)c->head_dim);
    plan_room(s, &p->mixed, rows * (size_t)c->heads * (size_t)c->head_dim);
    plan_room(s, &p->hidden, rows * (size_t)c->d_ff * (c->mlp == MLP_SWIGLU ? 2 : 1));
    plan_room(s, &p->logits, logit_rows * (size_t)c->vocab);
    plan_room(s, &s->rope_cos, rope);
    plan_room(s, &s->rope_sin, rope);
    s->logits_bytes = logit_rows * (size_t)c->vocab * sizeof(float);
}

static size_t history_stride(const struct session *s)
{
    return (size_t)s->args.capacity + 1;
}

static int take_memory(struct session *s, struct err *e)
{
    struct backend *b = s->model->backend;
    size_t tokens = (size_t)s->rows * history_stride(s), batch = (size_t)s->args.batch;

    plan_rooms(s);
    for (int i = 0; i < s->room_count; i++) {
        *s->rooms[i].at = b->ops->alloc(b, s->rooms[i].floats * sizeof(float), e);
        if (!*s->rooms[i].at)
            return err_wrap(e, "session of %d x %d tokens", s->rows, s->args.capacity);
    }
    s->history = calloc(tokens, sizeof *s->history);
    s->spare = calloc(tokens, sizeof *s->spare);
    s->ids = calloc(tokens, sizeof *s->ids);
    s->chosen = calloc(batch, sizeof *s->chosen);
    s->ended = calloc(batch, sizeof *s->ended);
    s->logits_copy = s->greedy ? NULL : malloc(s->logits_bytes); /* the chooser reads it on the measured path */
    if (!s->history || !s->spare || !s->ids || !s->chosen || !s->ended || (!s->greedy && !s->logits_copy))
        return err_set(e, ERR_MEMORY, "session: out of memory for %zu tokens", 3 * tokens);
    return 0;
}

static int check_args(const struct model *m, const struct session_args *a, struct err *e)
{
    const struct model_config *c = &m->config;
    int rows;

    if (!m->weights.pages)
        return err_set(e, ERR_USAGE, "%s: opened for planning only", c->name);
    if (a->batch < 1 || a->capacity < 1 ||
        __builtin_mul_overflow(a->batch, a->sampling.beams > 1 ? a->sampling.beams : 1, &rows))
        return err_set(e, ERR_USAGE, "session: batch and capacity must be at least 1");
    if (a->capacity > c->context)
        return err_set(e, ERR_USAGE, "%s: %d tokens wanted, its context holds %d", c->name, a->capacity, c->context);
    return 0;
}

int session_open(struct session **out, struct model *m, const struct session_args *a, struct err *e)
{
    const struct model_config *c = &m->config;
    int code = check_args(m, a, e);

    if (code < 0)
        return code;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "session: out of memory");
    s->model = m;
    s->args = *a;
    s->greedy = sampling_is_greedy(&a->sampling);
    code = chooser_open(&s->chooser, &a->sampling, c, a->batch, a->capacity, a->ignore_eos, e);
    if (code < 0)
        goto fail;
    s->rows = a->batch * s->chooser.beams;
    s->pass.config = c;
    s->pass.weights = &m->weights;
    s->pass.batch = s->rows;
    s->pass.all_logits = a->all_logits;
    s->pass.parts = a->hooks.parts ? &s->args.hooks : NULL;
    kvcache_shape(&s->pass.kv, c, s->rows, a->capacity, a->kv_cache);
    code = take_memory(s, e);
    if (code < 0)
        goto fail;
    s->pass.chosen = s->greedy ? s->chosen : NULL;
    if (s->rope_cos)
        rope_table(s->rope_cos, s->rope_sin, c, m->weights.rope_factors, a->capacity);
    s->pass.rope_cos = s->rope_cos;
    s->pass.rope_sin = s->rope_sin;
    code = m->backend->ops->reserve(m->backend, &s->pass, e);
    if (code < 0)
        goto fail;
    *out = s;
    return 0;
fail:
    session_close(s);
    return code;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    struct backend *b = s->model->backend;
    for (int i = 0; i < s->room_count; i++)
        b->ops->release(b, *s->rooms[i].at, s->rooms[i].floats * sizeof(float));
    chooser_close(&s->chooser);
    free(s->history);
    free(s->spare);
    free(s->ids);
    free(s->chosen);
    free(s->ended);
    free(s->logits_copy);
    free(s);
}

void session_reset(struct session *s)
{
    s->length = 0;
    memset(s->ended, 0, (size_t)s->args.batch * sizeof *s->ended);
    chooser_reset(&s->chooser);
}

/* --- choosing ------------------------------------------------------------------------------------------------------------ */

/* Logits of the rows' last positions, host memory, [rows][vocab]. */
static const float *last_logits(struct session *s)
{
    struct backend *b = s->model->backend;
    size_t vocab = (size_t)s->model->config.vocab;

    for (int r = 0; r < s->rows; r++) {
        size_t row = s->args.all_logits ? pass_last_row(&s->pass, r) : (size_t)r;
        b->ops->get(b, s->logits_copy + (size_t)r * vocab, s->pass.logits + row * vocab, vocab * sizeof(float));
    }
    return s->logits_copy;
}

/* Rows whose past changes take their parent's tokens and cache. */
static void follow_parents(struct session *s, int length)
{
    struct backend *b = s->model->backend;
    size_t stride = history_stride(s), bytes = (size_t)length * sizeof *s->history;

    for (int r = 0; r < s->rows; r++)
        memcpy(s->spare + (size_t)r * stride, s->history + (size_t)s->chooser.parent[r] * stride, bytes);
    for (int r = 0; r < s->rows; r++)
        memcpy(s->history + (size_t)r * stride, s->spare + (size_t)r * stride, bytes);
    if (s->args.kv_cache)
        b->ops->reorder(b, &s->pass.kv, s->chooser.parent, length);
}

/* The op "sample" where the backend's own choice is not what is wanted. length: tokens before the one that is chosen. */
static void choose_here(struct session *s, int length)
{
    const struct engine_hooks *h = &s->args.hooks;
    struct chooser *c = &s->chooser;

    hooks_begin(h, OP_SAMPLE, -1);
    chooser_step(c, last_logits(s), s->history, history_stride(s), length);
    if (c->beam)
        follow_parents(s, length);
    for (int i = 0; i < s->args.batch; i++)
        s->chosen[i] = c->token[i * c->beams];
    hooks_end(h, OP_SAMPLE, -1);
}

static bool is_end(const struct model_config *c, int32_t token)
{
    for (int i = 0; i < c->eos_count; i++)
        if (token == c->eos[i])
            return true;
    return false;
}

static void append_chosen(struct session *s)
{
    const int32_t *token = s->greedy ? s->chosen : s->chooser.token;

    for (int r = 0; r < s->rows; r++)
        s->history[(size_t)r * history_stride(s) + (size_t)s->length] = token[r];
    s->length++;
    for (int i = 0; !s->args.ignore_eos && i < s->args.batch; i++)
        s->ended[i] |= s->chooser.beam ? beam_finished(s->chooser.beam[i]) : is_end(&s->model->config, s->chosen[i]);
}

/* --- passes -------------------------------------------------------------------------------------------------------------- */

/* Runs history[past, past + tokens) of every row and appends what was chosen. */
static int run_pass(struct session *s, int past, int tokens, struct err *e)
{
    for (int r = 0; r < s->rows; r++)
        memcpy(s->ids + r * tokens, s->history + (size_t)r * history_stride(s) + past, (size_t)tokens * sizeof *s->ids);
    s->pass.ids = s->ids;
    s->pass.past = past;
    s->pass.tokens = tokens;
    int code = forward(s->model->backend, &s->pass, &s->args.hooks, e);
    if (code < 0)
        return code;
    s->length = past + tokens;
    if (!s->greedy)
        choose_here(s, s->length);
    append_chosen(s);
    return 0;
}

int session_prefill(struct session *s, const int32_t *tokens, int n, struct err *e)
{
    if (n < 1 || n > s->args.capacity)
        return err_set(e, ERR_USAGE, "prefill of %d tokens in a session of %d", n, s->args.capacity);
    for (int i = 0; i < s->args.batch * n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->model->config.vocab)
            return err_set(e, ERR_USAGE, "token id %d: the vocabulary ends at %d", (int)tokens[i], s->model->config.vocab - 1);
    session_reset(s);
    s->prompt = n;
    for (int r = 0; r < s->rows; r++)
        memcpy(s->history + (size_t)r * history_stride(s), tokens + (size_t)(r / s->chooser.beams) * (size_t)n,
               (size_t)n * sizeof *tokens);
    return run_pass(s, 0, n, e);
}

int session_decode(struct session *s, struct err *e)
{
    if (s->length == 0)
        return err_set(e, ERR_USAGE, "decode before prefill");
    if (s->length > s->args.capacity)
        return err_set(e, ERR_USAGE, "decode beyond the session's %d tokens", s->args.capacity);
    if (s->args.kv_cache)
        return run_pass(s, s->length - 1, 1, e);
    return run_pass(s, 0, s->length, e);
}

int session_kv_len(const struct session *s)
{
    return s->length ? s->length - 1 : 0;
}

const int32_t *session_chosen(const struct session *s)
{
    return s->chosen;
}

const int32_t *session_tokens(struct session *s, int sequence, int *n)
{
    const struct chooser *c = &s->chooser;
    const int32_t *row = s->history + (size_t)(sequence * c->beams) * history_stride(s);
    int generated;

    *n = s->length;
    if (!c->beam || s->length == 0)
        return row;
    const int32_t *best = beam_best(c->beam[sequence], &generated, NULL);
    memcpy(s->spare, row, (size_t)s->prompt * sizeof *row);
    memcpy(s->spare + s->prompt, best, (size_t)generated * sizeof *row);
    *n = s->prompt + generated;
    return s->spare;
}

bool session_ended(const struct session *s, int sequence)
{
    return s->ended[sequence];
}

const float *session_logits(struct session *s)
{
    struct backend *b = s->model->backend;
    size_t rows = (size_t)s->rows * (s->args.all_logits ? (size_t)s->pass.tokens : 1);

    if (!s->logits_copy)
        s->logits_copy = malloc(s->logits_bytes);
    if (s->logits_copy)
        b->ops->get(b, s->logits_copy, s->pass.logits, rows * (size_t)s->model->config.vocab * sizeof(float));
    return s->logits_copy;
}

int session_kv_read(struct session *s, bool values, int layer, int sequence, int kv_head, int position, float *out,
                    struct err *e)
{
    const struct kvcache *kv = &s->pass.kv;
    struct backend *b = s->model->backend;

    if (!kv->kept)
        return err_set(e, ERR_USAGE, "without a KV cache nothing is kept to look at");
    if (layer < 0 || layer >= kv->layers || sequence < 0 || sequence >= s->args.batch || kv_head < 0 ||
        kv_head >= kv->kv_heads || position < 0 || position >= session_kv_len(s))
        return err_set(e, ERR_USAGE, "KV cache: layer %d, sequence %d, head %d, position %d is outside (%d, %d, %d, %d)", layer,
                       sequence, kv_head, position, kv->layers, s->args.batch, kv->kv_heads, session_kv_len(s));
    size_t at = kvcache_head(kv, layer, sequence * s->chooser.beams, kv_head) + (size_t)position * (size_t)kv->head_dim;
    b->ops->get(b, out, (values ? kv->v : kv->k) + at, (size_t)kv->head_dim * sizeof *out);
    return 0;
}

size_t session_kv_bytes(const struct session *s)
{
    return kvcache_bytes(&s->pass.kv);
}
