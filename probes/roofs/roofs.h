/* SPDX-License-Identifier: MIT
 * Roofs: the machine's ceilings, measured in the same process, on the same pinned team, with the same page policy as the
 * trials. Compute: register-only multiply-adds and dot products, and the best library GEMM. Bandwidth: read, copy and triad
 * over L1, L2, L3 and DRAM sized buffers. A roof is taken several times around the trials (before, between, after); its spread
 * is its uncertainty. */
#ifndef BENCH_ROOFS_H
#define BENCH_ROOFS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum roof_kind { ROOF_COMPUTE, ROOF_BANDWIDTH };

struct roof_spec {
    const char
        *name; /* "f32 fma", "f32 gemm", "bf16 dot", "int8 dot", "dram read", "dram copy", "dram triad", "l1 read", ... */
    enum roof_kind kind;
    const char *level; /* "registers", "l1", "l2", "l3", "dram": what limits it */
    const char *about;
    bool bracket; /* taken again between and after the trials (the verdict's roofs) */
};

extern const struct roof_spec roof_specs[];
extern const int roof_count;

struct roof {
    const struct roof_spec *spec;
    double value;     /* operations/s (a multiply-add is two) or B/s: the best of its repetitions in this round */
    double work;      /* operations or bytes of one repetition */
    uint64_t wall_ns; /* of the best repetition */
    int repetitions;
    char how[96]; /* "avx512, 2 threads, 256 MiB per thread, huge pages advised" */
};

struct roofs; /* buffers and kernels, kept between rounds so that a round costs only its measuring */

/* threads: of the started team's workers, the first ones. budget_ms bounds each roof's time in a round. One for each number of
 * threads may be open beside the others: as long as these are 16 at most, they take a third of the machine's memory together.
 */
int roofs_open(struct roofs **out, int threads, int budget_ms, struct err *e);
void roofs_close(struct roofs *r);

/* Measures roof_specs[index]. ERR_ABSENT with the reason when the machine has no such level or arithmetic. */
int roofs_measure(struct roofs *r, int index, struct roof *out, struct err *e);

#endif
