/* SPDX-License-Identifier: MIT
 * The fast host backend. One OpenMP region an op; each worker owns a slice of a matrix's rows, so every weight is read once,
 * by one core. One activation row goes through our mat-vec and few through our own product, which reads the weights once and
 * packs nothing: OpenBLAS's sgemm with one row reaches a fifth of the memory's bandwidth, with 13 rows half of what is
 * possible. Many rows go through sgemm on the slice, called from our own workers: OpenBLAS's own threads would fight ours.
 * Bias, activation and residual are applied to the slice while it is still in cache. */
#include "backends/backend.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "isa.h"
#include "pages.h"

enum { QUERY_BLOCK = 64, CACHE_LINE_FLOATS = 16 };

struct cpu {
    struct backend base;
    const struct cpu_kernels *kernels;
    enum isa isa;
    int threads;
    float *scores;      /* [threads][QUERY_BLOCK][capacity] */
    size_t scores_each; /* floats a worker */
    size_t scores_bytes;
};

static int cpu_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    static const struct cpu_kernels *const tables[ISA_COUNT] = {
        [ISA_BASE] = &cpu_kernels_base,
#if defined(__x86_64__)
        [ISA_AVX2] = &cpu_kernels_avx2,
        [ISA_AVX512] = &cpu_kernels_avx512,
#endif
    };
    enum isa isa;
    int code = isa_choose(&isa, e);

    if (code < 0)
        return code;
    struct cpu *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(e, ERR_MEMORY, "cpu backend: out of memory");
    c->base.ops = &backend_cpu;
    c->isa = isa;
    c->kernels = tables[isa];
    c->threads = a->threads;
    openblas_set_num_threads(1);
    *out = &c->base;
    return 0;
}

static void cpu_close(struct backend *b)
{
    struct cpu *c = (struct cpu *)b;

    if (c)
        pages_free(c->scores, c->scores_bytes);
    free(c);
}

static void cpu_describe(const struct backend *b, char *buf, size_t size)
{
    const struct cpu *c = (const struct cpu *)b;
    char version[64];

    snprintf(version, sizeof version, "%s", openblas_get_config());
    char *number = strchr(version, ' '); /* "OpenBLAS 0.3.21 NO_LAPACKE ...": keep the first two words */
    if (number)
        number[1 + strcspn(number + 1, " ")] = 0;
    snprintf(buf, size, "own kernels (%s) up to %d rows, %s (%s kernels) above", isa_name(c->isa), c->kernels->few_rows,
             version, openblas_get_corename());
}

static int cpu_reserve(struct backend *b, const struct pass *largest, struct err *e)
{
    struct cpu *c = (struct cpu *)b;
    size_t each = (size_t)QUERY_BLOCK * (size_t)largest->kv.capacity;

    if (each <= c->scores_each)
        return 0;
    size_t bytes = (size_t)c->threads * each * sizeof *c->scores;
    float *scores = pages_alloc(bytes, e);
    if (!scores)
        return err_wrap(e, "attention scores");
    pages_free(c->scores, c->scores_bytes);
    c->scores = scores;
    c->scores_each = each;
    c->scores_bytes = bytes;
    return 0;
}

/* Part `i` of `parts` of n rows, in whole cache lines of the result so that workers never share one. */
static void slice(int n, int i, int parts, int *from, int *to)
{
    int lines = (n + CACHE_LINE_FLOATS - 1) / CACHE_LINE_FLOATS;
    int first = (int)((long long)lines * i / parts) * CACHE_LINE_FLOATS;
    int last = (int)((long long)lines * (i + 1) / parts) * CACHE_LINE_FLOATS;

    *from = first < n ? first : n;
    *to = last < n ? last : n;
}

/* y = x w^T + bias (+ y when adding); x's rows are x_stride floats apart. */
struct linear {
    float *y;
    const float *x;
    int x_stride;
    const struct matrix *w;
    const float *bias;
    int rows;
    bool add;
};

