/* SPDX-License-Identifier: MIT
 * What a GGUF file says about its model and its tokenizer: every key that would change the result is carried out or refused by
 * name, and what only describes is passed over. */
#include "check.h"

#include "gguf_room.h"

/* --- keys ---------------------------------------------------------------------------------------------------------------- */

struct extra {
    const char *name;
    enum gguf_type type;
    double number;
    const char *text; /* of strings */
    const char *sentence;
};

static void put_extra(struct text *keys, const struct extra *k)
{
    float f = (float)k->number;

    room_put_string(keys, k->name);
    room_put(keys, k->type, 4);
    if (k->type == GGUF_STRING)
        room_put_string(keys, k->text);
    else if (k->type == GGUF_F32)
        text_add(keys, (const char *)&f, sizeof f);
    else if (k->type == GGUF_F64)
        text_add(keys, (const char *)&k->number, sizeof k->number);
    else
        room_put(keys, (uint64_t)(int64_t)k->number,
                 k->type == GGUF_BOOL || k->type <= GGUF_I8 ? 1
                 : k->type == GGUF_U64                      ? 8
                                                            : 4);
}

static void add_extra(const struct room *r, const struct extra *k)
{
    struct text keys = {0};

    put_extra(&keys, k);
    room_add_keys(r, &keys, 1);
}

/* The key gets another first letter and means nothing to anyone. */
static void forget(const struct room *r, const char *name)
{
    struct text file = room_load(r);

    file.data[room_behind(&file, name) - strlen(name)] = 'x';
    room_save(r, &file);
    text_free(&file);
}

#define UNKNOWN(key) key ": the key or its value is not supported and may change the result"

static void keys_that_change_the_result_are_refused_by_name(void **state)
{
    static const struct extra cases[] = {
        {"split.count", GGUF_U32, 2, NULL,
         "split.count: a model in several files is not supported; merge them (llama-gguf-split --merge)"},
        {"llama.expert_count", GGUF_U32, 8, NULL, UNKNOWN("llama.expert_count")},
        {"llama.expert_used_count", GGUF_U32, 2, NULL, UNKNOWN("llama.expert_used_count")},
        {"llama.rope.scaling.type", GGUF_STRING, 0, "yarn",
         "llama.rope.scaling.type 'yarn' is not supported; expected none or linear"},
        {"llama.rope.scaling.type", GGUF_STRING, 0, "longrope",
         "llama.rope.scaling.type 'longrope' is not supported; expected none or linear"},
        {"llama.rope.scaling.type", GGUF_U32, 0, NULL, "llama.rope.scaling.type: expected a string"},
        {"llama.rope.scaling.factor", GGUF_F32, 0.5, NULL, "rope_scaling.factor 0.5: expected 1 or more"},
        {"llama.rope.scaling.factor", GGUF_BOOL, 1, NULL, "llama.rope.scaling.factor: expected a number"},
        {"llama.rope.scaling.attn_factor", GGUF_F32, 1.25, NULL, UNKNOWN("llama.rope.scaling.attn_factor")},
        {"llama.attention.scale", GGUF_F32, 0.5, NULL, UNKNOWN("llama.attention.scale")},
        {"llama.attention.clamp_kqv", GGUF_F32, 8, NULL, UNKNOWN("llama.attention.clamp_kqv")},
        {"llama.attention.causal", GGUF_BOOL, 0, NULL, UNKNOWN("llama.attention.causal")},
        {"llama.attention.causal", GGUF_BOOL, 2, NULL, UNKNOWN("llama.attention.causal")},
        {"llama.attn_logit_softcapping", GGUF_F32, 50, NULL, UNKNOWN("llama.attn_logit_softcapping")},
        {"llama.final_logit_softcapping", GGUF_F32, 30, NULL, UNKNOWN("llama.final_logit_softcapping")},
        {"llama.logit_scale", GGUF_F32, 0.0625, NULL, UNKNOWN("llama.logit_scale")},
        {"llama.embedding_scale", GGUF_F32, 12, NULL, UNKNOWN("llama.embedding_scale")},
        {"llama.attention.sliding_window_pattern", GGUF_U32, 2, NULL, UNKNOWN("llama.attention.sliding_window_pattern")},
        {"llama.something_new", GGUF_U32, 1, NULL, UNKNOWN("llama.something_new")},
        {"llama.attention.sliding_window", GGUF_F32, 4, NULL,
         "llama.attention.sliding_window: expected a non-negative integer"},
        {"tokenizer.ggml.eot_token_id", GGUF_F32, 3, NULL, "tokenizer.ggml.eot_token_id: expected a token id"},
        {"tokenizer.ggml.eot_token_id", GGUF_I32, -2, NULL, "tokenizer.ggml.eot_token_id: expected a token id"},
        {"tokenizer.ggml.eot_token_id", GGUF_I8, -1, NULL, "tokenizer.ggml.eot_token_id: expected a token id"},
    };
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        add_extra(r, &cases[i]);
        room_refuses(r, ERR_FORMAT, cases[i].sentence);
    }
}

