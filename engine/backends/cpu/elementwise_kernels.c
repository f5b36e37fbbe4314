/* SPDX-License-Identifier: MIT
 * What happens between products: norms, activations, rotary, the largest logit. Element-wise loops are left to the
 * auto-vectoriser; sums and maxima are written out, because it may not reorder them. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

#include <float.h>
#include <math.h>

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

static float sum_of_squares(const float *x, int n)
{
    vec s[4] = {{0}};
    float tail = 0;
    int i = 0;

    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++)
            s[k] += load(x + i + k * LANES) * load(x + i + k * LANES);
    for (; i < n; i++)
        tail += x[i] * x[i];
    return sum_lanes((s[0] + s[1]) + (s[2] + s[3])) + tail;
}

static void norm(float *y, const float *x, const float *w, const float *b, int n, float eps, bool subtract_mean)
{
    float mean = subtract_mean ? sum(x, n) / (float)n : 0;

    for (int i = 0; i < n; i++)
        y[i] = x[i] - mean;
    float scale = 1 / sqrtf(sum_of_squares(y, n) / (float)n + eps);
    if (b)
        for (int i = 0; i < n; i++)
            y[i] = y[i] * scale * w[i] + b[i];
    else
        for (int i = 0; i < n; i++)
            y[i] = y[i] * scale * w[i];
}

/* x / (1 + e^-z); beyond +-87 the exponential would leave the normal numbers, and the result is x or 0 long before. */
static inline vec gate_lanes(vec x, vec z)
{
    const vec most = splat(87.0f);

    return x / (splat(1.0f) + exp_lanes(-larger(z, -most)));
}

/* 0.5 u (1 + tanh(z)) = u / (1 + e^(-2 z)) */
static inline vec gelu_lanes(vec u)
{
    return gate_lanes(u, 1.5957691216f * (u + 0.044715f * u * u * u)); /* 2 sqrt(2 / pi) */
}

/* The last few values, fewer than LANES, in a vector of their own. */
static inline vec load_few(const float *p, int n)
{
    vec v = {0};

    memcpy(&v, p, (size_t)n * sizeof *p);
    return v;
}

static void gelu(float *x, int n)
{
    int i = 0;

    for (; i + LANES <= n; i += LANES)
        store(x + i, gelu_lanes(load(x + i)));
    if (i < n) {
        vec y = gelu_lanes(load_few(x + i, n - i));
        memcpy(x + i, &y, (size_t)(n - i) * sizeof *x);
    }
}

static void swiglu(float *y, const float *gate, const float *up, int n)
{
    int i = 0;

    for (; i + LANES <= n; i += LANES)
        store(y + i, gate_lanes(load(gate + i), load(gate + i)) * load(up + i));
    if (i < n) {
        vec few = load_few(gate + i, n - i);
        few = gate_lanes(few, few) * load_few(up + i, n - i);
        memcpy(y + i, &few, (size_t)(n - i) * sizeof *y);
    }
}

static void rotate(float *head, const float *cosine, const float *sine, int half)
{
    for (int i = 0; i < half; i++) {
        float a = head[i], b = head[i + half];
        head[i] = a * cosine[i] - b * sine[i];
        head[i + half] = b * cosine[i] + a * sine[i];
    }
}

/* Of those that are numbers; -FLT_MAX when none is above that. */
static float maximum(const float *x, int n)
{
    vec lanes[4];
    float most = -FLT_MAX;
    int i = 0;

    for (int k = 0; k < 4; k++)
        lanes[k] = splat(-FLT_MAX);
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int k = 0; k < 4; k++)
            lanes[k] = larger(load(x + i + k * LANES), lanes[k]);
    for (; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int k = 0; k < 4; k++)
        for (int l = 0; l < LANES; l++)
            most = lanes[k][l] > most ? lanes[k][l] : most;
    return most;
}

static void softmax(float *x, int n, float scale)
{
    float most = maximum(x, n);

    for (int i = 0; i < n; i++)
        x[i] = exp_fast((x[i] - most) * scale);
    float inverse = 1 / sum(x, n);
    for (int i = 0; i < n; i++)
        x[i] *= inverse;
}

/* The first block with the largest number, then the first of its numbers that is so large: only that block is read twice. */
static int argmax(const float *x, int n)
{
    enum { BLOCK = 512 };
    float most = -FLT_MAX;
    int first = 0;

    for (int i = 0; i < n; i += BLOCK) {
        float here = maximum(x + i, n - i < BLOCK ? n - i : BLOCK);
        if (here > most) {
            most = here;
            first = i;
        }
    }
    for (int i = first; i < n; i++)
        if (x[i] >= most)
            return i;
    return 0; /* all NaN */
}

extern const struct cpu_elementwise LEVELLED(cpu_elementwise_);

const struct cpu_elementwise LEVELLED(cpu_elementwise_) = {
    .norm = norm,
    .gelu = gelu,
    .swiglu = swiglu,
    .rotate = rotate,
    .softmax = softmax,
    .argmax = argmax,
};
