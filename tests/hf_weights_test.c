/* SPDX-License-Identifier: MIT
 * Weights of a Hugging Face folder: every dtype, name and packaging arrives bit for bit, and what does not fit the model is
 * refused in one sentence that names the tensor. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hf_files.h"

static int check_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    (void)ctx;
    (void)e;
    for (int r = 0; r < slot->to.rows; r++) {
        const float *row = matrix_row(&slot->to, r);
        for (int c = 0; c < slot->to.cols; c++) {
            size_t in_file = slot->transposed ? (size_t)(c * slot->to.rows + r) : (size_t)(r * slot->to.cols + c);
            assert_true(row[c] == pattern(slot->name, in_file));
        }
    }
    return 0;
}

/* Opens the folder, and reads it into weights that are checked element by element. */
static int read_model(const struct folder *f, struct err *e)
{
    struct source *s = NULL;
    struct weights w = {0};

    *e = (struct err){0};
    int code = source_open(&s, f->dir, 1, e);
    if (code == 0)
        code = weights_alloc(&w, &s->config, DTYPE_F32, e);
    if (code == 0)
        code = s->ops->read(s, &w, e);
    if (code == 0)
        weights_visit(&w, &s->config, check_slot, NULL, e);
    weights_free(&w);
    source_close(s);
    return code;
}

