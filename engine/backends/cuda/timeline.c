/* SPDX-License-Identifier: MIT
 * A session on the device: the scratch that its largest pass needs, and its state (position and token ids), which lies on the
 * device so that one recorded graph replays every step. The host knows what the state is, since it wrote it or the device's
 * own choice moved it on, and writes it only where a pass wants another. */
#include <stdlib.h>
#include <string.h>

#include "cuda_host.h"

/* --- room --------------------------------------------------------------------------------------------------------------------
 */

/* Plans for every product that passes of up to the largest one's rows have cublasLt compute. */
static int prepare_products(struct cuda *g, const struct pass *p, const struct timeline *t, struct err *e)
{
    const struct layer_weights *l = &p->weights->layers[0];
    const struct matrix *head = &p->weights->head;
    enum dtype act = p->weights->embed.dtype;
    int rows = pass_rows(p), head_rows = pass_head_rows(p), code = 0;

    if (rows <= DECODE_ROWS_MAX && p->tokens == 1)
        return 0;
    code = matmul_prepare(g->matmul, &l->qkv, rows, act, false, false, p->normed, p->qkv, e);
    if (code == 0)
        code = matmul_prepare(g->matmul, &l->out, rows, DTYPE_F32, l->out_b != NULL, true, p->mixed, p->x, e);
    if (code == 0)
        code = matmul_prepare(g->matmul, &l->up, rows, act, false, false, p->normed, p->hidden, e);
    if (code == 0)
        code = matmul_prepare(g->matmul, &l->down, rows, DTYPE_F32, l->down_b != NULL, true, cuda_activated(t, p), p->x, e);
    if (code == 0 && head_rows > DECODE_ROWS_MAX)
        code = matmul_prepare(g->matmul, head, head_rows, DTYPE_F32, false, false, p->normed, p->logits, e);
    return code;
}

struct taking {
    struct cuda *g;
    int code; /* the first failure sticks, so that the list of rooms stays a plain list */
    struct err *e;
};

static void *room(struct taking *t, size_t bytes, void *(*take)(struct cuda *g, size_t bytes, struct err *e))
{
    void *p = t->code == 0 && bytes > 0 ? take(t->g, bytes, t->e) : NULL;

    if (!p && bytes > 0)
        t->code = ERR_MEMORY;
    return p;
}

static int take_scratch(struct cuda *g, struct timeline *t, const struct pass *p, struct err *e)
{
    const struct model_config *c = p->config;
    const struct gpu_cache cache = cuda_cache(p, 0);
    struct taking from = {.g = g, .e = e};
    size_t rows = (size_t)pass_rows(p), ids = rows * sizeof(int32_t), sequences = (size_t)p->batch * sizeof(int32_t);
    bool no_place = c->mlp == MLP_SWIGLU && p->weights->embed.dtype == DTYPE_F32;
    size_t scores = pass_writes_scores(p) ? rows * (size_t)c->heads * (size_t)p->kv.capacity : 0;

    t->state = room(&from, sizeof *t->state + ids, cuda_take);
    t->staged = room(&from, sizeof *t->staged + ids, cuda_take_pinned);
    t->chosen = room(&from, sequences, cuda_take_pinned);
    t->parents = room(&from, sequences, cuda_take);
    t->staged_parents = room(&from, sequences, cuda_take_pinned);
    t->partial = room(&from, gpu_partial_bytes(&cache), cuda_take);
    t->scores = room(&from, scores * sizeof *t->scores, cuda_take);
    t->activated = room(&from, no_place ? rows * (size_t)c->d_ff * sizeof(float) : 0, cuda_take);
    return from.code < 0 ? err_wrap(e, "scratch of %d x %d tokens", p->batch, p->tokens) : 0;
}

