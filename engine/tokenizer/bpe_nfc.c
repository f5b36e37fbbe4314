/* SPDX-License-Identifier: MIT
 * Unicode's composed form (NFC), which Qwen2 asks for. Characters are decomposed and composed by utf8proc; the marks between
 * are put in order here, since utf8proc does that in the square of their number. Bytes that are no UTF-8 stay as they are. */
#include <stdlib.h>
#include <utf8proc.h>

#include "bpe.h"

enum { DECOMPOSED_MAX = 4 }; /* code points that one character becomes at most (Unicode's stability policy) */

static const utf8proc_option_t form = UTF8PROC_STABLE | UTF8PROC_COMPOSE;

/* Nothing below U+0300 combines with what stands before it, or changes: most text is composed already. */
static bool is_composed(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)s[i] >= 0xcc)
            return false;
    return true;
}

static int compare_marks(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static unsigned class_of(utf8proc_int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Orders each run of combining marks by class, those of one class staying as they were. `key` has room for a run. */
static void order_marks(utf8proc_int32_t *c, size_t n, uint64_t *key)
{
    for (size_t i = 0, k; i < n; i += k + 1) {
        for (k = 0; i + k < n && class_of(c[i + k]) != 0; k++)
            key[k] = (uint64_t)class_of(c[i + k]) << 56 | (uint64_t)k << 24 | (uint64_t)c[i + k];
        qsort(key, k, sizeof *key, compare_marks);
        for (size_t m = 0; m < k; m++)
            c[i + m] = (utf8proc_int32_t)(key[m] & 0xffffff);
    }
}

/* Decomposes `len` bytes of valid UTF-8; returns how many code points these are and sets *run to the longest run of marks. */
static size_t decompose(const char *s, size_t len, utf8proc_int32_t *c, size_t *run)
{
    size_t n = 0, marks = 0;

    for (size_t i = 0; i < len;) {
        utf8proc_int32_t character;
        size_t before = n;
        i += (size_t)utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(len - i), &character);
        n += (size_t)utf8proc_decompose_char(character, c + n, DECOMPOSED_MAX, form, NULL);
        for (size_t k = before; k < n; k++) {
            marks = class_of(c[k]) ? marks + 1 : 0;
            *run = marks > *run ? marks : *run;
        }
    }
    return n;
}

/* `len` bytes of valid UTF-8. */
static int compose(const char *s, size_t len, struct text *out, struct err *e)
{
    utf8proc_int32_t *c = malloc((len + 1) * DECOMPOSED_MAX * sizeof *c);
    uint64_t *key = NULL;
    size_t n, run = 0;
    int code = 0;

    if (!c)
        return err_set(e, ERR_MEMORY, "out of memory for composing %zu bytes of text", len);
    n = decompose(s, len, c, &run);
    key = malloc((run + 1) * sizeof *key);
    if (!key) {
        code = err_set(e, ERR_MEMORY, "out of memory for composing %zu bytes of text", len);
        goto out;
    }
    order_marks(c, n, key);
    n = (size_t)utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, form);
    for (size_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        text_add(out, (char *)bytes, (size_t)utf8proc_encode_char(c[i], bytes));
    }
out:
    free(c);
    free(key);
    return code;
}

int bpe_nfc(const char *text, size_t len, struct text *out, struct err *e)
{
    int code = 0;

    for (size_t at = 0; at < len && code == 0;) {
        size_t run = bpe_utf8_run(text + at, len - at);
        size_t odd = at + run < len ? 1 : 0; /* the byte after it that is no UTF-8 */
        if (is_composed(text + at, run))
            text_add(out, text + at, run);
        else
            code = compose(text + at, run, out, e);
        text_add(out, text + at + run, odd);
        at += run + odd;
    }
    return code;
}