static void arrives(const struct folder *f, struct recipe r)
{
    struct err e;

    write_model(f, &r);
    int code = read_model(f, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(code, 0);
}

/* "<folder>/" and then the sentence. */
static void expect_error(const struct folder *f, int code, const char *sentence)
{
    struct err e;
    char expected[600];

    assert_int_equal(read_model(f, &e), code);
    snprintf(expected, sizeof expected, "%s/%s", f->dir, sentence);
    assert_string_equal(e.text, expected);
}

static void refused(const struct folder *f, struct recipe r, const char *sentence)
{
    write_model(f, &r);
    expect_error(f, ERR_FORMAT, sentence);
}

/* --- what is read -------------------------------------------------------------------------------------------------------- */

static void every_dtype_arrives_in_its_place(void **state)
{
    for (int i = 0; i < 3; i++) {
        arrives(*state, (struct recipe){.config = &gpt2, .dtype = dtypes[i], .prefix = "transformer."});
        arrives(*state, (struct recipe){.config = &llama, .dtype = dtypes[i], .prefix = "model."});
    }
}

static void dtypes_may_differ_between_tensors(void **state)
{
    struct folder *f = *state;
    struct source *s;
    struct err e = {0};

    arrives(f, (struct recipe){.config = &gpt2, .prefix = "transformer."});
    arrives(f, (struct recipe){.config = &llama, .prefix = "model."});
    assert_int_equal(source_open(&s, f->dir, 1, &e), 0);
    uint64_t f32 = s->elements[DTYPE_F32], half = s->elements[DTYPE_F16] + s->elements[DTYPE_BF16];
    assert_true(f32 > 0 && s->elements[DTYPE_F16] > 0 && s->elements[DTYPE_BF16] > 0);
    assert_int_equal(f32 + half, config_parameters(&llama));
    assert_int_equal(s->bytes, 4 * f32 + 2 * half);
    source_close(s);
}

static void every_family_arrives(void **state)
{
    struct model_config mistral = llama, qwen2 = llama;

    memcpy(mistral.arch, "mistral", sizeof "mistral");
    mistral.window = 4;
    arrives(*state, (struct recipe){.config = &mistral, .dtype = "BF16", .prefix = "model."});
    memcpy(qwen2.arch, "qwen2", sizeof "qwen2");
    qwen2.qkv_bias = qwen2.tied_head = true;
    qwen2.window = 4, qwen2.window_first = 1;
    arrives(*state, (struct recipe){.config = &qwen2, .dtype = "BF16", .prefix = "model."});
}

static void names_arrive_with_and_without_prefix(void **state)
{
    arrives(*state, (struct recipe){.config = &gpt2, .dtype = "F32", .prefix = ""});
    arrives(*state, (struct recipe){.config = &llama, .dtype = "F32", .prefix = ""});
}

static void biases_and_either_kind_of_head_arrive(void **state)
{
    struct model_config biased = llama, untied = gpt2;

    biased.qkv_bias = biased.out_bias = biased.mlp_bias = biased.tied_head = true;
    arrives(*state, (struct recipe){.config = &biased, .dtype = "F32", .prefix = "model."});
    untied.tied_head = false;
    arrives(*state, (struct recipe){.config = &untied, .dtype = "F32", .prefix = "transformer."});
}

static void shards_arrive_through_their_index(void **state)
{
    arrives(*state, (struct recipe){.config = &gpt2, .dtype = "BF16", .prefix = "transformer.", .sharded = true});
    arrives(*state, (struct recipe){.config = &llama, .dtype = "F32", .prefix = "model.", .sharded = true});
}

static void the_files_of_a_model_are_listed(void **state)
{
    static const int expected[] = {CONFIG, INDEX, SHARD_A, SHARD_B};
    struct folder *f = *state;
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model.", .sharded = true};
    struct source *s;
    struct err e = {0};

    write_model(f, &r);
    assert_int_equal(source_open(&s, f->dir, 1, &e), 0);
    for (int i = 0; i < 4; i++)
        assert_string_equal(s->ops->file(s, i), f->path[expected[i]]);
    assert_null(s->ops->file(s, 4));
    assert_null(s->ops->file(s, -1));
    source_close(s);
}

/* Wide enough for several threads, stretches and tiles, with a remainder everywhere. */
static void large_tensors_arrive_whole(void **state)
{
    struct model_config large = gpt2;

    large.layers = 1, large.d_model = 330, large.head_dim = 66, large.d_ff = 701, large.vocab = 1801;
    arrives(*state, (struct recipe){.config = &large, .dtype = "F16", .prefix = "transformer."});
    arrives(*state, (struct recipe){.config = &large, .dtype = "F32", .prefix = "transformer."});
}

static void buffers_of_older_files_are_passed_over(void **state)
{
    struct model_config tied = llama;

    arrives(*state, (struct recipe){.config = &gpt2, .dtype = "F32", .prefix = "", .extra = "h.1.attn.bias"});
    arrives(*state,
            (struct recipe){.config = &gpt2, .dtype = "F32", .prefix = "", .extra = "transformer.h.0.attn.masked_bias"});
    arrives(*state, (struct recipe){.config = &gpt2, .dtype = "F32", .prefix = "transformer.", .extra = "lm_head.weight"});
    arrives(*state,
            (struct recipe){
                .config = &llama, .dtype = "F32", .prefix = "model.", .extra = "model.layers.0.self_attn.rotary_emb.inv_freq"});
    tied.tied_head = true;
    arrives(*state, (struct recipe){.config = &tied, .dtype = "F32", .prefix = "model.", .extra = "lm_head.weight"});
}

/* --- what does not fit the model ----------------------------------------------------------------------------------------- */

static void a_tensor_that_does_not_fit_the_model_is_named(void **state)
{
    struct recipe base = {.config = &gpt2, .dtype = "F32", .prefix = "transformer.", .change = "h.1.attn.c_attn.weight"},
                  r = base;

    r.name = "";
    refused(*state, r, "model.safetensors: tensor 'h.1.attn.c_attn.weight' is missing");
    r = base, r.shape = "60,20";
    refused(*state, r,
            "model.safetensors: tensor 'transformer.h.1.attn.c_attn.weight': shape [60, 20], config.json asks for [20, 60]");
    r.shape = "1200";
    refused(*state, r,
            "model.safetensors: tensor 'transformer.h.1.attn.c_attn.weight': shape [1200], config.json asks for [20, 60]");
    r.shape = "20,60,1";
    refused(*state, r,
            "model.safetensors: tensor 'transformer.h.1.attn.c_attn.weight': shape [20, 60, 1], config.json asks for [20, 60]");
    r.change = "ln_f.weight", r.shape = "20,1";
    refused(*state, r, "model.safetensors: tensor 'transformer.ln_f.weight': shape [20, 1], config.json asks for [20]");
    r = base, r.as = "I32";
    refused(*state, r,
            "model.safetensors: tensor 'transformer.h.1.attn.c_attn.weight': dtype I32 is not supported; expected F32, "
            "F16 or BF16");
    r = base, r.name = "transformer.h.1.attn.q_attn.weight";
    refused(*state, r, "model.safetensors: tensor 'h.1.attn.c_attn.weight' is missing");
}

static void a_tensor_that_the_model_does_not_know_is_named(void **state)
{
    struct recipe r = {.config = &gpt2, .dtype = "F32", .prefix = "transformer.", .extra = "transformer.h.2.ln_1.weight"};

    refused(*state, r, "model.safetensors: tensor 'transformer.h.2.ln_1.weight' is not part of a gpt2 model with 2 layers");
    r.extra = "h.x.attn.bias";
    refused(*state, r, "model.safetensors: tensor 'h.x.attn.bias' is not part of a gpt2 model with 2 layers");
    struct recipe biased = {
        .config = &llama, .dtype = "F32", .prefix = "model.", .extra = "model.layers.0.self_attn.q_proj.bias"};
    refused(*state, biased,
            "model.safetensors: tensor 'model.layers.0.self_attn.q_proj.bias' is not part of a llama model with 2 layers");
}

static void a_tensor_that_is_there_twice_is_named(void **state)
{
    struct folder *f = *state;
    char sentence[400];
    struct recipe r = {.config = &gpt2, .dtype = "F32", .prefix = "transformer.", .extra = "ln_f.bias"};

    write_model(f, &r);
    struct err e;
    assert_int_equal(read_model(f, &e), ERR_FORMAT);
    snprintf(sentence, sizeof sentence, "ln_f.bias' in %s", f->path[WHOLE]);
    assert_non_null(strstr(e.text, "ln_f.bias' is there twice, as '"));
    assert_non_null(strstr(e.text, sentence));
}

static void an_untied_head_is_not_made_up(void **state)
{
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model.", .change = "lm_head.weight", .name = ""};

    refused(*state, r, "model.safetensors: tensor 'lm_head.weight' is missing");
}

/* Opening is all that happens here: weights of 2 PB would be refused for want of memory, not by a tensor's shape. */
static void a_config_that_promises_more_than_the_files_hold_is_refused_before_memory_is_taken(void **state)
{
    struct folder *f = *state;
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model."};
    struct model_config most = llama;
    struct weights w;
    struct err e = {0};

    write_model(f, &r);
    most.layers = 1024, most.d_model = 65536, most.heads = most.kv_heads = most.head_dim = 1024, most.d_ff = 1 << 20;
    most.vocab = most.context = 1 << 24;
    write_config(f, &most);
    assert_int_equal(weights_alloc(&w, &most, DTYPE_F32, &e), ERR_MEMORY);
    expect_error(
        f, ERR_FORMAT,
        "model.safetensors: tensor 'model.embed_tokens.weight': shape [19, 12], config.json asks for [16777216, 65536]");
    most = llama, most.layers = 3;
    write_config(f, &most);
    expect_error(f, ERR_FORMAT, "model.safetensors: tensor 'layers.2.input_layernorm.weight' is missing");
}

/* --- shards -------------------------------------------------------------------------------------------------------------- */

static void an_index_that_lies_is_refused(void **state)
{
    static const struct {
        const char *index, *sentence;
    } cases[] = {
        {"{\"weight_map\":{\"x\":\"../b.safetensors\"}}",
         "model.safetensors.index.json: weight_map: 'x' is in '../b.safetensors': expected the name of a file in this folder"},
        {"{\"weight_map\":{\"x\":\"..\"}}",
         "model.safetensors.index.json: weight_map: 'x' is in '..': expected the name of a file in this folder"},
        {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}",
         "model.safetensors.index.json: weight_map: 'x' is in '/etc/passwd': expected the name of a file in this folder"},
        {"{\"weight_map\":{\"x\":7}}",
         "model.safetensors.index.json: weight_map: 'x' is in '': expected the name of a file in this folder"},
        {"{\"weight_map\":[]}", "model.safetensors.index.json: weight_map is missing; expected tensor names with their files"},
        {"[]", "model.safetensors.index.json: weight_map is missing; expected tensor names with their files"},
        {"{", "model.safetensors.index.json:1:1: string or '}' expected near end of file"},
        {"{\"weight_map\":{\"norm.weight\":\"b.safetensors\",\"layers.7.x\":\"a.safetensors\"}}",
         "model.safetensors.index.json: tensor 'layers.7.x' is not in 'a.safetensors'"},
        {"{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"embed_tokens.weight\":\"b.safetensors\"}}",
         "model.safetensors.index.json: tensor 'embed_tokens.weight' is not in 'b.safetensors'"},
        {"{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\"}}",
         "model.safetensors.index.json: tensor 'layers.0.input_layernorm.weight' is missing"},
    };
    struct folder *f = *state;
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "", .sharded = true};

    write_model(f, &r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text index = {0};
        text_puts(&index, cases[i].index);
        write_file(f->path[INDEX], &index);
        text_free(&index);
        expect_error(f, ERR_FORMAT, cases[i].sentence);
    }
}

