/* SPDX-License-Identifier: MIT
 * Products with q8_0 and q4_0 weights, at every instruction-set level that this CPU has, against the documented arithmetic in
 * integers and double precision: activations in blocks of 32 as scale x integer, whole sums within a block, blocks added up.
 * What is left to the kernels is the rounding of a few floats a block. Memory around results is poisoned with bits that must
 * still be there. */
#include "kernel_room.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "model.h"

enum { BLOCK = 32 };

static float random_float(void)
{
    return (float)(int32_t)random_bits() * 0x1p-31f;
}

static void fill_random(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_float();
}

/* --- matrices ------------------------------------------------------------------------------------------------------------ */

/* As weights_alloc lays one out, and what its blocks mean. */
struct fixture {
    const struct cpu_format *format;
    enum dtype dtype;
    int outputs, cols, blocks, panels;
    size_t row_bytes;
    uint8_t *stored; /* [outputs][blocks] */
    void *packed;
    int8_t *quants; /* [outputs][cols] */
    float *scales;  /* [outputs][blocks] */
};

static int quant_of(enum dtype dtype, const uint8_t *block, int i)
{
    if (dtype == DTYPE_Q8_0)
        return (int8_t)block[2 + i];
    return (i < 16 ? block[2 + i] & 15 : block[2 + i - 16] >> 4) - 8;
}

static void read_blocks(struct fixture *f)
{
    int bytes = dtype_block_bytes(f->dtype);

    for (int b = 0; b < f->outputs * f->blocks; b++) {
        const uint8_t *block = f->stored + (size_t)b * (size_t)bytes;
        dtype_decode(DTYPE_F16, f->scales + b, block, 1);
        for (int i = 0; i < BLOCK; i++)
            f->quants[b * BLOCK + i] = (int8_t)quant_of(f->dtype, block, i);
    }
}

/* Packing keeps to its panel: what follows the last row is still there. */
static void pack_panels(struct fixture *f)
{
    size_t row = (size_t)f->blocks * (size_t)dtype_block_bytes(f->dtype), panel = (size_t)f->format->panel * f->row_bytes;
    size_t bytes = (size_t)f->panels * panel;
    uint32_t *other = room(panel);

    f->packed = room(bytes + 64);
    memset(f->packed, 0, bytes);
    poison((char *)f->packed + bytes, 16);
    for (int o = 0; o < f->outputs; o++)
        memcpy((char *)f->packed + (size_t)o * f->row_bytes, f->stored + (size_t)o * row, row);
    for (int p = 0; p < f->panels; p++)
        f->format->pack((char *)f->packed + (size_t)p * panel, other, f->row_bytes, f->cols);
    for (int i = 0; i < 16; i++)
        assert_int_equal(((uint32_t *)f->packed)[bytes / 4 + (size_t)i], POISON);
    free(other);
}

/* Random quants, and scales of either sign up to 1. Not packed yet: blocks may still be changed. */
static void fixture_init(struct fixture *f, const struct cpu_format *format, enum dtype dtype, int outputs, int cols)
{
    *f = (struct fixture){.format = format, .dtype = dtype, .outputs = outputs, .cols = cols, .blocks = cols / BLOCK};
    size_t bytes = dtype_bytes(dtype, (size_t)cols), all = bytes * (size_t)outputs;

    f->panels = (outputs + format->panel - 1) / format->panel;
    f->row_bytes = (bytes + 3) / 4 * 4;
    f->stored = malloc(all);
    f->quants = malloc((size_t)outputs * (size_t)cols);
    f->scales = malloc((size_t)outputs * (size_t)f->blocks * sizeof *f->scales);
    assert_true(f->stored && f->quants && f->scales);
    for (size_t i = 0; i < all; i++)
        f->stored[i] = (uint8_t)random_bits();
    for (int b = 0; b < outputs * f->blocks; b++) {
        float scale = random_float();
        dtype_encode(DTYPE_F16, f->stored + (size_t)b * (size_t)dtype_block_bytes(dtype), &scale, 1);
    }
}

static void fixture_pack(struct fixture *f)
{
    read_blocks(f);
    pack_panels(f);
}

static void fixture_free(struct fixture *f)
{
    free(f->stored);
    free(f->packed);
    free(f->quants);
    free(f->scales);
}

/* --- products ------------------------------------------------------------------------------------------------------------ */

struct trial {
    const struct fixture *f;
    int rows, x_stride, y_stride;
    float *x, *y, *before, *bias; /* before: what y held; bias may be NULL */
    bool add;
};

