/* SPDX-License-Identifier: MIT
 * The floor that everything runs on: the team of workers (who runs what, on which CPU, and that the pool stays as it is
 * whatever number of it works), and the table of the axes. Each test starts the team anew, from the CPUs that this process may
 * use. */
#include "check.h"

#include <ctype.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "axis.h"
#include "dtype.h"
#include "engine.h"
#include "team.h"

enum { WORKERS_MAX = 64, ROUNDS = 300, CROWD = 3 /* more workers than some machines have CPUs */ };

static cpu_set_t allowed;
static int cpu_list[CPU_SETSIZE], cpus, most; /* most: workers, of all these CPUs */

/* The started team's main thread is bound to one CPU: the next team wants them all again. */
static int start(struct team *t, int threads, const char *list, struct err *e)
{
    *t = (struct team){0};
    assert_int_equal(sched_setaffinity(0, sizeof allowed, &allowed), 0);
    return team_start(t, threads, list, e);
}

static void need_two_cpus(void)
{
    if (most >= 2)
        return;
    print_message("one CPU is allowed here\n");
    skip();
}

/* --- who runs --------------------------------------------------------------------------------------------------------------
 */

struct seen {
    int runs[WORKERS_MAX], tid[WORKERS_MAX], cpu[WORKERS_MAX];
};

/* The only CPU that this thread is allowed, or -1. */
static int bound_to(void)
{
    cpu_set_t mine;

    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) < 0 || CPU_COUNT(&mine) != 1)
        return -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &mine))
            return i;
    return -1;
}

static void look(void *seen, int worker)
{
    struct seen *s = seen;

    s->runs[worker]++;
    s->tid[worker] = (int)syscall(SYS_gettid);
    s->cpu[worker] = bound_to();
}

static void every_worker_that_is_wanted_runs_once_on_a_thread_of_its_own(void **state)
{
    struct team team;

    (void)state;
    assert_int_equal(start(&team, 0, NULL, NULL), 0);
    assert_true(team.threads >= 1 && team.threads <= WORKERS_MAX);
    for (int workers = 1; workers <= team.threads; workers++) {
        struct seen s = {0};
        team_run(workers, look, &s);
        assert_int_equal(s.tid[0], getpid()); /* the caller is worker 0 */
        for (int i = 0; i < WORKERS_MAX; i++) {
            assert_int_equal(s.runs[i], i < workers);
            for (int k = 0; k < i && i < workers; k++)
                assert_int_not_equal(s.tid[i], s.tid[k]);
        }
    }
}

static void workers_keep_their_threads_and_cpus_whatever_number_works(void **state)
{
    struct team team;
    struct seen first = {0};

    (void)state;
    need_two_cpus();
    assert_int_equal(start(&team, most, NULL, NULL), 0);
    team_run(team.threads, look, &first);
    for (int i = 0; i < team.threads && team.pinned; i++)
        for (int k = 0; k < i; k++)
            assert_int_not_equal(first.cpu[i], first.cpu[k]);
    for (int workers = 1; workers <= team.threads; workers++) {
        struct seen fewer = {0}, all = {0};
        team_run(workers, look, &fewer);
        team_run(team.threads, look, &all);
        assert_memory_equal(fewer.tid, first.tid, (size_t)workers * sizeof *first.tid);
        assert_memory_equal(fewer.cpu, first.cpu, (size_t)workers * sizeof *first.cpu);
        assert_memory_equal(all.tid, first.tid, sizeof first.tid);
        assert_memory_equal(all.cpu, first.cpu, sizeof first.cpu);
    }
}

/* --- waiting and sharing ---------------------------------------------------------------------------------------------------
 */

struct meeting {
    struct team_barrier barrier;
    int workers, came[ROUNDS], early;
};

static void meet(void *meeting, int worker)
{
    struct meeting *m = meeting;

    for (int round = 0; round < ROUNDS; round++) {
        /* Now this one comes late, now that one. */
        for (volatile int wait = (round + worker) % m->workers * 2000; wait > 0; wait--)
            ;
        __atomic_add_fetch(&m->came[round], 1, __ATOMIC_RELAXED);
        team_wait(&m->barrier, m->workers);
        if (__atomic_load_n(&m->came[round], __ATOMIC_RELAXED) != m->workers)
            __atomic_add_fetch(&m->early, 1, __ATOMIC_RELAXED);
    }
}

