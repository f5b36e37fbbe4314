/* SPDX-License-Identifier: MIT
 * What a GPU can count and how: for each quantity the ways to get it from CUPTI's metrics, which differ between chips. A
 * bracket runs once, so what is read together must fit one pass of the hardware. CUPTI's host library knows all chips and needs
 * neither a GPU nor a driver to tell which names a chip has and how many passes they take. */
#ifndef BENCH_PROBES_CUDA_METRICS_H
#define BENCH_PROBES_CUDA_METRICS_H

#include "cupti.h"
#include "probe.h"

enum {
    WAY_TERMS = 6,
    GROUP_NAMES = 32, /* of CUPTI metrics in a group */
    GROUPS_MAX = 16,
};

/* Quantities that belong together; each is a measurement of its own. */
enum counter_set { SET_TRAFFIC, SET_ARITHMETIC, SET_UNITS, SET_COUNT };

struct counter_term {
    const char *name; /* of a CUPTI metric, with roll-up; NULL ends */
    double factor;    /* 0 means 1 */
};

/* One way to count a quantity: the sum of the terms. */
struct counter_way {
    enum metric metric;
    enum counter_set set;
    struct counter_term term[WAY_TERMS];
};

/* All ways, those of a quantity one after another, the best first; the first of a quantity says its set. */
extern const struct counter_way counter_ways[];
extern const int counter_way_count;

/* Whose metrics are asked for. */
struct counter_host {
    const struct cupti *cupti;
    const char *chip;
    const uint8_t *availability; /* image of what this GPU really has; NULL: all of the chip's */
    CUpti_ProfilerType type;     /* CUPTI_PROFILER_TYPE_RANGE_PROFILER or _PM_SAMPLING */
};

/* The hardware's schedule for these names. */
struct counter_config {
    CUpti_Profiler_Host_Object *object; /* also evaluates what was counted */
    uint8_t *image;
    size_t bytes;
    int passes;
};

/* ERR_ABSENT: the chip does not have one of them. Closing a zeroed one is allowed. */
int counter_config_open(struct counter_config *out, const struct counter_host *h, const char *const *names, int count,
                        struct err *e);
void counter_config_close(struct counter_config *c, const struct counter_host *h);

/* A quantity that was asked for. */
struct counter_choice {
    enum metric metric;
    const struct counter_way *way; /* NULL: absent */
    int group, first;              /* whose names from `first` on are its terms */
    char why[160];                 /* absent: the reason */
};

struct counter_group {
    char name[48]; /* "cupti:traffic"; of what did not fit, "cupti:l1_bytes" */
    enum counter_set set;
    const char *names[GROUP_NAMES];
    int count;      /* of names */
    int quantities; /* READING_VALUES_MAX at most */
};

struct counter_plan {
    struct counter_choice choice[METRIC_COUNT];
    int choices;
    struct counter_group group[GROUPS_MAX];
    int groups;
};

/* Chooses for each wanted quantity the first way that the chip accepts in one pass, of those after refused[metric] (NULL: of
 * all; refused NULL: likewise), and packs them into groups of one pass each. wanted NULL: all there are. Quantities without any
 * way here are no part of the plan. */
void counter_plan_make(struct counter_plan *out, const struct counter_host *h, const enum metric *wanted, int wanted_count,
                       const struct counter_way *const *refused);

/* A choice's value from the values of its group's names; NAN when one of them is. */
double counter_choice_value(const struct counter_choice *c, const double *values);

/* "a + b + 2 c": how a choice is counted, into buf. */
void counter_way_text(char *buf, size_t size, const struct counter_way *way);

#endif
