/* SPDX-License-Identifier: MIT
 * GGUF as a container: a file that lies about itself is refused in one sentence that names the key or tensor, whatever is wrong
 * with it, wherever it ends and whichever of its bytes is another. */
#include "check.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "gguf_room.h"

enum { HEADER = 2048 }; /* bytes of room_llama's, padding included */

/* --- files that lie ------------------------------------------------------------------------------------------------------ */

/* `width` bytes at `at` behind the name (NULL: from the file's beginning) become `value`. */
struct lie {
    const char *name;
    int at, width;
    uint64_t value;
    const char *sentence;
};

static void lie(const struct room *r, const struct lie *l)
{
    struct text file = room_load(r);
    size_t at = (l->name ? room_behind(&file, l->name) : 0) + (size_t)(ptrdiff_t)l->at;

    memcpy(file.data + at, &l->value, (size_t)l->width);
    room_save(r, &file);
    text_free(&file);
}

static void tell(const struct room *r, const struct lie *lies, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        room_write(r, &room_llama, DTYPE_F32);
        lie(r, &lies[i]);
        room_refuses(r, ERR_FORMAT, lies[i].sentence);
    }
}

#define TELL(lies) tell(*state, lies, sizeof(lies) / sizeof *(lies))

static void a_header_that_lies_is_refused(void **state)
{
    static const struct lie lies[] = {
        {NULL, 3, 1, 'U', "header: expected the letters GGUF"},
        {NULL, 4, 4, 0, "header: GGUF version 0 is not supported; expected 2 or 3"},
        {NULL, 4, 4, 1, "header: GGUF version 1 is not supported; expected 2 or 3"},
        {NULL, 4, 4, 4, "header: GGUF version 4 is not supported; expected 2 or 3"},
        {NULL, 4, 4, 0x03000000, "header: a big-endian file is not supported"},
        {NULL, 4, 4, 0x02000000, "header: a big-endian file is not supported"},
        {NULL, 8, 8, 1u << 31, "header: 2147483648 tensors in a file of 5216 bytes; at most 65536 are read"},
        {NULL, 8, 8, UINT64_MAX, "header: 18446744073709551615 tensors in a file of 5216 bytes; at most 65536 are read"},
        {NULL, 8, 8, 160, "header: 160 tensors in a file of 5216 bytes; at most 65536 are read"},
        {NULL, 16, 8, 1u << 31, "header: 2147483648 keys in a file of 5216 bytes; at most 65536 are read"},
        {NULL, 16, 8, 380, "header: 380 keys in a file of 5216 bytes; at most 65536 are read"},
        {"general.alignment", 4, 4, 0, "general.alignment: expected a power of two from 8 to 65536"},
        {"general.alignment", 4, 4, 4, "general.alignment: expected a power of two from 8 to 65536"},
        {"general.alignment", 4, 4, 24, "general.alignment: expected a power of two from 8 to 65536"},
        {"general.alignment", 4, 4, 1 << 17, "general.alignment: expected a power of two from 8 to 65536"},
        {"general.alignment", 0, 4, GGUF_F32, "general.alignment: expected a power of two from 8 to 65536"},
    };

    TELL(lies);
}

static void version_2_is_read_too(void **state)
{
    static const struct lie older = {NULL, 4, 4, 2, NULL};
    const struct room *r = *state;

    room_write(r, &room_llama, DTYPE_F32);
    lie(r, &older);
    source_gguf.close(room_open(r));
}

static void a_key_that_lies_is_refused(void **state)
{
    static const struct lie lies[] = {
        {"general.type", -20, 8, 0, "key 1: an empty name"},
        {"general.type", -20, 8, 257, "key 1: a name of 257 bytes; at most 256 are read"},
        {"general.type", -20, 8, UINT64_MAX, "key 1: a name of 18446744073709551615 bytes; at most 256 are read"},
        {"general.type", -5, 1, '\n', "key 1: a name with byte 0x0a; expected ASCII letters"},
        {"general.type", -5, 1, 0xc3, "key 1: a name with byte 0xc3; expected ASCII letters"},
        {"general.type", -5, 1, 0, "key 1: a name with byte 0x00; expected ASCII letters"},
        {"general.type", 0, 4, 13, "general.type: type 13, which GGUF does not have"},
        {"general.type", 4, 8, 5217, "general.type: the file ends in the middle of it"},
        {"general.type", 4, 8, UINT64_MAX, "general.type: a string of 18446744073709551615 bytes; at most 67108864 are read"},
        {"general.type", 0, 4, GGUF_ARRAY, "general.type: an array of 7306087009443905536 elements; at most 16777216 are read"},
        {"general.name", -4, 4, 'e' << 24 | 'p' << 16 | 'y' << 8 | 't', "general.type: the key is there twice"},
    };

    TELL(lies);
}

