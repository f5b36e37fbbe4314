/* SPDX-License-Identifier: MIT
 * Opening a model: config, weights, tokenizer, backend, in that order, each timed for the record. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backends/backend.h"
#include "clock.h"
#include "engine.h"
#include "engine_private.h"
#include "formats/formats.h"
#include "tokenizer/tokenizer.h"

static bool is_folder(const char *source)
{
    struct stat st;

    return strchr(source, '/') || (stat(source, &st) == 0 && S_ISDIR(st.st_mode));
}

static int load_weights(struct model *m, const struct model_args *a, struct err *e)
{
    uint64_t start = clock_ns();
    bool folder = is_folder(a->source);
    int code = folder ? hf_read_config(&m->config, a->source, e) : config_preset(&m->config, a->source, e);

    if (code < 0)
        return folder ? code : err_wrap(e, "model '%s'", a->source);
    m->info.parameters = config_parameters(&m->config);
    m->info.weight_bytes = m->info.parameters * sizeof(float);
    if (a->plan_only)
        return 0;
    code = weights_alloc(&m->weights, &m->config, e);
    if (code < 0)
        return err_wrap(e, "%s: weights", m->config.name);
    if (folder)
        code = hf_read_weights(&m->weights, &m->config, a->source, e);
    else
        synthetic_fill(&m->weights, &m->config, a->seed);
    if (code < 0)
        return code;
    if (folder)
        snprintf(m->info.weights, sizeof m->info.weights, "%s", a->source);
    else
        snprintf(m->info.weights, sizeof m->info.weights, "synthetic, seed %llu", (unsigned long long)a->seed);
    snprintf(m->info.dtype, sizeof m->info.dtype, "float32");
    m->info.load_ns = clock_ns() - start;
    return 0;
}

enum { GPT2_VOCAB = 50257 };

/* A model without a tokenizer still runs on token ids: absence is noted, anything else is an error. */
static int load_tokenizer(struct model *m, const struct model_args *a, struct err *e)
{
    uint64_t start = clock_ns();
    int code;

    if (is_folder(a->source))
        code = tokenizer_open_dir(&m->tokenizer, a->source, e);
    else if (m->config.vocab == GPT2_VOCAB)
        code = tokenizer_open_gpt2(&m->tokenizer, e);
    else
        code = err_set(e, ERR_ABSENT, "preset %s comes without a tokenizer", m->config.name);
    m->info.tokenizer_ns = clock_ns() - start;
    if (code < 0 && code != ERR_ABSENT)
        return code;
    if (m->tokenizer && tokenizer_vocab(m->tokenizer) > m->config.vocab)
        return err_set(e, ERR_FORMAT, "%s: the tokenizer has %d tokens, the model's vocab_size is %d", a->source,
                       tokenizer_vocab(m->tokenizer), m->config.vocab);
    snprintf(m->info.tokenizer, sizeof m->info.tokenizer, "%s%s",
             m->tokenizer ? "" : "none: ", m->tokenizer ? tokenizer_about(m->tokenizer) : e->text);
    return 0;
}

int model_open(struct model **out, const struct model_args *a, struct err *e)
{
    struct model *m = calloc(1, sizeof *m);
    struct backend_args backend = {.threads = a->threads};
    int code;

    if (!m)
        return err_set(e, ERR_MEMORY, "model '%s': out of memory", a->source);
    code = backend_open(&m->backend, a->backend, &backend, e);
    if (code < 0)
        goto fail;
    m->backend->ops->describe(m->backend, m->info.backend_about, sizeof m->info.backend_about);
    code = load_weights(m, a, e);
    if (code < 0)
        goto fail;
    code = load_tokenizer(m, a, e);
    if (code < 0)
        goto fail;
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

int model_tokenize(const struct model *m, const char *text, int32_t **ids, size_t *n, struct err *e)
{
    if (!m->tokenizer)
        return err_set(e, ERR_ABSENT, "the model has no tokenizer (%s)", m->info.tokenizer);
    return tokenizer_encode(m->tokenizer, text, strlen(text), ids, n, e);
}

void model_token_text(const struct model *m, int32_t id, struct text *out)
{
    if (!m->tokenizer || tokenizer_decode(m->tokenizer, id, out, NULL) < 0)
        text_printf(out, "<%d>", (int)id);
}
