/* SPDX-License-Identifier: MIT
 * A database that an older bench wrote, with a run in it: brought up to date, and everything that is said about runs still
 * works on it. */
#include "check.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analysis.h"
#include "embedded.h"
#include "html.h"
#include "record.h"
#include "store.h"
#include "store_query.h"
#include "summary.h"

enum { PATH_BYTES = 300 };

static char folder[256];
static struct err error;

#define assert_ok(call)                                                                                                        \
    do {                                                                                                                       \
        if ((call) != 0)                                                                                                       \
            fail_msg("line %d: %s", __LINE__, error.text);                                                                     \
    } while (0)

static const char *in_folder(char path[PATH_BYTES], const char *name)
{
    snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return path;
}

/* As version 1 was released: a finished run of one trial, three sequences, two repetitions of three steps. */
static const char version_1_rows[] =
    "PRAGMA application_id = 0x62656e63; PRAGMA user_version = 1;"
    "INSERT INTO run VALUES(1, 'old', 'Does it last?', '', 'bench run', '2026-01-01T00:00:00Z', '2026-01-01T00:00:09Z', "
    "'held', "
    "NULL, 'tiny', 'gpt2', 'float32', 'synthetic', 2, 8, 4, 2, 4, 32, 50, 64, 1000, 4000, 'none', 'A:', '[5, 6]', 'ref', "
    "'plain', "
    "2, '0,1', 7, 3000000, NULL, NULL, 'v1', 'cc', 'as it was');"
    "INSERT INTO trial VALUES(1, 1, 0, 'on', 3, 2, 3, 2048, 2048, 0);"
    "INSERT INTO prediction SELECT 1, value, iif(value, 'decode', 'prefill'), 1e6, 2e6, 0, 0, 1e6 FROM json_each('[0, 1, 2]');"
    "INSERT INTO repetition SELECT value, 1, 'time', value, 0, value, 0, 9000000, 'aa', 0, NULL, NULL, NULL, NULL, NULL, NULL "
    "FROM json_each('[1, 2]');"
    "INSERT INTO step SELECT r.id, s.value, iif(s.value, 'decode', 'prefill'), 3000000, 2 + s.value, 40, 'x' FROM repetition "
    "r, "
    "json_each('[0, 1, 2]') s;"
    "INSERT INTO claim VALUES(1, 0, '{\"claim\": \"same_tokens\", \"across\": \"batch\"}', 'held', 'the words', 'the "
    "evidence');";

/* The same run as version 2 has it, with what came new in that version. */
static const char version_2_rows[] = "PRAGMA user_version = 2;"
                                     "UPDATE run SET format = 'GGUF', stored = 'Q8_0', stored_bytes = 1500;"
                                     "UPDATE step SET sample_ns = 30000;"
                                     "INSERT INTO op VALUES(1, 0, 'qkv', 5, 6), (1, 0, 'mlp', 7, 8), (1, 1, 'qkv', 1, 2);";

/* The same run as version 3 has it, with what came new in that version. */
static const char version_3_rows[] = "PRAGMA user_version = 3;"
                                     "INSERT INTO cache VALUES(1, 'l2', 4000000);"
                                     "UPDATE repetition SET interrupts = 7;";

/* The same run as version 4 has it, by now with a row in every table. */
static const char version_4_rows[] =
    "PRAGMA user_version = 4;"
    "UPDATE trial SET dtype = 'q8_0', kv_dtype = 'bf16', gemm = 'own', attention = 'naive', arithmetic = 'int8', "
    "attention_arithmetic = 'bf16', weight_bytes = 1100, sampling = 'as it was', unconverged = 1;"
    "INSERT INTO accuracy VALUES(1, 9, 0.5, 0.1, 2, 0.75);"
    "INSERT INTO machine VALUES(1, 'CPU', 'old', 'hwloc');"
    "INSERT INTO model_file VALUES(1, 'x', 9, '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef');"
    "INSERT INTO absent VALUES(1, 'rapl', 'none');"
    "INSERT INTO calibration VALUES(1, 1, 'flops', 'papi', 'E', 'k', 1, 1, 0, 0.02, 1, '');"
    "INSERT INTO roof VALUES(7, 1, 'f32 fma', 'compute', 'registers', 2, 0, 5, 1e11, 1, 1, 1, 'h'), "
    "(9, 1, 'dram read', 'bandwidth', 'dram', 2, 0, 5, 1e10, 1, 1, 1, 'h');"
    "INSERT INTO reading VALUES(1, 0, 'papi', 'flops', 1e6, 1, 'counter', NULL);"
    "INSERT INTO op_step VALUES(1, 0, 1, 'qkv', 0, 1000);"
    "INSERT INTO op_reading VALUES(1, 0, 1, 'qkv', 0, 'papi', 'flops', 5, 'counter', NULL);";

