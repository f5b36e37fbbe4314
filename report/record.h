/* SPDX-License-Identifier: MIT
 * The experiment record: experiments/TEMPLATE.md filled from a run's document. Text that a person wrote between
 * `<!-- notes:begin -->` and `<!-- notes:end -->` survives a refill. */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

#include <jansson.h>

#include "err.h"

/* template_path NULL: the template compiled in from experiments/TEMPLATE.md. */
int record_write(const json_t *document, const char *template_path, const char *path, struct err *e);

/* "experiments/2026-01-31-kvcache_on_off-7.md" under `dir` into buf. */
void record_default_path(const json_t *document, const char *dir, char *buf, int size);

#endif
