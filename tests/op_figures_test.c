/* SPDX-License-Identifier: MIT
 * What is said of ops, of what measuring costs, of residency and energy, from rows whose figures were done on paper. */
#include "check.h"

#include "paper_run.h"
#include "summary.h"

static void add_op_count(int64_t repetition, int step, int steps, const char *op, int layer, const char *metric,
                         double millions)
{
    const struct store_op_place at = {{step, steps}, op, layer};
    const struct store_reading r = {.probe = "papi",
                                    .metric = metric,
                                    .provenance = isnan(millions) ? "missing" : "counter",
                                    .why = isnan(millions) ? "it was torn" : NULL,
                                    .value = millions * 1e6};

    assert_ok(store_add_op_reading(store, repetition, &at, &r, &error));
}

/* Prefill of 11 ms: mlp 4 ms in each of two layers at 200 MFLOP and 2 MB each, norm 1 ms inside it, head 0.5 ms; the passes by
 * op take 12.1 ms. Two decode steps, 100 and 300 MB of head in 20 and 40 ms. */
static int64_t add_ops_trial(void)
{
    static const double ms[] = {12.1, 20.5, 40.5}, timed[] = {11, 20, 40};
    int64_t t = add_trial(true, 4, 3), r = 0;

    for (int i = 0; i < 3; i++)
        predict(t, i, i ? 100 : 450, i ? 200 : 9, 0, 8);
    for (int i = 0; i < 3; i++)
        add_repetition(t, "time", false, "aa", timed, 3);
    add_op_work(t, 0, 1, "norm", 0, 1, 0);
    add_op_work(t, 0, 1, "mlp", 400, 4, 1);
    add_op_work(t, 0, 1, "head", 50, 5, 0);
    add_op_work(t, 1, 2, "norm", 0, 0, 0);
    add_op_work(t, 1, 2, "mlp", 0, 0, 0);
    add_op_work(t, 1, 2, "head", 200, 400, 0);
    for (int i = -1; i <= 1; i++) {
        r = add_repetition(t, "op:time", false, "aa", ms, 3);
        for (int layer = 0; layer < 2; layer++) {
            add_op_ms(r, 0, 1, "mlp", layer, 4 + 0.1 * i);
            add_op_ms(r, 0, 1, "norm", layer, 0.5);
        }
        add_op_ms(r, 0, 1, "head", -1, 0.5);
        add_op_ms(r, 1, 1, "head", -1, 20);
        add_op_ms(r, 1, 2, "head", -1, 60);
    }
    return t;
}

static void ops_are_their_layers_together_and_shares_of_their_own_step(void **state)
{
    (void)state;
    add_roofs();
    add_ops_trial();
    analyse();
    assert_text("trials/0/per_op/prefill/ops/0/op", "norm"); /* in the order of the pass */
    assert_text("trials/0/per_op/prefill/ops/1/op", "mlp");
    assert_number("trials/0/per_op/prefill/ops/1/ms/median", 8);
    assert_number("trials/0/per_op/prefill/ops/1/ms/n", 3);
    assert_number("trials/0/per_op/prefill/ops/1/share/median", 8 / 12.1);
    assert_number("trials/0/per_op/prefill/ops/1/layers/1/ms", 4);
    assert_number("trials/0/per_op/prefill/ops/1/flops/analytic", 400e6);
    assert_number("trials/0/per_op/prefill/ops/1/bytes/analytic", 3e6); /* what is written is left out */
    assert_number("trials/0/per_op/prefill/ops/1/gflops", 50);
    assert_text("trials/0/per_op/prefill/ops/1/verdict/kind", "compute-bound"); /* 4 ms at 100 GFLOP/s */
    assert_text("trials/0/per_op/prefill/ops/1/verdict/roof", "f32 fma");
    assert_number("trials/0/per_op/prefill/ops/1/verdict/efficiency", 0.5);
    assert_null_at("trials/0/per_op/prefill/ops/0/verdict"); /* no FLOPs */
    assert_number("trials/0/per_op/prefill/ops/0/gbps", 1);
    assert_number("trials/0/per_op/prefill/step_ms/median", 12.1);
    assert_number("trials/0/per_op/prefill/between_ms/median", 12.1 - 8 - 1 - 0.5);
    assert_number("trials/0/per_op/prefill/perturbation", 0.1);
}

static void decode_is_the_mean_step(void **state)
{
    (void)state;
    add_roofs();
    add_ops_trial();
    analyse();
    assert_int_equal(json_array_size(at("trials/0/per_op/decode/ops")), 1); /* the others did not run */
    assert_number("trials/0/per_op/decode/ops/0/ms/median", 30);
    assert_number("trials/0/per_op/decode/ops/0/bytes/analytic", 200e6);
    assert_text("trials/0/per_op/decode/ops/0/verdict/kind", "bandwidth-bound");
    assert_number("trials/0/per_op/decode/ops/0/verdict/efficiency", 2.0 / 3); /* 20 ms at 10 GB/s */
    assert_number("trials/0/per_op/decode/step_ms/median", 30.5);
    assert_number("trials/0/per_op/decode/perturbation", 0.5 / 30);
    assert_int_equal(json_array_size(at("trials/0/ops")), 3); /* spans are not among the steps' work */
}

