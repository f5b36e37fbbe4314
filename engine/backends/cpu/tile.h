/* SPDX-License-Identifier: MIT
 * The innermost loop of every product: a tile of at most TILE_ROWS rows by TILE_COLS columns of results that stays in registers
 * over the whole depth. Two vectors of weights and one activation at a time are multiplied in; on AVX-512 that is 26 products
 * for 15 loads, so that nothing but the multipliers is ever waited for. Rows are constants of each instance: a loop over them
 * that a compiler keeps would put the sums into memory.
 *
 * Only for *_kernels.c files: TILE_DEFINE(name, kind) makes `name`, a table of functions by number of rows (1 to TILE_ROWS). */
#ifndef BENCH_CPU_TILE_H
#define BENCH_CPU_TILE_H

#include <stdbool.h>
#include <stddef.h>

#include "backends/cpu/vector.h"

/* Sums, two weights and an activation fill the registers: 32 of them on AVX-512 and AArch64, else 16. What is done for each row
 * or made for each number of rows is written out. */
#define TILE_SIX(act, ...)                                                                                                     \
    act(1, __VA_ARGS__) act(2, __VA_ARGS__) act(3, __VA_ARGS__) act(4, __VA_ARGS__) act(5, __VA_ARGS__) act(6, __VA_ARGS__)
#if defined(__AVX512F__) || defined(__aarch64__)
enum { TILE_ROWS = 13 };
#define TILE_EACH(act, ...)                                                                                                    \
    TILE_SIX(act, __VA_ARGS__)                                                                                                 \
    act(7, __VA_ARGS__) act(8, __VA_ARGS__) act(9, __VA_ARGS__) act(10, __VA_ARGS__) act(11, __VA_ARGS__) act(12, __VA_ARGS__) \
        act(13, __VA_ARGS__)
#else
enum { TILE_ROWS = 6 };
#define TILE_EACH TILE_SIX
#endif
enum { TILE_COLS = 2 * LANES };

/* How a step of depth of the weights is stored: TILE_COLS elements of this type. TILE_PAIRS: TILE_COLS pairs of bf16, that is
 * two steps of depth, multiplied by pairs of x (where TILE_HAS_PAIRS). */
enum tile_kind { TILE_F32, TILE_F16, TILE_BF16, TILE_PAIRS };
#if defined(__AVX512BF16__)
#define TILE_HAS_PAIRS 1
#else
#define TILE_HAS_PAIRS 0
#endif

/* y[r][c] = sum over d < depth of x[d][r] * w[d][c], + bias[c], + what y holds. Strides are distances in elements of 4 bytes
 * (y, x) and in bytes (w). */
struct tile {
    float *y;
    size_t y_stride;
    const void *x; /* floats, or pairs of bf16: those of all rows side by side, a step of depth x_stride after the last */
    size_t x_stride;
    const void *w; /* any alignment */
    size_t w_stride;
    int depth;         /* in steps, >= 0 */
    const float *bias; /* [TILE_COLS], or NULL */
    bool add;
    bool stream;       /* weights come straight from memory, about as fast as it gives them: fetch and also are not used */
    const char *fetch; /* memory to bring into the second cache meanwhile, fetch_step bytes a step; NULL: none */
    size_t fetch_step;
    const char *also; /* likewise, at most a line a step; not fetched by tiles of 3 rows and less */
    size_t also_step;
};

/* The tile's sums. Few rows take several steps of depth at once, each with sums of its own: a sum must not wait for the one
 * before it, and latency x rate of the multipliers is 8 (a step of one row only has 2). */
#define TILE_CHAINS(rows) ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)

#define TILE_INLINE static inline __attribute__((always_inline))

TILE_INLINE vec tile_weights(const char *w, int vector, const enum tile_kind kind)
{
    if (kind == TILE_F16)
        return load_f16((const uint16_t *)(const void *)w + vector * LANES);
    if (kind == TILE_BF16)
        return load_bf16((const uint16_t *)(const void *)w + vector * LANES);
    return load((const float *)(const void *)w + vector * LANES);
}

TILE_INLINE vec tile_multiply(vec sum, vec w, vec x, const enum tile_kind kind)
{
#if TILE_HAS_PAIRS
    if (kind == TILE_PAIRS)
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)x);
#endif
    (void)kind;
    return sum + w * x;
}

