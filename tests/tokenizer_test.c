/* SPDX-License-Identifier: MIT
 * Byte-level BPE: known ids, every character and every byte there and back, long text in short time, three kinds of
 * files that agree, and other opinions: js-tiktoken's ids, JavaScript's composed form. What files may say is in
 * tokenizer_files_test.c. */
#include "check.h"

#include <pthread.h>

#include "quick.h"
#include "token_room.h"

#define LLAMA3                                                                                                                 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"     \
    "\\s+(?!\\S)|\\s+"

#define BYTE_LEVEL(use_regex) "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": " use_regex "}"

struct room {
    char *dir;
    struct tokenizer *gpt2;
    json_t *model; /* the same as Hugging Face's files have it: {"type", "vocab": {token: id}, "merges": ["left right"]} */
};

/* --- helpers --- */

static bool prints(uint32_t c)
{
    return (c >= '!' && c <= '~') || (c >= 0xa1 && c != 0xad);
}

/* GPT-2's printable spelling of bytes, from its definition: bytes that Latin-1 can print are themselves, the others follow
 * from U+0100. */
static void spell(struct text *t, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t byte = (unsigned char)bytes[i], before = 0;
        for (uint32_t b = 0; b < byte; b++)
            before += !prints(b);
        add_utf8(t, prints(byte) ? byte : 0x100 + before);
    }
}

static void assert_comes_back(const struct tokenizer *t, const char *text, size_t len)
{
    struct ids ids = encode(t, text, len);
    struct text back = {0};

    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(tokenizer_decode(t, ids.id[i], &back, NULL), 0);
    assert_int_equal(back.len, len);
    if (len)
        assert_memory_equal(back.data, text, len);
    text_free(&back);
    free(ids.id);
}

/* --- known ids --- */

static void the_default_prompt_is_thirteen_known_tokens(void **state)
{
    const struct room *room = *state;

    ASSERT_IDS(room->gpt2, "Q: Explain why batching improves GPU utilization.\nA:", 48, 25, 48605, 1521, 15458, 278, 19575,
               11362, 32121, 13, 198, 32, 25);
}

static void chinese_and_emoji_become_known_tokens(void **state)
{
    const struct room *room = *state;

    ASSERT_IDS(room->gpt2, "你好", 19526, 254, 25001, 121);
    ASSERT_IDS(room->gpt2, "😀", 47249, 222);
}

static void gpt2_has_50257_tokens_the_last_only_for_decoding(void **state)
{
    const struct room *room = *state;
    struct text out = {0};

    assert_int_equal(tokenizer_vocab(room->gpt2), 50257);
    assert_string_equal(tokenizer_about(room->gpt2), "byte-level BPE, 50257 tokens, GPT-2's tiktoken ranks");
    assert_int_equal(tokenizer_decode(room->gpt2, 50256, &out, NULL), 0);
    assert_string_equal(out.data, "<|endoftext|>");
    ASSERT_IDS(room->gpt2, "<|endoftext|>", 27, 91, 437, 1659, 5239, 91, 29);
    text_free(&out);
}

static void an_id_without_a_token_is_an_error_and_appends_nothing(void **state)
{
    const struct room *room = *state;
    struct text out = {0};
    struct err e = {0};

    assert_int_equal(tokenizer_decode(room->gpt2, 50257, &out, &e), ERR_FORMAT);
    assert_string_equal(e.text, "token id 50257: the tokenizer (byte-level BPE, 50257 tokens, GPT-2's tiktoken ranks) has no "
                                "such token");
    assert_int_equal(tokenizer_decode(room->gpt2, -1, &out, &e), ERR_FORMAT);
    assert_int_equal(out.len, 0);
}

static void ids_are_appended_to_those_already_there(void **state)
{
    const struct room *room = *state;
    struct ids ids = encode(room->gpt2, "A:", 2);

    assert_int_equal(tokenizer_encode(room->gpt2, "", 0, &ids.id, &ids.n, NULL), 0);
    assert_int_equal(ids.n, 2);
    assert_int_equal(tokenizer_encode(room->gpt2, "Q:", 2, &ids.id, &ids.n, NULL), 0);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.id[0], 32);
    assert_int_equal(ids.id[2], 48);
    free(ids.id);
}

/* --- there and back --- */

static void characters_of_every_unicode_block_come_back(void **state)
{
    const struct room *room = *state;
    struct text all = {0};

    every_block(&all);
    assert_comes_back(room->gpt2, all.data, all.len);
    text_free(&all);
}

