/* SPDX-License-Identifier: MIT
 * For tests of the database: a folder of its own for each test, a run, a trial, and what is done with them. */
#ifndef BENCH_STORE_ROOM_H
#define BENCH_STORE_ROOM_H

#include "check.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"
#include "store_query.h"
#include "text.h"

/* --- a folder of its own for each test --- */

static char folder[256], path[300];

static inline int make_folder(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/bench-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/x.db", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    char command[400];

    (void)state;
    chmod(folder, 0700);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* --- helpers --- */

#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        if ((call) != 0)                                                                                                       \
            fail_msg("line %d: %s", __LINE__, error.text);                                                                     \
    } while (0)
#define assert_says(part)                                                                                                      \
    do {                                                                                                                       \
        if (!strstr(error.text, part))                                                                                         \
            fail_msg("line %d: '%s' does not say '%s'", __LINE__, error.text, part);                                           \
    } while (0)

static struct err error;

static const struct store_run a_run = {
    .suite = "kvcache_on_off",
    .question = "?",
    .suite_yaml = "",
    .command = "bench run",
    .model = "tiny",
    .arch = "gpt2",
    .dtype = "float32",
    .weights = "synthetic",
    .layers = 2,
    .d_model = 8,
    .heads = 2,
    .kv_heads = 2,
    .head_dim = 4,
    .d_ff = 32,
    .vocab = 50,
    .context = 64,
    .parameters = 1000,
    .weight_bytes = 4000,
    .tokenizer = "none",
    .prompt = "A:",
    .prompt_tokens = "[1, 2]",
    .backend = "ref",
    .backend_about = "plain loops",
    .cpus = "0",
    .threads = 1,
    .seed = 7,
    .load_model_ns = 1000,
    .load_tokenizer_ns = -1,
    .tokenize_ns = -1,
    .version = "test",
    .compiler = "cc",
    .conventions = "2 FLOPs",
    .format = "GGUF",
    .stored = "Q8_0",
    .stored_bytes = 1100,
    .load_peak_bytes = -1,
};

static const struct store_trial a_trial = {.axis = {[AXIS_KV_CACHE] = true,
                                                    [AXIS_BATCH] = 1,
                                                    [AXIS_PROMPT_TOKENS] = 2,
                                                    [AXIS_NEW_TOKENS] = 3,
                                                    [AXIS_STRATEGY] = STRATEGY_BEAM,
                                                    [AXIS_THREADS] = 1},
                                           .rows = 4,
                                           .sampling = "4 beams",
                                           .arithmetic = "int8",
                                           .attention_arithmetic = "f32",
                                           .weight_bytes = 1100,
                                           .kv_bytes_formula = 512,
                                           .kv_bytes_allocated = -1};

static inline void add_repetition(struct store *s, int64_t trial, int rep)
{
    struct store_repetition r = {.pass = "time",
                                 .tokens_hash = "0123456789abcdef",
                                 .rep = rep,
                                 .ordinal = rep,
                                 .wall_ns = 600,
                                 .switches_involuntary = 0,
                                 .page_faults_minor = 1,
                                 .page_faults_major = 0,
                                 .steal_ticks = -1,
                                 .other_busy = -1,
                                 .load1 = 0.5};
    int64_t id;

    assert_ok(store_add_repetition(s, trial, &r, &id, &error));
    for (int i = 0; i < 3; i++) {
        struct store_step step = {.step = i,
                                  .wall_ns = 100 * (i + 1),
                                  .sample_ns = i ? 10 * i : -1,
                                  .kv_len = 2 + i,
                                  .token = 40 + i,
                                  .launches = i ? 7 : -1,
                                  .token_text = "tok"};
        assert_ok(store_add_step(s, id, &step, &error));
    }
}

static inline void execute(struct store *s, const char *sql)
{
    assert_int_equal(sqlite3_exec(store_handle(s), sql, NULL, NULL, NULL), SQLITE_OK);
}

static inline struct store *open_or_fail(void)
{
    struct store *s = NULL;

    assert_ok(store_open(&s, path, &error));
    return s;
}

/* A database with one run and `repetitions` of its one trial. */
static inline void make_database(int repetitions)
{
    struct store *s = open_or_fail();
    int64_t run, trial;

    assert_ok(store_add_run(s, &a_run, &run, &error));
    assert_ok(store_add_trial(s, run, &a_trial, &trial, &error));
    for (int i = 0; i < repetitions; i++)
        add_repetition(s, trial, i);
    store_close(s);
}

static inline void assert_refused(int code, bool readonly)
{
    struct store *s = NULL;

    assert_int_equal(readonly ? store_open_readonly(&s, path, &error) : store_open(&s, path, &error), code);
    assert_null(s);
    assert_says(path);
}

static inline void write_file(const char *bytes, size_t n)
{
    assert_ok(text_write_file(path, bytes, n, &error));
}

#endif
