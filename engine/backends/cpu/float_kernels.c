/* SPDX-License-Identifier: MIT
 * Products with weights in f32, f16 and bf16. A panel is [depth][PANEL] elements, which become floats on their way into
 * registers; where the CPU has the dot product of bf16, panels of bf16 are [depth / 2][PANEL] pairs, and activations are
 * rounded to pairs too.
 *
 * A single tile of rows streams through the weights. Where there are several, a block of weights that the second cache holds is
 * used by all of them before the next; each fetches its share of that meanwhile, so that memory is never idle. */
#include "backends/cpu/kernels.h"

#include "backends/cpu/tile.h"

enum { PANEL = TILE_COLS };

/* Where there are several tiles, BLOCK steps of depth, at most, stay in the second cache. AHEAD: bytes that a single tile
 * fetches in front of itself. */
enum { BLOCK = 512, AHEAD = 8192 };

/* --- packing: elements, or pairs, of 4 or 2 bytes change places -------------------------------------------------------------
 */

/* A few steps of depth at a time, so that what is written stays in cache whatever the distance of the rows. */
TILE_INLINE void pack(char *panel, char *room, size_t row_bytes, int steps, const size_t size)
{
    enum { FEW = 16 };

    memcpy(room, panel, PANEL * row_bytes);
    for (int from = 0; from < steps; from += FEW)
        for (int row = 0; row < PANEL; row++)
            for (int s = from; s < steps && s < from + FEW; s++)
                memcpy(panel + ((size_t)s * PANEL + (size_t)row) * size, room + (size_t)row * row_bytes + (size_t)s * size,
                       size);
}

static void pack_f32(void *panel, void *room, size_t row_bytes, int cols)
{
    pack(panel, room, row_bytes, cols, sizeof(float));
}

static void pack_f16(void *panel, void *room, size_t row_bytes, int cols)
{
    pack(panel, room, row_bytes, cols, sizeof(uint16_t));
}

static void unpack_f32(float *out, const void *panel, size_t row_bytes, int cols, int row)
{
    (void)row_bytes;
    for (int d = 0; d < cols; d++)
        out[d] = ((const float *)panel)[(size_t)d * PANEL + (size_t)row];
}

/* a_step: elements of a row that stand together. */
static void unpack_shorts(enum dtype dtype, float *out, const uint16_t *panel, int a_step, int cols, int row)
{
    uint16_t few[64];
    const int most = (int)(sizeof few / sizeof *few);

    for (int from = 0; from < cols; from += most) {
        int n = cols - from < most ? cols - from : most;
        for (int i = 0; i < n; i++) {
            int step = (from + i) / a_step, part = (from + i) % a_step;
            few[i] = panel[((size_t)step * PANEL + (size_t)row) * (size_t)a_step + (size_t)part];
        }
        dtype_decode(dtype, out + from, few, (size_t)n);
    }
}

static void unpack_f16(float *out, const void *panel, size_t row_bytes, int cols, int row)
{
    (void)row_bytes;
    unpack_shorts(DTYPE_F16, out, panel, 1, cols, row);
}

static void unpack_bf16(float *out, const void *panel, size_t row_bytes, int cols, int row)
{
    (void)row_bytes;
    unpack_shorts(DTYPE_BF16, out, panel, TILE_HAS_PAIRS ? 2 : 1, cols, row);
}

/* --- activations: tiles, one after another, of [step of depth][rows of the tile] words of 4 bytes --------------------------
 */

enum { QUAD = 4, DEPTH_UNIT = 32 };
typedef uint32_t quad __attribute__((vector_size(QUAD * sizeof(uint32_t))));
typedef uint32_t quad_anywhere __attribute__((vector_size(QUAD * sizeof(uint32_t)), aligned(4), may_alias));

/* QUAD steps of one row, each of a_step floats. */
TILE_INLINE quad take(const float *x, const int a_step)
{
#if TILE_HAS_PAIRS
    if (a_step == 2)
        return (quad)_mm256_cvtneps_pbh(_mm256_loadu_ps(x));
#endif
    (void)a_step;
    return *(const quad_anywhere *)x;
}

