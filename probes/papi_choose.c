/* SPDX-License-Identifier: MIT
 * Counters disturb each other, so a candidate is judged inside the set that would be used: beside the members accepted before
 * it, which are judged again with it. Only a reading that is impossible is repeated (they come in spells); one that is merely
 * wrong refuses the candidate at once, for repeating until it fits would accept an event that is right by chance. */
#include "papi_choose.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ATTEMPTS = 3 };

static double value_of(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return r->value[i].provenance == PROVENANCE_MISSING ? NAN : r->value[i].value;
    return NAN;
}

/* One kernel, repeated while its reading is impossible. */
static struct calibration compare(struct papi_chooser *c, const struct papi_known *k, const struct papi_candidate *event,
                                  int *rejects)
{
    struct calibration item = {.metric = k->metric, .limit = calibration_limit(k->metric), .probe = "papi"};
    struct reading r;
    const char *why;

    snprintf(item.event, sizeof item.event, "%s", event->name);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        item.expected = papi_workers_run(c->workers, k, &r);
        item.measured = value_of(&r, k->metric);
        calibration_judge(&item);
        bool possible = papi_plausible(&r, &why);
        if (!possible && item.accepted) {
            item.accepted = false;
            snprintf(item.why, sizeof item.why, "in its set: %s", why);
        }
        if (item.accepted || (possible && item.measured > 0))
            break;
        ++*rejects;
    }
    if (k->metric == METRIC_DRAM_READ_BYTES)
        snprintf(item.kernel, sizeof item.kernel, "%s, %.0f MiB", k->name, item.expected / (1 << 20));
    else
        snprintf(item.kernel, sizeof item.kernel, "%s", k->name);
    if (c->list->count < CALIBRATION_MAX)
        c->list->item[c->list->count++] = item;
    return item;
}

static const struct papi_candidate *member_for(const struct papi_set *s, enum metric m)
{
    for (int i = 0; i < s->members; i++)
        if (s->member[i]->metric == m)
            return s->member[i];
    return NULL;
}

/* Every kernel of every member, until one is refused. */
static bool set_counts_rightly(struct papi_chooser *c, const struct papi_set *s, struct papi_quantity *q)
{
    bool tested = false;

    for (const struct papi_known *k = c->known; k->name; k++) {
        const struct papi_candidate *event = member_for(s, k->metric);
        if (!event || k->isa > c->isa)
            continue;
        struct calibration item = compare(c, k, event, &q->rejects);
        if (!item.accepted) {
            snprintf(q->why, sizeof q->why, "%.60s refused: %s: %.130s", event->name, item.kernel, item.why);
            return false;
        }
        tested |= k->metric == q->metric;
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

static void choose_quantity(struct papi_chooser *c, struct papi_set *set, struct papi_quantity *q)
{
    const char *absent = "it does not fit beside the others";

    for (int i = 0; i < papi_candidate_count && !q->accepted; i++) {
        const struct papi_candidate *candidate = &papi_candidates[i];
        struct papi_set trial = *set;

        if (candidate->metric != q->metric || !papi_set_add(&trial, candidate))
            continue;
        if (papi_workers_start(c->workers, &trial, &absent) < 0)
            continue;
        q->accepted = set_counts_rightly(c, &trial, q);
        papi_workers_stop(c->workers);
        if (q->accepted) {
            snprintf(q->event, sizeof q->event, "%s", candidate->name);
            q->why[0] = 0;
            *set = trial;
        }
    }
    if (q->accepted || q->why[0])
        return;
    if (papi_provenance(q->metric) == PROVENANCE_COUNTER && c->machine->no_hardware[0])
        snprintf(q->why, sizeof q->why, "%s", c->machine->no_hardware);
    else
        snprintf(q->why, sizeof q->why, "none of its events is there (%s, %s): papi_native_avail lists what is", absent,
                 c->machine->pmu);
}

void papi_choose_group(struct papi_chooser *c, const struct papi_group *group, struct papi_set *set, struct papi_quantity *q)
{
    *set = (struct papi_set){0};
    for (int i = 0; i < group->metrics; i++) {
        q[i] = (struct papi_quantity){.metric = group->metric[i], .rel_error = NAN};
        choose_quantity(c, set, &q[i]);
    }
    for (int i = 0; i < group->metrics; i++)
        q[i].rel_error = worst_error(c->list, &q[i]);
}
