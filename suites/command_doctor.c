/* SPDX-License-Identifier: MIT
 * `bench doctor`: one screen about this machine, what decides first. Costs of variables are measured by children of this very
 * program, before the team is started. */
#include <argp.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "commands.h"
#include "doctor.h"
#include "team.h"

struct doctor_options {
    const char *figure;
    bool json;
};

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print JSON", 0},
    {"figure", 'f', "ROOF", 0,
     "Print one roof (FLOP/s or B/s) in this environment and stop: 'f32 gemm', 'f32 fma', 'dram read'", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct doctor_options *o = state->input;

    switch (key) {
    case 'j':
        o->json = true;
        return 0;
    case 'f':
        o->figure = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- as a screen -----------------------------------------------------------------------------------------------------------
 */

enum { SCREEN = 100 };

/* Breaks lines between words, each further line under the first one's text, which begins at `indent`. */
static void print_wrapped(const char *text, int indent)
{
    int column = indent;

    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column > indent && column + 1 + word > SCREEN) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", word, text);
        column += word;
        text += word + strspn(text + word, " ");
    }
    putchar('\n');
}

static void print_grades(const struct diagnosis *d)
{
    printf("%c  overall: the worst of", doctor_grade_letter(d->overall));
    for (int a = 0; a < DOCTOR_DECIDING; a++)
        printf("%s %s", a ? "," : "", doctor_area_name((enum doctor_area)a));
    printf("\n\n");
    for (int a = 0; a < DOCTOR_SOFTWARE; a++)
        printf("%c  %-12s %s\n", doctor_grade_letter(d->grade[a]), doctor_area_name((enum doctor_area)a),
               doctor_grade_rule((enum doctor_area)a, d->grade[a]));
}

/* Several findings may have one remedy. */
static bool was_said(const struct diagnosis *d, int item)
{
    for (int i = 0; i < item; i++)
        if (d->item[i].state == d->item[item].state && strcmp(d->item[i].remedy, d->item[item].remedy) == 0)
            return true;
    return false;
}

/* What disturbs before what is only not here. */
static void print_remedies(const struct diagnosis *d)
{
    bool any = false;

    for (int state = FINDING_WARN; state <= FINDING_ABSENT; state++)
        for (int i = 0; i < d->count; i++) {
            if (d->item[i].state != (enum finding_state)state || !d->item[i].remedy[0] || was_said(d, i))
                continue;
            printf("%s   %-22s ", any ? "" : "\nwhat would help\n", d->item[i].what);
            print_wrapped(d->item[i].remedy, 26);
            any = true;
        }
}

static void print_findings(const struct diagnosis *d)
{
    static const char *const mark[FINDING_STATES] = {
        [FINDING_OK] = "+", [FINDING_INFO] = " ", [FINDING_WARN] = "!", [FINDING_ABSENT] = "-"};

    for (int i = 0; i < d->count; i++) {
        const struct finding *x = &d->item[i];
        if (i == 0 || d->item[i - 1].area != x->area)
            printf("\n%s\n", doctor_area_name(x->area));
        printf(" %s %-22s ", mark[x->state], x->what);
        print_wrapped(x->value, 26);
    }
    printf("   %-22s ", "backends");
    for (int i = 0; backends[i]; i++)
        printf("%s%s", i ? ", " : "", backends[i]->name);
    printf("\n\n+ fine   ! disturbs a measurement   - not here\n");
}

/* --- as JSON ---------------------------------------------------------------------------------------------------------------
 */

/* Values come from files and the environment, which may hold anything. */
static json_t *string(const char *text)
{
    json_t *s = json_string(text);

    return s ? s : json_string("(not UTF-8)");
}

