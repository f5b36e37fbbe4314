/* SPDX-License-Identifier: MIT
 * A suite's trials on the backend `cuda`, with whatever the plug-in beside this program computes with: the emulation, or a GPU.
 * What is stored says that a device computed. Roofs are left out: they take minutes where a GPU is emulated. */
#include "check.h"

#include <string.h>

#include "machine.h"
#include "runner.h"
#include "store_query.h"
#include "suite_room.h"

static struct plan *plan;
static struct runner *runner;
static volatile sig_atomic_t stopped;

static int start(void **state)
{
    plan = calloc(1, sizeof *plan);
    runner = calloc(1, sizeof *runner);
    return plan && runner ? open_room(state) : -1;
}

static int stop(void **state)
{
    run_close_probes(runner);
    execution_free(&runner->execution);
    store_close(runner->store);
    plan_close(plan);
    free(runner);
    free(plan);
    return close_room(state);
}

static void watch(struct room *r, struct trial *t)
{
    const struct pass_probes time = {.name = "time", .kind = PASS_STEPS, .clock = runner->clock};

    expect_good(r, run_trial(runner, t, 0, &time, &r->err));
    expect_good(r, run_bare(runner, t, &r->err));
}

/* A small model, on two threads where there are as many. */
static void run(struct room *r, const char *text)
{
    char model[sizeof r->home + 64];
    const struct run_options o = {
        .suite = "x", .model = model, .backend = "cuda", .threads = team_max_threads() > 1 ? 2 : 1, .seed = 1, .command = "x"};

    snprintf(model, sizeof model, "%s/tests/data/reference/llama-rope3", r->home);
    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, strlen(text));
    expect_good(r, plan_open(plan, &o, false, &r->err));
    *runner = (struct runner){.plan = plan, .options = &o, .interrupted = &stopped, .state = {.planned = 1}};
    runner->ceilings = (struct ceilings){.plan = plan, .set = {{.threads = plan->team.threads}}, .sets = 1}; /* not measured */
    expect_good(r, store_open(&runner->store, "plain", &r->err));
    expect_good(r, setup_add_run(runner, &r->err));
    expect_good(r, machine_describe(runner->store, runner->run, &plan->team, plan->device, &r->err));
    expect_good(r, setup_add_caches(runner, &r->err));
    expect_good(r, setup_add_left_out(runner, &r->err));
    expect_good(r, setup_add_trials(runner, &r->err));
    expect_good(r, run_open_probes(runner, &r->err));
    expect_good(r, execution_init(&runner->execution, plan, &r->err));
    for (int i = 0; i < plan->trials; i++)
        watch(r, &plan->trial[i]);
}

static void trials_on_a_gpu_are_stored_as_such(void **state)
{
    run(*state, "question: q?\nmodel: small\nworkload:\n  prompt: hi\n  new_tokens: 2\n"
                "measure: {repetitions: 1}\n"
                "engine: {kv_dtype: bf16}\n"
                "matrix:\n  dtype: [bf16, q8_0]\n  launch: [graph, eager]\n  threads: [1, all]\n"
                "  include: [{strategy: sample, dtype: bf16}]\n");

    /* What it cannot compute is left out, what threads would compute is run once. */
    expect_text(runner->store, "SELECT group_concat(launch || ' ' || strategy) FROM (SELECT * FROM trial ORDER BY ordinal)",
                "graph greedy,eager greedy,graph sample");
    expect_text(runner->store, "SELECT what FROM absent WHERE why LIKE '%weights%'", "dtype=q8_0");

    /* What each step was given; its choice is the device's own or has a time. */
    assert_int_equal(query(runner->store, "SELECT count(*) FROM step WHERE launches IS NULL OR launches < 10"), 0);
    assert_int_equal(
        query(runner->store,
              "SELECT count(DISTINCT tokens_hash) FROM repetition JOIN trial t ON t.id = trial WHERE strategy = 'greedy'"),
        1);
    assert_int_equal(
        query(runner->store,
              "SELECT count(sample_ns) FROM step s JOIN repetition r ON r.id = repetition JOIN trial t ON t.id = trial "
              "WHERE strategy = 'greedy'"),
        0);
    assert_int_equal(query(runner->store,
                           "SELECT count(*) > 0 AND count(*) = sum(sample_ns > 0 AND sample_ns < s.wall_ns) FROM step s "
                           "JOIN repetition r ON r.id = repetition JOIN trial t ON t.id = trial WHERE strategy = 'sample'"),
                     1);

    /* Cache and machine are the GPU's. */
    expect_text(runner->store, "SELECT group_concat(DISTINCT level) FROM cache", "l2");
    assert_int_equal(query(runner->store, "SELECT count(*) FROM machine WHERE key = 'GPU'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(trials_on_a_gpu_are_stored_as_such, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
