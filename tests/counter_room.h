/* SPDX-License-Identifier: MIT
 * A counting machine with a fault of one's choice under the papi probe: its event file and its known work are made here, so
 * that every fault can be had on every machine. For programs that include it once. */
#ifndef BENCH_COUNTER_ROOM_H
#define BENCH_COUNTER_ROOM_H

#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate_machine.h"
#include "probe_list.h"
#include "team.h"

enum { THREADS_MAX = 2 };

static struct team team;

enum fault {
    RIGHT,
    ZERO,        /* every counter stays at 0 */
    FROZEN,      /* every counter stays at some number */
    HALF,        /* as when a worker is not counted */
    BACKWARDS,   /* totals fall */
    OVERFLOWED,  /* value + 2^47 at the end of a bracket */
    BALANCED,    /* one worker's overflow hides another's fall */
    SPELL,       /* overflowed for the first brackets, then right */
    DROPS,       /* every fifth bracket reads as nothing */
    DEAF,        /* the read fails */
    SWAPPED,     /* two events in one set change places */
    CROWDED,     /* the second event of a set shows 3 */
    SHARED,      /* somebody else has the counters for a third of the time */
    NO_HARDWARE, /* only the kernel's software events */
    PAPI_GONE,   /* the library does not start */
};

/* What this thread's processor has really done. */
static _Thread_local double done[METRIC_COUNT];

struct counter_handle {
    enum metric metric[COUNTER_EVENTS];
    double wrong[COUNTER_EVENTS]; /* an event that counts so much of its metric */
    int events, reads, number;
    bool raw;
};

static struct {
    enum fault fault;
    int sets, open;
} machine;

/* part: how much of its metric an event counts. */
static const struct {
    const char *event;
    enum metric metric;
    double part;
    bool software;
} events_there[] = {
    {"FLOPS", METRIC_FLOPS, 1, false},
    {"FLOPS_WIDE", METRIC_FLOPS, 1, false},
    {"F32", METRIC_FLOPS_F32, 1, false},
    {"F64", METRIC_FLOPS_F64, 1, false},
    {"FILLS", METRIC_DRAM_READ_BYTES, 1, false},
    {"CYCLES", METRIC_CYCLES, 1, false},
    {"INSTRUCTIONS", METRIC_INSTRUCTIONS, 1, false},
    {"cpu/0xc0/", METRIC_INSTRUCTIONS, 1, false},
    {"cpu/0x3/", METRIC_FLOPS, 1, false},
    {"FAULTS", METRIC_PAGE_FAULTS_MINOR, 1, true},
    {"software/5/", METRIC_PAGE_FAULTS_MINOR, 1, true},
    {"HALF_THE_FLOPS", METRIC_FLOPS, 0.5, false},
};

static int machine_init(const char *nearest_pmu, struct counter_machine *m, struct err *e)
{
    (void)nearest_pmu;
    *m = (struct counter_machine){.pmu = "test"};
    if (machine.fault == PAPI_GONE)
        return err_set(e, ERR_ABSENT, "the library does not start");
    if (machine.fault == NO_HARDWARE)
        strcpy(m->no_hardware, "no hardware counters: none was built in");
    return 0;
}

static int raw_machine_init(const char *nearest_pmu, struct counter_machine *m, struct err *e)
{
    const enum fault fault = machine.fault;

    machine.fault = fault == PAPI_GONE ? RIGHT : fault;
    int code = machine_init(nearest_pmu, m, e);
    machine.fault = fault;
    return code;
}

static bool is_there(size_t event, const char *name)
{
    return strcmp(name, events_there[event].event) == 0 && (machine.fault != NO_HARDWARE || events_there[event].software);
}

static int machine_set_open(struct counter_handle **out, const char *const *events, int count, struct err *e)
{
    struct counter_handle *h = calloc(1, sizeof *h);

    assert_true(h && count <= COUNTER_EVENTS);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof events_there / sizeof events_there[0]; k++)
            if (is_there(k, events[i])) {
                h->metric[h->events] = events_there[k].metric;
                h->wrong[h->events++] = events_there[k].part;
            }
    if (h->events < count) {
        free(h);
        return err_set(e, ERR_ABSENT, "no such event");
    }
    h->number = machine.sets++;
    machine.open++;
    *out = h;
    return 0;
}

static double machine_counter(const struct counter_handle *h, int event)
{
    const double true_value = done[h->metric[event]] * h->wrong[event];
    const bool ends = h->reads % 2 == 1; /* brackets are two reads */

    switch (machine.fault) {
    case ZERO:
        return 0;
    case FROZEN:
        return 123456;
    case HALF:
        return true_value / 2;
    case BACKWARDS:
        return -true_value;
    case OVERFLOWED:
        return ends ? true_value + 140737488355328.0 : true_value;
    case BALANCED:
        return ends ? true_value + (h->number % 2 ? 1 : -1) * 140737488355328.0 : true_value;
    case SPELL:
        return ends && h->reads < 4 ? true_value + 140737488355328.0 : true_value;
    case DROPS:
        return h->reads / 2 % 5 == 1 ? 0 : true_value;
    case CROWDED:
        return event == 1 ? (ends ? 3 : 0) : true_value;
    case SHARED:
        return true_value * 2 / 3;
    default:
        return true_value;
    }
}

static int machine_set_read(struct counter_handle *h, struct counter_sample *out)
{
    if (machine.fault == DEAF)
        return -1;
    for (int i = 0; i < h->events; i++)
        out->value[machine.fault == SWAPPED ? h->events - 1 - i : i] = (long long)machine_counter(h, i);
    h->reads++;
    out->enabled_ns = (uint64_t)h->reads * 3000;
    out->running_ns = (uint64_t)h->reads * (machine.fault == SHARED ? 2000 : 3000);
    return 0;
}

