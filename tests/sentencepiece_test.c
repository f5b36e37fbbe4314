/* SPDX-License-Identifier: MIT
 * SentencePiece: the ids of spm_encode and the text of spm_decode, and the same from a list, as GGUF files carry it. The files
 * it is read from are in sentencepiece_files_test.c. */
#include "check.h"

#include "quick.h"
#include "sentencepiece_room.h"

/* --- spm_encode --- */

static void put_ids(struct text *out, struct ids ids)
{
    for (size_t i = 0; i < ids.n; i++)
        text_printf(out, "%s%d", i ? " " : "", ids.id[i]);
    text_puts(out, "\n");
}

/* The program, given these lines, prints those. */
static void assert_program_says(const struct room *room, const char *program, const struct text *in, const struct text *want)
{
    struct text command = {0}, out = {0};
    char path[1024];

    put_file(room->dir, "in", in->data, in->len);
    text_printf(&command, "cd %s && %s <in >out", room->dir, program);
    assert_int_equal(system(command.data), 0);
    assert_int_equal(text_read_file(&out, in_room(room->dir, "out", path), 1 << 26, NULL), 0);
    char *ours = want->data, *theirs = out.data;
    for (char *a, *b; (a = strsep(&ours, "\n")) && (b = strsep(&theirs, "\n"));)
        assert_string_equal(a, b);
    assert_true(!ours && !theirs);
    text_free(&command);
    text_free(&out);
}

static void assert_spm_agrees(const struct room *room, const struct tokenizer *t, const char *dir, uint64_t seed)
{
    struct text lines = {0}, ids = {0}, texts = {0}, command = {0};

    for (int i = 0; i < TEXTS; i++) {
        size_t begin = lines.len;
        random_line(&seed, &lines);
        struct ids got = encode(t, lines.data ? lines.data + begin : "", lines.len - begin);
        text_puts(&lines, "\n");
        put_ids(&ids, got);
        tokenizer_text(t, got.id, got.n, &texts);
        text_puts(&texts, "\n");
        free(got.id);
    }
    struct text question = {strdup(ids.data), ids.len, ids.len + 1};
    text_printf(&command, "spm_encode --model=%s/tokenizer.model --output_format=id", dir);
    assert_program_says(room, command.data, &lines, &ids);
    command.len = 0;
    text_printf(&command, "spm_decode --model=%s/tokenizer.model --input_format=id", dir);
    assert_program_says(room, command.data, &question, &texts);
    text_free(&question);
    text_free(&lines);
    text_free(&ids);
    text_free(&texts);
    text_free(&command);
}

static void byte_pair_ids_and_text_are_those_of_spm_encode_and_spm_decode(void **state)
{
    const struct room *room = *state;

    assert_spm_agrees(room, room->bpe, room->bpe_dir, 1);
}

static void unigram_ids_and_text_are_those_of_spm_encode_and_spm_decode(void **state)
{
    const struct room *room = *state;

    assert_spm_agrees(room, room->uni, room->uni_dir, 2);
}

/* --- there and back --- */

static void assert_comes_back(const struct tokenizer *t, const char *text, size_t len)
{
    struct ids ids = encode(t, text, len);

    assert_text(t, ids, text, len);
    free(ids.id);
}

static void text_comes_back(void **state)
{
    const struct room *room = *state;
    struct text all = {0};
    uint64_t seed = 3;

    assert_comes_back(room->bpe, "", 0);
    assert_comes_back(room->bpe, "a\0b", 3);
    every_block(&all);
    char *space = memmem(all.data, all.len, SPACE, 3); /* the one character that stands for another */
    assert_comes_back(room->bpe, all.data, (size_t)(space - all.data));
    assert_comes_back(room->bpe, space + 3, all.len - (size_t)(space + 3 - all.data));
    for (int i = 0; i < 1000; i++) {
        all.len = 0;
        random_text(&seed, &all);
        assert_comes_back(room->bpe, all.data, all.len);
    }
    text_free(&all);
}

static void chinese_is_a_few_tokens_and_an_emoji_four_bytes(void **state)
{
    const struct room *room = *state;
    struct ids ids = encode(room->bpe, "我喜欢攀岩", strlen("我喜欢攀岩"));

    assert_in_range(ids.n, 1, 5);
    assert_text(room->bpe, ids, "我喜欢攀岩", strlen("我喜欢攀岩"));
    free(ids.id);
    ASSERT_IDS(room->bpe, "<tool>😀", piece_id(room, SPACE), TOOL, FIRST_BYTE + 0xf0, FIRST_BYTE + 0x9f, FIRST_BYTE + 0x98,
               FIRST_BYTE + 0x80);
}

