/* SPDX-License-Identifier: MIT
 * A run put through the store by hand, for the tests of what is said about runs: builders for its rows, readers for its
 * document. The machine's roofs are 100 GFLOP/s and 10 GB/s throughout; the figures in the checks were done on paper. Included
 * once by each program that needs it, after check.h. */
#ifndef BENCH_PAPER_RUN_H
#define BENCH_PAPER_RUN_H

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis.h"

/* --- building a run --- */

static struct store *store;
static int64_t run;
static json_t *doc;
static struct err error;
static double sample_share = -1; /* of each step, that chose its token; below 0: not measured */
static int launches_a_step = -1; /* below 0: there is no device */

#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        if ((call) != 0)                                                                                                       \
            fail_msg("line %d: %s", __LINE__, error.text);                                                                     \
    } while (0)

/* At a path, or ":memory:". */
static inline int open_run_of(const char *backend, const char *path)
{
    struct store_run r = {.suite = "paper",
                          .question = "?",
                          .suite_yaml = "",
                          .command = "bench run",
                          .model = "tiny",
                          .arch = "gpt2",
                          .dtype = "float32",
                          .weights = "synthetic",
                          .layers = 2,
                          .d_model = 8,
                          .heads = 4,
                          .kv_heads = 2,
                          .head_dim = 4,
                          .d_ff = 32,
                          .vocab = 50,
                          .context = 64,
                          .parameters = 1000,
                          .weight_bytes = 4000,
                          .tokenizer = "none",
                          .prompt = "A:",
                          .prompt_tokens = "[5, 6, 7, 8]",
                          .backend = backend,
                          .backend_about = "plain",
                          .cpus = "0,1",
                          .threads = 2,
                          .seed = 7,
                          .load_model_ns = 3000000,
                          .load_tokenizer_ns = -1,
                          .tokenize_ns = 500000,
                          .version = "v",
                          .compiler = "cc",
                          .conventions = "2 FLOPs a multiply-add",
                          .format = "GGUF",
                          .stored = "Q8_0",
                          .stored_bytes = 1500,
                          .load_peak_bytes = 9000};

    doc = NULL;
    sample_share = -1;
    launches_a_step = -1;
    if (store_open(&store, path, &error) < 0)
        return -1;
    return store_add_run(store, &r, &run, &error);
}

static inline int open_run(void **state)
{
    (void)state;
    return open_run_of("ref", ":memory:");
}

static inline int close_run(void **state)
{
    (void)state;
    json_decref(doc);
    store_close(store);
    return 0;
}

static inline void add_roof_of(const char *name, const char *kind, int threads, int round, double giga)
{
    struct store_roof r = {.name = name,
                           .kind = kind,
                           .level = strcmp(kind, "compute") == 0  ? "registers"
                                    : strcmp(kind, "launch") == 0 ? "launch"
                                                                  : "dram",
                           .how = "by hand",
                           .threads = threads,
                           .round = round,
                           .at_ns = 1000 * round,
                           .value = giga * 1e9};

    assert_ok(store_add_roof(store, run, &r, &error));
}

static inline void add_roof(const char *name, const char *kind, int round, double giga)
{
    add_roof_of(name, kind, 2, round, giga);
}

/* Rounds around 100 GFLOP/s and 10 GB/s; the repetitions stand between the second and the third, whose means are just that. */
static inline void add_roofs(void)
{
    const double compute[] = {100, 98, 102}, bandwidth[] = {10, 10.5, 9.5};

    for (int i = 0; i < 3; i++) {
        add_roof("f32 fma", "compute", i, compute[i]);
        add_roof("dram read", "bandwidth", i, bandwidth[i]);
    }
}

/* A trial at the usual values, for a test to change before it is added; two threads as the run's. */
static inline struct store_trial usual_trial(bool kv, int prompt, int new_tokens)
{
    struct store_trial t = {.rows = 1,
                            .arithmetic = "f32",
                            .attention_arithmetic = "f32",
                            .weight_bytes = 4000,
                            .kv_bytes_formula = kv ? 2048 : 0,
                            .kv_bytes_allocated = kv ? 2048 : 0};

    for (int a = 0; a < AXIS_COUNT; a++)
        t.axis[a] = axes[a].usual;
    t.axis[AXIS_KV_CACHE] = kv;
    t.axis[AXIS_PROMPT_TOKENS] = prompt;
    t.axis[AXIS_NEW_TOKENS] = new_tokens;
    t.axis[AXIS_THREADS] = 2;
    return t;
}

