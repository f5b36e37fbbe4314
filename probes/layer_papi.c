/* SPDX-License-Identifier: MIT
 * The counter library: PAPI, one event set a thread, without PAPI_attach (which tests its permission with a hardware event and
 * so fails where only software events exist). PAPI is started once in a process and stays: it cannot be started again. */
#include "counter_layer.h"

#include <stddef.h>

#if HAVE_PAPI

#include <errno.h>
#include <papi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf_event.h"

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

struct counter_handle {
    int set;
};

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
static void force_nearest_pmu(const char *nearest)
{
    if (nearest[0] && !getenv("LIBPFM_FORCE_PMU") && !libpfm_knows_cpu())
        setenv("LIBPFM_FORCE_PMU", nearest, 1);
}

static unsigned long thread_id(void)
{
    return (unsigned long)pthread_self();
}

static int start_library(const char *nearest_pmu, struct err *e)
{
    force_nearest_pmu(nearest_pmu);
    int rc = PAPI_library_init(PAPI_VER_CURRENT);
    if (rc != PAPI_VER_CURRENT)
        return err_set(e, ERR_ABSENT, "PAPI does not start: %s; check that libpapi and papi.h are of one version",
                       rc < 0 ? PAPI_strerror(rc) : "another version is loaded");
    rc = PAPI_thread_init(thread_id);
    if (rc != PAPI_OK)
        return err_set(e, ERR_ABSENT, "PAPI cannot count threads: %s", PAPI_strerror(rc));
    return 0;
}

static void describe_pmu(const PAPI_component_info_t *c, const char *nearest, char *text, size_t size)
{
    const char *name = "no CPU PMU", *forced = getenv("LIBPFM_FORCE_PMU");

    for (int i = 0; i < PAPI_PMU_MAX && c->pmu_names[i]; i++)
        if (strncmp(c->pmu_names[i], "perf", 4) != 0)
            name = c->pmu_names[i];
    const char *note = !forced                        ? ""
                       : strcmp(forced, nearest) == 0 ? " (forced: libpfm does not know this CPU)"
                                                      : " (forced by LIBPFM_FORCE_PMU)";
    snprintf(text, size, "%.40s%s, PAPI %d.%d.%d", name, note, PAPI_VERSION_MAJOR(PAPI_VERSION),
             PAPI_VERSION_MINOR(PAPI_VERSION), PAPI_VERSION_REVISION(PAPI_VERSION));
}

static int papi_init(const char *nearest_pmu, struct counter_machine *m, struct err *e)
{
    *m = (struct counter_machine){0};
    if (PAPI_is_initialized() == PAPI_NOT_INITED) {
        int code = start_library(nearest_pmu, e);
        if (code < 0)
            return code;
    }
    perf_event_no_hardware(m->no_hardware, sizeof m->no_hardware);
    const PAPI_component_info_t *c = perf_component();
    if (!c)
        return err_set(e, ERR_ABSENT, "this PAPI is built without its perf_event component");
    if (c->disabled && m->no_hardware[0])
        return err_set(e, ERR_ABSENT, "%s", m->no_hardware);
    if (c->disabled)
        return err_set(e, ERR_ABSENT, "PAPI's perf_event component is off: %s", c->disabled_reason);
    describe_pmu(c, nearest_pmu, m->pmu, sizeof m->pmu);
    return 0;
}

static void papi_set_discard(int set)
{
    PAPI_cleanup_eventset(set);
    PAPI_destroy_eventset(&set);
}

static int papi_set_open(struct counter_handle **out, const char *const *events, int count, struct err *e)
{
    struct counter_handle *h = malloc(sizeof *h);
    int rc;

    if (!h)
        return err_set(e, ERR_MEMORY, "PAPI events: out of memory");
    h->set = PAPI_NULL;
    rc = PAPI_create_eventset(&h->set);
    for (int i = 0; i < count && rc == PAPI_OK; i++)
        rc = PAPI_add_named_event(h->set, events[i]);
    if (rc == PAPI_OK)
        rc = PAPI_start(h->set);
    if (rc == PAPI_OK) {
        *out = h;
        return 0;
    }
    papi_set_discard(h->set);
    free(h);
    return err_set(e, ERR_ABSENT, "PAPI: %s", PAPI_strerror(rc));
}

/* PAPI does not tell for how long the counters ran. */
static int papi_set_read(struct counter_handle *h, struct counter_sample *out)
{
    out->enabled_ns = out->running_ns = 0;
    return PAPI_read(h->set, out->value) == PAPI_OK ? 0 : -1;
}

static void papi_set_close(struct counter_handle *h)
{
    PAPI_stop(h->set, NULL);
    papi_set_discard(h->set);
    free(h);
}

static const struct counter_layer library = {
    .init = papi_init,
    .set_open = papi_set_open,
    .set_read = papi_set_read,
    .set_close = papi_set_close,
};
const struct counter_layer *const counter_layer_papi = &library;

#else

const struct counter_layer *const counter_layer_papi = NULL;

#endif
