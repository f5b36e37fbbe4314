/* SPDX-License-Identifier: MIT
 * A product's weights are shared out by outputs, so that each weight is read once, by one core, as one contiguous stream; its
 * activations are prepared once for all workers. With OpenBLAS instead of our kernels the weights stay row-major, and each
 * worker calls it for its own outputs: OpenBLAS's own threads would fight ours. Its sgemm with one row reaches a fifth of the
 * memory's bandwidth, so one row goes through sgemv. */
#include "backends/cpu/linear.h"

#include <cblas.h>
#include <stdlib.h>

/* CHUNK: columns of a tile of activations that the first cache holds; a multiple of every depth_unit. */
enum { CACHE_LINE_FLOATS = 16, CHUNK = 512 };

/* --- loading -----------------------------------------------------------------------------------------------------------------
 */

static int panels_of(const struct cpu_format *f, const struct matrix *w)
{
    return (w->rows + f->panel - 1) / f->panel;
}

struct packing {
    const struct cpu *c;
    const struct matrix *w;
    char *room; /* [threads][each] */
    size_t each;
};

/* In the shares in which the rows were first touched. */
static void pack_share(void *ctx, int worker)
{
    const struct packing *p = ctx;
    const struct cpu_format *f = p->c->kernels->format[p->w->dtype];
    int from, to;

    team_share(p->w->rows, MATRIX_ROWS, worker, p->c->base.threads, &from, &to);
    for (int row = from; row < to; row += f->panel)
        f->pack(matrix_row(p->w, row), p->room + (size_t)worker * p->each, p->w->row_bytes, p->w->cols);
}

static void pack(struct packing *p, const struct matrix *w)
{
    p->w = w;
    team_run(p->c->base.threads, pack_share, p);
}

int linear_prepare(struct cpu *c, struct weights *w, const struct model_config *config, struct err *e)
{
    const struct layer_weights *l = w->layers;
    struct packing p = {.c = c};

    if (c->gemm == GEMM_OPENBLAS)
        return 0;
    p.each = w->embed.row_bytes; /* the longest row of all, in cache lines */
    p.each = l->out.row_bytes > p.each ? l->out.row_bytes : p.each;
    p.each = l->down.row_bytes > p.each ? l->down.row_bytes : p.each;
    p.each = (p.each * MATRIX_ROWS + 63) / 64 * 64;
    p.room = aligned_alloc(64, (size_t)c->base.threads * p.each);
    if (!p.room)
        return err_set(e, ERR_MEMORY, "packing weights: out of memory");
    pack(&p, &w->embed);
    if (!config->tied_head)
        pack(&p, &w->head);
    for (int i = 0; i < config->layers; i++) {
        pack(&p, &l[i].qkv);
        pack(&p, &l[i].out);
        pack(&p, &l[i].up);
        pack(&p, &l[i].down);
    }
    free(p.room);
    return 0;
}

/* --- sessions ----------------------------------------------------------------------------------------------------------------
 */

/* Room for the activations of a product with w, if that is more than `most`. */
static size_t more_room(const struct cpu *c, const struct matrix *w, int rows, size_t most)
{
    size_t bytes = c->kernels->format[w->dtype]->prepared_bytes(rows, w->cols);

    return bytes > most ? bytes : most;
}

int linear_reserve(struct cpu *c, const struct pass *largest, struct err *e)
{
    const struct layer_weights *l = largest->weights->layers;
    int rows = largest->batch * largest->kv.capacity;
    size_t most = more_room(c, &l->qkv, rows, 0); /* as deep as up and head */

    if (c->gemm == GEMM_OPENBLAS)
        return 0;
    most = more_room(c, &l->out, rows, most);
    most = more_room(c, &l->down, rows, most);
    return cpu_room_reserve(&c->prepared, most, "activations", e);
}

/* --- measured path -----------------------------------------------------------------------------------------------------------
 */

void linear_row(const struct cpu *c, float *out, const struct matrix *w, int row)
{
    const struct cpu_format *f = c->kernels->format[w->dtype];

    if (c->gemm == GEMM_OPENBLAS)
        dtype_decode(w->dtype, out, matrix_row(w, row), (size_t)w->cols);
    else
        f->unpack_row(out, matrix_row(w, row / f->panel * f->panel), w->row_bytes, w->cols, row % f->panel);
}

void linear_activations(const struct cpu *c, const struct pass *p, const struct linear *l, int worker)
{
    const struct cpu_format *f = c->kernels->format[l->w->dtype];
    int tiles = tiles_of(l->rows, f->tile_rows), cols = l->w->cols, first = 0, last = tiles, from = 0, to = cols;

    if (tiles >= p->threads)
        team_share(tiles, 1, worker, p->threads, &first, &last);
    else
        team_share(cols, f->depth_unit, worker, p->threads, &from, &to);
    for (int t = first; t < last; t++)
        for (int d = from; d < to; d += CHUNK) {
            int end = to - d < CHUNK ? to : d + CHUNK;
            if (l->make)
                l->make(c, p, tile_first(l->rows, tiles, t), tile_first(l->rows, tiles, t + 1), d, end);
            if (c->gemm == GEMM_OWN)
                f->prepare(c->prepared.data, l->x, l->x_stride, l->rows, cols, t, d, end);
        }
}

static void product_openblas(const struct pass *p, const struct linear *l, int worker)
{
    int from, to, cols = l->w->cols, outputs = l->w->rows;
    const float *w = l->w->data;
    float beta = l->add ? 1 : 0;

    team_share(outputs, CACHE_LINE_FLOATS, worker, p->threads, &from, &to);
    if (from >= to)
        return;
    w += (size_t)from * (size_t)cols;
    if (l->rows == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, to - from, cols, 1, w, cols, l->x, 1, beta, l->y + from, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, l->rows, to - from, cols, 1, l->x, l->x_stride, w, cols, beta,
                    l->y + from, outputs);
    for (int r = 0; l->bias && r < l->rows; r++)
        for (int o = from; o < to; o++)
            l->y[(size_t)r * (size_t)outputs + (size_t)o] += l->bias[o];
}

void linear_product(const struct cpu *c, const struct pass *p, const struct linear *l, int worker)
{
    const struct cpu_format *f = c->kernels->format[l->w->dtype];
    struct cpu_product m = {
        .rows = l->rows,
        .cols = l->w->cols,
        .y_stride = l->w->rows,
        .outputs = l->w->rows,
        .row_bytes = l->w->row_bytes,
        .bias = l->bias,
        .add = l->add,
    };

    if (c->gemm == GEMM_OPENBLAS) {
        product_openblas(p, l, worker);
        return;
    }
    team_share(panels_of(f, l->w), 1, worker, p->threads, &m.from, &m.to);
    if (m.from < m.to)
        f->product(l->y, c->prepared.data, l->w->data, &m);
}
