/* SPDX-License-Identifier: MIT
 * The probe cupti: hardware counters of a GPU around a bracket, by CUPTI's range profiler. A group is one pass of the hardware,
 * so nothing is replayed: the work of a bracket runs once. Opening chooses the counters of this chip and holds them against
 * work of known amount (counters_check.c).
 *
 * The range lies inside of begin and end, between two waits for the device; what CUPTI itself costs lies around it. A profiler
 * that is set up may slow others down, so it exists from select to rest only. */
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "counters.h"
#include "cuda_probes.h"

/* --- a group, set up on the device -----------------------------------------------------------------------------------------
 */

static void counters_rest(struct probe *base)
{
    struct counters *c = (struct counters *)base;
    CUpti_RangeProfiler_Disable_Params disable =
        CUPTI_PARAMS(CUpti_RangeProfiler_Disable_Params, .pRangeProfilerObject = c->profiler);

    if (c->profiler)
        c->host.cupti->RangeProfilerDisable(&disable);
    c->profiler = NULL;
    counter_config_close(&c->config, &c->host);
    free(c->data);
    c->data = NULL;
    c->brackets = 0;
    c->why = (struct err){.code = ERR_ABSENT, .text = "no group of counters is selected"};
}

static int enable(struct counters *c, struct err *e)
{
    CUpti_RangeProfiler_Enable_Params p = CUPTI_PARAMS(CUpti_RangeProfiler_Enable_Params, .ctx = c->context);

    if (CUPTI_CALL(c->host.cupti, RangeProfilerEnable, &p, e) < 0)
        return ERR_ABSENT;
    c->profiler = p.pRangeProfilerObject;
    return 0;
}

static int set_up(struct counters *c, const struct counter_group *g, struct err *e)
{
    int code;

    if ((code = counter_config_open(&c->config, &c->host, g->names, g->count, e)) < 0 || (code = enable(c, e)) < 0)
        return code;
    CUpti_RangeProfiler_GetCounterDataSize_Params size =
        CUPTI_PARAMS(CUpti_RangeProfiler_GetCounterDataSize_Params, .pRangeProfilerObject = c->profiler,
                     .pMetricNames = (const char **)(uintptr_t)g->names, .numMetrics = (size_t)g->count, .maxNumOfRanges = 1,
                     .maxNumRangeTreeNodes = 1);
    if (CUPTI_CALL(c->host.cupti, RangeProfilerGetCounterDataSize, &size, e) < 0)
        return ERR_ABSENT;
    c->data_bytes = size.counterDataSize;
    c->data = calloc(1, c->data_bytes + 1);
    return c->data ? 0 : err_set(e, ERR_MEMORY, "counters of the GPU: out of memory");
}

static void counters_select(struct probe *base, int group)
{
    struct counters *c = (struct counters *)base;
    struct err why = {0};

    counters_rest(base);
    c->selected = group;
    if (set_up(c, &c->plan.group[group], &why) < 0)
        counters_rest(base);
    c->why = why;
}

/* --- a bracket -------------------------------------------------------------------------------------------------------------
 */

static int wait_for_device(struct err *e)
{
    const cudaError_t r = cudaDeviceSynchronize();

    return r == cudaSuccess ? 0 : err_set(e, ERR_ABSENT, "the GPU failed in a counted bracket: %s", cudaGetErrorString(r));
}

