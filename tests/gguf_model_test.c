/* SPDX-License-Identifier: MIT
 * Models as GGUF: what is written is read back, in float32 bit for bit and else after one rounding, and rows lie where
 * llama.cpp expects them. What cannot be written is refused, and leaves nothing behind. */
#include "check.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "gguf_room.h"
#include "rope.h"

/* --- there and back ------------------------------------------------------------------------------------------------------ */

enum { VARIANTS = 11 };

static struct model_config variant(int i)
{
    struct model_config c = i < 2 ? room_gpt2 : room_llama;

    if (i == 1)
        c.tied_head = false;
    if (i == 3)
        c.qkv_bias = c.out_bias = c.mlp_bias = true;
    if (i == 4)
        c.tied_head = true;
    if (i == 5)
        c.rope = (struct rope_scaling){.kind = ROPE_LINEAR, .factor = 2.5};
    if (i == 6)
        c.window = 3;
    if (i == 7)
        c.d_model = 10; /* is not heads x head_dim */
    if (i == 8)
        c.head_dim = 6, c.heads = 6, c.kv_heads = 3, c.rope_theta = 5e5;
    if (i == 9)
        c.bos = -1, c.eos_count = 0, c.eos[0] = 0, c.qkv_bias = true;
    if (i == 10) {
        snprintf(c.arch, sizeof c.arch, "qwen2");
        c.qkv_bias = c.tied_head = true;
    }
    return c;
}

static uint64_t all_elements(const struct source *s)
{
    uint64_t n = 0;

    for (int d = 0; d < DTYPE_COUNT; d++)
        n += s->elements[d];
    return n;
}

static void there_and_back(const struct room *r, const struct model_config *c)
{
    struct weights w = room_weights(c), back;
    struct err e = {0};

    assert_int_equal(gguf_write(r->path, c, &w, NULL, DTYPE_F32, &e), 0);
    struct source *s = room_open(r);
    room_same_config(&s->config, c);
    assert_int_equal(s->elements[DTYPE_F32], config_parameters(c));
    assert_int_equal(s->bytes, 4 * config_parameters(c));
    assert_int_equal(weights_alloc(&back, &s->config, DTYPE_F32, &e), 0);
    assert_int_equal(source_gguf.read(s, &back, &e), 0);
    assert_int_equal(back.bytes, w.bytes);
    assert_memory_equal(back.pages, w.pages, w.bytes);
    source_gguf.close(s);
    weights_free(&back);
    weights_free(&w);
}

static void float32_is_read_back_bit_for_bit(void **state)
{
    for (int i = 0; i < VARIANTS; i++) {
        struct model_config c = variant(i);
        there_and_back(*state, &c);
    }
}

static void large_tensors_are_shared_among_threads(void **state)
{
    struct model_config c = room_llama;

    c.vocab = 700, c.d_model = 64, c.heads = 12, c.kv_heads = 6, c.head_dim = 32, c.context = 100;
    omp_set_num_threads(2);
    there_and_back(*state, &c);
    omp_set_num_threads(1);
}

static void a_source_says_what_it_is(void **state)
{
    const struct room *r = *state;

    room_write(r, &room_llama, DTYPE_F32);
    struct source *s = room_open(r);
    assert_string_equal(s->ops->name, "GGUF");
    assert_string_equal(s->about, r->path);
    assert_string_equal(s->config.name, "a model");
    assert_string_equal(source_gguf.file(s, 0), r->path);
    assert_null(source_gguf.file(s, 1));
    source_gguf.close(s);
}

/* --- smaller types ------------------------------------------------------------------------------------------------------- */

struct rounding {
    enum dtype d;
    const char *read; /* where the first model's weights begin, and the second's */
    const char *written;
    uint64_t elements[DTYPE_COUNT];
};

static int compare_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct rounding *t = ctx;
    const float *back = (const float *)(t->read + ((const char *)slot->to.data - t->written));
    size_t cols = (size_t)slot->to.cols, rows = (size_t)slot->to.rows;
    enum dtype d = cols == 1 ? DTYPE_F32 : cols % (size_t)dtype_block(t->d) ? DTYPE_F16 : t->d;
    uint8_t stored[512];
    float row[128];

    (void)e;
    for (size_t i = 0; i < rows; i++) {
        dtype_encode(d, stored, matrix_row(&slot->to, (int)i), cols);
        dtype_decode(d, row, stored, cols);
        assert_memory_equal(back + i * cols, row, cols * sizeof *row);
    }
    t->elements[d] += rows * cols;
    return 0;
}