/* Tensors in the order of the file; behind a name come dimensions (4 bytes), each (8), type (4) and offset (8). */
static void a_tensor_that_lies_is_refused(void **state)
{
    static const struct lie lies[] = {
        {"blk.0.attn_q.weight", -27, 8, 0, "tensor 2: an empty name"},
        {"blk.0.attn_q.weight", -27, 8, 65, "tensor 2: a name of 65 bytes; at most 64 are read"},
        {"blk.0.attn_q.weight", -1, 1, ' ', "tensor 2: a name with byte 0x20; expected ASCII letters"},
        {"blk.0.attn_q.weight", -8, 1, 'v', "tensor 'blk.0.attn_v.weight': the name is there twice"},
        {"blk.0.attn_q.weight", 0, 4, 0, "tensor 'blk.0.attn_q.weight': 0 dimensions; expected 1 to 4"},
        {"blk.0.attn_q.weight", 0, 4, 5, "tensor 'blk.0.attn_q.weight': 5 dimensions; expected 1 to 4"},
        {"blk.0.attn_q.weight", 4, 8, 0,
         "tensor 'blk.0.attn_q.weight': dimension 0 is 0; expected sizes whose product is positive and below 2^64"},
        {"blk.0.attn_q.weight", 12, 8, (uint64_t)1 << 62,
         "tensor 'blk.0.attn_q.weight': dimension 1 is 4611686018427387904; expected sizes whose product is positive and below "
         "2^64"},
        {"blk.0.attn_q.weight", 12, 8, (uint64_t)1 << 60,
         "tensor 'blk.0.attn_q.weight': 9223372036854775808 elements are more than any file holds"},
        {"blk.0.attn_q.weight", 12, 8, (uint64_t)1 << 40,
         "tensor 'blk.0.attn_q.weight': bytes 192 to 35184372089024 lie outside the file's 3168 bytes of data"},
        {"blk.0.attn_q.weight", 12, 8, 9, "tensor 'blk.0.attn_k.weight': overlaps tensor 'blk.0.attn_q.weight'"},
        {"blk.0.attn_q.weight", 20, 4, 13,
         "tensor 'blk.0.attn_q.weight': type Q5_K is not supported; expected F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K"},
        {"blk.0.attn_q.weight", 20, 4, 4, "tensor 'blk.0.attn_q.weight': type 4 is unknown"},
        {"blk.0.attn_q.weight", 20, 4, 99, "tensor 'blk.0.attn_q.weight': type 99 is unknown"},
        {"blk.0.attn_q.weight", 20, 4, 8,
         "tensor 'blk.0.attn_q.weight': rows of 8 elements do not fill the blocks of Q8_0 (32)"},
        {"blk.0.attn_q.weight", 20, 4, 1, "tensor 'blk.0.attn_k.weight': a hole of 128 bytes before it"},
        {"blk.0.attn_q.weight", 24, 8, 193, "tensor 'blk.0.attn_q.weight': byte 193 of the data is not aligned to 32"},
        {"blk.0.attn_q.weight", 24, 8, 160, "tensor 'blk.0.attn_q.weight': overlaps tensor 'blk.0.attn_norm.weight'"},
        {"blk.0.attn_q.weight", 24, 8, 224, "tensor 'blk.0.attn_q.weight': a hole of 32 bytes before it"},
        {"blk.0.attn_q.weight", 24, 8, (uint64_t)-32,
         "tensor 'blk.0.attn_q.weight': bytes 18446744073709551584 to 224 lie outside the file's 3168 bytes of data"},
        {"general.alignment", 4, 4, 64, "tensor 'blk.0.attn_norm.weight': byte 160 of the data is not aligned to 64"},
    };

    TELL(lies);
}

