/* SPDX-License-Identifier: MIT
 * Who attends to what. Flash: all that a pass has to do is one line of stretches of positions, block of queries after block,
 * head after head, sequence after sequence; every worker takes an equal piece of it, wherever that begins. Where a piece ends
 * within a block, what the workers found there is merged after they have met. So work is even for one head and for many, for
 * one query and for a prompt, and results depend on nothing but the number of workers. Naive: the whole matrix of scores of a
 * block of queries, by the library's products. */
#include "backends/cpu/attention.h"

#include <cblas.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* STRETCH: positions that are never divided among workers. NAIVE_ROWS: queries of a block of scores. */
enum { STRETCH = 32, NAIVE_ROWS = 64 };

/* What a worker has at hand: parts that go on where the last worker stopped, that end where the next one begins, and those
 * that are its own alone. */
enum part { PART_CONTINUED, PART_BEGUN, PART_WHOLE, PART_COUNT };

static size_t part_floats(int head_dim)
{
    return ATTENTION_OUT + (size_t)ATTENTION_ROWS * (size_t)attention_width(head_dim);
}

static const struct cpu_attention *kernels_of(const struct cpu *c, const struct pass *p)
{
    return &c->kernels->attention[p->kv.dtype];
}

static size_t flash_floats(const struct cpu *c, const struct pass *p)
{
    int hd = p->config->head_dim;

    return PART_COUNT * part_floats(hd) + (kernels_of(c, p)->room(hd) + 15) / 16 * 16;
}

static size_t naive_floats(const struct pass *p)
{
    return (size_t)NAIVE_ROWS * (size_t)p->kv.capacity + 16;
}

int attention_reserve(struct cpu *c, const struct pass *largest, struct err *e)
{
    bool naive = largest->attention == ATTENTION_NAIVE;

    if (naive && largest->kv.dtype != DTYPE_F32)
        return err_set(e, ERR_USAGE, "attention naive with a %s cache: it works on float32 only; choose kv_dtype f32, or flash",
                       dtype_name(largest->kv.dtype));
    size_t floats = naive ? naive_floats(largest) : flash_floats(c, largest);
    return cpu_room_reserve(&c->attention, (size_t)c->base.threads * floats * sizeof(float), "attention", e);
}

static void *cached(const struct kvcache *kv, void *base, int layer, int sequence, int head, int position)
{
    size_t element = kvcache_head(kv, layer, sequence, head) + (size_t)position * (size_t)kv->head_dim;

    return (char *)base + dtype_bytes(kv->dtype, element);
}

/* What a later row of the pass will be read from: its lines are far apart from this one's, and no prefetcher follows. */
static void fetch_floats(const float *x, int n)
{
    enum { LINE_FLOATS = 16 };

    for (int i = 0; i < n; i += LINE_FLOATS)
        __builtin_prefetch(x + i, 0, 3);
}

/* Head by head, because a head's rows are next to each other in the cache. */
void attention_append(const struct cpu *c, const struct pass *p, int layer, int first, int last)
{
    enum { AHEAD = 4 };
    const struct model_config *m = p->config;
    int hd = m->head_dim;
    size_t width = (size_t)(m->heads + 2 * m->kv_heads) * (size_t)hd;

    for (int h = 0; h < m->kv_heads; h++)
        for (int r = first; r < last; r++) {
            const float *k = p->qkv + (size_t)r * width + (size_t)(m->heads + h) * (size_t)hd;
            const float *v = k + (size_t)m->kv_heads * (size_t)hd;
            int position = p->past + r % p->tokens, sequence = r / p->tokens;
            if (r + AHEAD < last) {
                fetch_floats(k + AHEAD * width, hd);
                fetch_floats(v + AHEAD * width, hd);
            }
            kernels_of(c, p)->encode(cached(&p->kv, p->kv.k, layer, sequence, h, position), k, hd);
            kernels_of(c, p)->encode(cached(&p->kv, p->kv.v, layer, sequence, h, position), v, hd);
        }
}

/* --- flash -------------------------------------------------------------------------------------------------------------------
 */

/* A block of queries of every head alike: its rows, and the positions that any of them sees. */
struct block {
    int first, rows, from, to;
};

static int blocks_of(const struct pass *p)
{
    return tiles_of(p->tokens * (p->config->heads / p->config->kv_heads), ATTENTION_ROWS);
}

