/* SPDX-License-Identifier: MIT
 * Where models come from: a preset with seeded weights, a Hugging Face folder, a GGUF file. Each is one table. Opening reads
 * and checks everything that is small: the config, and every tensor's name, dtype, shape and place against the config and the
 * files' sizes, so that no memory is taken on the word of a file. Reading then fills weights that were laid out for the config.
 * Files are untrusted. Anything that would change the result and is not implemented is refused by name. */
#ifndef BENCH_SOURCE_H
#define BENCH_SOURCE_H

#include <stdbool.h>

#include "config.h"
#include "dtype.h"
#include "model.h"
#include "tokenizer/tokenizer.h"

struct source_ops;

/* Every format's own struct begins with this; all of it is set by open. */
struct source {
    const struct source_ops *ops;
    struct model_config config;
    char about[160];                /* "synthetic, seed 1", or the path */
    uint64_t elements[DTYPE_COUNT]; /* of the model's tensors, by how they are stored; presets: all F32 */
    uint64_t bytes;                 /* of the model's tensors in the files; presets: 0 */
    float *rope_factors;            /* [head_dim / 2] that divide the frequencies, or NULL; owned */
};

struct source_ops {
    const char *name; /* "preset", "Hugging Face", "GGUF" */
    int (*open)(struct source **out, const char *path, uint64_t seed, struct err *e);
    /* w was laid out for s->config, in any dtype; what is stored in that dtype is copied bit for bit. */
    int (*read)(struct source *s, struct weights *w, struct err *e);
    /* ERR_ABSENT with the reason where it has none. */
    int (*tokenizer)(struct source *s, struct tokenizer **out, struct err *e);
    /* Path of the i-th file that holds the model (config first, then weights), NULL past the last; presets have none. */
    const char *(*file)(const struct source *s, int i);
    void (*close)(struct source *s);
};

extern const struct source_ops source_preset, source_hf, source_gguf;

/* Chooses by what `path` is: a preset's name, a folder, or a file that begins with GGUF. */
int source_open(struct source **out, const char *path, uint64_t seed, struct err *e);
void source_close(struct source *s); /* NULL is fine */

/* "BF16", or with shares of the parameters where they differ: "Q4_K 86 %, Q6_K 14 %"; into buf, returns buf. */
const char *source_dtypes(const struct source *s, char *buf, size_t size);

/* The same weights for the same seed, on every machine and thread count, rounded to the dtype that the matrices are held in;
 * logits finite, spread, without ties. */
void synthetic_fill(struct weights *w, const struct model_config *c, uint64_t seed);

/* What these are made of: element i = row x cols + column of a tensor is offset + scale * triangle(i), where a pair of elements
 * shares the 64 bits of mix(key + i), i even, the even one taking the low 32; a triangle is the sum of two 16-bit halves, less
 * 65535 (synthetic.c). The offset is 0, or the scale a power of two: then a fused multiply-add rounds as two steps do. A vector
 * is a matrix of one row. The first answer that is not 0 stops the walk and is returned. */
typedef int (*synthetic_visitor)(void *ctx, const struct matrix *m, uint64_t key, float offset, float scale);
int synthetic_visit(const struct weights *w, const struct model_config *c, uint64_t seed, synthetic_visitor visit, void *ctx);

/* A model written out so that reading it back gives the same weights (bit for bit in F32, else after one rounding), and other
 * programs can load it. tokenizer: NULL or a byte-level BPE, written with it. A folder is created when missing; files of that
 * name are replaced, others stay. ERR_USAGE where the weights are not held in float32, and where dtype cannot be written. */
int hf_write(const char *dir, const struct model_config *c, const struct weights *w, struct tokenizer *t, enum dtype d,
             struct err *e); /* F32, F16, BF16 */
int gguf_write(const char *path, const struct model_config *c, const struct weights *w, struct tokenizer *t, enum dtype d,
               struct err *e);

#endif