static void any_bytes_come_back(void **state)
{
    const struct room *room = *state;
    uint64_t seed = 1;
    char bytes[64];

    assert_comes_back(room->gpt2, "", 0);
    for (int i = 0; i < 5000; i++) {
        size_t len = below(&seed, sizeof bytes);
        for (size_t k = 0; k < len; k++) /* mostly the bytes that make and break UTF-8 */
            bytes[k] = (char)(below(&seed, 3) ? 0x80 | below(&seed, 128) : below(&seed, 128));
        assert_comes_back(room->gpt2, bytes, len);
    }
}

static void text_around_a_byte_that_is_no_utf8_is_split_as_if_alone(void **state)
{
    const struct room *room = *state;
    struct ids want = encode(room->gpt2, "the  ", 5), got = encode(room->gpt2, "the  \xffthe end", 13);

    assert_int_equal(tokenizer_encode(room->gpt2, "\xff", 1, &want.id, &want.n, NULL), 0);
    assert_int_equal(tokenizer_encode(room->gpt2, "the end", 7, &want.id, &want.n, NULL), 0);
    assert_same(got, want);
    free(got.id);
    free(want.id);
}

/* --- one tokenizer, three sources --- */

/* Where the last of the merges that make a token joins its two halves: merge its characters by rank until two are left. */
static size_t last_joint(const json_t *vocab, const struct text *token)
{
    size_t cut[130], cuts = 0;

    for (size_t i = 0; i <= token->len; i++)
        if ((token->data[i] & 0xc0) != 0x80)
            cut[cuts++] = i;
    while (cuts > 3) {
        size_t best = 0;
        json_int_t best_rank = INT32_MAX;
        for (size_t i = 0; i + 2 < cuts; i++) {
            const json_t *rank = json_object_getn(vocab, token->data + cut[i], cut[i + 2] - cut[i]);
            if (rank && json_integer_value(rank) < best_rank) {
                best = i;
                best_rank = json_integer_value(rank);
            }
        }
        memmove(&cut[best + 1], &cut[best + 2], (--cuts - best - 1) * sizeof *cut);
    }
    return cut[1];
}

static json_t *gpt2_model(const struct tokenizer *t)
{
    json_t *vocab = json_object(), *merges = json_array();

    for (int32_t id = 0; id < 50256; id++) {
        struct text bytes = {0}, token = {0}, merge = {0};
        tokenizer_decode(t, id, &bytes, NULL);
        spell(&token, bytes.data, bytes.len);
        json_object_setn_new(vocab, token.data, token.len, json_integer(id));
        if (bytes.len > 1) {
            size_t joint = last_joint(vocab, &token);
            text_printf(&merge, "%.*s %s", (int)joint, token.data, token.data + joint);
            json_array_append_new(merges, json_stringn(merge.data, merge.len));
        }
        text_free(&bytes);
        text_free(&token);
        text_free(&merge);
    }
    return json_pack("{s:s,s:o,s:o}", "type", "BPE", "vocab", vocab, "merges", merges);
}

