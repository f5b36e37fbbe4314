/* SPDX-License-Identifier: MIT
 * The files a tokenizer is read from: what a tokenizer.json may ask for and gets, and the one sentence that each wrong file is
 * refused with. */
#include "check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tokenizer/tokenizer.h"

struct room {
    char dir[256]; /* temporary; every file in it is removed at the end of a test */
};

/* --- helpers --- */

static const char *in_room(const struct room *room, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", room->dir, name);
    return path;
}

static void put_file(const struct room *room, const char *name, const char *data, size_t len)
{
    char path[512];

    assert_int_equal(text_write_file(in_room(room, name, path), data, len, NULL), 0);
}

static void put_json(const struct room *room, const char *name, const json_t *value)
{
    char *data = json_dumps(value, JSON_ENCODE_ANY);

    put_file(room, name, data, strlen(data));
    free(data);
}

static int remove_files(void **state)
{
    static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt", "ranks"};
    const struct room *room = *state;
    char path[512];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_room(room, names[i], path));
    return 0;
}

static void assert_ids(const struct tokenizer *t, const char *text, const int32_t *want, size_t want_n)
{
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = {0};

    if (tokenizer_encode(t, text, strlen(text), &ids, &n, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(n, want_n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], want[i]);
    free(ids);
}

#define ASSERT_IDS(t, text, ...)                                                                                               \
    assert_ids(t, text, (const int32_t[]){__VA_ARGS__}, sizeof(const int32_t[]){__VA_ARGS__} / sizeof(int32_t))

/* GPT-2's printable spelling of a byte: what Latin-1 prints is itself, the others follow, in order, from U+0100. */
static void spell(int byte, char out[3])
{
    int code = byte, others = 0;

    for (int b = 0; b <= byte; b++) {
        if ((b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad))
            code = b;
        else
            code = 0x100 + others++;
    }
    snprintf(out, 3, code < 0x80 ? "%c" : "%c%c", code < 0x80 ? code : 0xc0 | code >> 6, 0x80 | (code & 0x3f));
}

/* --- tokenizer.json --- */

#define PRE "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": "

/* 256 bytes, "ab", "abc" (which no merge makes) and " a"; "<|end|>" and "<|end|>!" are added tokens, ids 259 to 299 are free.
 */
static json_t *tiny(void)
{
    json_t *vocab = json_object();

    for (int byte = 0; byte < 256; byte++) {
        char token[3];
        spell(byte, token);
        json_object_set_new(vocab, token, json_integer(byte));
    }
    json_object_set_new(vocab, "ab", json_integer(256));
    json_object_set_new(vocab, "abc", json_integer(257));
    json_object_set_new(vocab, "Ġa", json_integer(258));
    json_t *added = json_pack("[{s:i,s:s},{s:i,s:s}]", "id", 301, "content", "<|end|>!", "id", 300, "content", "<|end|>");
    json_t *byte_level = json_loads(PRE "true}", 0, NULL);
    json_t *model = json_pack("{s:s,s:o,s:[s,[s,s]]}", "type", "BPE", "vocab", vocab, "merges", "Ġ a", "a", "b");
    return json_pack("{s:o,s:o,s:o}", "added_tokens", added, "pre_tokenizer", byte_level, "model", model);
}

/* Replaces the value at a path like "added_tokens.0.id" by JSON text; NULL removes it. */
static void set_at(json_t *root, const char *path, const char *value)
{
    json_t *new_value = value ? json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    char copy[128], *rest = copy, *key;
    json_t *at = root;

    snprintf(copy, sizeof copy, "%s", path);
    while ((key = strsep(&rest, ".")) && rest)
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
    if (json_is_array(at))
        json_array_set_new(at, (size_t)atoi(key), new_value);
    else if (new_value)
        json_object_set_new(at, key, new_value);
    else
        json_object_del(at, key);
}

/* Takes over root. */
static struct tokenizer *open_json(const struct room *room, json_t *root)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    put_json(room, "tokenizer.json", root);
    json_decref(root);
    if (tokenizer_open_dir(&t, room->dir, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

/* With Llama-3's kind of pre-tokenizer and this pattern. */
static json_t *tiny_split_by(const char *pattern)
{
    json_t *root = tiny(), *byte_level = json_loads(PRE "false}", 0, NULL);
    json_t *split =
        json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern", "Regex", pattern, "behavior", "Isolated", "invert", 0);

    json_object_set_new(root, "pre_tokenizer",
                        json_pack("{s:s,s:[o,o]}", "type", "Sequence", "pretokenizers", split, byte_level));
    return root;
}

static void added_tokens_are_found_before_splitting_the_longest_first(void **state)
{
    struct tokenizer *t = open_json(*state, tiny());

    ASSERT_IDS(t, " ab<|end|>ab<|end|>!<|end", 258, 'b', 300, 256, 301, '<', '|', 'e', 'n', 'd');
    ASSERT_IDS(t, "<|end|><|end|>", 300, 300);
    ASSERT_IDS(t, "a<|end|>!\xff<|end|>", 'a', 301, 0xff, 300);
    assert_int_equal(tokenizer_vocab(t), 302);
    assert_int_equal(tokenizer_decode(t, 299, &(struct text){0}, NULL), ERR_FORMAT);
    tokenizer_close(t);
}

static void ignore_merges_takes_a_piece_that_is_a_token_whole(void **state)
{
    json_t *root = tiny();
    struct tokenizer *t = open_json(*state, json_deep_copy(root));

    ASSERT_IDS(t, "abc abc", 256, 'c', 258, 'b', 'c');
    tokenizer_close(t);
    set_at(root, "model.ignore_merges", "true");
    t = open_json(*state, root);
    ASSERT_IDS(t, "abc abc", 257, 258, 'b', 'c');
    tokenizer_close(t);
}

static void text_that_a_pattern_leaves_out_is_a_piece_too(void **state)
{
    struct tokenizer *t = open_json(*state, tiny_split_by("b*"));
    ASSERT_IDS(t, " ab a", 258, 'b', 258);
    tokenizer_close(t);
}

/* Repeating a group fills the stack of PCRE2's compiled code: the match goes on without it. */
static void a_pattern_that_repeats_a_group_takes_long_text(void **state)
{
    struct tokenizer *t = open_json(*state, tiny_split_by("(?:[ab]|c(?=.))+"));
    char *text = malloc(1 << 20);
    int32_t *ids = NULL;
    size_t n = 0;
    memset(text, 'a', 1 << 20);
    assert_int_equal(tokenizer_encode(t, text, 1 << 20, &ids, &n, NULL), 0);
    assert_int_equal(n, 1 << 20);
    free(ids);
    free(text);
    tokenizer_close(t);
}

static void a_pattern_that_gives_up_is_an_error_and_leaves_the_ids_alone(void **state)
{
    static const char text[] = "ab aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct tokenizer *t = open_json(*state, tiny_split_by("(a+)+[bc]"));
    int32_t *ids = NULL;
    size_t n = 0;
    struct err e = {0};

    assert_int_equal(tokenizer_encode(t, "ab", 2, &ids, &n, NULL), 0);
    assert_int_equal(tokenizer_encode(t, text, strlen(text), &ids, &n, &e), ERR_FORMAT);
    assert_string_equal(e.text, "the splitting pattern gave up on this text at byte 2: match limit exceeded");
    assert_int_equal(n, 1);
    free(ids);
    tokenizer_close(t);
}

static void a_normalizer_that_is_not_applied_is_said(void **state)
{
    json_t *root = tiny();

    set_at(root, "normalizer", "{\"type\": \"NFC\"}");
    struct tokenizer *t = open_json(*state, root);
    assert_string_equal(tokenizer_about(t), "byte-level BPE, 302 tokens, tokenizer.json (NFC not applied)");
    tokenizer_close(t);
}

static void a_tokenizer_json_that_cannot_be_honoured_is_refused_by_name(void **state)
{
#define SEQUENCE(split, last) "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", " split "}, " PRE last "}]}"
    static const struct {
        const char *path, *value, *sentence;
    } cases[] = {
        {"model.type", "\"Uni\\u001bgram\"", "model.type: expected \"BPE\", found \"Uni?gram\""},
        {"model", NULL, "model.type: expected \"BPE\", found \"\""},
        {"model.dropout", "0.1", "model.dropout: this setting is not supported"},
        {"model.continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix: this setting is not supported"},
        {"model.end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix: this setting is not supported"},
        {"model.byte_fallback", "true", "model.byte_fallback: this setting is not supported"},
        {"model.vocab", "[]", "model.vocab: expected an object of token: id"},
        {"model.vocab.a", "\"97\"", "model.vocab: \"a\": expected an integer id"},
        {"model.vocab.zz", "1048576", "model.vocab: id 1048576, expected 0 to 1048575"},
        {"model.vocab.zz", "-1", "model.vocab: id -1, expected 0 to 1048575"},
        {"model.vocab.zz", "258", "model.vocab: id 258: given to two tokens"},
        {"model.vocab.a", NULL, "model.merges[0]: its right token is not in the vocabulary"},
        {"model.vocab.c", NULL, "no token for the byte 0x63; a byte-level vocabulary has one for each of the 256"},
        {"model.merges", NULL, "model.merges: expected an array"},
        {"model.merges.1", "\"ab\"", "model.merges[1]: expected \"left right\" or [\"left\", \"right\"]"},
        {"model.merges.1", "\"a b c\"", "model.merges[1]: expected \"left right\" or [\"left\", \"right\"]"},
        {"model.merges.1", "[\"a\"]", "model.merges[1]: expected \"left right\" or [\"left\", \"right\"]"},
        {"model.merges.1", "\"▁ b\"", "model.merges[1]: its left token is not in the vocabulary"},
        {"model.merges.1", "\"b b\"", "model.merges[1]: the token it makes is not in the vocabulary"},
        {"model.merges.1", "[\"Ġ\", \"a\"]", "model.merges[1]: the same merge as number 1"},
        {"normalizer", "{\"type\": \"Lowercase\"}", "normalizer: expected null or NFC, found \"Lowercase\""},
        {"pre_tokenizer", "null", "pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, found \"\""},
        {"pre_tokenizer", "{\"type\": \"Whitespace\"}",
         "pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, found \"Whitespace\""},
        {"pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": [" PRE "true}]}",
         "pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, found \"Sequence\""},
        {"pre_tokenizer.add_prefix_space", "true",
         "pre_tokenizer: add_prefix_space: expected false; a space in front is not supported"},
        {"pre_tokenizer.use_regex", "false", "pre_tokenizer: ByteLevel: use_regex false needs a Split in front of it"},
        {"pre_tokenizer.use_regex", "1", "pre_tokenizer: use_regex: expected true or false"},
        {"pre_tokenizer", SEQUENCE("\"pattern\": {\"String\": \" \"}", "false"),
         "pre_tokenizer: Split: pattern: expected {\"Regex\": \"...\"}"},
        {"pre_tokenizer", SEQUENCE("\"pattern\": {\"Regex\": \" \"}, \"behavior\": \"Removed\"", "false"),
         "pre_tokenizer: Split: behavior: expected \"Isolated\", found \"Removed\""},
        {"pre_tokenizer", SEQUENCE("\"pattern\": {\"Regex\": \" \"}, \"behavior\": \"Isolated\", \"invert\": true", "false"),
         "pre_tokenizer: Split: invert: expected false"},
        {"pre_tokenizer", SEQUENCE("\"pattern\": {\"Regex\": \" \"}, \"behavior\": \"Isolated\"", "true"),
         "pre_tokenizer: ByteLevel: use_regex: expected false after a Split"},
        {"pre_tokenizer", SEQUENCE("\"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"", "false"),
         "pre_tokenizer: the splitting pattern does not compile: missing closing parenthesis"},
        {"added_tokens", "{}", "added_tokens: expected an array"},
        {"added_tokens.0", "7", "added_tokens[0]: expected an object with an integer id and a string content"},
        {"added_tokens.0.lstrip", "true", "added_tokens[0]: lstrip: this setting is not supported"},
        {"added_tokens.0.single_word", "true", "added_tokens[0]: single_word: this setting is not supported"},
        {"added_tokens.0.content", "\"\"", "added_tokens[0]: id 301: a token of 0 bytes, expected 1 to 1024"},
        {"added_tokens.0.content", "\"ab\"", "added_tokens[0]: id 301: the vocabulary has this token as id 256"},
        {"added_tokens.0.content", "\"<|end|>\"", "added_tokens: ids 300 and 301: the same token"},
        {"added_tokens.0.id", "256", "added_tokens[0]: id 256: given to two tokens"},
        {"added_tokens.0.id", "9223372036854775807", "added_tokens[0]: id 9223372036854775807, expected 0 to 1048575"},
    };
    const struct room *room = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = tiny();
        struct tokenizer *t = NULL;
        struct err e = {0};
        char want[1024];
        set_at(root, cases[i].path, cases[i].value);
        put_json(room, "tokenizer.json", root);
        assert_int_equal(tokenizer_open_dir(&t, room->dir, &e), ERR_FORMAT);
        snprintf(want, sizeof want, "%s/tokenizer.json: %s", room->dir, cases[i].sentence);
        assert_string_equal(e.text, want);
        json_decref(root);
    }
}

/* --- other malformed files --- */

static void assert_refused(const struct room *room, int code, const char *sentence)
{
    struct tokenizer *t = NULL;
    struct err e = {0};
    char want[1024];

    assert_int_equal(tokenizer_open_dir(&t, room->dir, &e), code);
    snprintf(want, sizeof want, "%s%s", room->dir, sentence);
    assert_string_equal(e.text, want);
    assert_null(t);
}

static void a_folder_without_tokenizer_files_is_absent(void **state)
{
    static const char sentence[] = ": no tokenizer.json, nor vocab.json and merges.txt; put the model's files there";
    const struct room *room = *state;

    assert_refused(room, ERR_ABSENT, sentence);
    put_file(room, "vocab.json", "{}", 2);
    assert_refused(room, ERR_ABSENT, sentence);
}

static void a_json_file_that_does_not_parse_is_refused_with_line_and_column(void **state)
{
    const struct room *room = *state;

    put_file(room, "tokenizer.json", "{\n \"a\" 1}", 9);
    assert_refused(room, ERR_FORMAT, "/tokenizer.json:2:6: ':' expected near '1'");
    put_file(room, "tokenizer.json", "{\"a\": 1, \"a\": 2}", 16);
    assert_refused(room, ERR_FORMAT, "/tokenizer.json:1:12: duplicate object key near '\"a\"'");
    remove_files(state);
    put_file(room, "merges.txt", "", 0);
    put_file(room, "vocab.json", "[]", 2);
    assert_refused(room, ERR_FORMAT, "/vocab.json: expected an object of token: id");
}

static void a_merges_file_is_refused_by_line(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"#version: 0.2\na b\nab\n", "/merges.txt:3: expected two tokens with one space between them"},
        {"a  b\n", "/merges.txt:1: expected two tokens with one space between them"},
        {"a \n", "/merges.txt:1: expected two tokens with one space between them"},
        {"a b\n\n", "/merges.txt:2: expected two tokens with one space between them"},
        {"a b\na b", "/merges.txt:2: the same merge as number 1"},
        {"a b\r\n", "/merges.txt:1: its right token is not in the vocabulary"},
        {"a b\n#version: 0.2\n", "/merges.txt:2: its left token is not in the vocabulary"},
        {"a \xc4\n", "/merges.txt:1: its right token is not in the vocabulary"},
        {"b a", "/merges.txt:1: the token it makes is not in the vocabulary"},
    };
    const struct room *room = *state;
    json_t *root = tiny();

    put_json(room, "vocab.json", json_object_get(json_object_get(root, "model"), "vocab"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_file(room, "merges.txt", cases[i].text, strlen(cases[i].text));
        assert_refused(room, ERR_FORMAT, cases[i].sentence);
    }
    json_decref(root);
}

