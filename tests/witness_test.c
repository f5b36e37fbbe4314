/* SPDX-License-Identifier: MIT
 * The noise witness: on this machine what any machine shows, and on folders like the kernel's what only some have: heat,
 * hardware threads that share a core, several memory nodes. */
#include "root_room.h"

#include <math.h>
#include <sys/mman.h>

#include "clock.h"
#include "core_clock.h"
#include "pages.h"
#include "quick.h"
#include "team.h"
#include "witness.h"

enum { FRESH_PAGES = 1000, ROUNDS = 20, BUSY_NS = 150000000 };

static struct team team;

/* Sanitizers would touch pages of their own for each access. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static void touch(volatile char *p, size_t bytes, size_t page)
{
    for (size_t i = 0; i < bytes; i += page)
        p[i] = 1;
}

/* --- this machine ----------------------------------------------------------------------------------------------------------
 */

static void the_faults_of_a_repetition_are_seen(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = FRESH_PAGES * page;
    struct witness_mark mark;
    struct witness w;
    char *fresh = pages_alloc(bytes, NULL);

    (void)state;
    assert_non_null(fresh);
    madvise(fresh, bytes, MADV_NOHUGEPAGE);
    const uint64_t begin = clock_ns();
    witness_begin(&mark);
    touch(fresh, bytes, page);
    witness_end(&mark, &w);
    const bool is_short = clock_ns() - begin < 100000000;
    assert_true(w.page_faults_minor >= FRESH_PAGES);
    assert_true(w.switches_involuntary >= 0);
    assert_true(w.other_busy == -1 || !is_short); /* too short for the kernel's ticks */
    pages_free(fresh, bytes);
}

/* Time that the CPU gave, for a busy machine gives less than the clock says. */
static void keep_busy(void *unused, int worker)
{
    struct timespec t = {0};

    (void)unused, (void)worker;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    for (int64_t end = t.tv_sec * 1000000000 + t.tv_nsec + BUSY_NS; t.tv_sec * 1000000000 + t.tv_nsec < end;)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
}

static void a_busy_machine_is_seen(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    witness_begin(&mark);
    team_run(team.threads, keep_busy, NULL);
    witness_end(&mark, &w);
    assert_true(w.other_busy >= 0);
    assert_true(w.load1 >= 0);
    assert_true(w.interrupts > 0);
}

static void a_core_runs_at_the_frequency_of_a_core(void **state)
{
    bool agree = false;

    (void)state;
    if (core_clock_hz() < 0) {
        print_message("the chain of additions is not written for this architecture\n");
        skip();
    }
    for (int round = 0; round < ROUNDS && !agree; round++) { /* a core that was asleep rises from its lowest clock */
        const double hz = core_clock_hz(), again = core_clock_hz();
        assert_true(hz < 8e9 && again < 8e9);
        agree = hz > 0.4e9 && again / hz > 0.5 && again / hz < 2;
    }
    assert_true(agree);
}

/* --- machines of our choice ------------------------------------------------------------------------------------------------
 */

static void put_thread(int id, int cpu)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
    put(path,
        "%d (a (b) c) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 %d "
        "37\n",
        id, cpu);
}

static void put_stat(int sibling_busy, int own_busy, int interrupts)
{
    put("/proc/stat",
        "cpu  %d 0 0 1000 0 0 0 7 0 0\ncpu0 %d 0 0 500 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu2 %d 0 0 500 0 0 0 0 0 0\n"
        "cpu3 0 0 0 0 0 0 0 0 0 0\nintr %d 1 2 3\nctxt 5\n",
        sibling_busy + own_busy, own_busy, sibling_busy, interrupts);
}

static void put_smt(int active)
{
    put("/sys/devices/system/cpu/smt/active", "%d\n", active);
    for (int cpu = 0; cpu < 4; cpu++) {
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
        put(path, "%d,%d\n", cpu % 2, cpu % 2 + 2);
    }
}

static void pass_time(void)
{
    usleep(120000); /* more than the least that ticks can tell */
}

/* The bounds hold however late each of the clocks is read. */
static void others_are_told_from_ourselves(void **state)
{
    const double hz = (double)sysconf(_SC_CLK_TCK), all_s = 100 / hz, rounding_s = 2 / hz;
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put_stat(0, 100, 0);
    const double own_outside = own_cpu_s(), outside = (double)clock_ns();
    witness_begin_at(&mark, root);
    const double own_inside = own_cpu_s(), inside = (double)clock_ns();
    team_run(team.threads < 2 ? 1 : 2, keep_busy, NULL);
    put_stat(0, 200, 0);
    const double shortest_s = ((double)clock_ns() - inside) / 1e9, least_s = own_cpu_s() - own_inside;
    witness_end(&mark, &w);
    const double longest_s = ((double)clock_ns() - outside) / 1e9, most_s = own_cpu_s() - own_outside;
    assert_true(w.other_busy >= (all_s - most_s - rounding_s) / longest_s);
    assert_true(w.other_busy <= (all_s - least_s + rounding_s) / shortest_s);
}

