/* SPDX-License-Identifier: MIT
 * The live progress line: on a terminal one line that is rewritten at most five times a second, elsewhere one plain line for
 * each finished execution. Never written inside a measured bracket. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *out; /* NULL: silent */
    bool terminal;
    int width;
    uint64_t last_ns;
};

struct progress_state {
    int done, planned; /* executions */
    const char *pass;  /* "time", "warm-up", "papi:flops" */
    const char *label;
    int step, steps;
    double ms; /* of the latest step */
    double eta_s;
};

void progress_open(struct progress *p, FILE *out);
void progress_show(struct progress *p, const struct progress_state *s);
/* Something other than an execution is going on: "measuring roofs". */
void progress_note(struct progress *p, const char *what);
/* Something that stays on the screen. */
void progress_tell(struct progress *p, const char *what);
/* An execution is finished. */
void progress_done(struct progress *p, const struct progress_state *s, double total_ms);
/* Leaves the terminal with a clean line. */
void progress_close(struct progress *p);

#endif
