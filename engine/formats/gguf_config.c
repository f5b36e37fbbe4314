/* SPDX-License-Identifier: MIT
 * What a GGUF file's keys say the model is. Every key of the architecture is either carried out, known to describe only, or
 * refused by name: new ones are nearly always mathematics. Defaults are those of llama.cpp. Whether there are biases and a head
 * of its own no key says; the tensors do. The reader keeps its first error, so that reading is a plain list of keys. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gguf.h"

enum { REQUIRED = INT_MIN, KEY_MAX = 96 };

struct reader {
    const struct gguf *g;
    const char *arch;
    int code;
    struct err *e;
};

static void fail(struct reader *r, const char *key, const char *why)
{
    if (r->code == 0)
        r->code = err_set(r->e, ERR_FORMAT, "%s: %s: %s", r->g->path, key, why);
}

/* The key of the architecture; its whole name is left in `full`. */
static const struct gguf_key *get(const struct reader *r, const char *key, char full[KEY_MAX])
{
    snprintf(full, KEY_MAX, "%s.%s", r->arch, key);
    return gguf_find_key(r->g, full);
}

static int read_int(struct reader *r, const char *key, int fallback)
{
    char full[KEY_MAX];
    const struct gguf_key *k = get(r, key, full);
    int64_t n = 0;

    if (!k && fallback != REQUIRED)
        return fallback;
    if (!k)
        fail(r, full, "the key is missing; expected an integer");
    else if (k->type == GGUF_ARRAY)
        fail(r, full, "a value for each layer is not supported; expected one integer");
    else if (!gguf_int(r->g, k, &n) || n < 0 || n > INT_MAX)
        fail(r, full, "expected a non-negative integer");
    return r->code == 0 ? (int)n : 0;
}

/* fallback NAN: the key is required. */
static double read_number(struct reader *r, const char *key, double fallback)
{
    char full[KEY_MAX];
    const struct gguf_key *k = get(r, key, full);
    double v = fallback;

    if (!k && isnan(fallback))
        fail(r, full, "the key is missing; expected a number");
    if (k && !gguf_number(r->g, k, &v))
        fail(r, full, "expected a number");
    return v;
}

/* --- keys that are not read ---------------------------------------------------------------------------------------------- */

/* Read below, or without influence on the result. */
static const char *const known[] = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "vocab_size", /* the embedding's rows decide */
    "tensor_data_layout",
    "pooling_type", /* of embeddings */
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length", /* this and what follows: of yarn, which is refused by its type */
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
};

/* Would change the result in a way that is not implemented, but for these values. */
static const struct guard {
    const char *key;
    double harmless[2];
} guards[] = {
    {"expert_count", {0, 0}},
    {"expert_used_count", {0, 0}},
    {"leading_dense_block_count", {0, 0}},
    {"nextn_predict_layers", {0, 0}},
    {"use_parallel_residual", {0, 0}},
    {"attention.causal", {1, 1}},
    {"attention.max_alibi_bias", {0, 0}},
    {"attention.clamp_kqv", {0, 0}},
    {"attention.scale", {0, 0}},
    {"attn_logit_softcapping", {0, 0}},
    {"final_logit_softcapping", {0, 0}},
    {"logit_scale", {0, 1}},
    {"residual_scale", {0, 1}},
    {"embedding_scale", {0, 1}},
    {"rope.scaling.attn_factor", {1, 1}},
};

static bool is_harmless(const struct reader *r, const struct gguf_key *k, const char *suffix)
{
    double v = NAN;
    bool b;

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(suffix, known[i]) == 0)
            return true;
    if (gguf_bool(r->g, k, &b))
        v = b;
    else
        gguf_number(r->g, k, &v);
    for (size_t i = 0; i < sizeof guards / sizeof *guards; i++)
        if (strcmp(suffix, guards[i].key) == 0)
            return v == guards[i].harmless[0] || v == guards[i].harmless[1];
    return false;
}

