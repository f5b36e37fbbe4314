/* SPDX-License-Identifier: MIT
 * Attention of one token a sequence. The context is split over blocks, so that the whole GPU reads it; a block serves every
 * head of a group, so that a key is read once for all of them, and leaves for each head what a second kernel merges: the mixed
 * values, the largest score and the sum of the weights. How many splits there are follows from the shapes alone, since a
 * recorded graph replays every position; a split without positions leaves nothing, said as a sum of 0. */
#include "device.cuh"
#include "launch.h"
#include "layers.cuh"

enum {
    THREADS = 128,
    HEADS_MOST = 8,      /* of a group that a block serves; further ones are further blocks */
    SPLIT_LEAST = 64,    /* positions of a split at full capacity, at least */
    BLOCKS_WANTED = 264, /* two for each multiprocessor of the GPUs that this is made for */
    FAST_DIM_MOST = 8 * WARP,
};

struct task {
    float *partial;
    const void *q;
    int q_stride, act, rounds; /* rounds: blocks for the heads of one group */
    struct gpu_cache cache;
    const struct gpu_state *state;
};

struct span {
    int begin, end;
};

/* Splits of the context, and blocks for each group of heads. */
static int rounds_of(const struct gpu_cache *c)
{
    return (c->heads / c->kv_heads + HEADS_MOST - 1) / HEADS_MOST;
}

static int splits_of(const struct gpu_cache *c)
{
    int seen = c->window > 0 && c->window < c->capacity ? c->window : c->capacity;
    int wanted = (BLOCKS_WANTED + c->batch * c->kv_heads - 1) / (c->batch * c->kv_heads);

    return max(1, min(wanted, (seen + SPLIT_LEAST - 1) / SPLIT_LEAST));
}

/* The positions of this block: an equal share of those that the token sees. */
__device__ __forceinline__ struct span my_positions(const struct task &t)
{
    int end = t.state->past + 1, first = t.cache.window > 0 ? max(0, end - t.cache.window) : 0;
    int share = (end - first + gridDim.y - 1) / gridDim.y, begin = min(first + (int)blockIdx.y * share, end);

    return {begin, min(begin + share, end)};
}

/* What some threads have of one head: weights are powers of two, as scores are logarithms to that base. -FLT_MAX stands for no
 * score yet, so that differences are never infinity less infinity. */
struct softmax {
    float most, sum;
};

/* --- what parties of a block have, made one ------------------------------------------------------------------------------- */

/* In shared memory, for each party and head: head_dim mixed values, most, sum. Then the parties' weights for each head. */

__device__ __forceinline__ size_t entry(const struct task &t)
{
    return (size_t)t.cache.head_dim + 2;
}

__device__ __forceinline__ void merge_parties(const struct task &t, float *shared, int parties, int first_head, int heads)
{
    int hd = t.cache.head_dim;
    float *weight = shared + (size_t)parties * heads * entry(t);

    __syncthreads();
    for (int i = threadIdx.x; i < parties * heads; i += THREADS) {
        float most = -FLT_MAX;
        for (int p = 0; p < parties; p++)
            most = fmaxf(most, shared[((size_t)p * heads + i % heads) * entry(t) + hd]);
        weight[i] = exp2f(shared[i * entry(t) + hd] - most);
        if (i < heads)
            weight[parties * heads + i] = most;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < heads * (hd + 2); i += THREADS) {
        int head = i / (hd + 2), at = i % (hd + 2);
        float sum = 0;
        for (int p = 0; p < parties; p++)
            sum += weight[p * heads + head] * shared[((size_t)p * heads + head) * entry(t) + at];
        t.partial[((size_t)(first_head + head) * gridDim.y + blockIdx.y) * entry(t) + at] =
            at == hd ? weight[parties * heads + head] : sum;
    }
}

/* --- head dimensions that are multiples of 8 ------------------------------------------------------------------------------ */

/* Eight elements, raw. */
template <class T> struct eight {
    uint4 raw[sizeof(T) / 2];

    __device__ __forceinline__ void load(const T *p, bool there)
    {
#pragma unroll
        for (int i = 0; i < (int)sizeof(T) / 2; i++)
            raw[i] = there ? ((const uint4 *)p)[i] : uint4{0, 0, 0, 0};
    }
    __device__ __forceinline__ float at(int i) const
    {
        pack16<T> pack;
        pack.raw = raw[i / pack16<T>::N];
        return to_float(pack.at[i % pack16<T>::N]);
    }
};