/* d_ff is wide enough for blocks, but no multiple of them: those rows become F16, as in llama.cpp. */
static void smaller_types_are_read_back_after_one_rounding(void **state)
{
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
    const struct room *r = *state;
    struct model_config c = room_llama;

    c.d_model = 64, c.head_dim = 32, c.d_ff = 100, c.qkv_bias = true;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct weights w = room_weights(&c), back;
        struct err e = {0};
        assert_int_equal(gguf_write(r->path, &c, &w, NULL, types[i], &e), 0);
        struct source *s = room_open(r);
        assert_int_equal(weights_alloc(&back, &s->config, DTYPE_F32, &e), 0);
        assert_int_equal(source_gguf.read(s, &back, &e), 0);
        struct rounding t = {.d = types[i], .read = back.pages, .written = w.pages};
        assert_int_equal(weights_visit(&w, &c, compare_slot, &t, &e), 0);
        assert_memory_equal(s->elements, t.elements, sizeof t.elements);
        assert_int_equal(all_elements(s), config_parameters(&c));
        source_gguf.close(s);
        weights_free(&back);
        weights_free(&w);
    }
}

struct named {
    const char *name;
    const float *data;
};

static int find_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct named *n = ctx;

    (void)e;
    if (strcmp(slot->name, n->name) == 0)
        n->data = slot->to.data;
    return 0;
}

/* 256 elements take 144 bytes in Q4_0 and in Q4_K, and every bit pattern is a value: the bytes of one read as the other. */
static void a_k_quant_is_read_block_by_block(void **state)
{
    enum { Q4_K_IN_FILE = 12, COLS = 512, ROWS = 6 };
    const struct room *r = *state;
    struct model_config c = room_llama;
    struct named gate = {.name = "layers.0.mlp.gate_proj.weight"};
    struct weights back;
    struct err e = {0};
    struct gguf g;
    float row[COLS];

    c.d_model = COLS, c.tied_head = true;
    room_write(r, &c, DTYPE_Q4_0);
    struct text file = room_load(r);
    file.data[room_behind(&file, "blk.0.ffn_gate.weight") + 20] = Q4_K_IN_FILE;
    room_save(r, &file);
    assert_int_equal(gguf_open(&g, r->path, &e), 0);
    const uint8_t *stored = g.map + gguf_find_tensor(&g, "blk.0.ffn_gate.weight")->at;

    struct source *s = room_open(r);
    assert_int_equal(s->elements[DTYPE_Q4_K], ROWS * COLS);
    assert_int_equal(weights_alloc(&back, &s->config, DTYPE_F32, &e), 0);
    assert_int_equal(source_gguf.read(s, &back, &e), 0);
    assert_int_equal(weights_visit(&back, &s->config, find_slot, &gate, &e), 0);
    for (size_t i = 0; i < ROWS; i++) {
        dtype_decode(DTYPE_Q4_K, row, stored + i * dtype_bytes(DTYPE_Q4_K, COLS), COLS);
        assert_memory_equal(gate.data + i * COLS, row, sizeof row);
    }
    source_gguf.close(s);
    gguf_close(&g);
    weights_free(&back);
    text_free(&file);
}

/* No writer does this; a reader that takes a row of such a vector would take nothing. */
static void a_vector_in_blocks_is_refused(void **state)
{
    const struct room *r = *state;
    struct model_config c = room_llama;

    c.d_model = 32, c.tied_head = true;
    room_write(r, &c, DTYPE_Q8_0);
    struct text file = room_load(r);
    file.data[room_behind(&file, "output_norm.weight") + 12] = 8;
    room_save(r, &file);
    text_free(&file);
    room_refuses(r, ERR_FORMAT,
                 "tensor 'output_norm.weight': a vector of type Q8_0 is not supported; expected F32, F16 or BF16");
}

