/* SPDX-License-Identifier: MIT
 * What a trial's GPU was given and what it said of itself, as JSON: kernels a step, readings by phase, what slowed it. What ran
 * when is document_timeline.c's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "document.h"
#include "text.h"

static const char *const phases[] = {"prefill", "decode"};

/* The readings that are shown, as probes spell them, and their units. */
static const struct {
    const char *metric, *unit;
} shown[] = {
    {"kernels", ""},
    {"gpu_ns", "ns"},
    {"gpu_busy_ns", "ns"},
    {"flops_tensor", "FLOP"},
    {"flops_f32", "FLOP"},
    {"flops_f16", "FLOP"},
    {"dram_read_bytes", "B"},
    {"dram_write_bytes", "B"},
    {"l2_bytes", "B"},
    {"l1_bytes", "B"},
    {"gpu_hz", "Hz"},
    {"gpu_dram_hz", "Hz"},
    {"peak_dram_bps", "B/s"},
    {"peak_tensor_flops", "FLOP/s"},
    {"sm_active", "share"},
    {"warps_active", "share"},
    {"tensor_active", "share"},
    {"dram_active", "share"},
    {"gpu_power_w", "W"},
    {"gpu_utilization", "share"},
    {"gpu_memory_bytes", "B"},
    {"gpu_temperature_c", "C"},
};
enum { SHOWN = sizeof shown / sizeof *shown };

/* NVML's reasons why a clock is below its maximum, by bit. That the GPU was idle (bit 0) between two steps slows nothing. */
static const char *const reasons[] = {
    NULL,
    "application clocks",
    "power cap",
    "hardware slowdown",
    "sync boost",
    "thermal slowdown (software)",
    "thermal slowdown (hardware)",
    "power brake",
    "display clocks",
};
enum { REASONS = sizeof reasons / sizeof *reasons };

static const char *unit_of(const char *metric)
{
    int i = 0;

    while (i < SHOWN - 1 && strcmp(shown[i].metric, metric) != 0)
        i++;
    return shown[i].unit;
}

/* The rows of one metric, phase and probe, which the query gives one after the other. */
struct group {
    char metric[32], probe[32], provenance[16], why[256];
    bool decode;
    double *x;
    int n;
};

/* Of two probes that read the same the first that has a value stands; a reason only where none has. */
static void put_group(struct document *d, json_t *const readings[2], const struct group *g)
{
    const json_t *old = json_object_get(readings[g->decode], g->metric);

    if (!g->metric[0] || (old && (g->n == 0 || !json_is_null(json_object_get(old, "value")))))
        return;
    document_put(d, readings[g->decode], g->metric,
                 json_pack("{s:o, s:s, s:o, s:o}", "value", document_number(stats_median(g->x, g->n)), "unit",
                           unit_of(g->metric), "provenance", document_text(g->provenance, strlen(g->provenance)), "why",
                           g->n == 0 && g->why[0] ? document_text(g->why, strlen(g->why)) : json_null()));
}

/* The timeline knows best when the GPU worked, the counters what they count themselves. */
static struct cursor open_readings(struct document *d, int64_t trial)
{
    struct text sql = {0};

    text_puts(&sql,
              "SELECT g.metric, g.probe, g.step > 0 AS decode, g.value, g.provenance, g.why FROM repetition r JOIN reading "
              "g ON g.repetition = r.id WHERE r.trial = ?1 AND r.warmup = 0 AND r.prefill_ns IS NULL AND r.pass NOT LIKE "
              "'op:%' AND g.metric IN (");
    for (int i = 0; i < SHOWN; i++)
        text_printf(&sql, "%s'%s'", i ? ", " : "", shown[i].metric);
    text_puts(&sql, ") ORDER BY g.metric, decode, CASE g.probe WHEN 'trace' THEN 0 WHEN 'cupti' THEN 1 ELSE 2 END, g.probe, "
                    "g.value IS NULL");
    struct cursor c = cursor_open(d->s, sql.data, trial, d->e);
    text_free(&sql);
    return c;
}

static void put_readings(struct document *d, int64_t trial, json_t *const readings[2])
{
    struct cursor c = open_readings(d, trial);
    struct group g = {.n = 0};
    char metric[32], probe[32];

    while (cursor_next(&c)) {
        bool decode = cursor_int(&c, 2);
        double value = cursor_real(&c, 3);
        cursor_text(&c, 0, metric, sizeof metric);
        cursor_text(&c, 1, probe, sizeof probe);
        if (strcmp(metric, g.metric) != 0 || strcmp(probe, g.probe) != 0 || decode != g.decode) {
            put_group(d, readings, &g);
            memcpy(g.metric, metric, sizeof metric);
            memcpy(g.probe, probe, sizeof probe);
            g.decode = decode;
            g.n = 0;
            cursor_text(&c, 4, g.provenance, sizeof g.provenance);
            cursor_text(&c, 5, g.why, sizeof g.why);
        }
        double *more = isfinite(value) ? cursor_grow(&c, g.x, g.n, sizeof *more) : NULL;
        if (more)
            g.x = more;
        if (more)
            more[g.n++] = value;
    }
    put_group(d, readings, &g);
    free(g.x);
    if (cursor_close(&c) < 0 && d->code == 0)
        d->code = c.code;
}

/* All that were seen in any step of any execution. */
static json_t *slowed_json(struct document *d, int64_t trial)
{
    struct cursor c =
        cursor_open(d->s,
                    "SELECT DISTINCT CAST(g.value AS INTEGER) FROM repetition r JOIN reading g ON g.repetition = "
                    "r.id WHERE r.trial = ?1 AND r.warmup = 0 AND g.metric = 'gpu_slowed' AND g.value IS NOT NULL",
                    trial, d->e);
    json_t *out = json_array();
    int64_t seen = 0;

    while (cursor_next(&c))
        seen |= cursor_int64(&c, 0);
    for (int i = 1; i < REASONS; i++)
        if (seen >> i & 1)
            document_append(d, out, json_string(reasons[i]));
    if (cursor_close(&c) < 0 && d->code == 0)
        d->code = c.code;
    return out;
}

json_t *document_device(struct document *d, int trial)
{
    const struct rows_trial *t = &d->rows.trial[trial];
    const struct figures *f = &d->figures[trial];
    json_t *readings[2], *both, *o;

    if (!d->rows.device)
        return json_null();
    o = json_object();
    both = json_object();
    for (int p = 0; p < 2; p++)
        readings[p] = json_object();
    put_readings(d, t->id, readings);
    for (int p = 0; p < 2; p++)
        document_put(d, both, phases[p], readings[p]);
    document_put(d, o, "launches",
                 json_pack("{s:o, s:o}", "prefill", document_number(f->prefill.launches), "decode",
                           document_number(f->decode.launches)));
    document_put(d, o, "readings", both);
    document_put(d, o, "slowed", slowed_json(d, t->id));
    document_put(d, o, "timeline", document_timeline(d, t));
    document_put(d, o, "top_kernels", document_top_kernels(d, t));
    document_put(d, o, "samples", document_samples(d, t));
    return o;
}
