/* SPDX-License-Identifier: MIT
 * The backend's door: one vtable of coarse, fused ops over the tensors of one forward pass. forward.c calls them in the order
 * of the mathematics; a backend decides how. Ops return nothing: the first failure sticks in the backend and sync() reports it.
 * Everything from embed to choose is on the measured path: no allocation, no I/O. Calls come from one thread, and the
 * backend spreads them over the team's workers; or, where it runs a pass together, from every worker at once. `ref` defines the
 * truth, the others are compared with it.
 *
 * A backend on a device computes apart from the calling thread: its ops only hand work over, sync() waits for it. */
#ifndef BENCH_BACKEND_H
#define BENCH_BACKEND_H

#include <stdint.h>

#include "config.h"
#include "engine.h"
#include "kvcache.h"
#include "model.h"

struct backend; /* begins with `const struct backend_ops *ops` */

/* One forward pass: shapes, weights and where its intermediate results are. rows = batch x tokens; row r is token r % tokens of
 * sequence r / tokens. All float pointers are backend memory, sized by the session for its largest pass. */
struct pass {
    const struct model_config *config;
    const struct weights *weights;
    struct kvcache kv;
    int batch, tokens, past; /* past: positions already in kv */
    int threads;             /* workers, at most the backend's */
    enum attention attention;
    enum launch launch;
    bool all_logits;
    const struct engine_hooks *parts; /* not NULL: fused ops run in pieces, each between these */
    const int32_t *ids;               /* [batch][tokens] */
    const float *rope_cos, *rope_sin; /* [capacity][head_dim / 2]; NULL for learned positions */
    float *x;                         /* [rows][d_model]: the residual stream */
    float *normed;                    /* [rows][d_model] */
    float *qkv;                       /* [rows][(heads + 2 kv_heads) head_dim], q rotated */
    float *mixed;                     /* [rows][heads head_dim]: attention's result */
    float *hidden;                    /* [rows][2 d_ff] for SwiGLU, [rows][d_ff] for GELU */
    float *logits;                    /* [batch][vocab], or [rows][vocab] with all_logits */
    int32_t *chosen;                  /* [batch]: greedy choice of each sequence, host memory; NULL: the session chooses */
};

struct backend_args {
    int threads, device;
    enum gemm gemm;
    enum dtype dtype; /* of the matrices */
};

struct backend_ops {
    const char *name, *about;
    /* Why this backend cannot compute so; NULL: it can, or, instead of the function, it can do all. Before open. */
    const char *(*refuses)(enum dtype dtype, enum gemm gemm, enum dtype kv_dtype, enum attention attention);
    int (*open)(struct backend **out, const struct backend_args *a, struct err *e);
    void (*close)(struct backend *b);
    /* Packs the matrices of loaded weights in place; after that `weights` is for this backend alone. NULL: as is. */
    int (*prepare)(struct backend *b, struct weights *w, const struct model_config *c, struct err *e);
    /* Seeded weights made where they are used, the same values as formats/synthetic.c makes, in memory of the backend's; `w` is
     * planned (weights_plan). NULL: they are made on the host and prepared. */
    int (*synthesize)(struct backend *b, struct weights *w, const struct model_config *c, uint64_t seed, struct err *e);
    /* Bytes that may still be taken; 0: not known. NULL: the host's memory. */
    double (*available)(struct backend *b);
    /* In what this backend computes products with matrices of that dtype: "f32", "f16", "bf16" or
     * "int8". */
    const char *(*arithmetic)(const struct backend *b, enum dtype d);
    /* The same for attention over many queries with a cache of that dtype. */
    const char *(*attention_arithmetic)(const struct backend *b, enum dtype kv);
    /* What computes, with versions and levels, for records: "own kernels (avx512) up to 512 rows, OpenBLAS 0.3.21 ...". */
    void (*describe)(const struct backend *b, char *buf, size_t size);
    /* Calls pass(ctx, worker) on the pass's workers at once: one region for the whole pass. Every op is then called by each of
     * them, shares itself out, and ends for all together. NULL, or a pass in parts: ops are called once, by the main thread. */
    void (*together)(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx);
    /* Called when a session that keeps a cache opens, with the shape of its decode step (one token a sequence, launch graph): a
     * backend that replays recorded passes records this one; pass(ctx, 0) calls the ops. `together` then replays it for every
     * pass of that shape. The pass may also be run, with token 0 at position 0. NULL: nothing is recorded. */
    int (*record)(struct backend *b, const struct pass *step, void (*pass)(void *ctx, int worker), void *ctx, struct err *e);
    /* Room the backend itself needs for the largest pass of a session; before the measured path. */
    int (*reserve)(struct backend *b, const struct pass *largest, struct err *e);
    /* The session whose largest pass this was closes: what reserve and record took for it alone is given back. Also after a
     * reserve that failed. NULL: they take nothing for one session. */
    void (*forget)(struct backend *b, const struct pass *largest);
    /* Memory that the ops compute on, zeroed and touched. NULL: failed, e says why. */
    void *(*alloc)(struct backend *b, size_t bytes, struct err *e);
    void (*release)(struct backend *b, void *p, size_t bytes);
    void (*get)(struct backend *b, void *host, const void *from, size_t bytes);
    void (*put)(struct backend *b, void *to, const void *host, size_t bytes); /* not on the measured path */

