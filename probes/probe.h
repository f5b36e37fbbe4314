/* SPDX-License-Identifier: MIT
 * A probe brackets a stretch of work and turns it into readings. It knows nothing of models. LIGHT probes (clock, rusage) ride
 * in the timing pass; HEAVY ones (counters) get passes of their own, one pass per group.
 *
 * begin and end are the measured path: no allocation, no I/O. They are called from the main thread of the started team
 * (base/team.h); a probe that counts per thread reaches its workers through the same OpenMP pool. One begin/end pair at a time.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/* The quantities this project records. One list: names, units and texts are in probes.c. */
enum metric {
    METRIC_WALL_NS,
    METRIC_FLOPS,            /* executed floating-point operations, an FMA is 2 */
    METRIC_FLOPS_F32,        /* those in single precision */
    METRIC_FLOPS_F64,        /* those in double precision */
    METRIC_FLOPS_BF16,       /* those of bf16 products */
    METRIC_DRAM_READ_BYTES,  /* bytes that came from memory */
    METRIC_DRAM_WRITE_BYTES, /* bytes that went to memory */
    METRIC_L2_READ_BYTES,    /* bytes that entered the L1 data caches, from L2 or beyond */
    METRIC_L3_READ_BYTES,    /* bytes that entered the L2 caches, from L3 or beyond */
    METRIC_CYCLES,
    METRIC_INSTRUCTIONS,
    METRIC_PAGE_FAULTS_MINOR,
    METRIC_PAGE_FAULTS_MAJOR,
    METRIC_SWITCHES_VOLUNTARY,
    METRIC_SWITCHES_INVOLUNTARY,
    METRIC_CPU_NS,        /* user + system time of the process */
    METRIC_ENERGY_J,      /* of the CPU packages */
    METRIC_ENERGY_DRAM_J, /* of the memory modules */
    METRIC_COUNT,
};

const char *metric_name(enum metric m); /* "flops", "dram_read_bytes": the spelling in the database */
const char *metric_unit(enum metric m); /* "FLOP", "B", "ns", "" */
const char *metric_about(enum metric m);

/* Where a value comes from; the spelling in the database is provenance_name's. */
enum provenance {
    PROVENANCE_MISSING,     /* value is NULL; why says the reason */
    PROVENANCE_COUNTER,     /* hardware counter, calibrated in this run */
    PROVENANCE_MULTIPLEXED, /* hardware counter with coverage < 1 */
    PROVENANCE_TIMER,
    PROVENANCE_ANALYTIC,
    PROVENANCE_OS,     /* rusage, /proc, perf software events */
    PROVENANCE_VENDOR, /* NVML and the like */
    PROVENANCE_COUNT,
};
const char *provenance_name(enum provenance p); /* "missing", "counter", ... */

struct value {
    enum metric metric;
    enum provenance provenance;
    double value;    /* meaningless when missing */
    double coverage; /* share of the bracket the counter really ran: 1 unless multiplexed */
    const char *why; /* missing: one sentence, static or owned by the probe */
};

enum { READING_VALUES_MAX = 8 };
struct reading {
    struct value value[READING_VALUES_MAX];
    int count;
};

enum probe_weight { PROBE_LIGHT, PROBE_HEAVY };

struct probe_args {
    int threads;               /* workers of the team to observe */
    const enum metric *wanted; /* quantities to count, the most important first; NULL leaves the choice to the probe */
    int wanted_count;
};

struct probe; /* begins with `const struct probe_ops *ops` */

struct probe_ops {
    const char *name, *about;
    enum probe_weight weight;
    /* ERR_ABSENT: not on this machine; the sentence says why and the remedy. */
    int (*open)(struct probe **out, const struct probe_args *args, struct err *e);
    /* Groups that this probe needs a pass each for (1 for light ones). group_name: "papi:flops", the pass's name. */
    int (*groups)(const struct probe *p);
    const char *(*group_name)(const struct probe *p, int group);
    void (*select)(struct probe *p, int group); /* before a pass, not on the measured path */
    /* Metrics of the selected group, at most READING_VALUES_MAX. */
    int (*metrics)(const struct probe *p, enum metric *out);
    void (*begin)(struct probe *p);
    void (*end)(struct probe *p, struct reading *out);
    /* False when the reading cannot be true (cycles 0 with instructions > 0, >= 2^46, negative): reject and repeat. */
    bool (*plausible)(const struct probe *p, const struct reading *r, const char **why);
    void (*close)(struct probe *p);
};

struct probe {
    const struct probe_ops *ops;
};

/* All probes of this source tree, NULL-terminated; one left out of the build keeps its line and opens with ERR_ABSENT. */
extern const struct probe_ops *const probes[];
const struct probe_ops *probe_find(const char *name, struct err *e); /* nearest name on a typo */

#endif
