/* SPDX-License-Identifier: MIT
 * The database under use and abuse: real files, a real SIGKILL, a real limit on the file's size. */
#include "check.h"

#include <grp.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store.h"
#include "text.h"

/* --- a folder of its own for each test --- */

static char folder[256], path[300];

static int make_folder(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(folder, sizeof folder, "%s/bench-store-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/x.db", folder);
    return 0;
}

static int remove_folder(void **state)
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

static const struct store_trial a_trial = {.kv_cache = true,
                                           .batch = 1,
                                           .rows = 4,
                                           .prompt_tokens = 2,
                                           .new_tokens = 3,
                                           .strategy = "beam",
                                           .sampling = "4 beams",
                                           .kv_bytes_formula = 512,
                                           .kv_bytes_allocated = -1};

static void add_repetition(struct store *s, int64_t trial, int rep)
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
        struct store_step step = {i, 100 * (i + 1), i ? 10 * i : -1, 2 + i, 40 + i, "tok"};
        assert_ok(store_add_step(s, id, &step, &error));
    }
}

static int64_t query(struct store *s, const char *sql)
{
    sqlite3_stmt *st = NULL;

    assert_int_equal(sqlite3_prepare_v2(store_handle(s), sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

static void execute(struct store *s, const char *sql)
{
    assert_int_equal(sqlite3_exec(store_handle(s), sql, NULL, NULL, NULL), SQLITE_OK);
}

static struct store *open_or_fail(void)
{
    struct store *s = NULL;

    assert_ok(store_open(&s, path, &error));
    return s;
}

/* A database with one run and `repetitions` of its one trial. */
static void make_database(int repetitions)
{
    struct store *s = open_or_fail();
    int64_t run, trial;

    assert_ok(store_add_run(s, &a_run, &run, &error));
    assert_ok(store_add_trial(s, run, &a_trial, &trial, &error));
    for (int i = 0; i < repetitions; i++)
        add_repetition(s, trial, i);
    store_close(s);
}

static void assert_refused(int code, bool readonly)
{
    struct store *s = NULL;

    assert_int_equal(readonly ? store_open_readonly(&s, path, &error) : store_open(&s, path, &error), code);
    assert_null(s);
    assert_says(path);
}

static void write_file(const char *bytes, size_t n)
{
    assert_ok(text_write_file(path, bytes, n, &error));
}

/* --- what it is --- */

static void a_new_database_is_marked_ours_strict_and_in_wal_mode(void **state)
{
    struct store *s = open_or_fail();

    (void)state;
    assert_int_equal(query(s, "SELECT application_id FROM pragma_application_id"), 0x62656e63);
    assert_int_equal(query(s, "SELECT user_version FROM pragma_user_version"), 3);
    assert_int_equal(query(s, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(query(s, "SELECT foreign_keys FROM pragma_foreign_keys"), 1);
    assert_int_equal(query(s,
                           "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict AND "
                           "name NOT LIKE 'sqlite_%'"),
                     0);
    store_close(s);
    s = open_or_fail(); /* and opens again without a second migration */
    assert_int_equal(query(s, "SELECT count(*) FROM run"), 0);
    store_close(s);
}

static void rows_come_back_as_they_were_put(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();

    (void)state;
    assert_int_equal(query(s, "SELECT count(*) FROM run WHERE suite = 'kvcache_on_off' AND kv_heads = 2 AND seed = 7 AND "
                              "load_model_ns = 1000 AND finished IS NULL AND started LIKE '20__-__-__T__:__:__Z'"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM run WHERE format = 'GGUF' AND stored = 'Q8_0' AND stored_bytes = 1100"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM trial WHERE kv_cache = 'on' AND new_tokens = 3 AND unconverged IS NULL "
                              "AND strategy = 'beam' AND sampling = '4 beams' AND rows = 4"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE sample_ns = 10 * step"), 2);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE phase = 'prefill' AND step = 0 AND wall_ns = 100"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE phase = 'decode' AND kv_len = 2 + step AND token = 40 + step"),
                     2);
    store_close(s);
}

static void unknown_is_null_never_zero(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();
    struct store_reading missing = {
        .step = 0, .probe = "papi", .metric = "flops", .provenance = "missing", .why = "no counter"};
    struct store_calibration c = {.metric = "flops",
                                  .probe = "papi",
                                  .event = "E",
                                  .kernel = "k",
                                  .why = "w",
                                  .expected = 1,
                                  .measured = NAN,
                                  .rel_error = NAN,
                                  .limit = 0.02};

    (void)state;
    assert_int_equal(query(s, "SELECT count(*) FROM run WHERE tokenize_ns IS NULL AND load_tokenizer_ns IS NULL AND "
                              "load_peak_bytes IS NULL"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE step = 0 AND sample_ns IS NULL"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM trial WHERE kv_bytes_allocated IS NULL"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM repetition WHERE steal_ticks IS NULL AND other_busy IS NULL AND "
                              "switches_involuntary = 0"),
                     1);
    assert_ok(store_add_reading(s, 1, &missing, &error));
    assert_int_equal(query(s, "SELECT count(*) FROM reading WHERE value IS NULL AND why = 'no counter'"), 1);
    assert_ok(store_add_calibration(s, 1, &c, &error));
    assert_int_equal(query(s, "SELECT count(*) FROM calibration WHERE measured IS NULL AND rel_error IS NULL"), 1);
    store_close(s);
}

static void words_outside_their_list_and_orphans_are_refused(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();
    struct store_reading r = {.step = 0, .probe = "papi", .metric = "flops", .provenance = "guess", .value = 1, .coverage = 1};
    struct store_roof roof = {.name = "x", .kind = "magic", .level = "dram", .how = "", .threads = 1, .value = 1};
    int64_t id;

    (void)state;
    assert_int_equal(store_add_reading(s, 1, &r, &error), ERR_FORMAT);
    assert_says("refuses this row: CHECK constraint failed");
    r.provenance = "counter";
    r.value = NAN;
    assert_int_equal(store_add_reading(s, 1, &r, &error), ERR_FORMAT); /* only what is missing may lack a value */
    assert_int_equal(store_add_roof(s, 1, &roof, &error), ERR_FORMAT);
    struct store_trial trial = a_trial;
    trial.ordinal = 1;
    trial.strategy = "guess";
    assert_int_equal(store_add_trial(s, 1, &trial, &id, &error), ERR_FORMAT);
    assert_int_equal(store_add_model_file(s, 1, "x.gguf", 5, "short", &error), ERR_FORMAT);
    assert_int_equal(store_finish_run(s, 1, "great", NULL, &error), ERR_FORMAT);
    assert_int_equal(store_add_trial(s, 99, &a_trial, &id, &error), ERR_FORMAT);
    assert_says("FOREIGN KEY");
    assert_ok(store_finish_run(s, 1, "held", NULL, &error)); /* and the store still works */
    assert_int_equal(query(s, "SELECT finished IS NOT NULL AND outcome = 'held' FROM run"), 1);
    store_close(s);
}

static void a_rolled_back_repetition_leaves_nothing(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();

    (void)state;
    assert_ok(store_begin(s, &error));
    add_repetition(s, 1, 1);
    store_rollback(s);
    store_rollback(s); /* without a transaction it does nothing */
    assert_int_equal(query(s, "SELECT count(*) FROM repetition"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM step"), 3);
    store_close(s);
}

static void runs_are_found_by_number_and_last(void **state)
{
    struct store *s = open_or_fail();
    int64_t id = 0;

    (void)state;
    assert_int_equal(store_find_run(s, "last", &id, &error), ERR_USAGE);
    assert_says("holds no runs yet");
    assert_ok(store_add_run(s, &a_run, &id, &error));
    assert_ok(store_add_run(s, &a_run, &id, &error));
    assert_ok(store_find_run(s, "last", &id, &error));
    assert_int_equal(id, 2);
    assert_ok(store_find_run(s, "1", &id, &error));
    assert_int_equal(id, 1);
    assert_int_equal(store_find_run(s, "3", &id, &error), ERR_USAGE);
    assert_says("no run 3; the last of its 2 is 2");
    assert_int_equal(store_find_run(s, "1x", &id, &error), ERR_USAGE);
    assert_int_equal(store_find_run(s, "99999999999999999999", &id, &error), ERR_USAGE);
    assert_int_equal(store_find_run(s, "", &id, &error), ERR_USAGE);
    store_close(s);
}

/* --- what happens to it --- */

/* Commits three repetitions, writes half of a fourth, says so and waits to be killed. */
static void run_until_killed(int ready)
{
    struct store *s = open_or_fail();
    int64_t run, trial;

    assert_ok(store_add_run(s, &a_run, &run, &error));
    assert_ok(store_add_trial(s, run, &a_trial, &trial, &error));
    for (int i = 0; i < 4; i++) {
        assert_ok(store_begin(s, &error));
        add_repetition(s, trial, i);
        if (i < 3)
            assert_ok(store_commit(s, &error));
    }
    if (write(ready, "x", 1) == 1)
        pause();
}

static void a_killed_run_keeps_its_finished_repetitions(void **state)
{
    int ready[2], status;
    char byte;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ready[0]);
        run_until_killed(ready[1]);
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    struct store *s = open_or_fail();
    assert_int_equal(query(s, "SELECT count(*) FROM repetition"), 3);
    assert_int_equal(query(s, "SELECT count(*) FROM step"), 9);
    assert_int_equal(query(s, "SELECT finished IS NULL FROM run"), 1);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    add_repetition(s, 1, 3); /* and it can go on */
    store_close(s);
}

/* Runs in a child, so that its limits and rights do not outlive the test; the exit status says what failed. */
static void in_child(void (*body)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define demand(condition)                                                                                                      \
    do {                                                                                                                       \
        if (!(condition)) {                                                                                                    \
            fprintf(stderr, "line %d: %s\n", __LINE__, error.text);                                                            \
            _exit(1);                                                                                                          \
        }                                                                                                                      \
    } while (0)

/* Writes until the file may not grow any more. */
static void fill_the_disk(void)
{
    struct rlimit limit = {512 * 1024, 512 * 1024};
    static char large[60000];
    struct store *s = NULL;
    int code = 0, kept = 0;

    memset(large, 'x', sizeof large - 1);
    signal(SIGXFSZ, SIG_IGN);
    demand(store_open(&s, path, &error) == 0);
    demand(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 0; i < 100 && code == 0; i++) {
        code = store_begin(s, &error);
        if (code == 0)
            code = store_add_absent(s, 1, "something", large, &error);
        if (code == 0)
            code = store_commit(s, &error);
        kept += code == 0;
    }
    demand(code == ERR_IO && strstr(error.text, "writing failed: the disk is full") && strstr(error.text, path));
    demand(kept > 0);
    store_rollback(s);
    store_close(s);
}

static void a_full_disk_is_one_sentence_and_keeps_what_was_committed(void **state)
{
    (void)state;
    make_database(2);
    in_child(fill_the_disk);
    struct store *s = open_or_fail();
    assert_int_equal(query(s, "SELECT count(*) FROM repetition"), 2);
    assert_true(query(s, "SELECT count(*) FROM absent") > 0);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    store_close(s);
}

static void the_database_s_own_limit_reads_like_a_full_disk(void **state)
{
    struct store *s;
    static char large[60000];
    int code = 0;

    (void)state;
    make_database(2);
    s = open_or_fail();
    execute(s, "PRAGMA max_page_count = 60");
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 10 && code == 0; i++)
        code = store_add_absent(s, 1, "something", large, &error);
    assert_int_equal(code, ERR_IO);
    assert_says("the disk is full; what was committed is kept: free some space");
    assert_int_equal(query(s, "SELECT count(*) FROM repetition"), 2);
    store_close(s);
}

/* The superuser may write anywhere: become nobody. */
static void drop_rights(void)
{
    if (geteuid() == 0) {
        demand(setgroups(0, NULL) == 0);
        demand(setgid(65534) == 0);
        demand(setuid(65534) == 0);
    }
}

static void use_readonly_folder(void)
{
    struct store *s = NULL;
    int64_t id;

    drop_rights();
    demand(store_open(&s, path, &error) == ERR_IO && strstr(error.text, "read-only") && !s);
    demand(store_open_readonly(&s, path, &error) == 0);
    demand(store_find_run(s, "last", &id, &error) == 0 && id == 1);
    demand(store_add_absent(s, 1, "x", "y", &error) == ERR_IO && strstr(error.text, "read-only"));
    store_close(s);
}

static void a_read_only_file_in_a_read_only_folder_can_still_be_read(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/50%% of a#b?.db", folder); /* a name that is no URL */
    make_database(1);
    chmod(path, 0444);
    chmod(folder, 0555);
    in_child(use_readonly_folder);
}

static void create_in_readonly_folder(void)
{
    struct store *s = NULL;

    drop_rights();
    demand(store_open(&s, path, &error) == ERR_IO && strstr(error.text, "Permission denied") && strstr(error.text, "--db"));
}

static void a_folder_without_rights_is_said_when_creating(void **state)
{
    (void)state;
    chmod(folder, 0555);
    in_child(create_in_readonly_folder);
}

/* --- what is not ours --- */

static void a_text_file_is_not_a_database(void **state)
{
    static const char text[] = "question: What does the KV cache buy?\n";

    (void)state;
    write_file(text, strlen(text));
    assert_refused(ERR_FORMAT, false);
    assert_says("not a bench database (not an SQLite file)");
    assert_refused(ERR_FORMAT, true);
}

static void another_program_s_database_is_refused_untouched(void **state)
{
    sqlite3 *db;
    struct text before = {0}, after = {0};

    (void)state;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE song(title)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_ok(text_read_file(&before, path, 1 << 20, &error));
    assert_refused(ERR_FORMAT, false);
    assert_says("not a bench database (an SQLite file of another program)");
    assert_ok(text_read_file(&after, path, 1 << 20, &error));
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    text_free(&before);
    text_free(&after);
}

static void a_newer_schema_is_refused_with_the_remedy(void **state)
{
    struct store *s = open_or_fail();

    (void)state;
    execute(s, "PRAGMA user_version = 99");
    store_close(s);
    assert_refused(ERR_FORMAT, false);
    assert_says("written by a newer bench (schema 99, this one knows 3): update bench");
    assert_refused(ERR_FORMAT, true);
}

static void a_file_cut_short_is_called_damaged(void **state)
{
    make_database(3);
    assert_int_equal(truncate(path, 8192), 0);
    (void)state;
    assert_refused(ERR_FORMAT, false);
    assert_says("damaged or cut short");
    assert_int_equal(truncate(path, 50), 0);
    assert_refused(ERR_FORMAT, true);
    assert_says("damaged or cut short");
}

static void damage_in_the_middle_is_said_when_it_is_met(void **state)
{
    struct text file = {0};
    struct store *s = NULL;
    int64_t id;

    (void)state;
    make_database(3);
    assert_ok(text_read_file(&file, path, 1 << 24, &error));
    memset(file.data + 4096, 0xab, file.len - 4096); /* the first page, with the schema's head, stays */
    write_file(file.data, file.len);
    text_free(&file);
    if (store_open_readonly(&s, path, &error) == 0)
        assert_int_equal(store_find_run(s, "last", &id, &error), ERR_FORMAT);
    assert_says("damaged or cut short");
    assert_says(path);
    store_close(s);
}

static void folders_and_missing_files_are_said_plainly(void **state)
{
    (void)state;
    assert_refused(ERR_IO, true);
    assert_says("no such database");
    write_file("", 0);
    assert_refused(ERR_FORMAT, true);
    assert_says("it is empty");
    assert_ok(unlink(path));
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(ERR_IO, false);
    assert_says("is a folder");
    snprintf(path, sizeof path, "%s/no/such/x.db", folder);
    assert_refused(ERR_IO, false);
    assert_says("its folder: No such file or directory");
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_new_database_is_marked_ours_strict_and_in_wal_mode),
        test(rows_come_back_as_they_were_put),
        test(unknown_is_null_never_zero),
        test(words_outside_their_list_and_orphans_are_refused),
        test(a_rolled_back_repetition_leaves_nothing),
        test(runs_are_found_by_number_and_last),
        test(a_killed_run_keeps_its_finished_repetitions),
        test(a_full_disk_is_one_sentence_and_keeps_what_was_committed),
        test(the_database_s_own_limit_reads_like_a_full_disk),
        test(a_read_only_file_in_a_read_only_folder_can_still_be_read),
        test(a_folder_without_rights_is_said_when_creating),
        test(a_text_file_is_not_a_database),
        test(another_program_s_database_is_refused_untouched),
        test(a_newer_schema_is_refused_with_the_remedy),
        test(a_file_cut_short_is_called_damaged),
        test(damage_in_the_middle_is_said_when_it_is_met),
        test(folders_and_missing_files_are_said_plainly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
