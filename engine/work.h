/* SPDX-License-Identifier: MIT
 * Analytic work of a pass: what the matrix products must compute and what must come from memory, by op, from shapes alone.
 * Conventions (also stored with every run): a multiply-add is 2 FLOPs; causal attention counts only the scores that are used
 * (half of the square); norms, activations, softmax, biases and residuals are not counted; the head runs for the last position
 * only unless all_logits. Bytes are those that must cross from memory once when nothing is cached between passes: each weight
 * once a pass, the cached keys and values read once, the new ones written once; activations are taken to stay in cache.
 * Matrices (and the rows of the embedding) take their dtype's bytes: q8_0 34 and q4_0 18 for each 32 elements of a row, a row
 * that ends within such a block counted to the block's end. Biases, norms and learned positions are float32 always; keys and
 * values take the cache's dtype. A zeroed shape's dtypes are float32. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "engine.h"

struct work {
    double flops;
    double weight_bytes; /* weights read */
    double kv_read_bytes, kv_write_bytes;
};

struct pass_shape {
    int batch;
    int tokens; /* new tokens per sequence in this pass */
    int past;   /* tokens already in the cache */
    bool all_logits;
    enum dtype dtype, kv_dtype; /* of weight matrices; of cached keys and values */
};

/* Work of one op in ONE layer (embed, head: of the whole pass; sample: zero). Norm: both of the layer's; the final one belongs
 * to head. Attention: the mean of the layers, where only some have a sliding window. */
struct work work_of_op(const struct model_config *c, enum op op, const struct pass_shape *p);

/* True for the ops that run once a layer. */
bool work_op_in_layers(enum op op);

/* Sum over the pass, layers included. */
struct work work_of_pass(const struct model_config *c, const struct pass_shape *p);

/* The pass that step `step` of a generation runs, in float32: step 0 is prefill, step i >= 1 the i-th decode step. Without a
 * cache every step is a pass over prompt + i tokens with nothing in the past. */
struct pass_shape work_step_shape(int batch, int prompt, int step, bool kv_cache);

double work_bytes(const struct work *w); /* reads + writes */
void work_add(struct work *sum, const struct work *w, double times);

/* Nanoseconds at the roof: max(flops / peak, bytes / bandwidth). 0 when either roof is not known. */
double work_roof_ns(const struct work *w, double peak_flops, double bandwidth);

#endif
