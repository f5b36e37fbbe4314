/* SPDX-License-Identifier: MIT
 * The null probe: brackets and reports nothing. It carries the tests of whoever drives probes, and shows what the driving
 * itself costs. */
#include <stdlib.h>

#include "probe_list.h"

static int null_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    struct probe *p = malloc(sizeof *p);

    (void)args;
    if (!p)
        return err_set(e, ERR_MEMORY, "null probe: out of memory");
    p->ops = &probe_null;
    *out = p;
    return 0;
}

static int null_groups(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *null_group_name(const struct probe *p, int group)
{
    (void)p, (void)group;
    return "null";
}

static void null_select(struct probe *p, int group)
{
    (void)p, (void)group;
}

static int null_metrics(const struct probe *p, enum metric *out)
{
    (void)p, (void)out;
    return 0;
}

static void null_begin(struct probe *p)
{
    (void)p;
}

static void null_end(struct probe *p, struct reading *out)
{
    (void)p;
    out->count = 0;
}

static bool null_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p, (void)r, (void)why;
    return true;
}

static void null_close(struct probe *p)
{
    free(p);
}

const struct probe_ops probe_null = {
    .name = "null",
    .about = "measures nothing: what the driving of probes itself costs",
    .weight = PROBE_LIGHT,
    .open = null_open,
    .groups = null_groups,
    .group_name = null_group_name,
    .select = null_select,
    .metrics = null_metrics,
    .begin = null_begin,
    .end = null_end,
    .plausible = null_plausible,
    .close = null_close,
};
