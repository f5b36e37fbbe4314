/* SPDX-License-Identifier: MIT
 * Weights out of a seed, made where they are used: a model of any size is there in the time that writing it takes. Bit for bit
 * the elements of formats/synthetic.c, which says why they look so. A thread makes the elements of 16 bytes at a time. */
#include "device.cuh"
#include "launch.h"

struct tensor {
    char *data;
    size_t row_bytes, rows, cols, chunks; /* chunks: of 16 bytes in a row, the last one perhaps short */
    uint64_t key;
    float offset, scale;
};

/* splitmix64: https://prng.di.unimi.it/splitmix64.c (public domain), by Sebastiano Vigna. */
__device__ __forceinline__ uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

__device__ __forceinline__ float element(const struct tensor &t, uint32_t bits)
{
    return t.offset + t.scale * (float)((int)(bits & 0xffff) + (int)(bits >> 16) - 0xffff);
}

/* Two elements have one hash, the even one its low half. */
template <class T, int N> __device__ __forceinline__ void make_elements(T out[N], const struct tensor &t, uint64_t first)
{
    uint64_t bits = mix(t.key + first - first % 2);

#pragma unroll
    for (int i = 0; i < N; i++) {
        uint64_t at = first + i;
        if (i > 0 && at % 2 == 0)
            bits = mix(t.key + at);
        out[i] = from_float<T>(element(t, (uint32_t)(at % 2 ? bits >> 32 : bits)));
    }
}

template <class T> __global__ void synthesize(struct tensor t)
{
    enum { N = pack16<T>::N };

    pdl_wait();
    for (size_t c = (size_t)blockIdx.x * blockDim.x + threadIdx.x; c < t.rows * t.chunks; c += (size_t)gridDim.x * blockDim.x) {
        size_t row = c / t.chunks, col = c % t.chunks * N;
        char *to = t.data + row * t.row_bytes + col * sizeof(T);
        pack16<T> made;
        make_elements<T, N>(made.at, t, row * t.cols + col);
        if (col + N <= t.cols && (uintptr_t)to % sizeof made == 0) {
            *(uint4 *)to = made.raw;
            continue;
        }
#pragma unroll
        for (int i = 0; i < N; i++)
            if (col + i < t.cols)
                ((T *)to)[i] = made.at[i];
    }
}

cudaError_t launch_synthesize(cudaStream_t s, const struct matrix *m, uint64_t key, float offset, float scale)
{
    const size_t threads = 256, blocks_max = 4096;

    return with_type(m->dtype, [&](auto element) {
        using T = decltype(element);
        size_t cols = (size_t)m->cols, rows = (size_t)m->rows, chunks = (cols + pack16<T>::N - 1) / pack16<T>::N;
        size_t blocks = (rows * chunks + threads - 1) / threads;
        struct tensor t = {(char *)m->data, m->row_bytes, rows, cols, chunks, key, offset, scale};

        return launch(s, (unsigned)(blocks < blocks_max ? blocks : blocks_max), (unsigned)threads, 0, may_follow(),
                      synthesize<T>, t);
    });
}
