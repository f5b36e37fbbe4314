/* SPDX-License-Identifier: MIT
 * Looks at everything that decides what can be measured here and how far the figures can be trusted. Needs no rights: what
 * cannot be read is said to be so. The environment is read before any probe is opened, for the PAPI probe may add to it. */
#include "doctor.h"

#include <cblas.h>
#include <hwloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if HAVE_PAPI
#include <papi.h>
#endif

#include "caches.h"
#include "isa.h"
#include "papi_probe.h"
#include "text.h"

__attribute__((format(printf, 6, 7))) static void add(struct findings *f, const char *area, const char *what,
                                                      enum finding_state state, const char *remedy, const char *value, ...)
{
    va_list ap;

    if (f->count == FINDINGS_MAX)
        return;
    struct finding *item = &f->item[f->count++];
    item->state = state;
    snprintf(item->area, sizeof item->area, "%s", area);
    snprintf(item->what, sizeof item->what, "%s", what);
    snprintf(item->remedy, sizeof item->remedy, "%s", remedy);
    va_start(ap, value);
    vsnprintf(item->value, sizeof item->value, value, ap);
    va_end(ap);
}

/* The first line of a small file of the kernel's, without its newline. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "re");

    if (!f)
        return false;
    bool got = fgets(line, (int)size, f) != NULL;
    fclose(f);
    if (got)
        line[strcspn(line, "\n")] = 0;
    return got;
}

static void cpu_model(char *model, size_t size)
{
    char line[512], *colon;
    FILE *f = fopen("/proc/cpuinfo", "re");

    snprintf(model, size, "unknown");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0 || !(colon = strchr(line, ':')))
            continue;
        colon[1 + strcspn(colon + 1, "\n")] = 0;
        snprintf(model, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(f);
}

static void examine_topology(struct findings *f)
{
    hwloc_topology_t topo = NULL;

    if (hwloc_topology_init(&topo) < 0)
        return;
    if (hwloc_topology_load(topo) == 0) {
        int cores = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_CORE), cpus = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PU);
        int nodes = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_NUMANODE);
        add(f, "cpu", "cores", FINDING_OK, "", "%d cores, %d hardware threads%s", cores, cpus,
            cpus > cores ? " (SMT on: workers take one thread a core)" : "");
        add(f, "cpu", "numa nodes", FINDING_OK, "", "%d", nodes);
    }
    hwloc_topology_destroy(topo);
}

static void examine_governor(struct findings *f)
{
    char governor[64];

    if (!read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor))
        add(f, "cpu", "governor", FINDING_OK, "", "not visible (usual in a virtual machine)");
    else if (strcmp(governor, "performance") == 0)
        add(f, "cpu", "governor", FINDING_OK, "", "%s", governor);
    else
        add(f, "cpu", "governor", FINDING_WARN, "sudo cpupower frequency-set -g performance", "%s", governor);
}

static void examine_quota(struct findings *f)
{
    char line[64];
    long long quota, period;

    if (!read_line("/sys/fs/cgroup/cpu.max", line, sizeof line) || sscanf(line, "%lld %lld", &quota, &period) != 2 ||
        period <= 0)
        add(f, "cpu", "container quota", FINDING_OK, "", "none");
    else
        add(f, "cpu", "container quota", FINDING_WARN, "raise the container's CPU limit: throttling shows as slow steps",
            "%.2f CPUs", (double)quota / (double)period);
}

static void examine_cpu(struct findings *f)
{
    char model[128];
    struct err e = {0};
    enum isa isa;

    cpu_model(model, sizeof model);
    add(f, "cpu", "model", FINDING_OK, "", "%s", model);
    if (isa_choose(&isa, &e) < 0)
        add(f, "cpu", "instruction set", FINDING_WARN, "unset BENCH_ISA", "%.180s", e.text);
    else
        add(f, "cpu", "instruction set", FINDING_OK, "", "%s", isa_name(isa));
    examine_topology(f);
    examine_governor(f);
    examine_quota(f);
}

static void examine_memory(struct findings *f)
{
    char size[16], mode[64];
    struct caches cache;

    caches_find(&cache);
    add(f, "memory", "caches", FINDING_OK, "", "L1 %zu KiB, L2 %zu KiB, L3 %zu KiB x %d", cache.l1 >> 10, cache.l2 >> 10,
        cache.l3 >> 10, cache.l3_count);
    add(f, "memory", "size", FINDING_OK, "", "%s",
        text_bytes(size, sizeof size, (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE)));
    if (!read_line("/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof mode))
        add(f, "memory", "huge pages", FINDING_WARN, "", "transparent huge pages are not there: bandwidth will be lower");
    else if (strstr(mode, "[never]"))
        add(f, "memory", "huge pages", FINDING_WARN, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
            "%s", mode);
    else
        add(f, "memory", "huge pages", FINDING_OK, "", "%s", mode);
}

/* Variables that change how fast the libraries are, or what is counted. */
static const char *const telling_prefixes[] = {"OPENBLAS_",        "GOTO_",    "OMP_", "GOMP_", "KMP_", "MKL_",
                                               "LIBPFM_FORCE_PMU", "BENCH_ISA"};

