/* SPDX-License-Identifier: MIT
 * Attention of many queries with an online softmax over tiles of keys, so that scores never leave the multiprocessor: on tensor
 * cores for caches of 16 bits, in float32 for others. */
#include "attention.cuh"

/* --- activations, whatever they are ------------------------------------------------------------------------------------- */

template <class T> __device__ __forceinline__ void load8_of(float out[8], const T *p)
{
    enum { N = pack16<T>::N };

#pragma unroll
    for (int i = 0; i < 8; i += N) {
        pack16<T> w;
        w.raw = *(const uint4 *)(p + i);
#pragma unroll
        for (int j = 0; j < N; j++)
            out[i + j] = to_float(w.at[j]);
    }
}

__device__ __forceinline__ void load8(float out[8], const void *p, int act, size_t at)
{
    if (act == DTYPE_F32)
        load8_of(out, (const float *)p + at);
    else if (act == DTYPE_F16)
        load8_of(out, (const __half *)p + at);
    else
        load8_of(out, (const __nv_bfloat16 *)p + at);
}

__device__ __forceinline__ uint32_t pair_of(float a, float b, __half)
{
    union {
        __half2 pair;
        uint32_t bits;
    } u = {__floats2half2_rn(a, b)};
    return u.bits;
}

__device__ __forceinline__ uint32_t pair_of(float a, float b, __nv_bfloat16)
{
    union {
        __nv_bfloat162 pair;
        uint32_t bits;
    } u = {__floats2bfloat162_rn(a, b)};
    return u.bits;
}

__device__ __forceinline__ void store2(void *p, int act, size_t at, float a, float b)
{
    if (act == DTYPE_F32)
        *(float2 *)((float *)p + at) = make_float2(a, b);
    else
        *(uint32_t *)((uint16_t *)p + at) = act == DTYPE_F16 ? pair_of(a, b, __half()) : pair_of(a, b, __nv_bfloat16());
}

/* --- softmax ------------------------------------------------------------------------------------------------------------ */

/* One row of the online softmax. Scores become exp2(scale (score - high)), 0 for those that are not seen (-INFINITY). */
struct row_state {
    float high, sum;
};

/* The row's new maximum is `high`: returns what to take off its exponents; *fix scales what was summed before. */
__device__ __forceinline__ float row_raise(struct row_state &r, float high, float scale, float *fix)
{
    high = fmaxf(r.high, high);

    float base = high == -INFINITY ? 0 : high * scale; /* nothing seen yet */
    *fix = exp2_approx(r.high * scale - base);
    r.high = high;
    r.sum *= *fix;
    return base;
}

/* --- tensor cores ------------------------------------------------------------------------------------------------------- */

/* M: a warp's queries in 16s. Two such share what is read of keys and values, so 2 where there are blocks enough. */
template <class T, int D, int M> struct tensor_tile {
    enum {
        WARPS = 4,
        THREADS = WARPS * WARP,
        ROWS = 16 * M,
        QUERIES = WARPS * ROWS,
        TIGHT = M == 2 && D > 64, /* of registers, of which none may spill: then fewer scores at a time */
        KEYS = TIGHT ? 32 : 64,
        STEPS = TIGHT ? 2 : D / 16, /* along a row that are unrolled */
        CHUNKS = D / 8,             /* of 16 bytes, in a row */
        SHARED = (QUERIES + 4 * KEYS) * D * (int)sizeof(T)
    };
};

/* Element 8 `chunk` of a row in shared memory. Chunks change places within their row so that those of eight successive rows,
 * which a matrix of ldmatrix reads, lie in different banks; the change is the same for all rows and chunks 8 apart. */
template <int D> struct twist {
    enum { CHUNKS = D / 8, OF = CHUNKS % 8 == 0 ? 8 : CHUNKS % 4 == 0 ? 4 : CHUNKS % 2 == 0 ? 2 : 1 };
};
template <int D> __device__ __forceinline__ int spread(int row, int chunk)
{
    return row * D + (chunk ^ (row / (8 / twist<D>::OF) % twist<D>::OF)) * 8;
}

/* From an even (odd) chunk to that `chunks`, an even number, further on: said so that it costs no register. */
template <int D> __device__ __forceinline__ int along(int at, int chunks)
{
    enum { GROUP = 8 * twist<D>::OF };

    return (at ^ (8 * chunks % GROUP)) + 8 * chunks / GROUP * GROUP;
}

