/* SPDX-License-Identifier: MIT
 * One line a fact in the table at the bottom: its name, where it is read, and how. A reader fills the value, or leaves it empty
 * and says why. */
#include "machine_facts.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <errno.h>
#include <hwloc.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "machine_libraries.h"
#include "machine_limits.h"
#include "root_file.h"
#include "text.h"

struct fact_spec {
    const char *key, *source;
    void (*read)(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo);
    const char *name;   /* of a field in the file */
    const char *absent; /* what it means that the file is not there; NULL: nothing to add */
};

__attribute__((format(printf, 2, 3))) static void set(struct fact *f, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(f->value, sizeof f->value, fmt, ap);
    va_end(ap);
}

static void cannot(struct fact *f, const struct fact_spec *s, int why)
{
    if (s->absent && why == ENOENT)
        snprintf(f->why, sizeof f->why, "%s", s->absent);
    else
        snprintf(f->why, sizeof f->why, "%.80s: %.70s", s->source, strerror(why));
}

static void read_line(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    int why = root_line(f->value, sizeof f->value, root, "%s", s->source);

    (void)topo;
    if (why)
        cannot(f, s, why);
}

static void read_number(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    int64_t n;
    int why = root_number(&n, root, "%s", s->source);

    (void)topo;
    if (why) {
        cannot(f, s, why);
        return;
    }
    f->number = (double)n;
    set(f, "%lld", (long long)n);
}

static void read_switch(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    read_number(f, s, root, topo);
    if (!isnan(f->number))
        set(f, "%s", f->number != 0 ? "on" : "off");
}

/* The value of "name : value" or NAME="value", first occurrence; 0 or an errno. */
static int field(char *value, size_t size, const char *root, const char *path, const char *name)
{
    char line[8192];
    FILE *f = root_open(root, "%s", path);
    size_t len = strlen(name);
    int why = ENOENT;

    if (!f)
        return errno;
    while (why && fgets(line, sizeof line, f)) {
        const char *at = line + len + strspn(line + (strncmp(line, name, len) == 0 ? len : 0), " \t");
        if (strncmp(line, name, len) != 0 || (*at != ':' && *at != '='))
            continue;
        at += 1 + strspn(at + 1, " \t\"");
        snprintf(value, size, "%.*s", (int)strcspn(at, "\"\n"), at);
        why = 0;
    }
    fclose(f);
    return why;
}

static void read_field(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    int why = field(f->value, sizeof f->value, root, s->source, s->name);

    (void)topo;
    if (why)
        cannot(f, s, why);
}

/* Arm's kernels name no model: implementer and part stand for it. */
static void read_cpu(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    char maker[32], part[32];

    read_field(f, s, root, topo);
    if (f->value[0] || field(maker, sizeof maker, root, s->source, "CPU implementer") ||
        field(part, sizeof part, root, s->source, "CPU part"))
        return;
    set(f, "Arm implementer %s, part %s", maker, part);
    f->why[0] = 0;
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = strstr(words, word); at; at = strstr(at + 1, word))
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == 0))
            return true;
    return false;
}

static void read_vectors(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    static const char *const telling[] = {"avx2",        "fma",      "avx512f",  "avx512_bf16", "avx512_vnni",
                                          "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",    "asimd",
                                          "asimdhp",     "sve",      "sve2",     "bf16",        "i8mm"};
    char flags[8192], words[256] = "";
    int n = 0, why = field(flags, sizeof flags, root, s->source, "flags");

    (void)topo;
    if (why)
        why = field(flags, sizeof flags, root, s->source, "Features");
    if (why) {
        cannot(f, s, why);
        return;
    }
    for (size_t i = 0; i < sizeof telling / sizeof telling[0]; i++)
        if (has_word(flags, telling[i]))
            n += snprintf(words + n, sizeof words - (size_t)n, "%s%s", n ? " " : "", telling[i]);
    set(f, "%s", n ? words : "none beyond the base");
}

static void read_topology(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    (void)root;
    if (!topo)
        cannot(f, s, ENODATA);
    else
        set(f, "%d cores, %d hardware threads, %d NUMA node(s)", hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_CORE),
            hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_PU), hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_NUMANODE));
}

