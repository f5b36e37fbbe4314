/* SPDX-License-Identifier: MIT
 * The text of a generation: where stop texts cut it, in which pieces it comes, and how tokens become characters and words. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generate_room.h"

/* --- stop texts --- */

/* ` one two three four` with these stops: what is left of it, and tokens until then. */
static void assert_stops(struct model *m, const char *const *stop, const char *left, int tokens)
{
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 4);

    assert_int_equal(script_text(m, HELLO, " one two three four", ids), 4);
    a.stop = stop;
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_text_is(&g.text, left);
    assert_text_is(&seen.text, left);
    assert_int_equal(g.count, tokens);
    assert_int_equal(g.why, strlen(left) < strlen(" one two three four") ? STOP_TEXT : STOP_LENGTH);
    forget(&g, &seen);
}

static void a_stop_text_ends_generation_wherever_tokens_begin_and_end(void **state)
{
    struct model *m = *state;

    assert_stops(m, (const char *const[]){"two", NULL}, " one ", 2);
    assert_stops(m, (const char *const[]){"e two th", NULL}, " on", 3); /* in three tokens */
    assert_stops(m, (const char *const[]){" one", NULL}, "", 1);
    assert_stops(m, (const char *const[]){"one ", NULL}, " ", 2);
    assert_stops(m, (const char *const[]){"four", NULL}, " one two three ", 4);
    assert_stops(m, (const char *const[]){"five", "four five", NULL}, " one two three four", 4);
    assert_stops(m, (const char *const[]){"three", "e t", NULL}, " on", 2); /* the first in the text, not in the list */
    assert_stops(m, (const char *const[]){"hr", "ee", NULL}, " one two t", 3);
    assert_stops(m, (const char *const[]){"e two", "z", NULL}, " on", 2);
    assert_stops(m, (const char *const[]){"ee four", "ree f", NULL}, " one two th", 4);
    assert_stops(m, (const char *const[]){"e th", "e tx", "e t", NULL}, " on", 2);
}

/* Pieces end where a stop text may begin, not later and not earlier. */
static void text_is_held_back_only_while_a_stop_text_may_begin_in_it(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 4);

    assert_int_equal(script_text(m, HELLO, " one two three four", ids), 4);
    a.stop = (const char *const[]){"e two fo", NULL};
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_text_is(&seen.text, " one two three four");
    assert_int_equal(seen.pieces, 3);
    assert_int_equal(seen.border[1], strlen(" on"));           /* after " one" and " two" "e" and "e two" are held back */
    assert_int_equal(seen.border[2], strlen(" one two thre")); /* after " three" that is free, and its own "e" is held back */
    forget(&g, &seen);
}

/* --- characters --- */

/* Between two bytes of one well-formed character. */
static bool inside_a_character(const struct text *t, size_t at)
{
    for (size_t begin = at > 3 ? at - 3 : 0; begin < at; begin++) {
        unsigned char first = (unsigned char)t->data[begin];
        size_t length = first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1, i = 1;
        while (i < length && begin + i < t->len && ((unsigned char)t->data[begin + i] & 0xc0) == 0x80)
            i++;
        if (i == length && begin + length > at)
            return true;
    }
    return false;
}

static void assert_whole_characters(const struct seen *s)
{
    for (int i = 0; i < s->pieces; i++)
        assert_false(inside_a_character(&s->text, s->border[i]));
}

static void characters_in_several_tokens_come_in_one_piece(void **state)
{
    static const char text[] = " 我喜欢攀岩 naïve 🧗‍♀️ ﷽ é";
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 0);

    a.max_new_tokens = script_text(m, HELLO, text, ids);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_text_is(&g.text, text);
    assert_text_is(&seen.text, text);
    assert_true(seen.pieces > 10);
    assert_whole_characters(&seen);
    forget(&g, &seen);
}

static void a_character_that_never_ends_is_given_at_the_end(void **state)
{
    struct model *m = *state;
    int32_t ids[TOKENS_MAX];
    struct seen seen;
    struct generate_args a = watched(&seen, 3);

    script_text(m, HELLO, " a🧗", ids);
    struct generated g = generated_by(m, hello, HELLO, &a);
    assert_true(g.text.len > 2 && g.text.len < strlen(" a🧗"));
    assert_memory_equal(g.text.data, " a🧗", g.text.len);
    assert_int_equal(seen.text.len, g.text.len);
    forget(&g, &seen);
}

/* The text of all tokens begins with that of the prompt; the rest is what was generated. */
static void assert_text_goes_on(const struct model *m, const int32_t *prompt, int n, const struct generated *g)
{
    struct text before = {0}, whole = {0};
    int32_t all[TOKENS_MAX];

    memcpy(all, prompt, (size_t)n * sizeof *all);
    memcpy(all + n, g->ids, (size_t)g->count * sizeof *all);
    model_text(m, all, n, &before);
    model_text(m, all, n + g->count, &whole);
    assert_int_equal(g->text.len, whole.len - before.len);
    assert_memory_equal(g->text.data, whole.data + before.len, g->text.len);
    text_free(&before);
    text_free(&whole);
}

