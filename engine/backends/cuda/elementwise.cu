/* SPDX-License-Identifier: MIT
 * What stands around products, for any number of rows: each kernel reads and writes its numbers once, four at a time where the
 * shapes allow it. Rows are blockIdx.x, which has room for as many as there are; parts of a row are blockIdx.y. */
#include "device.cuh"
#include "launch.h"
#include "layers.cuh"

enum { THREADS = 256, CHOOSING = 1024, BLOCKS_MOST = 4096 };

static int blocks_for(size_t items)
{
    size_t blocks = (items + THREADS - 1) / THREADS;

    return max(1, (int)min(blocks, (size_t)BLOCKS_MOST));
}

/* --- embedding ------------------------------------------------------------------------------------------------------------ */

struct embedding {
    float *x;
    const char *table;
    size_t row_bytes;
    const float *position;
    const struct gpu_state *state;
    int tokens, cols;
};

template <class T> __global__ void embed(const struct embedding e)
{
    pdl_let_next_begin();
    pdl_wait();
    int row = blockIdx.x, i = 4 * (int)(blockIdx.y * blockDim.x + threadIdx.x);
    if (i >= e.cols)
        return;
    float4 v = load_four<T>((const T *)(e.table + (size_t)e.state->ids[row] * e.row_bytes) + i);
    if (e.position) {
        size_t place = (size_t)(e.state->past + row % e.tokens);
        float4 p = *(const float4 *)(e.position + place * e.cols + i);
        v = float4{v.x + p.x, v.y + p.y, v.z + p.z, v.w + p.w};
    }
    *(float4 *)(e.x + (size_t)row * e.cols + i) = v;
}

cudaError_t launch_embed(cudaStream_t s, float *x, const struct matrix *table, const float *position,
                         const struct gpu_state *state, int batch, int tokens)
{
    struct embedding e = {x, (const char *)table->data, table->row_bytes, position, state, tokens, table->cols};
    dim3 grid(batch * tokens, blocks_for(table->cols / 4));

    return with_type(table->dtype,
                     [&](auto t) { return launch(s, grid, dim3(THREADS), 0, may_follow(), embed<decltype(t)>, e); });
}

/* --- norm ----------------------------------------------------------------------------------------------------------------- */

template <class T>
__global__ __launch_bounds__(THREADS) void norm_rows(T *out, const float *x, const struct gpu_norm norm, int cols, int first,
                                                     int stride)
{
    EXTERN_SHARED(float, buf);
    struct moments m[1];

    pdl_let_next_begin();
    pdl_wait();
    x += ((size_t)first + (size_t)blockIdx.x * stride) * cols;
    out += (size_t)blockIdx.x * cols;
    find_moments<1>(m, x, 1, cols, norm, buf);
    for (int i = 4 * threadIdx.x; i < cols; i += 4 * blockDim.x)
        store_four<T>(out + i, normalise(*(const float4 *)(x + i), m[0], norm, i));
}

cudaError_t launch_norm(cudaStream_t s, void *out, enum dtype act, const float *x, const struct gpu_norm *norm, int rows,
                        int cols, int first, int stride)
{
    return with_type(act, [&](auto t) {
        return launch(s, dim3(rows), dim3(THREADS), THREADS / WARP * sizeof(float), may_follow(), norm_rows<decltype(t)>,
                      (decltype(t) *)out, x, *norm, cols, first, stride);
    });
}

/* --- rotary positions and the cache --------------------------------------------------------------------------------------- */

struct appending {
    void *qkv;
    const float *bias, *cosines, *sines;
    struct gpu_cache cache;
    const struct gpu_state *state;
    int tokens, half; /* half: of a head, rounded up; elements i and i + half are dealt with together */
};

/* W elements of a head from i on: into the cache, or for q back where they were. */
template <class T, int W>
__device__ __forceinline__ void append(const struct appending &a, int row, int head, int i, const float (&v)[W])
{
    const struct gpu_cache &c = a.cache;
    int all = c.heads + 2 * c.kv_heads, kv_head = (head - c.heads) % c.kv_heads;
    bool query = head < c.heads, key = head < c.heads + c.kv_heads;
    void *to = query ? a.qkv : key ? c.k : c.v;
    size_t at = query ? ((size_t)row * all + head) * c.head_dim + i
                      : cache_at(c, row / a.tokens, kv_head, a.state->past + row % a.tokens) + i;

    if constexpr (W == 4)
        store_four_as(query ? type_of<T>() : c.dtype, to, at, float4{v[0], v[1], v[2], v[3]});
    else
        store_as(query ? type_of<T>() : c.dtype, to, at, v[0]);
}

template <class T, int W> __device__ __forceinline__ void load_some(float (&v)[W], const T *from)
{
    if constexpr (W == 4) {
        float4 four = load_four<T>(from);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    } else {
        v[0] = to_float(*from);
    }
}

