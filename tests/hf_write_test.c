/* SPDX-License-Identifier: MIT
 * A model written as a Hugging Face folder and read back: the same config, the same weights; files laid out as
 * transformers lays them out; and what such files cannot say refused before one is written. The tokenizer's files are in
 * hf_write_tokenizer_test.c. */
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hf_room.h"

/* --- what comes back ----------------------------------------------------------------------------------------------------- */

static void assert_same_config(const struct model_config *a, const struct model_config *b)
{
    assert_string_equal(a->arch, b->arch);
    assert_true(a->layers == b->layers && a->d_model == b->d_model && a->heads == b->heads && a->kv_heads == b->kv_heads);
    assert_true(a->head_dim == b->head_dim && a->d_ff == b->d_ff && a->vocab == b->vocab && a->context == b->context);
    assert_true(a->norm == b->norm && a->position == b->position && a->mlp == b->mlp && a->tied_head == b->tied_head);
    assert_true(a->qkv_bias == b->qkv_bias && a->out_bias == b->out_bias && a->mlp_bias == b->mlp_bias);
    assert_true(a->norm_eps == b->norm_eps && a->rope_theta == b->rope_theta);
    assert_true(a->rope.kind == b->rope.kind && a->rope.factor == b->rope.factor);
    assert_true(a->rope.low_freq_factor == b->rope.low_freq_factor && a->rope.high_freq_factor == b->rope.high_freq_factor);
    assert_int_equal(a->rope.original_context, b->rope.original_context);
    assert_true(a->window == b->window && a->window_first == b->window_first && a->bos == b->bos);
    assert_int_equal(a->eos_count, b->eos_count);
    assert_memory_equal(a->eos, b->eos, (size_t)a->eos_count * sizeof *a->eos);
}

/* Both are laid out for the same config, so that tensors lie at the same distance from the start. */
struct pair {
    const struct weights *from, *back;
    enum dtype dtype;
};

static int compare_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    const struct pair *p = ctx;
    const float *back = slot->to.data;
    const float *from = (const float *)((const char *)p->from->pages + ((const char *)back - (const char *)p->back->pages));
    size_t n = (size_t)slot->to.rows * (size_t)slot->to.cols;
    char *stored = malloc(dtype_bytes(p->dtype, n));
    float *expected = malloc(n * sizeof *expected);

    (void)e;
    dtype_encode(p->dtype, stored, from, n);
    dtype_decode(p->dtype, expected, stored, n);
    assert_memory_equal(back, p->dtype == DTYPE_F32 ? from : expected, n * sizeof *back);
    free(stored);
    free(expected);
    return 0;
}

static void comes_back(const struct room *r, struct model_config c, enum dtype d)
{
    struct weights w, back;
    struct err e = {0};

    build(&w, &c);
    written(r, &c, &w, NULL, d);
    struct source *s = opened(r);
    assert_same_config(&s->config, &c);
    assert_int_equal(s->elements[d], config_parameters(&c));
    assert_int_equal(s->bytes, dtype_bytes(d, config_parameters(&c)));
    assert_int_equal(weights_alloc(&back, &s->config, DTYPE_F32, &e), 0);
    assert_int_equal(s->ops->read(s, &back, &e), 0);
    struct pair p = {.from = &w, .back = &back, .dtype = d};
    weights_visit(&back, &c, compare_slot, &p, &e);
    source_close(s);
    weights_free(&w);
    weights_free(&back);
}

static void small_presets_come_back(void **state)
{
    comes_back(*state, preset("tiny-gpt2"), DTYPE_F32);
    comes_back(*state, preset("tiny-llama"), DTYPE_F32);
}

static void halves_come_back_after_one_rounding(void **state)
{
    comes_back(*state, small_gpt2(), DTYPE_F16);
    comes_back(*state, small_gpt2(), DTYPE_BF16);
    comes_back(*state, preset("tiny-llama"), DTYPE_F16);
    comes_back(*state, preset("tiny-llama"), DTYPE_BF16);
}

/* Wider than one stretch of writing, whichever way it lies. */
static void wide_tensors_come_back(void **state)
{
    struct model_config c = small_gpt2();

    c.layers = 1, c.d_ff = 70000;
    comes_back(*state, c, DTYPE_BF16);
}

