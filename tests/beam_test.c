/* SPDX-License-Identifier: MIT
 * Beam search. The model of these tests is a table: the logits after a sequence are a pure function of it. With as many beams
 * as there are sequences the search must find the best of all; with few it must do, step by step, what an obvious
 * implementation does that copies sequences and sorts every continuation as Hugging Face's does; and once it is worked by
 * hand. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "beam.h"

enum { TOKENS_MAX = 12, VOCAB_MAX = 10, BEAMS_MAX = 90 };

struct sequence {
    int n;
    int32_t token[TOKENS_MAX];
    double sum, score;
};

/* --- the model --- */

enum kind { SMOOTH, TIES, HOLES };

struct table {
    uint64_t seed;
    int vocab;
    enum kind kind;
};

static void logits_after(const struct table *t, const struct sequence *s, float *logits)
{
    struct pcg32 g;
    uint64_t key = t->seed;

    for (int i = 0; i < s->n; i++)
        key = (key + (uint64_t)s->token[i] + 1) * 0x9e3779b97f4a7c15u;
    pcg32_seed(&g, key, 1);
    for (int i = 0; i < t->vocab; i++) {
        double x = 6 * pcg32_uniform(&g) - 3;
        bool hole = t->kind == HOLES && pcg32_next(&g) % 3 == 0;
        logits[i] = hole ? (i % 2 ? NAN : -INFINITY) : t->kind == TIES ? (float)round(x / 2) : (float)x;
    }
}

/* -INFINITY for what cannot follow; where all logits are that, all can alike. */
static void log_probabilities_after(const struct table *t, const struct sequence *s, double *out)
{
    float logits[VOCAB_MAX];
    double largest = -INFINITY, sum = 0;

    logits_after(t, s, logits);
    for (int i = 0; i < t->vocab; i++)
        largest = logits[i] > largest ? logits[i] : largest;
    for (int i = 0; i < t->vocab; i++) {
        out[i] = isnan(logits[i]) ? -INFINITY : logits[i] == largest ? 0 : logits[i] - largest;
        sum += exp(out[i]);
    }
    for (int i = 0; i < t->vocab; i++)
        out[i] -= sum > 0 ? log(sum) : 0;
}

/* --- what is searched for --- */

struct search {
    struct sampling sampling;
    struct table table;
    int32_t eos[EOS_MAX];
    int eos_count, steps;
};

static bool is_end(const struct search *q, int32_t token)
{
    for (int i = 0; i < q->eos_count; i++)
        if (q->eos[i] == token)
            return true;
    return false;
}

static double score_of(const struct search *q, const struct sequence *s)
{
    return s->sum / pow((q->sampling.min_length + s->n) / (q->sampling.min_length + 1), q->sampling.length_alpha);
}

static struct sequence followed_by(const struct sequence *s, int32_t token, double log_probability)
{
    struct sequence next = *s;

    next.token[next.n++] = token;
    next.sum += log_probability;
    return next;
}

static struct beam *opened(const struct search *q)
{
    struct beam *b = NULL;
    struct err e = {0};

    assert_int_equal(beam_open(&b, &q->sampling, q->table.vocab, q->eos, q->eos_count, q->steps, &e), 0);
    return b;
}

/* The search's side of a step: what the rows hold is followed by token and parent alone. */
static void step(struct beam *b, const struct search *q, struct sequence *rows, int32_t *token, int32_t *parent)
{
    static float logits[BEAMS_MAX * VOCAB_MAX];
    static struct sequence before[BEAMS_MAX];

    for (int i = 0; i < q->sampling.beams; i++)
        logits_after(&q->table, &rows[i], logits + i * q->table.vocab);
    memcpy(before, rows, (size_t)q->sampling.beams * sizeof *rows);
    beam_step(b, logits, token, parent);
    for (int i = 0; i < q->sampling.beams; i++) {
        assert_in_range(token[i], 0, q->table.vocab - 1);
        assert_in_range(parent[i], 0, q->sampling.beams - 1);
        rows[i] = followed_by(&before[parent[i]], token[i], 0);
    }
}

