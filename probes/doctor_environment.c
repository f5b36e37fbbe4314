/* SPDX-License-Identifier: MIT
 * Variables that change a roof or a counter without a word in any option, each with the figure it costs. */
#include <stdio.h>
#include <string.h>

#include "doctor_parts.h"

static const double slight = 0.10, grave = 0.25; /* shares of a roof */

/* "f32 gemm 132 GFLOP/s, 254 without it (x 0.52)" */
static void describe_cost(char *text, size_t size, const struct variable_kind *kind, const struct doctor_cost *c)
{
    if (!kind->roof)
        snprintf(text, size, "%s; no roof depends on it", kind->changes);
    else if (!c)
        snprintf(text, size, "%s; its cost was not measured", kind->changes);
    else if (c->why[0])
        snprintf(text, size, "%s; its cost is not known: %s", kind->changes, c->why);
    else
        snprintf(text, size, "%s %.3g %s, %.3g without it (%s%.2f)", kind->roof, c->with / 1e9,
                 strstr(kind->roof, "read") ? "GB/s" : "GFLOP/s", c->without / 1e9, c->told ? "x " : "not in every turn: x ",
                 c->with / c->without);
}

/* What makes a roof higher costs nothing. */
static enum doctor_grade grade_of(const struct variable_kind *kind, const struct doctor_cost *c)
{
    if (!kind->roof)
        return DOCTOR_B;
    if (!c || c->why[0])
        return DOCTOR_C;
    double loss = c->told ? 1 - c->with / c->without : 0;
    return loss > grave ? DOCTOR_D : loss > slight ? DOCTOR_C : DOCTOR_B;
}

enum doctor_grade doctor_environment(struct diagnosis *d, const struct doctor_args *args)
{
    const struct machine_facts *m = args->facts;
    enum doctor_grade worst = DOCTOR_A;
    char cost[256], remedy[80];

    for (int i = 0; i < m->variables; i++) {
        const struct machine_variable *v = &m->variable[i];
        const struct doctor_cost *c = args->costs ? &args->costs->variable[i] : NULL;
        enum doctor_grade g = grade_of(v->kind, c);

        describe_cost(cost, sizeof cost, v->kind, c);
        snprintf(remedy, sizeof remedy, "unset %s", v->name);
        doctor_add(d, DOCTOR_ENVIRONMENT, v->name, g > DOCTOR_B ? FINDING_WARN : FINDING_INFO, g > DOCTOR_B ? remedy : "",
                   "%.60s: %s", v->value[0] ? v->value : "empty", cost);
        worst = g > worst ? g : worst;
    }
    if (m->variables == 0)
        doctor_add(d, DOCTOR_ENVIRONMENT, "variables", FINDING_OK, "", "none is set that would change a roof or a counter");
    return worst;
}
