/* SPDX-License-Identifier: MIT
 * What model.c and session.c share behind the engine's door. */
#ifndef BENCH_ENGINE_PRIVATE_H
#define BENCH_ENGINE_PRIVATE_H

#include "backends/backend.h"
#include "engine.h"
#include "tokenizer/tokenizer.h"

struct source;

struct model {
    struct source *source; /* open as long as the model: it names the files */
    struct model_config config;
    struct weights weights;
    struct tokenizer *tokenizer; /* NULL: none, info.tokenizer says why */
    struct backend *backend;
    struct model_info info;
};

#endif