template <class T, int W>
__device__ __forceinline__ void load_biased(float (&v)[W], const struct appending &a, size_t row_begin, int at)
{
    float bias[W] = {};

    load_some<T, W>(v, (const T *)a.qkv + row_begin + at);
    if (a.bias)
        load_some<float, W>(bias, a.bias + at);
#pragma unroll
    for (int j = 0; j < W; j++)
        v[j] += bias[j];
}

/* A thread has W elements of the first half of a head, and those that belong to them in the second. */
template <class T, int W> __global__ void rope_append(const struct appending a)
{
    pdl_let_next_begin();
    pdl_wait();
    const struct gpu_cache &c = a.cache;
    int row = blockIdx.x, all = c.heads + 2 * c.kv_heads, n = W * (int)(blockIdx.y * blockDim.x + threadIdx.x);
    int head = n / a.half, i = n % a.half;
    if (head >= all)
        return;
    bool second = i + a.half < c.head_dim; /* not there for the middle of an odd head */
    size_t begin = (size_t)row * all * c.head_dim;
    float v[W], w[W] = {};

    load_biased<T, W>(v, a, begin, head * c.head_dim + i);
    if (second)
        load_biased<T, W>(w, a, begin, head * c.head_dim + i + a.half);
    if (a.cosines && head < c.heads + c.kv_heads) {
        size_t angle = (size_t)(a.state->past + row % a.tokens) * a.half + i;
        float cosine[W], sine[W];
        load_some<float, W>(cosine, a.cosines + angle);
        load_some<float, W>(sine, a.sines + angle);
#pragma unroll
        for (int j = 0; j < W; j++) {
            float x = v[j], y = w[j];
            v[j] = x * cosine[j] - y * sine[j];
            w[j] = y * cosine[j] + x * sine[j];
        }
    }
    append<T, W>(a, row, head, i, v);
    if (second)
        append<T, W>(a, row, head, i + a.half, w);
}

cudaError_t launch_rope_append(cudaStream_t s, void *qkv, enum dtype act, const float *bias, const float *rope_cos,
                               const float *rope_sin, const struct gpu_cache *cache, const struct gpu_state *state, int tokens)
{
    int half = (cache->head_dim + 1) / 2, heads = cache->heads + 2 * cache->kv_heads;
    struct appending a = {qkv, bias, rope_cos, rope_sin, *cache, state, tokens, half};

    return with_type(act, [&](auto t) {
        bool fours = cache->head_dim % 8 == 0;
        size_t items = (size_t)heads * half / (fours ? 4 : 1);
        dim3 grid(cache->batch * tokens, (unsigned)((items + THREADS - 1) / THREADS));
        return launch(s, grid, dim3(THREADS), 0, may_follow(),
                      fours ? rope_append<decltype(t), 4> : rope_append<decltype(t), 1>, a);
    });
}

/* --- activations ---------------------------------------------------------------------------------------------------------- */

template <class T, bool GATED> __global__ void activate(T *hidden, const T *up, const float *bias, int d_ff)
{
    pdl_let_next_begin();
    pdl_wait();
    int i = 4 * (int)(blockIdx.y * blockDim.x + threadIdx.x);
    if (i >= d_ff)
        return;
    const T *from = up + (size_t)blockIdx.x * (GATED ? 2 : 1) * d_ff + i;
    float4 v = load_four<T>(from), b = {0, 0, 0, 0};
    if (bias)
        b = *(const float4 *)(bias + i);
    v = float4{v.x + b.x, v.y + b.y, v.z + b.z, v.w + b.w};
    if (GATED) {
        float4 u = load_four<T>(from + d_ff);
        if (bias)
            b = *(const float4 *)(bias + d_ff + i);
        v = float4{silu(v.x) * (u.x + b.x), silu(v.y) * (u.y + b.y), silu(v.z) * (u.z + b.z), silu(v.w) * (u.w + b.w)};
    } else {
        v = float4{gelu(v.x), gelu(v.y), gelu(v.z), gelu(v.w)};
    }
    store_four<T>(hidden + (size_t)blockIdx.x * d_ff + i, v);
}

cudaError_t launch_activation(cudaStream_t s, void *hidden, const void *up, enum dtype act, const float *bias,
                              enum mlp_kind kind, int rows, int d_ff)
{
    dim3 grid(rows, (unsigned)((d_ff / 4 + THREADS - 1) / THREADS));

    return with_type(act, [&](auto t) {
        using T = decltype(t);
        return launch(s, grid, dim3(THREADS), 0, may_follow(), kind == MLP_SWIGLU ? activate<T, true> : activate<T, false>,
                      (T *)hidden, (const T *)up, bias, d_ff);
    });
}

/* --- the choice ----------------------------------------------------------------------------------------------------------- */

struct best {
    float logit;
    int at;
};

/* Of equals the first; a NaN is larger than nothing. */
__device__ __forceinline__ struct best better(struct best a, struct best b)
{
    return b.logit > a.logit || (b.logit == a.logit && b.at < a.at) ? b : a;
}

__device__ __forceinline__ struct best warp_best(struct best b)
{
    for (int m = WARP / 2; m; m >>= 1) {
        struct best other = {__shfl_xor_sync(0xffffffffu, b.logit, m), __shfl_xor_sync(0xffffffffu, b.at, m)};
        b = better(b, other);
    }
    return b;
}

