/* SPDX-License-Identifier: MIT
 * Which format a model is in, decided by what its path is and never by how a file is called. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_by_content(struct source **out, const char *path, uint64_t seed, struct err *e)
{
    char magic[4] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */

    if (fd < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    ssize_t n = read(fd, magic, sizeof magic);
    close(fd);
    if (n != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        return err_set(e, ERR_FORMAT, "%s: not a GGUF file; expected one, or a folder with config.json and model.safetensors",
                       path);
    return source_gguf.open(out, path, seed, e);
}

/* What is neither there nor looks like a path is a preset, maybe a misspelt one. */
int source_open(struct source **out, const char *path, uint64_t seed, struct err *e)
{
    struct stat st;
    bool there = stat(path, &st) == 0;
    int why = errno;

    if (there && S_ISDIR(st.st_mode))
        return source_hf.open(out, path, seed, e);
    if (there && S_ISREG(st.st_mode))
        return open_by_content(out, path, seed, e);
    if (there || strchr(path, '/'))
        return err_set(e, ERR_IO, "%s: %s", path, there ? "neither a file nor a folder" : strerror(why));
    return source_preset.open(out, path, seed, e);
}

void source_close(struct source *s)
{
    if (!s)
        return;
    free(s->rope_factors);
    s->rope_factors = NULL;
    s->ops->close(s);
}

/* Shares never read as none or all where they are not. */
static const char *share_text(char *buf, size_t size, uint64_t part, uint64_t all)
{
    double percent = 100 * (double)part / (double)all;

    if (percent < 0.5)
        snprintf(buf, size, "<1 %%");
    else if (percent >= 99.5)
        snprintf(buf, size, ">99 %%");
    else
        snprintf(buf, size, "%.0f %%", percent);
    return buf;
}

const char *source_dtypes(const struct source *s, char *buf, size_t size)
{
    uint64_t left[DTYPE_COUNT], all = 0;
    size_t n = 0;
    char share[16];

    memcpy(left, s->elements, sizeof left);
    for (int d = 0; d < DTYPE_COUNT; d++)
        all += left[d];
    buf[0] = 0;
    for (;;) { /* the largest share first */
        int most = 0;
        for (int d = 1; d < DTYPE_COUNT; d++)
            if (left[d] > left[most])
                most = d;
        if (left[most] == 0 || n >= size)
            return buf;
        if (left[most] == all)
            snprintf(buf, size, "%s", dtype_name((enum dtype)most));
        else
            n += (size_t)snprintf(buf + n, size - n, "%s%s %s", n ? ", " : "", dtype_name((enum dtype)most),
                                  share_text(share, sizeof share, left[most], all));
        left[most] = 0;
    }
}
