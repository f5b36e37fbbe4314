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

static void softmax(float *x, int n, float scale)
{
    float most = maximum(x, n);

    for (int i = 0; i < n; i++)
        x[i] = exp_fast((x[i] - most) * scale);
    float inverse = 1 / sum(x, n);
    for (int i = 0; i < n; i++)
        x[i] *= inverse;
}

static int argmax(const float *x, int n)
{
    float most = maximum(x, n);

    for (int i = 0; i < n; i++)
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
