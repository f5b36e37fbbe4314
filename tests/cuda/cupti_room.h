/* SPDX-License-Identifier: MIT
 * A GPU with counters of the test's own: a CUPTI that knows all metrics, and known work that counts itself. What a range shows
 * is what was counted between its push and its pop. */
#ifndef BENCH_CUPTI_ROOM_H
#define BENCH_CUPTI_ROOM_H

#include "fake_cupti.h"

#include <cuda_runtime_api.h>
#include <math.h>

#include "cuda_probes.h"
#include "gpu_known.h"

enum quantity { F32, F16, TENSOR, READ, WRITTEN, QUANTITIES };

static struct {
    double counted[QUANTITIES], at_push[QUANTITIES], in_range[QUANTITIES];
    const char *odd; /* metrics that contain this show `value` instead */
    double value;
    int odd_times;      /* so often; < 0: always */
    bool graphs_unseen; /* what is launched as a graph is not counted */
    bool no_known;      /* known work cannot be opened */
    size_t dropped, ranges;
    bool unfinished;             /* the range wants another pass */
    unsigned char *witness;      /* looked at by push and pop */
    int at_push_saw, at_pop_saw; /* what was there */
    int profilers, knowns;       /* open ones */
} fake;

static CUptiResult fake_availability(CUpti_Profiler_GetCounterAvailability_Params *p)
{
    SIZED(CUpti_Profiler_GetCounterAvailability_Params, "ProfilerGetCounterAvailability");
    if (p->pCounterAvailabilityImage)
        memset(p->pCounterAvailabilityImage, 1, p->counterAvailabilityImageSize);
    p->counterAvailabilityImageSize = 100;
    return CUPTI_SUCCESS;
}

static double value_of(const char *name)
{
    static const struct {
        const char *part;
        enum quantity quantity;
        double share;
    } counters[] = {
        {"op_ffma_", F32, 0.5},     {"op_hfma_", F16, 0.25},     {"hgmma_src_bf16", TENSOR, 1},  {"bytes_read", READ, 1},
        {"bytes_op_read", READ, 1}, {"bytes_write", WRITTEN, 1}, {"bytes_op_write", WRITTEN, 1},
    };

    if (strstr(name, "peak_sustained_elapsed.per_second"))
        return 1e15;
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if (strstr(name, counters[i].part))
            return counters[i].share * fake.in_range[counters[i].quantity];
    return strstr(name, "pct_of_peak") ? 50 : strstr(name, "per_second") ? 1.5e9 : strstr(name, "time_duration") ? 1e6 : 0;
}

static CUptiResult fake_evaluate(CUpti_Profiler_Host_EvaluateToGpuValues_Params *p)
{
    bool odd = false;

    SIZED(CUpti_Profiler_Host_EvaluateToGpuValues_Params, "ProfilerHostEvaluateToGpuValues");
    for (size_t i = 0; i < p->numMetrics; i++) {
        const bool is_odd = fake.odd && fake.odd_times != 0 && strstr(p->ppMetricNames[i], fake.odd);
        p->pMetricValues[i] = is_odd ? fake.value : value_of(p->ppMetricNames[i]);
        odd |= is_odd;
    }
    fake.odd_times -= odd;
    return CUPTI_SUCCESS;
}

/* --- the GPU's half --------------------------------------------------------------------------------------------------------
 */

