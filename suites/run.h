/* SPDX-License-Identifier: MIT
 * Running a suite: the conductor that brings engine, probes and store together. Each trial is executed many times: in the
 * timing pass with clocks only, interleaved in seeded rounds, then once more for every counter group, and a few times with
 * nothing watching, to know what watching costs. What is measured is
 * committed after each execution, so that nothing is lost when the process dies. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"
#include "store.h"
#include "suite.h"
#include "team.h"
#include "work.h"

struct run_options {
    const char *suite;
    const char **overrides; /* NULL-terminated --set values */
    const char *model;      /* NULL: the suite's */
    const char *backend;
    int device;       /* GPU of the backend, from 0 */
    int threads;      /* of the team; 0: one per core */
    const char *cpus; /* the only ones to be used, "0,2-3"; NULL: all that are allowed */
    uint64_t seed;
    bool quick;
    const char *command; /* as typed, for the record */
};

enum { PROMPT_MAX = 1 << 20, MODELS_MAX = 16, LABEL_MAX = 160, LEFT_OUT_MAX = 64 };

/* A trial while it is being run. */
struct trial {
    struct cell cell;      /* prompt_tokens and threads as counted, never 0; usual where the axis has no meaning here */
    char label[LABEL_MAX]; /* "kv_cache=on prompt=13 new=128 dtype=bf16" */
    struct model *model;   /* the plan's, in its dtype and gemm */
    struct sampling sampling;
    int rows;            /* of each pass and of the KV cache: batch, times the beams */
    int32_t *prompt;     /* [batch][prompt_tokens], owned */
    int64_t id;          /* in the database */
    double predicted_ns; /* roofline time of one execution */
    double *total_ns;    /* timed executions so far */
    int timed, bares;    /* executions of the timing pass without warm-up; of pass 'bare' */
    double last_ns;      /* wall time of the latest execution; 0: none yet */
    int64_t kv_allocated;
    bool converged;
};

/* The suite's model as some of the trials have it in memory. */
struct plan_model {
    enum dtype dtype;
    enum gemm gemm;
    struct model *model;
};

/* Cells that the backend cannot compute. */
struct left_out {
    char what[64]; /* "dtype=q8_0": the values that it refuses */
    char why[192];
};

/* What a suite becomes on this machine with this model: the trials in matrix order. */
struct plan {
    struct suite suite;
    struct left_out left_out[LEFT_OUT_MAX]; /* each reason once */
    int left_outs;
    struct team team;
    int device;                          /* GPU that computes; -1: the team does */
    struct plan_model model[MODELS_MAX]; /* each opened once; prompt and shapes are the first one's */
    int models;
    int32_t *prompt_ids; /* the text's own tokens */
    size_t prompt_len;
    uint64_t tokenize_ns;
    struct trial trial[TRIALS_MAX];
    int trials;
};

/* Reads the suite, expands the matrix without the cells that the backend cannot compute, starts the team, opens the models
 * (shapes only when plan_only), makes the prompts. ERR_USAGE where no cell is left; ERR_MEMORY where the models together are
 * more than the memory that is available. */
int plan_open(struct plan *p, const struct run_options *o, bool plan_only, struct err *e);
void plan_close(struct plan *p);

const struct model_config *plan_config(const struct plan *p);

/* NULL: no trial has it. */
const struct plan_model *plan_find_model(const struct plan *p, enum dtype d, enum gemm g);

/* Opens the plan's model once more, in m's dtype and gemm; the caller closes it. */
int plan_open_model(const struct plan *p, const struct run_options *o, struct plan_model *m, bool plan_only, struct err *e);

/* A step's shape as the trial runs it. */
struct pass_shape plan_step_shape(const struct trial *t, int step);

/* The text's tokens, repeated or cut: n of them. */
void plan_prompt(const struct plan *p, int32_t *out, int n);

/* The plan with predicted FLOPs, bytes and time at roofs measured briefly now. */
int plan_print(struct plan *p, FILE *out, struct err *e);

/* Runs everything into the store. run: the row's id, valid once it exists (else 0), also on failure. Ctrl-C: ERR_INTERRUPTED.
 */
int run_suite(struct plan *p, const struct run_options *o, struct store *s, FILE *progress, int64_t *run, struct err *e);

#endif
