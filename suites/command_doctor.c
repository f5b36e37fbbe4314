/* SPDX-License-Identifier: MIT
 * `bench doctor`: one screen about this machine. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/backend.h"
#include "commands.h"
#include "doctor.h"
#include "team.h"

static void print_findings(const struct findings *f)
{
    static const char *const mark[] = {[FINDING_OK] = "ok", [FINDING_WARN] = "WARN", [FINDING_ABSENT] = "absent"};

    for (int i = 0; i < f->count; i++) {
        const struct finding *x = &f->item[i];
        if (i == 0 || strcmp(f->item[i - 1].area, x->area) != 0)
            printf("%s%s\n", i ? "\n" : "", x->area);
        printf("  %-6s %-24s %s\n", mark[x->state], x->what, x->value);
        if (x->remedy[0])
            printf("         %-24s -> %s\n", "", x->remedy);
    }
}

int command_doctor(int argc, char **argv)
{
    const struct argp argp = {.doc =
                                  "What this machine lets a profiler see: counters (calibrated now), permissions, libraries, "
                                  "settings that change a roof, each with its remedy."};
    struct team team;
    struct err e = {0};

    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    struct findings *f = calloc(1, sizeof *f);
    if (!f) {
        err_set(&e, ERR_MEMORY, "out of memory");
        return command_fail(&e);
    }
    int code = team_start(&team, 0, &e);
    if (code == 0)
        code = doctor_examine(f, team.threads, &e);
    if (code == 0) {
        print_findings(f);
        printf("\nbackends\n");
        for (int i = 0; backends[i]; i++)
            printf("  %-6s %-24s %s\n", "ok", backends[i]->name, backends[i]->about);
    }
    free(f);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
