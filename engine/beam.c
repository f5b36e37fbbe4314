/* SPDX-License-Identifier: MIT
 * Sequences are never copied: every step notes for each beam the token it appended and the beam it continues, and a sequence is
 * read back by following its parents. An ended one is remembered by its last token and the beam before it.
 *
 * Which continuations a step must look at: Hugging Face ranks all of them in one list, ends what ends among the first `beams`,
 * and goes on with the first `beams` that do not end; it keeps the best (1 + end-of-sequence ids) x beams, for at worst every
 * beam has all its endings in front. Two lists of `beams`, one of continuations that go on and one of those that end, hold
 * the same and no more: merged, they give the ranks. An ending behind the first `beams` does not count, since the search would
 * not have followed it: with one beam it would stop greedy generation by an end that greedy does not choose. */
#include "beam.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Beam `row` with one more token. */
struct continuation {
    double sum; /* of log-probabilities */
    int row;
    int32_t token;
};

struct ended {
    double score;
    int length; /* generated tokens, the last one included */
    int row;    /* the beam that it continued in its last step */
    int32_t token;
};

/* Best first, at most `beams`. */
struct ranking {
    struct continuation *at;
    int count;
};

struct beam {
    int beams, vocab, most_tokens;
    double alpha, min_length;
    int32_t eos[EOS_MAX];
    int eos_count;
    int steps;
    double *sum;             /* [beams] of the living, best first; -INFINITY: a place without a sequence */
    int32_t *token, *parent; /* [most_tokens][beams]: what each step appended, and to which beam of the step before */
    struct ended *ended;     /* [beams] best first */
    int ended_count;
    struct ranking on, over; /* of one step: continuations that go on, and those that end */
    int32_t *sequence;       /* [most_tokens]: what beam_best read back */
};

static bool ends(const struct beam *b, int32_t token)
{
    for (int i = 0; i < b->eos_count; i++)
        if (b->eos[i] == token)
            return true;
    return false;
}

int beam_open(struct beam **out, const struct sampling *s, int vocab, const int32_t *eos, int eos_count, int most_tokens,
              struct err *e)
{
    struct beam *b = calloc(1, sizeof *b);
    size_t beams = s->beams > 1 ? (size_t)s->beams : 1, tokens = (size_t)most_tokens;

    if (!b)
        return err_set(e, ERR_MEMORY, "beam search: out of memory");
    b->beams = (int)beams;
    b->vocab = vocab;
    b->most_tokens = most_tokens;
    b->alpha = s->length_alpha;
    b->min_length = s->min_length;
    for (int i = 0; i < eos_count && b->eos_count < EOS_MAX; i++)
        if (eos[i] >= 0 && eos[i] < vocab && !ends(b, eos[i]))
            b->eos[b->eos_count++] = eos[i];
    b->sum = calloc(beams, sizeof *b->sum);
    b->token = calloc(beams * tokens, sizeof *b->token);
    b->parent = calloc(beams * tokens, sizeof *b->parent);
    b->ended = calloc(beams, sizeof *b->ended);
    b->on.at = calloc(beams, sizeof *b->on.at);
    b->over.at = calloc(beams, sizeof *b->over.at);
    b->sequence = calloc(tokens, sizeof *b->sequence);
    if (!b->sum || !b->token || !b->parent || !b->ended || !b->on.at || !b->over.at || !b->sequence) {
        beam_close(b);
        return err_set(e, ERR_MEMORY, "beam search: out of memory for %zu beams of %d tokens", beams, most_tokens);
    }
    beam_reset(b);
    *out = b;
    return 0;
}

void beam_close(struct beam *b)
{
    if (!b)
        return;
    free(b->sum);
    free(b->token);
    free(b->parent);
    free(b->ended);
    free(b->on.at);
    free(b->over.at);
    free(b->sequence);
    free(b);
}

/* All rows hold the same prompt: one sequence lives. */
void beam_reset(struct beam *b)
{
    b->steps = 0;
    b->ended_count = 0;
    for (int i = 0; i < b->beams; i++)
        b->sum[i] = i == 0 ? 0 : -INFINITY;
}

static double score(const struct beam *b, double sum, int length)
{
    return sum / pow((b->min_length + length) / (b->min_length + 1), b->alpha);
}

/* --- one step ------------------------------------------------------------------------------------------------------------ */

static bool better(const struct continuation *a, const struct continuation *b)
{
    if (a->sum != b->sum)
        return a->sum > b->sum;
    return a->row < b->row || (a->row == b->row && a->token < b->token);
}

