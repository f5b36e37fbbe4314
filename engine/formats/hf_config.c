/* SPDX-License-Identifier: MIT
 * config.json of a Hugging Face folder. Keys that change the mathematics are either carried out or refused by name; keys that
 * only matter in training, and the many that describe the file's history, are passed over. The reader keeps its first error,
 * so that reading a family is a plain list of its keys. Defaults are those of transformers. */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"
#include "text.h"

enum { CONFIG_MAX = 1 << 20, REQUIRED = INT_MIN };

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

/* NULL when the key is absent or null: transformers treats both as "take the default". */
static const json_t *get(const struct reader *r, const char *key)
{
    const json_t *v = json_object_get(r->object, key);

    return json_is_null(v) ? NULL : v;
}

static int read_int(struct reader *r, const char *key, int fallback)
{
    const json_t *v = get(r, key);
    json_int_t n = json_integer_value(v);

    if (!v && fallback == REQUIRED)
        fail(r, key, " is missing; expected an integer");
    if (!v)
        return fallback == REQUIRED ? 0 : fallback;
    if (!json_is_integer(v) || n > INT_MAX || n < -1)
        fail(r, key, ": expected a non-negative integer");
    return r->code == 0 ? (int)n : 0;
}

/* fallback NAN: the key is required. */
static double read_number(struct reader *r, const char *key, double fallback)
{
    const json_t *v = get(r, key);

    if (!v && isnan(fallback))
        fail(r, key, " is missing; expected a number");
    if (v && !json_is_number(v))
        fail(r, key, ": expected a number");
    return v ? json_number_value(v) : fallback;
}

static bool read_bool(struct reader *r, const char *key, bool fallback)
{
    const json_t *v = get(r, key);

    if (v && !json_is_boolean(v))
        fail(r, key, ": expected true or false");
    return v ? json_is_true(v) : fallback;
}

/* fallback NULL: the key is required. Never returns NULL, so that a list of reads may go on after an error. */
static const char *read_string(struct reader *r, const char *key, const char *fallback)
{
    const json_t *v = get(r, key);

    if (!v && !fallback)
        fail(r, key, " is missing; expected a string");
    if (v && !json_is_string(v))
        fail(r, key, ": expected a string");
    return json_is_string(v) ? json_string_value(v) : fallback ? fallback : "";
}

/* A token id; where a file lists several (Llama 3 does), the first. -1: none. */
static int read_token(struct reader *r, const char *key)
{
    const json_t *v = get(r, key);

    if (!json_is_array(v))
        return read_int(r, key, -1);
    const json_t *first = json_array_get(v, 0);
    if (!json_is_integer(first) || json_integer_value(first) < 0 || json_integer_value(first) > INT_MAX) {
        fail(r, key, ": expected token ids");
        return -1;
    }
    return (int)json_integer_value(first);
}

static void refuse(struct reader *r, const char *key, const char *value, const char *remedy)
{
    if (r->code == 0)
        r->code = err_set(r->e, ERR_FORMAT, "%s: %s%s %.80s is not supported%s", r->path, r->prefix, key, value, remedy);
}

/* The value of `key` must be one of the names; the list ends with NULL. */
static void require_name(struct reader *r, const char *key, const char *fallback, const char *const *names, const char *remedy)
{
    char quoted[64];
    const char *value = read_string(r, key, fallback);

    for (; *names; names++)
        if (strcmp(value, *names) == 0)
            return;
    snprintf(quoted, sizeof quoted, "'%.60s'", value);
    refuse(r, key, quoted, remedy);
}

/* Keys that would change the result in a way that is not implemented, with the values that do not. */
static const struct guard {
    const char *key;
    const char *harmless[3]; /* as compact JSON */
} guards[] = {
    {"quantization_config", {"null"}},          {"sliding_window", {"null"}},
    {"add_cross_attention", {"null", "false"}}, {"is_encoder_decoder", {"null", "false"}},
    {"scale_attn_weights", {"true"}},           {"scale_attn_by_inverse_layer_idx", {"null", "false"}},
    {"pruned_heads", {"null", "{}"}},           {"partial_rotary_factor", {"null", "1", "1.0"}},
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
            refuse(r, guards[i].key, text ? text : "", "");
        free(text);
    }
}

/* transformers 4 says rope_scaling, with the theta outside; 5 says rope_parameters, with the theta inside. */
static void read_rope(struct reader *r, struct model_config *c)
{
    struct reader inner = *r;
    bool parameters = get(r, "rope_parameters") != NULL;
    const char *key = parameters ? "rope_parameters" : "rope_scaling";
    const json_t *scaling = get(r, key);

    c->rope_theta = read_number(r, "rope_theta", 10000);
    if (!scaling || r->code != 0)
        return;
    if (!json_is_object(scaling) || (parameters && get(r, "rope_scaling"))) {
        fail(r, key, parameters ? ": expected an object, and no rope_scaling beside it" : ": expected an object");
        return;
    }
    inner.object = json_object_get(r->object, key);
    inner.prefix = parameters ? "rope_parameters." : "rope_scaling.";
    c->rope_theta = read_number(&inner, "rope_theta", c->rope_theta);

    const char *type_key = get(&inner, "rope_type") ? "rope_type" : "type";
    const char *type = read_string(&inner, type_key, NULL);
    if (strcmp(type, "linear") == 0) {
        c->rope.kind = ROPE_LINEAR;
        c->rope.factor = read_number(&inner, "factor", NAN);
    } else if (strcmp(type, "llama3") == 0) {
        c->rope.kind = ROPE_LLAMA3;
        c->rope.factor = read_number(&inner, "factor", NAN);
        c->rope.low_freq_factor = read_number(&inner, "low_freq_factor", NAN);
        c->rope.high_freq_factor = read_number(&inner, "high_freq_factor", NAN);
        c->rope.original_context = read_int(&inner, "original_max_position_embeddings", REQUIRED);
    } else {
        require_name(&inner, type_key, NULL, (const char *const[]){"default", NULL}, "; expected default, linear or llama3");
    }
    r->code = inner.code;
}

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