/* 256 lines: each byte has itself as rank. */
static void byte_ranks(struct text *t)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (int byte = 0; byte < 256; byte++)
        text_printf(t, "%c%c== %d\n", digit[byte >> 2], digit[(byte & 3) << 4], byte);
}

static void a_ranks_file_may_have_any_bytes_and_gaps(void **state)
{
    const struct room *room = *state;
    struct text file = {0};
    struct tokenizer *t = NULL;
    char path[512];

    byte_ranks(&file);
    text_puts(&file, "YWI= 300\neHl6 400"); /* ab, xyz */
    put_file(room, "ranks", file.data, file.len);
    assert_int_equal(tokenizer_open_ranks(&t, in_room(room, "ranks", path), NULL), 0);
    assert_string_equal(tokenizer_about(t), "byte-level BPE, 401 tokens, tiktoken ranks");
    ASSERT_IDS(t, "abc xyz", 300, 'c', ' ', 'x', 'y', 'z');
    ASSERT_IDS(t, "xyz", 400); /* a piece that is a token needs no merges */
    tokenizer_close(t);
    text_free(&file);
}

/* Each of the tokens looks like a character and is none: too long a form, a surrogate, beyond U+10FFFF, cut short. The last two
 * are the neighbours that are characters. */
static void bytes_that_are_no_utf8_are_never_merged(void **state)
{
    const struct room *room = *state;
    struct text file = {0};
    struct tokenizer *t = NULL;
    char path[512];

    byte_ranks(&file);
    text_puts(&file,
              "waE= 256\n4J+/ 257\n8I+/vw== 258\n7aCA 259\n9JCAgA== 260\n9YCAgA== 261\n5L0= 262\n7Z+/ 263\n9I+/vw== 264\n");
    put_file(room, "ranks", file.data, file.len);
    assert_int_equal(tokenizer_open_ranks(&t, in_room(room, "ranks", path), NULL), 0);
    ASSERT_IDS(t, "\xc1\xa1", 0xc1, 0xa1);
    ASSERT_IDS(t, "\xe0\x9f\xbf", 0xe0, 0x9f, 0xbf);
    ASSERT_IDS(t, "\xf0\x8f\xbf\xbf", 0xf0, 0x8f, 0xbf, 0xbf);
    ASSERT_IDS(t, "\xed\xa0\x80", 0xed, 0xa0, 0x80);
    ASSERT_IDS(t, "\xf4\x90\x80\x80", 0xf4, 0x90, 0x80, 0x80);
    ASSERT_IDS(t, "\xf5\x80\x80\x80", 0xf5, 0x80, 0x80, 0x80);
    ASSERT_IDS(t, "\xe4\xbd", 0xe4, 0xbd);
    ASSERT_IDS(t, "\xed\x9f\xbf", 263);
    ASSERT_IDS(t, "\xf4\x8f\xbf\xbf", 264);
    tokenizer_close(t);
    text_free(&file);
}