static void assert_best_is(const struct beam *b, const struct sequence *expected)
{
    double score;
    int n;
    const int32_t *best = beam_best(b, &n, &score);

    assert_true(fabs(score - expected->score) < 1e-6); /* by hand: logits are float32 */
    assert_int_equal(n, expected->n);
    assert_memory_equal(best, expected->token, (size_t)n * sizeof *best);
}

/* --- against all sequences --- */

struct best_two {
    struct sequence best;
    double second;
};

static void look_at_all(const struct search *q, const struct sequence *s, struct best_two *found)
{
    double p[VOCAB_MAX];

    if (s->n == q->steps || (s->n > 0 && is_end(q, s->token[s->n - 1]))) {
        double score = score_of(q, s);
        if (score > found->best.score) {
            found->second = found->best.score;
            found->best = *s;
            found->best.score = score;
        } else {
            found->second = fmax(found->second, score);
        }
        return;
    }
    log_probabilities_after(&q->table, s, p);
    for (int i = 0; i < q->table.vocab; i++) {
        struct sequence next = followed_by(s, i, p[i]);
        look_at_all(q, &next, found);
    }
}

static void with_enough_beams_the_best_of_all_sequences_is_found(void **state)
{
    static const int shapes[][3] = {{2, 6, 64}, {3, 4, 81}, {4, 3, 64}, {9, 2, 81}}; /* vocabulary, steps, sequences */
    static struct sequence rows[BEAMS_MAX];
    int32_t token[BEAMS_MAX], parent[BEAMS_MAX];

    (void)state;
    for (int i = 0; i < 400; i++) {
        const int *shape = shapes[i % 4];
        struct search q = {.sampling = {.beams = shape[2], .length_alpha = (i / 4) % 5 * 0.5, .min_length = (i / 20) % 3},
                           .table = {.seed = (uint64_t)i, .vocab = shape[0]},
                           .eos = {0},
                           .eos_count = i % 3 ? 1 : 0,
                           .steps = shape[1]};
        struct best_two found = {.best.score = -INFINITY, .second = -INFINITY};
        struct beam *b = opened(&q);
        memset(rows, 0, sizeof rows);
        for (int k = 0; k < q.steps; k++)
            step(b, &q, rows, token, parent);
        look_at_all(&q, &(struct sequence){0}, &found);
        assert_true(found.best.score - found.second > 1e-9);
        assert_best_is(b, &found.best);
        beam_close(b);
    }
}

/* --- against the obvious implementation --- */

struct choice {
    int row;
    struct sequence s;
};

struct obvious {
    struct sequence living[BEAMS_MAX];
    int living_count;
    struct sequence ended[BEAMS_MAX + 1]; /* best first */
    int ended_count;
    int row[BEAMS_MAX]; /* that each of the living continued */
};

static int32_t last_of(const struct sequence *s)
{
    return s->token[s->n - 1];
}

static int by_rank(const void *x, const void *y)
{
    const struct choice *a = x, *b = y;

    if (a->s.sum != b->s.sum)
        return a->s.sum > b->s.sum ? -1 : 1;
    return a->row != b->row ? a->row - b->row : last_of(&a->s) - last_of(&b->s);
}

static void obvious_end(struct obvious *o, const struct search *q, const struct sequence *s)
{
    int at = o->ended_count++;

    for (; at > 0 && score_of(q, s) > o->ended[at - 1].score; at--)
        o->ended[at] = o->ended[at - 1];
    o->ended[at] = *s;
    o->ended[at].score = score_of(q, s);
    if (o->ended_count > q->sampling.beams)
        o->ended_count--;
}

static void obvious_step(struct obvious *o, const struct search *q)
{
    static struct choice all[BEAMS_MAX * VOCAB_MAX];
    double p[VOCAB_MAX];
    int n = 0, living = 0;

    for (int row = 0; row < o->living_count; row++) {
        log_probabilities_after(&q->table, &o->living[row], p);
        for (int i = 0; i < q->table.vocab; i++)
            if (p[i] > -INFINITY)
                all[n++] = (struct choice){row, followed_by(&o->living[row], i, p[i])};
    }
    qsort(all, (size_t)n, sizeof *all, by_rank);
    for (int rank = 0; rank < n && living < q->sampling.beams; rank++) {
        if (!is_end(q, last_of(&all[rank].s))) {
            o->row[living] = all[rank].row;
            o->living[living++] = all[rank].s;
        } else if (rank < q->sampling.beams) {
            obvious_end(o, q, &all[rank].s);
        }
    }
    o->living_count = living;
    for (int i = 0; i < living; i++)
        o->living[i].score = score_of(q, &o->living[i]);
}

