/* SPDX-License-Identifier: MIT
 * config.json of a Hugging Face folder: every key that changes the mathematics is carried out or refused in words, what is left
 * out takes the default of the family's class in transformers, and generation_config.json has the last word on what ends a
 * text. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/hf.h"

struct folder {
    char dir[256], config[288], generation[300];
};

static int make_folder(void **state)
{
    static struct folder f;
    const char *tmp = getenv("TMPDIR");

    snprintf(f.dir, sizeof f.dir, "%s/hf_config_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(f.dir))
        return -1;
    snprintf(f.config, sizeof f.config, "%s/config.json", f.dir);
    snprintf(f.generation, sizeof f.generation, "%s/generation_config.json", f.dir);
    *state = &f;
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;

    unlink(f->config);
    unlink(f->generation);
    return rmdir(f->dir);
}

static int read_config(const struct folder *f, const char *json, struct model_config *c, struct err *e)
{
    *e = (struct err){0};
    assert_int_equal(text_write_file(f->config, json, strlen(json), e), 0);
    return hf_config_read(c, f->config, NULL, e);
}

static struct model_config accepted(const struct folder *f, const char *json)
{
    struct model_config c;
    struct err e;
    int code = read_config(f, json, &c, &e);

    assert_string_equal(e.text, "");
    assert_int_equal(code, 0);
    return c;
}

/* "<path>" and then the sentence. */
static void refused(const struct folder *f, const char *json, const char *sentence)
{
    struct model_config c;
    struct err e;
    char expected[512];

    assert_int_equal(read_config(f, json, &c, &e), ERR_FORMAT);
    snprintf(expected, sizeof expected, "%s%s", f->config, sentence);
    assert_string_equal(e.text, expected);
}

#define GPT2(more)                                                                                                             \
    "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 100, \"n_positions\": 32, "          \
    "\"n_embd\": 12, \"n_layer\": 2, \"n_head\": 3" more "}"
#define ROTARY(type, architecture, layers, more)                                                                               \
    "{\"model_type\": \"" type "\", \"architectures\": [\"" architecture "\"], \"vocab_size\": 100, "                          \
    "\"max_position_embeddings\": 128, \"hidden_size\": 12, \"num_hidden_layers\": " layers ", \"num_attention_heads\": 6, "   \
    "\"intermediate_size\": 20" more "}"
#define LLAMA(more)   ROTARY("llama", "LlamaForCausalLM", "2", more)
#define MISTRAL(more) ROTARY("mistral", "MistralForCausalLM", "4", ", \"num_key_value_heads\": 2" more)
#define QWEN2(more)   ROTARY("qwen2", "Qwen2ForCausalLM", "4", ", \"num_key_value_heads\": 2" more)

/* --- files of transformers ----------------------------------------------------------------------------------------------- */

static void config_of_a_saved_gpt2_is_read(void **state)
{
    struct model_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(hf_config_read(&c, "tests/data/reference/gpt2-a/config.json", NULL, &e), 0);
    assert_string_equal(c.arch, "gpt2");
    assert_true(c.layers == 2 && c.d_model == 64 && c.heads == 4 && c.kv_heads == 4 && c.head_dim == 16 && c.d_ff == 256);
    assert_true(c.vocab == 503 && c.context == 128 && c.bos == 502 && c.eos_count == 1 && c.eos[0] == 502);
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
    assert_int_equal(hf_config_read(&c, "tests/data/reference/llama-mha/config.json", NULL, &e), 0);
    assert_true(c.kv_heads == 4 && c.d_ff == 172 && c.norm_eps == 1e-6 && c.rope.kind == ROPE_PLAIN);
    assert_int_equal(hf_config_read(&c, "tests/data/reference/llama-rope3/config.json", NULL, &e), 0);
    assert_string_equal(c.arch, "llama");
    assert_true(c.layers == 2 && c.d_model == 64 && c.heads == 4 && c.kv_heads == 2 && c.head_dim == 16 && c.d_ff == 160);
    assert_true(c.vocab == 431 && c.context == 256 && c.bos == 1 && c.eos_count == 1 && c.eos[0] == 2);
    assert_true(c.norm == NORM_RMS && c.position == POSITION_ROTARY && c.mlp == MLP_SWIGLU && c.norm_eps == 1e-5);
    assert_false(c.qkv_bias || c.out_bias || c.mlp_bias || c.tied_head);
    assert_true(c.rope.kind == ROPE_LLAMA3 && c.rope.factor == 8 && c.rope.low_freq_factor == 1 && c.rope_theta == 10000);
    assert_true(c.rope.high_freq_factor == 4 && c.rope.original_context == 64 && c.window == 0);
    assert_int_equal(config_parameters(&c), 566016 / 4);
}