/* The scores of STEP positions for one head, of which this lane has eight dimensions; all lanes of the position get them. */
template <class T, int STEP>
__device__ __forceinline__ void score(float (&s)[STEP], const struct eight<T> (&k)[STEP], const float *q, int lanes)
{
    float4 a = *(const float4 *)q, b = *(const float4 *)(q + 4);

#pragma unroll
    for (int u = 0; u < STEP; u++)
        s[u] = (a.x * k[u].at(0) + a.y * k[u].at(1) + a.z * k[u].at(2) + a.w * k[u].at(3)) +
               (b.x * k[u].at(4) + b.y * k[u].at(5) + b.z * k[u].at(6) + b.w * k[u].at(7));
    for (int m = lanes / 2; m; m >>= 1)
#pragma unroll
        for (int u = 0; u < STEP; u++)
            s[u] += __shfl_xor_sync(0xffffffffu, s[u], m);
}

/* Adds STEP positions to what a lane has of a head. */
template <class T, int STEP>
__device__ __forceinline__ void mix(float (&mixed)[8], struct softmax &state, const float (&s)[STEP],
                                    const struct eight<T> (&v)[STEP], const bool (&there)[STEP])
{
    float most = state.most, p[STEP];

#pragma unroll
    for (int u = 0; u < STEP; u++)
        most = there[u] ? fmaxf(most, s[u]) : most;
    float keep = exp2f(state.most - most);
    state.sum *= keep, state.most = most;
#pragma unroll
    for (int u = 0; u < STEP; u++) {
        p[u] = there[u] ? exp2f(s[u] - most) : 0;
        state.sum += p[u];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        mixed[i] *= keep;
#pragma unroll
        for (int u = 0; u < STEP; u++)
            mixed[i] = fmaf(p[u], v[u].at(i), mixed[i]);
    }
}

/* `lanes` lanes, a power of two, are a party and have a position together, eight dimensions each; a party takes STEP positions
 * at a time, those of all parties of the block side by side. Grid (rounds of all kv heads of all sequences, splits). */
template <class T, int HEADS> __global__ __launch_bounds__(THREADS) void attend(const struct task t, int lanes)
{
    enum { STEP = 8 / sizeof(T) };
    EXTERN_SHARED(float, shared);
    const struct gpu_cache &c = t.cache;
    int hd = c.head_dim, group = c.heads / c.kv_heads, round = blockIdx.x % t.rounds, history = blockIdx.x / t.rounds;
    int first_head = history / c.kv_heads * c.heads + history % c.kv_heads * group + round * HEADS;
    int heads = min((int)HEADS, group - round * HEADS), parties = THREADS / lanes, party = threadIdx.x / lanes;
    int dim = threadIdx.x % lanes * 8;
    bool mine = dim < hd; /* lanes beyond the head's dimensions have zeros */
    float mixed[HEADS][8] = {};
    struct softmax state[HEADS];

    pdl_let_next_begin();
    pdl_wait();
    struct span span = my_positions(t);
    float scale = 1.44269504f * rsqrtf((float)hd); /* exp(x) = exp2(x log2(e)) */
    for (int i = threadIdx.x; i < heads * hd; i += THREADS) {
        int head = first_head + i / hd;
        shared[i] = scale * load_as(t.act, t.q, (size_t)(head / c.heads) * t.q_stride + head % c.heads * hd + i % hd);
    }
#pragma unroll
    for (int h = 0; h < HEADS; h++)
        state[h] = {-FLT_MAX, 0};
    __syncthreads();
    const T *keys = (const T *)c.k + (size_t)history * c.capacity * hd + dim;
    const T *values = (const T *)c.v + (size_t)history * c.capacity * hd + dim;
    for (int begin = span.begin; begin < span.end; begin += STEP * parties) { /* the same steps for every lane of a warp */
        struct eight<T> k[STEP], v[STEP];
        bool there[STEP];
#pragma unroll
        for (int u = 0; u < STEP; u++) {
            int position = begin + u * parties + party;
            there[u] = position < span.end;
            k[u].load(keys + (size_t)position * hd, there[u] && mine);
            v[u].load(values + (size_t)position * hd, there[u] && mine);
        }
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            if (h < heads) {
                float s[STEP];
                score<T, STEP>(s, k, shared + h * hd + (mine ? dim : 0), lanes);
                mix<T, STEP>(mixed[h], state[h], s, v, there);
            }
    }
    __syncthreads(); /* the queries have been read */
#pragma unroll
    for (int h = 0; h < HEADS; h++)
        if (h < heads) {
            float *to = shared + ((size_t)party * heads + h) * entry(t);
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (mine)
                    to[dim + i] = mixed[h][i];
            if (dim == 0)
                to[hd] = state[h].most, to[hd + 1] = state[h].sum;
        }
    merge_parties(t, shared, parties, first_head, heads);
}

/* --- any head dimension --------------------------------------------------------------------------------------------------- */

