/* SPDX-License-Identifier: MIT
 * llama3 scaling: wavelengths shorter than original_context / high_freq_factor stay, longer than original_context /
 * low_freq_factor are divided by factor, between the two they are blended (Llama 3.1's published rule).
 * A GGUF file carries the same as divisors of the frequencies. */
#include "rope.h"

#include <math.h>

static double scale_llama3(const struct rope_scaling *r, double frequency)
{
    double wavelength = 2 * M_PI / frequency;

    if (wavelength < r->original_context / r->high_freq_factor)
        return frequency;
    if (wavelength > r->original_context / r->low_freq_factor)
        return frequency / r->factor;
    double smooth = (r->original_context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * frequency / r->factor + smooth * frequency;
}

void rope_llama3_factors(float *out, const struct model_config *c)
{
    for (int i = 0; i < c->head_dim / 2; i++) {
        double frequency = pow(c->rope_theta, -2.0 * i / c->head_dim);
        out[i] = (float)(frequency / scale_llama3(&c->rope, frequency));
    }
}

void rope_table(float *cos_out, float *sin_out, const struct model_config *c, const float *factors, int positions)
{
    int half = c->head_dim / 2;

    for (int i = 0; i < half; i++) {
        double frequency = (float)pow(c->rope_theta, -2.0 * i / c->head_dim);
        if (c->rope.kind == ROPE_LLAMA3)
            frequency = scale_llama3(&c->rope, frequency);
        if (factors)
            frequency /= factors[i];
        double divide = c->rope.kind == ROPE_LINEAR ? c->rope.factor : 1;
        float f = (float)frequency;
        for (int pos = 0; pos < positions; pos++) {
            float angle = (float)(pos / divide) * f;
            cos_out[pos * half + i] = (float)cos(angle);
            sin_out[pos * half + i] = (float)sin(angle);
        }
    }
}