/* One worker's slice of the result's columns, for all rows. */
static void linear_slice(const struct cpu *c, const struct linear *l, int worker)
{
    const struct matrix *w = l->w;
    int from, to;

    slice(w->rows, worker, c->threads, &from, &to);
    if (from >= to)
        return;
    if (l->rows == 1) {
        c->kernels->matvec(l->y, w->data, l->x, l->bias, l->add ? l->y : NULL, from, to, w->cols);
        return;
    }
    if (l->rows <= c->kernels->few_rows) {
        struct cpu_matmul m = {.rows = l->rows,
                               .depth = w->cols,
                               .x_stride = l->x_stride,
                               .y_stride = w->rows,
                               .from = from,
                               .to = to,
                               .add = l->add};
        c->kernels->matmul(l->y, l->x, w->data, &m);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, l->rows, to - from, w->cols, 1, l->x, l->x_stride,
                    w->data + (size_t)from * (size_t)w->cols, w->cols, l->add ? 1 : 0, l->y + from, w->rows);
    }
    for (int r = 0; l->bias && r < l->rows; r++)
        c->kernels->add_bias(l->y + (size_t)r * (size_t)w->rows + from, l->bias + from, to - from);
}

static void norm_row(const struct cpu *c, const struct pass *p, float *y, const float *x, const float *w, const float *b)
{
    c->kernels->norm(y, x, w, b, p->config->d_model, (float)p->config->norm_eps, p->config->norm == NORM_LAYER);
}

/* Called by every worker of a region, which must meet at a barrier before the rows are read. */
static void norm_rows(const struct cpu *c, const struct pass *p, const float *w, const float *b)
{
    size_t d = (size_t)p->config->d_model;

#pragma omp for schedule(static) nowait
    for (int r = 0; r < p->batch * p->tokens; r++)
        norm_row(c, p, p->normed + (size_t)r * d, p->x + (size_t)r * d, w, b);
}

static void cpu_embed(struct backend *b, const struct pass *p)
{
    size_t d = (size_t)p->config->d_model;

    (void)b;
    for (int r = 0; r < p->batch * p->tokens; r++) {
        const float *token = p->weights->embed.data + (size_t)p->ids[r] * d;
        const float *position = p->weights->position.data;
        float *x = p->x + (size_t)r * d;
        memcpy(x, token, d * sizeof *x);
        if (!position)
            continue;
        position += (size_t)(p->past + r % p->tokens) * d;
        for (size_t i = 0; i < d; i++)
            x[i] += position[i];
    }
}

/* Rotates q and k of one row and appends its k and v to the cache. */
static void finish_qkv_row(const struct cpu *cpu, const struct pass *p, int layer, int r)
{
    const struct model_config *c = p->config;
    int hd = c->head_dim, half = hd / 2, pos = p->past + r % p->tokens;
    float *row = p->qkv + (size_t)r * (size_t)(c->heads + 2 * c->kv_heads) * (size_t)hd;

    for (int h = 0; p->rope_cos && h < c->heads + c->kv_heads; h++)
        cpu->kernels->rotate(row + h * hd, p->rope_cos + (size_t)pos * (size_t)half, p->rope_sin + (size_t)pos * (size_t)half,
                             half);
    for (int h = 0; h < c->kv_heads; h++) {
        size_t at = kvcache_head(&p->kv, layer, r / p->tokens, h) + (size_t)pos * (size_t)hd;
        memcpy(p->kv.k + at, row + (c->heads + h) * hd, (size_t)hd * sizeof *row);
        memcpy(p->kv.v + at, row + (c->heads + c->kv_heads + h) * hd, (size_t)hd * sizeof *row);
    }
}

/* An op as its pieces, each run by every worker of a region, with a barrier between them. Fused they share one region; to be
 * told apart they get one each. */
struct piece {
    enum op op;
    void (*run)(const struct cpu *c, const struct pass *p, int layer);
};

