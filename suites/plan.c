/* SPDX-License-Identifier: MIT
 * From a suite to trials on this machine: the model's shapes, the prompt's tokens, and what each trial should cost. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "roofs.h"
#include "run.h"
#include "text.h"
#include "work.h"

/* Without a tokenizer every byte of the prompt stands for one token: the work is the same, the words are not. */
static int bytes_as_tokens(struct plan *p, struct err *e)
{
    const char *text = p->suite.prompt;
    int vocab = model_config(p->model)->vocab;

    p->prompt_len = strlen(text);
    p->prompt_ids = malloc(p->prompt_len * sizeof *p->prompt_ids);
    if (!p->prompt_ids)
        return err_set(e, ERR_MEMORY, "prompt: out of memory");
    for (size_t i = 0; i < p->prompt_len; i++)
        p->prompt_ids[i] = (unsigned char)text[i] % vocab;
    return 0;
}

static int tokenize_prompt(struct plan *p, struct err *e)
{
    uint64_t start = clock_ns();
    int code = model_tokenize(p->model, p->suite.prompt, &p->prompt_ids, &p->prompt_len, e);

    p->tokenize_ns = clock_ns() - start;
    if (code == ERR_ABSENT)
        code = bytes_as_tokens(p, e);
    if (code < 0)
        return err_wrap(e, "%s: workload.prompt", p->suite.path);
    if (p->prompt_len == 0)
        return err_set(e, ERR_USAGE, "%s: workload.prompt: it has no tokens", p->suite.path);
    return 0;
}

/* The text's tokens, repeated or cut to the wanted length, for every sequence of the batch. */
static int make_prompt(const struct plan *p, struct trial *t, struct err *e)
{
    int wanted = t->cell.value[AXIS_PROMPT_TOKENS], batch = t->cell.value[AXIS_BATCH];

    t->prompt_tokens = wanted ? wanted : (int)p->prompt_len;
    t->prompt = malloc((size_t)batch * (size_t)t->prompt_tokens * sizeof *t->prompt);
    if (!t->prompt)
        return err_set(e, ERR_MEMORY, "%s: out of memory for its prompt", t->label);
    for (int i = 0; i < batch * t->prompt_tokens; i++)
        t->prompt[i] = p->prompt_ids[(size_t)(i % t->prompt_tokens) % p->prompt_len];
    return 0;
}

static void name_trial(struct trial *t)
{
    const int *value = t->cell.value;
    int n = snprintf(t->label, sizeof t->label, "kv_cache=%s prompt=%d new=%d", value[AXIS_KV_CACHE] ? "on" : "off",
                     t->prompt_tokens, value[AXIS_NEW_TOKENS]);

    if (value[AXIS_BATCH] > 1)
        n += snprintf(t->label + n, sizeof t->label - (size_t)n, " batch=%d", value[AXIS_BATCH]);
    if (value[AXIS_STRATEGY] != STRATEGY_GREEDY)
        snprintf(t->label + n, sizeof t->label - (size_t)n, " strategy=%s", strategy_names[value[AXIS_STRATEGY]]);
}

static int add_trial(struct plan *p, const struct cell *cell, uint64_t seed, struct err *e)
{
    struct trial *t = &p->trial[p->trials++];
    const struct model_config *c = model_config(p->model);
    int code, new_tokens = cell->value[AXIS_NEW_TOKENS];

    t->cell = *cell;
    suite_sampling(&p->suite, cell, seed, &t->sampling);
    t->rows = cell->value[AXIS_BATCH] * (t->sampling.beams > 1 ? t->sampling.beams : 1);
    code = make_prompt(p, t, e);
    if (code < 0)
        return code;
    name_trial(t);
    if ((int64_t)t->prompt_tokens + new_tokens - 1 > c->context)
        return err_set(e, ERR_USAGE, "%s: %s needs %d positions, %s has %d", p->suite.path, t->label,
                       t->prompt_tokens + new_tokens - 1, c->name, c->context);
    t->total_ns = calloc((size_t)p->suite.repetitions_max, sizeof *t->total_ns);
    if (!t->total_ns)
        return err_set(e, ERR_MEMORY, "%s: out of memory", t->label);
    return 0;
}

/* Two cells can become one once `text` has a length. */
static bool is_repeated(const struct plan *p, const struct cell *cell)
{
    struct cell full = *cell;

    if (full.value[AXIS_PROMPT_TOKENS] == 0)
        full.value[AXIS_PROMPT_TOKENS] = (int)p->prompt_len;
    for (int i = 0; i < p->trials; i++) {
        struct cell other = p->trial[i].cell;
        other.value[AXIS_PROMPT_TOKENS] = p->trial[i].prompt_tokens;
        if (memcmp(&other, &full, sizeof full) == 0)
            return true;
    }
    return false;
}

