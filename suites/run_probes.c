/* SPDX-License-Identifier: MIT
 * Opens the probes of a run: the suite's, or in the place of those that watch CPUs the ones that do the like for the GPU that
 * computes. What is not to be had here is recorded with its sentence, and the run goes on.
 *
 * Those that watch a GPU closely are opened when nothing is timed any more: the library that they load stays in the process and
 * makes every launch slower, even while it watches nothing. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "calibrate.h"
#include "papi_probe.h"
#include "runner.h"

enum { WANTED_MAX = PROBES_MAX }; /* what a suite names; on a GPU there are fewer kinds in all */

static int store_calibration(struct runner *r, const struct calibration *c, struct err *e)
{
    const struct store_calibration row = {
        .metric = metric_name(c->metric),
        .probe = c->probe,
        .event = c->event,
        .kernel = c->kernel,
        .why = c->why,
        .expected = c->expected,
        .measured = c->measured,
        .rel_error = c->rel_error,
        .limit = c->limit,
        .accepted = c->accepted,
    };

    return store_add_calibration(r->store, r->run, &row, e);
}

/* A row without a kernel compares nothing: it says why the quantity is absent. */
static int store_calibrations(struct runner *r, const struct calibration_list *list, struct err *e)
{
    int code = 0;

    for (int i = 0; code == 0 && i < list->count; i++) {
        const struct calibration *c = &list->item[i];
        code =
            c->kernel[0] ? store_calibration(r, c, e) : store_add_absent(r->store, r->run, metric_name(c->metric), c->why, e);
    }
    return code;
}

/* What PAPI was asked for and did not give, and what it gave and how true it was. */
static int store_papi(struct runner *r, const struct probe *p, struct err *e)
{
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q);
    int code = store_calibrations(r, papi_calibrations(p), e);

    for (int i = 0; code == 0 && i < n; i++)
        if (!q[i].accepted)
            code = store_add_absent(r->store, r->run, metric_name(q[i].metric), q[i].why, e);
    if (code == 0)
        code = store_add_machine(r->store, r->run, "counters", papi_pmu(p), "PAPI", e);
    return code;
}

/* What an open probe found out about itself. */
static int store_findings(struct runner *r, const struct probe *p, struct err *e)
{
    const struct calibration_list *list = p->ops->calibrations ? p->ops->calibrations(p) : NULL;

    if (strcmp(p->ops->name, "papi") == 0)
        return store_papi(r, p, e);
    return list ? store_calibrations(r, list, e) : 0;
}

/* what: whose absence it is. *out stays NULL where it is absent. */
static int open_or_note(struct runner *r, const struct probe_ops *ops, const char *what, struct probe **out, struct err *e)
{
    const struct probe_args args = {.threads = r->plan->team.threads, .device = r->plan->device};
    int code = ops->open(out, &args, e);

    if (code == ERR_ABSENT) {
        *out = NULL;
        return store_add_absent(r->store, r->run, what, e->text, e);
    }
    return code < 0 ? err_wrap(e, "probe %s", ops->name) : 0;
}

/* Each once, in the order of the suite. */
struct wanted {
    const struct probe_ops *ops[WANTED_MAX];
    int count;
};

static int want(struct wanted *w, const char *name, struct err *e)
{
    const struct probe_ops *ops = probe_find(name, e);

    if (!ops)
        return ERR_USAGE;
    for (int i = 0; i < w->count; i++)
        if (w->ops[i] == ops)
            return 0;
    assert(w->count < WANTED_MAX);
    w->ops[w->count++] = ops;
    return 0;
}

/* names: with spaces between. */
static int want_each(struct wanted *w, const char *names, struct err *e)
{
    char name[24];
    int code = 0;

    for (const char *at = names + strspn(names, " "); code == 0 && *at; at += strspn(at, " ")) {
        const size_t n = strcspn(at, " ");
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        code = want(w, name, e);
        at += n;
    }
    return code;
}

static int want_probe(const struct runner *r, struct wanted *w, const char *name, struct err *e)
{
    const struct probe_ops *ops = probe_find(name, e);

    if (!ops)
        return ERR_USAGE;
    return want_each(w, r->plan->device >= 0 && ops->for_device ? ops->for_device : name, e);
}

static bool slows_launches(const struct probe_ops *ops)
{
    return ops->needs_device && ops->weight == PROBE_HEAVY;
}

static int open_probe(struct runner *r, const struct probe_ops *ops, struct err *e)
{
    struct probe *p = NULL;

    if (strcmp(ops->name, "clock") == 0)
        return 0; /* always there */
    int code = open_or_note(r, ops, ops->name, &p, e);
    if (code < 0 || !p)
        return code;
    r->probe[r->probes++] = p;
    return store_findings(r, p, e);
}

/* On a GPU the time of ops is that of their work, which only a timeline tells. */
static int find_timeline(struct runner *r, struct err *e)
{
    for (int i = 0; i < r->probes; i++)
        if (r->probe[i]->ops->tag)
            r->timeline = r->probe[i];
    if (r->timeline)
        return 0;
    const struct probe_ops *ops = probe_find("trace", e);
    return ops ? open_or_note(r, ops, "op:time", &r->timeline, e) : ERR_USAGE;
}

static int open_wanted(struct runner *r, bool that_slow_launches, struct err *e)
{
    const struct suite *s = &r->plan->suite;
    struct wanted wanted = {.count = 0};
    int code = 0;

    for (int i = 0; code == 0 && i < s->probe_count; i++)
        code = want_probe(r, &wanted, s->probes[i], e);
    for (int i = 0; code == 0 && i < wanted.count; i++)
        if (slows_launches(wanted.ops[i]) == that_slow_launches)
            code = open_probe(r, wanted.ops[i], e);
    return code;
}

int run_open_probes(struct runner *r, struct err *e)
{
    const struct probe_args args = {.threads = r->plan->team.threads, .device = r->plan->device};
    const int code = probe_find("clock", e)->open(&r->clock, &args, e);

    return code == 0 ? open_wanted(r, false, e) : code;
}

int run_open_device_probes(struct runner *r, struct err *e)
{
    const int code = open_wanted(r, true, e);

    return code == 0 && r->plan->suite.per_op && r->plan->device >= 0 ? find_timeline(r, e) : code;
}

void run_close_probes(struct runner *r)
{
    for (int i = 0; i < r->probes; i++) {
        if (r->timeline == r->probe[i])
            r->timeline = NULL; /* not one of its own */
        r->probe[i]->ops->close(r->probe[i]);
    }
    if (r->timeline)
        r->timeline->ops->close(r->timeline);
    if (r->clock)
        r->clock->ops->close(r->clock);
}
