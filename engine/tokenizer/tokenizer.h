/* SPDX-License-Identifier: MIT
 * Text to token ids and back. A tokenizer is immutable after opening and may be shared by threads. Byte-level BPE (GPT-2
 * family) in this version; SentencePiece has its room beside bpe.c. Never on the measured path of a step.
 * Files are untrusted: at most 64 MB, 2^20 tokens and 1024 bytes a token; a setting of tokenizer.json that would change the
 * ids is honoured or refused by name. Errors name the file, in text files the line. */
#ifndef BENCH_TOKENIZER_H
#define BENCH_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "text.h"

struct tokenizer;

/* From a Hugging Face folder: tokenizer.json, else vocab.json + merges.txt (GPT-2's splitting pattern). ERR_ABSENT when it
 * has neither. */
int tokenizer_open_dir(struct tokenizer **out, const char *dir, struct err *e);

/* From a tiktoken-style file: one `base64-bytes rank` a line; GPT-2's splitting pattern. */
int tokenizer_open_ranks(struct tokenizer **out, const char *path, struct err *e);

/* From wherever this build put GPT-2's ranks: $BENCH_GPT2_RANKS, else beside the program (gpt2.tiktoken). ERR_ABSENT with
 * the remedy when it is in neither place. 50257 tokens: the ranks and <|endoftext|>, which is only for decoding. */
int tokenizer_open_gpt2(struct tokenizer **out, struct err *e);

void tokenizer_close(struct tokenizer *t);

/* "byte-level BPE, 50257 tokens, vocab.json + merges.txt": for records. */
const char *tokenizer_about(const struct tokenizer *t);
/* The highest id + 1; an id in between may be without a token. */
int tokenizer_vocab(const struct tokenizer *t);

/* Appends the ids of `len` bytes of text (at most 1 GiB) to the malloc'ed array *ids of *n, or to none where both are zero; the
 * caller frees it, also after an error (then *n is unchanged). Any bytes will do, and decoding the ids gives them back: a byte
 * that is not part of valid UTF-8 is a token of its own. The added tokens of a tokenizer.json are found in the text
 * ("<|endoftext|>" becomes its one id); from the other sources such text is text like any other. Nothing is put around the
 * text (no beginning-of-text token). Besides ERR_MEMORY only a tokenizer.json's own splitting pattern can fail. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e);

/* Appends the bytes of one token; ids without a token append nothing and return ERR_FORMAT. */
int tokenizer_decode(const struct tokenizer *t, int32_t id, struct text *out, struct err *e);

#endif