static void keys_that_change_nothing_are_passed_over(void **state)
{
    static const struct extra cases[] = {
        {"split.count", GGUF_U32, 1, NULL, NULL},
        {"llama.expert_count", GGUF_U32, 0, NULL, NULL},
        {"llama.rope.scaling.type", GGUF_STRING, 0, "none", NULL},
        {"llama.rope.scaling.type", GGUF_STRING, 0, "linear", NULL},
        {"llama.rope.scaling.factor", GGUF_F32, 1, NULL, NULL},
        {"llama.rope.scaling.original_context_length", GGUF_U32, 8, NULL, NULL},
        {"llama.attention.causal", GGUF_BOOL, 1, NULL, NULL},
        {"llama.logit_scale", GGUF_F32, 1, NULL, NULL},
        {"llama.tensor_data_layout", GGUF_STRING, 0, "Meta AI original pth", NULL},
        {"llamas.are", GGUF_STRING, 0, "animals", NULL},
        {"general.license", GGUF_STRING, 0, "mit", NULL},
        {"tokenizer.chat_template", GGUF_STRING, 0, "{% %}", NULL},
        {"tokenizer.ggml.eot_token_id", GGUF_U64, 2, NULL, NULL}, /* once more what the end is */
        {"tokenizer.ggml.eom_token_id", GGUF_U64, 5, NULL, NULL}, /* no token of five */
    };
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        add_extra(r, &cases[i]);
        struct source *s = room_open(r);
        room_same_config(&s->config, &room_llama);
        source_gguf.close(s);
    }
}

static void keys_are_read_in_every_width(void **state)
{
    static const enum gguf_type types[] = {GGUF_U8, GGUF_U32, GGUF_I32, GGUF_U64};
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct extra window = {"llama.attention.sliding_window", types[i], 5, NULL, NULL};
        room_write(r, &room_llama, DTYPE_F32);
        add_extra(r, &window);
        struct source *s = room_open(r);
        assert_int_equal(s->config.window, 5);
        source_gguf.close(s);
    }
}

/* Both say "linear"; the older key has no type. The frequencies stay where the type is none. */
static void linear_scaling_has_two_spellings(void **state)
{
    static const struct extra factor = {"llama.rope.scale_linear", GGUF_F64, 4, NULL, NULL};
    static const struct extra none = {"llama.rope.scaling.type", GGUF_STRING, 0, "none", NULL};
    const struct room *r = *state;

    room_write(r, &room_llama, DTYPE_F32);
    add_extra(r, &factor);
    struct source *s = room_open(r);
    assert_int_equal(s->config.rope.kind, ROPE_LINEAR);
    assert_true(s->config.rope.factor == 4);
    source_gguf.close(s);
    add_extra(r, &none);
    s = room_open(r);
    assert_int_equal(s->config.rope.kind, ROPE_PLAIN);
    source_gguf.close(s);
}

static void a_key_that_is_absent_has_its_default_or_is_missed(void **state)
{
    static const struct {
        const char *name, *sentence;
    } required[] = {
        {"general.architecture", "general.architecture: the key is missing; is this a language model?"},
        {"llama.context_length", "llama.context_length: the key is missing; expected an integer"},
        {"llama.embedding_length", "llama.embedding_length: the key is missing; expected an integer"},
        {"llama.block_count", "llama.block_count: the key is missing; expected an integer"},
        {"llama.feed_forward_length", "llama.feed_forward_length: the key is missing; expected an integer"},
        {"llama.attention.head_count", "llama.attention.head_count: the key is missing; expected an integer"},
        {"llama.attention.layer_norm_rms_epsilon",
         "llama.attention.layer_norm_rms_epsilon: the key is missing; expected a number"},
    };
    static const char *const optional[] = {"llama.attention.key_length",
                                           "llama.attention.value_length",
                                           "llama.rope.dimension_count",
                                           "llama.rope.freq_base",
                                           "llama.vocab_size",
                                           "general.alignment",
                                           "general.type",
                                           "tokenizer.ggml.model"};
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        forget(r, required[i].name);
        room_refuses(r, ERR_FORMAT, required[i].sentence);
    }
    room_write(r, &room_llama, DTYPE_F32);
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        forget(r, optional[i]);
    struct source *s = room_open(r);
    room_same_config(&s->config, &room_llama);
    source_gguf.close(s);
    forget(r, "llama.attention.head_count_kv"); /* then as many as heads, and the tensors say otherwise */
    room_refuses(r, ERR_FORMAT, "tensor 'blk.0.attn_k.weight': shape [8, 4, 1, 1], the keys ask for [8, 8, 1, 1]");
}

