/* SPDX-License-Identifier: MIT
 * One safetensors file: what is written is read, and a file that lies about itself is refused in one sentence that names the
 * tensor, whatever is wrong with it and wherever it ends. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "text.h"

struct folder {
    char dir[256], path[300];
};

static int make_folder(void **state)
{
    static struct folder f;
    const char *tmp = getenv("TMPDIR");

    snprintf(f.dir, sizeof f.dir, "%s/safetensors_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f.dir))
        return -1;
    snprintf(f.path, sizeof f.path, "%s/x.safetensors", f.dir);
    *state = &f;
    return 0;
}

static int empty_folder(void **state)
{
    struct folder *f = *state;

    unlink(f->path);
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;

    return rmdir(f->dir);
}

static void write_file(const char *path, const char *header, const void *data, size_t n)
{
    uint64_t length = strlen(header);
    struct text file = {0};
    struct err e = {0};

    text_add(&file, (const char *)&length, sizeof length);
    text_puts(&file, header);
    text_add(&file, data, n);
    assert_int_equal(text_write_file(path, file.data, file.len, &e), 0);
    text_free(&file);
}

/* "<path>: " and then the sentence. */
static void refused(const struct folder *f, int code, const char *sentence)
{
    struct safetensors s;
    struct err e = {0};
    char expected[600];

    assert_int_equal(safetensors_open(&s, f->path, &e), code);
    safetensors_close(&s);
    snprintf(expected, sizeof expected, "%s: %s", f->path, sentence);
    assert_string_equal(e.text, expected);
}

/* A place in float32, one row after another. */
static int read_floats(const struct safetensors *s, const struct safetensors_tensor *t, float *out, int rows, int cols,
                       bool transposed, struct err *e)
{
    struct tensor_slot slot = {
        .to = {.data = out, .dtype = DTYPE_F32, .rows = rows, .cols = cols, .row_bytes = matrix_row_bytes(DTYPE_F32, cols)},
        .transposed = transposed};

    return safetensors_read(s, t, &slot, e);
}

#define T(name, dtype, shape, begin, end)                                                                                      \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* --- what is read -------------------------------------------------------------------------------------------------------- */

static void tensors_are_listed_in_the_order_of_their_bytes(void **state)
{
    struct folder *f = *state;
    struct safetensors s;
    struct err e = {0};
    char shape[64];

    write_file(f->path,
               "{" T("b", "BF16", "[2, 3]", 4, 16) ",\"__metadata__\":{\"format\":\"pt\"}," T(
                   "empty", "F32", "[0]", 4, 4) "," T("a", "F32", "[]", 0, 4) "}   ",
               "0123456789abcdef", 16);
    assert_int_equal(safetensors_open(&s, f->path, &e), 0);
    assert_int_equal(s.count, 3);
    assert_string_equal(s.tensors[0].name, "a");
    assert_int_equal(s.tensors[0].rank, 0);
    assert_string_equal(s.tensors[1].name, "empty");
    assert_string_equal(s.tensors[2].name, "b");
    assert_string_equal(s.tensors[2].dtype, "BF16");
    assert_string_equal(safetensors_shape(&s.tensors[2], shape, sizeof shape), "[2, 3]");
    safetensors_close(&s);
    safetensors_close(&s); /* harmless */
}

static void only_three_dtypes_are_converted(void **state)
{
    struct folder *f = *state;
    struct safetensors s;
    struct err e = {0};
    enum dtype d;
    float out[4];
    char expected[400];

    write_file(f->path, "{" T("a", "BF16", "[2]", 0, 4) "," T("b", "I32", "[3]", 4, 16) "}", "0123456789abcdef", 16);
    assert_int_equal(safetensors_open(&s, f->path, &e), 0);
    assert_true(safetensors_dtype(&s.tensors[0], &d) && d == DTYPE_BF16);
    assert_false(safetensors_dtype(&s.tensors[1], &d));
    assert_int_equal(read_floats(&s, &s.tensors[1], out, 3, 1, false, &e), ERR_FORMAT);
    snprintf(expected, sizeof expected, "%s: tensor 'b': dtype I32 is not supported", f->path);
    assert_string_equal(e.text, expected);
    safetensors_close(&s);
}

