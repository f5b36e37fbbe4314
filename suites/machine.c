/* SPDX-License-Identifier: MIT
 * The facts that the doctor tells, written into the record; with the team, which only a run knows. */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>

#include "gpu.h"
#include "machine_facts.h"

static int add_fact(struct store *s, int64_t run, enum machine_fact f, const struct fact *fact, struct err *e)
{
    char unknown[sizeof fact->why + 16];

    snprintf(unknown, sizeof unknown, "unknown: %s", fact->why);
    return store_add_machine(s, run, machine_fact_key(f), fact->value[0] ? fact->value : unknown, fact->source, e);
}

static int add_variable(struct store *s, int64_t run, const struct machine_variable *v, struct err *e)
{
    char key[sizeof v->name + 1];

    snprintf(key, sizeof key, "$%s", v->name);
    return store_add_machine(s, run, key, v->value, "environment", e);
}

static int add_team(struct store *s, int64_t run, const struct team *team, struct err *e)
{
    char text[256];

    snprintf(text, sizeof text, "%d, %s to CPUs %s%s", team->threads, team->pinned ? "pinned" : "could not be pinned",
             team->cpus, team->shares_cores ? "; some share a core" : "");
    return store_add_machine(s, run, "threads", text, "bench", e);
}

struct place {
    struct store *s;
    int64_t run;
};

static int add_gpu_row(void *ctx, const char *key, const char *value, const char *source, struct err *e)
{
    const struct place *at = ctx;

    return store_add_machine(at->s, at->run, key, value, source, e);
}

int machine_describe(struct store *s, int64_t run, const struct team *team, int device, struct err *e)
{
    struct place at = {s, run};
    struct machine_facts *m = malloc(sizeof *m);
    int code = m ? add_team(s, run, team, e) : err_set(e, ERR_MEMORY, "out of memory");

    if (m)
        machine_facts_read(m, "");
    for (int i = 0; code == 0 && i < FACT_COUNT; i++)
        code = add_fact(s, run, (enum machine_fact)i, &m->fact[i], e);
    for (int i = 0; code == 0 && i < m->variables; i++)
        code = add_variable(s, run, &m->variable[i], e);
    free(m);
    if (code == 0 && device >= 0)
        code = gpu_machine_rows(device, add_gpu_row, &at, e);
    return code;
}
