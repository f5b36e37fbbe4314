/* SPDX-License-Identifier: MIT
 * What a trial's GPU did when, as JSON: the events of the steps that are kept, which kernels took most of them, and its state
 * over an execution in as many points as a chart can show. Of each pass the first execution that has such rows. */
#include <math.h>
#include <string.h>

#include "cursor.h"
#include "document.h"

enum { POINTS_MAX = 2000, NAME_BYTES = 512 };

/* Few digits, so that a page with thousands of them stays small. */
static json_t *rounded(double v, double to)
{
    return document_number(round(v / to) * to);
}

/* --- events --------------------------------------------------------------------------------------------------------- */

/* A step's events on their way into the document. */
struct span {
    json_t *names, *events;
    int64_t repetition;
    int step;
    char pass[32];
    double end_us;
};

static void put_span(struct document *d, json_t *out, const struct span *s)
{
    const char *name = s->step == 0 ? "prefill" : s->step == 1 ? "first decode step" : "last decode step";

    if (!s->events)
        return;
    document_append(d, out,
                    json_pack("{s:s, s:o, s:i, s:o, s:o, s:o}", "span", name, "pass", document_text(s->pass, strlen(s->pass)),
                              "step", s->step, "ms", rounded(s->end_us / 1e3, 1e-6), "names", s->names, "events", s->events));
}

/* The index of a kernel's name in the span's list, which grows when it is new. */
static int name_index(struct document *d, json_t *names, const char *name)
{
    json_t *wanted = document_text(name, strlen(name)), *known;
    size_t i;

    json_array_foreach(names, i, known)
    {
        if (json_equal(known, wanted))
            break;
    }
    if (i == json_array_size(names))
        document_append(d, names, wanted);
    else
        json_decref(wanted);
    return (int)i;
}

static void add_event(struct document *d, struct span *s, const struct cursor *c)
{
    char kind[16], name[NAME_BYTES], op[16];
    double start = cursor_real(c, 7), took = cursor_real(c, 8);

    cursor_text(c, 3, kind, sizeof kind);
    cursor_text(c, 4, name, sizeof name);
    cursor_text(c, 5, op, sizeof op);
    s->end_us = fmax(s->end_us, start + took);
    document_append(d, s->events,
                    json_pack("[o, o, s, i, o, i]", rounded(start, 1e-3), rounded(took, 1e-3), kind,
                              name_index(d, s->names, name), op[0] ? document_text(op, strlen(op)) : json_null(),
                              cursor_int(c, 6)));
}

json_t *document_timeline(struct document *d, const struct rows_trial *t)
{
    struct cursor c = cursor_open(
        d->s,
        "SELECT r.pass, r.id, e.step, e.kind, e.name, e.op, e.layer, e.start_ns / 1e3, e.wall_ns / 1e3 FROM "
        "repetition r JOIN event e ON e.repetition = r.id WHERE r.id IN (SELECT min(q.id) FROM repetition q WHERE "
        "q.trial = ?1 AND q.warmup = 0 AND EXISTS (SELECT 1 FROM event x WHERE x.repetition = q.id) GROUP BY q.pass) "
        "ORDER BY r.id, e.step, e.ordinal",
        t->id, d->e);
    struct span s = {.step = -1};
    json_t *out = json_array();

    while (cursor_next(&c)) {
        if (cursor_int64(&c, 1) != s.repetition || cursor_int(&c, 2) != s.step) {
            put_span(d, out, &s);
            s = (struct span){json_array(), json_array(), cursor_int64(&c, 1), cursor_int(&c, 2), "", 0};
            cursor_text(&c, 0, s.pass, sizeof s.pass);
        }
        add_event(d, &s, &c);
    }
    put_span(d, out, &s);
    if (cursor_close(&c) < 0 && d->code == 0)
        d->code = c.code;
    return out;
}

/* Ten of prefill and ten of the last decode step that is kept. By op where some pass knows the ops; shares are of the step's
 * events. */