static void nobody_leaves_a_meeting_before_all_have_come(void **state)
{
    (void)state;
    for (int workers = 1; workers <= CROWD; workers++) {
        struct meeting m = {.workers = workers};
        team_run(workers, meet, &m);
        assert_int_equal(m.early, 0);
        for (int round = 0; round < ROUNDS; round++)
            assert_int_equal(m.came[round], workers);
    }
}

static unsigned draw(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

static void shares_cover_everything_once_in_whole_units_and_evenly(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        const int n = (int)draw(&seed, round % 2 ? 40 : 60000), unit = 1 + (int)draw(&seed, 70);
        const int workers = 1 + (int)draw(&seed, WORKERS_MAX);
        int next = 0, least = n, largest = 0;
        for (int w = 0; w < workers; w++) {
            int from, to;
            team_share(n, unit, w, workers, &from, &to);
            assert_true(from == next && to >= from && to <= n);
            assert_true(from % unit == 0 || from == n);
            const int units = (to - from + unit - 1) / unit;
            least = units < least ? units : least;
            largest = units > largest ? units : largest;
            next = to;
        }
        assert_int_equal(next, n);
        assert_true(largest - least <= 1);
    }
}

static void shares_of_the_largest_number_do_not_overflow(void **state)
{
    int from, to;

    (void)state;
    team_share(INT32_MAX, 64, 63, 64, &from, &to);
    assert_true(from > 0 && from % 64 == 0 && to == INT32_MAX);
}

/* --- where workers sit -----------------------------------------------------------------------------------------------------
 */

static void a_list_of_cpus_is_where_the_workers_sit(void **state)
{
    struct team team;
    char list[64];

    (void)state;
    for (int i = 0; i < cpus && i < 4; i++) {
        struct seen s = {0};
        snprintf(list, sizeof list, "%d", cpu_list[i]);
        assert_int_equal(start(&team, 0, list, NULL), 0);
        assert_int_equal(team.threads, 1);
        assert_false(team.shares_cores);
        assert_string_equal(team.cpus, list);
        team_run(1, look, &s);
        assert_int_equal(s.cpu[0], team.pinned ? cpu_list[i] : -1);
    }
    need_two_cpus();
    for (int threads = 0; threads <= 2; threads++) {
        struct seen s = {0};
        snprintf(list, sizeof list, "%d,%d", cpu_list[1], cpu_list[0]);
        assert_int_equal(start(&team, threads, list, NULL), 0);
        assert_int_equal(team.threads, threads ? threads : 2); /* one for each that is named */
        team_run(team.threads, look, &s);
        for (int i = 0; i < team.threads && team.pinned; i++)
            assert_true(s.cpu[i] == cpu_list[0] || s.cpu[i] == cpu_list[1]);
    }
}

static void a_wrong_list_or_too_many_workers_are_refused_in_words(void **state)
{
    char one[16];
    snprintf(one, sizeof one, "%d", cpu_list[0]);
    const struct {
        int threads;
        const char *list, *part;
    } lines[] = {
        {0, "", "expected a list of CPUs"},
        {0, "none", "expected a list of CPUs"},
        {0, "0-", "expected a list of CPUs"}, /* without an end */
        {0, "1000000", "--cpus 1000000: this process may use"},
        {2, one, "--threads 2: this process may use 1 to 1"},
        {most + 1, NULL, "this process may use 1 to"},
        {-1, NULL, "--threads -1"},
    };
    struct team team;

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct err e = {0};
        if (start(&team, lines[i].threads, lines[i].list, &e) != ERR_USAGE || !strstr(e.text, lines[i].part))
            fail_msg("%d threads on '%s': %s", lines[i].threads, lines[i].list ? lines[i].list : "all", e.text);
    }
}

/* --- the axes --------------------------------------------------------------------------------------------------------------
 */

static void every_axis_is_found_by_its_name_and_has_a_place_in_a_suite(void **state)
{
    (void)state;
    for (int a = 0; a < AXIS_COUNT; a++) {
        assert_string_equal(axes[a].name, axis_names[a]);
        assert_int_equal(axis_find(axes[a].name), a);
        assert_true(strcmp(axes[a].section, "workload") == 0 || strcmp(axes[a].section, "engine") == 0);
    }
    assert_int_equal(axis_find("kv_cash"), -1);
    assert_int_equal(axis_find(""), -1);
}

