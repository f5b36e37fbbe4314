/* SPDX-License-Identifier: MIT
 * The rusage probe: what the kernel accounts to the whole process, all threads, without any permission. Two system calls a
 * bracket, under a microsecond each. */
#include <stdlib.h>
#include <sys/resource.h>

#include "probe_list.h"

struct rusage_probe {
    struct probe base;
    struct rusage begin;
};

static const enum metric rusage_wanted[] = {
    METRIC_PAGE_FAULTS_MINOR, METRIC_PAGE_FAULTS_MAJOR, METRIC_SWITCHES_VOLUNTARY, METRIC_SWITCHES_INVOLUNTARY, METRIC_CPU_NS,
};
enum { RUSAGE_WANTED = sizeof rusage_wanted / sizeof rusage_wanted[0] };

static int rusage_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    struct rusage_probe *p = calloc(1, sizeof *p);

    (void)args;
    if (!p)
        return err_set(e, ERR_MEMORY, "rusage probe: out of memory");
    p->base.ops = &probe_rusage;
    *out = &p->base;
    return 0;
}

static int rusage_groups(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *rusage_group_name(const struct probe *p, int group)
{
    (void)p, (void)group;
    return "rusage";
}

static void rusage_select(struct probe *p, int group)
{
    (void)p, (void)group;
}

static int rusage_metrics(const struct probe *p, enum metric *out)
{
    (void)p;
    for (int i = 0; i < RUSAGE_WANTED; i++)
        out[i] = rusage_wanted[i];
    return RUSAGE_WANTED;
}

static void rusage_begin(struct probe *base)
{
    struct rusage_probe *p = (struct rusage_probe *)base;

    getrusage(RUSAGE_SELF, &p->begin);
}

static double timeval_ns(struct timeval t)
{
    return (double)t.tv_sec * 1e9 + (double)t.tv_usec * 1e3;
}

static double rusage_metric(const struct rusage *u, enum metric m)
{
    switch (m) {
    case METRIC_PAGE_FAULTS_MINOR:
        return (double)u->ru_minflt;
    case METRIC_PAGE_FAULTS_MAJOR:
        return (double)u->ru_majflt;
    case METRIC_SWITCHES_VOLUNTARY:
        return (double)u->ru_nvcsw;
    case METRIC_SWITCHES_INVOLUNTARY:
        return (double)u->ru_nivcsw;
    default:
        return timeval_ns(u->ru_utime) + timeval_ns(u->ru_stime);
    }
}

static void rusage_end(struct probe *base, struct reading *out)
{
    const struct rusage_probe *p = (const struct rusage_probe *)base;
    struct rusage now;

    getrusage(RUSAGE_SELF, &now);
    out->count = RUSAGE_WANTED;
    for (int i = 0; i < RUSAGE_WANTED; i++)
        out->value[i] = (struct value){
            .metric = rusage_wanted[i],
            .provenance = PROVENANCE_OS,
            .value = rusage_metric(&now, rusage_wanted[i]) - rusage_metric(&p->begin, rusage_wanted[i]),
            .coverage = 1,
        };
}

static bool rusage_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p;
    for (int i = 0; i < r->count; i++) {
        if (r->value[i].value >= 0)
            continue;
        *why = "a figure of getrusage went backwards";
        return false;
    }
    return true;
}

static void rusage_close(struct probe *p)
{
    free(p);
}

const struct probe_ops probe_rusage = {
    .name = "rusage",
    .about = "page faults, context switches and CPU time of the process, from the kernel's accounts",
    .weight = PROBE_LIGHT,
    .open = rusage_open,
    .groups = rusage_groups,
    .group_name = rusage_group_name,
    .select = rusage_select,
    .metrics = rusage_metrics,
    .begin = rusage_begin,
    .end = rusage_end,
    .plausible = rusage_plausible,
    .close = rusage_close,
};
