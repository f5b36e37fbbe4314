/* SPDX-License-Identifier: MIT
 * Missing is said in words, never left blank and never 0. */
#include "words.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static const char missing[] = "not measured";

const json_t *words_at(const json_t *object, const char *path)
{
    char key[64];

    while (object) {
        size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        if (!path[n])
            break;
        path += n + 1;
    }
    return json_is_null(object) ? NULL : object;
}

double words_number_at(const json_t *object, const char *path)
{
    const json_t *v = words_at(object, path);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *words_string_at(const json_t *object, const char *path)
{
    return json_string_value(words_at(object, path));
}

const char *words_value(char buf[WORDS_MAX], double v, const char *unit)
{
    char number[NUMBER_TEXT];

    if (isfinite(v))
        snprintf(buf, WORDS_MAX, "%s%s%s", number_text(number, v, 3), *unit ? " " : "", unit);
    else
        snprintf(buf, WORDS_MAX, "%s", missing);
    return buf;
}

const char *words_estimate(char buf[WORDS_MAX], const json_t *e, const char *unit)
{
    double lo = words_number_at(e, "lo"), hi = words_number_at(e, "hi");
    char low[NUMBER_TEXT], high[NUMBER_TEXT];

    words_value(buf, words_number_at(e, "median"), unit);
    size_t n = strlen(buf);
    if (isfinite(lo) && isfinite(hi))
        snprintf(buf + n, WORDS_MAX - n, " [%s, %s]", number_text(low, lo, 3), number_text(high, hi, 3));
    return buf;
}

const char *words_scaled(char buf[WORDS_MAX], double v, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P"};
    char scaled[16];
    int p = 0;

    while (fabs(v) >= 999.5 && p < 5) {
        v /= 1000;
        p++;
    }
    snprintf(scaled, sizeof scaled, "%s%s", prefix[p], unit);
    return words_value(buf, v, scaled);
}

const char *words_percent(char buf[WORDS_MAX], double share)
{
    return words_value(buf, 100 * share, "%");
}

const char *words_change(char buf[WORDS_MAX], double share)
{
    if (!isfinite(share))
        return words_value(buf, share, "");
    snprintf(buf, WORDS_MAX, "%+.2f %%", 100 * share);
    return buf;
}

const char *words_axis(char buf[WORDS_MAX], const json_t *of, const char *axis)
{
    const json_t *v = json_object_get(of, axis);

    if (json_is_integer(v))
        snprintf(buf, WORDS_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        snprintf(buf, WORDS_MAX, "%s", json_is_string(v) ? json_string_value(v) : "");
    return buf;
}

bool words_is_unusual(const json_t *axes, const json_t *of, const char *axis)
{
    const json_t *value = words_at(of, axis);
    json_t *a;
    size_t i;

    json_array_foreach((json_t *)axes, i, a)
    {
        const char *name = words_string_at(a, "name");
        if (value && name && strcmp(name, axis) == 0)
            return !json_equal(value, json_object_get(a, "usual"));
    }
    return false;
}

void words_unusual(struct text *out, const json_t *axes, const json_t *of, const char *before)
{
    static const char *const always[] = {"kv_cache", "prompt_tokens", "new_tokens"};
    char b[WORDS_MAX];
    json_t *a;
    size_t i;

    json_array_foreach((json_t *)axes, i, a)
    {
        const char *name = words_string_at(a, "name");
        bool said = !name;
        for (size_t k = 0; !said && k < sizeof always / sizeof *always; k++)
            said = strcmp(always[k], name) == 0;
        if (!said && words_is_unusual(axes, of, name))
            text_printf(out, "%s%s=%s", before, name, words_axis(b, of, name));
    }
}

void words_markdown(struct text *out, const char *bytes)
{
    for (const char *p = bytes; *p; p++) {
        bool inside_word = *p == '_' && p > bytes && isalnum((unsigned char)p[-1]) && isalnum((unsigned char)p[1]);
        if (*p == '\n' || *p == '\r') {
            text_puts(out, " ");
            continue;
        }
        if (!inside_word && strchr("\\`*_[]<>|~&$#", *p)) /* kv_cache reads better plain, and means no emphasis */
            text_puts(out, "\\");
        text_add(out, p, 1);
    }
}

void words_quoted(struct text *out, const char *bytes)
{
    text_puts(out, "\"");
    for (const unsigned char *p = (const unsigned char *)bytes; *p; p++) {
        if (*p == '"' || *p == '\\')
            text_printf(out, "\\%c", *p);
        else if (*p == '\n' || *p == '\t' || *p == '\r')
            text_puts(out, *p == '\n' ? "\\n" : *p == '\t' ? "\\t" : "\\r");
        else if (*p < 0x20 || *p == 0x7f)
            text_printf(out, "\\u%04x", *p);
        else
            text_add(out, (const char *)p, 1);
    }
    text_puts(out, "\"");
}
