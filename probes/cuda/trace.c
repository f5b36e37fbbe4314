/* SPDX-License-Identifier: MIT
 * The trace probe: every kernel, copy and set of a bracket with its times, by CUPTI's Activity API. Nothing is replayed and
 * kernels may still overlap; a launch costs some microseconds more, which is why the probe has passes of its own.
 *
 * CUPTI records from select to rest: a graph that the pass replays is recorded with it there already, and other passes are not
 * slowed. Before the first select its activity side is not touched at all. Buffers are registered at each select: in some
 * versions the end of a PM sampling ends all of CUPTI. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "cuda_probes.h"
#include "trace_records.h"

struct trace_probe {
    struct probe base;
    const struct cupti *cupti;
    struct trace_records *records;
    const struct device_event *event; /* of the last bracket */
    int events;
    bool recording; /* selected, and CUPTI does */
    uint32_t tag;
    char select_why[512]; /* it does not */
    char why[512];        /* the last bracket's reading is missing */
};

/* Tags are told beside the records of calls to CUDA, so these are needed too. KERNEL instead would run them one by one. */
static const CUpti_ActivityKind kinds[] = {
    CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION,
    CUPTI_ACTIVITY_KIND_RUNTIME,
    CUPTI_ACTIVITY_KIND_DRIVER,
    CUPTI_ACTIVITY_KIND_MEMCPY,
    CUPTI_ACTIVITY_KIND_MEMSET,
    CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const enum metric metrics[] = {METRIC_GPU_BUSY_NS, METRIC_GPU_NS, METRIC_KERNELS};
enum { METRICS = sizeof metrics / sizeof metrics[0] };

static void trace_tag(struct probe *base, uint32_t tag)
{
    struct trace_probe *p = (struct trace_probe *)base;
    const CUpti_ExternalCorrelationKind kind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;

    if (p->tag)
        p->cupti->ActivityPopExternalCorrelationId(kind, NULL);
    p->tag = tag && p->cupti->ActivityPushExternalCorrelationId(kind, tag) == CUPTI_SUCCESS ? tag : 0;
}

static void disable_kinds(const struct cupti *c, int n)
{
    for (int i = 0; i < n; i++)
        c->ActivityDisable(kinds[i]);
}

static int enable_kinds(const struct cupti *c, struct err *e)
{
    /* The clock first: records keep the one they were begun with. */
    if (cupti_clock(c, e) < 0 || cupti_check(c, c->ActivityRegisterCallbacks(trace_buffer_requested, trace_buffer_completed),
                                             "ActivityRegisterCallbacks", e) < 0)
        return ERR_ABSENT;
    for (int i = 0; i < KINDS; i++)
        if (CUPTI_CALL(c, ActivityEnable, kinds[i], e) < 0) {
            disable_kinds(c, i);
            return ERR_ABSENT;
        }
    return 0;
}

static void trace_rest(struct probe *base)
{
    struct trace_probe *p = (struct trace_probe *)base;

    if (p->recording) {
        cudaDeviceSynchronize(); /* CUPTI 13.0 can lock up when it ceases while records are open */
        p->cupti->ActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
        disable_kinds(p->cupti, KINDS);
    }
    p->recording = false;
    snprintf(p->select_why, sizeof p->select_why, "the trace is not selected");
}

static void trace_select(struct probe *base, int group)
{
    struct trace_probe *p = (struct trace_probe *)base;
    struct err e = {0};

    (void)group; /* there is one */
    trace_rest(base);
    p->recording = enable_kinds(p->cupti, &e) == 0;
    if (!p->recording)
        snprintf(p->select_why, sizeof p->select_why, "%s", e.text);
}

static void trace_close(struct probe *base)
{
    struct trace_probe *p = (struct trace_probe *)base;

    if (!p)
        return;
    trace_tag(base, 0);
    trace_rest(base);
    trace_records_close(p->records);
    free(p);
}

/* Records are read in the layouts of CUDA 12.8 or older, which newer libraries only extend, whichever the build's headers are.
 */
static int check_version(const struct cupti *c, struct err *e)
{
    enum { OF_CUDA_12_8 = 26 };
    uint32_t version = 0;

    if (CUPTI_CALL(c, GetVersion, &version, e) < 0)
        return ERR_ABSENT;
    if (version < OF_CUDA_12_8)
        return err_set(
            e, ERR_ABSENT,
            "trace: the CUPTI found has version %u, and %d (CUDA 12.8) is needed; put the newer toolkit's folder into "
            "LD_LIBRARY_PATH",
            (unsigned)version, OF_CUDA_12_8);
    return 0;
}

static int trace_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct cupti *c;
    struct trace_probe *p;
    cudaError_t r;
    int code;

    if (args->device < 0)
        return err_set(e, ERR_ABSENT, "trace: the model is not computed on a GPU");
    if (!(c = cupti_open(e)))
        return ERR_ABSENT;
    if ((code = check_version(c, e)) < 0)
        return code;
    if ((r = cudaSetDevice(args->device)) != cudaSuccess)
        return err_set(e, ERR_ABSENT, "trace: GPU %d: %s", args->device, cudaGetErrorString(r));
    if (!(p = calloc(1, sizeof *p)))
        return err_set(e, ERR_MEMORY, "trace: out of memory");
    p->base.ops = &cuda_probe_trace;
    p->cupti = c;
    if ((code = trace_records_open(&p->records, c, e)) < 0) {
        trace_close(&p->base);
        return code;
    }
    trace_rest(&p->base);
    *out = &p->base;
    return 0;
}