static void read_cache(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    hwloc_obj_type_t type = (hwloc_obj_type_t)(HWLOC_OBJ_L1CACHE + (s->name[0] - '1'));
    hwloc_obj_t first = topo ? hwloc_get_obj_by_type(topo, type, 0) : NULL;

    (void)root;
    if (first)
        set(f, "%d x %llu KiB", hwloc_get_nbobjs_by_type(topo, type), (unsigned long long)first->attr->cache.size / 1024);
    else
        snprintf(f->why, sizeof f->why, "hwloc sees no such cache");
}

/* What the kernel runs the CPU at now, with its limits; else what /proc/cpuinfo says, which in a virtual machine is nominal. */
static void read_frequency(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    static const char folder[] = "/sys/devices/system/cpu/cpu0/cpufreq";
    int64_t now, least, most;
    char mhz[32];

    (void)topo;
    if (root_number(&now, root, "%s/scaling_cur_freq", folder) == 0 &&
        root_number(&least, root, "%s/cpuinfo_min_freq", folder) == 0 &&
        root_number(&most, root, "%s/cpuinfo_max_freq", folder) == 0) {
        set(f, "%.2f GHz now, %.2f to %.2f GHz", (double)now / 1e6, (double)least / 1e6, (double)most / 1e6);
        return;
    }
    int why = field(mhz, sizeof mhz, root, "/proc/cpuinfo", "cpu MHz");
    snprintf(f->source, sizeof f->source, "/proc/cpuinfo");
    if (why)
        cannot(f, s, ENOENT);
    else
        set(f, "%.2f GHz, /proc/cpuinfo's word", atof(mhz) / 1e3);
}

/* intel_pstate has its switch the other way round. */
static void read_boost(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    static const char no_turbo[] = "/sys/devices/system/cpu/intel_pstate/no_turbo";
    int64_t off;

    if (root_number(&off, root, "%s", no_turbo) != 0) {
        read_switch(f, s, root, topo);
        return;
    }
    snprintf(f->source, sizeof f->source, "%s", no_turbo);
    f->number = !off;
    set(f, "%s", off ? "off" : "on");
}

/* A figure of /proc/meminfo, bytes; negative when it is not there. */
static double meminfo(const char *root, const char *name)
{
    char kib[32];

    return field(kib, sizeof kib, root, "/proc/meminfo", name) ? -1 : strtod(kib, NULL) * 1024;
}

static void read_bytes(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    double bytes = meminfo(root, s->name);

    (void)topo;
    if (bytes < 0) {
        cannot(f, s, ENOENT);
        return;
    }
    f->number = bytes;
    text_bytes(f->value, sizeof f->value, bytes);
}

static void read_swap(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    double total = meminfo(root, "SwapTotal"), free_bytes = meminfo(root, "SwapFree");
    char used[16], all[16];

    (void)topo;
    if (total < 0 || free_bytes < 0) {
        cannot(f, s, ENOENT);
        return;
    }
    f->number = total - free_bytes;
    if (total > 0)
        set(f, "%s of %s in use", text_bytes(used, sizeof used, f->number), text_bytes(all, sizeof all, total));
    else
        set(f, "none");
}

static void read_kernel(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    struct utsname u;

    (void)root, (void)topo;
    if (uname(&u) == 0)
        set(f, "%s %s %s", u.sysname, u.release, u.machine);
    else
        cannot(f, s, errno);
}

/* The hypervisor's own name, where the CPU passes it on. */
static const char *hypervisor_name(void)
{
#if defined(__x86_64__)
    static const struct {
        const char *signature, *name;
    } known[] = {{"KVMKVMKVM", " (KVM)"},    {"Microsoft Hv", " (Hyper-V)"}, {"VMwareVMware", " (VMware)"},
                 {"XenVMMXenVMM", " (Xen)"}, {"TCGTCGTCGTCG", " (QEMU)"},    {"bhyve bhyve ", " (bhyve)"},
                 {"ACRNACRNACRN", " (ACRN)"}};
    unsigned a, word[4] = {0};
    char signature[16];

    __cpuid(0x40000000, a, word[0], word[1], word[2]);
    memcpy(signature, word, sizeof signature);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(signature, known[i].signature) == 0)
            return known[i].name;
#endif
    return "";
}

static void read_virtualisation(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    char flags[8192];
    int why = field(flags, sizeof flags, root, s->source, "flags");

    (void)topo;
    if (why) {
        cannot(f, s, why);
        return;
    }
    f->number = has_word(flags, "hypervisor");
    if (f->number != 0)
        set(f, "a virtual machine%s", hypervisor_name());
    else
        set(f, "none");
}

