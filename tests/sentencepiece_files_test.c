/* SPDX-License-Identifier: MIT
 * The files a SentencePiece tokenizer is read from: a tokenizer.json that renders a model (byte_fallback),
 * tokenizer_config.json, which file of a folder counts, and what is refused or damaged. */
#include "check.h"

#include "sentencepiece_room.h"

/* --- tokenizer.json --- */

#define REPLACE "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" SPACE "\"}"
#define PREPEND "{\"type\": \"Prepend\", \"prepend\": \"" SPACE "\"}"
#define LEGACY  "{\"type\": \"Sequence\", \"normalizers\": [" PREPEND ", " REPLACE "]}"
#define METASPACE(scheme)                                                                                                      \
    "{\"type\": \"Metaspace\", \"replacement\": \"" SPACE "\", \"prepend_scheme\": \"" scheme "\", \"split\": false}"

/* All ways to cut a piece in two pieces, in the order of the pieces: as transformers' converter writes merges. */
static json_t *merges_of(const struct room *room, const json_t *vocab)
{
    json_t *merges = json_array();

    for (int id = FIRST_NORMAL; id < PIECES; id++) {
        const struct token_bytes *p = &room->piece[id];
        for (size_t i = 1; i < p->len; i++)
            if (json_object_getn(vocab, p->data, i) && json_object_getn(vocab, p->data + i, p->len - i))
                json_array_append_new(merges, json_pack("[s%,s%]", p->data, i, p->data + i, p->len - i));
    }
    return merges;
}

static json_t *as_json(const struct room *room)
{
    json_t *vocab = json_object();

    for (int id = 0; id < PIECES; id++)
        json_object_setn_new(vocab, room->piece[id].data, room->piece[id].len, json_integer(id));
    return json_pack(
        "{s:[{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b}],s:o,s:n,s:{s:s,s:b,s:s,s:o,s:o}}",
        "added_tokens", "id", 0, "content", "<unk>", "special", 1, "normalized", 0, "id", 1, "content", "<s>", "special", 1,
        "normalized", 0, "id", 2, "content", "</s>", "special", 1, "normalized", 0, "id", PIECES, "content", "<|im|>",
        "special", 0, "normalized", 0, "normalizer", json_loads(LEGACY, 0, NULL), "pre_tokenizer", "model", "type", "BPE",
        "byte_fallback", 1, "unk_token", "<unk>", "merges", merges_of(room, vocab), "vocab", vocab);
}

/* Takes over root. */
static struct tokenizer *open_json(const struct room *room, json_t *root)
{
    put_json(room->dir, "tokenizer.json", root);
    json_decref(root);
    return open_dir(room->dir);
}

static json_t *with_metaspace(const struct room *room, const char *metaspace)
{
    json_t *root = as_json(room);

    set_at(root, "normalizer", "null");
    set_at(root, "pre_tokenizer", metaspace);
    return root;
}

static void a_tokenizer_json_has_the_ids_of_the_model_it_was_taken_from(void **state)
{
    const struct room *room = *state;
    struct tokenizer *t = open_json(room, as_json(room));

    assert_string_equal(tokenizer_about(t), "SentencePiece, 421 tokens, tokenizer.json");
    assert_agree_on_random_text(room->bpe, t, 5, TEXTS, "");
    tokenizer_close(t);
}

static void the_lowest_rank_of_the_merges_that_make_a_piece_counts(void **state)
{
    const struct room *room = *state;
    json_t *root = as_json(room), *merges = json_object_get(json_object_get(root, "model"), "merges");

    for (size_t i = 0, n = json_array_size(merges); i < n; i += 2)
        json_array_append(merges, json_array_get(merges, i));
    struct tokenizer *t = open_json(room, root);
    assert_agree_on_random_text(room->bpe, t, 7, 200, "");
    tokenizer_close(t);
}

static void a_token_that_no_merge_makes_does_not_come_from_text(void **state)
{
    const struct room *room = *state;
    json_t *root = as_json(room);

    set_at(root, "model.vocab.at" SPACE, "421");
    struct tokenizer *t = open_json(room, root);
    assert_agree(room->bpe, t, "at the mat", 10);
    ASSERT_TEXT(t, "at the", 421, piece_id(room, "t"), piece_id(room, "h"), piece_id(room, "e"));
    tokenizer_close(t);
}

static void added_tokens_of_a_tokenizer_json_are_found_in_text(void **state)
{
    const struct room *room = *state;
    struct tokenizer *t = open_json(room, as_json(room));
    struct ids x = encode(room->bpe, "x", 1);

    ASSERT_IDS(t, "<|im|>x</s><unk>", PIECES, x.id[0], x.id[1], EOS, UNKNOWN);
    ASSERT_TEXT(t, "<|im|>x \u2047 ", PIECES, x.id[0], x.id[1], EOS, UNKNOWN);
    free(x.id);
    tokenizer_close(t);
}

