/* SPDX-License-Identifier: MIT
 * A byte-level BPE as a list of tokens, the form that GGUF files carry: what a list may say and gets, how a tokenizer becomes
 * one, and the sentence that each wrong list is refused with. */
#include "check.h"

#include "token_room.h"

static struct tokenizer *open_list(const struct token_list *l)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    if (tokenizer_open_list(&t, l, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static struct token_list list(struct tokenizer *t)
{
    struct token_list out;
    struct err e = {0};

    if (tokenizer_list(t, &out, &e) != 0)
        fail_msg("%s", e.text);
    return out;
}

/* --- from a tokenizer --- */

static void merges_found_again_from_ranks_give_the_same_ids(void **state)
{
    struct tokenizer *ranks = *state;
    struct token_list l = list(ranks);
    struct tokenizer *t = open_list(&l);
    struct text all = {0};
    uint64_t seed = 1;

    assert_int_equal(l.merge_count, 50000);
    assert_string_equal(tokenizer_about(t), "byte-level BPE, 50257 tokens, a list of tokens and merges");
    for (int i = 0; i < 2000; i++) {
        struct text text = {0};
        random_text(&seed, &text);
        assert_agree(ranks, t, text.data, text.len);
        text_free(&text);
    }
    every_block(&all);
    assert_agree(ranks, t, all.data, all.len);
    text_free(&all);
    tokenizer_close(t);
}

static void assert_same_bytes(struct token_bytes a, struct token_bytes b)
{
    assert_int_equal(a.len, b.len);
    if (a.len)
        assert_memory_equal(a.data, b.data, a.len);
}

static void a_list_opened_and_listed_is_the_same_list(void **state)
{
    struct tokenizer *ranks = *state;
    struct token_list a = list(ranks);
    struct tokenizer *t = open_list(&a);
    struct token_list b = list(t), again = list(t);

    assert_string_equal(b.model, "gpt2");
    assert_string_equal(b.pre, "gpt-2");
    assert_int_equal(b.count, 50257);
    assert_int_equal(b.merge_count, a.merge_count);
    for (size_t i = 0; i < a.count; i++) {
        assert_same_bytes(b.token[i], a.token[i]);
        assert_int_equal(b.type[i], i == 50256 ? TOKEN_CONTROL : TOKEN_NORMAL);
    }
    for (size_t i = 0; i < a.merge_count; i++)
        assert_same_bytes(b.merge[i], a.merge[i]);
    assert_int_equal(b.bos, 50256);
    assert_int_equal(b.eos, 50256);
    assert_int_equal(b.add_bos, 0);
    assert_ptr_equal(again.token, b.token); /* the first list still stands */
    tokenizer_close(t);
}

static void ranks_that_no_merges_can_say_have_no_list(void **state)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct tokenizer *t = NULL;
    struct token_list l;
    struct text ranks = {0};
    struct err e = {0};
    char *dir = room_open(), path[1024];

    (void)state;
    for (int byte = 0; byte < 256; byte++)
        text_printf(&ranks, "%c%c== %d\n", digit[byte >> 2], digit[(byte & 3) << 4], byte);
    text_puts(&ranks, "eHl6 300\n"); /* xyz, with neither xy nor yz */
    put_file(dir, "ranks", ranks.data, ranks.len);
    assert_int_equal(tokenizer_open_ranks(&t, in_room(dir, "ranks", path), &e), 0);
    assert_int_equal(tokenizer_list(t, &l, &e), ERR_ABSENT);
    assert_string_equal(e.text, "token 300: no merge of two earlier tokens makes it; only ranks can say this");
    tokenizer_close(t);
    text_free(&ranks);
    room_close(dir);
}

static void a_tokenizer_json_has_no_list(void **state)
{
    struct tokenizer *gpt2 = *state;
    struct token_list l = list(gpt2);
    json_t *vocab = json_object();
    struct err e = {0};
    char *dir = room_open();

    for (int id = 0; id < 256; id++)
        json_object_setn_new(vocab, l.token[id].data, l.token[id].len, json_integer(id));
    json_t *root = json_pack("{s:{s:s,s:b},s:{s:s,s:o,s:[]}}", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0,
                             "model", "type", "BPE", "vocab", vocab, "merges");
    put_json(dir, "tokenizer.json", root);
    struct tokenizer *t = open_dir(dir);
    assert_int_equal(tokenizer_list(t, &l, &e), ERR_ABSENT);
    assert_string_equal(e.text,
                        "byte-level BPE, 256 tokens, tokenizer.json: a tokenizer.json has settings that a list cannot say");
    tokenizer_close(t);
    json_decref(root);
    room_close(dir);
}

/* --- what a list may say --- */

enum { BYTES = 256, TOKENS = 270 };

/* GPT-2's 256 bytes, of which "!" to "~" are ids 0 to 93; then the rest. */
struct small {
    struct token_bytes token[TOKENS], merge[2];
    int32_t type[TOKENS];
    struct token_list l;
};

#define TEXT(s) ((struct token_bytes){s, sizeof(s) - 1})

static struct small *open_small(struct tokenizer *gpt2)
{
    struct small *s = calloc(1, sizeof *s);
    struct token_list l = list(gpt2);

    for (int id = 0; id < TOKENS; id++) {
        s->token[id] = id < BYTES ? l.token[id] : (struct token_bytes){"", 0};
        s->type[id] = TOKEN_NORMAL;
    }
    s->token[256] = TEXT("ab");
    s->token[257] = TEXT("abc"); /* no merge makes it */
    s->token[258] = TEXT("\xc4\xa0"
                         "a");
    s->token[260] = TEXT("<s>");
    s->type[260] = TOKEN_CONTROL;
    s->token[261] = TEXT("<tool use>");
    s->type[261] = TOKEN_USER_DEFINED;
    s->token[262] = TEXT("[PAD1]");
    s->type[262] = TOKEN_UNUSED;
    s->merge[0] = TEXT("\xc4\xa0 a");
    s->merge[1] = TEXT("a b");
    s->l = (struct token_list){.model = "gpt2",
                               .count = TOKENS,
                               .token = s->token,
                               .type = s->type,
                               .merge_count = 2,
                               .merge = s->merge,
                               .bos = -1,
                               .eos = -1,
                               .unknown = -1,
                               .add_bos = -1,
                               .add_eos = -1};
    return s;
}

static void control_and_user_defined_tokens_are_found_in_text(void **state)
{
    struct small *s = open_small(*state);
    struct tokenizer *t = open_list(&s->l);
    struct text out = {0};

    assert_int_equal(tokenizer_vocab(t), 263);
    ASSERT_IDS(t, "ab<s>ab<tool use> a", 256, 260, 256, 261, 258);
    ASSERT_IDS(t, "<s>[PAD1]", 260, '[' - '!', 'P' - '!', 'A' - '!', 'D' - '!', '1' - '!', ']' - '!');
    ASSERT_TEXT(t, "ab<tool use> a[PAD1]<259>", 260, 256, 261, 258, 262, 259);
    assert_int_equal(tokenizer_decode(t, 260, &out, NULL), 0);
    assert_string_equal(out.data, "<s>");
    assert_int_equal(tokenizer_decode(t, 259, &out, NULL), ERR_FORMAT);
    text_free(&out);
    tokenizer_close(t);
    free(s);
}

static void a_list_says_what_stands_around_a_prompt(void **state)
{
    struct small *s = open_small(*state);
    static const struct {
        const char *pre;
        int bos, add_bos, eos, add_eos, n;
    } cases[] = {
        {"gpt-2", 260, -1, 260, -1, 1},    {"gpt-2", 260, 1, 260, -1, 2},     {"gpt-2", -1, 0, 260, 1, 2},
        {"llama-bpe", 260, -1, -1, -1, 2}, {"llama-bpe", 260, 0, -1, -1, 1},  {"llama-bpe", -1, -1, -1, -1, 1},
        {"qwen2", 260, -1, 260, -1, 1},    {"smaug-bpe", 260, -1, -1, -1, 1}, {NULL, 260, 1, 260, 1, 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        s->l.pre = cases[i].pre;
        s->l.bos = cases[i].bos;
        s->l.add_bos = cases[i].add_bos;
        s->l.eos = cases[i].eos;
        s->l.add_eos = cases[i].add_eos;
        struct tokenizer *t = open_list(&s->l);
        struct ids ids = encode_prompt(t, "ab");
        assert_int_equal(ids.n, cases[i].n);
        ASSERT_IDS(t, "ab", 256);
        free(ids.id);
        tokenizer_close(t);
    }
    free(s);
}

static struct tokenizer *open_pre(struct small *s, const char *pre)
{
    s->l.pre = pre;
    return open_list(&s->l);
}

static void llama_takes_a_piece_that_is_a_token_whole(void **state)
{
    static const char *const whole[] = {"llama-bpe", "llama3", "llama-v3", "falcon3"};
    static const char *const merged[] = {"gpt-2", "smaug-bpe", "qwen2", "deepseek-r1-qwen", "megrez", "smollm", "refact"};
    struct small *s = open_small(*state);

    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        struct tokenizer *t = open_pre(s, whole[i]);
        ASSERT_IDS(t, "abc", 257);
        tokenizer_close(t);
    }
    for (size_t i = 0; i < sizeof merged / sizeof *merged; i++) {
        struct tokenizer *t = open_pre(s, merged[i]);
        ASSERT_IDS(t, "abc", 256, 'c' - '!');
        tokenizer_close(t);
    }
    free(s);
}

static void digits_go_together_as_the_splitting_pattern_says(void **state)
{
    static const int32_t one = '1' - '!';
    struct token_bytes merge[] = {TEXT("1 1"), TEXT("11 1")};
    struct small *s = open_small(*state);

    s->token[263] = TEXT("11");
    s->token[264] = TEXT("111");
    s->l.merge = merge;
    struct tokenizer *gpt2 = open_pre(s, "gpt-2"), *llama = open_pre(s, "llama-bpe"), *qwen2 = open_pre(s, "qwen2");
    ASSERT_IDS(gpt2, "11111", 263, 264);
    ASSERT_IDS(llama, "11111", 264, 263);
    ASSERT_IDS(qwen2, "11111", one, one, one, one, one);
    tokenizer_close(gpt2);
    tokenizer_close(llama);
    tokenizer_close(qwen2);
    free(s);
}

/* Which of the characters that random_text makes are numbers, and how long they are. */
static bool is_number(const char *text, size_t *len)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t c = s[0];

    *len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (*len > 1)
        c &= 0x7fu >> *len;
    for (size_t i = 1; i < *len; i++)
        c = c << 6 | (s[i] & 0x3f);
    return (c >= '0' && c <= '9') || c == 0xb2 || c == 0xb3 || c == 0xb9 || (c >= 0xbc && c <= 0xbe) ||
           (c >= 0x660 && c <= 0x669) || (c >= 0x2160 && c <= 0x2188 && c != 0x2183 && c != 0x2184);
}