/* Begins to copy a tile of keys or values; positions from `end` on are not read and become zeros. */
template <class T, int D, int M> __device__ __forceinline__ void fetch(T *to, const T *from, int key, int end)
{
    using tile = tensor_tile<T, D, M>;
    enum { LANES = twist<D>::OF, ROWS = tile::THREADS / LANES }; /* at a time */
    int row = threadIdx.x / LANES, chunk = threadIdx.x % LANES;

    to += spread<D>(row, chunk);
    from += (size_t)(key + row) * D + 8 * chunk;
#pragma unroll
    for (int i = 0; i < tile::KEYS; i += ROWS)
#pragma unroll
        for (int j = 0; j < tile::CHUNKS; j += LANES)
            copy_async16(to + i * D + 8 * j, from + i * D + 8 * j, key + row + i < end);
}

/* The block's queries, rounded to the cache's type; zeros beyond the last. */
template <class T, int D, int M>
__device__ __forceinline__ void take_queries(T *to, const struct task &t, const struct place &p)
{
    using tile = tensor_tile<T, D, M>;

    for (int c = threadIdx.x; c < tile::QUERIES * tile::CHUNKS; c += tile::THREADS) {
        int row = c / tile::CHUNKS, chunk = c % tile::CHUNKS;
        float v[8] = {};
        if (p.query + row < t.tokens)
            load8(v, t.q, t.act, (p.row + p.query + row) * t.q_stride + p.head * D + 8 * chunk);
        *(uint4 *)(to + spread<D>(row, chunk)) =
            make_uint4(pair_of(v[0], v[1], T()), pair_of(v[2], v[3], T()), pair_of(v[4], v[5], T()), pair_of(v[6], v[7], T()));
    }
}

/* s = q k^T of a warp's queries and all keys of the tile; they begin at q and k of `shared`. */
template <class T, int D, int M>
__device__ __forceinline__ void score(float s[M][tensor_tile<T, D, M>::KEYS / 8][4], const T *shared, int q, int k)
{
    using tile = tensor_tile<T, D, M>;
    int lane = threadIdx.x % WARP;

    q += spread<D>(lane % 16, lane / 16);
    k += spread<D>(lane / 16 * 8 + lane % 8, lane / 8 % 2);

#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < tile::KEYS / 8; n++)
            s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0;
#pragma unroll tile::STEPS
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
            ldmatrix_x4(a[m], shared + along<D>(q, 2 * d) + 16 * m * D);
#pragma unroll
        for (int n = 0; n < tile::KEYS / 8; n += 2) {
            uint32_t b[4];
            ldmatrix_x4(b, shared + along<D>(k, 2 * d) + 8 * n * D);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_16816<T>(s[m][n], a[m], b);
                mma_16816<T>(s[m][n + 1], a[m], b + 2);
            }
        }
    }
}

/* o += p v; the scores' fragments, rounded, are laid out as those of the left operand. */
template <class T, int D, int M>
__device__ __forceinline__ void mix(float o[M][D / 8][4], const float p[M][tensor_tile<T, D, M>::KEYS / 8][4], const T *shared,
                                    int v)
{
    int lane = threadIdx.x % WARP;

    v += spread<D>(lane % 16, lane / 16);
#pragma unroll
    for (int n = 0; n < tensor_tile<T, D, M>::KEYS / 8; n += 2) {
        uint32_t a[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[m][i] = pair_of(p[m][n + i / 2][i % 2 * 2], p[m][n + i / 2][i % 2 * 2 + 1], T());
#pragma unroll
        for (int d = 0; d < D / 8; d += 2) {
            uint32_t b[4];
            ldmatrix_x4_trans(b, shared + along<D>(v, d) + 8 * n * D);
#pragma unroll
            for (int m = 0; m < M; m++) {
                mma_16816<T>(o[m][d], a[m], b);
                mma_16816<T>(o[m][d + 1], a[m], b + 2);
            }
        }
    }
}

/* Hides from each query the keys that it does not see; key, position: the first of the fragment's. */
template <int M, int N> __device__ __forceinline__ void hide(float s[M][N][4], const struct task &t, int key, int position)
{
    int lane = threadIdx.x % WARP;

#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (!is_seen(t, key + 8 * n + lane % 4 * 2 + i % 2, position + 16 * m + lane / 4 + i / 2 * 8))
                    s[m][n][i] = -INFINITY;
}

/* Scores become weights; what was mixed and summed before is brought down to the new maxima. Sums stay this lane's own. */
template <int M, int N, int D8>
__device__ __forceinline__ void soften(float s[M][N][4], float o[M][D8][4], struct row_state r[M][2], float scale)
{
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) { /* rows lane / 4 and lane / 4 + 8 */
            float high = -INFINITY, fix;
#pragma unroll
            for (int n = 0; n < N; n++)
                high = fmaxf(high, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 1));
            high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, 2));
            float base = row_raise(r[m][half], high, scale, &fix);
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[m][n][i] = exp2_approx(s[m][n][i] * scale - base);
                    r[m][half].sum += s[m][n][i];
                }
