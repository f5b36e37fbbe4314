/* SPDX-License-Identifier: MIT
 * A model written out as a Hugging Face folder that transformers loads: the files that hf_source.c reads, in the other
 * direction. What cannot be said in such files is refused before the first is written; tensors go out in stretches, so that no
 * second copy of the model is held. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hf.h"

enum { STRETCH = 1 << 16 };

/* --- model.safetensors --------------------------------------------------------------------------------------------------- */

struct writer {
    const struct model_config *config;
    const struct weights *weights;
    FILE *file;
    enum dtype dtype;
    bool gpt2;
    struct text header;
    size_t at;   /* bytes of tensors so far */
    float *row;  /* room for a file row, or a stretch */
    char *bytes; /* the same as it is stored */
};

/* The body of a model lies behind a prefix, its head does not. */
static const char *prefix_of(const struct writer *w, const char *name)
{
    return strcmp(name, "lm_head.weight") == 0 ? "" : w->gpt2 ? "transformer." : "model.";
}

static int describe(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct writer *w = ctx;
    int first = slot->transposed ? slot->to.cols : slot->to.rows, second = slot->transposed ? slot->to.rows : slot->to.cols;
    size_t size = dtype_bytes(w->dtype, (size_t)slot->to.rows * (size_t)slot->to.cols);

    (void)e;
    text_printf(&w->header, ",\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%d", prefix_of(w, slot->name), slot->name,
                dtype_name(w->dtype), first);
    if (slot->to.cols > 1)
        text_printf(&w->header, ",%d", second);
    text_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", w->at, w->at + size);
    w->at += size;
    return 0;
}

static int put(struct writer *w, const float *values, size_t n)
{
    size_t size = dtype_bytes(w->dtype, n);

    dtype_encode(w->dtype, w->bytes, values, n);
    return fwrite(w->bytes, 1, size, w->file) == size ? 0 : ERR_IO;
}

static int put_plain(struct writer *w, const float *values, size_t n)
{
    int code = 0;

    for (size_t i = 0; i < n && code == 0; i += STRETCH)
        code = put(w, values + i, n - i < STRETCH ? n - i : STRETCH);
    return code;
}

/* Column by column: the file's rows. */
static int put_transposed(struct writer *w, const float *values, size_t rows, size_t cols)
{
    int code = 0;

    for (size_t c = 0; c < cols; c++) {
        for (size_t r = 0, n = 0; r < rows && code == 0; r++) {
            w->row[n++] = values[r * cols + c];
            if (n == STRETCH || r + 1 == rows) {
                code = put(w, w->row, n);
                n = 0;
            }
        }
    }
    return code;
}

static int put_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    size_t rows = (size_t)slot->to.rows, cols = (size_t)slot->to.cols;

    (void)e;
    return slot->transposed ? put_transposed(ctx, slot->to.data, rows, cols) : put_plain(ctx, slot->to.data, rows * cols);
}

static int put_all(FILE *f, void *ctx)
{
    struct writer *w = ctx;
    const struct model_config *c = w->config;
    const struct weights *weights = w->weights;
    uint64_t length;

    w->file = f;
    text_puts(&w->header, "{\"__metadata__\":{\"format\":\"pt\"}");
    weights_visit(weights, c, describe, w, NULL);
    text_puts(&w->header, "}");
    while (w->header.len % 8)
        text_puts(&w->header, " ");
    length = w->header.len;
    if (fwrite(&length, 1, sizeof length, w->file) != sizeof length ||
        fwrite(w->header.data, 1, w->header.len, w->file) != w->header.len)
        return ERR_IO;
    return weights_visit(weights, c, put_slot, w, NULL);
}

static int write_tensors(const char *path, const struct model_config *c, const struct weights *weights, enum dtype d,
                         struct err *e)
{
    struct writer w = {.config = c, .weights = weights, .dtype = d, .gpt2 = c->position == POSITION_LEARNED};
    int code;

    w.row = malloc(STRETCH * sizeof *w.row);
    w.bytes = malloc(dtype_bytes(d, STRETCH));
    if (w.row && w.bytes)
        code = text_replace_file(path, put_all, &w, e);
    else
        code = err_set(e, ERR_MEMORY, "%s: out of memory", path);
    free(w.row);
    free(w.bytes);
    text_free(&w.header);
    return code;
}

/* --- the tokenizer ------------------------------------------------------------------------------------------------------- */

static int write_text(const char *dir, const char *name, const struct text *content, struct err *e)
{
    struct text path = {0};

    text_printf(&path, "%s/%s", dir, name);
    int code = text_write_file(path.data, content->data, content->len, e);
    text_free(&path);
    return code;
}

/* Takes the object. */
static int write_json(const char *dir, const char *name, json_t *object, size_t flags, struct err *e)
{
    char *json = object ? json_dumps(object, flags) : NULL;
    struct text content = {0};
    int code;

    if (json) {
        text_printf(&content, "%s\n", json);
        code = write_text(dir, name, &content, e);
    } else {
        code = err_set(e, ERR_MEMORY, "%s/%s: out of memory", dir, name);
    }
    free(json);
    text_free(&content);
    json_decref(object);
    return code;
}

static int write_vocab(const char *dir, const struct token_list *l, struct err *e)
{
    json_t *vocab = json_object();
    struct text token = {0};
    int code = 0;

    for (size_t i = 0; i < l->count && code == 0; i++) {
        if (l->token[i].len == 0) /* an id without a token */
            continue;
        token.len = 0;
        text_add(&token, l->token[i].data, l->token[i].len);
        if (json_object_get(vocab, token.data) || json_object_set_new(vocab, token.data, json_integer((json_int_t)i)) < 0)
            code = err_set(e, ERR_FORMAT, "%s/vocab.json: token %zu '%.80s': expected UTF-8 that no other token has", dir, i,
                           token.data);
    }
    text_free(&token);
    if (code == 0)
        return write_json(dir, "vocab.json", vocab, JSON_COMPACT, e);
    json_decref(vocab);
    return code;
}

