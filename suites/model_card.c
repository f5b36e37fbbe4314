/* SPDX-License-Identifier: MIT
 * The facts of a model. Sizes by part are added up over the tensors that the loader would fill, so they cannot disagree with
 * what is loaded; the memory they name is float32, whatever the files hold. */
#include "model_card.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/source.h"
#include "shown.h"

struct tensor_part {
    const char *mark; /* in a tensor's name */
    enum model_part part;
};

enum { TENSOR_PARTS = 9 };
static const struct tensor_part tensor_parts[TENSOR_PARTS];
static const char *const part_names[PART_COUNT];

/* --- facts --------------------------------------------------------------------------------------------------------------- */

static int add_tensor(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct model_card *c = ctx;
    int i = 0;

    (void)e;
    while (tensor_parts[i].mark && !strstr(slot->name, tensor_parts[i].mark))
        i++;
    assert(tensor_parts[i].mark && "every tensor belongs to a part");
    c->elements[tensor_parts[i].part] += (uint64_t)slot->to.rows * (uint64_t)slot->to.cols;
    return 0;
}

static int add_up_parts(struct model_card *c, struct err *e)
{
    const struct model_config *config = model_config(c->model);
    struct weights layout = {0};
    int code = weights_plan(&layout, config, DTYPE_F32, e);

    if (code == 0)
        code = weights_visit(&layout, config, add_tensor, c, e);
    weights_free(&layout);
    return code;
}

static int add_files(struct model_card *c, struct err *e)
{
    int count = 0;

    while (model_file(c->model, count))
        count++;
    c->file = calloc((size_t)count + 1, sizeof *c->file);
    if (!c->file)
        return err_set(e, ERR_MEMORY, "out of memory for %d file names", count);
    for (; c->files < count; c->files++) {
        struct card_file *f = &c->file[c->files];
        struct stat st;
        f->path = model_file(c->model, c->files);
        if (stat(f->path, &st) < 0)
            return err_set(e, ERR_IO, "%s: %s", f->path, strerror(errno));
        f->bytes = (uint64_t)st.st_size;
        int code = sha256_file(f->sha256, f->path, e);
        if (code < 0)
            return code;
    }
    return 0;
}

int model_card_open(struct model_card *c, const char *source, struct err *e)
{
    struct model_args args = {.source = source, .backend = "null", .threads = 1, .seed = 1, .plan_only = true};
    int code = model_open(&c->model, &args, e);

    if (code == 0)
        code = add_up_parts(c, e);
    if (code == 0)
        code = add_files(c, e);
    return code;
}

void model_card_close(struct model_card *c)
{
    model_close(c->model);
    free(c->file);
    *c = (struct model_card){0};
}

/* --- in words ------------------------------------------------------------------------------------------------------------ */

static const char *positions_about(const struct model_config *c, char *buf, size_t size)
{
    const struct rope_scaling *r = &c->rope;

    if (c->position == POSITION_LEARNED)
        snprintf(buf, size, "learned, %d of them", c->context);
    else if (r->kind == ROPE_LINEAR)
        snprintf(buf, size, "rotary, theta %.10g, linear scaling by %.10g", c->rope_theta, r->factor);
    else if (r->kind == ROPE_LLAMA3)
        snprintf(buf, size, "rotary, theta %.10g, llama3 scaling by %.10g (low %.10g, high %.10g, from a context of %d)",
                 c->rope_theta, r->factor, r->low_freq_factor, r->high_freq_factor, r->original_context);
    else
        snprintf(buf, size, "rotary, theta %.10g", c->rope_theta);
    return buf;
}

static const char *biases_about(const struct model_config *c, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s", c->qkv_bias ? ", q k v" : "", c->out_bias ? ", attention out" : "",
             c->mlp_bias ? ", MLP" : "");
    return *buf ? buf + 2 : "none";
}

static const char *window_about(const struct model_config *c, char *buf, size_t size)
{
    if (c->window == 0)
        return "a token sees all before it";
    if (c->window_first > 0)
        snprintf(buf, size, "a token sees the last %d, from layer %d on", c->window, c->window_first);
    else
        snprintf(buf, size, "a token sees the last %d", c->window);
    return buf;
}

static bool has_tokenizer(const struct model *m)
{
    int32_t *ids = NULL;
    size_t n = 0;
    int code = model_tokenize(m, "", &ids, &n, NULL);

    free(ids);
    return code != ERR_ABSENT;
}

