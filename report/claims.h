/* SPDX-License-Identifier: MIT
 * The kinds of claims a suite may state. One table: the suite reader checks keys and types by it, analysis evaluates by it,
 * `bench help suite` prints it. */
#ifndef BENCH_CLAIMS_H
#define BENCH_CLAIMS_H

#include <stdbool.h>

enum claim_value {
    CLAIM_PHASE,  /* prefill | decode */
    CLAIM_BOUND,  /* compute | bandwidth | overhead | launch */
    CLAIM_WHERE,  /* mapping of axis name to value, or to a list of them: {kv_cache: on, dtype: [f32, bf16]} */
    CLAIM_AXIS,   /* an axis name */
    CLAIM_METRIC, /* total_ms | decode_ms | prefill_ms | flops | bytes */
    CLAIM_OP,     /* an op's name, or rest: all but qkv, attention, out, mlp and head */
    CLAIM_ROOF,   /* a roof's name: dram read, f32 gemm, bf16 dot, ... */
    CLAIM_NUMBER,
    CLAIM_FLAG, /* true | false */
};

enum { CLAIM_KEYS_MAX = 7 };

struct claim_key {
    const char *name;
    enum claim_value value;
    bool required;
};

struct claim_kind {
    const char *name, *about;
    struct claim_key key[CLAIM_KEYS_MAX]; /* name NULL ends */
};

/* name NULL ends:
 *   bound        phase, is, [where]                         every matching trial's verdict is `is`
 *   same_tokens  across                                     trials that differ only in that axis chose the same tokens
 *   sampling     below, [where]                             choosing the token takes less than that share of a decode step
 *   efficiency   phase, above, [op], [roof], [where]        the phase's (the op's) work takes at most 1 / above of its time at
 *                                                            the roofline; with `roof`, at that one roof
 *   share        of, phase, below, [where]                  the op takes less than that share of the phase
 *   faults       below, [where]                             fewer page faults than that in every timed execution
 *   ratio        metric, of, over, [along], [above], [below], [grows]   ratio of medians between two arms, its interval above
 *                                                            `above` and below `below`, and growing along an axis
 *   exponent     metric, along, steeper, than               log-log slope of one arm exceeds the other's */
extern const struct claim_kind claim_kinds[];

#endif
