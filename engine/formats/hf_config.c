/* SPDX-License-Identifier: MIT
 * config.json of a Hugging Face folder. Keys that change the mathematics are either carried out or refused by name; keys that
 * only matter in training, and the many that describe the file's history, are passed over. A key that is absent takes the
 * default of the family's class in transformers. The reader keeps its first error, so that reading a family is a plain list of
 * its keys. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hf.h"

enum { CONFIG_MAX = 1 << 20, REQUIRED = INT_MIN, NONE = -1 };

struct reader {
    const char *path;
    const char *prefix; /* of the object being read: "" or "rope_scaling." */
    json_t *object;
    int code;
    struct err *e;
};

static void fail(struct reader *r, const char *key, const char *why)
{
    if (r->code == 0)
        r->code = err_set(r->e, ERR_FORMAT, "%s: %s%s%s", r->path, r->prefix, key, why);
}

static void refuse(struct reader *r, const char *key, const char *value, const char *remedy)
{
    if (r->code == 0)
        r->code = err_set(r->e, ERR_FORMAT, "%s: %s%s %.80s is not supported%s", r->path, r->prefix, key, value, remedy);
}

static void refuse_name(struct reader *r, const char *key, const char *value, const char *remedy)
{
    char quoted[80];

    snprintf(quoted, sizeof quoted, "'%.70s'", value);
    refuse(r, key, quoted, remedy);
}

static void refuse_json(struct reader *r, const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    refuse(r, key, text ? text : "", "");
    free(text);
}

static bool is_given(const struct reader *r, const char *key)
{
    const json_t *v = json_object_get(r->object, key);

    return v && !json_is_null(v);
}

static int read_int(struct reader *r, const char *key, int fallback)
{
    const json_t *v = json_object_get(r->object, key);
    json_int_t n = json_integer_value(v);

    if (!v && fallback == REQUIRED)
        fail(r, key, " is missing; expected an integer");
    if (!v)
        return fallback == REQUIRED ? 0 : fallback;
    if (!json_is_integer(v) || n < 0 || n > INT_MAX)
        fail(r, key, ": expected a non-negative integer");
    return r->code == 0 ? (int)n : 0;
}

/* Where null means something of its own: NONE. */
static int read_int_or_null(struct reader *r, const char *key, int fallback)
{
    return json_is_null(json_object_get(r->object, key)) ? NONE : read_int(r, key, fallback);
}

/* fallback NAN: the key is required. */
static double read_number(struct reader *r, const char *key, double fallback)
{
    const json_t *v = json_object_get(r->object, key);

    if (!v && isnan(fallback))
        fail(r, key, " is missing; expected a number");
    if (v && !json_is_number(v))
        fail(r, key, ": expected a number");
    return v ? json_number_value(v) : fallback;
}

/* null is false, as Python reads it. */
static bool read_bool(struct reader *r, const char *key, bool fallback)
{
    const json_t *v = json_object_get(r->object, key);

    if (v && !json_is_boolean(v) && !json_is_null(v))
        fail(r, key, ": expected true or false");
    return v ? json_is_true(v) : fallback;
}

/* fallback NULL: the key is required. Never returns NULL, so that a list of reads may go on after an error. */
static const char *read_string(struct reader *r, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(r->object, key);

    if (!v && !fallback)
        fail(r, key, " is missing; expected a string");
    if (v && !json_is_string(v))
        fail(r, key, ": expected a string");
    return json_is_string(v) ? json_string_value(v) : fallback ? fallback : "";
}

/* The value of `key` must be one of the names; the list ends with NULL. */
static void require_name(struct reader *r, const char *key, const char *fallback, const char *const *names, const char *remedy)
{
    const char *value = read_string(r, key, fallback);

    for (; *names; names++)
        if (strcmp(value, *names) == 0)
            return;
    refuse_name(r, key, value, remedy);
}

/* Token ids: one, several, or null for none. An id that no vocabulary entry has is none either: it can neither be chosen nor
 * put in. transformers writes such ids where a small model keeps its class's defaults. Returns how many are left in `ids`. */
