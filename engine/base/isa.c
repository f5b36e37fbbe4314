/* SPDX-License-Identifier: MIT */
#include "isa.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[ISA_COUNT] = {"base", "avx2", "avx512", "avx512bf16"};

const char *isa_name(enum isa isa)
{
    return names[isa];
}

static enum isa isa_of_cpu(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw"))
        return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? ISA_AVX512BF16 : ISA_AVX512;
    /* F16C came before AVX2: every CPU that has this has that. */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return ISA_AVX2;
#endif
    return ISA_BASE;
}

int isa_choose(enum isa *out, struct err *e)
{
    const char *forced = getenv("BENCH_ISA");
    enum isa best = isa_of_cpu();

    *out = best;
    if (!forced || !*forced)
        return 0;
    for (int i = 0; i < ISA_COUNT; i++) {
        if (strcmp(forced, names[i]) != 0)
            continue;
        if (i > (int)best)
            return err_set(e, ERR_USAGE, "BENCH_ISA=%s: this CPU offers %s at most", forced, names[best]);
        *out = (enum isa)i;
        return 0;
    }
    return err_set(e, ERR_USAGE, "BENCH_ISA=%s: expected base, avx2, avx512 or avx512bf16", forced);
}
