/* SPDX-License-Identifier: MIT
 * Weights in memory, in every dtype and from every kind of source: each row is what encoding the float32 row gives, blocks that
 * are stored in the wanted dtype arrive bit for bit, what is beyond rows and columns is zero, and shapes that do not fit are
 * refused before memory is taken. */
#include "check.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "hf_room.h"

/* The last dtypes, in their order, that matrices can be held in, and that folders and no blocks have. */
static const enum dtype last_held = DTYPE_Q4_0, last_plain = DTYPE_BF16;

enum { SLOTS = 64, ROW_MOST = 544 };

/* Widths of two and three blocks; rows that no panel divides. */
static struct model_config fitting_llama(void)
{
    struct model_config c = preset("tiny-llama");

    c.layers = 2, c.d_model = 64, c.heads = 4, c.kv_heads = 2, c.head_dim = 24, c.d_ff = 96, c.vocab = 131;
    return c;
}

static struct model_config fitting_gpt2(void)
{
    struct model_config c = small_gpt2();

    c.d_ff = 96, c.vocab = 131;
    return c;
}

/* --- tensors one after another ------------------------------------------------------------------------------------------- */

struct listing {
    struct tensor_slot slot[SLOTS];
    int count;
};

static int keep_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct listing *l = ctx;

    (void)e;
    assert_true(l->count < SLOTS);
    l->slot[l->count++] = *slot;
    return 0;
}

static struct listing list(const struct weights *w, const struct model_config *c)
{
    struct listing l = {.count = 0};

    weights_visit(w, c, keep_slot, &l, NULL);
    return l;
}

static void assert_zero(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(((const char *)bytes)[i], 0);
}

static void assert_padded_with_zeros(const struct matrix *m)
{
    size_t used = dtype_bytes(m->dtype, (size_t)m->cols);
    int all = (m->rows + MATRIX_ROWS - 1) / MATRIX_ROWS * MATRIX_ROWS;

    for (int r = 0; r < m->rows; r++)
        assert_zero((char *)matrix_row(m, r) + used, m->row_bytes - used);
    assert_zero(matrix_row(m, m->rows), (size_t)(all - m->rows) * m->row_bytes);
}

static void assert_all_padded_with_zeros(const struct weights *w, const struct model_config *c)
{
    assert_padded_with_zeros(&w->embed);
    assert_padded_with_zeros(&w->head);
    assert_padded_with_zeros(&w->position);
    for (int i = 0; i < c->layers; i++) {
        assert_padded_with_zeros(&w->layers[i].qkv);
        assert_padded_with_zeros(&w->layers[i].out);
        assert_padded_with_zeros(&w->layers[i].up);
        assert_padded_with_zeros(&w->layers[i].down);
    }
}

/* One row of float32, stored, read again and held: rounded twice, or once where both are the same. */
static void assert_row(const struct matrix *held, int row, const float *value, enum dtype stored)
{
    char in_file[ROW_MOST * sizeof(float)], expected[ROW_MOST * sizeof(float)];
    float decoded[ROW_MOST];
    size_t n = (size_t)held->cols;

    dtype_encode(stored, in_file, value, n);
    dtype_decode(stored, decoded, in_file, n);
    dtype_encode(held->dtype, expected, decoded, n);
    assert_memory_equal(matrix_row(held, row), stored == held->dtype ? in_file : expected, dtype_bytes(held->dtype, n));
}

static void assert_held(const struct weights *w, const struct weights *from, const struct model_config *c, enum dtype dtype,
                        enum dtype stored, enum dtype stored_vectors)
{
    struct listing held = list(w, c), values = list(from, c);

    assert_int_equal(held.count, values.count);
    for (int i = 0; i < held.count; i++) {
        const struct matrix *m = &held.slot[i].to;
        bool vector = m->cols == 1, position = strcmp(held.slot[i].name, "wpe.weight") == 0;
        assert_int_equal(m->dtype, vector || position ? DTYPE_F32 : dtype);
        for (int r = 0; r < m->rows; r++)
            assert_row(m, r, matrix_row(&values.slot[i].to, r), vector ? stored_vectors : stored);
    }
    assert_all_padded_with_zeros(w, c);
}

static void load(const struct room *r, enum dtype dtype, struct weights *w)
{
    struct source *s = opened(r);
    struct err e = {0};

    assert_int_equal(weights_alloc(w, &s->config, dtype, &e), 0);
    assert_int_equal(s->ops->read(s, w, &e), 0);
    source_close(s);
}

