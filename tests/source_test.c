/* SPDX-License-Identifier: MIT
 * Where models come from, through the one door: what a path is decides the format, real files land where the engine expects
 * them, synthetic weights are the same everywhere. What config.json may say, and files that lie, are in hf_config_test.c,
 * hf_weights_test.c and safetensors_test.c. */
#include "check.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/source.h"
#include "text.h"

struct room {
    char dir[256], file[288];
};

static int make_room(void **state)
{
    static struct room r;
    const char *tmp = getenv("TMPDIR");

    snprintf(r.dir, sizeof r.dir, "%s/source_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(r.dir))
        return -1;
    snprintf(r.file, sizeof r.file, "%s/model", r.dir);
    *state = &r;
    return 0;
}

static int empty_room(void **state)
{
    struct room *r = *state;

    unlink(r->file);
    return 0;
}

static int remove_room(void **state)
{
    struct room *r = *state;

    return rmdir(r->dir);
}

/* --- which format -------------------------------------------------------------------------------------------------------- */

static void expect_error(const char *path, int code, const char *sentence)
{
    struct source *s = NULL;
    struct err e = {0};

    assert_int_equal(source_open(&s, path, 1, &e), code);
    assert_string_equal(e.text, sentence);
    assert_null(s);
}

static void a_preset_is_found_by_its_name(void **state)
{
    struct source *s;
    struct tokenizer *t = NULL;
    struct err e = {0};
    char dtypes[96];

    (void)state;
    assert_int_equal(source_open(&s, "tiny-llama", 42, &e), 0);
    assert_ptr_equal(s->ops, &source_preset);
    assert_string_equal(s->ops->name, "preset");
    assert_string_equal(s->config.name, "tiny-llama");
    assert_string_equal(s->about, "synthetic, seed 42");
    assert_string_equal(source_dtypes(s, dtypes, sizeof dtypes), "F32");
    assert_int_equal(s->elements[DTYPE_F32], config_parameters(&s->config));
    assert_int_equal(s->bytes, 0);
    assert_null(s->ops->file(s, 0));
    assert_int_equal(s->ops->tokenizer(s, &t, &e), ERR_ABSENT);
    assert_string_equal(e.text, "preset tiny-llama comes without a tokenizer");
    source_close(s);
    source_close(NULL); /* harmless */
}

static void a_misspelt_preset_is_answered_with_the_nearest_name(void **state)
{
    (void)state;
    expect_error("distilgpt-2", ERR_USAGE, "no preset 'distilgpt-2'; did you mean 'distilgpt2'?");
}

static void a_path_that_is_not_there_is_no_preset(void **state)
{
    (void)state;
    expect_error("nowhere/distilgpt2", ERR_IO, "nowhere/distilgpt2: No such file or directory");
}

static void a_folder_is_a_hugging_face_model(void **state)
{
    static const char dir[] = "tests/data/reference/llama-rope3";
    struct source *s;
    struct err e = {0};
    char dtypes[96];

    (void)state;
    assert_int_equal(source_open(&s, dir, 1, &e), 0);
    assert_ptr_equal(s->ops, &source_hf);
    assert_string_equal(s->ops->name, "Hugging Face");
    assert_string_equal(s->config.name, "llama-rope3");
    assert_string_equal(s->about, dir);
    assert_string_equal(source_dtypes(s, dtypes, sizeof dtypes), "F32");
    assert_int_equal(s->elements[DTYPE_F32], config_parameters(&s->config));
    assert_int_equal(s->bytes, 4 * config_parameters(&s->config));
    assert_string_equal(s->ops->file(s, 0), "tests/data/reference/llama-rope3/config.json");
    assert_string_equal(s->ops->file(s, 1), "tests/data/reference/llama-rope3/model.safetensors");
    assert_null(s->ops->file(s, 2));
    source_close(s);
    expect_error("tests/data", ERR_IO, "tests/data/config.json: No such file or directory");
}

static void the_name_of_a_folder_is_the_last_part_of_its_real_path(void **state)
{
    struct source *s;
    struct err e = {0};

    (void)state;
    assert_int_equal(source_open(&s, "tests/data/reference/gpt2-a/", 1, &e), 0);
    assert_string_equal(s->config.name, "gpt2-a");
    source_close(s);
}

static void a_file_is_recognised_by_how_it_begins(void **state)
{
    struct room *r = *state;
    struct source *s = NULL;
    struct err e = {0};
    char expected[400];

    assert_int_equal(text_write_file(r->file, "GGUF\1\0\0\0", 8, &e), 0);
    assert_true(source_open(&s, r->file, 1, &e) < 0); /* the GGUF reader's business from here */
    assert_null(strstr(e.text, "not a GGUF file"));
    snprintf(expected, sizeof expected, "%s: not a GGUF file; expected one, or a folder with config.json and model.safetensors",
             r->file);
    assert_int_equal(text_write_file(r->file, "GGU", 3, &e), 0);
    expect_error(r->file, ERR_FORMAT, expected);
    assert_int_equal(text_write_file(r->file, "ggufgguf", 8, &e), 0);
    expect_error(r->file, ERR_FORMAT, expected);
}

static void what_is_neither_a_file_nor_a_folder_is_not_waited_for(void **state)
{
    struct room *r = *state;
    char expected[400];

    assert_int_equal(mkfifo(r->file, 0600), 0);
    snprintf(expected, sizeof expected, "%s: neither a file nor a folder", r->file);
    expect_error(r->file, ERR_IO, expected);
}

static void shares_of_dtypes_are_told_largest_first(void **state)
{
    struct source s = {0};
    char buf[96];

    (void)state;
    s.elements[DTYPE_BF16] = 5;
    assert_string_equal(source_dtypes(&s, buf, sizeof buf), "BF16");
    s.elements[DTYPE_Q6_K] = 14000, s.elements[DTYPE_Q4_K] = 86000;
    assert_string_equal(source_dtypes(&s, buf, sizeof buf), "Q4_K 86 %, Q6_K 14 %, BF16 <1 %");
    s.elements[DTYPE_Q6_K] = 5;
    assert_string_equal(source_dtypes(&s, buf, sizeof buf), "Q4_K >99 %, BF16 <1 %, Q6_K <1 %");
    assert_string_equal(source_dtypes(&s, buf, 8), "Q4_K >9");
}

/* --- weights of the saved models ----------------------------------------------------------------------------------------- */

static void load(const char *path, struct model_config *c, struct weights *w)
{
    struct source *s;
    struct err e = {0};

    assert_int_equal(source_open(&s, path, 1, &e), 0);
    *c = s->config;
    assert_int_equal(weights_alloc(w, c, DTYPE_F32, &e), 0);
    assert_int_equal(s->ops->read(s, w, &e), 0);
    source_close(s);
}

static float at(const struct matrix *m, int row, int col)
{
    assert_true(row < m->rows && col < m->cols);
    return ((const float *)matrix_row(m, row))[col];
}

/* The literals are read out of the files by hand: element [row][col] as the file has it, Conv1D as [in][out]. */
static void weights_of_a_saved_gpt2_land_transposed(void **state)
{
    struct model_config c;
    struct weights w;

    (void)state;
    load("tests/data/reference/gpt2-a", &c, &w);
    assert_true(at(&w.layers[1].qkv, 130, 5) == -0x1.049406p-4f);
    assert_true(at(&w.layers[0].down, 3, 200) == -0x1.a7759cp-5f);
    assert_true(at(&w.layers[0].up, 255, 63) == -0x1.faaeb2p-7f);
    assert_true(at(&w.position, 127, 63) == 0x1.57588ep-2f);
    assert_true(at(&w.embed, 502, 1) == 0x1.bd27a0p-5f);
    assert_true(w.layers[1].qkv_b[191] == -0x1.82c030p-2f);
    assert_ptr_equal(w.head.data, w.embed.data);
    weights_free(&w);
}

static void weights_of_saved_llamas_land_stacked(void **state)
{
    struct model_config c;
    struct weights w;

    (void)state;
    load("tests/data/reference/llama-mha", &c, &w);
    assert_true(at(&w.layers[1].qkv, 64 + 64 + 7, 9) == -0x1.1ce052p-5f);
    assert_true(at(&w.layers[0].up, 172 + 171, 63) == 0x1.3fd8dcp-5f);
    assert_true(at(&w.head, 330, 5) == 0x1.a77a0cp-3f);
    weights_free(&w);
    load("tests/data/reference/llama-rope3", &c, &w);
    assert_true(at(&w.layers[1].qkv, 64 + 31, 2) == -0x1.79b056p-5f);
    assert_true(at(&w.layers[0].up, 1, 1) == 0x1.efcf6ep-7f);
    assert_true(at(&w.layers[0].down, 63, 159) == 0x1.d2d8d0p-5f);
    assert_true(w.norm_w[17] == 0x1.3b1d2ap+0f);
    weights_free(&w);
}

/* --- synthetic weights --------------------------------------------------------------------------------------------------- */

static int hash_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    uint64_t *hash = ctx;
    const unsigned char *p = slot->to.data;
    size_t bytes = (size_t)slot->to.rows * slot->to.row_bytes;

    (void)e;
    for (size_t i = 0; i < bytes; i++)
        *hash = (*hash ^ p[i]) * 0x100000001b3u; /* FNV-1a */
    return 0;
}