/* QUAD rows by QUAD steps change places. */
TILE_INLINE void turn(quad q[QUAD])
{
    quad low0 = __builtin_shufflevector(q[0], q[1], 0, 4, 1, 5), high0 = __builtin_shufflevector(q[0], q[1], 2, 6, 3, 7);
    quad low1 = __builtin_shufflevector(q[2], q[3], 0, 4, 1, 5), high1 = __builtin_shufflevector(q[2], q[3], 2, 6, 3, 7);

    q[0] = __builtin_shufflevector(low0, low1, 0, 1, 4, 5);
    q[1] = __builtin_shufflevector(low0, low1, 2, 3, 6, 7);
    q[2] = __builtin_shufflevector(high0, high1, 0, 1, 4, 5);
    q[3] = __builtin_shufflevector(high0, high1, 2, 3, 6, 7);
}

/* QUAD steps of a tile's rows, from the first-th on. Where a tile has fewer than QUAD, its last one is taken again, and what
 * that leaves behind a step is where the next step goes; so the last step is written word by word. */
TILE_INLINE void prepare_quad(uint32_t *out, const float *x, size_t x_stride, int rows, int first, const int a_step)
{
    quad q[QUAD];

    for (int i = 0; i < QUAD; i++)
        q[i] = take(x + (size_t)(first + i < rows ? first + i : rows - 1) * x_stride, a_step);
    turn(q);
    for (int s = 0; s < QUAD - 1; s++)
        *(quad_anywhere *)(out + s * rows + first) = q[s];
    out += (QUAD - 1) * rows + first;
    if (rows >= QUAD)
        *(quad_anywhere *)out = q[QUAD - 1];
    for (int i = 0; rows < QUAD && i < rows; i++)
        out[i] = q[QUAD - 1][i];
}

/* The last steps, fewer than QUAD; zeros follow the floats that are left. */
TILE_INLINE void prepare_rest(uint32_t *out, const float *x, size_t x_stride, int rows, int left, const int a_step)
{
    for (int i = 0; i < rows; i++) {
        float padded[2 * QUAD] = {0};
        memcpy(padded, x + (size_t)i * x_stride, (size_t)left * sizeof *x);
        quad q = take(padded, a_step);
        for (int s = 0; s * a_step < left; s++)
            out[s * rows + i] = q[s];
    }
}

TILE_INLINE void prepare(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to,
                         const int a_step)
{
    int tiles = tiles_of(rows, TILE_ROWS), first = tile_first(rows, tiles, tile), n = tile_first(rows, tiles, tile + 1) - first;
    size_t steps = (size_t)((cols + a_step - 1) / a_step), stride = (size_t)x_stride;
    uint32_t *out = (uint32_t *)prepared + steps * (size_t)first + (size_t)(from / a_step) * (size_t)n;
    int d = from;

    x += (size_t)first * stride;
    for (; d + QUAD * a_step <= to; d += QUAD * a_step, out += QUAD * n) {
        int r = 0;
        if (n == 1)
            *(quad_anywhere *)out = take(x + d, a_step);
        for (; r + QUAD <= n; r += QUAD)
            prepare_quad(out, x + d, stride, n, r, a_step);
        if (r < n && n > 1) /* together with rows before them, which are written once more, the same */
            prepare_quad(out, x + d, stride, n, n < QUAD ? 0 : n - QUAD, a_step);
    }
    prepare_rest(out, x + d, stride, n, to - d, a_step);
}

static size_t prepared_floats_bytes(int rows, int cols)
{
    return (size_t)rows * (size_t)cols * sizeof(float);
}

static void prepare_floats(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to)
{
    prepare(prepared, x, x_stride, rows, cols, tile, from, to, 1);
}

/* --- products --------------------------------------------------------------------------------------------------------------
 */

