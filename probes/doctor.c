/* SPDX-License-Identifier: MIT
 * Asks every part in the order of the areas, and holds the rules that grades are given by. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor_parts.h"

/* --- findings --------------------------------------------------------------------------------------------------------------
 */

void doctor_add(struct diagnosis *d, enum doctor_area area, const char *what, enum finding_state state, const char *remedy,
                const char *value, ...)
{
    va_list ap;

    if (d->count == FINDINGS_MAX)
        return;
    struct finding *item = &d->item[d->count++];
    item->area = area;
    item->state = state;
    snprintf(item->what, sizeof item->what, "%s", what);
    snprintf(item->remedy, sizeof item->remedy, "%s", remedy);
    va_start(ap, value);
    vsnprintf(item->value, sizeof item->value, value, ap);
    va_end(ap);
}

void doctor_add_sentence(struct diagnosis *d, enum doctor_area area, const char *what, const char *sentence)
{
    const char *semicolon = strstr(sentence, "; ");
    int reason = semicolon ? (int)(semicolon - sentence) : (int)strlen(sentence);

    doctor_add(d, area, what, FINDING_ABSENT, semicolon ? semicolon + 2 : "", "%.*s", reason, sentence);
}

const char *finding_state_name(enum finding_state s)
{
    static const char *const names[FINDING_STATES] = {
        [FINDING_OK] = "ok", [FINDING_INFO] = "info", [FINDING_WARN] = "warn", [FINDING_ABSENT] = "absent"};

    return names[s];
}

/* --- areas and grades ------------------------------------------------------------------------------------------------------
 */

struct area {
    const char *name;
    enum doctor_grade (*examine)(struct diagnosis *d, const struct doctor_args *args);
    const char *rule[DOCTOR_GRADES + 1];
};

static const struct area areas[DOCTOR_AREAS] = {
    [DOCTOR_COUNTERS] = {"counters",
                         doctor_counters,
                         {"FLOPs, bytes from memory and caches, cycles and instructions are counted, calibrated",
                          "FLOPs and bytes from memory are counted and calibrated, not everything else",
                          "something is counted and calibrated, but not both FLOPs and bytes from memory",
                          "no hardware counters: time is measured, work is computed", ""}},
    [DOCTOR_CPU] = {"cpu",
                    doctor_cpu,
                    {"full speed is asked for and nobody else decides over the CPUs",
                     "the clock cannot be seen or set, or a virtual machine's host decides over the CPUs",
                     "the governor slows the CPUs when it likes, or workers share cores",
                     "a quota stops the process when its time is used up", ""}},
    [DOCTOR_MEMORY] = {"memory",
                       doctor_memory,
                       {"huge pages are there, memory is free and nothing is swapped out",
                        "a limit, NUMA balancing or swap in use may disturb",
                        "there are no huge pages: bandwidth will be lower", "less than 1 GB is available", ""}},
    [DOCTOR_ENVIRONMENT] = {"environment",
                            doctor_environment,
                            {"no variable is set that could change a roof", "what is set costs no roof more than 10 %",
                             "a variable costs a roof more than 10 %, or how much is not known",
                             "a variable costs a roof more than 25 %", ""}},
    [DOCTOR_ENERGY] = {"energy",
                       doctor_energy,
                       {"CPU packages and memory are metered", "CPU packages are metered",
                        "there are meters, which this user may not read", "no energy meter", ""}},
    [DOCTOR_GPU] = {"gpu",
                    doctor_gpu,
                    {"a GPU that computes here, and its counters", "a GPU that computes here, without its counters",
                     "a GPU that this program does not get to", "a GPU without a driver", "no NVIDIA GPU"}},
    [DOCTOR_SOFTWARE] = {"software", doctor_software, {"", "", "", "", "listed, not graded"}},
};

const char *doctor_area_name(enum doctor_area a)
{
    return areas[a].name;
}

char doctor_grade_letter(enum doctor_grade g)
{
    return "ABCD-"[g];
}

const char *doctor_grade_rule(enum doctor_area a, enum doctor_grade g)
{
    return areas[a].rule[g];
}

int doctor_examine(struct diagnosis *out, const struct doctor_args *args, struct err *e)
{
    if (args->threads < 1)
        return err_set(e, ERR_USAGE, "doctor: %d threads: at least 1 is needed", args->threads);
    out->count = 0;
    out->overall = DOCTOR_A;
    for (int a = 0; a < DOCTOR_AREAS; a++) {
        out->grade[a] = areas[a].examine(out, args);
        if (a < DOCTOR_DECIDING && out->grade[a] > out->overall)
            out->overall = out->grade[a];
    }
    return 0;
}
