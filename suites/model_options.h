/* SPDX-License-Identifier: MIT
 * What the commands that run a model by hand have in common: which model, which prompt, who computes, how tokens are chosen.
 * The options are an argp child; model_options_open then makes everything ready. */
#ifndef BENCH_MODEL_OPTIONS_H
#define BENCH_MODEL_OPTIONS_H

#include <argp.h>
#include <stdint.h>

#include "engine.h"
#include "team.h"

enum { MODEL_OPTIONS_MAX = 24, MODEL_OPTION_NAME = 32, DEVICE_MAX = 255 };

struct model_options {
    const char *model;           /* NULL until the argument is seen */
    const char *prompt, *tokens; /* one of them; tokens: "48 25 198" */
    const char *default_prompt;  /* the command's, where neither is given; NULL: one is required */
    const char *backend;
    int device; /* GPU; -1: not given */
    int threads;
    const char *cpus; /* NULL: all that are allowed */
    enum dtype dtype; /* of the weights in memory */
    uint64_t seed;    /* of synthetic weights and of the draws */
    struct sampling sampling;

    /* What argp reads; see model_options_init. */
    char name[MODEL_OPTIONS_MAX][MODEL_OPTION_NAME];
    struct argp_option option[MODEL_OPTIONS_MAX];
    struct argp argp;
};

/* Defaults, and the child parser. The options that follow from the table of sampling settings are made here. */
void model_options_init(struct model_options *o);

/* For the parent's ARGP_KEY_INIT: the child's input is `o`. It takes the arguments, so the parent leaves them to it. */
void model_options_adopt(struct model_options *o, struct argp_state *state);

/* A whole number from an option's argument; ends the program with a sentence when it is none or outside the range. */
long long model_options_number(const char *arg, const char *option, long long least, long long most, struct argp_state *state);

/* Which GPU `given` means: what --device says, or -1 where nothing was said, which is the first. ERR_USAGE for a backend that
 * computes on none. */
int model_options_device(const char *backend, int given, int *out, struct err *e);

/* A model that is ready to run, with the prompt's ids. */
struct prompted {
    struct team team;
    struct model *model;
    int32_t *ids;
    int count;            /* >= 1 */
    const char *prompt;   /* the text; NULL where ids were given. Not owned */
    uint64_t tokenize_ns; /* 0 where ids were given */
};

/* Close it also after an error. */
int model_options_open(struct prompted *p, const struct model_options *o, struct err *e);
void prompted_close(struct prompted *p);

#endif