/* --- from presets, folders and GGUF files -------------------------------------------------------------------------------- */

static void seeded_weights_are_the_roundings_of_their_float32_values(void **state)
{
    struct model_config configs[] = {fitting_llama(), fitting_gpt2()};
    struct err e = {0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct weights from, w;
        build(&from, &configs[i]);
        for (enum dtype d = 0; d <= last_held; d++) {
            assert_int_equal(weights_alloc(&w, &configs[i], d, &e), 0);
            synthetic_fill(&w, &configs[i], 5);
            assert_held(&w, &from, &configs[i], d, DTYPE_F32, DTYPE_F32);
            weights_free(&w);
        }
        weights_free(&from);
    }
}

static void folder_is_held(const struct room *r, struct model_config c, enum dtype last)
{
    struct weights from, w;

    build(&from, &c);
    for (enum dtype stored = 0; stored <= last_plain; stored++) {
        written(r, &c, &from, NULL, stored);
        for (enum dtype d = 0; d <= last; d++) {
            load(r, d, &w);
            assert_held(&w, &from, &c, d, stored, stored);
            weights_free(&w);
        }
    }
    weights_free(&from);
}

static void every_dtype_of_a_folder_is_held_in_every_dtype(void **state)
{
    folder_is_held(*state, fitting_llama(), last_held);
    folder_is_held(*state, fitting_gpt2(), last_held);
}

/* 157 elements take 314 bytes in a file and 316 in memory. */
static void rows_of_any_width_are_held_where_there_are_no_blocks(void **state)
{
    folder_is_held(*state, preset("tiny-llama"), last_plain);
}

static void every_dtype_of_a_gguf_file_is_held_in_every_dtype(void **state)
{
    const struct room *r = *state;
    struct model_config configs[] = {fitting_llama(), fitting_gpt2()};
    struct err e = {0};

    for (int i = 0; i < 2; i++) {
        struct weights from, w;
        build(&from, &configs[i]);
        for (enum dtype stored = 0; stored <= last_held; stored++) {
            assert_int_equal(gguf_write(r->dir, &configs[i], &from, NULL, stored, &e), 0);
            for (enum dtype d = 0; d <= last_held; d++) {
                load(r, d, &w);
                assert_held(&w, &from, &configs[i], d, stored, DTYPE_F32);
                weights_free(&w);
            }
        }
        weights_free(&from);
    }
}

/* Large enough for several bands, threads and pieces, with a remainder everywhere. */
static void large_tensors_are_converted_whole(void **state)
{
    struct model_config c = fitting_gpt2();
    struct weights from, w;

    c.layers = 1, c.vocab = 9001, c.heads = c.kv_heads = 3, c.head_dim = 32, c.d_model = 96, c.d_ff = 544;
    build(&from, &c);
    written(*state, &c, &from, NULL, DTYPE_BF16);
    for (int threads = 1; threads <= 3; threads += 2) {
        omp_set_num_threads(threads);
        load(*state, DTYPE_Q8_0, &w);
        assert_held(&w, &from, &c, DTYPE_Q8_0, DTYPE_BF16, DTYPE_BF16);
        weights_free(&w);
    }
    omp_set_num_threads(1);
    weights_free(&from);
}

/* --- bit for bit --------------------------------------------------------------------------------------------------------- */

/* Every byte of the file from `at` on becomes another; every pattern is a value, and few of those that quantisers would choose.
 */
static void scramble(char *bytes, size_t n)
{
    uint64_t x = 88172645463325252u;

    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bytes[i] = (char)(x >> 32);
    }
}

