/* SPDX-License-Identifier: MIT
 * A handful of ordered queries, each read once: trials, then repetitions in the order of their trials, then steps and readings
 * in the order of their repetitions, so that a cursor finds each row's place without a search. Rows of a killed run may end
 * anywhere; nothing here expects completeness. */
#include "rows.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "stats.h"
#include "text.h"

static const char *const part_names[ROWS_PARTS] = {
    [ROWS_PART_FLOPS] = "flops",   [ROWS_PART_TENSOR] = "flops_tensor",   [ROWS_PART_F32] = "flops_f32",
    [ROWS_PART_F16] = "flops_f16", [ROWS_PART_BYTES] = "dram_read_bytes",
};

const enum rows_metric rows_part_metric[ROWS_PARTS] = {[ROWS_PART_BYTES] = ROWS_BYTES}; /* all others are FLOPs */

int rows_part_of(const char *reading)
{
    int p = 0;

    while (p < ROWS_PARTS && strcmp(part_names[p], reading) != 0)
        p++;
    return p;
}

double rows_whole(enum rows_metric m, const double part[ROWS_PARTS])
{
    double half = part[ROWS_PART_F16];

    if (m == ROWS_BYTES)
        return part[ROWS_PART_BYTES];
    if (isfinite(part[ROWS_PART_FLOPS]))
        return part[ROWS_PART_FLOPS];
    return part[ROWS_PART_TENSOR] + part[ROWS_PART_F32] + (isfinite(half) ? half : 0);
}

static int load_run(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(s,
                                  "SELECT threads, tokenize_ns / 1e6, CASE WHEN json_valid(prompt_tokens) THEN "
                                  "json_array_length(prompt_tokens) ELSE 0 END, backend = 'cuda' FROM run WHERE id = ?1",
                                  out->run, e);

    if (cursor_next(&c)) {
        out->threads = cursor_int(&c, 0);
        out->tokenize_ms = cursor_real(&c, 1);
        out->prompt_ids = cursor_int(&c, 2);
        out->device = cursor_int(&c, 3);
    } else if (c.code == 0) {
        c.code = err_set(e, ERR_USAGE, "no run %lld in this database", (long long)out->run);
    }
    return cursor_close(&c);
}

/* The schema lets no other words in; a column that is NULL is text of no length. */
static void read_axes(struct rows_trial *t, const struct rows *r, const struct cursor *c, int column)
{
    char word[AXIS_TEXT];

    for (int a = 0; a < AXIS_COUNT; a++) {
        cursor_text(c, column + a, word, sizeof word);
        t->recorded[a] = word[0] != 0;
        t->axis[a] = word[0] ? cursor_int(c, column + a) : rows_usual(r, (enum axis)a);
        if (axes[a].words && word[0])
            axis_value((enum axis)a, word, &t->axis[a]);
    }
}

enum { TRIAL_COLUMNS = 11 }; /* before the axes */

static struct cursor open_trials(struct rows *out, struct store *s, struct err *e)
{
    struct text sql = {0};

    text_puts(&sql, "SELECT t.id, coalesce(t.unconverged, -1), t.rows, t.arithmetic, t.weight_bytes, coalesce(a.positions, 0), "
                    "a.max_error, a.mean_error, a.spread, a.top1, t.attention_arithmetic");
    for (int a = 0; a < AXIS_COUNT; a++)
        text_printf(&sql, ", t.%s", axes[a].name);
    text_puts(&sql, " FROM trial t LEFT JOIN accuracy a ON a.trial = t.id WHERE t.run = ?1 ORDER BY t.ordinal");
    struct cursor c = cursor_open(s, sql.data, out->run, e);
    text_free(&sql);
    return c;
}

