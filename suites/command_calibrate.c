/* SPDX-License-Identifier: MIT
 * `bench calibrate`: what the counters of this machine say of work that is known. */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate_machine.h"
#include "commands.h"
#include "event_catalog.h"
#include "team.h"

struct calibrate_options {
    bool json, events;
    int threads;
    const char *cpus;
};

enum { KEY_CPUS = 256 };

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print JSON instead of tables", 0},
    {"events", 'e', NULL, 0, "Print what this CPU's event file says of its counters, and stop", 0},
    {"threads", 't', "N", 0, "Workers (default: one a core)", 0},
    {"cpus", KEY_CPUS, "LIST", 0, "Only these CPUs, a worker each: 0,2-3", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct calibrate_options *o = state->input;
    char *end;

    switch (key) {
    case 'j':
        o->json = true;
        return 0;
    case 'e':
        o->events = true;
        return 0;
    case 't':
        o->threads = (int)strtol(arg, &end, 10);
        if (*end || o->threads < 1)
            argp_error(state, "--threads wants a number of 1 or more, not '%s'", arg);
        return 0;
    case KEY_CPUS:
        o->cpus = arg;
        return 0;
    default:
        return key == ARGP_KEY_ARG ? (argp_error(state, "calibrate takes no arguments, '%s' is one too many", arg), EINVAL)
                                   : ARGP_ERR_UNKNOWN;
    }
}

/* --- as text ---------------------------------------------------------------------------------------------------------------
 */

static void print_rows(const struct machine_calibration *m, enum metric metric)
{
    bool first = true;

    for (int i = 0; i < m->rows; i++) {
        const struct machine_row *r = &m->row[i];
        char spread[16] = "-";
        if (r->metric != metric)
            continue;
        if (first)
            printf("  %-30s %12s %12s %9s %9s %7s  %s\n", "kernel", "expected", "measured", "error", "spread", "rejects",
                   "verdict");
        first = false;
        if (!isnan(r->spread))
            snprintf(spread, sizeof spread, "%.3f %%", 100 * r->spread);
        printf("  %-30.30s %12.6g %12.6g %7.3f %% %9s %7d  %s%s%s\n", r->kernel, r->expected, r->measured, 100 * r->rel_error,
               spread, r->rejects, machine_verdict_name(r->verdict), r->why[0] ? ": " : "", r->why);
        if (r->verdict == MACHINE_REFUSED)
            printf("  %-30s %s\n", "", r->event);
    }
}

static void print_quantity(const struct machine_calibration *m, int i)
{
    const struct papi_quantity *q = &m->quantity[i];

    printf("\n%s: %s\n", metric_name(q->metric), metric_about(q->metric));
    if (q->accepted)
        printf("  event   %s (%s; %s)\n  read    %.0f ns a worker; %d readings rejected while choosing\n", q->event, q->layer,
               q->source, m->read_ns[i], q->rejects);
    else
        printf("  absent  %s\n", q->why);
    print_rows(m, q->metric);
}

static void print_text(const struct machine_calibration *m, int threads)
{
    int accepted = 0;

    printf("counters  %s\nevents    %s (probes/events/%s.txt)\nworkers   %d\n", m->pmu, m->event_file, m->event_file, threads);
    if (m->no_hardware[0])
        printf("hardware  %s\n          the kernel's software events are calibrated all the same\n", m->no_hardware);
    for (int i = 0; i < m->quantities; i++) {
        accepted += m->quantity[i].accepted;
        if (m->quantity[i].accepted || !m->no_hardware[0])
            print_quantity(m, i);
    }
    printf("\n%d of %d quantities are counted rightly here\n", accepted, m->quantities);
}

