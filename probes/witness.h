/* SPDX-License-Identifier: MIT
 * The noise witness: what else happened on the machine during a repetition. It marks, never drops. */
#ifndef BENCH_WITNESS_H
#define BENCH_WITNESS_H

#include <stdint.h>

struct witness {
    int64_t switches_involuntary, page_faults_minor, page_faults_major; /* of this process */
    int64_t steal_ticks; /* of the whole machine, /proc/stat; -1 when unreadable */
    double other_busy;   /* CPUs' worth of time that other processes used: 0.3 = a third of one CPU; -1 when unknown */
    double load1;        /* /proc/loadavg at the end; -1 when unknown */
};

struct witness_mark { /* opaque to callers: the counters at the beginning */
    uint64_t wall_ns;
    int64_t involuntary, minor, major, steal, busy_ticks, own_ticks;
};

void witness_begin(struct witness_mark *m);
void witness_end(const struct witness_mark *m, struct witness *out);

#endif