static int read_ids(struct reader *r, const char *key, int32_t *ids, int most, int vocab)
{
    const json_t *v = json_object_get(r->object, key);
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    int count = 0;
    char why[40];

    if (json_is_null(v))
        return 0;
    if (n == 0)
        fail(r, key, ": expected token ids");
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        json_int_t id = json_integer_value(one);
        if (!json_is_integer(one)) {
            fail(r, key, ": expected token ids");
            return 0;
        }
        if (id < 0 || id >= vocab)
            continue;
        if (count == most) {
            snprintf(why, sizeof why, ": expected at most %d", most);
            fail(r, key, why);
            return 0;
        }
        ids[count++] = (int32_t)id;
    }
    return count;
}

static void read_tokens(struct reader *r, struct model_config *c)
{
    int32_t bos = c->bos;

    if (json_object_get(r->object, "bos_token_id"))
        c->bos = read_ids(r, "bos_token_id", &bos, 1, c->vocab) ? bos : NONE;
    if (json_object_get(r->object, "eos_token_id"))
        c->eos_count = read_ids(r, "eos_token_id", c->eos, EOS_MAX, c->vocab);
    if (c->bos >= c->vocab)
        c->bos = NONE;
    if (c->eos_count == 1 && c->eos[0] >= c->vocab)
        c->eos_count = 0;
}

/* Keys that would change the result in a way that is not implemented, with the values that do not. */
static const struct guard {
    const char *key;
    const char *harmless[3]; /* as compact JSON */
} guards[] = {
    {"quantization_config", {"null"}},
    {"add_cross_attention", {"null", "false"}},
    {"is_encoder_decoder", {"null", "false"}},
    {"scale_attn_weights", {"true"}},
    {"scale_attn_by_inverse_layer_idx", {"null", "false"}},
    {"pruned_heads", {"null", "{}"}},
    {"partial_rotary_factor", {"null", "1", "1.0"}},
    {"attn_logit_softcapping", {"null"}},
    {"final_logit_softcapping", {"null"}},
    {"query_pre_attn_scalar", {"null"}},
    {"attention_multiplier", {"null"}},
    {"embedding_multiplier", {"null", "1", "1.0"}},
    {"residual_multiplier", {"null", "1", "1.0"}},
    {"logits_scaling", {"null", "1", "1.0"}},
    {"logit_scale", {"null", "1", "1.0"}},
    {"clip_qkv", {"null"}},
    {"qk_layernorm", {"null", "false"}},
    {"use_qk_norm", {"null", "false"}},
    {"alibi", {"null", "false"}},
    {"attention_chunk_size", {"null"}},
    {"no_rope_layers", {"null", "[]"}},
    {"num_local_experts", {"null", "0"}},
    {"num_experts", {"null", "0"}},
};

static void check_guards(struct reader *r)
{
    for (size_t i = 0; i < sizeof guards / sizeof *guards; i++) {
        const json_t *v = json_object_get(r->object, guards[i].key);
        bool harmless = false;
        if (!v)
            continue;
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        for (int j = 0; text && j < 3 && guards[i].harmless[j]; j++)
            harmless |= strcmp(text, guards[i].harmless[j]) == 0;
        if (!harmless)
            refuse_json(r, guards[i].key, v);
        free(text);
    }
}

/* --- rotary positions ---------------------------------------------------------------------------------------------------- */

static void read_scaling(struct reader *r, struct model_config *c, const char *fallback)
{
    const char *type_key = is_given(r, "rope_type") ? "rope_type" : "type";
    const char *type = read_string(r, type_key, fallback);
    const char *key;
    json_t *value;

    if (strcmp(type, "linear") == 0) {
        c->rope.kind = ROPE_LINEAR;
        c->rope.factor = read_number(r, "factor", NAN);
    } else if (strcmp(type, "llama3") == 0) {
        c->rope.kind = ROPE_LLAMA3;
        c->rope.factor = read_number(r, "factor", NAN);
        c->rope.low_freq_factor = read_number(r, "low_freq_factor", NAN);
        c->rope.high_freq_factor = read_number(r, "high_freq_factor", NAN);
        c->rope.original_context = read_int(r, "original_max_position_embeddings", REQUIRED);
    } else {
        require_name(r, type_key, fallback, (const char *const[]){"default", NULL}, "; expected default, linear or llama3");
    }
    /* Per layer type, or per section of a head: a rotation of another kind. */
    json_object_foreach(r->object, key, value)
    {
        if (json_is_object(value) || json_is_array(value))
            refuse_json(r, key, value);
    }
    if (is_given(r, "partial_rotary_factor") && read_number(r, "partial_rotary_factor", 1) != 1)
        refuse_json(r, "partial_rotary_factor", json_object_get(r->object, "partial_rotary_factor"));
}