/* `steps` steps of depth; the sums of step s begin at sum[s * rows]. */
TILE_INLINE void tile_steps(vec sum[TILE_ROWS][2], const struct tile *t, const char *x, const char *w, const int rows,
                            const int steps, const enum tile_kind kind)
{
    vec w0 = {0}, w1 = {0};

#define TILE_STEP(n, unused)                                                                                                   \
    if (rows * steps >= (n)) {                                                                                                 \
        const size_t step = ((n)-1) / rows, row = ((n)-1) % rows;                                                              \
        if (row == 0) {                                                                                                        \
            w0 = tile_weights(w + step * t->w_stride, 0, kind);                                                                \
            w1 = tile_weights(w + step * t->w_stride, 1, kind);                                                                \
        }                                                                                                                      \
        vec each = splat_bits(x + 4 * (step * t->x_stride + row));                                                             \
        IN_REGISTER(each);                                                                                                     \
        sum[(n)-1][0] = tile_multiply(sum[(n)-1][0], w0, each, kind);                                                          \
        sum[(n)-1][1] = tile_multiply(sum[(n)-1][1], w1, each, kind);                                                          \
    }
    TILE_EACH(TILE_STEP, )
#undef TILE_STEP
}

/* A row of results, from its sums. */
TILE_INLINE void tile_finish(const struct tile *t, int row, const vec sum[2])
{
    float *y = t->y + (size_t)row * t->y_stride;

    for (int j = 0; j < 2; j++) {
        vec v = sum[j];
        if (t->bias)
            v += load(t->bias + j * LANES);
        if (t->add)
            v += load(y + j * LANES);
        store(y + j * LANES, v);
    }
}

/* The hardware follows a stream better than fetching ahead does, but at each page it begins anew: the first lines of a page are
 * to be there when it comes. While w goes through a page this goes through 128 bytes. */
TILE_INLINE const char *tile_page_ahead(const char *w)
{
    enum { PAGE = 4096, AHEAD = 3 };
    const size_t within = (size_t)w % PAGE;

    return w - within + AHEAD * PAGE + within / 32;
}

TILE_INLINE void tile_body(const struct tile *t, const int rows, const enum tile_kind kind)
{
    enum { LINE = 64 }; /* of cache: what one prefetch brings */
    const int steps = TILE_CHAINS(rows), lines = (int)sizeof(vec) * 2 / (kind == TILE_F16 || kind == TILE_BF16 ? 2 : 1) / LINE;
    const char *x = t->x, *w = t->w, *fetch = t->fetch ? t->fetch : w, *also = t->also ? t->also : w;
    const bool stream = t->stream;
    vec sum[TILE_ROWS][2] = {0};
    int d = 0;

#define TILE_CLAIM(n, unused)                                                                                                  \
    if (rows >= (n))                                                                                                           \
        for (int j = 0; j < 2; j++)                                                                                            \
            __builtin_prefetch(t->y + ((n)-1) * t->y_stride + j * LANES, 1, 3);
    if (t->also) { /* one of several: results are many and far away by now */
        TILE_EACH(TILE_CLAIM, )
    }
#undef TILE_CLAIM
    for (; d + steps <= t->depth; d += steps) {
        const char *ahead = stream ? tile_page_ahead(w) : fetch;
        for (int i = 0; i == 0 || i < steps * lines; i++)
            __builtin_prefetch(ahead + i * LINE, 0, 2);
        if (steps == 1)
            __builtin_prefetch(also, 0, 2);
        tile_steps(sum, t, x, w, rows, steps, kind);
        x += 4 * steps * t->x_stride;
        w += steps * t->w_stride;
        fetch += steps * t->fetch_step;
        also += t->also_step;
    }
    for (; steps > 1 && d < t->depth; d++, x += 4 * t->x_stride, w += t->w_stride)
        tile_steps(sum, t, x, w, rows, 1, kind);
#define TILE_GATHER(n, unused)                                                                                                 \
    if (rows < (n) && (n) <= rows * steps)                                                                                     \
        for (int j = 0; j < 2; j++)                                                                                            \
            sum[((n)-1) % rows][j] += sum[(n)-1][j];
    TILE_EACH(TILE_GATHER, )
#undef TILE_GATHER
#define TILE_FINISH(n, unused)                                                                                                 \
    if (rows >= (n))                                                                                                           \
        tile_finish(t, (n)-1, sum[(n)-1]);
    TILE_EACH(TILE_FINISH, )
#undef TILE_FINISH
}

#define TILE_INSTANCE(rows, name, kind)                                                                                        \
    static void name##_##rows(const struct tile *t)                                                                            \
    {                                                                                                                          \
        tile_body(t, rows, kind);                                                                                              \
    }
#define TILE_ENTRY(rows, name) [rows] = name##_##rows,

typedef void tile_function(const struct tile *t);

#define TILE_DEFINE(name, kind)                                                                                                \
    TILE_EACH(TILE_INSTANCE, name, kind)                                                                                       \
    static tile_function *const name[TILE_ROWS + 1] = {TILE_EACH(TILE_ENTRY, name)};

#endif