static void llamas_come_back_with_every_feature(void **state)
{
    struct model_config c = family("llama");

    c.tied_head = c.qkv_bias = c.out_bias = c.mlp_bias = true;
    c.norm_eps = (double)1e-5f, c.rope_theta = 500000.5;
    c.rope = (struct rope_scaling){.kind = ROPE_LINEAR, .factor = 2.5};
    c.bos = 430, c.eos_count = 3, c.eos[0] = 7, c.eos[1] = 0, c.eos[2] = 430;
    comes_back(*state, c, DTYPE_F32);
    c.rope = (struct rope_scaling){
        .kind = ROPE_LLAMA3, .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 64};
    c.mlp_bias = false, c.bos = -1, c.eos_count = 0;
    comes_back(*state, c, DTYPE_F32);
}

static void mistral_and_qwen2_come_back_with_and_without_a_window(void **state)
{
    struct model_config mistral = family("mistral"), qwen2 = family("qwen2");

    comes_back(*state, mistral, DTYPE_F32);
    mistral.window = 17, mistral.head_dim = 8;
    comes_back(*state, mistral, DTYPE_F32);
    comes_back(*state, qwen2, DTYPE_F32);
    qwen2.window = 17, qwen2.window_first = 1, qwen2.tied_head = true;
    comes_back(*state, qwen2, DTYPE_F32);
    qwen2.window_first = 0;
    comes_back(*state, qwen2, DTYPE_F32);
}

static void an_untied_gpt2_comes_back(void **state)
{
    struct model_config c = small_gpt2();

    c.tied_head = false;
    comes_back(*state, c, DTYPE_F32);
}

/* --- as transformers lays it out ----------------------------------------------------------------------------------------- */

static void config_and_generation_config_are_those_of_transformers(void **state)
{
    static const char expected[] = "{\n"
                                   "  \"architectures\": [\"Qwen2ForCausalLM\"],\n"
                                   "  \"model_type\": \"qwen2\",\n"
                                   "  \"bos_token_id\": 1,\n"
                                   "  \"eos_token_id\": [2, 3],\n"
                                   "  \"head_dim\": 10,\n"
                                   "  \"hidden_act\": \"silu\",\n"
                                   "  \"hidden_size\": 60,\n"
                                   "  \"intermediate_size\": 157,\n"
                                   "  \"max_position_embeddings\": 1000,\n"
                                   "  \"num_attention_heads\": 6,\n"
                                   "  \"num_hidden_layers\": 3,\n"
                                   "  \"num_key_value_heads\": 2,\n"
                                   "  \"rms_norm_eps\": 1e-05,\n"
                                   "  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0},\n"
                                   "  \"rope_theta\": 10000.0,\n"
                                   "  \"sliding_window\": 17,\n"
                                   "  \"use_sliding_window\": true,\n"
                                   "  \"max_window_layers\": 1,\n"
                                   "  \"tie_word_embeddings\": false,\n"
                                   "  \"torch_dtype\": \"bfloat16\",\n"
                                   "  \"use_cache\": true,\n"
                                   "  \"vocab_size\": 431\n"
                                   "}\n";
    struct model_config c = family("qwen2");
    struct weights w;

    c.window = 17, c.window_first = 1, c.eos_count = 2, c.eos[1] = 3;
    c.rope = (struct rope_scaling){.kind = ROPE_LINEAR, .factor = 4};
    build(&w, &c);
    written(*state, &c, &w, NULL, DTYPE_BF16);
    struct text config = content_of(*state, "config.json"), generation = content_of(*state, "generation_config.json");
    assert_string_equal(config.data, expected);
    assert_string_equal(generation.data, "{\n  \"bos_token_id\": 1,\n  \"eos_token_id\": [2, 3]\n}\n");
    text_free(&config);
    text_free(&generation);
    weights_free(&w);
}

static void the_files_written_are_the_files_read(void **state)
{
    static const char *const names[] = {"config.json", "generation_config.json", "model.safetensors"};
    const struct room *r = *state;
    struct model_config c = family("llama");
    struct weights w;
    struct err e = {0};
    char path[400];

    build(&w, &c);
    written(r, &c, &w, NULL, DTYPE_F32);
    snprintf(path, sizeof path, "%s/generation_config.json", r->dir);
    assert_int_equal(text_write_file(path, "{\"eos_token_id\": 99}", 20, &e), 0);
    struct source *s = opened(r);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", r->dir, names[i]);
        assert_string_equal(s->ops->file(s, i), path);
    }
    assert_null(s->ops->file(s, 3));
    assert_true(s->config.eos_count == 1 && s->config.eos[0] == 99);
    source_close(s);
    weights_free(&w);
}

