/* SPDX-License-Identifier: MIT
 * The numbers of a model: published presets, the limits that every config must keep, and what follows from the shapes. The
 * limits are far above any model in use and low enough that no product of shapes in the engine leaves its type. */
#include "config.h"

#include <math.h>
#include <string.h>

#include "text.h"

struct limit {
    size_t field; /* offset of an int in struct model_config */
    int least, most;
    const char *gpt2_key, *llama_key; /* what config.json calls it */
};

enum { PRESETS = 9, LIMITS = 8 };
static const struct limit limits[LIMITS];
static const struct model_config presets[PRESETS];

int config_preset(struct model_config *out, const char *name, struct err *e)
{
    for (int i = 0; i < PRESETS; i++) {
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i];
            return 0;
        }
    }
    const char *nearest = text_nearest(name, config_presets, PRESETS);
    if (nearest)
        return err_set(e, ERR_USAGE, "no preset '%s'; did you mean '%s'?", name, nearest);

    struct text all = {0};
    for (int i = 0; i < PRESETS; i++)
        text_printf(&all, "%s%s", i ? ", " : "", config_presets[i]);
    int code = err_set(e, ERR_USAGE, "no preset '%s'; there are %s; a folder is named with a '/'", name, all.data);
    text_free(&all);
    return code;
}

static int check_rotary(const struct model_config *c, struct err *e)
{
    const struct rope_scaling *r = &c->rope;

    if (c->head_dim % 2)
        return err_set(e, ERR_FORMAT, "head_dim %d: expected an even number for rotary positions", c->head_dim);
    if (!(c->rope_theta > 0) || !isfinite(c->rope_theta))
        return err_set(e, ERR_FORMAT, "rope_theta %g: expected a positive number", c->rope_theta);
    if (r->kind == ROPE_PLAIN)
        return 0;
    if (!(r->factor >= 1) || !isfinite(r->factor))
        return err_set(e, ERR_FORMAT, "rope_scaling.factor %g: expected 1 or more", r->factor);
    if (r->kind != ROPE_LLAMA3)
        return 0;
    if (!(r->low_freq_factor > 0) || !(r->high_freq_factor > r->low_freq_factor) || !isfinite(r->high_freq_factor))
        return err_set(e, ERR_FORMAT, "rope_scaling.low_freq_factor %g, high_freq_factor %g: expected 0 < low < high",
                       r->low_freq_factor, r->high_freq_factor);
    if (r->original_context < 1 || r->original_context > c->context)
        return err_set(e, ERR_FORMAT,
                       "rope_scaling.original_max_position_embeddings %d: expected 1 to max_position_embeddings (%d)",
                       r->original_context, c->context);
    return 0;
}

static int check_tokens(const struct model_config *c, struct err *e)
{
    if (c->bos < -1 || c->bos >= c->vocab)
        return err_set(e, ERR_FORMAT, "bos_token_id %d: expected an id below vocab_size (%d)", c->bos, c->vocab);
    if (c->eos_count < 0 || c->eos_count > EOS_MAX)
        return err_set(e, ERR_FORMAT, "eos_token_id: expected at most %d ids", EOS_MAX);
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos[i] < 0 || c->eos[i] >= c->vocab)
            return err_set(e, ERR_FORMAT, "eos_token_id %d: expected an id below vocab_size (%d)", (int)c->eos[i], c->vocab);
    return 0;
}

static int check_window(const struct model_config *c, struct err *e)
{
    if (c->window < 0 || c->window_first < 0)
        return err_set(e, ERR_FORMAT, "sliding_window %d from layer %d: expected positive numbers", c->window, c->window_first);
    return 0;
}

int config_check(const struct model_config *c, struct err *e)
{
    bool gpt2 = c->position == POSITION_LEARNED;
    int code;

    for (int i = 0; i < LIMITS; i++) {
        const struct limit *l = &limits[i];
        int value;
        memcpy(&value, (const char *)c + l->field, sizeof value);
        if (value < l->least || value > l->most)
            return err_set(e, ERR_FORMAT, "%s %d: expected %d to %d", gpt2 ? l->gpt2_key : l->llama_key, value, l->least,
                           l->most);
    }
    if (c->heads % c->kv_heads)
        return err_set(e, ERR_FORMAT, "num_key_value_heads %d: expected a divisor of num_attention_heads (%d)", c->kv_heads,
                       c->heads);
    if (!(c->norm_eps > 0) || !isfinite(c->norm_eps))
        return err_set(e, ERR_FORMAT, "%s %g: expected a positive number", gpt2 ? "layer_norm_epsilon" : "rms_norm_eps",
                       c->norm_eps);
    code = gpt2 ? 0 : check_rotary(c, e);
    if (code == 0)
        code = check_window(c, e);
    if (code == 0)
        code = check_tokens(c, e);
    return code;
}

uint64_t config_parameters(const struct model_config *c)
{
    uint64_t d = (uint64_t)c->d_model, ff = (uint64_t)c->d_ff, q = (uint64_t)c->heads * (uint64_t)c->head_dim;
    uint64_t qkv = q + 2 * (uint64_t)c->kv_heads * (uint64_t)c->head_dim;
    uint64_t up = (c->mlp == MLP_SWIGLU ? 2 : 1) * ff, norm = (c->norm == NORM_LAYER ? 2 : 1) * d;
    uint64_t layer = qkv * d + d * q + up * d + d * ff + 2 * norm;

    layer += (c->qkv_bias ? qkv : 0) + (c->out_bias ? d : 0) + (c->mlp_bias ? up + d : 0);
    return (uint64_t)c->layers * layer + norm + (uint64_t)c->vocab * d * (c->tied_head ? 1 : 2) +
           (c->position == POSITION_LEARNED ? (uint64_t)c->context * d : 0);
}

