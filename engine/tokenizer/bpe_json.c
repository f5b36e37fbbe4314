/* SPDX-License-Identifier: MIT
 * Reads vocab.json and Hugging Face's tokenizer.json. Whatever in the latter would change the ids is either honoured or refused
 * by its key; what cannot (truncation, padding, decoder, and the post-processor: no token is ever put around the text) is not
 * looked at. Files are untrusted: jansson rejects duplicate keys and bad UTF-8, bpe_vocab.c checks ids and sizes. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

static int load_json(json_t **out, const char *path, struct err *e)
{
    struct text file = {0};
    json_error_t why;
    int code = text_read_file(&file, path, BPE_FILE_MAX, e);

    if (code < 0)
        goto out;
    *out = json_loadb(file.data, file.len, JSON_REJECT_DUPLICATES, &why);
    if (!*out)
        code = err_set(e, ERR_FORMAT, "%s:%d:%d: %s", path, why.line, why.column, why.text);
out:
    text_free(&file);
    return code;
}

/* The beginning of a string from a file, fit for a sentence on a terminal: "" for no string. */
static const char *excerpt(char out[48], const char *s)
{
    size_t n = 0;

    for (; s && s[n] && n < 47; n++)
        out[n] = s[n] >= ' ' && s[n] <= '~' ? s[n] : '?';
    out[n] = 0;
    return out;
}

/* A token is in GPT-2's spelling; one that is not ("<|a b|>") stands for itself and is only for decoding. */
static int put_spelled(struct tokenizer *t, const char *spelling, size_t len, int64_t id, struct err *e)
{
    struct text bytes = {0};
    bool spelled = bpe_spelling_bytes(spelling, len, &bytes);
    int code = bpe_vocab_put(&t->vocab, id, spelled ? bytes.data : spelling, spelled ? bytes.len : len, spelled, e);

    text_free(&bytes);
    return code;
}

/* `extra`: tokens that are put later. */
static int put_vocab(struct tokenizer *t, json_t *vocab, size_t extra, struct err *e)
{
    char shown[48];
    const char *key;
    json_t *value;
    int code;

    if (!json_is_object(vocab))
        return err_set(e, ERR_FORMAT, "expected an object of token: id");
    if ((code = bpe_vocab_init(&t->vocab, json_object_size(vocab) + extra, e)) < 0)
        return code;
    json_object_foreach(vocab, key, value)
    {
        if (!json_is_integer(value))
            return err_set(e, ERR_FORMAT, "\"%s\": expected an integer id", excerpt(shown, key));
        if ((code = put_spelled(t, key, strlen(key), json_integer_value(value), e)) < 0)
            return code;
    }
    return 0;
}

int bpe_read_vocab_json(struct tokenizer *t, const char *path, struct err *e)
{
    json_t *root = NULL;
    int code = load_json(&root, path, e);

    if (code == 0 && (code = put_vocab(t, root, 0, e)) < 0)
        err_wrap(e, "%s", path);
    json_decref(root);
    return code;
}

/* "left right", or since version 0.20 of tokenizers ["left", "right"]. */
static int put_merge(struct tokenizer *t, json_t *merge, size_t rank, struct err *e)
{
    json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;

    if (space && !strchr(space + 1, ' '))
        return bpe_merges_put(t, (int32_t)rank, text, (size_t)(space - text), space + 1, strlen(space + 1), e);
    if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
        return bpe_merges_put(t, (int32_t)rank, json_string_value(left), json_string_length(left), json_string_value(right),
                              json_string_length(right), e);
    return err_set(e, ERR_FORMAT, "expected \"left right\" or [\"left\", \"right\"]");
}

static int put_merges(struct tokenizer *t, json_t *merges, struct err *e)
{
    size_t i;
    json_t *merge;
    int code;

    if (!json_is_array(merges))
        return err_set(e, ERR_FORMAT, "model.merges: expected an array");
    if ((code = bpe_merges_init(&t->merges, json_array_size(merges), e)) < 0) {
        err_wrap(e, "model.merges");
        return code;
    }
    json_array_foreach(merges, i, merge)
    {
        if ((code = put_merge(t, merge, i, e)) < 0) {
            err_wrap(e, "model.merges[%zu]", i);
            return code;
        }
    }
    return 0;
}

