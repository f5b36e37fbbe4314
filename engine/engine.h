/* SPDX-License-Identifier: MIT
 * The engine's door. A model is loaded once and never changes; a session is one mutable timeline over it: a batch of
 * sequences of equal length, their KV cache, and the tokens so far. The engine knows nothing of measuring: it calls hooks, and
 * an unset hook costs one branch.
 *
 * Measured path: session_prefill and session_decode allocate nothing, print nothing, touch no file. One session, one caller
 * thread at a time; the work is spread over the team's workers (base/team.h) by the backend. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "dtype.h"
#include "err.h"
#include "sample.h"
#include "text.h"

struct model;
struct session;

/* The forward pass in the order it runs; hooks and work counts name their parts by these. "rotary" also appends to the cache.
 */
enum op { OP_EMBED, OP_NORM, OP_QKV, OP_ROTARY, OP_ATTENTION, OP_OUT, OP_MLP, OP_HEAD, OP_SAMPLE, OP_COUNT };
const char *op_name(enum op op); /* "embed", "norm", "qkv", "rotary", "attention", "out", "mlp", "head", "sample" */

/* Called around each op; layer is -1 outside layers. NULL: not called. Norm and rotary are parts of fused ops: they are called
 * for, nested in their op, only when `parts` is set; those ops then run in pieces, which costs a little. Without `parts` a pass
 * may be one parallel region, and the hooks are called within it, by the main thread: they must not use the team themselves. */
struct engine_hooks {
    void *ctx;
    void (*op_begin)(void *ctx, enum op op, int layer);
    void (*op_end)(void *ctx, enum op op, int layer);
    bool parts;
};

/* Who multiplies by weights: our kernels on packed weights, or OpenBLAS on row-major ones (float32 only). */
enum gemm { GEMM_OWN, GEMM_OPENBLAS, GEMM_COUNT };

/* How attention runs: online softmax over blocks of the cache that stay in registers and L1, or the whole matrix of scores
 * (float32 caches only). */
enum attention { ATTENTION_FLASH, ATTENTION_NAIVE, ATTENTION_COUNT };

/* How a device is given a decode step: all of its kernels as one graph that was recorded before, or each by a call of its own.
 * Without a meaning on the CPU. */
enum launch { LAUNCH_GRAPH, LAUNCH_EAGER, LAUNCH_COUNT };

struct model_args {
    const char *source;  /* preset name, Hugging Face folder, or GGUF file */
    const char *backend; /* "cpu", "cuda", "ref", "null" */
    int device;          /* of the backend "cuda": which GPU, from 0 */
    int threads;         /* workers of the started team that the backend uses at most */
    enum dtype dtype;    /* of the matrices in memory, converted once at load: DTYPE_F32 to DTYPE_Q4_0 */
    enum gemm gemm;
    uint64_t seed;  /* of synthetic weights */
    bool plan_only; /* shapes and tokenizer only: no weights are loaded, no session can be opened */
};

/* What loading was: for the record. */
struct model_info {
    char format[16];                   /* "preset", "Hugging Face", "GGUF" */
    char weights[160];                 /* "synthetic, seed 1", or the path */
    char stored[96];                   /* how the weights are stored: "BF16", "Q4_K 86 %, Q6_K 14 %" */
    char dtype[16];                    /* of the matrices in memory: "float32", "bfloat16", "q8_0" */
    char tokenizer[160];               /* tokenizer_about, or why there is none */
    char backend_about[256];           /* versions and levels of what computes */
    uint64_t parameters, weight_bytes; /* weight_bytes: in memory, as work.h counts them */
    uint64_t stored_bytes;             /* in the files; presets: 0 */
    uint64_t load_ns, tokenizer_ns;
    bool on_device;      /* computed by a device that works apart from the calling thread */
    char arithmetic[16]; /* in what products with matrices are computed: "f32", "f16", "bf16", "int8"; a roof has that name */
    uint64_t peak_bytes; /* the process's largest resident size while weights and tokenizer were loaded; 0: not known */
};