/* All of x is prepared, in pieces, those in random order; not a byte beyond the room that was asked for is written. */
static void *prepare_in_pieces(const struct trial *t)
{
    const struct cpu_format *format = t->f->format;
    size_t bytes = format->prepared_bytes(t->rows, t->f->cols);
    uint32_t *prepared = room(bytes + 64);
    int tiles = tiles_of(t->rows, format->tile_rows), cuts = t->f->cols / format->depth_unit;
    int pieces = tiles * cuts, *order = malloc((size_t)pieces * sizeof *order);

    assert_non_null(order);
    poison(prepared, bytes / 4 + 16);
    for (int i = 0; i < pieces; i++) {
        int j = random_int(0, i);
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < pieces; i++) {
        int from = order[i] % cuts * format->depth_unit;
        format->prepare(prepared, t->x, t->x_stride, t->rows, t->f->cols, order[i] / cuts, from, from + format->depth_unit);
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(prepared[bytes / 4 + (size_t)i], POISON);
    free(order);
    return prepared;
}

/* A block of activations: scale x integers; `either` where the value lies so near the middle of two integers that the rounding
 * of the quotient decides, and one step is right either way. */
struct quantised {
    float scale;
    int quant[BLOCK];
    bool either[BLOCK];
};

static void quantise(struct quantised *q, const float *x)
{
    float most = 0;

    for (int i = 0; i < BLOCK; i++)
        most = fmaxf(most, fabsf(x[i]));
    q->scale = most / 127;
    float inverse = q->scale != 0 ? 1 / q->scale : 0;
    for (int i = 0; i < BLOCK; i++) {
        double steps = isinf(inverse) ? 0 : (double)x[i] * inverse;
        q->quant[i] = (int)rint(steps);
        q->either[i] = fabs(fabs(steps - rint(steps)) - 0.5) < 1e-4;
    }
}

/* One result, and how far a float may be from it. */
struct expected {
    double value, slack;
};

/* Each block's part is rounded at most three times and each sum once. */
static struct expected expect(const struct trial *t, const struct quantised *x, int r, int o)
{
    const struct fixture *f = t->f;
    double bias = t->bias ? t->bias[o] : 0, before = t->add ? t->before[(size_t)r * (size_t)t->y_stride + (size_t)o] : 0;
    double sum = bias + before, size = fabs(bias) + fabs(before), either = 0;

    for (int b = 0; b < f->blocks; b++) {
        const int8_t *w = f->quants + (size_t)o * (size_t)f->cols + b * BLOCK;
        double scale = (double)f->scales[o * f->blocks + b] * x[b].scale;
        int whole = 0;
        for (int i = 0; i < BLOCK; i++) {
            whole += w[i] * x[b].quant[i];
            either += x[b].either[i] ? fabs(w[i] * scale) : 0;
        }
        sum += whole * scale;
        size += fabs(whole * scale);
    }
    return (struct expected){sum, (f->blocks + 5) * 0x1p-24 * size + either + 0x1p-125};
}

static bool agrees(float got, const struct expected *e)
{
    if (isnan(e->value))
        return isnan(got);
    return isinf(e->value) ? (double)got == e->value : fabs(got - e->value) <= e->slack;
}

/* The panels from..to-1, and nothing else, are computed. */
static void check_panels(const struct trial *t, const struct quantised *x, int from, int to)
{
    const struct fixture *f = t->f;
    int first = from * f->format->panel, end = to * f->format->panel;

    for (int r = 0; r < t->rows; r++)
        for (int o = 0; o < t->y_stride; o++) {
            size_t at = (size_t)r * (size_t)t->y_stride + (size_t)o;
            if (o < first || o >= end || o >= f->outputs) {
                assert_memory_equal(t->y + at, t->before + at, sizeof *t->y);
                continue;
            }
            struct expected e = expect(t, x + (size_t)r * (size_t)f->blocks, r, o);
            if (!agrees(t->y[at], &e))
                fail_msg("%s x %d columns, %d rows, row %d, output %d of %d: %.9g, expected %.9g", dtype_name(f->dtype),
                         f->cols, t->rows, r, o, f->outputs, (double)t->y[at], e.value);
        }
}

static void run_panels(const struct trial *t, const struct quantised *x, const void *prepared, int from, int to)
{
    const struct fixture *f = t->f;
    struct cpu_product m = {.rows = t->rows,
                            .cols = f->cols,
                            .y_stride = t->y_stride,
                            .from = from,
                            .to = to,
                            .outputs = f->outputs,
                            .row_bytes = f->row_bytes,
                            .bias = t->bias,
                            .add = t->add};

    memcpy(t->y, t->before, (size_t)t->rows * (size_t)t->y_stride * sizeof *t->y);
    f->format->product(t->y, prepared, f->packed, &m);
    check_panels(t, x, from, to);
}

static struct quantised *quantise_rows(const struct trial *t)
{
    struct quantised *q = malloc((size_t)t->rows * (size_t)t->f->blocks * sizeof *q);

    assert_non_null(q);
    for (int r = 0; r < t->rows; r++)
        for (int b = 0; b < t->f->blocks; b++)
            quantise(&q[r * t->f->blocks + b], t->x + (size_t)r * (size_t)t->x_stride + b * BLOCK);
    return q;
}

/* Without adding, y holds poison, which must be overwritten; beyond the outputs, poison that must not. x, y and bias are at odd
 * addresses and as long as they must be; fill puts the activations there. */
static void check_product(const struct fixture *f, int rows, bool bias, bool add, void (*fill)(float *x, size_t n))
{
    struct trial t = {.f = f, .rows = rows, .x_stride = f->cols + random_int(0, 3), .y_stride = f->outputs + random_int(0, 3)};
    size_t x_floats = (size_t)(rows - 1) * (size_t)t.x_stride + (size_t)f->cols;
    size_t y_floats = (size_t)rows * (size_t)t.y_stride;
    float *x = malloc((x_floats + 1) * sizeof *x), *y = malloc((y_floats + 1) * sizeof *y);
    float *before = malloc(y_floats * sizeof *before), *b = malloc(((size_t)f->outputs + 1) * sizeof *b);

    assert_true(x && y && before && b);
    t.x = x + 1, t.y = y + 1, t.before = before, t.bias = bias ? b + 1 : NULL, t.add = add;
    fill(t.x, x_floats);
    fill_random(b, (size_t)f->outputs + 1);
    poison(before, y_floats);
    for (int r = 0; add && r < rows; r++)
        fill_random(before + (size_t)r * (size_t)t.y_stride, (size_t)f->outputs);
    void *prepared = prepare_in_pieces(&t);
    struct quantised *q = quantise_rows(&t);
    int from = random_int(0, f->panels - 1), to = random_int(from + 1, f->panels);
    run_panels(&t, q, prepared, 0, f->panels);
    run_panels(&t, q, prepared, from, to);
    free(q);
    free(prepared);
    free(x);
    free(y);
    free(before);
    free(b);
}

/* --- the list ------------------------------------------------------------------------------------------------------------ */

/* check(format, dtype) for both formats of every level that this CPU (or BENCH_ISA) has. */
static void each_format(void (*check)(const struct cpu_format *format, enum dtype dtype))
{
    enum isa best;

    assert_int_equal(isa_choose(&best, NULL), 0);
    for (int isa = 0; isa <= (int)best; isa++)
        for (int d = DTYPE_Q8_0; d <= DTYPE_Q4_0; d++)
            check(cpu_kernels_of((enum isa)isa)->format[d], (enum dtype)d);
}

static void check_door(const struct cpu_format *format, enum dtype dtype)
{
    (void)dtype;
    assert_string_equal(format->arithmetic, "int8");
    assert_int_equal(MATRIX_ROWS % format->panel, 0);
    assert_int_equal(format->depth_unit, BLOCK);
    assert_true(format->tile_rows >= 1);
}

static void every_level_computes_in_int8_block_by_block(void **state)
{
    (void)state;
    each_format(check_door);
}

static void check_shapes(const struct cpu_format *format, enum dtype dtype)
{
    static const int outputs[] = {1, 15, 16, 17, 31, 33, 64, 65};

    for (int i = 0; i < 44; i++) {
        struct fixture f;
        int rows = i < 40 ? i + 1 : random_int(41, 150), kinds = random_int(0, 3);
        fixture_init(&f, format, dtype, outputs[random_bits() % (sizeof outputs / sizeof *outputs)],
                     BLOCK * (random_bits() % 4 ? random_int(1, 9) : random_int(10, 33)));
        fixture_pack(&f);
        check_product(&f, rows, kinds & 1, kinds & 2, fill_random);
        fixture_free(&f);
    }
}

static void results_of_all_shapes_are_whole_sums_times_scales(void **state)
{
    (void)state;
    each_format(check_shapes);
}

/* Panels of 70 and 37 kB, more of them than a second-level cache should hold at once; several tiles. */
static void check_large(const struct cpu_format *format, enum dtype dtype)
{
    struct fixture f;

    fixture_init(&f, format, dtype, dtype == DTYPE_Q8_0 ? 97 : 187, 4096);
    fixture_pack(&f);
    check_product(&f, format->tile_rows + 1, true, true, fill_random);
    fixture_free(&f);
}

static void matrices_larger_than_a_cache_are_computed_once_and_whole(void **state)
{
    (void)state;
    each_format(check_large);
}

/* --- extremes ------------------------------------------------------------------------------------------------------------ */

/* Blocks of zeros, huge and tiny values, and single outliers side by side; products of them stay within float's range. */
static void fill_extremes(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        static const float sizes[] = {0, 0x1p90f, 0x1p-100f, 0x1p-140f, 1, -0.0f};
        x[i] = random_float() * sizes[i / 23 % 6];
        if (random_bits() % 64 == 0)
            x[i] = 1000;
    }
}