static void a_shard_or_a_model_that_is_not_there_is_named(void **state)
{
    struct folder *f = *state;
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model.", .sharded = true};
    struct err e;

    write_model(f, &r);
    unlink(f->path[SHARD_B]);
    expect_error(f, ERR_IO, "b.safetensors: No such file or directory");
    unlink(f->path[INDEX]);
    assert_int_equal(read_model(f, &e), ERR_IO);
    assert_non_null(strstr(e.text, ": neither model.safetensors nor model.safetensors.index.json is there; save the model as "
                                   "safetensors"));
}

static void weights_that_are_only_pickled_are_refused_with_the_remedy(void **state)
{
    struct folder *f = *state;
    struct text pickle = {0};
    struct err e;
    char expected[600];

    write_config(f, &llama);
    text_puts(&pickle, "PK");
    write_file(f->path[PICKLE], &pickle);
    text_free(&pickle);
    assert_int_equal(read_model(f, &e), ERR_FORMAT);
    snprintf(expected, sizeof expected,
             "%s: the weights are only there as pytorch_model.bin, a pickle, which may run code and is not read; save them as "
             "safetensors, in transformers: m = AutoModelForCausalLM.from_pretrained(dir); m.save_pretrained(dir, "
             "safe_serialization=True)",
             f->dir);
    assert_string_equal(e.text, expected);
}

