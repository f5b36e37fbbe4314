/* SPDX-License-Identifier: MIT
 * Attention as it is written down: all scores, then their softmax, then the values, with the matrix of scores in memory. Any
 * head dimension, any dtype, in float32. */
#include "attention.cuh"

/* 32 x 8 threads compute tiles of 32 x 32, four elements of a column each. */
enum { SIDE = 32, LINES = 8, OWN = SIDE / LINES, NAIVE_THREADS = SIDE * LINES };

/* sum[r] += left row ty + LINES r times right column tx; both tiles [SIDE][SIDE], rows one apart. */
__device__ __forceinline__ void tile_product(float sum[OWN], const float (*left)[SIDE + 1], const float (*right)[SIDE + 1])
{
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;

#pragma unroll 8
    for (int k = 0; k < SIDE; k++)
#pragma unroll
        for (int r = 0; r < OWN; r++)
            sum[r] += left[ty + LINES * r][k] * right[k][tx];
}

__device__ __forceinline__ float *scores_of(const struct task &t, const struct place &p, float *scores, int query)
{
    return scores + (((size_t)blockIdx.y * t.heads + p.head) * t.tokens + query) * t.capacity;
}

/* scores[query][key] = scale q k, -INFINITY where a query of the tile does not see what another one does. */
template <class T> __global__ void __launch_bounds__(NAIVE_THREADS, 2) naive_score(struct task t, float *scores)
{
    __shared__ float left[SIDE][SIDE + 1], right[SIDE][SIDE + 1]; /* [query][d], [d][key] */
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;

    pdl_wait();
    struct place p = place_of(t, SIDE);
    struct span keys = keys_of(t, p.past, p.query, SIDE);
    const T *k = (const T *)t.k + p.history;
    size_t q = (p.row + p.query) * t.q_stride + (size_t)p.head * t.head_dim;
    for (int key = keys.first; key < keys.end; key += SIDE) {
        float sum[OWN] = {};
        for (int d = 0; d < t.head_dim; d += SIDE) {
#pragma unroll 1
            for (int r = ty; r < SIDE; r += LINES) {
                bool there = d + tx < t.head_dim;
                left[r][tx] = there && p.query + r < t.tokens ? load_as(t.act, t.q, q + (r * t.q_stride + d + tx)) : 0;
                right[tx][r] = there && key + r < keys.end ? to_float(k[(size_t)(key + r) * t.head_dim + d + tx]) : 0;
            }
            __syncthreads();
            tile_product(sum, left, right);
            __syncthreads();
        }
#pragma unroll
        for (int r = 0; r < OWN; r++) {
            int query = p.query + ty + LINES * r;
            if (query < t.tokens && key + tx < keys.end)
                scores_of(t, p, scores, query)[key + tx] = is_seen(t, key + tx, p.past + query) ? t.scale * sum[r] : -INFINITY;
        }
    }
}

/* Softmax of each query's scores, a warp a query. */
__global__ void __launch_bounds__(NAIVE_THREADS, 2) naive_soften(struct task t, float *scores)
{
    int lane = threadIdx.x % WARP;

    pdl_wait();
    struct place p = place_of(t, SIDE);
    struct span keys = keys_of(t, p.past, p.query, SIDE);
    for (int query = p.query + threadIdx.x / WARP; query < min(p.query + SIDE, t.tokens); query += NAIVE_THREADS / WARP) {
        float *row = scores_of(t, p, scores, query), high = -INFINITY, sum = 0;
        for (int key = keys.first + lane; key < keys.end; key += WARP)
            high = fmaxf(high, row[key]);
        high = warp_max(high);
        for (int key = keys.first + lane; key < keys.end; key += WARP) {
            row[key] = exp2f(row[key] - high);
            sum += row[key];
        }
        sum = warp_sum(sum);
        for (int key = keys.first + lane; key < keys.end; key += WARP)
            row[key] /= sum;
    }
}

/* mixed[query][d] = the values, weighted. */
template <class T> __global__ void __launch_bounds__(NAIVE_THREADS, 2) naive_mix(struct task t, float *scores)
{
    __shared__ float left[SIDE][SIDE + 1], right[SIDE][SIDE + 1]; /* [query][key], [key][d] */
    int tx = threadIdx.x % SIDE, ty = threadIdx.x / SIDE;

    pdl_wait();
    struct place p = place_of(t, SIDE);
    struct span keys = keys_of(t, p.past, p.query, SIDE);
    const T *v = (const T *)t.v + p.history;
    for (int d = 0; d < t.head_dim; d += SIDE) {
        float sum[OWN] = {};
        for (int key = keys.first; key < keys.end; key += SIDE) {
#pragma unroll 1
            for (int r = ty; r < SIDE; r += LINES) {
                bool weight_there = p.query + r < t.tokens && key + tx < keys.end;
                bool value_there = key + r < keys.end && d + tx < t.head_dim;
                left[r][tx] = weight_there ? scores_of(t, p, scores, p.query + r)[key + tx] : 0;
                right[r][tx] = value_there ? to_float(v[(size_t)(key + r) * t.head_dim + d + tx]) : 0;
            }
            __syncthreads();
            tile_product(sum, left, right);
            __syncthreads();
        }
#pragma unroll
        for (int r = 0; r < OWN; r++) {
            int query = p.query + ty + LINES * r;
            if (query < t.tokens && d + tx < t.head_dim)
                store_as(t.act, t.mixed, ((p.row + query) * t.heads + p.head) * t.head_dim + d + tx, sum[r]);
        }
    }
}

cudaError_t launch_naive_attention(cudaStream_t s, void *mixed, const void *q, int q_stride, enum dtype act,
                                   const struct gpu_cache *cache, const struct gpu_state *state, int tokens, float *scores)
{
    struct task t = task_of(mixed, q, q_stride, act, cache, state, tokens);
    dim3 grid = tiles(cache, tokens, SIDE);
    bool follows = may_follow();

    return with_type(cache->dtype, [&](auto element) {
        using T = decltype(element);
        cudaError_t code = launch(s, grid, NAIVE_THREADS, 0, follows, naive_score<T>, t, scores);
        if (code == cudaSuccess)
            code = launch(s, grid, NAIVE_THREADS, 0, follows, naive_soften, t, scores);
        if (code == cudaSuccess)
            code = launch(s, grid, NAIVE_THREADS, 0, follows, naive_mix<T>, t, scores);
        return code;
    });
}