/* Absent, null, false, 0 and "": a setting that changes nothing. */
static bool is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

static int put_model(struct tokenizer *t, json_t *model, size_t added, struct err *e)
{
    static const char *const must_be_off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    const char *type = json_string_value(json_object_get(model, "type"));
    char shown[48];
    int code;

    if (!type || strcmp(type, "BPE") != 0)
        return err_set(e, ERR_FORMAT, "model.type: expected \"BPE\", found \"%s\"", excerpt(shown, type));
    for (size_t i = 0; i < sizeof must_be_off / sizeof *must_be_off; i++)
        if (!is_off(json_object_get(model, must_be_off[i])))
            return err_set(e, ERR_FORMAT, "model.%s: this setting is not supported", must_be_off[i]);
    t->whole_first = json_is_true(json_object_get(model, "ignore_merges"));
    if ((code = put_vocab(t, json_object_get(model, "vocab"), added, e)) < 0) {
        err_wrap(e, "model.vocab");
        return code;
    }
    return put_merges(t, json_object_get(model, "merges"), e);
}

static bool has_type(const json_t *object, const char *type)
{
    const char *found = json_string_value(json_object_get(object, "type"));

    return found && strcmp(found, type) == 0;
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
                       excerpt(shown, behavior));
    if (!is_off(json_object_get(split, "invert")))
        return err_set(e, ERR_FORMAT, "pre_tokenizer: Split: invert: expected false");
    return 0;
}

static int read_pre_tokenizer(struct tokenizer *t, const json_t *pre, struct err *e)
{
    const json_t *steps = json_object_get(pre, "pretokenizers");
    const json_t *split = json_array_get(steps, 0), *bytes = json_array_get(steps, 1);
    const char *pattern = bpe_gpt2_pattern;
    bool use_regex = false;
    int code;

    if (has_type(pre, "ByteLevel")) {
        if ((code = check_byte_level(pre, &use_regex, e)) < 0)
            return code;
        if (!use_regex)
            return err_set(e, ERR_FORMAT, "pre_tokenizer: ByteLevel: use_regex false needs a Split in front of it");
    } else if (has_type(pre, "Sequence") && json_array_size(steps) == 2 && has_type(split, "Split") &&
               has_type(bytes, "ByteLevel")) {
        if ((code = split_pattern(split, &pattern, e)) < 0 || (code = check_byte_level(bytes, &use_regex, e)) < 0)
            return code;
        if (use_regex)
            return err_set(e, ERR_FORMAT, "pre_tokenizer: ByteLevel: use_regex: expected false after a Split");
    } else {
        const char *type = json_string_value(json_object_get(pre, "type"));
        char shown[48];
        return err_set(e, ERR_FORMAT, "pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, found \"%s\"",
                       excerpt(shown, type));
    }
    if ((code = bpe_pattern_compile(&t->pattern, pattern, e)) < 0)
        err_wrap(e, "pre_tokenizer");
    return code;
}

/* The id that the vocabulary has for a key spelled like this content, -1 if none. Other than in the vocabulary, an added
 * token's content is the text itself, so the two can only be the same where the spelling of each byte is that byte. */
static int32_t known_id(const struct tokenizer *t, const char *content, size_t len)
{
    struct text bytes = {0};
    bool same =
        bpe_spelling_bytes(content, len, &bytes) && bytes.len == len && len > 0 && memcmp(bytes.data, content, len) == 0;

    text_free(&bytes);
    return same ? bpe_vocab_find(&t->vocab, content, len) : -1;
}