static void assert_round_trip(enum axis a, int value)
{
    char buf[AXIS_TEXT];
    int back = -1;

    assert_true(axis_value(a, axis_text(a, value, buf), &back));
    assert_int_equal(back, value);
}

static void values_survive_being_spelled_and_others_are_refused(void **state)
{
    static const char *const nonsense[] = {"", "maybe", "1.5", "3x", "99999999999999999999", "-1"};
    char beyond[AXIS_TEXT];
    int value;

    (void)state;
    for (int a = 0; a < AXIS_COUNT; a++) {
        const struct axis_spec *s = &axes[a];
        assert_round_trip((enum axis)a, s->usual);
        for (int i = 0; s->words && s->words[i]; i++)
            assert_round_trip((enum axis)a, i);
        for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
            assert_false(axis_value((enum axis)a, nonsense[i], &value));
        if (s->words) {
            assert_false(axis_value((enum axis)a, "1", &value));
            continue;
        }
        assert_round_trip((enum axis)a, s->least);
        assert_round_trip((enum axis)a, s->most);
        assert_int_equal(s->zero != NULL, s->zero && axis_value((enum axis)a, s->zero, &value) && value == 0);
        assert_false(axis_value((enum axis)a, "0", &value)); /* it has a word, or is nothing */
        snprintf(beyond, sizeof beyond, "%d", s->most + 1);
        assert_false(axis_value((enum axis)a, beyond, &value));
    }
}

static int words_of(enum axis a)
{
    int n = 0;

    while (axes[a].words[n])
        n++;
    return n;
}

static void words_stand_in_the_order_of_their_enums(void **state)
{
    (void)state;
    assert_int_equal(words_of(AXIS_STRATEGY), STRATEGY_COUNT);
    assert_string_equal(axes[AXIS_STRATEGY].words[STRATEGY_BEAM], "beam");
    assert_int_equal(words_of(AXIS_GEMM), GEMM_COUNT);
    assert_string_equal(axes[AXIS_GEMM].words[GEMM_OPENBLAS], "openblas");
    assert_int_equal(words_of(AXIS_ATTENTION), ATTENTION_COUNT);
    assert_string_equal(axes[AXIS_ATTENTION].words[ATTENTION_NAIVE], "naive");
    assert_int_equal(words_of(AXIS_DTYPE), DTYPE_Q4_0 + 1);
    assert_int_equal(words_of(AXIS_KV_DTYPE), DTYPE_BF16 + 1);
    for (int d = 0; d <= DTYPE_Q4_0; d++) {
        const char *name = dtype_name((enum dtype)d), *word = axes[AXIS_DTYPE].words[d];
        assert_int_equal(strlen(name), strlen(word));
        for (size_t i = 0; i < strlen(name); i++)
            assert_int_equal(tolower((unsigned char)name[i]), word[i]);
        if (d <= DTYPE_BF16)
            assert_string_equal(axes[AXIS_KV_DTYPE].words[d], word);
    }
}

static int note_allowed(void **state)
{
    (void)state;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return -1;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &allowed))
            cpu_list[cpus++] = i;
    most = team_max_threads();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_that_is_wanted_runs_once_on_a_thread_of_its_own),
        cmocka_unit_test(workers_keep_their_threads_and_cpus_whatever_number_works),
        cmocka_unit_test(nobody_leaves_a_meeting_before_all_have_come),
        cmocka_unit_test(shares_cover_everything_once_in_whole_units_and_evenly),
        cmocka_unit_test(shares_of_the_largest_number_do_not_overflow),
        cmocka_unit_test(a_list_of_cpus_is_where_the_workers_sit),
        cmocka_unit_test(a_wrong_list_or_too_many_workers_are_refused_in_words),
        cmocka_unit_test(every_axis_is_found_by_its_name_and_has_a_place_in_a_suite),
        cmocka_unit_test(values_survive_being_spelled_and_others_are_refused),
        cmocka_unit_test(words_stand_in_the_order_of_their_enums),
    };

    return cmocka_run_group_tests(tests, note_allowed, NULL);
}
