/* SPDX-License-Identifier: MIT
 * Beam search as bookkeeping over logits: which sequences live, which have ended, and which row of the cache each living one
 * continues. A sequence's score is the sum of its tokens' log-probabilities divided by the length penalty
 * ((min_length + n) / (min_length + 1)) ^ alpha, n counting generated tokens. A sequence ends with an end-of-sequence token; it
 * then leaves the beam and is kept when it is among the `beams` best ended ones; as in Hugging Face's generation it counts only
 * where it is among its step's `beams` best continuations.
 *
 * One struct beam for each sequence of a batch. Measured path: beam_step allocates nothing. */
#ifndef BENCH_BEAM_H
#define BENCH_BEAM_H

#include "config.h"
#include "sample.h"

struct beam; /* opaque */

/* eos: config's ids; none (count 0) where generation must not stop. most_tokens: generated ones at most. */
int beam_open(struct beam **out, const struct sampling *s, int vocab, const int32_t *eos, int eos_count, int most_tokens,
              struct err *e);
void beam_close(struct beam *b);
void beam_reset(struct beam *b);

/* One step for all beams: logits is [beams][vocab], row i following the sequence that beam i holds. In the first step after a
 * reset only row 0 counts (all rows hold the same prompt). Out: for each new beam the row it continues (parent) and its next
 * token, best first. */
void beam_step(struct beam *b, const float *logits, int32_t *token, int32_t *parent);

/* True once no living beam can beat the ended ones: the best ended score is at least what the best living one would score
 * now, with `beams` ended ones kept. */
bool beam_finished(const struct beam *b);

/* The best sequence so far, ended or living: its generated tokens and score (may be NULL). Valid until the next call. */
const int32_t *beam_best(const struct beam *b, int *n, double *score);

#endif
