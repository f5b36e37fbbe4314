/* SPDX-License-Identifier: MIT
 * Memory of the device, and how a model's weights come into it: in one block of the host's layout, copied or made there. */
#include "formats/source.h"

#include "cuda_host.h"
#include "text.h"

enum { MULTIPLE = 8 /* elements: 16 bytes of 16 bits */ };

static int refused(const struct cuda *g, cudaError_t code, size_t bytes, struct err *e)
{
    size_t available = 0, total = 0;
    char needed[32], left[32];

    cudaGetLastError(); /* a refusal leaves no mark on what comes after */
    if (code != cudaErrorMemoryAllocation)
        return cuda_answer(g, code, "taking memory", e);
    cudaMemGetInfo(&available, &total);
    return err_set(e, ERR_MEMORY, "%s are needed on %s, %s are free; take a smaller batch, context or dtype",
                   text_bytes(needed, sizeof needed, (double)bytes), g->name, text_bytes(left, sizeof left, (double)available));
}

void *cuda_take(struct cuda *g, size_t bytes, struct err *e)
{
    void *p = NULL;
    cudaError_t code = cudaMalloc(&p, bytes);

    if (code == cudaSuccess)
        return p;
    refused(g, code, bytes, e);
    return NULL;
}

void *cuda_take_pinned(struct cuda *g, size_t bytes, struct err *e)
{
    void *p = NULL;
    cudaError_t code = cudaHostAlloc(&p, bytes, cudaHostAllocDefault);

    if (code == cudaSuccess)
        return p;
    cudaGetLastError();
    cuda_answer(g, code, "pinned memory of the host", e);
    return NULL;
}

void *cuda_alloc(struct backend *b, size_t bytes, struct err *e)
{
    struct cuda *g = (struct cuda *)b;
    void *p = cuda_take(g, bytes, e);

    if (p)
        cuda_note(g, cudaMemsetAsync(p, 0, bytes, g->stream), "clearing memory");
    return p;
}

void cuda_release(struct backend *b, void *p, size_t bytes)
{
    (void)bytes;
    cuda_note((struct cuda *)b, cudaFree(p), "giving memory back");
}

static void copy(struct cuda *g, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t code = cudaMemcpyAsync(to, from, bytes, kind, g->stream);

    cuda_note(g, code == cudaSuccess ? cudaStreamSynchronize(g->stream) : code, "copying");
}

void cuda_get(struct backend *b, void *host, const void *from, size_t bytes)
{
    copy((struct cuda *)b, host, from, bytes, cudaMemcpyDeviceToHost);
}

void cuda_put(struct backend *b, void *to, const void *host, size_t bytes)
{
    copy((struct cuda *)b, to, host, bytes, cudaMemcpyHostToDevice);
}

double cuda_available(struct backend *b)
{
    size_t available = 0, total = 0;

    cuda_note((struct cuda *)b, cudaMemGetInfo(&available, &total), "asking for free memory");
    return (double)available;
}

/* --- weights -----------------------------------------------------------------------------------------------------------------
 */

/* The kernels read rows in pieces of 16 bytes. */
static int check_shape(const struct model_config *c, struct err *e)
{
    const struct {
        const char *name;
        int elements;
    } sizes[] = {{"d_model", c->d_model}, {"head_dim", c->head_dim}, {"d_ff", c->d_ff}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].elements % MULTIPLE != 0)
            return err_set(e, ERR_USAGE, "%s is %d; backend cuda needs a multiple of %d, take backend cpu", sizes[i].name,
                           sizes[i].elements, MULTIPLE);
    return 0;
}

static int take_block(struct cuda *g, const struct weights *w, const struct model_config *c, struct err *e)
{
    int code = check_shape(c, e);

    if (code < 0)
        return code;
    g->weights = cuda_take(g, w->bytes, e);
    return g->weights ? 0 : ERR_MEMORY;
}

int cuda_prepare(struct backend *b, struct weights *w, const struct model_config *c, struct err *e)
{
    struct cuda *g = (struct cuda *)b;
    int code = take_block(g, w, c, e);

    if (code < 0)
        return code;
    cuda_put(b, g->weights, w->pages, w->bytes);
    weights_place(w, c, w->embed.dtype, g->weights);
    return cuda_tell(g, e);
}

static int make_tensor(void *ctx, const struct matrix *m, uint64_t key, float offset, float scale)
{
    struct cuda *g = ctx;

    cuda_note(g, launch_synthesize(g->stream, m, key, offset, scale), "making weights");
    return g->failure.code;
}

int cuda_synthesize(struct backend *b, struct weights *w, const struct model_config *c, uint64_t seed, struct err *e)
{
    struct cuda *g = (struct cuda *)b;
    int code = take_block(g, w, c, e);

    if (code < 0)
        return code;
    weights_place(w, c, w->embed.dtype, g->weights);
    cuda_note(g, cudaMemsetAsync(g->weights, 0, w->bytes, g->stream), "clearing memory");
    synthetic_visit(w, c, seed, make_tensor, g);
    return cuda_sync(b, e);
}