static void a_tensor_that_the_model_does_not_have_or_lacks_is_named(void **state)
{
    static const struct lie lies[] = {
        {"blk.0.attn_q.weight", -8, 1, 'x', "tensor 'blk.0.attn_q.weight' is missing"},
        {"token_embd.weight", -1, 1, 'x', "token_embd.weight: the tensor is missing"},
        {"llama.block_count", 4, 4, 3, "tensor 'blk.2.attn_norm.weight' is missing"},
        {"llama.block_count", 4, 4, 1, "tensor 'blk.1.attn_k.weight' is not part of a llama model with 1 layers"},
        {"llama.feed_forward_length", 4, 4, 7,
         "tensor 'blk.0.ffn_gate.weight': shape [8, 6, 1, 1], the keys ask for [8, 7, 1, 1]"},
        {"llama.embedding_length", 4, 4, 10, "tensor 'token_embd.weight': shape [8, 5, 1, 1], the keys ask for [10, 5, 1, 1]"},
        {"llama.attention.head_count_kv", 4, 4, 2,
         "tensor 'blk.0.attn_k.weight': shape [8, 4, 1, 1], the keys ask for [8, 8, 1, 1]"},
    };

    TELL(lies);
}

/* --- arrays, spelled out ------------------------------------------------------------------------------------------------- */

static struct text one_key(const char *name, enum gguf_type type)
{
    struct text t = {0};

    text_puts(&t, "GGUF");
    room_put(&t, 3, 4);
    room_put(&t, 0, 8);
    room_put(&t, 1, 8);
    room_put_string(&t, name);
    room_put(&t, type, 4);
    return t;
}

static void refused(const struct room *r, struct text file, const char *sentence)
{
    room_save(r, &file);
    text_free(&file);
    room_refuses(r, ERR_FORMAT, sentence);
}

static void an_array_that_lies_is_refused(void **state)
{
    struct text t = one_key("a", GGUF_ARRAY);

    room_put(&t, 13, 4);
    room_put(&t, 1, 8);
    refused(*state, t, "a: an array of type 13, which GGUF does not have");

    t = one_key("a", GGUF_ARRAY);
    room_put(&t, GGUF_STRING, 4);
    room_put(&t, (1 << 24) + 1, 8);
    refused(*state, t, "a: an array of 16777217 elements; at most 16777216 are read");

    t = one_key("a", GGUF_ARRAY);
    room_put(&t, GGUF_U64, 4);
    room_put(&t, 3, 8);
    text_add(&t, "0123456789abcdefghijklm", 23);
    refused(*state, t, "a: the file ends in the middle of it");

    t = one_key("a", GGUF_ARRAY);
    room_put(&t, GGUF_STRING, 4);
    room_put(&t, 2, 8);
    room_put(&t, 1, 8);
    text_puts(&t, "x");
    room_put(&t, 2, 8);
    text_puts(&t, "x");
    refused(*state, t, "a: the file ends in the middle of it");
}

static void arrays_are_nested_four_deep_at_most(void **state)
{
    for (int depth = 4; depth <= 5; depth++) {
        struct text t = one_key("a", GGUF_ARRAY);
        for (int i = 1; i < depth; i++) {
            room_put(&t, GGUF_ARRAY, 4);
            room_put(&t, 1, 8);
        }
        room_put(&t, GGUF_U8, 4);
        room_put(&t, 2, 8);
        room_put(&t, 0, 2);
        refused(*state, t,
                depth == 4 ? "general.architecture: the key is missing; is this a language model?"
                           : "a: arrays nested more than 4 deep");
    }
}

/* --- everywhere ---------------------------------------------------------------------------------------------------------- */

