/* SPDX-License-Identifier: MIT
 * Products of a decode step. They are as fast as the weights arrive, so everything serves that: the whole GPU is one block a
 * multiprocessor, whose warps each take some rows of weights at a time, with IN_FLIGHT loads of 16 bytes a lane on the way; the
 * first of them leave before the kernel before this one has ended, and those of the next rows before the sums of these are
 * added up. With its last loads it asks for the weights of the kernel after it, so that the memory works on while the one ends
 * and the other begins. The few rows of x are normed by each block itself and wait in shared memory as float32, so that a
 * weight is loaded once for all of them. What becomes of the sums is the one thing that the products differ in: `into_...`
 * below. */
#include "device.cuh"
#include "launch.h"
#include "layers.cuh"

enum { IN_FLIGHT = 8, WARPS_LEAST = 4, WARPS_MOST = 16, X_FLOATS = 24 << 10 };

/* Of a block at most. Sums for many rows of x fill the registers that 16 warps have. */
static constexpr int warps_for(int rows)
{
    return rows < 8 ? WARPS_MOST : 12;
}

/* What L2 is asked for: by each of the first `warps` warps, those that have rows in the last round, for `share` bytes. */
struct coming {
    const char *w;
    size_t bytes, share; /* share: a multiple of a line */
    int warps, steps;    /* steps: of each of them, altogether */
};

struct operands {
    const float *x;       /* [x_rows][cols] */
    struct gpu_norm norm; /* weight NULL: x as it is */
    const char *w;
    size_t row_bytes;
    int w_rows, x_rows, cols;
    int tile; /* columns of x that are in shared memory at a time */
    struct coming coming;
};

/* What the end of a sum needs, loaded before the sum so that nobody waits for it then; not added up here, which would be to
 * wait for it before the sum. */
struct before {
    float bias, there, cosine, sine;
};

/* --- where sums go -------------------------------------------------------------------------------------------------------- */

/* row_of says in which order rows of weights are taken. Where PAIRED, those at an even place and the next are a pair: put is
 * told the other's sum too. What put needs, prepare loads beforehand. */

/* y[row][at] (+)= f(sum + bias) */
struct into_rows {
    enum { PAIRED = 0 };
    float *y;
    const float *bias;
    int width;
    bool add, with_gelu;

    __device__ __forceinline__ int row_of(int nth) const
    {
        return nth;
    }
    __device__ __forceinline__ struct before prepare(int at, int row) const
    {
        return {bias ? bias[at] : 0, add ? y[(size_t)row * width + at] : 0, 0, 0};
    }
    __device__ __forceinline__ void put(int at, int row, float mine, float, struct before) const
    {
        y[(size_t)row * width + at] = with_gelu ? gelu(mine) : mine;
    }
};

/* hidden[row][at] = silu(gate) up; the pair is the two. */
struct into_gated {
    enum { PAIRED = 1 };
    float *hidden;
    const float *bias;
    int d_ff;

    __device__ __forceinline__ int row_of(int nth) const
    {
        return nth / 2 + (nth % 2 ? d_ff : 0);
    }
    __device__ __forceinline__ struct before prepare(int at, int) const
    {
        return {bias ? bias[at] : 0, 0, 0, 0};
    }
    __device__ __forceinline__ void put(int at, int row, float mine, float other, struct before) const
    {
        if (at < d_ff)
            hidden[(size_t)row * d_ff + at] = silu(mine) * other;
    }
};

/* q as float32, keys and values into the cache, at the state's position. With rotation the pair is what is rotated together. */
struct into_cache {
    enum { PAIRED = 1 };
    float *q;
    const float *bias, *cosines, *sines;
    struct gpu_cache cache;
    const struct gpu_state *state;

    __device__ __forceinline__ int row_of(int nth) const
    {
        int half = cache.head_dim / 2, pair = nth / 2;

        return cosines ? pair / half * cache.head_dim + pair % half + (nth % 2 ? half : 0) : nth;
    }
    __device__ __forceinline__ bool rotates(int at) const
    {
        return cosines && at < (cache.heads + cache.kv_heads) * cache.head_dim;
    }
    __device__ __forceinline__ struct before prepare(int at, int) const
    {
        struct before b = {bias ? bias[at] : 0, 0, 1, 0};

        if (rotates(at)) {
            int half = cache.head_dim / 2;
            size_t angle = (size_t)state->past * half + at % cache.head_dim % half;
            b.cosine = cosines[angle], b.sine = sines[angle];
        }
        return b;
    }
    __device__ __forceinline__ void put(int at, int row, float mine, float other, struct before b) const
    {
        int head = at / cache.head_dim, i = at % cache.head_dim;

        if (rotates(at))
            mine = mine * b.cosine + (i < cache.head_dim / 2 ? -other : other) * b.sine;
        if (head < cache.heads) {
            q[(size_t)row * cache.heads * cache.head_dim + at] = mine;
            return;
        }
        bool key = head < cache.heads + cache.kv_heads;
        int kv_head = head - cache.heads - (key ? 0 : cache.kv_heads);
        store_as(cache.dtype, key ? cache.k : cache.v, cache_at(cache, row, kv_head, state->past) + i, mine);
    }
};