static void a_ranks_file_is_refused_by_line(void **state)
{
    static const struct {
        const char *line, *sentence;
    } cases[] = {
        {"YWI=", ":257: expected a token in base64, one space and its rank"},
        {"YWI= ", ":257: expected a token in base64, one space and its rank"},
        {"YWI=  256", ":257: expected a token in base64, one space and its rank"},
        {"YWI= +256", ":257: expected a token in base64, one space and its rank"},
        {"YWI= 12345678", ":257: expected a token in base64, one space and its rank"},
        {"YWI= 99999999999999999999", ":257: expected a token in base64, one space and its rank"},
        {"YWI 256", ":257: expected a token in base64, one space and its rank"},
        {"Y=I= 256", ":257: expected a token in base64, one space and its rank"},
        {"YW!= 256", ":257: expected a token in base64, one space and its rank"},
        {"==== 256", ":257: expected a token in base64, one space and its rank"},
        {" 256", ":257: expected a token in base64, one space and its rank"},
        {"\n", ":257: expected a token in base64, one space and its rank"},
        {"YWI= 1048576", ":257: id 1048576, expected 0 to 1048575"},
        {"YWI= 255", ":257: id 255: given to two tokens"},
        {"YQ== 256", ":257: id 256: the same token as id 97"},
    };
    const struct room *room = *state;
    struct tokenizer *t = NULL;
    struct err e = {0};
    char path[512], want[1024];

    in_room(room, "ranks", path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text file = {0};
        byte_ranks(&file);
        text_puts(&file, cases[i].line);
        put_file(room, "ranks", file.data, file.len);
        assert_int_equal(tokenizer_open_ranks(&t, path, &e), ERR_FORMAT);
        snprintf(want, sizeof want, "%s%s", path, cases[i].sentence);
        assert_string_equal(e.text, want);
        text_free(&file);
    }
    put_file(room, "ranks", "YQ== 97\n", 8);
    assert_int_equal(tokenizer_open_ranks(&t, path, &e), ERR_FORMAT);
    snprintf(want, sizeof want, "%s: no token for the byte 0x00; a byte-level vocabulary has one for each of the 256", path);
    assert_string_equal(e.text, want);
    remove_files(state);
    assert_int_equal(tokenizer_open_ranks(&t, path, &e), ERR_IO);
    snprintf(want, sizeof want, "%s: No such file or directory", path);
    assert_string_equal(e.text, want);
}

