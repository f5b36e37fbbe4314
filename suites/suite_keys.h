/* SPDX-License-Identifier: MIT
 * The keys of a suite, one table: what each is called, how its value is read and checked, whether it must be there. Private
 * to the suite reader. */
#ifndef BENCH_SUITE_KEYS_H
#define BENCH_SUITE_KEYS_H

#include <stdbool.h>

#include "suite.h"
#include "yaml_tree.h"

/* Whether `path` ("workload.batch") may be set with --set or in the quick section. */
bool suite_key_settable(const char *path);
/* The settable key that `word` was probably meant to be, in `near`, or NULL. */
enum { SUITE_KEY_BYTES = 40 };
const char *suite_key_nearest(const char *word, char near[SUITE_KEY_BYTES]);

/* Checks the whole tree and fills *s, which holds the defaults. */
int suite_keys_read(const struct yaml_node *root, struct suite *s, struct err *e);

#endif
