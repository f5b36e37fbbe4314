/* SPDX-License-Identifier: MIT
 * utf8proc knows what is UTF-8, which characters have a picture, and how wide they are. */
#include "shown.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* Bytes of the character at the start, 0 when it is none. */
static size_t character(const char *bytes, size_t n, utf8proc_int32_t *out)
{
    utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)n, out);

    return used > 0 ? (size_t)used : 0;
}

/* Separators other than the plain space, controls, and what has no meaning are not to be seen. */
static bool is_visible(utf8proc_int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);

    return c == ' ' || (k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS);
}

static void add_escaped(struct text *out, utf8proc_int32_t c)
{
    if (c == '\n' || c == '\r' || c == '\t')
        text_printf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else if (c < 0x80)
        text_printf(out, "\\x%02x", (unsigned)c);
    else
        text_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
}

int shown_quoted(struct text *out, const char *bytes, size_t n)
{
    char quote = n && memchr(bytes, '\'', n) && !memchr(bytes, '"', n) ? '"' : '\'';
    int hidden = 0; /* bytes in `out` beyond one a column */
    size_t start = out->len;

    text_add(out, &quote, 1);
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        size_t used = character(bytes + i, n - i, &c);
        if (used == 0) {
            text_printf(out, "\\x%02x", (unsigned char)bytes[i++]);
            continue;
        }
        if (c == quote || c == '\\')
            text_puts(out, "\\");
        if (is_visible(c)) {
            text_add(out, bytes + i, used);
            hidden += (int)used - utf8proc_charwidth(c);
        } else {
            add_escaped(out, c);
        }
        i += used;
    }
    text_add(out, &quote, 1);
    return (int)(out->len - start) - hidden;
}

const char *shown_integer(char buf[SHOWN_INTEGER], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = digits[i];
    }
    buf[at] = 0;
    return buf;
}

json_t *shown_json_text(const char *bytes, size_t n)
{
    struct text clean = {0};

    text_add(&clean, "", 0); /* so that there is a string even of nothing */
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        size_t used = character(bytes + i, n - i, &c);
        if (used)
            text_add(&clean, bytes + i, used);
        else
            text_puts(&clean, "\xef\xbf\xbd");
        i += used ? used : 1;
    }
    json_t *out = json_stringn(clean.data, clean.len);
    text_free(&clean);
    return out;
}

json_t *shown_json_ids(const int32_t *id, int n)
{
    json_t *out = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(out, json_integer(id[i]));
    return out;
}