static void blocks_of_a_gguf_file_are_copied_bit_for_bit_also_where_its_rows_change_places(void **state)
{
    const struct room *r = *state;
    struct model_config c = fitting_llama();
    struct weights from, w;
    struct err e = {0};
    struct gguf g;

    build(&from, &c);
    for (enum dtype d = 0; d <= last_held; d++) {
        assert_int_equal(gguf_write(r->dir, &c, &from, NULL, d, &e), 0);
        assert_int_equal(gguf_open(&g, r->dir, &e), 0);
        struct text file = {0};
        assert_int_equal(text_read_file(&file, r->dir, 1 << 20, &e), 0);
        for (size_t i = 0; i < g.tensor_count; i++)
            scramble(file.data + g.tensors[i].at, g.tensors[i].bytes);
        gguf_close(&g);
        assert_int_equal(text_write_file(r->dir, file.data, file.len, &e), 0);
        assert_int_equal(gguf_open(&g, r->dir, &e), 0);
        load(r, d, &w);
        struct listing l = list(&w, &c);
        for (int i = 0; i < l.count; i++) {
            char name[GGUF_NAME_MAX + 1];
            gguf_tensor_name(name, l.slot[i].name);
            const struct gguf_tensor *t = gguf_find_tensor(&g, name);
            size_t line = dtype_bytes(t->dtype, (size_t)l.slot[i].to.cols);
            bool permuted = gguf_is_permuted(&c, l.slot[i].name);
            for (int stored = 0; stored < l.slot[i].to.rows; stored++)
                assert_memory_equal(matrix_row(&l.slot[i].to, permuted ? gguf_row(&c, stored) : stored),
                                    g.map + t->at + (size_t)stored * line, line);
        }
        weights_free(&w);
        gguf_close(&g);
        text_free(&file);
    }
    weights_free(&from);
}

/* GPT-2's matrices lie the other way round there. */
static void elements_of_a_folder_are_copied_bit_for_bit_also_where_they_are_transposed(void **state)
{
    const struct room *r = *state;
    struct model_config c = fitting_gpt2();
    struct weights from, w;
    struct err e = {0};
    struct safetensors s;
    char path[400];

    build(&from, &c);
    snprintf(path, sizeof path, "%s/model.safetensors", r->dir);
    for (enum dtype d = 0; d <= last_plain; d++) {
        size_t size = dtype_bytes(d, 1);
        written(r, &c, &from, NULL, d);
        assert_int_equal(safetensors_open(&s, path, &e), 0);
        struct text file = content_of(r, "model.safetensors");
        scramble(file.data + s.data_start, file.len - s.data_start);
        assert_int_equal(text_write_file(path, file.data, file.len, &e), 0);
        load(r, d, &w);
        struct listing l = list(&w, &c);
        for (size_t i = 0; i < s.count; i++) {
            const struct tensor_slot *slot = l.slot;
            while (strcmp(slot->name, s.tensors[i].name + strlen("transformer.")) != 0)
                slot++;
            int rows = slot->to.rows, cols = slot->to.cols;
            for (int at = 0; at < rows * cols && slot->to.dtype == d; at++) {
                int row = slot->transposed ? at % rows : at / cols, col = slot->transposed ? at / rows : at % cols;
                assert_memory_equal((char *)matrix_row(&slot->to, row) + (size_t)col * size,
                                    file.data + s.data_start + s.tensors[i].begin + (size_t)at * size, size);
            }
        }
        safetensors_close(&s);
        text_free(&file);
        weights_free(&w);
    }
    weights_free(&from);
}

static void a_row_is_filled_from_bytes_of_any_alignment(void **state)
{
    float out[32], row[32];
    char bytes[1 + 32 * sizeof(float)];
    struct matrix m = {.data = out, .dtype = DTYPE_F32, .rows = 1, .cols = 32, .row_bytes = sizeof out};

    (void)state;
    for (int i = 0; i < 32; i++)
        row[i] = (float)i;
    for (enum dtype d = 0; d <= last_plain; d++) {
        dtype_encode(d, bytes + 1, row, 32);
        matrix_put_row(&m, 0, d, bytes + 1);
        assert_memory_equal(out, row, sizeof row);
    }
}

/* --- sizes ---------------------------------------------------------------------------------------------------------------- */

/* 42,467,328 elements in the layers' matrices and 38,597,376 in the embedding; 786,432 of positions and 61,440 of vectors stay
 * float32. */
static void bytes_of_the_parameters_follow_the_dtype(void **state)
{
    enum { MATRICES = 42467328 + 38597376, REST = 4 * (786432 + 61440) };
    struct model_config c = preset("distilgpt2");

    (void)state;
    assert_int_equal(weights_bytes(&c, DTYPE_F32), 4 * config_parameters(&c));
    assert_int_equal(weights_bytes(&c, DTYPE_F32), 4 * (uint64_t)MATRICES + REST);
    assert_int_equal(weights_bytes(&c, DTYPE_F16), 2 * MATRICES + REST);
    assert_int_equal(weights_bytes(&c, DTYPE_BF16), 2 * MATRICES + REST);
    assert_int_equal(weights_bytes(&c, DTYPE_Q8_0), MATRICES / 32 * 34 + REST);
    assert_int_equal(weights_bytes(&c, DTYPE_Q4_0), MATRICES / 32 * 18 + REST);
    c = preset("tinyllama-1.1b"); /* nothing but 22 x 4 x 2048 + 2048 norms stays, and there is a head */
    assert_int_equal(weights_bytes(&c, DTYPE_BF16), 2 * config_parameters(&c) + 2 * (22 * 2 * 2048 + 2048));
}

