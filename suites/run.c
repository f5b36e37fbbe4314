/* SPDX-License-Identifier: MIT
 * The order of a run: describe run and machine; open probes (counters calibrate themselves); roofs, round 0; trials with their
 * predictions; warm-up and timing rounds, each in its own seeded order, with the verdict's roofs taken again after each round;
 * one round for every counter group; roofs once more; claims. Every execution is one transaction. */
#include "runner.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"
#include "clock.h"
#include "machine.h"

enum { REJECTS_MAX = 3 };

/* --- interruption: the handler only notes it; the run stops between two steps ------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static void catch_interrupts(struct sigaction old[2])
{
    struct sigaction act = {.sa_handler = note_interrupt, .sa_flags = SA_RESETHAND}; /* a second Ctrl-C kills */

    interrupted = 0;
    sigaction(SIGINT, &act, &old[0]);
    sigaction(SIGTERM, &act, &old[1]);
}

static void restore_interrupts(const struct sigaction old[2])
{
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
}

/* --- one execution ---------------------------------------------------------------------------------------------------------
 */

/* Seconds that the planned rest should take: what a trial took last, or its prediction scaled by how wrong the others were. */
static double estimate_rest(const struct runner *r)
{
    double measured = 0, predicted = 0, round = 0;

    for (int i = 0; i < r->plan->trials; i++) {
        const struct trial *t = &r->plan->trial[i];
        measured += t->last_ns;
        predicted += t->last_ns > 0 ? t->predicted_ns : 0;
    }
    double scale = predicted > 0 ? measured / predicted : 2;
    for (int i = 0; i < r->plan->trials; i++) {
        const struct trial *t = &r->plan->trial[i];
        round += t->last_ns > 0 ? t->last_ns : scale * t->predicted_ns;
    }
    return round / 1e9 * (r->state.planned - r->state.done) / r->plan->trials;
}

static int between_steps(void *ctx, const struct execution *x)
{
    struct runner *r = ctx;

    r->state.step = x->steps - 1;
    r->state.ms = (double)x->step[x->steps - 1].wall_ns / 1e6;
    progress_show(&r->progress, &r->state);
    return interrupted;
}

static int store_readings(struct runner *r, int64_t repetition, int step, const struct pass_probes *riders, struct err *e)
{
    int code = 0;

    for (int i = 0; i < riders->count; i++) {
        const struct reading *reading = &r->execution.reading[(size_t)step * PROBES_MAX + (size_t)i];
        for (int v = 0; code == 0 && v < reading->count; v++) {
            const struct value *value = &reading->value[v];
            struct store_reading row = {
                .step = step,
                .probe = riders->riding[i]->ops->name,
                .metric = metric_name(value->metric),
                .provenance = provenance_name(value->provenance),
                .why = value->why,
                .value = value->provenance == PROVENANCE_MISSING ? NAN : value->value,
                .coverage = value->coverage,
            };
            code = store_add_reading(r->store, repetition, &row, e);
        }
    }
    return code;
}

static int store_steps(struct runner *r, int64_t repetition, const struct pass_probes *riders, struct err *e)
{
    struct text token = {0};
    int code = 0;

    for (int i = 0; code == 0 && i < r->execution.steps; i++) {
        const struct executed_step *s = &r->execution.step[i];
        token.len = 0;
        text_puts(&token, "");
        model_token_text(r->plan->model, s->token, &token);
        struct store_step row = {i, s->wall_ns, s->sample_ns, s->kv_len, s->token, token.data};
        code = store_add_step(r->store, repetition, &row, e);
        if (code == 0)
            code = store_readings(r, repetition, i, riders, e);
    }
    text_free(&token);
    return code;
}

static int store_execution(struct runner *r, const struct trial *t, const char *pass, bool warmup, int rejected,
                           const struct pass_probes *riders, struct err *e)
{
    const struct execution *x = &r->execution;
    char hash[17];
    int64_t id;

    snprintf(hash, sizeof hash, "%016" PRIx64, x->tokens_hash);
    struct store_repetition row = {
        .pass = pass,
        .tokens_hash = hash,
        .rep = t->reps,
        .ordinal = r->ordinal++,
        .rejected = rejected,
        .warmup = warmup,
        .started_ns = x->started_ns - (int64_t)r->start_ns,
        .wall_ns = x->wall_ns,
        .switches_involuntary = x->witness.switches_involuntary,
        .page_faults_minor = x->witness.page_faults_minor,
        .page_faults_major = x->witness.page_faults_major,
        .steal_ticks = x->witness.steal_ticks,
        .other_busy = x->witness.other_busy,
        .load1 = x->witness.load1,
    };
    int code = store_begin(r->store, e);
    if (code == 0)
        code = store_add_repetition(r->store, t->id, &row, &id, e);
    if (code == 0)
        code = store_steps(r, id, riders, e);
    if (code == 0)
        code = store_commit(r->store, e);
    if (code < 0)
        store_rollback(r->store);
    return code;
}