/* By its definition: every number apart, GPT-2's pattern for what lies between. */
static void smollm_sets_every_digit_apart_and_splits_the_rest_like_gpt2(void **state)
{
    struct tokenizer *gpt2 = *state;
    struct token_list l = list(gpt2);
    l.pre = "smollm";
    struct tokenizer *smollm = open_list(&l);
    uint64_t seed = 2;

    l.pre = "gpt-2";
    struct tokenizer *merging = open_list(&l);
    for (int i = 0; i < 1000; i++) {
        struct text text = {0};
        struct ids want = {0}, got;
        size_t plain = 0, len;
        random_text(&seed, &text);
        text_puts(&text, "  7 x");
        for (size_t at = 0; at < text.len; at += len) {
            if (!is_number(text.data + at, &len))
                continue;
            assert_int_equal(tokenizer_encode(merging, text.data + plain, at - plain, &want.id, &want.n, NULL), 0);
            assert_int_equal(tokenizer_encode(merging, text.data + at, len, &want.id, &want.n, NULL), 0);
            plain = at + len;
        }
        assert_int_equal(tokenizer_encode(merging, text.data + plain, text.len - plain, &want.id, &want.n, NULL), 0);
        got = encode(smollm, text.data, text.len);
        assert_same(got, want);
        free(want.id);
        free(got.id);
        text_free(&text);
    }
    tokenizer_close(merging);
    tokenizer_close(smollm);
}

