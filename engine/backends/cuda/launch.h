/* SPDX-License-Identifier: MIT
 * The door to the kernels (*.cu): what each computes, on what, in which layout. A launcher only puts work on the stream and
 * returns the launch's own error; it allocates nothing and works while the stream is recorded into a graph. Pointers are device
 * memory. Matrices are those of model.h: row-major [rows, cols] with row_bytes between rows, 16-byte aligned, cols a multiple
 * of 8; f32, f16 or bf16. "Activations" (`act`) are f32 in decode and of the weights' dtype in prefill. Sums are float32
 * everywhere. C, and C++ for nvcc. */
#ifndef BENCH_CUDA_LAUNCH_H
#define BENCH_CUDA_LAUNCH_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dtype.h"
#include "kvcache.h"
#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DECODE_ROWS_MAX = 8,       /* rows that the fused kernels of a decode step compute at a time; more go through matmul.h */
    GPU_SEQUENCES_MAX = 65535, /* of a pass: they are the second dimension of attention's grids */
};

/* Where a sequence stands: on the device, so that one recorded graph replays every step. Written by the host before a pass that
 * does not follow from the one before, and by launch_choose. */
struct gpu_state {
    int32_t past; /* positions already in the cache */
    int32_t unused[3];
    int32_t ids[]; /* [batch][tokens] of this pass */
};

/* A norm before a product. */
struct gpu_norm {
    const float *weight, *bias; /* [cols]; bias NULL for RMS */
    enum norm_kind kind;
    float eps;
};

/* Keys and values of one layer: [sequence][kv_head][capacity][head_dim] of kv.dtype, both at position 0 of sequence 0. */
struct gpu_cache {
    void *k, *v;
    enum dtype dtype;
    int batch, heads, kv_heads, head_dim, capacity;
    int window; /* positions that a token of this layer sees, itself included; 0: all */
};

/* --- any number of rows (elementwise.cu) ------------------------------------------------------------------------------------
 */

/* x[rows][cols] = embed[ids[r]] + position[past + r % tokens]; position NULL: none. rows = batch x tokens. */
cudaError_t launch_embed(cudaStream_t s, float *x, const struct matrix *embed, const float *position,
                         const struct gpu_state *state, int batch, int tokens);

/* out[r][cols] = norm(x[first + r * stride][cols]), out in dtype `act`. */
cudaError_t launch_norm(cudaStream_t s, void *out, enum dtype act, const float *x, const struct gpu_norm *norm, int rows,
                        int cols, int first, int stride);

/* After a product that made qkv[rows][(heads + 2 kv_heads) head_dim] in `act`: adds the bias (or NULL), rotates q and k of row
 * r by the angles of position past + r % tokens (rope_cos NULL: no rotation; halves i and i + head_dim / 2 are a pair), leaves
 * q where it was and appends k and v to the cache in its dtype. rows = cache->batch x tokens. */
cudaError_t launch_rope_append(cudaStream_t s, void *qkv, enum dtype act, const float *bias, const float *rope_cos,
                               const float *rope_sin, const struct gpu_cache *cache, const struct gpu_state *state, int tokens);

/* hidden[rows][d_ff] = act(up + bias): GELU (tanh) of up[rows][d_ff], or SwiGLU of up[rows][2 d_ff] (gate first, then up):
 * silu(gate) up. bias has up's columns, or NULL. up and hidden are in `act`; they may be the same memory for GELU. */
cudaError_t launch_activation(cudaStream_t s, void *hidden, const void *up, enum dtype act, const float *bias,
                              enum mlp_kind kind, int rows, int d_ff);

/* chosen[i] = argmax of logits[first + i * stride][vocab], the lowest index of equals, as the host's choice is; NaNs are never
 * chosen. Also moves the state on by `tokens`: past += tokens, ids[i] = chosen[i]. chosen: memory that the host reads. */
cudaError_t launch_choose(cudaStream_t s, int32_t *chosen, struct gpu_state *state, const float *logits, int batch, int vocab,
                          int first, int stride, int tokens);

/* Every sequence i of every layer goes on with the first `length` positions of sequence parent[i] (device memory), in K and V;
 * spare: room for one layer's K. kv's pointers are device memory. */
cudaError_t launch_reorder(cudaStream_t s, const struct kvcache *kv, const int32_t *parent, int length);

/* A tensor of seeded values, element by element what formats/synthetic.c makes: offset + scale * triangle(hash(key, index)),
 * index = row * cols + col, rounded to m->dtype. Padding is left as it is. */
cudaError_t launch_synthesize(cudaStream_t s, const struct matrix *m, uint64_t key, float offset, float scale);

/* --- decode: rows <= DECODE_ROWS_MAX, one token a sequence (decode.cu, attention_decode.cu) ----------------------------------
 */

/* next: the weights that the kernels after this one read, or NULL: with up to 4 rows, L2 is asked for their beginning while
 * this one ends. */

/* norm(x) W + bias, rotary, append: q[rows][heads head_dim] float32, keys and values into the cache at position past. */
cudaError_t launch_decode_qkv(cudaStream_t s, float *q, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                              const float *bias, const float *rope_cos, const float *rope_sin, const struct gpu_cache *cache,
                              const struct gpu_state *state, const struct matrix *next);

/* y[rows][w.rows] (+)= f(x)[rows][w.cols] W + bias; f: the norm, or as it is where norm is NULL. add: y is added to. */
cudaError_t launch_decode_product(cudaStream_t s, float *y, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                                  const float *bias, int rows, bool add, const struct matrix *next);

/* hidden[rows][d_ff] = activation(norm(x) W + bias), W [d_ff or 2 d_ff, cols]. */
cudaError_t launch_decode_up(cudaStream_t s, float *hidden, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                             const float *bias, enum mlp_kind kind, int rows, int d_ff, const struct matrix *next);

/* Attention of one token a sequence over past + 1 positions: mixed[batch][heads head_dim] in `act`, q [batch][q_stride] in
 * `act` (float32 after launch_decode_qkv, the weights' dtype after launch_rope_append). Splits the context over blocks; every
 * head of a group shares the keys that are loaded. partial: gpu_partial_bytes(cache) of scratch. Any batch. */
cudaError_t launch_decode_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                    const struct gpu_cache *cache, const struct gpu_state *state, float *partial);
size_t gpu_partial_bytes(const struct gpu_cache *cache); /* from shapes alone, the same for all positions */

/* --- attention over many queries (attention_prefill.cu, attention_naive.cu) --------------------------------------------- */

/* mixed[rows][heads head_dim] in `act` = causal attention of q [rows][q_stride] in `act` over past + tokens positions, online
 * softmax over tiles. Products run on tensor cores in the cache's dtype where that has 16 bits, else in float32. */
cudaError_t launch_flash_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                   const struct gpu_cache *cache, const struct gpu_state *state, int tokens);

/* The same with the whole matrix of scores in memory, [batch][heads][tokens][capacity] floats; any dtype of the cache. */
cudaError_t launch_naive_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                   const struct gpu_cache *cache, const struct gpu_state *state, int tokens, float *scores);

/* Which head dimensions the fast attention kernels are compiled for; others take the naive one's way, at its speed. */
bool gpu_has_head_dim(int head_dim);

#ifdef __cplusplus
}
#endif

#endif
