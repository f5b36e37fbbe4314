/* SPDX-License-Identifier: MIT
 * Text to token ids and back. Two kinds behind one door: byte-level BPE (GPT-2, Llama 3, Qwen2; our own) and SentencePiece
 * (LLaMA, Mistral; libsentencepiece). A tokenizer is immutable after opening and may be shared by threads. Never on the
 * measured path of a step. Files are untrusted: at most 64 MB, 2^20 tokens and 1024 bytes a token; a setting that would change
 * the ids is honoured or refused by name. Errors name the file, in text files the line. */
#ifndef BENCH_TOKENIZER_H
#define BENCH_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "text.h"

struct tokenizer;

/* From a Hugging Face folder, the first that is there of: a byte-level tokenizer.json; tokenizer.model (SentencePiece); a
 * SentencePiece-like tokenizer.json (byte_fallback); vocab.json + merges.txt (GPT-2's splitting pattern). Whether a prompt
 * begins with a beginning-of-text token follows from the post-processor and from tokenizer_config.json. ERR_ABSENT when the
 * folder holds none of them. */
int tokenizer_open_dir(struct tokenizer **out, const char *dir, struct err *e);

/* From a tiktoken-style file: one `base64-bytes rank` a line; GPT-2's splitting pattern. */
int tokenizer_open_ranks(struct tokenizer **out, const char *path, struct err *e);

/* From wherever this build put GPT-2's ranks: $BENCH_GPT2_RANKS, else beside the program (gpt2.tiktoken). ERR_ABSENT with
 * the remedy when it is in neither place. 50257 tokens: the ranks and <|endoftext|>, which is only for decoding. */
int tokenizer_open_gpt2(struct tokenizer **out, struct err *e);

/* A vocabulary spelled out, as GGUF files carry it. Everything is borrowed for the call. */
struct token_bytes {
    const char *data;
    size_t len;
};
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE };
struct token_list {
    const char *model; /* "gpt2": byte-level BPE, tokens in GPT-2's printable spelling; "llama": SentencePiece */
    const char *pre;   /* gpt2: which splitting pattern ("gpt-2", "llama-bpe", "qwen2", ...); NULL: "gpt-2" */
    size_t count;
    const struct token_bytes *token; /* [count] */
    const float *score;              /* [count]; llama only */
    const int32_t *type;             /* [count] of enum token_type; NULL: all normal */
    size_t merge_count;
    const struct token_bytes *merge; /* "left right", by rank; gpt2 only */
    int bos, eos, unknown;           /* -1: none */
    int add_bos, add_eos;            /* 0, 1, or -1 where the file does not say: the kind's own habit */
    int add_space_prefix;            /* llama: 0, 1, or -1 (yes) */
};
/* ERR_FORMAT names what is wrong in the terms of the list ("token 17"); the caller puts the file in front. */
int tokenizer_open_list(struct tokenizer **out, const struct token_list *l, struct err *e);

/* The reverse, for writing a model out: the list and everything it points to live as long as `t`. Only byte-level BPE that was
 * opened from ranks, from vocab.json or from a list; ERR_ABSENT for the others. From ranks the merges are found again. */
int tokenizer_list(struct tokenizer *t, struct token_list *out, struct err *e);

void tokenizer_close(struct tokenizer *t);

/* "byte-level BPE, 50257 tokens, vocab.json + merges.txt": for records. */
const char *tokenizer_about(const struct tokenizer *t);
/* The highest id + 1; an id in between may be without a token. */
int tokenizer_vocab(const struct tokenizer *t);

/* Appends the ids of `len` bytes of text (at most 1 GiB) to the malloc'ed array *ids of *n, or to none where both are zero; the
 * caller frees it, also after an error (then *n is unchanged). Byte-level BPE: any bytes will do, and decoding the ids gives
 * them back; a byte that is not part of valid UTF-8 is a token of its own. SentencePiece: the ids of spm_encode, which reads
 * such a byte as U+FFFD. The added tokens of a tokenizer.json or list are found in the text ("<|endoftext|>" becomes its one
 * id); elsewhere such text is text like any other. Nothing is put around the text. Besides ERR_MEMORY only a tokenizer.json's
 * own splitting pattern can fail. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e);

/* The same with what the model was trained to see around a prompt: a beginning-of-text token, rarely an end-of-text one. */
int tokenizer_encode_prompt(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e);

/* Appends the bytes of one token, as they stand in the middle of a text; ids without a token append nothing and return
 * ERR_FORMAT. Control tokens append their name ("</s>"). */
int tokenizer_decode(const struct tokenizer *t, int32_t id, struct text *out, struct err *e);

/* Appends the text of a whole sequence: the inverse of tokenizer_encode (the space that SentencePiece puts in front is taken
 * away again). Control tokens are left out; an id without a token appends "<id>". */
void tokenizer_text(const struct tokenizer *t, const int32_t *ids, size_t n, struct text *out);

#endif
