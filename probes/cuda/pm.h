/* SPDX-License-Identifier: MIT
 * What is sampled, chosen for a chip; needs neither a GPU nor a driver. */
#ifndef BENCH_PROBES_PM_H
#define BENCH_PROBES_PM_H

#include "metrics.h"

enum pm_quantity { PM_READ, PM_WRITE, PM_SM, PM_TENSOR, PM_COUNT };

struct pm_choice {
    const char *names[PM_COUNT]; /* of CUPTI metrics, in one pass together */
    double factor[PM_COUNT];
    enum pm_quantity quantity[PM_COUNT]; /* of each name */
    int count;
    struct counter_config config;
};

/* For each quantity the first name that the chip samples in the one pass there is. ERR_ABSENT: there is none. */
int pm_choose(struct pm_choice *out, const struct counter_host *h, struct err *e);

/* False: the chip's sampling is started by a clock of its own that changes its frequency. */
bool pm_samples_by_time(const char *chip);

#endif