TILE_DEFINE(tile_f32, TILE_F32)
TILE_DEFINE(tile_f16, TILE_F16)

/* What the formats' products differ by. */
struct kind {
    int a_step;                 /* elements of depth in a step */
    size_t step_bytes;          /* of a panel */
    tile_function *const *tile; /* by number of rows */
};

struct job {
    const struct kind *kind;
    const struct cpu_product *m;
    const uint32_t *x;        /* prepared */
    int steps, tiles, blocks; /* of depth; of rows; of depth, again */
};

static int rows_of(const struct job *j, int tile)
{
    return tile_first(j->m->rows, j->tiles, tile + 1) - tile_first(j->m->rows, j->tiles, tile);
}

static const uint32_t *x_of(const struct job *j, int tile, int block)
{
    return j->x + (size_t)tile_first(j->m->rows, j->tiles, tile) * (size_t)j->steps +
           (size_t)tile_first(j->steps, j->blocks, block) * (size_t)rows_of(j, tile);
}

/* What a tile fetches meanwhile. A single one fetches ahead of itself, unless it takes weights faster than memory brings them.
 * Several share the fetching of the block that comes when all of them are done; and each fetches the next one's activations,
 * which are not in the second cache when they are many. */
static void set_fetch(struct tile *t, const struct job *j, int tile, int block)
{
    const size_t step = j->kind->step_bytes;
    const bool last = tile + 1 == j->tiles;
    int next = last ? 0 : tile + 1;

    t->fetch_step = (step + (size_t)j->tiles - 1) / (size_t)j->tiles;
    if (j->tiles == 1) {
        t->stream = 2 * step > 3 * LANES * (size_t)j->m->rows;
        t->fetch = (const char *)t->w + AHEAD;
        return;
    }
    t->fetch = (const char *)t->w + (size_t)t->depth * (step + (size_t)tile * t->fetch_step);
    t->also = (const char *)x_of(j, next, last ? (block + 1) % j->blocks : block);
    t->also_step = (size_t)rows_of(j, next) * sizeof(float);
}

/* Where the outputs end before the panel does: y has no room for the others, nor has bias. */
static void narrow_tile(const struct tile *t, tile_function *run, int rows, int outputs)
{
    float y[TILE_ROWS * PANEL] = {0}, bias[PANEL] = {0};
    struct tile inner = *t;
    size_t bytes = (size_t)outputs * sizeof *y;

    inner.y = y;
    inner.y_stride = PANEL;
    if (t->bias)
        inner.bias = memcpy(bias, t->bias, bytes);
    for (int r = 0; t->add && r < rows; r++)
        memcpy(y + r * PANEL, t->y + (size_t)r * t->y_stride, bytes);
    run(&inner);
    for (int r = 0; r < rows; r++)
        memcpy(t->y + (size_t)r * t->y_stride, y + r * PANEL, bytes);
}

static void product(const struct kind *k, float *y, const void *prepared, const void *w, const struct cpu_product *m)
{
    struct job j = {.kind = k, .m = m, .x = prepared};

    j.steps = (m->cols + k->a_step - 1) / k->a_step;
    j.tiles = tiles_of(m->rows, TILE_ROWS);
    j.blocks = j.tiles == 1 ? 1 : tiles_of(j.steps, BLOCK);
    for (int i = m->from * j.blocks; i < m->to * j.blocks; i++) {
        int block = i % j.blocks, from = tile_first(j.steps, j.blocks, block), output = i / j.blocks * PANEL;
        struct tile t = {
            .y_stride = (size_t)m->y_stride,
            .w = (const char *)w + (size_t)output * m->row_bytes + (size_t)from * k->step_bytes,
            .w_stride = k->step_bytes,
            .depth = tile_first(j.steps, j.blocks, block + 1) - from,
            .bias = block == 0 && m->bias ? m->bias + output : NULL,
            .add = block > 0 || m->add,
        };
        for (int tile = 0; tile < j.tiles; tile++) {
            int rows = rows_of(&j, tile);
            t.y = y + (size_t)tile_first(m->rows, j.tiles, tile) * t.y_stride + output;
            t.x = x_of(&j, tile, block);
            t.x_stride = (size_t)rows;
            set_fetch(&t, &j, tile, block);
            if (m->outputs - output < PANEL)
                narrow_tile(&t, k->tile[rows], rows, m->outputs - output);
            else
                k->tile[rows](&t);
        }
    }
}

