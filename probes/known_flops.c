/* SPDX-License-Identifier: MIT
 * Known floating-point work: chains of operations of each width and precision, whose number follows from the instructions
 * themselves, and a product of small matrices. An event of one precision must count nothing of another: that tells swapped
 * events apart.
 *
 * 128-bit double precision gates only its own quantity: on CPUs with four counters `flops` has no room for it. bf16 products
 * are not asked of `flops`, for many CPUs have no event that sees them. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "known.h"

enum { CHAINS = 8, FLOP_ROUNDS = 200000, GEMM_SIZE = 64, GEMM_TIMES = 8 };

/* Separate multiplication and addition: without a fused instruction, and on every CPU. */
static KNOWN_UNCHECKED double multiply_add(struct known_room *room)
{
    float x[CHAINS] = {1, 2, 3, 4, 5, 6, 7, 8};
    volatile float factor = 0.999f, addend = 1.0f;
    float b = factor, a = addend;

    (void)room;
    for (long i = 0; i < FLOP_ROUNDS; i++)
        for (int j = 0; j < CHAINS; j++)
            x[j] = x[j] * b + a;
    for (int j = 0; j < CHAINS; j++)
        factor = x[j];
    return 2.0 * CHAINS * FLOP_ROUNDS;
}

/* A product as the compiler lays it out, fused or not: 2 n^3 either way. */
#define GEMM_KERNEL(kernel, type)                                                                                              \
    static KNOWN_UNCHECKED double kernel(struct known_room *room)                                                              \
    {                                                                                                                          \
        static _Thread_local type a[GEMM_SIZE][GEMM_SIZE], b[GEMM_SIZE][GEMM_SIZE], c[GEMM_SIZE][GEMM_SIZE];                   \
                                                                                                                               \
        (void)room;                                                                                                            \
        a[0][0] = b[0][0] = 1;                                                                                                 \
        for (int times = 0; times < GEMM_TIMES; times++) {                                                                     \
            for (int i = 0; i < GEMM_SIZE; i++)                                                                                \
                for (int k = 0; k < GEMM_SIZE; k++)                                                                            \
                    for (int j = 0; j < GEMM_SIZE; j++)                                                                        \
                        c[i][j] += a[i][k] * b[k][j];                                                                          \
            __asm__ volatile("" ::"r"(a), "r"(b), "r"(c) : "memory");                                                          \
        }                                                                                                                      \
        return 2.0 * GEMM_SIZE * GEMM_SIZE * GEMM_SIZE * GEMM_TIMES;                                                           \
    }

GEMM_KERNEL(gemm_f32, float)
GEMM_KERNEL(gemm_f64, double)

#define FLOPS_OF_F32                                                                                                           \
    {                                                                                                                          \
        {METRIC_FLOPS, 1, true}, {METRIC_FLOPS_F32, 1, true},                                                                  \
        {                                                                                                                      \
            METRIC_FLOPS_F64, 0, true                                                                                          \
        }                                                                                                                      \
    }
#define FLOPS_OF_F64                                                                                                           \
    {                                                                                                                          \
        {METRIC_FLOPS, 1, true}, {METRIC_FLOPS_F64, 1, true},                                                                  \
        {                                                                                                                      \
            METRIC_FLOPS_F32, 0, true                                                                                          \
        }                                                                                                                      \
    }
#define FLOPS_OF_F64_128                                                                                                       \
    {                                                                                                                          \
        {METRIC_FLOPS, 1, false}, {METRIC_FLOPS_F64, 1, true},                                                                 \
        {                                                                                                                      \
            METRIC_FLOPS_F32, 0, true                                                                                          \
        }                                                                                                                      \
    }
#define FLOPS_OF_BF16                                                                                                          \
    {                                                                                                                          \
        {METRIC_FLOPS_BF16, 1, true}, {METRIC_FLOPS, 1, false},                                                                \
        {                                                                                                                      \
            METRIC_FLOPS_F32, 0, false                                                                                         \
        }                                                                                                                      \
    }

#if defined(__x86_64__)