/* "bf16" and the like. */
static inline void set_axis(struct store_trial *t, enum axis a, const char *value)
{
    assert_true(axis_value(a, value, &t->axis[a]));
}

static inline int64_t put_trial(struct store_trial t)
{
    static int ordinal;
    int64_t id = 0;

    t.ordinal = ordinal++;
    assert_ok(store_add_trial(store, run, &t, &id, &error));
    return id;
}

/* rows: batch times beams. */
static inline int64_t add_chosen_trial(bool kv, int prompt, int new_tokens, const char *strategy, const char *sampling,
                                       int rows)
{
    struct store_trial t = usual_trial(kv, prompt, new_tokens);

    set_axis(&t, AXIS_STRATEGY, strategy);
    t.sampling = sampling;
    t.rows = rows;
    return put_trial(t);
}

static inline int64_t add_trial(bool kv, int prompt, int new_tokens)
{
    return add_chosen_trial(kv, prompt, new_tokens, "greedy", NULL, 1);
}

static inline void predict(int64_t trial, int step, double mflop, double weight_mb, double kv_mb, double roof_ms)
{
    struct store_prediction p = {.step = step,
                                 .flops = mflop * 1e6,
                                 .weight_bytes = weight_mb * 1e6,
                                 .kv_read_bytes = kv_mb * 1e6,
                                 .kv_write_bytes = 7e6,
                                 .roof_ns = roof_ms * 1e6};

    assert_ok(store_add_prediction(store, trial, &p, &error));
}

static int64_t repetition_starts_ns = 1500;

static int repetition_ordinal; /* of execution within the run */

static inline int64_t add_repetition(int64_t trial, const char *pass, bool warmup, const char *hash, const double *ms,
                                     int steps)
{
    struct store_repetition r = {.pass = pass,
                                 .tokens_hash = hash,
                                 .rep = repetition_ordinal,
                                 .ordinal = repetition_ordinal,
                                 .warmup = warmup,
                                 .started_ns = repetition_starts_ns,
                                 .rejected = strcmp(pass, "time") != 0,
                                 .steal_ticks = -1,
                                 .other_busy = -1,
                                 .load1 = 0.25};
    int64_t id = 0;

    repetition_ordinal++;
    assert_ok(store_add_repetition(store, trial, &r, &id, &error));
    for (int i = 0; i < steps; i++) {
        int64_t ns = (int64_t)round(ms[i] * 1e6);
        struct store_step step = {.step = i,
                                  .wall_ns = ns,
                                  .sample_ns = sample_share < 0 ? -1 : (int64_t)((double)ns * sample_share),
                                  .kv_len = 4 + i,
                                  .token = 10 + i,
                                  .launches = launches_a_step,
                                  .token_text = i ? " b" : "a"};
        assert_ok(store_add_step(store, id, &step, &error));
    }
    return id;
}

static inline void add_reading_of(const char *probe, int64_t repetition, int step, const char *metric, double value,
                                  const char *provenance, const char *why)
{
    struct store_reading r = {
        .step = step, .probe = probe, .metric = metric, .provenance = provenance, .why = why, .value = value, .coverage = 1};

    assert_ok(store_add_reading(store, repetition, &r, &error));
}

static inline void add_reading(int64_t repetition, int step, const char *metric, double millions, const char *provenance,
                               const char *why)
{
    add_reading_of("papi", repetition, step, metric, millions * 1e6, provenance, why);
}

/* Prefill of 8 ms of compute and 2 ms of memory; two decode steps of 0.12 and 2.2 ms in the mean. Three timed repetitions. */
static inline int64_t add_paper_trial(void)
{
    static const double warm[] = {100, 50, 50}, ms[3][3] = {{10, 2, 4}, {12, 3, 5}, {11, 2.5, 4.5}};
    int64_t t = add_trial(true, 4, 3);

    predict(t, 0, 800, 20, 0, 8);
    predict(t, 1, 10, 20, 1, 2);
    predict(t, 2, 14, 20, 3, 2.5);
    add_repetition(t, "time", true, "aa", warm, 3);
    for (int i = 0; i < 3; i++)
        add_repetition(t, "time", false, "aa", ms[i], 3);
    return t;
}

