/* SPDX-License-Identifier: MIT
 * Generation for people: a session run until something says stop. What is measured goes through sessions directly; this adds
 * stop conditions and text. */
#ifndef BENCH_GENERATE_H
#define BENCH_GENERATE_H

#include "engine.h"

enum stop_reason { STOP_LENGTH, STOP_EOS, STOP_TEXT };
const char *stop_reason_name(enum stop_reason r); /* "max_new_tokens", "eos", "stop text" */

struct generate_args {
    struct sampling sampling;
    int max_new_tokens;      /* >= 1 */
    bool ignore_eos;         /* benchmarks: always max_new_tokens */
    const char *const *stop; /* texts that end generation, NULL-terminated, or NULL; they are not part of the result */
    struct engine_hooks hooks;
    /* Called after prefill (step 0) and each decode step, outside the measured calls; a non-zero return stops with
     * ERR_INTERRUPTED. NULL: not called. With beams the token is the best beam's latest. */
    int (*step)(void *ctx, struct session *s, int step, uint64_t wall_ns);
    /* Called with text as soon as no stop text can begin in it any more (never with beams before the end). NULL: not. */
    void (*text)(void *ctx, const char *bytes, size_t n);
    void *ctx;
};

struct generated {
    int32_t *ids; /* generated tokens, EOS included; owned */
    int count;
    struct text text; /* without EOS, special tokens and stop text */
    enum stop_reason why;
    uint64_t prefill_ns, decode_ns; /* of the session calls alone */
    int steps;                      /* decode steps run */
};

/* prompt: n ids. ERR_USAGE where prompt and new tokens exceed the model's context. Free the result also after an error. */
int generate(struct generated *out, struct model *m, const int32_t *prompt, int n, const struct generate_args *a,
             struct err *e);
void generated_free(struct generated *g);

#endif
