/* SPDX-License-Identifier: MIT
 * What the SentencePiece sources share; nobody outside this folder includes it. Every source ends in a serialized ModelProto:
 * tokenizer.model is one, a list and a tokenizer.json are written as one (spm_proto.c). libsentencepiece reads it and encodes;
 * decoding needs only the pieces and is ours. */
#ifndef BENCH_SPM_H
#define BENCH_SPM_H

#include "kind.h"

/* --- sentencepiece.cc: the library, in C --- */

struct spm_model;

/* Copies what it needs of the `len` bytes of a serialized ModelProto. Errors are the library's own sentence. */
int spm_model_open(struct spm_model **out, const char *proto, size_t len, struct err *e);
void spm_model_close(struct spm_model *m);
int spm_model_size(const struct spm_model *m);
/* A piece as it is spelled, valid as long as m, and its type (user-defined pieces are told as normal ones). */
struct token_bytes spm_model_piece(const struct spm_model *m, int id, enum token_type *type);
int spm_model_encode(const struct spm_model *m, const char *text, size_t len, struct ids *out, struct err *e);

/* --- spm.c --- */

struct spm {
    struct tokenizer base; /* its vocabulary holds the pieces as they are spelled: "▁the", "<0x0A>" */
    struct spm_model *model;
    bool own_space; /* base.front is carried out by us, where text does not begin with a space; otherwise by the model */
};

struct spm *spm_new(struct err *e);
int spm_finish(struct spm *t, const struct text *proto, const char *source, struct err *e);
/* The byte that a piece like "<0x0A>" stands for, -1 where it is none. */
int spm_byte(const char *piece, size_t len);

int spm_open_model(struct tokenizer **out, const char *path, struct err *e); /* *out also after an error */
int spm_open_list(struct tokenizer **out, const struct token_list *l, struct err *e);

/* --- spm_check.c: before a ModelProto from a file is given to the library --- */

enum { SPM_MODEL_NORMALIZER = 3, SPM_NORMALIZER_CHARSMAP = 2 }; /* fields of sentencepiece_model.proto */

int spm_check(const char *proto, size_t len, struct err *e);

/* --- spm_proto.c: writes a ModelProto --- */

/* The pieces in order of their ids, then the rest. */
void spm_proto_piece(struct text *proto, const char *piece, size_t len, float score, enum token_type type);
/* Where an id has no token, and for the unknown piece that the library insists on. No text becomes it. */
void spm_proto_filler(struct text *proto, int32_t id, enum token_type type);
/* BPE that leaves white space as it is; `bytes`: there are 256 byte pieces. */
void spm_proto_end(struct text *proto, bool bytes, bool space_in_front);

#endif
