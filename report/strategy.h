/* SPDX-License-Identifier: MIT
 * The ways in which a trial may choose its next tokens: one list for suites, the database and everything said about runs. What
 * each one does is suites/suite_sampling.c's matter. */
#ifndef BENCH_STRATEGY_H
#define BENCH_STRATEGY_H

enum strategy {
    STRATEGY_GREEDY,
    STRATEGY_SAMPLE,
    STRATEGY_TOP_K,
    STRATEGY_TOP_P,
    STRATEGY_MIN_P,
    STRATEGY_BEAM,
    STRATEGY_COUNT
};

extern const char *const strategy_names[STRATEGY_COUNT]; /* "greedy", "sample", ...: as suites and trial.strategy spell them */

#endif
