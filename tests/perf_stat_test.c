/* SPDX-License-Identifier: MIT
 * Our counters against somebody else's: `perf stat` over a whole process, and the probe's reading of the one stretch in it that
 * does the work. The process is run with much work and with little; what lies around the stretch (start, calibration) is in
 * both and drops out of the difference. The program runs itself as that process. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"
#include "papi_probe.h"
#include "probe.h"
#include "team.h"

enum { THREADS = 2, LITTLE = 2000, MUCH = 42000, FLOPS_PER_PAGE = 4000 };

static const struct compared {
    enum metric metric;
    const char *event; /* what perf stat calls it */
} compared[] = {
    {METRIC_PAGE_FAULTS_MINOR, "page-faults"},
    {METRIC_INSTRUCTIONS, "instructions:u"},
    {METRIC_CYCLES, "cycles:u"},
};

/* --- the process that is counted ------------------------------------------------------------------------------------------ */

struct counted_work {
    char *fresh;
    size_t pages, page;
    double sum[THREADS];
};

/* Touches fresh pages and computes on each: instructions, cycles and faults in proportion to `pages`. */
static void work(void *counted_work, int worker)
{
    struct counted_work *w = counted_work;
    double sum = 0;
    int from, to;

    team_share((int)w->pages, 1, worker, THREADS, &from, &to);
    for (int i = from; i < to; i++) {
        double x = w->fresh[(size_t)i * w->page] = 1;
        for (int k = 0; k < FLOPS_PER_PAGE; k++)
            x = x * 0.5 + 1;
        sum += x;
    }
    w->sum[worker] = sum;
}

/* Prints the reading of one metric; nothing where it cannot be counted. */
static int counted_process(size_t pages, enum metric wanted)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = pages * page;
    struct probe_args args = {.threads = THREADS, .wanted = &wanted, .wanted_count = 1};
    struct probe *p = NULL;
    struct reading r;
    struct team team;
    struct err e = {0};

    if (team_start(&team, THREADS, NULL, &e) < 0 || probe_find("papi", &e)->open(&p, &args, &e) < 0)
        return 0;
    char *fresh = pages_alloc(bytes, NULL);
    if (!fresh || madvise(fresh, bytes, MADV_NOHUGEPAGE) < 0)
        return 1;
    p->ops->select(p, 0);
    p->ops->begin(p);
    struct counted_work w = {.fresh = fresh, .pages = pages, .page = page};
    team_run(THREADS, work, &w);
    p->ops->end(p, &r);
    for (int i = 0; i < r.count; i++)
        if (r.value[i].metric == wanted && r.value[i].provenance != PROVENANCE_MISSING)
            printf("%.0f\n", r.value[i].value);
    pages_free(fresh, bytes);
    p->ops->close(p);
    return w.sum[0] > 0 && w.sum[THREADS - 1] > 0 ? 0 : 1;
}

/* --- both views of it ------------------------------------------------------------------------------------------------------
 */

/* NAN where a side has no number. */
static void observe(const char *self, const struct compared *c, size_t pages, double *ours, double *perfs)
{
    char command[512], line[512];

    *ours = *perfs = NAN;
    snprintf(command, sizeof command, "perf stat -x, -e %s -o /dev/stderr '%s' %zu %d 2>&1", c->event, self, pages,
             (int)c->metric);
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c) */
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char *end;
        double value = strtod(line, &end);
        if (end != line && *end == ',')
            *perfs = value;
        else if (end != line && *end == '\n')
            *ours = value;
    }
    pclose(f);
}

static void readings_agree_with_perf_stat_within_two_percent(void **state)
{
    int agreed = 0;

    for (size_t i = 0; i < sizeof compared / sizeof *compared; i++) {
        const struct compared *c = &compared[i];
        double ours[2], perfs[2];
        observe(*state, c, LITTLE, &ours[0], &perfs[0]);
        observe(*state, c, MUCH, &ours[1], &perfs[1]);
        double mine = ours[1] - ours[0], theirs = perfs[1] - perfs[0];
        if (isnan(mine) || isnan(theirs)) {
            print_message("%s: not counted by %s here\n", c->event, isnan(mine) ? "us" : "perf stat");
            continue;
        }
        print_message("%s: %.0f counted, %.0f by perf stat\n", c->event, mine, theirs);
        assert_true(mine > MUCH - LITTLE - 1);
        assert_true(fabs(mine - theirs) <= 0.02 * theirs);
        agreed++;
    }
    if (agreed == 0) {
        print_message("perf stat counts nothing here (not installed, or perf_event_paranoid forbids it)\n");
        skip();
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(readings_agree_with_perf_stat_within_two_percent, argv[0]),
    };

    if (argc == 3)
        return counted_process(strtoul(argv[1], NULL, 10), (enum metric)atoi(argv[2]));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