static void whatever_the_bytes_the_pieces_are_the_text_of_the_tokens(void **state)
{
    struct model *m = *state;

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct seen seen;
        struct generate_args a = watched(&seen, 24);
        a.sampling = (struct sampling){.temperature = 5, .seed = seed};
        struct generated g = generated_by(m, hello, HELLO, &a);
        assert_int_equal(seen.text.len, g.text.len);
        assert_memory_equal(seen.text.data, g.text.data, g.text.len);
        assert_whole_characters(&seen);
        assert_text_goes_on(m, hello, HELLO, &g);
        forget(&g, &seen);
    }
}

/* --- SentencePiece, whose words carry the space before them --- */

enum { END = 2, BYTES = 3, WORLD = BYTES + 256, HI, COMMA, SPACE };

/* scheme: where this tokenizer's texts get a space in front, "first" or "always" (also after special tokens). */
static void give_sentencepieces(struct model *m, const char *scheme)
{
    char folder[256], path[300];
    const char *tmp = getenv("TMPDIR");
    struct text json = {0};
    struct err e = {0};

    text_printf(
        &json,
        "{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\", \"special\": true},"
        " {\"id\": 2, \"content\": \"</s>\", \"special\": true}],"
        " \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": \"▁\", \"prepend_scheme\": \"%s\", \"split\": false},"
        " \"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": \"<unk>\", \"merges\": [],"
        " \"vocab\": {\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2",
        scheme);
    for (int i = 0; i < 256; i++)
        text_printf(&json, ", \"<0x%02X>\": %d", (unsigned)i, BYTES + i);
    text_printf(&json, ", \"▁world\": %d, \"▁hi\": %d, \",\": %d, \"▁\": %d}}}", WORLD, HI, COMMA, SPACE);
    snprintf(folder, sizeof folder, "%s/generate_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(text_write_file(path, json.data, json.len, &e), 0);
    tokenizer_close(m->tokenizer);
    m->tokenizer = NULL;
    int code = tokenizer_open_dir(&m->tokenizer, folder, &e);
    unlink(path);
    rmdir(folder);
    text_free(&json);
    if (code < 0)
        fail_msg("%s", e.text);
}

static void assert_says(struct model *m, const int32_t *prompt, int n, const int32_t *ids, int count, const char *expected)
{
    struct seen seen;
    struct generate_args a = watched(&seen, count);

    script(m, n, ids, count);
    struct generated g = generated_by(m, prompt, n, &a);
    assert_memory_equal(g.ids, ids, (size_t)count * sizeof *ids);
    assert_text_is(&g.text, expected);
    assert_text_is(&seen.text, expected);
    assert_whole_characters(&seen);
    assert_text_goes_on(m, prompt, n, &g);
    forget(&g, &seen);
}

static void words_keep_the_space_before_them_unless_they_begin_the_text(void **state)
{
    struct model *m = *state;
    static const int32_t said[] = {WORLD, COMMA, HI, SPACE, WORLD, BYTES + 0xe5, BYTES + 0xb2, BYTES + 0xa9, HI};
    enum { SAID = sizeof said / sizeof *said };

    m->config.eos_count = 0;
    give_sentencepieces(m, "first");
    assert_says(m, (int32_t[]){1, HI}, 2, said, SAID, " world, hi  world岩 hi");
    assert_says(m, (int32_t[]){1}, 1, said, SAID, "world, hi  world岩 hi");
    assert_says(m, (int32_t[]){1, HI, SPACE}, 3, said, 3, " world, hi");
    assert_says(m, (int32_t[]){HI, END}, 2, said, 3, " world, hi");
    assert_says(m, (int32_t[]){HI}, 1, (int32_t[]){COMMA, END, END, WORLD, HI}, 5, ", world hi");
    give_sentencepieces(m, "always");
    assert_says(m, (int32_t[]){1, HI}, 2, said, SAID, " world, hi  world岩 hi");
    assert_says(m, (int32_t[]){HI, END}, 2, said, 3, "world, hi");
    assert_says(m, (int32_t[]){HI}, 1, (int32_t[]){COMMA, END, END, WORLD, HI}, 5, ",world hi");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_model(a_stop_text_ends_generation_wherever_tokens_begin_and_end),
        on_a_model(text_is_held_back_only_while_a_stop_text_may_begin_in_it),
        on_a_model(characters_in_several_tokens_come_in_one_piece),
        on_a_model(a_character_that_never_ends_is_given_at_the_end),
        on_a_model(whatever_the_bytes_the_pieces_are_the_text_of_the_tokens),
        on_a_model(words_keep_the_space_before_them_unless_they_begin_the_text),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