/* --- damage ----------------------------------------------------------------------------------------------------------------
 */

static void read_back(const char *path, struct text *file)
{
    struct err e = {0};

    assert_int_equal(text_read_file(file, path, 1 << 20, &e), 0);
}

/* Any answer is right but a crash; what is an error has a sentence. */
static void a_header_damaged_anywhere_is_survived(void **state)
{
    struct folder *f = *state;
    struct model_config small = llama;
    struct text file = {0};
    struct err e;
    uint64_t length, random = 1;
    int errors = 0;

    small.layers = 1;
    struct recipe r = {.config = &small, .dtype = "F32", .prefix = ""};
    write_model(f, &r);
    read_back(f->path[WHOLE], &file);
    memcpy(&length, file.data, sizeof length);
    for (int i = 0; i < 500; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        char *byte = &file.data[(random >> 33) % (8 + length)], was = *byte;
        *byte = "0123456789{}[]\",:-.eE\\x"[(random >> 20) % 23];
        write_file(f->path[WHOLE], &file);
        *byte = was;
        struct source *s = NULL;
        e = (struct err){0};
        int code = source_open(&s, f->dir, 1, &e);
        source_close(s);
        assert_true(code == 0 || e.text[0]);
        errors += code < 0;
    }
    assert_true(errors > 250);
    text_free(&file);
}

#define in_a_folder(test) cmocka_unit_test_teardown(test, empty_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_folder(every_dtype_arrives_in_its_place),
        in_a_folder(dtypes_may_differ_between_tensors),
        in_a_folder(every_family_arrives),
        in_a_folder(names_arrive_with_and_without_prefix),
        in_a_folder(biases_and_either_kind_of_head_arrive),
        in_a_folder(shards_arrive_through_their_index),
        in_a_folder(the_files_of_a_model_are_listed),
        in_a_folder(large_tensors_arrive_whole),
        in_a_folder(buffers_of_older_files_are_passed_over),
        in_a_folder(a_tensor_that_does_not_fit_the_model_is_named),
        in_a_folder(a_tensor_that_the_model_does_not_know_is_named),
        in_a_folder(a_tensor_that_is_there_twice_is_named),
        in_a_folder(an_untied_head_is_not_made_up),
        in_a_folder(a_config_that_promises_more_than_the_files_hold_is_refused_before_memory_is_taken),
        in_a_folder(an_index_that_lies_is_refused),
        in_a_folder(a_shard_or_a_model_that_is_not_there_is_named),
        in_a_folder(weights_that_are_only_pickled_are_refused_with_the_remedy),
        in_a_folder(a_header_damaged_anywhere_is_survived),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
