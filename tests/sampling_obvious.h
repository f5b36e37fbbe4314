/* SPDX-License-Identifier: MIT
 * Sampling said the obvious way, for the tests of it: rows are sorted and masked whole, as Hugging Face's processors do it.
 * With the rows and settings to try. Included once by each program that needs it, after check.h. */
#ifndef BENCH_SAMPLING_OBVIOUS_H
#define BENCH_SAMPLING_OBVIOUS_H

#include <math.h>
#include <string.h>

#include "sample.h"

enum { VOCAB_MAX = 300 };

struct obvious {
    int vocab;
    double score[VOCAB_MAX];       /* -INFINITY: filtered */
    double probability[VOCAB_MAX]; /* softmax of score */
    int order[VOCAB_MAX];          /* ids, likeliest first */
    double nearest;                /* how close a filter came to deciding otherwise: below 1e-9 rounding decides */
};

static inline void softmax(struct obvious *o)
{
    double largest = -INFINITY, sum = 0;

    for (int i = 0; i < o->vocab; i++)
        largest = fmax(largest, o->score[i]);
    for (int i = 0; i < o->vocab; i++)
        sum += o->probability[i] = o->score[i] == largest ? 1 : exp(o->score[i] - largest);
    for (int i = 0; i < o->vocab; i++)
        o->probability[i] /= sum;
}

static inline void sort(struct obvious *o)
{
    for (int i = 0; i < o->vocab; i++) {
        int at = i;
        for (; at > 0 && o->score[o->order[at - 1]] < o->score[i]; at--)
            o->order[at] = o->order[at - 1];
        o->order[at] = i;
    }
}

static inline void note_distance(struct obvious *o, double a, double b)
{
    o->nearest = fmin(o->nearest, fabs(a - b));
}

static inline void obvious_penalty(float *logits, double penalty, const int32_t *history, int n)
{
    for (int i = 0; i < n; i++) {
        bool again = false;
        for (int k = 0; k < i; k++)
            again |= history[k] == history[i];
        float *logit = &logits[history[i]];
        if (!again)
            *logit = *logit < 0 ? *logit * (float)penalty : *logit / (float)penalty;
    }
}

static inline void obvious_top_k(struct obvious *o, int k)
{
    sort(o);
    double last = o->score[o->order[(k < o->vocab ? k : o->vocab) - 1]];
    for (int i = 0; i < o->vocab; i++)
        if (o->score[i] < last)
            o->score[i] = -INFINITY;
}

static inline void obvious_top_p(struct obvious *o, double p)
{
    double before = 0;

    softmax(o);
    sort(o);
    for (int i = 0; i < o->vocab; i++) {
        int id = o->order[i];
        if (i > 0 && before >= p)
            o->score[id] = -INFINITY;
        before += o->probability[id];
        if (i < o->vocab - 1)
            note_distance(o, before, p);
    }
}

static inline void obvious_min_p(struct obvious *o, double p)
{
    double largest = 0;

    softmax(o);
    for (int i = 0; i < o->vocab; i++)
        largest = fmax(largest, o->probability[i]);
    for (int i = 0; i < o->vocab; i++) {
        if (o->probability[i] != largest)
            note_distance(o, o->probability[i] / largest, p);
        if (o->probability[i] < p * largest)
            o->score[i] = -INFINITY;
    }
}

static inline void obvious_distribution(struct obvious *o, const struct sampling *s, const float *logits, int vocab,
                                        const int32_t *history, int n)
{
    float row[VOCAB_MAX];

    *o = (struct obvious){.vocab = vocab, .nearest = INFINITY};
    memcpy(row, logits, (size_t)vocab * sizeof *row);
    if (s->repetition_penalty != 0)
        obvious_penalty(row, s->repetition_penalty, history, n);
    for (int i = 0; i < vocab; i++)
        o->score[i] = isnan(row[i]) ? -INFINITY : row[i] / s->temperature;
    if (s->top_k)
        obvious_top_k(o, s->top_k);
    if (s->top_p > 0 && s->top_p < 1)
        obvious_top_p(o, s->top_p);
    if (s->min_p > 0)
        obvious_min_p(o, s->min_p);
    softmax(o);
}

/* --- rows and settings --- */

static inline double uniform(struct pcg32 *g, double least, double most)
{
    return least + (most - least) * pcg32_uniform(g);
}

static inline int below(struct pcg32 *g, int n)
{
    return (int)(pcg32_next(g) % (uint32_t)n);
}

/* Smooth, full of ties, flat, huge, with impossible tokens, with NaNs. */
static inline void random_row(struct pcg32 *g, float *logits, int vocab)
{
    int kind = below(g, 6);
    double spread = kind == 3 ? 1e30 : uniform(g, 0.1, 20);

    for (int i = 0; i < vocab; i++) {
        double x = spread * (pcg32_uniform(g) + pcg32_uniform(g) + pcg32_uniform(g) - 1.5);
        logits[i] = (float)(kind == 1 ? round(x) : kind == 2 ? -3 : x);
        if (kind == 4 && i > 0 && below(g, 2))
            logits[i] = -INFINITY;
        if (kind == 5 && i > 0 && below(g, 4) == 0)
            logits[i] = NAN;
    }
}

static inline struct sampling random_settings(struct pcg32 *g)
{
    return (struct sampling){
        .temperature = below(g, 3) ? uniform(g, 0.1, 3) : 1,
        .top_k = below(g, 2) ? 1 + below(g, 2 * VOCAB_MAX) / (1 + below(g, 20)) : 0,
        .top_p = below(g, 2) ? uniform(g, 0, 1) : below(g, 2),
        .min_p = below(g, 2) ? uniform(g, 0, 0.5) : 0,
        .repetition_penalty = below(g, 2) ? uniform(g, 0.5, 2) : below(g, 2),
        .seed = pcg32_next(g),
    };
}

static inline struct sampler opened(const struct sampling *settings, int vocab, int sequences)
{
    struct sampler s;
    struct err e = {0};

    assert_int_equal(sampling_check(settings, &e), 0);
    assert_int_equal(sampler_init(&s, settings, vocab, sequences, &e), 0);
    return s;
}

#endif
