/* SPDX-License-Identifier: MIT
 * config.json and generation_config.json as transformers would write them, without what only training asks for. Every key that
 * hf_config.c reads is spelled out, so that no reader's default decides. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hf.h"

/* What a family's config.json cannot say otherwise. */
static const struct shape {
    const char *arch, *architecture;
    bool gpt2, qkv_bias, out_bias, mlp_bias; /* biases where attention_bias and mlp_bias are not asked */
    bool asks_biases, asks_window, asks_first;
} shapes[] = {
    {"gpt2", "GPT2LMHeadModel", .gpt2 = true, .qkv_bias = true, .out_bias = true, .mlp_bias = true},
    {"llama", "LlamaForCausalLM", .asks_biases = true},
    {"mistral", "MistralForCausalLM", .asks_window = true},
    {"qwen2", "Qwen2ForCausalLM", .qkv_bias = true, .asks_window = true, .asks_first = true},
};

static const struct shape *shape_of(const struct model_config *c)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].arch, c->arch) == 0)
            return &shapes[i];
    return NULL;
}

bool hf_config_can_say(const struct model_config *c, const char **why)
{
    const struct shape *s = shape_of(c);
    bool biases = c->qkv_bias || c->out_bias || c->mlp_bias;

    *why = NULL;
    if (!s)
        *why = "of that architecture";
    else if (s->gpt2 != (c->norm == NORM_LAYER) || s->gpt2 != (c->position == POSITION_LEARNED) ||
             s->gpt2 != (c->mlp == MLP_GELU_TANH))
        *why = "with such norms, positions or activations";
    else if (s->gpt2 && (c->kv_heads != c->heads || c->heads * c->head_dim != c->d_model))
        *why = "with such heads";
    else if (s->asks_biases ? c->qkv_bias != c->out_bias
                            : c->qkv_bias != s->qkv_bias || c->out_bias != s->out_bias || c->mlp_bias != s->mlp_bias)
        *why = biases ? "with such biases" : "without biases";
    else if (c->window > 0 && (!s->asks_window || (c->window_first > 0 && !s->asks_first)))
        *why = "with such a sliding window";
    return !*why;
}

/* --- JSON ---------------------------------------------------------------------------------------------------------------- */

/* The names and values below need no escapes. Opens the object with its first member. */
static void add(struct text *t, const char *key, const char *value)
{
    text_printf(t, "%s\n  \"%s\": %s", t->len ? "," : "{", key, value);
}

static void add_int(struct text *t, const char *key, int value)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%d", value);
    add(t, key, digits);
}

static void add_bool(struct text *t, const char *key, bool value)
{
    add(t, key, value ? "true" : "false");
}

static void add_name(struct text *t, const char *key, const char *name)
{
    char quoted[64];

    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    add(t, key, quoted);
}

/* As Python prints it: the shortest decimal that reads back as the same double, 10000.0 rather than 1e+04. */
static void shortest(char *buf, size_t size, double value)
{
    int precision = 0;

    if (fabs(value) < 1e15 && value == floor(value)) {
        snprintf(buf, size, "%.1f", value);
        return;
    }
    do
        snprintf(buf, size, "%.*g", ++precision, value);
    while (precision < 17 && strtod(buf, NULL) != value);
}

static void add_number(struct text *t, const char *key, double value)
{
    char digits[40];

    shortest(digits, sizeof digits, value);
    add(t, key, digits);
}

static void add_tokens(struct text *t, const struct model_config *c)
{
    struct text ids = {0};

    for (int i = 0; i < c->eos_count; i++)
        text_printf(&ids, "%s%d", i ? ", " : "", (int)c->eos[i]);
    if (c->bos < 0)
        add(t, "bos_token_id", "null");
    else
        add_int(t, "bos_token_id", c->bos);
    if (c->eos_count > 1) {
        struct text list = {0};
        text_printf(&list, "[%s]", ids.data);
        add(t, "eos_token_id", list.data);
        text_free(&list);
    } else {
        add(t, "eos_token_id", c->eos_count ? ids.data : "null");
    }
    text_free(&ids);
}