static void a_byte_that_is_no_utf8_is_read_as_the_replacement_character(void **state)
{
    const struct room *room = *state;
    struct ids want = encode(room->bpe, "the \xef\xbf\xbd\xef\xbf\xbd cat", 14);
    struct ids got = encode(room->bpe, "the \xff\x80 cat", 10);

    assert_same(got, want);
    free(got.id);
    free(want.id);
}

static void one_token_is_what_it_is_in_the_middle_of_text(void **state)
{
    const struct room *room = *state;
    struct text out = {0};
    struct err e = {0};

    tokenizer_decode(room->bpe, EOS, &out, NULL);
    tokenizer_decode(room->bpe, FIRST_BYTE + 'x', &out, NULL);
    tokenizer_decode(room->bpe, UNKNOWN, &out, NULL);
    assert_string_equal(out.data, "</s>x \u2047 ");
    assert_int_equal(tokenizer_decode(room->bpe, PIECES, &out, &e), ERR_FORMAT);
    assert_string_equal(e.text, "token id 420: the tokenizer (SentencePiece, 420 tokens, tokenizer.model) has no such token");
    out.len = 0;
    for (int id = FIRST_NORMAL; id < PIECES && out.len == 0; id++)
        if (room->piece[id].len > 3 && memcmp(room->piece[id].data, SPACE, 3) == 0)
            tokenizer_decode(room->bpe, id, &out, NULL);
    assert_int_equal(out.data[0], ' ');
    ASSERT_TEXT(room->bpe, "x<-1>y<420>", BOS, FIRST_BYTE + 'x', -1, EOS, FIRST_BYTE + 'y', PIECES);
    text_free(&out);
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

static void a_megabyte_is_quick_be_it_prose_or_one_letter_or_bytes(void **state)
{
    const struct room *room = *state;

    assert_megabyte_is_quick(room->bpe, "The cat sat on the mat. 我喜欢攀岩\n");
    assert_megabyte_is_quick(room->bpe, "a");
    assert_megabyte_is_quick(room->bpe, "😀");
}

/* --- a list --- */

static struct token_list as_list(const struct room *room)
{
    return (struct token_list){.model = "llama",
                               .count = PIECES,
                               .token = room->piece,
                               .score = room->score,
                               .type = room->type,
                               .bos = BOS,
                               .eos = EOS,
                               .unknown = UNKNOWN,
                               .add_bos = -1,
                               .add_eos = -1,
                               .add_space_prefix = -1};
}

static struct tokenizer *open_list(const struct token_list *l)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    if (tokenizer_open_list(&t, l, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

static void a_list_has_the_ids_of_the_model_it_was_taken_from(void **state)
{
    const struct room *room = *state;
    struct token_list l = as_list(room);
    struct tokenizer *t = open_list(&l);

    assert_string_equal(tokenizer_about(t), "SentencePiece, 420 tokens, a list of tokens and scores");
    assert_agree_on_random_text(room->bpe, t, 4, TEXTS, "<tool>");
    tokenizer_close(t);
}

static void control_tokens_of_a_list_are_found_in_text_and_a_space_follows_them(void **state)
{
    const struct room *room = *state;
    struct token_list l = as_list(room);
    struct tokenizer *t = open_list(&l);
    struct ids want = encode(room->bpe, "the cat", 7), got = encode(t, "the cat<s></s>the cat", 21);

    assert_int_equal(got.n, 2 * want.n + 2);
    assert_memory_equal(got.id, want.id, want.n * sizeof *want.id);
    assert_int_equal(got.id[want.n], BOS);
    assert_int_equal(got.id[want.n + 1], EOS);
    assert_memory_equal(got.id + want.n + 2, want.id, want.n * sizeof *want.id);
    assert_text(t, got, "the catthe cat", 14);
    free(got.id);
    got = encode(room->bpe, "<s>", 3); /* in the model's own file it is text like any other */
    assert_text(room->bpe, got, "<s>", 3);
    free(got.id);
    free(want.id);
    tokenizer_close(t);
}

static void the_prompt_of_a_list_begins_with_bos_unless_it_says_otherwise(void **state)
{
    const struct room *room = *state;
    struct token_list l = as_list(room);
    struct tokenizer *t = open_list(&l);

    ASSERT_PROMPT(t, "", BOS);
    tokenizer_close(t);
    l.add_bos = 0;
    l.add_eos = 1;
    t = open_list(&l);
    ASSERT_PROMPT(t, "", EOS);
    tokenizer_close(t);
}

static void a_list_may_do_without_the_space_in_front_and_without_some_tokens(void **state)
{
    const struct room *room = *state;
    struct token_bytes piece[PIECES];
    int32_t type[PIECES];
    struct token_list l = as_list(room);

    memcpy(piece, room->piece, sizeof piece);
    memcpy(type, room->type, sizeof type);
    piece[UNKNOWN] = piece[TOOL] = (struct token_bytes){"", 0};
    l.token = piece;
    l.type = type;
    l.unknown = -1;
    l.add_space_prefix = 0;
    struct tokenizer *t = open_list(&l);
    struct ids want = encode(room->bpe, " cat", 4), got = encode(t, "  cat", 5);
    assert_same(got, want);
    assert_text(t, got, "  cat", 5);
    ASSERT_IDS(t, "😀t", FIRST_BYTE + 0xf0, FIRST_BYTE + 0x9f, FIRST_BYTE + 0x98, FIRST_BYTE + 0x80, piece_id(room, "t"));
    ASSERT_TEXT(t, "<0><3>x", UNKNOWN, TOOL, FIRST_BYTE + 'x');
    free(got.id);
    free(want.id);
    tokenizer_close(t);
}

static void assert_list_refused(const struct token_list *l, const char *sentence)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    assert_int_equal(tokenizer_open_list(&t, l, &e), ERR_FORMAT);
    assert_string_equal(e.text, sentence);
    assert_null(t);
}

static void a_list_without_types_has_an_unknown_token_by_its_id(void **state)
{
    static const struct token_bytes piece[] = {{"<?>", 3}, {"t", 1}, {"ht", 2}, {"h", 1}};
    static const float score[] = {0, -2, -1, -3};
    struct token_list l = {.model = "llama",
                           .count = 4,
                           .token = piece,
                           .score = score,
                           .bos = -1,
                           .eos = -1,
                           .add_bos = -1,
                           .add_space_prefix = -1};
    struct tokenizer *t = open_list(&l);

    (void)state;
    ASSERT_IDS(t, "tht", 0, 1, 2);
    ASSERT_PROMPT(t, "t", 0, 1);
    tokenizer_close(t);
}

static void a_list_is_refused_by_what_is_wrong_in_it(void **state)
{
    struct room room = *(const struct room *)*state; /* with faults of its own */
    struct token_list l = as_list(&room);

    l.score = NULL;
    assert_list_refused(&l, "scores: there are none, and \"llama\" merges by them");
    l = as_list(&room);
    l.count = (1 << 20) + 1;
    assert_list_refused(&l, "1048577 tokens, expected at most 1048576");
    l = as_list(&room);
    l.eos = PIECES;
    assert_list_refused(&l, "eos: there is no token 420");
    l = as_list(&room);
    l.bos = -1;
    l.add_bos = 1;
    assert_list_refused(&l, "add_bos: there is no bos token to add");
    l = as_list(&room);
    room.type[300] = 0;
    assert_list_refused(&l, "token 300: type 0, expected 1 to 6");
    room.type[300] = TOKEN_BYTE;
    assert_list_refused(&l, "token 300: a byte is spelled like <0x0A>");
    room.type[300] = TOKEN_UNKNOWN;
    assert_list_refused(&l, "token 300: unknown, as token 0 is already");
    room.type[300] = TOKEN_NORMAL;
    room.score[300] = 0.0f / 0.0f;
    assert_list_refused(&l, "token 300: its score is not a number");
    room.score[300] = 0;
    room.piece[300] = room.piece[301];
    assert_list_refused(&l, "token 301: id 301: the same token as id 300");
    room.piece[300] = (struct token_bytes){"new", 3};
    room.type[FIRST_BYTE] = TOKEN_NORMAL;
    assert_list_refused(&l, "libsentencepiece: there are not 256 byte pieces although `byte_fallback` is true.");
    for (int id = 0; id < FIRST_NORMAL; id++)
        room.type[id] = TOKEN_NORMAL;
    assert_list_refused(&l, "no token of type unknown (2) and none of type byte (6): not every text has ids");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(byte_pair_ids_and_text_are_those_of_spm_encode_and_spm_decode, remove_files),
        cmocka_unit_test_teardown(unigram_ids_and_text_are_those_of_spm_encode_and_spm_decode, remove_files),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(chinese_is_a_few_tokens_and_an_emoji_four_bytes),
        cmocka_unit_test(a_byte_that_is_no_utf8_is_read_as_the_replacement_character),
        cmocka_unit_test(one_token_is_what_it_is_in_the_middle_of_text),
        cmocka_unit_test(a_megabyte_is_quick_be_it_prose_or_one_letter_or_bytes),
        cmocka_unit_test(a_list_has_the_ids_of_the_model_it_was_taken_from),
        cmocka_unit_test(control_tokens_of_a_list_are_found_in_text_and_a_space_follows_them),
        cmocka_unit_test(the_prompt_of_a_list_begins_with_bos_unless_it_says_otherwise),
        cmocka_unit_test(a_list_may_do_without_the_space_in_front_and_without_some_tokens),
        cmocka_unit_test(a_list_without_types_has_an_unknown_token_by_its_id),
        cmocka_unit_test(a_list_is_refused_by_what_is_wrong_in_it),
    };

    return cmocka_run_group_tests(tests, open_room, close_room);
}