static bool variable_tells(const char *entry)
{
    for (size_t i = 0; i < sizeof telling_prefixes / sizeof telling_prefixes[0]; i++)
        if (strncmp(entry, telling_prefixes[i], strlen(telling_prefixes[i])) == 0)
            return true;
    return false;
}

static void examine_environment(struct findings *f)
{
    char remedy[128];
    int before = f->count;

    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (!equals || !variable_tells(*entry))
            continue;
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *entry), *entry);
        snprintf(remedy, sizeof remedy, "it changes the roofs; compare with unset %.60s", name);
        add(f, "environment", name, FINDING_WARN, remedy, "%.150s", equals + 1);
    }
    if (f->count == before)
        add(f, "environment", "variables", FINDING_OK, "", "none is set that would change the roofs");
}

static void examine_libraries(struct findings *f)
{
    unsigned hwloc = hwloc_get_api_version();

    add(f, "libraries", "openblas", FINDING_OK, "", "%.100s, kernels for %s", openblas_get_config(), openblas_get_corename());
    add(f, "libraries", "hwloc", FINDING_OK, "", "API %u.%u.%u", hwloc >> 16, hwloc >> 8 & 255, hwloc & 255);
#if HAVE_PAPI
    add(f, "libraries", "papi", FINDING_OK, "", "%d.%d.%d", PAPI_VERSION_MAJOR(PAPI_VERSION), PAPI_VERSION_MINOR(PAPI_VERSION),
        PAPI_VERSION_REVISION(PAPI_VERSION));
#else
    add(f, "libraries", "papi", FINDING_ABSENT, "install libpapi-dev and rebuild", "built without");
#endif
}

/* Our sentences put the remedy behind a semicolon. */
static void add_absent(struct findings *f, const char *what, const char *sentence)
{
    const char *semicolon = strstr(sentence, "; ");
    int reason = semicolon ? (int)(semicolon - sentence) : (int)strlen(sentence);

    add(f, "counters", what, FINDING_ABSENT, semicolon ? semicolon + 2 : "", "%.*s", reason, sentence);
}

static void examine_quantities(struct findings *f, const struct probe *papi)
{
    const struct papi_quantity *q;
    int n = papi_quantities(papi, &q);

    add(f, "counters", "pmu", FINDING_OK, "", "%s", papi_pmu(papi));
    for (int i = 0; i < n; i++) {
        if (q[i].accepted)
            add(f, "counters", metric_name(q[i].metric), FINDING_OK, "", "%s, %.1f %% off, %d readings rejected", q[i].event,
                100 * q[i].rel_error, q[i].rejects);
        else
            add_absent(f, metric_name(q[i].metric), q[i].why);
    }
}

static void examine_probes(struct findings *f, int threads)
{
    const struct probe_args args = {.threads = threads};

    for (int i = 0; probes[i]; i++) {
        struct probe *p = NULL;
        struct err e = {0};

        if (probes[i]->open(&p, &args, &e) < 0) {
            add_absent(f, probes[i]->name, e.text);
            continue;
        }
        if (strcmp(probes[i]->name, "papi") == 0)
            examine_quantities(f, p);
        else
            add(f, "counters", probes[i]->name, FINDING_OK, "", "%s", probes[i]->about);
        probes[i]->close(p);
    }
}

static void examine_permission(struct findings *f)
{
    char level[32];

    if (!read_line("/proc/sys/kernel/perf_event_paranoid", level, sizeof level))
        add(f, "counters", "perf_event_paranoid", FINDING_ABSENT, "", "this kernel has no perf events");
    else if (atoi(level) > 2)
        add(f, "counters", "perf_event_paranoid", FINDING_WARN, "sudo sysctl kernel.perf_event_paranoid=2", "%s", level);
    else
        add(f, "counters", "perf_event_paranoid", FINDING_OK, "", "%s", level);
}

int doctor_examine(struct findings *out, int threads, struct err *e)
{
    if (threads < 1)
        return err_set(e, ERR_USAGE, "doctor: %d threads: at least 1 is needed", threads);
    out->count = 0;
    examine_cpu(out);
    examine_memory(out);
    examine_environment(out);
    examine_libraries(out);
    examine_permission(out);
    examine_probes(out, threads);
    return 0;
}
