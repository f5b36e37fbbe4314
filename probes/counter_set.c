/* SPDX-License-Identifier: MIT
 * First fit, in the order that quantities are wanted: the same wishes give the same sets. */
#include "counter_set.h"

#include <stddef.h>

static const char *const names[METRIC_COUNT] = {
    [METRIC_FLOPS] = "papi:flops",
    [METRIC_FLOPS_F32] = "papi:flops_f32",
    [METRIC_FLOPS_F64] = "papi:flops_f64",
    [METRIC_FLOPS_BF16] = "papi:flops_bf16",
    [METRIC_DRAM_READ_BYTES] = "papi:dram",
    [METRIC_DRAM_WRITE_BYTES] = "papi:dram_write",
    [METRIC_L2_READ_BYTES] = "papi:l2",
    [METRIC_L3_READ_BYTES] = "papi:l3",
    [METRIC_CYCLES] = "papi:cycles",
    [METRIC_INSTRUCTIONS] = "papi:instructions",
    [METRIC_PAGE_FAULTS_MINOR] = "papi:faults",
};

const char *counter_set_name(enum metric first)
{
    return names[first];
}

enum provenance counter_provenance(enum metric m)
{
    return m == METRIC_PAGE_FAULTS_MINOR ? PROVENANCE_OS : PROVENANCE_COUNTER;
}

static bool kept_apart(const struct event_file *f, enum metric a, enum metric b)
{
    for (int i = 0; i < f->aparts; i++)
        if ((f->apart[i][0] == a && f->apart[i][1] == b) || (f->apart[i][0] == b && f->apart[i][1] == a))
            return true;
    return false;
}

bool counter_set_add(struct counter_set *s, const struct event_file *f, const struct event_candidate *c)
{
    if (s->members == COUNTER_SET_MEMBERS || s->slots + c->slots > f->counters || s->events + c->terms > COUNTER_EVENTS)
        return false;
    for (int i = 0; i < s->members; i++) {
        const struct event_candidate *other = s->member[i];
        if (other->layer != c->layer || counter_provenance(other->metric) != counter_provenance(c->metric) ||
            kept_apart(f, other->metric, c->metric))
            return false;
    }
    for (int i = 0; i < c->terms; i++) {
        s->event[s->events] = c->term[i].event;
        s->weight[s->events] = c->term[i].weight;
        s->owner[s->events++] = s->members;
    }
    s->member[s->members++] = c;
    s->slots += c->slots;
    return true;
}
