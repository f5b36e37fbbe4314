/* SPDX-License-Identifier: MIT
 * Products with q8_0 and q4_0 weights: in whole numbers within a block of 32, in float32 from block to block. Activations are
 * quantised as q8_0 is, but for their scale, which stays float32. The levels differ in one step only, that of multiplying
 * small integers in pairs or fours and adding them up: integer sums are exact, so all levels compute the same but for the
 * rounding of a few floats a block.
 *
 * Weights are packed as unsigned bytes or nibbles, as the dot product of fours wants them; what that adds to the sum of a block
 * depends on x alone, and the sum starts with its opposite. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

#define INLINE static inline __attribute__((always_inline))

/* A word of an activation block: four int8, or two int16 where only those can be multiplied. */
#if defined(__AVX512VNNI__)
enum { PER_WORD = 4 };
#else
enum { PER_WORD = 2 };
#endif
enum { BLOCK = 32, WORDS = BLOCK / PER_WORD, PARTS = 4 / PER_WORD, PANEL = 16, VECTORS = PANEL / LANES };

/* With dot products of fours a tile's sums and a block's weights stay in registers: a function for each number of rows. Else
 * there are too few for that, and one function does for all but a single row. */
#if defined(__AVX512VNNI__)
enum { TILE_ROWS = 16 };
#define UNROLL_ROWS _Pragma("GCC unroll 16")
#else
enum { TILE_ROWS = 8 };
#define UNROLL_ROWS
#endif

/* --- activations ---------------------------------------------------------------------------------------------------------- */

/* 32 elements of a row: about scale times an integer. A tile's blocks stand in the order [depth][row]. */
struct activations {
    int32_t word[WORDS];
    int32_t start; /* of the integer sum: what makes up for unsigned weights */
    float scale;
};

/* Four in a word as they come; or elements 0 and 2 of four in one word, 1 and 3 in the next, since that is how the bytes of a
 * word of weights come apart. */
INLINE void put_words(int32_t word[WORDS], const int8_t quants[BLOCK])
{
#if defined(__AVX512VNNI__)
    memcpy(word, quants, BLOCK);
#else
    for (int i = 0; i < WORDS; i++) {
        const int8_t *q = quants + i / 2 * 4 + i % 2;
        word[i] = (int32_t)((uint32_t)q[2] << 16 | (uint16_t)q[0]);
    }
#endif
}

/* scale = largest size / 127; infinity and NaN go into the scale. Adding 1.5 x 2^23 rounds to nearest and leaves the integer in
 * the lowest bits; those of infinity and NaN, which a scale of 0 or nearly 0 makes of everything, are 0. */
static void quantise(struct activations *a, const float *x, int offset)
{
    int32_t most = 0, sum = 0;
    int8_t quants[BLOCK];

    for (int i = 0; i < BLOCK; i++) {
        int32_t size;
        memcpy(&size, &x[i], sizeof size);
        size &= 0x7fffffff; /* as integers, sizes have the order they have as floats, with NaN above */
        most = size > most ? size : most;
    }
    memcpy(&a->scale, &most, sizeof most);
    a->scale /= 127;
    const float inverse = 1 / a->scale;
    for (int i = 0; i < BLOCK; i++) {
        float shifted = x[i] * inverse + 12582912.0f;
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        quants[i] = (int8_t)bits;
        sum += (int32_t)(bits << 24) >> 24;
    }
    a->start = -offset * sum;
    put_words(a->word, quants);
}

INLINE void prepare(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to, int offset)
{
    const int tiles = tiles_of(rows, TILE_ROWS), first = tile_first(rows, tiles, tile);
    const int tall = tile_first(rows, tiles, tile + 1) - first;
    struct activations *a = (struct activations *)prepared + (size_t)first * (size_t)(cols / BLOCK);

    x += (size_t)first * (size_t)x_stride;
    for (int r = 0; r < tall; r++)
        for (int b = from / BLOCK; b < to / BLOCK; b++)
            quantise(&a[(size_t)b * (size_t)tall + (size_t)r], x + (size_t)r * (size_t)x_stride + b * BLOCK, offset);
}