static void machine_set_close(struct counter_handle *h)
{
    free(h);
    machine.open--;
}

/* All work executes instructions and takes time. */
static double work(enum metric m, double amount)
{
    done[METRIC_CYCLES] += 50000;
    done[METRIC_INSTRUCTIONS] += 70000;
    done[m] += m == METRIC_DRAM_READ_BYTES ? amount / 64 : amount;
    if (m == METRIC_FLOPS_F32 || m == METRIC_FLOPS_F64)
        done[METRIC_FLOPS] += amount;
    return amount;
}

static double do_f32(struct known_room *room)
{
    (void)room;
    return work(METRIC_FLOPS_F32, 1e6);
}

static __attribute__((unused)) void do_f32_on(void *unused, int worker)
{
    (void)unused, (void)worker;
    do_f32(NULL);
}

static double do_f64(struct known_room *room)
{
    (void)room;
    return work(METRIC_FLOPS_F64, 2e6);
}

static double do_bytes(struct known_room *room)
{
    (void)room;
    return work(METRIC_DRAM_READ_BYTES, 64e6);
}

static double do_faults(struct known_room *room)
{
    (void)room;
    return work(METRIC_PAGE_FAULTS_MINOR, 512);
}

static double do_cycles(struct known_room *room)
{
    (void)room;
    return work(METRIC_CYCLES, 10e6);
}

static double do_instructions(struct known_room *room)
{
    (void)room;
    return work(METRIC_INSTRUCTIONS, 20e6);
}

static const struct known machine_known[] = {
    {.name = "f32",
     .run = do_f32,
     .expect = {{METRIC_FLOPS, 1, true}, {METRIC_FLOPS_F32, 1, true}, {METRIC_FLOPS_F64, 0, true}}},
    {.name = "f64",
     .run = do_f64,
     .expect = {{METRIC_FLOPS, 1, true}, {METRIC_FLOPS_F64, 1, true}, {METRIC_FLOPS_F32, 0, true}}},
    {.name = "bytes", .run = do_bytes, .expect = {{METRIC_DRAM_READ_BYTES, 1, true}, {METRIC_FLOPS, 0, false}}},
    {.name = "faults", .run = do_faults, .expect = {{METRIC_PAGE_FAULTS_MINOR, 1, true}}},
    {.name = "cycles", .run = do_cycles, .expect = {{METRIC_CYCLES, 1, true}}},
    {.name = "instructions", .run = do_instructions, .expect = {{METRIC_INSTRUCTIONS, 1, true}}},
    {.name = NULL},
};
static const struct known *const machine_tables[] = {machine_known, NULL};

static const struct counter_layer machine_layer = {
    .init = machine_init,
    .set_open = machine_set_open,
    .set_read = machine_set_read,
    .set_close = machine_set_close,
};

static const struct counter_layer raw_machine_layer = {
    .init = raw_machine_init,
    .set_open = machine_set_open,
    .set_read = machine_set_read,
    .set_close = machine_set_close,
};

#define EVENTS_HEAD "cpu any\ncounters 4\nabout\nA machine of this test's.\nend\n"
#define EVENTS_TAIL                                                                                                            \
    "quantity dram_read_bytes\npapi takes 1\n64 x FILLS\nfrom here\n"                                                          \
    "quantity cycles\npapi takes 1\n1 x CYCLES\nfrom here\n"                                                                   \
    "quantity instructions\npapi takes 1\n1 x INSTRUCTIONS\nfrom here\nraw takes 1\n1 x cpu/0xc0/\nfrom here\n"                \
    "quantity page_faults_minor\npapi takes 0\n1 x FAULTS\nfrom here\nraw takes 0\n1 x software/5/\nfrom here\n"
#define EVENTS_FLOPS "quantity flops\npapi takes 2\n1 x FLOPS\nfrom here\nraw takes 2\n1 x cpu/0x3/\nfrom here\n"

/* The usual events of the machine, unless a test brings a file of its own. */
static const char usual_events[] = EVENTS_HEAD EVENTS_FLOPS EVENTS_TAIL;
static struct event_file machine_events;

static struct counter_setup machine_setup(enum fault fault, const char *events)
{
    struct err e = {0};

    memset(&machine, 0, sizeof machine);
    machine.fault = fault;
    if (event_file_parse(&machine_events, "test", events, &e) < 0)
        fail_msg("%s", e.text);
    return (struct counter_setup){
        .layer = {[EVENT_PAPI] = &machine_layer, [EVENT_RAW] = &raw_machine_layer},
        .events = &machine_events,
        .known = machine_tables,
    };
}

static int open_events(enum fault fault, const char *events, struct probe **out, struct err *e)
{
    const struct probe_args args = {.threads = team.threads};
    const struct counter_setup setup = machine_setup(fault, events);

    return papi_open_on(&setup, out, &args, e);
}

static __attribute__((unused)) int open_with(enum fault fault, struct probe **out, struct err *e)
{
    return open_events(fault, usual_events, out, e);
}

static struct papi_quantity quantity_of(const struct probe *p, enum metric m)
{
    const struct papi_quantity *q;
    int n = papi_quantities(p, &q);

    for (int i = 0; i < n; i++)
        if (q[i].metric == m)
            return q[i];
    fail_msg("no quantity %s", metric_name(m));
    return *q;
}

static __attribute__((unused)) const char *group_of(const struct probe *p, enum metric m)
{
    struct papi_quantity q = quantity_of(p, m);

    assert_true(q.accepted);
    return p->ops->group_name(p, q.group);
}

static int start_team(void **state)
{
    int most = team_max_threads();

    (void)state;
    return team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL, NULL);
}

#endif