/* Takes over model and pre_tokenizer. */
static json_t *tokenizer_json(json_t *model, json_t *pre_tokenizer)
{
    return json_pack("{s:[{s:i,s:s,s:b,s:b,s:b}],s:n,s:o,s:o}", "added_tokens", "id", 50256, "content", "<|endoftext|>",
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalizer", "pre_tokenizer", pre_tokenizer, "model", model);
}

static void put_merges_text(const struct room *room, const json_t *merges)
{
    struct text text = {0};
    size_t i;
    json_t *merge;

    text_puts(&text, "#version: 0.2\n");
    json_array_foreach(merges, i, merge)
    {
        text_printf(&text, "%s\n", json_string_value(merge));
    }
    put_file(room->dir, "merges.txt", text.data, text.len);
    text_free(&text);
}

static json_t *as_pairs(const json_t *merges)
{
    json_t *pairs = json_array();

    for (size_t i = 0; i < json_array_size(merges); i++) {
        const char *merge = json_string_value(json_array_get(merges, i)), *space = strchr(merge, ' ');
        json_array_append_new(pairs, json_pack("[s%,s]", merge, (size_t)(space - merge), space + 1));
    }
    return pairs;
}

static void vocab_and_merges_and_tokenizer_json_agree_with_ranks(void **state)
{
    const struct room *room = *state;
    const json_t *merges = json_object_get(room->model, "merges");
    json_t *root = tokenizer_json(json_copy(room->model), json_loads(BYTE_LEVEL("true"), 0, NULL));
    struct tokenizer *t[3];
    uint64_t seed = 2;

    put_json(room->dir, "vocab.json", json_object_get(room->model, "vocab"));
    put_merges_text(room, merges);
    t[0] = open_dir(room->dir);
    assert_string_equal(tokenizer_about(t[0]), "byte-level BPE, 50256 tokens, vocab.json + merges.txt");
    put_json(room->dir, "tokenizer.json", root);
    t[1] = open_dir(room->dir);
    assert_string_equal(tokenizer_about(t[1]), "byte-level BPE, 50257 tokens, tokenizer.json");
    json_object_set_new(json_object_get(root, "model"), "merges", as_pairs(merges));
    put_json(room->dir, "tokenizer.json", root);
    t[2] = open_dir(room->dir);
    for (int i = 0; i < 2000; i++) {
        struct text text = {0};
        random_text(&seed, &text);
        struct ids want = encode(room->gpt2, text.data, text.len);
        for (int k = 0; k < 3; k++) {
            struct ids got = encode(t[k], text.data, text.len);
            assert_same(got, want);
            free(got.id);
        }
        free(want.id);
        text_free(&text);
    }
    for (int k = 0; k < 3; k++)
        tokenizer_close(t[k]);
    json_decref(root);
    room_empty(room->dir);
}

/* --- time --- */

/* GPT-2's vocabulary cut by Llama-3's pattern, a token taken whole as tiktoken does. */
static struct tokenizer *open_llama3(const struct room *room)
{
    json_t *model = json_copy(room->model);
    json_t *split =
        json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern", "Regex", LLAMA3, "behavior", "Isolated", "invert", 0);
    json_t *pre_tokenizer =
        json_pack("{s:s,s:[o,o]}", "type", "Sequence", "pretokenizers", split, json_loads(BYTE_LEVEL("false"), 0, NULL));
    json_t *root = tokenizer_json(model, pre_tokenizer);

    json_object_set_new(model, "ignore_merges", json_true());
    put_json(room->dir, "tokenizer.json", root);
    json_decref(root);
    struct tokenizer *t = open_dir(room->dir);
    room_empty(room->dir);
    return t;
}

static void assert_megabyte_is_quick(const struct tokenizer *t, const char *unit)
{
    struct text text = {0};

    while (text.len < 1 << 20)
        text_puts(&text, unit);
    const double begin = own_cpu_s();
    assert_comes_back(t, text.data, text.len);
    assert_was_quick(begin);
    text_free(&text);
}

static void a_megabyte_is_quick_be_it_prose_or_one_letter_or_white_space(void **state)
{
    const struct room *room = *state;
    struct tokenizer *llama3 = open_llama3(room);

    assert_megabyte_is_quick(room->gpt2, "Batching improves GPU utilization, doesn't it? 2048 tokens / step.\n");
    assert_megabyte_is_quick(room->gpt2, "a");
    assert_megabyte_is_quick(room->gpt2, "a\xff");
    assert_megabyte_is_quick(llama3, " \n");
    tokenizer_close(llama3);
}

/* --- threads --- */

struct job {
    const struct tokenizer *t;
    const struct text *text;
    struct ids ids;
};

static void *encode_job(void *arg)
{
    struct job *job = arg;

    tokenizer_encode(job->t, job->text->data, job->text->len, &job->ids.id, &job->ids.n, NULL);
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    const struct room *room = *state;
    struct text text = {0};
    struct job job[4];
    pthread_t thread[4];
    uint64_t seed = 3;

    for (int i = 0; i < 500; i++)
        random_text(&seed, &text);
    struct ids want = encode(room->gpt2, text.data, text.len);
    for (int i = 0; i < 4; i++) {
        job[i] = (struct job){.t = room->gpt2, .text = &text};
        assert_int_equal(pthread_create(&thread[i], NULL, encode_job, &job[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_same(job[i].ids, want);
        free(job[i].ids.id);
    }
    free(want.id);
    text_free(&text);
}

/* --- other opinions --- */

static void ids_as_text(const struct tokenizer *t, const struct text *text, struct text *out)
{
    struct ids ids = encode(t, text->data, text->len);

    for (size_t i = 0; i < ids.n; i++)
        text_printf(out, "%s%d", i ? " " : "", ids.id[i]);
    text_puts(out, "\n");
    free(ids.id);
}

/* What the peer is asked, and what we answer, a line each. */
struct talk {
    struct text questions, answers;
    size_t lines;
};

static void ask(struct talk *talk, int times, const char *peer, const struct tokenizer *t, uint64_t seed)
{
    for (int i = 0; i < times; i++) {
        struct text text = {0};
        random_text(&seed, &text);
        text_printf(&talk->questions, "%s ", peer);
        for (size_t k = 0; k < text.len; k++)
            text_printf(&talk->questions, "%02x", (unsigned char)text.data[k]);
        text_puts(&talk->questions, "\n");
        ids_as_text(t, &text, &talk->answers);
        text_free(&text);
        talk->lines++;
    }
}

/* Takes over talk. */
static void assert_peer_agrees(const struct room *room, struct talk *talk)
{
    struct text command = {0};
    char path[1024], *want, *rest = talk->answers.data, *line = NULL;
    size_t cap = 0, lines = 0;

    put_file(room->dir, "peer", talk->questions.data, talk->questions.len);
    text_printf(&command, "node tests/tokenizer_peer.mjs %s", in_room(room->dir, "peer", path));
    FILE *peer = popen(command.data, "r");
    assert_non_null(peer);
    for (; lines < talk->lines && (want = strsep(&rest, "\n")) && getline(&line, &cap, peer) > 0; lines++) {
        line[strcspn(line, "\n")] = 0;
        assert_string_equal(line, want);
    }
    assert_int_equal(pclose(peer), 0);
    assert_int_equal(lines, talk->lines);
    free(line);
    text_free(&talk->questions);
    text_free(&talk->answers);
    text_free(&command);
    room_empty(room->dir);
}

static void need_node(void)
{
    if (system("node --version >/dev/null 2>&1") == 0 && access("node_modules/js-tiktoken/package.json", F_OK) == 0)
        return;
    print_message("node or node_modules/js-tiktoken is missing: js-tiktoken cannot be asked for its ids\n");
    skip();
}

static void js_tiktoken_has_the_same_ids_for_random_text(void **state)
{
    const struct room *room = *state;
    struct talk talk = {0};

    need_node();
    struct tokenizer *llama3 = open_llama3(room);
    ask(&talk, 2000, "gpt2", room->gpt2, 4);
    ask(&talk, 2000, "llama3", llama3, 5);
    assert_peer_agrees(room, &talk);
    tokenizer_close(llama3);
}

/* Its ranks from the package; the pattern and, with the merges found again, the list are ours. */
static void js_tiktoken_has_the_same_ids_with_cl100k(void **state)
{
    const struct room *room = *state;
    struct talk talk = {0};
    struct text command = {0};
    struct tokenizer *ranks = NULL, *cl100k = NULL;
    struct token_list list;
    struct err e = {0};
    char path[1024];

    need_node();
    text_printf(&command, "node engine/tokenizer/extract_ranks.mjs cl100k_base %s", in_room(room->dir, "ranks", path));
    assert_int_equal(system(command.data), 0);
    assert_int_equal(tokenizer_open_ranks(&ranks, path, &e), 0);
    assert_int_equal(tokenizer_list(ranks, &list, &e), 0);
    list.pre = "llama-bpe";
    assert_int_equal(tokenizer_open_list(&cl100k, &list, &e), 0);
    ask(&talk, 1000, "cl100k", cl100k, 6);
    assert_peer_agrees(room, &talk);
    tokenizer_close(ranks);
    tokenizer_close(cl100k);
    text_free(&command);
}

/* Each byte of its answer is a token of ours. */
static void node_composes_random_text_in_the_same_way(void **state)
{
    const struct room *room = *state;
    struct talk talk = {0};
    json_t *model = json_deep_copy(room->model);

    need_node();
    json_object_set_new(model, "merges", json_array());
    json_t *root = tokenizer_json(model, json_loads(BYTE_LEVEL("true"), 0, NULL));
    json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    put_json(room->dir, "tokenizer.json", root);
    struct tokenizer *t = open_dir(room->dir);
    ask(&talk, 2000, "nfc", t, 7);
    assert_peer_agrees(room, &talk);
    tokenizer_close(t);
    json_decref(root);
}

static int open_room(void **state)
{
    struct room *room = calloc(1, sizeof *room);
    struct err e = {0};

    *state = room;
    room->dir = room_open();
    if (tokenizer_open_gpt2(&room->gpt2, &e) != 0) {
        print_message("# %s\n", e.text);
        return -1;
    }
    room->model = gpt2_model(room->gpt2);
    return 0;
}

static int close_room(void **state)
{
    struct room *room = *state;

    room_close(room->dir);
    tokenizer_close(room->gpt2);
    json_decref(room->model);
    free(room);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_prompt_is_thirteen_known_tokens),
        cmocka_unit_test(chinese_and_emoji_become_known_tokens),
        cmocka_unit_test(gpt2_has_50257_tokens_the_last_only_for_decoding),
        cmocka_unit_test(an_id_without_a_token_is_an_error_and_appends_nothing),
        cmocka_unit_test(ids_are_appended_to_those_already_there),
        cmocka_unit_test(characters_of_every_unicode_block_come_back),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(text_around_a_byte_that_is_no_utf8_is_split_as_if_alone),
        cmocka_unit_test(vocab_and_merges_and_tokenizer_json_agree_with_ranks),
        cmocka_unit_test(a_megabyte_is_quick_be_it_prose_or_one_letter_or_white_space),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(js_tiktoken_has_the_same_ids_for_random_text),
        cmocka_unit_test(js_tiktoken_has_the_same_ids_with_cl100k),
        cmocka_unit_test(node_composes_random_text_in_the_same_way),
    };

    return cmocka_run_group_tests(tests, open_room, close_room);
}
