/* SPDX-License-Identifier: MIT
 * Which roofs a trial stands on: reading memory, the compute roofs whose names begin with its arithmetic, and on a GPU that of
 * its way to launch. Those of float32 are always among them, because attention computes in it whatever the weights are. */
#include "ceilings.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct ceiling_set *find_set(const struct ceilings *c, int threads)
{
    for (int i = 0; i < c->sets; i++)
        if (c->set[i].threads == threads)
            return &c->set[i];
    return NULL;
}

static int add_set(struct ceilings *c, int threads, int ms, struct err *e)
{
    if (find_set(c, threads))
        return 0;
    if (c->sets == CEILING_SETS_MAX)
        return err_set(e, ERR_USAGE, "%s: more than %d numbers of threads in one run; shorten matrix.threads",
                       c->plan->suite.path, CEILING_SETS_MAX);
    int code = roofs_open(&c->set[c->sets].roofs, c->plan->device, threads, ms, e);
    if (code == 0)
        c->set[c->sets++].threads = threads;
    return code;
}

int ceilings_open(struct ceilings *c, const struct plan *p, int ms, struct err *e)
{
    *c = (struct ceilings){.plan = p};
    assert(roof_count <= CEILING_ROOFS_MAX);
    int code = add_set(c, p->team.threads, ms, e);
    for (int i = 0; code == 0 && i < p->trials; i++)
        code = add_set(c, p->trial[i].cell.value[AXIS_THREADS], ms, e);
    return code;
}

void ceilings_close(struct ceilings *c)
{
    for (int i = 0; i < c->sets; i++)
        roofs_close(c->set[i].roofs);
    *c = (struct ceilings){0};
}

/* "bf16 dot" is a roof of the arithmetic "bf16". */
static bool is_of(const struct roof_spec *spec, const char *arithmetic)
{
    size_t n = strlen(arithmetic);

    return spec->kind == ROOF_COMPUTE && strncmp(spec->name, arithmetic, n) == 0 && spec->name[n] == ' ';
}

/* "launch graph" is the roof of trials with launch: graph. */
static bool is_of_launch(const struct roof_spec *spec, int launch)
{
    char name[32];

    snprintf(name, sizeof name, "%s %s", axes[AXIS_LAUNCH].name, axes[AXIS_LAUNCH].words[launch]);
    return strcmp(spec->name, name) == 0;
}

static bool stands_on(const struct trial *t, const struct roof_spec *spec)
{
    if (spec->kind == ROOF_LAUNCH)
        return is_of_launch(spec, t->cell.value[AXIS_LAUNCH]);
    return spec->bracket || is_of(spec, model_info(t->model)->arithmetic) ||
           is_of(spec, model_attention_arithmetic(t->model, (enum dtype)t->cell.value[AXIS_KV_DTYPE]));
}

/* Whether a trial of the plan is held against the roof at this number of threads. */
static bool is_stood_on(const struct ceilings *c, const struct ceiling_set *set, const struct roof_spec *spec)
{
    for (int i = 0; i < c->plan->trials; i++) {
        const struct trial *t = &c->plan->trial[i];
        if (t->cell.value[AXIS_THREADS] == set->threads && stands_on(t, spec))
            return true;
    }
    return false;
}

/* The first round also takes the caches', for steps that stay in one, and for the whole team simply all. */
static bool is_wanted(const struct ceilings *c, const struct ceiling_set *set, const struct roof_spec *spec)
{
    bool cache = spec->kind == ROOF_BANDWIDTH && strcmp(spec->level, "dram") != 0;
    bool other = !(spec->of & (c->plan->device >= 0 ? ROOF_OF_GPU : ROOF_OF_CPU)); /* of what does not compute here */

    if (other)
        return false;
    return is_stood_on(c, set, spec) || (c->round == 0 && (set == &c->set[0] || cache));
}

static int take(struct ceilings *c, struct ceiling_set *set, int index, ceilings_each each, void *ctx, struct err *e)
{
    struct roof roof;
    int code = roofs_measure(set->roofs, index, &roof, e);

    if (code < 0 && code != ERR_ABSENT)
        return code;
    if (c->round == 0)
        set->value[index] = code == 0 ? roof.value : 0;
    return each ? each(ctx, set, &roof_specs[index], code == 0 ? &roof : NULL, e) : 0;
}

int ceilings_take(struct ceilings *c, ceilings_each each, void *ctx, struct err *e)
{
    int code = 0;

    for (int s = 0; s < c->sets; s++)
        for (int i = 0; code == 0 && i < roof_count; i++)
            if (is_wanted(c, &c->set[s], &roof_specs[i]))
                code = take(c, &c->set[s], i, each, ctx, e);
    c->round++;
    return code;
}

void ceilings_of(const struct ceilings *c, const struct trial *t, double *flops, double *bytes)
{
    const struct ceiling_set *set = find_set(c, t->cell.value[AXIS_THREADS]);

    *flops = *bytes = 0;
    for (int i = 0; i < roof_count; i++) {
        if (is_of(&roof_specs[i], model_info(t->model)->arithmetic) && set->value[i] > *flops)
            *flops = set->value[i];
        if (strcmp(roof_specs[i].name, "dram read") == 0)
            *bytes = set->value[i];
    }
}
