/* SPDX-License-Identifier: MIT
 * Where each tensor of a model lives. The layout is walked with the same code to add up sizes and to hand out addresses in the
 * one mapping. Visiting names the same tensors as a Hugging Face file does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"
#include "pages.h"
#include "team.h"

enum { ALIGNMENT = 64, ROW_UNIT = 4, STRETCH = 256 /* elements: whole blocks of every dtype */ };

/* config_check bounds a whole model by about 2^51 bytes, so that sums and products of sizes below cannot wrap round. */
_Static_assert(sizeof(size_t) == 8, "sizes of models need 64 bits");

/* --- rows ----------------------------------------------------------------------------------------------------------------- */

static size_t whole(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

size_t matrix_row_bytes(enum dtype d, int cols)
{
    return whole(dtype_bytes(d, (size_t)cols), ROW_UNIT);
}

void matrix_put_row(const struct matrix *m, int row, enum dtype stored, const void *elements)
{
    size_t cols = (size_t)m->cols;
    char *to = matrix_row(m, row);
    const char *from = elements;
    float values[STRETCH];

    if (stored == m->dtype) {
        memcpy(to, from, dtype_bytes(stored, cols));
        return;
    }
    for (size_t at = 0; at < cols; at += STRETCH) {
        size_t n = cols - at < STRETCH ? cols - at : STRETCH;
        dtype_decode(stored, values, from + dtype_bytes(stored, at), n);
        dtype_encode(m->dtype, to + dtype_bytes(m->dtype, at), values, n);
    }
}

/* --- the layout ----------------------------------------------------------------------------------------------------------- */

/* Addresses are counted, not followed: a layout is planned from a base that is no memory at all. */
struct arena {
    uintptr_t base;
    size_t used;
    uint64_t parameters; /* bytes of these alone: neither padding nor surplus rows */
    enum dtype dtype;    /* of matrices */
};

static void *take(struct arena *a, size_t bytes)
{
    uintptr_t at = a->base + a->used;

    a->used += whole(bytes, ALIGNMENT);
    return (void *)at; /* NOLINT(performance-no-int-to-ptr) */
}

static float *take_floats(struct arena *a, int n)
{
    size_t bytes = (size_t)n * sizeof(float);

    a->parameters += bytes;
    return take(a, bytes);
}

static float *take_if(struct arena *a, bool wanted, int n)
{
    return wanted ? take_floats(a, n) : NULL;
}

static size_t matrix_bytes(const struct matrix *m)
{
    return whole((size_t)m->rows, MATRIX_ROWS) * m->row_bytes;
}

static struct matrix take_matrix(struct arena *a, enum dtype dtype, int rows, int cols)
{
    struct matrix m = {.dtype = dtype, .rows = rows, .cols = cols, .row_bytes = matrix_row_bytes(dtype, cols)};

    a->parameters += (uint64_t)rows * dtype_bytes(dtype, (size_t)cols);
    m.data = take(a, matrix_bytes(&m));
    return m;
}

static void place_layer(struct layer_weights *l, const struct model_config *c, struct arena *a)
{
    int q_rows = c->heads * c->head_dim, qkv_rows = q_rows + 2 * c->kv_heads * c->head_dim;
    int up_rows = c->mlp == MLP_SWIGLU ? 2 * c->d_ff : c->d_ff;
    bool norm_bias = c->norm == NORM_LAYER;

    l->norm1_w = take_floats(a, c->d_model);
    l->norm1_b = take_if(a, norm_bias, c->d_model);
    l->qkv = take_matrix(a, a->dtype, qkv_rows, c->d_model);
    l->qkv_b = take_if(a, c->qkv_bias, qkv_rows);
    l->out = take_matrix(a, a->dtype, c->d_model, q_rows);
    l->out_b = take_if(a, c->out_bias, c->d_model);
    l->norm2_w = take_floats(a, c->d_model);
    l->norm2_b = take_if(a, norm_bias, c->d_model);
    l->up = take_matrix(a, a->dtype, up_rows, c->d_model);
    l->up_b = take_if(a, c->mlp_bias, up_rows);
    l->down = take_matrix(a, a->dtype, c->d_model, c->d_ff);
    l->down_b = take_if(a, c->mlp_bias, c->d_model);
}

/* What is there once. */
static void place_ends(struct weights *w, const struct model_config *c, struct arena *a)
{
    w->embed = take_matrix(a, a->dtype, c->vocab, c->d_model);
    if (c->position == POSITION_LEARNED)
        w->position = take_matrix(a, DTYPE_F32, c->context, c->d_model);
    w->norm_w = take_floats(a, c->d_model);
    w->norm_b = take_if(a, c->norm == NORM_LAYER, c->d_model);
    w->head = c->tied_head ? w->embed : take_matrix(a, a->dtype, c->vocab, c->d_model);
}

static void place_all(struct weights *w, const struct model_config *c, struct arena *a)
{
    place_ends(w, c, a);
    for (int i = 0; i < c->layers; i++)
        place_layer(&w->layers[i], c, a);
    w->bytes = a->used;
}

uint64_t weights_bytes(const struct model_config *c, enum dtype dtype)
{
    struct arena counted = {.dtype = dtype};
    struct layer_weights layer;
    struct weights ends;

    place_ends(&ends, c, &counted);
    for (int i = 0; i < c->layers; i++)
        place_layer(&layer, c, &counted);
    return counted.parameters;
}

/* Every matrix has one of three widths. */
static int check_blocks(const struct model_config *c, enum dtype dtype, struct err *e)
{
    const struct {
        const char *matrices;
        int cols;
    } widths[] = {
        {"embedding, qkv and up", c->d_model},
        {"attention output", c->heads * c->head_dim},
        {"down", c->d_ff},
    };

    if (dtype >= DTYPE_COUNT || !dtype_is_writable(dtype))
        return err_set(e, ERR_USAGE, "dtype %s: weights can be held as f32, f16, bf16, q8_0 or q4_0",
                       dtype < DTYPE_COUNT ? dtype_full_name(dtype) : "unknown");
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i].cols % dtype_block(dtype))
            return err_set(e, ERR_USAGE, "dtype %s: the rows of %s have %d elements, no whole blocks of %d; use f16 or bf16",
                           dtype_full_name(dtype), widths[i].matrices, widths[i].cols, dtype_block(dtype));
    return 0;
}

