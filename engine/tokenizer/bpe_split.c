/* SPDX-License-Identifier: MIT
 * Cuts text into the pieces that are merged each on its own, by a regular expression that comes with the tokenizer. PCRE2 wants
 * valid UTF-8, the world does not always give it: a stretch of valid text is split as if the text were only that, and each
 * byte between such stretches is a piece of its own. What the pattern leaves out is a piece too, so nothing is ever lost. */
#include <string.h>

#include "bpe.h"

/* `\s` is what Unicode calls White_Space in the engines these patterns were written for; PCRE2's own `\s` is a little
 * different. */
static void rewrite_space_class(const char *pattern, struct text *out)
{
    for (const char *p = pattern; *p; p++) {
        if (p[0] != '\\' || !p[1]) {
            text_add(out, p, 1);
            continue;
        }
        p++;
        if (*p == 's')
            text_puts(out, "\\p{WSpace}");
        else if (*p == 'S')
            text_puts(out, "\\P{WSpace}");
        else
            text_add(out, p - 1, 2);
    }
}

int bpe_pattern_compile(pcre2_code **out, const char *pattern, struct err *e)
{
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C;
    struct text rewritten = {0};
    PCRE2_SIZE where = 0;
    int why = 0;

    rewrite_space_class(pattern, &rewritten);
    *out = pcre2_compile((PCRE2_SPTR)rewritten.data, rewritten.len, options, &why, &where, NULL);
    text_free(&rewritten);
    if (!*out) {
        char sentence[160] = "";
        pcre2_get_error_message(why, (PCRE2_UCHAR *)sentence, sizeof sentence);
        return err_set(e, ERR_FORMAT, "the splitting pattern does not compile: %s", sentence);
    }
    pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* where it fails, pcre2_match interprets: slower, same pieces */
    return 0;
}

/* Bytes of the UTF-8 character at s, 0 where there is none (Unicode table 3-7: no overlong forms, no surrogates). */
static size_t utf8_character(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    size_t n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t bpe_utf8_run(const char *s, size_t left)
{
    size_t n = 0, step;

    while (n < left && (step = utf8_character((const unsigned char *)s + n, left - n)) > 0)
        n += step;
    return n;
}

/* Finds the next match in [at, run_end); where there is none it is the empty one at run_end. */
static int find_match(struct bpe_split *s, struct err *e)
{
    const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY; /* bpe_utf8_run has checked, once for all */
    PCRE2_SPTR run = (PCRE2_SPTR)s->text + s->run_begin;
    PCRE2_SIZE len = s->run_end - s->run_begin, from = s->at - s->run_begin;
    int rc = pcre2_match(s->code, run, len, from, options, s->match, NULL);

    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* a pattern that repeats groups, on long text: the interpreter has the room */
        rc = pcre2_match(s->code, run, len, from, options | PCRE2_NO_JIT, s->match, NULL);
    if (rc == PCRE2_ERROR_NOMATCH) {
        s->match_begin = s->match_end = s->run_end;
        return 0;
    }
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->match);
    if (rc < 0) {
        char why[160] = "";
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(e, ERR_FORMAT, "the splitting pattern gave up on this text at byte %zu: %s", s->at, why);
    }
    s->match_begin = s->run_begin + found[0];
    s->match_end = s->run_begin + found[1];
    return 0;
}

int bpe_split_next(struct bpe_split *s, const char **piece, size_t *len, struct err *e)
{
    size_t end;
    int code;

    if (s->at == s->len)
        return 0;
    if (s->at == s->run_end) {
        s->run_begin = s->at;
        s->run_end = s->at + bpe_utf8_run(s->text + s->at, s->len - s->at);
    }
    if (s->at == s->run_end) {
        end = s->run_end = s->at + 1; /* a byte that starts no character */
    } else {
        if (s->at >= s->match_end && (code = find_match(s, e)) < 0)
            return code;
        end = s->at < s->match_begin ? s->match_begin : s->match_end;
    }
    *piece = s->text + s->at;
    *len = end - s->at;
    s->at = end;
    return 1;
}

/* --- patterns by name --- */

/* From OpenAI's GPT-2 release (encoder.py), as every reader of its vocabulary uses it. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* From the tokenizer.json of Llama 3 and of Qwen2, which differ in how many digits go together. */
#define CL100K(digits)                                                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"      \
    "\\s+(?!\\S)|\\s+"

/* GPT-2's after every digit has been set apart: white space in front of one ends a stretch of text there. */
#define DIGITS_GPT2 "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?![^\\s\\p{N}])|\\s+"

/* The names that llama.cpp writes into GGUF files for models of the families we run; what it calls "default" splits four times
 * over and is none of these. */
static const struct bpe_pre pres[] = {
    {.name = "gpt-2", .pattern = GPT2},
    {.name = "llama-bpe", .pattern = CL100K("\\p{N}{1,3}"), .whole_first = true, .add_bos = true},
    {.name = "llama3", .pattern = CL100K("\\p{N}{1,3}"), .whole_first = true, .add_bos = true},
    {.name = "llama-v3", .pattern = CL100K("\\p{N}{1,3}"), .whole_first = true, .add_bos = true},
    {.name = "falcon3", .pattern = CL100K("\\p{N}{1,3}"), .whole_first = true, .add_bos = true},
    {.name = "smaug-bpe", .pattern = CL100K("\\p{N}{1,3}")},
    {.name = "qwen2", .pattern = CL100K("\\p{N}")},
    {.name = "deepseek-r1-qwen", .pattern = CL100K("\\p{N}")},
    {.name = "megrez", .pattern = CL100K("\\p{N}")},
    {.name = "smollm", .pattern = DIGITS_GPT2},
    {.name = "refact", .pattern = DIGITS_GPT2},
};

enum { PRES = sizeof pres / sizeof *pres };

const struct bpe_pre *bpe_pre_find(const char *name)
{
    for (size_t i = 0; i < PRES; i++)
        if (strcmp(pres[i].name, name) == 0)
            return &pres[i];
    return NULL;
}

void bpe_pre_names(struct text *out)
{
    for (size_t i = 0; i < PRES; i++)
        text_printf(out, "%s%s", i ? ", " : "", pres[i].name);
}

int bpe_pattern_use(struct bpe *t, const struct bpe_pre *pre, struct err *e)
{
    t->pre = pre->name;
    t->whole_first = pre->whole_first;
    return bpe_pattern_compile(&t->pattern, pre->pattern, e);
}