static struct block block_at(const struct pass *p, int layer, int index)
{
    int group = p->config->heads / p->config->kv_heads, rows = p->tokens * group, blocks = blocks_of(p);
    int first = tile_first(rows, blocks, index), last = tile_first(rows, blocks, index + 1) - 1;
    int earliest = p->past + first / group + 1;

    return (struct block){first, last - first + 1, earliest - config_visible(p->config, layer, earliest),
                          p->past + last / group + 1};
}

static long long stretches_of(const struct block *b)
{
    return (b->to - b->from + STRETCH - 1) / STRETCH;
}

/* The line: of one head, and where the workers' pieces begin. */
struct line {
    long long head, all;
};

static struct line line_of(const struct pass *p, int layer)
{
    struct line l = {0};

    for (int i = 0; i < blocks_of(p); i++) {
        struct block b = block_at(p, layer, i);
        l.head += stretches_of(&b);
    }
    l.all = l.head * p->batch * p->config->kv_heads;
    return l;
}

static long long piece_first(const struct line *l, int worker, int workers)
{
    return l->all * worker / workers;
}

static struct attention_task task_of(const struct pass *p, int layer, long long head, const struct block *b)
{
    const struct model_config *m = p->config;
    int hd = m->head_dim, group = m->heads / m->kv_heads;
    int sequence = (int)(head / m->kv_heads), kv_head = (int)(head % m->kv_heads);
    size_t width = (size_t)(m->heads + 2 * m->kv_heads) * (size_t)hd;

    return (struct attention_task){
        .q = p->qkv + (size_t)sequence * (size_t)p->tokens * width + (size_t)kv_head * (size_t)group * (size_t)hd,
        .q_stride = width,
        .k = cached(&p->kv, p->kv.k, layer, sequence, kv_head, 0),
        .v = cached(&p->kv, p->kv.v, layer, sequence, kv_head, 0),
        .head_dim = hd,
        .group = group,
        .first = b->first,
        .rows = b->rows,
        .tokens = p->tokens,
        .past = p->past,
        .window = config_visible(m, layer, INT_MAX),
        .from = b->from,
        .to = b->to,
        .scale = 1 / sqrtf((float)hd),
    };
}

/* The rows of a task go where they belong in p->mixed. */
static void finish(const struct cpu *c, const struct pass *p, long long head, const struct attention_task *t, const float *part)
{
    const struct model_config *m = p->config;
    size_t token = (size_t)(head / m->kv_heads) * (size_t)p->tokens, first = (size_t)(head % m->kv_heads) * (size_t)t->group;

    for (int i = 0; i < t->rows; i++) {
        int r = t->first + i;
        size_t row = (token + (size_t)(r / t->group)) * (size_t)m->heads + first + (size_t)(r % t->group);
        kernels_of(c, p)->finish(p->mixed + row * (size_t)m->head_dim, part, i, m->head_dim);
    }
}

static float *part_of(const struct cpu *c, const struct pass *p, int worker, enum part part)
{
    return (float *)c->attention.data + (size_t)worker * flash_floats(c, p) + (size_t)part * part_floats(p->config->head_dim);
}

/* A block that this worker begins and others finish. */
struct begun {
    struct attention_task task;
    long long head, to; /* where it ends in the line; 0: there is none */
};

/* A piece of the line that lies within one block, `start` being where the block begins. */
static void attend(const struct cpu *c, const struct pass *p, struct begun *b, long long start, long long from, long long to,
                   int worker)
{
    struct attention_task t = b->task;
    bool begins = from == start, ends = to == b->to;
    enum part which = !begins ? PART_CONTINUED : ends ? PART_WHOLE : PART_BEGUN;
    float *part = part_of(c, p, worker, which);

    t.from = b->task.from + (int)(from - start) * STRETCH;
    t.to = ends ? b->task.to : b->task.from + (int)(to - start) * STRETCH;
    kernels_of(c, p)->attend(&t, part, part_of(c, p, worker, PART_COUNT));
    if (which == PART_WHOLE)
        finish(c, p, b->head, &t, part);
    if (which != PART_BEGUN)
        b->to = 0;
}

/* This worker's piece of the line; leaves in *b the block that it could not end, where it began it. */
static void attend_piece(const struct cpu *c, const struct pass *p, int layer, const struct line *l, int worker,
                         struct begun *b)
{
    long long from = piece_first(l, worker, p->threads), to = piece_first(l, worker + 1, p->threads);

