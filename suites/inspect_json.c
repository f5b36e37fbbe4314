/* SPDX-License-Identifier: MIT
 * An inspection as one JSON document, "format": "bench-inspect/1". Times are nanoseconds, shapes lists, texts UTF-8 with U+FFFD
 * for bytes that are not (a token may be half a character; its id says which). */
#include <string.h>

#include "inspect.h"
#include "shown.h"

static json_t *token_text(const struct inspection *x, int32_t id)
{
    struct text bytes = {0};

    model_token_text(x->prompted->model, id, &bytes);
    json_t *out = shown_json_text(bytes.data, bytes.len);
    text_free(&bytes);
    return out;
}

static json_t *candidate(const struct inspection *x, const struct candidate *c)
{
    return json_pack("{s:i, s:o, s:f, s:f}", "id", (int)c->id, "text", token_text(x, c->id), "logit", (double)c->logit,
                     "probability", c->probability);
}

static json_t *step(const struct inspection *x, int i)
{
    const struct model_config *c = model_config(x->prompted->model);
    const struct inspected_step *s = &x->step[i];
    json_t *top = json_array();

    for (int k = 0; k < s->top_count; k++)
        json_array_append_new(top, candidate(x, &s->top[k]));
    return json_pack("{s:i, s:s, s:o, s:[i, i, i], s:[i, i, i, i], s:[i, i, i, i], s:o, s:o, s:b, s:I}", "step", i, "phase",
                     i ? "decode" : "prefill", "input_ids", shown_json_ids(s->input, s->inputs), "logits_shape", 1, s->inputs,
                     c->vocab, "k_shape", 1, c->kv_heads, s->kv_len, c->head_dim, "v_shape", 1, c->kv_heads, s->kv_len,
                     c->head_dim, "candidates", top, "chosen", candidate(x, &s->chosen), "ended", (int)s->ended, "wall_ns",
                     (json_int_t)s->wall_ns);
}

static json_t *steps(const struct inspection *x)
{
    json_t *out = json_array();

    for (int i = 0; i < x->steps; i++)
        json_array_append_new(out, step(x, i));
    return out;
}

static json_t *model(const struct inspection *x)
{
    const struct model_config *c = model_config(x->prompted->model);
    const struct model_info *info = model_info(x->prompted->model);
    char how[160];

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:i, s:s}", "name", c->name, "arch", c->arch, "format",
                     info->format, "weights", info->weights, "dtype", info->dtype, "layers", c->layers, "heads", c->heads,
                     "kv_heads", c->kv_heads, "vocab", c->vocab, "backend", x->options->backend, "threads",
                     x->prompted->team.threads, "sampling", sampling_about(&x->options->sampling, how, sizeof how));
}

static json_t *input(const struct inspection *x)
{
    const struct prompted *p = x->prompted;
    json_t *pieces = json_array();

    for (int i = 0; i < p->count; i++)
        json_array_append_new(pieces, token_text(x, p->ids[i]));
    return json_pack("{s:o, s:[i, i], s:o, s:o, s:I}", "prompt",
                     p->prompt ? shown_json_text(p->prompt, strlen(p->prompt)) : json_null(), "shape", 1, p->count, "ids",
                     shown_json_ids(p->ids, p->count), "pieces", pieces, "tokenize_ns", (json_int_t)p->tokenize_ns);
}

static json_t *generated(const struct inspection *x)
{
    struct text all = {0};

    model_text(x->prompted->model, x->chosen, x->steps, &all);
    json_t *out =
        json_pack("{s:o, s:o}", "ids", shown_json_ids(x->chosen, x->steps), "text", shown_json_text(all.data, all.len));
    text_free(&all);
    return out;
}

json_t *inspect_json(const struct inspection *x, const float *value, int n)
{
    int tokens = x->step[x->steps - 1].kv_len, capacity = x->prompted->count + x->wanted - 1;
    json_t *values = n ? json_array() : json_null();

    for (int i = 0; i < n; i++)
        json_array_append_new(values, json_real((double)value[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:{s:i, s:I, s:i, s:I, s:I}, s:o}", "format", "bench-inspect/1", "model",
                     model(x), "input", input(x), "steps", steps(x), "generated", generated(x), "kv", "tokens", tokens,
                     "formula_bytes", (json_int_t)inspection_kv_bytes(x, tokens), "capacity", capacity, "allocated_bytes",
                     (json_int_t)session_kv_bytes(x->session), "bytes_per_token", (json_int_t)inspection_kv_bytes(x, 1),
                     "first_key", values);
}
