/* SPDX-License-Identifier: MIT
 * The kernel's perf_event_open: one event of the calling thread, and what its refusals mean. */
#ifndef BENCH_PERF_EVENT_H
#define BENCH_PERF_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#include "event_file.h"

/* Opens the event for the calling thread, user code only, stopped, in the group of `leader` (-1: it leads, and the whole group
 * is on the counters or not at all). The file descriptor, or a negative errno. */
int perf_event_open_own(const struct event_raw *raw, int leader);

/* kernel.perf_event_paranoid; -1 when it cannot be read. */
int perf_event_paranoid(void);

/* What a refusal (an errno) means and the remedy, in one sentence; `paranoid` as above. */
void perf_event_explain(char *why, size_t size, int error, int paranoid);

/* Asks for the plainest hardware event. Empty when it is there, else "no hardware counters: " and the sentence. */
void perf_event_no_hardware(char *why, size_t size);

#endif