/* --- where rows lie ------------------------------------------------------------------------------------------------------ */

static void assert_stored_row(const struct gguf *g, const char *name, int stored, const float *row, int cols)
{
    const struct gguf_tensor *t = gguf_find_tensor(g, name);

    assert_non_null(t);
    assert_memory_equal(g->map + t->at + (size_t)(stored * cols) * sizeof *row, row, (size_t)cols * sizeof *row);
}

/* Heads of 6: 0 1 2 are turned with 3 4 5, and lie as 0 3, 1 4, 2 5. */
static void llama_keeps_the_two_rows_that_are_turned_together_side_by_side(void **state)
{
    static const int order[] = {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11};
    const struct room *r = *state;
    struct model_config c = room_llama;
    struct gguf g;
    struct err e = {0};

    c.head_dim = 6, c.kv_heads = 2, c.qkv_bias = true;
    struct weights w = room_weights(&c);
    assert_int_equal(gguf_write(r->path, &c, &w, NULL, DTYPE_F32, &e), 0);
    assert_int_equal(gguf_open(&g, r->path, &e), 0);
    const struct layer_weights *l = &w.layers[1];
    for (int i = 0; i < 12; i++) {
        assert_stored_row(&g, "blk.1.attn_q.weight", i, matrix_row(&l->qkv, order[i]), 8);
        assert_stored_row(&g, "blk.1.attn_k.weight", i, matrix_row(&l->qkv, 12 + order[i]), 8);
        assert_stored_row(&g, "blk.1.attn_v.weight", i, matrix_row(&l->qkv, 24 + i), 8);
        assert_stored_row(&g, "blk.1.attn_q.bias", i, l->qkv_b + order[i], 1);
        assert_stored_row(&g, "blk.1.attn_k.bias", i, l->qkv_b + 12 + order[i], 1);
        assert_stored_row(&g, "blk.1.attn_v.bias", i, l->qkv_b + 24 + i, 1);
    }
    gguf_close(&g);
    weights_free(&w);
}

static void qwen2_and_gpt2_keep_rows_as_they_are(void **state)
{
    const struct room *r = *state;
    struct model_config qwen2 = variant(10);
    struct gguf g;
    struct err e = {0};

    for (int gpt2 = 0; gpt2 < 2; gpt2++) {
        const struct model_config *c = gpt2 ? &room_gpt2 : &qwen2;
        struct weights w = room_weights(c);
        assert_int_equal(gguf_write(r->path, c, &w, NULL, DTYPE_F32, &e), 0);
        assert_int_equal(gguf_open(&g, r->path, &e), 0);
        for (int i = 0; i < 8; i++)
            assert_stored_row(&g, gpt2 ? "blk.1.attn_qkv.weight" : "blk.1.attn_q.weight", i, matrix_row(&w.layers[1].qkv, i),
                              c->d_model);
        gguf_close(&g);
        weights_free(&w);
    }
}

/* --- rope ---------------------------------------------------------------------------------------------------------------- */

static struct model_config llama3(void)
{
    struct model_config c = room_llama;

    c.head_dim = 16, c.context = 64;
    c.rope = (struct rope_scaling){
        .kind = ROPE_LLAMA3, .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 32};
    return c;
}

static void llama3_scaling_becomes_divisors_that_survive_being_written_again(void **state)
{
    const struct room *r = *state;
    struct model_config c = llama3();
    struct weights w = room_weights(&c), back;
    struct err e = {0};
    float expected[8];

    rope_llama3_factors(expected, &c);
    assert_true(expected[0] == 1 && expected[7] == 8);
    assert_int_equal(gguf_write(r->path, &c, &w, NULL, DTYPE_F16, &e), 0);
    for (int again = 0; again < 2; again++) {
        struct source *s = room_open(r);
        assert_int_equal(s->config.rope.kind, ROPE_PLAIN);
        assert_memory_equal(s->rope_factors, expected, sizeof expected);
        assert_int_equal(all_elements(s), config_parameters(&c));
        assert_int_equal(weights_alloc(&back, &s->config, DTYPE_F32, &e), 0);
        assert_int_equal(source_gguf.read(s, &back, &e), 0);
        back.rope_factors = s->rope_factors;
        s->rope_factors = NULL;
        assert_int_equal(gguf_write(r->path, &s->config, &back, NULL, DTYPE_F16, &e), 0);
        source_gguf.close(s);
        weights_free(&back);
    }
    weights_free(&w);
}

