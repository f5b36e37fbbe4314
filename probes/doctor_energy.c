/* SPDX-License-Identifier: MIT
 * Opens the energy probe to see what it meters. */
#include <string.h>

#include "doctor_parts.h"
#include "rapl.h"

enum doctor_grade doctor_energy(struct diagnosis *d, const struct doctor_args *args)
{
    enum metric metric[READING_VALUES_MAX];
    struct probe *p = NULL;
    struct err e = {0};

    if (rapl_open_at(args->root, &p, &e) < 0) {
        doctor_add_sentence(d, DOCTOR_ENERGY, "rapl", e.text);
        return strstr(e.text, "; ") ? DOCTOR_C : DOCTOR_D; /* only a refused meter has a remedy */
    }
    int n = p->ops->metrics(p, metric);
    for (int i = 0; i < n; i++)
        doctor_add(d, DOCTOR_ENERGY, metric_name(metric[i]), FINDING_OK, "", "%s", metric_about(metric[i]));
    p->ops->close(p);
    return n > 1 ? DOCTOR_A : DOCTOR_B;
}