static void add_rope(struct text *t, const struct model_config *c)
{
    const struct rope_scaling *r = &c->rope;
    char factor[40], low[40], high[40], object[256];

    shortest(factor, sizeof factor, r->factor);
    shortest(low, sizeof low, r->low_freq_factor);
    shortest(high, sizeof high, r->high_freq_factor);
    if (r->kind == ROPE_PLAIN)
        snprintf(object, sizeof object, "null");
    else if (r->kind == ROPE_LINEAR)
        snprintf(object, sizeof object, "{\"rope_type\": \"linear\", \"factor\": %s}", factor);
    else
        snprintf(object, sizeof object,
                 "{\"rope_type\": \"llama3\", \"factor\": %s, \"low_freq_factor\": %s, \"high_freq_factor\": %s, "
                 "\"original_max_position_embeddings\": %d}",
                 factor, low, high, r->original_context);
    add(t, "rope_scaling", object);
    add_number(t, "rope_theta", c->rope_theta);
}

static void add_gpt2(struct text *t, const struct model_config *c)
{
    add_name(t, "activation_function", "gelu_new");
    add_number(t, "layer_norm_epsilon", c->norm_eps);
    add_int(t, "n_ctx", c->context);
    add_int(t, "n_embd", c->d_model);
    add_int(t, "n_head", c->heads);
    add_int(t, "n_inner", c->d_ff);
    add_int(t, "n_layer", c->layers);
    add_int(t, "n_positions", c->context);
    add_bool(t, "reorder_and_upcast_attn", false);
    add_bool(t, "scale_attn_by_inverse_layer_idx", false);
    add_bool(t, "scale_attn_weights", true);
}

static void add_rotary(struct text *t, const struct model_config *c, const struct shape *s)
{
    add_int(t, "head_dim", c->head_dim);
    add_name(t, "hidden_act", "silu");
    add_int(t, "hidden_size", c->d_model);
    add_int(t, "intermediate_size", c->d_ff);
    add_int(t, "max_position_embeddings", c->context);
    add_int(t, "num_attention_heads", c->heads);
    add_int(t, "num_hidden_layers", c->layers);
    add_int(t, "num_key_value_heads", c->kv_heads);
    add_number(t, "rms_norm_eps", c->norm_eps);
    add_rope(t, c);
    if (s->asks_biases) {
        add_bool(t, "attention_bias", c->qkv_bias);
        add_bool(t, "mlp_bias", c->mlp_bias);
    }
    if (s->asks_window && c->window == 0)
        add(t, "sliding_window", "null");
    else if (s->asks_window)
        add_int(t, "sliding_window", c->window);
    if (s->asks_first) {
        add_bool(t, "use_sliding_window", c->window > 0);
        add_int(t, "max_window_layers", c->window > 0 ? c->window_first : c->layers);
    }
}

void hf_config_text(struct text *out, const struct model_config *c, enum dtype d)
{
    const struct shape *s = shape_of(c);
    char architectures[64];

    snprintf(architectures, sizeof architectures, "[\"%s\"]", s->architecture);
    add(out, "architectures", architectures);
    add_name(out, "model_type", s->arch);
    add_tokens(out, c);
    if (s->gpt2)
        add_gpt2(out, c);
    else
        add_rotary(out, c, s);
    add_bool(out, "tie_word_embeddings", c->tied_head);
    add_name(out, "torch_dtype", dtype_full_name(d));
    add_bool(out, "use_cache", true);
    add_int(out, "vocab_size", c->vocab);
    text_puts(out, "\n}\n");
}

void hf_generation_text(struct text *out, const struct model_config *c)
{
    add_tokens(out, c);
    text_puts(out, "\n}\n");
}
