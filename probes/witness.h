/* SPDX-License-Identifier: MIT
 * The noise witness: what else happened on the machine during a repetition. It marks, never drops. Both ends read small files
 * of the kernel's and time a short chain of additions, some 300 us, before the first and after the last clock reading of a
 * repetition; the end also has the kernel look through the page tables, some 30 ms a gigabyte in small pages and next to
 * nothing in huge ones: about what one decode step takes to read that memory. -1 is "not known here". */
#ifndef BENCH_WITNESS_H
#define BENCH_WITNESS_H

#include <sched.h>
#include <stdint.h>

struct witness {
    int64_t switches_involuntary, page_faults_minor, page_faults_major; /* of this process */
    int64_t steal_ticks; /* of the whole machine, /proc/stat; -1 when unreadable */
    double other_busy;   /* CPUs' worth of time that other processes used: 0.3 = a third of one CPU; -1 when unknown */
    double load1;        /* /proc/loadavg at the end; -1 when unknown */
    int64_t interrupts;  /* of the whole machine, /proc/stat */
    int64_t throttled;   /* times that heat slowed our cores or their packages, thermal_throttle */
    double frequency_hz; /* of the main thread's core: core_clock.h, the mean of before and after */
    double sibling_busy; /* CPUs' worth of time that was spent on hardware threads beside ours in a core; 0 with SMT off */
    double huge_share;   /* of the process's memory in large mappings, the share in huge pages: 0 to 1, at the end */
    double remote_share; /* of the same memory, the share on NUMA nodes where no thread of ours runs: 0 to 1, at the end */
};

struct witness_mark { /* opaque to callers: the counters at the beginning */
    uint64_t wall_ns;
    int64_t involuntary, minor, major, steal, busy_ticks, own_ticks;
    int64_t interrupts, throttled, sibling_ticks;
    double frequency_hz;
    cpu_set_t own, siblings; /* CPUs that our threads are on, and those that share a core with them */
    const char *root;
};

void witness_begin(struct witness_mark *m);
void witness_end(const struct witness_mark *m, struct witness *out);

/* The same with /proc and /sys under a root folder (root_file.h), which must live until the end. */
void witness_begin_at(struct witness_mark *m, const char *root);

#endif
