/* SPDX-License-Identifier: MIT
 * The interactive report: one HTML file that needs nothing else, no network, no server. The page (html/page.html), its styles
 * and scripts and the chart library are compiled in; the run's document (analysis.h) is inlined as JSON. */
#ifndef BENCH_HTML_H
#define BENCH_HTML_H

#include <jansson.h>

#include "err.h"

int html_write(const json_t *document, const char *path, struct err *e);

#endif