/* An image of counters takes one range; it and the schedule begin anew. */
static int begin_range(struct counters *c, struct err *e)
{
    const struct cupti *cupti = c->host.cupti;
    CUpti_RangeProfiler_CounterDataImage_Initialize_Params empty =
        CUPTI_PARAMS(CUpti_RangeProfiler_CounterDataImage_Initialize_Params, .pRangeProfilerObject = c->profiler,
                     .counterDataSize = c->data_bytes, .pCounterData = c->data);
    CUpti_RangeProfiler_SetConfig_Params config =
        CUPTI_PARAMS(CUpti_RangeProfiler_SetConfig_Params, .pRangeProfilerObject = c->profiler, .configSize = c->config.bytes,
                     .pConfig = c->config.image, .counterDataImageSize = c->data_bytes, .pCounterDataImage = c->data,
                     .range = CUPTI_UserRange, .replayMode = CUPTI_UserReplay, .maxRangesPerPass = 1, .numNestingLevels = 1,
                     .minNestingLevel = 1, .targetNestingLevel = 1);
    CUpti_RangeProfiler_Start_Params start =
        CUPTI_PARAMS(CUpti_RangeProfiler_Start_Params, .pRangeProfilerObject = c->profiler);
    CUpti_RangeProfiler_PushRange_Params push =
        CUPTI_PARAMS(CUpti_RangeProfiler_PushRange_Params, .pRangeProfilerObject = c->profiler, .pRangeName = "bracket");

    if (CUPTI_CALL(cupti, RangeProfilerCounterDataImageInitialize, &empty, e) < 0 ||
        CUPTI_CALL(cupti, RangeProfilerSetConfig, &config, e) < 0 || CUPTI_CALL(cupti, RangeProfilerStart, &start, e) < 0)
        return ERR_ABSENT;
    c->started = true;
    if (wait_for_device(e) < 0 || CUPTI_CALL(cupti, RangeProfilerPushRange, &push, e) < 0)
        return ERR_ABSENT;
    c->pushed = true;
    return 0;
}

/* What was begun is ended in any case; the first failure is the reason. */
static void end_range(struct counters *c, struct err *first)
{
    const struct cupti *cupti = c->host.cupti;
    CUpti_RangeProfiler_PopRange_Params pop =
        CUPTI_PARAMS(CUpti_RangeProfiler_PopRange_Params, .pRangeProfilerObject = c->profiler);
    CUpti_RangeProfiler_Stop_Params stop = CUPTI_PARAMS(CUpti_RangeProfiler_Stop_Params, .pRangeProfilerObject = c->profiler);
    struct err e = {0};

    if (c->pushed) {
        wait_for_device(&e);
        CUPTI_CALL(cupti, RangeProfilerPopRange, &pop, e.code ? NULL : &e);
    }
    if (c->started && CUPTI_CALL(cupti, RangeProfilerStop, &stop, e.code ? NULL : &e) == 0 && e.code == 0 &&
        !stop.isAllPassSubmitted)
        err_set(&e, ERR_ABSENT, "the hardware asks for another pass over the same work, and a bracket runs once");
    c->started = c->pushed = false;
    if (first->code == 0)
        *first = e;
}

static void begin_bracket(struct counters *c)
{
    c->started = c->pushed = false;
    c->bracket = c->why;
    if (c->why.code)
        return;
    c->brackets++;
    begin_range(c, &c->bracket);
}

/* Whether a profiler may be started again is not documented: one that fails after it counted a bracket is good for one only. */
static bool note_used_up(struct counters *c)
{
    const bool used_up = c->bracket.code && c->brackets > 1;

    c->renewing |= used_up;
    return used_up;
}

static void counters_begin(struct probe *base)
{
    struct counters *c = (struct counters *)base;

    if (c->renewing && c->brackets > 0)
        counters_select(base, c->selected);
    begin_bracket(c);
    if (note_used_up(c)) {
        end_range(c, &c->bracket);
        counters_select(base, c->selected);
        begin_bracket(c);
    }
}

