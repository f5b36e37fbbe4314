/* SPDX-License-Identifier: MIT
 * Models of any shape on the backend `cuda` or on `ref`, their rooms poisoned, and what generation makes of them. */
#ifndef BENCH_BACKEND_ROOM_H
#define BENCH_BACKEND_ROOM_H

#include "check.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "engine.h"
#include "engine_private.h"
#include "formats/source.h"

/* One way of computing. */
struct way {
    const char *backend;
    enum dtype dtype, kv_dtype;
    enum attention attention;
    enum launch launch;
    bool loaded; /* weights come from the host; else they are made where they are used */
};

struct fixture {
    struct model model;
    struct backend_ops ops;
};

static void *(*own_alloc)(struct backend *b, size_t bytes, struct err *e); /* the backend's */

static void *poisoned_alloc(struct backend *b, size_t bytes, struct err *e)
{
    void *p = own_alloc(b, bytes, e), *nans = malloc(bytes);

    assert_non_null(nans);
    memset(nans, 0xff, bytes);
    if (p)
        b->ops->put(b, p, nans, bytes);
    free(nans);
    return p;
}

static void fixture_open(struct fixture *f, const struct model_config *c, const struct way *way)
{
    struct backend_args args = {.threads = 1, .dtype = way->dtype};
    struct weights *w = &f->model.weights;
    struct err e = {0};

    *f = (struct fixture){0};
    f->model.config = *c;
    if (backend_open(&f->model.backend, way->backend, &args, &e) < 0)
        fail_msg("%s", e.text);
    f->ops = *f->model.backend->ops;
    if (f->ops.synthesize && !way->loaded) {
        assert_int_equal(weights_plan(w, c, way->dtype, &e), 0);
        assert_int_equal(f->ops.synthesize(f->model.backend, w, c, 7, &e), 0);
    } else {
        assert_int_equal(weights_alloc(w, c, way->dtype, &e), 0);
        synthetic_fill(w, c, 7);
        if (f->ops.prepare)
            assert_int_equal(f->ops.prepare(f->model.backend, w, c, &e), 0);
    }
    own_alloc = f->ops.alloc;
    f->ops.alloc = poisoned_alloc;
    f->model.backend->ops = &f->ops;
}

static void fixture_close(struct fixture *f)
{
    weights_free(&f->model.weights);
    f->model.backend->ops->close(f->model.backend);
}

static struct session *session_of(struct fixture *f, const struct session_args *a)
{
    struct session *s = NULL;
    struct err e = {0};

    if (session_open(&s, &f->model, a, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

static void prefill(struct session *s, const int32_t *prompt, int n)
{
    struct err e = {0};

    if (session_prefill(s, prompt, n, &e) < 0)
        fail_msg("%s", e.text);
}

static void decode(struct session *s)
{
    struct err e = {0};

    if (session_decode(s, &e) < 0)
        fail_msg("%s", e.text);
}

/* Sizes that the backend takes and that are nothing rounder: GPT-2's features, or LLaMA's with queries in groups of three. */
static struct model_config small_model(bool llama)
{
    struct model_config c = {
        .layers = 2,
        .d_model = llama ? 72 : 64,
        .heads = llama ? 6 : 4,
        .kv_heads = llama ? 2 : 4,
        .head_dim = llama ? 32 : 16, /* one that fast attention kernels are compiled for, and one that they are not */
        .d_ff = llama ? 88 : 136,
        .vocab = 151,
        .context = 256,
        .norm = llama ? NORM_RMS : NORM_LAYER,
        .position = llama ? POSITION_ROTARY : POSITION_LEARNED,
        .mlp = llama ? MLP_SWIGLU : MLP_GELU_TANH,
        .qkv_bias = !llama,
        .out_bias = !llama,
        .mlp_bias = !llama,
        .tied_head = !llama,
        .norm_eps = 1e-5,
        .rope_theta = 10000,
        .bos = -1,
    };

    snprintf(c.name, sizeof c.name, "small");
    snprintf(c.arch, sizeof c.arch, llama ? "llama" : "gpt2");
    return c;
}

enum { PROMPT_MOST = 16 * 100 };

/* [batch][n] tokens that are nothing in particular. */
static const int32_t *some_prompt(const struct model_config *c, int batch, int n)
{
    static int32_t prompt[PROMPT_MOST];

    assert_true(batch * n <= PROMPT_MOST);
    for (int i = 0; i < batch * n; i++)
        prompt[i] = (i * 37 + i / n * 11 + 5) % c->vocab;
    return prompt;
}

#endif