static size_t prepared_bytes(int rows, int cols)
{
    return (size_t)rows * (size_t)(cols / BLOCK) * sizeof(struct activations);
}

/* --- weights: of two blocks of depth first the scales of 16 outputs and 16 more, then the quants [block][4 depths][output] ---
 *
 * So everything begins at a cache line, and a panel is one stream. A lone last block takes half of the scales' line: rows of an
 * odd number of blocks are padded by 2 bytes, and 16 of those are the other half. */

enum { SCALES_BYTES = 2 * PANEL * (int)sizeof(uint16_t) };

/* Of one row, or of a panel divided by its rows. */
#define QUANT_BYTES(bits) (BLOCK * (bits) / 8)

INLINE size_t scales_at(int block, const int bits)
{
    const size_t pair = SCALES_BYTES + 2 * PANEL * QUANT_BYTES(bits);

    return (size_t)(block / 2) * pair + (size_t)(block % 2) * SCALES_BYTES / 2;
}

INLINE size_t quants_at(int block, const int bits)
{
    const size_t pair = SCALES_BYTES + 2 * PANEL * QUANT_BYTES(bits);

    return (size_t)(block / 2) * pair + SCALES_BYTES + (size_t)(block % 2) * PANEL * QUANT_BYTES(bits);
}

/* Makes 4 quants unsigned, and back: q8_0 has two's complement, q4_0 is unsigned as stored. */
INLINE uint32_t flip(const int bits)
{
    return bits == 8 ? 0x80808080 : 0;
}

INLINE void pack(void *panel, void *room, size_t row_bytes, int cols, const int bits)
{
    const size_t stored = 2 + QUANT_BYTES(bits);
    char *to = panel;

    memcpy(room, panel, PANEL * row_bytes);
    for (int row = 0; row < PANEL; row++)
        for (int b = 0; b < cols / BLOCK; b++) {
            const char *from = (const char *)room + (size_t)row * row_bytes + (size_t)b * stored;
            memcpy(to + scales_at(b, bits) + (size_t)row * 2, from, 2);
            for (int g = 0; g < QUANT_BYTES(bits) / 4; g++) {
                uint32_t word;
                memcpy(&word, from + 2 + 4 * g, 4);
                word ^= flip(bits);
                memcpy(to + quants_at(b, bits) + (size_t)(g * PANEL + row) * 4, &word, 4);
            }
        }
}

/* Through the stored form, so that there is one place that says what it means. */
INLINE void unpack_row(float *out, const char *panel, int cols, int row, enum dtype dtype, const int bits)
{
    char stored[2 + QUANT_BYTES(8)];

    for (int b = 0; b < cols / BLOCK; b++) {
        memcpy(stored, panel + scales_at(b, bits) + (size_t)row * 2, 2);
        for (int g = 0; g < QUANT_BYTES(bits) / 4; g++) {
            uint32_t word;
            memcpy(&word, panel + quants_at(b, bits) + (size_t)(g * PANEL + row) * 4, 4);
            word ^= flip(bits);
            memcpy(stored + 2 + 4 * g, &word, 4);
        }
        dtype_decode(dtype, out + b * BLOCK, stored, BLOCK);
    }
}

/* --- products ------------------------------------------------------------------------------------------------------------- */

/* What word `i` of the activations is multiplied with: the fours of groups 0-7 of a block of bytes; with nibbles the lower ones
 * of groups 0-3, then the upper ones. */
INLINE vec_uint weights(const char *quants, int i, int vector, const int bits)
{
    const int groups = QUANT_BYTES(bits) / 4, group = i / PARTS % groups, upper = i / PARTS / groups;
    const int shift = i % PARTS * 8 + upper * 4;
    vec_uint w;

    memcpy(&w, quants + (group * PANEL + vector * LANES) * 4, sizeof w);
    if (PARTS == 1 && bits == 8)
        return w;
    return w >> shift & (PARTS == 1 ? 0x01010101u : 0x00010001u) * ((1u << bits) - 1);
}

