/* SPDX-License-Identifier: MIT
 * Compiled once per instruction-set level (-DISA=base|avx2|avx512|avx512bf16), with vectors as wide as that level's; a level
 * also has the narrower arithmetic that it does better than the level below. Dot products stand at avx512 already: a CPU may
 * have one of them and not the other, and so not the level avx512bf16.
 *
 * Nothing here may be waited for but the thing measured: enough independent sums to hide every latency, all of them in
 * registers; the results are returned, and the compiler is told that memory changed, so that no pass can be left out. Sanitizer
 * checks are off: they would be what is measured. */
#include "kernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define VECTOR             64
#define STORE_STREAM(p, v) _mm512_stream_ps((p), (__m512)(v))
#define IN_REGISTER(x)     __asm__ volatile("" : "+v"(x))
#elif defined(__AVX2__)
#define VECTOR             32
#define STORE_STREAM(p, v) _mm256_stream_ps((p), (__m256)(v))
#define IN_REGISTER(x)     __asm__ volatile("" : "+x"(x))
#elif defined(__x86_64__)
#define VECTOR             16
#define STORE_STREAM(p, v) _mm_stream_ps((p), (__m128)(v))
#define IN_REGISTER(x)     __asm__ volatile("" : "+x"(x))
#elif defined(__aarch64__)
#define VECTOR         16
#define IN_REGISTER(x) __asm__ volatile("" : "+w"(x))
#else
#define VECTOR         16
#define IN_REGISTER(x) (void)(x)
#endif

#define VECTOR_OF(element, bytes) element __attribute__((vector_size(bytes)))
#define vfloat                    VECTOR_OF(float, VECTOR)
#define vbits                     uint64_t __attribute__((vector_size(VECTOR), may_alias))
#define KERNEL                    static __attribute__((noinline, no_sanitize("address", "undefined")))
#define COUNT(a)                  ((int)(sizeof(a) / sizeof *(a)))

/* --- arithmetic: every step is x = x + 1 * 1, with factors that the compiler cannot know -----------------------------------
 * Twelve chains: two units of latency four need eight, and sixteen registers hold twelve and the two factors. */
enum { CHAINS = 12, STEPS = 2 /* of every chain in a round */ };

#define TWELVE(do, arg)                                                                                                        \
    do                                                                                                                         \
    (0, arg) do(1, arg) do(2, arg) do(3, arg) do(4, arg) do(5, arg) do(6, arg) do(7, arg) do(8, arg) do(9, arg) do(            \
        10, arg) do(11, arg)
