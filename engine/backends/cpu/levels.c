/* SPDX-License-Identifier: MIT
 * The kernels' tables, level by level. */
#include "backends/cpu/attention.h"
#include "backends/cpu/kernels.h"

#define DECLARE(level)                                                                                                         \
    extern const struct cpu_elementwise cpu_elementwise_##level;                                                               \
    extern const struct cpu_format cpu_float_##level[CPU_FLOAT_FORMATS], cpu_int8_##level[CPU_INT8_FORMATS];                   \
    extern const struct cpu_attention cpu_attention_##level[DTYPE_BF16 + 1];

#define TABLE(level)                                                                                                           \
    {                                                                                                                          \
        .elementwise = &cpu_elementwise_##level, .attention = cpu_attention_##level, .format = {                               \
            [DTYPE_F32] = &cpu_float_##level[DTYPE_F32],                                                                       \
            [DTYPE_F16] = &cpu_float_##level[DTYPE_F16],                                                                       \
            [DTYPE_BF16] = &cpu_float_##level[DTYPE_BF16],                                                                     \
            [DTYPE_Q8_0] = &cpu_int8_##level[0],                                                                               \
            [DTYPE_Q4_0] = &cpu_int8_##level[1],                                                                               \
        }                                                                                                                      \
    }

DECLARE(base)
#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
DECLARE(avx512bf16)
#endif

const struct cpu_kernels *cpu_kernels_of(enum isa isa)
{
    static const struct cpu_kernels levels[ISA_COUNT] = {
        [ISA_BASE] = TABLE(base),
#if defined(__x86_64__)
        [ISA_AVX2] = TABLE(avx2),
        [ISA_AVX512] = TABLE(avx512),
        [ISA_AVX512BF16] = TABLE(avx512bf16),
#endif
    };

    return &levels[isa];
}
