/* SPDX-License-Identifier: MIT
 * One run's raw rows in memory, as the analysis reads them: numbers only, nothing derived. What the database lacks is NAN here.
 * A zeroed struct rows is valid and empty; the owner calls rows_free. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

/* Work that is both predicted and counted. Bytes are what must come from memory: the counter sees reads only, so the analytic
 * side is weights + cached keys and values read. */
enum rows_metric { ROWS_FLOPS, ROWS_BYTES, ROWS_METRICS };

/* The readings that count it: as a whole, or, on a GPU, apart by where it was computed, each in a pass of its own. */
enum rows_part { ROWS_PART_FLOPS, ROWS_PART_TENSOR, ROWS_PART_F32, ROWS_PART_F16, ROWS_PART_BYTES, ROWS_PARTS };
int rows_part_of(const char *reading); /* by the reading's metric; ROWS_PARTS: it counts neither */
extern const enum rows_metric rows_part_metric[ROWS_PARTS];
/* The whole of its parts, NAN: not known. Those of tensor cores and of single precision must both be there; half precision
 * outside the tensor cores is added where it was counted. */
double rows_whole(enum rows_metric m, const double part[ROWS_PARTS]);

struct rows_prediction {
    double work[ROWS_METRICS], roof_ms; /* NAN: not predicted */
};

struct rows_repetition {
    int64_t id, started_ns;
    int pass;    /* index into struct rows.pass; 0 is 'time' */
    int ordinal; /* of execution within the run */
    int visit;   /* the same for executions of the trial with none of another trial between them */
    bool warmup;
    double lump[2];   /* whose steps have no rows ('bare'): ms of prefill, of all decode steps; else NAN */
    double energy[2]; /* J of prefill, of all decode steps; NAN: not wholly measured */
    double faults;    /* pages, minor and major; NAN: not recorded */
    char tokens_hash[24];
    double *ms;               /* [new_tokens], by step; NAN: no such row */
    double *sample_ms;        /* [new_tokens]: the part of it that chose the token */
    double *launches;         /* [new_tokens]: kernels, copies and sets given to a device; NULL: there is none */
    double *part[ROWS_PARTS]; /* [new_tokens]; NULL: no such reading */
};

struct rows_trial {
    int64_t id;
    int axis[AXIS_COUNT];      /* as counted: prompt_tokens and threads are never 0 */
    bool recorded[AXIS_COUNT]; /* false: an old run did not keep it, axis has the usual value */
    int rows;                  /* of each pass and of the KV cache */
    char arithmetic[8];        /* "f32", "f16", "bf16", "int8": of products with weights */
    char attention_arithmetic[8];
    double weight_bytes;
    struct store_accuracy accuracy;    /* positions 0: not measured */
    int unconverged;                   /* -1: not decided */
    struct rows_prediction *predicted; /* [new_tokens] */
    struct rows_repetition *rep;
    int reps;
    bool multiplexed[ROWS_METRICS]; /* some reading ran for a part of its step only */
    char why[ROWS_METRICS][200];    /* of the first missing reading, or "" */
};

struct rows_round {
    int round;
    int64_t at_ns; /* since the run's start, as repetitions count */
    double value;
};

struct rows_roof {
    char name[32], kind[16], level[16], how[128];
    int threads;
    struct rows_round *round;
    int rounds;
};

struct rows_cache { /* what all of the run's threads can hold together */
    char level[8];  /* "l2", "l3" */
    double bytes;
};
enum { ROWS_CACHES = 4 };

struct rows {
    int64_t run;
    bool device;             /* computed by a GPU: it has other roofs, and threads do not matter */
    int threads, prompt_ids; /* prompt_ids: length of the run's prompt text in tokens */
    double tokenize_ms;
    char (*pass)[32];
    int passes, bare;  /* bare: the index of the pass that nothing watches, -1: there is none */
    bool board_energy; /* energy is the GPU board's, not the CPU packages' */
    struct rows_trial *trial;
    int trials;
    struct rows_roof *roof;
    int roofs;
    struct rows_cache cache[ROWS_CACHES]; /* the smallest first */
    int caches;
    char why[ROWS_METRICS][256]; /* why nothing could count the metric, as calibration or absence say; or "" */
};

enum { ROWS_STEPS_MAX = 1 << 20 }; /* more new tokens than this is not a run of ours */

/* ERR_USAGE when the run is not there, ERR_FORMAT when its rows cannot be true. */
int rows_load(struct rows *out, struct store *s, int64_t run, struct err *e);
void rows_free(struct rows *r);

/* The roof of that name at that thread count, or NULL. */
const struct rows_roof *rows_find_roof(const struct rows *r, const char *name, int threads);

/* What an axis has where nothing else was asked for: the text's own length, all of the run's threads. */
int rows_usual(const struct rows *r, enum axis a);

/* The first repetition that has rows of its steps; the first of all where none has. */
const struct rows_repetition *rows_first_stepped(const struct rows_trial *t);

/* Values of one step over the repetitions that count (no warm-up), into buf [trial->reps]; returns how many. */
int rows_step_ms(const struct rows_trial *t, int pass, int step, double *buf);
int rows_step_sample_ms(const struct rows_trial *t, int pass, int step, double *buf);
/* The counted work of a step: the median over the repetitions, of each part. NAN: not wholly counted. */
double rows_step_counted(const struct rows_trial *t, enum rows_metric m, int step, double *buf);

#endif