static int put_added(struct tokenizer *t, const json_t *added, struct err *e)
{
    static const char *const must_be_off[] = {"single_word", "lstrip", "rstrip"};
    const json_t *content = json_object_get(added, "content"), *id_value = json_object_get(added, "id");
    const char *bytes = json_string_value(content);
    size_t len = json_string_length(content);
    int64_t id = json_integer_value(id_value);
    int code;

    if (!bytes || !json_is_integer(id_value))
        return err_set(e, ERR_FORMAT, "expected an object with an integer id and a string content");
    for (size_t i = 0; i < sizeof must_be_off / sizeof *must_be_off; i++)
        if (!is_off(json_object_get(added, must_be_off[i])))
            return err_set(e, ERR_FORMAT, "%s: this setting is not supported", must_be_off[i]);
    int32_t known = known_id(t, bytes, len);
    if (known >= 0 && known != id)
        return err_set(e, ERR_FORMAT, "id %lld: the vocabulary has this token as id %d", (long long)id, known);
    bool there = id >= 0 && id < t->vocab.size && t->vocab.token[id].len == len && len > 0 &&
                 memcmp(bpe_token_bytes(t, (int32_t)id), bytes, len) == 0;
    if (!there && (code = bpe_vocab_put(&t->vocab, id, bytes, len, false, e)) < 0)
        return code;
    t->added[t->added_n++] = (int32_t)id;
    return 0;
}

static int compare_added(const void *a, const void *b, void *tokenizer)
{
    const struct tokenizer *t = tokenizer;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    uint32_t left_len = t->vocab.token[left].len, right_len = t->vocab.token[right].len;
    int order = memcmp(bpe_token_bytes(t, left), bpe_token_bytes(t, right), left_len < right_len ? left_len : right_len);

    return order ? order : (left_len > right_len) - (left_len < right_len);
}

static int put_added_tokens(struct tokenizer *t, json_t *list, struct err *e)
{
    size_t i;
    json_t *added;
    int code;

    if (list && !json_is_null(list) && !json_is_array(list))
        return err_set(e, ERR_FORMAT, "added_tokens: expected an array");
    if (json_array_size(list) == 0)
        return 0;
    t->added = malloc(json_array_size(list) * sizeof *t->added);
    if (!t->added)
        return err_set(e, ERR_MEMORY, "out of memory for added_tokens");
    json_array_foreach(list, i, added)
    {
        if ((code = put_added(t, added, e)) < 0) {
            err_wrap(e, "added_tokens[%zu]", i);
            return code;
        }
    }
    qsort_r(t->added, t->added_n, sizeof *t->added, compare_added, t);
    for (i = 1; i < t->added_n; i++) {
        int32_t a = t->added[i - 1], b = t->added[i];
        if (compare_added(&a, &b, t) == 0)
            return err_set(e, ERR_FORMAT, "added_tokens: ids %d and %d: the same token", a < b ? a : b, a < b ? b : a);
    }
    return 0;
}

/* Qwen2 asks for NFC. Text is taken to be in it already, as nearly all text is; the source's name says so. */
static int read_normalizer(const json_t *normalizer, const char **source, struct err *e)
{
    const char *type = json_string_value(json_object_get(normalizer, "type"));
    char shown[48];

    *source = "tokenizer.json";
    if (is_off(normalizer))
        return 0;
    if (!has_type(normalizer, "NFC"))
        return err_set(e, ERR_FORMAT, "normalizer: expected null or NFC, found \"%s\"", excerpt(shown, type));
    *source = "tokenizer.json (NFC not applied)";
    return 0;
}

int bpe_read_tokenizer_json(struct tokenizer *t, const char *path, struct err *e)
{
    json_t *root = NULL;
    const char *source;
    int code = load_json(&root, path, e);

    if (code < 0)
        return code;
    json_t *added = json_object_get(root, "added_tokens");
    if ((code = read_normalizer(json_object_get(root, "normalizer"), &source, e)) == 0 &&
        (code = read_pre_tokenizer(t, json_object_get(root, "pre_tokenizer"), e)) == 0 &&
        (code = put_model(t, json_object_get(root, "model"), json_array_size(added), e)) == 0 &&
        (code = put_added_tokens(t, added, e)) == 0)
        code = bpe_finish(t, source, e);
    if (code < 0)
        err_wrap(e, "%s", path);
    json_decref(root);
    return code;
}
