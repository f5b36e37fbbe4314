/* SPDX-License-Identifier: MIT
 * Choosing counters: for each quantity the first candidate that exists on this machine and counts known work rightly, in the
 * company it will have when it is used. */
#ifndef BENCH_PAPI_CHOOSE_H
#define BENCH_PAPI_CHOOSE_H

#include "papi_probe.h"
#include "papi_workers.h"

struct papi_chooser {
    struct papi_workers *workers;
    const struct papi_known *known;
    const struct papi_machine *machine;
    struct calibration_list *list;
    enum isa isa;
};

/* Fills `set` with the accepted members of the group (none may be left) and `q`, one for each of the group's metrics. */
void papi_choose_group(struct papi_chooser *c, const struct papi_group *group, struct papi_set *set, struct papi_quantity *q);

#endif
