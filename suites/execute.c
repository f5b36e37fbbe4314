/* SPDX-License-Identifier: MIT
 * Inside the timed window: session_prefill or session_decode, which includes choosing the token; that part is timed again by
 * itself. Outside: opening the session (memory is touched there), hashing, progress, storing. */
#include "execute.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

int execution_init(struct execution *x, int max_steps, struct err *e)
{
    *x = (struct execution){0};
    x->step = calloc((size_t)max_steps, sizeof *x->step);
    x->reading = calloc((size_t)max_steps * PROBES_MAX, sizeof *x->reading);
    if (!x->step || !x->reading) {
        execution_free(x);
        return err_set(e, ERR_MEMORY, "out of memory for the results of %d steps", max_steps);
    }
    return 0;
}

void execution_free(struct execution *x)
{
    free(x->step);
    free(x->reading);
    *x = (struct execution){0};
}

static void begin_sample(void *ctx, enum op op, int layer)
{
    struct sample_timer *t = ctx;

    (void)layer;
    if (op == OP_SAMPLE)
        t->begin_ns = clock_ns();
}

static void end_sample(void *ctx, enum op op, int layer)
{
    struct sample_timer *t = ctx;

    (void)layer;
    if (op == OP_SAMPLE)
        t->ns = clock_ns() - t->begin_ns;
}

static int measured_step(struct execution *x, struct session *s, const struct pass_probes *riders, struct err *e)
{
    const struct trial *t = x->trial;
    struct reading *readings = x->reading + (size_t)x->steps * PROBES_MAX, wall;
    int code;

    x->sample_timer.ns = 0;
    for (int i = 0; i < riders->count; i++)
        riders->riding[i]->ops->begin(riders->riding[i]);
    riders->clock->ops->begin(riders->clock);
    code = x->steps == 0 ? session_prefill(s, t->prompt, t->prompt_tokens, e) : session_decode(s, e);
    riders->clock->ops->end(riders->clock, &wall);
    for (int i = riders->count - 1; i >= 0; i--)
        riders->riding[i]->ops->end(riders->riding[i], &readings[i]);
    x->step[x->steps] = (struct executed_step){
        .wall_ns = (int64_t)wall.value[0].value,
        .sample_ns = (int64_t)x->sample_timer.ns,
        .kv_len = session_kv_len(s),
        .token = session_chosen(s)[0],
    };
    return code;
}

/* FNV-1a over the chosen tokens of all sequences, step by step. */
static void hash_tokens(struct execution *x, const int32_t *chosen, int batch)
{
    const unsigned char *byte = (const unsigned char *)chosen;

    for (size_t i = 0; i < (size_t)batch * sizeof *chosen; i++)
        x->tokens_hash = (x->tokens_hash ^ byte[i]) * 0x100000001b3ull;
}

/* Which beam is best may change at every step: what it was made of is known at the end. */
static void take_best_beam(struct execution *x, struct session *s)
{
    int n;
    const int32_t *tokens = session_tokens(s, 0, &n);

    for (int i = 0; i < x->steps && x->trial->prompt_tokens + i < n; i++)
        x->step[i].token = tokens[x->trial->prompt_tokens + i];
}

int execute_trial(struct execution *x, struct model *m, const struct trial *t, const struct pass_probes *riders,
                  execute_between between, void *ctx, struct err *e)
{
    int new_tokens = t->cell.value[AXIS_NEW_TOKENS], batch = t->cell.value[AXIS_BATCH];
    struct session_args args = {
        .batch = batch,
        .capacity = t->prompt_tokens + new_tokens - 1,
        .kv_cache = t->cell.value[AXIS_KV_CACHE],
        .ignore_eos = true,
        .sampling = t->sampling,
        .hooks = {.ctx = &x->sample_timer, .op_begin = begin_sample, .op_end = end_sample},
    };
    struct session *s = NULL;
    struct witness_mark mark;
    int code = session_open(&s, m, &args, e);

    if (code < 0)
        return err_wrap(e, "%s", t->label);
    x->trial = t;
    x->steps = 0;
    x->tokens_hash = 0xcbf29ce484222325ull;
    x->kv_allocated = (int64_t)session_kv_bytes(s);
    x->started_ns = (int64_t)clock_ns();
    witness_begin(&mark);
    while (code == 0 && x->steps < new_tokens) {
        code = measured_step(x, s, riders, e);
        if (code < 0)
            break;
        hash_tokens(x, session_chosen(s), batch);
        x->steps++;
        if (between(ctx, x) != 0)
            code = err_set(e, ERR_INTERRUPTED, "interrupted in %s after %d of %d steps", t->label, x->steps, new_tokens);
    }
    x->wall_ns = (int64_t)clock_ns() - x->started_ns;
    witness_end(&mark, &x->witness);
    if (code == 0 && t->sampling.beams > 1)
        take_best_beam(x, s);
    session_close(s);
    return code;
}

const char *execution_implausible(const struct execution *x, const struct pass_probes *riders)
{
    const char *why = NULL;

    for (int step = 0; step < x->steps; step++)
        for (int i = 0; i < riders->count; i++) {
            const struct probe *p = riders->riding[i];
            if (p->ops->plausible && !p->ops->plausible(p, &x->reading[(size_t)step * PROBES_MAX + (size_t)i], &why))
                return why;
        }
    return NULL;
}
