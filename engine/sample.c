/* SPDX-License-Identifier: MIT
 * Nothing is ever sorted. Top-k, top-p and the draw itself ask the same question: which is the shortest run of candidates, in
 * some order, whose weights add up to a target? Top-k counts heads in order of likelihood, top-p adds probabilities in order of
 * likelihood, and the draw inverts the cumulative distribution in order of token id. Quickselect answers it in linear time: it
 * partitions and follows only the side in which the run ends.
 *
 * The draw goes by id because then two machines whose logits differ in the last bit still draw the same tokens: the steps of
 * the cumulative distribution move by a bit, where two nearly equal candidates would change places in an order by likelihood.
 */
#include "sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { BEAMS_MAX = 64 };

/* --- settings ------------------------------------------------------------------------------------------------------------ */

static int check_range(const char *name, double value, double least, double most, struct err *e)
{
    if (value >= least && value <= most && isfinite(value))
        return 0;
    if (isfinite(most))
        return err_set(e, ERR_USAGE, "%s %g: expected %g to %g", name, value, least, most);
    return err_set(e, ERR_USAGE, "%s %g: expected a finite number, %g or more", name, value, least);
}

/* Beams are compared by the model's own probabilities: what would change those is refused. */
static int check_off(const char *name, double value, double off, int beams, struct err *e)
{
    if (value == 0 || value == off)
        return 0;
    return err_set(e, ERR_USAGE, "%s %g with %d beams: beam search goes by the model's own probabilities; expected 0", name,
                   value, beams);
}

static int check_beams(const struct sampling *s, struct err *e)
{
    int code = check_off("temperature", s->temperature, 0, s->beams, e);

    if (code == 0)
        code = check_off("top_k", s->top_k, 0, s->beams, e);
    if (code == 0)
        code = check_off("top_p", s->top_p, 1, s->beams, e);
    if (code == 0)
        code = check_off("min_p", s->min_p, 0, s->beams, e);
    if (code == 0)
        code = check_off("repetition_penalty", s->repetition_penalty, 1, s->beams, e);
    return code;
}

int sampling_check(const struct sampling *s, struct err *e)
{
    int code = check_range("temperature", s->temperature, 0, INFINITY, e);

    if (code == 0)
        code = check_range("top_k", s->top_k, 0, INFINITY, e);
    if (code == 0)
        code = check_range("top_p", s->top_p, 0, 1, e);
    if (code == 0)
        code = check_range("min_p", s->min_p, 0, 1, e);
    if (code == 0)
        code = check_range("repetition_penalty", s->repetition_penalty, 0, INFINITY, e);
    if (code == 0)
        code = check_range("beams", s->beams, 0, BEAMS_MAX, e);
    if (code == 0)
        code = check_range("length_alpha", s->length_alpha, 0, INFINITY, e);
    if (code == 0)
        code = check_range("min_length", s->min_length, 0, INFINITY, e);
    if (code == 0 && s->beams > 1)
        code = check_beams(s, e);
    return code;
}

static bool penalises(const struct sampling *s)
{
    return s->repetition_penalty != 0 && s->repetition_penalty != 1;
}

static bool limits_mass(const struct sampling *s)
{
    return s->top_p > 0 && s->top_p < 1;
}

bool sampling_is_greedy(const struct sampling *s)
{
    return s->temperature == 0 && s->beams <= 1 && !penalises(s);
}

const char *sampling_about(const struct sampling *s, char *buf, size_t size)
{
    struct text t = {0};

    if (s->beams > 1)
        text_printf(&t, "%d beams", s->beams);
    else if (s->temperature == 0)
        text_puts(&t, "greedy");
    else
        text_printf(&t, "temperature %g", s->temperature);
    if (s->beams > 1 && s->length_alpha > 0)
        text_printf(&t, ", alpha %g, min length %g", s->length_alpha, s->min_length);
    if (penalises(s))
        text_printf(&t, ", repetition penalty %g", s->repetition_penalty);
    if (s->temperature > 0) {
        if (s->top_k)
            text_printf(&t, ", top-k %d", s->top_k);
        if (limits_mass(s))
            text_printf(&t, ", top-p %g", s->top_p);
        if (s->min_p > 0)
            text_printf(&t, ", min-p %g", s->min_p);
        text_printf(&t, ", seed %llu", (unsigned long long)s->seed);
    }
    snprintf(buf, size, "%s", t.data);
    text_free(&t);
    return buf;
}

