/* SPDX-License-Identifier: MIT
 * /proc/self/cgroup names the group. In a container the path may be the host's while only the container's own group is mounted:
 * then the folders on the way do not exist and the mount's root, which is looked at last, is the group. */
#include "machine_limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One file's limit; false when it is not there. */
typedef bool (*limit_reader)(double *value, const char *root, const char *folder);

struct hierarchy {
    const char *controller; /* of version 1's line "4:cpu,cpuacct:/path"; "" is version 2's "0::/path" */
    const char *mount, *file;
    limit_reader read;
};

static bool read_cpu_v2(double *value, const char *root, const char *folder)
{
    char line[64];
    double quota, period;

    if (root_line(line, sizeof line, root, "%s/cpu.max", folder))
        return false;
    *value = sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0 ? quota / period : INFINITY; /* "max 100000" */
    return true;
}

static bool read_cpu_v1(double *value, const char *root, const char *folder)
{
    int64_t quota, period;

    if (root_number(&quota, root, "%s/cpu.cfs_quota_us", folder) || root_number(&period, root, "%s/cpu.cfs_period_us", folder))
        return false;
    *value = quota > 0 && period > 0 ? (double)quota / (double)period : INFINITY; /* -1 is none */
    return true;
}

static bool read_memory_v2(double *value, const char *root, const char *folder)
{
    char line[64];

    if (root_line(line, sizeof line, root, "%s/memory.max", folder))
        return false;
    *value = line[0] == 'm' ? INFINITY : strtod(line, NULL); /* "max" */
    return true;
}

/* Without a limit the file holds the largest number of whole pages. */
static bool read_memory_v1(double *value, const char *root, const char *folder)
{
    int64_t bytes;

    if (root_number(&bytes, root, "%s/memory.limit_in_bytes", folder))
        return false;
    *value = bytes >= INT64_MAX / 2 ? INFINITY : (double)bytes;
    return true;
}

/* Is `name` one of the comma-separated controllers? */
static bool lists(const char *controllers, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = controllers;; at++) {
        size_t n = strcspn(at, ",");
        if (n == len && strncmp(at, name, n) == 0)
            return true;
        at += n;
        if (!*at)
            return false;
    }
}

/* "/" when the process's group is not told: the mount itself, once more. */
static void group_of(char *group, size_t size, const char *root, const char *controller)
{
    char line[ROOT_PATH];
    FILE *f = root_open(root, "/proc/self/cgroup");

    snprintf(group, size, "/");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        if (lists(controllers + 1, controller)) {
            snprintf(group, size, "%s", path);
            break;
        }
    }
    fclose(f);
}

static void look_up_from(struct machine_limit *out, const char *root, const struct hierarchy *h)
{
    char group[ROOT_PATH / 2], folder[ROOT_PATH], *last;
    double value;

    group_of(group, sizeof group, root, h->controller);
    do { /* the group, the group above, ... "" is the mount */
        snprintf(folder, sizeof folder, "%s%s", h->mount, group);
        if (h->read(&value, root, folder) && (!out->known || value < out->value)) {
            out->known = true;
            out->value = value;
            snprintf(out->source, sizeof out->source, "%s of a group under %s", h->file, h->mount);
        }
        if ((last = strrchr(group, '/')))
            *last = 0;
    } while (last);
}

/* Version 2 first; the older one where it has no such controller. */
static void look_up(struct machine_limit *out, const char *root, const struct hierarchy *h, int n)
{
    *out = (struct machine_limit){.value = INFINITY};
    for (int i = 0; i < n && !out->known; i++)
        look_up_from(out, root, &h[i]);
    if (!out->known)
        snprintf(out->source, sizeof out->source, "%s", h[0].mount);
}

static const struct hierarchy cpu[] = {
    {"", "/sys/fs/cgroup", "cpu.max", read_cpu_v2},
    {"cpu", "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", read_cpu_v1},
    {"cpu", "/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us", read_cpu_v1},
};
static const struct hierarchy memory[] = {
    {"", "/sys/fs/cgroup", "memory.max", read_memory_v2},
    {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", read_memory_v1},
};

void machine_cpu_quota(struct machine_limit *out, const char *root)
{
    look_up(out, root, cpu, sizeof cpu / sizeof cpu[0]);
}

void machine_memory_limit(struct machine_limit *out, const char *root)
{
    look_up(out, root, memory, sizeof memory / sizeof memory[0]);
}
