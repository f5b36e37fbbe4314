/* SPDX-License-Identifier: MIT
 * Computes nothing: it carries the tests of everything around a backend, and shows what that everything costs. The chosen
 * token is the length of the sequence so far, so that runs with and without a cache agree as they must. */
#include "backend.h"

#include <stdio.h>
#include <stdlib.h>

static int null_open(struct backend **out, const struct backend_args *a, struct err *e)
{
    struct backend *b = malloc(sizeof *b);

    (void)a;
    if (!b)
        return err_set(e, ERR_MEMORY, "null backend: out of memory");
    b->ops = &backend_null;
    *out = b;
    return 0;
}

static void null_close(struct backend *b)
{
    free(b);
}

static void null_describe(const struct backend *b, char *buf, size_t size)
{
    (void)b;
    snprintf(buf, size, "no computation");
}

static int null_reserve(struct backend *b, const struct pass *largest, struct err *e)
{
    (void)b, (void)largest, (void)e;
    return 0;
}

static void null_pass(struct backend *b, const struct pass *p)
{
    (void)b, (void)p;
}

static void null_layer(struct backend *b, const struct pass *p, int layer)
{
    (void)b, (void)p, (void)layer;
}

static void null_choose(struct backend *b, const struct pass *p)
{
    (void)b;
    for (int s = 0; s < p->batch; s++)
        p->chosen[s] = (p->past + p->tokens) % p->config->vocab;
}

static int null_sync(struct backend *b, struct err *e)
{
    (void)b, (void)e;
    return 0;
}

const struct backend_ops backend_null = {
    .name = "null",
    .about = "computes nothing; for tests and for the cost of everything else",
    .open = null_open,
    .close = null_close,
    .arithmetic = float32_arithmetic,
    .attention_arithmetic = float32_arithmetic,
    .describe = null_describe,
    .reserve = null_reserve,
    .alloc = host_alloc,
    .release = host_release,
    .get = host_get,
    .put = host_put,
    .embed = null_pass,
    .qkv = null_layer,
    .attention = null_layer,
    .out = null_layer,
    .mlp = null_layer,
    .head = null_pass,
    .choose = null_choose,
    .sync = null_sync,
    .reorder = host_reorder,
};
