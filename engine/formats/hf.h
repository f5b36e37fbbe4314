/* SPDX-License-Identifier: MIT
 * The parts of a Hugging Face folder: config.json and the tensors. For the files of this room and their tests; everybody else
 * comes through source.h. */
#ifndef BENCH_FORMATS_HF_H
#define BENCH_FORMATS_HF_H

#include <stdbool.h>

#include "safetensors.h"
#include "source.h"
#include "text.h"

enum { HF_SHARDS_MAX = 256 };

/* A tensor of any of the files under the name that slots have. */
struct hf_entry {
    const char *bare;
    const struct safetensors *file;
    const struct safetensors_tensor *tensor;
    bool used;
};

struct hf_folder {
    struct source base;
    struct text dir, config, generation; /* paths; generation is empty where that file is not there */
    struct text where;                   /* the one file of weights, or the index: what an error names */
    struct json_t *index;                /* NULL without shards */
    struct safetensors files[HF_SHARDS_MAX];
    const char *shard[HF_SHARDS_MAX]; /* their names in the index */
    int file_count;
    struct hf_entry *entries; /* sorted by bare name */
    size_t count;
};

/* A GPT2LMHeadModel, LlamaForCausalLM, MistralForCausalLM or Qwen2ForCausalLM. generation: NULL, or the path of a
 * generation_config.json, whose end-of-text ids then replace those of config.json. The name is left empty. */
int hf_config_read(struct model_config *out, const char *config, const char *generation, struct err *e);

/* f->dir and f->base.config are set. Opens every file and matches all tensors with the model's; takes no memory for weights.
 * hf_weights_close also after a failure. */
int hf_weights_open(struct hf_folder *f, struct err *e);
int hf_weights_read(struct hf_folder *f, struct weights *w, struct err *e);
void hf_weights_close(struct hf_folder *f);

/* The JSON texts of a written folder. False, and a reason in `why`, where config.json has no words for this config. */
bool hf_config_can_say(const struct model_config *c, const char **why);
void hf_config_text(struct text *out, const struct model_config *c, enum dtype d);
void hf_generation_text(struct text *out, const struct model_config *c);

#endif