/* --- what is left out ---------------------------------------------------------------------------------------------------- */

static void what_gpt2_leaves_out_takes_the_default_of_transformers(void **state)
{
    struct model_config c = accepted(*state, "{\"model_type\": \"gpt2\"}");

    assert_true(c.vocab == 50257 && c.context == 1024 && c.d_model == 768 && c.layers == 12 && c.heads == 12);
    assert_true(c.kv_heads == 12 && c.head_dim == 64 && c.d_ff == 3072 && c.norm_eps == 1e-5 && c.tied_head);
    assert_true(c.bos == 50256 && c.eos_count == 1 && c.eos[0] == 50256);
    c = accepted(*state, GPT2(", \"n_inner\": null"));
    assert_int_equal(c.d_ff, 48);
}

static void what_llama_leaves_out_takes_the_default_of_transformers(void **state)
{
    struct model_config c = accepted(*state, "{\"model_type\": \"llama\"}");

    assert_true(c.vocab == 32000 && c.context == 2048 && c.d_model == 4096 && c.layers == 32 && c.heads == 32);
    assert_true(c.kv_heads == 32 && c.head_dim == 128 && c.d_ff == 11008 && c.norm_eps == 1e-6 && c.rope_theta == 10000);
    assert_true(c.bos == 1 && c.eos_count == 1 && c.eos[0] == 2 && c.rope.kind == ROPE_PLAIN && c.window == 0);
    assert_false(c.qkv_bias || c.out_bias || c.mlp_bias || c.tied_head);
    c = accepted(*state, LLAMA(", \"num_key_value_heads\": null, \"head_dim\": null, \"rope_scaling\": null"));
    assert_true(c.kv_heads == 6 && c.head_dim == 2 && c.rope.kind == ROPE_PLAIN);
}

static void what_mistral_leaves_out_takes_the_default_of_transformers(void **state)
{
    struct model_config c = accepted(*state, "{\"model_type\": \"mistral\"}");

    assert_string_equal(c.arch, "mistral");
    assert_true(c.vocab == 32000 && c.context == 131072 && c.d_model == 4096 && c.layers == 32 && c.heads == 32);
    assert_true(c.kv_heads == 8 && c.head_dim == 128 && c.d_ff == 14336 && c.norm_eps == 1e-6 && c.rope_theta == 10000);
    assert_true(c.window == 4096 && c.window_first == 0 && c.bos == 1 && c.eos_count == 1 && c.eos[0] == 2);
    assert_false(c.qkv_bias || c.out_bias || c.mlp_bias || c.tied_head);
    c = accepted(*state, ROTARY("mistral", "MistralForCausalLM", "4", ", \"num_key_value_heads\": 3, \"head_dim\": null"));
    assert_true(c.kv_heads == 3 && c.head_dim == 2);
    c = accepted(*state, ROTARY("mistral", "MistralForCausalLM", "4", ", \"num_key_value_heads\": null"));
    assert_int_equal(c.kv_heads, 6);
}

