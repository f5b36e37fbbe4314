/* SPDX-License-Identifier: MIT
 * The files that come out of a run, and their default places. */
#ifndef BENCH_OUTPUTS_H
#define BENCH_OUTPUTS_H

#include <jansson.h>
#include <stdbool.h>

#include "err.h"

#define OUTPUT_DIR "experiments"
#define OUTPUT_DB  OUTPUT_DIR "/bench.db"

struct output_paths {
    const char *db, *report, *record; /* report, record NULL: the default name */
};

/* The folder of a file, when it is missing; one level. */
int outputs_make_folder(const char *path, struct err *e);

/* Writes report and record of a document and prints where they, the run and the database are. */
int outputs_write(const json_t *document, const struct output_paths *paths, bool report, bool record, struct err *e);

#endif
