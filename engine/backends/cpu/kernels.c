/* SPDX-License-Identifier: MIT
 * One source for all instruction-set levels: the vector type is GCC's and clang's vector extension at the level's width; the
 * Makefile compiles this file once per level with -DISA=<level>. Element-wise loops are left to the auto-vectoriser. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Lanes of a vector, and the tile of results that matmul keeps in registers: TILE_ROWS x TILE_COLS sums, TILE_COLS weights and
 * one activation must fit the level's register file (32 or 16). */
#if defined(__AVX512F__)
enum { LANES = 16, TILE_COLS = 4, FEW_ROWS = 512 };
#elif defined(__AVX2__)
enum { LANES = 8, TILE_COLS = 2, FEW_ROWS = 32 };
#else
enum { LANES = 4, TILE_COLS = 2, FEW_ROWS = 32 };
#endif
enum { TILE_ROWS = 6, BLOCK_ROWS = 22 * TILE_ROWS, BLOCK_DEPTH = 1024 };

/* Keeps a value in a register: without it the compiler loads an activation again for each of its products. */
#if defined(__AVX512F__)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float vec_anywhere __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias)); /* for loads only */

static inline vec load(const float *p)
{
    return *(const vec_anywhere *)p;
}

/* Halves are added until one lane is left: a chain of log2(LANES) additions. */
static inline float sum_lanes(vec v)
{
#if defined(__AVX512F__)
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
#elif defined(__AVX2__)
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
#else
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1);
#endif
    return v[0] + v[1];
}

static inline float dot(const float *a, const float *b, int n)
{
    vec s[4] = {{0}};
    float tail = 0;
    int i = 0;

    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++)
            s[k] += load(a + i + k * LANES) * load(b + i + k * LANES);
    for (; i + LANES <= n; i += LANES)
        s[0] += load(a + i) * load(b + i);
    for (; i < n; i++)
        tail += a[i] * b[i];
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3])) + tail;
}

/* One row after the other: the weights are one contiguous stream, which the prefetchers follow at the memory's full speed. Four
 * rows at once reuse x but are four short streams, at half of it. */
static void matvec(float *y, const float *w, const float *x, const float *bias, const float *add, int from, int to, int cols)
{
    for (int o = from; o < to; o++)
        y[o] = dot(w + (size_t)o * (size_t)cols, x, cols) + (bias ? bias[o] : 0) + (add ? add[o] : 0);
}

/* --- many rows: y (rows x outputs) = x (rows x depth) w^T, both read along their depth, nothing packed -------------------- */

struct tile {
    float *y;
    const float *x, *w; /* TILE_COLS rows of w */
    size_t y_stride, x_stride, w_stride;
    int depth;
    bool add;
    const float *next; /* weights to fetch ahead: `lines` rows of them, one cache line a row and step; a row is w_stride long */
    int lines;
};

