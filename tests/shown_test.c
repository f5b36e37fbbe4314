/* SPDX-License-Identifier: MIT
 * How the pieces of a text are shown: everything in them can be seen, and two different pieces never look the same. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "shown.h"

static void assert_shown(const char *bytes, size_t n, const char *expected, int columns)
{
    struct text out = {0};

    assert_int_equal(shown_quoted(&out, bytes, n), columns);
    assert_string_equal(out.data, expected);
    text_free(&out);
}

#define SHOWN(bytes, expected, columns) assert_shown(bytes, sizeof(bytes) - 1, expected, columns)

static void plain_text_stands_in_single_quotes(void **state)
{
    (void)state;
    SHOWN("", "''", 2);
    SHOWN(" The", "' The'", 6);
}

static void quotes_inside_are_told_from_those_around(void **state)
{
    (void)state;
    SHOWN("it's", "\"it's\"", 6);
    SHOWN("\"", "'\"'", 3);
    SHOWN("'\"", "'\\'\"'", 5);
    SHOWN("a\\b", "'a\\\\b'", 6);
}

static void what_cannot_be_seen_is_spelled_out(void **state)
{
    (void)state;
    SHOWN("\n\r\t", "'\\n\\r\\t'", 8);
    SHOWN("\0\x1b\x7f", "'\\x00\\x1b\\x7f'", 14);
    SHOWN("\xc2\xa0", "'\\u00a0'", 8);              /* a space that does not break */
    SHOWN("\xe2\x80\x8b", "'\\u200b'", 8);          /* one without width */
    SHOWN("\xf3\xa0\x80\x81", "'\\U000e0001'", 12); /* a language tag */
}

static void bytes_that_are_no_character_are_told_from_characters(void **state)
{
    (void)state;
    SHOWN("\xe6\x88", "'\\xe6\\x88'", 10); /* the first two bytes of three */
    SHOWN("\xa0", "'\\xa0'", 6);
    SHOWN("a\xff"
          "b",
          "'a\\xff"
          "b'",
          8);
}

static void columns_count_what_a_terminal_draws(void **state)
{
    (void)state;
    SHOWN("\xe6\x88\x91\xe5\x96\x9c", "'\xe6\x88\x91\xe5\x96\x9c'", 6); /* two characters of two columns */
    SHOWN("e\xcc\x81", "'e\xcc\x81'", 3);                               /* an accent sits on its letter */
}

static void integers_are_grouped_by_thousands(void **state)
{
    char buf[SHOWN_INTEGER];

    (void)state;
    assert_string_equal(shown_integer(buf, 0), "0");
    assert_string_equal(shown_integer(buf, 999), "999");
    assert_string_equal(shown_integer(buf, 1000), "1,000");
    assert_string_equal(shown_integer(buf, 811008), "811,008");
    assert_string_equal(shown_integer(buf, UINT64_MAX), "18,446,744,073,709,551,615");
}

static void json_texts_are_always_utf8(void **state)
{
    json_t *whole = shown_json_text("\xe6\x88\x91", 3), *half = shown_json_text("a\xe6\x88", 3),
           *empty = shown_json_text(NULL, 0);

    (void)state;
    assert_string_equal(json_string_value(whole), "\xe6\x88\x91");
    assert_string_equal(json_string_value(half), "a\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(json_string_value(empty), "");
    json_decref(whole);
    json_decref(half);
    json_decref(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text_stands_in_single_quotes),
        cmocka_unit_test(quotes_inside_are_told_from_those_around),
        cmocka_unit_test(what_cannot_be_seen_is_spelled_out),
        cmocka_unit_test(bytes_that_are_no_character_are_told_from_characters),
        cmocka_unit_test(columns_count_what_a_terminal_draws),
        cmocka_unit_test(integers_are_grouped_by_thousands),
        cmocka_unit_test(json_texts_are_always_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