static void metaspace_puts_a_space_where_its_scheme_says_and_none_is(void **state)
{
    const struct room *room = *state;
    struct tokenizer *always = open_json(room, with_metaspace(room, METASPACE("always")));
    struct tokenizer *first = open_json(room, with_metaspace(room, METASPACE("first")));
    struct tokenizer *never = open_json(room, with_metaspace(room, METASPACE("never")));
    struct ids spaced = encode(room->bpe, "the", 3), bare = encode(never, "the", 3);

    assert_agree(room->bpe, always, "the cat", 7);
    assert_agree(room->bpe, first, "the cat", 7);
    assert_ids(encode(always, " the", 4), spaced.id, spaced.n);
    assert_ids(encode(first, SPACE "the", 6), spaced.id, spaced.n);
    assert_ids(encode(never, " the", 4), spaced.id, spaced.n);
    assert_int_not_equal(bare.id[0], spaced.id[0]);
    struct ids each = encode(always, "<s>the", 6), once = encode(first, "<s>the", 6);
    assert_ids((struct ids){memcpy(malloc(spaced.n * 4), each.id + 1, spaced.n * 4), each.n - 1}, spaced.id, spaced.n);
    assert_ids((struct ids){memcpy(malloc(bare.n * 4), once.id + 1, bare.n * 4), once.n - 1}, bare.id, bare.n);
    assert_text(always, each, "the", 3);
    assert_text(first, once, "the", 3);
    assert_text(first, spaced, "the", 3);
    assert_text(never, spaced, " the", 4);
    free(each.id);
    free(once.id);
    free(spaced.id);
    free(bare.id);
    tokenizer_close(always);
    tokenizer_close(first);
    tokenizer_close(never);
}

static void a_tokenizer_json_that_cannot_be_honoured_is_refused_by_name(void **state)
{
#define NORMALIZER "normalizer: expected Replace of \" \" by U+2581, or Prepend and Replace"
    static const struct {
        const char *path, *value, *sentence;
    } cases[] = {
        {"model.type", "\"Unigram\"", "model.type: expected \"BPE\", found \"Unigram\""},
        {"model.dropout", "0.1", "model.dropout: this setting is not supported"},
        {"model.ignore_merges", "true", "model.ignore_merges: this setting is not supported"},
        {"model.end_of_word_suffix", "\"_\"", "model.end_of_word_suffix: this setting is not supported"},
        {"model.vocab", "[]", "model.vocab: expected an object of token: id"},
        {"model.vocab.t", "null", "model.vocab: \"t\": expected an integer id"},
        {"model.vocab.zz", "2", "model.vocab: id 2: given to two tokens"},
        {"model.vocab.t", NULL, "model.merges[0]: a token of it is not in the vocabulary"},
        {"model.vocab.<0x41>", NULL, "libsentencepiece: there are not 256 byte pieces although `byte_fallback` is true."},
        {"model.merges", "{}", "model.merges: expected an array"},
        {"model.merges.1", "\"ab\"", "model.merges[1]: expected \"left right\" or [\"left\", \"right\"]"},
        {"normalizer", "null", NORMALIZER},
        {"normalizer", PREPEND, NORMALIZER},
        {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": [" REPLACE ", " PREPEND "]}", NORMALIZER},
        {"normalizer", "{\"type\": \"NFKC\"}", NORMALIZER},
        {"pre_tokenizer", METASPACE("first"), "pre_tokenizer: expected null where there is a normalizer"},
        {"added_tokens.1.normalized", "true", "added_tokens[1]: normalized: this setting is not supported"},
        {"added_tokens.1.rstrip", "true", "added_tokens[1]: rstrip: this setting is not supported"},
        {"added_tokens.1.id", "7", "added_tokens[1]: id 7: the vocabulary has this token as id 1"},
        {"post_processor", "{\"type\": \"BertProcessing\"}",
         "post_processor: expected ByteLevel or TemplateProcessing, found \"BertProcessing\""},
    };
    const struct room *room = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = as_json(room);
        char want[512];
        set_at(root, cases[i].path, cases[i].value);
        put_json(room->dir, "tokenizer.json", root);
        snprintf(want, sizeof want, "/tokenizer.json: %s", cases[i].sentence);
        assert_refused(room->dir, ERR_FORMAT, want);
        json_decref(root);
    }
}

