/* SPDX-License-Identifier: MIT
 * The event files of this program, and what this CPU gets of them: its own file's candidates, then the generic ones. */
#ifndef BENCH_EVENT_CATALOG_H
#define BENCH_EVENT_CATALOG_H

#include "event_file.h"

/* Every file's name and text, in the list's order, `generic` last; ends with a line without a name. */
struct event_text {
    const char *name, *text;
};
extern const struct event_text event_texts[];

/* The file that is for this CPU, with the generic candidates behind its own; the generic file alone where none is. cpu may be
 * NULL: this machine's. ERR_FORMAT when a file is wrong. */
int event_catalog_choose(struct event_file *out, const struct cpu_id *cpu, struct err *e);

#endif
