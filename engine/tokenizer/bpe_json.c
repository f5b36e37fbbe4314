/* SPDX-License-Identifier: MIT
 * Reads a byte-level BPE from vocab.json + merges.txt and from Hugging Face's tokenizer.json. What of the latter cannot change
 * the ids (truncation, padding, decoder) is not looked at. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"
#include "hf.h"

/* `extra`: tokens that are put later. */
static int put_vocab(struct bpe *t, const json_t *vocab, size_t extra, struct err *e)
{
    char shown[48];
    const char *key;
    json_t *value;
    int code;

    if (!json_is_object(vocab))
        return err_set(e, ERR_FORMAT, "expected an object of token: id");
    if ((code = vocab_init(&t->base.vocab, json_object_size(vocab) + extra, e)) < 0)
        return code;
    json_object_foreach((json_t *)vocab, key, value)
    {
        if (!json_is_integer(value))
            return err_set(e, ERR_FORMAT, "\"%s\": expected an integer id", tokenizer_excerpt(shown, key));
        if ((code = bpe_put_spelled(t, key, strlen(key), json_integer_value(value), e)) < 0)
            return code;
    }
    return 0;
}

static int put_merges(struct bpe *t, const json_t *merges, struct err *e)
{
    struct token_bytes left, right;
    int code;

    if (!json_is_array(merges))
        return err_set(e, ERR_FORMAT, "model.merges: expected an array");
    if ((code = bpe_merges_init(&t->merges, json_array_size(merges), e)) < 0)
        return err_wrap(e, "model.merges");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        if (hf_merge(json_array_get(merges, i), &left, &right))
            code = bpe_merges_put(t, (int32_t)i, left, right, e);
        else
            code = err_set(e, ERR_FORMAT, "expected \"left right\" or [\"left\", \"right\"]");
        if (code < 0)
            return err_wrap(e, "model.merges[%zu]", i);
    }
    return 0;
}

static int put_model(struct bpe *t, const json_t *model, size_t added, struct err *e)
{
    static const char *const must_be_off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    const char *type = json_string_value(json_object_get(model, "type"));
    char shown[48];
    int code;

    if (!type || strcmp(type, "BPE") != 0)
        return err_set(e, ERR_FORMAT, "model.type: expected \"BPE\", found \"%s\"", tokenizer_excerpt(shown, type));
    if ((code = hf_refuse_unless_off(model, must_be_off, sizeof must_be_off / sizeof *must_be_off, "model.", e)) < 0)
        return code;
    t->whole_first = json_is_true(json_object_get(model, "ignore_merges"));
    if ((code = put_vocab(t, json_object_get(model, "vocab"), added, e)) < 0)
        return err_wrap(e, "model.vocab");
    return put_merges(t, json_object_get(model, "merges"), e);
}

static int check_byte_level(const json_t *pre, bool *use_regex, struct err *e)
{
    const json_t *regex = json_object_get(pre, "use_regex");

    if (!json_is_false(json_object_get(pre, "add_prefix_space")))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: add_prefix_space: expected false; a space in front is not supported");
    if (regex && !json_is_boolean(regex))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: use_regex: expected true or false");
    *use_regex = !json_is_false(regex); /* true where older files say nothing */
    return 0;
}

/* The first of the two steps of Llama-3, Qwen2 and their like. */
static int split_pattern(const json_t *split, const char **pattern, struct err *e)
{
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    char shown[48];

    *pattern = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    if (!*pattern)
        return err_set(e, ERR_FORMAT, "pre_tokenizer: Split: pattern: expected {\"Regex\": \"...\"}");
    if (!behavior || strcmp(behavior, "Isolated") != 0)
        return err_set(e, ERR_FORMAT, "pre_tokenizer: Split: behavior: expected \"Isolated\", found \"%s\"",
                       tokenizer_excerpt(shown, behavior));
    if (!hf_is_off(json_object_get(split, "invert")))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: Split: invert: expected false");
    return 0;
}

