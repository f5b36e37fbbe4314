/* SPDX-License-Identifier: MIT */
#include "claims.h"

#include <stddef.h>

const struct claim_kind claim_kinds[] = {
    {"bound",
     "every matching trial's verdict for the phase is `is`",
     {{"phase", CLAIM_PHASE, true}, {"is", CLAIM_BOUND, true}, {"where", CLAIM_WHERE, false}}},
    {"same_tokens", "trials that differ only in the axis `across` chose the same tokens", {{"across", CLAIM_AXIS, true}}},
    {"sampling",
     "choosing the token takes less than the share `below` of a decode step in every matching trial",
     {{"below", CLAIM_NUMBER, true}, {"where", CLAIM_WHERE, false}}},
    {"efficiency",
     "the phase, or its `op`, reaches at least the share `above` of its roofline, or of the one `roof`, in every matching "
     "trial",
     {{"phase", CLAIM_PHASE, true},
      {"above", CLAIM_NUMBER, true},
      {"op", CLAIM_OP, false},
      {"roof", CLAIM_ROOF, false},
      {"where", CLAIM_WHERE, false}}},
    {"share",
     "the op `of`, or `rest` (all but qkv, attention, out, mlp, head), takes less than the share `below` of the phase",
     {{"of", CLAIM_OP, true}, {"phase", CLAIM_PHASE, true}, {"below", CLAIM_NUMBER, true}, {"where", CLAIM_WHERE, false}}},
    {"faults",
     "every timed execution of every matching trial has fewer page faults than `below`",
     {{"below", CLAIM_NUMBER, true}, {"where", CLAIM_WHERE, false}}},
    {"ratio",
     "the metric of arm `of` over that of arm `over` is above and below a number, for every pair, and grows along an axis",
     {{"metric", CLAIM_METRIC, true},
      {"of", CLAIM_WHERE, true},
      {"over", CLAIM_WHERE, true},
      {"along", CLAIM_AXIS, false},
      {"above", CLAIM_NUMBER, false},
      {"below", CLAIM_NUMBER, false},
      {"grows", CLAIM_FLAG, false}}},
    {"exponent",
     "the log-log slope of the metric along an axis is larger for arm `steeper` than for arm `than`",
     {{"metric", CLAIM_METRIC, true},
      {"along", CLAIM_AXIS, true},
      {"steeper", CLAIM_WHERE, true},
      {"than", CLAIM_WHERE, true}}},
    {0},
};
