/* SPDX-License-Identifier: MIT
 * The counter library: PAPI, one event set a thread, without PAPI_attach (which tests its permission with a hardware event and
 * so fails where only software events exist). PAPI is started once in a process and stays: it cannot be started again. */
#include "papi_layer.h"

#if HAVE_PAPI

#include <errno.h>
#include <linux/perf_event.h>
#include <papi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* gcc's name for it */
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
/* PAPI 7.0 loses a few names for each event that the kernel refuses; the leak checker need not tell us. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libpapi\n";
}

const char *__lsan_default_options(void);
const char *__lsan_default_options(void)
{
    return "print_suppressions=0";
}
#endif

/* CPUs that a libpfm in use does not know yet, with the nearest family whose events they kept. */
struct newer_cpu {
    const char *vendor;
    unsigned family_from;
    const char *nearest;
};

static const struct newer_cpu newer_cpus[] = {
    {"AuthenticAMD", 0x1a, "amd64_fam19h_zen4"}, /* Zen 5 and later */
    {"GenuineIntel", 0x06, "spr"},               /* models after Sapphire Rapids */
};

struct cpu_id {
    char vendor[13];
    unsigned family, model;
};

static bool cpu_identify(struct cpu_id *id)
{
    *id = (struct cpu_id){0};
#if defined(__x86_64__)
    unsigned a, b, c, d;

    if (!__get_cpuid(0, &a, &b, &c, &d))
        return false;
    memcpy(id->vendor, &b, 4);
    memcpy(id->vendor + 4, &d, 4);
    memcpy(id->vendor + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    id->family = (a >> 8 & 15) + ((a >> 8 & 15) == 15 ? a >> 20 & 255 : 0);
    id->model = (a >> 4 & 15) + (a >> 12 & 0xf0);
    return true;
#else
    return false;
#endif
}

static const struct newer_cpu *newer_cpu_find(struct cpu_id *id)
{
    if (!cpu_identify(id))
        return NULL;
    for (size_t i = 0; i < sizeof newer_cpus / sizeof newer_cpus[0]; i++)
        if (strcmp(id->vendor, newer_cpus[i].vendor) == 0 && id->family >= newer_cpus[i].family_from)
            return &newer_cpus[i];
    return NULL;
}

static const PAPI_component_info_t *perf_component(void)
{
    int i = PAPI_get_component_index("perf_event");

    return i < 0 ? NULL : PAPI_get_component_info(i);
}

/* Does libpfm know this CPU? Its first answer holds for the life of a process, so a child asks. */
static bool libpfm_knows_cpu(void)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        bool unknown = false;
        if (PAPI_library_init(PAPI_VER_CURRENT) == PAPI_VER_CURRENT) {
            const PAPI_component_info_t *c = perf_component();
            unknown = c && c->disabled && strstr(c->disabled_reason, "PMU");
        }
        _exit(unknown);
    }
    if (child < 0)
        return true;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

/* The user's own choice stands. Whether the forced events are right, calibration tells. */
static void force_nearest_pmu(void)
{
    struct cpu_id id;
    const struct newer_cpu *cpu = newer_cpu_find(&id);

    if (cpu && !getenv("LIBPFM_FORCE_PMU") && !libpfm_knows_cpu())
        setenv("LIBPFM_FORCE_PMU", cpu->nearest, 1);
}

static int read_paranoid(void)
{
    int level = -1;
    FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "re");

    if (!f)
        return -1;
    if (fscanf(f, "%d", &level) != 1)
        level = -1;
    fclose(f);
    return level;
}

/* Asks the kernel itself for the plainest hardware event: its answer is clearer than PAPI's. */
static void explain_hardware(char *why, size_t size)
{
    struct perf_event_attr a = {
        .size = sizeof a,
        .type = PERF_TYPE_HARDWARE,
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .disabled = 1,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };
    long fd = syscall(SYS_perf_event_open, &a, 0, -1, -1, 0);

    *why = 0;
    if (fd >= 0) {
        close((int)fd);
        return;
    }
    if (errno != EACCES && errno != EPERM && errno != ENOSYS)
        snprintf(why, size,
                 "no hardware counters: this kernel offers no CPU PMU (usual in virtual machines); "
                 "run on bare metal or give the guest a PMU");
    else if (errno == EACCES && read_paranoid() > 2)
        snprintf(why, size, "no hardware counters: kernel.perf_event_paranoid is %d; sudo sysctl kernel.perf_event_paranoid=2",
                 read_paranoid());
    else
        snprintf(why, size, "no hardware counters: perf_event_open: %s; in a container, allow it with --cap-add=PERFMON",
                 strerror(errno));
}