static void counts_by_op_stand_beside_the_analytic_work_and_decide_when_both_are_there(void **state)
{
    int64_t t = add_ops_trial(), f, b;
    static const double ms[] = {20, 20, 20};

    (void)state;
    add_roofs();
    f = add_repetition(t, "op:papi:flops", false, "aa", ms, 3);
    b = add_repetition(t, "op:papi:bytes", false, "aa", ms, 3);
    for (int layer = 0; layer < 2; layer++) {
        add_op_count(f, 0, 1, "mlp", layer, "flops", 202);
        add_op_count(f, 0, 1, "mlp", layer, "cycles", 30);
        add_op_count(b, 0, 1, "mlp", layer, "dram_read_bytes", 1.6);
    }
    add_op_count(f, 1, 2, "head", -1, "flops", 202);
    add_op_count(b, 1, 2, "head", -1, "dram_read_bytes", NAN);
    analyse();
    assert_number("trials/0/per_op/prefill/ops/1/flops/counted", 404e6);
    assert_number("trials/0/per_op/prefill/ops/1/flops/error", 0.01);
    assert_number("trials/0/per_op/prefill/ops/1/bytes/counted", 3.2e6);
    assert_number("trials/0/per_op/prefill/ops/1/counters/cycles", 60e6);
    assert_number("trials/0/per_op/prefill/ops/1/layers/0/counted_flops", 202e6);
    assert_text("trials/0/per_op/prefill/ops/1/verdict/source", "counter");
    assert_number("trials/0/per_op/prefill/ops/1/gflops", 50.5);
    assert_number("trials/0/per_op/decode/ops/0/flops/counted", 101e6); /* of the mean step */
    assert_null_at("trials/0/per_op/decode/ops/0/bytes/counted");
    assert_text("trials/0/per_op/decode/ops/0/bytes/why", "it was torn");
    assert_text("trials/0/per_op/decode/ops/0/verdict/source", "analytic");
    assert_null_at("trials/0/decode/flops/counted"); /* counts by op are no counts of the step */
}

static void a_run_without_op_passes_has_none(void **state)
{
    (void)state;
    add_paper_trial();
    analyse();
    assert_null_at("trials/0/per_op");
}

static void the_summary_has_a_table_of_ops_and_of_what_measuring_costs(void **state)
{
    struct text out = {0};

    (void)state;
    add_roofs();
    add_ops_trial();
    analyse();
    summary_text(doc, &out);
    has_text(out.data, "\nprefill by op, kv_cache=on prompt=4 new=3: 12.1 ms, +10.00 % against the timing pass\n", __LINE__);
    has_text(out.data, "  mlp            8.00   66.1 %      400    3.00    50.0   0.375  50 % of f32 fma, compute-bound\n",
             __LINE__);
    has_text(out.data, "  norm           1.00    8.3 %        -    1.00       -    1.00  -\n", __LINE__);
    has_text(out.data, "\nwhat measuring costs, against the timing pass", __LINE__);
    text_free(&out);
}

/* --- what measuring costs --- */

static void add_bare(int64_t trial, double prefill_ms, double wall_ms)
{
    struct store_repetition r = {.pass = "bare",
                                 .tokens_hash = "aa",
                                 .ordinal = repetition_ordinal++,
                                 .prefill_ns = (int64_t)round(prefill_ms * 1e6),
                                 .wall_ns = (int64_t)round(wall_ms * 1e6)};
    int64_t id;

    assert_ok(store_add_repetition(store, trial, &r, &id, &error));
}

static void executions_are_compared_with_the_bare_one_of_their_own_visit(void **state)
{
    int64_t a = add_trial(true, 4, 3), b = add_trial(false, 4, 3), c = add_trial(false, 5, 3);

    (void)state;
    add_bare(c, 1, 2);
    add_repetition(a, "time", true, "aa", (double[]){99, 99, 99}, 3); /* warm-up is left out */
    add_bare(a, 10, 10 + 8);
    add_repetition(a, "time", false, "aa", (double[]){11, 4, 5}, 3); /* 10 % and 12.5 %, 0.5 ms a step */
    add_bare(b, 20, 20 + 40);
    add_repetition(b, "time", false, "aa", (double[]){24, 20, 24}, 3); /* 20 % and 10 %, 2 ms a step */
    add_repetition(a, "time", false, "aa", (double[]){50, 50, 50}, 3); /* the bare one has a nearer partner */
    add_repetition(a, "time", false, "aa", (double[]){60, 50, 50}, 3); /* a visit of its own: -40 % */
    add_bare(a, 100, 100 + 80);
    add_repetition(a, "papi:flops", false, "aa", (double[]){150, 40, 48}, 3);
    add_repetition(c, "time", false, "aa", (double[]){9, 9, 9}, 3); /* far from its bare one: others ran between them */
    analyse();
    assert_text("overhead/0/pass", "time");
    assert_text("overhead/0/against", "bare");
    assert_text("overhead/0/phase", "prefill");
    assert_number("overhead/0/ratio/n", 3);
    assert_number("overhead/0/ratio/median", 0.1);
    assert_text("overhead/1/phase", "decode");
    assert_text("overhead/2/pass", "papi:flops");
    assert_number("overhead/2/ratio/median", 0.5);
    assert_number("overhead/3/ratio/median", 0.1);
    assert_number("overhead/3/us_a_step/median", 4000);
    assert_int_equal(json_array_size(at("overhead")), 4); /* nothing is compared with itself */
    assert_number("trials/0/repetitions", 3);             /* bare executions are no timed ones */
    assert_number("trials/0/prefill/ms/median", 50);
    assert_text("trials/1/text", "a b b"); /* not the bare one's, which came first and knows none */
}

