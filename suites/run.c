/* SPDX-License-Identifier: MIT
 * The order of a run: describe run and machine; open probes (counters calibrate themselves); roofs, round 0; trials with their
 * predictions; warm-up and timing rounds, each in its own seeded order, with the verdict's roofs taken again within and after
 * each round and bare executions beside the first; the probes that watch a GPU closely; visits (run_visits.c); claims. Every
 * execution is one transaction. */
#include "runner.h"

#include <signal.h>
#include <stdio.h>

#include "analysis.h"
#include "clock.h"
#include "machine.h"

enum { REJECTS_MAX = 3, BARES_MAX = 5 };
static const double bare_share = 0.2;  /* of the timing pass's budget */
static const double roofs_share = 0.1; /* that roofs taken within a round may add to its time */

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

/* Of the generation's steps, as this pass clocked them. */
static double execution_total_ns(const struct execution *x, const struct pass_probes *pass)
{
    double total = 0;

    if (pass_is_whole(pass->kind))
        return (double)x->wall_ns;
    for (int i = 0; i < x->steps; i++)
        total += (double)x->step[i].wall_ns;
    return total;
}

/* Readings that cannot be true are thrown away with their whole execution, and it runs again; the last try is kept without
 * its readings' word being taken: implausible values become missing. */
static void mark_missing(struct runner *r, const struct pass_probes *pass)
{
    static const char why[] = "the counter gave impossible values each time it was tried";

    for (int row = 0; row < execution_readings(&r->execution, pass); row++)
        for (int i = 0; i < pass->count; i++) {
            struct reading *reading = &r->execution.reading[(size_t)row * PROBES_MAX + (size_t)i];
            for (int v = 0; v < reading->count; v++) {
                struct value *value = &reading->value[v];
                value->why = value->provenance == PROVENANCE_MISSING ? value->why : why;
                value->provenance = PROVENANCE_MISSING;
            }
        }
}

int run_trial(struct runner *r, struct trial *t, int rep, const struct pass_probes *pass, struct err *e)
{
    int code, rejected = 0;

    r->state.pass = pass->warmup ? "warm-up" : pass->name;
    r->state.label = t->label;
    r->state.steps = t->cell.value[AXIS_NEW_TOKENS];
    r->state.eta_s = estimate_rest(r);
    for (;; rejected++) {
        code = execute_trial(&r->execution, t, pass, between_steps, r, e);
        if (code < 0)
            return code;
        if (!execution_implausible(&r->execution, pass))
            break;
        if (rejected == REJECTS_MAX) {
            mark_missing(r, pass);
            break;
        }
    }
    code = run_store_execution(r, t, rep, rejected, pass, e);
    if (code < 0)
        return code;
    double total = execution_total_ns(&r->execution, pass);
    t->last_ns = (double)r->execution.wall_ns;
    t->kv_allocated = r->execution.kv_allocated;
    r->state.ms = pass_is_whole(pass->kind) ? total / 1e6 / r->state.steps : r->state.ms;
    r->state.done++;
    r->state.eta_s = estimate_rest(r);
    progress_done(&r->progress, &r->state, total / 1e6);
    return 0;
}

/* --- the timing pass -------------------------------------------------------------------------------------------------------
 */

int run_bare(struct runner *r, struct trial *t, struct err *e)
{
    const struct pass_probes bare = {.name = "bare", .kind = PASS_BARE, .clock = r->clock, .stop = r->interrupted};
    int code = run_trial(r, t, t->bares, &bare, e);

    t->bares++;
    return code;
}

static int run_timed(struct runner *r, struct trial *t, const struct pass_probes *pass, struct err *e)
{
    int code = run_trial(r, t, t->timed, pass, e);

    if (code == 0)
        t->total_ns[t->timed++] = execution_total_ns(&r->execution, pass);
    return code;
}

/* The machine drifts within seconds. Within a round of many trials the roofs are taken as often as costs little; after it
 * always. */
int run_keep_roofs_near(struct runner *r, struct err *e)
{
    double since = (double)(clock_ns() - r->roofs_at_ns);

    return since * roofs_share > (double)r->roofs_ns ? setup_take_roofs(r, e) : 0;
}

static bool budget_spent(const struct runner *r, uint64_t since)
{
    return (double)(clock_ns() - since) > r->plan->suite.budget_s * 1e9;
}

/* The timing pass has a bare execution beside its first few, as long as these take a fraction of its budget only. */
static bool wants_bare(struct runner *r, const struct trial *t)
{
    double expected = t->last_ns > 0 ? t->last_ns : t->predicted_ns;

    if (t->timed >= BARES_MAX || r->bare_ns + expected > bare_share * r->plan->suite.budget_s * 1e9)
        return false;
    r->bare_ns += expected;
    return true;
}

