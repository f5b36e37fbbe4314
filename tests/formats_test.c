/* SPDX-License-Identifier: MIT
 * Models from a Hugging Face folder and out of a seed: config.json is understood or refused in words, real files land where
 * the engine expects them, synthetic weights are the same everywhere. Files written for the purpose, and
 * files that lie, are in hf_weights_test.c and safetensors_test.c. */
#include "check.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "formats/formats.h"
#include "model.h"
#include "text.h"

/* --- a folder with one config.json --------------------------------------------------------------------------------------- */

struct folder {
    char dir[256], file[288];
};

static int make_folder(void **state)
{
    static struct folder f;
    const char *tmp = getenv("TMPDIR");

    snprintf(f.dir, sizeof f.dir, "%s/formats_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f.dir))
        return -1;
    snprintf(f.file, sizeof f.file, "%s/config.json", f.dir);
    *state = &f;
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;

    unlink(f->file);
    return rmdir(f->dir);
}

static int read_config(const struct folder *f, const char *json, struct model_config *c, struct err *e)
{
    *e = (struct err){0};
    assert_int_equal(text_write_file(f->file, json, strlen(json), e), 0);
    return hf_read_config(c, f->dir, e);
}

/* "<path>" and then the sentence. */
static void refused(const struct folder *f, const char *json, const char *sentence)
{
    struct model_config c;
    struct err e;
    char expected[512];

    assert_int_equal(read_config(f, json, &c, &e), ERR_FORMAT);
    snprintf(expected, sizeof expected, "%s%s", f->file, sentence);
    assert_string_equal(e.text, expected);
}

#define GPT2_BASE                                                                                                              \
    "\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 100, \"n_positions\": 32, "           \
    "\"n_embd\": 12, \"n_layer\": 2, \"n_head\": 3"
#define LLAMA_BASE                                                                                                             \
    "\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 100, "                              \
    "\"max_position_embeddings\": 128, \"hidden_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 6, "            \
    "\"intermediate_size\": 20"
#define GPT2(more)  "{" GPT2_BASE more "}"
#define LLAMA(more) "{" LLAMA_BASE more "}"

/* --- config.json --------------------------------------------------------------------------------------------------------- */

static void config_of_a_saved_gpt2_is_read(void **state)
{
    struct model_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(hf_read_config(&c, "tests/data/reference/gpt2-a", &e), 0);
    assert_string_equal(c.name, "gpt2-a");
    assert_string_equal(c.arch, "gpt2");
    assert_true(c.layers == 2 && c.d_model == 64 && c.heads == 4 && c.kv_heads == 4 && c.head_dim == 16 && c.d_ff == 256);
    assert_true(c.vocab == 503 && c.context == 128 && c.bos == 502 && c.eos == 502);
    assert_true(c.norm == NORM_LAYER && c.position == POSITION_LEARNED && c.mlp == MLP_GELU_TANH);
    assert_true(c.qkv_bias && c.out_bias && c.mlp_bias && c.tied_head);
    assert_true(c.norm_eps == 1e-5);
    assert_int_equal(config_parameters(&c), 561920 / 4);
}

static void config_of_saved_llamas_is_read(void **state)
{
    struct model_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(hf_read_config(&c, "tests/data/reference/llama-mha/", &e), 0);
    assert_string_equal(c.name, "llama-mha");
    assert_true(c.kv_heads == 4 && c.d_ff == 172 && c.norm_eps == 1e-6 && c.rope.kind == ROPE_PLAIN);
    assert_int_equal(hf_read_config(&c, "tests/data/reference/llama-rope3", &e), 0);
    assert_string_equal(c.arch, "llama");
    assert_true(c.layers == 2 && c.d_model == 64 && c.heads == 4 && c.kv_heads == 2 && c.head_dim == 16 && c.d_ff == 160);
    assert_true(c.vocab == 431 && c.context == 256 && c.bos == 1 && c.eos == 2 && c.rope_theta == 10000);
    assert_true(c.norm == NORM_RMS && c.position == POSITION_ROTARY && c.mlp == MLP_SWIGLU && c.norm_eps == 1e-5);
    assert_false(c.qkv_bias || c.out_bias || c.mlp_bias || c.tied_head);
    assert_true(c.rope.kind == ROPE_LLAMA3 && c.rope.factor == 8 && c.rope.low_freq_factor == 1);
    assert_true(c.rope.high_freq_factor == 4 && c.rope.original_context == 64);
    assert_int_equal(config_parameters(&c), 566016 / 4);
}

static void what_a_config_leaves_out_takes_the_default_of_transformers(void **state)
{
    struct model_config c;
    struct err e;

    assert_int_equal(read_config(*state, GPT2(""), &c, &e), 0);
    assert_true(c.d_ff == 48 && c.norm_eps == 1e-5 && c.tied_head && c.bos == -1 && c.eos == -1);
    assert_int_equal(read_config(*state, GPT2(", \"n_inner\": 30, \"tie_word_embeddings\": false"), &c, &e), 0);
    assert_true(c.d_ff == 30 && !c.tied_head);
    assert_int_equal(read_config(*state, LLAMA(", \"rope_scaling\": null"), &c, &e), 0);
    assert_true(c.kv_heads == 6 && c.head_dim == 2 && c.norm_eps == 1e-6 && c.rope_theta == 10000 && !c.tied_head);
    assert_true(c.rope.kind == ROPE_PLAIN);
}

static void what_a_config_says_is_carried_out(void **state)
{
    struct model_config c;
    struct err e;

    assert_int_equal(read_config(*state,
                                 LLAMA(", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true, "
                                       "\"num_key_value_heads\": 3, \"head_dim\": 4, \"rope_theta\": 5e5, "
                                       "\"rms_norm_eps\": 1e-4, \"eos_token_id\": [7, 8]"),
                                 &c, &e),
                     0);
    assert_true(c.qkv_bias && c.out_bias && c.mlp_bias && c.tied_head);
    assert_true(c.kv_heads == 3 && c.head_dim == 4 && c.rope_theta == 5e5 && c.norm_eps == 1e-4 && c.eos == 7);
}

static void names_of_the_same_activation_are_accepted(void **state)
{
    struct model_config c;
    struct err e;

    assert_int_equal(read_config(*state, GPT2(", \"activation_function\": \"gelu_new\""), &c, &e), 0);
    assert_int_equal(read_config(*state, GPT2(", \"activation_function\": \"gelu_pytorch_tanh\""), &c, &e), 0);
    assert_int_equal(read_config(*state, LLAMA(", \"hidden_act\": \"silu\""), &c, &e), 0);
}

static void rope_scaling_is_read_under_its_old_and_new_keys(void **state)
{
    struct model_config c;
    struct err e;

    assert_int_equal(read_config(*state, LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}"), &c, &e), 0);
    assert_true(c.rope.kind == ROPE_LINEAR && c.rope.factor == 4);
    assert_int_equal(read_config(*state, LLAMA(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}"), &c, &e), 0);
    assert_true(c.rope.kind == ROPE_LINEAR && c.rope.factor == 2.5);
    assert_int_equal(
        read_config(*state, LLAMA(", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000.0}"), &c, &e), 0);
    assert_true(c.rope.kind == ROPE_PLAIN && c.rope_theta == 500000);
}

static void keys_that_change_nothing_here_are_passed_over(void **state)
{
    struct model_config c;
    struct err e;

    assert_int_equal(read_config(*state,
                                 GPT2(", \"attn_pdrop\": 0.1, \"scale_attn_weights\": true, \"reorder_and_upcast_attn\": true, "
                                      "\"scale_attn_by_inverse_layer_idx\": false, \"add_cross_attention\": false, "
                                      "\"pruned_heads\": {}, \"task_specific_params\": {\"text-generation\": {}}"),
                                 &c, &e),
                     0);
    assert_int_equal(
        read_config(*state, LLAMA(", \"pretraining_tp\": 2, \"sliding_window\": null, \"partial_rotary_factor\": 1.0"), &c, &e),
        0);
}

static void what_is_not_implemented_is_refused_by_name(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {LLAMA(", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}"),
         ": rope_scaling.type 'yarn' is not supported; expected default, linear or llama3"},
        {LLAMA(", \"rope_parameters\": {\"rope_type\": \"dynamic\"}"),
         ": rope_parameters.rope_type 'dynamic' is not supported; expected default, linear or llama3"},
        {LLAMA(", \"hidden_act\": \"gelu\""), ": hidden_act 'gelu' is not supported; expected silu"},
        {LLAMA(", \"sliding_window\": 4096"), ": sliding_window 4096 is not supported"},
        {LLAMA(", \"partial_rotary_factor\": 0.5"), ": partial_rotary_factor 0.5 is not supported"},
        {LLAMA(", \"quantization_config\": {\"bits\": 4}"), ": quantization_config {\"bits\":4} is not supported"},
        {GPT2(", \"activation_function\": \"relu\""),
         ": activation_function 'relu' is not supported; expected gelu_new or a name for the same function"},
        {GPT2(", \"activation_function\": \"gelu\""),
         ": activation_function 'gelu' is not supported; expected gelu_new or a name for the same function"},
        {GPT2(", \"scale_attn_by_inverse_layer_idx\": true"), ": scale_attn_by_inverse_layer_idx true is not supported"},
        {GPT2(", \"scale_attn_weights\": false"), ": scale_attn_weights false is not supported"},
        {GPT2(", \"add_cross_attention\": true"), ": add_cross_attention true is not supported"},
        {GPT2(", \"is_encoder_decoder\": true"), ": is_encoder_decoder true is not supported"},
        {GPT2(", \"pruned_heads\": {\"1\": [0]}"), ": pruned_heads {\"1\":[0]} is not supported"},
        {"{\"model_type\": \"mistral\", \"architectures\": [\"MistralForCausalLM\"]}",
         ": model_type 'mistral' is not supported; expected gpt2 or llama"},
        {"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"]}",
         ": architectures 'LlamaForSequenceClassification' is not supported; expected GPT2LMHeadModel or LlamaForCausalLM"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(*state, cases[i].json, cases[i].sentence);
}

static void what_is_missing_or_of_the_wrong_kind_is_named(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {"{}", ": model_type is missing; expected a string"},
        {"{\"model_type\": 2}", ": model_type: expected a string"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 9}", ": n_positions is missing; expected an integer"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": null}", ": vocab_size is missing; expected an integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": \"9\"}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 9.5}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 4294967305}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": -9}", ": vocab_size: expected a non-negative integer"},
        {LLAMA(", \"rms_norm_eps\": \"1e-5\""), ": rms_norm_eps: expected a number"},
        {LLAMA(", \"attention_bias\": 1"), ": attention_bias: expected true or false"},
        {LLAMA(", \"hidden_act\": 1"), ": hidden_act: expected a string"},
        {LLAMA(", \"eos_token_id\": [\"</s>\"]"), ": eos_token_id: expected token ids"},
        {LLAMA(", \"eos_token_id\": []"), ": eos_token_id: expected token ids"},
        {LLAMA(", \"rope_scaling\": \"linear\""), ": rope_scaling: expected an object"},
        {LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"rope_parameters\": {\"rope_type\": \"default\"}"),
         ": rope_parameters: expected an object, and no rope_scaling beside it"},
        {LLAMA(", \"rope_scaling\": {}"), ": rope_scaling.type is missing; expected a string"},
        {LLAMA(", \"rope_scaling\": {\"type\": \"linear\"}"), ": rope_scaling.factor is missing; expected a number"},
        {LLAMA(
             ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}"),
         ": rope_scaling.original_max_position_embeddings is missing; expected an integer"},
        {"[1]", ": expected an object"},
        {"{\"a\": 1,\n \"a\": 2}", ":2:4: duplicate object key near '\"a\"'"},
        {"{\"a\": ", ":1:6: unexpected token near end of file"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(*state, cases[i].json, cases[i].sentence);
}

static void numbers_that_do_not_fit_together_are_named(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_positions\": 9, \"n_layer\": 1, \"n_embd\": 65, \"n_head\": 4}",
         ": n_embd 65: expected a multiple of n_head (4)"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_positions\": 9, \"n_layer\": 1, \"n_embd\": 64, \"n_head\": 0}",
         ": n_head 0: expected 1 to 1024"},
        {"{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_positions\": 9, \"n_layer\": 1, \"n_embd\": 2147483647, "
         "\"n_head\": 1}",
         ": n_embd 2147483647: expected 2 to 65536"},
        {LLAMA(", \"num_key_value_heads\": 4"), ": num_key_value_heads 4: expected a divisor of num_attention_heads (6)"},
        {LLAMA(", \"head_dim\": 3"), ": head_dim 3: expected an even number for rotary positions"},
        {LLAMA(", \"rope_theta\": 0"), ": rope_theta 0: expected a positive number"},
        {LLAMA(", \"bos_token_id\": 100"), ": bos_token_id 100: expected an id below vocab_size (100)"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(*state, cases[i].json, cases[i].sentence);
}

static void a_config_beyond_one_megabyte_is_not_read(void **state)
{
    struct folder *f = *state;
    struct model_config c;
    struct err e = {0};
    char *spaces = malloc((1 << 20) + 1);

    memset(spaces, ' ', (1 << 20) + 1);
    assert_int_equal(text_write_file(f->file, spaces, (1 << 20) + 1, &e), 0);
    assert_int_equal(hf_read_config(&c, f->dir, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "config.json: 1048577 bytes, more than the 1048576 expected at most"));
    free(spaces);
}

static void a_folder_without_config_is_named(void **state)
{
    struct model_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(hf_read_config(&c, "tests/data", &e), ERR_IO);
    assert_string_equal(e.text, "tests/data/config.json: No such file or directory");
}

/* --- weights of the saved models ----------------------------------------------------------------------------------------- */

static void load(const char *dir, struct model_config *c, struct weights *w)
{
    struct err e = {0};

    assert_int_equal(hf_read_config(c, dir, &e), 0);
    assert_int_equal(weights_alloc(w, c, &e), 0);
    assert_int_equal(hf_read_weights(w, c, dir, &e), 0);
}

static float at(const struct matrix *m, int row, int col)
{
    assert_true(row < m->rows && col < m->cols);
    return m->data[(size_t)row * (size_t)m->cols + (size_t)col];
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
    const unsigned char *p = (const unsigned char *)slot->data;
    size_t bytes = (size_t)slot->rows * (size_t)slot->cols * sizeof(float);

    (void)e;
    for (size_t i = 0; i < bytes; i++)
        *hash = (*hash ^ p[i]) * 0x100000001b3u; /* FNV-1a */
    return 0;
}

static uint64_t hash_of(const char *preset, uint64_t seed, int threads)
{
    struct model_config c;
    struct weights w;
    struct err e = {0};
    uint64_t hash = 0xcbf29ce484222325u;
    int before = omp_get_max_threads();

    assert_int_equal(config_preset(&c, preset, &e), 0);
    assert_int_equal(weights_alloc(&w, &c, &e), 0);
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
    assert_int_equal(hash_of("tiny-llama", 1, 1), UINT64_C(0x32644175a1b37557));
    assert_int_equal(hash_of("tiny-gpt2", 1, 1), UINT64_C(0xcab9309131f975a4));
}

static void synthetic_weights_do_not_depend_on_the_number_of_threads(void **state)
{
    uint64_t one = hash_of("tiny-gpt2", 9, 1);

    (void)state;
    assert_int_equal(hash_of("tiny-gpt2", 9, 2), one);
    assert_int_equal(hash_of("tiny-gpt2", 9, 3), one);
    assert_int_not_equal(hash_of("tiny-gpt2", 10, 1), one);
}

/* Mean near 0, deviation near `expected`, nothing beyond the triangle's ends. */
static void check_spread(const struct matrix *m, double expected)
{
    size_t n = (size_t)m->rows * (size_t)m->cols;
    double sum = 0, square = 0, most = 0;

    for (size_t i = 0; i < n; i++) {
        sum += m->data[i];
        square += (double)m->data[i] * m->data[i];
        most = fmax(most, fabs(m->data[i]));
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
    assert_int_equal(weights_alloc(&w, &c, &e), 0);
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
    assert_true(w.embed.data[0] != w.head.data[0] && w.layers[0].qkv.data[0] != w.layers[1].qkv.data[0]);
    weights_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_a_saved_gpt2_is_read),
        cmocka_unit_test(config_of_saved_llamas_is_read),
        cmocka_unit_test(what_a_config_leaves_out_takes_the_default_of_transformers),
        cmocka_unit_test(what_a_config_says_is_carried_out),
        cmocka_unit_test(names_of_the_same_activation_are_accepted),
        cmocka_unit_test(rope_scaling_is_read_under_its_old_and_new_keys),
        cmocka_unit_test(keys_that_change_nothing_here_are_passed_over),
        cmocka_unit_test(what_is_not_implemented_is_refused_by_name),
        cmocka_unit_test(what_is_missing_or_of_the_wrong_kind_is_named),
        cmocka_unit_test(numbers_that_do_not_fit_together_are_named),
        cmocka_unit_test(a_config_beyond_one_megabyte_is_not_read),
        cmocka_unit_test(a_folder_without_config_is_named),
        cmocka_unit_test(weights_of_a_saved_gpt2_land_transposed),
        cmocka_unit_test(weights_of_saved_llamas_land_stacked),
        cmocka_unit_test(synthetic_weights_have_the_same_bits_everywhere),
        cmocka_unit_test(synthetic_weights_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(synthetic_matrices_are_spread_by_their_width),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
