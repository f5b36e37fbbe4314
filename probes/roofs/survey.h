/* SPDX-License-Identifier: MIT
 * The survey of the machine's ceilings: every level, operation, page size and number of threads; arithmetic by type and width;
 * the library's matrix product; latencies; the clock. Cells are measured in rounds over the whole table, so that drift over
 * time shows; nothing is dropped, what was disturbed is marked. One survey at a time, from the main thread of the started team.
 */
#ifndef BENCH_SURVEY_H
#define BENCH_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "area.h"
#include "jobs.h"

enum survey_kind {
    SURVEY_STREAM,  /* B/s */
    SURVEY_COMPUTE, /* operations/s */
    SURVEY_PRODUCT, /* FLOP/s */
    SURVEY_LATENCY, /* dependent loads/s */
    SURVEY_CLOCK,   /* dependent additions/s = cycles/s */
};

enum { SURVEY_ROUNDS_MAX = 8, SURVEY_CELLS_MAX = 160 };

struct survey_round {
    double best;      /* of the cell's variant */
    int64_t switches; /* involuntary ones of our threads meanwhile: something else ran on their CPUs */
};

struct survey_cell {
    enum survey_kind kind;
    int threads;
    enum roof_level level; /* streams and latencies */
    enum roof_op op;       /* streams */
    bool bypass;
    enum roof_pages pages;
    const char *dtype; /* arithmetic: "f32"; NULL elsewhere */
    int bits;          /* of the vectors: arithmetic (32 or 64: scalar); of a stream's best variant, in the end */

    char absent[160];                                 /* why there is nothing; "" where the rest counts */
    const char *how;                                  /* the variant of the kernel with the best median */
    int rows;                                         /* of the best product's matrices */
    size_t set_bytes;                                 /* of each worker; 0: registers */
    int repetitions;                                  /* of that variant */
    double best, median, quartile_low, quartile_high; /* per second, all threads together */
    struct survey_round round[SURVEY_ROUNDS_MAX];
    double drift;   /* (largest - smallest) / largest of the rounds' bests */
    bool disturbed; /* something else ran on our CPUs in one of the rounds */
};

struct survey {
    int threads, rounds, budget_ms;
    enum isa isa;
    struct caches caches;
    struct roof_area area[ROOF_PAGES];
    struct survey_cell cell[SURVEY_CELLS_MAX];
    int count;
    struct survey_samples *samples; /* one per cell */
};

/* rounds: 1 to SURVEY_ROUNDS_MAX. budget_ms: of a cell in a round, four times that where the memory is passed over; every
 * variant runs once at least. Zeroed memory is a closed survey; close it also after an error. */
int survey_open(struct survey *s, int threads, int rounds, int budget_ms, struct err *e);
void survey_close(struct survey *s);

/* Measures a cell in a round; rounds in order. */
void survey_measure(struct survey *s, int cell, int round);

/* After the last round: fills in the results. */
void survey_conclude(struct survey *s);

/* What plain stores make the memory move for each byte that is named, where the line must be read to be owned. */
double survey_traffic(enum roof_op op);

const char *survey_op_name(enum roof_op op, bool bypass); /* "read", "copy, nt" */
const char *survey_level_name(enum roof_level level);     /* "L1", "DRAM" */
const char *survey_width_name(int bits);                  /* "scalar", "512-bit" */

#endif