static void run_pieces(const struct cpu *c, const struct pass *p, int layer, enum op whole, const struct piece *piece, int n)
{
    for (int i = 0; p->parts && i < n; i++) {
        if (piece[i].op != whole)
            hooks_begin(p->parts, piece[i].op, layer);
#pragma omp parallel num_threads(c->threads)
        piece[i].run(c, p, layer);
        if (piece[i].op != whole)
            hooks_end(p->parts, piece[i].op, layer);
    }
    if (p->parts)
        return;
#pragma omp parallel num_threads(c->threads)
    for (int i = 0; i < n; i++) {
        if (i > 0) {
#pragma omp barrier
        }
        piece[i].run(c, p, layer);
    }
}

static void qkv_norm(const struct cpu *c, const struct pass *p, int layer)
{
    norm_rows(c, p, p->weights->layers[layer].norm1_w, p->weights->layers[layer].norm1_b);
}

static void qkv_product(const struct cpu *c, const struct pass *p, int layer)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    struct linear l = {
        .y = p->qkv, .x = p->normed, .x_stride = w->qkv.cols, .w = &w->qkv, .bias = w->qkv_b, .rows = p->batch * p->tokens};

    linear_slice(c, &l, omp_get_thread_num());
}

static void qkv_finish(const struct cpu *c, const struct pass *p, int layer)
{
#pragma omp for schedule(static) nowait
    for (int r = 0; r < p->batch * p->tokens; r++)
        finish_qkv_row(c, p, layer, r);
}

static void cpu_qkv(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece pieces[] = {{OP_NORM, qkv_norm}, {OP_QKV, qkv_product}, {OP_ROTARY, qkv_finish}};

    run_pieces((const struct cpu *)b, p, layer, OP_QKV, pieces, 3);
}

/* Queries [first, first + n) of one head against all positions that any of them may see, through two small products. Only the
 * block's own triangle (and with a window its mirror image at the far end) is wasted. */
static void attend_block(const struct cpu *cpu, const struct pass *p, int layer, int sequence, int head, int first,
                         float *scores)
{
    const struct model_config *c = p->config;
    int hd = c->head_dim, width = (c->heads + 2 * c->kv_heads) * hd;
    int n = p->tokens - first < QUERY_BLOCK ? p->tokens - first : QUERY_BLOCK;
    int earliest = p->past + first + 1 - config_visible(c, layer, p->past + first + 1);
    int seen = p->past + first + n - earliest;
    size_t row = (size_t)sequence * (size_t)p->tokens + (size_t)first;
    size_t at = kvcache_head(&p->kv, layer, sequence, head / (c->heads / c->kv_heads)) + (size_t)earliest * (size_t)hd;
    const float *q = p->qkv + row * (size_t)width + (size_t)head * (size_t)hd;
    float *out = p->mixed + (row * (size_t)c->heads + (size_t)head) * (size_t)hd;

    if (n == 1) {
        cpu->kernels->attend(out, q, p->kv.k + at, p->kv.v + at, scores, seen, hd);
        return;
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, seen, hd, 1, q, width, p->kv.k + at, hd, 0, scores, seen);
    for (int i = 0; i < n; i++) {
        int end = p->past + first + i + 1, visible = config_visible(c, layer, end), from = end - visible - earliest;
        float *line = scores + (size_t)i * (size_t)seen;
        memset(line, 0, (size_t)from * sizeof *line);
        cpu->kernels->softmax(line + from, visible, 1 / sqrtf((float)hd));
        memset(line + from + visible, 0, (size_t)(seen - from - visible) * sizeof *line);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, hd, seen, 1, scores, seen, p->kv.v + at, hd, 0, out,
                c->heads * hd);
}

static void cpu_attention(struct backend *b, const struct pass *p, int layer)
{
    const struct cpu *c = (const struct cpu *)b;
    int blocks = (p->tokens + QUERY_BLOCK - 1) / QUERY_BLOCK, heads = p->config->heads;

    /* Later blocks see more positions: longest first, so that the workers end together. */
#pragma omp parallel for num_threads(c->threads) schedule(dynamic) collapse(3)
    for (int block = blocks - 1; block >= 0; block--)
        for (int s = 0; s < p->batch; s++)
            for (int h = 0; h < heads; h++)
                attend_block(c, p, layer, s, h, block * QUERY_BLOCK, c->scores + (size_t)omp_get_thread_num() * c->scores_each);
}