static void rank(struct ranking *r, int most, struct continuation c)
{
    if (r->count == most && !better(&c, &r->at[most - 1]))
        return;
    int at = r->count < most ? r->count++ : most - 1;
    for (; at > 0 && better(&c, &r->at[at - 1]); at--)
        r->at[at] = r->at[at - 1];
    r->at[at] = c;
}

/* Softmax of a row in logarithms, with NaNs left out and everything on the largest where that is infinite. */
struct log_softmax {
    double largest, log_sum; /* of exp(logit - largest) */
};

static struct log_softmax log_softmax(const float *logits, int vocab)
{
    struct log_softmax l = {.largest = -INFINITY};
    double sum = 0;

    for (int i = 0; i < vocab; i++)
        if (logits[i] > l.largest)
            l.largest = logits[i];
    for (int i = 0; i < vocab; i++)
        if (!isnan(logits[i]))
            sum += logits[i] == l.largest ? 1 : exp(logits[i] - l.largest);
    l.log_sum = log(sum);
    return l;
}

static double log_probability(const struct log_softmax *l, float logit)
{
    return (logit == l->largest ? 0 : logit - l->largest) - l->log_sum;
}

/* Both comparisons are false for a NaN: such a token is never taken, nor is one that is impossible. */
static void rank_row(struct beam *b, int row, const float *logits)
{
    struct log_softmax l = log_softmax(logits, b->vocab);

    for (int i = 0; i < b->eos_count; i++) {
        double sum = b->sum[row] + log_probability(&l, logits[b->eos[i]]);
        if (sum > -INFINITY)
            rank(&b->over, b->beams, (struct continuation){sum, row, b->eos[i]});
    }
    for (int32_t token = 0; token < b->vocab; token++) {
        double least = b->on.count == b->beams ? b->on.at[b->beams - 1].sum : -INFINITY;
        double sum = b->sum[row] + log_probability(&l, logits[token]);
        if (sum > least && !ends(b, token))
            rank(&b->on, b->beams, (struct continuation){sum, row, token});
    }
}

static void keep_ended(struct beam *b, const struct continuation *c)
{
    struct ended new = {score(b, c->sum, b->steps + 1), b->steps + 1, c->row, c->token};

    if (b->ended_count == b->beams && new.score <= b->ended[b->beams - 1].score)
        return;
    int at = b->ended_count < b->beams ? b->ended_count++ : b->beams - 1;
    for (; at > 0 && new.score > b->ended[at - 1].score; at--)
        b->ended[at] = b->ended[at - 1];
    b->ended[at] = new;
}

void beam_step(struct beam *b, const float *logits, int32_t *token, int32_t *parent)
{
    size_t beams = (size_t)b->beams, first = (size_t)b->steps * beams;

    assert(b->steps < b->most_tokens);
    b->on.count = b->over.count = 0;
    for (int row = 0; row < b->beams; row++)
        if (b->sum[row] > -INFINITY)
            rank_row(b, row, logits + (size_t)row * (size_t)b->vocab);
    for (int place = 0, on = 0, over = 0; place < b->beams && over < b->over.count; place++) {
        if (on < b->on.count && better(&b->on.at[on], &b->over.at[over]))
            on++;
        else
            keep_ended(b, &b->over.at[over++]);
    }
    /* With fewer continuations than beams the other places stay empty; their row computes what nobody reads. */
    for (int i = 0; i < b->beams; i++) {
        struct continuation c = i < b->on.count ? b->on.at[i] : (struct continuation){-INFINITY, i, 0};
        b->sum[i] = c.sum;
        token[i] = b->token[first + (size_t)i] = c.token;
        parent[i] = b->parent[first + (size_t)i] = c.row;
    }
    b->steps++;
}

/* --- results ------------------------------------------------------------------------------------------------------------- */

bool beam_finished(const struct beam *b)
{
    if (b->ended_count == 0)
        return false;
    if (b->sum[0] == -INFINITY)
        return true;
    return b->ended_count == b->beams && b->ended[0].score >= score(b, b->sum[0], b->steps);
}

const int32_t *beam_best(const struct beam *b, int *n, double *best_score)
{
    double living = b->steps ? score(b, b->sum[0], b->steps) : 0;
    bool ended = b->ended_count > 0 && b->ended[0].score >= living;
    int at = ended ? b->ended[0].length : b->steps, row = 0;

    *n = at;
    if (best_score)
        *best_score = ended ? b->ended[0].score : living;
    if (ended) {
        b->sequence[--at] = b->ended[0].token;
        row = b->ended[0].row;
    }
    while (at-- > 0) {
        size_t cell = (size_t)at * (size_t)b->beams + (size_t)row;
        b->sequence[at] = b->token[cell];
        row = b->parent[cell];
    }
    return b->sequence;
}
