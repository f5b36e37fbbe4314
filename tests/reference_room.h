/* SPDX-License-Identifier: MIT
 * Models whose answers are known: an expected.json with prompts, the logits of every position and the greedy continuation, made
 * by someone else (Hugging Face transformers in data/reference, transformer.mjs in parity). Runs a model in all the ways that
 * must not matter and compares. Included once by each program that needs it, after check.h. */
#ifndef BENCH_REFERENCE_ROOM_H
#define BENCH_REFERENCE_ROOM_H

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { REFERENCE_GREEDY = 12, REFERENCE_PROMPT_MAX = 64 };

/* The largest difference of a logit that float32 explains; data/reference/README.md says what it tells apart. */
static const double reference_tolerance = 4e-5;

struct reference_run {
    int tokens; /* of the prompt; the greedy continuation is run where it is all of them */
    bool kv_cache, all_logits;
};

static inline json_t *reference_load(const char *folder)
{
    char path[4096];
    json_error_t why;

    snprintf(path, sizeof path, "%s/expected.json", folder);
    json_t *j = json_load_file(path, 0, &why);
    if (!j)
        fail_msg("%s: %s", path, why.text);
    return j;
}

static inline int reference_ids(const json_t *array, int32_t *out)
{
    int n = (int)json_array_size(array);

    assert_in_range(n, 1, REFERENCE_PROMPT_MAX);
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    return n;
}

/* A NaN is further off than everything else. */
static inline void reference_row(const struct model *m, const json_t *rows, int row, const float *got)
{
    const json_t *want = json_array_get(rows, (size_t)row);
    int vocab = model_config(m)->vocab;
    double most = 0;

    assert_int_equal(json_array_size(want), vocab);
    for (int i = 0; i < vocab; i++) {
        double off = fabs((double)got[i] - json_number_value(json_array_get(want, (size_t)i)));
        if (!(off <= most))
            most = off;
    }
    if (!(most <= reference_tolerance))
        fail_msg("%s, %s: logits of row %d are off by %g", model_info(m)->weights, model_info(m)->backend_about, row, most);
}

static inline void reference_decode(struct session *s, const struct model *m, const json_t *prompt,
                                    const struct reference_run *run)
{
    const json_t *logits = json_object_get(prompt, "decode_logits"); /* not everyone says these */
    int32_t greedy[REFERENCE_PROMPT_MAX];
    struct err e = {0};

    assert_int_equal(reference_ids(json_object_get(prompt, "greedy_with_cache"), greedy), REFERENCE_GREEDY);
    for (int i = 0;; i++) {
        if (session_chosen(s)[0] != greedy[i])
            fail_msg("%s, %s: token %d after a prompt of %d: %d, expected %d", model_info(m)->weights,
                     model_info(m)->backend_about, i, run->tokens, (int)session_chosen(s)[0], (int)greedy[i]);
        if (i == REFERENCE_GREEDY - 1)
            return;
        assert_int_equal(session_decode(s, &e), 0);
        if (logits && !run->all_logits)
            reference_row(m, logits, i, session_logits(s));
    }
}

static inline void reference_prompt(struct model *m, const json_t *prompt, const struct reference_run *run)
{
    struct session_args args = {
        .batch = 1, .capacity = run->tokens + REFERENCE_GREEDY, .kv_cache = run->kv_cache, .all_logits = run->all_logits};
    const json_t *logits = json_object_get(prompt, "logits");
    size_t vocab = (size_t)model_config(m)->vocab;
    int32_t ids[REFERENCE_PROMPT_MAX];
    struct session *s = NULL;
    struct err e = {0};

    int n = reference_ids(json_object_get(prompt, "tokens"), ids);
    assert_int_equal(json_array_size(logits), n);
    if (session_open(&s, m, &args, &e) != 0 || session_prefill(s, ids, run->tokens, &e) != 0)
        fail_msg("%s", e.text);
    if (run->all_logits)
        for (int i = 0; i < n; i++)
            reference_row(m, logits, i, session_logits(s) + (size_t)i * vocab);
    else
        reference_row(m, logits, run->tokens - 1, session_logits(s));
    if (run->tokens == n)
        reference_decode(s, m, prompt, run);
    session_close(s);
}

/* Every prompt at once with all logits, then generation: the short way, for a second copy of a model. */
static inline void reference_matches_briefly(struct model *m, const json_t *expected)
{
    const json_t *prompts = json_object_get(expected, "prompts");

    assert_int_equal(json_array_size(prompts), 3);
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const json_t *p = json_array_get(prompts, i);
        int n = (int)json_array_size(json_object_get(p, "tokens"));
        reference_prompt(m, p, &(struct reference_run){.tokens = n, .kv_cache = true, .all_logits = true});
    }
}

/* Also token by token, with and without the cache, and cut short at several lengths. */
static inline void reference_matches(struct model *m, const json_t *expected)
{
    const json_t *prompts = json_object_get(expected, "prompts");

    reference_matches_briefly(m, expected);
    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const json_t *p = json_array_get(prompts, i);
        int n = (int)json_array_size(json_object_get(p, "tokens"));
        reference_prompt(m, p, &(struct reference_run){.tokens = n, .kv_cache = true});
        reference_prompt(m, p, &(struct reference_run){.tokens = n, .kv_cache = false});
        for (int cut = 2; cut < n; cut += (cut + 1) / 2)
            reference_prompt(m, p, &(struct reference_run){.tokens = cut, .kv_cache = true});
    }
}

#endif