static void values_that_do_not_fit_each_other_are_refused(void **state)
{
    static const struct {
        const char *name;
        uint32_t value;
        const char *sentence;
    } cases[] = {
        {"llama.attention.value_length", 6,
         "llama.attention.value_length: 6 is not supported; expected the width of a head's keys (4)"},
        {"llama.rope.dimension_count", 2,
         "llama.rope.dimension_count: 2 is not supported; expected the width of a head's keys (4)"},
        {"llama.attention.head_count", 0, "num_attention_heads 0: expected 1 to 1024"},
        {"llama.block_count", 1u << 30, "num_hidden_layers 1073741824: expected 1 to 1024"},
        {"llama.block_count", 1u << 31, "llama.block_count: expected a non-negative integer"},
        {"llama.rope.freq_base", 0, "rope_theta 0: expected a positive number"},
        {"llama.attention.layer_norm_rms_epsilon", 0, "rms_norm_eps 0: expected a positive number"},
    };
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        struct text file = room_load(r);
        memcpy(file.data + room_behind(&file, cases[i].name) + 4, &cases[i].value, 4);
        room_save(r, &file);
        text_free(&file);
        room_refuses(r, ERR_FORMAT, cases[i].sentence);
    }
}

static void other_architectures_and_other_kinds_of_files_are_refused(void **state)
{
    static const struct {
        const char *name, *value, *sentence;
    } cases[] = {
        {"general.architecture", "mamba", "general.architecture 'mamba' is not supported; expected gpt2, llama or qwen2"},
        {"general.type", "\033[2J\n", "general.type '?[2J?' is not supported; expected model"},
        {"general.type", "vocab", "general.type 'vocab' is not supported; expected model"},
    };
    const struct room *r = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        struct text file = room_load(r);
        memcpy(file.data + room_behind(&file, cases[i].name) + 12, cases[i].value, 5);
        room_save(r, &file);
        text_free(&file);
        room_refuses(r, ERR_FORMAT, cases[i].sentence);
    }
}

/* --- the tokenizer ------------------------------------------------------------------------------------------------------- */

static void tokenizer_refused(const struct room *r, int code, const char *sentence)
{
    struct source *s = room_open(r);
    struct tokenizer *t = NULL;
    struct err e = {0};
    char expected[600];

    assert_int_equal(source_gguf.tokenizer(s, &t, &e), code);
    snprintf(expected, sizeof expected, "%s%s", r->path, sentence);
    assert_string_equal(e.text, expected);
    source_gguf.close(s);
}

static void put_strings(struct text *keys, const char *name, const char *const *strings, size_t n)
{
    room_put_string(keys, name);
    room_put(keys, GGUF_ARRAY, 4);
    room_put(keys, GGUF_STRING, 4);
    room_put(keys, n, 8);
    for (size_t i = 0; i < n; i++)
        room_put_string(keys, strings[i]);
}

static void put_numbers(struct text *keys, const char *name, enum gguf_type type, const void *numbers, size_t n)
{
    room_put_string(keys, name);
    room_put(keys, GGUF_ARRAY, 4);
    room_put(keys, type, 4);
    room_put(keys, n, 8);
    text_add(keys, numbers, n * 4);
}

static void a_file_without_a_tokenizer_says_so(void **state)
{
    const struct room *r = *state;

    room_write(r, &room_llama, DTYPE_F32);
    tokenizer_refused(r, ERR_ABSENT, " comes without a tokenizer");
    forget(r, "tokenizer.ggml.model");
    tokenizer_refused(r, ERR_ABSENT, " comes without a tokenizer");
}

