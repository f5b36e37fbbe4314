/* SPDX-License-Identifier: MIT
 * Prefill and decode, step by step, with everything kept that a person may want to look at: shapes, candidates, the choice, the
 * time of each pass. inspect.c runs it, inspect_text.c prints it while it happens, inspect_json.c gives it whole. */
#ifndef BENCH_INSPECT_H
#define BENCH_INSPECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model_options.h"

enum { FIRST_VALUES = 10 };

struct inspected_step {
    const int32_t *input; /* ids that the pass read */
    int inputs;
    int kv_len; /* positions in the cache after it */
    uint64_t wall_ns;
    struct candidate *top; /* the likeliest tokens, largest logit first */
    int top_count;
    struct candidate chosen;
    bool ended; /* an end-of-text token was chosen, now or before */
};

struct inspection {
    const struct prompted *prompted;
    const struct model_options *options;
    int wanted, top; /* steps; candidates of each */
    struct session *session;
    struct inspected_step *step; /* [wanted]: 0 is prefill, i >= 1 the i-th decode step */
    int steps;                   /* done */
    int32_t *chosen;             /* [wanted] ids */
    struct candidate *candidate; /* [wanted][top] */
};

/* Close it also after an error. ERR_USAGE when prompt and steps exceed the model's positions. */
int inspection_open(struct inspection *x, const struct prompted *p, const struct model_options *o, int steps, int top,
                    struct err *e);
void inspection_close(struct inspection *x);

/* The next step: prefill first, then decode steps. */
int inspection_step(struct inspection *x, struct err *e);

/* The first values of K[layer 0, head 0, token 0], at most FIRST_VALUES; returns how many. Negative: an error. */
int inspection_first_key(struct inspection *x, float out[FIRST_VALUES], struct err *e);

/* What K and V take by formula with `tokens` positions. */
uint64_t inspection_kv_bytes(const struct inspection *x, int tokens);

/* Prints to stdout. all_layers: K and V of each. Parts in the order of the calls. */
void inspect_text_begin(const struct inspection *x);
void inspect_text_prefill(const struct inspection *x, bool all_layers);
void inspect_text_values(const float *value, int n);
void inspect_text_choice(const struct inspection *x); /* of the last step */
void inspect_text_decode(const struct inspection *x); /* the last step, its choice included */
void inspect_text_end(const struct inspection *x);

/* The same as one document, with n values of K (0: not asked for). The caller calls json_decref. */
json_t *inspect_json(const struct inspection *x, const float *value, int n);

#endif
