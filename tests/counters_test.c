/* SPDX-License-Identifier: MIT
 * What stands under the papi probe: raw events of the kernel, counted for real (page faults: every machine has them); what each
 * refusal of the kernel's means, seen through a filter that refuses; and the kernels of known work, run as they are. */
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "counter_layer.h"
#include "isa.h"
#include "known.h"
#include "pages.h"
#include "perf_event.h"

enum { FRESH_PAGES = 700 };

/* --- raw events ------------------------------------------------------------------------------------------------------------
 */

/* Sanitizers would touch pages of their own for each access. */
__attribute__((noinline, no_sanitize("address", "undefined"))) static void touch(volatile char *p, size_t pages, size_t page)
{
    for (size_t i = 0; i < pages; i++)
        p[i * page] = 1;
}

static void need_counting(void)
{
    struct counter_machine m;
    struct err e = {0};

    if (counter_layer_raw->init("", &m, &e) == 0)
        return;
    print_message("%s\n", e.text);
    skip();
}

static void a_group_of_raw_events_counts_and_is_read_at_once(void **state)
{
    static const char *const events[] = {"software/5/", "software/2/", "software/6/"}; /* minor, all and major faults */
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = FRESH_PAGES * page;
    struct counter_handle *h = NULL;
    struct counter_sample first, last;
    struct err e = {0};

    (void)state;
    need_counting();
    char *fresh = pages_alloc(bytes, NULL);
    assert_non_null(fresh);
    madvise(fresh, bytes, MADV_NOHUGEPAGE);
    assert_int_equal(counter_layer_raw->set_open(&h, events, 3, &e), 0);
    assert_int_equal(counter_layer_raw->set_read(h, &first), 0);
    touch(fresh, FRESH_PAGES, page);
    assert_int_equal(counter_layer_raw->set_read(h, &last), 0);
    assert_true(fabs((double)(last.value[0] - first.value[0]) / FRESH_PAGES - 1) < 0.02);
    assert_int_equal(last.value[1] - first.value[1], last.value[0] - first.value[0]);
    assert_int_equal(last.value[2], first.value[2]);
    assert_true(last.enabled_ns > first.enabled_ns);
    assert_int_equal(last.enabled_ns - first.enabled_ns, last.running_ns - first.running_ns); /* nobody shares it */
    counter_layer_raw->set_close(h);
    pages_free(fresh, bytes);
}

static void a_set_that_does_not_open_leaves_nothing_open(void **state)
{
    static const char *const events[] = {"software/5/", "no_such_pmu/0x1/"};
    struct counter_handle *h = NULL;
    struct err e = {0};
    int before = dup(0);

    (void)state;
    need_counting();
    close(before);
    assert_int_equal(counter_layer_raw->set_open(&h, events, 2, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "no such PMU"));
    int after = dup(0);
    assert_int_equal(after, before); /* the lowest free number is free again */
    close(after);
}

/* --- refusals --------------------------------------------------------------------------------------------------------------
 */

