/* SPDX-License-Identifier: MIT
 * The SHA-256 of files, against the examples that NIST publishes with FIPS 180-4 (and of nothing at all). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "sha256.h"
#include "text.h"

static char folder[128], path[160];

static void write_file(const char *data, size_t len)
{
    struct err e = {0};

    assert_int_equal(text_write_file(path, data, len, &e), 0);
}

static void assert_hash(const char *data, size_t len, const char *expected)
{
    char hex[SHA256_HEX_BYTES];
    struct err e = {0};

    write_file(data, len);
    assert_int_equal(sha256_file(hex, path, &e), 0);
    assert_string_equal(hex, expected);
}

static void an_empty_file_has_the_hash_of_nothing(void **state)
{
    (void)state;
    assert_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void the_published_examples_hold(void **state)
{
    (void)state;
    assert_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* The example of a million times 'a', and two million and one: neither is a multiple of the pieces that are read. */
static void a_file_of_several_pieces_is_hashed_whole(void **state)
{
    size_t len = 2000001;
    char *data = malloc(len);

    (void)state;
    assert_non_null(data);
    memset(data, 'a', len);
    assert_hash(data, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_hash(data, len, "bd633c75b1c482eabb6f41dbb8578476db0f72765f1b783b18e6d74643d49207");
    free(data);
}

static void a_file_that_is_not_there_is_named(void **state)
{
    char hex[SHA256_HEX_BYTES], missing[192], expected[256];
    struct err e = {0};

    (void)state;
    snprintf(missing, sizeof missing, "%s/none", folder);
    snprintf(expected, sizeof expected, "%s: No such file or directory", missing);
    assert_int_equal(sha256_file(hex, missing, &e), ERR_IO);
    assert_string_equal(e.text, expected);
}

static void a_folder_cannot_be_hashed(void **state)
{
    char hex[SHA256_HEX_BYTES], expected[256];
    struct err e = {0};

    (void)state;
    snprintf(expected, sizeof expected, "%s: Is a directory", folder);
    assert_int_equal(sha256_file(hex, folder, &e), ERR_IO);
    assert_string_equal(e.text, expected);
}

static int make_folder(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/sha256.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_has_the_hash_of_nothing),
        cmocka_unit_test(the_published_examples_hold),
        cmocka_unit_test(a_file_of_several_pieces_is_hashed_whole),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_folder_cannot_be_hashed),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
