/* SPDX-License-Identifier: MIT
 * A model written as one GGUF file of version 3, as llama.cpp's own converter lays it out: keys, tensor infos, data, each
 * tensor padded to the alignment. All of the header is made in memory first; the data streams through a buffer of rows, encoded
 * by all threads. The file appears under its name only when it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "rope.h"
#include "source.h"
#include "text.h"

enum { VERSION = 3, STRETCH = 1 << 20 /* elements encoded at once */, SMALL = 1 << 14 /* not worth waking threads for */ };

struct item {
    struct tensor_slot slot;
    char name[GGUF_NAME_MAX + 1];
    enum dtype dtype;
    uint64_t bytes;
    bool permuted;
};

struct writer {
    const struct model_config *c;
    enum dtype dtype; /* of matrices whose rows it fits */
    struct text keys, infos;
    uint64_t key_count;
    struct item *items;
    size_t count, space;
    uint64_t data_bytes; /* padded, so far */
};

/* --- keys ----------------------------------------------------------------------------------------------------------------- */

static void put_u32(struct text *t, uint32_t v)
{
    text_add(t, (const char *)&v, sizeof v);
}

static void put_u64(struct text *t, uint64_t v)
{
    text_add(t, (const char *)&v, sizeof v);
}

static void put_string(struct text *t, const char *data, size_t len)
{
    put_u64(t, len);
    text_add(t, data, len);
}

/* The names of this file are short; "." in front stands for the architecture's own. */
static void put_key(struct writer *w, const char *name, enum gguf_type type)
{
    char full[96];

    snprintf(full, sizeof full, "%s%s", name[0] == '.' ? gguf_arch(w->c) : "", name);
    put_string(&w->keys, full, strlen(full));
    put_u32(&w->keys, type);
    w->key_count++;
}

static void add_text(struct writer *w, const char *name, const char *value)
{
    put_key(w, name, GGUF_STRING);
    put_string(&w->keys, value, strlen(value));
}

static void add_int(struct writer *w, const char *name, int value)
{
    put_key(w, name, GGUF_U32);
    put_u32(&w->keys, (uint32_t)value);
}

static void add_number(struct writer *w, const char *name, double value)
{
    float f = (float)value;

    put_key(w, name, GGUF_F32);
    text_add(&w->keys, (const char *)&f, sizeof f);
}

static void add_bool(struct writer *w, const char *name, bool value)
{
    put_key(w, name, GGUF_BOOL);
    text_add(&w->keys, value ? "\1" : "\0", 1);
}

static void add_array(struct writer *w, const char *name, enum gguf_type element, size_t count)
{
    put_key(w, name, GGUF_ARRAY);
    put_u32(&w->keys, element);
    put_u64(&w->keys, count);
}

/* general.file_type has numbers of its own. */
static int file_type(enum dtype d)
{
    static const int numbers[DTYPE_COUNT] = {
        [DTYPE_F32] = 0, [DTYPE_F16] = 1, [DTYPE_Q4_0] = 2, [DTYPE_Q8_0] = 7, [DTYPE_BF16] = 32};

    return numbers[d];
}

static void add_model_keys(struct writer *w)
{
    const struct model_config *c = w->c;
    bool gpt2 = c->position == POSITION_LEARNED;

    add_text(w, "general.architecture", gguf_arch(c));
    add_text(w, "general.type", "model");
    add_text(w, "general.name", c->name);
    add_int(w, "general.file_type", file_type(w->dtype));
    add_int(w, "general.alignment", GGUF_ALIGNMENT);
    if (dtype_block(w->dtype) > 1)
        add_int(w, "general.quantization_version", GGUF_QUANTIZATION);
    add_int(w, ".vocab_size", c->vocab);
    add_int(w, ".context_length", c->context);
    add_int(w, ".embedding_length", c->d_model);
    add_int(w, ".block_count", c->layers);
    add_int(w, ".feed_forward_length", c->d_ff);
    add_int(w, ".attention.head_count", c->heads);
    add_int(w, ".attention.head_count_kv", c->kv_heads);
    add_number(w, gpt2 ? ".attention.layer_norm_epsilon" : ".attention.layer_norm_rms_epsilon", c->norm_eps);
    if (c->window > 0)
        add_int(w, ".attention.sliding_window", c->window);
    if (gpt2)
        return;
    add_int(w, ".attention.key_length", c->head_dim);
    add_int(w, ".attention.value_length", c->head_dim);
    add_int(w, ".rope.dimension_count", c->head_dim);
    add_number(w, ".rope.freq_base", c->rope_theta);
    if (c->rope.kind == ROPE_LINEAR) {
        add_text(w, ".rope.scaling.type", "linear");
        add_number(w, ".rope.scaling.factor", c->rope.factor);
    }
}