static json_t *letter(enum doctor_grade g)
{
    return g == DOCTOR_UNGRADED ? json_null() : json_sprintf("%c", doctor_grade_letter(g));
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *area_json(const struct diagnosis *d, enum doctor_area a)
{
    json_t *findings = json_array(), *rules = json_object();

    for (int i = 0; i < d->count; i++)
        if (d->item[i].area == a)
            json_array_append_new(findings, json_pack("{s:s, s:s, s:o, s:s}", "what", d->item[i].what, "state",
                                                      finding_state_name(d->item[i].state), "value", string(d->item[i].value),
                                                      "remedy", d->item[i].remedy));
    for (int g = 0; g < DOCTOR_GRADES && a != DOCTOR_SOFTWARE; g++)
        json_object_set_new(rules, (char[]){doctor_grade_letter((enum doctor_grade)g), 0},
                            json_string(doctor_grade_rule(a, (enum doctor_grade)g)));
    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "area", doctor_area_name(a), "grade", letter(d->grade[a]), "rule",
                     doctor_grade_rule(a, d->grade[a]), "rules", rules, "findings", findings);
}

static json_t *facts_json(const struct machine_facts *m)
{
    json_t *facts = json_array();

    for (int i = 0; i < FACT_COUNT; i++) {
        const struct fact *f = &m->fact[i];
        json_array_append_new(facts,
                              json_pack("{s:s, s:o, s:s, s:s}", "fact", machine_fact_key((enum machine_fact)i), "value",
                                        f->value[0] ? string(f->value) : json_null(), "source", f->source, "why", f->why));
    }
    return facts;
}

static json_t *variables_json(const struct machine_facts *m, const struct doctor_costs *costs)
{
    json_t *variables = json_array();

    for (int i = 0; i < m->variables; i++) {
        const struct machine_variable *v = &m->variable[i];
        json_array_append_new(variables,
                              json_pack("{s:o, s:o, s:s, s:s?, s:o, s:o}", "variable", string(v->name), "value",
                                        string(v->value), "changes", v->kind->changes, "roof", v->kind->roof, "with",
                                        number(costs->variable[i].with), "without", number(costs->variable[i].without)));
    }
    return variables;
}

static void print_json(const struct diagnosis *d, const struct machine_facts *m, const struct doctor_costs *costs)
{
    json_t *areas = json_array(), *names = json_array();

    for (int a = 0; a < DOCTOR_AREAS; a++)
        json_array_append_new(areas, area_json(d, (enum doctor_area)a));
    for (int i = 0; backends[i]; i++)
        json_array_append_new(names, json_string(backends[i]->name));
    json_t *root = json_pack("{s:o, s:o, s:o, s:o, s:o}", "overall", letter(d->overall), "areas", areas, "variables",
                             variables_json(m, costs), "facts", facts_json(m), "backends", names);
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(root);
}

/* --- the command -----------------------------------------------------------------------------------------------------------
 */

static int print_figure(const char *roof, struct err *e)
{
    struct team team;
    double value;
    int code = team_start(&team, 0, NULL, e);

    if (code == 0 && (code = doctor_figure(&value, roof, team.threads, e)) == 0)
        printf("%.6g\n", value);
    return code;
}

struct examination {
    struct machine_facts facts;
    struct doctor_costs costs;
    struct diagnosis diagnosis;
};

static int examine(struct examination *x, struct err *e)
{
    struct team team;

    machine_facts_read(&x->facts, "");
    doctor_costs_measure(&x->costs, &x->facts, "/proc/self/exe");
    int code = team_start(&team, 0, NULL, e);
    if (code < 0)
        return code;
    const struct doctor_args args = {
        .root = "", .threads = team.threads, .shares_cores = team.shares_cores, .facts = &x->facts, .costs = &x->costs};
    return doctor_examine(&x->diagnosis, &args, e);
}

int command_doctor(int argc, char **argv)
{
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "What this machine lets a profiler see and what changes its roofs: counters (calibrated now), CPU, memory, "
               "environment (each variable with what it costs), energy, GPU, libraries; graded A to D, with the command that "
               "would help.",
    };
    struct doctor_options o = {0};
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, &o);
    struct examination *x = calloc(1, sizeof *x);
    int code = x ? 0 : err_set(&e, ERR_MEMORY, "out of memory");
    if (code == 0 && o.figure)
        code = print_figure(o.figure, &e);
    else if (code == 0 && (code = examine(x, &e)) == 0 && o.json)
        print_json(&x->diagnosis, &x->facts, &x->costs);
    else if (code == 0) {
        print_grades(&x->diagnosis);
        print_remedies(&x->diagnosis);
        print_findings(&x->diagnosis);
    }
    free(x);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