int weights_plan(struct weights *w, const struct model_config *c, enum dtype dtype, struct err *e)
{
    struct arena nowhere = {.base = ALIGNMENT, .dtype = dtype};
    int code = config_check(c, e);

    *w = (struct weights){0};
    if (code == 0)
        code = check_blocks(c, dtype, e);
    if (code < 0)
        return code;
    w->layers = calloc((size_t)c->layers, sizeof *w->layers);
    if (!w->layers)
        return err_set(e, ERR_MEMORY, "out of memory for %d layers", c->layers);
    place_all(w, c, &nowhere);
    return 0;
}

/* --- who touches it first ------------------------------------------------------------------------------------------------- */

/* Memory lies near the worker that touches it first, and page faults cost less when each worker takes its own. */
struct touching {
    const struct weights *w;
    int layers, workers;
    size_t page;
};

static void touch(const struct touching *t, const struct matrix *m, int worker)
{
    volatile char *pages = t->w->pages;
    int from, to;

    team_share(m->rows, MATRIX_ROWS, worker, t->workers, &from, &to);
    if (from == to)
        return;
    size_t start = (size_t)((const char *)m->data - (const char *)pages);
    size_t end = start + (to == m->rows ? matrix_bytes(m) : (size_t)to * m->row_bytes);
    for (size_t at = start + (size_t)from * m->row_bytes; at < end; at = at / t->page * t->page + t->page)
        pages[at] = 0;
}

static void touch_part(void *ctx, int worker)
{
    const struct touching *t = ctx;
    const struct weights *w = t->w;

    touch(t, &w->embed, worker);
    if (w->head.data != w->embed.data)
        touch(t, &w->head, worker);
    touch(t, &w->position, worker);
    for (int i = 0; i < t->layers; i++) {
        touch(t, &w->layers[i].qkv, worker);
        touch(t, &w->layers[i].out, worker);
        touch(t, &w->layers[i].up, worker);
        touch(t, &w->layers[i].down, worker);
    }
}

int weights_alloc(struct weights *w, const struct model_config *c, enum dtype dtype, struct err *e)
{
    int code = weights_plan(w, c, dtype, e);

    if (code < 0)
        return code;
    w->pages = pages_alloc(w->bytes, e);
    if (!w->pages) {
        weights_free(w);
        return ERR_MEMORY;
    }
    struct arena places = {.base = (uintptr_t)w->pages, .dtype = dtype};
    place_all(w, c, &places);
    struct touching t = {w, c->layers, team_size(), (size_t)sysconf(_SC_PAGESIZE)};
    team_run(t.workers, touch_part, &t); /* what lies between the matrices, vectors, is the main thread's: it fills them */
    return 0;
}

void weights_place(struct weights *w, const struct model_config *c, enum dtype dtype, void *base)
{
    struct arena places = {.base = (uintptr_t)base, .dtype = dtype};

    if (w->pages)
        pages_free(w->pages, w->bytes);
    w->pages = NULL;
    place_all(w, c, &places);
}

void weights_free(struct weights *w)
{
    if (w->pages)
        pages_free(w->pages, w->bytes);
    free(w->layers);
    free(w->rope_factors);
    *w = (struct weights){0};
}

/* --- as files name it ----------------------------------------------------------------------------------------------------- */

/* The first non-zero answer of a visitor sticks, so that the lists below stay plain lists. */
struct tour {
    int (*visit)(void *ctx, const struct tensor_slot *slot, struct err *e);
    void *ctx;
    struct err *e;
    int answer;
    char prefix[32]; /* "h.3." */
};