/* --- the tokenizer -------------------------------------------------------------------------------------------------------- */

/* The model may have more rows than the tokenizer has tokens; readers expect one for each, so the rest get names as in the
 * converter. */
static void add_tokens(struct writer *w, const struct token_list *l)
{
    size_t vocab = (size_t)w->c->vocab;
    char pad[32];

    add_array(w, "tokenizer.ggml.tokens", GGUF_STRING, vocab);
    for (size_t i = 0; i < l->count; i++)
        put_string(&w->keys, l->token[i].data, l->token[i].len);
    for (size_t i = l->count; i < vocab; i++)
        put_string(&w->keys, pad, (size_t)snprintf(pad, sizeof pad, "[PAD%zu]", i));
    add_array(w, "tokenizer.ggml.token_type", GGUF_I32, vocab);
    for (size_t i = 0; i < vocab; i++)
        put_u32(&w->keys, (uint32_t)(i >= l->count ? TOKEN_UNUSED : l->type ? l->type[i] : TOKEN_NORMAL));
    add_array(w, "tokenizer.ggml.merges", GGUF_STRING, l->merge_count);
    for (size_t i = 0; i < l->merge_count; i++)
        put_string(&w->keys, l->merge[i].data, l->merge[i].len);
}

/* A prompt that begins with the tokenizer's own token keeps it, whatever the model's config says. */
static void add_ids(struct writer *w, const struct token_list *l)
{
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int bos = l && l->add_bos == 1 ? l->bos : w->c->bos;

    if (bos >= 0)
        add_int(w, "tokenizer.ggml.bos_token_id", bos);
    for (int i = 0; i < w->c->eos_count; i++)
        add_int(w, ends[i], w->c->eos[i]);
    if (l && l->unknown >= 0)
        add_int(w, "tokenizer.ggml.unknown_token_id", l->unknown);
    if (l && l->add_bos >= 0)
        add_bool(w, "tokenizer.ggml.add_bos_token", l->add_bos);
    if (l && l->add_eos >= 0)
        add_bool(w, "tokenizer.ggml.add_eos_token", l->add_eos);
}

static int add_tokenizer(struct writer *w, struct tokenizer *t, struct err *e)
{
    struct token_list l;

    if (!t) {
        add_text(w, "tokenizer.ggml.model", "none");
        add_ids(w, NULL);
        return 0;
    }
    int code = tokenizer_list(t, &l, e);
    if (code < 0)
        return code;
    if (l.count > (size_t)w->c->vocab)
        return err_set(e, ERR_USAGE, "the tokenizer has %zu tokens, the model's vocabulary %d", l.count, w->c->vocab);
    add_text(w, "tokenizer.ggml.model", l.model);
    add_text(w, "tokenizer.ggml.pre", l.pre ? l.pre : "gpt-2");
    add_tokens(w, &l);
    add_ids(w, &l);
    return 0;
}

/* --- tensors -------------------------------------------------------------------------------------------------------------- */

static uint64_t padding(uint64_t bytes)
{
    return (GGUF_ALIGNMENT - bytes % GGUF_ALIGNMENT) % GGUF_ALIGNMENT;
}