/* --- residency --- */

static void a_step_that_fits_into_a_cache_is_held_against_that_caches_roof(void **state)
{
    (void)state;
    add_roofs();
    for (int i = 0; i < 3; i++)
        add_roof("l3 read", "bandwidth", i, 40);
    assert_ok(store_add_cache(store, run, "l2", 2000000, &error));
    assert_ok(store_add_cache(store, run, "l3", 30000000, &error));
    add_paper_trial(); /* 20 to 23 MB a step */
    analyse();
    assert_text("trials/0/decode/verdict/cache", "l3");
    assert_text("trials/0/decode/verdict/roof", "l3 read");
    assert_number("trials/0/decode/verdict/ridge", 2.5);
    assert_says("trials/0/decode/verdict/sentence", "in cache: its 22.0 MB fit into l3 (30.0 MB)");
    assert_text("caches/0/level", "l2");
    json_decref(doc);
    doc = NULL;
    count_paper_trial(1); /* the counters saw all of it come from memory: they know better */
    analyse();
    assert_null_at("trials/0/decode/verdict/cache");
    assert_text("trials/0/decode/verdict/roof", "dram read");
}

static void what_counters_did_not_see_come_from_memory_is_in_cache_whatever_its_size(void **state)
{
    static const double ms[] = {12, 3, 5};
    int64_t t;

    (void)state;
    add_roofs();
    t = add_paper_trial();
    for (int i = 0; i < 2; i++) {
        int64_t r = add_repetition(t, "papi:both", false, "aa", ms, 3);
        for (int k = 0; k < 3; k++) {
            add_reading(r, k, "flops", k ? 12 : 800, "counter", NULL);
            add_reading(r, k, "dram_read_bytes", 2, "counter", NULL);
        }
    }
    analyse();
    assert_text("trials/0/decode/verdict/cache", ""); /* this run knows no caches */
    assert_text("trials/0/decode/verdict/kind", "unknown");
    assert_says("trials/0/decode/verdict/sentence", "in cache: 9 % of its 22.0 MB came from memory");
    assert_text("trials/0/prefill/verdict/kind", "compute-bound"); /* the compute roof stands wherever the data is */
}

/* --- energy --- */

static void joules_are_of_whole_phases(void **state)
{
    static const double ms[] = {10, 4, 6};
    int64_t t = add_trial(true, 4, 3), r;

    (void)state;
    for (int i = 0; i < 2; i++) {
        r = add_repetition(t, "time", false, "aa", ms, 3);
        for (int k = 0; k < (i ? 2 : 3); k++) /* the second lacks a step */
            add_reading(r, k, "energy_j", (k ? 0.2 : 0.8) / 1e6, "os", NULL);
    }
    analyse();
    assert_number("trials/0/energy/prefill/joules/n", 2);
    assert_number("trials/0/energy/prefill/joules/median", 0.8);
    assert_number("trials/0/energy/prefill/watts/median", 80);
    assert_number("trials/0/energy/prefill/joules_per_token", 0.2); /* four tokens of prompt */
    assert_number("trials/0/energy/decode/joules/n", 1);
    assert_number("trials/0/energy/decode/joules/median", 0.4);
    assert_number("trials/0/energy/decode/watts/median", 40);
    assert_number("trials/0/energy/decode/joules_per_token", 0.2);
}

#define test(name) cmocka_unit_test_setup_teardown(name, open_run, close_run)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(ops_are_their_layers_together_and_shares_of_their_own_step),
        test(decode_is_the_mean_step),
        test(counts_by_op_stand_beside_the_analytic_work_and_decide_when_both_are_there),
        test(a_run_without_op_passes_has_none),
        test(the_summary_has_a_table_of_ops_and_of_what_measuring_costs),
        test(executions_are_compared_with_the_bare_one_of_their_own_visit),
        test(a_step_that_fits_into_a_cache_is_held_against_that_caches_roof),
        test(what_counters_did_not_see_come_from_memory_is_in_cache_whatever_its_size),
        test(joules_are_of_whole_phases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
