/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void text_free(struct text *t)
{
    free(t->data);
    *t = (struct text){0};
}

static void text_reserve(struct text *t, size_t more)
{
    size_t need = t->len + more + 1;

    if (need <= t->cap)
        return;
    size_t cap = t->cap ? t->cap : 64;
    while (cap < need)
        cap *= 2;
    t->data = realloc(t->data, cap);
    if (!t->data) {
        fprintf(stderr, "bench: out of memory for %zu bytes of text\n", cap);
        abort();
    }
    t->cap = cap;
}

void text_add(struct text *t, const char *bytes, size_t n)
{
    text_reserve(t, n);
    if (n)
        memcpy(t->data + t->len, bytes, n);
    t->len += n;
    t->data[t->len] = 0;
}

void text_puts(struct text *t, const char *s)
{
    text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n <= 0)
        return;
    text_reserve(t, (size_t)n);
    va_start(ap, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

int text_read_file(struct text *t, const char *path, size_t limit, struct err *e)
{
    struct stat st;
    int code = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0) {
        code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        code = err_set(e, ERR_IO, "%s: not a regular file", path);
        goto out;
    }
    if ((size_t)st.st_size > limit) {
        code = err_set(e, ERR_FORMAT, "%s: %lld bytes, more than the %zu expected at most", path, (long long)st.st_size, limit);
        goto out;
    }
    text_reserve(t, (size_t)st.st_size);
    t->data[t->len] = 0;
    for (size_t left = (size_t)st.st_size; left > 0;) {
        ssize_t n = read(fd, t->data + t->len, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
            goto out;
        }
        if (n == 0)
            break;
        t->len += (size_t)n;
        t->data[t->len] = 0;
        left -= (size_t)n;
    }
out:
    close(fd);
    return code;
}

/* 0, or why not; *opened tells a file that could not be begun from one that could not be finished. */
static int replace_file(const char *path, int (*put)(FILE *f, void *ctx), void *ctx, bool *opened)
{
    struct text tmp = {0};
    int why = 0;

    text_printf(&tmp, "%s.tmp.%ld", path, (long)getpid());
    int fd = open(tmp.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    *opened = f != NULL;
    if (!f) {
        why = errno;
        if (fd >= 0)
            close(fd);
        goto out;
    }
    errno = 0;
    if (put(f, ctx) != 0)
        why = errno ? errno : EIO;
    if (fclose(f) != 0 && why == 0)
        why = errno;
    if (why == 0 && rename(tmp.data, path) < 0)
        why = errno;
    if (why)
        unlink(tmp.data);
out:
    text_free(&tmp);
    return why;
}

int text_replace_file(const char *path, int (*put)(FILE *f, void *ctx), void *ctx, struct err *e)
{
    bool opened;
    int why = replace_file(path, put, ctx, &opened);

    return why ? err_set(e, ERR_IO, "%s: cannot write: %s", path, strerror(why)) : 0;
}

struct content {
    const char *data;
    size_t len;
};

static int put_content(FILE *f, void *ctx)
{
    const struct content *c = ctx;

    return fwrite(c->data, 1, c->len, f) == c->len ? 0 : -1;
}

int text_write_file(const char *path, const char *data, size_t len, struct err *e)
{
    struct content content = {data, len};
    bool opened;
    int why = replace_file(path, put_content, &content, &opened);

    if (why && opened)
        return err_set(e, ERR_IO, "%s: cannot write %zu bytes: %s", path, len, strerror(why));
    return why ? err_set(e, ERR_IO, "%s: cannot write: %s", path, strerror(why)) : 0;
}

enum { NEAREST_WORD_MAX = 64 };

/* Levenshtein distance; words longer than the limit are never typos of ours. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[NEAREST_WORD_MAX + 1], n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t keep = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = keep < best ? keep : best;
        }
    }
    return row[n];
}

const char *text_nearest(const char *word, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2;

    if (strlen(word) > NEAREST_WORD_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strlen(names[i]) > NEAREST_WORD_MAX)
            continue;
        size_t d = edit_distance(word, names[i]);
        if (d < best_distance) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

const char *text_bytes(char *buf, size_t size, double bytes)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int u = 0;

    while (bytes >= 999.5 && u < 5) {
        bytes /= 1000;
        u++;
    }
    if (u == 0)
        snprintf(buf, size, "%.0f B", bytes);
    else
        snprintf(buf, size, "%.*f %s", bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, bytes, unit[u]);
    return buf;
}
