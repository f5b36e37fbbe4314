/* SPDX-License-Identifier: MIT
 * What the files of the backend's host side share. The backend gives work to one stream and waits for it once a pass; what it
 * keeps for a session is that session's timeline. */
#ifndef BENCH_CUDA_HOST_H
#define BENCH_CUDA_HOST_H

#include <cuda_runtime_api.h>

#include "backends/backend.h"
#include "launch.h"
#include "matmul.h"

/* What one session has on the device beside its own rooms, and where it stands. */
struct timeline {
    struct timeline *next;
    const float *x;           /* the session's room by which its passes are known */
    struct gpu_state *state;  /* on the device */
    struct gpu_state *staged; /* pinned: what the device's is known to be, and from where it is written */
    int known;                /* ids for which that holds; 0: the device's state may be anything */
    int32_t *chosen;          /* pinned, written by the device: [batch] */
    int32_t *parents, *staged_parents;
    float *partial, *scores; /* of attention; scores: NULL where nobody needs them */
    void *activated;         /* [rows][d_ff], where the hidden room has no place for it; else NULL */
    cudaGraphExec_t graph;   /* the decode step; NULL: not recorded */
    int nodes;
    struct pass recorded;
};

struct cuda {
    struct backend base;
    int device;
    char name[128], about[256]; /* "GPU 0 (NVIDIA H200)"; all of it, for the record */
    cudaStream_t stream;
    struct matmul *matmul;
    void *weights; /* all of the model's in one block */
    struct timeline *timelines, *now;
    const struct pass *pass; /* given, but not waited for: with `now` */
    bool recording, in_range;
    int launches;       /* of the last pass */
    struct err failure; /* the first since the last sync; code 0: none */
};

/* device.c: which GPU, and what it is. Fills name and about; ERR_ABSENT, or ERR_USAGE for a number that there is not. */
int cuda_device_choose(struct cuda *g, int device, struct err *e);

/* memory.c */
void *cuda_take(struct cuda *g, size_t bytes, struct err *e);        /* device memory, as it comes */
void *cuda_take_pinned(struct cuda *g, size_t bytes, struct err *e); /* the host's, which the device reaches */
int cuda_prepare(struct backend *b, struct weights *w, const struct model_config *c, struct err *e);
int cuda_synthesize(struct backend *b, struct weights *w, const struct model_config *c, uint64_t seed, struct err *e);
double cuda_available(struct backend *b);
void *cuda_alloc(struct backend *b, size_t bytes, struct err *e);
void cuda_release(struct backend *b, void *p, size_t bytes);
void cuda_get(struct backend *b, void *host, const void *from, size_t bytes);
void cuda_put(struct backend *b, void *to, const void *host, size_t bytes);

/* timeline.c */
int cuda_reserve(struct backend *b, const struct pass *largest, struct err *e);
void cuda_forget(struct backend *b, const struct pass *p);
struct timeline *cuda_timeline(const struct cuda *g, const struct pass *p); /* of the pass's session */
void cuda_begin(struct cuda *g, const struct pass *p); /* a pass: its timeline is now, its state is on its way */
int cuda_sync(struct backend *b, struct err *e);
int cuda_launches(const struct backend *b);

/* graph.c */
int cuda_record(struct backend *b, const struct pass *step, void (*pass)(void *ctx, int worker), void *ctx, struct err *e);
void cuda_together(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx);

/* ranges.c */
extern const struct engine_hooks cuda_ranges; /* around ops */
void cuda_range_begin(struct cuda *g, const struct pass *p);
void cuda_range_end(struct cuda *g); /* of the pass, if it has one */

/* ops.c */
void cuda_embed(struct backend *b, const struct pass *p);
void cuda_qkv(struct backend *b, const struct pass *p, int layer);
void cuda_attention(struct backend *b, const struct pass *p, int layer);
void cuda_out(struct backend *b, const struct pass *p, int layer);
void cuda_mlp(struct backend *b, const struct pass *p, int layer);
void cuda_head(struct backend *b, const struct pass *p);
void cuda_choose(struct backend *b, const struct pass *p);
void cuda_reorder(struct backend *b, const struct pass *p, const int32_t *parent, int length);

/* --- failures: the first sticks until sync reports it ------------------------------------------------------------------------
 */

/* Notes the outcome of a call: "GPU 0 (NVIDIA H200): mlp: unspecified launch failure". */
static inline void cuda_note(struct cuda *g, cudaError_t code, const char *what)
{
    if (code != cudaSuccess && g->failure.code == 0)
        err_set(&g->failure, code == cudaErrorMemoryAllocation ? ERR_MEMORY : ERR_IO, "%s: %s: %s", g->name, what,
                cudaGetErrorString(code));
}

/* The same as a function's answer. */
static inline int cuda_answer(const struct cuda *g, cudaError_t code, const char *what, struct err *e)
{
    return code == cudaSuccess ? 0 : err_set(e, ERR_IO, "%s: %s: %s", g->name, what, cudaGetErrorString(code));
}

/* What was noted, told and forgotten. */
static inline int cuda_tell(struct cuda *g, struct err *e)
{
    int code = g->failure.code;

    if (code < 0)
        err_set(e, code, "%s", g->failure.text);
    g->failure.code = 0;
    return code;
}

/* --- how a pass is computed --------------------------------------------------------------------------------------------------
 */

static inline int pass_rows(const struct pass *p)
{
    return p->batch * p->tokens;
}

/* True where the fused kernels of a decode step do it, on float32 activations. */
static inline bool pass_is_fused(const struct pass *p)
{
    return p->tokens == 1 && p->batch <= DECODE_ROWS_MAX;
}

/* Of everything between two products. */
static inline enum dtype pass_activations(const struct pass *p)
{
    return pass_is_fused(p) ? DTYPE_F32 : p->weights->embed.dtype;
}

/* Rows whose logits are wanted. */
static inline int pass_head_rows(const struct pass *p)
{
    return p->all_logits ? pass_rows(p) : p->batch;
}

static inline bool pass_writes_scores(const struct pass *p)
{
    return p->tokens > 1 && (p->attention == ATTENTION_NAIVE || !gpu_has_head_dim(p->config->head_dim));
}

/* One layer's keys and values, as the kernels know them. */
struct gpu_cache cuda_cache(const struct pass *p, int layer);

/* Where the MLP's activation goes: behind the first product where its elements have 16 bits, onto it without a gate. */
void *cuda_activated(const struct timeline *t, const struct pass *p);

#endif