static void half_precision_keeps_its_extremes(void **state)
{
    static const uint16_t halves[] = {0x0001, 0x03ff, 0x0400, 0x3c00, 0x7bff, 0x8000, 0x8001, 0x7c00, 0xfc00, 0x7e00};
    static const float expected[] = {0x1p-24f, 0x1.ff8p-15f, 0x1p-14f, 1, 65504, -0.0f, -0x1p-24f, INFINITY, -INFINITY, NAN};
    struct folder *f = *state;
    struct safetensors s;
    struct err e = {0};
    float out[10];

    write_file(f->path, "{" T("x", "F16", "[10]", 0, 20) "}", halves, sizeof halves);
    assert_int_equal(safetensors_open(&s, f->path, &e), 0);
    assert_int_equal(read_floats(&s, &s.tensors[0], out, 10, 1, false, &e), 0);
    assert_memory_equal(out, expected, 9 * sizeof *out);
    assert_true(isnan(out[9]));
    safetensors_close(&s);
}

/* --- files that lie ------------------------------------------------------------------------------------------------------ */

/* Each header is in front of 16 bytes of data. */
static void a_header_that_lies_is_refused_with_the_tensor_named(void **state)
{
    static const struct {
        const char *header, *sentence;
    } cases[] = {
        {"{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", "tensor 'b' overlaps tensor 'a'"},
        {"{" T("a", "F32", "[2]", 8, 16) "," T("b", "F32", "[1]", 8, 12) "," T("c", "F32", "[2]", 0, 8) "}",
         "tensor 'a' overlaps tensor 'b'"},
        {"{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[2]", 8, 16) "}", "tensor 'b': a hole of 4 bytes before it"},
        {"{" T("a", "F32", "[3]", 0, 12) "}", "16 bytes of data, the header describes 12"},
        {"{}", "16 bytes of data, the header describes 0"},
        {"{" T("a", "F32", "[5]", 0, 20) "}", "tensor 'a': bytes 0 to 20 lie outside the file's 16 bytes of data"},
        {"{" T("a", "F32", "[1]", 9223372036854775803, 9223372036854775807) "}",
         "tensor 'a': bytes 9223372036854775803 to 9223372036854775807 lie outside the file's 16 bytes of data"},
        {"{" T("a", "F32", "[4]", 0, 99999999999999999999) "}", "header, byte 70: too big integer near '99999999999999999999'"},
        {"{" T("a", "F32", "[3]", 0, 16) "}", "tensor 'a': 16 bytes do not hold [3] of F32"},
        {"{" T("a", "F16", "[2, 2]", 0, 16) "}", "tensor 'a': 16 bytes do not hold [2, 2] of F16"},
        {"{" T("a", "F32", "[4611686018427387904, 4]", 0, 0) "," T("b", "F32", "[4]", 0, 16) "}",
         "tensor 'a': 0 bytes do not hold [4611686018427387904, 4] of F32"},
        {"{" T("a", "U8", "[2]", 0, 2) "," T("b", "F32", "[3]", 2, 14) "," T("c", "U8", "[2]", 14, 16) "}",
         "tensor 'b': byte 2 is not aligned for F32"},
        {"{" T("a", "F31", "[4]", 0, 16) "}", "tensor 'a': unknown dtype 'F31'"},
        {"{" T("a", "f32", "[4]", 0, 16) "}", "tensor 'a': unknown dtype 'f32'"},
        {"{" T("a", "Q8_0", "[4]", 0, 16) "}", "tensor 'a': unknown dtype 'Q8_0'"},
        {"{" T("a", "F32", "[-4]", 0, 16) "}", "tensor 'a': shape: expected non-negative integers"},
        {"{" T("a", "F32", "[4.0]", 0, 16) "}", "tensor 'a': shape: expected non-negative integers"},
        {"{" T("a", "F32", "4", 0, 16) "}", "tensor 'a': shape: expected a list of at most 8 sizes"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,4]", 0, 16) "}", "tensor 'a': shape: expected a list of at most 8 sizes"},
        {"{" T("a", "F32", "[4]", -16, 0) "}", "tensor 'a': data_offsets: expected [begin, end]"},
        {"{" T("a", "F32", "[4]", 16, 0) "}", "tensor 'a': data_offsets: expected [begin, end]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}",
         "tensor 'a': data_offsets: expected [begin, end]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "tensor 'a': data_offsets: expected [begin, end]"},
        {"{\"a\":{\"dtype\":32}}", "tensor 'a': expected an object with dtype, shape and data_offsets"},
        {"{\"a\":[0,16]}", "tensor 'a': expected an object with dtype, shape and data_offsets"},
        {"{" T("a", "F32", "[4]", 0, 16) "," T("a", "F32", "[4]", 0, 16) "}",
         "header, byte 58: duplicate object key near '\"a\"'"},
        {"[1]", "header: expected an object"},
        {"{" T("a", "F32", "[4]", 0, 16) "} x", "header, byte 57: end of file expected near 'x'"},
        {"", "header, byte 0: '[' or '{' expected near end of file"},
    };
    struct folder *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(f->path, cases[i].header, "0123456789abcdef", 16);
        refused(f, ERR_FORMAT, cases[i].sentence);
    }
}

