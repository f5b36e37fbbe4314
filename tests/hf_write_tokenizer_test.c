/* SPDX-License-Identifier: MIT
 * A tokenizer written with its model as vocab.json, merges.txt and tokenizer_config.json: read back it gives the same ids, and
 * what these files cannot say is refused. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hf_room.h"

static void assert_same_ids(const struct tokenizer *a, const struct tokenizer *b, const char *text)
{
    int32_t *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    struct err e = {0};

    assert_int_equal(tokenizer_encode(a, text, strlen(text), &x, &n, &e), 0);
    assert_int_equal(tokenizer_encode(b, text, strlen(text), &y, &m, &e), 0);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n * sizeof *x);
    free(x);
    free(y);
}

static void the_tokenizer_of_gpt2_comes_back(void **state)
{
    struct model_config c = preset("tiny-gpt2");
    struct weights w;
    struct tokenizer *t, *back;
    struct err e = {0};

    if (tokenizer_open_gpt2(&t, &e) < 0)
        fail_msg("%s", e.text);
    build(&w, &c);
    written(*state, &c, &w, t, DTYPE_BF16);
    struct source *s = opened(*state);
    if (s->ops->tokenizer(s, &back, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(tokenizer_vocab(back), 50257);
    assert_same_ids(t, back, "The quick brown fox, naïve, 我喜欢攀岩 🙂   \n\n\t'll 1234567890 \xff\xfe");
    assert_same_ids(t, back, "antidisestablishmentarianism    indentation\r\nfoo_bar(baz);");
    struct text merges = content_of(*state, "merges.txt"), about = content_of(*state, "tokenizer_config.json");
    assert_memory_equal(merges.data, "#version: 0.2\nĠ t\nĠ a\nh e\ni n\n", strlen("#version: 0.2\nĠ t\nĠ a\nh e\ni n\n"));
    assert_non_null(strstr(about.data, "\"tokenizer_class\": \"GPT2Tokenizer\""));
    assert_non_null(strstr(about.data, "\"model_max_length\": 1024"));
    text_free(&merges);
    text_free(&about);
    tokenizer_close(t);
    tokenizer_close(back);
    source_close(s);
    weights_free(&w);
}

/* A vocabulary of the 256 bytes in GPT-2's spelling, and a token that is found in text. */
static struct tokenizer *byte_tokenizer(const char *pre, int add_eos)
{
    static char spelling[257][16];
    struct token_bytes token[257];
    int32_t type[257];
    struct tokenizer *t = NULL;
    struct err e = {0};

    for (int b = 0, others = 0; b < 256; b++) {
        bool printed = (b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad);
        int code = printed ? b : 0x100 + others++;
        snprintf(spelling[b], sizeof *spelling, code < 0x80 ? "%c" : "%c%c", code < 0x80 ? code : 0xc0 | code >> 6,
                 0x80 | (code & 0x3f));
    }
    snprintf(spelling[256], sizeof *spelling, "<|end|>");
    for (int i = 0; i < 257; i++) {
        token[i] = (struct token_bytes){.data = spelling[i], .len = strlen(spelling[i])};
        type[i] = i < 256 ? TOKEN_NORMAL : TOKEN_CONTROL;
    }
    const struct token_list list = {.model = "gpt2",
                                    .pre = pre,
                                    .count = 257,
                                    .token = token,
                                    .type = type,
                                    .bos = 256,
                                    .eos = 256,
                                    .unknown = -1,
                                    .add_bos = 1,
                                    .add_eos = add_eos};
    if (tokenizer_open_list(&t, &list, &e) < 0)
        fail_msg("%s", e.text);
    return t;
}

static void a_tokenizer_is_written_with_its_special_tokens(void **state)
{
    struct model_config c = family("llama");
    struct weights w;
    struct tokenizer *t = byte_tokenizer("gpt-2", 0);

    build(&w, &c);
    written(*state, &c, &w, t, DTYPE_F32);
    struct text about = content_of(*state, "tokenizer_config.json");
    assert_string_equal(about.data, "{\n"
                                    "  \"tokenizer_class\": \"GPT2Tokenizer\",\n"
                                    "  \"add_bos_token\": true,\n"
                                    "  \"add_prefix_space\": false,\n"
                                    "  \"added_tokens_decoder\": {\n"
                                    "    \"256\": {\n"
                                    "      \"content\": \"<|end|>\",\n"
                                    "      \"lstrip\": false,\n"
                                    "      \"normalized\": false,\n"
                                    "      \"rstrip\": false,\n"
                                    "      \"single_word\": false,\n"
                                    "      \"special\": true\n"
                                    "    }\n"
                                    "  },\n"
                                    "  \"bos_token\": \"<|end|>\",\n"
                                    "  \"eos_token\": \"<|end|>\",\n"
                                    "  \"unk_token\": null,\n"
                                    "  \"model_max_length\": 1000\n"
                                    "}\n");
    struct tokenizer *back;
    struct err e = {0};
    int32_t *ids = NULL;
    size_t n = 0;
    if (tokenizer_open_dir(&back, ((struct room *)*state)->dir, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(tokenizer_encode_prompt(back, "a", 1, &ids, &n, &e), 0);
    assert_true(n == 2 && ids[0] == 256 && ids[1] == 'a');
    free(ids);
    tokenizer_close(back);
    text_free(&about);
    tokenizer_close(t);
    weights_free(&w);
}

static void a_tokenizer_of_another_kind_is_refused(void **state)
{
    static const struct {
        const char *pre;
        int add_eos;
        const char *sentence;
    } cases[] = {
        {"qwen2", 0, "vocab.json and merges.txt cannot say the tokenizer's way of splitting, qwen2"},
        {"gpt-2", 1, "tokenizer_config.json cannot say an end-of-text token after each prompt"},
    };
    const struct room *r = *state;
    struct model_config c = family("llama");
    struct weights w;

    build(&w, &c);
    for (int i = 0; i < 2; i++) {
        struct tokenizer *t = byte_tokenizer(cases[i].pre, cases[i].add_eos);
        struct err e = {0};
        char expected[600];
        assert_int_equal(hf_write(r->dir, &c, &w, t, DTYPE_F32, &e), ERR_USAGE);
        snprintf(expected, sizeof expected, "%s: %s", r->dir, cases[i].sentence);
        assert_string_equal(e.text, expected);
        assert_true(access(r->dir, F_OK) < 0);
        tokenizer_close(t);
    }
    weights_free(&w);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, empty_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(the_tokenizer_of_gpt2_comes_back),
        in_a_room(a_tokenizer_is_written_with_its_special_tokens),
        in_a_room(a_tokenizer_of_another_kind_is_refused),
    };

    return cmocka_run_group_tests(tests, make_room, remove_room);
}
