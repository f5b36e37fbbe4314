/* SPDX-License-Identifier: MIT
 * Another tool's benchmark beside ours: run in turn with it, so that both meet the same machine. Understood are likwid-bench
 * and STREAM, by what they print. Both count, as we do, the bytes that the program names. likwid-bench prints the mean over its
 * run and STREAM its best repetition: ours is taken likewise. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <sched.h>
#include <stdbool.h>

#include "isa.h"
#include "jobs.h"

enum { PEER_FIGURES = 2, PEER_ROUNDS_MAX = 8, PEER_HOW = 128 };

struct peer_figure {
    char name[48];   /* "load_avx512", "Triad" */
    double value;    /* B/s or FLOP/s */
    enum roof_op op; /* where dtype is NULL */
    bool bypass;
    const char *dtype; /* multiply-adds on registers */
    int bits;          /* of the vectors that the name tells; 0: it does not */
    const char *note;  /* in what it differs from ours; NULL */
};

struct peer_output {
    const char *tool; /* "likwid-bench", "STREAM" */
    bool best;        /* best repetition, not the mean */
    int threads;
    double set_bytes; /* of all arrays and threads; of one STREAM array */
    double seconds;   /* that the figure was taken over; 0 when not told */
    struct peer_figure figure[PEER_FIGURES];
    int count;
};

/* ERR_FORMAT when it is neither tool's output; ERR_ABSENT when we have nothing like the kernel. */
int peer_parse(struct peer_output *out, const char *text, struct err *e);

struct peer_round {
    double peer, twin; /* the same operation, pages, vectors, memory and threads */
    double roof;       /* our best variant, with huge pages */
};

struct peer_comparison {
    struct peer_output output; /* of the first run */
    struct peer_round round[PEER_FIGURES][PEER_ROUNDS_MAX];
    int rounds;
    char twin[PEER_FIGURES][PEER_HOW], roof[PEER_FIGURES][PEER_HOW]; /* how ours were taken */
};

/* Runs `command` by the shell and ours in turn, `rounds` times. `cpus`: where the command may run, for this thread is pinned.
 * ERR_USAGE when the peer has more threads than the started team of `threads`; ERR_IO when the command fails. */
int peer_compare(struct peer_comparison *c, const char *command, int rounds, int threads, const cpu_set_t *cpus, struct err *e);

#endif
