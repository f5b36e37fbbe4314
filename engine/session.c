/* SPDX-License-Identifier: MIT
 * A session's memory is taken once, for its largest pass; prefill and decode then only compute. Without a KV cache every step
 * is a pass over all tokens so far with nothing in the past, exactly as generation with use_cache=False runs. */
#include <stdlib.h>
#include <string.h>

#include "choose.h"
#include "engine_private.h"
#include "forward.h"
#include "rope.h"

/* Everything that is as large as the largest pass, or as the session is long. */
enum room_name {
    ROOM_KEYS,
    ROOM_VALUES,
    ROOM_KV_SPARE,
    ROOM_X,
    ROOM_NORMED,
    ROOM_QKV,
    ROOM_MIXED,
    ROOM_HIDDEN,
    ROOM_LOGITS,
    ROOM_ROPE_COS,
    ROOM_ROPE_SIN,
    ROOM_HISTORY, /* from here on host memory */
    ROOM_SPARE,
    ROOM_IDS,
    ROOM_CHOSEN,
    ROOM_ENDED,
    ROOM_LOGITS_COPY,
    ROOM_COUNT
};

struct room {
    void *data;
    size_t bytes;
};

struct session {
    struct model *model;
    struct session_args args;
    struct pass pass;
    bool greedy;            /* the backend chooses; else chooser */
    struct chooser chooser; /* rows = batch x beams: what a pass and the cache know as sequences */
    int rows;
    int32_t *history;   /* [rows][capacity + 1]: prompt and chosen tokens */
    int32_t *spare;     /* the same again: histories on the move, a sequence for the caller */
    int32_t *ids;       /* [rows][tokens of this pass]: what the pass reads */
    int32_t *chosen;    /* [batch] */
    bool *ended;        /* [batch] */
    int prompt, length; /* tokens of each sequence in history: the prompt's; all, the last chosen one included */
    struct room room[ROOM_COUNT];
};

static const char *const op_names[OP_COUNT] = {"embed", "norm", "qkv", "rotary", "attention", "out", "mlp", "head", "sample"};

const char *op_name(enum op op)
{
    return op_names[op];
}

static size_t history_stride(const struct session *s)
{
    return (size_t)s->args.capacity + 1;
}

/* Bytes of every room; 0: not wanted. */
static void plan_rooms(struct session *s)
{
    const struct model_config *c = &s->model->config;
    const struct kvcache *kv = &s->pass.kv;
    size_t batch = (size_t)s->args.batch, rows = (size_t)s->rows * (size_t)s->args.capacity;
    size_t logits = (s->args.all_logits ? rows : (size_t)s->rows) * (size_t)c->vocab;
    size_t angles = c->position == POSITION_ROTARY ? (size_t)s->args.capacity * (size_t)(c->head_dim / 2) : 0;
    size_t tokens = (size_t)s->rows * history_stride(s);
    bool reorders = s->chooser.beams > 1 && kv->kept;
    size_t bytes[ROOM_COUNT] = {
        [ROOM_KEYS] = kvcache_bytes(kv) / 2,
        [ROOM_VALUES] = kvcache_bytes(kv) / 2,
        [ROOM_KV_SPARE] = reorders ? dtype_bytes(kv->dtype, kvcache_layer(kv)) : 0,
        [ROOM_X] = rows * (size_t)c->d_model * sizeof(float),
        [ROOM_NORMED] = rows * (size_t)c->d_model * sizeof(float),
        [ROOM_QKV] = rows * (size_t)(c->heads + 2 * c->kv_heads) * (size_t)c->head_dim * sizeof(float),
        [ROOM_MIXED] = rows * (size_t)c->heads * (size_t)c->head_dim * sizeof(float),
        [ROOM_HIDDEN] = rows * (size_t)c->d_ff * (c->mlp == MLP_SWIGLU ? 2 : 1) * sizeof(float),
        [ROOM_LOGITS] = logits * sizeof(float),
        [ROOM_ROPE_COS] = angles * sizeof(float),
        [ROOM_ROPE_SIN] = angles * sizeof(float),
        [ROOM_HISTORY] = tokens * sizeof *s->history,
        [ROOM_SPARE] = tokens * sizeof *s->spare,
        [ROOM_IDS] = tokens * sizeof *s->ids,
        [ROOM_CHOSEN] = batch * sizeof *s->chosen,
        [ROOM_ENDED] = batch * sizeof *s->ended,
        [ROOM_LOGITS_COPY] = logits * sizeof(float),
    };

    for (int i = 0; i < ROOM_COUNT; i++)
        s->room[i].bytes = bytes[i];
}

