/* SPDX-License-Identifier: MIT
 * Counters belong to threads, so each worker of the team owns an event set and reads it itself, inside the parallel region; the
 * main thread sums. That needs no attaching to other threads and works wherever counting works at all. The engine's products
 * run on these same workers (OpenBLAS uses one thread per caller), so no work escapes.
 *
 * The sets run from start to stop; a bracket is two reads per worker and their difference. Waiting for the others at the end of
 * a parallel region is counted: it is what the workers did. */
#include "papi_workers.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A line of its own for each worker, so that reading disturbs nobody. */
struct papi_worker {
    _Alignas(128) long long first[PAPI_SET_EVENTS];
    long long last[PAPI_SET_EVENTS];
    int set;
    pid_t tid;
    const char *bad; /* why this bracket has no reading */
    struct papi_room room;
    double work;
};

struct papi_workers {
    const struct papi_layer *layer;
    int threads;
    bool started;
    struct papi_set set;
    struct papi_worker *worker;
};

/* Broken counters were seen to return the true value + 2^47. */
static const double absurd = 70368744177664.0; /* 2^46 */

/* Entering and leaving a bracket alone takes more instructions, and cycles, than this. */
static const double least_executed = 100;

bool papi_set_add(struct papi_set *s, const struct papi_candidate *c)
{
    if (s->members == PAPI_GROUP_METRICS || s->slots + c->slots > PAPI_GROUP_SLOTS)
        return false;
    for (int i = 0; i < PAPI_CANDIDATE_EVENTS && c->term[i].event; i++) {
        s->event[s->events] = c->term[i].event;
        s->weight[s->events] = c->term[i].weight;
        s->owner[s->events++] = s->members;
    }
    s->member[s->members++] = c;
    s->slots += c->slots;
    return true;
}

int papi_workers_open(struct papi_workers **out, const struct papi_layer *layer, int threads, struct err *e)
{
    struct papi_workers *w = calloc(1, sizeof *w);
    size_t bytes = (size_t)threads * sizeof(struct papi_worker);

    if (w)
        w->worker = aligned_alloc(_Alignof(struct papi_worker), bytes);
    if (!w || !w->worker) {
        free(w);
        return err_set(e, ERR_MEMORY, "papi probe: out of memory for %d workers", threads);
    }
    for (int i = 0; i < threads; i++)
        w->worker[i] = (struct papi_worker){0};
    w->layer = layer;
    w->threads = threads;
    *out = w;
    return 0;
}

void papi_workers_close(struct papi_workers *w)
{
    if (!w)
        return;
    papi_workers_stop(w);
    free(w->worker);
    free(w);
}

int papi_workers_start(struct papi_workers *w, const struct papi_set *s, const char **why)
{
    const char *first_why = NULL;

    papi_workers_stop(w);
    w->set = *s;
    w->started = true;
#pragma omp parallel num_threads(w->threads)
    {
        struct papi_worker *me = &w->worker[omp_get_thread_num()];
        const char *my_why = "unknown";
        /* One at a time: the library's look-up of names is not known to be safe, and this is not the measured path. */
#pragma omp critical(papi_open)
        {
            int rc = w->layer->set_open(&me->set, w->set.event, w->set.events, &my_why);
            me->tid = rc < 0 ? 0 : (pid_t)syscall(SYS_gettid);
            if (rc < 0 && !first_why)
                first_why = my_why;
        }
    }
    if (!first_why)
        return 0;
    papi_workers_stop(w);
    *why = first_why;
    return -1;
}

void papi_workers_stop(struct papi_workers *w)
{
    if (!w->started)
        return;
    w->started = false;
#pragma omp parallel num_threads(w->threads)
    {
        struct papi_worker *me = &w->worker[omp_get_thread_num()];
#pragma omp critical(papi_open)
        if (me->tid)
            w->layer->set_close(me->set);
        me->tid = 0;
    }
}

static void worker_begin(const struct papi_workers *w, struct papi_worker *me)
{
    me->bad = NULL;
    if (me->tid != (pid_t)syscall(SYS_gettid))
        me->bad = "the team's workers are not those that opened the counters";
    else if (w->layer->set_read(me->set, me->first) < 0)
        me->bad = "the counters could not be read";
}

static void worker_end(const struct papi_workers *w, struct papi_worker *me)
{
    if (!me->bad && w->layer->set_read(me->set, me->last) < 0)
        me->bad = "the counters could not be read";
}

/* Sums a member over the workers. One impossible difference must not hide in the sum: it becomes the value. */
static struct value sum_member(const struct papi_workers *w, int member)
{
    enum metric m = w->set.member[member]->metric;
    struct value v = {.metric = m, .provenance = papi_provenance(m), .coverage = 1};
    double impossible = 0;

    for (int t = 0; t < w->threads; t++) {
        const struct papi_worker *me = &w->worker[t];
        if (me->bad)
            return (struct value){.metric = m, .provenance = PROVENANCE_MISSING, .why = me->bad};
        for (int i = 0; i < w->set.events; i++) {
            double counted = (double)me->last[i] - (double)me->first[i];
            if (w->set.owner[i] != member)
                continue;
            if (counted < 0 || counted >= absurd)
                impossible = counted;
            v.value += w->set.weight[i] * counted;
        }
    }
    if (impossible != 0)
        v.value = impossible;
    return v;
}

static void sum_up(const struct papi_workers *w, struct reading *out)
{
    out->count = w->set.members;
    for (int i = 0; i < out->count; i++)
        out->value[i] = sum_member(w, i);
}

void papi_workers_begin(struct papi_workers *w)
{
#pragma omp parallel num_threads(w->threads)
    worker_begin(w, &w->worker[omp_get_thread_num()]);
}

void papi_workers_end(struct papi_workers *w, struct reading *out)
{
#pragma omp parallel num_threads(w->threads)
    worker_end(w, &w->worker[omp_get_thread_num()]);
    sum_up(w, out);
}

double papi_workers_run(struct papi_workers *w, const struct papi_known *k, struct reading *out)
{
    size_t bytes = k->bytes ? k->bytes(w->threads) : 0;
    double work = 0;

#pragma omp parallel num_threads(w->threads) reduction(+ : work)
    {
        struct papi_worker *me = &w->worker[omp_get_thread_num()];

        me->room = (struct papi_room){.bytes = bytes};
        bool ready = !k->prepare || k->prepare(&me->room);
        worker_begin(w, me);
        work += ready ? k->run(&me->room) : NAN;
        worker_end(w, me);
        if (k->finish)
            k->finish(&me->room);
    }
    sum_up(w, out);
    return work;
}

static const struct value *find_value(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m && r->value[i].provenance != PROVENANCE_MISSING)
            return &r->value[i];
    return NULL;
}

bool papi_plausible(const struct reading *r, const char **why)
{
    const struct value *cycles = find_value(r, METRIC_CYCLES), *instructions = find_value(r, METRIC_INSTRUCTIONS);

    *why = NULL;
    for (int i = 0; i < r->count; i++) {
        const struct value *v = &r->value[i];
        if (v->provenance == PROVENANCE_MISSING)
            continue; /* an absence, not a falsehood */
        if (!(v->value >= 0))
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