static int decode(struct counters *c, const struct counter_group *g, double *values, struct err *e)
{
    const struct cupti *cupti = c->host.cupti;
    CUpti_RangeProfiler_DecodeData_Params data =
        CUPTI_PARAMS(CUpti_RangeProfiler_DecodeData_Params, .pRangeProfilerObject = c->profiler);
    CUpti_RangeProfiler_GetCounterDataInfo_Params info = CUPTI_PARAMS(
        CUpti_RangeProfiler_GetCounterDataInfo_Params, .pCounterDataImage = c->data, .counterDataImageSize = c->data_bytes);
    CUpti_Profiler_Host_EvaluateToGpuValues_Params evaluate = CUPTI_PARAMS(
        CUpti_Profiler_Host_EvaluateToGpuValues_Params, .pHostObject = c->config.object, .pCounterDataImage = c->data,
        .counterDataImageSize = c->data_bytes, .ppMetricNames = (const char **)(uintptr_t)g->names,
        .numMetrics = (size_t)g->count, .pMetricValues = values);

    if (CUPTI_CALL(cupti, RangeProfilerDecodeData, &data, e) < 0)
        return ERR_ABSENT;
    if (data.numOfRangeDropped > 0)
        return err_set(e, ERR_ABSENT, "CUPTI dropped the range of this bracket");
    if (CUPTI_CALL(cupti, RangeProfilerGetCounterDataInfo, &info, e) < 0)
        return ERR_ABSENT;
    if (info.numTotalRanges != 1)
        return err_set(e, ERR_ABSENT, "CUPTI has %zu ranges for this bracket, not one", info.numTotalRanges);
    return CUPTI_CALL(cupti, ProfilerHostEvaluateToGpuValues, &evaluate, e);
}

static void tell(struct value *v, const struct counter_choice *choice, const double *values, const char *failed)
{
    const double counted = failed ? NAN : counter_choice_value(choice, values);

    *v = (struct value){
        .metric = choice->metric, .provenance = counters_provenance(choice->metric), .value = counted, .coverage = 1};
    if (failed)
        v->why = failed;
    else if (!isfinite(counted))
        v->why = "CUPTI gave no number: the counter was not collected";
    else if (counted < 0)
        v->why = "the counter went backwards";
    if (v->why)
        v->provenance = PROVENANCE_MISSING;
}

static void counters_end(struct probe *base, struct reading *out)
{
    struct counters *c = (struct counters *)base;
    double values[GROUP_NAMES];

    out->count = 0;
    if (c->selected < 0)
        return;
    const struct counter_group *g = &c->plan.group[c->selected];
    for (int i = 0; i < g->count; i++)
        values[i] = NAN; /* lest CUPTI leaves one as it is */
    end_range(c, &c->bracket);
    if (c->bracket.code == 0)
        decode(c, g, values, &c->bracket);
    note_used_up(c);
    for (int i = 0; i < c->plan.choices; i++) {
        const struct counter_choice *choice = &c->plan.choice[i];
        if (choice->way && choice->group == c->selected)
            tell(&out->value[out->count++], choice, values, c->bracket.code ? c->bracket.text : NULL);
    }
}

static const struct value *find(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m && r->value[i].provenance != PROVENANCE_MISSING)
            return &r->value[i];
    return NULL;
}

/* More than twice what `peak` allows in that time: counters that are broken are off by far more, and clocks by less. */
static bool exceeds(double amount, const struct value *peak, const struct value *ns)
{
    return peak && ns && amount > 2 * peak->value * ns->value * 1e-9;
}

static double value_or_0(const struct value *v)
{
    return v ? v->value : 0;
}

static bool is_share(enum metric m)
{
    return m == METRIC_SM_ACTIVE || m == METRIC_WARPS_ACTIVE || m == METRIC_TENSOR_ACTIVE || m == METRIC_DRAM_ACTIVE;
}

static bool counters_plausible(const struct probe *base, const struct reading *r, const char **why)
{
    const struct value *ns = find(r, METRIC_GPU_NS);
    const double bytes = value_or_0(find(r, METRIC_DRAM_READ_BYTES)) + value_or_0(find(r, METRIC_DRAM_WRITE_BYTES));

    (void)base;
    *why = NULL;
    for (int i = 0; i < r->count; i++)
        if (r->value[i].provenance != PROVENANCE_MISSING && is_share(r->value[i].metric) && r->value[i].value > 1.1)
            *why = "a share of the time is more than the whole";
    if (exceeds(bytes, find(r, METRIC_PEAK_DRAM_BPS), ns))
        *why = "more bytes than the memory can move in that time";
    if (exceeds(value_or_0(find(r, METRIC_FLOPS_TENSOR)), find(r, METRIC_PEAK_TENSOR_FLOPS), ns))
        *why = "more FLOPs than the tensor cores can compute in that time";
    return !*why;
}

/* --- what there is ---------------------------------------------------------------------------------------------------------
 */

