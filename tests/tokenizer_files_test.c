/* SPDX-License-Identifier: MIT
 * The files a byte-level BPE is read from: what a tokenizer.json may ask for and gets, and the one sentence that each wrong
 * file is refused with. */
#include "check.h"

#include "quick.h"
#include "token_room.h"

/* --- helpers --- */

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

/* Takes over root. */
static struct tokenizer *open_json(const char *room, json_t *root)
{
    put_json(room, "tokenizer.json", root);
    json_decref(root);
    return open_dir(room);
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

/* Without merges each byte is its id. */
static void nfc_composes_valid_text_and_leaves_other_bytes_alone(void **state)
{
    json_t *root = tiny();

    set_at(root, "normalizer", "{\"type\": \"NFC\"}");
    struct tokenizer *t = open_json(*state, root);
    ASSERT_IDS(t, "e\u0301ab", 0xc3, 0xa9, 256);
    ASSERT_IDS(t, "q\u0307\u0323", 'q', 0xcc, 0xa3, 0xcc, 0x87);
    ASSERT_IDS(t, "e\xff\u0301\xcc", 'e', 0xff, 0xcc, 0x81, 0xcc);
    ASSERT_IDS(t, "e<|end|>\u0301", 'e', 300, 0xcc, 0x81);
    ASSERT_IDS(t, "\u1100\u1161\u11a8", 0xea, 0xb0, 0x81);
    ASSERT_IDS(t, "\u0340\u2126", 0xcc, 0x80, 0xce, 0xa9);
    tokenizer_close(t);
}

static void a_megabyte_of_marks_in_the_wrong_order_is_composed_quickly(void **state)
{
    json_t *root = tiny();
    struct text text = {0};

    while (text.len < 1 << 20)
        text_puts(&text, "\u0307\u0323");
    set_at(root, "normalizer", "{\"type\": \"NFC\"}");
    struct tokenizer *t = open_json(*state, root);
    const double begin = own_cpu_s();
    struct ids ids = encode(t, text.data, text.len);
    assert_was_quick(begin);
    assert_int_equal(ids.n, text.len);
    assert_int_equal(ids.id[1], 0xa3);
    assert_int_equal(ids.id[ids.n - 1], 0x87);
    free(ids.id);
    text_free(&text);
    tokenizer_close(t);
}

static void text_of_ids_leaves_out_special_tokens_and_shows_ids_without_one(void **state)
{
    json_t *root = tiny();

    set_at(root, "added_tokens.0.special", "true");
    struct tokenizer *t = open_json(*state, root);
    ASSERT_TEXT(t, "abc a", 301, 256, 'c', 301, 258);
    ASSERT_TEXT(t, "a<|end|>b", 'a', 300, 'b');
    ASSERT_TEXT(t, "a<299><-1>\xff<302>", 'a', 299, -1, 0xff, 302);
    tokenizer_close(t);
}

/* --- around a prompt --- */

#define TEXT             "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}"
#define TOKEN(id)        "{\"SpecialToken\": {\"id\": \"" id "\", \"type_id\": 0}}"
#define SPECIAL          "{\"<\": {\"id\": \"<\", \"ids\": [300]}, \">\": {\"id\": \">\", \"ids\": [301]}, \"2\": {\"ids\": [1, 2]}}"
#define TEMPLATE(single) "{\"type\": \"TemplateProcessing\", \"single\": [" single "], \"special_tokens\": " SPECIAL "}"
#define TRIM             "{\"type\": \"ByteLevel\", \"trim_offsets\": false}"

static struct tokenizer *open_processed(const char *room, const char *post_processor)
{
    json_t *root = tiny();

