/* SPDX-License-Identifier: MIT
 * One source for all instruction-set levels: the vector type is GCC's and clang's vector extension at the level's width; the
 * Makefile compiles this file once per level with -DISA=<level>. Element-wise loops are left to the auto-vectoriser. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static inline vec load(const float *p)
{
    return *(const vec *)p;
}

/* Halves are added until one lane is left: a chain of log2(LANES) additions. */
static inline float sum_lanes(vec v)
{
    float lane[LANES];

    memcpy(lane, &v, sizeof lane);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
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
    .matvec = matvec,
    .norm = norm,
    .add_bias = add_bias,
    .gelu = gelu,
    .swiglu = swiglu,
    .rotate = rotate,
    .softmax = softmax,
    .attend = attend,
    .argmax = argmax,
};
