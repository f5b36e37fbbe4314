/* SPDX-License-Identifier: MIT
 * From a strategy's name to the settings of a session. `sample` is everything that the suite sets, in the order of Hugging
 * Face's processors; the others each show one idea alone. */
#include "suite.h"

enum { TOP_K = 50 };
static const double top_p = 0.9, min_p = 0.05;

void suite_sampling(const struct suite *s, const struct cell *c, uint64_t seed, struct sampling *out)
{
    const struct sampling *set = &s->sampling;

    *out = (struct sampling){.temperature = set->temperature, .seed = seed};
    switch ((enum strategy)c->value[AXIS_STRATEGY]) {
    case STRATEGY_SAMPLE:
        out->top_k = set->top_k;
        out->top_p = set->top_p;
        out->min_p = set->min_p;
        out->repetition_penalty = set->repetition_penalty;
        break;
    case STRATEGY_TOP_K:
        out->top_k = set->top_k ? set->top_k : TOP_K;
        break;
    case STRATEGY_TOP_P:
        out->top_p = set->top_p != 0 ? set->top_p : top_p;
        break;
    case STRATEGY_MIN_P:
        out->min_p = set->min_p != 0 ? set->min_p : min_p;
        break;
    case STRATEGY_BEAM:
        *out = (struct sampling){.beams = set->beams, .length_alpha = set->length_alpha, .min_length = set->min_length};
        break;
    default: /* greedy has no settings */
        *out = (struct sampling){0};
    }
}
