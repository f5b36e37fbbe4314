/* SPDX-License-Identifier: MIT
 * Raw events: the kernel's own interface, without a library. A set is one group of the calling thread, read by one system call;
 * the group is pinned, so it is on the counters whole or the reading is refused. It takes encodings that PAPI has no names for
 * and stands in where there is no PAPI. */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "counter_layer.h"
#include "perf_event.h"

struct counter_handle {
    int fd[COUNTER_EVENTS]; /* the first leads */
    int count;
};

static int raw_init(const char *nearest_pmu, struct counter_machine *m, struct err *e)
{
    const struct event_raw faults = {.pmu = "software", .config = PERF_COUNT_SW_PAGE_FAULTS};
    char why[192];
    int fd = perf_event_open_own(&faults, -1);

    (void)nearest_pmu;
    *m = (struct counter_machine){0};
    if (fd < 0) {
        perf_event_explain(why, sizeof why, -fd, perf_event_paranoid());
        return err_set(e, ERR_ABSENT, "no counters: %s", why);
    }
    close(fd);
    perf_event_no_hardware(m->no_hardware, sizeof m->no_hardware);
    snprintf(m->pmu, sizeof m->pmu, "%s, raw events of the kernel", m->no_hardware[0] ? "no CPU PMU" : "CPU PMU");
    return 0;
}

static void raw_set_close(struct counter_handle *h)
{
    for (int i = h->count - 1; i >= 0; i--)
        close(h->fd[i]);
    free(h);
}

static int raw_set_open(struct counter_handle **out, const char *const *events, int count, struct err *e)
{
    struct counter_handle *h = calloc(1, sizeof *h);
    char why[192];
    int fd = 0;

    if (!h)
        return err_set(e, ERR_MEMORY, "raw events: out of memory");
    for (int i = 0; i < count && fd >= 0; i++) {
        struct event_raw raw;
        event_raw_parse(&raw, events[i]);
        fd = perf_event_open_own(&raw, i ? h->fd[0] : -1);
        if (fd >= 0)
            h->fd[h->count++] = fd;
    }
    if (fd >= 0 && ioctl(h->fd[0], PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP) < 0)
        fd = -errno;
    if (fd >= 0) {
        *out = h;
        return 0;
    }
    perf_event_explain(why, sizeof why, -fd, perf_event_paranoid());
    err_set(e, ERR_ABSENT, "%s", why);
    raw_set_close(h);
    return ERR_ABSENT;
}

static int raw_set_read(struct counter_handle *h, struct counter_sample *out)
{
    struct {
        uint64_t events, enabled_ns, running_ns, value[COUNTER_EVENTS];
    } group;
    const size_t bytes = (3 + (size_t)h->count) * sizeof(uint64_t);

    /* A pinned group that did not get its counters reads as the end of the file. */
    if (read(h->fd[0], &group, sizeof group) != (ssize_t)bytes || group.events != (uint64_t)h->count)
        return -1;
    out->enabled_ns = group.enabled_ns;
    out->running_ns = group.running_ns;
    for (int i = 0; i < h->count; i++)
        out->value[i] = (long long)group.value[i];
    return 0;
}

static const struct counter_layer raw = {
    .init = raw_init,
    .set_open = raw_set_open,
    .set_read = raw_set_read,
    .set_close = raw_set_close,
};
const struct counter_layer *const counter_layer_raw = &raw;
