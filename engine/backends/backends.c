/* SPDX-License-Identifier: MIT
 * The list of backends, and the memory functions that those on the host share. */
#include "backend.h"

#include <stdio.h>
#include <string.h>

#include "pages.h"
#include "team.h"
#include "text.h"

const struct backend_ops *const backends[] = {&backend_cpu, &backend_cuda, &backend_ref, &backend_null, NULL};

int backend_open(struct backend **out, const char *name, const struct backend_args *a, struct err *e)
{
    enum { BACKENDS_MAX = 8 };
    const char *names[BACKENDS_MAX];
    char list[128] = "";
    size_t n = 0;

    for (; backends[n] && n < BACKENDS_MAX; n++) {
        const char *before = n == 0 ? "" : backends[n + 1] ? ", " : " and ";
        names[n] = backends[n]->name;
        if (strcmp(names[n], name) == 0) {
            const char *why = backend_refusal(name, a->dtype, a->gemm, DTYPE_F32, ATTENTION_FLASH);
            int code = why ? err_set(e, ERR_USAGE, "%s", why) : backends[n]->open(out, a, e);
            if (code == 0)
                (*out)->threads = a->threads > 1 ? a->threads : 1;
            return code;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", before, names[n]);
    }
    const char *near = text_nearest(name, names, n);
    return err_set(e, ERR_USAGE, "--backend %s: no such backend%s%s%s; there are %s", name, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "", list);
}

const char *backend_refusal(const char *backend, enum dtype dtype, enum gemm gemm, enum dtype kv_dtype,
                            enum attention attention)
{
    for (size_t i = 0; backends[i]; i++)
        if (strcmp(backends[i]->name, backend) == 0 && backends[i]->refuses)
            return backends[i]->refuses(dtype, gemm, kv_dtype, attention);
    return NULL;
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

void host_put(struct backend *b, void *to, const void *host, size_t bytes)
{
    (void)b;
    memcpy(to, host, bytes);
}

const char *float32_arithmetic(const struct backend *b, enum dtype d)
{
    (void)b, (void)d;
    return "f32";
}

/* --- sequences that change places ----------------------------------------------------------------------------------------- */

struct moving {
    const struct kvcache *kv;
    const int32_t *parent;
    int length, workers;
    struct team_barrier barrier;
};

/* The worker's heads of the sequences that move, in one layer's keys or values: out of their parents' places into the spare,
 * or from there into their own. */
static void move_heads(const struct moving *m, char *to, const char *from, bool to_spare, int worker)
{
    const struct kvcache *kv = m->kv;
    size_t kept = dtype_bytes(kv->dtype, (size_t)m->length * (size_t)kv->head_dim);
    int first, last;

    team_share(kv->batch * kv->kv_heads, 1, worker, m->workers, &first, &last);
    for (int i = first; i < last; i++) {
        int sequence = i / kv->kv_heads, head = i % kv->kv_heads, parent = m->parent[sequence];
        size_t mine = dtype_bytes(kv->dtype, kvcache_head(kv, 0, sequence, head));
        size_t theirs = dtype_bytes(kv->dtype, kvcache_head(kv, 0, parent, head));
        if (parent != sequence)
            memcpy(to + mine, from + (to_spare ? theirs : mine), kept);
    }
}

/* Nobody writes a place before all have read theirs. The spare needs no such care: each place in it is one worker's. */
static void move_layers(void *ctx, int worker)
{
    struct moving *m = ctx;

    for (int layer = 0; layer < m->kv->layers; layer++)
        for (int values = 0; values < 2; values++) {
            size_t at = dtype_bytes(m->kv->dtype, kvcache_head(m->kv, layer, 0, 0));
            char *part = (char *)(values ? m->kv->v : m->kv->k) + at;
            move_heads(m, m->kv->spare, part, true, worker);
            team_wait(&m->barrier, m->workers);
            move_heads(m, part, m->kv->spare, false, worker);
        }
}

void host_reorder(struct backend *b, const struct pass *p, const int32_t *parent, int length)
{
    struct moving m = {.kv = &p->kv, .parent = parent, .length = length, .workers = p->threads};
    bool moves = false;

    (void)b;
    for (int i = 0; i < p->kv.batch; i++)
        moves |= parent[i] != i;
    if (moves && p->kv.kept)
        team_run(m.workers, move_layers, &m);
}
