/* SPDX-License-Identifier: MIT
 * Runs the passes of an inspection. Only session_prefill and session_decode are inside the time of a step; looking at logits
 * and caches is not. Prefill computes logits for every position, as a training framework's model call does. */
#include "inspect.h"

#include <math.h>
#include <stdlib.h>

#include "clock.h"

int inspection_open(struct inspection *x, const struct prompted *p, const struct model_options *o, int steps, int top,
                    struct err *e)
{
    const struct model_config *c = model_config(p->model);
    struct session_args args = {.batch = 1, .kv_cache = true, .all_logits = true, .sampling = o->sampling};

    *x = (struct inspection){.prompted = p, .options = o, .wanted = steps, .top = top < c->vocab ? top : c->vocab};
    if (o->sampling.beams > 1)
        return err_set(e, ERR_USAGE, "--beams: inspect follows one sequence; `bench generate` searches with beams");
    if ((int64_t)p->count + steps - 1 > c->context)
        return err_set(e, ERR_USAGE, "%d tokens of prompt and %d steps need %lld positions, %s has %d", p->count, steps,
                       (long long)p->count + steps - 1, c->name, c->context);
    x->step = calloc((size_t)steps, sizeof *x->step);
    x->chosen = calloc((size_t)steps, sizeof *x->chosen);
    x->candidate = calloc((size_t)steps * (size_t)x->top, sizeof *x->candidate);
    if (!x->step || !x->chosen || !x->candidate)
        return err_set(e, ERR_MEMORY, "out of memory for %d candidates in %d steps", x->top, steps);
    args.capacity = p->count + steps - 1; /* the last choice is never read */
    return session_open(&x->session, p->model, &args, e);
}

void inspection_close(struct inspection *x)
{
    session_close(x->session);
    free(x->step);
    free(x->chosen);
    free(x->candidate);
    *x = (struct inspection){0};
}

/* The likeliest, and the chosen one with its probability: p / p_top = exp(logit - logit_top). */
static int look_at_choice(struct inspection *x, struct inspected_step *s, struct err *e)
{
    int vocab = model_config(x->prompted->model)->vocab;
    const float *logits = session_logits(x->session);

    if (!logits)
        return err_set(e, ERR_MEMORY, "out of memory for a copy of the logits");
    logits += (size_t)(s->inputs - 1) * (size_t)vocab;
    s->top = x->candidate + (size_t)x->steps * (size_t)x->top;
    s->top_count = sample_top(s->top, x->top, logits, vocab, e);
    if (s->top_count < 0)
        return s->top_count;
    s->chosen.id = session_chosen(x->session)[0];
    s->chosen.logit = logits[s->chosen.id];
    s->chosen.probability = s->top[0].probability * exp((double)s->chosen.logit - (double)s->top[0].logit);
    return 0;
}

int inspection_step(struct inspection *x, struct err *e)
{
    struct inspected_step *s = &x->step[x->steps];
    bool prefill = x->steps == 0;

    s->input = prefill ? x->prompted->ids : &x->chosen[x->steps - 1];
    s->inputs = prefill ? x->prompted->count : 1;
    uint64_t start = clock_ns();
    int code = prefill ? session_prefill(x->session, s->input, s->inputs, e) : session_decode(x->session, e);
    s->wall_ns = clock_ns() - start;
    if (code == 0)
        code = look_at_choice(x, s, e);
    if (code < 0)
        return code;
    s->kv_len = session_kv_len(x->session);
    s->ended = session_ended(x->session, 0);
    x->chosen[x->steps++] = s->chosen.id;
    return 0;
}

int inspection_first_key(struct inspection *x, float out[FIRST_VALUES], struct err *e)
{
    int dim = model_config(x->prompted->model)->head_dim, n = dim < FIRST_VALUES ? dim : FIRST_VALUES;
    float *key = malloc((size_t)dim * sizeof *key);

    if (!key)
        return err_set(e, ERR_MEMORY, "out of memory for a key");
    int code = session_kv_read(x->session, false, 0, 0, 0, 0, key, e);
    for (int i = 0; code == 0 && i < n; i++)
        out[i] = key[i];
    free(key);
    return code < 0 ? code : n;
}

uint64_t inspection_kv_bytes(const struct inspection *x, int tokens)
{
    return config_kv_bytes(model_config(x->prompted->model), 1, tokens, sizeof(float));
}
