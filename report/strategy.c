/* SPDX-License-Identifier: MIT */
#include "strategy.h"

const char *const strategy_names[STRATEGY_COUNT] = {
    [STRATEGY_GREEDY] = "greedy", [STRATEGY_SAMPLE] = "sample", [STRATEGY_TOP_K] = "top_k",
    [STRATEGY_TOP_P] = "top_p",   [STRATEGY_MIN_P] = "min_p",   [STRATEGY_BEAM] = "beam",
};
