/* SPDX-License-Identifier: MIT
 * The axes: everything by which two trials of a run can differ. One table, said once: suites read and check values by it, the
 * database and the reports spell them by it. A value is an int: a number, or the index of a word. Needs a row here, a column of
 * the same name in the table `trial`, and someone who acts on it. */
#ifndef BENCH_AXIS_H
#define BENCH_AXIS_H

#include <stdbool.h>
#include <stddef.h>

enum axis {
    AXIS_KV_CACHE,
    AXIS_BATCH,
    AXIS_PROMPT_TOKENS,
    AXIS_NEW_TOKENS,
    AXIS_STRATEGY,
    AXIS_DTYPE,    /* of the weights as they are computed from: the first values of enum dtype */
    AXIS_KV_DTYPE, /* of cached keys and values: likewise */
    AXIS_THREADS,
    AXIS_GEMM,      /* enum gemm */
    AXIS_ATTENTION, /* enum attention */
    AXIS_LAUNCH,    /* enum launch */
    AXIS_COUNT
};

/* How the next token is chosen. */
enum strategy {
    STRATEGY_GREEDY,
    STRATEGY_SAMPLE,
    STRATEGY_TOP_K,
    STRATEGY_TOP_P,
    STRATEGY_MIN_P,
    STRATEGY_BEAM,
    STRATEGY_COUNT
};

struct axis_spec {
    const char *name;         /* "kv_cache": in suites, columns and reports */
    const char *section;      /* of a suite, where its usual value stands: "workload" or "engine" */
    const char *const *words; /* NULL-terminated values by name; NULL: a number */
    const char *zero;         /* numbers: the word for 0, "text" or "all"; NULL: none */
    int least, most;          /* numbers */
    int usual;                /* where nothing else is said */
};

extern const struct axis_spec axes[AXIS_COUNT];
extern const char *const axis_names[AXIS_COUNT]; /* the names again, for messages that list them */

int axis_find(const char *name); /* an enum axis, or -1 */

/* "on", "13", "bf16", "all"; into buf where it is a number, returns it. */
enum { AXIS_TEXT = 16 };
const char *axis_text(enum axis a, int value, char buf[AXIS_TEXT]);

/* The value of a word or of a number's digits; false when it is neither, or outside least to most. */
bool axis_value(enum axis a, const char *text, int *value);

#endif
