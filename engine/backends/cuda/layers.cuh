/* SPDX-License-Identifier: MIT
 * The mathematics that more than one kernel has: norms, activations, places in the cache. */
#pragma once

#include "device.cuh"
#include "launch.h"

/* --- norms ---------------------------------------------------------------------------------------------------------------- */

struct moments {
    float mean, scale;
};

/* Fours of a row that a thread loads before it uses the first of them: one wait for L2 then serves them all. Of eight rows the
 * registers hold no more. */
__device__ __forceinline__ constexpr int fours_at_once(int rows)
{
    return rows < 8 ? 2 : 1;
}

/* The moments of ROWS rows of x, `rows` of them real, found by the whole block; the mean first and the variance around it then,
 * since a difference of large sums would lose it. buf: ROWS floats a warp. */
template <int ROWS>
__device__ __forceinline__ void find_moments(struct moments (&m)[ROWS], const float *x, int rows, int cols,
                                             const struct gpu_norm &norm, float *buf)
{
    enum { AT_ONCE = fours_at_once(ROWS) };
    const float4 *four = (const float4 *)x;
    float sum[ROWS];

#pragma unroll
    for (int r = 0; r < ROWS; r++)
        m[r].mean = 0;
    for (int pass = norm.kind == NORM_LAYER ? 0 : 1; pass < 2; pass++) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float mean = m[r].mean;
            sum[r] = 0;
            for (int i = threadIdx.x; r < rows && i < cols / 4; i += AT_ONCE * blockDim.x) {
                float4 v[AT_ONCE];
#pragma unroll
                for (int u = 0; u < AT_ONCE; u++) { /* beyond the row the mean, which is 0 while it is not known */
                    int at = i + u * blockDim.x;
                    v[u] = at < cols / 4 ? four[(size_t)r * (cols / 4) + at] : float4{mean, mean, mean, mean};
                }
#pragma unroll
                for (int u = 0; u < AT_ONCE; u++) {
                    float a = v[u].x - mean, b = v[u].y - mean, c = v[u].z - mean, d = v[u].w - mean;
                    sum[r] += pass == 0 ? (v[u].x + v[u].y) + (v[u].z + v[u].w) : (a * a + b * b) + (c * c + d * d);
                }
            }
        }
        block_sums<ROWS>(sum, buf);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (pass == 0)
                m[r].mean = sum[r] / cols;
            else
                m[r].scale = rsqrtf(sum[r] / cols + norm.eps);
        }
    }
}

/* Elements i to i + 3 of a row. */
__device__ __forceinline__ float4 normalise(float4 v, struct moments m, const struct gpu_norm &norm, int i)
{
    float4 w = *(const float4 *)(norm.weight + i), b = {0, 0, 0, 0};

    if (norm.bias)
        b = *(const float4 *)(norm.bias + i);
    return float4{(v.x - m.mean) * m.scale * w.x + b.x, (v.y - m.mean) * m.scale * w.y + b.y,
                  (v.z - m.mean) * m.scale * w.z + b.z, (v.w - m.mean) * m.scale * w.w + b.w};
}

/* --- activations ---------------------------------------------------------------------------------------------------------- */

__device__ __forceinline__ float gelu(float u)
{
    return 0.5f * u * (1 + tanhf(0.7978845608f * (u + 0.044715f * u * u * u)));
}

__device__ __forceinline__ float silu(float u)
{
    return u / (1 + expf(-u));
}

/* --- the cache ------------------------------------------------------------------------------------------------------------ */

/* The element of k or v where a position of a head begins. */
__device__ __forceinline__ size_t cache_at(const struct gpu_cache &c, int sequence, int kv_head, int position)
{
    return (((size_t)sequence * c.kv_heads + kv_head) * c.capacity + position) * c.head_dim;
}
