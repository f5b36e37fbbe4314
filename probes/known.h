/* SPDX-License-Identifier: MIT
 * Kernels that do an amount of work known beforehand, to hold counters against. Every worker runs the kernel on a room of its
 * own; the amounts of all workers together are what the counter must show.
 *
 * A kernel has one amount (FLOPs, bytes touched, instructions ...) and says for each quantity how much of it must be counted:
 * a read stream that fits L2 enters L1 whole and comes from memory not at all. */
#ifndef BENCH_KNOWN_H
#define BENCH_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "isa.h"
#include "probe.h"

enum { KNOWN_EXPECTATIONS = 5 };

/* Where the kernel's data lives. */
enum known_level { KNOWN_REGISTERS, KNOWN_L1, KNOWN_L2, KNOWN_L3, KNOWN_DRAM, KNOWN_LEVELS };

struct known_room {
    char *data;
    size_t bytes; /* of data: chosen by level before prepare, which may choose anew */
    int passes;   /* over the data */
};

struct known_expectation {
    enum metric metric;
    double factor; /* of the kernel's amount; 0: next to nothing may be counted */
    bool gate;     /* an event that fails this is refused; else the comparison is only shown */
};

struct known {
    const char *name; /* "512-bit fma f32", "read stream, DRAM"; NULL ends a table */
    enum known_level level;
    enum isa isa;                             /* the least level of the CPU that it needs */
    bool (*available)(void);                  /* beyond isa; NULL: always */
    bool (*prepare)(struct known_room *room); /* worker, not counted; false when there is no memory; NULL when none is needed */
    double (*run)(struct known_room *room);   /* worker, counted: does the work and returns its amount */
    void (*finish)(struct known_room *room);  /* worker, not counted */
    struct known_expectation expect[KNOWN_EXPECTATIONS]; /* up to the first whose metric is METRIC_WALL_NS, which is 0 */
};

extern const struct known known_flops[]; /* known_flops.c */
extern const struct known known_bytes[]; /* known_bytes.c */
extern const struct known known_core[];  /* known_core.c: cycles, instructions, page faults */

/* All tables above; ends with NULL. */
extern const struct known *const known_tables[];

/* What the kernel expects of a quantity; NULL when it has nothing to say of it. */
const struct known_expectation *known_expects(const struct known *k, enum metric m);

/* The rooms that each of so many workers needs at the levels of this machine; bytes are 0 where there is no such level. */
struct known_sizes {
    struct known_room level[KNOWN_LEVELS];
};
void known_sizes_find(struct known_sizes *s, int threads);

/* Can it run here: instruction set, and the caches that its level needs? */
bool known_is_available(const struct known *k, enum isa isa, const struct known_sizes *s);

/* Kernels are free of sanitizer checks, which would execute instructions and touch pages of their own. */
#define KNOWN_UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

#endif
