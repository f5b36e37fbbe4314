/* SPDX-License-Identifier: MIT
 * What the parts of a record's view are written with, and the parts themselves; record_view.c puts them together. For nobody
 * else. */
#ifndef BENCH_RECORD_PARTS_H
#define BENCH_RECORD_PARTS_H

#include <jansson.h>
#include <stdbool.h>

#include "text.h"

struct view {
    json_t *root;
    const json_t *axes; /* the document's */
    double layers;
    bool failed; /* out of memory, or a text that is no UTF-8 */
};

void view_put_json(struct view *v, json_t *object, const char *key, json_t *value);
void view_put_text(struct view *v, json_t *object, const char *key, struct text *t); /* takes the text */
void view_put(struct view *v, json_t *object, const char *key, const char *plain);
/* For a table cell; what is NULL is named by `otherwise`. */
void view_put_md(struct view *v, json_t *object, const char *key, const char *bytes, const char *otherwise);
json_t *view_add_row(struct view *v, json_t *list);
/* A list of the view, one row for each element of the document's list. */
void view_put_list(struct view *v, const char *key, const json_t *from, void (*fill)(struct view *, json_t *, const json_t *));

void record_put_types(struct view *v, const json_t *document);
void record_put_ops(struct view *v, const json_t *trial); /* of the main trial */
void record_put_energy(struct view *v, const json_t *document);
void record_put_device(struct view *v, const json_t *document);
void record_put_utilization(struct view *v, const json_t *trial); /* of the main trial */
void record_put_method(struct view *v, const json_t *document);

#endif
