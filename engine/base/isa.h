/* SPDX-License-Identifier: MIT
 * Instruction-set levels that our kernels are compiled for. Each kernel family is one source, compiled once a level; the
 * level is chosen at run time from CPUID. BENCH_ISA=base|avx2|avx512|avx512bf16 forces a lower
 * one. avx512bf16 has the dot products of bf16 and of int8 (VNNI) besides. */
#ifndef BENCH_ISA_H
#define BENCH_ISA_H

#include "err.h"

enum isa { ISA_BASE, ISA_AVX2, ISA_AVX512, ISA_AVX512BF16, ISA_COUNT };

const char *isa_name(enum isa isa); /* "base", "avx2", "avx512", "avx512bf16" */

/* The best level of this CPU, or the one BENCH_ISA names. ERR_USAGE when that is unknown or beyond the CPU. */
int isa_choose(enum isa *out, struct err *e);

#endif
