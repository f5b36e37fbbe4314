/* SPDX-License-Identifier: MIT
 * The commands that only read a database: report, record, list, show. They share one set of arguments. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"
#include "commands.h"
#include "outputs.h"
#include "summary.h"

struct read_arguments {
    const char *db, *run, *output;
    bool json;
};

enum { KEY_DB = 256, KEY_JSON };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct read_arguments *a = state->input;

    switch (key) {
    case KEY_DB:
        a->db = arg;
        break;
    case KEY_JSON:
        a->json = true;
        break;
    case 'o':
        a->output = arg;
        break;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one run at a time: '%s' is one too many", arg);
        a->run = arg;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option db_option = {"db", KEY_DB, "FILE", 0, "Database (default " OUTPUT_DB ")", 0};
static const struct argp_option file_option = {"output", 'o', "FILE", 0, "Where to write (default: the name `bench run` gives)",
                                               0};
static const struct argp_option json_option = {"json", KEY_JSON, 0, 0, "The whole run as one JSON document", 0};

static int open_run(struct store **s, const struct read_arguments *a, json_t **document, struct err *e)
{
    int64_t run;
    int code = store_open_readonly(s, a->db, e);

    if (code == 0)
        code = store_find_run(*s, a->run, &run, e);
    if (code == 0)
        code = analysis_document(document, *s, run, e);
    return code;
}

/* report and record differ only in which file they write. */
static int write_again(int argc, char **argv, bool report)
{
    struct read_arguments a = {.db = OUTPUT_DB, .run = "last"};
    const struct argp_option options[] = {db_option, file_option, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[RUN]",
        .doc = report
                   ? "Write the HTML report of a run (a number, default: the last)."
                   : "Fill the experiment record of a run (a number, default: the last). Text between its notes markers stays.",
    };
    struct store *s = NULL;
    json_t *document = NULL;
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &a);
    struct output_paths paths = {.db = a.db, .report = report ? a.output : NULL, .record = report ? NULL : a.output};
    int code = open_run(&s, &a, &document, &e);
    if (code == 0)
        code = outputs_write(document, &paths, report, !report, &e);
    json_decref(document);
    store_close(s);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}

int command_report(int argc, char **argv)
{
    return write_again(argc, argv, true);
}

int command_record(int argc, char **argv)
{
    return write_again(argc, argv, false);
}

int command_list(int argc, char **argv)
{
    struct read_arguments a = {.db = OUTPUT_DB};
    const struct argp_option options[] = {db_option, {0}};
    const struct argp argp = {.options = options, .parser = parse, .doc = "The runs of a database."};
    struct store *s = NULL;
    struct text text = {0};
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.run) {
        err_set(&e, ERR_USAGE, "list takes no run; `bench show %s` shows one", a.run);
        return command_fail(&e);
    }
    int code = store_open_readonly(&s, a.db, &e);
    if (code == 0)
        code = summary_list(s, &text, &e);
    if (code == 0 && text.data)
        fputs(text.data, stdout);
    text_free(&text);
    store_close(s);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}

int command_show(int argc, char **argv)
{
    struct read_arguments a = {.db = OUTPUT_DB, .run = "last"};
    const struct argp_option options[] = {json_option, db_option, {0}};
    const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "[RUN]", .doc = "Show a run (a number, default: the last)."};
    struct store *s = NULL;
    json_t *document = NULL;
    struct text text = {0};
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int code = open_run(&s, &a, &document, &e);
    if (code == 0 && a.json) {
        json_dumpf(document, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (code == 0) {
        summary_text(document, &text);
        fputs(text.data, stdout);
    }
    text_free(&text);
    json_decref(document);
    store_close(s);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