    set_at(root, "post_processor", post_processor);
    return open_json(room, root);
}

static void the_post_processor_says_what_stands_around_a_prompt(void **state)
{
    struct tokenizer *t = open_processed(*state, TEMPLATE(TOKEN("<") ", " TEXT));
    ASSERT_PROMPT(t, "ab", 300, 256);
    ASSERT_PROMPT(t, "", 300);
    ASSERT_IDS(t, "ab", 256);
    tokenizer_close(t);
    t = open_processed(*state, "{\"type\": \"Sequence\", \"processors\": [" TRIM ", " TEMPLATE(TEXT ", " TOKEN(">")) "]}");
    ASSERT_PROMPT(t, "ab", 256, 301);
    tokenizer_close(t);
    t = open_processed(*state, TRIM);
    ASSERT_PROMPT(t, "ab", 256);
    tokenizer_close(t);
    t = open_processed(*state, "null");
    ASSERT_PROMPT(t, "ab", 256);
    tokenizer_close(t);
}

static void a_post_processor_that_cannot_be_honoured_is_refused_by_name(void **state)
{
#define SINGLE "TemplateProcessing: single: expected the text, at most one token in front of it and one behind"
    static const struct {
        const char *value, *sentence;
    } cases[] = {
        {"{\"type\": \"RobertaProcessing\"}", "expected ByteLevel or TemplateProcessing, found \"RobertaProcessing\""},
        {"[1]", "expected ByteLevel or TemplateProcessing, found \"\""},
        {"{\"type\": \"Sequence\", \"processors\": [{\"type\": \"Sequence\"}]}", "a Sequence within a Sequence"},
        {TEMPLATE(""), SINGLE},
        {TEMPLATE(TOKEN("<")), SINGLE},
        {TEMPLATE(TEXT ", " TEXT), SINGLE},
        {TEMPLATE(TOKEN("<") ", " TOKEN("<") ", " TEXT), SINGLE},
        {TEMPLATE(TEXT ", " TOKEN("<") ", " TOKEN("<")), SINGLE},
        {TEMPLATE(TOKEN("2") ", " TEXT), "TemplateProcessing: special_tokens: expected one id of the vocabulary for \"2\""},
        {TEMPLATE(TOKEN("x") ", " TEXT), "TemplateProcessing: special_tokens: expected one id of the vocabulary for \"x\""},
        {"{\"type\": \"TemplateProcessing\", \"single\": [" TOKEN("<") ", " TEXT "], "
                                                                       "\"special_tokens\": {\"<\": {\"ids\": [299]}}}",
         "TemplateProcessing: special_tokens: expected one id of the vocabulary for \"<\""},
    };
    const char *room = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = tiny();
        char want[512];
        set_at(root, "post_processor", cases[i].value);
        put_json(room, "tokenizer.json", root);
        snprintf(want, sizeof want, "/tokenizer.json: post_processor: %s", cases[i].sentence);
        assert_refused(room, ERR_FORMAT, want);
        json_decref(root);
    }
}

static struct tokenizer *open_configured(const char *room, const char *config)
{
    put_file(room, "tokenizer_config.json", config, strlen(config));
    return open_dir(room);
}

/* Other classes keep to the post-processor; LLaMA's rewrites it. */
static void the_config_of_llamas_tokenizer_overrules_the_post_processor(void **state)
{
    struct tokenizer *t = open_processed(*state, TEMPLATE(TEXT ", " TOKEN(">")));
    tokenizer_close(t);
    t = open_configured(*state, "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"bos_token\": {\"content\": \"<|end|>\"}}");
    ASSERT_PROMPT(t, "ab", 300, 256);
    tokenizer_close(t);
    t = open_configured(*state, "{\"tokenizer_class\": \"LlamaTokenizer\", \"bos_token\": \"<|end|>\", \"eos_token\": \"ab\","
                                " \"add_bos_token\": false, \"add_eos_token\": true}");
    ASSERT_PROMPT(t, "c", 'c', 256);
    tokenizer_close(t);
    t = open_configured(*state, "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_bos_token\": true}");
    ASSERT_PROMPT(t, "ab", 256, 301);
    tokenizer_close(t);
}

static void a_config_asks_vocab_and_merges_for_a_token_in_front(void **state)
{
    const char *room = *state;
    json_t *root = tiny();

    put_json(room, "vocab.json", json_object_get(json_object_get(root, "model"), "vocab"));
    put_file(room, "merges.txt", "a b\n", 4);
    struct tokenizer *t = open_configured(room, "{\"bos_token\": \"abc\"}");
    ASSERT_PROMPT(t, "ab", 256);
    tokenizer_close(t);
    t = open_configured(room, "{\"bos_token\": \"abc\", \"add_bos_token\": true}");
    ASSERT_PROMPT(t, "ab", 257, 256);
    tokenizer_close(t);
    put_file(room, "tokenizer_config.json", "{\"add_bos_token\": 1}", 20);
    assert_refused(room, ERR_FORMAT, "/tokenizer_config.json: add_bos_token: expected true or false");
    put_file(room, "tokenizer_config.json", "{\"add_bos_token\": true}", 23);
    assert_refused(room, ERR_FORMAT,
                   "/tokenizer_config.json: add_bos_token: the vocabulary has no such token as bos_token names");
    put_file(room, "tokenizer_config.json", "{", 1);
    assert_refused(room, ERR_FORMAT, "/tokenizer_config.json:1:1: string or '}' expected near end of file");
    json_decref(root);
}