static int write_merges(const char *dir, const struct token_list *l, struct err *e)
{
    struct text content = {0};

    text_puts(&content, "#version: 0.2\n");
    for (size_t i = 0; i < l->merge_count; i++) {
        text_add(&content, l->merge[i].data, l->merge[i].len);
        text_puts(&content, "\n");
    }
    int code = write_text(dir, "merges.txt", &content, e);
    text_free(&content);
    return code;
}

static json_t *token_json(const struct token_list *l, int id)
{
    bool there = id >= 0 && (size_t)id < l->count;

    return there ? json_stringn(l->token[id].data, l->token[id].len) : json_null();
}

/* The tokens that are found in a text before it is split. */
static json_t *added_tokens(const struct token_list *l)
{
    json_t *all = json_object();
    char id[16];

    for (int i = 0; l->type && i < (int)l->count; i++) {
        if (l->type[i] != TOKEN_CONTROL && l->type[i] != TOKEN_USER_DEFINED)
            continue;
        json_t *one = json_object();
        json_object_set_new(one, "content", token_json(l, i));
        json_object_set_new(one, "lstrip", json_false());
        json_object_set_new(one, "normalized", json_false());
        json_object_set_new(one, "rstrip", json_false());
        json_object_set_new(one, "single_word", json_false());
        json_object_set_new(one, "special", json_boolean(l->type[i] == TOKEN_CONTROL));
        snprintf(id, sizeof id, "%d", i);
        json_object_set_new(all, id, one);
    }
    return all;
}

/* A token that is not there is null: GPT2Tokenizer would make up <|endoftext|>. */
static int write_tokenizer_config(const char *dir, const struct model_config *c, const struct token_list *l, struct err *e)
{
    json_t *about = json_object();

    json_object_set_new(about, "tokenizer_class", json_string("GPT2Tokenizer"));
    json_object_set_new(about, "add_bos_token", json_boolean(l->add_bos > 0));
    json_object_set_new(about, "add_prefix_space", json_false());
    json_object_set_new(about, "added_tokens_decoder", added_tokens(l));
    json_object_set_new(about, "bos_token", token_json(l, l->bos));
    json_object_set_new(about, "eos_token", token_json(l, l->eos));
    json_object_set_new(about, "unk_token", token_json(l, l->unknown));
    json_object_set_new(about, "model_max_length", json_integer(c->context));
    return write_json(dir, "tokenizer_config.json", about, JSON_INDENT(2), e);
}

static int write_tokenizer(const char *dir, const struct model_config *c, const struct token_list *l, struct err *e)
{
    int code = write_vocab(dir, l, e);

    if (code == 0)
        code = write_merges(dir, l, e);
    return code == 0 ? write_tokenizer_config(dir, c, l, e) : code;
}

/* --- the folder ---------------------------------------------------------------------------------------------------------- */

static int check_words(const char *dir, const struct model_config *c, const struct weights *w, const struct token_list *l,
                       enum dtype d, struct err *e)
{
    const char *why;

    if (d != DTYPE_F32 && d != DTYPE_F16 && d != DTYPE_BF16)
        return err_set(e, ERR_USAGE, "%s: dtype %s cannot be written as safetensors; expected F32, F16 or BF16", dir,
                       dtype_name(d));
    if (w->embed.dtype != DTYPE_F32)
        return err_set(e, ERR_USAGE, "%s: weights held as %s cannot be written; open the model with dtype f32", dir,
                       dtype_full_name(w->embed.dtype));
    if (!hf_config_can_say(c, &why))
        return err_set(e, ERR_USAGE, "%s: config.json cannot say '%s', a %s model %s", dir, c->name, c->arch, why);
    if (w->rope_factors)
        return err_set(e, ERR_USAGE,
                       "%s: config.json cannot say the rotary factors of '%s', which a GGUF file lists one by one", dir,
                       c->name);
    if (l && l->pre && strcmp(l->pre, "gpt-2") != 0)
        return err_set(e, ERR_USAGE, "%s: vocab.json and merges.txt cannot say the tokenizer's way of splitting, %s", dir,
                       l->pre);
    if (l && (l->add_eos > 0))
        return err_set(e, ERR_USAGE, "%s: tokenizer_config.json cannot say an end-of-text token after each prompt", dir);
    return 0;
}

static int write_config(const char *dir, const struct model_config *c, enum dtype d, struct err *e)
{
    struct text config = {0}, generation = {0};

    hf_config_text(&config, c, d);
    hf_generation_text(&generation, c);
    int code = write_text(dir, "config.json", &config, e);
    if (code == 0)
        code = write_text(dir, "generation_config.json", &generation, e);
    text_free(&config);
    text_free(&generation);
    return code;
}

int hf_write(const char *dir, const struct model_config *c, const struct weights *w, struct tokenizer *t, enum dtype d,
             struct err *e)
{
    struct token_list list;
    struct text path = {0};
    int code = t ? tokenizer_list(t, &list, e) : 0;

    if (code == 0)
        code = check_words(dir, c, w, t ? &list : NULL, d, e);
    if (code < 0)
        return code;
    if (mkdir(dir, 0777) < 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    text_printf(&path, "%s/model.safetensors", dir);
    code = write_tensors(path.data, c, w, d, e);
    if (code == 0)
        code = write_config(dir, c, d, e);
    if (code == 0 && t)
        code = write_tokenizer(dir, c, &list, e);
    text_free(&path);
    return code;
}
