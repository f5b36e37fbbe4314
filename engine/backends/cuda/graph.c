/* SPDX-License-Identifier: MIT
 * The decode step of a session, recorded once and replayed: one call gives the device all of its kernels. */
#include "cuda_host.h"

static int record_graph(struct cuda *g, cudaGraph_t *graph, void (*pass)(void *ctx, int worker), void *ctx, struct err *e)
{
    /* Of this thread: what others do meanwhile does not spoil it. */
    int code = cuda_answer(g, cudaStreamBeginCapture(g->stream, cudaStreamCaptureModeThreadLocal), "recording", e);

    if (code < 0)
        return code;
    g->recording = true;
    pass(ctx, 0);
    g->recording = false;
    cuda_note(g, cudaStreamEndCapture(g->stream, graph), "recording");
    return cuda_tell(g, e);
}

static int make_ready(struct cuda *g, struct timeline *t, cudaGraph_t graph, struct err *e)
{
    size_t nodes = 0;
    int code = cuda_answer(g, cudaGraphGetNodes(graph, NULL, &nodes), "counting what was recorded", e);

    if (code == 0)
        code = cuda_answer(g, cudaGraphInstantiate(&t->graph, graph, 0), "making the graph", e);
    if (code == 0)
        code = cuda_answer(g, cudaGraphUpload(t->graph, g->stream), "uploading the graph", e);
    t->nodes = (int)nodes;
    return code;
}

int cuda_record(struct backend *b, const struct pass *step, void (*pass)(void *ctx, int worker), void *ctx, struct err *e)
{
    struct cuda *g = (struct cuda *)b;
    cudaGraph_t graph = NULL;

    pass(ctx, 0); /* as it is: what a first launch loads cannot be loaded while recording */
    int code = cuda_sync(b, e);
    if (code < 0)
        return code;
    g->now->recorded = *step;
    code = record_graph(g, &graph, pass, ctx, e);
    if (code == 0)
        code = make_ready(g, g->now, graph, e);
    if (graph)
        cudaGraphDestroy(graph);
    return code < 0 ? err_wrap(e, "the decode step as a graph") : cuda_sync(b, e);
}

/* What the recording holds, and what may differ between passes of a session. */
static bool is_recorded(const struct timeline *t, const struct pass *p)
{
    const struct pass *r = &t->recorded;

    return t->graph && p->launch == LAUNCH_GRAPH && p->tokens == 1 && p->batch == r->batch && p->attention == r->attention &&
           !p->chosen == !r->chosen && p->all_logits == r->all_logits && p->kv.k == r->kv.k && p->kv.kept == r->kv.kept;
}

void cuda_together(struct backend *b, const struct pass *p, void (*pass)(void *ctx, int worker), void *ctx)
{
    struct cuda *g = (struct cuda *)b;
    const struct timeline *t = cuda_timeline(g, p);

    cuda_range_begin(g, p);
    if (!t || !is_recorded(t, p)) {
        pass(ctx, 0);
        return;
    }
    cuda_begin(g, p);
    cuda_note(g, cudaGraphLaunch(t->graph, g->stream), "replaying the decode step");
    g->launches += t->nodes;
}
