/* SPDX-License-Identifier: MIT
 * The inner loops of the roofs, one table per instruction-set level. All lengths are bytes, multiples of ROOF_BLOCK; all
 * pointers are aligned to 64. Everything here is measured path. */
#ifndef BENCH_ROOF_KERNELS_H
#define BENCH_ROOF_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { ROOF_BLOCK = 4096, ROOF_READS = 4, ROOF_WRITES = 2 };

struct roof_read {
    const char *name; /* "4 streams" */
    uint64_t (*run)(const void *p, size_t bytes, long passes);
};

/* triad is a = b + s * c; copy leaves c unused. */
struct roof_write {
    const char *name; /* "plain stores" */
    void (*copy)(float *a, const float *b, size_t bytes);
    void (*triad)(float *a, const float *b, const float *c, size_t bytes);
};

struct roof_kernels {
    int bits;         /* of a vector */
    double fma_flops; /* of one round */
    float (*fma)(long rounds);
    struct roof_read read[ROOF_READS];
    struct roof_write write[ROOF_WRITES]; /* up to the first without a name */
};

extern const struct roof_kernels roof_kernels_base;
#if defined(__x86_64__)
extern const struct roof_kernels roof_kernels_avx2;
extern const struct roof_kernels roof_kernels_avx512;
#endif

#endif
