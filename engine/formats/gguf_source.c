/* SPDX-License-Identifier: MIT
 * A model out of one GGUF file. Opening matches all names, types and shapes with the model's own, so that reading only copies
 * or converts: straight from the mapping into place, row by row, and then lets the pages go, which keeps the peak at the
 * weights plus one tensor. What the model does not know is refused: a tensor passed over in silence would be a model computed
 * wrongly. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf.h"
#include "source.h"

enum { SMALL = 1 << 14 }; /* elements that are not worth waking other threads for */

struct gguf_source {
    struct source base;
    struct gguf file;
    bool *used; /* by tensor */
};

/* --- matching ------------------------------------------------------------------------------------------------------------- */

static int check_shape(struct gguf_source *s, const struct gguf_tensor *t, uint64_t cols, uint64_t rows, struct err *e)
{
    if (t->shape[0] != cols || t->shape[1] != rows || t->shape[2] != 1 || t->shape[3] != 1)
        return err_set(e, ERR_FORMAT,
                       "%s: tensor '%s': shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64 "], the keys ask for [%" PRIu64
                       ", %" PRIu64 ", 1, 1]",
                       s->file.path, t->name, t->shape[0], t->shape[1], t->shape[2], t->shape[3], cols, rows);
    s->used[t - s->file.tensors] = true;
    return 0;
}

static int check_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct gguf_source *s = ctx;
    char name[GGUF_NAME_MAX + 1];
    uint64_t rows = (uint64_t)slot->to.rows, cols = (uint64_t)slot->to.cols;

    gguf_tensor_name(name, slot->name);
    const struct gguf_tensor *t = gguf_find_tensor(&s->file, name);
    if (!t)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' is missing", s->file.path, name);
    if (cols == 1 && dtype_block(t->dtype) != 1)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s': a vector of type %s is not supported; expected F32, F16 or BF16",
                       s->file.path, name, dtype_name(t->dtype));
    s->base.elements[t->dtype] += rows * cols;
    s->base.bytes += t->bytes;
    return cols == 1 ? check_shape(s, t, rows, 1, e) : check_shape(s, t, cols, rows, e);
}

/* llama3 scaling, as divisors of the frequencies. Only the llama architecture has them. */
static int read_rope_factors(struct gguf_source *s, struct err *e)
{
    const struct gguf_tensor *t = gguf_find_tensor(&s->file, "rope_freqs.weight");
    size_t n = (size_t)s->base.config.head_dim / 2;

    if (!t || strcmp(s->base.config.arch, "llama") != 0)
        return 0;
    int code = check_shape(s, t, n, 1, e);
    if (code < 0)
        return code;
    s->base.rope_factors = calloc(n, sizeof(float));
    if (!s->base.rope_factors)
        return err_set(e, ERR_MEMORY, "%s: out of memory", s->file.path);
    dtype_decode(t->dtype, s->base.rope_factors, s->file.map + t->at, n);
    for (size_t i = 0; i < n; i++)
        if (!(s->base.rope_factors[i] > 0) || !isfinite(s->base.rope_factors[i]))
            return err_set(e, ERR_FORMAT, "%s: tensor '%s': element %zu is %g; expected a positive number", s->file.path,
                           t->name, i, (double)s->base.rope_factors[i]);
    return 0;
}

static int check_tensors(struct gguf_source *s, struct err *e)
{
    struct weights plan = {0};
    int code = weights_plan(&plan, &s->base.config, DTYPE_F32, e);

    s->used = calloc(s->file.tensor_count + 1, sizeof *s->used);
    if (code == 0 && !s->used)
        code = err_set(e, ERR_MEMORY, "%s: out of memory for %zu tensors", s->file.path, s->file.tensor_count);
    if (code == 0)
        code = weights_visit(&plan, &s->base.config, check_slot, s, e);
    weights_free(&plan);
    if (code == 0)
        code = read_rope_factors(s, e);
    for (size_t i = 0; i < s->file.tensor_count && code == 0; i++)
        if (!s->used[i])
            code = err_set(e, ERR_FORMAT, "%s: tensor '%s' is not part of a %s model with %d layers", s->file.path,
                           s->file.tensors[i].name, s->base.config.arch, s->base.config.layers);
    return code;
}