static int load_trials(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = open_trials(out, s, e);

    while (cursor_next(&c)) {
        struct rows_trial *more = cursor_grow(&c, out->trial, out->trials, sizeof *more);
        if (!more)
            break;
        out->trial = more;
        struct rows_trial *t = &more[out->trials++];
        t->id = cursor_int64(&c, 0);
        t->unconverged = cursor_int(&c, 1);
        t->rows = cursor_int(&c, 2);
        cursor_text(&c, 3, t->arithmetic, sizeof t->arithmetic);
        t->weight_bytes = cursor_real(&c, 4);
        t->accuracy = (struct store_accuracy){cursor_int(&c, 5), cursor_real(&c, 6), cursor_real(&c, 7), cursor_real(&c, 8),
                                              cursor_real(&c, 9)};
        cursor_text(&c, 10, t->attention_arithmetic, sizeof t->attention_arithmetic);
        read_axes(t, out, &c, TRIAL_COLUMNS);
        int steps = t->axis[AXIS_NEW_TOKENS];
        if (steps < 1 || steps > ROWS_STEPS_MAX) {
            c.code = err_set(e, ERR_FORMAT, "run %lld: a trial of %d new tokens cannot be", (long long)out->run, steps);
            break;
        }
        t->predicted = malloc((size_t)steps * sizeof *t->predicted);
        if (!t->predicted) {
            cursor_out_of_memory(&c);
            break;
        }
        for (int i = 0; i < steps; i++)
            t->predicted[i] = (struct rows_prediction){{NAN, NAN}, NAN};
    }
    return cursor_close(&c);
}

static struct rows_trial *trial_by_id(const struct rows *r, int64_t id)
{
    for (int i = 0; i < r->trials; i++)
        if (r->trial[i].id == id)
            return &r->trial[i];
    return NULL;
}

static int load_predictions(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(s,
                                  "SELECT p.trial, p.step, p.flops, p.weight_bytes + p.kv_read_bytes, p.roof_ns / 1e6 "
                                  "FROM prediction p JOIN trial t ON t.id = p.trial WHERE t.run = ?1",
                                  out->run, e);

    while (cursor_next(&c)) {
        struct rows_trial *t = trial_by_id(out, cursor_int64(&c, 0));
        int step = cursor_int(&c, 1);
        if (!t || step < 0 || step >= t->axis[AXIS_NEW_TOKENS])
            continue;
        double roof = cursor_real(&c, 4);
        t->predicted[step] = (struct rows_prediction){{cursor_real(&c, 2), cursor_real(&c, 3)},
                                                      roof > 0 ? roof : NAN}; /* 0: roofs unknown then */
    }
    return cursor_close(&c);
}

static int find_pass(const struct rows *r, const char *name)
{
    for (int i = 0; i < r->passes; i++)
        if (strcmp(r->pass[i], name) == 0)
            return i;
    return -1;
}

static int pass_index(struct rows *out, struct cursor *c, const char *name)
{
    int found = find_pass(out, name);

    if (found >= 0)
        return found;
    char(*more)[sizeof *out->pass] = cursor_grow(c, out->pass, out->passes, sizeof *more);
    if (!more)
        return 0;
    out->pass = more;
    snprintf(more[out->passes], sizeof *more, "%s", name);
    return out->passes++;
}

static int load_repetitions(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(s,
                                  "SELECT r.trial, r.id, r.pass, r.warmup, r.tokens_hash, r.started_ns, r.ordinal, "
                                  "r.prefill_ns / 1e6, r.wall_ns / 1e6, row_number() OVER (ORDER BY r.id) - "
                                  "row_number() OVER (PARTITION BY r.trial ORDER BY r.id) AS visit, r.page_faults_minor + "
                                  "r.page_faults_major FROM repetition r "
                                  "JOIN trial t ON t.id = r.trial WHERE t.run = ?1 ORDER BY t.ordinal, r.id",
                                  out->run, e);
    char pass[32];

    pass_index(out, &c, "time");
    while (cursor_next(&c)) {
        struct rows_trial *t = trial_by_id(out, cursor_int64(&c, 0));
        struct rows_repetition *more = t ? cursor_grow(&c, t->rep, t->reps, sizeof *more) : NULL;
        if (!more)
            continue;
        t->rep = more;
        struct rows_repetition *r = &more[t->reps++];
        r->id = cursor_int64(&c, 1);
        cursor_text(&c, 2, pass, sizeof pass);
        r->pass = pass_index(out, &c, pass);
        r->warmup = cursor_int(&c, 3);
        cursor_text(&c, 4, r->tokens_hash, sizeof r->tokens_hash);
        r->started_ns = cursor_int64(&c, 5);
        r->ordinal = cursor_int(&c, 6);
        r->visit = cursor_int(&c, 9);
        r->lump[0] = cursor_real(&c, 7);
        r->lump[1] = cursor_real(&c, 8) - r->lump[0];
        r->energy[0] = r->energy[1] = NAN;
        r->faults = cursor_real(&c, 10);
        r->ms = cursor_nans(&c, t->axis[AXIS_NEW_TOKENS]);
        r->sample_ms = cursor_nans(&c, t->axis[AXIS_NEW_TOKENS]);
    }
    out->bare = find_pass(out, "bare");
    return cursor_close(&c);
}