/* Largest and smallest quants; scales of 0, both signs, subnormal, the largest, infinite, NaN. */
static void fill_blocks(struct fixture *f)
{
    static const uint8_t quants[] = {0x80, 0x7f, 0xff, 0x00, 0x88, 0x81};
    static const uint16_t scales[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x3c00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00};
    int bytes = dtype_block_bytes(f->dtype);

    for (int b = 0; b < f->outputs * f->blocks; b++) {
        uint8_t *block = f->stored + (size_t)b * (size_t)bytes;
        /* Infinities make a whole output infinite: few of them. */
        uint16_t scale = scales[random_bits() % 40 == 0 ? random_int(7, 9) : random_int(0, 6)];
        memcpy(block, &scale, sizeof scale);
        if (random_bits() % 4)
            memset(block + 2, quants[random_bits() % sizeof quants], (size_t)bytes - 2);
    }
}

static void check_extremes(const struct cpu_format *format, enum dtype dtype)
{
    for (int rows = 1; rows <= 20; rows++) {
        struct fixture f;
        fixture_init(&f, format, dtype, 65, BLOCK * random_int(1, 6));
        fill_blocks(&f);
        fixture_pack(&f);
        check_product(&f, rows, false, false, rows % 2 ? fill_extremes : fill_random);
        fixture_free(&f);
    }
}