/* Vectors stay float32; a matrix whose rows do not fill blocks becomes F16: both as llama.cpp has it. */
static int add_tensor(struct writer *w, const char *name, const struct tensor_slot *slot, struct err *e)
{
    bool fits = slot->to.cols % dtype_block(w->dtype) == 0;
    uint64_t cols = (uint64_t)slot->to.cols, rows = (uint64_t)slot->to.rows;

    if (w->count == w->space) {
        w->space = 2 * w->space + 64;
        struct item *items = realloc(w->items, w->space * sizeof *items);
        if (!items)
            return err_set(e, ERR_MEMORY, "out of memory for %zu tensors", w->space);
        w->items = items;
    }
    struct item *i = &w->items[w->count++];
    *i = (struct item){.slot = *slot, .permuted = gguf_is_permuted(w->c, slot->name)};
    snprintf(i->name, sizeof i->name, "%s", name);
    i->dtype = slot->to.cols == 1 ? DTYPE_F32 : fits ? w->dtype : DTYPE_F16;
    i->bytes = rows * dtype_bytes(i->dtype, cols);
    put_string(&w->infos, name, strlen(name));
    put_u32(&w->infos, cols == 1 ? 1 : 2);
    if (cols > 1)
        put_u64(&w->infos, cols);
    put_u64(&w->infos, rows);
    put_u32(&w->infos, gguf_dtype_number(i->dtype));
    put_u64(&w->infos, w->data_bytes);
    w->data_bytes += i->bytes + padding(i->bytes);
    return 0;
}

static int add_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    char name[GGUF_NAME_MAX + 1];

    gguf_tensor_name(name, slot->name);
    return add_tensor(ctx, name, slot, e);
}

/* llama3 scaling has no key: it is divisors of the frequencies. A model that came from GGUF has them already. */
static int add_rope_factors(struct writer *w, const struct weights *from, float **factors, struct err *e)
{
    int n = w->c->head_dim / 2;
    struct tensor_slot slot = {.to = {.dtype = DTYPE_F32, .rows = n, .cols = 1, .row_bytes = sizeof(float)}};

    if (w->c->rope.kind != ROPE_LLAMA3 && !from->rope_factors)
        return 0;
    *factors = calloc((size_t)n, sizeof **factors);
    if (!*factors)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (w->c->rope.kind == ROPE_LLAMA3)
        rope_llama3_factors(*factors, w->c);
    else
        memcpy(*factors, from->rope_factors, (size_t)n * sizeof **factors);
    slot.to.data = *factors;
    return add_tensor(w, "rope_freqs.weight", &slot, e);
}

/* --- the file ------------------------------------------------------------------------------------------------------------- */

static bool put_zeros(FILE *f, uint64_t n)
{
    static const char zeros[GGUF_ALIGNMENT];

    return fwrite(zeros, 1, (size_t)n, f) == n;
}

static bool put_header(FILE *f, const struct writer *w)
{
    struct text head = {0};

    text_add(&head, "GGUF", 4);
    put_u32(&head, VERSION);
    put_u64(&head, w->count);
    put_u64(&head, w->key_count);
    text_add(&head, w->keys.data, w->keys.len);
    text_add(&head, w->infos.data, w->infos.len);
    bool ok = fwrite(head.data, 1, head.len, f) == head.len && put_zeros(f, padding(head.len));
    text_free(&head);
    return ok;
}

/* `buffer` holds STRETCH elements of any type, or one row. */
static bool put_tensor(FILE *f, const struct writer *w, const struct item *item, uint8_t *buffer)
{
    size_t cols = (size_t)item->slot.to.cols, stride = dtype_bytes(item->dtype, cols);
    int rows = item->slot.to.rows, stretch = cols < STRETCH ? (int)(STRETCH / cols) : 1;

    for (int first = 0; first < rows; first += stretch) {
        int n = rows - first < stretch ? rows - first : stretch;
#pragma omp parallel for schedule(static) if ((size_t)n * cols > SMALL)
        for (int i = 0; i < n; i++) {
            int row = item->permuted ? gguf_row(w->c, first + i) : first + i;
            dtype_encode(item->dtype, buffer + (size_t)i * stride, matrix_row(&item->slot.to, row), cols);
        }
        if (fwrite(buffer, stride, (size_t)n, f) != (size_t)n)
            return false;
    }
    return put_zeros(f, padding(item->bytes));
}