/* One family of kernels: `type` of some numbers, combined by `step`. The result goes to a volatile so that it is computed. */
#define FLOP_KERNEL(kernel, isa_flags, type, set1, step, first, flops)                                                         \
    static KNOWN_UNCHECKED __attribute__((target(isa_flags))) double kernel(struct known_room *room)                           \
    {                                                                                                                          \
        const type a = set1(1.0f), b = set1(0.999f);                                                                           \
        type x[CHAINS] = {a, b, a, b, a, b, a, b};                                                                             \
        volatile double sink;                                                                                                  \
                                                                                                                               \
        (void)room;                                                                                                            \
        for (long i = 0; i < FLOP_ROUNDS; i++)                                                                                 \
            for (int j = 0; j < CHAINS; j++)                                                                                   \
                x[j] = step;                                                                                                   \
        for (int j = 0; j < CHAINS; j++)                                                                                       \
            sink = first(x[j]);                                                                                                \
        (void)sink;                                                                                                            \
        return (double)(flops)*CHAINS * FLOP_ROUNDS;                                                                           \
    }

FLOP_KERNEL(fma_scalar_f32, "avx2,fma", __m128, _mm_set1_ps, _mm_fmadd_ss(x[j], b, a), _mm_cvtss_f32, 2)
FLOP_KERNEL(fma_128_f32, "avx2,fma", __m128, _mm_set1_ps, _mm_fmadd_ps(x[j], b, a), _mm_cvtss_f32, 8)
FLOP_KERNEL(fma_256_f32, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps(x[j], b, a), _mm256_cvtss_f32, 16)
FLOP_KERNEL(fma_512_f32, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps(x[j], b, a), _mm512_cvtss_f32, 32)
FLOP_KERNEL(add_scalar_f32, "avx2,fma", __m128, _mm_set1_ps, _mm_add_ss(x[j], b), _mm_cvtss_f32, 1)
FLOP_KERNEL(add_128_f32, "avx2,fma", __m128, _mm_set1_ps, _mm_add_ps(x[j], b), _mm_cvtss_f32, 4)
FLOP_KERNEL(add_256_f32, "avx2,fma", __m256, _mm256_set1_ps, _mm256_add_ps(x[j], b), _mm256_cvtss_f32, 8)
FLOP_KERNEL(add_512_f32, "avx512f", __m512, _mm512_set1_ps, _mm512_add_ps(x[j], b), _mm512_cvtss_f32, 16)
FLOP_KERNEL(fma_scalar_f64, "avx2,fma", __m128d, _mm_set1_pd, _mm_fmadd_sd(x[j], b, a), _mm_cvtsd_f64, 2)
FLOP_KERNEL(fma_128_f64, "avx2,fma", __m128d, _mm_set1_pd, _mm_fmadd_pd(x[j], b, a), _mm_cvtsd_f64, 4)
FLOP_KERNEL(fma_256_f64, "avx2,fma", __m256d, _mm256_set1_pd, _mm256_fmadd_pd(x[j], b, a), _mm256_cvtsd_f64, 8)
FLOP_KERNEL(fma_512_f64, "avx512f", __m512d, _mm512_set1_pd, _mm512_fmadd_pd(x[j], b, a), _mm512_cvtsd_f64, 16)
FLOP_KERNEL(add_scalar_f64, "avx2,fma", __m128d, _mm_set1_pd, _mm_add_sd(x[j], b), _mm_cvtsd_f64, 1)
FLOP_KERNEL(add_128_f64, "avx2,fma", __m128d, _mm_set1_pd, _mm_add_pd(x[j], b), _mm_cvtsd_f64, 2)
FLOP_KERNEL(add_256_f64, "avx2,fma", __m256d, _mm256_set1_pd, _mm256_add_pd(x[j], b), _mm256_cvtsd_f64, 4)
FLOP_KERNEL(add_512_f64, "avx512f", __m512d, _mm512_set1_pd, _mm512_add_pd(x[j], b), _mm512_cvtsd_f64, 8)

/* Each 32-bit lane sums two products of bf16 pairs: four FLOPs. */
#define BF16_KERNEL(kernel, isa_flags, type, pairs, zero, step, first, flops)                                                  \
    static KNOWN_UNCHECKED __attribute__((target(isa_flags))) double kernel(struct known_room *room)                           \
    {                                                                                                                          \
        const pairs b = {0};                                                                                                   \
        type x[CHAINS];                                                                                                        \
        volatile float sink;                                                                                                   \
                                                                                                                               \
        (void)room;                                                                                                            \
        for (int j = 0; j < CHAINS; j++)                                                                                       \
            x[j] = zero();                                                                                                     \
        for (long i = 0; i < FLOP_ROUNDS; i++)                                                                                 \
            for (int j = 0; j < CHAINS; j++)                                                                                   \
                x[j] = step;                                                                                                   \
        for (int j = 0; j < CHAINS; j++)                                                                                       \
            sink = first(x[j]);                                                                                                \
        (void)sink;                                                                                                            \
        return (double)(flops)*CHAINS * FLOP_ROUNDS;                                                                           \
    }

