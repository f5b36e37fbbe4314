/* SPDX-License-Identifier: MIT
 * Roofs: the machine's ceilings, measured in the same process, on the same pinned team, with the same page policy as the
 * trials. Compute: register-only multiply-adds and dot products, and the best library GEMM. Bandwidth: read, copy and triad
 * over L1, L2, L3 and DRAM sized buffers. A roof is taken several times around the trials (before, between, after); its spread
 * is its uncertainty. Roofs of a GPU are measured by the plug-in (gpu.h), under the same names where they mean the same. */
#ifndef BENCH_ROOFS_H
#define BENCH_ROOFS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum roof_kind { ROOF_COMPUTE, ROOF_BANDWIDTH, ROOF_LAUNCH };
enum { ROOF_OF_CPU = 1, ROOF_OF_GPU = 2 };

struct roof_spec {
    const char
        *name; /* "f32 fma", "f32 gemm", "bf16 dot", "int8 dot", "dram read", "dram copy", "l1 read", "launch graph", ... */
    enum roof_kind kind;
    const char *level; /* "registers", "l1", "l2", "l3", "dram", "launch": what limits it */
    unsigned of;       /* ROOF_OF_...: whose */
    const char *about;
    bool bracket; /* taken again between and after the trials (the verdict's roofs) */
};

extern const struct roof_spec roof_specs[];
extern const int roof_count;

struct roof {
    const struct roof_spec *spec;
    double value;     /* operations/s (a multiply-add is two), B/s or kernels/s: the best of its repetitions in this round */
    double work;      /* operations, bytes or kernels of one repetition */
    uint64_t wall_ns; /* of the best repetition */
    int repetitions;
    char how[96]; /* "avx512, 2 threads, 256 MiB per thread, huge pages advised" */
};

struct roofs; /* buffers and kernels, kept between rounds so that a round costs only its measuring */

/* device: a GPU, whose roofs do not depend on threads; -1: the CPU. threads: of the started team's workers, the first ones.
 * budget_ms bounds each roof's time in a round. One for each number of threads may be open beside the others: as long as these
 * are 16 at most, they take a third of the machine's memory together. A GPU's memory is taken for each measuring alone, so that
 * models and sessions have all of it in between. */
int roofs_open(struct roofs **out, int device, int threads, int budget_ms, struct err *e);
void roofs_close(struct roofs *r);

/* Measures roof_specs[index]. ERR_ABSENT with the reason when the machine has no such level or arithmetic, or it is none of
 * this object's roofs. */
int roofs_measure(struct roofs *r, int index, struct roof *out, struct err *e);

#endif