/* Which of the two goes first changes, so that a drift of the machine falls on both. */
static int timed_pair(struct runner *r, struct trial *t, bool bare_first, const struct pass_probes *pass, struct err *e)
{
    bool bare = wants_bare(r, t);
    int code = bare && bare_first ? run_bare(r, t, e) : 0;

    if (code == 0)
        code = run_timed(r, t, pass, e);
    if (code == 0 && bare && !bare_first)
        code = run_bare(r, t, e);
    return code;
}

/* Executions that the timing pass still owes at least. */
static int owed(const struct trial *t, int wanted)
{
    return t->converged || t->timed >= wanted ? 0 : wanted - t->timed;
}

static int owed_bare(const struct trial *t, int wanted)
{
    int last = wanted < BARES_MAX ? wanted : BARES_MAX;

    return t->converged || t->timed >= last ? 0 : last - t->timed;
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
static int timing_round(struct runner *r, int round, const struct pass_probes *pass, uint64_t since, bool *stop, struct err *e)
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
        code = timed_pair(r, t, (round + order[i]) % 2, pass, e);
        if (code == 0)
            code = run_keep_roofs_near(r, e);
    }
    return code;
}

static int warm_up(struct runner *r, const struct pass_probes *pass, struct err *e)
{
    struct pass_probes warm = *pass;
    int code = 0;

    warm.warmup = true;
    for (int round = 0; code == 0 && round < r->plan->suite.warmup; round++)
        for (int i = 0; code == 0 && i < r->plan->trials; i++)
            code = run_trial(r, &r->plan->trial[i], round, &warm, e);
    return code;
}

static int timing_pass(struct runner *r, const struct pass_probes *pass, struct err *e)
{
    const struct suite *s = &r->plan->suite;
    bool stop = false;
    int code = warm_up(r, pass, e);
    uint64_t since = clock_ns();

    for (int timed = 0; code == 0 && timed < s->repetitions_max && !stop; timed++) {
        int wanted = timed < s->repetitions_min ? s->repetitions_min : timed + 1;
        int owing = 0, bare = 0;
        for (int i = 0; i < r->plan->trials; i++) {
            owing += owed(&r->plan->trial[i], wanted);
            bare += owed_bare(&r->plan->trial[i], wanted);
        }
        if (owing == 0)
            break;
        r->state.planned = r->state.done + owing + bare + r->visits_planned;
        code = timing_round(r, s->warmup + timed, pass, since, &stop, e);
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

/* With the probes that are opened now there are more passes than were planned so far. */
static int watch_closely(struct runner *r, struct err *e)
{
    if (r->plan->device >= 0)
        progress_note(&r->progress, "calibrating probes of the GPU");
    const int code = run_open_device_probes(r, e);

    run_plan_visits(r);
    return code == 0 ? run_visits(r, e) : code;
}

static int run_passes(struct runner *r, struct err *e)
{
    const struct suite *s = &r->plan->suite;
    struct pass_probes light = {.name = "time", .kind = PASS_STEPS, .clock = r->clock};

    for (int i = 0; i < r->probes; i++)
        if (r->probe[i]->ops->weight == PROBE_LIGHT)
            light.riding[light.count++] = r->probe[i];
    run_plan_visits(r);
    r->state.planned = r->plan->trials * (s->warmup + s->repetitions_min) + r->visits_planned;
    int code = timing_pass(r, &light, e);
    return code == 0 ? watch_closely(r, e) : code;
}

/* --- the whole -------------------------------------------------------------------------------------------------------------
 */

static int run_all(struct runner *r, struct err *e)
{
    int code = execution_init(&r->execution, r->plan, e);

    if (code == 0)
        code = machine_describe(r->store, r->run, &r->plan->team, r->plan->device, e);
    if (code == 0)
        code = setup_add_claims(r, e);
    if (code == 0)
        code = setup_add_files(r, e);
    if (code == 0)
        code = setup_add_caches(r, e);
    if (code == 0)
        code = setup_add_left_out(r, e);
    progress_note(&r->progress, "calibrating probes");
    if (code == 0)
        code = run_open_probes(r, e);
    if (code == 0)
        code = ceilings_open(&r->ceilings, r->plan, r->plan->suite.roof_ms, e);
    if (code == 0)
        code = setup_take_roofs(r, e);
    if (code == 0)
        code = setup_add_trials(r, e);
    if (code == 0 && r->plan->suite.accuracy)
        code = run_accuracy(r, e);
    if (code == 0)
        code = run_passes(r, e);
    return code;
}

static void close_runner(struct runner *r)
{
    run_close_probes(r);
    ceilings_close(&r->ceilings);
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