#pragma unroll
            for (int d = 0; d < D8; d++) {
                o[m][d][2 * half] *= fix;
                o[m][d][2 * half + 1] *= fix;
            }
        }
}

template <int D, int M>
__device__ __forceinline__ void give(const struct task &t, const struct place &p, int query, const float o[M][D / 8][4],
                                     const struct row_state r[M][2])
{
    int lane = threadIdx.x % WARP;

#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int token = query + 16 * m + 8 * half + lane / 4;
            float sum = r[m][half].sum;
            sum += __shfl_xor_sync(0xffffffffu, sum, 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            if (token >= t.tokens)
                continue;
            float share = 1 / sum;
            size_t at = ((p.row + token) * t.heads + p.head) * D + lane % 4 * 2;
#pragma unroll
            for (int d = 0; d < D / 8; d++)
                store2(t.mixed, t.act, at + 8 * d, o[m][d][2 * half] * share, o[m][d][2 * half + 1] * share);
        }
}

/* While a tile is computed the next one is on its way: one barrier says both that this one is there and that the other's room
 * is free. A warp leaves out tiles that none of its queries sees. */
template <class T, int D, int M> __global__ void __launch_bounds__(tensor_tile<T, D, M>::THREADS, 2) flash_tensor(struct task t)
{
    using tile = tensor_tile<T, D, M>;
    enum { N = tile::KEYS / 8, K = tile::QUERIES * D, V = tile::KEYS * D, STAGE = 2 * V };
    EXTERN_SHARED(T, shared); /* queries; from K on two stages of keys and, V further on, values */

    pdl_wait();
    struct place p = place_of(t, tile::QUERIES);
    struct span keys = keys_of(t, p.past, p.query, tile::QUERIES);
    const T *k = (const T *)t.k + p.history, *v = (const T *)t.v + p.history;
    int warp_row = threadIdx.x / WARP * tile::ROWS, query = p.query + warp_row, position = p.past + query;
    float o[M][D / 8][4] = {};
    struct row_state rows[M][2];
#pragma unroll
    for (int i = 0; i < 2 * M; i++)
        rows[i / 2][i % 2] = {-INFINITY, 0};

    take_queries<T, D, M>(shared, t, p);
    int key = keys.first / tile::KEYS * tile::KEYS, now = K;
    fetch<T, D, M>(shared + now, k, key, keys.end);
    fetch<T, D, M>(shared + now + V, v, key, keys.end);
    copy_async_commit();
    for (; key < keys.end; key += tile::KEYS, now = 2 * K + STAGE - now) {
        int next = 2 * K + STAGE - now; /* the other stage */
        copy_async_wait<0>();
        __syncthreads();
        if (key + tile::KEYS < keys.end) {
            fetch<T, D, M>(shared + next, k, key + tile::KEYS, keys.end);
            fetch<T, D, M>(shared + next + V, v, key + tile::KEYS, keys.end);
        }
        copy_async_commit();
        if (query >= t.tokens || key >= position + tile::ROWS || key + tile::KEYS <= position - t.window + 1)
            continue;
        float s[M][N][4];
        score<T, D, M>(s, shared, warp_row * D, now);
        if (key + tile::KEYS - 1 > position || key <= position + tile::ROWS - 1 - t.window)
            hide<M, N>(s, t, key, position);
        soften<M, N, D / 8>(s, o, rows, t.scale);
        mix<T, D, M>(o, s, shared, now + V);
    }
    give<D, M>(t, p, query, o, rows);
}

/* --- float32 ------------------------------------------------------------------------------------------------------------ */

/* 16 x 16 threads: each has the scores of 4 queries and 2 keys, and of these queries D / 16 elements of the result. Rows are
 * apart by what keeps those that are read at once in different banks. */
template <int D> struct float_tile {
    enum {
        SIDE = 16,
        THREADS = SIDE * SIDE,
        OWN = 4, /* queries of a thread, next to each other */
        QUERIES = SIDE * OWN,
        KEYS = 32,
        APART = D + 4,
        APART_P = KEYS + 4,
        SHARED = ((QUERIES + KEYS) * APART + KEYS * D + QUERIES * APART_P) * (int)sizeof(float)
    };
};