static void divisors_that_are_no_divisors_are_refused(void **state)
{
    static const struct {
        float value;
        const char *sentence;
    } cases[] = {
        {0, "tensor 'rope_freqs.weight': element 2 is 0; expected a positive number"},
        {-1, "tensor 'rope_freqs.weight': element 2 is -1; expected a positive number"},
        {INFINITY, "tensor 'rope_freqs.weight': element 2 is inf; expected a positive number"},
    };
    const struct room *r = *state;
    struct model_config c = llama3();
    struct gguf g;
    struct err e = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room_write(r, &c, DTYPE_F32);
        assert_int_equal(gguf_open(&g, r->path, &e), 0);
        size_t at = gguf_find_tensor(&g, "rope_freqs.weight")->at + 2 * sizeof(float);
        gguf_close(&g);
        struct text file = room_load(r);
        memcpy(file.data + at, &cases[i].value, sizeof(float));
        room_save(r, &file);
        text_free(&file);
        room_refuses(r, ERR_FORMAT, cases[i].sentence);
    }
}

/* --- the tokenizer ------------------------------------------------------------------------------------------------------- */

/* All bytes in GPT-2's spelling, "ab", and a token that is found in text. */
static struct tokenizer *small_tokenizer(void)
{
    static const char merge[] = "a b", *const more[] = {"ab", "<|end|>"};
    static struct token_bytes tokens[258];
    static char spelled[256][3];
    static int32_t types[258];
    const struct token_bytes merges[] = {{merge, 3}};
    struct tokenizer *t = NULL;
    struct err e = {0};
    int moved = 256;

    for (int b = 0; b < 256; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        int code = printable ? b : moved++;
        if (code < 0x80)
            snprintf(spelled[b], sizeof spelled[b], "%c", code);
        else
            snprintf(spelled[b], sizeof spelled[b], "%c%c", 0xc0 | code >> 6, 0x80 | (code & 63));
        tokens[b] = (struct token_bytes){spelled[b], strlen(spelled[b])};
        types[b] = TOKEN_NORMAL;
    }
    for (int i = 0; i < 2; i++)
        tokens[256 + i] = (struct token_bytes){more[i], strlen(more[i])};
    types[256] = TOKEN_NORMAL;
    types[257] = TOKEN_CONTROL;
    const struct token_list l = {.model = "gpt2",
                                 .count = 258,
                                 .token = tokens,
                                 .type = types,
                                 .merge_count = 1,
                                 .merge = merges,
                                 .bos = 257,
                                 .eos = 257,
                                 .unknown = -1,
                                 .add_bos = 1,
                                 .add_eos = -1,
                                 .add_space_prefix = -1};
    if (tokenizer_open_list(&t, &l, &e) < 0)
        fail_msg("%s", e.text);
    return t;
}

/* The model has 300 rows; 42 of them belong to no token. */
static void a_tokenizer_is_written_with_the_model(void **state)
{
    static const char text[] = "cab<|end|>\xff";
    static const int32_t expected[] = {257, 'c', 256, 257, 0xff};
    const struct room *r = *state;
    struct model_config c = room_llama;
    struct tokenizer *t = small_tokenizer(), *back = NULL;
    struct err e = {0};
    int32_t *ids = NULL;
    size_t n = 0;

    c.vocab = 300;
    struct weights w = room_weights(&c);
    assert_int_equal(gguf_write(r->path, &c, &w, t, DTYPE_F32, &e), 0);
    struct source *s = room_open(r);
    assert_int_equal(s->config.bos, 257);
    if (source_gguf.tokenizer(s, &back, &e) < 0)
        fail_msg("%s", e.text);
    source_gguf.close(s);
    assert_int_equal(tokenizer_encode_prompt(back, text, strlen(text), &ids, &n, &e), 0);
    assert_int_equal(n, 5);
    assert_memory_equal(ids, expected, sizeof expected);
    free(ids);
    tokenizer_close(back);

    c.vocab = 257;
    assert_int_equal(gguf_write(r->path, &c, &w, t, DTYPE_F32, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "a model.gguf: the tokenizer has 258 tokens, the model's vocabulary 257"));
    tokenizer_close(t);
    weights_free(&w);
}

