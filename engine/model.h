/* SPDX-License-Identifier: MIT
 * A model's weights in the one layout that every backend computes from, whatever file they came from: matrices are row-major
 * [out features, in features] (GPT-2's Conv1D is transposed at load), q, k and v stacked into one matrix, gate and up stacked
 * into one. All float32 in this version. Read-only once loaded; shared by sessions and threads. Inside the engine only. */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdint.h>

#include "config.h"

struct matrix {
    float *data; /* [rows][cols] */
    int rows, cols;
};

struct layer_weights {
    float *norm1_w, *norm1_b; /* [d_model]; b NULL for RMS */
    struct matrix qkv;        /* [(heads + 2 kv_heads) head_dim, d_model]: q rows, then k, then v */
    float *qkv_b;             /* or NULL, as every bias */
    struct matrix out;        /* [d_model, heads head_dim] */
    float *out_b;
    float *norm2_w, *norm2_b;
    struct matrix up; /* GELU: [d_ff, d_model]; SwiGLU: [2 d_ff, d_model], gate rows first, then up */
    float *up_b;
    struct matrix down; /* [d_model, d_ff] */
    float *down_b;
};

struct weights {
    struct matrix embed;    /* [vocab, d_model] */
    struct matrix position; /* [context, d_model]; data NULL for rotary */
    struct layer_weights *layers;
    float *norm_w, *norm_b; /* final norm */
    struct matrix head;     /* [vocab, d_model]; embed's data when tied */
    float *rope_factors;    /* [head_dim / 2] that divide the rotary frequencies, or NULL; owned, malloc'ed */
    void *pages;            /* the one mapping that every matrix and vector above lies in; NULL: only planned */
    size_t bytes;           /* its length */
};

/* Takes one mapping for the whole model and lays every tensor out in it, 64-byte aligned, contents zero. */
int weights_alloc(struct weights *w, const struct model_config *c, struct err *e);

/* The same layout without the memory: what weights_visit shows then has names and shapes, and a `data` that is not NULL and
 * must not be used. So that files are checked before memory is taken. */
int weights_plan(struct weights *w, const struct model_config *c, struct err *e);
void weights_free(struct weights *w);

/* One tensor of the model under its canonical Hugging Face name, without `transformer.` or `model.` prefix. */
struct tensor_slot {
    char name[96];   /* e.g. "h.3.attn.c_attn.weight", "layers.0.self_attn.q_proj.weight" */
    float *data;     /* where it goes */
    int rows, cols;  /* in our layout; cols = 1 for vectors */
    bool transposed; /* the file holds [cols, rows] (GPT-2 Conv1D) */
};

/* The model's tensors in file terms, one after another: calls visit for each; a non-zero return stops and is returned. */
int weights_visit(const struct weights *w, const struct model_config *c,
                  int (*visit)(void *ctx, const struct tensor_slot *slot, struct err *e), void *ctx, struct err *e);

#endif
