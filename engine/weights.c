/* SPDX-License-Identifier: MIT
 * Where each tensor of a model lives. The layout is walked with the same code to add up sizes and to hand out addresses in the
 * one mapping. Visiting names the same tensors as a Hugging Face file does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "pages.h"

enum { ALIGNMENT = 64 };

/* config_check bounds a whole model by about 2^51 bytes, so that sums and products of sizes below cannot wrap round. */
_Static_assert(sizeof(size_t) == 8, "sizes of models need 64 bits");

/* Addresses are counted, not followed: a layout is planned from a base that is no memory at all. */
struct arena {
    uintptr_t base;
    size_t used;
};

static void *take(struct arena *a, size_t bytes)
{
    uintptr_t at = a->base + a->used;

    a->used = (a->used + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return (void *)at; /* NOLINT(performance-no-int-to-ptr) */
}

static float *take_floats(struct arena *a, int rows, int cols)
{
    return take(a, (size_t)rows * (size_t)cols * sizeof(float));
}

static struct matrix take_matrix(struct arena *a, int rows, int cols)
{
    return (struct matrix){.data = take_floats(a, rows, cols), .rows = rows, .cols = cols};
}

static float *take_if(struct arena *a, bool wanted, int n)
{
    return wanted ? take_floats(a, n, 1) : NULL;
}

static void place_layer(struct layer_weights *l, const struct model_config *c, struct arena *a)
{
    int q_rows = c->heads * c->head_dim, qkv_rows = q_rows + 2 * c->kv_heads * c->head_dim;
    int up_rows = c->mlp == MLP_SWIGLU ? 2 * c->d_ff : c->d_ff;
    bool norm_bias = c->norm == NORM_LAYER;

    l->norm1_w = take_floats(a, c->d_model, 1);
    l->norm1_b = take_if(a, norm_bias, c->d_model);
    l->qkv = take_matrix(a, qkv_rows, c->d_model);
    l->qkv_b = take_if(a, c->qkv_bias, qkv_rows);
    l->out = take_matrix(a, c->d_model, q_rows);
    l->out_b = take_if(a, c->out_bias, c->d_model);
    l->norm2_w = take_floats(a, c->d_model, 1);
    l->norm2_b = take_if(a, norm_bias, c->d_model);
    l->up = take_matrix(a, up_rows, c->d_model);
    l->up_b = take_if(a, c->mlp_bias, up_rows);
    l->down = take_matrix(a, c->d_model, c->d_ff);
    l->down_b = take_if(a, c->mlp_bias, c->d_model);
}

static void place_all(struct weights *w, const struct model_config *c, struct arena *a)
{
    w->embed = take_matrix(a, c->vocab, c->d_model);
    if (c->position == POSITION_LEARNED)
        w->position = take_matrix(a, c->context, c->d_model);
    for (int i = 0; i < c->layers; i++)
        place_layer(&w->layers[i], c, a);
    w->norm_w = take_floats(a, c->d_model, 1);
    w->norm_b = take_if(a, c->norm == NORM_LAYER, c->d_model);
    w->head = c->tied_head ? w->embed : take_matrix(a, c->vocab, c->d_model);
    w->bytes = a->used;
}

int weights_plan(struct weights *w, const struct model_config *c, struct err *e)
{
    struct arena nowhere = {.base = ALIGNMENT};
    int code = config_check(c, e);

    *w = (struct weights){0};
    if (code < 0)
        return code;
    w->layers = calloc((size_t)c->layers, sizeof *w->layers);
    if (!w->layers)
        return err_set(e, ERR_MEMORY, "out of memory for %d layers", c->layers);
    place_all(w, c, &nowhere);
    return 0;
}

int weights_alloc(struct weights *w, const struct model_config *c, struct err *e)
{
    int code = weights_plan(w, c, e);

    if (code < 0)
        return code;
    w->pages = pages_alloc(w->bytes, e);
    if (!w->pages) {
        weights_free(w);
        return ERR_MEMORY;
    }
    struct arena places = {.base = (uintptr_t)w->pages};
    place_all(w, c, &places);
    return 0;
}

void weights_free(struct weights *w)
{
    if (w->pages)
        pages_free(w->pages, w->bytes);
    free(w->layers);
    free(w->rope_factors);
    *w = (struct weights){0};
}

/* The first non-zero answer of a visitor sticks, so that the lists below stay plain lists. */
struct tour {
    int (*visit)(void *ctx, const struct tensor_slot *slot, struct err *e);
    void *ctx;
    struct err *e;
    int answer;
    char prefix[32]; /* "h.3." */
};

static void show(struct tour *t, const char *name, float *data, int rows, int cols, bool transposed)
{
    struct tensor_slot slot = {.data = data, .rows = rows, .cols = cols, .transposed = transposed};

    if (t->answer != 0 || !data)
        return;
    snprintf(slot.name, sizeof slot.name, "%s%s", t->prefix, name);
    t->answer = t->visit(t->ctx, &slot, t->e);
}

static void show_vector(struct tour *t, const char *name, float *data, int n)
{
    show(t, name, data, n, 1, false);
}

/* GPT-2 files hold a layer's matrices as Conv1D: [in, out], with q | k | v along the columns. */
static void show_gpt2_layer(struct tour *t, const struct model_config *c, const struct layer_weights *l)
{
    int d = c->d_model;

    show_vector(t, "ln_1.weight", l->norm1_w, d);
    show_vector(t, "ln_1.bias", l->norm1_b, d);
    show(t, "attn.c_attn.weight", l->qkv.data, l->qkv.rows, d, true);
    show_vector(t, "attn.c_attn.bias", l->qkv_b, l->qkv.rows);
    show(t, "attn.c_proj.weight", l->out.data, d, l->out.cols, true);
    show_vector(t, "attn.c_proj.bias", l->out_b, d);
    show_vector(t, "ln_2.weight", l->norm2_w, d);
    show_vector(t, "ln_2.bias", l->norm2_b, d);
    show(t, "mlp.c_fc.weight", l->up.data, l->up.rows, d, true);
    show_vector(t, "mlp.c_fc.bias", l->up_b, l->up.rows);
    show(t, "mlp.c_proj.weight", l->down.data, d, l->down.cols, true);
    show_vector(t, "mlp.c_proj.bias", l->down_b, d);
}

/* `count` rows of a stacked matrix from row `first`, and the same part of its bias. */
static void show_rows(struct tour *t, const char *name, const struct matrix *m, float *bias, int first, int count)
{
    char tensor[64];

    snprintf(tensor, sizeof tensor, "%s.weight", name);
    show(t, tensor, m->data + (size_t)first * (size_t)m->cols, count, m->cols, false);
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

    show(&t, gpt2 ? "wte.weight" : "embed_tokens.weight", w->embed.data, c->vocab, c->d_model, false);
    show(&t, "wpe.weight", w->position.data, c->context, c->d_model, false);
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
        show(&t, "lm_head.weight", w->head.data, c->vocab, c->d_model, false);
    return t.answer;
}
