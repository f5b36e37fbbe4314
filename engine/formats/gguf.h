/* SPDX-License-Identifier: MIT
 * GGUF files (the specification is docs/gguf.md of ggml), for this folder only. gguf.c reads the container: opening maps the
 * file and checks its header whole, so that every key and tensor that is found afterwards lies inside the file. gguf_names.c
 * says what the model's tensors are called there, gguf_config.c what its keys mean. Strings point into the mapping and have no
 * NUL. Not thread-safe while opening or closing; reading may be shared. */
#ifndef BENCH_GGUF_H
#define BENCH_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dtype.h"
#include "err.h"
#include "model.h"

/* --- gguf.c ------------------------------------------------------------------------------------------------------------- */

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
};

enum { GGUF_RANK_MAX = 4, GGUF_NAME_MAX = 64, GGUF_ALIGNMENT = 32, GGUF_QUANTIZATION = 2 };

struct gguf_string {
    const char *data;
    size_t len;
};

struct gguf_key {
    struct gguf_string name;
    enum gguf_type type;
    enum gguf_type element; /* arrays: of what */
    uint64_t count;         /* arrays: elements; else 1 */
    uint64_t at;            /* byte of the file at which the value, or an array's first element, begins */
};

struct gguf_tensor {
    char name[GGUF_NAME_MAX + 1];
    enum dtype dtype;
    uint64_t shape[GGUF_RANK_MAX]; /* columns, rows, 1, 1 */
    uint64_t at, bytes;            /* in the file */
};

struct gguf {
    char *path;
    int fd;
    const uint8_t *map; /* the whole file */
    uint64_t size;
    struct gguf_key *keys; /* by name */
    size_t key_count;
    struct gguf_tensor *tensors; /* by name */
    size_t tensor_count;
};

/* Call gguf_close after it in any case. */
int gguf_open(struct gguf *g, const char *path, struct err *e);
void gguf_close(struct gguf *g);

/* NULL where there is none of that name. */
const struct gguf_key *gguf_find_key(const struct gguf *g, const char *name);
struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);

/* The scalars, whatever width they are stored in; false where the value is of another kind or does not fit. */
bool gguf_int(const struct gguf *g, const struct gguf_key *k, int64_t *out);
bool gguf_number(const struct gguf *g, const struct gguf_key *k, double *out);
bool gguf_bool(const struct gguf *g, const struct gguf_key *k, bool *out);

/* A string to be compared with names and printed: cut where it does not fit, which no known name is, and what is not ASCII text
 * is '?'. false where the value is no string. */
bool gguf_name(const struct gguf *g, const struct gguf_key *k, char *buf, size_t size);

/* The string at byte *at, which moves behind it: for the elements of an array. false where the file has changed meanwhile. */
bool gguf_next_string(const struct gguf *g, uint64_t *at, struct gguf_string *out);

/* ERR_IO when the file is now shorter than when it was opened: touching the mapping would then be a signal. */
int gguf_check_size(const struct gguf *g, struct err *e);

/* The tensor is read: its pages need not count as ours any more. */
void gguf_forget(const struct gguf *g, const struct gguf_tensor *t);

/* The number that stands for a type in the file. */
uint32_t gguf_dtype_number(enum dtype d);

/* --- gguf_names.c ------------------------------------------------------------------------------------------------------- */

/* general.architecture: "gpt2" for learned positions, else "qwen2" where the model says so, else "llama". */
const char *gguf_arch(const struct model_config *c);

/* The tensor's name there: "layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight". */
void gguf_tensor_name(char out[GGUF_NAME_MAX + 1], const char *slot);

/* The rows of this tensor are stored in the order of interleaved rotary pairs: q and k of the llama architecture. */
bool gguf_is_permuted(const struct model_config *c, const char *slot);

/* Which of our rows the stored row of a permuted tensor is: pair i of a head is stored as rows 2i and 2i + 1, ours are i and
 * i + head_dim / 2. */
int gguf_row(const struct model_config *c, int stored);

/* --- gguf_config.c ------------------------------------------------------------------------------------------------------ */

/* The keys of the architecture, checked; what changes the result and is not implemented is refused by name. */
int gguf_read_config(struct model_config *out, const struct gguf *g, struct err *e);

/* Id in tokenizer.ggml.<name>_token_id, `fallback` where the file does not say. An id that is not below `tokens` counts as none
 * (-1), as in llama.cpp. */
int gguf_token_id(const struct gguf *g, const char *name, int fallback, size_t tokens, int *out, struct err *e);

#endif