BF16_KERNEL(dot_128_bf16, "avx512bf16,avx512vl", __m128, __m128bh, _mm_setzero_ps, _mm_dpbf16_ps(x[j], b, b), _mm_cvtss_f32, 16)
BF16_KERNEL(dot_256_bf16, "avx512bf16,avx512vl", __m256, __m256bh, _mm256_setzero_ps, _mm256_dpbf16_ps(x[j], b, b),
            _mm256_cvtss_f32, 32)
BF16_KERNEL(dot_512_bf16, "avx512bf16,avx512f", __m512, __m512bh, _mm512_setzero_ps, _mm512_dpbf16_ps(x[j], b, b),
            _mm512_cvtss_f32, 64)

static bool has_bf16(void)
{
    return __builtin_cpu_supports("avx512bf16");
}

#endif

const struct known known_flops[] = {
    {.name = "multiply, add f32", .run = multiply_add, .expect = FLOPS_OF_F32},
    {.name = "product of matrices f32", .run = gemm_f32, .expect = FLOPS_OF_F32},
    {.name = "product of matrices f64", .run = gemm_f64, .expect = FLOPS_OF_F64_128},
#if defined(__x86_64__)
    {.name = "scalar fma f32", .isa = ISA_AVX2, .run = fma_scalar_f32, .expect = FLOPS_OF_F32},
    {.name = "128-bit fma f32", .isa = ISA_AVX2, .run = fma_128_f32, .expect = FLOPS_OF_F32},
    {.name = "256-bit fma f32", .isa = ISA_AVX2, .run = fma_256_f32, .expect = FLOPS_OF_F32},
    {.name = "512-bit fma f32", .isa = ISA_AVX512, .run = fma_512_f32, .expect = FLOPS_OF_F32},
    {.name = "scalar add f32", .isa = ISA_AVX2, .run = add_scalar_f32, .expect = FLOPS_OF_F32},
    {.name = "128-bit add f32", .isa = ISA_AVX2, .run = add_128_f32, .expect = FLOPS_OF_F32},
    {.name = "256-bit add f32", .isa = ISA_AVX2, .run = add_256_f32, .expect = FLOPS_OF_F32},
    {.name = "512-bit add f32", .isa = ISA_AVX512, .run = add_512_f32, .expect = FLOPS_OF_F32},
    {.name = "scalar fma f64", .isa = ISA_AVX2, .run = fma_scalar_f64, .expect = FLOPS_OF_F64},
    {.name = "128-bit fma f64", .isa = ISA_AVX2, .run = fma_128_f64, .expect = FLOPS_OF_F64_128},
    {.name = "256-bit fma f64", .isa = ISA_AVX2, .run = fma_256_f64, .expect = FLOPS_OF_F64},
    {.name = "512-bit fma f64", .isa = ISA_AVX512, .run = fma_512_f64, .expect = FLOPS_OF_F64},
    {.name = "scalar add f64", .isa = ISA_AVX2, .run = add_scalar_f64, .expect = FLOPS_OF_F64},
    {.name = "128-bit add f64", .isa = ISA_AVX2, .run = add_128_f64, .expect = FLOPS_OF_F64_128},
    {.name = "256-bit add f64", .isa = ISA_AVX2, .run = add_256_f64, .expect = FLOPS_OF_F64},
    {.name = "512-bit add f64", .isa = ISA_AVX512, .run = add_512_f64, .expect = FLOPS_OF_F64},
    {.name = "128-bit bf16 dot", .isa = ISA_AVX512, .available = has_bf16, .run = dot_128_bf16, .expect = FLOPS_OF_BF16},
    {.name = "256-bit bf16 dot", .isa = ISA_AVX512, .available = has_bf16, .run = dot_256_bf16, .expect = FLOPS_OF_BF16},
    {.name = "512-bit bf16 dot", .isa = ISA_AVX512, .available = has_bf16, .run = dot_512_bf16, .expect = FLOPS_OF_BF16},
#endif
    {.name = NULL},
};
