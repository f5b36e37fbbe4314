/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <cblas.h>
#include <hwloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "text.h"

extern char **environ;

struct describing {
    struct store *store;
    int64_t run;
    struct err *e;
    int code; /* the first failure sticks */
};

static void add(struct describing *d, const char *key, const char *value, const char *source)
{
    if (d->code == 0)
        d->code = store_add_machine(d->store, d->run, key, value, source, d->e);
}

/* The first line of a small file, without its newline; "" when it cannot be read. */
static const char *first_line(const char *path, char *buf, int size)
{
    FILE *f = fopen(path, "r");

    buf[0] = 0;
    if (f) {
        if (fgets(buf, size, f))
            buf[strcspn(buf, "\n")] = 0;
        fclose(f);
    }
    return buf;
}

static void add_file(struct describing *d, const char *key, const char *path)
{
    char line[256];

    if (*first_line(path, line, sizeof line))
        add(d, key, line, path);
}

/* "name: value" of /proc/cpuinfo or /etc/os-release style files. */
static void add_field(struct describing *d, const char *key, const char *path, const char *name, char separator)
{
    char line[512];
    FILE *f = fopen(path, "r");

    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        char *value = strchr(line, separator);
        if (strncmp(line, name, strlen(name)) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " \t\"");
        value[strcspn(value, "\"\n")] = 0;
        add(d, key, value, path);
        break;
    }
    fclose(f);
}

static void add_caches(struct describing *d, hwloc_topology_t topo)
{
    static const struct {
        hwloc_obj_type_t type;
        const char *key;
    } level[] = {{HWLOC_OBJ_L1CACHE, "L1d cache"}, {HWLOC_OBJ_L2CACHE, "L2 cache"}, {HWLOC_OBJ_L3CACHE, "L3 cache"}};
    char text[64];

    for (size_t i = 0; i < sizeof level / sizeof *level; i++) {
        int n = hwloc_get_nbobjs_by_type(topo, level[i].type);
        hwloc_obj_t first = n > 0 ? hwloc_get_obj_by_type(topo, level[i].type, 0) : NULL;
        if (!first)
            continue;
        snprintf(text, sizeof text, "%d x %llu KiB", n, (unsigned long long)first->attr->cache.size / 1024);
        add(d, level[i].key, text, "hwloc");
    }
}

static void add_topology(struct describing *d)
{
    hwloc_topology_t topo;
    char text[96], size[32];

    if (hwloc_topology_init(&topo) < 0)
        return;
    if (hwloc_topology_load(topo) == 0) {
        snprintf(text, sizeof text, "%d cores, %d hardware threads, %d NUMA node(s)",
                 hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_CORE), hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PU),
                 hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_NUMANODE));
        add(d, "topology", text, "hwloc");
        add_caches(d, topo);
    }
    hwloc_topology_destroy(topo);
    /* hwloc's total misses memory that was added to a running guest. */
    add(d, "memory", text_bytes(size, sizeof size, (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE)), "sysconf");
}

static void add_team(struct describing *d, const struct team *team)
{
    char text[256];

    snprintf(text, sizeof text, "%d, %s to CPUs %s%s", team->threads, team->pinned ? "pinned" : "could not be pinned",
             team->cpus, team->shares_cores ? "; some share a core" : "");
    add(d, "threads", text, "bench");
}

static void add_virtualisation(struct describing *d)
{
    char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "r");

    if (!f)
        return;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "flags", 5) == 0) {
            add(d, "virtualisation", strstr(line, " hypervisor ") ? "a virtual machine" : "none", "/proc/cpuinfo");
            break;
        }
    fclose(f);
}

/* Variables that change a roof or a counter without a word in any option. */
static void add_environment(struct describing *d)
{
    static const char *const prefix[] = {"OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "LIBPFM_", "PAPI_", "BENCH_", "MALLOC_"};
    char key[96];

    for (char **v = environ; *v; v++)
        for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
            const char *value = strchr(*v, '=');
            if (!value || strncmp(*v, prefix[i], strlen(prefix[i])) != 0)
                continue;
            snprintf(key, sizeof key, "$%.*s", (int)(value - *v), *v);
            add(d, key, value + 1, "environment");
        }
}

int machine_describe(struct store *s, int64_t run, const struct team *team, struct err *e)
{
    struct describing d = {.store = s, .run = run, .e = e};
    struct utsname u;
    char text[256];

    add_field(&d, "CPU", "/proc/cpuinfo", "model name", ':');
    add_field(&d, "CPU family", "/proc/cpuinfo", "cpu family", ':');
    add_field(&d, "CPU model", "/proc/cpuinfo", "model\t", ':');
    add_topology(&d);
    add_team(&d, team);
    if (uname(&u) == 0) {
        snprintf(text, sizeof text, "%s %s %s", u.sysname, u.release, u.machine);
        add(&d, "kernel", text, "uname");
    }
    add_field(&d, "system", "/etc/os-release", "PRETTY_NAME", '=');
    add_virtualisation(&d);
    add_file(&d, "huge pages", "/sys/kernel/mm/transparent_hugepage/enabled");
    add_file(&d, "governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    add_file(&d, "perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid");
    snprintf(text, sizeof text, "%s (%s)", openblas_get_config(), openblas_get_corename());
    add(&d, "OpenBLAS", text, "openblas_get_config");
    snprintf(text, sizeof text, "SQLite %s, hwloc %x", sqlite3_libversion(), hwloc_get_api_version());
    add(&d, "libraries", text, "bench");
    add_environment(&d);
    return d.code;
}
