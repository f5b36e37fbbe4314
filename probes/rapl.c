/* SPDX-License-Identifier: MIT
 * The rapl probe: joules of the CPU packages, and of the memory modules where they are metered, all packages together, from the
 * kernel's powercap folder; where that may not be read, from perf's power counters. A light probe: one read of a small file per
 * counter at either end, a few microseconds each, outside the clock's window. The hardware brings its counters up to date about
 * once a millisecond: a shorter bracket is coarse, sums over many are right. Other processes' energy is in the figure too. */
#include "rapl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe_list.h"
#include "root_file.h"

enum { RAPL_COUNTERS = 64 };

struct rapl_counter {
    int fd;
    enum metric metric;
    double joules;  /* of a unit */
    uint64_t range; /* powercap: the value after which it begins at 0 again; perf: 0, it never does */
    uint64_t begin;
};

struct rapl_probe {
    struct probe base;
    struct rapl_counter counter[RAPL_COUNTERS];
    int counters;
    bool unread; /* a read of begin failed */
};

/* What is metered, by powercap's and by perf's name. Cores, graphics and the platform are inside or around these: not added. */
static const struct {
    enum metric metric;
    const char *zone, *event;
} domains[] = {{METRIC_ENERGY_J, "package", "energy-pkg"}, {METRIC_ENERGY_DRAM_J, "dram", "energy-ram"}};
enum { DOMAINS = sizeof domains / sizeof domains[0] };

static void close_counters(struct rapl_probe *p)
{
    while (p->counters > 0)
        close(p->counter[--p->counters].fd);
}

/* --- powercap --------------------------------------------------------------------------------------------------------------
 */

static int refuse(struct err *e, const char *path, int why)
{
    if (why == EACCES || why == EPERM)
        return err_set(e, ERR_ABSENT,
                       "%s may not be read by this user; sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj", path);
    return err_set(e, ERR_ABSENT, "%s: %s", path, strerror(why));
}

/* 0 also for a zone that is not ours. */
static int add_zone(struct rapl_probe *p, const char *root, const char *zone, struct err *e)
{
    static const char folder[] = "/sys/class/powercap";
    char name[64], path[ROOT_PATH], number[32];
    int64_t range;
    int d = 0;

    if (root_line(name, sizeof name, root, "%s/%s/name", folder, zone))
        return 0;
    while (d < DOMAINS && strncmp(name, domains[d].zone, strlen(domains[d].zone)) != 0)
        d++;
    if (d == DOMAINS || p->counters == RAPL_COUNTERS)
        return 0;
    root_path(path, root, "%s/%s/energy_uj", folder, zone);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse(e, path, errno);
    if (pread(fd, number, sizeof number, 0) <= 0 || root_number(&range, root, "%s/%s/max_energy_range_uj", folder, zone)) {
        close(fd);
        return refuse(e, path, ENODATA);
    }
    p->counter[p->counters++] =
        (struct rapl_counter){.fd = fd, .metric = domains[d].metric, .joules = 1e-6, .range = (uint64_t)range};
    return 0;
}

/* The class folder is flat: zones and their parts ("intel-rapl:0", "intel-rapl:0:0") side by side. "intel-rapl-mmio:0" is the
 * first package once more. */
static int open_powercap(struct rapl_probe *p, const char *root, struct err *e)
{
    static const char prefix[] = "intel-rapl:";
    char path[ROOT_PATH];
    DIR *folder = opendir(root_path(path, root, "/sys/class/powercap"));
    int code = 0;

    if (folder) {
        for (struct dirent *entry; code == 0 && (entry = readdir(folder));)
            if (strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0)
                code = add_zone(p, root, entry->d_name, e);
        closedir(folder);
    }
    if (code == 0 && p->counters == 0)
        code = err_set(e, ERR_ABSENT, "no energy counter under %s: usual in virtual machines and containers", path);
    if (code < 0)
        close_counters(p);
    return code;
}

/* --- perf ------------------------------------------------------------------------------------------------------------------
 */