static int read_pre_tokenizer(struct bpe *t, const json_t *pre, struct err *e)
{
    const json_t *steps = json_object_get(pre, "pretokenizers");
    const json_t *split = json_array_get(steps, 0), *bytes = json_array_get(steps, 1);
    const char *pattern = bpe_pre_find("gpt-2")->pattern;
    bool use_regex = false;
    int code;

    if (hf_has_type(pre, "ByteLevel")) {
        if ((code = check_byte_level(pre, &use_regex, e)) < 0)
            return code;
        if (!use_regex)
            return err_set(e, ERR_FORMAT, "pre_tokenizer: ByteLevel: use_regex false needs a Split in front of it");
    } else if (hf_has_type(pre, "Sequence") && json_array_size(steps) == 2 && hf_has_type(split, "Split") &&
               hf_has_type(bytes, "ByteLevel")) {
        if ((code = split_pattern(split, &pattern, e)) < 0 || (code = check_byte_level(bytes, &use_regex, e)) < 0)
            return code;
        if (use_regex)
            return err_set(e, ERR_FORMAT, "pre_tokenizer: ByteLevel: use_regex: expected false after a Split");
    } else {
        const char *type = json_string_value(json_object_get(pre, "type"));
        char shown[48];
        return err_set(e, ERR_FORMAT, "pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, found \"%s\"",
                       tokenizer_excerpt(shown, type));
    }
    if ((code = bpe_pattern_compile(&t->pattern, pattern, e)) < 0)
        err_wrap(e, "pre_tokenizer");
    return code;
}

/* The id that the vocabulary has for a key spelled like this content. Other than in the vocabulary, an added token's content is
 * the text itself, so the two can only be the same where the spelling of each byte is that byte. */
static int32_t known_id(const struct tokenizer *t, const char *content, size_t len)
{
    struct text bytes = {0};
    bool same = bpe_unspell(content, len, &bytes) && bytes.len == len && len > 0 && memcmp(bytes.data, content, len) == 0;

    text_free(&bytes);
    return same ? vocab_find(&t->vocab, content, len) : -1;
}

static int read_normalizer(struct bpe *t, const json_t *normalizer, struct err *e)
{
    const char *type = json_string_value(json_object_get(normalizer, "type"));
    char shown[48];

    t->nfc = hf_has_type(normalizer, "NFC");
    if (!t->nfc && !hf_is_off(normalizer))
        return err_set(e, ERR_FORMAT, "normalizer: expected null or NFC, found \"%s\"", tokenizer_excerpt(shown, type));
    return 0;
}

int bpe_open_json(struct tokenizer **out, const json_t *root, struct err *e)
{
    struct bpe *t = bpe_new(e);
    int code;

    if (!t)
        return ERR_MEMORY;
    *out = &t->base;
    if ((code = read_normalizer(t, json_object_get(root, "normalizer"), e)) == 0 &&
        (code = read_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), e)) == 0 &&
        (code = put_model(t, json_object_get(root, "model"), json_array_size(json_object_get(root, "added_tokens")), e)) == 0 &&
        (code = hf_added_tokens(&t->base, root, known_id, e)) == 0)
        code = bpe_finish(t, "tokenizer.json", e);
    return code;
}

static int read_vocab(struct bpe *t, const char *path, struct err *e)
{
    json_t *root = NULL;
    int code = hf_load(&root, path, e);

    if (code == 0 && (code = put_vocab(t, root, 0, e)) < 0)
        err_wrap(e, "%s", path);
    json_decref(root);
    return code;
}

int bpe_open_vocab(struct tokenizer **out, const char *vocab, const char *merges, struct err *e)
{
    struct bpe *t = bpe_new(e);
    int code;

    if (!t)
        return ERR_MEMORY;
    *out = &t->base;
    if ((code = read_vocab(t, vocab, e)) < 0 || (code = bpe_read_merges(t, merges, e)) < 0)
        return code;
    if ((code = bpe_pattern_use(t, bpe_pre_find("gpt-2"), e)) < 0 || (code = bpe_finish(t, "vocab.json + merges.txt", e)) < 0)
        err_wrap(e, "%s", vocab);
    return code;
}