/* sum + w . x, lane by lane. The dot product of fours is spelled out since GCC would load x apart from it. Of the others one is
 * done before the next is begun: there are few registers. */
INLINE vec_int add_products(vec_int sum, vec_uint w, const int32_t *x)
{
#if defined(__AVX512VNNI__)
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*x));
#elif defined(__AVX512BW__)
    sum += (vec_int)_mm512_madd_epi16((__m512i)w, _mm512_set1_epi32(*x));
#elif defined(__AVX2__)
    sum += (vec_int)_mm256_madd_epi16((__m256i)w, _mm256_set1_epi32(*x));
#elif defined(__SSE2__)
    sum += (vec_int)_mm_madd_epi16((__m128i)w, _mm_set1_epi32(*x));
#else
    sum += (vec_int)(w & 0xffff) * (int16_t)*x + (vec_int)(w >> 16) * (*x >> 16);
#endif
    IN_REGISTER(sum);
    return sum;
}

/* A panel times a tile: x is the tile's, y its first row. */
struct tile {
    float *y;
    const struct activations *x;
    const char *panel;
    const float *bias;
    int y_stride, blocks, outputs;
    bool add;
};

/* y (+)= sums + bias, where y has such outputs. */
static __attribute__((noinline)) void finish(const struct tile *t, float sums[][PANEL], int rows)
{
    const int count = t->outputs < PANEL ? t->outputs : PANEL;

    for (int r = 0; r < rows; r++) {
        float *y = t->y + (size_t)r * (size_t)t->y_stride;
        for (int o = 0; o < count; o++)
            y[o] = sums[r][o] + (t->bias ? t->bias[o] : 0) + (t->add ? y[o] : 0);
    }
}

/* Few rows are read as fast as the hardware's prefetchers can, and anything else in their way costs a tenth. More rows give
 * them so much less to follow that they stop at each page. */
enum { FEW_ROWS = 4, AHEAD = 4096 };

INLINE void tile_body(const struct tile *t, const int rows, const int bits)
{
    const struct activations *x = t->x;
    vec sum[TILE_ROWS][VECTORS] = {0};
    float sums[TILE_ROWS][PANEL];

    for (int b = 0; b < t->blocks; b++, x += rows) {
        const char *quants = t->panel + quants_at(b, bits), *scales = t->panel + scales_at(b, bits);
        vec_uint w[WORDS][VECTORS];
        vec scale[VECTORS];

        for (int line = 0; rows > FEW_ROWS && line < PANEL * QUANT_BYTES(bits) + 64; line += 64)
            __builtin_prefetch(quants + AHEAD + line, 0, 2);
        for (int v = 0; v < VECTORS; v++) {
            scale[v] = load_f16((const uint16_t *)(const void *)scales + v * LANES);
            for (int i = 0; i < WORDS; i++)
                w[i][v] = weights(quants, i, v, bits);
        }
        UNROLL_ROWS
        for (int r = 0; r < rows; r++) {
            vec_int whole[VECTORS];
            for (int v = 0; v < VECTORS; v++)
                whole[v] = (vec_int){0} + x[r].start;
            for (int i = 0; i < WORDS; i++)
                for (int v = 0; v < VECTORS; v++)
                    whole[v] = add_products(whole[v], w[i][v], &x[r].word[i]);
            for (int v = 0; v < VECTORS; v++)
                sum[r][v] += __builtin_convertvector(whole[v], vec) * (scale[v] * x[r].scale);
        }
    }
    UNROLL_ROWS
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            store(&sums[r][v * LANES], sum[r][v]);
    finish(t, sums, rows);
}

