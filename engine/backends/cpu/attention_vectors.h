/* SPDX-License-Identifier: MIT
 * What the two ways of attention share: streaming (attention_kernels.c) and panels (attention_panel_kernels.c). Only for these,
 * compiled once a level. */
#ifndef BENCH_CPU_ATTENTION_VECTORS_H
#define BENCH_CPU_ATTENTION_VECTORS_H

#include <float.h>

#include "backends/cpu/attention.h"
#include "backends/cpu/tile.h"

#define LOWEST (-FLT_MAX) /* of scores: of none yet, or of a position that is not seen */

/* How a cache is read. Pairs: two bf16 in a word; the panels choose that themselves. */
enum mode { MODE_F32 = DTYPE_F32, MODE_F16 = DTYPE_F16, MODE_BF16 = DTYPE_BF16, MODE_PAIRS };

/* Many queries against a stretch of positions: part and room as struct cpu_attention's attend has them. */
void LEVELLED(attention_panels_)(const struct attention_task *t, float *part, float *room, enum mode mode);
size_t LEVELLED(attention_panels_room_)(int head_dim); /* floats */

TILE_INLINE size_t element_bytes(const enum mode mode)
{
    return mode == MODE_F32 ? 4 : 2;
}

/* Rows of what is worked in begin at multiples of a vector. */
static inline size_t room_words(int head_dim)
{
    return (size_t)(head_dim + LANES - 1) / LANES * LANES;
}

/* LANES elements as floats. */
TILE_INLINE vec load_as(const void *p, const enum mode mode)
{
    return mode == MODE_F32 ? load(p) : mode == MODE_F16 ? load_f16(p) : load_bf16(p);
}

/* The same where only the first n are there. */
TILE_INLINE vec load_first(const void *p, int n, const enum mode mode)
{
    char elements[sizeof(vec)] = {0};

    memcpy(elements, p, (size_t)n * element_bytes(mode));
    return load_as(elements, mode);
}

/* --- four vectors' lanes change places: of each four lanes, lane i of vector j becomes lane j of vector i --------------------
 */

#define OF_FOUR(at, a, b, c, d) (a) + 4 * (at), (b) + 4 * (at), (c) + 4 * (at), (d) + 4 * (at)
#if defined(__AVX512F__)
#define OF_EACH(a, b, c, d) OF_FOUR(0, a, b, c, d), OF_FOUR(1, a, b, c, d), OF_FOUR(2, a, b, c, d), OF_FOUR(3, a, b, c, d)
#elif defined(__AVX2__)
#define OF_EACH(a, b, c, d) OF_FOUR(0, a, b, c, d), OF_FOUR(1, a, b, c, d)
#else
#define OF_EACH(a, b, c, d) OF_FOUR(0, a, b, c, d)
#endif
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)

TILE_INLINE void turn_fours(vec v[4])
{
    vec low0 = SHUFFLE(v[0], v[1], OF_EACH(0, LANES, 1, LANES + 1)),
        high0 = SHUFFLE(v[0], v[1], OF_EACH(2, LANES + 2, 3, LANES + 3));
    vec low1 = SHUFFLE(v[2], v[3], OF_EACH(0, LANES, 1, LANES + 1)),
        high1 = SHUFFLE(v[2], v[3], OF_EACH(2, LANES + 2, 3, LANES + 3));

    v[0] = SHUFFLE(low0, low1, OF_EACH(0, 1, LANES, LANES + 1));
    v[1] = SHUFFLE(low0, low1, OF_EACH(2, 3, LANES + 2, LANES + 3));
    v[2] = SHUFFLE(high0, high1, OF_EACH(0, 1, LANES, LANES + 1));
    v[3] = SHUFFLE(high0, high1, OF_EACH(2, 3, LANES + 2, LANES + 3));
}

/* A row of results, multiplied. */
static inline void scale_row(float *restrict x, int n, float scale)
{
    for (int i = 0; i < n; i++)
        x[i] *= scale;
}

#endif