int cuda_reserve(struct backend *b, const struct pass *largest, struct err *e)
{
    struct cuda *g = (struct cuda *)b;

    if (largest->batch > GPU_SEQUENCES_MAX)
        return err_set(e, ERR_USAGE,
                       "backend cuda: %d sequences at a time, %d are the most; take a smaller batch or fewer beams",
                       largest->batch, GPU_SEQUENCES_MAX);
    struct timeline *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "backend cuda: out of memory");
    t->x = largest->x;
    t->next = g->timelines;
    g->timelines = t;
    int code = take_scratch(g, t, largest, e);
    if (code == 0)
        code = prepare_products(g, largest, t, e);
    return code < 0 ? code : cuda_sync(b, e);
}

struct timeline *cuda_timeline(const struct cuda *g, const struct pass *p)
{
    struct timeline *t = g->timelines;

    while (t && t->x != p->x)
        t = t->next;
    return t;
}

void cuda_forget(struct backend *b, const struct pass *p)
{
    struct cuda *g = (struct cuda *)b;
    struct timeline **at = &g->timelines;

    while (*at && (*at)->x != p->x)
        at = &(*at)->next;
    struct timeline *t = *at;
    if (!t)
        return;
    *at = t->next;
    if (g->now == t)
        g->now = NULL;
    if (t->graph)
        cudaGraphExecDestroy(t->graph);
    cudaFree(t->state);
    cudaFree(t->parents);
    cudaFree(t->partial);
    cudaFree(t->scores);
    cudaFree(t->activated);
    cudaFreeHost(t->staged);
    cudaFreeHost(t->chosen);
    cudaFreeHost(t->staged_parents);
    free(t);
}

/* --- state -------------------------------------------------------------------------------------------------------------------
 */

static bool is_known(const struct timeline *t, const struct pass *p, int n)
{
    return t->known >= n && t->staged->past == p->past && p->ids &&
           memcmp(t->staged->ids, p->ids, (size_t)n * sizeof *p->ids) == 0;
}

static void put_state(struct cuda *g, struct timeline *t, const struct pass *p)
{
    int n = pass_rows(p);
    size_t ids = (size_t)n * sizeof *p->ids;

    if (is_known(t, p, n))
        return;
    t->staged->past = p->past;
    if (p->ids)
        memcpy(t->staged->ids, p->ids, ids);
    else
        memset(t->staged->ids, 0, ids); /* the step that is recorded */
    t->known = n;
    cuda_note(g, cudaMemcpyAsync(t->state, t->staged, sizeof *t->staged + ids, cudaMemcpyHostToDevice, g->stream), "its state");
    g->launches++;
}

void cuda_begin(struct cuda *g, const struct pass *p)
{
    struct timeline *t = cuda_timeline(g, p);

    g->now = t;
    if (!t)
        cuda_note(g, cudaErrorInvalidValue, "a pass of a session that has reserved nothing");
    if (!t || g->recording)
        return;
    g->launches = 0;
    g->pass = p;
    put_state(g, t, p);
}

/* The device has chosen: the tokens are the session's, and the state is where the choice moved it. */
static void take_choice(struct timeline *t, const struct pass *p)
{
    size_t bytes = (size_t)p->batch * sizeof *p->chosen;

    memcpy(p->chosen, t->chosen, bytes);
    memcpy(t->staged->ids, t->chosen, bytes);
    t->staged->past = p->past + p->tokens;
    t->known = p->batch;
}

int cuda_sync(struct backend *b, struct err *e)
{
    struct cuda *g = (struct cuda *)b;
    const struct pass *p = g->pass;

    cuda_note(g, cudaStreamSynchronize(g->stream), "computing");
    if (p && g->failure.code < 0)
        g->now->known = 0;
    else if (p && p->chosen)
        take_choice(g->now, p);
    g->pass = NULL;
    cuda_range_end(g);
    return cuda_tell(g, e);
}

int cuda_launches(const struct backend *b)
{
    return ((const struct cuda *)b)->launches;
}