/* --- what is refused --- */

static void assert_list_refused(const struct token_list *l, const char *sentence)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    assert_int_equal(tokenizer_open_list(&t, l, &e), ERR_FORMAT);
    assert_string_equal(e.text, sentence);
    assert_null(t);
}

static void a_list_is_refused_by_what_is_wrong_in_it(void **state)
{
    struct small *s = open_small(*state);
    struct token_list l = s->l;

    l.model = "bert";
    assert_list_refused(&l, "model: expected \"gpt2\" or \"llama\", found \"bert\"");
    l.model = NULL;
    assert_list_refused(&l, "model: expected \"gpt2\" or \"llama\", found \"\"");
    l = s->l;
    l.pre = "default\x1b";
    assert_list_refused(&l, "pre: the splitting pattern \"default?\" is not supported; these are: gpt-2, llama-bpe, llama3, "
                            "llama-v3, falcon3, smaug-bpe, qwen2, deepseek-r1-qwen, megrez, smollm, refact");
    l = s->l;
    l.count = (1 << 20) + 1;
    assert_list_refused(&l, "1048577 tokens, expected at most 1048576");
    l = s->l;
    l.count = 100;
    l.merge_count = 0;
    assert_list_refused(&l, "no token for the byte 0x00; a byte-level vocabulary has one for each of the 256");
    l = s->l;
    l.merge_count = (1 << 22) + 1;
    assert_list_refused(&l, "4194305 merges, expected at most 4194304");
    l = s->l;
    l.bos = 259;
    assert_list_refused(&l, "bos: there is no token 259");
    l.bos = -2;
    assert_list_refused(&l, "bos: there is no token -2");
    l.bos = -1;
    l.eos = TOKENS;
    assert_list_refused(&l, "eos: there is no token 270");
    l.eos = -1;
    l.add_bos = 1;
    assert_list_refused(&l, "add_bos: there is no bos token to add");
    free(s);
}

