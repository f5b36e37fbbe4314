/* SPDX-License-Identifier: MIT
 * Values of a suite's tree, checked as they are read. Private to the suite reader. The `path` is the dotted key that sentences
 * name; functions that return int return 0, or ERR_USAGE with a sentence in *e. */
#ifndef BENCH_SUITE_VALUES_H
#define BENCH_SUITE_VALUES_H

#include <jansson.h>
#include <stdbool.h>

#include "suite.h"
#include "yaml_tree.h"

enum { CHOICES_MAX = 48 }; /* names to choose from */

/* NULL when the node is not one number; the caller calls json_decref. */
json_t *value_number(const struct yaml_node *n);
/* False, with *out as it was, when it is not an integer within min..max. */
bool value_integer(const struct yaml_node *n, int min, int max, int *out);
/* on/off, true/false, yes/no to 1 or 0. */
bool value_flag(const struct yaml_node *n, int *out);
/* One of names[0..count), by index. */
int value_choice(const struct yaml_node *n, const char *path, const char *const *names, int count, int *out, struct err *e);

/* A value of an axis as struct cell holds it. */
int value_axis(const struct yaml_node *n, const char *path, enum axis axis, int *out, struct err *e);
/* Different values of an axis, a list or one. */
int value_axis_list(const struct yaml_node *n, const char *path, enum axis axis, struct axis_values *out, struct err *e);
/* A mapping of axis names to such lists: {kv_cache: on, new_tokens: [16, 32]}. At least one. */
int value_axes(const struct yaml_node *n, const char *path, struct axis_values *out, struct err *e);

/* Collects the items of a list of 1..max values, or one value that stands for a list of one. */
int value_list(const struct yaml_node *n, const char *path, int max, const struct yaml_node **items, int *count, struct err *e);
/* Checks that it is a list of at most max mappings; an empty one is fine. */
int value_mappings(const struct yaml_node *n, const char *path, int max, struct err *e);

/* "path.key" into buf; returns buf. */
const char *value_path(char buf[YAML_PATH_MAX], const char *path, const char *key);
/* Sentences about a key of the mapping that `path` names. */
int value_unknown_key(const struct yaml_entry *entry, const char *path, const char *const *known, int n, struct err *e);
int value_missing_key(const struct yaml_node *map, const char *path, const char *key, struct err *e);

/* One entry of `expect` (suite_claims.c). */
int suite_claim_read(const struct yaml_node *map, const char *path, struct claim_spec *out, struct err *e);

#endif