static void a_length_that_lies_is_refused_before_memory_is_taken(void **state)
{
    static const struct {
        uint64_t length;
        const char *sentence;
    } cases[] = {
        {UINT64_MAX, "a header of 18446744073709551615 bytes in a file of 24; at most 100000000 are read"},
        {17, "a header of 17 bytes in a file of 24; at most 100000000 are read"},
        {100000001, "a header of 100000001 bytes in a file of 24; at most 100000000 are read"},
    };
    struct folder *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text file = {0};
        struct err e = {0};
        text_add(&file, (const char *)&cases[i].length, 8);
        text_add(&file, "{}              ", 16);
        assert_int_equal(text_write_file(f->path, file.data, file.len, &e), 0);
        text_free(&file);
        refused(f, ERR_FORMAT, cases[i].sentence);
    }
}

/* A sparse file, so that the header could really be read. */
static void a_header_beyond_the_limit_is_not_read(void **state)
{
    struct folder *f = *state;
    uint64_t length = 100000001;
    struct err e = {0};

    assert_int_equal(text_write_file(f->path, (const char *)&length, sizeof length, &e), 0);
    assert_int_equal(truncate(f->path, 200000000), 0);
    refused(f, ERR_FORMAT, "a header of 100000001 bytes in a file of 200000000; at most 100000000 are read");
}

static void a_file_cut_anywhere_is_an_error(void **state)
{
    static const char header[] = "{" T("a", "F32", "[1]", 0, 4) "," T("b", "BF16", "[2, 3]", 4, 16) "}  ";
    struct folder *f = *state;
    struct safetensors s;
    struct err e = {0};

    write_file(f->path, header, "0123456789abcdef", 16);
    assert_int_equal(safetensors_open(&s, f->path, &e), 0);
    safetensors_close(&s);
    for (off_t n = 8 + (off_t)strlen(header) + 16 - 1; n >= 0; n--) {
        assert_int_equal(truncate(f->path, n), 0);
        e = (struct err){0};
        assert_int_equal(safetensors_open(&s, f->path, &e), ERR_FORMAT);
        safetensors_close(&s);
        assert_memory_equal(e.text, f->path, strlen(f->path));
    }
}

static void what_is_not_a_file_is_not_waited_for(void **state)
{
    struct folder *f = *state;

    refused(f, ERR_IO, "No such file or directory");
    assert_int_equal(mkfifo(f->path, 0600), 0);
    refused(f, ERR_IO, "not a regular file");
}

static void a_file_that_shrinks_after_it_was_opened_is_an_error(void **state)
{
    struct folder *f = *state;
    struct safetensors s;
    struct err e = {0};
    float in[64] = {0}, out[64];
    char expected[400];

    write_file(f->path, "{" T("x", "F32", "[8, 8]", 0, 256) "}", in, sizeof in);
    assert_int_equal(safetensors_open(&s, f->path, &e), 0);
    assert_int_equal(truncate(f->path, 200), 0);
    snprintf(expected, sizeof expected, "%s: the file shrank while it was read", f->path);
    for (int transposed = 0; transposed < 2; transposed++) {
        assert_int_equal(read_floats(&s, &s.tensors[0], out, 8, 8, transposed, &e), ERR_IO);
        assert_string_equal(e.text, expected);
    }
    safetensors_close(&s);
}

#define in_a_folder(test) cmocka_unit_test_teardown(test, empty_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_folder(tensors_are_listed_in_the_order_of_their_bytes),
        in_a_folder(only_three_dtypes_are_converted),
        in_a_folder(half_precision_keeps_its_extremes),
        in_a_folder(a_header_that_lies_is_refused_with_the_tensor_named),
        in_a_folder(a_length_that_lies_is_refused_before_memory_is_taken),
        in_a_folder(a_header_beyond_the_limit_is_not_read),
        in_a_folder(a_file_cut_anywhere_is_an_error),
        in_a_folder(what_is_not_a_file_is_not_waited_for),
        in_a_folder(a_file_that_shrinks_after_it_was_opened_is_an_error),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
