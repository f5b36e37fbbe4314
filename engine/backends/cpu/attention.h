/* SPDX-License-Identifier: MIT
 * Attention of one layer over the cache, shared out over the workers of a pass. */
#ifndef BENCH_CPU_ATTENTION_H
#define BENCH_CPU_ATTENTION_H

#include "backends/cpu/cpu.h"

/* Queries that share a key/value head are its rows: token by token, within a token the heads of the group. A task is a block of
 * at most ATTENTION_ROWS of them against a stretch of positions, from..to-1. */
enum { ATTENTION_ROWS = 64 };

struct attention_task {
    const float *q;    /* of the pass's first token of the sequence, the group's first head */
    size_t q_stride;   /* floats from one token's to the next one's */
    const void *k, *v; /* position 0 of the head's history */
    int head_dim, group;
    int first, rows;  /* row r is token r / group, head r % group of the group */
    int tokens, past; /* token t of `tokens` stands at position past + t */
    int window;       /* positions that a token sees at most, itself included */
    int from, to;
    float scale;
};

/* What a task leaves behind, in floats: the largest score of each row, the sum of e^(score - largest), and the values weighted
 * by these: max[ATTENTION_ROWS], sum[ATTENTION_ROWS], out[ATTENTION_ROWS][attention_width]. Parts over different positions can
 * be merged. */
enum { ATTENTION_OUT = 2 * ATTENTION_ROWS };

static inline int attention_width(int head_dim)
{
    return (head_dim + 31) / 32 * 32; /* a multiple of every level's tile */
}

/* attention_kernels.c's table: one for each dtype of the cache (f32, f16, bf16) and level. */
struct cpu_attention {
    const char *arithmetic;                             /* of blocks of many queries: "f32" or "bf16" */
    void (*encode)(void *to, const float *from, int n); /* as dtype_encode does */
    size_t (*room)(int head_dim);                       /* floats that attend works in, aligned to 64 bytes as the part is */
    void (*attend)(const struct attention_task *t, float *part, float *room);
    void (*merge)(float *part, const float *other, int rows, int head_dim);
    void (*finish)(float *to, const float *part, int row, int head_dim); /* a row's result: its values over its sum */
};

/* Room that attention needs for the largest pass of a session (into c->attention); before the measured path. ERR_USAGE where
 * the variant cannot use the cache's dtype. */
int attention_reserve(struct cpu *c, const struct pass *largest, struct err *e);

/* What the rows first..last-1 of p->qkv have become, keys rotated, into the cache: k and v of all kv heads. By any worker. */
void attention_append(const struct cpu *c, const struct pass *p, int layer, int first, int last);

/* This worker's part of p->mixed = softmax(q K / sqrt(head_dim)) V, causal, windowed where the config says so; called by every
 * worker of the pass. On return p->mixed is complete (it ends with a meeting of the workers). */
void attention_run(const struct cpu *c, const struct pass *p, int layer, int worker);

#endif