static int counters_groups(const struct probe *base)
{
    return ((const struct counters *)base)->plan.groups;
}

static const char *counters_group_name(const struct probe *base, int group)
{
    return ((const struct counters *)base)->plan.group[group].name;
}

static int counters_metrics(const struct probe *base, enum metric *out)
{
    const struct counters *c = (const struct counters *)base;
    int n = 0;

    for (int i = 0; i < c->plan.choices; i++)
        if (c->plan.choice[i].way && c->plan.choice[i].group == c->selected)
            out[n++] = c->plan.choice[i].metric;
    return n;
}

static const struct calibration_list *counters_calibrations(const struct probe *base)
{
    return &((const struct counters *)base)->calibrations;
}

/* --- opening ---------------------------------------------------------------------------------------------------------------
 */

static int read_availability(struct counters *c, struct err *e)
{
    CUpti_Profiler_GetCounterAvailability_Params p =
        CUPTI_PARAMS(CUpti_Profiler_GetCounterAvailability_Params, .ctx = c->context);

    if (CUPTI_CALL(c->host.cupti, ProfilerGetCounterAvailability, &p, e) < 0)
        return ERR_ABSENT;
    p.pCounterAvailabilityImage = c->availability = calloc(1, p.counterAvailabilityImageSize + 1);
    if (!c->availability)
        return err_set(e, ERR_MEMORY, "counters of the GPU: out of memory");
    c->host.availability = c->availability;
    return CUPTI_CALL(c->host.cupti, ProfilerGetCounterAvailability, &p, e);
}

/* As far as may be asked without counting: is there a profiler for this GPU? */
static int find_device(struct counters *c, int device, struct err *e)
{
    int code;

    c->device = device;
    c->selected = -1;
    c->host.type = CUPTI_PROFILER_TYPE_RANGE_PROFILER;
    c->host.cupti = cupti_open(e);
    if (!c->host.cupti)
        return ERR_ABSENT;
    if ((code = cupti_context(device, &c->context, e)) < 0 ||
        (code = cupti_supported(c->host.cupti, device, CUPTI_PROFILER_RANGE_PROFILING, e)) < 0 ||
        (code = cupti_chip(c->host.cupti, device, &c->host.chip, e)) < 0 || (code = enable(c, e)) < 0)
        return code;
    counters_rest(&c->base);
    return 0;
}

static void counters_close(struct probe *base)
{
    struct counters *c = (struct counters *)base;

    if (!c)
        return;
    if (c->host.cupti)
        counters_rest(base);
    free(c->availability);
    free(c);
}

static int counters_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    struct counters *c = calloc(1, sizeof *c);
    int code;

    *out = NULL;
    if (!c)
        return err_set(e, ERR_MEMORY, "counters of the GPU: out of memory");
    c->base.ops = &cuda_probe_cupti;
    if ((code = find_device(c, args->device, e)) < 0 || (code = read_availability(c, e)) < 0 ||
        (code = counters_check(c, args, e)) < 0) {
        counters_close(&c->base);
        return code;
    }
    *out = &c->base;
    return 0;
}

/* A profiler can be had by anybody; it is what the GPU has to count that only the privileged are told. */
int cuda_counters_allowed(int device, struct err *e)
{
    struct counters c = {.base.ops = &cuda_probe_cupti};
    int code = find_device(&c, device, e);

    if (code == 0)
        code = read_availability(&c, e);
    if (c.host.cupti)
        counters_rest(&c.base);
    free(c.availability);
    return code;
}

const struct probe_ops cuda_probe_cupti = {
    .name = "cupti",
    .about = "hardware counters of a GPU, calibrated: FLOPs, bytes from memory, clocks, how busy its units are",
    .weight = PROBE_HEAVY,
    .open = counters_open,
    .groups = counters_groups,
    .group_name = counters_group_name,
    .select = counters_select,
    .metrics = counters_metrics,
    .begin = counters_begin,
    .end = counters_end,
    .plausible = counters_plausible,
    .close = counters_close,
    .needs_device = true,
    .rest = counters_rest,
    .calibrations = counters_calibrations,
};
