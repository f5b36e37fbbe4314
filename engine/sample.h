/* SPDX-License-Identifier: MIT
 * Choosing the next token from its logits. The processors run in the order of Hugging Face's generation: repetition penalty,
 * temperature, top-k, top-p, min-p; what is left is renormalised and one token drawn with a seeded generator (PCG32), whose
 * draws are the same on every machine. Each sequence of a batch has a stream of its own, so that neither batch size nor order
 * changes a draw. All zero is greedy: the largest logit, the lowest id among equals.
 *
 * Measured path: sampler_choose allocates nothing. One sampler, one thread. */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

struct sampling {
    double temperature;        /* 0: greedy; else logits are divided by it */
    int top_k;                 /* 0: off; else only the k largest stay (and those equal to the k-th) */
    double top_p;              /* 0 or 1: off; else the smallest set of the likeliest whose probabilities add up to top_p */
    double min_p;              /* 0: off; else those with at least min_p times the probability of the likeliest */
    double repetition_penalty; /* 0 or 1: off; else logits of tokens already seen are divided by it (multiplied below 0) */
    int beams;                 /* 0 or 1: none; else beam search, which is greedy over sequences: temperature must be 0 */
    double length_alpha;       /* beams: score / ((min_length + n) / (min_length + 1)) ^ alpha; n generated tokens */
    double min_length;
    uint64_t seed; /* of the draws */
};

/* ERR_USAGE names the setting, its value and its range. */
int sampling_check(const struct sampling *s, struct err *e);

/* True where the plain largest logit is wanted: the backend's own op does it. */
bool sampling_is_greedy(const struct sampling *s);

/* "greedy", "temperature 0.8, top-k 40, top-p 0.95, seed 1", "4 beams, alpha 1.2, min length 5"; into buf, returns buf. */
const char *sampling_about(const struct sampling *s, char *buf, size_t size);

/* PCG32 (XSH RR 64/32), O'Neill 2014, https://www.pcg-random.org: `stream` selects the sequence. */
struct pcg32 {
    uint64_t state, increment;
};
void pcg32_seed(struct pcg32 *g, uint64_t seed, uint64_t stream);
uint32_t pcg32_next(struct pcg32 *g);
double pcg32_uniform(struct pcg32 *g); /* [0, 1), 53 bits out of two draws */

struct candidate {
    int32_t id;
    float logit;
    double probability;
};

struct sampler {
    struct sampling settings;
    int vocab, sequences;
    struct candidate *candidate; /* [vocab]: scratch; after a choice its first `count` are those that could be drawn */
    int count;
    struct pcg32 *draws; /* [sequences] */
    uint8_t *seen;       /* [vocab]: scratch, zero between calls */
};

int sampler_init(struct sampler *s, const struct sampling *settings, int vocab, int sequences, struct err *e);
void sampler_free(struct sampler *s);
/* The generators begin again. */
void sampler_reset(struct sampler *s);

/* The token that follows history[0, n) of a sequence. NaN logits are never chosen unless all are. */
int32_t sampler_choose(struct sampler *s, const float *logits, const int32_t *history, int n, int sequence);

/* The k likeliest tokens by plain softmax of the logits, largest first (ties: lowest id first); returns how many, at most k.
 * For people to look at; may be slow. */
int sample_top(struct candidate *out, int k, const float *logits, int vocab, struct err *e);

#endif
