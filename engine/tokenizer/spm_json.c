/* SPDX-License-Identifier: MIT
 * A SentencePiece model as a tokenizer.json renders it (Llama 2, TinyLlama, Mistral: BPE with byte_fallback), written back as a
 * ModelProto. There merges have ranks where SentencePiece has a score for each piece: the lowest rank of the merges that make
 * it, negated. A token that no merge makes cannot come from text, which for SentencePiece is a control token. */
#include <stdlib.h>
#include <string.h>

#include "hf.h"
#include "spm.h"

#define SPACE "\xe2\x96\x81"

enum { MERGES_MAX = 1 << 22 }; /* ranks up to here are exact as a float */

/* --- settings --- */

static bool is_string(const json_t *value, const char *expected)
{
    const char *found = json_string_value(value);

    return found && strcmp(found, expected) == 0;
}

/* " " becomes U+2581. */
static bool is_replace(const json_t *step)
{
    return hf_has_type(step, "Replace") && is_string(json_object_get(json_object_get(step, "pattern"), "String"), " ") &&
           is_string(json_object_get(step, "content"), SPACE);
}

static bool is_prepend(const json_t *step)
{
    return hf_has_type(step, "Prepend") && is_string(json_object_get(step, "prepend"), SPACE);
}

/* Replace, or a Sequence of it alone or after Prepend. */
static int read_normalizer(struct spm *t, const json_t *normalizer, struct err *e)
{
    const json_t *steps = json_object_get(normalizer, "normalizers");
    const json_t *first = json_array_get(steps, 0), *second = json_array_get(steps, 1);
    bool sequence = hf_has_type(normalizer, "Sequence");

    if (sequence && json_array_size(steps) == 2 && is_prepend(first) && is_replace(second))
        t->base.front = FRONT_OF_EACH_STRETCH;
    else if (!(sequence && json_array_size(steps) == 1 && is_replace(first)) && !is_replace(normalizer))
        return err_set(e, ERR_FORMAT, "normalizer: expected Replace of \" \" by U+2581, or Prepend and Replace");
    return 0;
}

static int read_metaspace(struct spm *t, const json_t *pre, struct err *e)
{
    const json_t *scheme = json_object_get(pre, "prepend_scheme");
    char shown[48];

    if (!hf_has_type(pre, "Metaspace") || !is_string(json_object_get(pre, "replacement"), SPACE))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: expected null or Metaspace of U+2581, found \"%s\"",
                       tokenizer_excerpt(shown, json_string_value(json_object_get(pre, "type"))));
    if (!json_is_false(json_object_get(pre, "split")))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: split: expected false");
    t->own_space = true;
    if (is_string(scheme, "always"))
        t->base.front = FRONT_OF_EACH_STRETCH;
    else if (is_string(scheme, "first"))
        t->base.front = FRONT_OF_TEXT;
    else if (!is_string(scheme, "never"))
        return err_set(e, ERR_FORMAT,
                       "pre_tokenizer: prepend_scheme: expected \"always\", \"first\" or \"never\", found \"%s\"",
                       tokenizer_excerpt(shown, json_string_value(scheme)));
    return 0;
}

static int read_settings(struct spm *t, const json_t *root, struct err *e)
{
    static const char *const must_be_off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"};
    const json_t *model = json_object_get(root, "model");
    const json_t *normalizer = json_object_get(root, "normalizer"), *pre = json_object_get(root, "pre_tokenizer");
    const json_t *added = json_object_get(root, "added_tokens");
    char shown[48];

    if (!is_string(json_object_get(model, "type"), "BPE"))
        return err_set(e, ERR_FORMAT, "model.type: expected \"BPE\", found \"%s\"",
                       tokenizer_excerpt(shown, json_string_value(json_object_get(model, "type"))));
    if (!hf_is_off(normalizer) && !hf_is_off(pre))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: expected null where there is a normalizer");
    for (size_t i = 0; !hf_is_off(normalizer) && i < json_array_size(added); i++)
        if (!hf_is_off(json_object_get(json_array_get(added, i), "normalized")))
            return err_set(e, ERR_FORMAT, "added_tokens[%zu]: normalized: this setting is not supported", i);
    int code = hf_refuse_unless_off(model, must_be_off, sizeof must_be_off / sizeof *must_be_off, "model.", e);
    if (code < 0)
        return code;
    return hf_is_off(pre) ? read_normalizer(t, normalizer, e) : read_metaspace(t, pre, e);
}

/* --- the vocabulary --- */

static int put_vocab(struct spm *t, const json_t *model, size_t extra, struct err *e)
{
    const json_t *vocab = json_object_get(model, "vocab"), *unknown = json_object_get(model, "unk_token");
    char shown[48];
    const char *piece;
    json_t *id;
    int code;

    if (!json_is_object(vocab))
        return err_set(e, ERR_FORMAT, "expected an object of token: id");
    if ((code = vocab_init(&t->base.vocab, json_object_size(vocab) + extra, e)) < 0)
        return code;
    json_object_foreach((json_t *)vocab, piece, id)
    {
        size_t len = strlen(piece);
        enum token_type type = spm_byte(piece, len) >= 0   ? TOKEN_BYTE
                               : is_string(unknown, piece) ? TOKEN_UNKNOWN
                                                           : TOKEN_NORMAL;
        if (!json_is_integer(id))
            return err_set(e, ERR_FORMAT, "\"%s\": expected an integer id", tokenizer_excerpt(shown, piece));
        if ((code = vocab_put(&t->base.vocab, json_integer_value(id), piece, len, type, e)) < 0)
            return code;
    }
    return 0;
}

