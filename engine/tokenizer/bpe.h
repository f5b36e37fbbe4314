/* SPDX-License-Identifier: MIT
 * What the byte-level BPE sources share; nobody outside this folder includes it. Building (bpe_files.c, bpe_json.c, bpe_list.c)
 * fills a struct bpe through kind.h and the functions here and ends with bpe_finish. */
#ifndef BENCH_BPE_H
#define BENCH_BPE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "kind.h"

enum { BPE_MERGES_MAX = 1 << 22 }; /* merges spelled out pair by pair (Llama-3 has 280147 for 128000 tokens) */

struct bpe_merge {
    int32_t left, right; /* left < 0 in an empty slot */
    int32_t rank, id;
};

struct bpe_merges {
    struct bpe_merge *slot; /* open addressing by (left, right); NULL where tokens merge by their own id */
    uint32_t slot_mask;
};

/* How text is cut into pieces, under the name that GGUF files have for it. */
struct bpe_pre {
    const char *name;
    const char *pattern;
    bool whole_first; /* a piece that is a token is taken as it is, whatever the merges make of it */
    bool add_bos;     /* where a file does not say */
};

struct bpe_listing; /* bpe_list.c */

struct bpe {
    struct tokenizer base;
    struct bpe_merges merges;
    bool whole_first;
    bool nfc; /* text is composed first */
    pcre2_code *pattern;
    const char *pre; /* the pattern's name, NULL where it has none */
    int32_t byte_id[256];
    struct bpe_listing *listing; /* what tokenizer_list handed out */
};

/* --- bpe.c --- */

struct bpe *bpe_new(struct err *e);
/* Checks what encoding relies on and fills in the rest; `source` is what tokenizer_about calls it. */
int bpe_finish(struct bpe *t, const char *source, struct err *e);
/* The two tokens whose merge makes token `id`, found by merging its bytes with the tokens of lower id. False where that does
 * not leave two. For tokenizers without a list of merges. */
int bpe_find_merge(const struct bpe *t, int32_t id, struct bpe_merge *out, bool *found, struct err *e);

/* --- bpe_merges.c --- */

/* Appends the bytes that `len` bytes of GPT-2's printable spelling stand for ("Ġthe" is " the"); false, having appended
 * nothing, where a character is none of its 256. */
bool bpe_unspell(const char *spelling, size_t len, struct text *out);
void bpe_spell(const char *bytes, size_t len, struct text *out);
/* A token in that spelling; one that is not ("<|a b|>") stands for itself, and no text becomes it by merging. */
int bpe_put_spelled(struct bpe *t, const char *spelling, size_t len, int64_t id, struct err *e);

int bpe_merges_init(struct bpe_merges *m, size_t merges, struct err *e);
/* Both sides spelled. The first merge put has rank 0, the next 1, ... */
int bpe_merges_put(struct bpe *t, int32_t rank, struct token_bytes left, struct token_bytes right, struct err *e);
/* "left right" */
int bpe_merges_put_line(struct bpe *t, int32_t rank, const char *line, size_t len, struct err *e);
const struct bpe_merge *bpe_merges_find(const struct bpe_merges *m, int32_t left, int32_t right);

/* --- bpe_split.c --- */

const struct bpe_pre *bpe_pre_find(const char *name); /* NULL when there is none */
void bpe_pre_names(struct text *out);                 /* "gpt-2, llama-bpe, ..." */
int bpe_pattern_compile(pcre2_code **out, const char *pattern, struct err *e);
int bpe_pattern_use(struct bpe *t, const struct bpe_pre *pre, struct err *e);

/* Bytes of valid UTF-8 that s begins with. */
size_t bpe_utf8_run(const char *s, size_t left);

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

/* --- bpe_nfc.c --- */

/* Appends text with its stretches of valid UTF-8 in Unicode's composed form. */
int bpe_nfc(const char *text, size_t len, struct text *out, struct err *e);

/* --- bpe_files.c --- */

int bpe_read_merges(struct bpe *t, const char *path, struct err *e); /* merges.txt; errors name it */

/* --- bpe_list.c --- */

int bpe_open_list(struct tokenizer **out, const struct token_list *l, struct err *e);
int bpe_list(struct tokenizer *t, struct token_list *out, struct err *e);
void bpe_listing_free(struct bpe_listing *l);

#endif
