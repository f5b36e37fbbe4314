/* SPDX-License-Identifier: MIT
 * Compiled once per instruction-set level (-DISA=base|avx2|avx512), with vectors as wide as that level's.
 *
 * Nothing here may be waited for but the thing measured: enough independent sums to hide every latency, all of them in
 * registers; the results are returned, and the compiler is told that memory changed, so that no pass can be left out. Sanitizer
 * checks are off: they would be what is measured. */
#include "kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES              16
#define FMA(x, b, a)       ((vfloat)_mm512_fmadd_ps((__m512)(x), (__m512)(b), (__m512)(a)))
#define STORE_STREAM(p, v) _mm512_stream_ps((p), (__m512)(v))
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES              8
#define FMA(x, b, a)       ((vfloat)_mm256_fmadd_ps((__m256)(x), (__m256)(b), (__m256)(a)))
#define STORE_STREAM(p, v) _mm256_stream_ps((p), (__m256)(v))
#elif defined(__x86_64__)
#include <immintrin.h>
#define LANES              4
#define FMA(x, b, a)       ((x) * (b) + (a))
#define STORE_STREAM(p, v) _mm_stream_ps((p), (__m128)(v))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LANES        4
#define FMA(x, b, a) ((vfloat)vfmaq_f32((float32x4_t)(a), (float32x4_t)(x), (float32x4_t)(b)))
#else
#define LANES        4
#define FMA(x, b, a) ((x) * (b) + (a))
#endif

#define VECTOR (4 * LANES)
#define vfloat float __attribute__((vector_size(VECTOR)))
#define vbits  uint64_t __attribute__((vector_size(VECTOR), may_alias))
#define KERNEL static __attribute__((noinline, no_sanitize("address", "undefined")))

/* Keeps the compiler from joining two passes over the same memory, or from making a memcpy of a loop. */
static inline __attribute__((always_inline)) void memory_changed(void)
{
    __asm__ volatile("" : : : "memory");
}

/* Twelve sums: two units of latency four need eight, and sixteen registers hold twelve and the two factors. */
#define TWELVE(do)                                                                                                             \
    do                                                                                                                         \
    (0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)

KERNEL float fma_peak(long rounds)
{
    volatile float addend = 1.0f, factor = 0.5f; /* the sums settle at 2: neither overflow nor denormals */
    vfloat a = (vfloat){0} + addend, b = (vfloat){0} + factor;
#define DECLARE(i) vfloat x##i = a + (float)(i);
#define STEP(i)    x##i = FMA(x##i, b, a);
#define ADD(i)     sum += x##i;
    TWELVE(DECLARE)
    for (long r = 0; r < rounds; r++) {
        TWELVE(STEP)
        TWELVE(STEP)
    }
    vfloat sum = {0};
    TWELVE(ADD)
    return sum[0];
#undef DECLARE
#undef STEP
#undef ADD
}

static uint64_t fold(vbits v)
{
    uint64_t sum = 0;

    for (int i = 0; i < VECTOR / 8; i++)
        sum ^= v[i];
    return sum;
}

/* Eight loads and as many independent sums, from p on. */
#define READ_EIGHT(p)                                                                                                          \
    do {                                                                                                                       \
        const vbits *q = (const vbits *)(const void *)(p);                                                                     \
        s0 |= q[0], s1 |= q[1], s2 |= q[2], s3 |= q[3], s4 |= q[4], s5 |= q[5], s6 |= q[6], s7 |= q[7];                        \
    } while (0)
#define READ_SUMS vbits s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0
#define READ_FOLD fold(s0 | s1 | s2 | s3 | s4 | s5 | s6 | s7)

KERNEL uint64_t read_plain(const void *from, size_t bytes, long passes)
{
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = from, *end = p + bytes; p < end; p += 8 * VECTOR)
            READ_EIGHT(p);
    return READ_FOLD;
}

/* A page ahead: the hardware's own prefetchers stop at page borders. */
static inline void prefetch_ahead(const char *p)
{
    for (int line = 0; line < 8 * VECTOR; line += 64)
        __builtin_prefetch(p + 4096 + line, 0, 0);
}

KERNEL uint64_t read_prefetch(const void *from, size_t bytes, long passes)
{
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = from, *end = p + bytes; p < end; p += 8 * VECTOR) {
            prefetch_ahead(p);
            READ_EIGHT(p);
        }
    return READ_FOLD;
}

/* Several places of the buffer at once: more of the memory's banks and of the prefetchers are at work. */
KERNEL uint64_t read_streams(const void *from, size_t bytes, long passes)
{
    const size_t quarter = bytes / 4;
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = from, *end = p + quarter; p < end; p += 8 * VECTOR) {
            READ_EIGHT(p);
            READ_EIGHT(p + quarter);
            READ_EIGHT(p + 2 * quarter);
            READ_EIGHT(p + 3 * quarter);
        }
    return READ_FOLD;
}

KERNEL uint64_t read_streams_prefetch(const void *from, size_t bytes, long passes)
{
    const size_t quarter = bytes / 4;
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = from, *end = p + quarter; p < end; p += 8 * VECTOR)
            for (int stream = 0; stream < 4; stream++) {
                const char *at = p + (size_t)stream * quarter;
                prefetch_ahead(at);
                READ_EIGHT(at);
            }
    return READ_FOLD;
}

/* Four vectors a step. */
#define WRITE_LOOP(store, value)                                                                                               \
    for (size_t i = 0; i < bytes / 4; i += 4 * LANES, memory_changed())                                                        \
        for (int k = 0; k < 4; k++) {                                                                                          \
            const size_t at = i + (size_t)k * LANES;                                                                           \
            store(a + at, value);                                                                                              \
        }
#define LOAD(p)        (*(const vfloat *)(const void *)(p))
#define STORE(p, v)    (*(vfloat *)(void *)(p) = (v))
#define TRIAD_OF(b, c) FMA(LOAD((c) + at), s, LOAD((b) + at))

KERNEL void copy_plain(float *a, const float *b, size_t bytes){WRITE_LOOP(STORE, LOAD(b + at))}

KERNEL void triad_plain(float *a, const float *b, const float *c, size_t bytes)
{
    const vfloat s = (vfloat){0} + 0.5f;

    WRITE_LOOP(STORE, TRIAD_OF(b, c))
}

#if defined(STORE_STREAM)

KERNEL void copy_stream(float *a, const float *b, size_t bytes)
{
    WRITE_LOOP(STORE_STREAM, LOAD(b + at))
    _mm_sfence();
}

KERNEL void triad_stream(float *a, const float *b, const float *c, size_t bytes)
{
    const vfloat s = (vfloat){0} + 0.5f;

    WRITE_LOOP(STORE_STREAM, TRIAD_OF(b, c))
    _mm_sfence();
}

#endif

#define TABLE_NAMED(isa) roof_kernels_##isa
#define TABLE(isa)       TABLE_NAMED(isa)

const struct roof_kernels TABLE(ISA) = {
    .bits = 8 * VECTOR,
    .fma_flops = 2.0 * 12 * 2 * LANES,
    .fma = fma_peak,
    .read =
        {
            {"1 stream", read_plain},
            {"1 stream, prefetched", read_prefetch},
            {"4 streams", read_streams},
            {"4 streams, prefetched", read_streams_prefetch},
        },
    .write =
        {
            {"plain stores, read-for-ownership not counted", copy_plain, triad_plain},
#if defined(STORE_STREAM)
            {"non-temporal stores", copy_stream, triad_stream},
#endif
        },
};
