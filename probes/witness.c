/* SPDX-License-Identifier: MIT
 * Differences of the kernel's own accounts around a repetition. Reading them is file I/O (some 50 us): it happens before the
 * first and after the last clock reading of a repetition, never inside. */
#include "witness.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

/* The kernel's accounts move in ticks of 10 ms: over less than this they cannot tell a busy neighbour from rounding. */
static const double shortest_s = 0.1;

static double ticks_a_second(void)
{
    return (double)sysconf(_SC_CLK_TCK);
}

static int64_t rusage_ticks(const struct rusage *u)
{
    double s = (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) + (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;

    return (int64_t)(s * ticks_a_second() + 0.5);
}

/* Guest time is inside user time, and idle and iowait are nobody's work. */
static void read_machine_ticks(int64_t *busy, int64_t *steal)
{
    long long user, nice, system, idle, iowait, irq, softirq, stolen;
    FILE *f = fopen("/proc/stat", "re");

    *busy = *steal = -1;
    if (!f)
        return;
    if (fscanf(f, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &iowait, &irq, &softirq,
               &stolen) == 8) {
        *busy = user + nice + system + irq + softirq;
        *steal = stolen;
    }
    fclose(f);
}

static double read_load1(void)
{
    double load = -1;
    FILE *f = fopen("/proc/loadavg", "re");

    if (!f)
        return -1;
    if (fscanf(f, "%lf", &load) != 1)
        load = -1;
    fclose(f);
    return load;
}

void witness_begin(struct witness_mark *m)
{
    struct rusage u;

    read_machine_ticks(&m->busy_ticks, &m->steal);
    getrusage(RUSAGE_SELF, &u);
    m->involuntary = u.ru_nivcsw;
    m->minor = u.ru_minflt;
    m->major = u.ru_majflt;
    m->own_ticks = rusage_ticks(&u);
    m->wall_ns = clock_ns();
}

void witness_end(const struct witness_mark *m, struct witness *out)
{
    struct witness_mark now;

    witness_begin(&now);
    *out = (struct witness){
        .switches_involuntary = now.involuntary - m->involuntary,
        .page_faults_minor = now.minor - m->minor,
        .page_faults_major = now.major - m->major,
        .steal_ticks = now.steal < 0 || m->steal < 0 ? -1 : now.steal - m->steal,
        .other_busy = -1,
        .load1 = read_load1(),
    };
    double seconds = (double)(now.wall_ns - m->wall_ns) / 1e9;
    if (now.busy_ticks < 0 || m->busy_ticks < 0 || seconds < shortest_s)
        return;
    double others = (double)((now.busy_ticks - m->busy_ticks) - (now.own_ticks - m->own_ticks)) / ticks_a_second() / seconds;
    out->other_busy = others > 0 ? others : 0; /* rounding can leave less than nothing */
}