/* transformers 4 says rope_scaling, with the theta outside; 5 says rope_parameters, with the theta inside. */
static void read_rope(struct reader *r, struct model_config *c)
{
    struct reader inner = *r;
    bool parameters = is_given(r, "rope_parameters");
    const char *key = parameters ? "rope_parameters" : "rope_scaling";

    c->rope_theta = read_number(r, "rope_theta", c->rope_theta);
    if (!is_given(r, key) || r->code != 0)
        return;
    inner.object = json_object_get(r->object, key);
    if (!json_is_object(inner.object) || (parameters && is_given(r, "rope_scaling"))) {
        fail(r, key, parameters ? ": expected an object, and no rope_scaling beside it" : ": expected an object");
        return;
    }
    inner.prefix = parameters ? "rope_parameters." : "rope_scaling.";
    c->rope_theta = read_number(&inner, "rope_theta", c->rope_theta);
    read_scaling(&inner, c, parameters ? "default" : NULL);
    r->code = inner.code;
}

/* --- windows ------------------------------------------------------------------------------------------------------------- */

/* null: every position is seen. */
static void read_window(struct reader *r, struct model_config *c)
{
    int window = read_int_or_null(r, "sliding_window", c->window);

    if (window == 0)
        fail(r, "sliding_window", " 0: expected a positive number or null");
    c->window = window == NONE ? 0 : window;
}

/* layer_types says for each layer what the other keys say for all: it must be full ones first, then windowed ones. */
static void read_layer_types(struct reader *r, struct model_config *c)
{
    const json_t *list = json_object_get(r->object, "layer_types");
    size_t n = json_array_size(list), first = n;
    char why[80];

    if (!is_given(r, "layer_types"))
        return;
    snprintf(why, sizeof why, ": expected a list of num_hidden_layers (%d) names", c->layers);
    if (!json_is_array(list) || (int)n != c->layers)
        fail(r, "layer_types", why);
    for (size_t i = 0; r->code == 0 && i < n; i++) {
        const char *type = json_string_value(json_array_get(list, i));
        bool slides = type && strcmp(type, "sliding_attention") == 0;
        if (!slides && (!type || strcmp(type, "full_attention") != 0))
            refuse_name(r, "layer_types", type ? type : "", "; expected full_attention or sliding_attention");
        else if (slides && c->window == 0)
            refuse_name(r, "layer_types", type, " without a sliding_window");
        else if (slides && first == n)
            first = i;
        else if (!slides && first < n)
            refuse_name(r, "layer_types", type, " after sliding_attention");
    }
    c->window_first = (int)first;
}

/* A window that begins after the last layer is none. */
static void settle_window(struct model_config *c)
{
    if (c->window == 0 || c->window_first >= c->layers)
        c->window = c->window_first = 0;
}

/* --- families ------------------------------------------------------------------------------------------------------------ */

/* Width of a head where the file leaves it to be derived. */
static int derive_head_dim(struct reader *r, const struct model_config *c, const char *width_key, const char *heads_key)
{
    char why[96];

    if (c->heads < 1)
        return 0; /* config_check reports the heads */
    snprintf(why, sizeof why, " %d: expected a multiple of %s (%d)", c->d_model, heads_key, c->heads);
    if (c->d_model % c->heads)
        fail(r, width_key, why);
    return c->d_model / c->heads;
}

/* A family that knows no window must not be given one. */
static void refuse_window(struct reader *r)
{
    if (is_given(r, "sliding_window"))
        refuse_json(r, "sliding_window", json_object_get(r->object, "sliding_window"));
}