static void print_tokens(const struct model_card *c, const char *label, const int32_t *id, int n, FILE *out)
{
    struct text line = {0};
    bool spelled = has_tokenizer(c->model);

    for (int i = 0; i < n; i++) {
        struct text bytes = {0};
        model_token_text(c->model, id[i], &bytes);
        text_printf(&line, "%s%" PRId32 "%s", i ? ", " : "", id[i], spelled ? " " : "");
        if (spelled)
            shown_quoted(&line, bytes.data, bytes.len);
        text_free(&bytes);
    }
    fprintf(out, "  %-13s %s\n", label, line.len ? line.data : "none");
    text_free(&line);
}

static void print_shape(const struct model_card *card, FILE *out)
{
    const struct model_config *c = model_config(card->model);
    const struct model_info *info = model_info(card->model);
    char buf[160];
    int32_t bos = c->bos;

    fprintf(out, "  %-13s %s: %s\n", "source", info->format, info->weights);
    fprintf(out, "  %-13s %s\n", "architecture", c->arch);
    fprintf(out, "  %-13s %d\n", "layers", c->layers);
    fprintf(out, "  %-13s %d\n", "d_model", c->d_model);
    fprintf(out, "  %-13s %d heads, %d for keys and values, head_dim %d\n", "attention", c->heads, c->kv_heads, c->head_dim);
    fprintf(out, "  %-13s %s\n", "window", window_about(c, buf, sizeof buf));
    fprintf(out, "  %-13s %s, d_ff %d\n", "MLP", c->mlp == MLP_SWIGLU ? "SwiGLU" : "GELU (tanh)", c->d_ff);
    fprintf(out, "  %-13s %s, epsilon %g\n", "norm", c->norm == NORM_RMS ? "RMSNorm" : "LayerNorm", c->norm_eps);
    fprintf(out, "  %-13s %s\n", "positions", positions_about(c, buf, sizeof buf));
    fprintf(out, "  %-13s %s\n", "biases", biases_about(c, buf, sizeof buf));
    fprintf(out, "  %-13s %s\n", "head", c->tied_head ? "tied: it is the embedding" : "a matrix of its own");
    fprintf(out, "  %-13s %d tokens\n", "context", c->context);
    fprintf(out, "  %-13s %d\n", "vocabulary", c->vocab);
    fprintf(out, "  %-13s %s\n", "tokenizer", info->tokenizer);
    print_tokens(card, "bos", &bos, c->bos >= 0 ? 1 : 0, out);
    print_tokens(card, "eos", c->eos, c->eos_count, out);
}

static void print_parts(const struct model_card *card, FILE *out)
{
    const struct model_info *info = model_info(card->model);
    char count[SHOWN_INTEGER], bytes[SHOWN_INTEGER], unit[32];

    fprintf(out, "\n  %-13s %16s  %18s\n", "part", "parameters", "bytes as float32");
    for (int i = 0; i < PART_COUNT; i++)
        fprintf(out, "  %-13s %16s  %18s  %5.1f %%\n", part_names[i], shown_integer(count, card->elements[i]),
                shown_integer(bytes, card->elements[i] * sizeof(float)),
                100 * (double)card->elements[i] / (double)info->parameters);
    fprintf(out, "  %-13s %16s  %18s  (%s)\n", "all", shown_integer(count, info->parameters),
            shown_integer(bytes, info->weight_bytes), text_bytes(unit, sizeof unit, (double)info->weight_bytes));
    if (card->files > 0)
        fprintf(out, "  %-13s %s bytes (%s), stored as %s\n", "in the files", shown_integer(bytes, info->stored_bytes),
                text_bytes(unit, sizeof unit, (double)info->stored_bytes), info->stored);
}

static void print_cache(const struct model_card *card, FILE *out)
{
    const struct model_config *c = model_config(card->model);
    uint64_t one = config_kv_bytes(c, 1, 1, sizeof(float)), all = config_kv_bytes(c, 1, c->context, sizeof(float));
    char bytes[SHOWN_INTEGER], unit[32];

    fprintf(out, "\n  KV cache      2 x %d layers x %d kv_heads x %d head_dim x %zu bytes = %s bytes a token\n", c->layers,
            c->kv_heads, c->head_dim, sizeof(float), shown_integer(bytes, one));
    fprintf(out, "                %s bytes (%s) for the whole context\n", shown_integer(bytes, all),
            text_bytes(unit, sizeof unit, (double)all));
}