/* Walks trials and repetitions in the order of the queries. */
struct place {
    int trial, rep;
};

static struct rows_repetition *place_find(const struct rows *r, struct place *at, int64_t id)
{
    for (; at->trial < r->trials; at->trial++, at->rep = 0)
        for (; at->rep < r->trial[at->trial].reps; at->rep++)
            if (r->trial[at->trial].rep[at->rep].id == id)
                return &r->trial[at->trial].rep[at->rep];
    return NULL;
}

/* Sets a step's value in an array that is there from its first value on. */
static void set_step(struct cursor *c, double **array, const struct rows_trial *t, int step, double value)
{
    if (!*array && isfinite(value))
        *array = cursor_nans(c, t->axis[AXIS_NEW_TOKENS]);
    if (*array)
        (*array)[step] = value;
}

static int load_steps(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(
        s,
        "SELECT r.id, s.step, s.wall_ns / 1e6, s.sample_ns / 1e6, s.launches FROM trial t JOIN repetition r ON r.trial = t.id "
        "JOIN step s ON s.repetition = r.id WHERE t.run = ?1 ORDER BY t.ordinal, r.id",
        out->run, e);
    struct place at = {0};

    while (cursor_next(&c)) {
        struct rows_repetition *r = place_find(out, &at, cursor_int64(&c, 0));
        int step = cursor_int(&c, 1);
        if (!r || step < 0 || step >= out->trial[at.trial].axis[AXIS_NEW_TOKENS])
            continue;
        r->ms[step] = cursor_real(&c, 2);
        r->sample_ms[step] = cursor_real(&c, 3);
        set_step(&c, &r->launches, &out->trial[at.trial], step, cursor_real(&c, 4));
    }
    return cursor_close(&c);
}

/* The parts of FLOPs that a CPU's counters may tell beside their whole are only of interest on a GPU. */
static bool explains(const struct rows *r, int part)
{
    return part == ROWS_PART_FLOPS || part == ROWS_PART_BYTES || (r->device && part != ROWS_PART_F16);
}

static struct cursor open_readings(struct rows *out, struct store *s, struct err *e)
{
    struct text sql = {0};

    text_puts(&sql,
              "SELECT r.id, g.step, g.metric, g.value, g.provenance = 'multiplexed', g.why FROM trial t JOIN repetition r "
              "ON r.trial = t.id JOIN reading g ON g.repetition = r.id WHERE t.run = ?1 AND r.prefill_ns IS NULL AND "
              "g.metric IN (");
    for (int p = 0; p < ROWS_PARTS; p++)
        text_printf(&sql, "%s'%s'", p ? ", " : "", part_names[p]);
    text_puts(&sql, ") ORDER BY t.ordinal, r.id");
    struct cursor c = cursor_open(s, sql.data, out->run, e);
    text_free(&sql);
    return c;
}

static int load_readings(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = open_readings(out, s, e);
    struct place at = {0};
    char name[32];

    while (cursor_next(&c)) {
        struct rows_repetition *r = place_find(out, &at, cursor_int64(&c, 0));
        if (!r)
            continue;
        struct rows_trial *t = &out->trial[at.trial];
        cursor_text(&c, 2, name, sizeof name);
        int step = cursor_int(&c, 1), part = rows_part_of(name), m = rows_part_metric[part];
        double value = cursor_real(&c, 3);
        if (step < 0 || step >= t->axis[AXIS_NEW_TOKENS])
            continue;
        if (isnan(value) && !t->why[m][0] && explains(out, part))
            cursor_text(&c, 5, t->why[m], sizeof t->why[m]);
        if (isnan(value))
            continue;
        set_step(&c, &r->part[part], t, step, value);
        t->multiplexed[m] |= explains(out, part) && cursor_int(&c, 4);
    }
    return cursor_close(&c);
}