/* All that can be done with a file; false, with one sentence that begins with the path, where it is refused. */
static bool is_accepted(const struct room *r)
{
    struct source *s = NULL;
    struct weights w = {0};
    struct tokenizer *t = NULL;
    struct err e = {0};
    int code = source_gguf.open(&s, r->path, 0, &e);

    if (code == 0) {
        code = weights_alloc(&w, &s->config, DTYPE_F32, &e);
        assert_int_equal(code, 0);
        assert_int_equal(source_gguf.read(s, &w, &e), 0);
        code = source_gguf.tokenizer(s, &t, &e);
        assert_true(code < 0);
        code = code == ERR_ABSENT ? 0 : code;
        weights_free(&w);
        source_gguf.close(s);
    }
    if (code < 0) {
        assert_memory_equal(e.text, r->path, strlen(r->path));
        assert_null(strchr(e.text, '\n'));
    }
    return code == 0;
}

/* Only the padding behind the last tensor may be missing. */
static void a_file_cut_anywhere_is_an_error(void **state)
{
    const struct room *r = *state;

    room_write(r, &room_llama, DTYPE_F16);
    struct text file = room_load(r);
    off_t end = (off_t)file.len - 16; /* 5 x 8 halves fill 80 bytes of 96 */
    for (off_t n = (off_t)file.len; n >= 0; n--) {
        assert_int_equal(truncate(r->path, n), 0);
        assert_int_equal(is_accepted(r), n >= end);
    }
    text_free(&file);
}

static void every_byte_of_the_header_may_be_another(void **state)
{
    static const unsigned char changes[] = {0xff, 0x01};
    const struct room *r = *state;
    size_t accepted = 0;

    room_write(r, &room_llama, DTYPE_F16);
    struct text file = room_load(r);
    FILE *f = fopen(r->path, "r+b");
    assert_non_null(f);
    for (size_t at = 0; at < HEADER; at++) {
        for (size_t i = 0; i < sizeof changes; i++) {
            assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
            assert_int_equal(fputc((unsigned char)file.data[at] ^ changes[i], f), (unsigned char)file.data[at] ^ changes[i]);
            assert_int_equal(fflush(f), 0);
            accepted += is_accepted(r);
        }
        fseek(f, (long)at, SEEK_SET);
        fputc((unsigned char)file.data[at], f);
    }
    fclose(f);
    assert_in_range(accepted, 1, HEADER); /* names of no meaning, ids, sizes of the context */
    assert_true(is_accepted(r));
    text_free(&file);
}

static void what_is_not_a_file_is_not_waited_for(void **state)
{
    const struct room *r = *state;

    room_refuses(r, ERR_IO, "No such file or directory");
    assert_int_equal(mkfifo(r->path, 0600), 0);
    room_refuses(r, ERR_IO, "not a regular file");
}

static void a_file_that_shrinks_after_it_was_opened_is_an_error(void **state)
{
    const struct room *r = *state;
    struct weights w = room_weights(&room_llama);
    struct tokenizer *t = NULL;
    struct err e = {0};
    char expected[400];

    room_write(r, &room_llama, DTYPE_F32);
    struct source *s = room_open(r);
    assert_int_equal(truncate(r->path, 4000), 0);
    snprintf(expected, sizeof expected, "%s: the file shrank while it was read", r->path);
    assert_int_equal(source_gguf.read(s, &w, &e), ERR_IO);
    assert_string_equal(e.text, expected);
    e = (struct err){0};
    assert_int_equal(source_gguf.tokenizer(s, &t, &e), ERR_IO);
    assert_string_equal(e.text, expected);
    source_gguf.close(s);
    weights_free(&w);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, room_empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(a_header_that_lies_is_refused),
        in_a_room(version_2_is_read_too),
        in_a_room(a_key_that_lies_is_refused),
        in_a_room(a_tensor_that_lies_is_refused),
        in_a_room(a_tensor_that_the_model_does_not_have_or_lacks_is_named),
        in_a_room(an_array_that_lies_is_refused),
        in_a_room(arrays_are_nested_four_deep_at_most),
        in_a_room(a_file_cut_anywhere_is_an_error),
        in_a_room(every_byte_of_the_header_may_be_another),
        in_a_room(what_is_not_a_file_is_not_waited_for),
        in_a_room(a_file_that_shrinks_after_it_was_opened_is_an_error),
    };

    return cmocka_run_group_tests(tests, room_make, room_remove);
}