static CUptiResult fake_enable(CUpti_RangeProfiler_Enable_Params *p)
{
    SIZED(CUpti_RangeProfiler_Enable_Params, "RangeProfilerEnable");
    if (!p->ctx || fake.profilers > 0)
        return CUPTI_ERROR_INVALID_OPERATION;
    fake.profilers++;
    cupti_fake.sessions = 0;
    p->pRangeProfilerObject = (CUpti_RangeProfiler_Object *)malloc(1);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_disable(CUpti_RangeProfiler_Disable_Params *p)
{
    SIZED(CUpti_RangeProfiler_Disable_Params, "RangeProfilerDisable");
    fake.profilers--;
    free(p->pRangeProfilerObject);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_data_size(CUpti_RangeProfiler_GetCounterDataSize_Params *p)
{
    SIZED(CUpti_RangeProfiler_GetCounterDataSize_Params, "RangeProfilerGetCounterDataSize");
    p->counterDataSize = 200;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_data(CUpti_RangeProfiler_CounterDataImage_Initialize_Params *p)
{
    cupti_fake.sessions++; /* each begins with an image */
    SIZED(CUpti_RangeProfiler_CounterDataImage_Initialize_Params, "RangeProfilerCounterDataImageInitialize");
    memset(p->pCounterData, 3, p->counterDataSize);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_set_config(CUpti_RangeProfiler_SetConfig_Params *p)
{
    SIZED(CUpti_RangeProfiler_SetConfig_Params, "RangeProfilerSetConfig");
    return p->range == CUPTI_UserRange && p->replayMode == CUPTI_UserReplay && p->maxRangesPerPass == 1 &&
                   p->configSize == CONFIG_BYTES && p->counterDataImageSize == 200
               ? CUPTI_SUCCESS
               : CUPTI_ERROR_INVALID_PARAMETER;
}

static CUptiResult fake_start(CUpti_RangeProfiler_Start_Params *p)
{
    SIZED(CUpti_RangeProfiler_Start_Params, "RangeProfilerStart");
    return CUPTI_SUCCESS;
}

static CUptiResult fake_push(CUpti_RangeProfiler_PushRange_Params *p)
{
    SIZED(CUpti_RangeProfiler_PushRange_Params, "RangeProfilerPushRange");
    fake.at_push_saw = fake.witness ? *fake.witness : -1;
    memcpy(fake.at_push, fake.counted, sizeof fake.at_push);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_pop(CUpti_RangeProfiler_PopRange_Params *p)
{
    SIZED(CUpti_RangeProfiler_PopRange_Params, "RangeProfilerPopRange");
    fake.at_pop_saw = fake.witness ? *fake.witness : -1;
    for (int i = 0; i < QUANTITIES; i++)
        fake.in_range[i] = fake.counted[i] - fake.at_push[i];
    return CUPTI_SUCCESS;
}

static CUptiResult fake_stop(CUpti_RangeProfiler_Stop_Params *p)
{
    SIZED(CUpti_RangeProfiler_Stop_Params, "RangeProfilerStop");
    p->isAllPassSubmitted = !fake.unfinished;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_decode(CUpti_RangeProfiler_DecodeData_Params *p)
{
    SIZED(CUpti_RangeProfiler_DecodeData_Params, "RangeProfilerDecodeData");
    p->numOfRangeDropped = fake.dropped;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_info(CUpti_RangeProfiler_GetCounterDataInfo_Params *p)
{
    SIZED(CUpti_RangeProfiler_GetCounterDataInfo_Params, "RangeProfilerGetCounterDataInfo");
    p->numTotalRanges = fake.ranges;
    return CUPTI_SUCCESS;
}

static const struct cupti fake_cupti = {
    FAKE_COMMON,
    .ProfilerGetCounterAvailability = fake_availability,
    .ProfilerHostEvaluateToGpuValues = fake_evaluate,
    .RangeProfilerEnable = fake_enable,
    .RangeProfilerDisable = fake_disable,
    .RangeProfilerGetCounterDataSize = fake_data_size,
    .RangeProfilerCounterDataImageInitialize = fake_data,
    .RangeProfilerSetConfig = fake_set_config,
    .RangeProfilerStart = fake_start,
    .RangeProfilerPushRange = fake_push,
    .RangeProfilerPopRange = fake_pop,
    .RangeProfilerStop = fake_stop,
    .RangeProfilerDecodeData = fake_decode,
    .RangeProfilerGetCounterDataInfo = fake_info,
};

/* --- known work in the place of the plug-in's ------------------------------------------------------------------------------
 */

enum { AMOUNT = 1 << 20 };

static double amount(const struct gpu_known *k)
{
    (void)k;
    return AMOUNT;
}

const struct gpu_known_work gpu_known_works[] = {
    {"adding", NULL, amount, {{METRIC_FLOPS_F32, 1}, {METRIC_FLOPS_TENSOR, 0}}},
    {"halving", NULL, amount, {{METRIC_FLOPS_F16, 1}}},
    {"multiplying", NULL, amount, {{METRIC_FLOPS_TENSOR, 1}, {METRIC_FLOPS_F32, 0}}},
    {"reading", NULL, amount, {{METRIC_DRAM_READ_BYTES, 1}}},
    {"writing", NULL, amount, {{METRIC_DRAM_WRITE_BYTES, 1}}},
};
const int gpu_known_work_count = sizeof gpu_known_works / sizeof gpu_known_works[0];

const struct gpu_known_expectation *gpu_known_expects(const struct gpu_known_work *w, enum metric m)
{
    for (int i = 0; i < GPU_KNOWN_EXPECTATIONS && w->expect[i].metric != METRIC_WALL_NS; i++)
        if (w->expect[i].metric == m)
            return &w->expect[i];
    return NULL;
}

int gpu_known_open(struct gpu_known **out, int device, struct err *e)
{
    (void)device;
    *out = NULL;
    if (fake.no_known)
        return err_set(e, ERR_ABSENT, "only 3 MiB are free on the GPU");
    fake.knowns++;
    *out = (struct gpu_known *)malloc(1);
    return 0;
}

void gpu_known_close(struct gpu_known *k)
{
    fake.knowns -= k != NULL;
    free(k);
}

int gpu_known_run(struct gpu_known *k, int i, bool as_graph, struct err *e)
{
    static const enum quantity does[] = {F32, F16, TENSOR, READ, WRITTEN};

    (void)k, (void)e;
    if (!as_graph || !fake.graphs_unseen)
        fake.counted[does[i]] += AMOUNT;
    return 0;
}

/* --- the probe -------------------------------------------------------------------------------------------------------------
 */

static int fresh(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    reset_cupti_fake();
    fake.ranges = 1;
    fake.odd_times = -1;
    cupti_install(&fake_cupti);
    return 0;
}

static int nothing_is_left(void **state)
{
    (void)state;
    cupti_install(NULL);
    return cupti_fake.hosts || fake.profilers || fake.knowns;
}

static int try_open(struct probe **out, struct err *e)
{
    const struct probe_args args = {.threads = 1};

    return cuda_probe_cupti.open(out, &args, e);
}

static struct probe *open_probe(void)
{
    struct probe *p = NULL;
    struct err e = {0};

    if (try_open(&p, &e) < 0)
        fail_msg("%s", e.text);
    cupti_fake.calls[0] = 0;
    return p;
}

static void choose_group(struct probe *p, const char *name)
{
    for (int g = 0; g < p->ops->groups(p); g++)
        if (strcmp(p->ops->group_name(p, g), name) == 0) {
            p->ops->select(p, g);
            cupti_fake.calls[0] = 0;
            return;
        }
    fail_msg("no group %s", name);
}

static const struct value *find(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m)
            return &r->value[i];
    return NULL;
}

#endif