    b->to = 0;
    for (long long head = from / l->head, start = head * l->head; start < to; head++)
        for (int i = 0; i < blocks_of(p) && start < to; i++) {
            struct block block = block_at(p, layer, i);
            long long end = start + stretches_of(&block);
            if (end > from) {
                *b = (struct begun){task_of(p, layer, head, &block), head, end};
                attend(c, p, b, start, start > from ? start : from, end < to ? end : to, worker);
            }
            start = end;
        }
}

static void flash(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    struct line l = line_of(p, layer);
    struct begun b;

    attend_piece(c, p, layer, &l, worker, &b);
    cpu_meet(c, p);
    if (b.to > 0) {
        float *part = part_of(c, p, worker, PART_BEGUN);
        for (int w = worker + 1; w < p->threads && piece_first(&l, w, p->threads) < b.to; w++)
            if (piece_first(&l, w, p->threads) < piece_first(&l, w + 1, p->threads))
                kernels_of(c, p)->merge(part, part_of(c, p, w, PART_CONTINUED), b.task.rows, p->config->head_dim);
        finish(c, p, b.head, &b.task, part);
    }
    cpu_meet(c, p);
}

/* --- naive -------------------------------------------------------------------------------------------------------------------
 */

/* Queries [first, first + n) of one head against all positions that any of them may see. Only the block's own triangle (and
 * with a window its mirror image at the far end) is wasted. */
static void attend_scores(const struct cpu *c, const struct pass *p, int layer, int sequence, int head, int first,
                          float *scores)
{
    const struct model_config *m = p->config;
    int hd = m->head_dim, width = (m->heads + 2 * m->kv_heads) * hd;
    int n = p->tokens - first < NAIVE_ROWS ? p->tokens - first : NAIVE_ROWS;
    int earliest = p->past + first + 1 - config_visible(m, layer, p->past + first + 1);
    int seen = p->past + first + n - earliest;
    size_t row = (size_t)sequence * (size_t)p->tokens + (size_t)first;
    const float *q = p->qkv + row * (size_t)width + (size_t)head * (size_t)hd;
    const float *k = cached(&p->kv, p->kv.k, layer, sequence, head / (m->heads / m->kv_heads), earliest);
    const float *v = cached(&p->kv, p->kv.v, layer, sequence, head / (m->heads / m->kv_heads), earliest);
    float *out = p->mixed + (row * (size_t)m->heads + (size_t)head) * (size_t)hd;

    if (n == 1) /* sgemm reaches a fifth of the memory's bandwidth with one row */
        cblas_sgemv(CblasRowMajor, CblasNoTrans, seen, hd, 1, k, hd, q, 1, 0, scores, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, seen, hd, 1, q, width, k, hd, 0, scores, seen);
    for (int i = 0; i < n; i++) {
        int end = p->past + first + i + 1, visible = config_visible(m, layer, end), from = end - visible - earliest;
        float *line = scores + (size_t)i * (size_t)seen;
        memset(line, 0, (size_t)from * sizeof *line);
        c->kernels->elementwise->softmax(line + from, visible, 1 / sqrtf((float)hd));
        memset(line + from + visible, 0, (size_t)(seen - from - visible) * sizeof *line);
    }
    if (n == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, seen, hd, 1, v, hd, scores, 1, 0, out, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, hd, seen, 1, scores, seen, v, hd, 0, out, m->heads * hd);
}

/* Later blocks see more positions: longest first, dealt out in turn, so that the workers end together. */
static void naive(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    float *scores = (float *)c->attention.data + (size_t)worker * naive_floats(p);
    int blocks = tiles_of(p->tokens, NAIVE_ROWS), heads = p->config->heads, each = p->batch * heads;

    for (int i = worker; i < blocks * each; i += p->threads)
        attend_scores(c, p, layer, i % each / heads, i % heads, (blocks - 1 - i / each) * NAIVE_ROWS, scores);
    cpu_meet(c, p);
}

void attention_run(const struct cpu *c, const struct pass *p, int layer, int worker)
{
    if (p->attention == ATTENTION_NAIVE)
        naive(c, p, layer, worker);
    else
        flash(c, p, layer, worker);
}