static void what_qwen2_leaves_out_takes_the_default_of_transformers(void **state)
{
    struct model_config c = accepted(*state, "{\"model_type\": \"qwen2\"}");

    assert_string_equal(c.arch, "qwen2");
    assert_true(c.vocab == 151936 && c.context == 32768 && c.d_model == 4096 && c.layers == 32 && c.heads == 32);
    assert_true(c.kv_heads == 32 && c.head_dim == 128 && c.d_ff == 22016 && c.norm_eps == 1e-6 && c.rope_theta == 10000);
    assert_true(c.norm == NORM_RMS && c.position == POSITION_ROTARY && c.mlp == MLP_SWIGLU);
    assert_true(c.qkv_bias && !c.out_bias && !c.mlp_bias && !c.tied_head);
    assert_true(c.window == 0 && c.window_first == 0 && c.bos == -1 && c.eos_count == 0);
}

/* --- what is said -------------------------------------------------------------------------------------------------------- */

static void what_a_config_says_is_carried_out(void **state)
{
    struct model_config c =
        accepted(*state, LLAMA(", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true, "
                               "\"num_key_value_heads\": 3, \"head_dim\": 4, \"rope_theta\": 5e5, \"rms_norm_eps\": 1e-4"));

    assert_true(c.qkv_bias && c.out_bias && c.mlp_bias && c.tied_head);
    assert_true(c.kv_heads == 3 && c.head_dim == 4 && c.rope_theta == 5e5 && c.norm_eps == 1e-4);
    c = accepted(*state, GPT2(", \"n_inner\": 30, \"tie_word_embeddings\": false, \"layer_norm_epsilon\": 1e-3"));
    assert_true(c.d_ff == 30 && !c.tied_head && c.norm_eps == 1e-3);
    c = accepted(*state, QWEN2(", \"tie_word_embeddings\": true, \"rope_theta\": 1000000.0, \"rms_norm_eps\": 1e-06"));
    assert_true(c.tied_head && c.rope_theta == 1e6 && c.norm_eps == 1e-6 && c.kv_heads == 2);
    c = accepted(*state, MISTRAL(", \"head_dim\": 8, \"rope_theta\": 1e6, \"rms_norm_eps\": 1e-05"));
    assert_true(c.head_dim == 8 && c.rope_theta == 1e6 && c.norm_eps == 1e-5);
}

static void names_of_the_same_activation_are_accepted(void **state)
{
    accepted(*state, GPT2(", \"activation_function\": \"gelu_new\""));
    accepted(*state, GPT2(", \"activation_function\": \"gelu_pytorch_tanh\""));
    accepted(*state, LLAMA(", \"hidden_act\": \"silu\""));
}

