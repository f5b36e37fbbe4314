/* SPDX-License-Identifier: MIT
 * The database under use: what is put in, what comes out, what is refused. */
#include "store_room.h"

/* --- what it is --- */

static void a_new_database_is_marked_ours_strict_and_in_wal_mode(void **state)
{
    struct store *s = open_or_fail();

    (void)state;
    assert_int_equal(query(s, "SELECT application_id FROM pragma_application_id"), 0x62656e63);
    assert_int_equal(query(s, "SELECT user_version FROM pragma_user_version"), 5);
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
    assert_int_equal(query(s, "SELECT count(*) FROM trial WHERE arithmetic = 'int8' AND weight_bytes = 1100"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE sample_ns = 10 * step"), 2);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE phase = 'prefill' AND step = 0 AND wall_ns = 100"), 1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE phase = 'decode' AND kv_len = 2 + step AND token = 40 + step"),
                     2);
    store_close(s);
}

static void every_axis_is_a_column_of_its_own_name(void **state)
{
    make_database(0);
    struct store *s = open_or_fail();
    struct store_trial trial = a_trial;
    int64_t id = 0;
    char sql[160], value[AXIS_TEXT];

    (void)state;
    for (int a = 0; a < AXIS_COUNT; a++) /* no two the same, as far as the words go */
        trial.axis[a] = axes[a].words ? 1 : 100 + a;
    trial.ordinal = 1;
    assert_ok(store_add_trial(s, 1, &trial, &id, &error));
    for (int a = 0; a < AXIS_COUNT; a++) {
        snprintf(sql, sizeof sql, "SELECT count(*) FROM trial WHERE ordinal = 1 AND %s = '%s'", axes[a].name,
                 axis_text((enum axis)a, trial.axis[a], value));
        assert_int_equal(query(s, sql), 1);
    }
    for (int a = 0; a < AXIS_COUNT; a++) /* and every word is let in */
        for (int i = 0; axes[a].words && axes[a].words[i]; i++) {
            trial.axis[a] = i;
            trial.ordinal++;
            assert_ok(store_add_trial(s, 1, &trial, &id, &error));
        }
    store_close(s);
}

static void an_accuracy_is_of_one_trial(void **state)
{
    make_database(0);
    struct store *s = open_or_fail();
    struct store_accuracy a = {.positions = 128, .max_error = 0.5, .mean_error = 0.01, .spread = 2.5, .top1 = 0.99};

    (void)state;
    assert_ok(store_add_accuracy(s, 1, &a, &error));
    assert_int_equal(query(s, "SELECT count(*) FROM accuracy WHERE trial = 1 AND positions = 128 AND max_error = 0.5 AND "
                              "mean_error = 0.01 AND spread = 2.5 AND top1 = 0.99"),
                     1);
    assert_int_equal(store_add_accuracy(s, 1, &a, &error), ERR_FORMAT); /* once */
    assert_int_equal(store_add_accuracy(s, 9, &a, &error), ERR_FORMAT); /* of a trial that is there */
    store_close(s);
}

static void events_and_samples_come_back_as_they_were_put(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();
    struct store_event kernel = {.step = 1,
                                 .ordinal = 0,
                                 .kind = "kernel",
                                 .name = "k<bf16>",
                                 .op = "mlp",
                                 .layer = 2,
                                 .start_ns = 5,
                                 .wall_ns = 6,
                                 .grid = {1, 2, 3},
                                 .block = {4, 5, 6},
                                 .registers = 7,
                                 .shared_bytes = 8};
    struct store_event copy = {.step = 1, .ordinal = 1, .kind = "copy", .name = "c", .layer = -1, .bytes = 9};
    struct store_sample sample = {10, 20, 1.5, NAN, 0.25, NAN};

    (void)state;
    assert_ok(store_add_event(s, 1, &kernel, &error));
    assert_ok(store_add_event(s, 1, &copy, &error));
    assert_int_equal(query(s,
                           "SELECT count(*) FROM event WHERE kind = 'kernel' AND name = 'k<bf16>' AND op = 'mlp' AND layer = 2 "
                           "AND start_ns = 5 AND wall_ns = 6 AND grid_x = 1 AND grid_y = 2 AND grid_z = 3 AND block_x = 4 AND "
                           "block_y = 5 AND block_z = 6 AND registers = 7 AND shared_bytes = 8 AND bytes IS NULL"),
                     1);
    assert_int_equal(
        query(s, "SELECT count(*) FROM event WHERE kind = 'copy' AND op IS NULL AND layer = -1 AND grid_x IS NULL AND "
                 "block_z IS NULL AND registers IS NULL AND shared_bytes IS NULL AND bytes = 9"),
        1);
    assert_int_equal(query(s, "SELECT count(*) FROM kernel_time WHERE name = 'k<bf16>' AND n = 1 AND ms = 6e-6"), 1);
    assert_int_equal(store_add_event(s, 1, &copy, &error), ERR_FORMAT); /* once */
    copy.kind = "wait";
    copy.ordinal = 2;
    assert_int_equal(store_add_event(s, 1, &copy, &error), ERR_FORMAT);
    copy.kind = "set";
    assert_int_equal(store_add_event(s, 99, &copy, &error), ERR_FORMAT); /* of a repetition that is there */
    assert_ok(store_add_event(s, 1, &copy, &error));
    assert_ok(store_add_sample(s, 1, &sample, &error));
    assert_int_equal(query(s,
                           "SELECT count(*) FROM sample WHERE at_ns = 10 AND span_ns = 20 AND read_bytes = 1.5 AND write_bytes "
                           "IS NULL AND sm_active = 0.25 AND tensor_active IS NULL"),
                     1);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE launches = 7"), 2);
    assert_int_equal(query(s, "SELECT count(*) FROM step WHERE step = 0 AND launches IS NULL"), 1);
    store_close(s);
}

static void launches_have_roofs_and_half_precision_is_an_arithmetic(void **state)
{
    make_database(1);
    struct store *s = open_or_fail();
    struct store_roof roof = {
        .name = "launch graph", .kind = "launch", .level = "launch", .how = "", .threads = 1, .value = 1e6};
    struct store_trial trial = a_trial;
    int64_t id;

    (void)state;
    trial.ordinal = 1;
    trial.arithmetic = trial.attention_arithmetic = "f16";
    assert_ok(store_add_roof(s, 1, &roof, &error));
    assert_ok(store_add_trial(s, 1, &trial, &id, &error));
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
    trial.arithmetic = "guess";
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

#define test(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_new_database_is_marked_ours_strict_and_in_wal_mode),
        test(rows_come_back_as_they_were_put),
        test(every_axis_is_a_column_of_its_own_name),
        test(an_accuracy_is_of_one_trial),
        test(events_and_samples_come_back_as_they_were_put),
        test(launches_have_roofs_and_half_precision_is_an_arithmetic),
        test(unknown_is_null_never_zero),
        test(words_outside_their_list_and_orphans_are_refused),
        test(a_rolled_back_repetition_leaves_nothing),
        test(runs_are_found_by_number_and_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
