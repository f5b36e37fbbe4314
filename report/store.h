/* SPDX-License-Identifier: MIT
 * The database: one SQLite file, many runs. WAL, foreign keys, STRICT; schema.sql is compiled in; user_version counts the
 * migrations. A repetition and all its rows are one transaction: a killed run keeps every finished repetition. A file that is
 * not ours, newer than this program, read-only or on a full disk gives one sentence with the remedy. Never on the measured
 * path. One store, one thread. */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "axis.h"
#include "err.h"

struct store;
struct sqlite3;

int store_open(struct store **out, const char *path, struct err *e);          /* creates it when missing */
int store_open_readonly(struct store **out, const char *path, struct err *e); /* ERR_IO when missing */
void store_close(struct store *s);
struct sqlite3 *store_handle(struct store *s);   /* for queries by the report */
int store_error(struct store *s, struct err *e); /* the sentence for what just failed on that handle; returns its code */

struct store_run { /* strings are borrowed for the call */
    const char *suite, *question, *suite_yaml, *command;
    const char *model, *arch, *dtype, *weights, *format, *stored;
    int layers, d_model, heads, kv_heads, head_dim, d_ff, vocab, context;
    int64_t parameters, weight_bytes, stored_bytes, load_peak_bytes; /* the last two < 0: NULL */
    const char *tokenizer, *prompt, *prompt_tokens;
    const char *backend, *backend_about, *cpus;
    int threads;
    int64_t seed, load_model_ns, load_tokenizer_ns, tokenize_ns;
    const char *version, *compiler, *conventions;
};

/* Each adds one row at once (autocommit, or inside store_begin/store_commit). */
int store_begin(struct store *s, struct err *e);
int store_commit(struct store *s, struct err *e);
void store_rollback(struct store *s);

int store_add_run(struct store *s, const struct store_run *r, int64_t *id, struct err *e);
int store_finish_run(struct store *s, int64_t run, const char *outcome, const char *problem, struct err *e);
int store_add_machine(struct store *s, int64_t run, const char *key, const char *value, const char *source, struct err *e);
/* What the model was read from; sha256: 64 hex digits. */
int store_add_model_file(struct store *s, int64_t run, const char *path, int64_t bytes, const char *sha256, struct err *e);
int store_add_absent(struct store *s, int64_t run, const char *what, const char *why, struct err *e);
/* Bytes of a cache level ("l2", "l3") that the run's threads can fill together. */
int store_add_cache(struct store *s, int64_t run, const char *level, int64_t bytes, struct err *e);

struct store_roof {
    const char *name, *kind, *level, *how; /* kind: "compute", "bandwidth" or "launch" */
    int threads, round, repetitions;
    double value, work;
    int64_t at_ns, wall_ns;
};
int store_add_roof(struct store *s, int64_t run, const struct store_roof *r, struct err *e);

struct store_calibration {
    const char *metric, *probe, *event, *kernel, *why;
    double expected, measured, rel_error, limit; /* NaN becomes NULL */
    bool accepted;
};
int store_add_calibration(struct store *s, int64_t run, const struct store_calibration *c, struct err *e);

struct store_trial {
    int ordinal;
    int axis[AXIS_COUNT]; /* of this trial: prompt_tokens and threads as counted, never 0 */
    int rows;
    const char *sampling;                         /* the settings in words, NULL for greedy */
    const char *arithmetic;                       /* "f32", "f16", "bf16", "int8": in what products with weights are computed */
    const char *attention_arithmetic;             /* the same of attention: "f32", "f16", "bf16" */
    int64_t weight_bytes;                         /* of the model as this trial has it in memory */
    int64_t kv_bytes_formula, kv_bytes_allocated; /* allocated < 0: NULL */
};
int store_add_trial(struct store *s, int64_t run, const struct store_trial *t, int64_t *id, struct err *e);
int store_set_trial(struct store *s, int64_t trial, int64_t kv_bytes_allocated, bool unconverged, struct err *e);