static void extreme_blocks_and_activations_are_what_the_arithmetic_makes_of_them(void **state)
{
    (void)state;
    each_format(check_extremes);
}

/* The row that holds one is lost, and only that. */
static void check_not_finite(const struct cpu_format *format, enum dtype dtype)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    enum { ROWS = 3, COLS = 96, OUTPUTS = 17 };
    float x[ROWS * COLS], y[ROWS * OUTPUTS];
    void *prepared = room(format->prepared_bytes(ROWS, COLS));
    struct fixture f;

    fixture_init(&f, format, dtype, OUTPUTS, COLS);
    fixture_pack(&f);
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        struct cpu_product m = {
            .rows = ROWS, .cols = COLS, .y_stride = OUTPUTS, .to = f.panels, .outputs = OUTPUTS, .row_bytes = f.row_bytes};
        fill_random(x, ROWS * COLS);
        x[COLS + 40] = odd[k];
        for (int tile = 0; tile < tiles_of(ROWS, format->tile_rows); tile++)
            format->prepare(prepared, x, COLS, ROWS, COLS, tile, 0, COLS);
        format->product(y, prepared, f.packed, &m);
        for (int i = 0; i < ROWS * OUTPUTS; i++)
            assert_int_equal(isfinite(y[i]) != 0, i / OUTPUTS != 1);
    }
    fixture_free(&f);
    free(prepared);
}

static void what_is_not_finite_does_not_vanish(void **state)
{
    (void)state;
    each_format(check_not_finite);
}

/* --- packing ------------------------------------------------------------------------------------------------------------- */

static void check_unpacking(const struct cpu_format *format, enum dtype dtype)
{
    for (int blocks = 1; blocks <= 6; blocks++) {
        struct fixture f;
        float out[6 * BLOCK], decoded[6 * BLOCK];
        fixture_init(&f, format, dtype, 33, blocks * BLOCK);
        fill_blocks(&f);
        fixture_pack(&f);
        for (int o = 0; o < f.outputs; o++) {
            const char *panel = (const char *)f.packed + (size_t)(o - o % format->panel) * f.row_bytes;
            dtype_decode(dtype, decoded, f.stored + (size_t)o * dtype_bytes(dtype, (size_t)f.cols), (size_t)f.cols);
            format->unpack_row(out, panel, f.row_bytes, f.cols, o % format->panel);
            assert_memory_equal(out, decoded, (size_t)f.cols * sizeof *out);
        }
        fixture_free(&f);
    }
}

static void packed_rows_come_back_as_they_were(void **state)
{
    (void)state;
    each_format(check_unpacking);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_computes_in_int8_block_by_block),
        cmocka_unit_test(results_of_all_shapes_are_whole_sums_times_scales),
        cmocka_unit_test(matrices_larger_than_a_cache_are_computed_once_and_whole),
        cmocka_unit_test(extreme_blocks_and_activations_are_what_the_arithmetic_makes_of_them),
        cmocka_unit_test(what_is_not_finite_does_not_vanish),
        cmocka_unit_test(packed_rows_come_back_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
