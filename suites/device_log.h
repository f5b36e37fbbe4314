/* SPDX-License-Identifier: MIT
 * The work of a device in the steps that are kept (prefill, the first and the last decode step), from the probe that told it
 * until it is stored. Memory is taken by device_log_open; device_log_step stands between two steps and allocates nothing. */
#ifndef BENCH_DEVICE_LOG_H
#define BENCH_DEVICE_LOG_H

#include "probe.h"

enum { LOG_STEPS_MAX = 3, LOG_EVENTS_MAX = 4096 };

struct logged_step {
    int step, count, left_out; /* left_out: events beyond the room for them */
    struct device_event *event;
};

struct device_log {
    struct logged_step kept[LOG_STEPS_MAX];
    int steps;
};

int device_log_open(struct device_log *l, struct err *e);
void device_log_close(struct device_log *l);

/* Before an execution. */
void device_log_reset(struct device_log *l);

/* Keeps the events of the probe's last bracket, which was that step of so many, when it is one of those that are kept. */
void device_log_step(struct device_log *l, const struct probe *p, int step, int steps);

#endif