static bool obvious_finished(const struct obvious *o, const struct search *q)
{
    if (o->living_count == 0)
        return o->ended_count > 0;
    return o->ended_count == q->sampling.beams && o->ended[0].score >= o->living[0].score;
}

static void assert_steps_agree(const struct search *q)
{
    static struct obvious o;
    static struct sequence rows[BEAMS_MAX];
    int32_t token[BEAMS_MAX], parent[BEAMS_MAX];
    struct beam *b = opened(q);

    memset(rows, 0, sizeof rows);
    o = (struct obvious){.living_count = 1};
    for (int k = 0; k < q->steps; k++) {
        step(b, q, rows, token, parent);
        obvious_step(&o, q);
        for (int i = 0; i < o.living_count; i++) {
            assert_int_equal(parent[i], o.row[i]);
            assert_int_equal(rows[i].n, o.living[i].n);
            assert_memory_equal(rows[i].token, o.living[i].token, (size_t)rows[i].n * sizeof *token);
        }
        assert_int_equal(beam_finished(b), obvious_finished(&o, q));
        if (o.ended_count && (o.living_count == 0 || o.ended[0].score >= o.living[0].score))
            assert_best_is(b, &o.ended[0]);
        else if (o.living_count)
            assert_best_is(b, &o.living[0]);
    }
    beam_close(b);
}

static void every_step_is_that_of_the_obvious_implementation(void **state)
{
    struct pcg32 g;

    (void)state;
    pcg32_seed(&g, 1, 1);
    for (int i = 0; i < 3000; i++) {
        struct search q = {.sampling = {.beams = 1 + (int)(pcg32_next(&g) % 6), .min_length = (double)(pcg32_next(&g) % 4)},
                           .table = {.seed = pcg32_next(&g), .vocab = 1 + (int)(pcg32_next(&g) % VOCAB_MAX)},
                           .eos_count = (int)(pcg32_next(&g) % 4),
                           .steps = 1 + (int)(pcg32_next(&g) % TOKENS_MAX)};
        q.table.kind = (enum kind)(i % 3);
        q.sampling.length_alpha = pcg32_next(&g) % 2 ? 3 * pcg32_uniform(&g) : 0;
        for (int k = 0; k < q.eos_count; k++)
            q.eos[k] = (int32_t)(pcg32_next(&g) % (uint32_t)q.table.vocab);
        assert_steps_agree(&q);
    }
}

/* --- greedy --- */

static void one_beam_is_greedy(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct search q = {.sampling = {.beams = 1},
                           .table = {.seed = seed, .vocab = VOCAB_MAX, .kind = seed % 2 ? TIES : SMOOTH},
                           .eos = {3},
                           .eos_count = 1,
                           .steps = TOKENS_MAX};
        struct sequence greedy = {0}, row = {0};
        struct beam *b = opened(&q);
        int32_t token, parent;
        while (greedy.n < q.steps && !(greedy.n && is_end(&q, last_of(&greedy)))) {
            double p[VOCAB_MAX];
            int best = 0;
            log_probabilities_after(&q.table, &greedy, p);
            for (int i = 1; i < VOCAB_MAX; i++)
                best = p[i] > p[best] ? i : best;
            greedy = followed_by(&greedy, best, p[best]);
            assert_false(beam_finished(b));
            step(b, &q, &row, &token, &parent);
        }
        greedy.score = greedy.sum;
        assert_int_equal(beam_finished(b), is_end(&q, last_of(&greedy)));
        assert_best_is(b, &greedy);
        beam_close(b);
    }
}

/* --- by hand --- */