static void gguf_source_close(struct source *base)
{
    struct gguf_source *s = (struct gguf_source *)base;

    gguf_close(&s->file);
    free(s->used);
    free(s->base.rope_factors);
    free(s);
}

static int gguf_source_open(struct source **out, const char *path, uint64_t seed, struct err *e)
{
    struct gguf_source *s = calloc(1, sizeof *s);

    (void)seed;
    if (!s)
        return err_set(e, ERR_MEMORY, "%s: out of memory", path);
    s->base.ops = &source_gguf;
    snprintf(s->base.about, sizeof s->base.about, "%s", path);
    int code = gguf_open(&s->file, path, e);
    if (code == 0)
        code = gguf_read_config(&s->base.config, &s->file, e);
    if (code == 0)
        code = check_tensors(s, e);
    if (code < 0) {
        gguf_source_close(&s->base);
        return code;
    }
    *out = &s->base;
    return 0;
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* A vector is a matrix of one column here, so that a permuted bias moves like the rows that it belongs to. */
static void copy_rows(const struct gguf_source *s, const struct gguf_tensor *t, const struct tensor_slot *slot, bool permuted)
{
    size_t cols = (size_t)slot->to.cols, stride = dtype_bytes(t->dtype, cols);
    const uint8_t *in = s->file.map + t->at;

#pragma omp parallel for schedule(static) if (cols * (size_t)slot->to.rows > SMALL)
    for (int row = 0; row < slot->to.rows; row++)
        matrix_put_row(&slot->to, permuted ? gguf_row(&s->base.config, row) : row, t->dtype, in + (size_t)row * stride);
}

static int copy_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    const struct gguf_source *s = ctx;
    char name[GGUF_NAME_MAX + 1];
    int code = gguf_check_size(&s->file, e);

    if (code < 0)
        return code;
    gguf_tensor_name(name, slot->name);
    const struct gguf_tensor *t = gguf_find_tensor(&s->file, name);
    copy_rows(s, t, slot, gguf_is_permuted(&s->base.config, slot->name));
    gguf_forget(&s->file, t);
    return 0;
}

static int gguf_source_read(struct source *base, struct weights *w, struct err *e)
{
    return weights_visit(w, &base->config, copy_slot, base, e);
}

static const char *gguf_source_file(const struct source *base, int i)
{
    return i == 0 ? ((const struct gguf_source *)base)->file.path : NULL;
}

/* --- the tokenizer -------------------------------------------------------------------------------------------------------- */

/* A token list with the memory behind it. */
struct list {
    struct token_list l;
    char model[32], pre[64];
    struct token_bytes *token, *merge;
    void *score, *type;
};

static int bad_key(const struct gguf *g, const char *key, const char *why, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s: %s: %s", g->path, key, why);
}

static int read_name(const struct gguf *g, const char *key, char *buf, size_t size, struct err *e)
{
    const struct gguf_key *k = gguf_find_key(g, key);

    return k && !gguf_name(g, k, buf, size) ? bad_key(g, key, "expected a string", e) : 0;
}

static int read_strings(const struct gguf *g, const char *key, struct token_bytes **out, size_t *count, struct err *e)
{
    const struct gguf_key *k = gguf_find_key(g, key);
    struct gguf_string s;

    if (!k || k->type != GGUF_ARRAY || k->element != GGUF_STRING)
        return bad_key(g, key, k ? "expected an array of strings" : "the key is missing; expected an array of strings", e);
    *out = calloc(k->count + 1, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "%s: out of memory for %" PRIu64 " strings", g->path, k->count);
    uint64_t at = k->at;
    for (uint64_t i = 0; i < k->count; i++) {
        if (!gguf_next_string(g, &at, &s))
            return bad_key(g, key, "the file changed while it was read", e);
        (*out)[i] = (struct token_bytes){.data = s.data, .len = s.len};
    }
    *count = (size_t)k->count;
    return 0;
}

/* One 4-byte number for each token, copied because the file aligns nothing; NULL where the key is absent. */
static int read_numbers(const struct gguf *g, const char *key, enum gguf_type type, size_t count, void **out, struct err *e)
{
    const struct gguf_key *k = gguf_find_key(g, key);

    if (!k)
        return 0;
    if (k->type != GGUF_ARRAY || k->element != type || k->count != count)
        return bad_key(g, key, type == GGUF_F32 ? "expected a float32 for each token" : "expected an int32 for each token", e);
    *out = malloc(count * sizeof(float) + 1);
    if (!*out)
        return err_set(e, ERR_MEMORY, "%s: out of memory for %zu tokens", g->path, count);
    memcpy(*out, g->map + k->at, count * sizeof(float));
    return 0;
}

