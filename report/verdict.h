/* SPDX-License-Identifier: MIT
 * The roofline verdict of a phase (Williams, Waterman, Patterson 2009): which of two ceilings explains the time, if either.
 *   t_compute = FLOPs / peak, t_memory = bytes / bandwidth, roof time = the larger, efficiency = roof time / measured time
 *   compute-bound    t_compute is the larger, efficiency >= 50 %
 *   bandwidth-bound  t_memory is the larger, efficiency >= 50 %
 *   at the ridge     efficiency >= 50 %, and the roofs' spread over the run leaves open which is the larger
 *   launch-bound     efficiency < 50 %, and handing over the stretch's kernels explains at least half of its time:
 *                    t_launch = kernels / the launch roof, launch share = t_launch / measured time >= 50 %. Only where a device
 *                    is given its work from outside
 *   overhead-bound   efficiency < 50 % otherwise: latency, serial work; the sentence names the gap
 *   above its roof   an error: efficiency above 100 % beyond its interval and the roof's spread. Nothing is concluded from it
 * Where the data stays in a cache, `bandwidth` is that cache's roof and the bytes are those that leave the cache; without such
 * a roof only compute can bound. Pure functions; what is unknown goes in and comes out as NAN. */
#ifndef BENCH_VERDICT_H
#define BENCH_VERDICT_H

#include <stdbool.h>

enum verdict_kind {
    VERDICT_UNKNOWN,
    VERDICT_COMPUTE,
    VERDICT_BANDWIDTH,
    VERDICT_OVERHEAD,
    VERDICT_LAUNCH,
    VERDICT_RIDGE,
    VERDICT_ABOVE,
    VERDICT_COUNT
};

/* Without an interval, an efficiency above this cannot be. */
#define VERDICT_EFFICIENCY_MAX 1.05

struct verdict_roof { /* FLOP/s, B/s or kernels/s; lo, hi: extremes of its rounds. NAN: not measured */
    const char *name;
    double value, lo, hi;
};

struct verdict_input {
    const char *phase;                               /* the sentence's subject: "prefill", "decode" */
    double flops, bytes;                             /* of the measured stretch */
    bool counted;                                    /* flops and bytes are counter readings */
    double seconds;                                  /* median */
    double efficiency, efficiency_lo, efficiency_hi; /* roof time / time: median and interval over the repetitions; NAN: none */
    struct verdict_roof compute, bandwidth;
    double launches; /* kernels, copies and sets handed over in it; 0 or NAN: there is no device, or it is not known */
    struct verdict_roof launch;
    double launch_share, launch_share_lo, launch_share_hi; /* t_launch / time, as the efficiency */
    int threads;        /* that the roofs must have been measured with; 0: they do not depend on it */
    const char *cache;  /* the level that the data stays in, "" when which is not known; NULL: memory */
    double cache_bytes; /* its size; NAN: not known */
    double from_memory; /* share of the bytes that counters saw come from memory; NAN: not counted */
};

struct verdict {
    enum verdict_kind kind;
    unsigned possible; /* bit 1 << kind for each of compute, bandwidth, overhead, launch that the intervals leave open */
    bool counted;
    double ai, ridge, margin;    /* FLOP/B, FLOP/B, ai / ridge */
    double margin_lo, margin_hi; /* the widest that the roofs' rounds allow */
    double efficiency, efficiency_lo, efficiency_hi;
    double compute_s, memory_s, flop_rate, byte_rate;
    double launches, launch_s, launch_share, launch_share_lo, launch_share_hi; /* NAN: not known */
    const char *roof; /* the roof that the efficiency is of; borrowed from the input. NULL: no verdict */
    const char *compute, *bandwidth, *launch; /* the names of all; borrowed. launch NULL: no launches */
    char sentence[640];
};

/* True when an efficiency cannot be: it is above 1 beyond its interval and the roof's spread. `lo` NAN: no interval. */
bool verdict_impossible(double efficiency, double lo, const struct verdict_roof *roof);

/* The time that the roofs explain: max(flops / peak, bytes / bandwidth). */
double verdict_roof_seconds(double flops, double bytes, double peak, double bandwidth);

const char *verdict_kind_name(enum verdict_kind k); /* "compute-bound", "at the ridge", "unknown" */
void verdict_decide(struct verdict *out, const struct verdict_input *in);

#endif