static void read_gpt2(struct reader *r, struct model_config *c)
{
    static const char *const tanh_gelus[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", NULL};

    c->vocab = read_int(r, "vocab_size", c->vocab);
    c->context = read_int(r, "n_positions", c->context);
    c->d_model = read_int(r, "n_embd", c->d_model);
    c->layers = read_int(r, "n_layer", c->layers);
    c->heads = c->kv_heads = read_int(r, "n_head", c->heads);
    c->head_dim = derive_head_dim(r, c, "n_embd", "n_head");
    c->d_ff = read_int_or_null(r, "n_inner", NONE);
    if (c->d_ff == NONE)
        c->d_ff = c->d_model < INT_MAX / 4 ? 4 * c->d_model : INT_MAX;
    c->norm_eps = read_number(r, "layer_norm_epsilon", c->norm_eps);
    c->tied_head = read_bool(r, "tie_word_embeddings", c->tied_head);
    require_name(r, "activation_function", "gelu_new", tanh_gelus, "; expected gelu_new or a name for the same function");
    refuse_window(r);
}

/* What LLaMA, Mistral and Qwen2 say with the same keys. */
static void read_rotary(struct reader *r, struct model_config *c)
{
    c->vocab = read_int(r, "vocab_size", c->vocab);
    c->context = read_int(r, "max_position_embeddings", c->context);
    c->d_model = read_int(r, "hidden_size", c->d_model);
    c->layers = read_int(r, "num_hidden_layers", c->layers);
    c->heads = read_int(r, "num_attention_heads", c->heads);
    c->kv_heads = read_int_or_null(r, "num_key_value_heads", c->kv_heads);
    if (c->kv_heads == NONE)
        c->kv_heads = c->heads;
    c->head_dim = read_int_or_null(r, "head_dim", NONE);
    if (c->head_dim == NONE)
        c->head_dim = derive_head_dim(r, c, "hidden_size", "num_attention_heads");
    c->d_ff = read_int(r, "intermediate_size", c->d_ff);
    c->norm_eps = read_number(r, "rms_norm_eps", c->norm_eps);
    c->tied_head = read_bool(r, "tie_word_embeddings", c->tied_head);
    require_name(r, "hidden_act", "silu", (const char *const[]){"silu", "swish", NULL}, "; expected silu");
    read_rope(r, c);
}

static void read_llama(struct reader *r, struct model_config *c)
{
    read_rotary(r, c);
    c->qkv_bias = c->out_bias = read_bool(r, "attention_bias", false);
    c->mlp_bias = read_bool(r, "mlp_bias", false);
    refuse_window(r);
    read_layer_types(r, c);
}

static void read_mistral(struct reader *r, struct model_config *c)
{
    read_rotary(r, c);
    read_window(r, c);
    read_layer_types(r, c);
}

static void read_qwen2(struct reader *r, struct model_config *c)
{
    read_rotary(r, c);
    if (read_bool(r, "use_sliding_window", false))
        read_window(r, c);
    else
        c->window = 0;
    c->window_first = read_int(r, "max_window_layers", c->window_first);
    read_layer_types(r, c);
}

/* defaults: of GPT2Config, LlamaConfig, MistralConfig, Qwen2Config, with what the class does not ask a file about. */
static const struct family {
    const char *architecture;
    void (*read)(struct reader *r, struct model_config *c);
    struct model_config defaults;
} families[] = {
    {
        .architecture = "GPT2LMHeadModel",
        .read = read_gpt2,
        .defaults = {.arch = "gpt2",
                     .norm = NORM_LAYER,
                     .position = POSITION_LEARNED,
                     .mlp = MLP_GELU_TANH,
                     .qkv_bias = true,
                     .out_bias = true,
                     .mlp_bias = true,
                     .tied_head = true,
                     .vocab = 50257,
                     .context = 1024,
                     .d_model = 768,
                     .layers = 12,
                     .heads = 12,
                     .norm_eps = 1e-5,
                     .bos = 50256,
                     .eos = {50256},
                     .eos_count = 1},
    },
    {
        .architecture = "LlamaForCausalLM",
        .read = read_llama,
        .defaults = {.arch = "llama",
                     .norm = NORM_RMS,
                     .position = POSITION_ROTARY,
                     .mlp = MLP_SWIGLU,
                     .vocab = 32000,
                     .context = 2048,
                     .d_model = 4096,
                     .d_ff = 11008,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = NONE,
                     .norm_eps = 1e-6,
                     .rope_theta = 10000,
                     .bos = 1,
                     .eos = {2},
                     .eos_count = 1},
    },
    {
        .architecture = "MistralForCausalLM",
        .read = read_mistral,
        .defaults = {.arch = "mistral",
                     .norm = NORM_RMS,
                     .position = POSITION_ROTARY,
                     .mlp = MLP_SWIGLU,
                     .vocab = 32000,
                     .context = 4096 * 32,
                     .d_model = 4096,
                     .d_ff = 14336,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 8,
                     .norm_eps = 1e-6,
                     .rope_theta = 10000,
                     .window = 4096,
                     .bos = 1,
                     .eos = {2},
                     .eos_count = 1},
    },
    {
        .architecture = "Qwen2ForCausalLM",
        .read = read_qwen2,
        .defaults = {.arch = "qwen2",
                     .norm = NORM_RMS,
                     .position = POSITION_ROTARY,
                     .mlp = MLP_SWIGLU,
                     .qkv_bias = true,
                     .vocab = 151936,
                     .context = 32768,
                     .d_model = 4096,
                     .d_ff = 22016,
                     .layers = 32,
                     .heads = 32,
                     .kv_heads = 32,
                     .norm_eps = 1e-6,
                     .rope_theta = 10000,
                     .window = 4096,
                     .window_first = 28,
                     .bos = NONE},
    },
};

/* model_type chooses; architectures, where it stands, must agree: the same model_type also names classifiers and bare bodies.
 */
static const struct family *choose_family(struct reader *r)
{
    const json_t *list = json_object_get(r->object, "architectures");
    const char *type = read_string(r, "model_type", NULL);
    const char *architecture = json_string_value(json_array_get(list, 0));
    char remedy[64];

    for (size_t i = 0; r->code == 0 && i < sizeof families / sizeof *families; i++) {
        if (strcmp(type, families[i].defaults.arch) != 0)
            continue;
        if (!is_given(r, "architectures") || (architecture && strcmp(architecture, families[i].architecture) == 0))
            return &families[i];
        snprintf(remedy, sizeof remedy, "; expected %s", families[i].architecture);
        refuse_name(r, "architectures", architecture ? architecture : "", remedy);
    }
    refuse_name(r, "model_type", type, "; expected gpt2, llama, mistral or qwen2");
    return NULL;
}

static void read_model(struct reader *r, struct model_config *c)
{
    const struct family *family = choose_family(r);
    struct err why = {0};

    if (!family)
        return;
    *c = family->defaults;
    check_guards(r);
    family->read(r, c);
    settle_window(c);
    read_tokens(r, c);
    if (r->code == 0 && config_check(c, &why) < 0)
        fail(r, why.text, "");
}

/* Only the ids that end a text: the rest of the file are habits of sampling, which are the user's to choose. */
static void read_generation(struct reader *r, struct model_config *c)
{
    if (json_object_get(r->object, "eos_token_id"))
        c->eos_count = read_ids(r, "eos_token_id", c->eos, EOS_MAX, c->vocab);
}

static int read_file(const char *path, struct model_config *c, void (*read)(struct reader *r, struct model_config *c),
                     struct err *e)
{
    struct reader r = {.path = path, .prefix = "", .e = e};
    struct text json = {0};
    json_error_t at;

    r.code = text_read_file(&json, path, CONFIG_MAX, e);
    if (r.code < 0)
        goto out;
    r.object = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &at);
    if (!r.object)
        r.code = err_set(e, ERR_FORMAT, "%s:%d:%d: %s", path, at.line, at.column, at.text);
    else if (!json_is_object(r.object))
        fail(&r, "expected an object", "");
    else
        read(&r, c);
out:
    json_decref(r.object);
    text_free(&json);
    return r.code;
}

int hf_config_read(struct model_config *out, const char *config, const char *generation, struct err *e)
{
    int code = read_file(config, out, read_model, e);

    if (code == 0 && generation)
        code = read_file(generation, out, read_generation, e);
    return code;
}
