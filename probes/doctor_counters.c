/* SPDX-License-Identifier: MIT
 * Opens and calibrates every probe, tells what each quantity is counted with and how far it was off, and times a bracket of
 * each probe around nothing: what measuring costs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "doctor_parts.h"
#include "papi_probe.h"
#include "sort.h"
#include "text.h"

static const enum metric every[] = {
    METRIC_FLOPS,         METRIC_CYCLES,          METRIC_FLOPS_F32,         METRIC_FLOPS_F64,
    METRIC_FLOPS_BF16,    METRIC_DRAM_READ_BYTES, METRIC_DRAM_WRITE_BYTES,  METRIC_L2_READ_BYTES,
    METRIC_L3_READ_BYTES, METRIC_INSTRUCTIONS,    METRIC_PAGE_FAULTS_MINOR,
};
enum { EVERY = sizeof every / sizeof every[0] };

/* --- what a bracket costs --------------------------------------------------------------------------------------------------
 */

enum { BRACKETS = 101 };

static double bracket_ns(struct probe *p, int group)
{
    double ns[BRACKETS];
    struct reading r;

    p->ops->select(p, group);
    for (int i = 0; i < BRACKETS; i++) {
        uint64_t begin = clock_ns();
        p->ops->begin(p);
        p->ops->end(p, &r);
        ns[i] = (double)(clock_ns() - begin);
    }
    sort_doubles(ns, BRACKETS);
    return ns[BRACKETS / 2];
}

/* "clock 0.08, rusage 1.2, papi:flops 14" */
static void tell_costs(struct diagnosis *d, struct probe *const *open, int n)
{
    struct text costs = {0};

    for (int i = 0; i < n; i++)
        for (int g = 0; g < open[i]->ops->groups(open[i]); g++) {
            double us = bracket_ns(open[i], g) / 1e3;
            text_printf(&costs, "%s%s %.*f", costs.len ? ", " : "", open[i]->ops->group_name(open[i], g),
                        us < 1    ? 2
                        : us < 10 ? 1
                                  : 0,
                        us);
        }
    doctor_add(d, DOCTOR_COUNTERS, "us a bracket", FINDING_INFO, "", "%s", costs.len ? costs.data : "no probe");
    text_free(&costs);
}

/* --- what is counted -------------------------------------------------------------------------------------------------------
 */

/* The more telling first. Precisions and writes to memory are left out: many CPUs have no event for them. */
static const enum metric telling[] = {METRIC_FLOPS,         METRIC_DRAM_READ_BYTES, METRIC_L2_READ_BYTES,
                                      METRIC_L3_READ_BYTES, METRIC_CYCLES,          METRIC_INSTRUCTIONS};
enum { TELLING = sizeof telling / sizeof telling[0], NEEDED = 2 };

static bool is_counted(const struct papi_quantity *q, int n, enum metric m)
{
    for (int i = 0; i < n; i++)
        if (q[i].metric == m)
            return q[i].accepted;
    return false;
}

static enum doctor_grade grade_of(const struct papi_quantity *q, int n)
{
    int counted = 0, needed = 0;

    for (int i = 0; i < TELLING; i++) {
        bool is = is_counted(q, n, telling[i]);
        counted += is;
        needed += is && i < NEEDED;
    }
    return counted == TELLING ? DOCTOR_A : needed == NEEDED ? DOCTOR_B : counted ? DOCTOR_C : DOCTOR_D;
}

static void tell_quantity(struct diagnosis *d, const struct papi_quantity *q)
{
    if (q->accepted)
        doctor_add(d, DOCTOR_COUNTERS, metric_name(q->metric), FINDING_OK, "", "%.1f %% off, %.150s (%s; %.60s)%s",
                   100 * q->rel_error, q->event, q->layer, q->source, q->rejects ? ", impossible readings repeated" : "");
    else
        doctor_add_sentence(d, DOCTOR_COUNTERS, metric_name(q->metric), q->why);
}

/* What no hardware can be counted for has one line, not ten that say the same. */
static void tell_uncounted(struct diagnosis *d, const struct papi_quantity *q, int n, const char *no_hardware)
{
    struct text names = {0};

    for (int i = 0; i < n; i++)
        if (!q[i].accepted && strcmp(q[i].why, no_hardware) == 0)
            text_printf(&names, "%s%s", names.len ? ", " : "", metric_name(q[i].metric));
    if (names.len)
        doctor_add(d, DOCTOR_COUNTERS, "not counted", FINDING_ABSENT, "", "%s", names.data);
    text_free(&names);
}

static enum doctor_grade tell_papi(struct diagnosis *d, const struct probe *papi)
{
    const char *no_hardware = papi_no_hardware(papi);
    const struct papi_quantity *q;
    int n = papi_quantities(papi, &q);

    if (no_hardware[0])
        doctor_add_sentence(d, DOCTOR_COUNTERS, "PMU", no_hardware);
    doctor_add(d, DOCTOR_COUNTERS, "counting with", FINDING_INFO, "", "%s; events of %s", papi_pmu(papi),
               papi_event_file(papi));
    for (int i = 0; i < n; i++)
        if (q[i].accepted || !no_hardware[0] || strcmp(q[i].why, no_hardware) != 0)
            tell_quantity(d, &q[i]);
    if (no_hardware[0])
        tell_uncounted(d, q, n, no_hardware);
    return grade_of(q, n);
}

static void tell_permission(struct diagnosis *d, const struct machine_facts *m)
{
    const struct fact *paranoid = &m->fact[FACT_PARANOID];

    if (isnan(paranoid->number))
        doctor_add(d, DOCTOR_COUNTERS, "perf_event_paranoid", FINDING_ABSENT, "", "%s", paranoid->why);
    else if (paranoid->number > 2)
        doctor_add(d, DOCTOR_COUNTERS, "perf_event_paranoid", FINDING_WARN, "sudo sysctl kernel.perf_event_paranoid=2",
                   "%s: above 2, many kernels let ordinary users count nothing", paranoid->value);
    else
        doctor_add(d, DOCTOR_COUNTERS, "perf_event_paranoid", FINDING_OK, "", "%s: a user may count %s", paranoid->value,
                   paranoid->number > 0 ? "its own processes" : "the whole machine");
    if (m->fact[FACT_WATCHDOG].number == 1)
        doctor_add(d, DOCTOR_COUNTERS, "NMI watchdog", FINDING_WARN, "sudo sysctl kernel.nmi_watchdog=0",
                   "on: it keeps one counter of each CPU");
}

enum doctor_grade doctor_counters(struct diagnosis *d, const struct doctor_args *args)
{
    const struct probe_args probe_args = {.threads = args->threads, .wanted = every, .wanted_count = EVERY};
    enum { OPEN_MAX_PROBES = 16 };
    struct probe *open[OPEN_MAX_PROBES] = {NULL};
    enum doctor_grade grade = DOCTOR_D;
    int n = 0;

    tell_permission(d, args->facts);
    for (int i = 0; probes[i] && n < OPEN_MAX_PROBES; i++) {
        struct err e = {0};
        if (probes[i]->open(&open[n], &probe_args, &e) == 0)
            grade = strcmp(probes[i]->name, "papi") == 0 ? tell_papi(d, open[n++]) : (n++, grade);
        else if (strcmp(probes[i]->name, "rapl") != 0) /* the area of energy tells */
            doctor_add_sentence(d, DOCTOR_COUNTERS, probes[i]->name, e.text);
    }
    tell_costs(d, open, n);
    while (n > 0) {
        n--;
        open[n]->ops->close(open[n]);
    }
    return grade;
}
