/* SPDX-License-Identifier: MIT
 * A model in memory and a folder to write it to, for the tests of hf_write. Included once by each program that needs it, after
 * check.h. */
#ifndef BENCH_HF_ROOM_H
#define BENCH_HF_ROOM_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/hf.h"

/* --- a folder that need not be there ------------------------------------------------------------------------------------- */

struct room {
    char base[256], dir[300]; /* dir: written by the tests, in base */
};

static inline int make_room(void **state)
{
    static struct room r;
    const char *tmp = getenv("TMPDIR");

    snprintf(r.base, sizeof r.base, "%s/hf_write_test.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(r.base))
        return -1;
    snprintf(r.dir, sizeof r.dir, "%s/model", r.base);
    *state = &r;
    return 0;
}

static inline int empty_room(void **state)
{
    struct room *r = *state;
    DIR *d = opendir(r->dir);
    struct dirent *entry;
    char path[600];

    while (d && (entry = readdir(d))) {
        snprintf(path, sizeof path, "%s/%s", r->dir, entry->d_name);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(r->dir);
    return 0;
}

static inline int remove_room(void **state)
{
    struct room *r = *state;

    return rmdir(r->base);
}

static inline int count_files(const struct room *r)
{
    DIR *d = opendir(r->dir);
    struct dirent *entry;
    int n = 0;

    while (d && (entry = readdir(d)))
        n += entry->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static inline struct text content_of(const struct room *r, const char *name)
{
    struct text path = {0}, content = {0};
    struct err e = {0};

    text_printf(&path, "%s/%s", r->dir, name);
    assert_int_equal(text_read_file(&content, path.data, 64 << 20, &e), 0);
    text_free(&path);
    return content;
}

/* --- models -------------------------------------------------------------------------------------------------------------- */

static inline struct model_config preset(const char *name)
{
    struct model_config c;
    struct err e = {0};

    assert_int_equal(config_preset(&c, name, &e), 0);
    return c;
}

static inline struct model_config small_gpt2(void)
{
    struct model_config c = preset("tiny-gpt2");

    c.vocab = 300, c.context = 30, c.bos = -1, c.eos_count = 0;
    return c;
}

static inline struct model_config family(const char *arch)
{
    struct model_config c = preset("tiny-llama");

    snprintf(c.arch, sizeof c.arch, "%s", arch);
    c.qkv_bias = strcmp(arch, "qwen2") == 0;
    return c;
}

static inline void build(struct weights *w, const struct model_config *c)
{
    struct err e = {0};

    assert_int_equal(weights_alloc(w, c, DTYPE_F32, &e), 0);
    synthetic_fill(w, c, 5);
}

static inline void written(const struct room *r, const struct model_config *c, const struct weights *w, struct tokenizer *t,
                           enum dtype d)
{
    struct err e = {0};
    int code = hf_write(r->dir, c, w, t, d, &e);

    assert_string_equal(e.text, "");
    assert_int_equal(code, 0);
}

static inline struct source *opened(const struct room *r)
{
    struct source *s = NULL;
    struct err e = {0};

    source_open(&s, r->dir, 1, &e);
    assert_string_equal(e.text, "");
    return s;
}

#endif