/* A trial's logits at every position of a prompt, against those of the same model in float32. */
struct store_accuracy {
    int positions;
    double max_error, mean_error, spread; /* absolute; spread: standard deviation of the float32 logits */
    double top1;                          /* share of positions with the same largest logit */
};
int store_add_accuracy(struct store *s, int64_t trial, const struct store_accuracy *a, struct err *e);

struct store_prediction {
    int step;
    double flops, weight_bytes, kv_read_bytes, kv_write_bytes, roof_ns;
};
int store_add_prediction(struct store *s, int64_t trial, const struct store_prediction *p, struct err *e);

/* A stretch of steps: `steps` of them from `step` on, summed. */
struct store_span {
    int step, steps;
};
struct store_op {
    struct store_span span;
    const char *op;
    double flops, bytes, write_bytes; /* write_bytes: of bytes */
};
int store_add_op(struct store *s, int64_t trial, const struct store_op *op, struct err *e);

struct store_repetition {
    const char *pass, *tokens_hash;
    int rep, ordinal, rejected;
    bool warmup;
    int64_t started_ns, wall_ns;
    int64_t switches_involuntary, page_faults_minor, page_faults_major, steal_ticks; /* < 0: NULL */
    double other_busy, load1;                                                        /* < 0: NULL */
    int64_t interrupts, throttled;                                                   /* < 0: NULL */
    double frequency_hz, sibling_busy, huge_share, remote_share;                     /* < 0: NULL; frequency 0 too */
    int64_t prefill_ns;                                                              /* of pass 'bare', else 0: NULL */
};
int store_add_repetition(struct store *s, int64_t trial, const struct store_repetition *r, int64_t *id, struct err *e);

struct store_step { /* phase follows from step */
    int step;
    int64_t wall_ns, sample_ns; /* sample_ns < 0: NULL */
    int kv_len, token;
    int launches; /* kernels, copies and sets given to a device; < 0: NULL, there was none */
    const char *token_text;
};
int store_add_step(struct store *s, int64_t repetition, const struct store_step *step, struct err *e);

struct store_reading {
    int step;
    const char *probe, *metric, *provenance, *why; /* why may be NULL */
    double value, coverage;                        /* value is stored as NULL when provenance is "missing" */
};
int store_add_reading(struct store *s, int64_t repetition, const struct store_reading *r, struct err *e);

/* One op's part of a span, in one layer (-1: outside the layers). */
struct store_op_place {
    struct store_span span;
    const char *op;
    int layer;
};
int store_add_op_step(struct store *s, int64_t repetition, const struct store_op_place *at, int64_t wall_ns, struct err *e);
int store_add_op_reading(struct store *s, int64_t repetition, const struct store_op_place *at, const struct store_reading *r,
                         struct err *e); /* r->step and r->coverage are not looked at */

/* One piece of a device's work in a step that is kept (op_span's), in their order. */
struct store_event {
    int step, ordinal; /* ordinal: within the step */
    const char *kind;  /* "kernel", "copy", "set" */
    const char *name;
    const char *op;            /* NULL: it belongs to none, or a graph was replayed */
    int layer;                 /* -1: outside the layers */
    int64_t start_ns, wall_ns; /* start: since the step's first event */
    int grid[3], block[3], registers, shared_bytes;
    int64_t bytes; /* of copies and sets, else 0: NULL */
};
int store_add_event(struct store *s, int64_t repetition, const struct store_event *event, struct err *e);

/* A sample of the device's state; NAN: NULL. at_ns: since the execution's start. */
struct store_sample {
    int64_t at_ns, span_ns;
    double read_bytes, write_bytes, sm_active, tensor_active;
};
int store_add_sample(struct store *s, int64_t repetition, const struct store_sample *sample, struct err *e);

int store_add_claim(struct store *s, int64_t run, int ordinal, const char *spec_json, struct err *e);
int store_set_claim(struct store *s, int64_t run, int ordinal, const char *result, const char *text, const char *evidence,
                    struct err *e);

/* "last", or a number. ERR_USAGE with what there is when it does not exist. */
int store_find_run(struct store *s, const char *which, int64_t *id, struct err *e);

#endif
