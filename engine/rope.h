/* SPDX-License-Identifier: MIT
 * Rotary position tables: cos and sin of position x frequency, as Hugging Face computes them (frequencies rounded to float32),
 * with linear and llama3 scaling. The pairing is (i, i + head_dim / 2): the layout of Hugging Face's weights. */
#ifndef BENCH_ROPE_H
#define BENCH_ROPE_H

#include "config.h"

/* cos, sin: [positions][head_dim / 2]. factors: [head_dim / 2] that divide the frequencies, or NULL. */
void rope_table(float *cos_out, float *sin_out, const struct model_config *c, const float *factors, int positions);

/* What llama3 scaling divides each frequency by, [head_dim / 2]: the form in which GGUF files keep it. */
void rope_llama3_factors(float *out, const struct model_config *c);

#endif
