/* SPDX-License-Identifier: MIT
 * Weights of a Hugging Face folder: every dtype, name and packaging arrives bit for bit, and what does not fit the model is
 * refused in one sentence that names the tensor. The files are written here, tensor by tensor. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "formats/formats.h"
#include "model.h"
#include "text.h"

/* --- a folder, and what may lie in it ------------------------------------------------------------------------------------ */

static const char *const file_names[] = {"model.safetensors", "model.safetensors.index.json", "a.safetensors", "b.safetensors"};

struct folder {
    char dir[256], path[4][300]; /* in the order of file_names */
};
enum { WHOLE, INDEX, SHARD_A, SHARD_B };

static int make_folder(void **state)
{
    static struct folder f;
    const char *tmp = getenv("TMPDIR");
    char dir[256];

    snprintf(dir, sizeof dir, "%s/hf_weights_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    memcpy(f.dir, dir, sizeof f.dir);
    for (int i = 0; i < 4; i++)
        snprintf(f.path[i], sizeof f.path[i], "%s/%s", dir, file_names[i]);
    *state = &f;
    return 0;
}

static int empty_folder(void **state)
{
    struct folder *f = *state;

    for (int i = 0; i < 4; i++)
        unlink(f->path[i]);
    return 0;
}

static int remove_folder(void **state)
{
    struct folder *f = *state;

    return rmdir(f->dir);
}

static void write_file(const char *path, const struct text *t)
{
    struct err e = {0};

    assert_int_equal(text_write_file(path, t->data, t->len, &e), 0);
}

/* --- writing a file ------------------------------------------------------------------------------------------------------ */

struct draft {
    struct text header, data; /* header without its braces */
};

static void add_tensor(struct draft *d, const char *name, const char *dtype, const char *shape, const void *bytes, size_t n)
{
    text_printf(&d->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", d->header.len ? "," : "",
                name, dtype, shape, d->data.len, d->data.len + n);
    text_add(&d->data, bytes, n);
}

static void assemble(struct text *out, const char *header, const char *data, size_t n)
{
    uint64_t length = strlen(header);

    text_add(out, (const char *)&length, sizeof length);
    text_puts(out, header);
    text_add(out, data, n);
}

static void finish(struct draft *d, const char *path)
{
    struct text header = {0}, file = {0};

    text_printf(&header, "{\"__metadata__\":{\"format\":\"pt\"},%s}", d->header.data);
    while (header.len % 8)
        text_puts(&header, " ");
    assemble(&file, header.data, d->data.data, d->data.len);
    write_file(path, &file);
    text_free(&header);
    text_free(&file);
    text_free(&d->header);
    text_free(&d->data);
}

/* --- a model that a file is written from, with one thing changed --------------------------------------------------------- */

static const struct model_config gpt2 = {
    .arch = "gpt2",
    .layers = 2,
    .d_model = 20,
    .heads = 5,
    .kv_heads = 5,
    .head_dim = 4,
    .d_ff = 33,
    .vocab = 23,
    .context = 7,
    .position = POSITION_LEARNED,
    .qkv_bias = true,
    .out_bias = true,
    .mlp_bias = true,
    .tied_head = true,
    .norm_eps = 1e-5,
    .bos = -1,
    .eos = -1,
};
static const struct model_config llama = {
    .arch = "llama",
    .layers = 2,
    .d_model = 12,
    .heads = 6,
    .kv_heads = 2,
    .head_dim = 4,
    .d_ff = 17,
    .vocab = 19,
    .context = 64,
    .norm = NORM_RMS,
    .position = POSITION_ROTARY,
    .mlp = MLP_SWIGLU,
    .norm_eps = 1e-5,
    .rope_theta = 1e4,
    .bos = -1,
    .eos = -1,
};

struct recipe {
    const struct model_config *config;
    const char *dtype, *prefix;
    const char *change; /* this tensor (bare name) ... */
    const char *name;   /* ... is called so (NULL: unchanged; "": left out), */
    const char *shape;  /* ... claims this shape, */
    const char *as;     /* ... claims this dtype */
    const char *extra;  /* a tensor more, four bytes of F32 */
    bool sharded;
    /* while writing */
    struct draft drafts[2];
    struct text weight_map;
    int written;
};

/* Eighths from -15.875 to 15.875: exact in all three dtypes. */
static float pattern(const char *tensor, size_t i)
{
    unsigned h = 7;

    for (; *tensor; tensor++)
        h = h * 31 + (unsigned char)*tensor;
    return (float)((int)((h + i * 37) % 255) - 127) / 8;
}

static uint16_t half_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    return f == 0 ? sign : (uint16_t)(sign | (((u >> 23 & 0xff) - 112) << 10) | (u >> 13 & 0x3ff));
}

