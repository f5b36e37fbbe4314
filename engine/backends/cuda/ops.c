/* SPDX-License-Identifier: MIT
 * The ops. A decode step of few rows runs kernels that fuse all that stands around a product, on float32 activations; a pass of
 * many rows runs the products through cublasLt, in the weights' dtype, and what stands between them as kernels of its own. */
#include <string.h>

#include "cuda_host.h"

/* --- parts -------------------------------------------------------------------------------------------------------------------
 */

/* Notes what a launcher or a product of `count` kernels answered. */
static void did(struct cuda *g, cudaError_t code, int count, const char *what)
{
    cuda_note(g, code, what);
    g->launches += g->recording ? 0 : count;
}

static struct gpu_norm norm_of(const struct pass *p, const float *weight, const float *bias)
{
    return (struct gpu_norm){.weight = weight, .bias = bias, .kind = p->config->norm, .eps = (float)p->config->norm_eps};
}

struct gpu_cache cuda_cache(const struct pass *p, int layer)
{
    const struct kvcache *kv = &p->kv;
    const struct model_config *c = p->config;
    size_t at = dtype_bytes(kv->dtype, kvcache_head(kv, layer, 0, 0));

    return (struct gpu_cache){.k = (char *)kv->k + at,
                              .v = (char *)kv->v + at,
                              .dtype = kv->dtype,
                              .batch = kv->batch,
                              .heads = c->heads,
                              .kv_heads = kv->kv_heads,
                              .head_dim = kv->head_dim,
                              .capacity = kv->capacity,
                              .window = layer >= c->window_first ? c->window : 0};
}

void *cuda_activated(const struct timeline *t, const struct pass *p)
{
    size_t up = dtype_bytes(p->weights->embed.dtype, (size_t)pass_rows(p) * (size_t)p->weights->layers[0].up.rows);

    if (p->config->mlp != MLP_SWIGLU)
        return p->hidden;
    return t->activated ? t->activated : (char *)p->hidden + up;
}

static void product(struct cuda *g, const struct matrix *w, const void *x, int rows, void *y, enum dtype out, const float *bias,
                    bool add)
{
    struct err e = {0};

    if (g->failure.code < 0)
        return;
    if (matmul_run(g->matmul, w, x, rows, y, out, bias, add, &e) < 0)
        g->failure = e;
    did(g, cudaSuccess, 1, "");
}

/* normed = norm(x), of all rows: the part OP_NORM. */
static void norm_rows(struct cuda *g, const struct pass *p, const float *weight, const float *bias, int layer)
{
    const struct gpu_norm norm = norm_of(p, weight, bias);

    hooks_begin(p->parts, OP_NORM, layer);
    did(g, launch_norm(g->stream, p->normed, pass_activations(p), p->x, &norm, pass_rows(p), p->config->d_model, 0, 1), 1,
        "norm");
    hooks_end(p->parts, OP_NORM, layer);
}

/* --- embed and qkv -----------------------------------------------------------------------------------------------------------
 */

void cuda_embed(struct backend *b, const struct pass *p)
{
    struct cuda *g = (struct cuda *)b;
    const struct weights *w = p->weights;

    cuda_begin(g, p);
    if (g->failure.code == 0)
        did(g, launch_embed(g->stream, p->x, &w->embed, w->position.data, g->now->state, p->batch, p->tokens), 1, "embed");
}

/* What a product may ask for ahead: nothing where a pass is taken in parts, so that each op reads its own weights. */
static const struct matrix *ahead(const struct pass *p, const struct matrix *next)
{
    return p->parts ? NULL : next;
}

void cuda_qkv(struct backend *b, const struct pass *p, int layer)
{
    struct cuda *g = (struct cuda *)b;
    const struct layer_weights *w = &p->weights->layers[layer];
    const struct gpu_norm norm = norm_of(p, w->norm1_w, w->norm1_b);
    const struct gpu_cache cache = cuda_cache(p, layer);
    enum dtype act = pass_activations(p);

    if (g->failure.code < 0)
        return;
    if (pass_is_fused(p)) {
        did(g,
            launch_decode_qkv(g->stream, p->qkv, p->x, &norm, &w->qkv, w->qkv_b, p->rope_cos, p->rope_sin, &cache,
                              g->now->state, ahead(p, &w->out)),
            1, "qkv");
        return;
    }
    norm_rows(g, p, w->norm1_w, w->norm1_b, layer);
    product(g, &w->qkv, p->normed, pass_rows(p), p->qkv, act, NULL, false);
    hooks_begin(p->parts, OP_ROTARY, layer);
    did(g, launch_rope_append(g->stream, p->qkv, act, w->qkv_b, p->rope_cos, p->rope_sin, &cache, g->now->state, p->tokens), 1,
        "rotary");
    hooks_end(p->parts, OP_ROTARY, layer);
}

/* --- attention and out -------------------------------------------------------------------------------------------------------
 */

void cuda_attention(struct backend *b, const struct pass *p, int layer)
{
    struct cuda *g = (struct cuda *)b;
    const struct gpu_cache cache = cuda_cache(p, layer);
    enum dtype act = pass_activations(p);
    int q = cache.heads * cache.head_dim, stride = pass_is_fused(p) ? q : q + 2 * cache.kv_heads * cache.head_dim;

    if (g->failure.code < 0)
        return;
    if (p->tokens == 1)
        did(g, launch_decode_attention(g->stream, p->mixed, p->qkv, stride, act, &cache, g->now->state, g->now->partial), 2,
            "attention");
    else if (pass_writes_scores(p))
        did(g,
            launch_naive_attention(g->stream, p->mixed, p->qkv, stride, act, &cache, g->now->state, p->tokens, g->now->scores),
            3, "attention");
    else
        did(g, launch_flash_attention(g->stream, p->mixed, p->qkv, stride, act, &cache, g->now->state, p->tokens), 1,
            "attention");
}