static void a_metaspace_that_cannot_be_honoured_is_refused_by_name(void **state)
{
    static const struct {
        const char *value, *sentence;
    } cases[] = {
        {"{\"type\": \"Whitespace\"}", "expected null or Metaspace of U+2581, found \"Whitespace\""},
        {"{\"type\": \"Metaspace\", \"replacement\": \"_\"}", "expected null or Metaspace of U+2581, found \"Metaspace\""},
        {"{\"type\": \"Metaspace\", \"replacement\": \"" SPACE "\"}", "split: expected false"},
        {METASPACE("last"), "prepend_scheme: expected \"always\", \"first\" or \"never\", found \"last\""},
    };
    const struct room *room = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = with_metaspace(room, cases[i].value);
        char want[512];
        put_json(room->dir, "tokenizer.json", root);
        snprintf(want, sizeof want, "/tokenizer.json: pre_tokenizer: %s", cases[i].sentence);
        assert_refused(room->dir, ERR_FORMAT, want);
        json_decref(root);
    }
}

/* --- around a prompt --- */

static void copy_model(const struct room *room)
{
    run("cp %s/tokenizer.model %s/", room->bpe_dir, room->dir);
}

static void a_prompt_begins_with_bos_unless_the_config_says_otherwise(void **state)
{
    static const struct {
        const char *config;
        int32_t first, last; /* 0: none */
    } cases[] = {
        {"{}", BOS, 0},
        {"{\"add_bos_token\": false}", 0, 0},
        {"{\"add_bos_token\": null, \"add_eos_token\": true}", BOS, EOS},
        {"{\"bos_token\": \"</s>\", \"eos_token\": {\"content\": \"<s>\"}, \"add_eos_token\": true}", EOS, BOS},
        {"{\"bos_token\": {\"content\": \"<nowhere>\"}}", 0, 0},
    };
    const struct room *room = *state;
    struct ids plain = encode(room->bpe, "cat", 3);

    copy_model(room);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_file(room->dir, "tokenizer_config.json", cases[i].config, strlen(cases[i].config));
        struct tokenizer *t = open_dir(room->dir);
        struct ids ids = encode_prompt(t, "cat");
        size_t front = cases[i].first ? 1 : 0, behind = cases[i].last ? 1 : 0;
        assert_int_equal(ids.n, front + plain.n + behind);
        assert_memory_equal(ids.id + front, plain.id, plain.n * sizeof *plain.id);
        if (front)
            assert_int_equal(ids.id[0], cases[i].first);
        if (behind)
            assert_int_equal(ids.id[ids.n - 1], cases[i].last);
        free(ids.id);
        tokenizer_close(t);
    }
    ASSERT_PROMPT(room->bpe, "", BOS);
    free(plain.id);
}

static void a_config_that_cannot_be_honoured_is_refused(void **state)
{
    static const char bos[] = "{\"bos_token\": \"<nowhere>\", \"add_bos_token\": true}",
                      space[] = "{\"add_prefix_space\": false}";
    const struct room *room = *state;

    copy_model(room);
    put_file(room->dir, "tokenizer_config.json", space, sizeof space - 1);
    assert_refused(room->dir, ERR_FORMAT, "/tokenizer_config.json: add_prefix_space: expected true, as the tokenizer has it");
    put_file(room->dir, "tokenizer_config.json", bos, sizeof bos - 1);
    assert_refused(room->dir, ERR_FORMAT,
                   "/tokenizer_config.json: add_bos_token: the vocabulary has no such token as bos_token names");
}

/* --- which file of a folder --- */

static void put_byte_level_json(const struct room *room)
{
    json_t *vocab = json_object();

    for (uint32_t byte = 0, other = 0; byte < 256; byte++) {
        bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad);
        struct text key = {0};
        add_utf8(&key, prints ? byte : 0x100 + other++);
        json_object_set_new(vocab, key.data, json_integer(byte));
        text_free(&key);
    }
    json_t *root = json_pack("{s:{s:s,s:b},s:{s:s,s:o,s:[]}}", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0,
                             "model", "type", "BPE", "vocab", vocab, "merges");
    put_json(room->dir, "tokenizer.json", root);
    json_decref(root);
}

static void assert_about(const struct room *room, const char *about)
{
    struct tokenizer *t = open_dir(room->dir);

    assert_string_equal(tokenizer_about(t), about);
    tokenizer_close(t);
}

static void a_byte_level_json_goes_before_the_model_and_that_before_its_rendering(void **state)
{
    const struct room *room = *state;

    copy_model(room);
    put_byte_level_json(room);
    assert_about(room, "byte-level BPE, 256 tokens, tokenizer.json");
    tokenizer_close(open_json(room, as_json(room)));
    assert_about(room, "SentencePiece, 420 tokens, tokenizer.model");
    room_empty(room->dir);
    tokenizer_close(open_json(room, as_json(room)));
    assert_about(room, "SentencePiece, 421 tokens, tokenizer.json");
}

static void a_sentencepiece_model_has_no_list(void **state)
{
    const struct room *room = *state;
    struct token_list l;
    struct err e = {0};

    assert_int_equal(tokenizer_list(room->bpe, &l, &e), ERR_ABSENT);
    assert_string_equal(e.text, "SentencePiece, 420 tokens, tokenizer.model: only a byte-level BPE can be written out");
}