/* A thread's best of a row, four at a time where the row has come to a multiple of 16 bytes. */
__device__ __forceinline__ struct best best_of_row(const float *row, int vocab)
{
    struct best best = {-INFINITY, vocab};
    int lead = min((int)((16 - (uintptr_t)row % 16) % 16 / sizeof(float)), vocab), fours = (vocab - lead) / 4;
    const float4 *four = (const float4 *)(row + lead);

    if ((int)threadIdx.x < lead)
        best = better(best, {row[threadIdx.x], (int)threadIdx.x});
#pragma unroll 4
    for (int i = threadIdx.x; i < fours; i += CHOOSING) {
        float4 v = four[i];
        int at = lead + 4 * i;
        best = better(better(best, {v.x, at}), {v.y, at + 1});
        best = better(better(best, {v.z, at + 2}), {v.w, at + 3});
    }
    int tail = lead + 4 * fours + (int)threadIdx.x;
    return tail < vocab ? better(best, {row[tail], tail}) : best;
}

/* One block a sequence. Past is moved by the first of them: no other reads it here. */
__global__ __launch_bounds__(CHOOSING) void choose(int32_t *chosen, struct gpu_state *state, const float *logits, int vocab,
                                                   int first, int stride, int tokens)
{
    EXTERN_SHARED(struct best, found);

    pdl_let_next_begin();
    pdl_wait();
    struct best mine = warp_best(best_of_row(logits + ((size_t)first + (size_t)blockIdx.x * stride) * vocab, vocab));
    if (threadIdx.x % WARP == 0)
        found[threadIdx.x / WARP] = mine;
    __syncthreads();
    if (threadIdx.x >= WARP)
        return;
    mine = warp_best(found[threadIdx.x]);
    if (threadIdx.x != 0)
        return;
    int token = mine.at < vocab ? mine.at : 0; /* all NaN */
    state->ids[blockIdx.x] = token;
    chosen[blockIdx.x] = token;
    if (blockIdx.x == 0)
        state->past += tokens;
}

cudaError_t launch_choose(cudaStream_t s, int32_t *chosen, struct gpu_state *state, const float *logits, int batch, int vocab,
                          int first, int stride, int tokens)
{
    static_assert(CHOOSING / WARP == WARP, "one warp ends the search");

    return launch(s, dim3(batch), dim3(CHOOSING), WARP * sizeof(struct best), may_follow(), choose, chosen, state, logits,
                  vocab, first, stride, tokens);
}

/* --- sequences that change places ----------------------------------------------------------------------------------------- */

struct moving {
    char *to;
    const char *from;
    const int32_t *parent;
    int kv_heads;
    size_t history, kept; /* bytes of a head: in the cache, that go along */
    bool to_spare;
};

/* The histories of the sequences that move: out of their parents' places into the spare, or from there into their own. Grid
 * (heads of all sequences, parts of a history). */
template <class UNIT> __global__ void move_histories(const struct moving m)
{
    pdl_let_next_begin();
    pdl_wait();
    int sequence = blockIdx.x / m.kv_heads, head = blockIdx.x % m.kv_heads, parent = m.parent[sequence];
    if (parent == sequence)
        return;
    size_t mine = ((size_t)sequence * m.kv_heads + head) * m.history, theirs = ((size_t)parent * m.kv_heads + head) * m.history;
    UNIT *to = (UNIT *)(m.to + mine);
    const UNIT *from = (const UNIT *)(m.from + (m.to_spare ? theirs : mine));
    for (size_t i = blockIdx.y * blockDim.x + threadIdx.x; i < m.kept / sizeof(UNIT); i += (size_t)gridDim.y * blockDim.x)
        to[i] = from[i];
}

cudaError_t launch_reorder(cudaStream_t s, const struct kvcache *kv, const int32_t *parent, int length)
{
    size_t element = kv->dtype == DTYPE_F32 ? 4 : 2, position = element * kv->head_dim, history = position * kv->capacity;
    size_t layer = history * kv->kv_heads * kv->batch, kept = position * length;
    bool wide = position % sizeof(uint4) == 0;
    dim3 grid(kv->batch * kv->kv_heads, min(blocks_for(kept / (wide ? sizeof(uint4) : sizeof(uint16_t))), 64));

    for (int part = 0; kv->kept && length > 0 && part < 2 * 2 * kv->layers; part++) {
        bool to_spare = part % 2 == 0;
        char *here = (char *)(part / 2 % 2 ? kv->v : kv->k) + part / 4 * layer;
        struct moving m = {to_spare ? (char *)kv->spare : here,
                           to_spare ? here : (char *)kv->spare,
                           parent,
                           kv->kv_heads,
                           history,
                           kept,
                           to_spare};
        cudaError_t code =
            launch(s, grid, dim3(THREADS), 0, may_follow(), wide ? move_histories<uint4> : move_histories<uint16_t>, m);
        if (code != cudaSuccess)
            return code;
    }
    return cudaSuccess;
}
