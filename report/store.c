/* SPDX-License-Identifier: MIT
 * The database as rows: one statement per kind of row, prepared when first used and kept; what a row may hold is checked by the
 * schema. */
#include "store.h"

#include <errno.h>
#include <math.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "store_file.h"

enum sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_ADD_RUN,
    SQL_FINISH_RUN,
    SQL_ADD_MACHINE,
    SQL_ADD_MODEL_FILE,
    SQL_ADD_ABSENT,
    SQL_ADD_CACHE,
    SQL_ADD_ROOF,
    SQL_ADD_CALIBRATION,
    SQL_ADD_TRIAL,
    SQL_SET_TRIAL,
    SQL_ADD_ACCURACY,
    SQL_ADD_PREDICTION,
    SQL_ADD_OP,
    SQL_ADD_REPETITION,
    SQL_ADD_STEP,
    SQL_ADD_READING,
    SQL_ADD_OP_STEP,
    SQL_ADD_OP_READING,
    SQL_ADD_EVENT,
    SQL_ADD_SAMPLE,
    SQL_ADD_CLAIM,
    SQL_SET_CLAIM,
    SQL_COUNT,
};

static const char *const sql_text[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ADD_RUN] =
        "INSERT INTO run(suite, question, suite_yaml, command, started, model, arch, dtype, weights, layers, d_model, "
        "heads, kv_heads, head_dim, d_ff, vocab, context, parameters, weight_bytes, tokenizer, prompt, prompt_tokens, "
        "backend, backend_about, threads, cpus, seed, load_model_ns, load_tokenizer_ns, tokenize_ns, version, "
        "compiler, conventions, format, stored, stored_bytes, load_peak_bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_FINISH_RUN] = "UPDATE run SET finished = ?, outcome = ?, problem = ? WHERE id = ?",
    [SQL_ADD_MACHINE] = "INSERT INTO machine(run, key, value, source) VALUES(?, ?, ?, ?)",
    [SQL_ADD_MODEL_FILE] = "INSERT INTO model_file(run, path, bytes, sha256) VALUES(?, ?, ?, ?)",
    [SQL_ADD_ABSENT] = "INSERT INTO absent(run, what, why) VALUES(?, ?, ?)",
    [SQL_ADD_CACHE] = "INSERT INTO cache(run, level, bytes) VALUES(?, ?, ?)",
    [SQL_ADD_ROOF] = "INSERT INTO roof(run, name, kind, level, threads, round, at_ns, value, work, wall_ns, repetitions, how) "
                     "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_CALIBRATION] =
        "INSERT INTO calibration(run, metric, probe, event, kernel, expected, measured, rel_error, rel_limit, "
        "accepted, why) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_TRIAL] =
        "INSERT INTO trial(kv_cache, batch, prompt_tokens, new_tokens, strategy, dtype, kv_dtype, threads, gemm, attention, "
        "launch, run, ordinal, rows, sampling, arithmetic, attention_arithmetic, weight_bytes, kv_bytes_formula, "
        "kv_bytes_allocated) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", /* the axes first, in the order of enum axis */
    [SQL_SET_TRIAL] = "UPDATE trial SET kv_bytes_allocated = ?, unconverged = ? WHERE id = ?",
    [SQL_ADD_ACCURACY] = "INSERT INTO accuracy(trial, positions, max_error, mean_error, spread, top1) VALUES(?, ?, ?, ?, ?, ?)",
    [SQL_ADD_PREDICTION] = "INSERT INTO prediction(trial, step, phase, flops, weight_bytes, kv_read_bytes, kv_write_bytes, "
                           "roof_ns) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_OP] = "INSERT INTO op(trial, step, steps, op, flops, bytes, write_bytes) VALUES(?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_REPETITION] =
        "INSERT INTO repetition(trial, pass, rep, warmup, ordinal, started_ns, wall_ns, tokens_hash, rejected, "
        "switches_involuntary, page_faults_minor, page_faults_major, steal_ticks, other_busy, load1, interrupts, throttled, "
        "frequency_hz, sibling_busy, huge_share, remote_share, prefill_ns) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_STEP] = "INSERT INTO step(repetition, step, phase, wall_ns, kv_len, token, token_text, sample_ns, launches) "
                     "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_READING] = "INSERT INTO reading(repetition, step, probe, metric, value, coverage, provenance, why) "
                        "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_OP_STEP] = "INSERT INTO op_step(repetition, step, steps, op, layer, wall_ns) VALUES(?, ?, ?, ?, ?, ?)",
    [SQL_ADD_OP_READING] = "INSERT INTO op_reading(repetition, step, steps, op, layer, probe, metric, value, provenance, why) "
                           "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_EVENT] =
        "INSERT INTO event(repetition, step, ordinal, kind, name, op, layer, start_ns, wall_ns, grid_x, grid_y, grid_z, "
        "block_x, block_y, block_z, registers, shared_bytes, bytes) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_SAMPLE] = "INSERT INTO sample(repetition, at_ns, span_ns, read_bytes, write_bytes, sm_active, tensor_active) "
                       "VALUES(?, ?, ?, ?, ?, ?, ?)",
    [SQL_ADD_CLAIM] = "INSERT INTO claim(run, ordinal, spec) VALUES(?, ?, ?)",
    [SQL_SET_CLAIM] = "UPDATE claim SET result = ?, text = ?, evidence = ? WHERE run = ? AND ordinal = ?",
};

