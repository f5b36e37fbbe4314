/* SPDX-License-Identifier: MIT
 * Hugging Face folders for tests, written by hand: any dtype, prefix, packaging, and one thing changed so that the file lies.
 * Element i of a tensor in the file is pattern(name, i). Included once by each program that needs it, after check.h. */
#ifndef BENCH_HF_FILES_H
#define BENCH_HF_FILES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/hf.h"

/* --- a folder, and what may lie in it ------------------------------------------------------------------------------------ */

enum { CONFIG, WHOLE, INDEX, SHARD_A, SHARD_B, PICKLE, FILES };
static const char *const file_names[FILES] = {
    "config.json", "model.safetensors", "model.safetensors.index.json", "a.safetensors", "b.safetensors", "pytorch_model.bin",
};

struct folder {
    char dir[256], path[FILES][300]; /* in the order of file_names */
};

static inline int make_folder(void **state)
{
    static struct folder f;
    const char *tmp = getenv("TMPDIR");
    char dir[256];

    snprintf(dir, sizeof dir, "%s/hf_weights_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        return -1;
    memcpy(f.dir, dir, sizeof f.dir);
    for (int i = 0; i < FILES; i++)
        snprintf(f.path[i], sizeof f.path[i], "%s/%s", dir, file_names[i]);
    *state = &f;
    return 0;
}

static inline int empty_folder(void **state)
{
    struct folder *f = *state;

    for (int i = 0; i < FILES; i++)
        unlink(f->path[i]);
    return 0;
}

static inline int remove_folder(void **state)
{
    struct folder *f = *state;

    return rmdir(f->dir);
}

static inline void write_file(const char *path, const struct text *t)
{
    struct err e = {0};

    assert_int_equal(text_write_file(path, t->data, t->len, &e), 0);
}

/* --- writing a file ------------------------------------------------------------------------------------------------------ */

struct draft {
    struct text header, data; /* header without its braces */
};

static inline void add_tensor(struct draft *d, const char *name, const char *dtype, const char *shape, const void *bytes,
                              size_t n)
{
    text_printf(&d->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", d->header.len ? "," : "",
                name, dtype, shape, d->data.len, d->data.len + n);
    text_add(&d->data, bytes, n);
}

static inline void assemble(struct text *out, const char *header, const char *data, size_t n)
{
    uint64_t length = strlen(header);

    text_add(out, (const char *)&length, sizeof length);
    text_puts(out, header);
    text_add(out, data, n);
}

static inline void finish(struct draft *d, const char *path)
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
};

struct recipe {
    const struct model_config *config;
    const char *dtype; /* NULL: each tensor has one of the three */
    const char *prefix;
    const char *change; /* this tensor (bare name) ... */
    const char *name;   /* ... is called so (NULL: unchanged; "": left out), */
    const char *shape;  /* ... claims this shape, */
    const char *as;     /* ... claims this dtype */
    const char *extra;  /* a tensor more, four bytes of F32 */
    bool sharded;
    /* while writing */
    struct draft drafts[2];
    struct text weight_map;
    int written, pass;
};

static const char *const dtypes[] = {"F32", "F16", "BF16"};

/* Eighths from -15.875 to 15.875: exact in all three dtypes. */
static inline float pattern(const char *tensor, size_t i)
{
    unsigned h = 7;

    for (; *tensor; tensor++)
        h = h * 31 + (unsigned char)*tensor;
    return (float)((int)((h + i * 37) % 255) - 127) / 8;
}

static inline uint16_t half_of(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    return f == 0 ? sign : (uint16_t)(sign | (((u >> 23 & 0xff) - 112) << 10) | (u >> 13 & 0x3ff));
}

static inline void encode(struct text *out, float f, const char *dtype)
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

static inline bool has_prefix(const char *name)
{
    return strcmp(name, "lm_head.weight") != 0;
}

static inline const char *dtype_of(const struct recipe *r, const char *tensor)
{
    return r->dtype ? r->dtype : dtypes[(unsigned)(pattern(tensor, 0) * 8 + 127) % 3];
}

/* Element i of a slot in the file is pattern(name, i). Wide elements come first, so that all are aligned. */
static inline int write_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct recipe *r = ctx;
    struct draft *d = &r->drafts[r->sharded && r->written % 2];
    const char *dtype = dtype_of(r, slot->name);
    bool changed = r->change && strcmp(r->change, slot->name) == 0;
    char name[160], shape[64];
    struct text data = {0};
    int first = slot->transposed ? slot->to.cols : slot->to.rows, second = slot->transposed ? slot->to.rows : slot->to.cols;

    (void)e;
    if (strcmp(dtype, dtypes[r->pass]) != 0)
        return 0;
    for (size_t i = 0; i < (size_t)first * (size_t)second; i++)
        encode(&data, pattern(slot->name, i), dtype);
    snprintf(shape, sizeof shape, slot->to.cols == 1 ? "%d" : "%d,%d", first, second);
    snprintf(name, sizeof name, "%s%s", has_prefix(slot->name) ? r->prefix : "", slot->name);
    if (changed && r->name)
        snprintf(name, sizeof name, "%s", r->name);
    if (*name) {
        add_tensor(d, name, changed && r->as ? r->as : dtype, changed && r->shape ? r->shape : shape, data.data, data.len);
        text_printf(&r->weight_map, "%s\"%s\":\"%s\"", r->weight_map.len ? "," : "", name,
                    file_names[r->written % 2 ? SHARD_B : SHARD_A]);
    }
    r->written++;
    text_free(&data);
    return 0;
}

static inline void write_config(const struct folder *f, const struct model_config *c)
{
    struct text json = {0};

    hf_config_text(&json, c, DTYPE_F32);
    write_file(f->path[CONFIG], &json);
    text_free(&json);
}

static inline void write_model(const struct folder *f, struct recipe *r)
{
    struct weights w;
    struct err e = {0};
    float four = 4;

    write_config(f, r->config);
    assert_int_equal(weights_plan(&w, r->config, DTYPE_F32, &e), 0);
    for (r->pass = 0; r->pass < 3; r->pass++)
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

#endif