static inline void count_paper_trial(int64_t t)
{
    static const double ms[] = {12.1, 2.75, 5.4}, flops[] = {808, 11, 14}, bytes[] = {20.2, 21, 24};

    for (int i = 0; i < 3; i++) {
        int64_t f = add_repetition(t, "papi:flops", false, "aa", ms, 3),
                b = add_repetition(t, "papi:bytes", false, "aa", ms, 3);
        for (int k = 0; k < 3; k++) { /* the median of the three is the middle one */
            add_reading(f, k, "flops", flops[k] + (i - 1), "counter", NULL);
            add_reading(f, k, "cycles", 1, "counter", NULL);
            add_reading(b, k, "dram_read_bytes", bytes[k] + (i - 1), "counter", NULL);
        }
    }
}

/* Trials of 2, 4 and 8 new tokens whose totals are close to c x T^exponent, in three repetitions 1 % apart. */
static inline void add_arm(bool kv, double c, double exponent, double spread)
{
    for (int n = 2; n <= 8; n *= 2) {
        int64_t t = add_trial(kv, 4, n);
        double total = c * pow(n, exponent), ms[8];
        for (int i = 0; i < n; i++)
            predict(t, i, 10 * pow(n, exponent) / n, 20, 0, 1);
        for (int r = -1; r <= 1; r++) {
            for (int i = 0; i < n; i++)
                ms[i] = total / n * (1 + r * spread);
            add_repetition(t, "time", false, "aa", ms, n);
        }
    }
}

static inline void add_op_work(int64_t trial, int step, int steps, const char *op, double mflop, double mb, double written_mb)
{
    const struct store_op row = {{step, steps}, op, mflop * 1e6, mb * 1e6, written_mb * 1e6};

    assert_ok(store_add_op(store, trial, &row, &error));
}

static inline void add_op_ms(int64_t repetition, int step, int steps, const char *op, int layer, double ms)
{
    const struct store_op_place at = {{step, steps}, op, layer};

    assert_ok(store_add_op_step(store, repetition, &at, (int64_t)round(ms * 1e6), &error));
}

/* --- reading the document --- */

static inline void analyse(void)
{
    json_decref(doc);
    doc = NULL;
    assert_ok(analysis_document(&doc, store, run, &error));
}

/* "trials/0/prefill/ms/median"; a key that is not there fails. */
static inline const json_t *at(const char *path)
{
    const json_t *v = doc;
    char copy[128], *save = NULL;

    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, "/", &save); key; key = strtok_r(NULL, "/", &save)) {
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
        if (!v)
            fail_msg("the document has no %s", path);
    }
    return v;
}

static inline void number_at(const char *path, double want, int line)
{
    const json_t *v = at(path);

    if (!json_is_number(v) || !(fabs(json_number_value(v) - want) <= 1e-9 * fmax(1, fabs(want))))
        fail_msg("line %d: %s is %.12g, not %.12g", line, path, json_number_value(v), want);
}
#define assert_number(path, want) number_at(path, want, __LINE__)
#define assert_text(path, want)   assert_string_equal(json_string_value(at(path)), want)
#define assert_null_at(path)      assert_true(json_is_null(at(path)))

static inline void has_text(const char *text, const char *part, int line)
{
    if (!text || !strstr(text, part))
        fail_msg("line %d: '%s' does not say '%s'", line, text ? text : "(null)", part);
}
#define assert_says(path, part) has_text(json_string_value(at(path)), part, __LINE__)

/* --- judging --- */

/* Adds the claim, judges all, leaves the last one's result in claims/N of the document; returns it. */
static inline const char *judge(const char *spec)
{
    static char path[32];
    bool all_held;
    int n;

    analyse();
    n = (int)json_array_size(at("claims"));
    assert_ok(store_add_claim(store, run, n, spec, &error));
    assert_ok(analysis_claims(store, run, &all_held, &error));
    analyse();
    snprintf(path, sizeof path, "claims/%d/result", n);
    return json_string_value(at(path));
}

/* Of the claim judged last. */
static inline void claim_says(const char *key, const char *part, int line)
{
    size_t n = json_array_size(at("claims"));

    has_text(json_string_value(json_object_get(json_array_get(at("claims"), n - 1), key)), part, line);
}
#define assert_claim(part)    claim_says("text", part, __LINE__)
#define assert_evidence(part) claim_says("evidence", part, __LINE__)

#define STEEPER(metric, steeper, than)                                                                                         \
    "{\"claim\": \"exponent\", \"metric\": \"" metric "\", \"along\": \"new_tokens\", \"steeper\": {\"kv_cache\": \"" steeper  \
    "\"}, \"than\": {\"kv_cache\": \"" than "\"}}"

#endif