static uint64_t hash_of(const char *preset, int d_ff, uint64_t seed, int threads)
{
    struct model_config c;
    struct weights w;
    struct err e = {0};
    uint64_t hash = 0xcbf29ce484222325u;
    int before = omp_get_max_threads();

    assert_int_equal(config_preset(&c, preset, &e), 0);
    c.d_ff = d_ff;
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    omp_set_num_threads(threads);
    synthetic_fill(&w, &c, seed);
    omp_set_num_threads(before);
    assert_int_equal(weights_visit(&w, &c, hash_slot, &hash, &e), 0);
    weights_free(&w);
    return hash;
}

/* The hashes come from a second implementation of the rule, written in Python. */
static void synthetic_weights_have_the_same_bits_everywhere(void **state)
{
    (void)state;
    assert_int_equal(hash_of("tiny-llama", 157, 1, 1), UINT64_C(0x32644175a1b37557));
    assert_int_equal(hash_of("tiny-gpt2", 256, 1, 1), UINT64_C(0xcab9309131f975a4));
    assert_int_equal(hash_of("tiny-llama", 601, 1, 1), UINT64_C(0xc35b05ad861634ff)); /* rows wider than what is made at once */
}

static void synthetic_weights_do_not_depend_on_the_number_of_threads(void **state)
{
    uint64_t one = hash_of("tiny-gpt2", 256, 9, 1);

    (void)state;
    assert_int_equal(hash_of("tiny-gpt2", 256, 9, 2), one);
    assert_int_equal(hash_of("tiny-gpt2", 256, 9, 3), one);
    assert_int_not_equal(hash_of("tiny-gpt2", 256, 10, 1), one);
}

