/* SPDX-License-Identifier: MIT
 * Judging a claim: claims_eval.c reads its words and stores the result, the judges are in claims_verdict.c (bound,
 * same_tokens), claims_limit.c (sampling, efficiency, share, faults) and claims_growth.c (ratio, exponent). For nobody else.
 *
 * A claim is held or not held only when the intervals leave no other reading; missing data and intervals that reach over the
 * line are undecided, with the reason in the evidence. One counterexample outweighs what is open. */
#ifndef BENCH_CLAIMS_EVAL_H
#define BENCH_CLAIMS_EVAL_H

#include "document.h"
#include "series.h"
#include "text.h"

enum result { HELD, UNDECIDED, NOT_HELD }; /* the worst of several is the largest */

struct judge {
    struct document *d; /* rows, figures, store, err */
    const json_t *spec;
    struct text text, evidence;
    int code; /* what went wrong while judging: out of memory, the database */
};

enum { WHERE_VALUES_MAX = 64 };
struct where {              /* a filter on trials */
    int values[AXIS_COUNT]; /* how many; 0: the axis is not named */
    int value[AXIS_COUNT][WHERE_VALUES_MAX];
};

enum result judge_bound(struct judge *j);
enum result judge_same_tokens(struct judge *j);
enum result judge_sampling(struct judge *j);
enum result judge_efficiency(struct judge *j);
enum result judge_share(struct judge *j);
enum result judge_faults(struct judge *j);
enum result judge_ratio(struct judge *j);
enum result judge_exponent(struct judge *j);

enum result judge_worse(enum result a, enum result b);

/* The claim's words; "" when a key is not there. Index of a name, or -1. */
const char *judge_word(const struct judge *j, const char *key);
int judge_index(const char *name, const char *const *names, int n);

/* enum series_metric of `metric`, enum axis of a key; -1 with the evidence saying why. */
int judge_metric(struct judge *j);
int judge_axis(struct judge *j, const char *key);

/* False with the evidence saying why; an absent filter matches everything. */
bool where_read(struct judge *j, const char *key, struct where *out);
bool where_matches(const struct where *w, const struct rows_trial *t);
/* "kv_cache=on, dtype=f32 or bf16"; before it " where " when the claim has such a filter. */
void where_print(struct text *t, const struct where *w);
void judge_print_where(struct judge *j, const struct where *w);
/* "kv_cache=on", "batch=2", "strategy=beam" */
void judge_print_axis(struct text *t, int axis, int value);

/* Two trials of two arms stand for the same case: equal in every axis that not both arms name. but: an axis to pass over, -1.
 */
bool where_same_case(const struct rows_trial *a, const struct where *wa, const struct rows_trial *b, const struct where *wb,
                     int but);

/* "1.62 [1.60, 1.65]" */
void judge_print_interval(struct text *t, double v, double lo, double hi, const char *unit);

#endif