void cuda_out(struct backend *b, const struct pass *p, int layer)
{
    struct cuda *g = (struct cuda *)b;
    const struct layer_weights *w = &p->weights->layers[layer];

    if (g->failure.code < 0)
        return;
    if (pass_is_fused(p))
        did(g, launch_decode_product(g->stream, p->x, p->mixed, NULL, &w->out, w->out_b, pass_rows(p), true, ahead(p, &w->up)),
            1, "out");
    else
        product(g, &w->out, p->mixed, pass_rows(p), p->x, DTYPE_F32, w->out_b, true);
}

/* --- mlp ---------------------------------------------------------------------------------------------------------------------
 */

static void mlp_of_few(struct cuda *g, const struct pass *p, const struct layer_weights *w, int layer)
{
    const struct matrix *next = ahead(p, layer + 1 < p->config->layers ? &w[1].qkv : &p->weights->head);
    const struct gpu_norm norm = norm_of(p, w->norm2_w, w->norm2_b);
    int rows = pass_rows(p);

    did(g,
        launch_decode_up(g->stream, p->hidden, p->x, &norm, &w->up, w->up_b, p->config->mlp, rows, p->config->d_ff,
                         ahead(p, &w->down)),
        1, "mlp");
    did(g, launch_decode_product(g->stream, p->x, p->hidden, NULL, &w->down, w->down_b, rows, true, next), 1, "mlp");
}

static void mlp_of_many(struct cuda *g, const struct pass *p, const struct layer_weights *w, int layer)
{
    enum dtype act = pass_activations(p);
    void *activated = cuda_activated(g->now, p);
    int rows = pass_rows(p);

    norm_rows(g, p, w->norm2_w, w->norm2_b, layer);
    product(g, &w->up, p->normed, rows, p->hidden, act, NULL, false);
    did(g, launch_activation(g->stream, activated, p->hidden, act, w->up_b, p->config->mlp, rows, p->config->d_ff), 1, "mlp");
    product(g, &w->down, activated, rows, p->x, DTYPE_F32, w->down_b, true);
}

void cuda_mlp(struct backend *b, const struct pass *p, int layer)
{
    struct cuda *g = (struct cuda *)b;
    const struct layer_weights *w = &p->weights->layers[layer];

    if (g->failure.code < 0)
        return;
    if (pass_is_fused(p))
        mlp_of_few(g, p, w, layer);
    else
        mlp_of_many(g, p, w, layer);
}

/* --- head and choice ---------------------------------------------------------------------------------------------------------
 */

/* Prefill computes it for one row a sequence, wherever that is: few rows whatever the prompt, so mostly the decode kernel's. */
void cuda_head(struct backend *b, const struct pass *p)
{
    struct cuda *g = (struct cuda *)b;
    const struct weights *w = p->weights;
    const struct matrix *next = ahead(p, &w->layers[0].qkv); /* of the next token */
    const struct gpu_norm norm = norm_of(p, w->norm_w, w->norm_b);
    int rows = pass_head_rows(p), first = p->all_logits ? 0 : p->tokens - 1, stride = p->all_logits ? 1 : p->tokens;
    bool few = rows <= DECODE_ROWS_MAX;

    if (g->failure.code < 0)
        return;
    if (few && p->tokens == 1) {
        did(g, launch_decode_product(g->stream, p->logits, p->x, &norm, &w->head, NULL, rows, false, next), 1, "head");
        return;
    }
    did(g,
        launch_norm(g->stream, p->normed, few ? DTYPE_F32 : w->head.dtype, p->x, &norm, rows, p->config->d_model, first,
                    stride),
        1, "head");
    if (few)
        did(g, launch_decode_product(g->stream, p->logits, p->normed, NULL, &w->head, NULL, rows, false, next), 1, "head");
    else
        product(g, &w->head, p->normed, rows, p->logits, DTYPE_F32, NULL, false);
}

void cuda_choose(struct backend *b, const struct pass *p)
{
    struct cuda *g = (struct cuda *)b;
    int first = p->all_logits ? p->tokens - 1 : 0, stride = p->all_logits ? p->tokens : 1;

    if (g->failure.code == 0)
        did(g,
            launch_choose(g->stream, g->now->chosen, g->now->state, p->logits, p->batch, p->config->vocab, first, stride,
                          p->tokens),
            1, "choose");
}

/* The session has waited for its last pass, so that nobody reads what is staged here still. */
void cuda_reorder(struct backend *b, const struct pass *p, const int32_t *parent, int length)
{
    struct cuda *g = (struct cuda *)b;
    struct timeline *t = cuda_timeline(g, p);
    size_t bytes = (size_t)p->batch * sizeof *parent;
    bool moves = false;

    for (int i = 0; i < p->batch; i++)
        moves |= parent[i] != i;
    if (!moves || !p->kv.kept || !t)
        return;
    memcpy(t->staged_parents, parent, bytes);
    cuda_note(g, cudaMemcpyAsync(t->parents, t->staged_parents, bytes, cudaMemcpyHostToDevice, g->stream), "beams");
    cuda_note(g, launch_reorder(g->stream, &p->kv, t->parents, length), "beams");
}
