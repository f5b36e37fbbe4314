/* SPDX-License-Identifier: MIT
 * Memory for the roofs: one mapping for the whole team, each worker's part first touched by that worker, asked to be of huge or
 * of small pages; what was really obtained is read from /proc/self/smaps. Not on the measured path. A zeroed area is closed. */
#ifndef BENCH_ROOF_AREA_H
#define BENCH_ROOF_AREA_H

#include <stddef.h>

#include "err.h"

enum roof_pages { ROOF_PAGES_SMALL, ROOF_PAGES_HUGE, ROOF_PAGES };

struct roof_area {
    enum roof_pages asked;
    int threads;
    size_t part_bytes, solo_bytes; /* of a worker in the team's company; of the first worker alone */
    double huge_share;             /* of the area: AnonHugePages; -1 when smaps cannot be read */
    char *base;                    /* aligned to a huge page */
    char *mapping;
    size_t mapped;
};

enum { ROOF_MATRIX_ROWS = 1152, ROOF_MATRICES = 3 }; /* square, single precision: what every worker has besides its part */

/* Parts are rounded down to whole huge pages, at least one; solo_bytes is at least part_bytes. Parts and matrices hold small
 * random numbers of both signs. Workers are the first `threads` of the started team. */
int area_open(struct roof_area *a, enum roof_pages pages, int threads, size_t part_bytes, size_t solo_bytes, struct err *e);
void area_close(struct roof_area *a);

float *area_part(const struct roof_area *a, int worker);
float *area_matrices(const struct roof_area *a, int worker);

/* Random numbers again, over the first worker's first `bytes` (a multiple of 64 KiB or all that is there). */
void area_refill(const struct roof_area *a, size_t bytes);

#endif