int config_visible(const struct model_config *c, int layer, int seen)
{
    bool limited = c->window > 0 && layer >= c->window_first;

    return limited && seen > c->window ? c->window : seen;
}

uint64_t config_kv_bytes(const struct model_config *c, int batch, int tokens, int element_bytes)
{
    uint64_t per_token = 2 * (uint64_t)c->layers * (uint64_t)c->kv_heads * (uint64_t)c->head_dim * (uint64_t)element_bytes;
    uint64_t bytes;

    /* A caller's absurd batch must look too large, never wrap round to something small. */
    if (__builtin_mul_overflow(per_token, (uint64_t)batch * (uint64_t)tokens, &bytes))
        return UINT64_MAX;
    return bytes;
}

/* A width of 1 is refused so that a one-column matrix is never confused with a vector. */
static const struct limit limits[LIMITS] = {
    {offsetof(struct model_config, layers), 1, 1024, "n_layer", "num_hidden_layers"},
    {offsetof(struct model_config, d_model), 2, 65536, "n_embd", "hidden_size"},
    {offsetof(struct model_config, heads), 1, 1024, "n_head", "num_attention_heads"},
    {offsetof(struct model_config, kv_heads), 1, 1024, "n_head", "num_key_value_heads"},
    {offsetof(struct model_config, head_dim), 2, HEAD_DIM_MAX, "n_embd / n_head", "head_dim"},
    {offsetof(struct model_config, d_ff), 2, 1 << 20, "n_inner", "intermediate_size"},
    {offsetof(struct model_config, vocab), 2, 1 << 24, "vocab_size", "vocab_size"},
    {offsetof(struct model_config, context), 1, 1 << 24, "n_positions", "max_position_embeddings"},
};

/* What the two families have in common. */
#define GPT2_FEATURES                                                                                                          \
    .arch = "gpt2", .norm = NORM_LAYER, .position = POSITION_LEARNED, .mlp = MLP_GELU_TANH, .qkv_bias = true,                  \
    .out_bias = true, .mlp_bias = true, .tied_head = true, .norm_eps = 1e-5, .vocab = 50257, .bos = 50256, .eos = {50256},     \
    .eos_count = 1
#define LLAMA_FEATURES .arch = "llama", .norm = NORM_RMS, .position = POSITION_ROTARY, .mlp = MLP_SWIGLU, .norm_eps = 1e-5

static const struct model_config presets[PRESETS] = {
    {
        .name = "distilgpt2",
        .layers = 6,
        .d_model = 768,
        .heads = 12,
        .kv_heads = 12,
        .head_dim = 64,
        .d_ff = 3072,
        .context = 1024,
        GPT2_FEATURES,
    },
    {
        .name = "gpt2",
        .layers = 12,
        .d_model = 768,
        .heads = 12,
        .kv_heads = 12,
        .head_dim = 64,
        .d_ff = 3072,
        .context = 1024,
        GPT2_FEATURES,
    },
    {
        .name = "smollm2-135m",
        .layers = 30,
        .d_model = 576,
        .heads = 9,
        .kv_heads = 3,
        .head_dim = 64,
        .d_ff = 1536,
        .vocab = 49152,
        .context = 8192,
        .rope_theta = 100000,
        .tied_head = true,
        .bos = 0,
        .eos = {0},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
    {
        .name = "tinyllama-1.1b",
        .layers = 22,
        .d_model = 2048,
        .heads = 32,
        .kv_heads = 4,
        .head_dim = 64,
        .d_ff = 5632,
        .vocab = 32000,
        .context = 2048,
        .rope_theta = 10000,
        .bos = 1,
        .eos = {2},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
    {
        .name = "llama-2-7b",
        .layers = 32,
        .d_model = 4096,
        .heads = 32,
        .kv_heads = 32,
        .head_dim = 128,
        .d_ff = 11008,
        .vocab = 32000,
        .context = 4096,
        .rope_theta = 10000,
        .bos = 1,
        .eos = {2},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
    {
        .name = "chinese-llama-2-7b",
        .layers = 32,
        .d_model = 4096,
        .heads = 32,
        .kv_heads = 32,
        .head_dim = 128,
        .d_ff = 11008,
        .vocab = 40076,
        .context = 4096,
        .rope_theta = 10000,
        .bos = 1,
        .eos = {2},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
    {
        .name = "llama-3-8b",
        .layers = 32,
        .d_model = 4096,
        .heads = 32,
        .kv_heads = 8,
        .head_dim = 128,
        .d_ff = 14336,
        .vocab = 128256,
        .context = 8192,
        .rope_theta = 500000,
        .bos = 128000,
        .eos = {128001},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
    /* For tests: small enough to run in milliseconds, with GPT-2's vocabulary so that its tokenizer fits ... */
    {
        .name = "tiny-gpt2",
        .layers = 2,
        .d_model = 64,
        .heads = 4,
        .kv_heads = 4,
        .head_dim = 16,
        .d_ff = 256,
        .context = 1024,
        GPT2_FEATURES,
    },
    /* ... and with sizes that are multiples of nothing convenient, heads in groups of three. */
    {
        .name = "tiny-llama",
        .layers = 3,
        .d_model = 60,
        .heads = 6,
        .kv_heads = 2,
        .head_dim = 10,
        .d_ff = 157,
        .vocab = 431,
        .context = 1000,
        .rope_theta = 10000,
        .bos = 1,
        .eos = {2},
        .eos_count = 1,
        LLAMA_FEATURES,
    },
};

const char *const config_presets[] = {
    presets[0].name, presets[1].name, presets[2].name, presets[3].name, presets[4].name,
    presets[5].name, presets[6].name, presets[7].name, presets[8].name, NULL,
};