/* --- writing ------------------------------------------------------------------------------------------------------------- */

static void what_gguf_cannot_hold_is_refused(void **state)
{
    const struct room *r = *state;
    struct {
        struct model_config c;
        enum dtype d;
        const char *sentence;
    } cases[] = {
        {room_llama, DTYPE_Q6_K, "Q6_K cannot be written; expected F32, F16, BF16, Q8_0 or Q4_0"},
        {room_llama, DTYPE_F32,
         "GGUF cannot hold this model: its architectures have no such mixture of positions, norm and MLP"},
        {room_gpt2, DTYPE_F32, "GGUF cannot hold this model: its gpt2 architecture has all biases"},
        {room_llama, DTYPE_F32, "GGUF cannot hold this model: a sliding window is on all layers or on none"},
        {room_gpt2, DTYPE_F32, "GGUF cannot hold this model: it has places for three end-of-text ids"},
        {variant(10), DTYPE_F32, "GGUF cannot hold this model: its qwen2 architecture has no llama3 rope scaling"},
    };

    cases[1].c.norm = NORM_LAYER;
    cases[2].c.out_bias = false;
    cases[3].c.window = 2, cases[3].c.window_first = 1;
    cases[4].c.eos_count = 4;
    cases[5].c.rope = llama3().rope;
    cases[5].c.context = 64;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct weights w = room_weights(&cases[i].c);
        struct err e = {0};
        char expected[400];
        assert_int_equal(gguf_write(r->path, &cases[i].c, &w, NULL, cases[i].d, &e), ERR_USAGE);
        snprintf(expected, sizeof expected, "%s: %s", r->path, cases[i].sentence);
        assert_string_equal(e.text, expected);
        weights_free(&w);
    }
}

static int files_in(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

/* A limit on the size of files stands for a disk that is full. */
static void a_full_disk_is_one_sentence_and_the_old_file_stays(void **state)
{
    const struct room *r = *state;
    struct weights w = room_weights(&room_gpt2);
    struct rlimit before, small;
    struct err e = {0};
    char expected[400];

    room_write(r, &room_llama, DTYPE_F32);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 3000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int code = gguf_write(r->path, &room_gpt2, &w, NULL, DTYPE_F32, &e);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(code, ERR_IO);
    snprintf(expected, sizeof expected, "%s: cannot write: File too large", r->path);
    assert_string_equal(e.text, expected);
    assert_int_equal(files_in(r->dir), 1);
    struct source *s = room_open(r);
    assert_string_equal(s->config.arch, "llama");
    source_gguf.close(s);
    weights_free(&w);

    w = room_weights(&room_gpt2);
    assert_int_equal(gguf_write("/nowhere/at/all.gguf", &room_gpt2, &w, NULL, DTYPE_F32, &e), ERR_IO);
    assert_string_equal(e.text, "/nowhere/at/all.gguf: cannot write: No such file or directory");
    weights_free(&w);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, room_empty)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(float32_is_read_back_bit_for_bit),
        in_a_room(large_tensors_are_shared_among_threads),
        in_a_room(a_source_says_what_it_is),
        in_a_room(smaller_types_are_read_back_after_one_rounding),
        in_a_room(a_k_quant_is_read_block_by_block),
        in_a_room(a_vector_in_blocks_is_refused),
        in_a_room(llama_keeps_the_two_rows_that_are_turned_together_side_by_side),
        in_a_room(qwen2_and_gpt2_keep_rows_as_they_are),
        in_a_room(llama3_scaling_becomes_divisors_that_survive_being_written_again),
        in_a_room(divisors_that_are_no_divisors_are_refused),
        in_a_room(a_tokenizer_is_written_with_the_model),
        in_a_room(what_gguf_cannot_hold_is_refused),
        in_a_room(a_full_disk_is_one_sentence_and_the_old_file_stays),
    };

    return cmocka_run_group_tests(tests, room_make, room_remove);
}
