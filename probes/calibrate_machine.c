/* SPDX-License-Identifier: MIT
 * Opens the papi probe with every quantity there is, which refuses what is wrong, and then runs the kernels again over what is
 * left, gates and others alike. What was refused keeps the comparisons that refused it. */
#include "calibrate_machine.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe_list.h"
#include "sort.h"

/* Packed in this order: what is judged together stands together. */
static const enum metric every[] = {
    METRIC_FLOPS,         METRIC_CYCLES,          METRIC_FLOPS_F32,         METRIC_FLOPS_F64,
    METRIC_FLOPS_BF16,    METRIC_DRAM_READ_BYTES, METRIC_DRAM_WRITE_BYTES,  METRIC_L2_READ_BYTES,
    METRIC_L3_READ_BYTES, METRIC_INSTRUCTIONS,    METRIC_PAGE_FAULTS_MINOR,
};
enum { EVERY = sizeof every / sizeof every[0] };

static const char *const verdicts[] = {[MACHINE_RIGHT] = "right", [MACHINE_OFF] = "off", [MACHINE_REFUSED] = "refused"};

const char *machine_verdict_name(enum machine_verdict v)
{
    return verdicts[v];
}

static void judge_row(struct machine_row *row, const struct known_expectation *expect, double work)
{
    struct calibration item = {
        .metric = row->metric, .expected = row->expected, .measured = row->measured, .work = work, .limit = row->limit};

    calibration_judge(&item);
    row->rel_error = item.rel_error;
    row->verdict = item.accepted ? MACHINE_RIGHT : expect->gate ? MACHINE_REFUSED : MACHINE_OFF;
    snprintf(row->why, sizeof row->why, "%s", item.why);
}

/* The kernel, so often that MACHINE_RUNS readings are possible, but not for ever. */
static void run_kernel(struct counter_chooser *c, const struct known *k, struct machine_row *row)
{
    const struct known_expectation *expect = known_expects(k, row->metric);
    double measured[MACHINE_RUNS], work = NAN;
    struct reading r;
    const char *why = "";

    for (int attempt = 0; attempt < 2 * MACHINE_RUNS && row->runs < MACHINE_RUNS; attempt++) {
        work = counter_workers_run(c->workers, k, &c->sizes.level[k->level], &r);
        double value = counter_value(&r, row->metric);
        if (counter_plausible(&r, &why) && !isnan(value) && !isnan(work))
            measured[row->runs++] = value;
        else
            row->rejects++;
    }
    sort_doubles(measured, (size_t)row->runs);
    row->expected = expect->factor * work;
    row->measured = row->runs ? measured[row->runs / 2] : NAN;
    row->spread = row->runs > 1 ? (measured[row->runs - 1] - measured[0]) / (expect->factor > 0 ? row->expected : work) : NAN;
    judge_row(row, expect, work);
    if (row->runs == 0 && why)
        snprintf(row->why, sizeof row->why, "%s", why);
}

static void run_kernels(struct machine_calibration *out, struct counter_chooser *c, const struct papi_quantity *q)
{
    for (const struct known *const *table = c->setup.known; *table; table++)
        for (const struct known *k = *table; k->name; k++) {
            if (!known_expects(k, q->metric) || !known_is_available(k, c->isa, &c->sizes) || out->rows == MACHINE_ROWS)
                continue;
            struct machine_row *row = &out->row[out->rows++];
            *row = (struct machine_row){.metric = q->metric, .limit = calibration_limit(q->metric)};
            snprintf(row->event, sizeof row->event, "%s", q->event);
            snprintf(row->kernel, sizeof row->kernel, "%s", k->name);
            run_kernel(c, k, row);
        }
}

/* What refused the candidates before the accepted one, or all of them. */
static void keep_refusals(struct machine_calibration *out, const struct calibration_list *list, enum metric m)
{
    for (int i = 0; i < list->count && out->rows < MACHINE_ROWS; i++) {
        const struct calibration *item = &list->item[i];
        if (item->metric != m || item->accepted)
            continue;
        struct machine_row *row = &out->row[out->rows++];
        *row = (struct machine_row){
            .metric = m,
            .expected = item->expected,
            .measured = item->measured,
            .rel_error = item->rel_error,
            .limit = item->limit,
            .spread = NAN,
            .runs = 1,
            .verdict = MACHINE_REFUSED,
        };
        snprintf(row->event, sizeof row->event, "%s", item->event);
        snprintf(row->kernel, sizeof row->kernel, "%s", item->kernel);
        snprintf(row->why, sizeof row->why, "%s", item->why);
    }
}

static void examine(struct machine_calibration *out, struct probe *p)
{
    struct counter_chooser *c = papi_chooser(p);
    const struct papi_quantity *q;
    const int n = papi_quantities(p, &q);

    for (int i = 0; i < n; i++) {
        out->quantity[i] = q[i];
        out->provenance[i] = counter_provenance(q[i].metric);
        out->read_ns[i] = NAN;
        keep_refusals(out, papi_calibrations(p), q[i].metric);
        if (!q[i].accepted)
            continue;
        p->ops->select(p, q[i].group);
        out->read_ns[i] = counter_workers_read_ns(c->workers);
        run_kernels(out, c, &q[i]);
    }
    out->quantities = n;
}

int calibrate_machine(struct machine_calibration *out, const struct counter_setup *setup, int threads, struct err *e)
{
    const struct probe_args args = {.threads = threads, .wanted = every, .wanted_count = EVERY};
    struct probe *p = NULL;

    *out = (struct machine_calibration){0};
    int code = setup ? papi_open_on(setup, &p, &args, e) : probe_papi.open(&p, &args, e);
    if (code < 0)
        return code;
    const struct event_file *events = papi_chooser(p)->setup.events;
    snprintf(out->pmu, sizeof out->pmu, "%s", papi_pmu(p));
    snprintf(out->no_hardware, sizeof out->no_hardware, "%s", papi_no_hardware(p));
    snprintf(out->event_file, sizeof out->event_file, "%s", papi_event_file(p));
    snprintf(out->about, sizeof out->about, "%.*s", events->about_len, events->about);
    examine(out, p);
    p->ops->close(p);
    return 0;
}
