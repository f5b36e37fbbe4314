/* SPDX-License-Identifier: MIT
 * The parts of Hugging Face's JSON files that do not depend on the kind of tokenizer. */
#include "hf.h"

#include <string.h>
#include <unistd.h>

int hf_load(json_t **out, const char *path, struct err *e)
{
    struct text file = {0};
    json_error_t why;
    int code = text_read_file(&file, path, TOKENIZER_FILE_MAX, e);

    if (code < 0)
        goto out;
    *out = json_loadb(file.data, file.len, JSON_REJECT_DUPLICATES, &why);
    if (!*out)
        code = err_set(e, ERR_FORMAT, "%s:%d:%d: %s", path, why.line, why.column, why.text);
out:
    text_free(&file);
    return code;
}

bool hf_is_off(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) || (json_is_number(value) && json_number_value(value) == 0) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

int hf_refuse_unless_off(const json_t *object, const char *const *keys, size_t n, const char *where, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!hf_is_off(json_object_get(object, keys[i])))
            return err_set(e, ERR_FORMAT, "%s%s: this setting is not supported", where, keys[i]);
    return 0;
}

bool hf_has_type(const json_t *object, const char *type)
{
    const char *found = json_string_value(json_object_get(object, "type"));

    return found && strcmp(found, type) == 0;
}

bool hf_merge(const json_t *merge, struct token_bytes *left, struct token_bytes *right)
{
    const json_t *first = json_array_get(merge, 0), *second = json_array_get(merge, 1);
    const char *text = json_string_value(merge), *space = text ? strchr(text, ' ') : NULL;

    if (space && !strchr(space + 1, ' ')) {
        *left = (struct token_bytes){text, (size_t)(space - text)};
        *right = (struct token_bytes){space + 1, strlen(space + 1)};
        return true;
    }
    *left = (struct token_bytes){json_string_value(first), json_string_length(first)};
    *right = (struct token_bytes){json_string_value(second), json_string_length(second)};
    return json_array_size(merge) == 2 && left->data && right->data;
}

bool hf_is_byte_level(const json_t *root)
{
    const json_t *pre = json_object_get(root, "pre_tokenizer"), *steps = json_object_get(pre, "pretokenizers");

    if (hf_has_type(pre, "ByteLevel"))
        return true;
    for (size_t i = 0; hf_has_type(pre, "Sequence") && i < json_array_size(steps); i++)
        if (hf_has_type(json_array_get(steps, i), "ByteLevel"))
            return true;
    return false;
}

bool hf_is_sentencepiece(const json_t *root)
{
    return json_is_true(json_object_get(json_object_get(root, "model"), "byte_fallback"));
}

/* --- added tokens --- */

static int put_added(struct tokenizer *t, const json_t *added,
                     int32_t (*known)(const struct tokenizer *t, const char *content, size_t len), struct err *e)
{
    static const char *const must_be_off[] = {"single_word", "lstrip", "rstrip"};
    const json_t *content = json_object_get(added, "content"), *id_value = json_object_get(added, "id");
    const char *bytes = json_string_value(content);
    size_t len = json_string_length(content);
    int64_t id = json_integer_value(id_value);
    enum token_type type = hf_is_off(json_object_get(added, "special")) ? TOKEN_USER_DEFINED : TOKEN_CONTROL;
    int code;

    if (!bytes || !json_is_integer(id_value))
        return err_set(e, ERR_FORMAT, "expected an object with an integer id and a string content");
    if ((code = hf_refuse_unless_off(added, must_be_off, 3, "", e)) < 0)
        return code;
    int32_t vocabulary_id = known(t, bytes, len);
    if (vocabulary_id >= 0 && vocabulary_id != id)
        return err_set(e, ERR_FORMAT, "id %lld: the vocabulary has this token as id %d", (long long)id, vocabulary_id);
    bool there = vocab_has(&t->vocab, id) && t->vocab.token[id].len == len &&
                 memcmp(vocab_bytes(&t->vocab, (int32_t)id), bytes, len) == 0;
    if (!there && (code = vocab_put(&t->vocab, id, bytes, len, type, e)) < 0)
        return code;
    if (t->vocab.token[id].type != TOKEN_UNKNOWN)
        t->vocab.token[id].type = (uint8_t)type;
    t->vocab.token[id].found_text = true;
    return 0;
}

int hf_added_tokens(struct tokenizer *t, const json_t *root,
                    int32_t (*known)(const struct tokenizer *t, const char *content, size_t len), struct err *e)
{
    const json_t *list = json_object_get(root, "added_tokens");
    int code;

    if (list && !json_is_null(list) && !json_is_array(list))
        return err_set(e, ERR_FORMAT, "added_tokens: expected an array");
    for (size_t i = 0; i < json_array_size(list); i++)
        if ((code = put_added(t, json_array_get(list, i), known, e)) < 0)
            return err_wrap(e, "added_tokens[%zu]", i);
    return 0;
}

/* --- around a prompt --- */

/* The id that the template's special token stands for. */
static int template_id(const struct tokenizer *t, const json_t *processor, const json_t *special, int32_t *out, struct err *e)
{
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *ids = json_object_get(json_object_get(json_object_get(processor, "special_tokens"), name ? name : ""), "ids");
    const json_t *id = json_array_get(ids, 0);
    char shown[48];

    if (json_array_size(ids) != 1 || !json_is_integer(id) || !vocab_has(&t->vocab, json_integer_value(id)))
        return err_set(e, ERR_FORMAT, "special_tokens: expected one id of the vocabulary for \"%s\"",
                       tokenizer_excerpt(shown, name));
    *out = (int32_t)json_integer_value(id);
    return 0;
}

