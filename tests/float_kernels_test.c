/* SPDX-License-Identifier: MIT
 * Products with f32, f16 and bf16 weights, at every instruction-set level that this CPU has, against sums in double precision
 * over the weights as dtype_decode reads them. What a float sum of n products may be off by is n roundings of at most 2^-24 of
 * the sum of their sizes, whatever their order: far less than one product left out or counted twice. Memory around results is
 * poisoned with bits that must still be there. */
#include "kernel_room.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/cpu/kernels.h"
#include "model.h"

/* Of both signs, and of sizes that differ a thousandfold. */
static float random_float(void)
{
    float size = (float)(random_bits() >> 40) * 0x1p-24f;

    return (random_bits() & 1 ? -size : size) * (random_bits() % 8 == 0 ? 32.0f : 0.03125f);
}

static void fill_random(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_float();
}

/* --- matrices ------------------------------------------------------------------------------------------------------------ */

/* As weights_alloc lays one out; `decoded` is what its elements mean. */
struct fixture {
    const struct cpu_format *format;
    enum dtype dtype;
    int outputs, cols, panels;
    size_t row_bytes;
    void *packed;
    float *decoded; /* [outputs][cols] */
};

static size_t padded_rows(int outputs)
{
    return (size_t)(outputs + MATRIX_ROWS - 1) / MATRIX_ROWS * MATRIX_ROWS;
}

static void fixture_init(struct fixture *f, const struct cpu_format *format, enum dtype dtype, int outputs, int cols,
                         const void *elements)
{
    size_t stored = dtype_bytes(dtype, (size_t)cols);

    *f = (struct fixture){.format = format, .dtype = dtype, .outputs = outputs, .cols = cols};
    f->panels = (outputs + format->panel - 1) / format->panel;
    f->row_bytes = (stored + 3) / 4 * 4;
    f->packed = room(padded_rows(outputs) * f->row_bytes);
    memset(f->packed, 0, padded_rows(outputs) * f->row_bytes);
    f->decoded = malloc((size_t)outputs * (size_t)cols * sizeof(float));
    assert_non_null(f->decoded);
    for (int o = 0; o < outputs; o++) {
        const char *row = (const char *)elements + (size_t)o * stored;
        memcpy((char *)f->packed + (size_t)o * f->row_bytes, row, stored);
        dtype_decode(dtype, f->decoded + (size_t)o * (size_t)cols, row, (size_t)cols);
    }
    size_t panel_bytes = (size_t)format->panel * f->row_bytes;
    void *other = room(panel_bytes);
    for (int p = 0; p < f->panels; p++)
        format->pack((char *)f->packed + (size_t)p * panel_bytes, other, f->row_bytes, cols);
    free(other);
}

static void fixture_random(struct fixture *f, const struct cpu_format *format, enum dtype dtype, int outputs, int cols)
{
    size_t n = (size_t)outputs * (size_t)cols;
    float *values = malloc(n * sizeof *values);
    void *elements = malloc(dtype_bytes(dtype, n));

    assert_non_null(values);
    assert_non_null(elements);
    fill_random(values, n);
    dtype_encode(dtype, elements, values, n);
    fixture_init(f, format, dtype, outputs, cols, elements);
    free(values);
    free(elements);
}

