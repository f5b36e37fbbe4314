/* SPDX-License-Identifier: MIT
 * A bare execution knows its prefill and all its decode steps together, so these are what is compared. */
#include "overhead.h"

#include <math.h>
#include <stdlib.h>

struct pairs {
    double *ratio, *us;
    int n;
};

/* Milliseconds of the phase in an execution, which clocked its steps or, as the bare one, all of them together. */
static double phase_ms(const struct rows_trial *t, const struct rows_repetition *r, bool prefill)
{
    double sum = 0;

    if (isfinite(r->lump[0]))
        return r->lump[!prefill];
    if (prefill)
        return r->ms[0];
    for (int i = 1; i < t->axis[AXIS_NEW_TOKENS]; i++)
        sum += r->ms[i];
    return sum;
}

/* Of the same visit and another pass, the one that ran nearest to it. */
static const struct rows_repetition *nearest(const struct rows_trial *t, const struct rows_repetition *to, int pass)
{
    const struct rows_repetition *best = NULL;

    for (int i = 0; i < t->reps; i++) {
        const struct rows_repetition *r = &t->rep[i];
        if (r->pass != pass || r->warmup || r->visit != to->visit)
            continue;
        if (!best || abs(r->ordinal - to->ordinal) < abs(best->ordinal - to->ordinal))
            best = r;
    }
    return best;
}

/* The bare execution that it forms a pair with: each is the other's nearest, so that no bare one is taken twice. */
static const struct rows_repetition *partner(const struct rows_trial *t, const struct rows_repetition *r, int bare_pass)
{
    const struct rows_repetition *bare = nearest(t, r, bare_pass);

    return bare && nearest(t, bare, r->pass) == r ? bare : NULL;
}

static void add_pairs(struct pairs *p, const struct rows *all, const struct rows_trial *t, int pass, bool prefill)
{
    int steps = prefill ? 1 : t->axis[AXIS_NEW_TOKENS] - 1;

    for (int i = 0; steps > 0 && i < t->reps; i++) {
        const struct rows_repetition *r = &t->rep[i], *bare;
        if (r->pass != pass || r->warmup || !(bare = partner(t, r, all->bare)))
            continue;
        double with = phase_ms(t, r, prefill), without = bare->lump[!prefill];
        if (!isfinite(with) || !(without > 0))
            continue;
        p->ratio[p->n] = with / without - 1;
        p->us[p->n++] = 1e3 * (with - without) / steps;
    }
}

/* Runs from before there were bare executions: ratio of step medians, pooled over all trials and the phase's steps. */
static void add_medians(struct pairs *p, const struct rows_trial *t, int pass, bool prefill, double *buf)
{
    for (int k = prefill ? 0 : 1; k < (prefill ? 1 : t->axis[AXIS_NEW_TOKENS]); k++) {
        double with = stats_median(buf, rows_step_ms(t, pass, k, buf));
        double without = stats_median(buf, rows_step_ms(t, 0, k, buf));
        if (isfinite(with / without))
            p->ratio[p->n++] = with / without - 1;
    }
}

int overhead_of(struct overhead *out, const struct rows *r, int pass, bool prefill, struct err *e)
{
    size_t most = 1;
    int code = 0;

    for (int i = 0; i < r->trials; i++)
        most += (size_t)r->trial[i].reps + (size_t)r->trial[i].axis[AXIS_NEW_TOKENS];
    double *room = malloc(3 * most * sizeof *room);
    struct pairs p = {room, room + most, 0};

    *out = (struct overhead){.bare = r->bare >= 0};
    if (!room)
        code = err_set(e, ERR_MEMORY, "out of memory for the figures of a run");
    for (int i = 0; code == 0 && i < r->trials; i++) {
        if (out->bare && pass != r->bare)
            add_pairs(&p, r, &r->trial[i], pass, prefill);
        else if (!out->bare && pass > 0)
            add_medians(&p, &r->trial[i], pass, prefill, room + 2 * most);
    }
    out->ratio = stats_estimate(p.ratio, p.n);
    out->us = stats_estimate(p.us, out->bare ? p.n : 0);
    free(room);
    return code;
}
