/* SPDX-License-Identifier: MIT
 * A Hugging Face folder as a source: config.json says what the model is, generation_config.json (where it is there) what ends
 * a text, the safetensors files are held open and checked against both, and the tokenizer's files are found by their room. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hf.h"

/* The last part of the folder's real path: "." and a trailing slash say nothing to a reader of a report. */
static void name_after(struct model_config *c, const char *dir)
{
    char *real = realpath(dir, NULL);
    const char *slash = real ? strrchr(real, '/') : NULL;

    snprintf(c->name, sizeof c->name, "%s", slash ? slash + 1 : dir);
    free(real);
}

static void close_folder(struct source *s)
{
    struct hf_folder *f = (struct hf_folder *)s;

    hf_weights_close(f);
    text_free(&f->dir);
    text_free(&f->config);
    text_free(&f->generation);
    free(f);
}

static int open_folder(struct source **out, const char *path, uint64_t seed, struct err *e)
{
    struct hf_folder *f = calloc(1, sizeof *f);
    int code;

    (void)seed;
    if (!f)
        return err_set(e, ERR_MEMORY, "%s: out of memory", path);
    f->base.ops = &source_hf;
    snprintf(f->base.about, sizeof f->base.about, "%s", path);
    text_puts(&f->dir, path);
    text_printf(&f->config, "%s/config.json", path);
    text_printf(&f->generation, "%s/generation_config.json", path);
    if (access(f->generation.data, F_OK) < 0)
        text_free(&f->generation);
    code = hf_config_read(&f->base.config, f->config.data, f->generation.data, e);
    if (code == 0) {
        name_after(&f->base.config, path);
        code = hf_weights_open(f, e);
    }
    if (code < 0)
        close_folder(&f->base);
    else
        *out = &f->base;
    return code;
}

static int read_folder(struct source *s, struct weights *w, struct err *e)
{
    return hf_weights_read((struct hf_folder *)s, w, e);
}

static int open_tokenizer(struct source *s, struct tokenizer **out, struct err *e)
{
    return tokenizer_open_dir(out, ((struct hf_folder *)s)->dir.data, e);
}

static const char *file_of_folder(const struct source *s, int i)
{
    const struct hf_folder *f = (const struct hf_folder *)s;
    const char *small[3];
    int n = 0;

    small[n++] = f->config.data;
    if (f->generation.data)
        small[n++] = f->generation.data;
    if (f->index)
        small[n++] = f->where.data;
    if (i < 0 || i >= n + f->file_count)
        return NULL;
    return i < n ? small[i] : f->files[i - n].path;
}

const struct source_ops source_hf = {
    .name = "Hugging Face",
    .open = open_folder,
    .read = read_folder,
    .tokenizer = open_tokenizer,
    .file = file_of_folder,
    .close = close_folder,
};