static double execution_total_ns(const struct execution *x)
{
    double total = 0;

    for (int i = 0; i < x->steps; i++)
        total += (double)x->step[i].wall_ns;
    return total;
}

/* Readings that cannot be true are thrown away with their whole execution, and it runs again; the last try is kept without
 * its readings' word being taken: implausible values become missing. */
static void mark_missing(struct runner *r, const struct pass_probes *riders)
{
    static const char why[] = "the counter gave impossible values each time it was tried";

    for (int step = 0; step < r->execution.steps; step++)
        for (int i = 0; i < riders->count; i++) {
            struct reading *reading = &r->execution.reading[(size_t)step * PROBES_MAX + (size_t)i];
            for (int v = 0; v < reading->count; v++) {
                reading->value[v].provenance = PROVENANCE_MISSING;
                reading->value[v].why = why;
            }
        }
}

static int run_trial(struct runner *r, struct trial *t, const char *pass, bool warmup, const struct pass_probes *riders,
                     struct err *e)
{
    int code, rejected = 0;

    r->state.pass = warmup ? "warm-up" : pass;
    r->state.label = t->label;
    r->state.steps = t->cell.value[AXIS_NEW_TOKENS];
    r->state.eta_s = estimate_rest(r);
    for (;; rejected++) {
        code = execute_trial(&r->execution, r->plan->model, t, riders, between_steps, r, e);
        if (code < 0)
            return code;
        if (!execution_implausible(&r->execution, riders))
            break;
        if (rejected == REJECTS_MAX) {
            mark_missing(r, riders);
            break;
        }
    }
    code = store_execution(r, t, pass, warmup, rejected, riders, e);
    if (code < 0)
        return code;
    double total = execution_total_ns(&r->execution);
    if (!warmup && strcmp(pass, "time") == 0)
        t->total_ns[t->timed++] = total;
    t->last_ns = (double)r->execution.wall_ns;
    t->kv_allocated = r->execution.kv_allocated;
    t->reps++;
    r->state.done++;
    r->state.eta_s = estimate_rest(r);
    progress_done(&r->progress, &r->state, total / 1e6);
    return 0;
}

/* --- passes ----------------------------------------------------------------------------------------------------------------
 */

static bool budget_spent(const struct runner *r, uint64_t since)
{
    return (double)(clock_ns() - since) > r->plan->suite.budget_s * 1e9;
}

/* Executions that the timing pass still owes at least. */
static int owed(const struct trial *t, int wanted)
{
    return t->converged || t->timed >= wanted ? 0 : wanted - t->timed;
}

static void judge_convergence(struct runner *r)
{
    const struct suite *s = &r->plan->suite;

    for (int i = 0; i < r->plan->trials; i++) {
        struct trial *t = &r->plan->trial[i];
        t->converged = t->timed >= s->repetitions_min && analysis_relative_interval(t->total_ns, t->timed) <= s->target;
    }
}

/* Every trial that is not done, once, in this round's order; stops early when the budget is spent and each has two. */
static int timing_round(struct runner *r, int round, const struct pass_probes *riders, uint64_t since, bool *stop,
                        struct err *e)
{
    int order[TRIALS_MAX], n = r->plan->trials, code = 0;

    suite_order(order, n, r->options->seed, round);
    for (int i = 0; code == 0 && i < n; i++) {
        struct trial *t = &r->plan->trial[order[i]];
        if (t->converged)
            continue;
        if (budget_spent(r, since) && t->timed >= 2) {
            *stop = true;
            continue;
        }
        code = run_trial(r, t, "time", false, riders, e);
    }
    return code;
}

