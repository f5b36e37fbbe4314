/* SPDX-License-Identifier: MIT
 * The settings of struct sampling by name: one table for the keys of a suite's workload.sampling, the options of the commands
 * and their help. The seed is not among them: it is the run's. */
#ifndef BENCH_SAMPLING_KEYS_H
#define BENCH_SAMPLING_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "sample.h"

struct sampling_key {
    const char *name; /* "top_k"; as an option: --top-k */
    size_t offset;    /* in struct sampling */
    bool integer;     /* an int, else a double */
    const char *help;
};

extern const struct sampling_key sampling_keys[]; /* ends with a NULL name */

/* value: a number as text. ERR_USAGE where it is no number; ranges are sampling_check's. */
int sampling_key_set(struct sampling *s, const struct sampling_key *k, const char *value, struct err *e);

#endif