static int make_database(int version)
{
    const char *tmp = getenv("TMPDIR");
    char path[PATH_BYTES];
    sqlite3 *db;

    snprintf(folder, sizeof folder, "%s/bench-migration-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder) || sqlite3_open(in_folder(path, "old.db"), &db) != SQLITE_OK)
        return -1;
    int bad = sqlite3_exec(db, embedded_schema, NULL, NULL, NULL) || sqlite3_exec(db, version_1_rows, NULL, NULL, NULL);
    if (!bad && version >= 2)
        bad = sqlite3_exec(db, embedded_schema_2, NULL, NULL, NULL) || sqlite3_exec(db, version_2_rows, NULL, NULL, NULL);
    if (!bad && version >= 3)
        bad = sqlite3_exec(db, embedded_schema_3, NULL, NULL, NULL) || sqlite3_exec(db, version_3_rows, NULL, NULL, NULL);
    if (!bad && version >= 4)
        bad = sqlite3_exec(db, embedded_schema_4, NULL, NULL, NULL) || sqlite3_exec(db, version_4_rows, NULL, NULL, NULL);
    if (bad)
        fprintf(stderr, "%s\n", sqlite3_errmsg(db));
    sqlite3_close(db);
    return bad;
}

static int make_old_database(void **state)
{
    (void)state;
    return make_database(1);
}

static int make_database_2(void **state)
{
    (void)state;
    return make_database(2);
}

static int make_database_3(void **state)
{
    (void)state;
    return make_database(3);
}

static int make_database_4(void **state)
{
    (void)state;
    return make_database(4);
}

static int remove_folder(void **state)
{
    static const char *const left[] = {"old.db", "old.db-wal", "old.db-shm", "report.html", "record.md"};
    char path[PATH_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unlink(in_folder(path, left[i]));
    return rmdir(folder);
}

static struct store *open_migrated(void)
{
    char path[PATH_BYTES];
    struct store *s = NULL;

    assert_ok(store_open(&s, in_folder(path, "old.db"), &error));
    return s;
}

static void an_old_database_is_brought_up_to_date_and_keeps_its_rows(void **state)
{
    struct store *s = open_migrated();

    (void)state;
    assert_int_equal(query(s, "SELECT user_version FROM pragma_user_version"), 5);
    assert_int_equal(query(s, "SELECT count(*) FROM step"), 6);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE sample_ns IS NULL AND wall_ns = 3000000"), 6);
    assert_int_equal(query(s, "SELECT strategy = 'greedy' AND sampling IS NULL AND rows = 3 FROM trial"), 1);
    assert_int_equal(query(s, "SELECT format IS NULL AND stored IS NULL AND stored_bytes IS NULL AND load_peak_bytes IS NULL "
                              "FROM run"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM step_time WHERE strategy = 'greedy' AND sample_ms IS NULL"), 6);
    assert_int_equal(query(s, "SELECT count(*) FROM trial_rate WHERE decode_ms = 6 AND decode_sample_ms IS NULL"), 2);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    store_close(s);
    s = open_migrated(); /* and once only */
    assert_int_equal(query(s, "SELECT count(*) FROM run"), 1);
    store_close(s);
}

static void a_database_of_version_2_keeps_its_rows_in_their_order(void **state)
{
    struct store *s = open_migrated();

    (void)state;
    assert_int_equal(query(s, "SELECT user_version FROM pragma_user_version"), 5);
    assert_int_equal(query(s, "SELECT count(*) FROM op WHERE steps = 1 AND write_bytes IS NULL"), 3);
    assert_int_equal(query(s, "SELECT group_concat(op) = 'qkv,mlp' FROM (SELECT op FROM op WHERE step = 0 ORDER BY rowid)"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE sample_ns = 30000"), 6);
    assert_int_equal(query(s,
                           "SELECT count(*) FROM repetition WHERE prefill_ns IS NULL AND interrupts IS NULL AND throttled IS "
                           "NULL AND frequency_hz IS NULL AND sibling_busy IS NULL AND huge_share IS NULL AND remote_share "
                           "IS NULL"),
                     2);
    assert_int_equal(query(s, "SELECT count(*) FROM cache"), 0);
    assert_int_equal(query(s, "SELECT count(*) FROM op_time"), 0);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    store_close(s);
}

static void a_database_of_version_3_computed_in_float32_with_all_threads(void **state)
{
    struct store *s = open_migrated();
    json_t *document = NULL;

    (void)state;
    assert_int_equal(query(s, "SELECT user_version FROM pragma_user_version"), 5);
    assert_int_equal(query(s, "SELECT count(*) FROM trial WHERE dtype = 'f32' AND kv_dtype = 'f32' AND threads = 2 AND gemm IS "
                              "NULL AND attention IS NULL AND arithmetic = 'f32' AND weight_bytes = 4000"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM step_time WHERE dtype = 'f32' AND threads = 2 AND gemm IS NULL"), 6);
    assert_int_equal(query(s, "SELECT count(*) FROM trial_rate WHERE kv_dtype = 'f32' AND decode_ms = 6"), 2);
    assert_int_equal(query(s, "SELECT count(*) FROM accuracy"), 0);
    assert_int_equal(query(s, "SELECT count(*) FROM repetition WHERE interrupts = 7"), 2);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    assert_ok(analysis_document(&document, s, 1, &error));
    const json_t *trial = json_array_get(json_object_get(document, "trials"), 0);
    assert_string_equal(json_string_value(json_object_get(trial, "dtype")), "f32");
    assert_int_equal(json_integer_value(json_object_get(trial, "threads")), 2);
    assert_true(json_is_null(json_object_get(trial, "gemm"))); /* which it was is not known */
    assert_true(json_is_null(json_object_get(trial, "attention")));
    assert_true(json_is_null(json_object_get(trial, "accuracy")));
    json_decref(document);
    store_close(s);
}

/* The tables that version 5 makes anew, and those that refer to them. */
static void a_database_of_version_4_keeps_every_row_of_every_table(void **state)
{
    static const char *const tables[] = {"run",     "machine", "model_file", "cache",      "roof",       "calibration",
                                         "absent",  "trial",   "op",         "prediction", "repetition", "step",
                                         "reading", "op_step", "op_reading", "accuracy",   "claim"};
    char sql[200];
    struct store *s = open_migrated();
    int64_t id = 0;

    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        snprintf(sql, sizeof sql, "SELECT count(*) > 0 FROM %s", tables[i]);
        if (query(s, sql) != 1)
            fail_msg("%s has lost its rows", tables[i]);
    }
    snprintf(sql, sizeof sql,
             "SELECT count(*) - 2 FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT "
             "LIKE 'sqlite_%%'");
    assert_int_equal(query(s, sql), sizeof tables / sizeof *tables); /* event and sample are new */
    assert_int_equal(query(s, "SELECT count(*) FROM roof WHERE id IN (7, 9) AND how = 'h' AND at_ns = 5"), 2);
    assert_int_equal(
        query(s, "SELECT count(*) FROM trial WHERE id = 1 AND kv_cache = 'on' AND batch = 3 AND prompt_tokens = 2 AND "
                 "new_tokens = 3 AND strategy = 'greedy' AND dtype = 'q8_0' AND kv_dtype = 'bf16' AND threads = 2 "
                 "AND gemm = 'own' AND attention = 'naive' AND launch IS NULL AND sampling = 'as it was' AND rows = "
                 "3 AND arithmetic = 'int8' AND attention_arithmetic = 'bf16' AND weight_bytes = 1100 AND "
                 "kv_bytes_formula = 2048 AND kv_bytes_allocated = 2048 AND unconverged = 1"),
        1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE launches IS NULL"), 6);
    assert_int_equal(query(s, "SELECT count(*) FROM step_time WHERE launch IS NULL AND launches IS NULL"), 6);
    assert_int_equal(query(s, "SELECT count(*) FROM trial_rate WHERE launch IS NULL"), 2);
    assert_int_equal(query(s, "SELECT count(*) FROM counted WHERE analytic = 1e6"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM kernel_time"), 0);
    assert_int_equal(query(s, "SELECT count(*) FROM op_time"), 0);
    assert_int_equal(query(s, "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name IN ('trial_run', 'roof_run', "
                              "'repetition_trial')"),
                     3);
    assert_int_equal(query(s, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    struct store_repetition orphan = {.pass = "time", .tokens_hash = "x"};
    assert_int_equal(store_add_repetition(s, 99, &orphan, &id, &error), ERR_FORMAT); /* rows belong to the new table's, too */
    assert_ok(store_add_repetition(s, 1, &orphan, &id, &error));
    store_close(s);
}

static void a_migration_that_cannot_end_leaves_the_database_as_it_was(void **state)
{
    char path[PATH_BYTES];
    struct store *s = NULL;
    sqlite3 *db;
    sqlite3_stmt *st;

    (void)state;
    assert_int_equal(sqlite3_open(in_folder(path, "old.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO accuracy VALUES(42, 9, 0.5, 0.1, 2, 0.75)", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(store_open(&s, path, &error), ERR_FORMAT);
    assert_null(s);
    assert_non_null(strstr(error.text, "rows of 'accuracy' belong to rows that are not there"));
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT user_version, (SELECT count(*) FROM roof), (SELECT count(*) FROM trial), "
                                        "(SELECT count(*) FROM step_time), (SELECT count(*) FROM sqlite_schema WHERE name = "
                                        "'event') FROM pragma_user_version",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    const int want[] = {4, 2, 1, 6, 0};
    for (int i = 0; i < 5; i++)
        assert_int_equal(sqlite3_column_int(st, i), want[i]);
    sqlite3_finalize(st);
    sqlite3_close(db);
}

static void a_run_of_an_old_bench_is_still_shown_reported_and_recorded(void **state)
{
    struct store *s = open_migrated();
    char path[PATH_BYTES];
    json_t *document = NULL;
    struct text out = {0};

    (void)state;
    assert_ok(analysis_document(&document, s, 1, &error));
    const json_t *trial = json_array_get(json_object_get(document, "trials"), 0);
    assert_string_equal(json_string_value(json_object_get(trial, "label")), "kv_cache=on prompt=2 new=3 batch=3");
    assert_int_equal(json_integer_value(json_object_get(trial, "rows")), 3);
    assert_true(json_is_null(json_object_get(trial, "sample")));
    assert_true(json_is_null(json_object_get(trial, "per_op")));
    assert_true(json_is_null(json_object_get(trial, "energy")));
    summary_text(document, &out);
    assert_non_null(strstr(out.data, "run 1, old: tiny float32 (synthetic)"));
    assert_non_null(strstr(out.data, "the evidence"));
    assert_ok(html_write(document, in_folder(path, "report.html"), &error));
    assert_ok(record_write(document, NULL, in_folder(path, "record.md"), &error));
    out.len = 0;
    assert_ok(text_read_file(&out, path, 1 << 20, &error));
    assert_non_null(strstr(out.data, "load_model        : 3.00 ms\n"));
    assert_non_null(strstr(out.data, "\n| not recorded | | |\n")); /* it is not known whether there were files */
    assert_null(strstr(out.data, "(null)"));
    assert_null(strstr(out.data, "nan"));
    text_free(&out);
    json_decref(document);
    store_close(s);
}

static void an_old_database_that_may_only_be_read_says_how_to_go_on(void **state)
{
    struct store *s = NULL;
    char path[PATH_BYTES];

    (void)state;
    assert_int_equal(store_open_readonly(&s, in_folder(path, "old.db"), &error), ERR_FORMAT);
    assert_null(s);
    assert_non_null(strstr(error.text, "written by an older bench (schema 1, this one reads 5): any `bench run` with this --db "
                                       "brings it up to date"));
}

#define test(name) cmocka_unit_test_setup_teardown(name, make_old_database, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(an_old_database_is_brought_up_to_date_and_keeps_its_rows),
        cmocka_unit_test_setup_teardown(a_database_of_version_2_keeps_its_rows_in_their_order, make_database_2, remove_folder),
        cmocka_unit_test_setup_teardown(a_database_of_version_3_computed_in_float32_with_all_threads, make_database_3,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_database_of_version_4_keeps_every_row_of_every_table, make_database_4, remove_folder),
        cmocka_unit_test_setup_teardown(a_migration_that_cannot_end_leaves_the_database_as_it_was, make_database_4,
                                        remove_folder),
        test(a_run_of_an_old_bench_is_still_shown_reported_and_recorded),
        test(an_old_database_that_may_only_be_read_says_how_to_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