/* Marks that the makers of containers leave; a container without one is not recognised. */
static void read_container(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    static const struct {
        const char *path, *name;
    } mark[] = {{"/run/.containerenv", "podman"}, {"/.dockerenv", "docker"}};

    (void)topo;
    if (root_line(f->value, sizeof f->value, root, "%s", s->source) == 0)
        return;
    set(f, "none to be seen");
    for (size_t i = 0; i < sizeof mark / sizeof mark[0]; i++)
        if (root_has(root, "%s", mark[i].path)) {
            snprintf(f->source, sizeof f->source, "%s", mark[i].path);
            set(f, "%s", mark[i].name);
            return;
        }
}

static void read_limit(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    struct machine_limit limit;
    bool cpu = s->name[0] == 'c';
    char size[16];

    (void)topo;
    (cpu ? machine_cpu_quota : machine_memory_limit)(&limit, root);
    snprintf(f->source, sizeof f->source, "%.150s", limit.source);
    if (!limit.known) {
        snprintf(f->why, sizeof f->why, "%s", s->absent);
        return;
    }
    f->number = limit.value;
    if (isinf(limit.value))
        set(f, "none");
    else if (cpu)
        set(f, "%.2f CPUs", limit.value);
    else
        set(f, "%s", text_bytes(size, sizeof size, limit.value));
}

static void read_openblas(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    (void)s, (void)root, (void)topo;
    library_openblas(f->value, sizeof f->value);
}

static void read_papi(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    (void)s, (void)root, (void)topo;
    if (!library_papi(f->value, sizeof f->value))
        snprintf(f->why, sizeof f->why, "built without");
}

static void read_libraries(struct fact *f, const struct fact_spec *s, const char *root, hwloc_topology_t topo)
{
    (void)s, (void)root, (void)topo;
    library_others(f->value, sizeof f->value);
}

/* --- variables of the environment ------------------------------------------------------------------------------------------
 * The first line that fits a name stands for it. */

static const struct variable_kind variable_kinds[] = {
    {"OPENBLAS_", "f32 gemm", "which kernels and threads OpenBLAS takes"},
    {"GOTO_", "f32 gemm", "how many threads OpenBLAS takes"},
    {"MKL_", "f32 gemm", "how the BLAS library runs"},
    {"OMP_", "dram read", "how many workers there are and where they run"},
    {"GOMP_", "dram read", "where workers run and how they wait"},
    {"KMP_", "dram read", "where workers run and how they wait"},
    {"GLIBC_TUNABLES", "dram read", "how memory is given out"},
    {"MALLOC_", "dram read", "how memory is given out"},
    {"LD_PRELOAD", "f32 gemm", "functions of the libraries"},
    {"BENCH_ISA", "f32 fma", "the instruction set of our kernels"},
    {"BENCH_", NULL, "a setting of this program"},
    {"LIBPFM_", NULL, "which events the counters offer"},
    {"PAPI_", NULL, "how PAPI counts"},
};

/* LD_PRELOAD=/home/somebody/lib/a.so is recorded as a.so: folders name people. */
static void file_names_only(char *value)
{
    char *to = value;

    for (const char *from = value; *from; from++)
        if (*from == '/')
            while (to > value && to[-1] != ':' && to[-1] != ' ')
                to--;
        else
            *to++ = *from;
    *to = 0;
}

static void read_variables(struct machine_facts *m)
{
    for (char **entry = environ; *entry && m->variables < MACHINE_VARIABLES; entry++) {
        const char *equals = strchr(*entry, '=');
        for (size_t i = 0; equals && i < sizeof variable_kinds / sizeof variable_kinds[0]; i++) {
            if (strncmp(*entry, variable_kinds[i].prefix, strlen(variable_kinds[i].prefix)) != 0)
                continue;
            struct machine_variable *v = &m->variable[m->variables++];
            snprintf(v->name, sizeof v->name, "%.*s", (int)(equals - *entry), *entry);
            snprintf(v->value, sizeof v->value, "%s", equals + 1);
            file_names_only(v->value);
            v->kind = &variable_kinds[i];
            break;
        }
    }
}

/* --- the facts -------------------------------------------------------------------------------------------------------------
 */

static const char not_told[] = "this kernel does not tell";
static const char no_cpufreq[] = "not visible, which is usual in a virtual machine";
static const char no_group[] = "no control group to be seen";

