/* SPDX-License-Identifier: MIT
 * Where weights come from. Each loader fills a config or already laid-out weights; files are untrusted: every length, offset,
 * count and shape is checked against the file and the config before memory is taken or a byte is read. */
#ifndef BENCH_FORMATS_H
#define BENCH_FORMATS_H

#include "config.h"
#include "model.h"

/* Seeded synthetic weights: the same on every machine and thread count; logits finite, spread, without ties. */
void synthetic_fill(struct weights *w, const struct model_config *c, uint64_t seed);

/* <dir>/config.json of a GPT2LMHeadModel or LlamaForCausalLM. Anything not implemented is refused by name. */
int hf_read_config(struct model_config *out, const char *dir, struct err *e);

/* <dir>/model.safetensors or <dir>/model.safetensors.index.json with its shards; F32, F16, BF16 converted to float32. */
int hf_read_weights(struct weights *w, const struct model_config *c, const char *dir, struct err *e);

#endif