static void work_on_the_other_thread_of_our_core_is_seen(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put_smt(1);
    put_thread(10, 0);
    put_thread(11, 1);
    put_stat(100, 100, 50);
    uint64_t begin = clock_ns();
    witness_begin_at(&mark, root);
    pass_time();
    put_stat(106, 900, 58);
    witness_end(&mark, &w);
    double most = 6.0 / (double)sysconf(_SC_CLK_TCK) / 0.12, least = most * 0.12 / ((double)(clock_ns() - begin) / 1e9);
    assert_true(w.sibling_busy >= least && w.sibling_busy <= most);
    assert_int_equal(w.interrupts, 8);
    assert_int_equal(w.steal_ticks, 0);
}

static void siblings_that_are_our_own_do_not_count(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put_smt(1);
    put_thread(10, 0);
    put_thread(11, 2);
    put_stat(100, 100, 0);
    witness_begin_at(&mark, root);
    pass_time();
    put_stat(900, 900, 0);
    witness_end(&mark, &w);
    assert_true(w.sibling_busy == 0);
}

static void without_smt_nobody_shares_a_core_and_unknown_stays_unknown(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(w.sibling_busy == -1 && w.huge_share == -1 && w.remote_share == -1 && w.load1 == -1 && w.other_busy == -1);
    assert_int_equal(w.interrupts, -1);
    assert_int_equal(w.steal_ticks, -1);
    assert_int_equal(w.throttled, -1);
    put_smt(0);
    put_thread(10, 0);
    put_stat(1, 1, 1);
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(w.sibling_busy == 0);
}

static void put_heat(int cpu, int core, int package)
{
    char path[128];

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cpu);
    put(path, "%d\n", core);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/package_throttle_count", cpu);
    put(path, "%d\n", package);
}

static void heat_counts_on_our_cores_and_once_for_their_package(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put_thread(10, 0);
    put_thread(11, 1);
    for (int cpu = 0; cpu < 3; cpu++)
        put_heat(cpu, 5, 40);
    witness_begin_at(&mark, root);
    put_heat(0, 6, 43);
    put_heat(1, 7, 43);
    put_heat(2, 99, 43); /* not ours */
    witness_end(&mark, &w);
    assert_int_equal(w.throttled, 1 + 2 + 3);
}

static void the_share_in_huge_pages_is_of_large_mappings(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put("/proc/self/smaps", "7f0000000000-7f0010000000 rw-p 00000000 00:00 0\nSize: 262144 kB\nRss:              100000 kB\n"
                            "AnonHugePages:     60000 kB\nFilePmdMapped:         0 kB\n"
                            "7f1000000000-7f1010000000 r--p 00000000 00:00 0 /weights\nRss:              100000 kB\n"
                            "AnonHugePages:         0 kB\nFilePmdMapped:     20000 kB\n"
                            "7f2000000000-7f2000010000 rw-p 00000000 00:00 0 [stack]\nRss: 64 kB\nAnonHugePages: 0 kB\n");
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(fabs(w.huge_share - 0.4) < 1e-9);
}

static void put_nodes(const char *online)
{
    put("/sys/devices/system/node/online", "%s\n", online);
    put("/sys/devices/system/node/node0/cpulist", "0-1\n");
    put("/sys/devices/system/node/node1/cpulist", "2-3\n");
    put("/proc/self/numa_maps", "7f00 default anon=1500 dirty=1500 N0=1000 N1=500 kernelpagesize_kB=4\n"
                                "7f10 default anon=10 N1=10 kernelpagesize_kB=2048\n"
                                "7f20 default file=/lib/libN1=9.so N1=100 kernelpagesize_kB=4\n");
}

static void memory_on_a_node_without_our_threads_is_remote(void **state)
{
    struct witness_mark mark;
    struct witness w;

    (void)state;
    put_nodes("0-1");
    put_thread(10, 0);
    put_thread(11, 1);
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(fabs(w.remote_share - (2000.0 + 20480) / (6000 + 20480)) < 1e-9);
    put_thread(11, 3);
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(w.remote_share == 0);
    put_nodes("0");
    put_thread(11, 1);
    witness_begin_at(&mark, root);
    witness_end(&mark, &w);
    assert_true(w.remote_share == 0); /* one node: not even read */
}

static int start_team(void **state)
{
    (void)state;
    return team_start(&team, team_max_threads() < 2 ? 1 : 2, NULL, NULL);
}

int main(void)
{
#define ROOTED(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_faults_of_a_repetition_are_seen),
        cmocka_unit_test(a_busy_machine_is_seen),
        cmocka_unit_test(a_core_runs_at_the_frequency_of_a_core),
        ROOTED(others_are_told_from_ourselves),
        ROOTED(work_on_the_other_thread_of_our_core_is_seen),
        ROOTED(siblings_that_are_our_own_do_not_count),
        ROOTED(without_smt_nobody_shares_a_core_and_unknown_stays_unknown),
        ROOTED(heat_counts_on_our_cores_and_once_for_their_package),
        ROOTED(the_share_in_huge_pages_is_of_large_mappings),
        ROOTED(memory_on_a_node_without_our_threads_is_remote),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