static void every_refusal_has_its_own_sentence_with_a_remedy(void **state)
{
    static const struct {
        int error, paranoid;
        const char *part;
    } lines[] = {
        {ENOENT, 2, "offers no CPU PMU"},
        {EOPNOTSUPP, 2, "offers no CPU PMU"},
        {EACCES, 3, "sudo sysctl kernel.perf_event_paranoid=2"},
        {EACCES, 2, "CAP_PERFMON"},
        {EACCES, -1, "CAP_PERFMON"},
        {EPERM, 2, "--cap-add=PERFMON"},
        {ENOSYS, -1, "CONFIG_PERF_EVENTS"},
        {EINVAL, 2, "correct its event file"},
        {ENODEV, 2, "/sys/bus/event_source/devices"},
        {ENOSPC, 2, "stop other profilers"},
        {EBUSY, 2, "stop other profilers"},
        {EMFILE, 2, "ulimit -n"},
        {EIO, 2, "perf_event_open: Input/output error"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char why[192];
        perf_event_explain(why, sizeof why, lines[i].error, lines[i].paranoid);
        if (!strstr(why, lines[i].part))
            fail_msg("%s: %s", strerror(lines[i].error), why);
    }
}

/* In a child: perf_event_open answers with this errno from now on. */
static bool refuse_perf_events(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void a_container_that_forbids_counting_is_told_apart_from_a_kernel_without_it(void **state)
{
    static const struct {
        int error;
        const char *part;
    } lines[] = {{EPERM, "--cap-add=PERFMON"}, {ENOSYS, "CONFIG_PERF_EVENTS"}, {EACCES, "perf"}};
    enum { SAYS_SO, SAYS_OTHERWISE, NO_FILTERS_HERE };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct counter_machine m;
            struct err e = {0};
            if (!refuse_perf_events(lines[i].error))
                _exit(NO_FILTERS_HERE);
            int code = counter_layer_raw->init("", &m, &e);
            _exit(code == ERR_ABSENT && strstr(e.text, lines[i].part) ? SAYS_SO : SAYS_OTHERWISE);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == NO_FILTERS_HERE) {
            print_message("this kernel lets nobody filter system calls\n");
            skip();
        }
        assert_int_equal(WEXITSTATUS(status), SAYS_SO);
    }
}

/* --- known work ------------------------------------------------------------------------------------------------------------
 */

static void every_kernel_does_the_work_it_says(void **state)
{
    struct known_sizes sizes;
    struct err e = {0};
    enum isa isa;
    int ran = 0;

    (void)state;
    assert_int_equal(isa_choose(&isa, &e), 0);
    known_sizes_find(&sizes, 1);
    for (const struct known *const *table = known_tables; *table; table++)
        for (const struct known *k = *table; k->name; k++) {
            struct known_room room = sizes.level[k->level];
            /* Memory is large and slow: a small part shows that the kernel is sound. */
            if (k->level == KNOWN_DRAM)
                room.bytes = (size_t)8 << 20;
            else if (k->level != KNOWN_REGISTERS)
                room.passes = 2;
            if (!known_is_available(k, isa, &sizes))
                continue;
            assert_true(!k->prepare || k->prepare(&room));
            double work = k->run(&room);
            if (k->level != KNOWN_REGISTERS)
                assert_true(work == (double)room.bytes * room.passes);
            assert_true(work > 0);
            if (k->finish)
                k->finish(&room);
            ran++;
        }
    assert_true(ran > 10);
}

static void every_quantity_has_a_kernel_that_decides(void **state)
{
    (void)state;
    for (int m = METRIC_FLOPS; m <= METRIC_PAGE_FAULTS_MINOR; m++) {
        bool decided = false;
        for (const struct known *const *table = known_tables; *table; table++)
            for (const struct known *k = *table; k->name; k++) {
                const struct known_expectation *x = known_expects(k, (enum metric)m);
                decided |= x && x->gate && x->factor > 0;
            }
#if defined(__x86_64__)
        assert_true(decided);
#endif
    }
}

static void levels_are_apart(void **state)
{
    struct known_sizes s;

    (void)state;
    for (int threads = 1; threads <= 64; threads *= 4) {
        known_sizes_find(&s, threads);
        for (int level = KNOWN_L1; level < KNOWN_DRAM; level++)
            for (int above = level + 1; above < KNOWN_LEVELS; above++)
                if (s.level[level].bytes && s.level[above].bytes && above != KNOWN_DRAM)
                    assert_true(s.level[above].bytes >= 4 * s.level[level].bytes);
        assert_true(s.level[KNOWN_DRAM].bytes * (size_t)threads >= ((size_t)250 << 20));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_of_raw_events_counts_and_is_read_at_once),
        cmocka_unit_test(a_set_that_does_not_open_leaves_nothing_open),
        cmocka_unit_test(every_refusal_has_its_own_sentence_with_a_remedy),
        cmocka_unit_test(a_container_that_forbids_counting_is_told_apart_from_a_kernel_without_it),
        cmocka_unit_test(every_kernel_does_the_work_it_says),
        cmocka_unit_test(every_quantity_has_a_kernel_that_decides),
        cmocka_unit_test(levels_are_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
