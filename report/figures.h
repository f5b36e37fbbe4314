/* SPDX-License-Identifier: MIT
 * What is derived from one trial's rows: samples, estimates, counted against analytic work, verdicts. The document prints
 * these, the claims are judged by them. NAN: not known. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include "rows.h"
#include "stats.h"
#include "verdict.h"

/* The roofs of a verdict: of reading from memory, and of the arithmetic in which a trial multiplies weights, or computes
 * attention. On the CPU those of single instructions, at the trial's own thread count; on a GPU those of a library's products.
 */
#define FIGURES_BANDWIDTH_ROOF "dram read"
const char *figures_compute_roof(const struct rows *r, const struct rows_trial *t); /* "bf16 dot", "bf16 gemm" */
const char *figures_attention_roof(const struct rows *r, const struct rows_trial *t);
/* The one that stands for the whole run: of float32 on the CPU, of the first trial's arithmetic on a GPU. */
const char *figures_run_roof(const struct rows *r);
/* The thread count that a trial's roofs are looked up with: on a GPU they are all the run's. */
int figures_roof_threads(const struct rows *r, const struct rows_trial *t);

struct sample { /* one value a repetition; belongs to the figures it came from */
    double *x;
    int n;
};

struct amount {
    double analytic, counted, error; /* of prefill, or of the mean decode step; error over the steps that were counted */
    bool multiplexed;                /* counted for a part of some step only */
    char why[256];                   /* why not counted, or not wholly; or "" */
};

struct phase {
    struct sample sample; /* ms: prefill, or the median decode step of each repetition */
    struct estimate ms;
    struct amount amount[ROWS_METRICS];
    double predicted_ms;
    double launches; /* given to a device: in prefill, in the median decode step; NAN: none, or not known */
    struct verdict verdict;
    const struct rows_cache *cache; /* that its data stays in; NULL: memory */
};

/* What the CPU packages or a GPU's board took, other processes' share included. */
struct energy {
    struct sample joules_sample, watts_sample;
    struct estimate joules, watts; /* n = 0 when not measured */
    double per_token;              /* joules; of prefill: a prompt token */
};

/* Choosing the token, as a part of a decode step. */
struct choosing {
    struct sample sample, share_sample; /* ms: the median decode step of each repetition; share of all its steps together */
    struct estimate ms, share;
};

struct figures {
    int timed; /* repetitions of pass 'time' without warm-up */
    struct phase prefill, decode;
    struct choosing choosing;        /* n = 0 when it was not measured */
    struct sample loop, total, tpot; /* ms of each whole repetition; loop: all decode steps together */
    struct estimate loop_ms, total_ms, tpot_ms, ttft_ms;
    struct energy energy[2]; /* prefill, all decode steps */
    int pooled;              /* decode steps of all timed repetitions, the population of: */
    double p50_ms, p90_ms, p99_ms;
    double work[ROWS_METRICS], work_counted[ROWS_METRICS]; /* of the whole generation: analytic; counted, NAN unless wholly */
    const char *tokens_hash;                               /* of the first repetition, or NULL */
    bool tokens_agree;                                     /* those of all other repetitions, of every pass, are the same */
};

/* One for each trial, in their order. The owner calls figures_close before rows_free. ERR_MEMORY. */
int figures_open(struct figures **out, const struct rows *r, struct err *e);
void figures_close(struct figures *f, const struct rows *r);

/* Median and extremes of its rounds; NAN without. */
struct verdict_roof figures_roof(const struct rows_roof *roof, const char *name);

/* The roof at a moment: the mean of its nearest rounds before and after, or the one there is; NAN without. */
double figures_roof_at(const struct rows_roof *roof, int64_t at_ns);

/* "kv_cache=on prompt=13 new=128", and every other axis that is not at its usual value: " batch=2 dtype=bf16 threads=1". */
enum { FIGURES_LABEL = 192 };
const char *figures_label(char buf[FIGURES_LABEL], const struct rows *r, const struct rows_trial *t);

/* A stretch of work that was timed several times: a phase, or an op in it. */
struct stretch {
    const char *name;
    double flops, bytes; /* counted or analytic, as `counted` says */
    bool counted;
    double analytic_flops, analytic_bytes;
    double pass_bytes;    /* analytic, of the whole pass that it is a part of */
    double counted_bytes; /* NAN: not counted */
    double *ms;
    int64_t *started_ns; /* each repetition's moment */
    int n;
    const char *compute; /* the roof of its arithmetic */
    int threads;
    double launches;    /* NAN: none, or not known */
    const char *launch; /* the roof of handing them over */
};

/* A phase of a trial as a stretch, with its analytic work. The owner calls figures_stretch_free. ERR_MEMORY. */
int figures_stretch(struct stretch *out, const struct rows *r, const struct figures *f, const struct rows_trial *t,
                    bool prefill, struct err *e);
void figures_stretch_free(struct stretch *s);

/* The cache that its data stays in, or NULL. */
const struct rows_cache *figures_cache(const struct rows *r, const struct stretch *s);

/* Each repetition's roof time over its own time, the roofs being those of its moment; one roof alone where the other is NULL.
 * n = 0 when there is nothing to compare. ERR_MEMORY. */
int figures_efficiency(struct estimate *out, const struct stretch *s, const struct rows_roof *compute,
                       const struct rows_roof *bandwidth, struct err *e);

/* The verdict on a stretch, against the roofs of the repetitions' moments; of the cache that its data stays in, where it does.
 * In a cache the work that it judges is the analytic one. */
int figures_judge(struct verdict *out, const struct rows *r, struct stretch *s, struct err *e);

#endif