int model_open(struct model **out, const struct model_args *a, struct err *e);
void model_close(struct model *m);
const struct model_config *model_config(const struct model *m);
const struct model_info *model_info(const struct model *m);

/* In what attention over many queries is computed with a cache of that dtype: "f32", "f16" or "bf16". */
const char *model_attention_arithmetic(const struct model *m, enum dtype kv_dtype);

/* Why the backend of that name cannot compute so, as a sentence; NULL: it can. Asked before anything is opened. */
const char *backend_refusal(const char *backend, enum dtype dtype, enum gemm gemm, enum dtype kv_dtype,
                            enum attention attention);

/* Bytes that weights and sessions of this model may still take where it computes; 0: not known. */
double model_available_bytes(const struct model *m);

/* Path of the i-th file that the model was read from, NULL past the last; presets have none. */
const char *model_file(const struct model *m, int i);

/* The prompt as the model was trained to see it: with a beginning-of-text token where its tokenizer asks for one. ids:
 * malloc'ed, the caller frees. ERR_ABSENT when the model has no tokenizer. */
int model_tokenize(const struct model *m, const char *text, int32_t **ids, size_t *n, struct err *e);
/* Appends the token's bytes, or "<id>" without a tokenizer. */
void model_token_text(const struct model *m, int32_t id, struct text *out);
/* Appends the text of a whole sequence, special tokens left out; ids in <> without a tokenizer. */
void model_text(const struct model *m, const int32_t *ids, int n, struct text *out);

struct session_args {
    int batch;           /* sequences, >= 1 */
    int capacity;        /* prompt + generated tokens at most, <= config.context */
    int threads;         /* workers, at most the model's; 0: all of these */
    enum dtype kv_dtype; /* of cached keys and values: DTYPE_F32, DTYPE_F16 or DTYPE_BF16 */
    enum attention attention;
    enum launch launch;
    bool kv_cache;            /* false: every step recomputes all tokens from scratch, as use_cache=False does */
    bool all_logits;          /* prefill computes the head for every position (tests); default the last only */
    bool ignore_eos;          /* no sequence ever ends: benchmarks want a fixed number of steps */
    struct sampling sampling; /* all zero: greedy. With beams every sequence takes `beams` rows of each pass and of the cache */
    struct engine_hooks hooks;
};

int session_open(struct session **out, struct model *m, const struct session_args *a, struct err *e);
void session_close(struct session *s);

/* Forgets all tokens and begins the draws again; memory stays. */
void session_reset(struct session *s);

/* One forward pass over the prompt: tokens is [batch][n]. Chooses the first generated token of each sequence. */
int session_prefill(struct session *s, const int32_t *tokens, int n, struct err *e);

/* One more token for each sequence: forward over the last chosen token (kv_cache) or over all tokens (no cache). */
int session_decode(struct session *s, struct err *e);

/* Positions that the last pass attended to: prompt + generated tokens without the one just chosen. */
int session_kv_len(const struct session *s);
/* [batch] chosen by the last prefill or decode; with beams the last token of each sequence's best beam. */
const int32_t *session_chosen(const struct session *s);
/* The tokens of sequence i so far, prompt first; with beams the best ones. Valid until the next call. */
const int32_t *session_tokens(struct session *s, int sequence, int *n);
/* True once sequence i has ended: one of config's eos was chosen, or no beam can beat its best. Decoding on is allowed. */
bool session_ended(const struct session *s, int sequence);
/* Logits of the last pass: [batch x beams][vocab], or [batch x beams][n][vocab] with all_logits. Valid until the next call. */
const float *session_logits(struct session *s);
/* Kernels, copies and sets that the last pass gave to a device; 0 on the CPU. */
int session_launches(const struct session *s);
/* Bytes allocated for keys and values. */
size_t session_kv_bytes(const struct session *s);
/* Copies keys (or values) of one position, decoded: [head_dim] floats. ERR_USAGE beyond session_kv_len, and without a cache
 * (nothing is kept). */
int session_kv_read(struct session *s, bool values, int layer, int sequence, int kv_head, int position, float *out,
                    struct err *e);

#endif
