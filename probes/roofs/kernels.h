/* SPDX-License-Identifier: MIT
 * The inner loops of the roofs, one table per instruction-set level. Pointers are aligned to 64, lengths are multiples of
 * ROOF_BLOCK. Every kernel returns what its work adds up to, so that a test can see that all of it was done. Everything here is
 * measured path. */
#ifndef BENCH_ROOF_KERNELS_H
#define BENCH_ROOF_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROOF_BLOCK = 4096 };

enum roof_op { ROOF_READ, ROOF_WRITE, ROOF_COPY, ROOF_TRIAD, ROOF_OPS };

/* Passes over arrays that lie one after another at p, `bytes` each, the written one first: read a; a = 1.5; a = b;
 * a = b + 0.5 c, in single precision. */
struct roof_stream {
    enum roof_op op;
    bool bypass; /* non-temporal stores: past the caches, and no line is read to be owned first */
    const char *how;
    uint64_t (*run)(float *p, size_t bytes, long passes); /* reading: the sum of all 64-bit words that were read; else 0 */
};

/* Chains of multiply-adds (or dot products) on registers. */
struct roof_compute {
    const char *dtype; /* "f32", "f64", "bf16", "int8" */
    const char *how;
    int bits;                   /* of a vector; a scalar's own 32 or 64 */
    double ops;                 /* of one round; a multiply-add is two */
    double (*run)(long rounds); /* every multiply-add adds 1 to it: run(r) - run(0) = r * ops / 2 */
    bool (*present)(void);      /* NULL: on every CPU of this level */
};

struct roof_kernels {
    int bits; /* of the level's vectors */
    const struct roof_stream *stream;
    int streams;
    const struct roof_compute *compute;
    int computes;
};

extern const struct roof_kernels roof_kernels_base;
#if defined(__x86_64__)
extern const struct roof_kernels roof_kernels_avx2;
extern const struct roof_kernels roof_kernels_avx512;
extern const struct roof_kernels roof_kernels_avx512bf16;
#endif

#endif