static void rows_are_padded_to_four_bytes_and_matrices_to_whole_panels(void **state)
{
    struct model_config c = preset("tiny-llama");
    struct weights w;
    struct err e = {0};

    (void)state;
    assert_int_equal(matrix_row_bytes(DTYPE_F32, 157), 4 * 157);
    assert_int_equal(matrix_row_bytes(DTYPE_BF16, 157), 2 * 158);
    assert_int_equal(matrix_row_bytes(DTYPE_Q8_0, 96), 104); /* 3 x 34, and 2 */
    assert_int_equal(matrix_row_bytes(DTYPE_Q4_0, 64), 2 * 18);
    assert_int_equal(weights_alloc(&w, &c, DTYPE_BF16, &e), 0);
    synthetic_fill(&w, &c, 5);
    assert_int_equal(w.layers[0].down.row_bytes, 2 * 158);
    assert_int_equal(w.layers[0].norm2_w - (float *)w.layers[0].out.data, 64 * 60 * 2 / 4); /* 60 rows lie in 64 */
    assert_all_padded_with_zeros(&w, &c);
    weights_free(&w);
}

static int keep_offset(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    (void)e;
    *(*(char ***)ctx)++ = slot->to.data;
    return 0;
}

static void weights_move_into_memory_of_somebody_else_in_the_same_layout(void **state)
{
    struct model_config c = fitting_llama();
    char *from[SLOTS], *to[SLOTS], **at = from, *elsewhere;
    struct weights w;
    struct err e = {0};

    (void)state;
    assert_int_equal(weights_alloc(&w, &c, DTYPE_BF16, &e), 0);
    char *pages = w.pages;
    size_t bytes = w.bytes;
    weights_visit(&w, &c, keep_offset, &at, NULL);
    elsewhere = malloc(bytes);
    w.rope_factors = malloc(sizeof *w.rope_factors);
    float *factors = w.rope_factors;
    weights_place(&w, &c, DTYPE_BF16, elsewhere);
    assert_null(w.pages); /* given back */
    assert_int_equal(w.bytes, bytes);
    assert_ptr_equal(w.rope_factors, factors);
    at = to;
    weights_visit(&w, &c, keep_offset, &at, NULL);
    for (int i = 0; i < at - to; i++)
        assert_int_equal(to[i] - elsewhere, from[i] - pages);
    weights_free(&w); /* leaves what is somebody else's */
    memset(elsewhere, 0, bytes);
    free(elsewhere);
}

static size_t count_present(const struct weights *w, const struct matrix *m, size_t page, size_t *pages)
{
    char *mapping = w->pages, *first = m->data, *last = (char *)matrix_row(m, m->rows) - 1;
    size_t from = (size_t)(first - mapping) / page, to = (size_t)(last - mapping) / page + 1, present = 0;
    unsigned char *seen = malloc(to - from);

    assert_int_equal(mincore(mapping + from * page, (to - from) * page, seen), 0);
    for (size_t i = 0; i < to - from; i++)
        present += seen[i] & 1;
    free(seen);
    *pages += to - from;
    return present;
}

static void every_page_of_every_matrix_is_there_before_anything_is_read(void **state)
{
    struct model_config c = preset("tiny-llama");
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages, present;
    struct weights w;
    struct err e = {0};

    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
        pages = 0;
        present = count_present(&w, &w.embed, page, &pages) + count_present(&w, &w.head, page, &pages);
        for (int i = 0; i < c.layers; i++)
            present += count_present(&w, &w.layers[i].qkv, page, &pages) + count_present(&w, &w.layers[i].out, page, &pages) +
                       count_present(&w, &w.layers[i].up, page, &pages) + count_present(&w, &w.layers[i].down, page, &pages);
        assert_int_equal(present, pages);
        weights_free(&w);
    }
    omp_set_num_threads(1);
}

/* --- refused ------------------------------------------------------------------------------------------------------------- */

