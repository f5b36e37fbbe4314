/* SPDX-License-Identifier: MIT
 * Hugging Face's JSON files: what both kinds read from tokenizer.json (added tokens, the post-processor) and from
 * tokenizer_config.json. Whatever would change the ids is either honoured or refused by its key. Files are untrusted: jansson
 * rejects duplicate keys and bad UTF-8, vocab.c checks ids and sizes. Errors name the key; hf_load and hf_config also the
 * file. */
#ifndef BENCH_HF_H
#define BENCH_HF_H

#include <jansson.h>

#include "kind.h"

int hf_load(json_t **out, const char *path, struct err *e);

/* Absent, null, false, 0 and "": a setting that changes nothing. */
bool hf_is_off(const json_t *value);
/* ERR_FORMAT where object.key is not off; `where` is put in front of the key. */
int hf_refuse_unless_off(const json_t *object, const char *const *keys, size_t n, const char *where, struct err *e);
bool hf_has_type(const json_t *object, const char *type);
/* "left right", or since version 0.20 of tokenizers ["left", "right"]; borrowed from it. False where it is neither. */
bool hf_merge(const json_t *merge, struct token_bytes *left, struct token_bytes *right);

/* The whole tokenizer.json: splits bytes (GPT-2, Llama 3, Qwen2), or spells bytes only where it has no character (LLaMA). */
bool hf_is_byte_level(const json_t *root);
bool hf_is_sentencepiece(const json_t *root);

/* Puts added_tokens into the vocabulary; `known`: the vocabulary's own id for such a content, -1 if it has none. */
int hf_added_tokens(struct tokenizer *t, const json_t *root,
                    int32_t (*known)(const struct tokenizer *t, const char *content, size_t len), struct err *e);

/* What stands around a prompt: from tokenizer.json, then from tokenizer_config.json, which may not be there. There
 * add_bos_token and add_eos_token count for LLaMA's tokenizer class or, with a `habit`, for any; it says what holds without
 * them. */
struct hf_habit {
    const char *bos, *eos;
    bool add_bos, add_eos;
};
int hf_post_processor(struct tokenizer *t, const json_t *root, struct err *e);
int hf_config(struct tokenizer *t, const char *path, const struct hf_habit *habit, struct err *e);

/* --- the kinds' own readers: a new tokenizer from it, *out also after an error --- */

int bpe_open_json(struct tokenizer **out, const json_t *root, struct err *e);                     /* bpe_json.c */
int bpe_open_vocab(struct tokenizer **out, const char *vocab, const char *merges, struct err *e); /* bpe_json.c */
int spm_open_json(struct tokenizer **out, const json_t *root, struct err *e);                     /* spm_json.c */

#endif