static void rope_scaling_is_read_under_its_old_and_new_keys(void **state)
{
    struct model_config c = accepted(*state, LLAMA(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}"));

    assert_true(c.rope.kind == ROPE_LINEAR && c.rope.factor == 4);
    c = accepted(*state, MISTRAL(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}"));
    assert_true(c.rope.kind == ROPE_LINEAR && c.rope.factor == 2.5);
    c = accepted(*state, QWEN2(", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 500000.0}"));
    assert_true(c.rope.kind == ROPE_PLAIN && c.rope_theta == 500000);
    c = accepted(*state, LLAMA(", \"rope_parameters\": {\"rope_theta\": 7.5}"));
    assert_true(c.rope.kind == ROPE_PLAIN && c.rope_theta == 7.5);
    c = accepted(*state, LLAMA(", \"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 1e4, \"factor\": 8, "
                               "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}"));
    assert_true(c.rope.kind == ROPE_LLAMA3 && c.rope.factor == 8 && c.rope.original_context == 64);
}

static void keys_that_change_nothing_here_are_passed_over(void **state)
{
    accepted(*state, GPT2(", \"attn_pdrop\": 0.1, \"scale_attn_weights\": true, \"reorder_and_upcast_attn\": true, "
                          "\"scale_attn_by_inverse_layer_idx\": false, \"add_cross_attention\": false, "
                          "\"pruned_heads\": {}, \"task_specific_params\": {\"text-generation\": {}}"));
    accepted(*state, LLAMA(", \"pretraining_tp\": 2, \"sliding_window\": null, \"partial_rotary_factor\": 1.0, "
                           "\"attention_dropout\": 0.1, \"initializer_range\": 0.5, \"layer_types\": [\"full_attention\", "
                           "\"full_attention\"], \"attn_logit_softcapping\": null, \"quantization_config\": null"));
}

/* --- windows ------------------------------------------------------------------------------------------------------------- */

static void expect_window(void **state, const char *json, int window, int first)
{
    struct model_config c = accepted(*state, json);

    assert_int_equal(c.window, window);
    assert_int_equal(c.window_first, first);
}

static void mistral_has_a_window_unless_it_says_null(void **state)
{
    expect_window(state, MISTRAL(""), 4096, 0);
    expect_window(state, MISTRAL(", \"sliding_window\": 17"), 17, 0);
    expect_window(state, MISTRAL(", \"sliding_window\": null"), 0, 0);
}

static void qwen2_has_a_window_only_where_it_is_used(void **state)
{
    expect_window(state, QWEN2(", \"sliding_window\": 9, \"max_window_layers\": 1"), 0, 0);
    expect_window(state, QWEN2(", \"use_sliding_window\": false, \"sliding_window\": 9, \"max_window_layers\": 1"), 0, 0);
    expect_window(state, QWEN2(", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 1"), 9, 1);
    expect_window(state, QWEN2(", \"use_sliding_window\": true, \"max_window_layers\": 0"), 4096, 0);
    expect_window(state, QWEN2(", \"use_sliding_window\": true, \"sliding_window\": null, \"max_window_layers\": 1"), 0, 0);
    /* by default it begins at layer 28: past the last one here, within the 30 there */
    expect_window(state, QWEN2(", \"use_sliding_window\": true, \"sliding_window\": 9"), 0, 0);
    expect_window(state,
                  ROTARY("qwen2", "Qwen2ForCausalLM", "30", ", \"num_key_value_heads\": 2, \"use_sliding_window\": true"), 4096,
                  28);
}

#define FULL  "\"full_attention\""
#define SLIDE "\"sliding_attention\""

static void layer_types_say_where_the_window_begins(void **state)
{
    expect_window(state, MISTRAL(", \"layer_types\": [" FULL "," FULL "," FULL "," FULL "]"), 0, 0);
    expect_window(state, MISTRAL(", \"layer_types\": [" SLIDE "," SLIDE "," SLIDE "," SLIDE "]"), 4096, 0);
    expect_window(state,
                  QWEN2(", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 28, \"layer_types\": "
                        "[" FULL "," FULL "," FULL "," SLIDE "]"),
                  9, 3);
    expect_window(state, QWEN2(", \"layer_types\": [" FULL "," FULL "," FULL "," FULL "]"), 0, 0);
    expect_window(state, QWEN2(", \"layer_types\": null"), 0, 0);
}

static void windows_of_another_kind_are_refused(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {LLAMA(", \"sliding_window\": 4096"), ": sliding_window 4096 is not supported"},
        {GPT2(", \"sliding_window\": 4096"), ": sliding_window 4096 is not supported"},
        {MISTRAL(", \"sliding_window\": 0"), ": sliding_window 0: expected a positive number or null"},
        {MISTRAL(", \"sliding_window\": -1"), ": sliding_window: expected a non-negative integer"},
        {MISTRAL(", \"layer_types\": [" SLIDE "," FULL "," SLIDE "," FULL "]"),
         ": layer_types 'full_attention' is not supported after sliding_attention"},
        {MISTRAL(", \"layer_types\": [" FULL "]"), ": layer_types: expected a list of num_hidden_layers (4) names"},
        {MISTRAL(", \"layer_types\": \"full_attention\""), ": layer_types: expected a list of num_hidden_layers (4) names"},
        {LLAMA(", \"layer_types\": [" FULL "," SLIDE "]"),
         ": layer_types 'sliding_attention' is not supported without a sliding_window"},
        {QWEN2(", \"sliding_window\": 9, \"layer_types\": [" FULL "," FULL "," FULL "," SLIDE "]"),
         ": layer_types 'sliding_attention' is not supported without a sliding_window"},
        {QWEN2(", \"layer_types\": [" FULL "," FULL "," FULL ",\"chunked_attention\"]"),
         ": layer_types 'chunked_attention' is not supported; expected full_attention or sliding_attention"},
        {QWEN2(", \"layer_types\": [" FULL "," FULL "," FULL ",4]"),
         ": layer_types '' is not supported; expected full_attention or sliding_attention"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(*state, cases[i].json, cases[i].sentence);
}

/* --- what ends a text ---------------------------------------------------------------------------------------------------- */

static void token_ids_are_one_several_or_none(void **state)
{
    struct model_config c = accepted(*state, LLAMA(", \"bos_token_id\": 5, \"eos_token_id\": [7, 8, 9]"));

    assert_true(c.bos == 5 && c.eos_count == 3 && c.eos[0] == 7 && c.eos[1] == 8 && c.eos[2] == 9);
    c = accepted(*state, LLAMA(", \"bos_token_id\": null, \"eos_token_id\": null"));
    assert_true(c.bos == -1 && c.eos_count == 0);
    c = accepted(*state, LLAMA(", \"eos_token_id\": 0"));
    assert_true(c.bos == 1 && c.eos_count == 1 && c.eos[0] == 0);
}

/* Small models saved by transformers keep 50256 of GPT2Config. */
static void token_ids_beyond_the_vocabulary_are_none(void **state)
{
    struct model_config c = accepted(*state, GPT2(""));

    assert_true(c.bos == -1 && c.eos_count == 0);
    c = accepted(*state, GPT2(", \"bos_token_id\": 50256, \"eos_token_id\": 50256"));
    assert_true(c.bos == -1 && c.eos_count == 0);
    c = accepted(*state, LLAMA(", \"bos_token_id\": -1, \"eos_token_id\": [100, 99, -1]"));
    assert_true(c.bos == -1 && c.eos_count == 1 && c.eos[0] == 99);
}

static void expect_eos(const struct folder *f, const char *generation, int count, int first)
{
    struct model_config c;
    struct err e = {0};

    assert_int_equal(text_write_file(f->config, LLAMA(", \"eos_token_id\": 7"), strlen(LLAMA(", \"eos_token_id\": 7")), &e), 0);
    assert_int_equal(text_write_file(f->generation, generation, strlen(generation), &e), 0);
    assert_int_equal(hf_config_read(&c, f->config, f->generation, &e), 0);
    assert_int_equal(c.eos_count, count);
    assert_int_equal(count ? c.eos[0] : -1, first);
}

static void generation_config_has_the_last_word_on_what_ends_a_text(void **state)
{
    expect_eos(*state, "{\"eos_token_id\": 3}", 1, 3);
    expect_eos(*state, "{\"eos_token_id\": [4, 5], \"bos_token_id\": 6, \"temperature\": 0.6}", 2, 4);
    expect_eos(*state, "{\"eos_token_id\": null}", 0, -1);
    expect_eos(*state, "{\"do_sample\": true}", 1, 7);
}

static void a_generation_config_that_makes_no_sense_is_named(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {"{\"eos_token_id\": \"</s>\"}", ": eos_token_id: expected token ids"},
        {"{\"eos_token_id\": [1,2,3,4,5,6,7,8,9]}", ": eos_token_id: expected at most 8"},
        {"[]", ": expected an object"},
        {"{", ":1:1: string or '}' expected near end of file"},
    };
    struct folder *f = *state;
    char expected[400];

    accepted(f, LLAMA(""));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c;
        struct err e = {0};
        assert_int_equal(text_write_file(f->generation, cases[i].json, strlen(cases[i].json), &e), 0);
        assert_int_equal(hf_config_read(&c, f->config, f->generation, &e), ERR_FORMAT);
        snprintf(expected, sizeof expected, "%s%s", f->generation, cases[i].sentence);
        assert_string_equal(e.text, expected);
    }
}

/* --- refusals ------------------------------------------------------------------------------------------------------------ */

static void what_is_not_implemented_is_refused_by_name(void **state)
{
    static const struct {
        const char *json, *sentence;
    } cases[] = {
        {LLAMA(", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}"),
         ": rope_scaling.type 'yarn' is not supported; expected default, linear or llama3"},
        {QWEN2(", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"original_max_position_embeddings\": 32768}"),
         ": rope_scaling.type 'yarn' is not supported; expected default, linear or llama3"},
        {LLAMA(", \"rope_parameters\": {\"rope_type\": \"dynamic\"}"),
         ": rope_parameters.rope_type 'dynamic' is not supported; expected default, linear or llama3"},
        {QWEN2(", \"rope_scaling\": {\"type\": \"default\", \"mrope_section\": [16, 24, 24]}"),
         ": rope_scaling.mrope_section [16,24,24] is not supported"},
        {QWEN2(", \"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}"),
         ": rope_parameters.full_attention {\"rope_type\":\"default\"} is not supported"},
        {LLAMA(", \"rope_parameters\": {\"rope_theta\": 10000.0, \"partial_rotary_factor\": 0.5}"),
         ": rope_parameters.partial_rotary_factor 0.5 is not supported"},
        {LLAMA(", \"hidden_act\": \"gelu\""), ": hidden_act 'gelu' is not supported; expected silu"},
        {LLAMA(", \"partial_rotary_factor\": 0.5"), ": partial_rotary_factor 0.5 is not supported"},
        {LLAMA(", \"quantization_config\": {\"bits\": 4}"), ": quantization_config {\"bits\":4} is not supported"},
        {MISTRAL(", \"attn_logit_softcapping\": 50.0"), ": attn_logit_softcapping 50.0 is not supported"},
        {MISTRAL(", \"final_logit_softcapping\": 30.0"), ": final_logit_softcapping 30.0 is not supported"},
        {QWEN2(", \"use_qk_norm\": true"), ": use_qk_norm true is not supported"},
        {QWEN2(", \"num_experts\": 60"), ": num_experts 60 is not supported"},
        {LLAMA(", \"residual_multiplier\": 0.22"), ": residual_multiplier 0.22 is not supported"},
        {GPT2(", \"activation_function\": \"relu\""),
         ": activation_function 'relu' is not supported; expected gelu_new or a name for the same function"},
        {GPT2(", \"activation_function\": \"gelu\""),
         ": activation_function 'gelu' is not supported; expected gelu_new or a name for the same function"},
        {GPT2(", \"scale_attn_by_inverse_layer_idx\": true"), ": scale_attn_by_inverse_layer_idx true is not supported"},
        {GPT2(", \"scale_attn_weights\": false"), ": scale_attn_weights false is not supported"},
        {GPT2(", \"add_cross_attention\": true"), ": add_cross_attention true is not supported"},
        {GPT2(", \"is_encoder_decoder\": true"), ": is_encoder_decoder true is not supported"},
        {GPT2(", \"pruned_heads\": {\"1\": [0]}"), ": pruned_heads {\"1\":[0]} is not supported"},
        {"{\"model_type\": \"mixtral\", \"architectures\": [\"MixtralForCausalLM\"]}",
         ": model_type 'mixtral' is not supported; expected gpt2, llama, mistral or qwen2"},
        {"{\"model_type\": \"llama\", \"architectures\": [\"LlamaForSequenceClassification\"]}",
         ": architectures 'LlamaForSequenceClassification' is not supported; expected LlamaForCausalLM"},
        {"{\"model_type\": \"qwen2\", \"architectures\": []}",
         ": architectures '' is not supported; expected Qwen2ForCausalLM"},
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
        {"{\"model_type\": \"gpt2\", \"vocab_size\": null}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": \"9\"}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 9.5}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 4294967305}", ": vocab_size: expected a non-negative integer"},
        {"{\"model_type\": \"llama\", \"vocab_size\": -9}", ": vocab_size: expected a non-negative integer"},
        {LLAMA(", \"rms_norm_eps\": \"1e-5\""), ": rms_norm_eps: expected a number"},
        {LLAMA(", \"rope_theta\": null"), ": rope_theta: expected a number"},
        {LLAMA(", \"attention_bias\": 1"), ": attention_bias: expected true or false"},
        {LLAMA(", \"hidden_act\": 1"), ": hidden_act: expected a string"},
        {LLAMA(", \"bos_token_id\": 1.5"), ": bos_token_id: expected token ids"},
        {LLAMA(", \"eos_token_id\": [\"</s>\"]"), ": eos_token_id: expected token ids"},
        {LLAMA(", \"eos_token_id\": []"), ": eos_token_id: expected token ids"},
        {LLAMA(", \"eos_token_id\": [1,2,3,4,5,6,7,8,9]"), ": eos_token_id: expected at most 8"},
        {QWEN2(", \"use_sliding_window\": 1"), ": use_sliding_window: expected true or false"},
        {QWEN2(", \"max_window_layers\": null"), ": max_window_layers: expected a non-negative integer"},
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
        {"{\"model_type\": \"gpt2\", \"n_embd\": 65, \"n_head\": 4}", ": n_embd 65: expected a multiple of n_head (4)"},
        {"{\"model_type\": \"gpt2\", \"n_head\": 0}", ": n_head 0: expected 1 to 1024"},
        {"{\"model_type\": \"gpt2\", \"n_embd\": 2147483647, \"n_head\": 1}", ": n_embd 2147483647: expected 2 to 65536"},
        {GPT2(", \"n_inner\": 0"), ": n_inner 0: expected 2 to 1048576"},
        {LLAMA(", \"num_key_value_heads\": 4"), ": num_key_value_heads 4: expected a divisor of num_attention_heads (6)"},
        {LLAMA(", \"head_dim\": 3"), ": head_dim 3: expected an even number for rotary positions"},
        {LLAMA(", \"head_dim\": 0"), ": head_dim 0: expected 2 to 1024"},
        {LLAMA(", \"rope_theta\": 0"), ": rope_theta 0: expected a positive number"},
        {ROTARY("mistral", "MistralForCausalLM", "2", ""),
         ": num_key_value_heads 8: expected a divisor of num_attention_heads (6)"},
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
    assert_int_equal(text_write_file(f->config, spaces, (1 << 20) + 1, &e), 0);
    assert_int_equal(hf_config_read(&c, f->config, NULL, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "config.json: 1048577 bytes, more than the 1048576 expected at most"));
    free(spaces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_a_saved_gpt2_is_read),
        cmocka_unit_test(config_of_saved_llamas_is_read),
        cmocka_unit_test(what_gpt2_leaves_out_takes_the_default_of_transformers),
        cmocka_unit_test(what_llama_leaves_out_takes_the_default_of_transformers),
        cmocka_unit_test(what_mistral_leaves_out_takes_the_default_of_transformers),
        cmocka_unit_test(what_qwen2_leaves_out_takes_the_default_of_transformers),
        cmocka_unit_test(what_a_config_says_is_carried_out),
        cmocka_unit_test(names_of_the_same_activation_are_accepted),
        cmocka_unit_test(rope_scaling_is_read_under_its_old_and_new_keys),
        cmocka_unit_test(keys_that_change_nothing_here_are_passed_over),
        cmocka_unit_test(mistral_has_a_window_unless_it_says_null),
        cmocka_unit_test(qwen2_has_a_window_only_where_it_is_used),
        cmocka_unit_test(layer_types_say_where_the_window_begins),
        cmocka_unit_test(windows_of_another_kind_are_refused),
        cmocka_unit_test(token_ids_are_one_several_or_none),
        cmocka_unit_test(token_ids_beyond_the_vocabulary_are_none),
        cmocka_unit_test(generation_config_has_the_last_word_on_what_ends_a_text),
        cmocka_unit_test(a_generation_config_that_makes_no_sense_is_named),
        cmocka_unit_test(what_is_not_implemented_is_refused_by_name),
        cmocka_unit_test(what_is_missing_or_of_the_wrong_kind_is_named),
        cmocka_unit_test(numbers_that_do_not_fit_together_are_named),
        cmocka_unit_test(a_config_beyond_one_megabyte_is_not_read),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
