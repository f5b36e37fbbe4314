/* SPDX-License-Identifier: MIT
 * An event file (events/README.md): which counter events may stand for which quantity on one family of CPUs. A quantity has
 * several candidates in order of preference; a candidate is a weighted sum of events of one layer. The parser is strict: a line
 * that it does not understand is an error with its place, for a wrong event is worse than none. */
#ifndef BENCH_EVENT_FILE_H
#define BENCH_EVENT_FILE_H

#include <stdbool.h>

#include "cpu_id.h"
#include "probe.h"

enum {
    EVENT_TERMS = 6,
    EVENT_CANDIDATES = 48, /* of a file, generic ones added */
    EVENT_CPUS = 8,
    EVENT_RANGES = 12,
    EVENT_APART = 4,
    EVENT_NAME = 160,
};

/* Who counts an event. */
enum event_layer { EVENT_PAPI, EVENT_RAW, EVENT_LAYERS };
const char *event_layer_name(enum event_layer layer); /* "papi", "raw" */

struct event_term {
    double weight;
    char event[EVENT_NAME];
};

struct event_candidate {
    enum metric metric;
    enum event_layer layer;
    struct event_term term[EVENT_TERMS];
    int terms;
    int slots;        /* hardware counters that it occupies together; fixed counters and software events take none */
    char name[192];   /* for the record: "64 x A", "E: 1 x A + 4 x B" */
    char source[192]; /* where its names and encodings come from */
};

struct event_range {
    unsigned from, to;
};

/* One line of CPUs. any: every CPU there is. */
struct event_cpu {
    bool any;
    char vendor[16];
    struct event_range family;              /* Arm: the implementer */
    struct event_range model[EVENT_RANGES]; /* Arm: the part; none: all */
    int models;
};

struct event_file {
    const char *name; /* the caller's: "amd_zen4" */
    struct event_cpu cpu[EVENT_CPUS];
    int cpus;
    char pmu[48]; /* libpfm's name of the family, to be forced where libpfm does not know the CPU; empty: do not */
    int counters; /* hardware counters that a group may occupy */
    enum metric apart[EVENT_APART][2]; /* quantities that must not be counted together */
    int aparts;
    const char *about; /* the description: about_len bytes of the caller's text */
    int about_len;
    struct event_candidate candidate[EVENT_CANDIDATES];
    int candidates;
    char none[METRIC_COUNT][192]; /* why a quantity has no event here; empty when it has or is not spoken of */
};

/* `text` must live as long as the file. ERR_FORMAT: "<name>:<line>: sentence". */
int event_file_parse(struct event_file *out, const char *name, const char *text, struct err *e);

bool event_file_is_for(const struct event_file *f, const struct cpu_id *cpu);

/* A raw event: "cpu/0x1f03/", "cpu/0x12a,0x73c004477/" (config, config1), "software/5/", "cpu_core/0xc0/". */
struct event_raw {
    char pmu[24]; /* "cpu", "hardware", "software", or a name of /sys/bus/event_source/devices */
    unsigned long long config, config1;
};
bool event_raw_parse(struct event_raw *out, const char *event);

#endif
