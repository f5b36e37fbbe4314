/* SPDX-License-Identifier: MIT
 * The vector that the kernels of this folder are written in: GCC's and clang's vector extension, as wide as the level that the
 * file is being compiled for. Only for the *_kernels.c files, which are compiled once a level. */
#ifndef BENCH_CPU_VECTOR_H
#define BENCH_CPU_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

/* Keeps a value in a register: without it the compiler loads an activation again for each of its products. */
#if defined(__AVX512F__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__ volatile("" : "+w"(v)) /* else GCC loads all of them first, and spills sums */
#else
#define IN_REGISTER(v) (void)(v)
#endif

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t vec_int __attribute__((vector_size(LANES * sizeof(int32_t))));
typedef uint32_t vec_uint __attribute__((vector_size(LANES * sizeof(uint32_t))));
typedef float vec_anywhere
    __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias)); /* loads and stores only */

static inline vec load(const float *p)
{
    return *(const vec_anywhere *)p;
}

static inline void store(float *p, vec v)
{
    *(vec_anywhere *)p = v;
}

static inline vec splat(float x)
{
    return x - (vec){0};
}

/* The 4 bytes at p in every lane, whatever they mean. */
static inline vec splat_bits(const void *p)
{
    int32_t bits;

    memcpy(&bits, p, sizeof bits);
    return (vec)((vec_int){0} + bits);
}

typedef uint16_t vec_short __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(2), may_alias));

/* LANES elements of bf16: the upper halves of floats. (GCC would widen an AVX2 vector in two halves by itself.) */
static inline vec load_bf16(const uint16_t *p)
{
#if defined(__AVX512F__)
    vec_uint wide = (vec_uint)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined(__AVX2__)
    vec_uint wide = (vec_uint)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#else
    vec_uint wide = __builtin_convertvector(*(const vec_short *)p, vec_uint);
#endif

    return (vec)(wide << 16);
}

/* LANES elements of f16. Without an instruction for it: the exponent's bias changes by a multiplication, which makes numbers of
 * subnormals too; what has come out as 2^16 or more had the highest exponent, of infinity and NaN, and gets float's. */
static inline vec load_f16(const uint16_t *p)
{
#if defined(__AVX512F__)
    return (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
#elif defined(__F16C__)
    return (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(__aarch64__)
    return (vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
#else
    vec_uint half = __builtin_convertvector(*(const vec_short *)p, vec_uint);
    vec_uint sign = (half & 0x8000) << 16;
    vec size = (vec)((half & 0x7fff) << 13) * 0x1p112f;
    vec_uint highest = (vec_uint)(size >= 0x1p16f) & 0x7f800000;

    return (vec)((vec_uint)size | highest | sign);
#endif
}

/* Halves are added until one lane is left: a chain of log2(LANES) additions. */
static inline float sum_lanes(vec v)
{
#if defined(__AVX512F__)
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#elif defined(__AVX2__)
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
#else
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
    return v[0] + v[1];
}

/* e^x to about 1e-7 relative: x = n ln2 + r, |r| <= ln2/2, Taylor to r^7 (Cody-Waite reduction in two parts), exponent built
 * from bits. Branch-free so that loops over it vectorise; clamped where the result would leave the normal numbers. */
static inline float exp_fast(float x)
{
    const float shift = 12582912.0f; /* 1.5 x 2^23: adding it rounds to an integer */
    uint32_t bits;
    float power;

    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float n = x * 1.44269504f + shift;
    memcpy(&bits, &n, sizeof bits);
    n -= shift;
    float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = (bits << 23) + 0x3f800000u; /* the low bits of the shifted sum are n */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline vec larger(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
    vec_int first = a > b;

    return (vec)(((vec_int)a & first) | ((vec_int)b & ~first));
#endif
}

/* The same of every lane, for arguments up to 88: a loop over exp_fast compiles to masked code that takes twice as long. */
static inline vec exp_lanes(vec x)
{
    const vec shift = splat(12582912.0f);

    x = larger(x, splat(-87.0f));
    vec n = x * 1.44269504f + shift, p = splat(1.98412698e-4f);
    vec_int power = ((vec_int)n << 23) + 0x3f800000;
    n -= shift;
    vec r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (vec)power;
}

#define PASTE2(a, b)   a##b
#define PASTE(a, b)    PASTE2(a, b)
#define LEVELLED(name) PASTE(name, ISA) /* cpu_elementwise_ -> cpu_elementwise_avx2 */

#endif
