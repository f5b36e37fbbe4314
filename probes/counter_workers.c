/* SPDX-License-Identifier: MIT
 * Counters belong to threads, so each worker of the team owns an event set and reads it itself, within team_run; the main
 * thread sums. That needs no attaching to other threads and works wherever counting works at all. The engine's products
 * run on these same workers (OpenBLAS uses one thread per caller), so no work escapes.
 *
 * The sets run from start to stop; a bracket is two reads per worker and their difference. Waiting for the others at the end of
 * a team_run is counted: it is what the workers did. */
#include "counter_workers.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "team.h"

/* Lines of its own for each worker, so that reading disturbs nobody. */
struct worker {
    _Alignas(128) struct counter_sample first;
    struct counter_sample last;
    struct counter_handle *handle;
    pid_t tid;
    const char *bad; /* why this bracket has no reading */
    struct known_room room;
    double work; /* done in that room */
};

struct counter_workers {
    const struct counter_layer *layer;
    int threads;
    bool started;
    struct counter_set set;
    struct worker *worker;
    pthread_mutex_t one_at_a_time; /* opening and closing: the library's look-up of names is not known to be safe */
    struct err first;              /* why the first of those that could not open their sets could not */
};

/* Broken counters were seen to return the true value + 2^47. */
static const double absurd = 70368744177664.0; /* 2^46 */

/* Entering and leaving a bracket alone takes more instructions, and cycles, than this. */
static const double least_executed = 100;

/* Starting and stopping are not at the same instant as reading the clock that tells it. */
static const double whole = 0.999;

int counter_workers_open(struct counter_workers **out, int threads, struct err *e)
{
    struct counter_workers *w = calloc(1, sizeof *w);
    size_t bytes = (size_t)threads * sizeof(struct worker);

    if (w)
        w->worker = aligned_alloc(_Alignof(struct worker), bytes);
    if (!w || !w->worker) {
        free(w);
        return err_set(e, ERR_MEMORY, "papi probe: out of memory for %d workers", threads);
    }
    for (int i = 0; i < threads; i++)
        w->worker[i] = (struct worker){0};
    w->threads = threads;
    pthread_mutex_init(&w->one_at_a_time, NULL);
    *out = w;
    return 0;
}

void counter_workers_close(struct counter_workers *w)
{
    if (!w)
        return;
    counter_workers_stop(w);
    pthread_mutex_destroy(&w->one_at_a_time);
    free(w->worker);
    free(w);
}

static void worker_start(void *workers, int worker)
{
    struct counter_workers *w = workers;
    struct worker *me = &w->worker[worker];
    struct err mine = {0};

    pthread_mutex_lock(&w->one_at_a_time);
    int rc = w->layer->set_open(&me->handle, w->set.event, w->set.events, &mine);
    me->tid = rc < 0 ? 0 : (pid_t)syscall(SYS_gettid);
    if (rc < 0 && !w->first.code)
        w->first = mine;
    pthread_mutex_unlock(&w->one_at_a_time);
}

static void worker_stop(void *workers, int worker)
{
    struct counter_workers *w = workers;
    struct worker *me = &w->worker[worker];

    pthread_mutex_lock(&w->one_at_a_time);
    if (me->tid)
        w->layer->set_close(me->handle);
    me->tid = 0;
    pthread_mutex_unlock(&w->one_at_a_time);
}

int counter_workers_start(struct counter_workers *w, const struct counter_layer *layer, const struct counter_set *s,
                          struct err *e)
{
    counter_workers_stop(w);
    w->layer = layer;
    w->set = *s;
    w->started = true;
    w->first = (struct err){0};
    team_run(w->threads, worker_start, w);
    if (!w->first.code)
        return 0;
    counter_workers_stop(w);
    return err_set(e, w->first.code, "%s", w->first.text);
}

void counter_workers_stop(struct counter_workers *w)
{
    if (!w->started)
        return;
    w->started = false;
    team_run(w->threads, worker_stop, w);
}

static void worker_begin(void *workers, int worker)
{
    const struct counter_workers *w = workers;
    struct worker *me = &w->worker[worker];

    me->bad = NULL;
    if (me->tid != (pid_t)syscall(SYS_gettid))
        me->bad = "the team's workers are not those that opened the counters";
    else if (w->layer->set_read(me->handle, &me->first) < 0)
        me->bad = "the counters could not be read: others hold them, or the set does not fit";
}

