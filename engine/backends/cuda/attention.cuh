/* SPDX-License-Identifier: MIT
 * What the kernels of attention over many queries share. A block has the queries of one tile and one head; where these stand in
 * the text follows from the state on the device, and with it how many keys there are. */
#pragma once

#include <limits.h>
#include <math.h>

#include "device.cuh"
#include "launch.h"

/* What every kernel here is told. */
struct task {
    void *mixed;
    const void *q, *k, *v;
    const struct gpu_state *state;
    int act, q_stride, heads, group, head_dim, tokens, capacity, window;
    float scale; /* of scores, for powers of two: log2(e) / sqrt(head_dim) */
};

/* The keys that some query of a tile sees. */
struct span {
    int first, end;
};

/* Where a block works; grid (heads, sequences, tiles). Late queries see the most keys and begin first. */
struct place {
    int head, query, past;
    size_t row, history; /* of the sequence's first query, of the first key of the head */
};

__device__ __forceinline__ struct place place_of(const struct task &t, int queries)
{
    size_t kv_head = (size_t)blockIdx.y * (gridDim.x / t.group) + blockIdx.x / t.group;

    return {(int)blockIdx.x, (int)(gridDim.z - 1 - blockIdx.z) * queries, t.state->past, (size_t)blockIdx.y * t.tokens,
            kv_head * t.capacity * t.head_dim};
}

__device__ __forceinline__ struct span keys_of(const struct task &t, int past, int query, int queries)
{
    return {max(0, past + query - t.window + 1), past + min(query + queries, t.tokens)};
}

__device__ __forceinline__ bool is_seen(const struct task &t, int key, int position)
{
    return key <= position && key > position - t.window;
}

/* --- launching ---------------------------------------------------------------------------------------------------------- */

static inline struct task task_of(void *mixed, const void *q, int q_stride, enum dtype act, const struct gpu_cache *c,
                                  const struct gpu_state *state, int tokens)
{
    struct task t = {};

    t.mixed = mixed;
    t.q = q;
    t.k = c->k;
    t.v = c->v;
    t.state = state;
    t.act = act;
    t.q_stride = q_stride;
    t.heads = c->heads;
    t.group = c->heads / c->kv_heads;
    t.head_dim = c->head_dim;
    t.tokens = tokens;
    t.capacity = c->capacity;
    t.window = c->window ? c->window : INT_MAX;
    t.scale = (float)(M_LOG2E / sqrt((double)c->head_dim));
    return t;
}

static inline dim3 tiles(const struct gpu_cache *c, int tokens, int queries)
{
    return dim3((unsigned)c->heads, (unsigned)c->batch, (unsigned)((tokens + queries - 1) / queries));
}
