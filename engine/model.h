/* SPDX-License-Identifier: MIT
 * A model's weights in the one layout that every backend computes from, whatever file they came from: matrices are row-major
 * [out features, in features] (GPT-2's Conv1D is transposed at load), q, k and v stacked into one matrix, gate and up stacked
 * into one. Matrices are held in one dtype, vectors and positions in float32. A backend may then pack the matrices in place, in
 * whatever order it reads them best (backend.h, prepare); after that only the backend knows what is where in them. Read-only
 * once loaded; shared by sessions and threads. Inside the engine only. */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdint.h>

#include "config.h"
#include "dtype.h"

/* Row r is row_bytes from row r - 1: cols elements of dtype, padded with zeros to a multiple of 4 bytes. Rows are there up to a
 * multiple of MATRIX_ROWS, the surplus ones zero, so that panels of up to that many rows can be packed where they stand. */
enum { MATRIX_ROWS = 64 };
struct matrix {
    void *data;
    enum dtype dtype;
    int rows, cols;
    size_t row_bytes;
};

static inline void *matrix_row(const struct matrix *m, int row)
{
    return (char *)m->data + (size_t)row * m->row_bytes;
}

size_t matrix_row_bytes(enum dtype d, int cols); /* of one row, padded */

/* Fills one row from `cols` stored elements, of any alignment: copied bit for bit where the dtypes are the same, else by way of
 * float32. cols is a multiple of both blocks. */
void matrix_put_row(const struct matrix *m, int row, enum dtype stored, const void *elements);

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
    struct matrix position; /* [context, d_model], float32, never packed; data NULL for rotary */
    struct layer_weights *layers;
    float *norm_w, *norm_b; /* final norm */
    struct matrix head;     /* [vocab, d_model]; embed's data when tied */
    float *rope_factors;    /* [head_dim / 2] that divide the rotary frequencies, or NULL; owned, malloc'ed */
    void *pages;            /* the one mapping that every matrix and vector above lies in; NULL: only planned */
    size_t bytes;           /* its length */
};

/* Takes one mapping for the whole model and lays every tensor out in it, 64-byte aligned, contents zero, each matrix touched by
 * the workers of the team that will read it (slices in their order). ERR_USAGE where a matrix's rows are no whole blocks of
 * the dtype, and where it is none of DTYPE_F32 to DTYPE_Q4_0. */
int weights_alloc(struct weights *w, const struct model_config *c, enum dtype dtype, struct err *e);

/* The same layout without the memory: what weights_visit shows then has names and shapes, and a `data` that is not NULL and
 * must not be used. So that files are checked before memory is taken. */
int weights_plan(struct weights *w, const struct model_config *c, enum dtype dtype, struct err *e);
void weights_free(struct weights *w);

/* The same layout from `base` on, which is somebody else's memory of w->bytes (a device's): all tensors then lie there. The
 * mapping that weights_alloc took, if any, is given back; keeps rope_factors and shapes. */
void weights_place(struct weights *w, const struct model_config *c, enum dtype dtype, void *base);

/* Bytes of the parameters themselves: matrices in that dtype, positions and vectors in float32, no padding, a tied head once.
 */
uint64_t weights_bytes(const struct model_config *c, enum dtype dtype);

/* One tensor of the model under its canonical Hugging Face name, without `transformer.` or `model.` prefix. */
struct tensor_slot {
    char name[96];    /* e.g. "h.3.attn.c_attn.weight", "layers.0.self_attn.q_proj.weight" */
    struct matrix to; /* where it goes: our layout, a part of a stacked matrix; vectors are float32 with cols = 1 */
    bool transposed;  /* the file holds [cols, rows] (GPT-2 Conv1D) */
};

/* The model's tensors in file terms, one after another: calls visit for each; a non-zero return stops and is returned. */
int weights_visit(const struct weights *w, const struct model_config *c,
                  int (*visit)(void *ctx, const struct tensor_slot *slot, struct err *e), void *ctx, struct err *e);

#endif