/* Of a phase whose every step has a reading; 0 J is a meter that has not moved yet. Of a GPU's board where it was measured (of
 * the two spellings the larger), else of the CPU packages. */
static int load_energy(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(
        s,
        "WITH e AS (SELECT t.ordinal, r.id, g.step > 0 AS decode, g.metric, g.value, t.new_tokens FROM trial t JOIN repetition "
        "r "
        "ON r.trial = t.id JOIN reading g ON g.repetition = r.id WHERE t.run = ?1 AND g.metric IN ('energy_j', "
        "'gpu_energy_j')) SELECT id, decode, nullif(sum(value), 0), count(value), new_tokens, metric = 'gpu_energy_j' FROM e "
        "WHERE metric = (SELECT max(metric) FROM e WHERE value IS NOT NULL) GROUP BY ordinal, id, decode ORDER BY ordinal, id",
        out->run, e);
    struct place at = {0};

    while (cursor_next(&c)) {
        struct rows_repetition *r = place_find(out, &at, cursor_int64(&c, 0));
        bool decode = cursor_int(&c, 1);
        if (r && cursor_int(&c, 3) == (decode ? cursor_int(&c, 4) - 1 : 1))
            r->energy[decode] = cursor_real(&c, 2);
        out->board_energy = cursor_int(&c, 5);
    }
    return cursor_close(&c);
}

static int load_caches(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(s, "SELECT level, bytes FROM cache WHERE run = ?1 ORDER BY bytes", out->run, e);

    while (cursor_next(&c) && out->caches < ROWS_CACHES) {
        struct rows_cache *cache = &out->cache[out->caches++];
        cursor_text(&c, 0, cache->level, sizeof cache->level);
        cache->bytes = cursor_real(&c, 1);
    }
    return cursor_close(&c);
}

static struct rows_roof *roof_add(struct rows *out, struct cursor *c)
{
    struct rows_roof *more;
    char name[sizeof more->name];

    cursor_text(c, 0, name, sizeof name);
    for (int i = 0; i < out->roofs; i++)
        if (strcmp(out->roof[i].name, name) == 0 && out->roof[i].threads == cursor_int(c, 3))
            return &out->roof[i];
    more = cursor_grow(c, out->roof, out->roofs, sizeof *more);
    if (!more)
        return NULL;
    out->roof = more;
    struct rows_roof *r = &more[out->roofs++];
    memcpy(r->name, name, sizeof name);
    cursor_text(c, 1, r->kind, sizeof r->kind);
    cursor_text(c, 2, r->level, sizeof r->level);
    r->threads = cursor_int(c, 3);
    cursor_text(c, 4, r->how, sizeof r->how);
    return r;
}

static int load_roofs(struct rows *out, struct store *s, struct err *e)
{
    struct cursor c = cursor_open(
        s, "SELECT name, kind, level, threads, how, round, value, at_ns FROM roof WHERE run = ?1 ORDER BY id", out->run, e);

    while (cursor_next(&c)) {
        struct rows_roof *roof = roof_add(out, &c);
        struct rows_round *more = roof ? cursor_grow(&c, roof->round, roof->rounds, sizeof *more) : NULL;
        if (!more)
            continue;
        roof->round = more;
        more[roof->rounds++] =
            (struct rows_round){.round = cursor_int(&c, 5), .value = cursor_real(&c, 6), .at_ns = cursor_int64(&c, 7)};
    }
    return cursor_close(&c);
}

/* A refused calibration says best why a metric was not counted; otherwise whatever part of the counters was absent. */
static int load_why(struct rows *out, struct store *s, enum rows_metric m, struct err *e)
{
    const char *name = m == ROWS_BYTES ? "dram_read_bytes" : "flops", *probe = out->device ? "cupti" : "papi";
    const char *parts = m == ROWS_BYTES || !out->device ? "" : ", 'flops_tensor', 'flops_f32'";
    char sql[512];

    snprintf(
        sql, sizeof sql,
        "SELECT why FROM (SELECT 1 AS rank, id, event || ' on ' || kernel || ': ' || why AS why FROM calibration "
        "WHERE run = ?1 AND metric IN ('%s'%s) AND accepted = 0 "
        "UNION ALL SELECT 2, rowid, what || ': ' || why FROM absent "
        "WHERE run = ?1 AND (what LIKE '%%%s%%' OR what LIKE '%%%s%%' OR what LIKE '%%counter%%')) ORDER BY rank, id LIMIT 1",
        name, parts, name, probe);
    struct cursor c = cursor_open(s, sql, out->run, e);
    if (cursor_next(&c))
        cursor_text(&c, 0, out->why[m], sizeof out->why[m]);
    return cursor_close(&c);
}

