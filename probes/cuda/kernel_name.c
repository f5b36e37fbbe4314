/* SPDX-License-Identifier: MIT
 * A demangled name is cut to the part that tells kernels apart: the function and the arguments of its template. */
#include "kernel_name.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the C++ runtime, <cxxabi.h>, which C cannot include: the name in memory of malloc, NULL when it is none of C++. */
extern char *__cxa_demangle(const char *mangled, char *buffer, size_t *length,
                            int *status); /* NOLINT(bugprone-reserved-identifier) */

static const struct {
    const char *word, *instead; /* never longer */
} words[] = {
    {"(anonymous namespace)::", ""},
    {"__nv_bfloat16", "bf16"},
    {"__half", "f16"},
    {"float", "f32"},
};

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Whole words only: float4 is another type. */
static void replace(char *s, const char *word, const char *instead)
{
    size_t n = strlen(word), m = strlen(instead);

    for (char *at = s; (at = strstr(at, word));) {
        bool part = (at > s && in_word(at[-1]) && in_word(word[0])) || (in_word(word[n - 1]) && in_word(at[n]));
        if (part) {
            at += n;
            continue;
        }
        memmove(at + m, at + n, strlen(at + n) + 1);
        for (size_t i = 0; i < m; i++)
            *at++ = instead[i];
    }
}

/* Between the return type, which templates have, and the parameters. */
static char *function_of(char *s)
{
    char *begin = s;
    int depth = 0;

    for (char *c = s; *c; c++) {
        depth += (*c == '<') - (*c == '>');
        if (depth == 0 && *c == ' ')
            begin = c + 1;
        if (depth == 0 && *c == '(') {
            *c = '\0';
            break;
        }
    }
    return begin;
}

void kernel_name(const char *mangled, char *out, size_t size)
{
    int status = 0;
    char *demangled = strncmp(mangled, "_Z", 2) == 0 ? __cxa_demangle(mangled, NULL, NULL, &status) : NULL;
    const char *name = mangled;

    if (demangled) {
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            replace(demangled, words[i].word, words[i].instead);
        name = function_of(demangled);
    }
    if ((size_t)snprintf(out, size, "%s", name) >= size)
        memcpy(out + size - sizeof "...", "...", sizeof "...");
    free(demangled);
}
