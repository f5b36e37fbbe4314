/* SPDX-License-Identifier: MIT
 * The truth: plain loops with double accumulation, one thread, in the order of the mathematics. Whatever the dtype of weights
 * and cache, they are decoded to float32 and computed with as such. Slow on purpose and changed only when it is wrong; every
 * fast path is compared with it. */
#include "backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ref {
    struct backend base;
    double *scores; /* [capacity] */
    double *mixed;  /* [head_dim] */
    float *row;     /* decoded: of a matrix, or one position of the cache */
    int capacity;   /* 0: nothing taken yet; the other two follow from the model alone */
};

static int ref_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    struct ref *r = calloc(1, sizeof *r);

    (void)a;
    if (!r)
        return err_set(e, ERR_MEMORY, "ref backend: out of memory");
    r->base.ops = &backend_ref;
    *out = &r->base;
    return 0;
}

static void ref_close(struct backend *b)
{
    struct ref *r = (struct ref *)b;

    if (r) {
        free(r->scores);
        free(r->mixed);
        free(r->row);
    }
    free(r);
}

static void ref_describe(const struct backend *b, char *buf, size_t size)
{
    (void)b;
    snprintf(buf, size, "plain loops, double accumulation, 1 thread");
}

static int ref_reserve(struct backend *b, const struct pass *largest, struct err *e)
{
    struct ref *r = (struct ref *)b;
    const struct model_config *c = largest->config;
    int capacity = largest->kv.capacity, q = c->heads * c->head_dim, longest = c->d_model > c->d_ff ? c->d_model : c->d_ff;

    if (capacity <= r->capacity)
        return 0;
    double *scores = realloc(r->scores, (size_t)capacity * sizeof *scores);
    r->scores = scores ? scores : r->scores;
    if (!r->mixed)
        r->mixed = calloc((size_t)c->head_dim, sizeof *r->mixed);
    if (!r->row)
        r->row = calloc((size_t)(longest > q ? longest : q), sizeof *r->row);
    if (!scores || !r->mixed || !r->row)
        return err_set(e, ERR_MEMORY, "ref backend: out of memory for %d scores", capacity);
    r->capacity = capacity;
    return 0;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* y[row][o] = x[row] . w[o] + bias[o] (+ y when adding) */
static void linear(const struct ref *ref, float *y, const float *x, const struct matrix *w, const float *bias, int rows,
                   bool add)
{
    for (int o = 0; o < w->rows; o++) {
        dtype_decode(w->dtype, ref->row, matrix_row(w, o), (size_t)w->cols);
        for (int r = 0; r < rows; r++) {
            float *to = &y[(size_t)r * (size_t)w->rows + (size_t)o];
            double v = dot(x + (size_t)r * (size_t)w->cols, ref->row, w->cols);
            *to = (float)(v + (bias ? bias[o] : 0) + (add ? *to : 0));
        }
    }
}

static void norm_row(float *y, const float *x, const float *w, const float *b, const struct model_config *c)
{
    double mean = 0, square = 0;
    int n = c->d_model;

    if (c->norm == NORM_LAYER)
        for (int i = 0; i < n; i++)
            mean += x[i] / (double)n;
    for (int i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean) / n;
    double scale = 1 / sqrt(square + c->norm_eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)((x[i] - mean) * scale * w[i] + (b ? b[i] : 0));
}

static void norm_rows(const struct pass *p, const float *w, const float *b)
{
    size_t d = (size_t)p->config->d_model;

    for (size_t r = 0; r < (size_t)p->batch * (size_t)p->tokens; r++)
        norm_row(p->normed + r * d, p->x + r * d, w, b, p->config);
}

static void ref_embed(struct backend *b, const struct pass *p)
{
    const struct matrix *embed = &p->weights->embed, *positions = &p->weights->position;
    size_t d = (size_t)p->config->d_model;

    (void)b;
    for (int r = 0; r < p->batch * p->tokens; r++) {
        float *x = p->x + (size_t)r * d;
        dtype_decode(embed->dtype, x, matrix_row(embed, p->ids[r]), d);
        const float *position = positions->data ? matrix_row(positions, p->past + r % p->tokens) : NULL;
        for (size_t i = 0; position && i < d; i++)
            x[i] += position[i];
    }
}

/* Rotates each head's pair (i, i + half) by the angle of its position. */
static void rotate(float *head, const float *cosine, const float *sine, int half)
{
    for (int i = 0; i < half; i++) {
        double a = head[i], b = head[i + half];
        head[i] = (float)(a * cosine[i] - b * sine[i]);
        head[i + half] = (float)(b * cosine[i] + a * sine[i]);
    }
}

/* Where the cache holds an element, `element` as kvcache_head counts. */
static void *cached(const struct kvcache *kv, void *keys_or_values, size_t element)
{
    return (char *)keys_or_values + dtype_bytes(kv->dtype, element);
}

/* One row's keys and values of all heads, rounded to what the cache holds. */
static void append(const struct pass *p, int layer, int r, const float *keys, const float *values)
{
    const struct kvcache *kv = &p->kv;
    size_t hd = (size_t)kv->head_dim, position = (size_t)p->past + (size_t)(r % p->tokens);

    for (int h = 0; h < kv->kv_heads; h++) {
        size_t at = kvcache_head(kv, layer, r / p->tokens, h) + position * hd;
        dtype_encode(kv->dtype, cached(kv, kv->k, at), keys + (size_t)h * hd, hd);
        dtype_encode(kv->dtype, cached(kv, kv->v, at), values + (size_t)h * hd, hd);
    }
}

static void ref_qkv(struct backend *b, const struct pass *p, int layer)
{
    const struct model_config *c = p->config;
    const struct layer_weights *w = &p->weights->layers[layer];
    int hd = c->head_dim, half = hd / 2, rows = p->batch * p->tokens;

    norm_rows(p, w->norm1_w, w->norm1_b);
    linear((struct ref *)b, p->qkv, p->normed, &w->qkv, w->qkv_b, rows, false);
    for (int r = 0; r < rows; r++) {
        float *row = p->qkv + (size_t)r * (size_t)w->qkv.rows;
        int pos = p->past + r % p->tokens;
        for (int h = 0; p->rope_cos && h < c->heads + c->kv_heads; h++)
            rotate(row + h * hd, p->rope_cos + pos * half, p->rope_sin + pos * half, half);
        append(p, layer, r, row + c->heads * hd, row + (c->heads + c->kv_heads) * hd);
    }
}

/* One query row of one head over the `seen` positions that it may look at, the first of them at element `at` of the cache. */
static void attend(const struct ref *ref, float *out, const float *q, const struct kvcache *kv, size_t at, int seen)
{
    double most = -INFINITY, sum = 0, *scores = ref->scores, *mixed = ref->mixed;
    size_t hd = (size_t)kv->head_dim;

    for (int j = 0; j < seen; j++) {
        dtype_decode(kv->dtype, ref->row, cached(kv, kv->k, at + (size_t)j * hd), hd);
        scores[j] = dot(q, ref->row, kv->head_dim) / sqrt(kv->head_dim);
        most = fmax(most, scores[j]);
    }
    memset(mixed, 0, hd * sizeof *mixed);
    for (int j = 0; j < seen; j++) {
        dtype_decode(kv->dtype, ref->row, cached(kv, kv->v, at + (size_t)j * hd), hd);
        scores[j] = exp(scores[j] - most);
        sum += scores[j];
        for (size_t i = 0; i < hd; i++)
            mixed[i] += scores[j] * ref->row[i];
    }
    for (size_t i = 0; i < hd; i++)
        out[i] = (float)(mixed[i] / sum);
}

static void ref_attention(struct backend *b, const struct pass *p, int layer)
{
    const struct ref *ref = (struct ref *)b;
    const struct model_config *c = p->config;
    int hd = c->head_dim, group = c->heads / c->kv_heads;
    size_t width = (size_t)(c->heads + 2 * c->kv_heads) * (size_t)hd;

    for (int r = 0; r < p->batch * p->tokens; r++) {
        int seen = p->past + r % p->tokens + 1, visible = config_visible(c, layer, seen);
        for (int h = 0; h < c->heads; h++) {
            size_t at = kvcache_head(&p->kv, layer, r / p->tokens, h / group) + (size_t)(seen - visible) * (size_t)hd;
            attend(ref, p->mixed + ((size_t)r * (size_t)c->heads + (size_t)h) * (size_t)hd, p->qkv + (size_t)r * width + h * hd,
                   &p->kv, at, visible);
        }
    }
}

static void ref_out(struct backend *b, const struct pass *p, int layer)
{
    const struct layer_weights *w = &p->weights->layers[layer];

    linear((struct ref *)b, p->x, p->mixed, &w->out, w->out_b, p->batch * p->tokens, true);
}

static double gelu_tanh(double u)
{
    return 0.5 * u * (1 + tanh(sqrt(2 / M_PI) * (u + 0.044715 * u * u * u)));
}

static void ref_mlp(struct backend *b, const struct pass *p, int layer)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    int rows = p->batch * p->tokens, ff = p->config->d_ff;

    norm_rows(p, w->norm2_w, w->norm2_b);
    linear((struct ref *)b, p->hidden, p->normed, &w->up, w->up_b, rows, false);
    for (int r = 0; r < rows; r++) {
        const float *from = p->hidden + (size_t)r * (size_t)w->up.rows;
        float *to = p->hidden + (size_t)r * (size_t)ff; /* never ahead of from */
        for (int i = 0; i < ff; i++)
            to[i] = p->config->mlp == MLP_SWIGLU ? (float)(from[i] / (1 + exp(-(double)from[i])) * from[ff + i])
                                                 : (float)gelu_tanh(from[i]);
    }
    linear((struct ref *)b, p->x, p->hidden, &w->down, w->down_b, rows, true);
}