/* --- what is refused --- */

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
        {"added_tokens.0.content", "\"<|end|>\"", "the added tokens 300 and 301 are the same"},
        {"added_tokens.0.id", "256", "added_tokens[0]: id 256: given to two tokens"},
        {"added_tokens.0.id", "9223372036854775807", "added_tokens[0]: id 9223372036854775807, expected 0 to 1048575"},
    };
    const char *room = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root = tiny();
        struct tokenizer *t = NULL;
        struct err e = {0};
        char want[1536];
        set_at(root, cases[i].path, cases[i].value);
        put_json(room, "tokenizer.json", root);
        assert_int_equal(tokenizer_open_dir(&t, room, &e), ERR_FORMAT);
        snprintf(want, sizeof want, "%s/tokenizer.json: %s", room, cases[i].sentence);
        assert_string_equal(e.text, want);
        json_decref(root);
    }
}

/* --- other malformed files --- */

static void a_folder_without_tokenizer_files_is_absent(void **state)
{
    static const char sentence[] = ": no tokenizer.json, no tokenizer.model, nor vocab.json and merges.txt; "
                                   "put the model's files there";
    const char *room = *state;

    assert_refused(room, ERR_ABSENT, sentence);
    put_file(room, "vocab.json", "{}", 2);
    assert_refused(room, ERR_ABSENT, sentence);
}

static void a_json_file_that_does_not_parse_is_refused_with_line_and_column(void **state)
{
    const char *room = *state;

    put_file(room, "tokenizer.json", "{\n \"a\" 1}", 9);
    assert_refused(room, ERR_FORMAT, "/tokenizer.json:2:6: ':' expected near '1'");
    put_file(room, "tokenizer.json", "{\"a\": 1, \"a\": 2}", 16);
    assert_refused(room, ERR_FORMAT, "/tokenizer.json:1:12: duplicate object key near '\"a\"'");
    room_empty(room);
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
    const char *room = *state;
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
    const char *room = *state;
    struct text file = {0};
    struct tokenizer *t = NULL;
    char path[1024];

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
    const char *room = *state;
    struct text file = {0};
    struct tokenizer *t = NULL;
    char path[1024];

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
    const char *room = *state;
    struct tokenizer *t = NULL;
    struct err e = {0};
    char path[1024], want[1536];

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
    room_empty(room);
    assert_int_equal(tokenizer_open_ranks(&t, path, &e), ERR_IO);
    snprintf(want, sizeof want, "%s: No such file or directory", path);
    assert_string_equal(e.text, want);
}

static void ranks_that_are_not_gpt2s_are_not_taken_for_them(void **state)
{
    const char *room = *state;
    const char *named = getenv("BENCH_GPT2_RANKS");
    char *before = named ? strdup(named) : NULL;
    struct tokenizer *t = NULL;
    struct text file = {0};
    struct err e = {0};
    char path[1024], want[1536];

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
    *state = room_open();
    return 0;
}

static int remove_files(void **state)
{
    room_empty(*state);
    return 0;
}

static int close_room(void **state)
{
    room_close(*state);
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
        cmocka_unit_test_teardown(nfc_composes_valid_text_and_leaves_other_bytes_alone, remove_files),
        cmocka_unit_test_teardown(a_megabyte_of_marks_in_the_wrong_order_is_composed_quickly, remove_files),
        cmocka_unit_test_teardown(text_of_ids_leaves_out_special_tokens_and_shows_ids_without_one, remove_files),
        cmocka_unit_test_teardown(the_post_processor_says_what_stands_around_a_prompt, remove_files),
        cmocka_unit_test_teardown(a_post_processor_that_cannot_be_honoured_is_refused_by_name, remove_files),
        cmocka_unit_test_teardown(the_config_of_llamas_tokenizer_overrules_the_post_processor, remove_files),
        cmocka_unit_test_teardown(a_config_asks_vocab_and_merges_for_a_token_in_front, remove_files),
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
