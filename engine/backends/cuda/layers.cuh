/* SPDX-License-Identifier: MIT
 * The mathematics that more than one kernel has: norms, activations, places in the cache. */
#pragma once

#include "device.cuh"
#include "launch.h"

/* --- norms ---------------------------------------------------------------------------------------------------------------- */

struct moments {
    float mean, scale;
};

/* The moments of ROWS rows of x, `rows` of them real, found by the whole block; the mean first and the variance around it then,
 * since a difference of large sums would lose it. buf: ROWS floats a warp. */
template <int ROWS>
__device__ __forceinline__ void find_moments(struct moments (&m)[ROWS], const float *x, int rows, int cols,
                                             const struct gpu_norm &norm, float *buf)
{
    const float4 *four = (const float4 *)x;
    float sum[ROWS];

#pragma unroll
    for (int r = 0; r < ROWS; r++)
        m[r].mean = 0;
    for (int pass = norm.kind == NORM_LAYER ? 0 : 1; pass < 2; pass++) {
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            sum[r] = 0;
            for (int i = threadIdx.x; r < rows && i < cols / 4; i += blockDim.x) {
                float4 v = four[(size_t)r * (cols / 4) + i];
                float a = v.x - m[r].mean, b = v.y - m[r].mean, c = v.z - m[r].mean, d = v.w - m[r].mean;
                sum[r] += pass == 0 ? (v.x + v.y) + (v.z + v.w) : (a * a + b * b) + (c * c + d * d);
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