static void check_keys(struct reader *r)
{
    size_t n = strlen(r->arch);

    for (size_t i = 0; i < r->g->key_count; i++) {
        const struct gguf_key *k = &r->g->keys[i];
        char full[KEY_MAX];
        snprintf(full, sizeof full, "%.*s", (int)k->name.len, k->name.data);
        if (strncmp(full, r->arch, n) == 0 && full[n] == '.' && !is_harmless(r, k, full + n + 1))
            fail(r, full, "the key or its value is not supported and may change the result");
    }
}

/* --- strings ------------------------------------------------------------------------------------------------------------- */

/* Into buf, "" where the key is absent. */
static void read_name(struct reader *r, const char *key, char *buf, size_t size)
{
    const struct gguf_key *k = gguf_find_key(r->g, key);

    buf[0] = 0;
    if (k && !gguf_name(r->g, k, buf, size))
        fail(r, key, "expected a string");
}

static void refuse(struct reader *r, const char *key, const char *value, const char *expected)
{
    if (r->code == 0)
        r->code = err_set(r->e, ERR_FORMAT, "%s: %s '%s' is not supported; expected %s", r->g->path, key, value, expected);
}

/* --- the model ------------------------------------------------------------------------------------------------------------ */

static void check_whole(struct reader *r)
{
    const struct gguf_key *split = gguf_find_key(r->g, "split.count");
    char type[32];
    int64_t n = 1;

    if (split && (!gguf_int(r->g, split, &n) || n > 1))
        fail(r, "split.count", "a model in several files is not supported; merge them (llama-gguf-split --merge)");
    read_name(r, "general.type", type, sizeof type);
    if (type[0] && strcmp(type, "model") != 0)
        refuse(r, "general.type", type, "model");
}

/* yarn and longrope change more than the frequencies' divisor. */
static void read_rope(struct reader *r, struct model_config *c)
{
    char type[32], full[KEY_MAX];

    c->rope_theta = read_number(r, "rope.freq_base", 10000);
    double factor = read_number(r, "rope.scaling.factor", read_number(r, "rope.scale_linear", 0));
    get(r, "rope.scaling.type", full);
    read_name(r, full, type, sizeof type);
    if (type[0] && strcmp(type, "none") != 0 && strcmp(type, "linear") != 0)
        refuse(r, full, type, "none or linear");
    if (strcmp(type, "none") != 0 && factor != 0 && factor != 1)
        c->rope = (struct rope_scaling){.kind = ROPE_LINEAR, .factor = factor};
}

/* Keys, values and rotated parts of a head must be equally wide. */
static void read_head_dim(struct reader *r, struct model_config *c)
{
    static const char *const equal[] = {"attention.value_length", "rope.dimension_count"};
    char full[KEY_MAX], why[96];
    int derived = c->heads == 0           ? 0
                  : c->d_model % c->heads ? REQUIRED
                                          : c->d_model / c->heads; /* config_check reports no heads */

    c->head_dim = read_int(r, "attention.key_length", derived);
    for (size_t i = 0; i < sizeof equal / sizeof *equal; i++) {
        int n = read_int(r, equal[i], c->head_dim);
        snprintf(why, sizeof why, "%d is not supported; expected the width of a head's keys (%d)", n, c->head_dim);
        get(r, equal[i], full);
        if (n != c->head_dim)
            fail(r, full, why);
    }
}

static bool has(const struct reader *r, const char *tensor)
{
    return gguf_find_tensor(r->g, tensor) != NULL;
}

