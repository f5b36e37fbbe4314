/* SPDX-License-Identifier: MIT
 * The list of backends, and the memory functions that those on the host share. */
#include "backend.h"

#include <stdio.h>
#include <string.h>

#include "pages.h"
#include "text.h"

const struct backend_ops *const backends[] = {&backend_cpu, &backend_ref, &backend_null, NULL};
int backend_open(struct backend **out, const char *name, const struct backend_args *a, struct err *e)
{
    enum { BACKENDS_MAX = 8 };
    const char *names[BACKENDS_MAX];
    char list[128] = "";
    size_t n = 0;

    for (; backends[n] && n < BACKENDS_MAX; n++) {
        const char *before = n == 0 ? "" : backends[n + 1] ? ", " : " and ";
        names[n] = backends[n]->name;
        if (strcmp(names[n], name) == 0)
            return backends[n]->open(out, a, e);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", before, names[n]);
    }
    const char *near = text_nearest(name, names, n);
    return err_set(e, ERR_USAGE, "--backend %s: no such backend%s%s%s; there are %s", name, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "", list);
}

void *host_alloc(struct backend *b, size_t bytes, struct err *e)
{
    void *p = pages_alloc(bytes, e);

    (void)b;
    if (p)
        memset(p, 0, bytes); /* touched here, so that no step meets a page for the first time */
    return p;
}

void host_release(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    pages_free(p, bytes);
}

void host_get(struct backend *b, void *host, const void *from, size_t bytes)
{
    (void)b;
    memcpy(host, from, bytes);
}

/* All heads of the sequences that move: out of their parents' places into the spare, then back into their own. */
static void copy_sequences(float *to, const float *from, const struct kvcache *kv, const int32_t *parent, int length,
                           bool to_spare)
{
    size_t head = (size_t)kv->capacity * (size_t)kv->head_dim, kept = (size_t)length * (size_t)kv->head_dim;

#pragma omp parallel for schedule(static) collapse(2)
    for (int i = 0; i < kv->batch; i++)
        for (int h = 0; h < kv->kv_heads; h++) {
            size_t mine = ((size_t)i * (size_t)kv->kv_heads + (size_t)h) * head;
            size_t theirs = ((size_t)parent[i] * (size_t)kv->kv_heads + (size_t)h) * head;
            if (parent[i] != i)
                memcpy(to + mine, from + (to_spare ? theirs : mine), kept * sizeof *to);
        }
}

void host_reorder(struct backend *b, const struct kvcache *kv, const int32_t *parent, int length)
{
    bool moves = false;

    (void)b;
    for (int i = 0; i < kv->batch; i++)
        moves |= parent[i] != i;
    for (int layer = 0; moves && kv->kept && layer < kv->layers; layer++) {
        float *both[] = {kv->k + kvcache_head(kv, layer, 0, 0), kv->v + kvcache_head(kv, layer, 0, 0)};
        for (int i = 0; i < 2; i++) {
            copy_sequences(kv->spare, both[i], kv, parent, length, true);
            copy_sequences(both[i], kv->spare, kv, parent, length, false);
        }
    }
}
