/* SPDX-License-Identifier: MIT
 * A folder for tokenizer files, ids to compare and text of all sorts, for the tests of tokenizers. Included once by each
 * program that needs it, after check.h. */
#ifndef BENCH_TOKEN_ROOM_H
#define BENCH_TOKEN_ROOM_H

#include <dirent.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tokenizer/tokenizer.h"

struct ids {
    int32_t *id;
    size_t n;
};

/* --- ids --- */

static inline struct ids encode(const struct tokenizer *t, const char *text, size_t len)
{
    struct ids out = {0};
    struct err e = {0};

    if (tokenizer_encode(t, text, len, &out.id, &out.n, &e) != 0)
        fail_msg("%s", e.text);
    return out;
}

static inline struct ids encode_prompt(const struct tokenizer *t, const char *text)
{
    struct ids out = {0};
    struct err e = {0};

    if (tokenizer_encode_prompt(t, text, strlen(text), &out.id, &out.n, &e) != 0)
        fail_msg("%s", e.text);
    return out;
}

/* Takes over got. */
static inline void assert_ids(struct ids got, const int32_t *want, size_t n)
{
    assert_int_equal(got.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got.id[i], want[i]);
    free(got.id);
}

#define IDS(...)                    (const int32_t[]){__VA_ARGS__}, sizeof(const int32_t[]){__VA_ARGS__} / sizeof(int32_t)
#define ASSERT_IDS(t, text, ...)    assert_ids(encode(t, text, strlen(text)), IDS(__VA_ARGS__))
#define ASSERT_PROMPT(t, text, ...) assert_ids(encode_prompt(t, text), IDS(__VA_ARGS__))

static inline void assert_same(struct ids a, struct ids b)
{
    assert_int_equal(a.n, b.n);
    if (a.n)
        assert_memory_equal(a.id, b.id, a.n * sizeof *a.id);
}

/* Both have the same ids for this text. */
static inline void assert_agree(const struct tokenizer *a, const struct tokenizer *b, const char *text, size_t len)
{
    struct ids want = encode(a, text, len), got = encode(b, text, len);

    assert_same(got, want);
    free(want.id);
    free(got.id);
}

static inline void assert_text(const struct tokenizer *t, struct ids ids, const char *want, size_t len)
{
    struct text text = {0};

    tokenizer_text(t, ids.id, ids.n, &text);
    assert_int_equal(text.len, len);
    if (len)
        assert_memory_equal(text.data, want, len);
    text_free(&text);
}

#define ASSERT_TEXT(t, want, ...)                                                                                              \
    assert_text(t, (struct ids){(int32_t[]){__VA_ARGS__}, sizeof(const int32_t[]){__VA_ARGS__} / sizeof(int32_t)}, want,       \
                strlen(want))

/* --- text --- */

static inline uint32_t below(uint64_t *state, uint32_t n)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static inline void add_utf8(struct text *t, uint32_t c)
{
    char s[4] = {(char)c};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n; n > 1 && i-- > 1; c >>= 6)
        s[i] = (char)(0x80 | (c & 0x3f));
    if (n > 1)
        s[0] = (char)((0xf00 >> n & 0xff) | c);
    text_add(t, s, n);
}

/* Characters of every Unicode block: none is shorter than 16. */
static inline void every_block(struct text *t)
{
    for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3400 ? 1 : 7)
        if (c < 0xd800 || c > 0xdfff)
            add_utf8(t, c);
}

/* Text of all sorts, from scripts and signs that have not changed since long; U+0085 and U+FEFF are left out, which JavaScript
 * takes for a letter and for a space. */
static inline void random_text(uint64_t *seed, struct text *out)
{
    static const uint32_t range[][2] = {{' ', '~'},       {'a', 'z'},       {'a', 'z'},         {'0', '9'},
                                        {'\t', '\r'},     {0xa0, 0x17e},    {0x391, 0x3a1},     {0x410, 0x44f},
                                        {0x621, 0x63a},   {0x660, 0x669},   {0x905, 0x939},     {0x300, 0x36f},
                                        {0x2000, 0x200a}, {0x2010, 0x2027}, {0x2160, 0x2188},   {0x3041, 0x3096},
                                        {0x4e00, 0x9fa5}, {0xac00, 0xd7a3}, {0x1f600, 0x1f64f}, {0x1d400, 0x1d454}};
    static const char *const phrase[] = {"'s",     "'LL",    "'Ve",     "'",      "  ",     "   \n",
                                         "\r\n\n", " \t",    "...",     " the",   "ing",    "\u3000",
                                         "\u180e", "\u2028", " \u00a0", "\u200b", "\u1680", "{\"a\":["};

    for (uint32_t parts = below(seed, 24); parts > 0; parts--) {
        if (below(seed, 3) == 0) {
            text_puts(out, phrase[below(seed, sizeof phrase / sizeof *phrase)]);
            continue;
        }
        const uint32_t *r = range[below(seed, sizeof range / sizeof *range)];
        for (uint32_t n = 1 + below(seed, 6); n > 0; n--)
            add_utf8(out, r[0] + below(seed, r[1] - r[0] + 1));
    }
}

/* --- the folder --- */

static inline char *room_open(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = malloc(512);

    snprintf(dir, 512, "%s/bench-tokenizer-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline const char *in_room(const char *dir, const char *name, char path[1024])
{
    snprintf(path, 1024, "%s/%s", dir, name);
    return path;
}

static inline void put_file(const char *dir, const char *name, const char *data, size_t len)
{
    char path[1024];

    assert_int_equal(text_write_file(in_room(dir, name, path), data, len, NULL), 0);
}

static inline void put_json(const char *dir, const char *name, const json_t *value)
{
    char *data = json_dumps(value, JSON_ENCODE_ANY);

    put_file(dir, name, data, strlen(data));
    free(data);
}

static inline void room_empty(const char *dir)
{
    DIR *d = opendir(dir);
    char path[1024];

    for (const struct dirent *f; d && (f = readdir(d));)
        if (f->d_name[0] != '.')
            unlink(in_room(dir, f->d_name, path));
    if (d)
        closedir(d);
}

static inline void room_close(char *dir)
{
    room_empty(dir);
    rmdir(dir);
    free(dir);
}

static inline struct tokenizer *open_dir(const char *dir)
{
    struct tokenizer *t = NULL;
    struct err e = {0};

    if (tokenizer_open_dir(&t, dir, &e) != 0)
        fail_msg("%s", e.text);
    return t;
}

/* The folder is refused with this code and, after the folder's name, this sentence. */
static inline void assert_refused(const char *dir, int code, const char *sentence)
{
    struct tokenizer *t = NULL;
    struct err e = {0};
    char want[1536];

    assert_int_equal(tokenizer_open_dir(&t, dir, &e), code);
    snprintf(want, sizeof want, "%s%s", dir, sentence);
    assert_string_equal(e.text, want);
    assert_null(t);
}

/* --- JSON --- */

/* Replaces the value at a path like "added_tokens.0.id" by JSON text; NULL removes it. */
static inline void set_at(json_t *root, const char *path, const char *value)
{
    json_t *new_value = value ? json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    char copy[128], *rest = copy, *key;
    json_t *at = root;

    snprintf(copy, sizeof copy, "%s", path);
    while ((key = strsep(&rest, ".")) && rest)
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
    if (json_is_array(at))
        json_array_set_new(at, (size_t)atoi(key), new_value);
    else if (new_value)
        json_object_set_new(at, key, new_value);
    else
        json_object_del(at, key);
}

#endif