/* One event on one CPU stands for its package; scale is joules a unit. */
static int add_event(struct rapl_probe *p, int64_t type, int domain, unsigned config, double scale, int cpu)
{
    struct perf_event_attr a = {.size = sizeof a, .type = (uint32_t)type, .config = config};

    if (p->counters == RAPL_COUNTERS)
        return ENOSPC;
    long fd = syscall(SYS_perf_event_open, &a, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return errno;
    p->counter[p->counters++] = (struct rapl_counter){.fd = (int)fd, .metric = domains[domain].metric, .joules = scale};
    return 0;
}

/* cpus: "0,18" or "0-1", one of each package. */
static int add_event_on(struct rapl_probe *p, int64_t type, int domain, unsigned config, double scale, const char *cpus)
{
    int why = 0;

    for (const char *at = cpus; !why && *at;) {
        char *end;
        long first = strtol(at, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        for (long cpu = first; !why && cpu <= last; cpu++)
            why = add_event(p, type, domain, config, scale, (int)cpu);
        at = *end == ',' ? end + 1 : "";
    }
    return why;
}

static int open_perf(struct rapl_probe *p, const char *root)
{
    static const char folder[] = "/sys/bus/event_source/devices/power";
    char cpus[256], text[64];
    unsigned config;
    int64_t type;
    int why = root_number(&type, root, "%s/type", folder);

    if (!why)
        why = root_line(cpus, sizeof cpus, root, "%s/cpumask", folder);
    for (int d = 0; !why && d < DOMAINS; d++) {
        if (root_line(text, sizeof text, root, "%s/events/%s", folder, domains[d].event) ||
            sscanf(text, "event=%x", &config) != 1)
            continue;
        why = root_line(text, sizeof text, root, "%s/events/%s.scale", folder, domains[d].event);
        if (!why)
            why = add_event_on(p, type, d, config, strtod(text, NULL), cpus);
    }
    if (!why && p->counters == 0)
        why = ENODATA;
    if (why)
        close_counters(p);
    return why;
}

/* --- the probe -------------------------------------------------------------------------------------------------------------
 */

static bool read_counter(const struct rapl_counter *c, uint64_t *value)
{
    char text[32];

    if (c->range == 0)
        return read(c->fd, value, sizeof *value) == (ssize_t)sizeof *value;
    ssize_t n = pread(c->fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return false;
    text[n] = 0;
    *value = strtoull(text, NULL, 10);
    return true;
}

int rapl_open_at(const char *root, struct probe **out, struct err *e)
{
    struct rapl_probe *p = calloc(1, sizeof *p);

    if (!p)
        return err_set(e, ERR_MEMORY, "rapl probe: out of memory");
    p->base.ops = &probe_rapl;
    int code = open_powercap(p, root, e);
    if (code < 0 && open_perf(p, root) != 0) {
        free(p);
        return code;
    }
    *out = &p->base;
    return 0;
}

static int rapl_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    (void)args;
    return rapl_open_at("", out, e);
}

static int rapl_groups(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *rapl_group_name(const struct probe *p, int group)
{
    (void)p, (void)group;
    return "rapl";
}

static void rapl_select(struct probe *p, int group)
{
    (void)p, (void)group;
}

static bool is_metered(const struct rapl_probe *p, enum metric m)
{
    for (int i = 0; i < p->counters; i++)
        if (p->counter[i].metric == m)
            return true;
    return false;
}

static int rapl_metrics(const struct probe *base, enum metric *out)
{
    const struct rapl_probe *p = (const struct rapl_probe *)base;
    int n = 0;

    for (int d = 0; d < DOMAINS; d++)
        if (is_metered(p, domains[d].metric))
            out[n++] = domains[d].metric;
    return n;
}

static void rapl_begin(struct probe *base)
{
    struct rapl_probe *p = (struct rapl_probe *)base;

    p->unread = false;
    for (int i = 0; i < p->counters; i++)
        p->unread |= !read_counter(&p->counter[i], &p->counter[i].begin);
}

static void rapl_end(struct probe *base, struct reading *out)
{
    const struct rapl_probe *p = (const struct rapl_probe *)base;
    double joules[METRIC_COUNT] = {0};
    enum metric metric[DOMAINS];
    bool unread = p->unread;

    for (int i = 0; i < p->counters; i++) {
        const struct rapl_counter *c = &p->counter[i];
        uint64_t now = 0;
        unread |= !read_counter(c, &now);
        /* At most one wrap fits a bracket: the shortest ranges last minutes. */
        joules[c->metric] +=
            c->joules * (now >= c->begin ? (double)(now - c->begin) : (double)now + (double)c->range - (double)c->begin);
    }
    out->count = rapl_metrics(base, metric);
    for (int i = 0; i < out->count; i++)
        out->value[i] = (struct value){
            .metric = metric[i],
            .provenance = unread ? PROVENANCE_MISSING : PROVENANCE_VENDOR,
            .value = joules[metric[i]],
            .coverage = 1,
            .why = unread ? "an energy counter could not be read" : NULL,
        };
}

static bool rapl_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p;
    for (int i = 0; i < r->count; i++) {
        if (r->value[i].provenance == PROVENANCE_MISSING || r->value[i].value >= 0)
            continue;
        *why = "an energy counter went backwards by more than its range";
        return false;
    }
    return true;
}

static void rapl_close(struct probe *base)
{
    struct rapl_probe *p = (struct rapl_probe *)base;

    close_counters(p);
    free(p);
}

const struct probe_ops probe_rapl = {
    .name = "rapl",
    .about = "energy of the CPU packages and of memory, other processes' included",
    .weight = PROBE_LIGHT,
    .open = rapl_open,
    .groups = rapl_groups,
    .group_name = rapl_group_name,
    .select = rapl_select,
    .metrics = rapl_metrics,
    .begin = rapl_begin,
    .end = rapl_end,
    .plausible = rapl_plausible,
    .close = rapl_close,
    .for_device = "nvml",
};