/* The sums of TILE_COLS vectors. Four at once share their shuffles: a third of the work, and a tile ends in 24 sums. */
static inline void sum_columns(float total[TILE_COLS], const vec sum[TILE_COLS])
{
#if defined(__AVX512F__)
    vec ab = __builtin_shufflevector(sum[0], sum[1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
             __builtin_shufflevector(sum[0], sum[1], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    vec cd = __builtin_shufflevector(sum[2], sum[3], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
             __builtin_shufflevector(sum[2], sum[3], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    vec all = __builtin_shufflevector(ab, cd, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
              __builtin_shufflevector(ab, cd, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);

    all += __builtin_shufflevector(all, all, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    all += __builtin_shufflevector(all, all, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
    for (int j = 0; j < TILE_COLS; j++)
        total[j] = all[4 * j];
#else
    for (int j = 0; j < TILE_COLS; j++)
        total[j] = sum_lanes(sum[j]);
#endif
}

/* One row of results: the sums, and what the vectors left over of the depth, from p on. */
static inline void tile_finish(const struct tile *t, int i, int p, const vec sum[TILE_COLS])
{
    float *y = t->y + (size_t)i * t->y_stride, total[TILE_COLS];

    sum_columns(total, sum);
    for (; p < t->depth; p++)
        for (int j = 0; j < TILE_COLS; j++)
            total[j] += t->x[(size_t)i * t->x_stride + (size_t)p] * t->w[(size_t)j * t->w_stride + (size_t)p];
    for (int j = 0; j < TILE_COLS; j++)
        y[j] = t->add ? y[j] + total[j] : total[j];
}

/* The rows are written out, not looped over: a loop that a compiler keeps puts the sums into memory. `rows` is a constant
 * wherever tile_rows is inlined, so the conditions cost nothing. */
#define EACH_ROW(action) action(0) action(1) action(2) action(3) action(4) action(5)

static inline __attribute__((always_inline)) void tile_rows(const struct tile *t, const int rows)
{
    vec sum[TILE_ROWS][TILE_COLS] = {0};
    int p = 0;

#define MULTIPLY(i)                                                                                                            \
    if (rows > (i)) {                                                                                                          \
        vec x = load(t->x + (i)*t->x_stride + p);                                                                              \
        IN_REGISTER(x);                                                                                                        \
        for (int j = 0; j < TILE_COLS; j++)                                                                                    \
            sum[i][j] += x * w[j];                                                                                             \
    }
    for (; p + LANES <= t->depth; p += LANES) {
        vec w[TILE_COLS];
        for (int l = 0; l < t->lines; l++)
            __builtin_prefetch(t->next + (size_t)l * t->w_stride + p, 0, 2);
        for (int j = 0; j < TILE_COLS; j++)
            w[j] = load(t->w + (size_t)j * t->w_stride + p);
        EACH_ROW(MULTIPLY)
    }
#undef MULTIPLY
#define FINISH(i)                                                                                                              \
    if (rows > (i))                                                                                                            \
        tile_finish(t, i, p, sum[i]);
    EACH_ROW(FINISH)
#undef FINISH
}

static void tile_run(const struct tile *t, int rows)
{
    switch (rows) {
    case 1:
        tile_rows(t, 1);
        break;
    case 2:
        tile_rows(t, 2);
        break;
    case 3:
        tile_rows(t, 3);
        break;
    case 4:
        tile_rows(t, 4);
        break;
    case 5:
        tile_rows(t, 5);
        break;
    default:
        tile_rows(t, TILE_ROWS);
    }
}

/* All rows of a block against TILE_COLS outputs. The weights of these are in cache; while the tiles compute, each fetches its
 * share of the next ones, so that memory is never idle. */
static void tile_columns(struct tile t, int rows)
{
    int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, lines = (TILE_COLS + tiles - 1) / tiles, fetched = 0;

    t.next = t.w + TILE_COLS * t.w_stride;
    for (int r = 0; r < rows; r += TILE_ROWS) {
        t.lines = fetched + lines <= TILE_COLS ? lines : TILE_COLS - fetched;
        tile_run(&t, rows - r < TILE_ROWS ? rows - r : TILE_ROWS);
        t.next += (size_t)t.lines * t.w_stride;
        fetched += t.lines;
        t.y += TILE_ROWS * t.y_stride;
        t.x += TILE_ROWS * t.x_stride;
    }
}

/* One block of rows and depth against the outputs [0, outputs). */
static void block(struct tile t, int rows, int outputs)
{
    int o = 0;

    for (; o + TILE_COLS <= outputs; o += TILE_COLS) {
        tile_columns(t, rows);
        t.y += TILE_COLS;
        t.w += TILE_COLS * t.w_stride;
    }
    for (; o < outputs; o++, t.y++, t.w += t.w_stride)
        for (int r = 0; r < rows; r++) {
            float *y = t.y + (size_t)r * t.y_stride, total = dot(t.x + (size_t)r * t.x_stride, t.w, t.depth);
            *y = t.add ? *y + total : total;
        }
}

static void matmul(float *y, const float *x, const float *w, const struct cpu_matmul *m)
{
    for (int r = 0; r < m->rows; r += BLOCK_ROWS)
        for (int d = 0; d < m->depth; d += BLOCK_DEPTH) {
            struct tile t = {
                .y = y + (size_t)r * (size_t)m->y_stride + m->from,
                .x = x + (size_t)r * (size_t)m->x_stride + d,
                .w = w + (size_t)m->from * (size_t)m->depth + d,
                .y_stride = (size_t)m->y_stride,
                .x_stride = (size_t)m->x_stride,
                .w_stride = (size_t)m->depth,
                .depth = m->depth - d < BLOCK_DEPTH ? m->depth - d : BLOCK_DEPTH,
                .add = m->add || d > 0,
            };
            block(t, m->rows - r < BLOCK_ROWS ? m->rows - r : BLOCK_ROWS, m->to - m->from);
        }
}

static float sum(const float *x, int n)
{
    vec s = {0};
    float tail = 0;
    int i = 0;

    for (; i + LANES <= n; i += LANES)
        s += load(x + i);
    for (; i < n; i++)
        tail += x[i];
    return sum_lanes(s) + tail;
}

static void norm(float *y, const float *x, const float *w, const float *b, int n, float eps, bool subtract_mean)
{
    float mean = subtract_mean ? sum(x, n) / (float)n : 0;

    for (int i = 0; i < n; i++)
        y[i] = x[i] - mean;
    float scale = 1 / sqrtf(dot(y, y, n) / (float)n + eps);
    if (b)
        for (int i = 0; i < n; i++)
            y[i] = y[i] * scale * w[i] + b[i];
    else
        for (int i = 0; i < n; i++)
            y[i] = y[i] * scale * w[i];
}

static void add_bias(float *y, const float *bias, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += bias[i];
}

/* e^x to about 1e-7 relative: x = n ln2 + r, |r| <= ln2/2, Taylor to r^7 (Cody-Waite reduction in two parts), exponent built
 * from bits. Branch-free so that loops over it vectorise; clamped where the result would leave the normal numbers. */
static inline float exp_fast(float x)
{
    const float shift = 12582912.0f; /* 1.5 x 2^23: adding it rounds to an integer */
    uint32_t bits;
    float power;

    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float n = x * 1.44269504f + shift;
    memcpy(&bits, &n, sizeof bits);
    n -= shift;
    float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = (bits << 23) + 0x3f800000u; /* the low bits of the shifted sum are n */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* 0.5 u (1 + tanh(z)) = u / (1 + e^(-2 z)) */
static void gelu(float *x, int n)
{
    for (int i = 0; i < n; i++) {
        float u = x[i];
        float z2 = 1.5957691216f * (u + 0.044715f * u * u * u); /* 2 sqrt(2 / pi) */
        x[i] = u / (1 + exp_fast(-z2));
    }
}

static void swiglu(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = gate[i] / (1 + exp_fast(-gate[i])) * up[i];
}

static void rotate(float *head, const float *cosine, const float *sine, int half)
{
    for (int i = 0; i < half; i++) {
        float a = head[i], b = head[i + half];
        head[i] = a * cosine[i] - b * sine[i];
        head[i + half] = b * cosine[i] + a * sine[i];
    }
}

static float maximum(const float *x, int n)
{
    float lane[LANES], most = -FLT_MAX;
    int i = 0;

    for (int l = 0; l < LANES; l++)
        lane[l] = -FLT_MAX;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int l = 0; l < LANES; l++)
        most = lane[l] > most ? lane[l] : most;
    return most;
}

/* Leaves exp(scale (x - max)) and returns their sum. */
static float exp_row(float *x, int n, float scale)
{
    float most = maximum(x, n);

    for (int i = 0; i < n; i++)
        x[i] = exp_fast((x[i] - most) * scale);
    return sum(x, n);
}

static void softmax(float *x, int n, float scale)
{
    float inverse = 1 / exp_row(x, n, scale);

    for (int i = 0; i < n; i++)
        x[i] *= inverse;
}

static void attend(float *out, const float *q, const float *k, const float *v, float *scores, int n, int hd)
{
    matvec(scores, k, q, NULL, NULL, 0, n, hd);
    float inverse = 1 / exp_row(scores, n, 1 / sqrtf((float)hd));
    memset(out, 0, (size_t)hd * sizeof *out);
    for (int j = 0; j < n; j++) {
        const float *row = v + (size_t)j * (size_t)hd;
        float p = scores[j] * inverse;
        for (int i = 0; i < hd; i++)
            out[i] += p * row[i];
    }
}

static int argmax(const float *x, int n)
{
    float most = maximum(x, n);

    for (int i = 0; i < n; i++)
        if (x[i] >= most)
            return i;
    return 0; /* all NaN */
}

#define PASTE(a, b)  a##b
#define TABLE(level) PASTE(cpu_kernels_, level)

const struct cpu_kernels TABLE(ISA) = {
    .few_rows = FEW_ROWS,
    .matvec = matvec,
    .matmul = matmul,
    .norm = norm,
    .add_bias = add_bias,
    .gelu = gelu,
    .swiglu = swiglu,
    .rotate = rotate,
    .softmax = softmax,
    .attend = attend,
    .argmax = argmax,
};