/* -1 where the file does not say. */
static int read_switch(const struct gguf *g, const char *key, int *out, struct err *e)
{
    const struct gguf_key *k = gguf_find_key(g, key);
    bool b = false;

    if (k && !gguf_bool(g, k, &b))
        return bad_key(g, key, "expected true or false", e);
    *out = k ? b : -1;
    return 0;
}

/* The ids that llama.cpp takes for the llama kind where the file is silent are those of LLaMA's own vocabulary. */
static int read_ids(const struct gguf *g, struct token_list *l, bool llama, struct err *e)
{
    int code = gguf_token_id(g, "bos", llama ? 1 : -1, l->count, &l->bos, e);

    if (code == 0)
        code = gguf_token_id(g, "eos", llama ? 2 : -1, l->count, &l->eos, e);
    if (code == 0)
        code = gguf_token_id(g, "unknown", llama ? 0 : -1, l->count, &l->unknown, e);
    if (code == 0)
        code = read_switch(g, "tokenizer.ggml.add_bos_token", &l->add_bos, e);
    if (code == 0)
        code = read_switch(g, "tokenizer.ggml.add_eos_token", &l->add_eos, e);
    if (code == 0)
        code = read_switch(g, "tokenizer.ggml.add_space_prefix", &l->add_space_prefix, e);
    return code;
}

static int read_list(const struct gguf *g, struct list *t, struct err *e)
{
    bool llama = strcmp(t->model, "llama") == 0;
    size_t count = 0;
    int code = read_strings(g, "tokenizer.ggml.tokens", &t->token, &count, e);

    if (code == 0)
        code = read_name(g, "tokenizer.ggml.pre", t->pre, sizeof t->pre, e);
    if (code == 0)
        code = read_numbers(g, "tokenizer.ggml.token_type", GGUF_I32, count, &t->type, e);
    if (code == 0 && llama)
        code = read_numbers(g, "tokenizer.ggml.scores", GGUF_F32, count, &t->score, e);
    if (code == 0 && llama && !t->score)
        code = bad_key(g, "tokenizer.ggml.scores", "the key is missing; expected a float32 for each token", e);
    if (code == 0 && !llama)
        code = read_strings(g, "tokenizer.ggml.merges", &t->merge, &t->l.merge_count, e);
    t->l.model = t->model;
    t->l.pre = t->pre[0] ? t->pre : NULL;
    t->l.count = count;
    t->l.token = t->token;
    t->l.merge = t->merge;
    t->l.score = t->score;
    t->l.type = t->type;
    return code < 0 ? code : read_ids(g, &t->l, llama, e);
}

static int gguf_source_tokenizer(struct source *base, struct tokenizer **out, struct err *e)
{
    const struct gguf *g = &((struct gguf_source *)base)->file;
    struct list t = {0};
    int code = gguf_check_size(g, e);

    if (code == 0)
        code = read_name(g, "tokenizer.ggml.model", t.model, sizeof t.model, e);
    if (code < 0)
        return code;
    if (!t.model[0] || strcmp(t.model, "none") == 0 || strcmp(t.model, "no_vocab") == 0)
        return err_set(e, ERR_ABSENT, "%s comes without a tokenizer", g->path);
    if (strcmp(t.model, "gpt2") != 0 && strcmp(t.model, "llama") != 0)
        return err_set(e, ERR_FORMAT, "%s: tokenizer.ggml.model '%s' is not supported; expected gpt2 or llama", g->path,
                       t.model);
    code = read_list(g, &t, e);
    if (code == 0 && tokenizer_open_list(out, &t.l, e) < 0)
        code = err_wrap(e, "%s: tokenizer", g->path);
    free(t.token);
    free(t.merge);
    free(t.score);
    free(t.type);
    return code;
}

const struct source_ops source_gguf = {
    .name = "GGUF",
    .open = gguf_source_open,
    .read = gguf_source_read,
    .tokenizer = gguf_source_tokenizer,
    .file = gguf_source_file,
    .close = gguf_source_close,
};