static int take_room(struct session *s, enum room_name i, struct err *e)
{
    struct backend *b = s->model->backend;
    struct room *r = &s->room[i];

    if (r->bytes == 0)
        return 0;
    r->data = i >= ROOM_HISTORY ? host_alloc(b, r->bytes, e) : b->ops->alloc(b, r->bytes, e);
    return r->data ? 0 : err_wrap(e, "session of %d x %d tokens", s->rows, s->args.capacity);
}

/* All but the copy of the logits, which a greedy session needs only where somebody looks at them. */
static int take_memory(struct session *s, struct err *e)
{
    int code = 0;

    plan_rooms(s);
    for (int i = 0; code == 0 && i < ROOM_COUNT; i++)
        if (i != ROOM_LOGITS_COPY || !s->greedy)
            code = take_room(s, (enum room_name)i, e);
    return code;
}

static void assign_rooms(struct session *s)
{
    struct pass *p = &s->pass;
    const struct room *room = s->room;

    p->kv.k = room[ROOM_KEYS].data;
    p->kv.v = room[ROOM_VALUES].data;
    p->kv.spare = room[ROOM_KV_SPARE].data;
    p->x = room[ROOM_X].data;
    p->normed = room[ROOM_NORMED].data;
    p->qkv = room[ROOM_QKV].data;
    p->mixed = room[ROOM_MIXED].data;
    p->hidden = room[ROOM_HIDDEN].data;
    p->logits = room[ROOM_LOGITS].data;
    p->rope_cos = room[ROOM_ROPE_COS].data;
    p->rope_sin = room[ROOM_ROPE_SIN].data;
    s->history = room[ROOM_HISTORY].data;
    s->spare = room[ROOM_SPARE].data;
    s->ids = room[ROOM_IDS].data;
    s->chosen = room[ROOM_CHOSEN].data;
    s->ended = room[ROOM_ENDED].data;
    p->chosen = s->greedy ? s->chosen : NULL;
}

static int check_args(const struct model *m, const struct session_args *a, struct err *e)
{
    const struct model_config *c = &m->config;
    int rows;

    if (!m->weights.layers)
        return err_set(e, ERR_USAGE, "%s: opened for planning only", c->name);
    if (a->batch < 1 || a->capacity < 1 ||
        __builtin_mul_overflow(a->batch, a->sampling.beams > 1 ? a->sampling.beams : 1, &rows))
        return err_set(e, ERR_USAGE, "session: batch and capacity must be at least 1");
    if (a->capacity > c->context)
        return err_set(e, ERR_USAGE, "%s: %d tokens wanted, its context holds %d", c->name, a->capacity, c->context);
    if (a->threads < 0 || (a->threads > m->backend->threads && !m->backend->ops->launches))
        return err_set(e, ERR_USAGE, "session: %d threads wanted, the model was opened for %d", a->threads,
                       m->backend->threads);
    if (a->kv_dtype != DTYPE_F32 && a->kv_dtype != DTYPE_F16 && a->kv_dtype != DTYPE_BF16)
        return err_set(e, ERR_USAGE, "session: kv_dtype %s: keys and values are kept in %s, %s or %s", dtype_name(a->kv_dtype),
                       dtype_name(DTYPE_F32), dtype_name(DTYPE_F16), dtype_name(DTYPE_BF16));
    return 0;
}

/* What is the same in every pass of the session, and the shape of its largest. */
static void describe_passes(struct session *s)
{
    const struct session_args *a = &s->args;
    const struct model *m = s->model;

    s->pass.config = &m->config;
    s->pass.weights = &m->weights;
    s->pass.batch = s->rows;
    s->pass.tokens = a->capacity;
    s->pass.threads = a->threads ? a->threads : m->backend->threads;
    s->pass.attention = a->attention;
    s->pass.launch = a->launch;
    s->pass.all_logits = a->all_logits;
    s->pass.parts = a->hooks.parts ? &a->hooks : NULL;
    kvcache_shape(&s->pass.kv, &m->config, s->rows, a->capacity, a->kv_cache, a->kv_dtype);
}