static void expect_tensor(const struct room *r, const char *name, const char *shape)
{
    struct safetensors s;
    struct err e = {0};
    char path[400], have[64] = "none";

    snprintf(path, sizeof path, "%s/model.safetensors", r->dir);
    assert_int_equal(safetensors_open(&s, path, &e), 0);
    for (size_t i = 0; i < s.count; i++)
        if (strcmp(s.tensors[i].name, name) == 0)
            safetensors_shape(&s.tensors[i], have, sizeof have);
    assert_string_equal(have, shape);
    safetensors_close(&s);
}

static void tensors_have_the_names_and_shapes_of_transformers(void **state)
{
    struct model_config gpt2 = small_gpt2(), llama = family("llama");
    struct weights w;

    build(&w, &gpt2);
    written(*state, &gpt2, &w, NULL, DTYPE_F32);
    weights_free(&w);
    expect_tensor(*state, "transformer.wte.weight", "[300, 64]");
    expect_tensor(*state, "transformer.h.1.attn.c_attn.weight", "[64, 192]"); /* Conv1D: [in, out] */
    expect_tensor(*state, "transformer.h.1.attn.c_attn.bias", "[192]");
    expect_tensor(*state, "lm_head.weight", "none"); /* tied */
    build(&w, &llama);
    written(*state, &llama, &w, NULL, DTYPE_F32);
    weights_free(&w);
    expect_tensor(*state, "model.embed_tokens.weight", "[431, 60]");
    expect_tensor(*state, "model.layers.2.self_attn.k_proj.weight", "[20, 60]");
    expect_tensor(*state, "model.layers.2.mlp.gate_proj.weight", "[157, 60]");
    expect_tensor(*state, "lm_head.weight", "[431, 60]");
    expect_tensor(*state, "model.lm_head.weight", "none");
}

static void the_header_says_pt_and_ends_on_eight_bytes(void **state)
{
    struct model_config c = family("llama");
    uint64_t length;

    c.bos = -1, c.eos_count = 0;
    for (c.vocab = 9; c.vocab < 10000; c.vocab *= 10) { /* headers of different lengths */
        struct weights w;
        build(&w, &c);
        written(*state, &c, &w, NULL, DTYPE_F16);
        struct text file = content_of(*state, "model.safetensors");
        memcpy(&length, file.data, sizeof length);
        assert_int_equal(length % 8, 0);
        assert_memory_equal(file.data + 8, "{\"__metadata__\":{\"format\":\"pt\"},", 32);
        text_free(&file);
        weights_free(&w);
    }
}

/* --- what cannot be written ---------------------------------------------------------------------------------------------- */

static void refused(const struct room *r, struct model_config c, float *rope_factors, enum dtype d, const char *sentence)
{
    struct weights w;
    struct err e = {0};
    char expected[600];

    build(&w, &c);
    w.rope_factors = rope_factors;
    assert_int_equal(hf_write(r->dir, &c, &w, NULL, d, &e), ERR_USAGE);
    snprintf(expected, sizeof expected, "%s: %s", r->dir, sentence);
    assert_string_equal(e.text, expected);
    assert_true(access(r->dir, F_OK) < 0);
    weights_free(&w);
}

