/* SPDX-License-Identifier: MIT
 * Inside the timed window: session_prefill or session_decode, which includes choosing the token. Outside: opening the session
 * (memory is touched there), the witness, hashing, progress, storing. */
#include "execute.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

int execution_init(struct execution *x, const struct plan *p, struct err *e)
{
    size_t steps = 1, tokens = 1;
    int code = 0;

    *x = (struct execution){0};
    for (int i = 0; i < p->trials; i++) {
        size_t n = (size_t)p->trial[i].cell.value[AXIS_NEW_TOKENS], all = n * (size_t)p->trial[i].cell.value[AXIS_BATCH];
        steps = n > steps ? n : steps;
        tokens = all > tokens ? all : tokens;
    }
    x->step = calloc(steps, sizeof *x->step);
    x->reading = calloc(steps * PROBES_MAX, sizeof *x->reading);
    x->chosen = calloc(tokens, sizeof *x->chosen);
    if (!x->step || !x->reading || !x->chosen)
        code = err_set(e, ERR_MEMORY, "out of memory for the results of %zu steps", steps);
    if (code == 0 && p->suite.per_op)
        code = op_meter_open(&x->meter, plan_config(p)->layers, e);
    if (code == 0 && p->device >= 0)
        code = device_log_open(&x->log, e);
    if (code < 0)
        execution_free(x);
    return code;
}

void execution_free(struct execution *x)
{
    free(x->step);
    free(x->reading);
    free(x->chosen);
    op_meter_close(&x->meter);
    device_log_close(&x->log);
    *x = (struct execution){0};
}

bool pass_is_whole(enum pass_kind kind)
{
    return kind == PASS_BARE || kind == PASS_SERIES;
}

static bool is_on_device(const struct execution *x)
{
    return model_info(x->trial->model)->on_device;
}

/* A device that chooses by itself does so within its stretch of work. */
static bool chooses_here(const struct execution *x)
{
    return !is_on_device(x) || !sampling_is_greedy(&x->trial->sampling);
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
        t->ns = (int64_t)(clock_ns() - t->begin_ns);
}

static int one_step(struct session *s, const struct trial *t, int step, struct err *e)
{
    return step == 0 ? session_prefill(s, t->prompt, t->cell.value[AXIS_PROMPT_TOKENS], e) : session_decode(s, e);
}

static void begin_watching(struct execution *x, const struct pass_probes *riders)
{
    x->sample_timer.ns = -1;
    if (riders->kind == PASS_OPS)
        op_meter_begin_step(&x->meter);
    for (int i = 0; riders->kind == PASS_STEPS && i < riders->count; i++)
        riders->riding[i]->ops->begin(riders->riding[i]);
    riders->clock->ops->begin(riders->clock);
}

static void end_watching(struct execution *x, const struct pass_probes *riders, struct reading *wall)
{
    struct reading *readings = x->reading + (size_t)x->steps * PROBES_MAX;
    const int steps = x->trial->cell.value[AXIS_NEW_TOKENS];

    riders->clock->ops->end(riders->clock, wall);
    for (int i = riders->count - 1; riders->kind == PASS_STEPS && i >= 0; i--)
        riders->riding[i]->ops->end(riders->riding[i], &readings[i]);
    if (riders->kind == PASS_OPS) {
        op_meter_end_step(&x->meter, x->steps, steps);
        readings[0] = x->meter.total;
        if (chooses_here(x))
            x->sample_timer.ns = (int64_t)op_meter_step_ns(&x->meter, OP_SAMPLE);
    }
    for (int i = 0; i < riders->count; i++)
        if (riders->riding[i]->ops->events)
            device_log_step(&x->log, riders->riding[i], x->steps, steps);
}