/* --- files that are something else, or damaged --- */

static void a_file_that_is_no_sentencepiece_model_is_refused(void **state)
{
    const struct room *room = *state;

    put_file(room->dir, "tokenizer.model", "IQ== 0\nIg== 1\n", 14);
    assert_refused(room->dir, ERR_FORMAT,
                   "/tokenizer.model: tiktoken's format (Llama 3's original), not SentencePiece; use the model's "
                   "tokenizer.json");
    put_file(room->dir, "tokenizer.model", "", 0);
    assert_refused(room->dir, ERR_FORMAT, "/tokenizer.model: libsentencepiece: unk is not defined.");
    put_file(room->dir, "tokenizer.model", "\xff\xff\xff", 3);
    struct tokenizer *t = NULL;
    assert_int_equal(tokenizer_open_dir(&t, room->dir, NULL), ERR_FORMAT);
    assert_null(t);
}

/* Whatever is in the file: an error, or a tokenizer that works. */
static void assert_survives(const struct room *room, const struct text *model)
{
    static const char text[] = "The cat sat on 我喜欢攀岩 ﬁ ① é é <tool> \xff 😀";
    struct tokenizer *t = NULL;
    struct text out = {0};
    int32_t *ids = NULL;
    size_t n = 0;

    put_file(room->dir, "tokenizer.model", model->data, model->len);
    if (tokenizer_open_dir(&t, room->dir, NULL) == 0 && tokenizer_encode(t, text, sizeof text - 1, &ids, &n, NULL) == 0)
        tokenizer_text(t, ids, n, &out);
    text_free(&out);
    free(ids);
    tokenizer_close(t);
}

static void a_damaged_model_does_no_harm(void **state)
{
    const struct room *room = *state;
    const char *dirs[] = {room->bpe_dir, room->uni_dir};
    uint64_t seed = 6;
    char path[1024];

    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < (k ? 5 : 150); i++) {
            struct text model = {0};
            assert_int_equal(text_read_file(&model, in_room(dirs[k], "tokenizer.model", path), 1 << 26, NULL), 0);
            for (uint32_t n = 1 + below(&seed, i % 2 ? 3 : 300); n > 0; n--)
                model.data[below(&seed, (uint32_t)model.len)] = (char)below(&seed, 256);
            model.len = below(&seed, 8) ? model.len : below(&seed, (uint32_t)model.len);
            assert_survives(room, &model);
            text_free(&model);
        }
    }
}

static void a_damaged_table_of_characters_is_named(void **state)
{
    const struct room *room = *state;
    struct text model = {0};
    char path[1024];

    assert_int_equal(text_read_file(&model, in_room(room->uni_dir, "tokenizer.model", path), 1 << 26, NULL), 0);
    memset(model.data + model.len / 4, 0x77, model.len / 4);
    put_file(room->dir, "tokenizer.model", model.data, model.len);
    assert_refused(room->dir, ERR_FORMAT, "/tokenizer.model: normalizer_spec.precompiled_charsmap is damaged");
    text_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_tokenizer_json_has_the_ids_of_the_model_it_was_taken_from, remove_files),
        cmocka_unit_test_teardown(the_lowest_rank_of_the_merges_that_make_a_piece_counts, remove_files),
        cmocka_unit_test_teardown(a_token_that_no_merge_makes_does_not_come_from_text, remove_files),
        cmocka_unit_test_teardown(added_tokens_of_a_tokenizer_json_are_found_in_text, remove_files),
        cmocka_unit_test_teardown(metaspace_puts_a_space_where_its_scheme_says_and_none_is, remove_files),
        cmocka_unit_test_teardown(a_tokenizer_json_that_cannot_be_honoured_is_refused_by_name, remove_files),
        cmocka_unit_test_teardown(a_metaspace_that_cannot_be_honoured_is_refused_by_name, remove_files),
        cmocka_unit_test_teardown(a_prompt_begins_with_bos_unless_the_config_says_otherwise, remove_files),
        cmocka_unit_test_teardown(a_config_that_cannot_be_honoured_is_refused, remove_files),
        cmocka_unit_test_teardown(a_byte_level_json_goes_before_the_model_and_that_before_its_rendering, remove_files),
        cmocka_unit_test_teardown(a_sentencepiece_model_has_no_list, remove_files),
        cmocka_unit_test_teardown(a_file_that_is_no_sentencepiece_model_is_refused, remove_files),
        cmocka_unit_test_teardown(a_damaged_model_does_no_harm, remove_files),
        cmocka_unit_test_teardown(a_damaged_table_of_characters_is_named, remove_files),
    };

    return cmocka_run_group_tests(tests, open_room, close_room);
}
