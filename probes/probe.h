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
    METRIC_CPU_NS,            /* user + system time of the process */
    METRIC_ENERGY_J,          /* of the CPU packages */
    METRIC_ENERGY_DRAM_J,     /* of the memory modules */
    METRIC_FLOPS_F16,         /* those in half precision, outside the tensor cores */
    METRIC_FLOPS_TENSOR,      /* those of the tensor cores, a multiply-add is 2 */
    METRIC_L2_BYTES,          /* all bytes through a GPU's L2 cache */
    METRIC_L1_BYTES,          /* all bytes through its L1 caches */
    METRIC_GPU_NS,            /* from the first to the last work of the bracket, by the GPU's own clock */
    METRIC_GPU_BUSY_NS,       /* of these, while some kernel, copy or set ran */
    METRIC_KERNELS,           /* kernels, copies and sets that ran */
    METRIC_GPU_HZ,            /* clock of the multiprocessors, mean */
    METRIC_GPU_DRAM_HZ,       /* clock of the GPU's memory, mean */
    METRIC_PEAK_DRAM_BPS,     /* what the memory could move at that clock: theory */
    METRIC_PEAK_TENSOR_FLOPS, /* what the tensor cores could compute at that clock: theory */
    METRIC_SM_ACTIVE,         /* shares, 0 to 1, of the time: multiprocessors with work */
    METRIC_WARPS_ACTIVE,      /* warps that are there, of those that would fit */
    METRIC_TENSOR_ACTIVE,     /* tensor cores at work */
    METRIC_DRAM_ACTIVE,       /* memory at work, of its peak */
    METRIC_GPU_ENERGY_J,      /* of the GPU's board */
    METRIC_GPU_POWER_W,       /* of the GPU's board, at the end of the bracket */
    METRIC_GPU_UTILIZATION,   /* share of the driver's last sample period in which a kernel ran */
    METRIC_GPU_MEMORY_BYTES,  /* in use on the device, others' included */
    METRIC_GPU_TEMPERATURE_C,
    METRIC_GPU_SLOWED, /* why the clock is below its maximum: NVML's bits of reasons */
    METRIC_COUNT,
};

const char *metric_name(enum metric m); /* "flops", "dram_read_bytes": the spelling in the database */
const char *metric_unit(enum metric m); /* "FLOP", "B", "ns", "" */
const char *metric_about(enum metric m);
/* False for what cannot be added up over stretches of work: clocks, shares, peaks, states. */
bool metric_adds(enum metric m);

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

enum { READING_VALUES_MAX = 12 };
struct reading {
    struct value value[READING_VALUES_MAX];
    int count;
};

enum probe_weight { PROBE_LIGHT, PROBE_HEAVY };

struct probe_args {
    int threads;               /* workers of the team to observe */
    int device;                /* GPU to observe, from 0; -1: none computes here */
    const enum metric *wanted; /* quantities to count, the most important first; NULL leaves the choice to the probe */
    int wanted_count;
};

struct probe; /* begins with `const struct probe_ops *ops` */

/* One piece of work that a device did: when, and on whose behalf. Times are CLOCK_MONOTONIC. */
struct device_event {
    uint64_t start_ns, end_ns;
    uint32_t tag;     /* given by probe_ops.tag when it was handed over; 0: none */
    const char *name; /* of a kernel, demangled; "copy host to device"; valid as long as the probe */
    char kind;        /* 'k'ernel, 'c'opy, 's'et */
    int grid[3], block[3], registers, shared_bytes;
    uint64_t bytes; /* of copies and sets */
};

/* The state of a device over a short while, sampled beside the work. NAN: not known. */
struct device_sample {
    uint64_t at_ns, span_ns;                                  /* CLOCK_MONOTONIC of its begin */
    double read_bytes, write_bytes, sm_active, tensor_active; /* shares 0 to 1 */
};

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

    /* Only where a device works apart from the calling thread; else NULL. Device work is over when end is called. */
    const char *for_device; /* watches CPUs: the probe, or the two with a space between, that do the like for a GPU; "": none */
    bool needs_device;      /* opens with ERR_ABSENT where args.device is -1 */
    void (*rest)(struct probe *p); /* after the selected pass: lets go of what would slow others down, until the next select */
    void (*tag)(struct probe *p, uint32_t tag); /* the calling thread hands over work for `tag` from now on; 0: for none */
    int (*events)(const struct probe *p, const struct device_event **out);   /* of the last bracket, by start; until the next */
    int (*samples)(const struct probe *p, const struct device_sample **out); /* likewise; its bracket is a whole execution */
    const struct calibration_list *(*calibrations)(const struct probe *p);   /* made by open (calibrate.h); NULL: none */
};

struct probe {
    const struct probe_ops *ops;
};

/* All probes of this source tree, NULL-terminated; one left out of the build keeps its line and opens with ERR_ABSENT. */
extern const struct probe_ops *const probes[];
const struct probe_ops *probe_find(const char *name, struct err *e); /* nearest name on a typo */

#endif