struct made {
    int tensors, stop_after;
    uint64_t key; /* of the last */
};

static int note_tensor(void *ctx, const struct matrix *m, uint64_t key, float offset, float scale)
{
    struct made *made = ctx;

    assert_non_null(m->data);
    assert_int_not_equal(key, made->key);
    assert_true(scale > 0 && (offset == 0 || scale == 0x1p-18f));
    made->key = key;
    return ++made->tensors == made->stop_after ? 42 : 0;
}

static void what_synthetic_tensors_are_made_of_is_shown_tensor_by_tensor(void **state)
{
    struct model_config c;
    struct weights w;
    struct made all = {0}, some = {.stop_after = 3};

    (void)state;
    assert_int_equal(config_preset(&c, "tiny-gpt2", NULL), 0);
    assert_int_equal(weights_plan(&w, &c, DTYPE_BF16, NULL), 0);
    assert_int_equal(synthetic_visit(&w, &c, 1, note_tensor, &all), 0);
    assert_int_equal(all.tensors, 2 + c.layers * 12 + 2); /* the head is the embedding */
    assert_int_equal(synthetic_visit(&w, &c, 1, note_tensor, &some), 42);
    assert_int_equal(some.tensors, 3);
    weights_free(&w);
}

/* Mean near 0, deviation near `expected`, nothing beyond the triangle's ends. */
static void check_spread(const struct matrix *m, double expected)
{
    size_t n = (size_t)m->rows * (size_t)m->cols;
    const float *data = m->data;
    double sum = 0, square = 0, most = 0;

    for (size_t i = 0; i < n; i++) {
        sum += data[i];
        square += (double)data[i] * data[i];
        most = fmax(most, fabs(data[i]));
    }
    double limit = 5 * expected / sqrt((double)n);
    assert_true(fabs(sum / (double)n) < limit);
    assert_true(fabs(sqrt(square / (double)n) - expected) < limit);
    assert_true(most > 2 * expected && most <= sqrt(6.001) * expected);
}

static void synthetic_matrices_are_spread_by_their_width(void **state)
{
    struct model_config c;
    struct weights w;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_preset(&c, "tiny-llama", &e), 0);
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    synthetic_fill(&w, &c, 1);
    check_spread(&w.embed, 1 / sqrt(60));
    check_spread(&w.head, 1 / sqrt(60));
    for (int i = 0; i < c.layers; i++) {
        check_spread(&w.layers[i].qkv, 2 / sqrt(60));
        check_spread(&w.layers[i].out, 2 / sqrt(60) / sqrt(6));
        check_spread(&w.layers[i].up, 2 / sqrt(60));
        check_spread(&w.layers[i].down, 4 / sqrt(157) / sqrt(6));
        for (int j = 0; j < c.d_model; j++)
            assert_true(w.layers[i].norm2_w[j] >= 0.75f && w.layers[i].norm2_w[j] <= 1.25f);
    }
    assert_true(at(&w.embed, 0, 0) != at(&w.head, 0, 0) && at(&w.layers[0].qkv, 0, 0) != at(&w.layers[1].qkv, 0, 0));
    weights_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_preset_is_found_by_its_name),
        cmocka_unit_test(a_misspelt_preset_is_answered_with_the_nearest_name),
        cmocka_unit_test(a_path_that_is_not_there_is_no_preset),
        cmocka_unit_test(a_folder_is_a_hugging_face_model),
        cmocka_unit_test(the_name_of_a_folder_is_the_last_part_of_its_real_path),
        cmocka_unit_test_teardown(a_file_is_recognised_by_how_it_begins, empty_room),
        cmocka_unit_test_teardown(what_is_neither_a_file_nor_a_folder_is_not_waited_for, empty_room),
        cmocka_unit_test(shares_of_dtypes_are_told_largest_first),
        cmocka_unit_test(weights_of_a_saved_gpt2_land_transposed),
        cmocka_unit_test(weights_of_saved_llamas_land_stacked),
        cmocka_unit_test(synthetic_weights_have_the_same_bits_everywhere),
        cmocka_unit_test(synthetic_weights_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(synthetic_matrices_are_spread_by_their_width),
        cmocka_unit_test(what_synthetic_tensors_are_made_of_is_shown_tensor_by_tensor),
    };

    return cmocka_run_group_tests(tests, make_room, remove_room);
}