/* rank[id]: of the first merge that makes it, -1 where there is none. */
static int read_merge(const struct spm *t, const json_t *merge, int32_t rank, int32_t *ranks, struct err *e)
{
    const struct vocab *v = &t->base.vocab;
    struct token_bytes left, right;
    struct text both = {0};
    int code = 0;

    if (!hf_merge(merge, &left, &right))
        return err_set(e, ERR_FORMAT, "expected \"left right\" or [\"left\", \"right\"]");
    text_add(&both, left.data, left.len);
    text_add(&both, right.data, right.len);
    int32_t id = vocab_find(v, both.data, both.len);
    if (vocab_find(v, left.data, left.len) < 0 || vocab_find(v, right.data, right.len) < 0 || id < 0)
        code = err_set(e, ERR_FORMAT, "a token of it is not in the vocabulary");
    else if (ranks[id] < 0)
        ranks[id] = rank;
    text_free(&both);
    return code;
}

static int read_merges(const struct spm *t, const json_t *merges, int32_t *ranks, struct err *e)
{
    int code;

    if (!json_is_array(merges))
        return err_set(e, ERR_FORMAT, "model.merges: expected an array");
    if (json_array_size(merges) > MERGES_MAX)
        return err_set(e, ERR_FORMAT, "model.merges: %zu merges, expected at most %d", json_array_size(merges), MERGES_MAX);
    for (size_t i = 0; i < json_array_size(merges); i++)
        if ((code = read_merge(t, json_array_get(merges, i), (int32_t)i, ranks, e)) < 0)
            return err_wrap(e, "model.merges[%zu]", i);
    return 0;
}

/* Added tokens are spelled like pieces. */
static int32_t known_id(const struct tokenizer *t, const char *content, size_t len)
{
    return len > 0 ? vocab_find(&t->vocab, content, len) : -1;
}

static bool is_one_character(const char *piece, size_t len)
{
    size_t n = 1;

    while (n < len && ((unsigned char)piece[n] & 0xc0) == 0x80)
        n++;
    return n == len;
}

/* How the library is told of a token. Added tokens are found before it sees the text. */
static void write_piece(const struct spm *t, int32_t id, int32_t rank, struct text *proto)
{
    const struct vocab_token *token = &t->base.vocab.token[id];
    const char *piece = token->len ? vocab_bytes(&t->base.vocab, id) : NULL;
    enum token_type type = token->type;

    if (token->len == 0) {
        spm_proto_filler(proto, id, TOKEN_CONTROL);
        return;
    }
    if (type == TOKEN_USER_DEFINED || (type == TOKEN_NORMAL && rank < 0 && !is_one_character(piece, token->len)))
        type = TOKEN_CONTROL;
    spm_proto_piece(proto, piece, token->len, rank < 0 ? 0 : -(float)rank, type);
}

static int write_proto(struct spm *t, const json_t *root, struct text *proto, struct err *e)
{
    const struct vocab *v = &t->base.vocab;
    int32_t *ranks = malloc(VOCAB_MAX * sizeof *ranks);
    bool unknown = false;
    int code;

    if (!ranks)
        return err_set(e, ERR_MEMORY, "out of memory for the ranks of %d tokens", v->size);
    memset(ranks, 0xff, VOCAB_MAX * sizeof *ranks);
    code = read_merges(t, json_object_get(json_object_get(root, "model"), "merges"), ranks, e);
    if (code == 0)
        code = hf_added_tokens(&t->base, root, known_id, e);
    for (int32_t id = 0; id < v->size && code == 0; id++) {
        write_piece(t, id, ranks[id], proto);
        unknown = unknown || v->token[id].type == TOKEN_UNKNOWN;
    }
    if (!unknown)
        spm_proto_filler(proto, v->size, TOKEN_UNKNOWN);
    spm_proto_end(proto, true, t->base.front != FRONT_NOWHERE && !t->own_space);
    free(ranks);
    return code;
}

int spm_open_json(struct tokenizer **out, const json_t *root, struct err *e)
{
    struct text proto = {0};
    struct spm *t = spm_new(e);
    size_t added = json_array_size(json_object_get(root, "added_tokens"));
    int code;

    if (!t)
        return ERR_MEMORY;
    *out = &t->base;
    if ((code = read_settings(t, root, e)) < 0)
        return code;
    if ((code = put_vocab(t, json_object_get(root, "model"), added, e)) < 0)
        return err_wrap(e, "model.vocab");
    if ((code = write_proto(t, root, &proto, e)) == 0)
        code = spm_finish(t, &proto, "tokenizer.json", e);
    text_free(&proto);
    return code;
}
