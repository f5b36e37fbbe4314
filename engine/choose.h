/* SPDX-License-Identifier: MIT
 * How a session comes from logits to its next tokens when that is more than the largest logit: one sampler for all sequences,
 * or one beam for each. Host side; measured path. */
#ifndef BENCH_CHOOSE_H
#define BENCH_CHOOSE_H

#include "beam.h"
#include "config.h"
#include "sample.h"

struct chooser {
    int batch, beams; /* rows = batch x beams */
    int vocab;
    struct sampler sampler; /* beams 1 */
    struct beam **beam;     /* [batch], or NULL with beams 1 */
    int32_t *token;         /* [rows]: the next token of each row */
    int32_t *parent;        /* [rows]: the row whose past it continues; its own without beams */
};

/* For plain greedy nothing is taken: the backend chooses, and chooser_step is not called. */
int chooser_open(struct chooser *c, const struct sampling *s, const struct model_config *m, int batch, int most_tokens,
                 bool ignore_eos, struct err *e);
void chooser_close(struct chooser *c);
void chooser_reset(struct chooser *c);

/* logits: [rows][vocab]; history: the rows' tokens so far, `stride` apart. Fills token and parent. */
void chooser_step(struct chooser *c, const float *logits, const int32_t *history, size_t stride, int length);

#endif