/* --- PCG32 --------------------------------------------------------------------------------------------------------------- */

void pcg32_seed(struct pcg32 *g, uint64_t seed, uint64_t stream)
{
    *g = (struct pcg32){.state = 0, .increment = stream << 1 | 1};
    pcg32_next(g);
    g->state += seed;
    pcg32_next(g);
}

uint32_t pcg32_next(struct pcg32 *g)
{
    uint64_t old = g->state;
    uint32_t shifted = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);

    g->state = old * 6364136223846793005u + g->increment;
    return shifted >> turn | shifted << (-turn & 31);
}

double pcg32_uniform(struct pcg32 *g)
{
    uint64_t high = pcg32_next(g) >> 5, low = pcg32_next(g) >> 6;

    return (double)(high << 26 | low) / 0x1p53;
}

/* --- the shortest run of candidates -------------------------------------------------------------------------------------- */

typedef bool comes_before(const struct candidate *a, const struct candidate *b);

/* Both are total orders: no two candidates have the same id. */
static bool likelier(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static bool lower_id(const struct candidate *a, const struct candidate *b)
{
    return a->id < b->id;
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate kept = *a;

    *a = *b;
    *b = kept;
}

/* Puts c[pivot] at its place among c[low, high]; returns the place. */
static int partition(struct candidate *c, int low, int high, int pivot, comes_before *before)
{
    int place = low;

    swap(&c[pivot], &c[high]);
    for (int i = low; i < high; i++)
        if (before(&c[i], &c[high]))
            swap(&c[i], &c[place++]);
    swap(&c[place], &c[high]);
    return place;
}

/* Reorders c[0, n), n >= 1, so that its first m are the shortest run, in the given order, whose weights (`probability`) add up
 * to at least target; returns m. At least one, all when they do not add up to it. The last of the run is c[m - 1]. Pivots are
 * picked by a generator, so that no pattern of logits is slow. */
static int shortest_run(struct candidate *c, int n, double target, comes_before *before)
{
    struct pcg32 pick = {.state = 1, .increment = 1};
    int low = 0, high = n - 1; /* the run ends in here */
    double reached = 0;        /* weight of c[0, low) */

    while (low < high) {
        int place = partition(c, low, high, low + (int)(pcg32_next(&pick) % (uint32_t)(high - low + 1)), before);
        double left = 0;
        for (int i = low; i < place; i++)
            left += c[i].probability;
        if (reached + left >= target) {
            high = place - 1;
            continue;
        }
        reached += left + c[place].probability;
        if (reached >= target)
            return place + 1;
        low = place + 1;
    }
    return low < n ? low + 1 : n;
}

/* --- processors: each takes n candidates and returns how many are left -----------------------------------------------------
 */

/* In float32, as the models' usual stack computes it: a greedy choice must not hang on a rounding. */
static float penalise(float logit, float penalty)
{
    return logit < 0 ? logit * penalty : logit / penalty;
}

/* Candidates in order of id, each with weight 1. NaNs are left out; where all are NaN, all are equal. */
static int gather(struct candidate *c, const float *logits, int vocab, const uint8_t *seen, double penalty)
{
    int n = 0;

    for (int id = 0; id < vocab; id++) {
        float logit = seen && seen[id] ? penalise(logits[id], (float)penalty) : logits[id];
        if (!isnan(logit))
            c[n++] = (struct candidate){.id = id, .logit = logit, .probability = 1};
    }
    if (n > 0)
        return n;
    for (int id = 0; id < vocab; id++)
        c[id] = (struct candidate){.id = id, .logit = -INFINITY, .probability = 1};
    return vocab;
}

static const struct candidate *likeliest(const struct candidate *c, int n)
{
    const struct candidate *best = c;

    for (int i = 1; i < n; i++)
        if (likelier(&c[i], best))
            best = &c[i];
    return best;
}

static int keep_top_k(struct candidate *c, int n, int k)
{
    int m = shortest_run(c, n, k, likelier);
    float last = c[m - 1].logit;

    for (int i = m; i < n; i++)
        if (c[i].logit == last)
            swap(&c[i], &c[m++]);
    return m;
}

/* Weights become exp((logit - largest) / temperature): 1 for the likeliest, also where it is infinite. */
static int weigh(struct candidate *c, int n, double temperature)
{
    double largest = likeliest(c, n)->logit;
    int m = 0;

    for (int i = 0; i < n; i++) {
        double weight = c[i].logit == largest ? 1 : exp((c[i].logit - largest) / temperature);
        c[m] = c[i];
        c[m].probability = weight;
        m += weight > 0;
    }
    return m;
}

static double weight_of(const struct candidate *c, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += c[i].probability;
    return sum;
}

/* The likeliest always stays, and its weight is 1. */
static int keep_min_p(struct candidate *c, int n, double min_p)
{
    int m = 0;

    for (int i = 0; i < n; i++)
        if (c[i].probability >= min_p)
            c[m++] = c[i];
    return m;
}

static void normalise(struct candidate *c, int n)
{
    double sum = weight_of(c, n);

    for (int i = 0; i < n; i++)
        c[i].probability /= sum;
}

/* --- the sampler --------------------------------------------------------------------------------------------------------- */

int sampler_init(struct sampler *s, const struct sampling *settings, int vocab, int sequences, struct err *e)
{
    *s = (struct sampler){.settings = *settings, .vocab = vocab, .sequences = sequences};
    s->candidate = calloc((size_t)vocab, sizeof *s->candidate);
    s->draws = calloc((size_t)sequences, sizeof *s->draws);
    s->seen = calloc((size_t)vocab, sizeof *s->seen);
    if (!s->candidate || !s->draws || !s->seen) {
        sampler_free(s);
        return err_set(e, ERR_MEMORY, "sampler: out of memory for a vocabulary of %d", vocab);
    }
    sampler_reset(s);
    return 0;
}

void sampler_free(struct sampler *s)
{
    free(s->candidate);
    free(s->draws);
    free(s->seen);
    *s = (struct sampler){0};
}

void sampler_reset(struct sampler *s)
{
    for (int i = 0; i < s->sequences; i++)
        pcg32_seed(&s->draws[i], s->settings.seed, (uint64_t)i);
}

static int gather_penalised(struct sampler *s, const float *logits, const int32_t *history, int n)
{
    int left;

    for (int i = 0; i < n; i++)
        s->seen[history[i]] = 1;
    left = gather(s->candidate, logits, s->vocab, s->seen, s->settings.repetition_penalty);
    for (int i = 0; i < n; i++)
        s->seen[history[i]] = 0;
    return left;
}

int32_t sampler_choose(struct sampler *s, const float *logits, const int32_t *history, int n, int sequence)
{
    const struct sampling *a = &s->settings;
    struct candidate *c = s->candidate;
    int left = penalises(a) ? gather_penalised(s, logits, history, n) : gather(c, logits, s->vocab, NULL, 1);

    if (a->temperature == 0) {
        c[0] = *likeliest(c, left);
        s->count = 1;
        return c[0].id;
    }
    if (a->top_k > 0)
        left = keep_top_k(c, left, a->top_k);
    left = weigh(c, left, a->temperature);
    if (limits_mass(a))
        left = shortest_run(c, left, a->top_p * weight_of(c, left), likelier);
    if (a->min_p > 0)
        left = keep_min_p(c, left, a->min_p);
    normalise(c, left);
    s->count = left;
    int end = shortest_run(c, left, pcg32_uniform(&s->draws[sequence]), lower_id);
    return c[end - 1].id;
}

static int by_likelihood(const void *a, const void *b)
{
    return likelier(a, b) ? -1 : likelier(b, a);
}

int sample_top(struct candidate *out, int k, const float *logits, int vocab, struct err *e)
{
    struct candidate *all = malloc((size_t)vocab * sizeof *all);
    int n;

    if (!all)
        return err_set(e, ERR_MEMORY, "out of memory for %d candidates", vocab);
    n = gather(all, logits, vocab, NULL, 1);
    n = weigh(all, n, 1);
    normalise(all, n);
    qsort(all, (size_t)n, sizeof *all, by_likelihood);
    n = n < k ? n : k;
    memcpy(out, all, (size_t)n * sizeof *out);
    free(all);
    return n;
}