/* --- as JSON ---------------------------------------------------------------------------------------------------------------
 */

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *rows_json(const struct machine_calibration *m, enum metric metric)
{
    json_t *rows = json_array();

    for (int i = 0; i < m->rows; i++) {
        const struct machine_row *r = &m->row[i];
        if (r->metric != metric)
            continue;
        json_array_append_new(rows,
                              json_pack("{s:s, s:s, s:o, s:o, s:o, s:f, s:o, s:i, s:i, s:s, s:s}", "event", r->event, "kernel",
                                        r->kernel, "expected", number(r->expected), "measured", number(r->measured), "error",
                                        number(r->rel_error), "limit", r->limit, "spread", number(r->spread), "runs", r->runs,
                                        "rejects", r->rejects, "verdict", machine_verdict_name(r->verdict), "why", r->why));
    }
    return rows;
}

static void print_json(const struct machine_calibration *m, int threads)
{
    json_t *quantities = json_array();

    for (int i = 0; i < m->quantities; i++) {
        const struct papi_quantity *q = &m->quantity[i];
        json_array_append_new(quantities,
                              json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:i, s:o, s:s, s:o}", "quantity",
                                        metric_name(q->metric), "unit", metric_unit(q->metric), "accepted", q->accepted,
                                        "event", q->event, "layer", q->layer ? q->layer : "", "source", q->source, "provenance",
                                        provenance_name(q->accepted ? m->provenance[i] : PROVENANCE_MISSING), "error",
                                        number(q->rel_error), "rejects", q->rejects, "read_ns", number(m->read_ns[i]), "why",
                                        q->why, "comparisons", rows_json(m, q->metric)));
    }
    json_t *root = json_pack("{s:s, s:s, s:s, s:i, s:o}", "counters", m->pmu, "event_file", m->event_file, "no_hardware",
                             m->no_hardware, "threads", threads, "quantities", quantities);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(root);
}

/* --- the command -----------------------------------------------------------------------------------------------------------
 */

static void print_calibration(const struct machine_calibration *m, const struct calibrate_options *o, int threads)
{
    if (o->json)
        print_json(m, threads);
    else
        print_text(m, threads);
}

/* That nothing can be counted is an answer, not a failure. */
static void print_nothing(const struct calibrate_options *o, const char *why)
{
    json_t *root = json_pack("{s:n, s:s, s:[]}", "counters", "no_hardware", why, "quantities");

    if (o->json)
        json_dumpf(root, stdout, JSON_INDENT(2));
    else
        printf("nothing can be counted here: %s", why);
    putchar('\n');
    json_decref(root);
}

static int print_events(struct err *e)
{
    struct event_file *f = malloc(sizeof *f);
    int code = f ? event_catalog_choose(f, NULL, e) : err_set(e, ERR_MEMORY, "out of memory");

    if (code == 0) {
        printf("%s (probes/events/%s.txt), groups of %d counters\n\n%.*s\n", f->name, f->name, f->counters, f->about_len,
               f->about);
        for (int i = 0; i < f->candidates; i++)
            printf("%-18s %-4s %d counter%s  %s\n", metric_name(f->candidate[i].metric),
                   event_layer_name(f->candidate[i].layer), f->candidate[i].slots, f->candidate[i].slots == 1 ? " " : "s",
                   f->candidate[i].name);
    }
    free(f);
    return code;
}

int command_calibrate(int argc, char **argv)
{
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Runs work of known amount under every counter that this CPU is known to have, and shows what each counted: "
               "expected, measured, error, spread, verdict. Without hardware counters it says so and shows the kernel's own.",
    };
    struct calibrate_options o = {0};
    struct team team;
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    struct machine_calibration *m = malloc(sizeof *m);
    int code = m ? 0 : err_set(&e, ERR_MEMORY, "out of memory");
    if (code == 0 && o.events) {
        code = print_events(&e);
    } else if (code == 0 && (code = team_start(&team, o.threads, o.cpus, &e)) == 0) {
        code = calibrate_machine(m, NULL, team.threads, &e);
        if (code == 0)
            print_calibration(m, &o, team.threads);
    }
    if (code == ERR_ABSENT) {
        print_nothing(&o, e.text);
        code = 0;
    }
    free(m);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