static int trace_groups(const struct probe *base)
{
    (void)base;
    return 1;
}

static const char *trace_group_name(const struct probe *base, int group)
{
    (void)base, (void)group;
    return "trace";
}

static int trace_metrics(const struct probe *base, enum metric *out)
{
    (void)base;
    for (int i = 0; i < METRICS; i++)
        out[i] = metrics[i];
    return METRICS;
}

/* The clock is read while the GPU is idle, and before CUPTI gives back what it has of earlier: times that are a few
 * microseconds off after their conversion from the GPU's clock are inside the bracket still. */
static void trace_begin(struct probe *base)
{
    struct trace_probe *p = (struct trace_probe *)base;
    size_t dropped;

    p->events = 0;
    if (!p->recording)
        return;
    cudaDeviceSynchronize();
    const uint64_t begin_ns = clock_ns();
    p->cupti->ActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    p->cupti->ActivityGetNumDroppedRecords(NULL, 0, &dropped); /* of before: it counts anew */
    trace_records_take(p->records, begin_ns);
}

/* Short work needs the forced flush: the other kind leaves buffers that are not full. */
static int collect(struct trace_probe *p, size_t *dropped, struct err *e)
{
    const struct cupti *c = p->cupti;
    cudaError_t r = cudaDeviceSynchronize();
    int code = r == cudaSuccess ? 0 : err_set(e, ERR_ABSENT, "the GPU's work failed: %s", cudaGetErrorString(r));

    if (cupti_check(c, c->ActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED), "ActivityFlushAll", code ? NULL : e) < 0)
        code = ERR_ABSENT;
    if (cupti_check(c, c->ActivityGetNumDroppedRecords(NULL, 0, dropped), "ActivityGetNumDroppedRecords", code ? NULL : e) < 0)
        code = ERR_ABSENT;
    p->events = trace_records_settle(p->records, clock_ns(), &p->event);
    return code;
}

/* False: p->why says why there is no reading. */
static bool record_ended(struct trace_probe *p)
{
    size_t lost = 0;
    struct err e = {0};

    if (!p->recording) {
        snprintf(p->why, sizeof p->why, "%s", p->select_why);
        return false;
    }
    if (collect(p, &lost, &e) < 0) {
        snprintf(p->why, sizeof p->why, "%s", e.text);
        return false;
    }
    lost += trace_records_lost(p->records);
    if (lost > 0)
        snprintf(p->why, sizeof p->why, "%zu of CUPTI's records were lost or had impossible times, %d are there", lost,
                 p->events);
    else if (p->events == 0)
        snprintf(p->why, sizeof p->why, "CUPTI recorded no work of the GPU; is another profiler at work?");
    return lost == 0 && p->events > 0;
}

static void trace_end(struct probe *base, struct reading *out)
{
    struct trace_probe *p = (struct trace_probe *)base;
    bool complete = record_ended(p);
    uint64_t last = 0;

    for (int i = 0; i < p->events; i++)
        last = p->event[i].end_ns > last ? p->event[i].end_ns : last;
    const double value[METRICS] = {
        (double)trace_busy_ns(p->event, p->events),
        p->events ? (double)(last - p->event[0].start_ns) : 0,
        p->events,
    };
    out->count = METRICS;
    for (int i = 0; i < METRICS; i++)
        out->value[i] = (struct value){
            .metric = metrics[i],
            .provenance = !complete                      ? PROVENANCE_MISSING
                          : metrics[i] == METRIC_KERNELS ? PROVENANCE_VENDOR
                                                         : PROVENANCE_TIMER,
            .value = value[i],
            .coverage = 1,
            .why = complete ? NULL : p->why,
        };
}

static int trace_events(const struct probe *base, const struct device_event **out)
{
    const struct trace_probe *p = (const struct trace_probe *)base;

    *out = p->event;
    return p->events;
}

const struct probe_ops cuda_probe_trace = {
    .name = "trace",
    .about = "every kernel, copy and set of the GPU with its times (CUPTI)",
    .weight = PROBE_HEAVY,
    .open = trace_open,
    .groups = trace_groups,
    .group_name = trace_group_name,
    .select = trace_select,
    .metrics = trace_metrics,
    .begin = trace_begin,
    .end = trace_end,
    .close = trace_close,
    .needs_device = true,
    .rest = trace_rest,
    .tag = trace_tag,
    .events = trace_events,
};
