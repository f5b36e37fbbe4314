/* SPDX-License-Identifier: MIT
 * The fast host backend. A pass is one parallel region: every worker walks through all ops, takes its share of each, and meets
 * the others where they need each other's results, which costs some tens of nanoseconds; a region for each op would cost a
 * thousand. Where ops are to be told apart they run in pieces, each a region of its own, between the hooks. */
#include "backends/cpu/cpu.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/attention.h"
#include "backends/cpu/linear.h"
#include "pages.h"

enum { CACHE_LINE_FLOATS = 16 };

static int cpu_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    enum isa isa;
    int code = isa_choose(&isa, e);

    if (code < 0)
        return code;
    struct cpu *c = aligned_alloc(_Alignof(struct cpu), sizeof *c);
    if (!c)
        return err_set(e, ERR_MEMORY, "cpu backend: out of memory");
    *c = (struct cpu){.base.ops = &backend_cpu, .isa = isa, .kernels = cpu_kernels_of(isa), .gemm = a->gemm};
    openblas_set_num_threads(1);
    *out = &c->base;
    return 0;
}

static void cpu_close(struct backend *b)
{
    struct cpu *c = (struct cpu *)b;

    if (c) {
        pages_free(c->prepared.data, c->prepared.bytes);
        pages_free(c->attention.data, c->attention.bytes);
        pages_free(c->choices.data, c->choices.bytes);
    }
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
    if (c->gemm == GEMM_OPENBLAS)
        snprintf(buf, size, "%s (%s kernels) on each worker's rows; all else own kernels (%s)", version,
                 openblas_get_corename(), isa_name(c->isa));
    else
        snprintf(buf, size, "own kernels (%s), weights packed in panels", isa_name(c->isa));
}

static const char *cpu_arithmetic(const struct backend *b, enum dtype d)
{
    const struct cpu *c = (const struct cpu *)b;

    return c->gemm == GEMM_OPENBLAS ? "f32" : c->kernels->format[d]->arithmetic;
}

static const char *cpu_attention_arithmetic(const struct backend *b, enum dtype kv)
{
    return ((const struct cpu *)b)->kernels->attention[kv].arithmetic;
}

static int cpu_prepare(struct backend *b, struct weights *w, const struct model_config *config, struct err *e)
{
    return linear_prepare((struct cpu *)b, w, config, e);
}

int cpu_room_reserve(struct cpu_room *room, size_t bytes, const char *what, struct err *e)
{
    if (bytes <= room->bytes)
        return 0;
    void *data = pages_alloc(bytes, e);
    if (!data)
        return err_wrap(e, "%s", what);
    memset(data, 0, bytes); /* touched here, so that no step meets a page for the first time */
    pages_free(room->data, room->bytes);
    *room = (struct cpu_room){data, bytes};
    return 0;
}

/* What one worker found in its share of one sequence's logits. */
struct choice {
    int token;
    float logit;
};

static int cpu_reserve(struct backend *b, const struct pass *largest, struct err *e)
{
    struct cpu *c = (struct cpu *)b;
    int code = linear_reserve(c, largest, e);

    if (code == 0)
        code = attention_reserve(c, largest, e);
    if (code == 0)
        code = cpu_room_reserve(&c->choices, (size_t)largest->batch * (size_t)c->base.threads * sizeof(struct choice),
                                "choices", e);
    return code;
}

/* --- ops as pieces that every worker runs ------------------------------------------------------------------------------------
 */

static void cpu_together(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx)
{
    struct cpu *c = (struct cpu *)b;

    c->together = true;
    team_run(p->threads, pass, ctx);
    c->together = false;
}

struct piece {
    enum op op;
    void (*run)(const struct cpu *c, const struct pass *p, int layer, int worker); /* ends complete for all */
};

struct piece_call {
    const struct cpu *c;
    const struct pass *p;
    const struct piece *piece;
    int layer;
};

static void call_piece(void *ctx, int worker)
{
    const struct piece_call *call = ctx;

    call->piece->run(call->c, call->p, call->layer, worker);
}

static void run_pieces(struct backend *b, const struct pass *p, int layer, enum op whole, const struct piece *piece, int n)
{
    struct piece_call call = {(const struct cpu *)b, p, piece, layer};

    for (int i = 0; i < n; i++, call.piece++) {
        if (call.c->together) {
            call_piece(&call, omp_get_thread_num());
            continue;
        }
        if (call.piece->op != whole)
            hooks_begin(p->parts, call.piece->op, layer);
        team_run(p->threads, call_piece, &call);
        if (call.piece->op != whole)
            hooks_end(p->parts, call.piece->op, layer);
    }
}

