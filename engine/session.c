/* SPDX-License-Identifier: MIT
 * A session's memory is taken once, for its largest pass; prefill and decode then only compute. Without a KV cache every step
 * is a pass over all tokens so far with nothing in the past, exactly as generation with use_cache=False runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "forward.h"
#include "rope.h"

struct room {
    float **at;
    size_t floats;
};

enum { ROOMS_MAX = 10 };

struct session {
    struct model *model;
    struct session_args args;
    struct pass pass;
    float *rope_cos, *rope_sin;
    int32_t *history; /* [batch][capacity]: prompt and chosen tokens */
    int32_t *ids;     /* [batch][tokens of this pass]: what the pass reads */
    float *logits_copy;
    size_t logits_bytes;
    int length; /* tokens of each sequence in history, the last chosen one included */
    struct room rooms[ROOMS_MAX];
    int room_count;
};

static const char *const op_names[OP_COUNT] = {"embed", "qkv", "attention", "out", "mlp", "head", "sample"};

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
    size_t rows = (size_t)s->args.batch * (size_t)s->args.capacity;
    size_t logit_rows = s->args.all_logits ? rows : (size_t)s->args.batch;
    size_t rope = c->position == POSITION_ROTARY ? (size_t)s->args.capacity * (size_t)(c->head_dim / 2) : 0;
    size_t kv = kvcache_bytes(&p->kv) / 2 / sizeof(float);

    plan_room(s, &p->kv.k, kv);
    plan_room(s, &p->kv.v, kv);
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

static int take_memory(struct session *s, struct err *e)
{
    struct backend *b = s->model->backend;
    size_t ids = (size_t)s->args.batch * (size_t)s->args.capacity * sizeof(int32_t);

    plan_rooms(s);
    for (int i = 0; i < s->room_count; i++) {
        *s->rooms[i].at = b->ops->alloc(b, s->rooms[i].floats * sizeof(float), e);
        if (!*s->rooms[i].at)
            return err_wrap(e, "session of %d x %d tokens", s->args.batch, s->args.capacity);
    }
    s->history = calloc(1, ids);
    s->ids = calloc(1, ids);
    s->pass.chosen = calloc((size_t)s->args.batch, sizeof(int32_t));
    if (!s->history || !s->ids || !s->pass.chosen)
        return err_set(e, ERR_MEMORY, "session: out of memory for %zu bytes of token ids", 2 * ids);
    return 0;
}

int session_open(struct session **out, struct model *m, const struct session_args *a, struct err *e)
{
    const struct model_config *c = &m->config;
    int code;

    if (!m->weights.pages)
        return err_set(e, ERR_USAGE, "%s: opened for planning only", c->name);
    if (a->batch < 1 || a->capacity < 1)
        return err_set(e, ERR_USAGE, "session: batch and capacity must be at least 1");
    if (a->capacity > c->context)
        return err_set(e, ERR_USAGE, "%s: %d tokens wanted, its context holds %d", c->name, a->capacity, c->context);
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_MEMORY, "session: out of memory");
    s->model = m;
    s->args = *a;
    s->pass.config = c;
    s->pass.weights = &m->weights;
    s->pass.batch = a->batch;
    s->pass.all_logits = a->all_logits;
    kvcache_shape(&s->pass.kv, c, a->batch, a->capacity, a->kv_cache);
    code = take_memory(s, e);
    if (code < 0)
        goto fail;
    if (s->rope_cos)
        rope_table(s->rope_cos, s->rope_sin, c, a->capacity);
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
    free(s->history);
    free(s->ids);
    free(s->pass.chosen);
    free(s->logits_copy);
    free(s);
}

void session_reset(struct session *s)
{
    s->length = 0;
}

/* Runs history[past, past + tokens) of every sequence and appends what was chosen. */
static int run_pass(struct session *s, int past, int tokens, struct err *e)
{
    size_t capacity = (size_t)s->args.capacity;

    for (int b = 0; b < s->args.batch; b++)
        memcpy(s->ids + b * tokens, s->history + (size_t)b * capacity + past, (size_t)tokens * sizeof *s->ids);
    s->pass.ids = s->ids;
    s->pass.past = past;
    s->pass.tokens = tokens;
    int code = forward(s->model->backend, &s->pass, &s->args.hooks, e);
    if (code < 0)
        return code;
    s->length = past + tokens + 1;
    for (int b = 0; s->length <= s->args.capacity && b < s->args.batch; b++)
        s->history[(size_t)b * capacity + (size_t)(s->length - 1)] = s->pass.chosen[b];
    return 0;
}

int session_prefill(struct session *s, const int32_t *tokens, int n, struct err *e)
{
    if (n < 1 || n > s->args.capacity)
        return err_set(e, ERR_USAGE, "prefill of %d tokens in a session of %d", n, s->args.capacity);
    for (int i = 0; i < s->args.batch * n; i++)
        if (tokens[i] < 0 || tokens[i] >= s->model->config.vocab)
            return err_set(e, ERR_USAGE, "token id %d: the vocabulary ends at %d", (int)tokens[i], s->model->config.vocab - 1);
    for (int b = 0; b < s->args.batch; b++)
        memcpy(s->history + (size_t)b * (size_t)s->args.capacity, tokens + (size_t)b * (size_t)n, (size_t)n * sizeof *tokens);
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
    return s->pass.chosen;
}

const float *session_logits(struct session *s)
{
    struct backend *b = s->model->backend;

    if (!s->logits_copy)
        s->logits_copy = malloc(s->logits_bytes);
    if (s->logits_copy)
        b->ops->get(b, s->logits_copy, s->pass.logits, s->logits_bytes);
    return s->logits_copy;
}

size_t session_kv_bytes(const struct session *s)
{
    return kvcache_bytes(&s->pass.kv);
}
