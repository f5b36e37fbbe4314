/* SPDX-License-Identifier: MIT
 * Visits: a trial has a bare execution, and then one for each way of watching it closely: its ops by time, each group of
 * counters around steps and around ops, samples over the whole. They are compared with the bare one beside them. */
#include <assert.h>
#include <stdio.h>

#include "runner.h"

enum { OP_ROUNDS_MAX = 3 };

static void add_pass(struct runner *r, const char *prefix, const char *name, struct visit_pass pass)
{
    assert(r->visit_passes < VISIT_PASSES_MAX);
    struct visit_pass *new = &r->visit[r->visit_passes++];
    *new = pass;
    snprintf(new->name, sizeof new->name, "%s%s", prefix, name);
}

static void plan_group(struct runner *r, struct probe *p, int group)
{
    const enum pass_kind kind = p->ops->samples ? PASS_SERIES : PASS_STEPS;

    const char *name = p->ops->group_name(p, group);
    add_pass(r, "", name, (struct visit_pass){.kind = kind, .probe = p, .group = group});
    if (r->plan->suite.per_op && !p->ops->events && !p->ops->samples)
        add_pass(r, "op:", name, (struct visit_pass){.kind = PASS_OPS, .probe = p, .group = group});
}

/* What counts does so once, the time of ops is taken in each round. */
static int rounds(const struct runner *r)
{
    const int few = r->plan->suite.repetitions_min;

    if (r->visit_passes == 0 || !r->visit[0].every_round)
        return r->visit_passes > 0;
    return few < OP_ROUNDS_MAX ? few : OP_ROUNDS_MAX;
}

static int count_executions(const struct runner *r)
{
    int n = rounds(r); /* bare */

    for (int i = 0; i < r->visit_passes; i++)
        n += r->visit[i].every_round ? rounds(r) : 1;
    return n * r->plan->trials;
}

void run_plan_visits(struct runner *r)
{
    const bool timed = r->plan->suite.per_op && (r->plan->device < 0 || r->timeline);

    r->visit_passes = 0;
    if (timed)
        add_pass(r, "op:", "time", (struct visit_pass){.kind = PASS_OPS, .probe = r->timeline, .every_round = true});
    for (int i = 0; i < r->probes; i++)
        for (int g = 0; r->probe[i]->ops->weight == PROBE_HEAVY && g < r->probe[i]->ops->groups(r->probe[i]); g++)
            plan_group(r, r->probe[i], g);
    r->visits_planned = count_executions(r);
}

/* Clocks and shares of a stretch say nothing of the step's: a group of nothing else has no pass by op. */
static bool counts_in_parts(const struct probe *p)
{
    enum metric metric[READING_VALUES_MAX];
    const int n = p->ops->metrics(p, metric);
    bool adds = false;

    for (int i = 0; i < n; i++)
        adds |= metric_adds(metric[i]);
    return adds;
}

static int watch(struct runner *r, struct trial *t, const struct visit_pass *v, int rep, struct err *e)
{
    struct pass_probes pass = {.name = v->name, .kind = v->kind, .clock = r->clock, .stop = r->interrupted};

    if (v->probe) {
        v->probe->ops->select(v->probe, v->group);
        pass.riding[pass.count++] = v->probe;
    }
    const bool useless = v->kind == PASS_OPS && v->probe && !v->probe->ops->tag && !counts_in_parts(v->probe);
    const int code = useless ? 0 : run_trial(r, t, rep, &pass, e);
    r->state.planned -= useless;
    if (v->probe && v->probe->ops->rest)
        v->probe->ops->rest(v->probe);
    return code;
}

static int visit(struct runner *r, struct trial *t, int round, struct err *e)
{
    int code = run_bare(r, t, e);

    for (int i = 0; code == 0 && i < r->visit_passes; i++)
        if (round == 0 || r->visit[i].every_round)
            code = watch(r, t, &r->visit[i], round, e);
    return code;
}

/* What watches a GPU slows launches down, of the roofs' kernels too: these stay as the timing pass took them. */
int run_visits(struct runner *r, struct err *e)
{
    const bool with_roofs = r->plan->device < 0;
    int order[TRIALS_MAX], code = 0;

    r->state.planned = r->state.done + r->visits_planned;
    for (int round = 0; code == 0 && round < rounds(r); round++) {
        suite_order(order, r->plan->trials, r->options->seed, 1000 + round);
        for (int i = 0; code == 0 && i < r->plan->trials; i++)
            if ((code = visit(r, &r->plan->trial[order[i]], round, e)) == 0 && with_roofs)
                code = run_keep_roofs_near(r, e);
        if (code == 0 && with_roofs)
            code = setup_take_roofs(r, e);
    }
    return code;
}