/* --- the product ---------------------------------------------------------------------------------------------------------- */

/* Asks for the lane's next packs of R rows of weights: `first` and every 32nd after it. Row NULL: there is none. */
template <int R>
__device__ __forceinline__ void load_packs(uint4 (&w)[IN_FLIGHT / R][R], const char *const (&row)[R], int first, int packs)
{
#pragma unroll
    for (int u = 0; u < IN_FLIGHT / R; u++)
#pragma unroll
        for (int r = 0; r < R; r++) {
            int at = first + u * WARP;
            w[u][r] = row[r] && at < packs ? load_stream(row[r] + 16 * (size_t)at) : uint4{0, 0, 0, 0};
        }
}

/* Where the R rows of weights begin that have the places from `nth` on. */
template <int R, class OUT>
__device__ __forceinline__ void find_rows(const char *(&row)[R], const struct operands &p, const OUT &out, int nth)
{
#pragma unroll
    for (int r = 0; r < R; r++)
        row[r] = nth + r < p.w_rows ? p.w + (size_t)out.row_of(nth + r) * p.row_bytes : nullptr;
}

/* Columns `first` to `end` of x into shared memory. A pack of 8 columns is there as two halves in planes of their own, each
 * `plane` packs, so that the lanes of a warp, which read packs side by side, meet all banks. */
template <class T, int ROWS>
__device__ __forceinline__ void stage(float4 *to, const struct operands &p, const struct moments *moments, int first, int end)
{
    enum { HALVES = pack16<T>::N / 4, AT_ONCE = fours_at_once(ROWS) };
    int plane = p.tile / pack16<T>::N;

#pragma unroll
    for (int r = 0; r < ROWS; r++)
        for (int i = threadIdx.x; i < (end - first) / 4; i += AT_ONCE * blockDim.x) {
            float4 v[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                int f = i + u * blockDim.x;
                v[u] = float4{0, 0, 0, 0};
                if (r < p.x_rows && f < (end - first) / 4)
                    v[u] = *(const float4 *)(p.x + (size_t)r * p.cols + first + 4 * f);
            }
#pragma unroll
            for (int u = 0; u < AT_ONCE; u++) {
                int f = i + u * blockDim.x;
                if (f >= (end - first) / 4)
                    break;
                if (p.norm.weight)
                    v[u] = normalise(v[u], moments[r], p.norm, first + 4 * f);
                to[(r * HALVES + f % HALVES) * plane + f / HALVES] = v[u];
            }
        }
}

/* Asks L2 for the part of what comes that the warp of this number has. */
__device__ __forceinline__ void ask_ahead(const struct coming &c, int warp)
{
    size_t begin = warp * c.share, end = min(begin + c.share, c.bytes);

#pragma unroll 1
    for (size_t at = begin + threadIdx.x % WARP * LINE; at < end; at += WARP * LINE)
        prefetch_l2(c.w + at);
}

/* The norm's weights, which every block needs at once when the kernel before has ended: L2 has them by then. */
__device__ __forceinline__ void ask_for_norm(const struct gpu_norm &norm, int cols)
{
    size_t at = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * LINE;

    if (norm.weight && at < cols * sizeof(float)) {
        prefetch_l2((const char *)norm.weight + at);
        if (norm.bias)
            prefetch_l2((const char *)norm.bias + at);
    }
}