static void to_logits(float *logits, const double *probability, int n)
{
    for (int i = 0; i < n; i++)
        logits[i] = (float)(log(probability[i]) + 1.5); /* softmax takes the constant away again */
}

/* Tokens: 0 ends. After the prompt 0.5, 0.3, 0.2; after [1] 0.9, 0.05, 0.05; after [2] 0.1, 0.8, 0.1.
 * Step 1: [0] ends with 0.5; [1] and [2] go on. Step 2: [1 0] ends with 0.27 and is first; [2 1] goes on with 0.16; [2 0], with
 * 0.02, is behind the first two and does not count. */
static struct beam *two_steps_by_hand(double alpha, double min_length, bool *finished_early)
{
    struct search q = {.sampling = {.beams = 2, .length_alpha = alpha, .min_length = min_length},
                       .table.vocab = 3,
                       .eos = {0},
                       .eos_count = 1,
                       .steps = 2};
    struct beam *b = opened(&q);
    float logits[2 * 3] = {0};
    int32_t token[2], parent[2];

    to_logits(logits, (double[]){0.5, 0.3, 0.2}, 3);
    beam_step(b, logits, token, parent);
    assert_int_equal(token[0], 1);
    assert_int_equal(token[1], 2);
    assert_int_equal(parent[0], 0);
    assert_int_equal(parent[1], 0);
    *finished_early = beam_finished(b);
    to_logits(logits, (double[]){0.9, 0.05, 0.05}, 3);
    to_logits(logits + 3, (double[]){0.1, 0.8, 0.1}, 3);
    beam_step(b, logits, token, parent);
    assert_int_equal(token[0], 1);
    assert_int_equal(parent[0], 1);
    return b;
}

static void an_ended_sequence_leaves_the_beam_and_the_length_penalty_decides_which_is_best(void **state)
{
    bool early;
    struct beam *b = two_steps_by_hand(0, 0, &early);

    (void)state;
    assert_false(early); /* one ended sequence is kept, not two */
    assert_true(beam_finished(b));
    assert_best_is(b, &(struct sequence){.n = 1, .token = {0}, .score = log(0.5)});
    beam_close(b);
    b = two_steps_by_hand(1, 0, &early); /* log 0.27 / 2 = -0.65 beats log 0.5 / 1 = -0.69 */
    assert_true(beam_finished(b));
    assert_best_is(b, &(struct sequence){.n = 2, .token = {1, 0}, .score = log(0.27) / 2});
    beam_close(b);
    b = two_steps_by_hand(1, 1, &early); /* log 0.27 / (3 / 2) = -0.87 does not */
    assert_best_is(b, &(struct sequence){.n = 1, .token = {0}, .score = log(0.5)});
    beam_close(b);
    b = two_steps_by_hand(3, 1, &early); /* log 0.27 / (3 / 2)^3 = -0.39; living: log 0.16 / (3 / 2)^3 = -0.54 */
    assert_best_is(b, &(struct sequence){.n = 2, .token = {1, 0}, .score = log(0.27) / 3.375});
    beam_close(b);
}

static void a_living_sequence_that_beats_the_ended_ones_keeps_the_search_going(void **state)
{
    struct search q = {.sampling = {.beams = 1, .length_alpha = 4}, .table.vocab = 3, .eos = {0}, .eos_count = 1, .steps = 3};
    struct beam *b = opened(&q);
    float logits[3];
    int32_t token, parent;

    (void)state;
    to_logits(logits, (double[]){0.5, 0.4, 0.1}, 3);
    beam_step(b, logits, &token, &parent);
    assert_true(beam_finished(b)); /* log 0.5 against log 0.4 */
    assert_int_equal(token, 1);
    to_logits(logits, (double[]){0.1, 0.8, 0.1}, 3);
    beam_step(b, logits, &token, &parent);
    assert_false(beam_finished(b)); /* log 0.5 against log 0.32 / 2^4 */
    assert_best_is(b, &(struct sequence){.n = 2, .token = {1, 1}, .score = log(0.32) / 16});
    beam_close(b);
}

/* --- edges --- */

static struct sequence found_by(struct beam *b, const struct search *q)
{
    struct sequence rows[BEAMS_MAX] = {0}, best = {0};
    int32_t token[BEAMS_MAX], parent[BEAMS_MAX];

