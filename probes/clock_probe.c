/* SPDX-License-Identifier: MIT
 * The clock probe: elapsed nanoseconds of a bracket. begin reads the clock last and end reads it first, so only one clock read
 * (some 20 ns) is inside the window. */
#include <stdlib.h>

#include "clock.h"
#include "probe_list.h"

struct clock_probe {
    struct probe base;
    uint64_t begin_ns;
};

static int clock_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    struct clock_probe *p = calloc(1, sizeof *p);

    (void)args;
    if (!p)
        return err_set(e, ERR_MEMORY, "clock probe: out of memory");
    p->base.ops = &probe_clock;
    *out = &p->base;
    return 0;
}

static int clock_groups(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *clock_group_name(const struct probe *p, int group)
{
    (void)p, (void)group;
    return "clock";
}

static void clock_select(struct probe *p, int group)
{
    (void)p, (void)group;
}

static int clock_metrics(const struct probe *p, enum metric *out)
{
    (void)p;
    out[0] = METRIC_WALL_NS;
    return 1;
}

static void clock_begin(struct probe *base)
{
    struct clock_probe *p = (struct clock_probe *)base;

    p->begin_ns = clock_ns();
}

static void clock_end(struct probe *base, struct reading *out)
{
    uint64_t now = clock_ns();
    const struct clock_probe *p = (const struct clock_probe *)base;

    out->count = 1;
    out->value[0] = (struct value){
        .metric = METRIC_WALL_NS,
        .provenance = PROVENANCE_TIMER,
        .value = (double)(now - p->begin_ns),
        .coverage = 1,
    };
}

static bool clock_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p;
    if (r->count == 1 && r->value[0].value > 0)
        return true;
    *why = "the clock did not advance";
    return false;
}

static void clock_close(struct probe *p)
{
    free(p);
}

const struct probe_ops probe_clock = {
    .name = "clock",
    .about = "elapsed time",
    .weight = PROBE_LIGHT,
    .open = clock_open,
    .groups = clock_groups,
    .group_name = clock_group_name,
    .select = clock_select,
    .metrics = clock_metrics,
    .begin = clock_begin,
    .end = clock_end,
    .plausible = clock_plausible,
    .close = clock_close,
};
