/* SPDX-License-Identifier: MIT
 * The two environments take turns, so that a neighbour's burst does not fall on one of them; a difference is believed when it
 * shows in every turn: by accident that happens once in 35 times. */
#include "doctor_cost.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "roofs.h"

enum { TURNS = 4, BUDGET_MS = 100, PATIENCE_MS = 20000 };

/* --- in the child ----------------------------------------------------------------------------------------------------------
 */

int doctor_figure(double *out, const char *roof, int threads, struct err *e)
{
    struct roofs *r = NULL;
    struct roof taken;
    int index = 0;

    while (index < roof_count && strcmp(roof_specs[index].name, roof) != 0)
        index++;
    if (index == roof_count)
        return err_set(e, ERR_USAGE, "there is no roof '%s'", roof);
    int code = roofs_open(&r, -1, threads, BUDGET_MS, e);
    if (code == 0 && (code = roofs_measure(r, index, &taken, e)) == 0)
        *out = taken.value;
    roofs_close(r);
    return code;
}

/* --- in the parent ---------------------------------------------------------------------------------------------------------
 */

/* This process's environment without a variable (NULL: with all). The list is the caller's to free, the strings are not. */
static char **environment_without(const char *name)
{
    size_t n = 0, kept = 0, len = name ? strlen(name) : 0;

    while (environ[n])
        n++;
    char **list = malloc((n + 1) * sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (!name || strncmp(environ[i], name, len) != 0 || environ[i][len] != '=')
            list[kept++] = environ[i];
    list[kept] = NULL;
    return list;
}

/* Only calls that are safe between fork and exec. `unbind`: the OpenMP library bound this process to a CPU as it started. */
static void become_child(const char *program, const char *roof, char **environment, int out, bool unbind)
{
    char *const arguments[] = {"bench", "doctor", "--figure", (char *)roof, NULL};
    cpu_set_t all;

    if (unbind) {
        memset(&all, 0xff, sizeof all);
        sched_setaffinity(0, sizeof all, &all);
    }
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execve(program, arguments, environment);
    _exit(127);
}

/* What the child says until it ends; false when its time is up. */
static bool listen_to(int in, char *said, size_t size)
{
    const uint64_t end = clock_ns() + PATIENCE_MS * 1000000ull;
    struct pollfd ready = {.fd = in, .events = POLLIN};
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < size - 1) {
        uint64_t now = clock_ns();
        if (now >= end || poll(&ready, 1, (int)((end - now) / 1000000) + 1) <= 0)
            break;
        n = read(in, said + len, size - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    said[len] = 0;
    return n <= 0 || len == size - 1;
}

/* NaN with the reason in why. */
static double figure_of_child(const char *program, const char *roof, char **environment, bool unbind, char *why, size_t size)
{
    char said[160], *end;
    int ends[2], status;

    if (!environment || pipe(ends) < 0) {
        snprintf(why, size, "%s", strerror(environment ? errno : ENOMEM));
        return NAN;
    }
    pid_t child = fork();
    if (child == 0)
        become_child(program, roof, environment, ends[1], unbind);
    close(ends[1]);
    bool done = child > 0 && listen_to(ends[0], said, sizeof said);
    close(ends[0]);
    if (child < 0) {
        snprintf(why, size, "%s", strerror(errno));
        return NAN;
    }
    if (!done)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    double value = done ? strtod(said, &end) : NAN;
    if (done && end != said && status == 0)
        return value;
    if (done && (end = strstr(said, ": "))) { /* "bench: sentence" */
        end[strcspn(end, "\n")] = 0;
        snprintf(why, size, "%s", end + 2);
    } else {
        snprintf(why, size, "%s", done ? "the measuring failed" : "the measuring took too long");
    }
    return NAN;
}

static bool is_of_openmp(const char *name)
{
    return strstr(name, "OMP_") || strncmp(name, "KMP_", 4) == 0;
}

struct turns {
    double least, most;
};

static void add_turn(struct turns *t, double value)
{
    t->least = value < t->least ? value : t->least;
    t->most = value > t->most ? value : t->most;
}

static void measure(struct doctor_cost *c, const char *program, const struct machine_variable *v)
{
    char **with = environment_without(NULL), **without = environment_without(v->name);
    struct turns a = {INFINITY, 0}, b = {INFINITY, 0};
    bool unbind = is_of_openmp(v->name);

    for (int turn = 0; turn < TURNS && !c->why[0]; turn++) {
        add_turn(&a, figure_of_child(program, v->kind->roof, with, unbind, c->why, sizeof c->why));
        if (!c->why[0])
            add_turn(&b, figure_of_child(program, v->kind->roof, without, unbind, c->why, sizeof c->why));
    }
    if (!c->why[0])
        *c = (struct doctor_cost){.with = a.most, .without = b.most, .told = a.most < b.least || b.most < a.least};
    free(with);
    free(without);
}

void doctor_costs_measure(struct doctor_costs *out, const struct machine_facts *facts, const char *program)
{
    for (int i = 0; i < facts->variables; i++) {
        out->variable[i] = (struct doctor_cost){.with = NAN, .without = NAN};
        if (facts->variable[i].kind->roof)
            measure(&out->variable[i], program, &facts->variable[i]);
    }
}