static int load_parts(struct rows *out, struct store *s, struct err *e)
{
    static int (*const part[])(struct rows *, struct store *, struct err *) = {
        load_run,      load_trials, load_predictions, load_repetitions, load_steps,
        load_readings, load_energy, load_caches,      load_roofs,
    };
    int code = 0;

    for (size_t i = 0; code == 0 && i < sizeof part / sizeof *part; i++)
        code = part[i](out, s, e);
    for (int m = 0; code == 0 && m < ROWS_METRICS; m++)
        code = load_why(out, s, m, e);
    return code;
}

int rows_load(struct rows *out, struct store *s, int64_t run, struct err *e)
{
    *out = (struct rows){.run = run, .tokenize_ms = NAN};
    /* One snapshot: the run may be writing. */
    if (sqlite3_exec(store_handle(s), "SAVEPOINT rows", NULL, NULL, NULL) != SQLITE_OK)
        return store_error(s, e);
    int code = load_parts(out, s, e);
    sqlite3_exec(store_handle(s), "RELEASE rows", NULL, NULL, NULL);
    if (code < 0)
        rows_free(out);
    return code;
}

void rows_free(struct rows *r)
{
    for (int i = 0; i < r->trials; i++) {
        struct rows_trial *t = &r->trial[i];
        for (int k = 0; k < t->reps; k++) {
            free(t->rep[k].ms);
            free(t->rep[k].sample_ms);
            free(t->rep[k].launches);
            for (int p = 0; p < ROWS_PARTS; p++)
                free(t->rep[k].part[p]);
        }
        free(t->rep);
        free(t->predicted);
    }
    for (int i = 0; i < r->roofs; i++)
        free(r->roof[i].round);
    free(r->trial);
    free(r->roof);
    free(r->pass);
    *r = (struct rows){0};
}

const struct rows_roof *rows_find_roof(const struct rows *r, const char *name, int threads)
{
    for (int i = 0; i < r->roofs; i++)
        if (r->roof[i].threads == threads && strcmp(r->roof[i].name, name) == 0)
            return &r->roof[i];
    return NULL;
}

int rows_usual(const struct rows *r, enum axis a)
{
    return a == AXIS_PROMPT_TOKENS ? r->prompt_ids : a == AXIS_THREADS ? r->threads : axes[a].usual;
}

const struct rows_repetition *rows_first_stepped(const struct rows_trial *t)
{
    for (int i = 0; i < t->reps; i++)
        if (!isfinite(t->rep[i].lump[0]))
            return &t->rep[i];
    return t->rep;
}

int rows_step_ms(const struct rows_trial *t, int pass, int step, double *buf)
{
    int n = 0;

    for (int i = 0; i < t->reps; i++)
        if (t->rep[i].pass == pass && !t->rep[i].warmup && isfinite(t->rep[i].ms[step]))
            buf[n++] = t->rep[i].ms[step];
    return n;
}

int rows_step_sample_ms(const struct rows_trial *t, int pass, int step, double *buf)
{
    int n = 0;

    for (int i = 0; i < t->reps; i++)
        if (t->rep[i].pass == pass && !t->rep[i].warmup && isfinite(t->rep[i].sample_ms[step]))
            buf[n++] = t->rep[i].sample_ms[step];
    return n;
}

double rows_step_counted(const struct rows_trial *t, enum rows_metric m, int step, double *buf)
{
    double part[ROWS_PARTS];

    for (int p = 0; p < ROWS_PARTS; p++) {
        int n = 0;
        for (int i = 0; i < t->reps; i++)
            if (!t->rep[i].warmup && t->rep[i].part[p] && isfinite(t->rep[i].part[p][step]))
                buf[n++] = t->rep[i].part[p][step];
        part[p] = stats_median(buf, n);
    }
    return rows_whole(m, part);
}