#define CHAIN_DECLARE(i, vector) vector x##i = {0};
#define CHAIN_STEP(i, step)      x##i = step(x##i, a, b);
#define CHAIN_KEEP(i, unused)    IN_REGISTER(x##i); /* lest several scalar chains become one of vectors */
#define CHAIN_ADD(i, element)                                                                                                  \
    for (size_t at = 0; at < sizeof x##i; at += sizeof lane) {                                                                 \
        memcpy(&lane, (const char *)&x##i + at, sizeof lane);                                                                  \
        sum += (double)lane;                                                                                                   \
    }

#define CHAIN_KERNEL(name, vector, element, factor, step)                                                                      \
    double name(long rounds)                                                                                                   \
    {                                                                                                                          \
        volatile element unknown = (element)(factor);                                                                          \
        const vector zero = {0}, a = zero + unknown, b = zero + unknown;                                                       \
        double sum = 0;                                                                                                        \
        element lane;                                                                                                          \
        TWELVE(CHAIN_DECLARE, vector)                                                                                          \
        TWELVE(CHAIN_KEEP, )                                                                                                   \
        for (long r = 0; r < rounds; r++) {                                                                                    \
            TWELVE(CHAIN_STEP, step)                                                                                           \
            TWELVE(CHAIN_KEEP, )                                                                                               \
            TWELVE(CHAIN_STEP, step)                                                                                           \
            TWELVE(CHAIN_KEEP, )                                                                                               \
        }                                                                                                                      \
        TWELVE(CHAIN_ADD, element)                                                                                             \
        return sum;                                                                                                            \
    }

/* Operations of a round, where a step of one chain makes `macs` multiply-adds. */
#define OPS(macs) (2.0 * (macs)*CHAINS * STEPS)

#if defined(__AVX512F__)

#define FMA_F32(x, a, b)  ((VECTOR_OF(float, 64))_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(x)))
#define FMA_F64(x, a, b)  ((VECTOR_OF(double, 64))_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(x)))
#define DOT_BF16(x, a, b) ((VECTOR_OF(float, 64))_mm512_dpbf16_ps((__m512)(x), (__m512bh)(a), (__m512bh)(b)))
#define DOT_INT8(x, a, b) ((VECTOR_OF(int, 64))_mm512_dpbusd_epi32((__m512i)(x), (__m512i)(a), (__m512i)(b)))

/* Factors as the sums' own type sees them: two ones of bf16 side by side (0x3f803f80), four of a byte. */
#define ONES_BF16 0x1.007fp0f
#define ONES_INT8 0x01010101

KERNEL CHAIN_KERNEL(fma_f32, VECTOR_OF(float, 64), float, 1, FMA_F32)
KERNEL CHAIN_KERNEL(fma_f64, VECTOR_OF(double, 64), double, 1, FMA_F64)
KERNEL __attribute__((target("avx512bf16"))) CHAIN_KERNEL(dot_bf16, VECTOR_OF(float, 64), float, ONES_BF16, DOT_BF16) KERNEL
    __attribute__((target("avx512vnni"))) CHAIN_KERNEL(dot_int8, VECTOR_OF(int, 64), int, ONES_INT8, DOT_INT8)

        static bool has_bf16(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

static bool has_vnni(void)
{
    return __builtin_cpu_supports("avx512vnni");
}

static const struct roof_compute computes[] = {
    {"f32", "fma", 512, OPS(16), fma_f32, NULL},
    {"f64", "fma", 512, OPS(8), fma_f64, NULL},
    {"bf16", "vdpbf16ps", 512, OPS(32), dot_bf16, has_bf16},
    {"int8", "vpdpbusd", 512, OPS(64), dot_int8, has_vnni},
};

#else

#if defined(__AVX2__)
#define HOW               "fma"
#define MAC_F32(x, a, b)  ((VECTOR_OF(float, 16))_mm_fmadd_ps((__m128)(a), (__m128)(b), (__m128)(x)))
#define MAC_F64(x, a, b)  ((VECTOR_OF(double, 16))_mm_fmadd_pd((__m128d)(a), (__m128d)(b), (__m128d)(x)))
#define WIDE_F32(x, a, b) ((VECTOR_OF(float, 32))_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(x)))
#define WIDE_F64(x, a, b) ((VECTOR_OF(double, 32))_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(x)))
#elif defined(__aarch64__)
#define HOW              "fma"
#define MAC_F32(x, a, b) ((VECTOR_OF(float, 16))vfmaq_f32((float32x4_t)(x), (float32x4_t)(a), (float32x4_t)(b)))
#define MAC_F64(x, a, b) ((VECTOR_OF(double, 16))vfmaq_f64((float64x2_t)(x), (float64x2_t)(a), (float64x2_t)(b)))
#else
#define HOW              "multiply and add"
#define MAC_F32(x, a, b) ((x) * (a) + (b))
#define MAC_F64(x, a, b) ((x) * (a) + (b))
#endif
#define MAC_ONE(x, a, b) ((x) * (a) + (b)) /* fused where the level has it */

KERNEL CHAIN_KERNEL(one_f32, float, float, 1, MAC_ONE)
KERNEL CHAIN_KERNEL(one_f64, double, double, 1, MAC_ONE)
KERNEL CHAIN_KERNEL(fma_f32, VECTOR_OF(float, 16), float, 1, MAC_F32)
KERNEL CHAIN_KERNEL(fma_f64, VECTOR_OF(double, 16), double, 1, MAC_F64)
#if defined(__AVX2__)
KERNEL CHAIN_KERNEL(wide_f32, VECTOR_OF(float, 32), float, 1, WIDE_F32)
KERNEL CHAIN_KERNEL(wide_f64, VECTOR_OF(double, 32), double, 1, WIDE_F64)
#endif

    static const struct roof_compute computes[] = {
        {"f32", HOW, 32, OPS(1), one_f32, NULL},   {"f64", HOW, 64, OPS(1), one_f64, NULL},
        {"f32", HOW, 128, OPS(4), fma_f32, NULL},  {"f64", HOW, 128, OPS(2), fma_f64, NULL},
#if defined(__AVX2__)
        {"f32", HOW, 256, OPS(8), wide_f32, NULL}, {"f64", HOW, 256, OPS(4), wide_f64, NULL},
#endif
};

#endif

/* Keeps the compiler from joining two passes over the same memory, or from making a memcpy of a loop. */
static inline __attribute__((always_inline)) void memory_changed(void)
{
    __asm__ volatile("" : : : "memory");
}

/* --- reading ---------------------------------------------------------------------------------------------------------------
 */

static uint64_t fold(vbits v)
{
    uint64_t sum = 0;

    for (int i = 0; i < VECTOR / 8; i++)
        sum += v[i];
    return sum;
}

/* Eight loads and as many independent sums, from p on. */
#define READ_EIGHT(p)                                                                                                          \
    do {                                                                                                                       \
        const vbits *q = (const vbits *)(const void *)(p);                                                                     \
        s0 += q[0], s1 += q[1], s2 += q[2], s3 += q[3], s4 += q[4], s5 += q[5], s6 += q[6], s7 += q[7];                        \
    } while (0)
#define READ_SUMS vbits s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0
#define READ_FOLD fold(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7)

KERNEL uint64_t read_plain(float *from, size_t bytes, long passes)
{
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = (const char *)from, *end = p + bytes; p < end; p += 8 * VECTOR)
            READ_EIGHT(p);
    return READ_FOLD;
}

/* A page ahead: the hardware's own prefetchers stop at page borders. */
static inline void prefetch_ahead(const char *p)
{
    for (int line = 0; line < 8 * VECTOR; line += 64)
        __builtin_prefetch(p + 4096 + line, 0, 0);
}

KERNEL uint64_t read_prefetch(float *from, size_t bytes, long passes)
{
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = (const char *)from, *end = p + bytes; p < end; p += 8 * VECTOR) {
            prefetch_ahead(p);
            READ_EIGHT(p);
        }
    return READ_FOLD;
}