static void refused(const struct model_config *c, enum dtype d, const char *sentence)
{
    struct weights w = {.bytes = 1};
    struct err e = {0};

    assert_int_equal(weights_plan(&w, c, d, &e), ERR_USAGE);
    assert_string_equal(e.text, sentence);
    assert_int_equal(weights_alloc(&w, c, d, &e), ERR_USAGE); /* where even a fraction of the memory could not be had */
    assert_string_equal(e.text, sentence);
    assert_null(w.pages);
    weights_free(&w); /* harmless */
}

static void rows_that_are_no_whole_blocks_are_refused_before_memory_is_taken(void **state)
{
    struct model_config c = preset("tiny-llama");

    (void)state;
    c.layers = 1024, c.vocab = 1 << 24, c.context = 1 << 24;
    refused(&c, DTYPE_Q8_0,
            "dtype q8_0: the rows of embedding, qkv and up have 60 elements, no whole blocks of 32; use f16 or bf16");
    c.d_model = 65536;
    refused(&c, DTYPE_Q4_0,
            "dtype q4_0: the rows of attention output have 60 elements, no whole blocks of 32; use f16 or bf16");
    c.heads = c.kv_heads = 1024, c.head_dim = 1024, c.d_ff = (1 << 20) - 1;
    refused(&c, DTYPE_Q8_0, "dtype q8_0: the rows of down have 1048575 elements, no whole blocks of 32; use f16 or bf16");
}

static void dtypes_that_cannot_be_held_are_refused(void **state)
{
    struct model_config c = fitting_llama();

    (void)state;
    c.d_model = c.d_ff = 256, c.head_dim = 64;
    refused(&c, DTYPE_Q4_K, "dtype q4_k: weights can be held as f32, f16, bf16, q8_0 or q4_0");
    refused(&c, DTYPE_COUNT, "dtype unknown: weights can be held as f32, f16, bf16, q8_0 or q4_0");
}

static void only_float32_weights_are_written(void **state)
{
    const struct room *r = *state;
    struct model_config c = fitting_llama();
    struct weights w;
    struct err e = {0};
    char expected[400];

    assert_int_equal(weights_alloc(&w, &c, DTYPE_BF16, &e), 0);
    snprintf(expected, sizeof expected, "%s: weights held as bfloat16 cannot be written; open the model with dtype f32",
             r->dir);
    assert_int_equal(hf_write(r->dir, &c, &w, NULL, DTYPE_F32, &e), ERR_USAGE);
    assert_string_equal(e.text, expected);
    assert_int_equal(gguf_write(r->dir, &c, &w, NULL, DTYPE_F32, &e), ERR_USAGE);
    assert_string_equal(e.text, expected);
    assert_true(access(r->dir, F_OK) < 0);
    weights_free(&w);
}

/* A folder or a GGUF file. */
static int remove_model(void **state)
{
    unlink(((struct room *)*state)->dir);
    return empty_room(state);
}

static int start(void **state)
{
    omp_set_num_threads(1); /* the models are tiny */
    return make_room(state);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, remove_model)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(seeded_weights_are_the_roundings_of_their_float32_values),
        in_a_room(every_dtype_of_a_folder_is_held_in_every_dtype),
        in_a_room(rows_of_any_width_are_held_where_there_are_no_blocks),
        in_a_room(every_dtype_of_a_gguf_file_is_held_in_every_dtype),
        in_a_room(large_tensors_are_converted_whole),
        in_a_room(blocks_of_a_gguf_file_are_copied_bit_for_bit_also_where_its_rows_change_places),
        in_a_room(elements_of_a_folder_are_copied_bit_for_bit_also_where_they_are_transposed),
        in_a_room(a_row_is_filled_from_bytes_of_any_alignment),
        in_a_room(bytes_of_the_parameters_follow_the_dtype),
        in_a_room(rows_are_padded_to_four_bytes_and_matrices_to_whole_panels),
        in_a_room(weights_move_into_memory_of_somebody_else_in_the_same_layout),
        in_a_room(every_page_of_every_matrix_is_there_before_anything_is_read),
        in_a_room(rows_that_are_no_whole_blocks_are_refused_before_memory_is_taken),
        in_a_room(dtypes_that_cannot_be_held_are_refused),
        in_a_room(only_float32_weights_are_written),
    };

    return cmocka_run_group_tests(tests, start, remove_room);
}
