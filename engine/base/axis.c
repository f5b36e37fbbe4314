/* SPDX-License-Identifier: MIT */
#include "axis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const flags[] = {"off", "on", NULL};
static const char *const strategies[] = {"greedy", "sample", "top_k", "top_p", "min_p", "beam", NULL};
static const char *const dtypes[] = {"f32", "f16", "bf16", "q8_0", "q4_0", NULL}; /* in the order of enum dtype */
static const char *const gemms[] = {"own", "openblas", NULL};
static const char *const attentions[] = {"flash", "naive", NULL};
static const char *const launches[] = {"graph", "eager", NULL};

enum { TOKENS_MAX = 1 << 20, BATCH_MAX = 4096, THREADS_MAX = 4096, KV_DTYPES = 3 };
static const char *const kv_dtypes[KV_DTYPES + 1] = {"f32", "f16", "bf16", NULL};

const struct axis_spec axes[AXIS_COUNT] = {
    [AXIS_KV_CACHE] = {.name = "kv_cache", .section = "workload", .words = flags, .usual = 1},
    [AXIS_BATCH] = {.name = "batch", .section = "workload", .least = 1, .most = BATCH_MAX, .usual = 1},
    [AXIS_PROMPT_TOKENS] = {.name = "prompt_tokens", .section = "workload", .zero = "text", .least = 1, .most = TOKENS_MAX},
    [AXIS_NEW_TOKENS] = {.name = "new_tokens", .section = "workload", .least = 1, .most = TOKENS_MAX, .usual = 16},
    [AXIS_STRATEGY] = {.name = "strategy", .section = "workload", .words = strategies},
    [AXIS_DTYPE] = {.name = "dtype", .section = "engine", .words = dtypes},
    [AXIS_KV_DTYPE] = {.name = "kv_dtype", .section = "engine", .words = kv_dtypes},
    [AXIS_THREADS] = {.name = "threads", .section = "engine", .zero = "all", .least = 1, .most = THREADS_MAX},
    [AXIS_GEMM] = {.name = "gemm", .section = "engine", .words = gemms},
    [AXIS_ATTENTION] = {.name = "attention", .section = "engine", .words = attentions},
    [AXIS_LAUNCH] = {.name = "launch", .section = "engine", .words = launches},
};

const char *const axis_names[AXIS_COUNT] = {"kv_cache", "batch",   "prompt_tokens", "new_tokens", "strategy", "dtype",
                                            "kv_dtype", "threads", "gemm",          "attention",  "launch"};

int axis_find(const char *name)
{
    for (int a = 0; a < AXIS_COUNT; a++)
        if (strcmp(axes[a].name, name) == 0)
            return a;
    return -1;
}

const char *axis_text(enum axis a, int value, char buf[AXIS_TEXT])
{
    if (axes[a].words)
        return axes[a].words[value];
    if (value == 0 && axes[a].zero)
        return axes[a].zero;
    snprintf(buf, AXIS_TEXT, "%d", value);
    return buf;
}

bool axis_value(enum axis a, const char *text, int *value)
{
    const struct axis_spec *s = &axes[a];
    char *end;

    for (int i = 0; s->words && s->words[i]; i++)
        if (strcmp(s->words[i], text) == 0) {
            *value = i;
            return true;
        }
    if (s->words)
        return false;
    if (s->zero && strcmp(s->zero, text) == 0) {
        *value = 0;
        return true;
    }
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < s->least || n > s->most)
        return false;
    *value = (int)n;
    return true;
}