static void cpu_out(struct backend *b, const struct pass *p, int layer)
{
    const struct cpu *c = (const struct cpu *)b;
    const struct layer_weights *w = &p->weights->layers[layer];
    struct linear l = {.y = p->x,
                       .x = p->mixed,
                       .x_stride = w->out.cols,
                       .w = &w->out,
                       .bias = w->out_b,
                       .rows = p->batch * p->tokens,
                       .add = true};

#pragma omp parallel num_threads(c->threads)
    linear_slice(c, &l, omp_get_thread_num());
}

/* The activation over one row of hidden, in place; SwiGLU leaves d_ff values at the front of each 2 d_ff row. */
static void activate_row(const struct cpu *c, const struct pass *p, float *row)
{
    int ff = p->config->d_ff;

    if (p->config->mlp == MLP_SWIGLU)
        c->kernels->swiglu(row, row, row + ff, ff);
    else
        c->kernels->gelu(row, ff);
}

static void mlp_norm(const struct cpu *c, const struct pass *p, int layer)
{
    norm_rows(c, p, p->weights->layers[layer].norm2_w, p->weights->layers[layer].norm2_b);
}

static void mlp_product(const struct cpu *c, const struct pass *p, int layer)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    int rows = p->batch * p->tokens, width = w->up.rows;
    struct linear up = {.y = p->hidden, .x = p->normed, .x_stride = w->up.cols, .w = &w->up, .bias = w->up_b, .rows = rows};
    struct linear down = {
        .y = p->x, .x = p->hidden, .x_stride = width, .w = &w->down, .bias = w->down_b, .rows = rows, .add = true};

    linear_slice(c, &up, omp_get_thread_num());
#pragma omp barrier
#pragma omp for schedule(static)
    for (int r = 0; r < rows; r++)
        activate_row(c, p, p->hidden + (size_t)r * (size_t)width);
    linear_slice(c, &down, omp_get_thread_num());
}

static void cpu_mlp(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece pieces[] = {{OP_NORM, mlp_norm}, {OP_MLP, mlp_product}};

    run_pieces((const struct cpu *)b, p, layer, OP_MLP, pieces, 2);
}

static void cpu_head(struct backend *b, const struct pass *p)
{
    const struct cpu *c = (const struct cpu *)b;
    const struct weights *w = p->weights;
    size_t d = (size_t)p->config->d_model;
    int rows = p->batch * (p->all_logits ? p->tokens : 1);

    for (int r = 0; r < rows; r++)
        norm_row(c, p, p->normed + (size_t)r * d, p->x + (p->all_logits ? (size_t)r : pass_last_row(p, r)) * d, w->norm_w,
                 w->norm_b);

    struct linear l = {.y = p->logits, .x = p->normed, .x_stride = w->head.cols, .w = &w->head, .rows = rows};
#pragma omp parallel num_threads(c->threads)
    linear_slice(c, &l, omp_get_thread_num());
}

static void cpu_choose(struct backend *b, const struct pass *p)
{
    const struct cpu *c = (const struct cpu *)b;
    size_t vocab = (size_t)p->config->vocab;

    for (int s = 0; s < p->batch; s++)
        p->chosen[s] = c->kernels->argmax(p->logits + (p->all_logits ? pass_last_row(p, s) : (size_t)s) * vocab, (int)vocab);
}

static int cpu_sync(struct backend *b, struct err *e)
{
    (void)b, (void)e;
    return 0;
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .about = "own kernels for few rows, OpenBLAS for many, OpenMP",
    .open = cpu_open,
    .close = cpu_close,
    .describe = cpu_describe,
    .reserve = cpu_reserve,
    .alloc = host_alloc,
    .release = host_release,
    .get = host_get,
    .embed = cpu_embed,
    .qkv = cpu_qkv,
    .attention = cpu_attention,
    .out = cpu_out,
    .mlp = cpu_mlp,
    .head = cpu_head,
    .choose = cpu_choose,
    .sync = cpu_sync,
    .reorder = host_reorder,
};