template <int D> __device__ __forceinline__ void take_queries(float *to, const struct task &t, const struct place &p)
{
    using tile = float_tile<D>;

    for (int c = threadIdx.x; c < tile::QUERIES * D / 8; c += tile::THREADS) {
        int row = c / (D / 8), at = c % (D / 8) * 8;
        float v[8] = {};
        if (p.query + row < t.tokens)
            load8(v, t.q, t.act, (p.row + p.query + row) * t.q_stride + p.head * D + at);
        float4 *out = (float4 *)(to + row * tile::APART + at);
        out[0] = make_float4(v[0], v[1], v[2], v[3]);
        out[1] = make_float4(v[4], v[5], v[6], v[7]);
    }
}

template <int D> __device__ __forceinline__ void fetch(float *to, int apart, const float *from, int key, int end)
{
    using tile = float_tile<D>;

#pragma unroll
    for (int i = 0; i < tile::KEYS * D / 4 / tile::THREADS; i++) {
        int c = threadIdx.x + i * tile::THREADS, row = c / (D / 4), at = c % (D / 4) * 4;
        copy_async16(to + row * apart + at, from + (size_t)(key + row) * D + at, key + row < end);
    }
}

__device__ __forceinline__ float dot4(float sum, float4 a, float4 b)
{
    return sum + a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
}

/* s[i][j]: of query OWN ty + i and key tx + SIDE j. */
template <int D> __device__ __forceinline__ void score(float s[4][2], const float *q, const float *k, int tx, int ty)
{
    using tile = float_tile<D>;

#pragma unroll
    for (int i = 0; i < 4; i++)
        s[i][0] = s[i][1] = 0;
#pragma unroll 2
    for (int d = 0; d < D; d += 4) {
        float4 b0 = *(const float4 *)(k + tx * tile::APART + d);
        float4 b1 = *(const float4 *)(k + (tx + tile::SIDE) * tile::APART + d);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float4 a = *(const float4 *)(q + (ty * 4 + i) * tile::APART + d);
            s[i][0] = dot4(s[i][0], a, b0);
            s[i][1] = dot4(s[i][1], a, b1);
        }
    }
}

/* o[i][c]: of query OWN ty + i, elements 2 tx + 32 (c / 2) + c % 2. */
template <int D> __device__ __forceinline__ void mix(float o[4][D / 16], const float *p, const float *v, int tx, int ty)
{
    using tile = float_tile<D>;

#pragma unroll 2
    for (int k = 0; k < tile::KEYS; k++) {
        float w[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = p[(ty * 4 + i) * tile::APART_P + k];
#pragma unroll
        for (int c = 0; c < D / 32; c++) {
            float2 e = *(const float2 *)(v + k * D + 32 * c + 2 * tx);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                o[i][2 * c] += w[i] * e.x;
                o[i][2 * c + 1] += w[i] * e.y;
            }
        }
    }
}

/* Scores become weights and go to p, where the threads of the same queries, 16 lanes of one warp, find them. */
template <int D>
__device__ __forceinline__ void soften(float s[4][2], float o[4][D / 16], struct row_state r[4], float *p, float scale, int tx,
                                       int ty)
{
    using tile = float_tile<D>;

#pragma unroll
    for (int i = 0; i < 4; i++) {
        float high = fmaxf(s[i][0], s[i][1]), fix;
#pragma unroll
        for (int m = tile::SIDE / 2; m; m >>= 1)
            high = fmaxf(high, __shfl_xor_sync(0xffffffffu, high, m));
        float base = row_raise(r[i], high, scale, &fix);
#pragma unroll
        for (int j = 0; j < 2; j++) {
            float w = exp2_approx(s[i][j] * scale - base);
            p[(ty * 4 + i) * tile::APART_P + tx + tile::SIDE * j] = w;
            r[i].sum += w;
        }
#pragma unroll
        for (int c = 0; c < D / 16; c++)
            o[i][c] *= fix;
    }
    __syncwarp();
}

template <int D>
__device__ __forceinline__ void give(const struct task &t, const struct place &p, const float o[4][D / 16],
                                     const struct row_state r[4], int tx, int ty)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int token = p.query + ty * 4 + i;
        float sum = r[i].sum;
#pragma unroll
        for (int m = float_tile<D>::SIDE / 2; m; m >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, m);
        if (token >= t.tokens)
            continue;
        float share = 1 / sum;
        size_t at = ((p.row + token) * t.heads + p.head) * D + 2 * tx;
#pragma unroll
        for (int c = 0; c < D / 32; c++)
            store2(t.mixed, t.act, at + 32 * c, o[i][2 * c] * share, o[i][2 * c + 1] * share);
    }
}

