/* SPDX-License-Identifier: MIT
 * Differences of the kernel's own accounts around a repetition. Reading them is file I/O: it happens before the first and after
 * the last clock reading of a repetition, never inside. What does not exist here (one NUMA node, SMT off) is not read. */
#include "witness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "core_clock.h"
#include "root_file.h"
#include "witness_place.h"

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

/* Ticks of one "cpu" line after its name. Guest time is inside user time, and idle and iowait are nobody's work. */
static bool parse_ticks(const char *figures, int64_t *busy, int64_t *steal)
{
    long long user, nice, system, idle, iowait, irq, softirq, stolen;

    if (sscanf(figures, "%lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &iowait, &irq, &softirq,
               &stolen) != 8)
        return false;
    *busy = user + nice + system + irq + softirq;
    *steal = stolen;
    return true;
}

/* The "intr" line begins with the sum and goes on for thousands of characters: pieces of a line that are not its beginning
 * begin with a space or a digit and fit nothing here. */
static void read_stat(struct witness_mark *m, bool siblings_known)
{
    char line[256];
    int64_t busy, steal;
    FILE *f = root_open(m->root, "/proc/stat");

    m->busy_ticks = m->steal = m->interrupts = m->sibling_ticks = -1;
    if (!f)
        return;
    if (siblings_known)
        m->sibling_ticks = 0;
    while (fgets(line, sizeof line, f)) {
        char *rest;
        if (strncmp(line, "cpu ", 4) == 0) {
            parse_ticks(line + 4, &m->busy_ticks, &m->steal);
        } else if (strncmp(line, "cpu", 3) == 0) {
            unsigned long cpu = strtoul(line + 3, &rest, 10);
            if (siblings_known && cpu < CPU_SETSIZE && CPU_ISSET(cpu, &m->siblings) && parse_ticks(rest, &busy, &steal))
                m->sibling_ticks += busy;
        } else if (strncmp(line, "intr ", 5) == 0) {
            m->interrupts = strtoll(line + 5, NULL, 10);
            break;
        }
    }
    fclose(f);
}

/* Cores count for themselves; the count of a package is the same number in each of its CPUs, so the greatest stands for all. */
static int64_t read_throttled(const cpu_set_t *own, const char *root)
{
    int64_t cores = 0, package = 0, n;

    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, own))
            continue;
        if (root_number(&n, root, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cpu))
            return -1;
        cores += n;
        if (root_number(&n, root, "/sys/devices/system/cpu/cpu%d/thermal_throttle/package_throttle_count", cpu) == 0 &&
            n > package)
            package = n;
    }
    return CPU_COUNT(own) > 0 ? cores + package : -1;
}

static double read_load1(const char *root)
{
    double load = -1;
    FILE *f = root_open(root, "/proc/loadavg");

    if (!f)
        return -1;
    if (fscanf(f, "%lf", &load) != 1)
        load = -1;
    fclose(f);
    return load;
}

/* Everything that runs on, at the CPUs that the mark names. */
static void read_accounts(struct witness_mark *m, bool siblings_known)
{
    struct rusage u;

    m->throttled = read_throttled(&m->own, m->root);
    read_stat(m, siblings_known);
    getrusage(RUSAGE_SELF, &u);
    m->involuntary = u.ru_nivcsw;
    m->minor = u.ru_minflt;
    m->major = u.ru_majflt;
    m->own_ticks = rusage_ticks(&u);
    m->wall_ns = clock_ns();
}

void witness_begin_at(struct witness_mark *m, const char *root)
{
    *m = (struct witness_mark){.root = root, .frequency_hz = core_clock_hz()};
    place_own_cpus(&m->own, root);
    read_accounts(m, place_siblings(&m->siblings, &m->own, root) == 0);
}

void witness_begin(struct witness_mark *m)
{
    witness_begin_at(m, "");
}

static int64_t difference(int64_t begin, int64_t end)
{
    return begin < 0 || end < 0 ? -1 : end - begin;
}

/* CPUs' worth of time; rounding of the ticks can leave less than nothing. */
static double busy_cpus(int64_t ticks, double seconds)
{
    return ticks > 0 ? (double)ticks / ticks_a_second() / seconds : 0;
}

void witness_end(const struct witness_mark *m, struct witness *out)
{
    struct witness_mark now = {.root = m->root, .own = m->own, .siblings = m->siblings, .frequency_hz = core_clock_hz()};

    read_accounts(&now, m->sibling_ticks >= 0);
    *out = (struct witness){
        .switches_involuntary = now.involuntary - m->involuntary,
        .page_faults_minor = now.minor - m->minor,
        .page_faults_major = now.major - m->major,
        .steal_ticks = difference(m->steal, now.steal),
        .other_busy = -1,
        .load1 = read_load1(m->root),
        .interrupts = difference(m->interrupts, now.interrupts),
        .throttled = difference(m->throttled, now.throttled),
        .frequency_hz = (m->frequency_hz + now.frequency_hz) / 2,
        .sibling_busy = m->sibling_ticks >= 0 && CPU_COUNT(&m->siblings) == 0 ? 0 : -1,
        .huge_share = place_huge_share(m->root),
        .remote_share = place_remote_share(&m->own, m->root),
    };
    double seconds = (double)(now.wall_ns - m->wall_ns) / 1e9;
    if (seconds < shortest_s)
        return;
    if (now.sibling_ticks >= 0 && m->sibling_ticks >= 0)
        out->sibling_busy = busy_cpus(now.sibling_ticks - m->sibling_ticks, seconds);
    if (now.busy_ticks >= 0 && m->busy_ticks >= 0)
        out->other_busy = busy_cpus((now.busy_ticks - m->busy_ticks) - (now.own_ticks - m->own_ticks), seconds);
}