static void a_token_or_merge_is_refused_by_number(void **state)
{
    static char long_token[1025];
    struct small *s = open_small(*state);

    s->type[17] = 7;
    assert_list_refused(&s->l, "token 17: type 7, expected 1 to 5 in a byte-level vocabulary");
    s->type[17] = TOKEN_BYTE;
    assert_list_refused(&s->l, "token 17: type 6, expected 1 to 5 in a byte-level vocabulary");
    s->type[17] = TOKEN_NORMAL;
    s->token[263] = TEXT("ab");
    assert_list_refused(&s->l, "token 263: id 263: the same token as id 256");
    s->token[263] = TEXT("<s>");
    s->type[263] = TOKEN_USER_DEFINED;
    assert_list_refused(&s->l, "the added tokens 260 and 263 are the same");
    memset(long_token, 'a', sizeof long_token);
    s->token[263] = (struct token_bytes){long_token, sizeof long_token};
    assert_list_refused(&s->l, "token 263: id 263: a token of 1025 bytes, expected 1 to 1024");
    s->token[263] = TEXT("");
    s->merge[1] = TEXT("a c");
    assert_list_refused(&s->l, "merge 1: the token it makes is not in the vocabulary");
    s->merge[1] = TEXT("ab");
    assert_list_refused(&s->l, "merge 1: expected two tokens with one space between them");
    s->merge[1] = s->merge[0];
    assert_list_refused(&s->l, "merge 1: the same merge as number 1");
    free(s);
}

static int open_gpt2(void **state)
{
    struct err e = {0};

    if (tokenizer_open_gpt2((struct tokenizer **)state, &e) == 0)
        return 0;
    print_message("# %s\n", e.text);
    return -1;
}

static int close_gpt2(void **state)
{
    tokenizer_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_found_again_from_ranks_give_the_same_ids),
        cmocka_unit_test(a_list_opened_and_listed_is_the_same_list),
        cmocka_unit_test(ranks_that_no_merges_can_say_have_no_list),
        cmocka_unit_test(a_tokenizer_json_has_no_list),
        cmocka_unit_test(control_and_user_defined_tokens_are_found_in_text),
        cmocka_unit_test(a_list_says_what_stands_around_a_prompt),
        cmocka_unit_test(llama_takes_a_piece_that_is_a_token_whole),
        cmocka_unit_test(digits_go_together_as_the_splitting_pattern_says),
        cmocka_unit_test(smollm_sets_every_digit_apart_and_splits_the_rest_like_gpt2),
        cmocka_unit_test(a_list_is_refused_by_what_is_wrong_in_it),
        cmocka_unit_test(a_token_or_merge_is_refused_by_number),
    };

    return cmocka_run_group_tests(tests, open_gpt2, close_gpt2);
}
