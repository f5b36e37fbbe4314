/* SPDX-License-Identifier: MIT
 * What the two kinds of tokenizer share; nobody outside this folder includes it. A kind embeds struct tokenizer as its first
 * member, fills it while opening, and from then on nothing in it changes, so threads may share it. What is common (added
 * tokens in text, what stands around a prompt, decoding) is tokenizer.c; what differs is the ops table. Functions that build
 * leave one sentence in *e; their callers put file and line in front. */
#ifndef BENCH_TOKENIZER_KIND_H
#define BENCH_TOKENIZER_KIND_H

#include "tokenizer.h"

enum {
    TOKENIZER_FILE_MAX = 64 << 20, /* bytes of one file */
    VOCAB_MAX = 1 << 20,           /* ids are below this */
    TOKEN_MAX = 1024,              /* bytes of one token (the longest seen in the field has 128) */
};

/* --- tokenizer.c --- */

struct ids {
    int32_t *id;
    size_t n, cap;
};
int ids_put(struct ids *ids, int32_t id, struct err *e);

struct vocab_token {
    uint32_t at;     /* in vocab.bytes */
    uint16_t len;    /* 0: no token has this id */
    uint8_t type;    /* enum token_type */
    bool found_text; /* its spelling in a text becomes its id before anything else looks at the text */
};

struct vocab {
    struct text bytes;
    struct vocab_token *token; /* VOCAB_MAX of them, by id */
    int32_t size;              /* highest id + 1 */
    uint32_t *slot;            /* open addressing: id + 1 of the token whose bytes hash here, 0 where empty */
    uint32_t slot_mask;
    uint32_t longest; /* bytes of the longest token that text can become */
};

/* Where encoding puts a space in front, so that decoding can take it away again. */
enum front { FRONT_NOWHERE, FRONT_OF_TEXT, FRONT_OF_EACH_STRETCH /* between added tokens */ };

struct tokenizer {
    const struct tokenizer_ops *ops;
    struct vocab vocab;
    int32_t *added; /* ids with found_text, sorted by their bytes */
    size_t added_n;
    enum front front;
    int32_t bos, eos; /* -1: none known */
    bool add_bos, add_eos;
    char about[160];
};

struct tokenizer_ops {
    /* Text without added tokens in it, not empty; `first`: it is the beginning of the whole text. */
    int (*encode)(const struct tokenizer *t, const char *text, size_t len, bool first, struct ids *out, struct err *e);
    void (*append)(const struct tokenizer *t, int32_t id, struct text *out); /* bytes of a token that is there */
    int (*list)(struct tokenizer *t, struct token_list *out, struct err *e); /* NULL: cannot be listed */
    void (*close)(struct tokenizer *t);
};

/* To be called once every token is put: sorts the tokens with found_text into t->added. */
int tokenizer_find_added(struct tokenizer *t, struct err *e);

/* What a prompt is surrounded by, from a list; `add_bos`: the kind's habit where the list does not say. */
int tokenizer_list_prompt(struct tokenizer *t, const struct token_list *l, bool add_bos, struct err *e);
/* The beginning of a string from a file, fit for a sentence on a terminal: "" for no string. */
const char *tokenizer_excerpt(char out[48], const char *s);

/* --- vocab.c --- */

/* `tokens` is an upper bound of the calls to vocab_put. */
int vocab_init(struct vocab *v, size_t tokens, struct err *e);
/* A normal token can be looked up by its bytes, and no two of those are alike. */
int vocab_put(struct vocab *v, int64_t id, const char *bytes, size_t len, enum token_type type, struct err *e);
bool vocab_has(const struct vocab *v, int64_t id);
int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len); /* -1 when no normal token */
/* A token of any type by its bytes, -1 when there is none: special ones before normal ones. Looks at all of them. */
int32_t vocab_find_name(const struct vocab *v, const char *name, size_t len);
const char *vocab_bytes(const struct vocab *v, int32_t id);
void vocab_free(struct vocab *v);

#endif