template <int D> __global__ void __launch_bounds__(float_tile<D>::THREADS, 2) flash_float(struct task t)
{
    using tile = float_tile<D>;
    EXTERN_SHARED(float, q);
    float *k = q + tile::QUERIES * tile::APART, *v = k + tile::KEYS * tile::APART, *weights = v + tile::KEYS * D;
    int tx = threadIdx.x % tile::SIDE, ty = threadIdx.x / tile::SIDE;

    pdl_wait();
    struct place p = place_of(t, tile::QUERIES);
    struct span keys = keys_of(t, p.past, p.query, tile::QUERIES);
    int position = p.past + p.query;
    float o[4][D / 16] = {};
    struct row_state rows[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        rows[i] = {-INFINITY, 0};

    take_queries<D>(q, t, p);
    for (int key = keys.first / tile::KEYS * tile::KEYS; key < keys.end; key += tile::KEYS) {
        float s[4][2];
        __syncthreads(); /* the tile before is no longer needed */
        fetch<D>(k, tile::APART, (const float *)t.k + p.history, key, keys.end);
        fetch<D>(v, D, (const float *)t.v + p.history, key, keys.end);
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads();
        score<D>(s, q, k, tx, ty);
        if (key + tile::KEYS - 1 > position || key <= position + tile::QUERIES - 1 - t.window)
#pragma unroll
            for (int i = 0; i < 8; i++)
                if (!is_seen(t, key + tx + tile::SIDE * (i % 2), position + ty * 4 + i / 2))
                    s[i / 2][i % 2] = -INFINITY;
        soften<D>(s, o, rows, weights, t.scale, tx, ty);
        mix<D>(o, weights, v, tx, ty);
    }
    give<D>(t, p, o, rows, tx, ty);
}

/* --- launching ---------------------------------------------------------------------------------------------------------- */

/* Calls f with what stands for the head dimension, so that it picks a template; others are refused. The one list of them. */
template <int D> struct dimension {
    enum { value = D };
};
template <class F> static cudaError_t with_head_dim(int head_dim, F f)
{
    switch (head_dim) {
    case 32:
        return f(dimension<32>());
    case 64:
        return f(dimension<64>());
    case 96:
        return f(dimension<96>());
    case 128:
        return f(dimension<128>());
    default:
        return cudaErrorInvalidValue;
    }
}

template <class T, int D, int M>
static cudaError_t launch_tensor(cudaStream_t s, const struct gpu_cache *c, const struct task &t)
{
    using tile = tensor_tile<T, D, M>;

    return launch(s, tiles(c, t.tokens, tile::QUERIES), tile::THREADS, tile::SHARED, may_follow(), flash_tensor<T, D, M>, t);
}

/* Whether large tiles would give each multiprocessor the two blocks it has room for. */
static cudaError_t are_enough(const struct gpu_cache *c, int tokens, int queries, bool *out)
{
    dim3 blocks = tiles(c, tokens, queries);
    int device, processors;
    cudaError_t code = cudaGetDevice(&device);

    if (code == cudaSuccess)
        code = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
    if (code == cudaSuccess)
        *out = (size_t)blocks.x * blocks.y * blocks.z >= (size_t)(2 * processors);
    return code;
}

template <class T, int D> static cudaError_t launch_flash(cudaStream_t s, const struct gpu_cache *c, const struct task &t, T)
{
    bool large;
    cudaError_t code = are_enough(c, t.tokens, tensor_tile<T, D, 2>::QUERIES, &large);

    if (code != cudaSuccess)
        return code;
    return large ? launch_tensor<T, D, 2>(s, c, t) : launch_tensor<T, D, 1>(s, c, t);
}

template <class T, int D>
static cudaError_t launch_flash(cudaStream_t s, const struct gpu_cache *c, const struct task &t, float)
{
    using tile = float_tile<D>;

    return launch(s, tiles(c, t.tokens, tile::QUERIES), tile::THREADS, tile::SHARED, may_follow(), flash_float<D>, t);
}

cudaError_t launch_flash_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                   const struct gpu_cache *cache, const struct gpu_state *state, int tokens)
{
    struct task t = task_of(mixed, q, q_stride, act, cache, state, tokens);

    return with_head_dim(cache->head_dim, [&](auto d) {
        return with_type(cache->dtype, [&](auto element) {
            return launch_flash<decltype(element), decltype(d)::value>(s, cache, t, element);
        });
    });
}

bool gpu_has_head_dim(int head_dim)
{
    return with_head_dim(head_dim, [](auto) { return cudaSuccess; }) == cudaSuccess;
}