static void ref_head(struct backend *b, const struct pass *p)
{
    const struct weights *w = p->weights;
    size_t d = (size_t)p->config->d_model;

    if (p->all_logits) {
        norm_rows(p, w->norm_w, w->norm_b);
        linear((struct ref *)b, p->logits, p->normed, &w->head, NULL, p->batch * p->tokens, false);
        return;
    }
    for (int s = 0; s < p->batch; s++)
        norm_row(p->normed + (size_t)s * d, p->x + pass_last_row(p, s) * d, w->norm_w, w->norm_b, p->config);
    linear((struct ref *)b, p->logits, p->normed, &w->head, NULL, p->batch, false);
}

static void ref_choose(struct backend *b, const struct pass *p)
{
    size_t vocab = (size_t)p->config->vocab;

    (void)b;
    for (int s = 0; s < p->batch; s++) {
        const float *row = p->logits + (p->all_logits ? pass_last_row(p, s) : (size_t)s) * vocab;
        size_t best = 0;
        for (size_t i = 1; i < vocab; i++)
            if (row[i] > row[best])
                best = i;
        p->chosen[s] = (int32_t)best;
    }
}

static int ref_sync(struct backend *b, struct err *e)
{
    (void)b, (void)e;
    return 0;
}

const struct backend_ops backend_ref = {
    .name = "ref",
    .about = "plain loops, double accumulation: the truth the others are compared with",
    .open = ref_open,
    .close = ref_close,
    .arithmetic = float32_arithmetic,
    .attention_arithmetic = float32_arithmetic,
    .describe = ref_describe,
    .reserve = ref_reserve,
    .alloc = host_alloc,
    .release = host_release,
    .get = host_get,
    .put = host_put,
    .embed = ref_embed,
    .qkv = ref_qkv,
    .attention = ref_attention,
    .out = ref_out,
    .mlp = ref_mlp,
    .head = ref_head,
    .choose = ref_choose,
    .sync = ref_sync,
    .reorder = host_reorder,
};