json_t *document_top_kernels(struct document *d, const struct rows_trial *t)
{
    return document_query(
        d,
        "WITH chosen(id) AS (SELECT q.id FROM repetition q WHERE q.trial = ?1 AND q.warmup = 0 AND EXISTS (SELECT 1 FROM event "
        "x "
        "WHERE x.repetition = q.id) ORDER BY q.pass <> 'op:time', q.id LIMIT 1), "
        "e AS (SELECT step > 0 AS decode, name, op, wall_ns FROM event WHERE repetition = (SELECT id FROM chosen) AND step IN "
        "(0, (SELECT max(step) FROM event WHERE repetition = (SELECT id FROM chosen)))), "
        "k AS (SELECT decode, name, op, count(*) AS n, sum(wall_ns) AS ns, row_number() OVER (PARTITION BY decode ORDER BY "
        "sum(wall_ns) DESC) AS place FROM e GROUP BY decode, name, op) "
        "SELECT name, op, iif(decode, 'decode', 'prefill') AS phase, n, ns / 1e6 AS ms, ns * 1.0 / (SELECT sum(wall_ns) FROM e "
        "WHERE e.decode = k.decode) AS share FROM k WHERE place <= 10 ORDER BY ns DESC, name, op",
        t->id);
}

/* --- samples --------------------------------------------------------------------------------------------------------- */

enum { QUANTITIES = 4 }; /* bytes read and written, shares of multiprocessors and of tensor cores */

/* Neighbouring samples taken together, each quantity over the time that it is known for. */
struct point {
    double at_ms, span_ns;
    double sum[QUANTITIES], known_ns[QUANTITIES];
    int samples;
};

static void add_sample(struct point *p, const struct cursor *c)
{
    double span = cursor_real(c, 1);

    if (p->samples++ == 0)
        p->at_ms = cursor_real(c, 0);
    p->span_ns += span;
    for (int i = 0; i < QUANTITIES; i++) {
        double v = cursor_real(c, 2 + i);
        if (isnan(v))
            continue;
        p->sum[i] += i < 2 ? v : v * span; /* bytes of the span, or a share of it */
        p->known_ns[i] += span;
    }
}

static void put_point(struct document *d, json_t *points, struct point *p)
{
    double mean[QUANTITIES];

    if (p->samples == 0)
        return;
    for (int i = 0; i < QUANTITIES; i++)
        mean[i] = p->sum[i] / p->known_ns[i]; /* bytes a nanosecond are GB/s; 0 / 0 is not known */
    document_append(d, points,
                    json_pack("[o, o, o, o, o, o]", rounded(p->at_ms, 1e-4), rounded(p->span_ns / 1e6, 1e-4),
                              rounded(mean[0], 0.1), rounded(mean[1], 0.1), rounded(mean[2], 1e-4), rounded(mean[3], 1e-4)));
    *p = (struct point){.samples = 0};
}

json_t *document_samples(struct document *d, const struct rows_trial *t)
{
    json_t *first = document_query_one(
        d,
        "SELECT r.id, r.prefill_ns / 1e6 AS prefill_ms, (SELECT count(*) FROM sample s WHERE s.repetition = r.id) AS n FROM "
        "repetition r WHERE r.trial = ?1 AND r.warmup = 0 AND EXISTS (SELECT 1 FROM sample s WHERE s.repetition = r.id) ORDER "
        "BY "
        "r.id LIMIT 1",
        t->id);
    int64_t n = json_integer_value(json_object_get(first, "n")), together = (n + POINTS_MAX - 1) / POINTS_MAX;
    struct point p = {.samples = 0};
    json_t *points, *out;

    if (n == 0)
        return first; /* null */
    points = json_array();
    struct cursor c = cursor_open(d->s,
                                  "SELECT at_ns / 1e6, span_ns, read_bytes, write_bytes, sm_active, tensor_active FROM sample "
                                  "WHERE repetition = ?1 ORDER BY at_ns",
                                  json_integer_value(json_object_get(first, "id")), d->e);
    while (cursor_next(&c)) {
        add_sample(&p, &c);
        if (p.samples == together)
            put_point(d, points, &p);
    }
    put_point(d, points, &p);
    if (cursor_close(&c) < 0 && d->code == 0)
        d->code = c.code;
    out = json_pack("{s:O, s:o}", "prefill_ms", json_object_get(first, "prefill_ms"), "points", points);
    json_decref(first);
    return out;
}