/* sum[r * ROWS + row] += the packs of w times those of x, of which `packs` are there from the lane's `first` on. */
template <class T, int ROWS, int R>
__device__ __forceinline__ void add_packs(float (&sum)[R * ROWS], const uint4 (&w)[IN_FLIGHT / R][R], const float4 *x,
                                          int first, int packs, int plane)
{
    enum { HALVES = pack16<T>::N / 4 };

#pragma unroll
    for (int u = 0; u < IN_FLIGHT / R; u++) {
        int at = first + u * WARP;
        if (at >= packs)
            continue;
#pragma unroll
        for (int half = 0; half < HALVES; half++) {
            float e[R][4];
#pragma unroll
            for (int r = 0; r < R; r++) {
                pack16<T> pack;
                pack.raw = w[u][r];
#pragma unroll
                for (int i = 0; i < 4; i++)
                    e[r][i] = to_float(pack.at[4 * half + i]);
            }
#pragma unroll
            for (int row = 0; row < ROWS; row++) {
                float4 v = x[(row * HALVES + half) * plane + at];
#pragma unroll
                for (int r = 0; r < R; r++) {
                    float &s = sum[r * ROWS + row];
                    s = fmaf(e[r][3], v.w, fmaf(e[r][2], v.z, fmaf(e[r][1], v.y, fmaf(e[r][0], v.x, s))));
                }
            }
        }
    }
}

/* Places are dealt out so that blocks differ by R at most: those of a round first to warp 0 of every block, then to warp 1. */
template <class T, int ROWS, int R, class OUT>
__global__ __launch_bounds__(warps_for(ROWS) * WARP, 1) void decode_product(const struct operands p, const OUT out)
{
    enum { N = pack16<T>::N, STEP = WARP * IN_FLIGHT / R }; /* packs of a row: of a load, of a warp's step */
    enum { ASKS = ROWS < 8 }; /* sums for more leave no register to count steps in, and the memory less to wait for */
    EXTERN_SHARED(float, shared);
    struct moments *moments = (struct moments *)(shared + ROWS * p.tile);
    int lane = threadIdx.x % WARP, round = gridDim.x * (blockDim.x / WARP) * R, packs = p.cols / N, tile = p.tile / N;
    int warp = threadIdx.x / WARP * gridDim.x + blockIdx.x, nth = warp * R;
    int my_r = lane % (R * ROWS) / ROWS, my_row = lane % ROWS;
    int left = warp < p.coming.warps ? p.coming.steps : 0;
    const char *row[R];
    uint4 w[IN_FLIGHT / R][R];

    find_rows<R>(row, p, out, nth);
    load_packs<R>(w, row, lane, packs);
    ask_for_norm(p.norm, p.cols);
    if (ASKS && left == 1)
        ask_ahead(p.coming, warp);
    pdl_let_next_begin();
    pdl_wait();
    if (p.norm.weight) {
        struct moments found[ROWS];
        find_moments<ROWS>(found, p.x, p.x_rows, p.cols, p.norm, (float *)(moments + ROWS));
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (threadIdx.x == 0)
                moments[r] = found[r];
    }
    for (int begin = 0; begin < p.w_rows; begin += round, nth += round) {
        bool mine = nth + my_r < p.w_rows && my_row < p.x_rows;
        int at = mine ? out.row_of(nth + my_r) : 0;
        float sum[R * ROWS] = {};
        struct before before = {0, 0, 0, 0};
        if (mine)
            before = out.prepare(at, my_row);
        for (int first = 0; first < packs; first += tile) {
            int end = min(first + tile, packs);
            if (begin == 0 || tile < packs) {
                __syncthreads(); /* all have read what was there, and the moments are there */
                stage<T, ROWS>((float4 *)shared, p, moments, first * N, end * N);
                __syncthreads();
            }
            for (int k = first; k < end && nth < p.w_rows; k += STEP) {
                add_packs<T, ROWS, R>(sum, w, (const float4 *)shared, k - first + lane, end - first, tile);
                if (k + STEP >= packs)
                    find_rows<R>(row, p, out, nth + round);
                load_packs<R>(w, row, (k + STEP < packs ? k + STEP : 0) + lane, packs);
                if (ASKS && --left == 1) /* those were the last */
                    ask_ahead(p.coming, warp);
            }
        }
        float v = lane_sums<R * ROWS>(sum) + before.bias + before.there;
        float other = OUT::PAIRED ? __shfl_xor_sync(0xffffffffu, v, ROWS) : 0;
        if (mine && lane < R * ROWS)
            out.put(at, my_row, v, other, before);
    }
}

/* --- launching ------------------------------------------------------------------------------------------------------------ */

/* Of a block. All, if a few do not suffice: they have more than half of a multiprocessor's registers together, so that no two
 * blocks crowd the first multiprocessor that the kernel before leaves. */
static int warps_of(int rows, int units, int blocks)
{
    return units <= WARPS_LEAST * blocks ? WARPS_LEAST : warps_for(rows);
}

/* Of `units` that `warps` warps take in rounds, those of the last round share what comes: before that the memory is busy, and
 * what it brought then would only be in the way of what is waited for. A quarter of L2 is more than the time between two
 * kernels is worth, and is not thrown out of it before it is read. */
