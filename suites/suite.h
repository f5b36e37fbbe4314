/* SPDX-License-Identifier: MIT
 * A suite is an experiment as data: one YAML file with a question, a model, a workload, a matrix of axes, how to measure, and
 * the claims to check. Reading it needs no model and measures nothing. Errors are one sentence that begins
 * "file:line:column: key: ". A value given with --set is named "--set key". */
#ifndef BENCH_SUITE_H
#define BENCH_SUITE_H

#include <stdbool.h>
#include <stdint.h>

#include "axis.h"
#include "err.h"
#include "sample.h"
#include "text.h"

enum { AXIS_MAX = 16, RULES_MAX = 16, CLAIMS_MAX = 48, PROBES_MAX = 8, TRIALS_MAX = 256 };

/* A point of the matrix: a value for each axis. prompt_tokens 0: the prompt text as it tokenises; threads 0: all of the team.
 */
struct cell {
    int value[AXIS_COUNT];
};

/* Values of some of the axes, such as {kv_cache: on, dtype: [f32, bf16]}. As a part of a plan it is their product. */
struct axis_values {
    int value[AXIS_COUNT][AXIS_MAX], len[AXIS_COUNT]; /* len 0: the axis is not named */
};

struct claim_spec {
    char kind[24];
    char json[1024]; /* the claim's mapping as compact JSON, checked by report/claims.h */
};

struct suite {
    char path[256], name[64]; /* name: file name without ending */
    char question[256];
    char model[256];
    char prompt[4096];
    struct cell usual;        /* workload and engine: axes that the matrix does not name */
    struct sampling sampling; /* workload.sampling: what the strategies take theirs from */
    struct axis_values matrix;
    /* include adds the cells of its product that the matrix lacks (axes that it does not name are usual); exclude removes every
     * cell that has one of the named values on each axis that it names. */
    struct axis_values include[RULES_MAX], exclude[RULES_MAX];
    int includes, excludes;
    char probes[PROBES_MAX][24];
    int probe_count;
    bool accuracy; /* every trial's logits are compared with those of the model in float32 */
    bool per_op;   /* more passes, in which every op has a clock and counters of its own */
    int repetitions_min, repetitions_max, warmup;
    double target;   /* relative half-width of the 95 % interval at which a trial stops */
    double budget_s; /* of the timing pass */
    int roof_ms;     /* time for each roof in a round */
    struct claim_spec claim[CLAIMS_MAX];
    int claims;
    struct text yaml; /* the text as read, with the overrides appended as comments: goes into the database */
};

/* path: with or without .yaml. overrides: "workload.batch=2", NULL-terminated or NULL; quick applies the suite's own `quick:`
 * section (dotted keys to values) before them. */
int suite_read(struct suite *s, const char *path, const char *const *overrides, bool quick, struct err *e);
void suite_free(struct suite *s);

/* All cells in matrix order, includes last; duplicates once. ERR_USAGE when none or more than max are left. */
int suite_cells(const struct suite *s, struct cell *out, int max, int *count, struct err *e);

/* The claim's JSON with "text" and "all" replaced by what counts says of prompt_tokens and threads: claims match what was run.
 * malloc'ed, the caller frees; NULL when out of memory. */
char *suite_claim_resolved(const struct claim_spec *c, const struct cell *counts);

/* How a cell chooses its tokens: of the suite's settings those that its strategy takes, with the strategy's own value where the
 * suite leaves one at 0. */
void suite_sampling(const struct suite *s, const struct cell *c, uint64_t seed, struct sampling *out);

/* A seeded permutation of 0..n-1: the order in which one round visits the trials. */
void suite_order(int *order, int n, uint64_t seed, int round);

#endif