_Static_assert((int)SQL_COUNT <= (int)STORE_STATEMENTS_MAX, "each statement needs its place");

/* A value on its way into a statement. */
struct bind {
    enum { BIND_NULL, BIND_INT, BIND_REAL, BIND_TEXT } type;
    int64_t i;
    double r;
    const char *t;
};

static struct bind integer(int64_t v)
{
    return (struct bind){.type = BIND_INT, .i = v};
}

static struct bind integer_or_null(int64_t v)
{
    return v < 0 ? (struct bind){.type = BIND_NULL} : integer(v);
}

static struct bind real(double v)
{
    return isnan(v) ? (struct bind){.type = BIND_NULL} : (struct bind){.type = BIND_REAL, .r = v};
}

static struct bind real_or_null(double v)
{
    return real(v < 0 ? NAN : v);
}

static struct bind string(const char *v)
{
    return (struct bind){.type = v ? BIND_TEXT : BIND_NULL, .t = v};
}

static int bind_value(sqlite3_stmt *st, int at, const struct bind *b)
{
    switch (b->type) {
    case BIND_INT:
        return sqlite3_bind_int64(st, at, b->i);
    case BIND_REAL:
        return sqlite3_bind_double(st, at, b->r);
    case BIND_TEXT:
        return sqlite3_bind_text(st, at, b->t, -1, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(st, at);
    }
}

/* Runs a statement that yields no rows. */
static int perform(struct store *s, enum sql which, const struct bind *b, int n, struct err *e)
{
    sqlite3_stmt **st = &s->stmt[which];
    int code = 0;

    if (!*st && sqlite3_prepare_v3(s->db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
        return store_error(s, e);
    for (int i = 0; i < n; i++)
        if (bind_value(*st, i + 1, &b[i]) != SQLITE_OK) {
            code = store_error(s, e);
            goto out;
        }
    if (sqlite3_step(*st) != SQLITE_DONE)
        code = store_error(s, e);
out:
    sqlite3_reset(*st);
    sqlite3_clear_bindings(*st);
    return code;
}

#define PERFORM(s, which, b, e) perform(s, which, b, (int)(sizeof(b) / sizeof *(b)), e)

int store_begin(struct store *s, struct err *e)
{
    return perform(s, SQL_BEGIN, NULL, 0, e);
}

int store_commit(struct store *s, struct err *e)
{
    int code = perform(s, SQL_COMMIT, NULL, 0, e);

    if (code < 0)
        store_rollback(s);
    return code;
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        perform(s, SQL_ROLLBACK, NULL, 0, NULL);
}

static const char *phase_of(int step)
{
    return step == 0 ? "prefill" : "decode";
}

int store_add_run(struct store *s, const struct store_run *r, int64_t *id, struct err *e)
{
    char now[24];

    clock_iso8601(now, sizeof now);
    const struct bind b[] = {
        string(r->suite),
        string(r->question),
        string(r->suite_yaml),
        string(r->command),
        string(now),
        string(r->model),
        string(r->arch),
        string(r->dtype),
        string(r->weights),
        integer(r->layers),
        integer(r->d_model),
        integer(r->heads),
        integer(r->kv_heads),
        integer(r->head_dim),
        integer(r->d_ff),
        integer(r->vocab),
        integer(r->context),
        integer(r->parameters),
        integer(r->weight_bytes),
        string(r->tokenizer),
        string(r->prompt),
        string(r->prompt_tokens),
        string(r->backend),
        string(r->backend_about),
        integer(r->threads),
        string(r->cpus),
        integer(r->seed),
        integer_or_null(r->load_model_ns),
        integer_or_null(r->load_tokenizer_ns),
        integer_or_null(r->tokenize_ns),
        string(r->version),
        string(r->compiler),
        string(r->conventions),
        string(r->format),
        string(r->stored),
        integer_or_null(r->stored_bytes),
        integer_or_null(r->load_peak_bytes),
    };
    int code = PERFORM(s, SQL_ADD_RUN, b, e);
    if (code == 0)
        *id = sqlite3_last_insert_rowid(s->db);
    return code;
}

int store_finish_run(struct store *s, int64_t run, const char *outcome, const char *problem, struct err *e)
{
    char now[24];

    clock_iso8601(now, sizeof now);
    const struct bind b[] = {string(now), string(outcome), string(problem), integer(run)};
    return PERFORM(s, SQL_FINISH_RUN, b, e);
}

int store_add_machine(struct store *s, int64_t run, const char *key, const char *value, const char *source, struct err *e)
{
    const struct bind b[] = {integer(run), string(key), string(value), string(source)};

    return PERFORM(s, SQL_ADD_MACHINE, b, e);
}

int store_add_model_file(struct store *s, int64_t run, const char *path, int64_t bytes, const char *sha256, struct err *e)
{
    const struct bind b[] = {integer(run), string(path), integer(bytes), string(sha256)};

    return PERFORM(s, SQL_ADD_MODEL_FILE, b, e);
}

int store_add_absent(struct store *s, int64_t run, const char *what, const char *why, struct err *e)
{
    const struct bind b[] = {integer(run), string(what), string(why)};

    return PERFORM(s, SQL_ADD_ABSENT, b, e);
}

int store_add_cache(struct store *s, int64_t run, const char *level, int64_t bytes, struct err *e)
{
    const struct bind b[] = {integer(run), string(level), integer(bytes)};

    return PERFORM(s, SQL_ADD_CACHE, b, e);
}

int store_add_roof(struct store *s, int64_t run, const struct store_roof *r, struct err *e)
{
    const struct bind b[] = {integer(run),        string(r->name),     string(r->kind),         string(r->level),
                             integer(r->threads), integer(r->round),   integer(r->at_ns),       real(r->value),
                             real(r->work),       integer(r->wall_ns), integer(r->repetitions), string(r->how)};

    return PERFORM(s, SQL_ADD_ROOF, b, e);
}

int store_add_calibration(struct store *s, int64_t run, const struct store_calibration *c, struct err *e)
{
    const struct bind b[] = {integer(run),      string(c->metric),    string(c->probe),  string(c->event),
                             string(c->kernel), real(c->expected),    real(c->measured), real(c->rel_error),
                             real(c->limit),    integer(c->accepted), string(c->why)};

    return PERFORM(s, SQL_ADD_CALIBRATION, b, e);
}

int store_add_trial(struct store *s, int64_t run, const struct store_trial *t, int64_t *id, struct err *e)
{
    const struct bind others[] = {integer(run),
                                  integer(t->ordinal),
                                  integer(t->rows),
                                  string(t->sampling),
                                  string(t->arithmetic),
                                  string(t->attention_arithmetic),
                                  integer(t->weight_bytes),
                                  integer(t->kv_bytes_formula),
                                  integer_or_null(t->kv_bytes_allocated)};
    struct bind b[AXIS_COUNT + sizeof others / sizeof *others];

    for (int a = 0; a < AXIS_COUNT; a++)
        b[a] = axes[a].words ? string(axes[a].words[t->axis[a]]) : integer(t->axis[a]);
    memcpy(b + AXIS_COUNT, others, sizeof others);
    int code = PERFORM(s, SQL_ADD_TRIAL, b, e);
    if (code == 0)
        *id = sqlite3_last_insert_rowid(s->db);
    return code;
}

int store_set_trial(struct store *s, int64_t trial, int64_t kv_bytes_allocated, bool unconverged, struct err *e)
{
    const struct bind b[] = {integer_or_null(kv_bytes_allocated), integer(unconverged), integer(trial)};

    return PERFORM(s, SQL_SET_TRIAL, b, e);
}

int store_add_accuracy(struct store *s, int64_t trial, const struct store_accuracy *a, struct err *e)
{
    const struct bind b[] = {integer(trial),      integer(a->positions), real(a->max_error),
                             real(a->mean_error), real(a->spread),       real(a->top1)};

    return PERFORM(s, SQL_ADD_ACCURACY, b, e);
}

int store_add_prediction(struct store *s, int64_t trial, const struct store_prediction *p, struct err *e)
{
    const struct bind b[] = {integer(trial),        integer(p->step),       string(phase_of(p->step)), real(p->flops),
                             real(p->weight_bytes), real(p->kv_read_bytes), real(p->kv_write_bytes),   real(p->roof_ns)};

    return PERFORM(s, SQL_ADD_PREDICTION, b, e);
}

int store_add_op(struct store *s, int64_t trial, const struct store_op *op, struct err *e)
{
    const struct bind b[] = {integer(trial),  integer(op->span.step), integer(op->span.steps), string(op->op),
                             real(op->flops), real(op->bytes),        real(op->write_bytes)};

    return PERFORM(s, SQL_ADD_OP, b, e);
}

int store_add_repetition(struct store *s, int64_t trial, const struct store_repetition *r, int64_t *id, struct err *e)
{
    const struct bind b[] = {integer(trial),
                             string(r->pass),
                             integer(r->rep),
                             integer(r->warmup),
                             integer(r->ordinal),
                             integer(r->started_ns),
                             integer(r->wall_ns),
                             string(r->tokens_hash),
                             integer(r->rejected),
                             integer_or_null(r->switches_involuntary),
                             integer_or_null(r->page_faults_minor),
                             integer_or_null(r->page_faults_major),
                             integer_or_null(r->steal_ticks),
                             real_or_null(r->other_busy),
                             real_or_null(r->load1),
                             integer_or_null(r->interrupts),
                             integer_or_null(r->throttled),
                             real(r->frequency_hz > 0 ? r->frequency_hz : NAN),
                             real_or_null(r->sibling_busy),
                             real_or_null(r->huge_share),
                             real_or_null(r->remote_share),
                             integer_or_null(r->prefill_ns > 0 ? r->prefill_ns : -1)};
    int code = PERFORM(s, SQL_ADD_REPETITION, b, e);

    if (code == 0)
        *id = sqlite3_last_insert_rowid(s->db);
    return code;
}

int store_add_step(struct store *s, int64_t repetition, const struct store_step *step, struct err *e)
{
    const struct bind b[] = {integer(repetition),
                             integer(step->step),
                             string(phase_of(step->step)),
                             integer(step->wall_ns),
                             integer(step->kv_len),
                             integer(step->token),
                             string(step->token_text),
                             integer_or_null(step->sample_ns),
                             integer_or_null(step->launches)};

    return PERFORM(s, SQL_ADD_STEP, b, e);
}

int store_add_reading(struct store *s, int64_t repetition, const struct store_reading *r, struct err *e)
{
    double value = strcmp(r->provenance, "missing") == 0 ? NAN : r->value;
    const struct bind b[] = {integer(repetition), integer(r->step),  string(r->probe),      string(r->metric),
                             real(value),         real(r->coverage), string(r->provenance), string(r->why)};

    return PERFORM(s, SQL_ADD_READING, b, e);
}

int store_add_op_step(struct store *s, int64_t repetition, const struct store_op_place *at, int64_t wall_ns, struct err *e)
{
    const struct bind b[] = {integer(repetition), integer(at->span.step), integer(at->span.steps),
                             string(at->op),      integer(at->layer),     integer(wall_ns)};

    return PERFORM(s, SQL_ADD_OP_STEP, b, e);
}

int store_add_op_reading(struct store *s, int64_t repetition, const struct store_op_place *at, const struct store_reading *r,
                         struct err *e)
{
    double value = strcmp(r->provenance, "missing") == 0 ? NAN : r->value;
    const struct bind b[] = {integer(repetition),   integer(at->span.step), integer(at->span.steps), string(at->op),
                             integer(at->layer),    string(r->probe),       string(r->metric),       real(value),
                             string(r->provenance), string(r->why)};

    return PERFORM(s, SQL_ADD_OP_READING, b, e);
}

int store_add_event(struct store *s, int64_t repetition, const struct store_event *event, struct err *e)
{
    bool kernel = strcmp(event->kind, "kernel") == 0; /* the others have no shape, and kernels no bytes of their own */
    struct bind b[18] = {integer(repetition),   integer(event->step),     integer(event->ordinal),
                         string(event->kind),   string(event->name),      string(event->op),
                         integer(event->layer), integer(event->start_ns), integer(event->wall_ns)};

    if (kernel) {
        for (int i = 0; i < 3; i++) {
            b[9 + i] = integer(event->grid[i]);
            b[12 + i] = integer(event->block[i]);
        }
        b[15] = integer(event->registers);
        b[16] = integer(event->shared_bytes);
    } else {
        b[17] = integer(event->bytes);
    }
    return PERFORM(s, SQL_ADD_EVENT, b, e);
}

int store_add_sample(struct store *s, int64_t repetition, const struct store_sample *sample, struct err *e)
{
    const struct bind b[] = {integer(repetition),        integer(sample->at_ns),    integer(sample->span_ns),
                             real(sample->read_bytes),   real(sample->write_bytes), real(sample->sm_active),
                             real(sample->tensor_active)};

    return PERFORM(s, SQL_ADD_SAMPLE, b, e);
}

int store_add_claim(struct store *s, int64_t run, int ordinal, const char *spec_json, struct err *e)
{
    const struct bind b[] = {integer(run), integer(ordinal), string(spec_json)};

    return PERFORM(s, SQL_ADD_CLAIM, b, e);
}

int store_set_claim(struct store *s, int64_t run, int ordinal, const char *result, const char *text, const char *evidence,
                    struct err *e)
{
    const struct bind b[] = {string(result), string(text), string(evidence), integer(run), integer(ordinal)};

    return PERFORM(s, SQL_SET_CLAIM, b, e);
}

static int known_runs(struct store *s, int64_t wanted, int64_t *count, int64_t *last, bool *found, struct err *e)
{
    sqlite3_stmt *st = NULL;
    int code = 0;

    if (sqlite3_prepare_v2(s->db, "SELECT count(*), max(id), coalesce(max(id = ?1), 0) FROM run", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(st, 1, wanted) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
        code = store_error(s, e);
        goto out;
    }
    *count = sqlite3_column_int64(st, 0);
    *last = sqlite3_column_int64(st, 1);
    *found = sqlite3_column_int(st, 2);
out:
    sqlite3_finalize(st);
    return code;
}

int store_find_run(struct store *s, const char *which, int64_t *id, struct err *e)
{
    bool last = strcmp(which, "last") == 0, found = false;
    int64_t count = 0, last_id = 0;
    char *end;

    errno = 0;
    long long wanted = strtoll(which, &end, 10);
    if (!last && (end == which || *end || errno || wanted < 1))
        return err_set(e, ERR_USAGE, "'%s' is not a run: a number that `bench list` shows, or last", which);
    int code = known_runs(s, wanted, &count, &last_id, &found, e);
    if (code < 0)
        return code;
    if (count == 0)
        return err_set(e, ERR_USAGE, "%s: holds no runs yet: `bench run` adds one", s->path);
    if (!last && !found)
        return err_set(e, ERR_USAGE, "%s: no run %lld; the last of its %lld is %lld (`bench list` shows them)", s->path, wanted,
                       (long long)count, (long long)last_id);
    *id = last ? last_id : wanted;
    return 0;
}
