/* SPDX-License-Identifier: MIT
 * What the byte-level BPE sources share; nobody outside this folder includes it. Building (bpe_files.c, bpe_json.c) fills a
 * struct tokenizer through bpe_vocab.c and ends with bpe_finish; from then on nothing in it changes, so threads may share it.
 * Build functions leave one sentence in *e; their callers put file and line in front. */
#ifndef BENCH_BPE_H
#define BENCH_BPE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>

#include "tokenizer.h"

enum {
    BPE_FILE_MAX = 64 << 20,  /* bytes of one file */
    BPE_VOCAB_MAX = 1 << 20,  /* ids are below this */
    BPE_MERGES_MAX = 1 << 22, /* merges spelled out pair by pair (Llama-3 has 280147 for 128000 tokens) */
    BPE_TOKEN_MAX = 1024,     /* bytes of one token (the longest seen in the field has 128) */
};

struct bpe_token {
    uint32_t at, len; /* in bpe_vocab.bytes; len 0: no token has this id */
};

struct bpe_vocab {
    struct text bytes;
    struct bpe_token *token; /* BPE_VOCAB_MAX of them, by id */
    int32_t size;            /* highest id + 1 */
    uint32_t *slot;          /* open addressing: id + 1 of the token whose bytes hash here, 0 where empty */
    uint32_t slot_mask;
    uint32_t longest; /* bytes of the longest token that text can become */
};

struct bpe_merge {
    int32_t left, right; /* left < 0 in an empty slot */
    int32_t rank, id;
};

struct bpe_merges {
    struct bpe_merge *slot; /* open addressing by (left, right); NULL where tokens merge by their own id */
    uint32_t slot_mask;
};

struct tokenizer {
    struct bpe_vocab vocab;
    struct bpe_merges merges;
    bool whole_first; /* a piece that is a token is taken as it is, whatever the merges make of it */
    pcre2_code *pattern;
    int32_t *added; /* ids, sorted by bytes, of tokens found in text before anything is split: "<|endoftext|>" */
    size_t added_n;
    int32_t byte_id[256];
    char about[160];
};

/* --- bpe_vocab.c --- */

/* `tokens` is an upper bound of the calls to bpe_vocab_put. */
int bpe_vocab_init(struct bpe_vocab *v, size_t tokens, struct err *e);
/* `matches`: text can become this token by merging; otherwise it is only for decoding. */
int bpe_vocab_put(struct bpe_vocab *v, int64_t id, const char *bytes, size_t len, bool matches, struct err *e);
int32_t bpe_vocab_find(const struct bpe_vocab *v, const char *bytes, size_t len); /* -1 when no matching token */
void bpe_vocab_free(struct bpe_vocab *v);
const char *bpe_token_bytes(const struct tokenizer *t, int32_t id); /* vocab.token[id].len of them */

/* Appends the bytes that `len` bytes of GPT-2's printable spelling stand for ("Ġthe" is " the"); false, having appended
 * nothing, where a character is none of its 256. */
bool bpe_spelling_bytes(const char *spelling, size_t len, struct text *out);

int bpe_merges_init(struct bpe_merges *m, size_t merges, struct err *e);
/* Both sides in GPT-2's spelling. The first merge put has rank 0, the next 1, ... */
int bpe_merges_put(struct tokenizer *t, int32_t rank, const char *left, size_t left_len, const char *right, size_t right_len,
                   struct err *e);
const struct bpe_merge *bpe_merges_find(const struct bpe_merges *m, int32_t left, int32_t right);

/* --- bpe_split.c --- */

extern const char bpe_gpt2_pattern[];

int bpe_pattern_compile(pcre2_code **out, const char *pattern, struct err *e);

/* Walks over text piece by piece; the pieces laid end to end are the text. Zero it, set code, match, text and len. */
struct bpe_split {
    const pcre2_code *code;
    pcre2_match_data *match;
    const char *text;
    size_t len;
    size_t at;                     /* everything before is handed out */
    size_t run_begin, run_end;     /* the stretch of valid UTF-8 that `at` is in */
    size_t match_begin, match_end; /* the next match of the pattern in it */
};

/* 1 and the next piece, 0 at the end, or an error code. */
int bpe_split_next(struct bpe_split *s, const char **piece, size_t *len, struct err *e);

/* --- bpe.c --- */

struct tokenizer *bpe_new(struct err *e);
/* Checks what encoding relies on and fills in the rest; `source` is what tokenizer_about calls it. */
int bpe_finish(struct tokenizer *t, const char *source, struct err *e);

/* --- bpe_json.c: read one file into a new tokenizer; errors name the file --- */

int bpe_read_vocab_json(struct tokenizer *t, const char *path, struct err *e);
int bpe_read_tokenizer_json(struct tokenizer *t, const char *path, struct err *e);

#endif