    void (*embed)(struct backend *b, const struct pass *p);                /* x = token + position */
    void (*qkv)(struct backend *b, const struct pass *p, int layer);       /* norm, q k v, rotary, append to kv */
    void (*attention)(struct backend *b, const struct pass *p, int layer); /* mixed = softmax(q K / sqrt(d)) V, causal */
    void (*out)(struct backend *b, const struct pass *p, int layer);       /* x += mixed W + bias */
    void (*mlp)(struct backend *b, const struct pass *p, int layer);       /* x += down(act(up(norm(x)))) */
    void (*head)(struct backend *b, const struct pass *p);                 /* logits = norm(x) W, last position or all */
    void (*choose)(struct backend *b, const struct pass *p);               /* chosen = argmax of each last position */
    int (*sync)(struct backend *b, struct err *e);                         /* waits; the first failure since the last sync */
    int (*launches)(const struct backend *b); /* that the last pass gave to the device; NULL: there is no device */
    /* Called around the ops that are handed to a device, whose time nobody can take so; NULL: nothing is. */
    const struct engine_hooks *marks;
    /* Sequence i goes on with the first `length` positions of sequence parent[i]; p->kv.spare is free to use. For beams. */
    void (*reorder)(struct backend *b, const struct pass *p, const int32_t *parent, int length);
};

struct backend {
    const struct backend_ops *ops;
    int threads; /* workers of a pass at most, >= 1: backend_open notes them */
};

/* All backends, NULL-terminated. */
extern const struct backend_ops backend_null, backend_ref, backend_cpu, backend_cuda;
extern const struct backend_ops *const backends[];
int backend_open(struct backend **out, const char *name, const struct backend_args *a, struct err *e);

/* Parts that host backends share. */
void *host_alloc(struct backend *b, size_t bytes, struct err *e);
void host_release(struct backend *b, void *p, size_t bytes);
void host_get(struct backend *b, void *host, const void *from, size_t bytes);
void host_put(struct backend *b, void *to, const void *host, size_t bytes);
void host_reorder(struct backend *b, const struct pass *p, const int32_t *parent, int length);
const char *float32_arithmetic(const struct backend *b, enum dtype d); /* "f32", whatever the weights */

static inline void hooks_begin(const struct engine_hooks *h, enum op op, int layer)
{
    if (h && h->op_begin)
        h->op_begin(h->ctx, op, layer);
}

static inline void hooks_end(const struct engine_hooks *h, enum op op, int layer)
{
    if (h && h->op_end)
        h->op_end(h->ctx, op, layer);
}

/* Row of the hidden state whose logits choose the next token of a sequence. */
static inline size_t pass_last_row(const struct pass *p, int sequence)
{
    return (size_t)sequence * (size_t)p->tokens + (size_t)p->tokens - 1;
}

#endif