static void product_f32(float *y, const void *prepared, const void *w, const struct cpu_product *m)
{
    static const struct kind kind = {.a_step = 1, .step_bytes = PANEL * sizeof(float), .tile = tile_f32};

    product(&kind, y, prepared, w, m);
}

static void product_f16(float *y, const void *prepared, const void *w, const struct cpu_product *m)
{
    static const struct kind kind = {.a_step = 1, .step_bytes = PANEL * sizeof(uint16_t), .tile = tile_f16};

    product(&kind, y, prepared, w, m);
}

/* --- bf16: by the dot product, or by way of floats ------------------------------------------------------------------------ */

#if TILE_HAS_PAIRS

TILE_DEFINE(tile_pairs, TILE_PAIRS)

static void pack_bf16(void *panel, void *room, size_t row_bytes, int cols)
{
    pack(panel, room, row_bytes, (cols + 1) / 2, sizeof(uint32_t));
}

static size_t prepared_pairs_bytes(int rows, int cols)
{
    return (size_t)rows * (size_t)((cols + 1) / 2) * sizeof(uint32_t);
}

static void prepare_pairs(void *prepared, const float *x, int x_stride, int rows, int cols, int tile, int from, int to)
{
    prepare(prepared, x, x_stride, rows, cols, tile, from, to, 2);
}

static void product_bf16(float *y, const void *prepared, const void *w, const struct cpu_product *m)
{
    static const struct kind kind = {.a_step = 2, .step_bytes = PANEL * sizeof(uint32_t), .tile = tile_pairs};

    product(&kind, y, prepared, w, m);
}

#else

TILE_DEFINE(tile_bf16, TILE_BF16)

static void product_bf16(float *y, const void *prepared, const void *w, const struct cpu_product *m)
{
    static const struct kind kind = {.a_step = 1, .step_bytes = PANEL * sizeof(uint16_t), .tile = tile_bf16};

    product(&kind, y, prepared, w, m);
}

#define pack_bf16            pack_f16
#define prepared_pairs_bytes prepared_floats_bytes
#define prepare_pairs        prepare_floats

#endif

extern const struct cpu_format LEVELLED(cpu_float_)[CPU_FLOAT_FORMATS];
const struct cpu_format LEVELLED(cpu_float_)[CPU_FLOAT_FORMATS] = {
    [DTYPE_F32] = {.arithmetic = "f32",
                   .panel = PANEL,
                   .tile_rows = TILE_ROWS,
                   .depth_unit = DEPTH_UNIT,
                   .pack = pack_f32,
                   .unpack_row = unpack_f32,
                   .prepared_bytes = prepared_floats_bytes,
                   .prepare = prepare_floats,
                   .product = product_f32},
    [DTYPE_F16] = {.arithmetic = "f32",
                   .panel = PANEL,
                   .tile_rows = TILE_ROWS,
                   .depth_unit = DEPTH_UNIT,
                   .pack = pack_f16,
                   .unpack_row = unpack_f16,
                   .prepared_bytes = prepared_floats_bytes,
                   .prepare = prepare_floats,
                   .product = product_f16},
    [DTYPE_BF16] = {.arithmetic = TILE_HAS_PAIRS ? "bf16" : "f32",
                    .panel = PANEL,
                    .tile_rows = TILE_ROWS,
                    .depth_unit = DEPTH_UNIT,
                    .pack = pack_bf16,
                    .unpack_row = unpack_bf16,
                    .prepared_bytes = prepared_pairs_bytes,
                    .prepare = prepare_pairs,
                    .product = product_bf16},
};