/* One head a block; a warp is a party and has a position to itself, and what it has is in shared memory from the beginning. */
template <class T> __global__ __launch_bounds__(THREADS) void attend_any(const struct task t)
{
    EXTERN_SHARED(float, shared);
    const struct gpu_cache &c = t.cache;
    int hd = c.head_dim, sequence = blockIdx.x / c.heads, head = blockIdx.x % c.heads, lane = threadIdx.x % WARP;
    int party = threadIdx.x / WARP, parties = THREADS / WARP;
    size_t history = cache_at(c, sequence, head / (c.heads / c.kv_heads), 0);
    float *mixed = shared + party * entry(t), scale = 1.44269504f * rsqrtf((float)hd);
    struct softmax state = {-FLT_MAX, 0};

    pdl_let_next_begin();
    pdl_wait();
    struct span span = my_positions(t);
    for (int i = lane; i < hd; i += WARP)
        mixed[i] = 0;
    for (int position = span.begin + party; position < span.end; position += parties) {
        size_t at = history + (size_t)position * hd;
        float s = 0;
        for (int i = lane; i < hd; i += WARP)
            s += load_as(t.act, t.q, (size_t)sequence * t.q_stride + head * hd + i) * to_float(((const T *)c.k)[at + i]);
        s = scale * warp_sum(s);
        float most = fmaxf(state.most, s), keep = exp2f(state.most - most), p = exp2f(s - most);
        state = {most, state.sum * keep + p};
        for (int i = lane; i < hd; i += WARP)
            mixed[i] = mixed[i] * keep + p * to_float(((const T *)c.v)[at + i]);
    }
    if (lane == 0)
        mixed[hd] = state.most, mixed[hd + 1] = state.sum;
    merge_parties(t, shared, parties, blockIdx.x, 1);
}

/* --- splits, made one ----------------------------------------------------------------------------------------------------- */

/* A block a head of a sequence. */
__global__ __launch_bounds__(THREADS) void merge_splits(void *mixed, int act, const float *partial, int splits, int hd)
{
    EXTERN_SHARED(float, weight); /* of each split */
    const float *mine = partial + (size_t)blockIdx.x * splits * (hd + 2);
    float most = -FLT_MAX, sum = 0;

    pdl_let_next_begin();
    pdl_wait();
    for (int s = threadIdx.x % WARP; s < splits; s += WARP)
        most = fmaxf(most, mine[(size_t)s * (hd + 2) + hd]);
    most = warp_max(most);
    for (int s = threadIdx.x % WARP; s < splits; s += WARP) { /* every warp writes the same */
        float w = exp2f(mine[(size_t)s * (hd + 2) + hd] - most);
        weight[s] = w;
        sum += w * mine[(size_t)s * (hd + 2) + hd + 1];
    }
    sum = warp_sum(sum);
    __syncthreads();
    for (int i = threadIdx.x; i < hd; i += THREADS) {
        float v = 0;
#pragma unroll 4
        for (int s = 0; s < splits; s++)
            v += weight[s] * mine[(size_t)s * (hd + 2) + i];
        store_as(act, mixed, (size_t)blockIdx.x * hd + i, v / sum);
    }
}

/* --- launching ------------------------------------------------------------------------------------------------------------ */

size_t gpu_partial_bytes(const struct gpu_cache *c)
{
    return (size_t)c->batch * c->heads * splits_of(c) * (c->head_dim + 2) * sizeof(float);
}

template <class T> static cudaError_t attend_with(cudaStream_t s, const struct task &t)
{
    const struct gpu_cache &c = t.cache;
    int group = c.heads / c.kv_heads, heads = min(group, (int)HEADS_MOST), lanes = 1, splits = splits_of(&c);

    if (c.head_dim % 8 || c.head_dim > FAST_DIM_MOST) {
        size_t shared = THREADS / WARP * (c.head_dim + 3) * sizeof(float) + sizeof(float);
        return launch(s, dim3(c.batch * c.heads, splits), dim3(THREADS), shared, may_follow(), attend_any<T>, t);
    }
    while (8 * lanes < c.head_dim)
        lanes *= 2;
    size_t entries = (size_t)THREADS / lanes * heads, shared = (entries * (c.head_dim + 3) + heads) * sizeof(float);
    return launch(s, dim3(c.batch * c.kv_heads * t.rounds, splits), dim3(THREADS), shared, may_follow(),
                  heads > 4   ? attend<T, 8>
                  : heads > 2 ? attend<T, 4>
                  : heads > 1 ? attend<T, 2>
                              : attend<T, 1>,
                  t, lanes);
}

cudaError_t launch_decode_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                    const struct gpu_cache *cache, const struct gpu_state *state, float *partial)
{
    struct task t = {partial, q, q_stride, act, rounds_of(cache), *cache, state};
    int splits = splits_of(cache);
    cudaError_t code = with_type(cache->dtype, [&](auto e) { return attend_with<decltype(e)>(s, t); });

    if (code != cudaSuccess)
        return code;
    return launch(s, dim3(cache->batch * cache->heads), dim3(THREADS), splits * sizeof(float), may_follow(), merge_splits,
                  mixed, (int)act, (const float *)partial, splits, cache->head_dim);
}