static void deal_out(struct coming *c, int units, int warps, int steps_of_a_unit)
{
    c->bytes = min(c->bytes, (size_t)device_has(cudaDevAttrL2CacheSize) / 4);
    c->warps = (units - 1) % warps + 1;
    c->steps = ((units - 1) / warps + 1) * steps_of_a_unit;
    c->share = (c->bytes / c->warps / LINE + 1) * LINE;
}

template <class T, int ROWS, int R, class OUT> static cudaError_t run(cudaStream_t s, struct operands p, const OUT &out)
{
    enum { STEP = WARP * IN_FLIGHT / R * pack16<T>::N }; /* columns */
    static_assert(X_FLOATS / ROWS % STEP == 0, "tiles are whole steps of a warp");
    int units = (p.w_rows + R - 1) / R, blocks = min(multiprocessors(), units), warps = warps_of(ROWS, units, blocks);

    deal_out(&p.coming, units, blocks * warps, (p.cols + STEP - 1) / STEP);
    p.tile = min(p.cols, (int)X_FLOATS / ROWS);
    size_t shared = ((size_t)ROWS * p.tile + 2 * ROWS + ROWS * warps) * sizeof(float);
    return launch(s, dim3(blocks), dim3(warps * WARP), shared, may_follow(), decode_product<T, ROWS, R, OUT>, p, out);
}

/* How many rows of weights a warp takes at a time: a pair where pairs belong together and where there are plenty; more where
 * the rows of x are many, because each of their numbers is then read for more weights. */
template <class T, class OUT> static cudaError_t run_rows(cudaStream_t s, const struct operands &p, const OUT &out)
{
    bool plenty = p.w_rows >= 2 * WARPS_MOST * multiprocessors();

    if (p.w_rows < 1 || p.cols < 8 || p.cols % 8 || p.x_rows < 1 || p.x_rows > DECODE_ROWS_MAX)
        return cudaErrorInvalidValue;
    if (p.x_rows > 4)
        return run<T, 8, 4>(s, p, out);
    if (p.x_rows > 2)
        return run<T, 4, 2>(s, p, out);
    if constexpr (!OUT::PAIRED)
        if (!plenty)
            return p.x_rows == 2 ? run<T, 2, 1>(s, p, out) : run<T, 1, 1>(s, p, out);
    return p.x_rows == 2 ? run<T, 2, 2>(s, p, out) : run<T, 1, 2>(s, p, out);
}

template <class OUT>
static cudaError_t multiply(cudaStream_t s, const float *x, int rows, const struct gpu_norm *norm, const struct matrix *w,
                            const struct matrix *next, const OUT &out)
{
    struct operands p = {};

    p.x = x, p.x_rows = rows;
    if (norm)
        p.norm = *norm;
    p.w = (const char *)w->data, p.row_bytes = w->row_bytes, p.w_rows = w->rows, p.cols = w->cols;
    if (next)
        p.coming.w = (const char *)next->data, p.coming.bytes = next->rows * next->row_bytes;
    return with_type(w->dtype, [&](auto t) { return run_rows<decltype(t)>(s, p, out); });
}

cudaError_t launch_decode_qkv(cudaStream_t s, float *q, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                              const float *bias, const float *rope_cos, const float *rope_sin, const struct gpu_cache *cache,
                              const struct gpu_state *state, const struct matrix *next)
{
    struct into_cache out = {};

    out.q = q, out.bias = bias, out.cosines = rope_cos, out.sines = rope_sin, out.cache = *cache, out.state = state;
    return multiply(s, x, cache->batch, norm, w, next, out);
}

cudaError_t launch_decode_product(cudaStream_t s, float *y, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                                  const float *bias, int rows, bool add, const struct matrix *next)
{
    struct into_rows out = {};

    out.y = y, out.bias = bias, out.width = w->rows, out.add = add;
    return multiply(s, x, rows, norm, w, next, out);
}

cudaError_t launch_decode_up(cudaStream_t s, float *hidden, const float *x, const struct gpu_norm *norm, const struct matrix *w,
                             const float *bias, enum mlp_kind kind, int rows, int d_ff, const struct matrix *next)
{
    if (kind == MLP_SWIGLU) {
        struct into_gated out = {};
        out.hidden = hidden, out.bias = bias, out.d_ff = d_ff;
        return multiply(s, x, rows, norm, w, next, out);
    }
    struct into_rows out = {};
    out.y = hidden, out.bias = bias, out.width = d_ff, out.with_gelu = true;
    return multiply(s, x, rows, norm, w, next, out);
}