static int measured_step(struct execution *x, struct session *s, const struct pass_probes *riders, struct err *e)
{
    struct reading wall;

    begin_watching(x, riders);
    int code = one_step(s, x->trial, x->steps, e);
    end_watching(x, riders, &wall);
    x->step[x->steps] = (struct executed_step){
        .wall_ns = (int64_t)wall.value[0].value,
        .sample_ns = x->sample_timer.ns,
        .kv_len = session_kv_len(s),
        .token = session_chosen(s)[0],
        .launches = is_on_device(x) ? session_launches(s) : -1,
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
    int n, prompt = x->trial->cell.value[AXIS_PROMPT_TOKENS];
    const int32_t *tokens = session_tokens(s, 0, &n);

    for (int i = 0; i < x->steps && prompt + i < n; i++)
        x->step[i].token = tokens[prompt + i];
}

static int run_steps(struct execution *x, struct session *s, const struct pass_probes *riders, execute_between between,
                     void *ctx, struct err *e)
{
    const struct trial *t = x->trial;
    int new_tokens = t->cell.value[AXIS_NEW_TOKENS], code = 0;

    while (code == 0 && x->steps < new_tokens) {
        code = measured_step(x, s, riders, e);
        if (code < 0)
            break;
        hash_tokens(x, session_chosen(s), t->cell.value[AXIS_BATCH]);
        x->steps++;
        if (between(ctx, x) != 0)
            code = err_set(e, ERR_INTERRUPTED, "interrupted in %s after %d of %d steps", t->label, x->steps, new_tokens);
    }
    return code;
}

/* Samples are told since the first clock here. */
static int run_whole(struct execution *x, struct session *s, const struct pass_probes *riders, struct err *e)
{
    const struct trial *t = x->trial;
    int new_tokens = t->cell.value[AXIS_NEW_TOKENS], batch = t->cell.value[AXIS_BATCH], code;

    for (int i = 0; i < riders->count; i++)
        riders->riding[i]->ops->begin(riders->riding[i]);
    uint64_t begin = clock_ns();
    x->started_ns = (int64_t)begin;
    code = one_step(s, t, 0, e);
    x->prefill_ns = (int64_t)(clock_ns() - begin);
    memcpy(x->chosen, session_chosen(s), (size_t)batch * sizeof *x->chosen);
    for (int i = 1; code == 0 && i < new_tokens && !*riders->stop; i++) {
        code = one_step(s, t, i, e);
        memcpy(x->chosen + (size_t)i * (size_t)batch, session_chosen(s), (size_t)batch * sizeof *x->chosen);
    }
    x->wall_ns = (int64_t)(clock_ns() - begin);
    for (int i = 0; i < riders->count; i++)
        riders->riding[i]->ops->end(riders->riding[i], &x->reading[i]);
    if (code == 0 && *riders->stop)
        code = err_set(e, ERR_INTERRUPTED, "interrupted in %s", t->label);
    for (int i = 0; code == 0 && i < new_tokens; i++)
        hash_tokens(x, x->chosen + (size_t)i * (size_t)batch, batch);
    return code;
}

static struct engine_hooks hooks_of(struct execution *x, const struct pass_probes *riders)
{
    switch (riders->kind) {
    case PASS_OPS:
        return op_meter_hooks(&x->meter);
    case PASS_BARE:
    case PASS_SERIES:
        return (struct engine_hooks){0};
    default:
        return (struct engine_hooks){.ctx = &x->sample_timer, .op_begin = begin_sample, .op_end = end_sample};
    }
}

int execute_trial(struct execution *x, const struct trial *t, const struct pass_probes *riders, execute_between between,
                  void *ctx, struct err *e)
{
    const int *value = t->cell.value;
    struct session_args args = {
        .batch = value[AXIS_BATCH],
        .capacity = value[AXIS_PROMPT_TOKENS] + value[AXIS_NEW_TOKENS] - 1,
        .threads = value[AXIS_THREADS],
        .kv_dtype = (enum dtype)value[AXIS_KV_DTYPE],
        .attention = (enum attention)value[AXIS_ATTENTION],
        .launch = (enum launch)value[AXIS_LAUNCH],
        .kv_cache = value[AXIS_KV_CACHE],
        .ignore_eos = true,
        .sampling = t->sampling,
        .hooks = hooks_of(x, riders),
    };
    struct session *s = NULL;
    struct witness_mark mark;
    int code = session_open(&s, t->model, &args, e);

    if (code < 0)
        return err_wrap(e, "%s", t->label);
    x->trial = t;
    x->steps = 0;
    x->prefill_ns = 0;
    x->tokens_hash = 0xcbf29ce484222325ull;
    x->kv_allocated = (int64_t)session_kv_bytes(s);
    if (riders->kind == PASS_OPS) {
        op_meter_reset(&x->meter, riders->count ? riders->riding[0] : NULL);
        x->meter.chooses_here = chooses_here(x);
    }
    device_log_reset(&x->log);
    x->started_ns = (int64_t)clock_ns();
    witness_begin(&mark);
    if (pass_is_whole(riders->kind)) {
        code = run_whole(x, s, riders, e);
    } else {
        uint64_t begin = clock_ns();
        code = run_steps(x, s, riders, between, ctx, e);
        x->wall_ns = (int64_t)(clock_ns() - begin);
    }
    witness_end(&mark, &x->witness);
    if (code == 0 && t->sampling.beams > 1 && !pass_is_whole(riders->kind))
        take_best_beam(x, s);
    session_close(s);
    return code;
}

/* Without all of the device's work an op's time would be too short. */
static const char *lost_timeline(const struct reading *r)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].provenance == PROVENANCE_MISSING)
            return r->value[i].why;
    return NULL;
}

int execution_readings(const struct execution *x, const struct pass_probes *riders)
{
    return pass_is_whole(riders->kind) ? 1 : x->steps;
}

const char *execution_implausible(const struct execution *x, const struct pass_probes *riders)
{
    const char *why = NULL;

    for (int row = 0; row < execution_readings(x, riders); row++)
        for (int i = 0; i < riders->count; i++) {
            const struct probe *p = riders->riding[i];
            const struct reading *r = &x->reading[(size_t)row * PROBES_MAX + (size_t)i];
            if (p->ops->plausible && !p->ops->plausible(p, r, &why))
                return why;
            if (riders->kind == PASS_OPS && x->meter.timeline && (why = lost_timeline(r)))
                return why;
        }
    return NULL;
}