static void show(struct tour *t, const char *name, const struct matrix *m, bool transposed)
{
    struct tensor_slot slot = {.to = *m, .transposed = transposed};

    if (t->answer != 0 || !m->data)
        return;
    snprintf(slot.name, sizeof slot.name, "%s%s", t->prefix, name);
    t->answer = t->visit(t->ctx, &slot, t->e);
}

static void show_vector(struct tour *t, const char *name, float *data, int n)
{
    struct matrix m = {.data = data, .dtype = DTYPE_F32, .rows = n, .cols = 1, .row_bytes = sizeof(float)};

    show(t, name, &m, false);
}

/* GPT-2 files hold a layer's matrices as Conv1D: [in, out], with q | k | v along the columns. */
static void show_gpt2_layer(struct tour *t, const struct model_config *c, const struct layer_weights *l)
{
    int d = c->d_model;

    show_vector(t, "ln_1.weight", l->norm1_w, d);
    show_vector(t, "ln_1.bias", l->norm1_b, d);
    show(t, "attn.c_attn.weight", &l->qkv, true);
    show_vector(t, "attn.c_attn.bias", l->qkv_b, l->qkv.rows);
    show(t, "attn.c_proj.weight", &l->out, true);
    show_vector(t, "attn.c_proj.bias", l->out_b, d);
    show_vector(t, "ln_2.weight", l->norm2_w, d);
    show_vector(t, "ln_2.bias", l->norm2_b, d);
    show(t, "mlp.c_fc.weight", &l->up, true);
    show_vector(t, "mlp.c_fc.bias", l->up_b, l->up.rows);
    show(t, "mlp.c_proj.weight", &l->down, true);
    show_vector(t, "mlp.c_proj.bias", l->down_b, d);
}

/* `count` rows of a stacked matrix from row `first`, and the same part of its bias. */
static void show_rows(struct tour *t, const char *name, const struct matrix *m, float *bias, int first, int count)
{
    struct matrix part = *m;
    char tensor[64];

    part.data = matrix_row(m, first);
    part.rows = count;
    snprintf(tensor, sizeof tensor, "%s.weight", name);
    show(t, tensor, &part, false);
    snprintf(tensor, sizeof tensor, "%s.bias", name);
    show_vector(t, tensor, bias ? bias + first : NULL, count);
}

static void show_llama_layer(struct tour *t, const struct model_config *c, const struct layer_weights *l)
{
    int d = c->d_model, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    int gate = c->mlp == MLP_SWIGLU ? c->d_ff : 0;

    show_vector(t, "input_layernorm.weight", l->norm1_w, d);
    show_vector(t, "input_layernorm.bias", l->norm1_b, d);
    show_rows(t, "self_attn.q_proj", &l->qkv, l->qkv_b, 0, q);
    show_rows(t, "self_attn.k_proj", &l->qkv, l->qkv_b, q, kv);
    show_rows(t, "self_attn.v_proj", &l->qkv, l->qkv_b, q + kv, kv);
    show_rows(t, "self_attn.o_proj", &l->out, l->out_b, 0, d);
    show_vector(t, "post_attention_layernorm.weight", l->norm2_w, d);
    show_vector(t, "post_attention_layernorm.bias", l->norm2_b, d);
    if (gate > 0)
        show_rows(t, "mlp.gate_proj", &l->up, l->up_b, 0, gate);
    show_rows(t, "mlp.up_proj", &l->up, l->up_b, gate, c->d_ff);
    show_rows(t, "mlp.down_proj", &l->down, l->down_b, 0, d);
}

int weights_visit(const struct weights *w, const struct model_config *c,
                  int (*visit)(void *ctx, const struct tensor_slot *slot, struct err *e), void *ctx, struct err *e)
{
    struct tour t = {.visit = visit, .ctx = ctx, .e = e};
    bool gpt2 = c->position == POSITION_LEARNED; /* the two families of files */

    show(&t, gpt2 ? "wte.weight" : "embed_tokens.weight", &w->embed, false);
    show(&t, "wpe.weight", &w->position, false);
    for (int i = 0; i < c->layers; i++) {
        snprintf(t.prefix, sizeof t.prefix, gpt2 ? "h.%d." : "layers.%d.", i);
        if (gpt2)
            show_gpt2_layer(&t, c, &w->layers[i]);
        else
            show_llama_layer(&t, c, &w->layers[i]);
    }
    t.prefix[0] = 0;
    show_vector(&t, gpt2 ? "ln_f.weight" : "norm.weight", w->norm_w, c->d_model);
    show_vector(&t, gpt2 ? "ln_f.bias" : "norm.bias", w->norm_b, c->d_model);
    if (!c->tied_head)
        show(&t, "lm_head.weight", &w->head, false);
    return t.answer;
}