/* The tile's rows as a constant, so that the loops over them vanish (GCC; clang keeps some, for a twentieth of the speed). */
INLINE void tile_run(const struct tile *t, int rows, const int bits)
{
#if defined(__AVX512VNNI__)
#define TILE(rows)                                                                                                             \
    case rows:                                                                                                                 \
        tile_body(t, rows, bits);                                                                                              \
        break;

    /* clang-format off */
    switch (rows) {
        TILE(1) TILE(2) TILE(3) TILE(4) TILE(5) TILE(6) TILE(7) TILE(8)
        TILE(9) TILE(10) TILE(11) TILE(12) TILE(13) TILE(14) TILE(15) TILE(16)
    }
    /* clang-format on */
#undef TILE
#else
    if (rows == 1)
        tile_body(t, 1, bits);
    else
        tile_body(t, rows, bits);
#endif
}

/* Panels are taken in groups that stay in the second-level cache: their weights are read from memory once, and a tile's
 * activations once for each group. */
enum { GROUP_BYTES = 384 << 10 };

INLINE void product(float *y, const void *prepared, const void *w, const struct cpu_product *m, const int bits)
{
    const size_t panel_bytes = PANEL * m->row_bytes;
    const int count = tiles_of(m->rows, TILE_ROWS), blocks = m->cols / BLOCK, fit = (int)(GROUP_BYTES / panel_bytes);
    const int group = fit > 1 ? fit : 1;

    for (int begin = m->from, end; begin < m->to; begin = end) {
        end = begin + group < m->to ? begin + group : m->to;
        for (int i = 0; i < count; i++)
            for (int p = begin; p < end; p++) {
                const int first = tile_first(m->rows, count, i), o = p * PANEL;
                const struct tile t = {
                    .y = y + (size_t)first * (size_t)m->y_stride + o,
                    .x = (const struct activations *)prepared + (size_t)first * (size_t)blocks,
                    .panel = (const char *)w + (size_t)p * panel_bytes,
                    .bias = m->bias ? m->bias + o : NULL,
                    .y_stride = m->y_stride,
                    .blocks = blocks,
                    .outputs = m->outputs - o,
                    .add = m->add,
                };
                tile_run(&t, tile_first(m->rows, count, i + 1) - first, bits);
            }
    }
}

#define FORMAT(name, type, bits)                                                                                               \
    static void name##_pack(void *panel, void *room, size_t row_bytes, int cols)                                               \
    {                                                                                                                          \
        pack(panel, room, row_bytes, cols, bits);                                                                              \
    }                                                                                                                          \
    static void name##_unpack_row(float *out, const void *panel, size_t row_bytes, int cols, int row)                          \
    {                                                                                                                          \
        (void)row_bytes;                                                                                                       \
        unpack_row(out, panel, cols, row, type, bits);                                                                         \
    }                                                                                                                          \
    static void name##_prepare(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to)   \
    {                                                                                                                          \
        prepare(prepared, x, x_stride, rows, cols, tile, from, to, 1 << ((bits)-1));                                           \
    }                                                                                                                          \
    static void name##_product(float *y, const void *prepared, const void *w, const struct cpu_product *m)                     \
    {                                                                                                                          \
        product(y, prepared, w, m, bits);                                                                                      \
    }

#define TABLE(name)                                                                                                            \
    {                                                                                                                          \
        .arithmetic = "int8", .panel = PANEL, .tile_rows = TILE_ROWS, .depth_unit = BLOCK, .pack = name##_pack,                \
        .unpack_row = name##_unpack_row, .prepared_bytes = prepared_bytes, .prepare = name##_prepare,                          \
        .product = name##_product,                                                                                             \
    }

FORMAT(q8_0, DTYPE_Q8_0, 8)
FORMAT(q4_0, DTYPE_Q4_0, 4)

const struct cpu_format LEVELLED(cpu_int8_)[CPU_INT8_FORMATS] = {TABLE(q8_0), TABLE(q4_0)};