static int expand(struct plan *p, uint64_t seed, struct err *e)
{
    struct cell cells[TRIALS_MAX];
    int count, code = suite_cells(&p->suite, cells, TRIALS_MAX, &count, e);

    for (int i = 0; code == 0 && i < count; i++)
        if (!is_repeated(p, &cells[i]))
            code = add_trial(p, &cells[i], seed, e);
    return code;
}

int plan_open(struct plan *p, const struct run_options *o, bool plan_only, struct err *e)
{
    int code = suite_read(&p->suite, o->suite, o->overrides, o->quick, e);

    if (code < 0)
        return code;
    code = team_start(&p->team, o->threads, e);
    if (code < 0)
        return code;
    struct model_args args = {
        .source = o->model ? o->model : p->suite.model,
        .backend = o->backend,
        .threads = p->team.threads,
        .seed = o->seed,
        .plan_only = plan_only,
    };
    code = model_open(&p->model, &args, e);
    if (code < 0)
        return code;
    code = tokenize_prompt(p, e);
    if (code < 0)
        return code;
    return expand(p, o->seed, e);
}

void plan_close(struct plan *p)
{
    for (int i = 0; i < p->trials; i++) {
        free(p->trial[i].prompt);
        free(p->trial[i].total_ns);
    }
    free(p->prompt_ids);
    model_close(p->model);
    suite_free(&p->suite);
}

/* Work of all steps of one execution, and its time if every step ran at its roof. */
static struct work trial_work(const struct plan *p, const struct trial *t, double flops_roof, double bytes_roof, double *ns)
{
    struct work sum = {0};

    *ns = 0;
    for (int step = 0; step < t->cell.value[AXIS_NEW_TOKENS]; step++) {
        struct pass_shape shape = work_step_shape(t->rows, t->prompt_tokens, step, t->cell.value[AXIS_KV_CACHE]);
        struct work w = work_of_pass(model_config(p->model), &shape);
        work_add(&sum, &w, 1);
        *ns += work_roof_ns(&w, flops_roof, bytes_roof);
    }
    return sum;
}

static int measure_roof(struct roofs *r, const char *name, double *value, struct err *e)
{
    struct roof roof;

    for (int i = 0; i < roof_count; i++)
        if (strcmp(roof_specs[i].name, name) == 0) {
            int code = roofs_measure(r, i, &roof, e);
            *value = code == 0 ? roof.value : NAN;
            return code;
        }
    return err_set(e, ERR_ABSENT, "no roof called '%s'", name);
}

enum { PLAN_ROOF_MS = 40 };

int plan_print(struct plan *p, FILE *out, struct err *e)
{
    struct roofs *roofs = NULL;
    double flops_roof = 0, bytes_roof = 0, ns, total = 0;
    int code = roofs_open(&roofs, p->team.threads, PLAN_ROOF_MS, e);

    if (code == 0)
        code = measure_roof(roofs, "f32 fma", &flops_roof, e);
    if (code == 0)
        code = measure_roof(roofs, "dram read", &bytes_roof, e);
    roofs_close(roofs);
    if (code < 0)
        return code;
    fprintf(out, "%s: %s\n%s, %d thread%s; roofs now: %.0f GFLOP/s, %.1f GB/s\n\n", p->suite.name, p->suite.question,
            model_config(p->model)->name, p->team.threads, p->team.threads == 1 ? "" : "s", flops_roof / 1e9, bytes_roof / 1e9);
    fprintf(out, "%-44s %12s %12s %14s\n", "trial", "GFLOP", "GB", "ms at the roof");
    for (int i = 0; i < p->trials; i++) {
        struct work w = trial_work(p, &p->trial[i], flops_roof, bytes_roof, &ns);
        fprintf(out, "%-44s %12.2f %12.2f %14.1f\n", p->trial[i].label, w.flops / 1e9, work_bytes(&w) / 1e9, ns / 1e6);
        total += ns;
    }
    fprintf(
        out,
        "\n%d trials, %.1f s a round at the roof; %d to %d rounds and %d of warm-up, %g s at most, then the counting passes\n",
        p->trials, total / 1e9, p->suite.repetitions_min, p->suite.repetitions_max, p->suite.warmup, p->suite.budget_s);
    return 0;
}
