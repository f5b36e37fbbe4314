/* SPDX-License-Identifier: MIT
 * Templates: mustache's small core. {{name}} is a text or a whole number of the view, put in as it is (the view has escaped it
 * for its place); {{#name}}...{{/name}} repeats for each object of a list, or stands once for a text that is not empty or for
 * true; {{^name}}...{{/name}} stands when the list is empty, the text empty, or the value false. Inside a list the element's
 * names come before the outer ones. A section's tag alone on a line takes the line with it, so tables stay tables. */
#ifndef BENCH_TEMPLATE_H
#define BENCH_TEMPLATE_H

#include <jansson.h>

#include "text.h"

/* Appends to out. `name` is what errors call the template: ERR_FORMAT "name:12: {{prefil}}: no such name". */
int template_render(struct text *out, const char *name, const char *text, const json_t *view, struct err *e);

#endif