static void fixture_free(struct fixture *f)
{
    free(f->packed);
    free(f->decoded);
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
    int tiles = tiles_of(t->rows, format->tile_rows), cuts = (t->f->cols + format->depth_unit - 1) / format->depth_unit;
    int pieces = tiles * cuts, *order = malloc((size_t)pieces * sizeof *order);

    assert_non_null(order);
    poison(prepared, bytes / 4 + 16);
    for (int i = 0; i < pieces; i++) {
        int j = random_int(0, i);
        order[i] = order[j];
        order[j] = i;
    }
    for (int i = 0; i < pieces; i++) {
        int from = order[i] % cuts * format->depth_unit, to = from + format->depth_unit;
        format->prepare(prepared, t->x, t->x_stride, t->rows, t->f->cols, order[i] / cuts, from,
                        to < t->f->cols ? to : t->f->cols);
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(prepared[bytes / 4 + (size_t)i], POISON);
    free(order);
    return prepared;
}

static float rounded_to_bf16(float x)
{
    uint16_t bits;

    dtype_encode(DTYPE_BF16, &bits, &x, 1);
    dtype_decode(DTYPE_BF16, &x, &bits, 1);
    return x;
}

static void check_result(const struct trial *t, int r, int o)
{
    const struct fixture *f = t->f;
    size_t at = (size_t)r * (size_t)t->y_stride + (size_t)o;
    const float *w = f->decoded + (size_t)o * (size_t)f->cols, *x = t->x + (size_t)r * (size_t)t->x_stride;
    bool rounds = strcmp(f->format->arithmetic, "bf16") == 0;
    double bias = t->bias ? t->bias[o] : 0, before = t->add ? t->before[at] : 0;
    double sum = bias + before, size = fabs(bias) + fabs(before);

    for (int d = 0; d < f->cols; d++) {
        double product = (double)w[d] * (rounds ? rounded_to_bf16(x[d]) : x[d]);
        sum += product;
        size += fabs(product);
    }
    if (!(fabs(t->y[at] - sum) <= (f->cols + 3) * 0x1p-24 * size))
        fail_msg("%s x %d columns, %d rows, row %d, output %d of %d: %.9g, expected %.9g", dtype_name(f->dtype), f->cols,
                 t->rows, r, o, f->outputs, (double)t->y[at], sum);
}

/* The panels from..to-1, and nothing else, are computed. */
static void run_panels(const struct trial *t, const void *prepared, int from, int to)
{
    const struct fixture *f = t->f;
    int first = from * f->format->panel, end = to * f->format->panel;
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
    for (int r = 0; r < t->rows; r++)
        for (int o = 0; o < t->y_stride; o++) {
            size_t at = (size_t)r * (size_t)t->y_stride + (size_t)o;
            if (o >= first && o < end && o < f->outputs)
                check_result(t, r, o);
            else
                assert_memory_equal(t->y + at, t->before + at, sizeof *t->y);
        }
}

/* Without adding, y holds poison, which must be overwritten; beyond the outputs, poison that must not. x, y and bias are at odd
 * addresses and as long as they must be. */
static void check_product(const struct fixture *f, int rows, bool bias, bool add)
{
    struct trial t = {.f = f, .rows = rows, .x_stride = f->cols + random_int(0, 3), .y_stride = f->outputs + random_int(0, 3)};
    size_t x_floats = (size_t)(rows - 1) * (size_t)t.x_stride + (size_t)f->cols;
    size_t y_floats = (size_t)rows * (size_t)t.y_stride;
    float *x = malloc((x_floats + 1) * sizeof *x), *y = malloc((y_floats + 1) * sizeof *y);
    float *before = malloc(y_floats * sizeof *before), *b = malloc(((size_t)f->outputs + 1) * sizeof *b);

    assert_true(x && y && before && b);
    t.x = x + 1, t.y = y + 1, t.before = before, t.bias = bias ? b + 1 : NULL, t.add = add;
    fill_random(x, x_floats + 1);
    fill_random(b, (size_t)f->outputs + 1);
    poison(before, y_floats);
    for (int r = 0; add && r < rows; r++)
        fill_random(before + (size_t)r * (size_t)t.y_stride, (size_t)f->outputs);
    void *prepared = prepare_in_pieces(&t);
    int from = random_int(0, f->panels - 1), to = random_int(from + 1, f->panels);
    run_panels(&t, prepared, 0, f->panels);
    run_panels(&t, prepared, from, to);
    free(prepared);
    free(x);
    free(y);
    free(before);
    free(b);
}

/* --- the list ------------------------------------------------------------------------------------------------------------ */

static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

/* check(format, dtype) for every format of every level that this CPU (or BENCH_ISA) has. */
static void each_format(void (*check)(const struct cpu_format *format, enum dtype dtype))
{
    enum isa best;

    assert_int_equal(isa_choose(&best, NULL), 0);
    for (int isa = 0; isa <= (int)best; isa++)
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
            check(cpu_kernels_of((enum isa)isa)->format[dtypes[i]], dtypes[i]);
}

static void check_door(const struct cpu_format *format, enum dtype dtype)
{
    assert_int_equal(MATRIX_ROWS % format->panel, 0);
    assert_true(format->tile_rows >= 1);
    assert_true(strcmp(format->arithmetic, "f32") == 0 || (dtype == DTYPE_BF16 && strcmp(format->arithmetic, "bf16") == 0));
}

static void panels_fit_matrices_and_only_bf16_is_computed_in_bf16(void **state)
{
    (void)state;
    each_format(check_door);
}

static void check_shapes(const struct cpu_format *format, enum dtype dtype)
{
    static const int outputs[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130};

    for (int i = 0; i < 45; i++) {
        struct fixture f;
        int rows = i < 40 ? i + 1 : random_int(41, 200), kinds = random_int(0, 3);
        fixture_random(&f, format, dtype, outputs[random_bits() % (sizeof outputs / sizeof *outputs)],
                       random_bits() % 4 ? random_int(1, 80) : random_int(81, 700));
        check_product(&f, rows, kinds & 1, kinds & 2);
        fixture_free(&f);
    }
}

static void results_of_all_shapes_are_sums_of_products_within_rounding(void **state)
{
    (void)state;
    each_format(check_shapes);
}

/* Deeper than any block of depth, an odd number of columns. */
static void check_deep(const struct cpu_format *format, enum dtype dtype)
{
    static const int rows[] = {1, 13, 30};
    struct fixture f;

    fixture_random(&f, format, dtype, 33, 2311);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_product(&f, rows[i], true, i == 1);
    fixture_free(&f);
}

static void depth_is_summed_over_all_its_blocks_and_bias_counts_once(void **state)
{
    (void)state;
    each_format(check_deep);
}

static void check_unpacking(const struct cpu_format *format, enum dtype dtype)
{
    struct fixture f;

    for (int cols = 1; cols < 200; cols += 33) {
        float *out = malloc((size_t)cols * sizeof *out);
        assert_non_null(out);
        fixture_random(&f, format, dtype, 70, cols);
        for (int o = 0; o < f.outputs; o++) {
            const char *panel = (const char *)f.packed + (size_t)(o - o % format->panel) * f.row_bytes;
            format->unpack_row(out, panel, f.row_bytes, cols, o % format->panel);
            assert_memory_equal(out, f.decoded + (size_t)o * (size_t)cols, (size_t)cols * sizeof *out);
        }
        fixture_free(&f);
        free(out);
    }
}

static void packed_rows_come_back_as_they_were(void **state)
{
    (void)state;
    each_format(check_unpacking);
}

/* The dot product of bf16 takes subnormal numbers for zero. */
static bool same_number(float got, float expected, const char *arithmetic)
{
    if (isnan(expected))
        return isnan(got);
    return got == expected || (strcmp(arithmetic, "bf16") == 0 && fpclassify(expected) == FP_SUBNORMAL && got == 0);
}

/* One column that holds all 65536 patterns, times 1: for few rows, whose weights are expanded in registers, and for many. */
static void check_patterns(const struct cpu_format *format, enum dtype dtype)
{
    enum { PATTERNS = 65536, ROWS = 14 };
    struct fixture f;
    float x[ROWS], one;

    if (dtype == DTYPE_F32)
        return;
    uint16_t *elements = malloc(PATTERNS * sizeof *elements);
    float *y = malloc((size_t)PATTERNS * ROWS * sizeof *y);
    void *prepared = room(format->prepared_bytes(ROWS, 1));
    assert_true(elements && y);
    for (int i = 0; i < PATTERNS; i++)
        elements[i] = (uint16_t)i;
    for (int r = 0; r < ROWS; r++)
        x[r] = 1;
    fixture_init(&f, format, dtype, PATTERNS, 1, elements);
    for (int rows = 1; rows <= ROWS; rows += ROWS - 1) {
        struct cpu_product m = {
            .rows = rows, .cols = 1, .y_stride = PATTERNS, .to = f.panels, .outputs = PATTERNS, .row_bytes = f.row_bytes};
        for (int tile = 0; tile < tiles_of(rows, format->tile_rows); tile++)
            format->prepare(prepared, x, 1, rows, 1, tile, 0, 1);
        format->product(y, prepared, f.packed, &m);
        for (int i = 0; i < rows * PATTERNS; i++)
            if (!same_number(y[i], f.decoded[i % PATTERNS], format->arithmetic))
                fail_msg("%s pattern %04x: %g", dtype_name(dtype), (unsigned)(i % PATTERNS), (double)y[i]);
    }
    for (int i = 0; i < PATTERNS; i++) {
        format->unpack_row(&one, (const char *)f.packed + (size_t)(i - i % format->panel) * f.row_bytes, f.row_bytes, 1,
                           i % format->panel);
        assert_memory_equal(&one, &f.decoded[i], sizeof one);
    }
    fixture_free(&f);
    free(prepared);
    free(elements);
    free(y);
}

static void every_pattern_of_16_bits_is_the_number_that_it_stands_for(void **state)
{
    (void)state;
    each_format(check_patterns);
}

/* x is rounded to the nearest bf16, ties to even, with odd depth too: one weight of 1 in a column shows each. */
static void check_rounding(const struct cpu_format *format, enum dtype dtype)
{
    static const float x[] = {0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, -0x1.01p0f, -0x1.03p0f, 0x1.fffffep0f, 3.0f};
    enum { N = sizeof x / sizeof *x };
    struct fixture f;
    float ones[N * N] = {0}, y[N];
    uint16_t elements[N * N];
    void *prepared = room(format->prepared_bytes(1, N));

    if (strcmp(format->arithmetic, "bf16") == 0) {
        for (int i = 0; i < N; i++)
            ones[i * N + i] = 1;
        dtype_encode(dtype, elements, ones, (size_t)N * N);
        fixture_init(&f, format, dtype, N, N, elements);
        struct cpu_product m = {.rows = 1, .cols = N, .y_stride = N, .to = f.panels, .outputs = N, .row_bytes = f.row_bytes};
        format->prepare(prepared, x, N, 1, N, 0, 0, N);
        format->product(y, prepared, f.packed, &m);
        for (int i = 0; i < N; i++)
            assert_float_equal(y[i], rounded_to_bf16(x[i]), 0);
        fixture_free(&f);
    }
    free(prepared);
}

static void the_dot_product_of_bf16_gets_activations_rounded_to_nearest_even(void **state)
{
    (void)state;
    each_format(check_rounding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_fit_matrices_and_only_bf16_is_computed_in_bf16),
        cmocka_unit_test(results_of_all_shapes_are_sums_of_products_within_rounding),
        cmocka_unit_test(depth_is_summed_over_all_its_blocks_and_bias_counts_once),
        cmocka_unit_test(packed_rows_come_back_as_they_were),
        cmocka_unit_test(every_pattern_of_16_bits_is_the_number_that_it_stands_for),
        cmocka_unit_test(the_dot_product_of_bf16_gets_activations_rounded_to_nearest_even),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
