/* SPDX-License-Identifier: MIT
 * The PAPI probe: hardware counters (and the kernel's page-fault counter) of all workers, in small groups, each group a pass of
 * its own. Opening chooses and calibrates the counters; what is refused is told with its reason and the run goes on without it.
 *
 * Inside the window: one read per worker at either end and the parallel region around it (tens of microseconds in a virtual
 * machine, under one on bare metal). Outside: opening the sets, which select does before a pass. */
#include "papi_probe.h"

#include <stdlib.h>
#include <string.h>

#include "papi_choose.h"
#include "probe_list.h"

enum { GROUPS_MAX = 4 };

struct papi_probe {
    struct probe base;
    struct papi_workers *workers;
    struct papi_machine machine;
    struct calibration_list calibrations;
    struct papi_quantity quantity[GROUPS_MAX * PAPI_GROUP_METRICS];
    int quantities;
    struct {
        const char *name;
        struct papi_set set;
    } group[GROUPS_MAX]; /* those with something accepted */
    int groups, selected;
    const char *select_why; /* why the selected group could not be started */
};

static void papi_close(struct probe *base)
{
    struct papi_probe *p = (struct papi_probe *)base;

    if (!p)
        return;
    papi_workers_close(p->workers);
    free(p);
}

static void choose_all(struct papi_probe *p, const struct papi_layer *layer, enum isa isa)
{
    struct papi_chooser chooser = {
        .workers = p->workers,
        .known = layer->known,
        .machine = &p->machine,
        .list = &p->calibrations,
        .isa = isa,
    };

    for (int i = 0; i < papi_group_count && i < GROUPS_MAX; i++) {
        struct papi_set set;
        papi_choose_group(&chooser, &papi_groups[i], &set, &p->quantity[p->quantities]);
        p->quantities += papi_groups[i].metrics;
        if (set.members == 0)
            continue;
        p->group[p->groups].name = papi_groups[i].name;
        p->group[p->groups++].set = set;
    }
}

int papi_open_on(const struct papi_layer *layer, struct probe **out, const struct probe_args *args, struct err *e)
{
    struct papi_probe *p = calloc(1, sizeof *p);
    enum isa isa;
    int code;

    if (!p)
        return err_set(e, ERR_MEMORY, "papi probe: out of memory");
    p->base.ops = &probe_papi;
    if ((code = isa_choose(&isa, e)) < 0 || (code = layer->init(&p->machine, e)) < 0 ||
        (code = papi_workers_open(&p->workers, layer, args->threads, e)) < 0)
        goto fail;
    choose_all(p, layer, isa);
    if (p->groups == 0) {
        code = err_set(e, ERR_ABSENT, "%s", p->quantity[0].why);
        goto fail;
    }
    p->selected = -1;
    p->select_why = "no group of counters is selected";
    *out = &p->base;
    return 0;
fail:
    papi_close(&p->base);
    return code;
}

static int papi_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    if (!papi_layer_library)
        return err_set(e, ERR_ABSENT, "built without PAPI (libpapi-dev was missing; install it and rebuild)");
    return papi_open_on(papi_layer_library, out, args, e);
}

static int papi_group_total(const struct probe *base)
{
    return ((const struct papi_probe *)base)->groups;
}

static const char *papi_group_name(const struct probe *base, int group)
{
    return ((const struct papi_probe *)base)->group[group].name;
}

static void papi_select(struct probe *base, int group)
{
    struct papi_probe *p = (struct papi_probe *)base;

    p->selected = group;
    p->select_why = NULL;
    papi_workers_start(p->workers, &p->group[group].set, &p->select_why);
}

static int papi_metrics(const struct probe *base, enum metric *out)
{
    const struct papi_probe *p = (const struct papi_probe *)base;
    const struct papi_set *set = &p->group[p->selected].set;

    if (p->selected < 0)
        return 0;
    for (int i = 0; i < set->members; i++)
        out[i] = set->member[i]->metric;
    return set->members;
}

static void papi_begin(struct probe *base)
{
    const struct papi_probe *p = (const struct papi_probe *)base;

    if (!p->select_why)
        papi_workers_begin(p->workers);
}

static void papi_end(struct probe *base, struct reading *out)
{
    const struct papi_probe *p = (const struct papi_probe *)base;
    enum metric metric[PAPI_GROUP_METRICS];

    if (!p->select_why) {
        papi_workers_end(p->workers, out);
        return;
    }
    out->count = papi_metrics(base, metric);
    for (int i = 0; i < out->count; i++)
        out->value[i] = (struct value){.metric = metric[i], .provenance = PROVENANCE_MISSING, .why = p->select_why};
}

static bool papi_reading_plausible(const struct probe *base, const struct reading *r, const char **why)
{
    (void)base;
    return papi_plausible(r, why);
}

const struct calibration_list *papi_calibrations(const struct probe *base)
{
    return &((const struct papi_probe *)base)->calibrations;
}

int papi_quantities(const struct probe *base, const struct papi_quantity **out)
{
    const struct papi_probe *p = (const struct papi_probe *)base;

    *out = p->quantity;
    return p->quantities;
}

const char *papi_pmu(const struct probe *base)
{
    return ((const struct papi_probe *)base)->machine.pmu;
}

const struct probe_ops probe_papi = {
    .name = "papi",
    .about = "hardware counters of every worker, calibrated: FLOPs, bytes from memory, cycles, instructions; page faults",
    .weight = PROBE_HEAVY,
    .open = papi_open,
    .groups = papi_group_total,
    .group_name = papi_group_name,
    .select = papi_select,
    .metrics = papi_metrics,
    .begin = papi_begin,
    .end = papi_end,
    .plausible = papi_reading_plausible,
    .close = papi_close,
};