static int pass_rows(const struct pass *p)
{
    return p->batch * p->tokens;
}

static void product(const struct cpu *c, const struct pass *p, const struct linear *l, int worker)
{
    linear_activations(c, p, l, worker);
    cpu_meet(c, p);
    linear_product(c, p, l, worker);
    cpu_meet(c, p);
}

static void norm_row(const struct cpu *c, const struct pass *p, int to, size_t from, const float *w, const float *b)
{
    size_t d = (size_t)p->config->d_model;

    c->kernels->elementwise->norm(p->normed + (size_t)to * d, p->x + from * d, w, b, (int)d, (float)p->config->norm_eps,
                                  p->config->norm == NORM_LAYER);
}

static void norm_rows(const struct cpu *c, const struct pass *p, const float *w, const float *b, int worker)
{
    int from, to;

    team_share(pass_rows(p), 1, worker, p->threads, &from, &to);
    for (int r = from; r < to; r++)
        norm_row(c, p, r, (size_t)r, w, b);
    cpu_meet(c, p);
}

/* --- embed -------------------------------------------------------------------------------------------------------------------
 */

static void embed_rows(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    size_t d = (size_t)p->config->d_model;
    int from, to;

    (void)layer;
    team_share(pass_rows(p), 1, worker, p->threads, &from, &to);
    for (int r = from; r < to; r++) {
        float *x = p->x + (size_t)r * d;
        linear_row(c, x, &p->weights->embed, p->ids[r]);
        if (!p->weights->position.data)
            continue;
        const float *position = matrix_row(&p->weights->position, p->past + r % p->tokens);
        for (size_t i = 0; i < d; i++)
            x[i] += position[i];
    }
    cpu_meet(c, p);
}

static void cpu_embed(struct backend *b, const struct pass *p)
{
    static const struct piece piece = {OP_EMBED, embed_rows};

    run_pieces(b, p, -1, OP_EMBED, &piece, 1);
}

/* --- qkv ---------------------------------------------------------------------------------------------------------------------
 */

static void qkv_norm(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    norm_rows(c, p, p->weights->layers[layer].norm1_w, p->weights->layers[layer].norm1_b, worker);
}

static void qkv_product(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    struct linear l = {
        .y = p->qkv, .x = p->normed, .x_stride = w->qkv.cols, .w = &w->qkv, .bias = w->qkv_b, .rows = pass_rows(p)};

    product(c, p, &l, worker);
}

static void rotate_row(const struct cpu *c, const struct pass *p, int r)
{
    const struct model_config *config = p->config;
    int hd = config->head_dim, half = hd / 2;
    size_t angles = (size_t)(p->past + r % p->tokens) * (size_t)half;
    float *row = p->qkv + (size_t)r * (size_t)(config->heads + 2 * config->kv_heads) * (size_t)hd;

    for (int h = 0; h < config->heads + config->kv_heads; h++)
        c->kernels->elementwise->rotate(row + h * hd, p->rope_cos + angles, p->rope_sin + angles, half);
}

/* Queries and keys are rotated, keys and values go into the cache: a few rows at a time, so that the second finds what the
 * first had in its hands. */
static void qkv_finish(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    enum { FEW = 32 };
    int from, to;

    team_share(pass_rows(p), 1, worker, p->threads, &from, &to);
    for (int first = from; first < to; first += FEW) {
        int last = to - first < FEW ? to : first + FEW;
        for (int r = first; p->rope_cos && r < last; r++)
            rotate_row(c, p, r);
        attention_append(c, p, layer, first, last);
    }
    cpu_meet(c, p);
}

static void cpu_qkv(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece pieces[] = {{OP_NORM, qkv_norm}, {OP_QKV, qkv_product}, {OP_ROTARY, qkv_finish}};

    run_pieces(b, p, layer, OP_QKV, pieces, 3);
}

/* --- attention and out -------------------------------------------------------------------------------------------------------
 */

static void cpu_attention(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece piece = {OP_ATTENTION, attention_run};

    run_pieces(b, p, layer, OP_ATTENTION, &piece, 1);
}

static void out_product(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    struct linear l = {
        .y = p->x, .x = p->mixed, .x_stride = w->out.cols, .w = &w->out, .bias = w->out_b, .rows = pass_rows(p), .add = true};

    product(c, p, &l, worker);
}

static void cpu_out(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece piece = {OP_OUT, out_product};

    run_pieces(b, p, layer, OP_OUT, &piece, 1);
}

/* --- mlp ---------------------------------------------------------------------------------------------------------------------
 */