/* A writer of "none" and a kind in front of it. */
static void begin_tokenizer(const struct room *r, struct text *keys, const char *model)
{
    const struct extra kind = {"tokenizer.ggml.model", GGUF_STRING, 0, model, NULL};

    room_write(r, &room_llama, DTYPE_F32);
    forget(r, "tokenizer.ggml.model");
    put_extra(keys, &kind);
}

static void a_token_list_that_lies_is_refused(void **state)
{
    static const char *const five[] = {"<unk>", "<s>", "</s>", "a", "b"};
    static const int32_t types[] = {2, 3, 3, 1, 1};
    const struct room *r = *state;
    struct text keys = {0};

    begin_tokenizer(r, &keys, "bert");
    room_add_keys(r, &keys, 1);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.model 'bert' is not supported; expected gpt2 or llama");

    begin_tokenizer(r, &keys, "gpt2");
    room_add_keys(r, &keys, 1);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.tokens: the key is missing; expected an array of strings");

    begin_tokenizer(r, &keys, "gpt2");
    put_numbers(&keys, "tokenizer.ggml.tokens", GGUF_I32, types, 5);
    room_add_keys(r, &keys, 2);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.tokens: expected an array of strings");

    begin_tokenizer(r, &keys, "gpt2");
    put_strings(&keys, "tokenizer.ggml.tokens", five, 5);
    room_add_keys(r, &keys, 2);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.merges: the key is missing; expected an array of strings");

    begin_tokenizer(r, &keys, "gpt2");
    put_strings(&keys, "tokenizer.ggml.tokens", five, 5);
    put_numbers(&keys, "tokenizer.ggml.token_type", GGUF_I32, types, 4);
    room_add_keys(r, &keys, 3);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.token_type: expected an int32 for each token");

    begin_tokenizer(r, &keys, "llama");
    put_strings(&keys, "tokenizer.ggml.tokens", five, 5);
    room_add_keys(r, &keys, 2);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.scores: the key is missing; expected a float32 for each token");

    begin_tokenizer(r, &keys, "llama");
    put_strings(&keys, "tokenizer.ggml.tokens", five, 5);
    put_numbers(&keys, "tokenizer.ggml.scores", GGUF_I32, types, 5);
    room_add_keys(r, &keys, 3);
    tokenizer_refused(r, ERR_FORMAT, ": tokenizer.ggml.scores: expected a float32 for each token");
}

static void a_sentencepiece_list_becomes_a_tokenizer(void **state)
{
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "ab", "\u2581ab"};
    static const int32_t types[] = {TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_NORMAL,
                                    TOKEN_NORMAL,  TOKEN_NORMAL,  TOKEN_NORMAL,  TOKEN_NORMAL};
    static const float scores[] = {0, 0, 0, -6, -4, -5, -2, -1};
    const struct room *r = *state;
    struct text keys = {0};
    struct tokenizer *t = NULL;
    struct err e = {0};
    int32_t *ids = NULL;
    size_t n = 0;

    begin_tokenizer(r, &keys, "llama");
    put_strings(&keys, "tokenizer.ggml.tokens", tokens, 8);
    put_numbers(&keys, "tokenizer.ggml.scores", GGUF_F32, scores, 8);
    put_numbers(&keys, "tokenizer.ggml.token_type", GGUF_I32, types, 8);
    room_add_keys(r, &keys, 4);
    struct source *s = room_open(r);
    if (source_gguf.tokenizer(s, &t, &e) < 0)
        fail_msg("%s", e.text);
    source_gguf.close(s); /* the tokenizer has its own copy */
    assert_int_equal(tokenizer_encode_prompt(t, "ab", 2, &ids, &n, &e), 0);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 7);
    free(ids);
    tokenizer_close(t);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, room_empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(keys_that_change_the_result_are_refused_by_name),
        in_a_room(keys_that_change_nothing_are_passed_over),
        in_a_room(keys_are_read_in_every_width),
        in_a_room(linear_scaling_has_two_spellings),
        in_a_room(a_key_that_is_absent_has_its_default_or_is_missed),
        in_a_room(values_that_do_not_fit_each_other_are_refused),
        in_a_room(other_architectures_and_other_kinds_of_files_are_refused),
        in_a_room(a_file_without_a_tokenizer_says_so),
        in_a_room(a_token_list_that_lies_is_refused),
        in_a_room(a_sentencepiece_list_becomes_a_tokenizer),
    };

    return cmocka_run_group_tests(tests, room_make, room_remove);
}
