/* SPDX-License-Identifier: MIT
 * Counters disturb each other, so a candidate is judged inside the set that would be used: beside the members accepted before
 * it, which are judged again with it. One that fails in company is tried once more alone, in a set (and so a pass) of its own.
 *
 * Only a reading that is impossible is repeated (they come in spells); one that is merely wrong refuses the candidate at once,
 * for repeating until it fits would accept an event that is right by chance. */
#include "counter_choose.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 3 };

double counter_value(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return r->value[i].provenance == PROVENANCE_MISSING ? NAN : r->value[i].value;
    return NAN;
}

static void name_kernel(struct calibration *item, const struct known *k, double work)
{
    if (k->level == KNOWN_DRAM && work > 0)
        snprintf(item->kernel, sizeof item->kernel, "%s, %.0f MiB", k->name, work / (1 << 20));
    else
        snprintf(item->kernel, sizeof item->kernel, "%s", k->name);
}

/* One kernel, repeated while its reading is impossible. */
static struct calibration compare(struct counter_chooser *c, const struct known *k, const struct event_candidate *event,
                                  int *rejects)
{
    const struct known_expectation *expect = known_expects(k, event->metric);
    struct calibration item = {.metric = event->metric, .limit = calibration_limit(event->metric), .probe = "papi"};
    struct reading r;
    const char *why;

    snprintf(item.event, sizeof item.event, "%s", event->name);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        item.work = counter_workers_run(c->workers, k, &c->sizes.level[k->level], &r);
        if (isnan(item.work)) {
            snprintf(item.why, sizeof item.why, "no memory for the kernel's data");
            item.measured = item.rel_error = NAN;
            break;
        }
        item.expected = expect->factor * item.work;
        item.measured = counter_value(&r, event->metric);
        calibration_judge(&item);
        bool possible = counter_plausible(&r, &why);
        if (!possible && (item.accepted || item.measured > 0)) {
            item.accepted = false;
            snprintf(item.why, sizeof item.why, "in its set: %s", why);
        }
        if (item.accepted || (possible && item.measured > 0))
            break;
        ++*rejects;
    }
    name_kernel(&item, k, item.work);
    if (c->list->count < CALIBRATION_MAX)
        c->list->item[c->list->count++] = item;
    return item;
}

/* Every gate of every member, until one is refused. */
static bool set_counts_rightly(struct counter_chooser *c, const struct counter_set *s, struct papi_quantity *q)
{
    bool tested = false;

    for (const struct known *const *table = c->setup.known; *table; table++)
        for (const struct known *k = *table; k->name; k++)
            for (int i = 0; i < s->members; i++) {
                const struct event_candidate *event = s->member[i];
                const struct known_expectation *expect = known_expects(k, event->metric);
                if (!expect || !expect->gate || !known_is_available(k, c->isa, &c->sizes))
                    continue;
                struct calibration item = compare(c, k, event, &q->rejects);
                if (!item.accepted) {
                    snprintf(q->why, sizeof q->why, "%.60s refused: %s: %.130s", event->name, item.kernel, item.why);
                    return false;
                }
                tested |= event->metric == q->metric && expect->factor > 0;
            }
    if (!tested)
        snprintf(q->why, sizeof q->why, "no kernel of known work for %s on this kind of CPU", metric_name(q->metric));
    return tested;
}

static double worst_error(const struct calibration_list *list, const struct papi_quantity *q)
{
    double worst = NAN;

    for (int i = 0; i < list->count; i++) {
        const struct calibration *item = &list->item[i];
        if (item->metric == q->metric && item->accepted && strcmp(item->event, q->event) == 0)
            worst = fmax(worst, item->rel_error); /* fmax passes over NaN */
    }
    return worst;
}

/* Opens and judges a set; the set is stopped afterwards. `absent` is told when it does not open. */
static bool set_holds(struct counter_chooser *c, const struct counter_set *s, struct papi_quantity *q, struct err *absent)
{
    const struct counter_layer *layer = c->setup.layer[s->member[0]->layer];

    if (counter_workers_start(c->workers, layer, s, absent) < 0)
        return false;
    bool good = set_counts_rightly(c, s, q);
    counter_workers_stop(c->workers);
    return good;
}

/* The set that takes the candidate: the first that it goes with, else a new one. -1 when it is refused. */
static int place(struct counter_chooser *c, const struct event_candidate *candidate, struct counter_set *sets, int *count,
                 struct papi_quantity *q, struct err *absent)
{
    for (int i = 0; i < *count; i++) {
        struct counter_set trial = sets[i];
        if (!counter_set_add(&trial, c->setup.events, candidate))
            continue;
        if (set_holds(c, &trial, q, absent)) {
            sets[i] = trial;
            return i;
        }
        break;
    }
    struct counter_set alone = {0};
    if (*count == COUNTER_SETS || !counter_set_add(&alone, c->setup.events, candidate) || !set_holds(c, &alone, q, absent))
        return -1;
    sets[*count] = alone;
    return (*count)++;
}

/* Does it need hardware counters where there are none? */
static bool needs_hardware(const struct counter_chooser *c, enum metric m)
{
    return counter_provenance(m) == PROVENANCE_COUNTER && c->no_hardware[0];
}

static void explain_absence(const struct counter_chooser *c, struct papi_quantity *q, const struct err *absent, bool candidates)
{
    const char *none = c->setup.events->none[q->metric];

    if (q->why[0])
        return; /* refused: told already */
    if (needs_hardware(c, q->metric))
        snprintf(q->why, sizeof q->why, "%s", c->no_hardware);
    else if (none[0])
        snprintf(q->why, sizeof q->why, "%s", none);
    else if (!candidates)
        snprintf(q->why, sizeof q->why, "no event is known for this CPU; see probes/events, %s", c->setup.events->name);
    else
        snprintf(q->why, sizeof q->why, "none of its events is there (%.90s, %.90s): papi_native_avail lists what is",
                 absent->text, c->pmu);
}

void counter_choose(struct counter_chooser *c, enum metric m, struct counter_set *sets, int *count, struct papi_quantity *q)
{
    struct err absent = {0};
    bool candidates = false;

    *q = (struct papi_quantity){.metric = m, .rel_error = NAN, .group = -1};
    for (int i = 0; i < c->setup.events->candidates && !q->accepted; i++) {
        const struct event_candidate *candidate = &c->setup.events->candidate[i];
        if (candidate->metric != m || needs_hardware(c, m))
            continue;
        candidates = true;
        if (c->layer_why[candidate->layer][0]) {
            err_set(&absent, ERR_ABSENT, "%s", c->layer_why[candidate->layer]);
            continue;
        }
        q->group = place(c, candidate, sets, count, q, &absent);
        q->accepted = q->group >= 0;
        if (!q->accepted)
            continue;
        snprintf(q->event, sizeof q->event, "%s", candidate->name);
        snprintf(q->source, sizeof q->source, "%s", candidate->source);
        q->layer = event_layer_name(candidate->layer);
        q->why[0] = 0;
    }
    if (q->accepted)
        q->rel_error = worst_error(c->list, q);
    else
        explain_absence(c, q, &absent, candidates);
}