static int timing_pass(struct runner *r, struct pass_probes *riders, struct err *e)
{
    const struct suite *s = &r->plan->suite;
    bool stop = false;
    int code = 0, round = 0;

    for (; code == 0 && round < s->warmup; round++)
        for (int i = 0; code == 0 && i < r->plan->trials; i++)
            code = run_trial(r, &r->plan->trial[i], "time", true, riders, e);
    for (int i = 0; i < r->plan->trials; i++)
        r->plan->trial[i].reps = 0;
    uint64_t since = clock_ns();
    for (int timed = 0; code == 0 && timed < s->repetitions_max && !stop; timed++, round++) {
        int wanted = timed < s->repetitions_min ? s->repetitions_min : timed + 1;
        int owing = 0;
        for (int i = 0; i < r->plan->trials; i++)
            owing += owed(&r->plan->trial[i], wanted);
        if (owing == 0)
            break;
        r->state.planned = r->state.done + owing + r->plan->trials * r->heavy_groups;
        code = timing_round(r, round, riders, since, &stop, e);
        judge_convergence(r);
        if (code == 0)
            code = setup_take_roofs(r, e);
    }
    for (int i = 0; code == 0 && i < r->plan->trials; i++) {
        const struct trial *t = &r->plan->trial[i];
        code = store_set_trial(r->store, t->id, t->kv_allocated, !t->converged, e);
    }
    return code;
}

static int counting_pass(struct runner *r, struct probe *p, int group, int round, struct err *e)
{
    struct pass_probes riders = {.clock = r->clock, .riding = {p}, .count = 1};
    int order[TRIALS_MAX], code = 0;

    p->ops->select(p, group);
    suite_order(order, r->plan->trials, r->options->seed, round);
    for (int i = 0; code == 0 && i < r->plan->trials; i++) {
        struct trial *t = &r->plan->trial[order[i]];
        t->reps = 0;
        code = run_trial(r, t, p->ops->group_name(p, group), false, &riders, e);
    }
    return code;
}

static int run_passes(struct runner *r, struct err *e)
{
    struct pass_probes light = {.clock = r->clock};
    int code;

    for (int i = 0; i < r->probes; i++)
        if (r->probe[i]->ops->weight == PROBE_LIGHT)
            light.riding[light.count++] = r->probe[i];
        else
            r->heavy_groups += r->probe[i]->ops->groups(r->probe[i]);
    r->state.planned = r->plan->trials * (r->plan->suite.warmup + r->plan->suite.repetitions_min + r->heavy_groups);
    code = timing_pass(r, &light, e);
    r->state.planned = r->state.done + r->plan->trials * r->heavy_groups;
    for (int i = 0, round = 1000; code == 0 && i < r->probes; i++)
        for (int g = 0; code == 0 && r->probe[i]->ops->weight == PROBE_HEAVY && g < r->probe[i]->ops->groups(r->probe[i]); g++)
            code = counting_pass(r, r->probe[i], g, round++, e);
    if (code == 0 && r->heavy_groups)
        code = setup_take_roofs(r, e);
    return code;
}

/* --- the whole -------------------------------------------------------------------------------------------------------------
 */

static int run_all(struct runner *r, struct err *e)
{
    int longest = 1, code;

    for (int i = 0; i < r->plan->trials; i++)
        if (r->plan->trial[i].cell.value[AXIS_NEW_TOKENS] > longest)
            longest = r->plan->trial[i].cell.value[AXIS_NEW_TOKENS];
    code = execution_init(&r->execution, longest, e);
    if (code == 0)
        code = machine_describe(r->store, r->run, &r->plan->team, e);
    if (code == 0)
        code = setup_add_claims(r, e);
    if (code == 0)
        code = setup_add_files(r, e);
    progress_note(&r->progress, "calibrating probes");
    if (code == 0)
        code = setup_open_probes(r, e);
    if (code == 0)
        code = roofs_open(&r->roofs, r->plan->team.threads, r->plan->suite.roof_ms, e);
    if (code == 0)
        code = setup_take_roofs(r, e);
    if (code == 0)
        code = setup_add_trials(r, e);
    if (code == 0)
        code = run_passes(r, e);
    return code;
}

static void close_runner(struct runner *r)
{
    for (int i = 0; i < r->probes; i++)
        r->probe[i]->ops->close(r->probe[i]);
    if (r->clock)
        r->clock->ops->close(r->clock);
    roofs_close(r->roofs);
    execution_free(&r->execution);
    progress_close(&r->progress);
}

int run_suite(struct plan *p, const struct run_options *o, struct store *s, FILE *progress, int64_t *run, struct err *e)
{
    struct runner r = {.plan = p, .options = o, .store = s, .start_ns = clock_ns(), .interrupted = &interrupted};
    struct sigaction old[2];
    struct err ignored;
    int code;

    *run = 0;
    progress_open(&r.progress, progress);
    catch_interrupts(old);
    code = setup_add_run(&r, e);
    if (code == 0) {
        *run = r.run;
        code = run_all(&r, e);
        if (code < 0) {
            store_rollback(s);
            store_finish_run(s, r.run, code == ERR_INTERRUPTED ? "interrupted" : "failed", e->text, &ignored);
        }
    }
    restore_interrupts(old);
    close_runner(&r);
    return code;
}