static void what_the_files_cannot_say_is_refused_before_one_is_written(void **state)
{
    struct model_config windowed = family("llama"), biased = family("mistral"), late = family("mistral"),
                        bare = family("qwen2"), half = family("llama"), rms = small_gpt2(), other = family("phi3");
    struct room *r = *state;

    refused(r, family("llama"), NULL, DTYPE_Q8_0, "dtype Q8_0 cannot be written as safetensors; expected F32, F16 or BF16");
    refused(r, family("llama"), calloc(5, sizeof(float)), DTYPE_F32,
            "config.json cannot say the rotary factors of 'tiny-llama', which a GGUF file lists one by one");
    windowed.window = 17;
    refused(r, windowed, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a llama model with such a sliding window");
    late.window = 17, late.window_first = 1;
    refused(r, late, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a mistral model with such a sliding window");
    biased.out_bias = true;
    refused(r, biased, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a mistral model with such biases");
    half.qkv_bias = true;
    refused(r, half, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a llama model with such biases");
    bare.qkv_bias = false;
    refused(r, bare, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a qwen2 model without biases");
    rms.norm = NORM_RMS;
    refused(r, rms, NULL, DTYPE_F32,
            "config.json cannot say 'tiny-gpt2', a gpt2 model with such norms, positions or activations");
    rms = small_gpt2(), rms.head_dim = 8;
    refused(r, rms, NULL, DTYPE_F32, "config.json cannot say 'tiny-gpt2', a gpt2 model with such heads");
    refused(r, other, NULL, DTYPE_F32, "config.json cannot say 'tiny-llama', a phi3 model of that architecture");
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    struct model_config c = family("llama");
    struct weights w;
    struct err e = {0};

    (void)state;
    build(&w, &c);
    assert_int_equal(hf_write("tests/nowhere/model", &c, &w, NULL, DTYPE_F32, &e), ERR_IO);
    assert_string_equal(e.text, "tests/nowhere/model: No such file or directory");
    weights_free(&w);
}

/* A limit on the size of files stands in for a full disk. */
static void a_full_disk_is_one_sentence_and_leaves_the_old_file(void **state)
{
    struct room *r = *state;
    struct model_config c = family("llama");
    struct rlimit unlimited, small;
    struct weights w;
    struct err e = {0};
    char expected[400];

    build(&w, &c);
    written(r, &c, &w, NULL, DTYPE_F32);
    struct text before = content_of(r, "model.safetensors");
    *(float *)w.embed.data = 17;
    getrlimit(RLIMIT_FSIZE, &unlimited);
    small = (struct rlimit){.rlim_cur = 100000, .rlim_max = unlimited.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int code = hf_write(r->dir, &c, &w, NULL, DTYPE_F32, &e);
    setrlimit(RLIMIT_FSIZE, &unlimited);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(code, ERR_IO);
    snprintf(expected, sizeof expected, "%s/model.safetensors: cannot write: %s", r->dir, strerror(EFBIG));
    assert_string_equal(e.text, expected);
    struct text after = content_of(r, "model.safetensors");
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, before.len);
    assert_int_equal(count_files(r), 3); /* nothing temporary is left */
    text_free(&before);
    text_free(&after);
    weights_free(&w);
}

static void files_of_other_names_stay(void **state)
{
    struct room *r = *state;
    struct model_config c = family("llama");
    struct weights w;
    struct err e = {0};
    char path[400];

    build(&w, &c);
    written(r, &c, &w, NULL, DTYPE_F32);
    snprintf(path, sizeof path, "%s/README.md", r->dir);
    assert_int_equal(text_write_file(path, "mine", 4, &e), 0);
    written(r, &c, &w, NULL, DTYPE_F16);
    struct text mine = content_of(r, "README.md");
    assert_string_equal(mine.data, "mine");
    assert_int_equal(count_files(r), 4);
    text_free(&mine);
    weights_free(&w);
}

#define in_a_room(test) cmocka_unit_test_teardown(test, empty_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_room(small_presets_come_back),
        in_a_room(halves_come_back_after_one_rounding),
        in_a_room(wide_tensors_come_back),
        in_a_room(llamas_come_back_with_every_feature),
        in_a_room(mistral_and_qwen2_come_back_with_and_without_a_window),
        in_a_room(an_untied_gpt2_comes_back),
        in_a_room(config_and_generation_config_are_those_of_transformers),
        in_a_room(the_files_written_are_the_files_read),
        in_a_room(tensors_have_the_names_and_shapes_of_transformers),
        in_a_room(the_header_says_pt_and_ends_on_eight_bytes),
        in_a_room(what_the_files_cannot_say_is_refused_before_one_is_written),
        in_a_room(a_folder_that_cannot_be_made_is_named),
        in_a_room(a_full_disk_is_one_sentence_and_leaves_the_old_file),
        in_a_room(files_of_other_names_stay),
    };

    return cmocka_run_group_tests(tests, make_room, remove_room);
}
