/* SPDX-License-Identifier: MIT
 * Small mappings (stacks, libraries) say nothing about weights and caches: only those with 4 MiB or more in memory count. The
 * kernel walks the page tables for these figures: some 30 ms for a gigabyte in small pages. */
#include "witness_place.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "root_file.h"

static const double large_kib = 4096;

void place_parse_cpus(cpu_set_t *out, const char *list)
{
    CPU_ZERO(out);
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (end == list)
            return;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu >= 0 && cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET((size_t)cpu, out);
        list = *end == ',' ? end + 1 : end;
    }
}

/* The 39th field; the second is a name in brackets which may hold anything. */
static int last_cpu(const char *stat)
{
    enum { AFTER_NAME = 37 };
    const char *at = strrchr(stat, ')');

    for (int i = 0; at && i < AFTER_NAME; i++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at + 1) : -1;
}

void place_own_cpus(cpu_set_t *out, const char *root)
{
    char path[ROOT_PATH], stat[1024];
    DIR *tasks = opendir(root_path(path, root, "/proc/self/task"));

    CPU_ZERO(out);
    if (!tasks)
        return;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.' || root_line(stat, sizeof stat, root, "/proc/self/task/%s/stat", entry->d_name))
            continue;
        int cpu = last_cpu(stat);
        if (cpu >= 0 && cpu < CPU_SETSIZE)
            CPU_SET((size_t)cpu, out);
    }
    closedir(tasks);
}

int place_siblings(cpu_set_t *out, const cpu_set_t *own, const char *root)
{
    char list[256];
    int64_t active;
    cpu_set_t core;

    CPU_ZERO(out);
    if (root_number(&active, root, "/sys/devices/system/cpu/smt/active"))
        return -1;
    for (int cpu = 0; active && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, own))
            continue;
        if (root_line(list, sizeof list, root, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
            return -1;
        place_parse_cpus(&core, list);
        CPU_OR(out, out, &core);
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, own))
            CPU_CLR((size_t)cpu, out);
    return 0;
}

/* "Name:   123 kB" of smaps; false for another line. */
static bool smaps_field(const char *line, const char *name, double *kib)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) != 0 || line[len] != ':')
        return false;
    *kib = strtod(line + len + 1, NULL);
    return true;
}

double place_huge_share(const char *root)
{
    static const char *const huge_kinds[] = {"AnonHugePages", "ShmemPmdMapped", "FilePmdMapped"};
    double all = 0, in_huge = 0, rss = 0, kib;
    char line[512];
    FILE *f = root_open(root, "/proc/self/smaps");

    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        if (smaps_field(line, "Rss", &kib)) { /* the first figure of a mapping that matters here */
            rss = kib >= large_kib ? kib : 0;
            all += rss;
            continue;
        }
        for (size_t i = 0; rss > 0 && i < sizeof huge_kinds / sizeof huge_kinds[0]; i++)
            if (smaps_field(line, huge_kinds[i], &kib))
                in_huge += kib;
    }
    fclose(f);
    return all > 0 ? in_huge / all : -1;
}

enum { NODES = 64 };

static void own_nodes(bool own_node[NODES], const cpu_set_t *own, const char *root)
{
    char list[256];
    cpu_set_t cpus;

    for (int node = 0; node < NODES; node++) {
        own_node[node] = false;
        if (root_line(list, sizeof list, root, "/sys/devices/system/node/node%d/cpulist", node))
            continue;
        place_parse_cpus(&cpus, list);
        CPU_AND(&cpus, &cpus, own);
        own_node[node] = CPU_COUNT(&cpus) > 0;
    }
}

/* KiB of one mapping on our nodes and on others; "... N0=512 N1=3 kernelpagesize_kB=4". */
static void numa_line(const char *line, const bool own_node[NODES], double *near, double *far)
{
    const char *size = strstr(line, "kernelpagesize_kB=");
    double page = size ? strtod(strchr(size, '=') + 1, NULL) : 4;

    *near = *far = 0;
    for (const char *at = strstr(line, " N"); at; at = strstr(at + 2, " N")) {
        char *end;
        long node = strtol(at + 2, &end, 10);
        if (end == at + 2 || *end != '=' || node < 0 || node >= NODES)
            continue;
        *(own_node[node] ? near : far) += strtod(end + 1, NULL) * page;
    }
}

double place_remote_share(const cpu_set_t *own, const char *root)
{
    char line[1024];
    bool own_node[NODES];
    double near, far, all = 0, remote = 0;

    if (root_line(line, sizeof line, root, "/sys/devices/system/node/online"))
        return -1;
    if (!strpbrk(line, ",-"))
        return 0; /* one node: everything is near */
    FILE *f = root_open(root, "/proc/self/numa_maps");
    if (!f)
        return -1;
    own_nodes(own_node, own, root);
    while (fgets(line, sizeof line, f)) {
        numa_line(line, own_node, &near, &far);
        if (near + far < large_kib)
            continue;
        all += near + far;
        remote += far;
    }
    fclose(f);
    return all > 0 ? remote / all : -1;
}