static void encode(struct text *out, float f, const char *dtype)
{
    uint32_t u;
    uint16_t half = half_of(f);

    memcpy(&u, &f, sizeof u);
    uint16_t top = (uint16_t)(u >> 16);
    if (strcmp(dtype, "F32") == 0)
        text_add(out, (const char *)&u, sizeof u);
    else
        text_add(out, (const char *)(strcmp(dtype, "F16") == 0 ? &half : &top), sizeof half);
}

static bool has_prefix(const char *name)
{
    return strcmp(name, "lm_head.weight") != 0;
}

/* Element i of a slot in the file is pattern(name, i). */
static int write_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct recipe *r = ctx;
    struct draft *d = &r->drafts[r->sharded && r->written % 2];
    bool changed = r->change && strcmp(r->change, slot->name) == 0;
    char name[160], shape[64];
    struct text data = {0};
    int first = slot->transposed ? slot->cols : slot->rows, second = slot->transposed ? slot->rows : slot->cols;

    (void)e;
    for (size_t i = 0; i < (size_t)first * (size_t)second; i++)
        encode(&data, pattern(slot->name, i), r->dtype);
    snprintf(shape, sizeof shape, slot->cols == 1 ? "%d" : "%d,%d", first, second);
    snprintf(name, sizeof name, "%s%s", has_prefix(slot->name) ? r->prefix : "", slot->name);
    if (changed && r->name)
        snprintf(name, sizeof name, "%s", r->name);
    if (*name) {
        add_tensor(d, name, changed && r->as ? r->as : r->dtype, changed && r->shape ? r->shape : shape, data.data, data.len);
        text_printf(&r->weight_map, "%s\"%s\":\"%s\"", r->weight_map.len ? "," : "", name,
                    file_names[r->written % 2 ? SHARD_B : SHARD_A]);
    }
    r->written++;
    text_free(&data);
    return 0;
}

static void write_model(const struct folder *f, struct recipe *r)
{
    struct weights w;
    struct err e = {0};
    float four = 4;

    assert_int_equal(weights_alloc(&w, r->config, &e), 0);
    assert_int_equal(weights_visit(&w, r->config, write_slot, r, &e), 0);
    weights_free(&w);
    if (r->extra)
        add_tensor(&r->drafts[0], r->extra, "F32", "1", &four, sizeof four);
    finish(&r->drafts[0], f->path[r->sharded ? SHARD_A : WHOLE]);
    if (r->sharded) {
        struct text index = {0};
        finish(&r->drafts[1], f->path[SHARD_B]);
        text_printf(&index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{%s}}", r->weight_map.data);
        write_file(f->path[INDEX], &index);
        text_free(&index);
    }
    text_free(&r->weight_map);
}

static int check_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    (void)ctx;
    (void)e;
    for (int r = 0; r < slot->rows; r++) {
        for (int c = 0; c < slot->cols; c++) {
            size_t in_file = slot->transposed ? (size_t)(c * slot->rows + r) : (size_t)(r * slot->cols + c);
            assert_true(slot->data[r * slot->cols + c] == pattern(slot->name, in_file));
        }
    }
    return 0;
}

static int read_model(const struct folder *f, const struct model_config *c, bool check, struct err *e)
{
    struct weights w;

    *e = (struct err){0};
    assert_int_equal(weights_alloc(&w, c, e), 0);
    int code = hf_read_weights(&w, c, f->dir, e);
    if (code == 0 && check)
        weights_visit(&w, c, check_slot, NULL, e);
    weights_free(&w);
    return code;
}

static void arrives(const struct folder *f, struct recipe r)
{
    struct err e;

    write_model(f, &r);
    assert_int_equal(read_model(f, r.config, true, &e), 0);
    assert_string_equal(e.text, "");
}