/* Several places of the buffer at once: more of the memory's banks and of the prefetchers are at work. */
KERNEL uint64_t read_streams(float *from, size_t bytes, long passes)
{
    const size_t quarter = bytes / 4;
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = (const char *)from, *end = p + quarter; p < end; p += 8 * VECTOR) {
            READ_EIGHT(p);
            READ_EIGHT(p + quarter);
            READ_EIGHT(p + 2 * quarter);
            READ_EIGHT(p + 3 * quarter);
        }
    return READ_FOLD;
}

KERNEL uint64_t read_streams_prefetch(float *from, size_t bytes, long passes)
{
    const size_t quarter = bytes / 4;
    READ_SUMS;

    for (long pass = 0; pass < passes; pass++, memory_changed())
        for (const char *p = (const char *)from, *end = p + quarter; p < end; p += 8 * VECTOR)
            for (int stream = 0; stream < 4; stream++) {
                const char *at = p + (size_t)stream * quarter;
                prefetch_ahead(at);
                READ_EIGHT(at);
            }
    return READ_FOLD;
}

/* --- writing: four vectors a step ------------------------------------------------------------------------------------------
 */

#define WRITE_KERNEL(name, store, value)                                                                                       \
    KERNEL uint64_t name(float *a, size_t bytes, long passes)                                                                  \
    {                                                                                                                          \
        const size_t n = bytes / sizeof *a;                                                                                    \
        const float *b = a + n, *c = b + n;                                                                                    \
        const vfloat half = (vfloat){0} + 0.5f, filling = half + 1.0f;                                                         \
        (void)b, (void)c, (void)half, (void)filling;                                                                           \
        for (long pass = 0; pass < passes; pass++)                                                                             \
            for (size_t i = 0; i < n; i += 4 * LANES, memory_changed())                                                        \
                for (size_t k = 0; k < 4; k++) {                                                                               \
                    const size_t at = i + k * LANES;                                                                           \
                    store(a + at, value);                                                                                      \
                }                                                                                                              \
        STORES_DONE();                                                                                                         \
        return 0;                                                                                                              \
    }
#define LANES       (VECTOR / sizeof(float))
#define LOAD(p)     (*(const vfloat *)(const void *)(p))
#define STORE(p, v) (*(vfloat *)(void *)(p) = (v))
#if defined(STORE_STREAM)
#define STORES_DONE() _mm_sfence()
#else
#define STORES_DONE() (void)0
#endif
#define TRIAD (LOAD(b + at) + half * LOAD(c + at))

WRITE_KERNEL(write_plain, STORE, filling)
WRITE_KERNEL(copy_plain, STORE, LOAD(b + at))
WRITE_KERNEL(triad_plain, STORE, TRIAD)
#if defined(STORE_STREAM)
WRITE_KERNEL(write_stream, STORE_STREAM, filling)
WRITE_KERNEL(copy_stream, STORE_STREAM, LOAD(b + at))
WRITE_KERNEL(triad_stream, STORE_STREAM, TRIAD)
#endif

#define PLAIN_STORES "plain stores, read-for-ownership not counted"

static const struct roof_stream streams[] = {
    {ROOF_READ, false, "1 stream", read_plain},
    {ROOF_READ, false, "1 stream, prefetched", read_prefetch},
    {ROOF_READ, false, "4 streams", read_streams},
    {ROOF_READ, false, "4 streams, prefetched", read_streams_prefetch},
    {ROOF_WRITE, false, PLAIN_STORES, write_plain},
    {ROOF_COPY, false, PLAIN_STORES, copy_plain},
    {ROOF_TRIAD, false, PLAIN_STORES, triad_plain},
#if defined(STORE_STREAM)
    {ROOF_WRITE, true, "non-temporal stores", write_stream},
    {ROOF_COPY, true, "non-temporal stores", copy_stream},
    {ROOF_TRIAD, true, "non-temporal stores", triad_stream},
#endif
};

#define TABLE_NAMED(isa) roof_kernels_##isa
#define TABLE(isa)       TABLE_NAMED(isa)

const struct roof_kernels TABLE(ISA) = {
    .bits = 8 * VECTOR,
    .stream = streams,
    .streams = COUNT(streams),
    .compute = computes,
    .computes = COUNT(computes),
};