static unsigned long thread_id(void)
{
    return (unsigned long)pthread_self();
}

static int start_library(struct err *e)
{
    force_nearest_pmu();
    int rc = PAPI_library_init(PAPI_VER_CURRENT);
    if (rc != PAPI_VER_CURRENT)
        return err_set(e, ERR_ABSENT, "PAPI does not start: %s; check that libpapi and papi.h are of one version",
                       rc < 0 ? PAPI_strerror(rc) : "another version is loaded");
    rc = PAPI_thread_init(thread_id);
    if (rc != PAPI_OK)
        return err_set(e, ERR_ABSENT, "PAPI cannot count threads: %s", PAPI_strerror(rc));
    return 0;
}

static void describe_pmu(const PAPI_component_info_t *c, char *text, size_t size)
{
    const char *name = "no CPU PMU", *forced = getenv("LIBPFM_FORCE_PMU");
    char note[64] = "";
    struct cpu_id id;

    for (int i = 0; i < PAPI_PMU_MAX && c->pmu_names[i]; i++)
        if (strncmp(c->pmu_names[i], "perf", 4) != 0)
            name = c->pmu_names[i];
    const struct newer_cpu *cpu = newer_cpu_find(&id);
    if (forced && cpu && strcmp(forced, cpu->nearest) == 0)
        snprintf(note, sizeof note, " (forced: family 0x%X model 0x%X is newer than libpfm)", id.family, id.model);
    else if (forced)
        snprintf(note, sizeof note, " (forced by LIBPFM_FORCE_PMU)");
    snprintf(text, size, "%.40s%s, PAPI %d.%d.%d", name, note, PAPI_VERSION_MAJOR(PAPI_VERSION),
             PAPI_VERSION_MINOR(PAPI_VERSION), PAPI_VERSION_REVISION(PAPI_VERSION));
}

static int papi_init(struct papi_machine *m, struct err *e)
{
    *m = (struct papi_machine){0};
    if (PAPI_is_initialized() == PAPI_NOT_INITED) {
        int code = start_library(e);
        if (code < 0)
            return code;
    }
    explain_hardware(m->no_hardware, sizeof m->no_hardware);
    const PAPI_component_info_t *c = perf_component();
    if (!c)
        return err_set(e, ERR_ABSENT, "this PAPI is built without its perf_event component");
    if (c->disabled && m->no_hardware[0])
        return err_set(e, ERR_ABSENT, "%s", m->no_hardware);
    if (c->disabled)
        return err_set(e, ERR_ABSENT, "PAPI's perf_event component is off: %s", c->disabled_reason);
    describe_pmu(c, m->pmu, sizeof m->pmu);
    return 0;
}

static void papi_set_discard(int set)
{
    PAPI_cleanup_eventset(set);
    PAPI_destroy_eventset(&set);
}

static int papi_set_open(int *set, const char *const *events, int count, const char **why)
{
    int rc;

    *set = PAPI_NULL;
    rc = PAPI_create_eventset(set);
    for (int i = 0; i < count && rc == PAPI_OK; i++)
        rc = PAPI_add_named_event(*set, events[i]);
    if (rc == PAPI_OK)
        rc = PAPI_start(*set);
    if (rc == PAPI_OK)
        return 0;
    *why = PAPI_strerror(rc);
    papi_set_discard(*set);
    return -1;
}

static int papi_set_read(int set, long long *out)
{
    return PAPI_read(set, out) == PAPI_OK ? 0 : -1;
}

static void papi_set_close(int set)
{
    PAPI_stop(set, NULL);
    papi_set_discard(set);
}

static const struct papi_layer library = {
    .init = papi_init,
    .set_open = papi_set_open,
    .set_read = papi_set_read,
    .set_close = papi_set_close,
    .known = papi_known,
};
const struct papi_layer *const papi_layer_library = &library;

#else

const struct papi_layer *const papi_layer_library = NULL;

#endif
