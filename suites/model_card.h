/* SPDX-License-Identifier: MIT
 * What a model is, on one screen or as JSON: shapes, features, sizes by part, tokenizer, files with their hashes. Made without
 * loading weights. */
#ifndef BENCH_MODEL_CARD_H
#define BENCH_MODEL_CARD_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "engine.h"
#include "sha256.h"

enum model_part { PART_EMBEDDING, PART_POSITIONS, PART_ATTENTION, PART_MLP, PART_NORMS, PART_HEAD, PART_COUNT };

struct card_file {
    const char *path; /* the model's */
    uint64_t bytes;
    char sha256[SHA256_HEX_BYTES];
};

struct model_card {
    struct model *model;           /* shapes and tokenizer only; owned */
    uint64_t elements[PART_COUNT]; /* parameters by part; a tied head has none of its own */
    struct card_file *file;        /* [files], owned */
    int files;
};

/* Reads the files whole, for their hashes. Close it also after an error. */
int model_card_open(struct model_card *c, const char *source, struct err *e);
void model_card_close(struct model_card *c);

void model_card_print(const struct model_card *c, FILE *out);

/* "format": "bench-model/1". The caller calls json_decref. */
json_t *model_card_json(const struct model_card *c);

#endif