struct saving {
    const struct writer *w;
    uint8_t *buffer;
};

static int put_file(FILE *f, void *ctx)
{
    const struct saving *s = ctx;
    bool ok = put_header(f, s->w);

    for (size_t i = 0; i < s->w->count && ok; i++)
        ok = put_tensor(f, s->w, &s->w->items[i], s->buffer);
    return ok ? 0 : -1;
}

static int save(const struct writer *w, const char *path, struct err *e)
{
    size_t widest = STRETCH;

    for (size_t i = 0; i < w->count; i++)
        widest = (size_t)w->items[i].slot.to.cols > widest ? (size_t)w->items[i].slot.to.cols : widest;
    struct saving saving = {w, malloc(widest * sizeof(float))};
    if (!saving.buffer)
        return err_set(e, ERR_MEMORY, "%s: out of memory", path);
    int code = text_replace_file(path, put_file, &saving, e);
    free(saving.buffer);
    return code;
}

/* --- what can be written -------------------------------------------------------------------------------------------------- */

static const char *reason_against(const struct model_config *c, const struct weights *w)
{
    bool gpt2 = c->position == POSITION_LEARNED, qwen2 = strcmp(gguf_arch(c), "qwen2") == 0;

    if (gpt2 ? c->norm != NORM_LAYER || c->mlp != MLP_GELU_TANH : c->norm != NORM_RMS || c->mlp != MLP_SWIGLU)
        return "its architectures have no such mixture of positions, norm and MLP";
    if (gpt2 && (!c->qkv_bias || !c->out_bias || !c->mlp_bias))
        return "its gpt2 architecture has all biases";
    if (gpt2 && (c->kv_heads != c->heads || c->heads * c->head_dim != c->d_model))
        return "its gpt2 architecture has as many key heads as heads, which make up the width";
    if (qwen2 && (!c->qkv_bias || c->out_bias || c->mlp_bias))
        return "its qwen2 architecture has biases on q, k and v and on nothing else";
    if (qwen2 && (c->rope.kind == ROPE_LLAMA3 || w->rope_factors))
        return "its qwen2 architecture has no llama3 rope scaling";
    if (c->window > 0 && c->window_first > 0)
        return "a sliding window is on all layers or on none";
    if (c->eos_count > 3)
        return "it has places for three end-of-text ids";
    return NULL;
}

static int check_writable(const struct model_config *c, const struct weights *w, enum dtype d, struct err *e)
{
    const char *why = reason_against(c, w);

    if (!dtype_is_writable(d))
        return err_set(e, ERR_USAGE, "%s cannot be written; expected F32, F16, BF16, Q8_0 or Q4_0", dtype_name(d));
    if (w->embed.dtype != DTYPE_F32)
        return err_set(e, ERR_USAGE, "weights held as %s cannot be written; open the model with dtype f32",
                       dtype_full_name(w->embed.dtype));
    if (why)
        return err_set(e, ERR_USAGE, "GGUF cannot hold this model: %s", why);
    return config_check(c, e);
}

int gguf_write(const char *path, const struct model_config *c, const struct weights *w, struct tokenizer *t, enum dtype d,
               struct err *e)
{
    struct writer out = {.c = c, .dtype = d};
    float *factors = NULL;
    int code = check_writable(c, w, d, e);

    if (code == 0) {
        add_model_keys(&out);
        code = add_tokenizer(&out, t, e);
    }
    if (code == 0)
        code = add_rope_factors(&out, w, &factors, e);
    if (code == 0)
        code = weights_visit(w, c, add_slot, &out, e);
    if (code < 0)
        err_wrap(e, "%s", path);
    else
        code = save(&out, path, e);
    free(factors);
    free(out.items);
    text_free(&out.keys);
    text_free(&out.infos);
    return code;
}
