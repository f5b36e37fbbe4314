/* SPDX-License-Identifier: MIT
 * Reads the two text formats of a byte-level BPE, merges.txt and tiktoken's ranks, and opens a tokenizer from ranks; errors
 * name file and line. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpe.h"

enum { GPT2_END_OF_TEXT = 50256 };

static const char gpt2_file[] = "gpt2.tiktoken";

struct line {
    const char *text;
    size_t len, number;
};

/* The line after *line; false at the end of the file. A newline at the very end starts no further line. */
static bool next_line(const struct text *file, struct line *line)
{
    const char *end = file->data + file->len;
    const char *begin = line->text ? line->text + line->len + 1 : file->data;

    if (begin >= end)
        return false;
    const char *newline = memchr(begin, '\n', (size_t)(end - begin));
    *line = (struct line){.text = begin, .len = (size_t)((newline ? newline : end) - begin), .number = line->number + 1};
    return true;
}

static size_t count_lines(const struct text *file)
{
    struct line line = {0};

    while (next_line(file, &line))
        ;
    return line.number;
}

/* --- merges.txt --- */

int bpe_read_merges(struct bpe *t, const char *path, struct err *e)
{
    static const char version[] = "#version";
    struct text file = {0};
    struct line line = {0};
    int32_t rank = 0;
    int code = text_read_file(&file, path, TOKENIZER_FILE_MAX, e);

    if (code < 0)
        goto out;
    if ((code = bpe_merges_init(&t->merges, count_lines(&file), e)) < 0) {
        err_wrap(e, "%s", path);
        goto out;
    }
    while (next_line(&file, &line)) {
        if (line.number == 1 && line.len >= sizeof version - 1 && memcmp(line.text, version, sizeof version - 1) == 0)
            continue;
        if ((code = bpe_merges_put_line(t, rank++, line.text, line.len, e)) < 0) {
            err_wrap(e, "%s:%zu", path, line.number);
            goto out;
        }
    }
out:
    text_free(&file);
    return code;
}

/* --- tiktoken ranks --- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Appends the bytes; false where `len` characters are not padded base64. */
static bool base64_decode(const char *s, size_t len, struct text *out)
{
    if (len == 0 || len % 4 != 0)
        return false;
    size_t padding = s[len - 1] != '=' ? 0 : s[len - 2] != '=' ? 1 : 2;
    for (size_t i = 0; i < len; i += 4) {
        size_t digits = i + 4 < len ? 4 : 4 - padding;
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k < digits ? base64_value(s[i + k]) : 0;
            if (value < 0)
                return false;
            bits = bits << 6 | (uint32_t)value;
        }
        text_add(out, (char[]){(char)(bits >> 16), (char)(bits >> 8), (char)bits}, digits - 1);
    }
    return true;
}

/* -1 where `len` characters are not a decimal number of at most 7 digits. */
static int64_t parse_rank(const char *s, size_t len)
{
    int64_t rank = 0;

    if (len < 1 || len > 7)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        rank = 10 * rank + (s[i] - '0');
    }
    return rank;
}

static int put_rank_line(struct bpe *t, const struct line *line, struct err *e)
{
    const char *space = memchr(line->text, ' ', line->len);
    size_t coded = space ? (size_t)(space - line->text) : 0;
    int64_t rank = space ? parse_rank(space + 1, line->len - coded - 1) : -1;
    struct text bytes = {0};
    int code;

    if (rank >= 0 && base64_decode(line->text, coded, &bytes))
        code = vocab_put(&t->base.vocab, rank, bytes.data, bytes.len, TOKEN_NORMAL, e);
    else
        code = err_set(e, ERR_FORMAT, "expected a token in base64, one space and its rank");
    text_free(&bytes);
    return code;
}

static int read_ranks(struct bpe *t, const char *path, struct err *e)
{
    struct text file = {0};
    struct line line = {0};
    int code = text_read_file(&file, path, TOKENIZER_FILE_MAX, e);

    if (code < 0)
        goto out;
    if ((code = vocab_init(&t->base.vocab, count_lines(&file) + 1, e)) < 0) {
        err_wrap(e, "%s", path);
        goto out;
    }
    while (next_line(&file, &line)) {
        if ((code = put_rank_line(t, &line, e)) < 0) {
            err_wrap(e, "%s:%zu", path, line.number);
            goto out;
        }
    }
out:
    text_free(&file);
    return code;
}

/* GPT-2's <|endoftext|> is not among its ranks. */
static int put_end_of_text(struct bpe *t, struct err *e)
{
    static const char end_of_text[] = "<|endoftext|>";

    if (t->base.vocab.size != GPT2_END_OF_TEXT)
        return err_set(e, ERR_FORMAT, "ranks up to %d, expected GPT-2's up to %d", t->base.vocab.size - 1,
                       GPT2_END_OF_TEXT - 1);
    t->base.bos = t->base.eos = GPT2_END_OF_TEXT;
    return vocab_put(&t->base.vocab, GPT2_END_OF_TEXT, end_of_text, sizeof end_of_text - 1, TOKEN_CONTROL, e);
}

static int open_ranks(struct tokenizer **out, const char *path, bool gpt2, struct err *e)
{
    struct bpe *t = bpe_new(e);
    int code = t ? read_ranks(t, path, e) : ERR_MEMORY;

    if (code < 0)
        goto out;
    if ((!gpt2 || (code = put_end_of_text(t, e)) == 0) && (code = bpe_pattern_use(t, bpe_pre_find("gpt-2"), e)) == 0) {
        t->whole_first = true; /* as tiktoken does */
        code = bpe_finish(t, gpt2 ? "GPT-2's tiktoken ranks" : "tiktoken ranks", e);
    }
    if (code < 0)
        err_wrap(e, "%s", path);
out:
    if (code < 0)
        tokenizer_close(t ? &t->base : NULL);
    else
        *out = &t->base;
    return code;
}

int tokenizer_open_ranks(struct tokenizer **out, const char *path, struct err *e)
{
    return open_ranks(out, path, false, e);
}

/* Cuts the last name off a path: "/a/b" becomes "/a", "/a" becomes "" (so that "%s/file" is right for both). */
static void to_parent(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        *slash = 0;
}

int tokenizer_open_gpt2(struct tokenizer **out, struct err *e)
{
    const char *named = getenv("BENCH_GPT2_RANKS");
    char folder[PATH_MAX], path[PATH_MAX + sizeof gpt2_file + 1];

    if (named && *named) {
        int code = open_ranks(out, named, true, e);
        if (code < 0)
            err_wrap(e, "BENCH_GPT2_RANKS");
        return code;
    }
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = 0;
    to_parent(folder); /* the program's folder, then the one above: tests live in <build>/tests */
    for (int up = 0; up < 2; up++, to_parent(folder)) {
        snprintf(path, sizeof path, "%s/%s", folder, gpt2_file);
        if (access(path, F_OK) == 0)
            return open_ranks(out, path, true, e);
    }
    return err_set(e, ERR_ABSENT,
                   "%s: not beside the program, nor in the folder above; `make` puts it there, or name one in "
                   "BENCH_GPT2_RANKS",
                   gpt2_file);
}