/* "<folder>/" and then the sentence. */
static void expect_error(const struct folder *f, const struct model_config *c, int code, const char *sentence)
{
    struct err e;
    char expected[600];

    assert_int_equal(read_model(f, c, false, &e), code);
    snprintf(expected, sizeof expected, "%s/%s", f->dir, sentence);
    assert_string_equal(e.text, expected);
}

static void refused(const struct folder *f, struct recipe r, const char *sentence)
{
    write_model(f, &r);
    expect_error(f, r.config, ERR_FORMAT, sentence);
}

/* --- what is read -------------------------------------------------------------------------------------------------------- */

static void every_dtype_arrives_in_its_place(void **state)
{
    static const char *const dtypes[] = {"F32", "F16", "BF16"};

    for (int i = 0; i < 3; i++) {
        arrives(*state, (struct recipe){.config = &gpt2, .dtype = dtypes[i], .prefix = "transformer."});
        arrives(*state, (struct recipe){.config = &llama, .dtype = dtypes[i], .prefix = "model."});
    }
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

/* Wide enough for several threads, stretches and tiles, with a remainder everywhere. */
static void large_tensors_arrive_whole(void **state)
{
    struct model_config large = gpt2;

    large.layers = 1, large.d_model = 330, large.d_ff = 701, large.vocab = 1801;
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
    assert_int_equal(read_model(f, &gpt2, false, &e), ERR_FORMAT);
    snprintf(sentence, sizeof sentence, "ln_f.bias' in %s", f->path[WHOLE]);
    assert_non_null(strstr(e.text, "ln_f.bias' is there twice, as '"));
    assert_non_null(strstr(e.text, sentence));
}

static void an_untied_head_is_not_made_up(void **state)
{
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model.", .change = "lm_head.weight", .name = ""};

    refused(*state, r, "model.safetensors: tensor 'lm_head.weight' is missing");
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
        expect_error(f, &llama, ERR_FORMAT, cases[i].sentence);
    }
}

static void a_shard_or_a_model_that_is_not_there_is_named(void **state)
{
    struct folder *f = *state;
    struct recipe r = {.config = &llama, .dtype = "F32", .prefix = "model.", .sharded = true};
    struct err e;

    write_model(f, &r);
    unlink(f->path[SHARD_B]);
    expect_error(f, &llama, ERR_IO, "b.safetensors: No such file or directory");
    unlink(f->path[INDEX]);
    assert_int_equal(read_model(f, &llama, false, &e), ERR_IO);
    assert_non_null(strstr(e.text, ": neither model.safetensors nor model.safetensors.index.json is there; save the model as "
                                   "safetensors"));
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
    struct weights w;
    struct err e = {0};
    uint64_t length, random = 1;
    int errors = 0;

    small.layers = 1;
    struct recipe r = {.config = &small, .dtype = "F32", .prefix = ""};
    write_model(f, &r);
    read_back(f->path[WHOLE], &file);
    memcpy(&length, file.data, sizeof length);
    assert_int_equal(weights_alloc(&w, &small, &e), 0);
    for (int i = 0; i < 500; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        char *byte = &file.data[(random >> 33) % (8 + length)], was = *byte;
        *byte = "0123456789{}[]\",:-.eE\\x"[(random >> 20) % 23];
        write_file(f->path[WHOLE], &file);
        *byte = was;
        e = (struct err){0};
        int code = hf_read_weights(&w, &small, f->dir, &e);
        assert_true(code == 0 || e.text[0]);
        errors += code < 0;
    }
    assert_true(errors > 250);
    weights_free(&w);
    text_free(&file);
}

#define in_a_folder(test) cmocka_unit_test_teardown(test, empty_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_folder(every_dtype_arrives_in_its_place),
        in_a_folder(names_arrive_with_and_without_prefix),
        in_a_folder(biases_and_either_kind_of_head_arrive),
        in_a_folder(shards_arrive_through_their_index),
        in_a_folder(large_tensors_arrive_whole),
        in_a_folder(buffers_of_older_files_are_passed_over),
        in_a_folder(a_tensor_that_does_not_fit_the_model_is_named),
        in_a_folder(a_tensor_that_the_model_does_not_know_is_named),
        in_a_folder(a_tensor_that_is_there_twice_is_named),
        in_a_folder(an_untied_head_is_not_made_up),
        in_a_folder(an_index_that_lies_is_refused),
        in_a_folder(a_shard_or_a_model_that_is_not_there_is_named),
        in_a_folder(a_header_damaged_anywhere_is_survived),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