static void worker_end(void *workers, int worker)
{
    const struct counter_workers *w = workers;
    struct worker *me = &w->worker[worker];

    if (!me->bad && w->layer->set_read(me->handle, &me->last) < 0)
        me->bad = "the counters could not be read: others hold them, or the set does not fit";
}

/* For how much of the bracket the set really counted. */
static double coverage_of(const struct worker *me)
{
    const double enabled = (double)(me->last.enabled_ns - me->first.enabled_ns);

    return enabled > 0 ? (double)(me->last.running_ns - me->first.running_ns) / enabled : 1;
}

/* Sums a member over the workers, as counted: nothing is scaled up. One impossible difference must not hide in the sum: it
 * becomes the value. */
static struct value sum_member(const struct counter_workers *w, int member)
{
    enum metric m = w->set.member[member]->metric;
    struct value v = {.metric = m, .provenance = counter_provenance(m), .coverage = 1};
    double impossible = 0;

    for (int t = 0; t < w->threads; t++) {
        const struct worker *me = &w->worker[t];
        if (me->bad)
            return (struct value){.metric = m, .provenance = PROVENANCE_MISSING, .why = me->bad};
        v.coverage = fmin(v.coverage, coverage_of(me));
        for (int i = 0; i < w->set.events; i++) {
            double counted = (double)me->last.value[i] - (double)me->first.value[i];
            if (w->set.owner[i] != member)
                continue;
            if (counted < 0 || counted >= absurd)
                impossible = counted;
            v.value += w->set.weight[i] * counted;
        }
    }
    if (impossible != 0)
        v.value = impossible;
    if (v.coverage < whole)
        v.provenance = PROVENANCE_MULTIPLEXED;
    return v;
}

static void sum_up(const struct counter_workers *w, struct reading *out)
{
    out->count = w->set.members;
    for (int i = 0; i < out->count; i++)
        out->value[i] = sum_member(w, i);
}

void counter_workers_begin(struct counter_workers *w)
{
    team_run(w->threads, worker_begin, w);
}

void counter_workers_end(struct counter_workers *w, struct reading *out)
{
    team_run(w->threads, worker_end, w);
    sum_up(w, out);
}

struct known_run {
    struct counter_workers *w;
    const struct known *known;
    const struct known_room *room;
};

static void worker_run(void *run, int worker)
{
    const struct known_run *r = run;
    const struct known *k = r->known;
    struct worker *me = &r->w->worker[worker];

    me->room = *r->room;
    bool ready = !k->prepare || k->prepare(&me->room);
    worker_begin(r->w, worker);
    me->work = ready ? k->run(&me->room) : NAN;
    worker_end(r->w, worker);
    if (k->finish)
        k->finish(&me->room);
}

double counter_workers_run(struct counter_workers *w, const struct known *k, const struct known_room *room, struct reading *out)
{
    double work = 0;

    team_run(w->threads, worker_run, &(struct known_run){.w = w, .known = k, .room = room});
    for (int t = 0; t < w->threads; t++)
        work += w->worker[t].work;
    sum_up(w, out);
    return work;
}

double counter_workers_read_ns(const struct counter_workers *w)
{
    enum { BATCHES = 5, READS = 40 };
    struct counter_sample sample;
    double best = INFINITY;

    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t begin = clock_ns();
        for (int i = 0; i < READS; i++)
            if (w->layer->set_read(w->worker[0].handle, &sample) < 0)
                return NAN;
        best = fmin(best, (double)(clock_ns() - begin) / READS);
    }
    return best;
}

static const struct value *find_value(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m && r->value[i].provenance != PROVENANCE_MISSING)
            return &r->value[i];
    return NULL;
}

bool counter_plausible(const struct reading *r, const char **why)
{
    const struct value *cycles = find_value(r, METRIC_CYCLES), *instructions = find_value(r, METRIC_INSTRUCTIONS);

    *why = NULL;
    for (int i = 0; i < r->count; i++) {
        const struct value *v = &r->value[i];
        if (v->provenance == PROVENANCE_MISSING)
            continue; /* an absence, not a falsehood */
        if (v->provenance == PROVENANCE_MULTIPLEXED)
            *why = "the counters ran for a part of the bracket only: others use them too; nothing is scaled";
        else if (!(v->value >= 0))
            *why = "a counter went backwards";
        else if (v->value >= absurd)
            *why = "a counter shows 2^46 or more: it overflowed";
    }
    if (!*why && cycles && cycles->value < least_executed)
        *why = "next to no cycles, although code ran";
    if (!*why && instructions && instructions->value < least_executed)
        *why = "next to no instructions, although code ran";
    return !*why;
}