/* "single" is the text with at most one token in front and one behind. */
static int read_template(struct tokenizer *t, const json_t *processor, struct err *e)
{
    static const char expected[] = "single: expected the text, at most one token in front of it and one behind";
    const json_t *single = json_object_get(processor, "single");
    bool text = false;
    int code;

    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *special = json_object_get(json_array_get(single, i), "SpecialToken");
        bool *add = text ? &t->add_eos : &t->add_bos;
        if (special ? *add : text)
            return err_set(e, ERR_FORMAT, "%s", expected);
        text = text || !special;
        if (!special)
            continue;
        if ((code = template_id(t, processor, special, text ? &t->eos : &t->bos, e)) < 0)
            return code;
        *add = true;
    }
    return text ? 0 : err_set(e, ERR_FORMAT, "%s", expected);
}

static int read_processor(struct tokenizer *t, const json_t *processor, struct err *e)
{
    const json_t *steps = json_object_get(processor, "processors");
    char shown[48];
    int code = 0;

    if (hf_is_off(processor) || hf_has_type(processor, "ByteLevel"))
        return 0;
    if (hf_has_type(processor, "TemplateProcessing")) {
        if ((code = read_template(t, processor, e)) < 0)
            err_wrap(e, "TemplateProcessing");
        return code;
    }
    if (!hf_has_type(processor, "Sequence"))
        return err_set(e, ERR_FORMAT, "expected ByteLevel or TemplateProcessing, found \"%s\"",
                       tokenizer_excerpt(shown, json_string_value(json_object_get(processor, "type"))));
    for (size_t i = 0; i < json_array_size(steps) && code == 0; i++) {
        const json_t *step = json_array_get(steps, i);
        code =
            hf_has_type(step, "Sequence") ? err_set(e, ERR_FORMAT, "a Sequence within a Sequence") : read_processor(t, step, e);
    }
    return code;
}

int hf_post_processor(struct tokenizer *t, const json_t *root, struct err *e)
{
    int code = read_processor(t, json_object_get(root, "post_processor"), e);

    return code < 0 ? err_wrap(e, "post_processor") : 0;
}

static int config_flag(const json_t *config, const char *key, bool habit, bool *out, struct err *e)
{
    const json_t *value = json_object_get(config, key);

    if (value && !json_is_null(value) && !json_is_boolean(value))
        return err_set(e, ERR_FORMAT, "%s: expected true or false", key);
    *out = json_is_boolean(value) ? json_is_true(value) : habit;
    return 0;
}

/* bos_token is a string, or an object with the string in "content". */
static int32_t config_token(const struct tokenizer *t, const json_t *config, const char *key, const char *habit)
{
    const json_t *value = json_object_get(config, key), *content = json_object_get(value, "content");
    const char *name = json_string_value(content ? content : value);

    name = name ? name : habit;
    return vocab_find_name(&t->vocab, name, strlen(name));
}

static int read_config(struct tokenizer *t, const json_t *config, const struct hf_habit *habit, struct err *e)
{
    const struct {
        const char *token, *add, *name;
        bool habit;
        int32_t *out;
        bool *out_add;
    } ends[] = {
        {"bos_token", "add_bos_token", habit->bos, habit->add_bos, &t->bos, &t->add_bos},
        {"eos_token", "add_eos_token", habit->eos, habit->add_eos, &t->eos, &t->add_eos},
    };
    int code;

    if (json_is_false(json_object_get(config, "add_prefix_space")) && t->front != FRONT_NOWHERE)
        return err_set(e, ERR_FORMAT, "add_prefix_space: expected true, as the tokenizer has it");
    for (size_t i = 0; i < 2; i++) {
        if ((code = config_flag(config, ends[i].add, ends[i].habit, ends[i].out_add, e)) < 0)
            return code;
        *ends[i].out = config_token(t, config, ends[i].token, ends[i].name);
        if (*ends[i].out >= 0 || !*ends[i].out_add)
            continue;
        if (json_object_get(config, ends[i].add))
            return err_set(e, ERR_FORMAT, "%s: the vocabulary has no such token as %s names", ends[i].add, ends[i].token);
        *ends[i].out_add = false;
    }
    return 0;
}

static bool is_llama(const json_t *config)
{
    static const char *const classes[] = {"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer",
                                          "CodeLlamaTokenizerFast"};
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));

    for (size_t i = 0; class && i < sizeof classes / sizeof *classes; i++)
        if (strcmp(class, classes[i]) == 0)
            return true;
    return false;
}

int hf_config(struct tokenizer *t, const char *path, const struct hf_habit *habit, struct err *e)
{
    static const struct hf_habit llama = {.bos = "<s>", .eos = "</s>", .add_bos = true};
    json_t *config = NULL;
    int code = access(path, F_OK) == 0 ? hf_load(&config, path, e) : 0;

    if (code == 0 && (habit || is_llama(config)) && (code = read_config(t, config, habit ? habit : &llama, e)) < 0)
        err_wrap(e, "%s", path);
    json_decref(config);
    return code;
}