static void mlp_norm(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    norm_rows(c, p, p->weights->layers[layer].norm2_w, p->weights->layers[layer].norm2_b, worker);
}

/* The activation, in place: SwiGLU leaves d_ff values at the front of each 2 d_ff row. */
static void activate(const struct cpu *c, const struct pass *p, int first, int last, int from, int to)
{
    bool gated = p->config->mlp == MLP_SWIGLU;
    int ff = p->config->d_ff;

    for (int r = first; r < last; r++) {
        float *row = p->hidden + (size_t)r * (size_t)ff * (gated ? 2 : 1) + from;
        if (gated)
            c->kernels->elementwise->swiglu(row, row, row + ff, to - from);
        else
            c->kernels->elementwise->gelu(row, to - from);
    }
}

static void mlp_products(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    const struct layer_weights *w = &p->weights->layers[layer];
    int rows = pass_rows(p);
    struct linear up = {.y = p->hidden, .x = p->normed, .x_stride = w->up.cols, .w = &w->up, .bias = w->up_b, .rows = rows};
    struct linear down = {.y = p->x,
                          .x = p->hidden,
                          .x_stride = w->up.rows,
                          .w = &w->down,
                          .bias = w->down_b,
                          .rows = rows,
                          .add = true,
                          .make = activate};

    product(c, p, &up, worker);
    product(c, p, &down, worker);
}

static void cpu_mlp(struct backend *b, const struct pass *p, int layer)
{
    static const struct piece pieces[] = {{OP_NORM, mlp_norm}, {OP_MLP, mlp_products}};

    run_pieces(b, p, layer, OP_MLP, pieces, 2);
}

/* --- head and choice ---------------------------------------------------------------------------------------------------------
 */

static void head_product(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    const struct weights *w = p->weights;
    int rows = p->batch * (p->all_logits ? p->tokens : 1), from, to;
    struct linear l = {.y = p->logits, .x = p->normed, .x_stride = w->head.cols, .w = &w->head, .rows = rows};

    (void)layer;
    team_share(rows, 1, worker, p->threads, &from, &to);
    for (int r = from; r < to; r++)
        norm_row(c, p, r, p->all_logits ? (size_t)r : pass_last_row(p, r), w->norm_w, w->norm_b);
    cpu_meet(c, p);
    product(c, p, &l, worker);
}

static void cpu_head(struct backend *b, const struct pass *p)
{
    static const struct piece piece = {OP_HEAD, head_product};

    run_pieces(b, p, -1, OP_HEAD, &piece, 1);
}

static const float *last_logits(const struct pass *p, int sequence)
{
    return p->logits + (p->all_logits ? pass_last_row(p, sequence) : (size_t)sequence) * (size_t)p->config->vocab;
}

/* A number beats none; of equals the first stays. */
static bool beats(const struct choice *a, const struct choice *b)
{
    return a->logit > b->logit || (isnan(b->logit) && !isnan(a->logit));
}

static void choose_tokens(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    struct choice *choices = c->choices.data; /* [batch][workers] */
    int from, to;

    (void)layer;
    team_share(p->config->vocab, CACHE_LINE_FLOATS, worker, p->threads, &from, &to);
    for (int s = 0; s < p->batch; s++) {
        const float *logits = last_logits(p, s);
        int token = from < to ? from + c->kernels->elementwise->argmax(logits + from, to - from) : 0;
        choices[s * p->threads + worker] = (struct choice){token, logits[token]};
    }
    cpu_meet(c, p);
    for (int s = 0; worker == 0 && s < p->batch; s++) {
        struct choice best = choices[s * p->threads];
        for (int i = 1; i < p->threads; i++)
            if (beats(&choices[s * p->threads + i], &best))
                best = choices[s * p->threads + i];
        p->chosen[s] = best.token;
    }
}

static void cpu_choose(struct backend *b, const struct pass *p)
{
    static const struct piece piece = {OP_SAMPLE, choose_tokens};

    run_pieces(b, p, -1, OP_SAMPLE, &piece, 1);
}

static int cpu_sync(struct backend *b, struct err *e)
{
    (void)b, (void)e;
    return 0;
}

const struct backend_ops backend_cpu = {
    .name = "cpu",
    .about = "own kernels on packed weights, or OpenBLAS",
    .open = cpu_open,
    .close = cpu_close,
    .prepare = cpu_prepare,
    .arithmetic = cpu_arithmetic,
    .attention_arithmetic = cpu_attention_arithmetic,
    .describe = cpu_describe,
    .together = cpu_together,
    .reserve = cpu_reserve,
    .alloc = host_alloc,
    .release = host_release,
    .get = host_get,
    .put = host_put,
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