    for (int k = 0; k < q->steps; k++)
        step(b, q, rows, token, parent);
    const int32_t *ids = beam_best(b, &best.n, &best.score);
    memcpy(best.token, ids, (size_t)best.n * sizeof *ids);
    return best;
}

static void a_search_begins_again_after_a_reset(void **state)
{
    struct search q = {.sampling = {.beams = 3, .length_alpha = 1}, .eos = {1, 2}, .eos_count = 2, .steps = TOKENS_MAX};

    (void)state;
    q.table.vocab = 7;
    struct beam *used = opened(&q);
    for (q.table.seed = 0; q.table.seed < 50; q.table.seed++) {
        struct beam *fresh = opened(&q);
        struct sequence expected = found_by(fresh, &q);
        found_by(used, &q);
        assert_best_is(used, &expected);
        beam_reset(used);
        assert_false(beam_finished(used));
        assert_best_is(used, &(struct sequence){0});
        beam_close(fresh);
    }
    beam_close(used);
}

static void without_an_end_of_sequence_token_no_search_is_finished(void **state)
{
    struct search q = {.sampling = {.beams = 4}, .table = {.seed = 6, .vocab = 5}, .steps = TOKENS_MAX};
    struct sequence rows[BEAMS_MAX] = {0};
    struct beam *b = opened(&q);
    int32_t token[4], parent[4];
    int n;

    (void)state;
    for (int k = 0; k < q.steps; k++) {
        step(b, &q, rows, token, parent);
        assert_false(beam_finished(b));
        assert_memory_equal(beam_best(b, &n, NULL), rows[0].token, (size_t)(k + 1) * sizeof *token);
        assert_int_equal(n, k + 1);
    }
    beam_close(b);
}

static void a_search_in_which_everything_has_ended_is_finished(void **state)
{
    struct search q = {.sampling = {.beams = 3}, .table.vocab = 2, .eos = {0, 1}, .eos_count = 2, .steps = 4};
    struct beam *b = opened(&q);
    float logits[3 * 2] = {0, 1, 0, 0, 0, 0};
    int32_t token[3], parent[3];
    double score = log(1 / (1 + exp(-1)));

    (void)state;
    for (int k = 0; k < 3; k++) {
        beam_step(b, logits, token, parent);
        for (int i = 0; i < 3; i++)
            assert_in_range(token[i], 0, 1);
        assert_true(beam_finished(b));
        assert_best_is(b, &(struct sequence){.n = 1, .token = {1}, .score = score});
    }
    beam_close(b);
}

static void rows_without_a_number_leave_valid_tokens(void **state)
{
    struct search q = {.sampling = {.beams = 2}, .table.vocab = 2, .eos = {1}, .eos_count = 1, .steps = 4};
    struct beam *b = opened(&q);
    float logits[2 * 2] = {NAN, NAN, NAN, NAN};
    int32_t token[2] = {-1, -1}, parent[2] = {-1, -1};
    int n;

    (void)state;
    beam_step(b, logits, token, parent);
    for (int i = 0; i < 2; i++) {
        assert_in_range(token[i], 0, 1);
        assert_in_range(parent[i], 0, 1);
    }
    assert_false(beam_finished(b));
    assert_in_range(beam_best(b, &n, NULL)[0], 0, 1);
    assert_int_equal(n, 1);
    beam_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_enough_beams_the_best_of_all_sequences_is_found),
        cmocka_unit_test(every_step_is_that_of_the_obvious_implementation),
        cmocka_unit_test(one_beam_is_greedy),
        cmocka_unit_test(an_ended_sequence_leaves_the_beam_and_the_length_penalty_decides_which_is_best),
        cmocka_unit_test(a_living_sequence_that_beats_the_ended_ones_keeps_the_search_going),
        cmocka_unit_test(a_search_begins_again_after_a_reset),
        cmocka_unit_test(without_an_end_of_sequence_token_no_search_is_finished),
        cmocka_unit_test(a_search_in_which_everything_has_ended_is_finished),
        cmocka_unit_test(rows_without_a_number_leave_valid_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
