/* SPDX-License-Identifier: MIT
 * `bench run`: options, the run itself, then everything that is made from its rows. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "analysis.h"
#include "commands.h"
#include "html.h"
#include "model_options.h"
#include "outputs.h"
#include "record.h"
#include "run.h"
#include "summary.h"

struct run_arguments {
    struct run_options options;
    const char *db, *report, *record;
    const char **overrides;
    int override_count;
    struct text probes, per; /* as overrides, once asked for */
    bool dry_run;
    int64_t run; /* once it is in the database */
};

enum {
    KEY_DB = 256,
    KEY_REPORT,
    KEY_RECORD,
    KEY_BACKEND,
    KEY_DEVICE,
    KEY_CPUS,
    KEY_SEED,
    KEY_QUICK,
    KEY_DRY_RUN,
    KEY_PER,
    KEY_PROBE
};

static const struct argp_option options[] = {
    {"set", 's', "KEY=VALUE", 0, "Override a key of the suite (dotted path; value as YAML); repeatable", 0},
    {"per", KEY_PER, "op|step", 0, "What is measured apart: each step, or also each op in it (measure.per)", 0},
    {"probe", KEY_PROBE, "NAME", 0, "A probe in place of the suite's (measure.probes); repeatable", 0},
    {"model", 'm', "PRESET|DIR|FILE.gguf", 0, "Another model than the suite's: a preset, a Hugging Face folder or a GGUF file",
     0},
    {"backend", KEY_BACKEND, "NAME", 0, "cpu (default), cuda, ref or null", 0},
    {"device", KEY_DEVICE, "N", 0, "GPU of the backend cuda (default 0)", 0},
    {"threads", 't', "N", 0, "Worker threads that trials may use (default: one per core)", 0},
    {"cpus", KEY_CPUS, "LIST", 0, "Only these CPUs, a worker each: 0,2-3", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of synthetic weights, of the order of trials and of draws (default 1)", 0},
    {"quick", KEY_QUICK, 0, 0, "The suite's own shortened plan: seconds, for trying things out", 0},
    {"dry-run", KEY_DRY_RUN, 0, 0, "Print the plan with predicted FLOPs, bytes and time; measure nothing", 0},
    {"db", KEY_DB, "FILE", 0, "Database (default " OUTPUT_DB ")", 0},
    {"report", KEY_REPORT, "FILE", 0, "HTML report (default " OUTPUT_DIR "/<date>-<suite>-<run>.html)", 0},
    {"record", KEY_RECORD, "FILE", 0, "Experiment record (default " OUTPUT_DIR "/<date>-<suite>-<run>.md)", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run_arguments *a = state->input;

    switch (key) {
    case 's':
        a->overrides[a->override_count++] = arg;
        break;
    case KEY_PER:
        a->per.len = 0;
        text_printf(&a->per, "measure.per=%s", arg);
        break;
    case KEY_PROBE:
        text_printf(&a->probes, "%s%s", a->probes.len ? ", " : "measure.probes=[", arg);
        break;
    case 'm':
        a->options.model = arg;
        break;
    case KEY_BACKEND:
        a->options.backend = arg;
        break;
    case KEY_DEVICE:
        a->options.device = (int)model_options_number(arg, "device", 0, DEVICE_MAX, state);
        break;
    case 't':
        a->options.threads = (int)model_options_number(arg, "threads", 1, 1 << 16, state);
        break;
    case KEY_CPUS:
        a->options.cpus = arg;
        break;
    case KEY_SEED:
        a->options.seed = (uint64_t)model_options_number(arg, "seed", 0, INT64_MAX, state);
        break;
    case KEY_QUICK:
        a->options.quick = true;
        break;
    case KEY_DRY_RUN:
        a->dry_run = true;
        break;
    case KEY_DB:
        a->db = arg;
        break;
    case KEY_REPORT:
        a->report = arg;
        break;
    case KEY_RECORD:
        a->record = arg;
        break;
    case ARGP_KEY_ARG:
        if (a->options.suite)
            argp_error(state, "one suite at a time: '%s' is one too many", arg);
        a->options.suite = arg;
        break;
    case ARGP_KEY_END:
        if (!a->options.suite)
            argp_error(state, "which suite? for example suites/kvcache_on_off");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .args_doc = "SUITE",
    .doc = "Run a suite and judge its claims.\vExit code: 0 the claims held, 3 they did not, 1 the run failed, 2 wrong usage.",
};

/* Claims, verdict and files from the rows of a run. */
static int conclude(struct store *s, const struct run_arguments *a, bool *held, struct err *e)
{
    struct output_paths paths = {.db = a->db, .report = a->report, .record = a->record};
    json_t *document = NULL;
    struct text summary = {0};
    int code = analysis_claims(s, a->run, held, e);

    if (code == 0)
        code = store_finish_run(s, a->run, *held ? "held" : "not held", NULL, e);
    if (code == 0)
        code = analysis_document(&document, s, a->run, e);
    if (code < 0)
        return code;
    summary_text(document, &summary);
    fputs(summary.data, stdout);
    code = outputs_write(document, &paths, true, true, e);
    text_free(&summary);
    json_decref(document);
    return code;
}

static int measure(struct plan *p, struct run_arguments *a, bool *held, struct err *e)
{
    struct store *s = NULL;
    int code = outputs_make_folder(a->db, e);

    if (code == 0)
        code = store_open(&s, a->db, e);
    if (code == 0)
        code = run_suite(p, &a->options, s, stderr, &a->run, e);
    if (code == 0)
        code = conclude(s, a, held, e);
    store_close(s);
    return code;
}

int command_run(int argc, char **argv)
{
    struct run_arguments a = {.db = OUTPUT_DB, .options = {.backend = "cpu", .device = -1, .seed = 1}};
    struct text command = {0};
    struct err e = {0};
    bool held = false;
    int code;

    struct plan *p = calloc(1, sizeof *p);
    a.overrides = calloc((size_t)argc + 3, sizeof *a.overrides);
    if (!p || !a.overrides) {
        code = err_set(&e, ERR_MEMORY, "out of memory");
        goto out;
    }
    for (int i = 0; i < argc; i++)
        text_printf(&command, i ? " %s" : "%s", argv[i]);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.probes.len) {
        text_puts(&a.probes, "]");
        a.overrides[a.override_count++] = a.probes.data;
    }
    if (a.per.len)
        a.overrides[a.override_count++] = a.per.data;
    a.options.overrides = a.overrides;
    a.options.command = command.data;
    code = model_options_device(a.options.backend, a.options.device, &a.options.device, &e);
    if (code == 0)
        code = plan_open(p, &a.options, a.dry_run, &e);
    if (code == 0 && a.dry_run) {
        code = plan_print(p, stdout, &e);
        held = true;
    } else if (code == 0) {
        code = measure(p, &a, &held, &e);
    }
out:
    if (p)
        plan_close(p);
    free(p);
    free(a.overrides);
    text_free(&command);
    text_free(&a.probes);
    text_free(&a.per);
    if (code == 0)
        return held ? EXIT_HELD : EXIT_REFUTED;
    int exit_code = command_fail(&e);
    if (a.run)
        fprintf(stderr, "bench: what was measured is kept: bench show %lld --db %s\n", (long long)a.run, a.db);
    return exit_code;
}
