/* SPDX-License-Identifier: MIT
 * The database under abuse: a real SIGKILL, a real limit on the size of a file, missing rights, files that are not ours. */
#include "store_room.h"

#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

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
    assert_says("written by a newer bench (schema 99, this one knows 5): update bench");
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
