/* SPDX-License-Identifier: MIT
 * What the GGUF tests share: a folder that is removed, small models with seeded weights, and writing, reading and refusing
 * them. Included once by each program that needs it, after check.h. */
#ifndef BENCH_GGUF_ROOM_H
#define BENCH_GGUF_ROOM_H

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/gguf.h"
#include "formats/source.h"
#include "text.h"

struct room {
    char dir[256], path[300];
};

static inline int room_make(void **state)
{
    static struct room r;
    const char *tmp = getenv("TMPDIR");

    snprintf(r.dir, sizeof r.dir, "%s/gguf_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(r.dir))
        return -1;
    omp_set_num_threads(1); /* the models are tiny */
    snprintf(r.path, sizeof r.path, "%s/a model.gguf", r.dir);
    *state = &r;
    return 0;
}

static inline int room_empty(void **state)
{
    unlink(((struct room *)*state)->path);
    return 0;
}

static inline int room_remove(void **state)
{
    return rmdir(((struct room *)*state)->dir); /* fails where a test has left something */
}

/* Two layers, sizes small enough that every byte of the file can be tried. */
static const struct model_config room_llama = {
    .name = "tiny",
    .arch = "llama",
    .layers = 2,
    .d_model = 8,
    .heads = 2,
    .kv_heads = 1,
    .head_dim = 4,
    .d_ff = 6,
    .vocab = 5,
    .context = 16,
    .norm = NORM_RMS,
    .position = POSITION_ROTARY,
    .mlp = MLP_SWIGLU,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .bos = 1,
    .eos = {2},
    .eos_count = 1,
};

static const struct model_config room_gpt2 = {
    .name = "tiny",
    .arch = "gpt2",
    .layers = 2,
    .d_model = 12,
    .heads = 3,
    .kv_heads = 3,
    .head_dim = 4,
    .d_ff = 20,
    .vocab = 7,
    .context = 9,
    .norm = NORM_LAYER,
    .position = POSITION_LEARNED,
    .mlp = MLP_GELU_TANH,
    .qkv_bias = true,
    .out_bias = true,
    .mlp_bias = true,
    .tied_head = true,
    .norm_eps = 1e-5,
    .bos = 3,
    .eos = {4, 5, 6},
    .eos_count = 3,
};

/* Floats are stored in single precision. */
static inline void room_same_config(const struct model_config *a, const struct model_config *b)
{
    static const size_t ints[] = {
        offsetof(struct model_config, layers),    offsetof(struct model_config, d_model),
        offsetof(struct model_config, heads),     offsetof(struct model_config, kv_heads),
        offsetof(struct model_config, head_dim),  offsetof(struct model_config, d_ff),
        offsetof(struct model_config, vocab),     offsetof(struct model_config, context),
        offsetof(struct model_config, norm),      offsetof(struct model_config, position),
        offsetof(struct model_config, mlp),       offsetof(struct model_config, window),
        offsetof(struct model_config, bos),       offsetof(struct model_config, window_first),
        offsetof(struct model_config, eos_count), offsetof(struct model_config, rope.kind),
    };

    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
        assert_memory_equal((const char *)a + ints[i], (const char *)b + ints[i], sizeof(int));
    assert_int_equal(a->qkv_bias, b->qkv_bias);
    assert_int_equal(a->out_bias, b->out_bias);
    assert_int_equal(a->mlp_bias, b->mlp_bias);
    assert_int_equal(a->tied_head, b->tied_head);
    assert_memory_equal(a->eos, b->eos, sizeof a->eos);
    assert_string_equal(a->arch, b->arch);
    assert_true((float)a->norm_eps == (float)b->norm_eps);
    assert_true((float)a->rope_theta == (float)b->rope_theta);
    assert_true((float)a->rope.factor == (float)b->rope.factor);
}

/* Freed by weights_free. */
static inline struct weights room_weights(const struct model_config *c)
{
    struct weights w;
    struct err e = {0};

    assert_int_equal(weights_alloc(&w, c, DTYPE_F32, &e), 0);
    synthetic_fill(&w, c, 7);
    return w;
}

static inline void room_write(const struct room *r, const struct model_config *c, enum dtype d)
{
    struct weights w = room_weights(c);
    struct err e = {0};

    if (gguf_write(r->path, c, &w, NULL, d, &e) < 0)
        fail_msg("%s", e.text);
    weights_free(&w);
}

/* Closed by source_gguf.close. */
static inline struct source *room_open(const struct room *r)
{
    struct source *s = NULL;
    struct err e = {0};

    if (source_gguf.open(&s, r->path, 0, &e) < 0)
        fail_msg("%s", e.text);
    return s;
}

/* "<path>: " and then the sentence. */
static inline void room_refuses(const struct room *r, int code, const char *sentence)
{
    struct source *s = NULL;
    struct err e = {0};
    char expected[600];

    snprintf(expected, sizeof expected, "%s: %s", r->path, sentence);
    if (source_gguf.open(&s, r->path, 0, &e) == 0) {
        source_gguf.close(s);
        fail_msg("opened instead of '%s'", expected);
    }
    assert_string_equal(e.text, expected);
    assert_int_equal(e.code, code);
}

static inline struct text room_load(const struct room *r)
{
    struct text file = {0};
    struct err e = {0};

    assert_int_equal(text_read_file(&file, r->path, 1 << 20, &e), 0);
    return file;
}

static inline void room_save(const struct room *r, const struct text *file)
{
    struct err e = {0};

    assert_int_equal(text_write_file(r->path, file->data, file->len, &e), 0);
}

static inline void room_put(struct text *t, uint64_t value, size_t width)
{
    text_add(t, (const char *)&value, width);
}

static inline void room_put_string(struct text *t, const char *s)
{
    room_put(t, strlen(s), 8);
    text_puts(t, s);
}

/* `count` keys, spelled out, in front of the file's own. A filler makes them a multiple of the alignment. */
static inline void room_add_keys(const struct room *r, struct text *keys, int count)
{
    struct text file = room_load(r), out = {0};
    uint64_t total;

    char filler[GGUF_ALIGNMENT] = {0};
    snprintf(filler, sizeof filler, "filler%zu", file.len); /* a name of its own */
    room_put_string(keys, filler);
    room_put(keys, GGUF_STRING, 4);
    memset(filler, 0, sizeof filler);
    memset(filler, '.', (size_t)(GGUF_ALIGNMENT - (keys->len + 8) % GGUF_ALIGNMENT) % GGUF_ALIGNMENT);
    room_put_string(keys, filler);
    memcpy(&total, file.data + 16, sizeof total);
    text_add(&out, file.data, 16);
    room_put(&out, total + (uint64_t)count + 1, 8);
    text_add(&out, keys->data, keys->len);
    text_add(&out, file.data + 24, file.len - 24);
    room_save(r, &out);
    text_free(&file);
    text_free(&out);
    text_free(keys);
}

/* The byte behind a name: a key's type, a tensor's number of dimensions. */
static inline size_t room_behind(const struct text *file, const char *name)
{
    uint64_t len = strlen(name);

    for (size_t i = 0; i + 8 + len <= file->len; i++)
        if (memcmp(file->data + i, &len, 8) == 0 && memcmp(file->data + i + 8, name, len) == 0)
            return i + 8 + len;
    fail_msg("there is no %s", name);
    return 0;
}

#endif
