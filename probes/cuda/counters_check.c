/* SPDX-License-Identifier: MIT
 * A counter is believed after it counted work whose amount is known, launched both ways that work is: by itself and as a
 * recorded graph. A way that is wrong is passed over for the quantity's next one; a quantity without any left is absent with
 * its reason. Each absent quantity ends with a row without a kernel, which says why. */
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counters.h"
#include "gpu_known.h"

enum { LAUNCHES = 2, ATTEMPTS = 3 };

struct check {
    struct counters *counters;
    struct gpu_known *known; /* NULL: there is none, for this reason */
    struct err no_known;
    const struct counter_way *refused[METRIC_COUNT]; /* the last one that was wrong */
    const struct counter_way *accepted[METRIC_COUNT];
    char why[METRIC_COUNT][160]; /* of the last refusal */
};

static bool is_known(enum metric m)
{
    for (int i = 0; i < gpu_known_work_count; i++)
        if (gpu_known_expects(&gpu_known_works[i], m))
            return true;
    return false;
}

enum provenance counters_provenance(enum metric m)
{
    return m == METRIC_GPU_NS ? PROVENANCE_TIMER : is_known(m) ? PROVENANCE_COUNTER : PROVENANCE_VENDOR;
}

static struct calibration *add_row(struct counters *c, const struct counter_choice *choice)
{
    struct calibration_list *list = &c->calibrations;
    struct calibration *row = &list->item[list->count < CALIBRATION_MAX ? list->count++ : CALIBRATION_MAX - 1];

    *row = (struct calibration){
        .metric = choice->metric, .measured = NAN, .rel_error = NAN, .limit = calibration_limit(choice->metric)};
    snprintf(row->probe, sizeof row->probe, "%s", c->base.ops->name);
    if (choice->way)
        counter_way_text(row->event, sizeof row->event, choice->way);
    return row;
}

/* The first time brings caches and write-backs into the state that the second one, which is counted, leaves them in. */
static int count_work(struct check *k, int work, bool as_graph, struct reading *r, struct err *e)
{
    struct probe *p = &k->counters->base;
    int code;

    r->count = 0;
    if ((code = gpu_known_run(k->known, work, as_graph, e)) < 0)
        return code;
    p->ops->begin(p);
    code = gpu_known_run(k->known, work, as_graph, e);
    p->ops->end(p, r);
    return code;
}

static const struct value *find(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return &r->value[i];
    return NULL;
}

/* One comparison; what is off is tried again, for a bracket may be disturbed. False: refused. */
static bool compare(struct check *k, const struct counter_choice *choice, int work, bool as_graph)
{
    const struct gpu_known_work *w = &gpu_known_works[work];
    const struct gpu_known_expectation *expect = gpu_known_expects(w, choice->metric);
    struct calibration *row = add_row(k->counters, choice);
    const char *reason = NULL;
    struct reading r;

    snprintf(row->kernel, sizeof row->kernel, "%s%s", w->name, as_graph ? ", as a graph" : "");
    row->work = w->amount(k->known);
    row->expected = expect->factor * row->work;
    for (int attempt = 0; attempt < ATTEMPTS && !row->accepted; attempt++) {
        struct err e = {0};
        const int code = count_work(k, work, as_graph, &r, &e);
        const struct value *v = find(&r, choice->metric);
        const bool counted = code == 0 && v && v->provenance != PROVENANCE_MISSING;
        row->measured = counted ? v->value : NAN;
        calibration_judge(row);
        reason = counted || !v ? NULL : v->why;
        if (code < 0)
            snprintf(row->why, sizeof row->why, "%s", e.text);
        else if (reason)
            snprintf(row->why, sizeof row->why, "%s", reason);
    }
    if (!row->accepted)
        snprintf(k->why[choice->metric], sizeof k->why[0], "%s: %.120s", row->kernel, row->why);
    return row->accepted;
}

/* All works that say something of it, in both launches, up to the first that is off. */
static bool judge(struct check *k, const struct counter_choice *choice)
{
    if (!k->known) {
        snprintf(k->why[choice->metric], sizeof k->why[0], "%.150s", k->no_known.text);
        return false;
    }
    for (int work = 0; work < gpu_known_work_count; work++)
        for (int launch = 0; launch < LAUNCHES; launch++)
            if (gpu_known_expects(&gpu_known_works[work], choice->metric) && !compare(k, choice, work, launch > 0))
                return false;
    return true;
}

/* False when some way was refused: the plan must be made anew. */
static bool judge_all(struct check *k)
{
    struct counters *c = k->counters;
    bool all = true;

    for (int g = 0; g < c->plan.groups; g++) {
        c->base.ops->select(&c->base, g);
        for (int i = 0; i < c->plan.choices; i++) {
            const struct counter_choice *choice = &c->plan.choice[i];
            const enum metric m = choice->metric;
            if (!choice->way || choice->group != g || !is_known(m) || k->accepted[m] == choice->way)
                continue;
            if (judge(k, choice)) {
                k->accepted[m] = choice->way;
                continue;
            }
            k->refused[m] = choice->way;
            all = false;
        }
    }
    c->base.ops->rest(&c->base);
    c->selected = -1;
    return all;
}

static void tell_absent(struct check *k)
{
    struct counter_plan *plan = &k->counters->plan;

    for (int i = 0; i < plan->choices; i++) {
        struct counter_choice *choice = &plan->choice[i];
        if (choice->way)
            continue;
        if (k->why[choice->metric][0])
            snprintf(choice->why, sizeof choice->why, "%s", k->why[choice->metric]);
        snprintf(add_row(k->counters, choice)->why, sizeof choice->why, "%s", choice->why);
    }
}

int counters_check(struct counters *c, const struct probe_args *args, struct err *e)
{
    struct check *k = calloc(1, sizeof *k);

    if (!k)
        return err_set(e, ERR_MEMORY, "counters of the GPU: out of memory");
    k->counters = c;
    gpu_known_open(&k->known, c->device, &k->no_known);
    do
        counter_plan_make(&c->plan, &c->host, args->wanted, args->wanted_count, k->refused);
    while (!judge_all(k)); /* ends, for a way that was refused is not chosen again */
    gpu_known_close(k->known);
    tell_absent(k);
    free(k);
    if (c->plan.groups > 0)
        return 0;
    return err_set(e, ERR_ABSENT, "%s", c->plan.choices ? c->plan.choice[0].why : "none of the wanted quantities is a GPU's");
}