/* The angles of every position, made here and kept where the passes read them. */
static int put_angles(struct session *s, struct err *e)
{
    const struct model *m = s->model;
    const struct room *cosines = &s->room[ROOM_ROPE_COS], *sines = &s->room[ROOM_ROPE_SIN];

    if (cosines->bytes == 0)
        return 0;
    float *made = malloc(cosines->bytes + sines->bytes);
    if (!made)
        return err_set(e, ERR_MEMORY, "session: out of memory for %d positions", s->args.capacity);
    float *made_sines = made + cosines->bytes / sizeof *made;
    rope_table(made, made_sines, &m->config, m->weights.rope_factors, s->args.capacity);
    m->backend->ops->put(m->backend, cosines->data, made, cosines->bytes);
    m->backend->ops->put(m->backend, sines->data, made_sines, sines->bytes);
    free(made);
    return 0;
}

/* What the backend needs beside the session's own memory, and its decode step, where the backend replays that. */
static int prepare_backend(struct session *s, struct err *e)
{
    struct backend *b = s->model->backend;
    int code = b->ops->reserve(b, &s->pass, e);

    if (code < 0 || !s->args.kv_cache || s->args.launch != LAUNCH_GRAPH || s->pass.parts)
        return code;
    struct pass step = s->pass;
    step.tokens = 1;
    return forward_record(b, &step, e);
}

/* A choice that nobody sees, so that no step meets the chooser's memory for the first time. */
static void warm_chooser(struct session *s)
{
    if (s->greedy)
        return;
    chooser_step(&s->chooser, s->room[ROOM_LOGITS_COPY].data, s->history, history_stride(s), 1);
    chooser_reset(&s->chooser);
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
    describe_passes(s);
    code = take_memory(s, e);
    if (code < 0)
        goto fail;
    assign_rooms(s);
    code = put_angles(s, e);
    if (code == 0)
        code = prepare_backend(s, e);
    if (code < 0)
        goto fail;
    warm_chooser(s);
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
    if (b->ops->forget)
        b->ops->forget(b, &s->pass);
    for (int i = 0; i < ROOM_COUNT; i++)
        if (s->room[i].data)
            (i >= ROOM_HISTORY ? host_release : b->ops->release)(b, s->room[i].data, s->room[i].bytes);
    chooser_close(&s->chooser);
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
    float *copy = s->room[ROOM_LOGITS_COPY].data;

    if (!s->args.all_logits)
        b->ops->get(b, copy, s->pass.logits, (size_t)s->rows * vocab * sizeof(float)); /* at once: each waits for a device */
    for (int r = 0; s->args.all_logits && r < s->rows; r++)
        b->ops->get(b, copy + (size_t)r * vocab, s->pass.logits + pass_last_row(&s->pass, r) * vocab, vocab * sizeof(float));
    return copy;
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
        b->ops->reorder(b, &s->pass, s->chooser.parent, length);
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
    struct room *copy = &s->room[ROOM_LOGITS_COPY];

    if (!copy->data && take_room(s, ROOM_LOGITS_COPY, NULL) < 0)
        return NULL;
    b->ops->get(b, copy->data, s->pass.logits, rows * (size_t)s->model->config.vocab * sizeof(float));
    return copy->data;
}

int session_kv_read(struct session *s, bool values, int layer, int sequence, int kv_head, int position, float *out,
                    struct err *e)
{
    const struct kvcache *kv = &s->pass.kv;
    struct backend *b = s->model->backend;
    char stored[HEAD_DIM_MAX * sizeof(float)];
    size_t n = (size_t)kv->head_dim;

    if (!kv->kept)
        return err_set(e, ERR_USAGE, "without a KV cache nothing is kept to look at");
    if (layer < 0 || layer >= kv->layers || sequence < 0 || sequence >= s->args.batch || kv_head < 0 ||
        kv_head >= kv->kv_heads || position < 0 || position >= session_kv_len(s))
        return err_set(e, ERR_USAGE, "KV cache: layer %d, sequence %d, head %d, position %d is outside (%d, %d, %d, %d)", layer,
                       sequence, kv_head, position, kv->layers, s->args.batch, kv->kv_heads, session_kv_len(s));
    size_t at = dtype_bytes(kv->dtype, kvcache_head(kv, layer, sequence * s->chooser.beams, kv_head) + (size_t)position * n);
    b->ops->get(b, stored, (const char *)(values ? kv->v : kv->k) + at, dtype_bytes(kv->dtype, n));
    dtype_decode(kv->dtype, out, stored, n);
    return 0;
}

int session_launches(const struct session *s)
{
    const struct backend *b = s->model->backend;

    return b->ops->launches ? b->ops->launches(b) : 0;
}

size_t session_kv_bytes(const struct session *s)
{
    return kvcache_bytes(&s->pass.kv);
}