static void read_gpt2(struct reader *r, struct model_config *c)
{
    static const char *const tanh_gelus[] = {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", NULL};

    c->norm = NORM_LAYER;
    c->position = POSITION_LEARNED;
    c->mlp = MLP_GELU_TANH;
    c->qkv_bias = c->out_bias = c->mlp_bias = true;
    c->vocab = read_int(r, "vocab_size", REQUIRED);
    c->context = read_int(r, "n_positions", REQUIRED);
    c->d_model = read_int(r, "n_embd", REQUIRED);
    c->layers = read_int(r, "n_layer", REQUIRED);
    c->heads = c->kv_heads = read_int(r, "n_head", REQUIRED);
    c->head_dim = derive_head_dim(r, c, "n_embd", "n_head");
    c->d_ff = read_int(r, "n_inner", c->d_model < INT_MAX / 4 ? 4 * c->d_model : INT_MAX);
    c->norm_eps = read_number(r, "layer_norm_epsilon", 1e-5);
    c->tied_head = read_bool(r, "tie_word_embeddings", true);
    require_name(r, "activation_function", "gelu_new", tanh_gelus, "; expected gelu_new or a name for the same function");
}

static void read_llama(struct reader *r, struct model_config *c)
{
    c->norm = NORM_RMS;
    c->position = POSITION_ROTARY;
    c->mlp = MLP_SWIGLU;
    c->vocab = read_int(r, "vocab_size", REQUIRED);
    c->context = read_int(r, "max_position_embeddings", REQUIRED);
    c->d_model = read_int(r, "hidden_size", REQUIRED);
    c->layers = read_int(r, "num_hidden_layers", REQUIRED);
    c->heads = read_int(r, "num_attention_heads", REQUIRED);
    c->kv_heads = read_int(r, "num_key_value_heads", c->heads);
    c->head_dim = get(r, "head_dim") ? read_int(r, "head_dim", 0) : derive_head_dim(r, c, "hidden_size", "num_attention_heads");
    c->d_ff = read_int(r, "intermediate_size", REQUIRED);
    c->norm_eps = read_number(r, "rms_norm_eps", 1e-6);
    c->qkv_bias = c->out_bias = read_bool(r, "attention_bias", false);
    c->mlp_bias = read_bool(r, "mlp_bias", false);
    c->tied_head = read_bool(r, "tie_word_embeddings", false);
    require_name(r, "hidden_act", "silu", (const char *const[]){"silu", "swish", NULL}, "; expected silu");
    read_rope(r, c);
}

static const struct family {
    const char *model_type, *architecture;
    void (*read)(struct reader *r, struct model_config *c);
} families[] = {
    {"gpt2", "GPT2LMHeadModel", read_gpt2},
    {"llama", "LlamaForCausalLM", read_llama},
};

/* model_type chooses; architectures, where it stands, must agree: the same model_type also names classifiers and bare bodies.
 */
static const struct family *choose_family(struct reader *r)
{
    const json_t *list = get(r, "architectures");
    const char *type = read_string(r, "model_type", NULL);
    const char *architecture = json_string_value(json_array_get(list, 0));
    char quoted[80];

    for (size_t i = 0; r->code == 0 && i < sizeof families / sizeof *families; i++) {
        if (strcmp(type, families[i].model_type) != 0)
            continue;
        if (!list || (architecture && strcmp(architecture, families[i].architecture) == 0))
            return &families[i];
        snprintf(quoted, sizeof quoted, "'%.70s'", architecture ? architecture : "");
        refuse(r, "architectures", quoted, "; expected GPT2LMHeadModel or LlamaForCausalLM");
    }
    snprintf(quoted, sizeof quoted, "'%.70s'", type);
    refuse(r, "model_type", quoted, "; expected gpt2 or llama");
    return NULL;
}

static void read_model(struct reader *r, struct model_config *c)
{
    const struct family *family = choose_family(r);
    struct err why = {0};

    if (!family)
        return;
    snprintf(c->arch, sizeof c->arch, "%s", family->model_type);
    check_guards(r);
    family->read(r, c);
    c->bos = read_token(r, "bos_token_id");
    c->eos = read_token(r, "eos_token_id");
    if (r->code == 0 && config_check(c, &why) < 0)
        fail(r, why.text, "");
}

/* The last part of the folder's real path: "." and a trailing slash say nothing to a reader of a report. */
static void name_after(struct model_config *c, const char *dir)
{
    char *real = realpath(dir, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;

    snprintf(c->name, sizeof c->name, "%s", slash ? slash + 1 : dir);
    free(real);
}

int hf_read_config(struct model_config *out, const char *dir, struct err *e)
{
    struct text path = {0}, json = {0};
    struct reader r = {.prefix = "", .e = e};
    json_error_t at;

    *out = (struct model_config){.bos = -1, .eos = -1};
    text_printf(&path, "%s/config.json", dir);
    r.path = path.data;
    r.code = text_read_file(&json, path.data, CONFIG_MAX, e);
    if (r.code < 0)
        goto out;
    r.object = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &at);
    if (!r.object)
        r.code = err_set(e, ERR_FORMAT, "%s:%d:%d: %s", path.data, at.line, at.column, at.text);
    else if (!json_is_object(r.object))
        fail(&r, "expected an object", "");
    else
        read_model(&r, out);
    name_after(out, dir);
out:
    json_decref(r.object);
    text_free(&json);
    text_free(&path);
    return r.code;
}