static const struct fact_spec specs[FACT_COUNT] = {
    [FACT_CPU] = {"CPU", "/proc/cpuinfo", read_cpu, "model name", not_told},
    [FACT_CPU_FAMILY] = {"CPU family", "/proc/cpuinfo", read_field, "cpu family", not_told},
    [FACT_CPU_MODEL] = {"CPU model", "/proc/cpuinfo", read_field, "model", not_told},
    [FACT_VECTORS] = {"vector instructions", "/proc/cpuinfo", read_vectors, NULL, not_told},
    [FACT_TOPOLOGY] = {"topology", "hwloc", read_topology, NULL, NULL},
    [FACT_SMT] = {"SMT", "/sys/devices/system/cpu/smt/active", read_switch, NULL, not_told},
    [FACT_L1] = {"L1d cache", "hwloc", read_cache, "1", NULL},
    [FACT_L2] = {"L2 cache", "hwloc", read_cache, "2", NULL},
    [FACT_L3] = {"L3 cache", "hwloc", read_cache, "3", NULL},
    [FACT_GOVERNOR] = {"governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", read_line, NULL, no_cpufreq},
    [FACT_FREQUENCY] = {"frequency", "/sys/devices/system/cpu/cpu0/cpufreq", read_frequency, NULL, no_cpufreq},
    [FACT_BOOST] = {"boost", "/sys/devices/system/cpu/cpufreq/boost", read_boost, NULL, no_cpufreq},
    [FACT_MEMORY] = {"memory", "/proc/meminfo", read_bytes, "MemTotal", NULL},
    [FACT_AVAILABLE] = {"memory available", "/proc/meminfo", read_bytes, "MemAvailable", NULL},
    [FACT_SWAP] = {"swap", "/proc/meminfo", read_swap, NULL, NULL},
    [FACT_HUGE_PAGES] = {"huge pages", "/sys/kernel/mm/transparent_hugepage/enabled", read_line, NULL,
                         "this kernel has no transparent huge pages"},
    [FACT_NUMA_BALANCING] = {"NUMA balancing", "/proc/sys/kernel/numa_balancing", read_switch, NULL, "not in this kernel"},
    [FACT_KERNEL] = {"kernel", "uname", read_kernel, NULL, NULL},
    [FACT_SYSTEM] = {"system", "/etc/os-release", read_field, "PRETTY_NAME", NULL},
    [FACT_VIRTUALISATION] = {"virtualisation", "/proc/cpuinfo", read_virtualisation, NULL, not_told},
    [FACT_CONTAINER] = {"container", "/run/systemd/container", read_container, NULL, NULL},
    [FACT_CPU_QUOTA] = {"CPU quota", "/sys/fs/cgroup", read_limit, "cpu", no_group},
    [FACT_MEMORY_LIMIT] = {"memory limit", "/sys/fs/cgroup", read_limit, "memory", no_group},
    [FACT_PARANOID] = {"perf_event_paranoid", "/proc/sys/kernel/perf_event_paranoid", read_number, NULL,
                       "this kernel has no perf events"},
    [FACT_WATCHDOG] = {"NMI watchdog", "/proc/sys/kernel/nmi_watchdog", read_switch, NULL, "not in this kernel"},
    [FACT_OPENBLAS] = {"OpenBLAS", "openblas_get_config", read_openblas, NULL, NULL},
    [FACT_PAPI] = {"PAPI", "PAPI_LIB_VERSION", read_papi, NULL, NULL},
    [FACT_LIBRARIES] = {"libraries", "the libraries", read_libraries, NULL, NULL},
};

const char *machine_fact_key(enum machine_fact f)
{
    return specs[f].key;
}

void machine_facts_read(struct machine_facts *m, const char *root)
{
    hwloc_topology_t topo = NULL;

    *m = (struct machine_facts){0};
    if (hwloc_topology_init(&topo) == 0 && hwloc_topology_load(topo) < 0) {
        hwloc_topology_destroy(topo);
        topo = NULL;
    }
    for (int i = 0; i < FACT_COUNT; i++) {
        struct fact *f = &m->fact[i];
        f->number = NAN;
        snprintf(f->source, sizeof f->source, "%s", specs[i].source);
        specs[i].read(f, &specs[i], root, topo);
    }
    if (topo)
        hwloc_topology_destroy(topo);
    read_variables(m);
}
