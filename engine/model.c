/* SPDX-License-Identifier: MIT
 * Opening a model: backend, config, weights, tokenizer, in that order; the last two are timed for the record. Packing the
 * weights for the backend is part of loading them. */
#include "model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "clock.h"
#include "engine.h"
#include "engine_private.h"
#include "formats/source.h"

/* The kernel's mark of the largest resident size goes back to the present one; where that is refused the mark stays. */
static void reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    ssize_t written = fd >= 0 ? write(fd, "5", 1) : 0;
    (void)written;
    if (fd >= 0)
        close(fd);
}

static uint64_t peak_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "re");

    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib * 1024;
}

/* Refused even where nothing is to be loaded. The plan is the weights' layout without the memory. */
static int check_dtype(const struct model *m, const struct model_args *a, struct err *e)
{
    struct weights plan;
    int code = weights_plan(&plan, &m->config, a->dtype, e);

    weights_free(&plan);
    if (code == 0 && a->gemm == GEMM_OPENBLAS && a->dtype != DTYPE_F32)
        code = err_set(e, ERR_USAGE, "gemm openblas multiplies float32 weights only; for dtype %s take gemm own",
                       dtype_full_name(a->dtype));
    return code < 0 ? err_wrap(e, "%s", m->config.name) : 0;
}

/* What is known before any weight is read. */
static void describe(struct model *m, const struct model_args *a)
{
    const struct source *s = m->source;
    const struct backend_ops *ops = m->backend->ops;

    m->info.parameters = config_parameters(&m->config);
    m->info.weight_bytes = weights_bytes(&m->config, a->dtype);
    m->info.stored_bytes = s->bytes;
    m->info.on_device = ops->launches != NULL;
    snprintf(m->info.format, sizeof m->info.format, "%s", s->ops->name);
    snprintf(m->info.weights, sizeof m->info.weights, "%s", s->about);
    snprintf(m->info.dtype, sizeof m->info.dtype, "%s", dtype_full_name(a->dtype));
    snprintf(m->info.arithmetic, sizeof m->info.arithmetic, "%s", ops->arithmetic(m->backend, a->dtype));
    source_dtypes(s, m->info.stored, sizeof m->info.stored);
}

/* Made where they are used, if that can be; else read into the host's memory and given to the backend. */
static int take_weights(struct model *m, const struct model_args *a, struct err *e)
{
    struct source *s = m->source;
    struct backend *b = m->backend;
    bool made_in_place = s->ops == &source_preset && b->ops->synthesize;
    int code = (made_in_place ? weights_plan : weights_alloc)(&m->weights, &m->config, a->dtype, e);

    if (code < 0)
        return err_wrap(e, "%s: weights", m->config.name);
    m->weights.rope_factors = s->rope_factors;
    s->rope_factors = NULL;
    if (!made_in_place) {
        code = s->ops->read(s, &m->weights, e);
        if (code < 0 || !b->ops->prepare)
            return code;
    }
    code = made_in_place ? b->ops->synthesize(b, &m->weights, &m->config, a->seed, e)
                         : b->ops->prepare(b, &m->weights, &m->config, e);
    return code < 0 ? err_wrap(e, "%s: weights", m->config.name) : 0;
}

static int load_weights(struct model *m, const struct model_args *a, struct err *e)
{
    uint64_t start = clock_ns();
    int code = source_open(&m->source, a->source, a->seed, e);

    if (code < 0)
        return code;
    struct source *s = m->source;
    m->config = s->config;
    code = check_dtype(m, a, e);
    if (code < 0)
        return code;
    describe(m, a);
    if (a->plan_only)
        return 0;
    code = take_weights(m, a, e);
    m->info.load_ns = clock_ns() - start;
    return code;
}

/* A model without a tokenizer still runs on token ids: absence is noted, anything else is an error. */
static int load_tokenizer(struct model *m, struct err *e)
{
    struct err why = {0};
    uint64_t start = clock_ns();
    int code = m->source->ops->tokenizer(m->source, &m->tokenizer, &why);

    m->info.tokenizer_ns = clock_ns() - start;
    if (code < 0 && code != ERR_ABSENT)
        return err_set(e, code, "%s", why.text);
    snprintf(m->info.tokenizer, sizeof m->info.tokenizer, "%s%s",
             m->tokenizer ? "" : "none: ", m->tokenizer ? tokenizer_about(m->tokenizer) : why.text);
    return 0;
}

int model_open(struct model **out, const struct model_args *a, struct err *e)
{
    struct model *m = calloc(1, sizeof *m);
    struct backend_args backend = {.threads = a->threads, .device = a->device, .gemm = a->gemm, .dtype = a->dtype};
    int code;

    if (!m)
        return err_set(e, ERR_MEMORY, "model '%s': out of memory", a->source);
    code = backend_open(&m->backend, a->backend, &backend, e);
    if (code < 0)
        goto fail;
    m->backend->ops->describe(m->backend, m->info.backend_about, sizeof m->info.backend_about);
    reset_peak();
    code = load_weights(m, a, e);
    if (code < 0)
        goto fail;
    code = load_tokenizer(m, e);
    if (code < 0)
        goto fail;
    m->info.peak_bytes = peak_bytes();
    *out = m;
    return 0;
fail:
    model_close(m);
    return code;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    tokenizer_close(m->tokenizer);
    weights_free(&m->weights);
    source_close(m->source);
    if (m->backend)
        m->backend->ops->close(m->backend);
    free(m);
}

const struct model_config *model_config(const struct model *m)
{
    return &m->config;
}

const struct model_info *model_info(const struct model *m)
{
    return &m->info;
}

const char *model_attention_arithmetic(const struct model *m, enum dtype kv_dtype)
{
    return m->backend->ops->attention_arithmetic(m->backend, kv_dtype);
}

double model_available_bytes(const struct model *m)
{
    const struct backend_ops *ops = m->backend->ops;

    return ops->available ? ops->available(m->backend) : 0;
}

const char *model_file(const struct model *m, int i)
{
    return m->source->ops->file(m->source, i);
}

int model_tokenize(const struct model *m, const char *text, int32_t **ids, size_t *n, struct err *e)
{
    if (!m->tokenizer)
        return err_set(e, ERR_ABSENT, "the model has no tokenizer (%s)", m->info.tokenizer);
    return tokenizer_encode_prompt(m->tokenizer, text, strlen(text), ids, n, e);
}

void model_token_text(const struct model *m, int32_t id, struct text *out)
{
    if (!m->tokenizer || tokenizer_decode(m->tokenizer, id, out, NULL) < 0)
        text_printf(out, "<%d>", (int)id);
}

void model_text(const struct model *m, const int32_t *ids, int n, struct text *out)
{
    if (m->tokenizer)
        tokenizer_text(m->tokenizer, ids, (size_t)n, out);
    for (int i = 0; !m->tokenizer && i < n; i++)
        text_printf(out, "<%d>", (int)ids[i]);
}
