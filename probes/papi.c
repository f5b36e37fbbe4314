/* SPDX-License-Identifier: MIT
 * The papi probe: hardware counters (and the kernel's page-fault counter) of all workers, in small groups, each group a pass of
 * its own. PAPI counts, or the kernel's raw events where it cannot. Opening chooses and calibrates the counters; what is
 * refused is told with its reason and the run goes on without it.
 *
 * Inside the window: one read per worker at either end and the parallel region around it (tens of microseconds in a virtual
 * machine, under one on bare metal). Outside: opening the sets, which select does before a pass. */
#include "papi_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counter_choose.h"
#include "event_catalog.h"
#include "probe_list.h"

struct papi_probe {
    struct probe base;
    struct counter_chooser chooser;
    struct event_file own_events; /* where the setup brings none */
    struct counter_machine machine;
    struct calibration_list calibrations;
    struct papi_quantity quantity[METRIC_COUNT];
    int quantities;
    struct counter_set set[COUNTER_SETS]; /* the groups */
    int groups, selected;
    char select_why[256]; /* why the selected group could not be started */
};

/* What a run counts unless it is told otherwise. */
static const enum metric usual[] = {
    METRIC_FLOPS, METRIC_CYCLES, METRIC_DRAM_READ_BYTES, METRIC_INSTRUCTIONS, METRIC_PAGE_FAULTS_MINOR,
};

static void papi_close(struct probe *base)
{
    struct papi_probe *p = (struct papi_probe *)base;

    if (!p)
        return;
    counter_workers_close(p->chooser.workers);
    free(p);
}

/* A layer that cannot be used leaves its sentence; the first sentence is the probe's where none can. */
static int start_layers(struct papi_probe *p, struct err *e)
{
    struct counter_chooser *c = &p->chooser;
    struct err first = {0};
    bool usable = false;

    for (int i = 0; i < EVENT_LAYERS; i++) {
        struct counter_machine m = {0};
        struct err mine = {0};
        int code = c->setup.layer[i]
                       ? c->setup.layer[i]->init(c->setup.events->pmu, &m, &mine)
                       : err_set(&mine, ERR_ABSENT, "built without PAPI (libpapi-dev was missing; install it and rebuild)");
        if (code < 0) {
            snprintf(c->layer_why[i], sizeof c->layer_why[i], "%s", mine.text);
            first = first.code ? first : mine;
            continue;
        }
        if (!usable) /* the first layer's words; others see the same hardware */
            p->machine = m;
        usable = true;
    }
    if (!usable)
        return err_set(e, ERR_ABSENT, "%s", first.text);
    snprintf(c->no_hardware, sizeof c->no_hardware, "%s", p->machine.no_hardware);
    c->pmu = p->machine.pmu;
    return 0;
}

static void choose_all(struct papi_probe *p, const struct probe_args *args)
{
    const enum metric *wanted = args->wanted ? args->wanted : usual;
    const int count = args->wanted ? args->wanted_count : (int)(sizeof usual / sizeof usual[0]);

    for (int i = 0; i < count && p->quantities < METRIC_COUNT; i++)
        counter_choose(&p->chooser, wanted[i], p->set, &p->groups, &p->quantity[p->quantities++]);
}

static int open_chooser(struct papi_probe *p, const struct counter_setup *setup, int threads, struct err *e)
{
    struct counter_chooser *c = &p->chooser;
    int code;

    c->setup = *setup;
    c->list = &p->calibrations;
    if (!c->setup.known)
        c->setup.known = known_tables;
    if (!c->setup.events) {
        if ((code = event_catalog_choose(&p->own_events, NULL, e)) < 0)
            return code;
        c->setup.events = &p->own_events;
    }
    if ((code = isa_choose(&c->isa, e)) < 0 || (code = start_layers(p, e)) < 0)
        return code;
    known_sizes_find(&c->sizes, threads);
    return counter_workers_open(&c->workers, threads, e);
}

int papi_open_on(const struct counter_setup *setup, struct probe **out, const struct probe_args *args, struct err *e)
{
    struct papi_probe *p = calloc(1, sizeof *p);
    int code;

    if (!p)
        return err_set(e, ERR_MEMORY, "papi probe: out of memory");
    p->base.ops = &probe_papi;
    if ((code = open_chooser(p, setup, args->threads, e)) < 0)
        goto fail;
    choose_all(p, args);
    if (p->groups == 0) {
        code = err_set(e, ERR_ABSENT, "%s", p->quantities ? p->quantity[0].why : "no quantity is wanted");
        goto fail;
    }
    p->selected = -1;
    snprintf(p->select_why, sizeof p->select_why, "no group of counters is selected");
    *out = &p->base;
    return 0;
fail:
    papi_close(&p->base);
    return code;
}

static int papi_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct counter_setup setup = {.layer = {[EVENT_PAPI] = counter_layer_papi, [EVENT_RAW] = counter_layer_raw}};

    return papi_open_on(&setup, out, args, e);
}

static int papi_group_total(const struct probe *base)
{
    return ((const struct papi_probe *)base)->groups;
}

static const char *papi_group_name(const struct probe *base, int group)
{
    return counter_set_name(((const struct papi_probe *)base)->set[group].member[0]->metric);
}

static void papi_select(struct probe *base, int group)
{
    struct papi_probe *p = (struct papi_probe *)base;
    const struct counter_set *set = &p->set[group];
    struct err e = {0};

    p->selected = group;
    counter_workers_start(p->chooser.workers, p->chooser.setup.layer[set->member[0]->layer], set, &e);
    snprintf(p->select_why, sizeof p->select_why, "%s", e.text);
}

static int papi_metrics(const struct probe *base, enum metric *out)
{
    const struct papi_probe *p = (const struct papi_probe *)base;

    if (p->selected < 0)
        return 0;
    const struct counter_set *set = &p->set[p->selected];
    for (int i = 0; i < set->members; i++)
        out[i] = set->member[i]->metric;
    return set->members;
}

static void papi_begin(struct probe *base)
{
    const struct papi_probe *p = (const struct papi_probe *)base;

    if (!p->select_why[0])
        counter_workers_begin(p->chooser.workers);
}

static void papi_end(struct probe *base, struct reading *out)
{
    const struct papi_probe *p = (const struct papi_probe *)base;
    enum metric metric[COUNTER_SET_MEMBERS];

    if (!p->select_why[0]) {
        counter_workers_end(p->chooser.workers, out);
        return;
    }
    out->count = papi_metrics(base, metric);
    for (int i = 0; i < out->count; i++)
        out->value[i] = (struct value){.metric = metric[i], .provenance = PROVENANCE_MISSING, .why = p->select_why};
}

static bool papi_plausible(const struct probe *base, const struct reading *r, const char **why)
{
    (void)base;
    return counter_plausible(r, why);
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

const char *papi_no_hardware(const struct probe *base)
{
    return ((const struct papi_probe *)base)->machine.no_hardware;
}

const char *papi_event_file(const struct probe *base)
{
    return ((const struct papi_probe *)base)->chooser.setup.events->name;
}

struct counter_chooser *papi_chooser(struct probe *base)
{
    return &((struct papi_probe *)base)->chooser;
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
    .plausible = papi_plausible,
    .close = papi_close,
    .for_device = "cupti trace",
};
