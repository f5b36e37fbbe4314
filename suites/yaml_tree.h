/* SPDX-License-Identifier: MIT
 * A small YAML tree that remembers where everything stood, so that an error can point at the spot. It takes the part of YAML
 * that suites need: one document of mappings, lists and scalars. Anchors, aliases, tags, duplicate keys, deep nesting and
 * NUL bytes are refused while reading. The tree owns all nodes; nodes may be shared between places of the tree. */
#ifndef BENCH_YAML_TREE_H
#define BENCH_YAML_TREE_H

#include <stddef.h>

#include "err.h"

enum { YAML_NESTING_MAX = 16, YAML_ENTRIES_MAX = 256, YAML_KEY_MAX = 64, YAML_PATH_MAX = 160 };

/* Where something stood. Line 0: the source has no lines (a value from the command line). */
struct yaml_place {
    const char *source; /* not owned */
    int line, column;   /* from 1 */
};

enum yaml_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct yaml_entry {
    char *key; /* NULL in a list */
    struct yaml_place at;
    struct yaml_node *value;
};

struct yaml_node {
    enum yaml_kind kind;
    struct yaml_place at;
    char *text; /* of a scalar, "" when nothing was written */
    struct yaml_entry *entry;
    int count;
    struct yaml_node *next; /* in the tree's list of all nodes */
};

/* All-zero is valid and empty. */
struct yaml_tree {
    struct yaml_node *nodes;
};

/* Parses one document and puts its root into *root. `source` names it in errors and must outlive the tree; `path` is the
 * dotted key it stands for, "" for a whole file. A text without a document gives an empty scalar. Several parses may share a
 * tree. ERR_USAGE with a sentence that begins with the place. */
int yaml_tree_parse(struct yaml_tree *t, const char *text, size_t len, const char *source, const char *path,
                    struct yaml_node **root, struct err *e);
void yaml_tree_free(struct yaml_tree *t);

/* NULL when the mapping lacks the key. */
struct yaml_entry *yaml_map_find(const struct yaml_node *map, const char *key);
/* Replaces or adds an entry. */
int yaml_map_set(struct yaml_node *map, const char *key, const struct yaml_place *at, struct yaml_node *value, struct err *e);
/* A new empty node of the tree; NULL with ERR_MEMORY. */
struct yaml_node *yaml_tree_node(struct yaml_tree *t, enum yaml_kind kind, const struct yaml_place *at, struct err *e);

/* Both set ERR_USAGE and return it: "file:line:column: path: <sentence>", or "--set path: <sentence>" without a line. */
int yaml_error(struct err *e, const struct yaml_place *at, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "...: expected <what>, got <what the node holds>". */
int yaml_expected(struct err *e, const struct yaml_node *n, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* 'text' as it is shown in sentences: quoted, clipped, one line; "nothing", "a list", "a mapping". Returns buf. */
const char *yaml_shown(char *buf, size_t size, const struct yaml_node *n);

#endif
