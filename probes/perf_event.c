/* SPDX-License-Identifier: MIT
 * Each refusal of perf_event_open has its own cause, and each cause its own remedy; the kernel only gives a number. */
#include "perf_event.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_int(const char *path, int missing)
{
    int value = missing;
    FILE *f = fopen(path, "re");

    if (!f)
        return missing;
    if (fscanf(f, "%d", &value) != 1)
        value = missing;
    fclose(f);
    return value;
}

int perf_event_paranoid(void)
{
    return read_int("/proc/sys/kernel/perf_event_paranoid", -1);
}

/* The kernel's number of a PMU; -1 when this machine has none of that name. */
static int type_of(const char *pmu)
{
    static const struct {
        const char *name;
        int type;
    } fixed[] = {{"cpu", PERF_TYPE_RAW}, {"hardware", PERF_TYPE_HARDWARE}, {"software", PERF_TYPE_SOFTWARE}};
    char path[96];

    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (strcmp(pmu, fixed[i].name) == 0)
            return fixed[i].type;
    snprintf(path, sizeof path, "/sys/bus/event_source/devices/%s/type", pmu);
    return read_int(path, -1);
}

int perf_event_open_own(const struct event_raw *raw, int leader)
{
    const int type = type_of(raw->pmu);
    struct perf_event_attr a = {
        .size = sizeof a,
        .type = (unsigned)type,
        .config = raw->config,
        .config1 = raw->config1,
        .disabled = leader < 0,
        .pinned = leader < 0,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_GROUP | PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };

    if (type < 0)
        return -ENODEV;
    long fd = syscall(SYS_perf_event_open, &a, 0, -1, leader, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : (int)fd;
}

void perf_event_explain(char *why, size_t size, int error, int paranoid)
{
    const char *sentence = NULL;

    switch (error) {
    case ENOENT:
    case EOPNOTSUPP:
        sentence = "this kernel offers no CPU PMU (usual in virtual machines); run on bare metal or give the guest a PMU";
        break;
    case EPERM:
        sentence = "a container's seccomp filter or a security module forbids perf_event_open; allow it with --cap-add=PERFMON";
        break;
    case ENOSYS:
        sentence = "this kernel has no perf_event_open, or a seccomp filter hides it; use a kernel with CONFIG_PERF_EVENTS";
        break;
    case EINVAL:
        sentence = "the kernel does not accept the event's bits: they belong to another CPU; correct its event file";
        break;
    case ENODEV:
        sentence = "this machine has no such PMU; see /sys/bus/event_source/devices for those it has";
        break;
    case ENOSPC:
    case EBUSY:
        sentence = "the counters are taken; stop other profilers, or sudo sysctl kernel.nmi_watchdog=0";
        break;
    case EMFILE:
        sentence = "too many open files: each worker opens one for each event; raise ulimit -n";
        break;
    default:
        break;
    }
    if (error == EACCES && paranoid > 2)
        snprintf(why, size, "kernel.perf_event_paranoid is %d; sudo sysctl kernel.perf_event_paranoid=2", paranoid);
    else if (error == EACCES)
        snprintf(why, size,
                 "perf_event_open is not permitted to this user; run with CAP_PERFMON, in a container --cap-add=PERFMON");
    else if (sentence)
        snprintf(why, size, "%s", sentence);
    else
        snprintf(why, size, "perf_event_open: %s", strerror(error));
}

void perf_event_no_hardware(char *why, size_t size)
{
    const struct event_raw instructions = {.pmu = "hardware", .config = PERF_COUNT_HW_INSTRUCTIONS};
    int fd = perf_event_open_own(&instructions, -1);
    int n = 0;

    *why = 0;
    if (fd >= 0) {
        close(fd);
        return;
    }
    n = snprintf(why, size, "no hardware counters: ");
    perf_event_explain(why + n, size - (size_t)n, -fd, perf_event_paranoid());
}