static void read_family(struct reader *r, struct model_config *c)
{
    bool gpt2 = strcmp(r->arch, "gpt2") == 0;

    c->norm = gpt2 ? NORM_LAYER : NORM_RMS;
    c->position = gpt2 ? POSITION_LEARNED : POSITION_ROTARY;
    c->mlp = gpt2 ? MLP_GELU_TANH : MLP_SWIGLU;
    c->norm_eps = read_number(r, gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", NAN);
    c->qkv_bias = gpt2 || has(r, "blk.0.attn_q.bias");
    c->out_bias = gpt2 || has(r, "blk.0.attn_output.bias");
    c->mlp_bias = gpt2 || has(r, "blk.0.ffn_up.bias");
    c->tied_head = !has(r, "output.weight");
    if (!gpt2)
        read_rope(r, c);
}

static void read_shapes(struct reader *r, struct model_config *c)
{
    const struct gguf_tensor *embed = gguf_find_tensor(r->g, "token_embd.weight");

    c->context = read_int(r, "context_length", REQUIRED);
    c->d_model = read_int(r, "embedding_length", REQUIRED);
    c->layers = read_int(r, "block_count", REQUIRED);
    c->d_ff = read_int(r, "feed_forward_length", REQUIRED);
    c->heads = read_int(r, "attention.head_count", REQUIRED);
    c->kv_heads = read_int(r, "attention.head_count_kv", c->heads);
    c->window = read_int(r, "attention.sliding_window", 0);
    read_head_dim(r, c);
    if (!embed)
        fail(r, "token_embd.weight", "the tensor is missing");
    else if (embed->shape[1] > INT_MAX)
        fail(r, "token_embd.weight", "more tokens than any model has");
    else
        c->vocab = (int)embed->shape[1];
}

int gguf_token_id(const struct gguf *g, const char *name, int fallback, size_t tokens, int *out, struct err *e)
{
    char full[KEY_MAX];
    int64_t id = fallback;

    snprintf(full, sizeof full, "tokenizer.ggml.%s_token_id", name);
    const struct gguf_key *k = gguf_find_key(g, full);
    if (k && (!gguf_int(g, k, &id) || id < 0 || id > INT_MAX))
        return err_set(e, ERR_FORMAT, "%s: %s: expected a token id", g->path, full);
    *out = id >= 0 && (uint64_t)id < tokens ? (int)id : -1;
    return 0;
}

/* Ends of a turn and of a message end a text as well: chat models never say the plain one. */
static void read_ends(struct reader *r, struct model_config *c)
{
    static const char *const ends[] = {"eos", "eot", "eom"};
    size_t vocab = (size_t)c->vocab;
    int id;

    if (r->code == 0)
        r->code = gguf_token_id(r->g, "bos", -1, vocab, &c->bos, r->e);
    for (size_t i = 0; i < sizeof ends / sizeof *ends && r->code == 0; i++) {
        r->code = gguf_token_id(r->g, ends[i], -1, vocab, &id, r->e);
        bool seen = r->code < 0 || id < 0;
        for (int j = 0; j < c->eos_count; j++)
            seen |= c->eos[j] == id;
        if (!seen)
            c->eos[c->eos_count++] = id;
    }
}

/* The file's name without its ending. */
static void name_after(struct model_config *c, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t len = strlen(base);

    if (len > 5 && strcasecmp(base + len - 5, ".gguf") == 0)
        len -= 5;
    snprintf(c->name, sizeof c->name, "%.*s", (int)len, base);
}

int gguf_read_config(struct model_config *out, const struct gguf *g, struct err *e)
{
    struct reader r = {.g = g, .e = e};

    *out = (struct model_config){.bos = -1};
    name_after(out, g->path);
    read_name(&r, "general.architecture", out->arch, sizeof out->arch);
    r.arch = out->arch;
    if (!r.arch[0])
        fail(&r, "general.architecture", "the key is missing; is this a language model?");
    if (strcmp(r.arch, "gpt2") != 0 && strcmp(r.arch, "llama") != 0 && strcmp(r.arch, "qwen2") != 0)
        refuse(&r, "general.architecture", r.arch, "gpt2, llama or qwen2");
    check_whole(&r);
    check_keys(&r);
    read_shapes(&r, out);
    read_family(&r, out);
    read_ends(&r, out);
    if (r.code == 0 && config_check(out, e) < 0)
        r.code = err_wrap(e, "%s", g->path);
    return r.code;
}