static void ranks_that_are_not_gpt2s_are_not_taken_for_them(void **state)
{
    const struct room *room = *state;
    const char *named = getenv("BENCH_GPT2_RANKS");
    char *before = named ? strdup(named) : NULL;
    struct tokenizer *t = NULL;
    struct text file = {0};
    struct err e = {0};
    char path[512], want[1024];

    byte_ranks(&file);
    put_file(room, "ranks", file.data, file.len);
    setenv("BENCH_GPT2_RANKS", in_room(room, "ranks", path), 1);
    assert_int_equal(tokenizer_open_gpt2(&t, &e), ERR_FORMAT);
    snprintf(want, sizeof want, "BENCH_GPT2_RANKS: %s: ranks up to 255, expected GPT-2's up to 50255", path);
    assert_string_equal(e.text, want);
    if (before)
        setenv("BENCH_GPT2_RANKS", before, 1);
    else
        unsetenv("BENCH_GPT2_RANKS");
    free(before);
    text_free(&file);
}

static int open_room(void **state)
{
    struct room *room = calloc(1, sizeof *room);
    const char *tmp = getenv("TMPDIR");

    snprintf(room->dir, sizeof room->dir, "%s/bench-tokenizer-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    *state = room;
    return mkdtemp(room->dir) ? 0 : -1;
}

static int close_room(void **state)
{
    struct room *room = *state;

    rmdir(room->dir);
    free(room);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(added_tokens_are_found_before_splitting_the_longest_first, remove_files),
        cmocka_unit_test_teardown(ignore_merges_takes_a_piece_that_is_a_token_whole, remove_files),
        cmocka_unit_test_teardown(text_that_a_pattern_leaves_out_is_a_piece_too, remove_files),
        cmocka_unit_test_teardown(a_pattern_that_repeats_a_group_takes_long_text, remove_files),
        cmocka_unit_test_teardown(a_pattern_that_gives_up_is_an_error_and_leaves_the_ids_alone, remove_files),
        cmocka_unit_test_teardown(a_normalizer_that_is_not_applied_is_said, remove_files),
        cmocka_unit_test_teardown(a_tokenizer_json_that_cannot_be_honoured_is_refused_by_name, remove_files),
        cmocka_unit_test_teardown(a_folder_without_tokenizer_files_is_absent, remove_files),
        cmocka_unit_test_teardown(a_json_file_that_does_not_parse_is_refused_with_line_and_column, remove_files),
        cmocka_unit_test_teardown(a_merges_file_is_refused_by_line, remove_files),
        cmocka_unit_test_teardown(a_ranks_file_may_have_any_bytes_and_gaps, remove_files),
        cmocka_unit_test_teardown(bytes_that_are_no_utf8_are_never_merged, remove_files),
        cmocka_unit_test_teardown(a_ranks_file_is_refused_by_line, remove_files),
        cmocka_unit_test_teardown(ranks_that_are_not_gpt2s_are_not_taken_for_them, remove_files),
    };

    return cmocka_run_group_tests(tests, open_room, close_room);
}