void model_card_print(const struct model_card *c, FILE *out)
{
    char bytes[SHOWN_INTEGER];

    fprintf(out, "%s\n\n", model_config(c->model)->name);
    print_shape(c, out);
    print_parts(c, out);
    print_cache(c, out);
    if (c->files > 0)
        fputs("\n  files, with bytes and SHA-256\n", out);
    for (int i = 0; i < c->files; i++)
        fprintf(out, "  %s\n    %s  %s\n", c->file[i].path, shown_integer(bytes, c->file[i].bytes), c->file[i].sha256);
}

/* --- as JSON ------------------------------------------------------------------------------------------------------------- */

static json_t *rope_json(const struct model_config *c)
{
    const struct rope_scaling *r = &c->rope;

    if (c->position != POSITION_ROTARY)
        return json_null();
    if (r->kind == ROPE_PLAIN)
        return json_pack("{s:f, s:n}", "theta", c->rope_theta, "scaling");
    json_t *scaling = json_pack("{s:s, s:f}", "type", r->kind == ROPE_LINEAR ? "linear" : "llama3", "factor", r->factor);
    if (r->kind == ROPE_LLAMA3) {
        json_object_set_new(scaling, "low_freq_factor", json_real(r->low_freq_factor));
        json_object_set_new(scaling, "high_freq_factor", json_real(r->high_freq_factor));
        json_object_set_new(scaling, "original_context", json_integer(r->original_context));
    }
    return json_pack("{s:f, s:o}", "theta", c->rope_theta, "scaling", scaling);
}

static json_t *shape_json(const struct model_config *c)
{
    return json_pack(
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:s, s:s, s:o, s:b, s:b, s:b, s:b, s:o, s:o}",
        "arch", c->arch, "layers", c->layers, "d_model", c->d_model, "heads", c->heads, "kv_heads", c->kv_heads, "head_dim",
        c->head_dim, "d_ff", c->d_ff, "vocab", c->vocab, "context", c->context, "window", c->window, "window_first",
        c->window_first, "norm", c->norm == NORM_RMS ? "rms" : "layer", "norm_eps", c->norm_eps, "mlp",
        c->mlp == MLP_SWIGLU ? "swiglu" : "gelu_tanh", "positions", c->position == POSITION_ROTARY ? "rotary" : "learned",
        "rope", rope_json(c), "qkv_bias", (int)c->qkv_bias, "out_bias", (int)c->out_bias, "mlp_bias", (int)c->mlp_bias,
        "tied_head", (int)c->tied_head, "bos", c->bos < 0 ? json_null() : json_integer(c->bos), "eos",
        shown_json_ids(c->eos, c->eos_count));
}

json_t *model_card_json(const struct model_card *card)
{
    const struct model_config *c = model_config(card->model);
    const struct model_info *info = model_info(card->model);
    json_t *parts = json_object(), *files = json_array();

    for (int i = 0; i < PART_COUNT; i++)
        json_object_set_new(parts, part_names[i], json_integer((json_int_t)card->elements[i] * (json_int_t)sizeof(float)));
    for (int i = 0; i < card->files; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "path", card->file[i].path, "bytes",
                                               (json_int_t)card->file[i].bytes, "sha256", card->file[i].sha256));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:s, s:I, s:I, s:o, s:I, s:I, s:o}", "format", "bench-model/1",
                     "name", c->name, "source", info->format, "weights", info->weights, "stored", info->stored, "stored_bytes",
                     (json_int_t)info->stored_bytes, "config", shape_json(c), "tokenizer", info->tokenizer, "parameters",
                     (json_int_t)info->parameters, "bytes", (json_int_t)info->weight_bytes, "part_bytes", parts,
                     "kv_bytes_per_token", (json_int_t)config_kv_bytes(c, 1, 1, sizeof(float)), "kv_bytes_context",
                     (json_int_t)config_kv_bytes(c, 1, c->context, sizeof(float)), "files", files);
}

/* The first that fits decides: "self_attn.q_proj", "h.0.attn.c_attn", "h.0.mlp.c_fc", "post_attention_layernorm", "ln_f". */
static const struct tensor_part tensor_parts[TENSOR_PARTS] = {
    {"attn.", PART_ATTENTION}, {"mlp.", PART_MLP},       {"norm.", PART_NORMS},
    {"ln_", PART_NORMS},       {"wte.", PART_EMBEDDING}, {"embed_tokens.", PART_EMBEDDING},
    {"wpe.", PART_POSITIONS},  {"lm_head.", PART_HEAD},  {0},
};
static const char *const part_names[PART_COUNT] = {
    [PART_EMBEDDING] = "embedding", [PART_POSITIONS] = "positions", [PART_ATTENTION] = "attention", [PART_MLP] = "MLP",
    [PART_NORMS] = "norms",         [PART_HEAD] = "head",
};
