/* SPDX-License-Identifier: MIT
 * The tables of metrics, and the packing. One unknown name makes CUPTI refuse a whole list, so ways are tried singly; what
 * would push a group beyond one pass goes to a group of its own. */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const set_names[SET_COUNT] = {
    [SET_TRAFFIC] = "traffic", [SET_ARITHMETIC] = "arithmetic", [SET_UNITS] = "units"};

/* --- one list of names -----------------------------------------------------------------------------------------------------
 */

void counter_config_close(struct counter_config *c, const struct counter_host *h)
{
    CUpti_Profiler_Host_Deinitialize_Params end =
        CUPTI_PARAMS(CUpti_Profiler_Host_Deinitialize_Params, .pHostObject = c->object);

    if (c->object)
        h->cupti->ProfilerHostDeinitialize(&end);
    free(c->image);
    *c = (struct counter_config){0};
}

static int fill_image(struct counter_config *c, const struct cupti *cupti, struct err *e)
{
    CUpti_Profiler_Host_GetConfigImageSize_Params size =
        CUPTI_PARAMS(CUpti_Profiler_Host_GetConfigImageSize_Params, .pHostObject = c->object);

    if (CUPTI_CALL(cupti, ProfilerHostGetConfigImageSize, &size, e) < 0)
        return ERR_ABSENT;
    c->bytes = size.configImageSize;
    c->image = calloc(1, c->bytes + 1);
    if (!c->image)
        return err_set(e, ERR_MEMORY, "counters of the GPU: out of memory");
    CUpti_Profiler_Host_GetConfigImage_Params get =
        CUPTI_PARAMS(CUpti_Profiler_Host_GetConfigImage_Params, .pHostObject = c->object, .configImageSize = c->bytes,
                     .pConfigImage = c->image);
    CUpti_Profiler_Host_GetNumOfPasses_Params passes =
        CUPTI_PARAMS(CUpti_Profiler_Host_GetNumOfPasses_Params, .configImageSize = c->bytes, .pConfigImage = c->image);
    if (CUPTI_CALL(cupti, ProfilerHostGetConfigImage, &get, e) < 0 ||
        CUPTI_CALL(cupti, ProfilerHostGetNumOfPasses, &passes, e) < 0)
        return ERR_ABSENT;
    c->passes = (int)passes.numOfPasses;
    return 0;
}

int counter_config_open(struct counter_config *out, const struct counter_host *h, const char *const *names, int count,
                        struct err *e)
{
    CUpti_Profiler_Host_Initialize_Params init =
        CUPTI_PARAMS(CUpti_Profiler_Host_Initialize_Params, .profilerType = h->type, .pChipName = h->chip,
                     .pCounterAvailabilityImage = h->availability);
    int code;

    *out = (struct counter_config){0};
    if ((code = CUPTI_CALL(h->cupti, ProfilerHostInitialize, &init, e)) < 0)
        return code;
    out->object = init.pHostObject;
    CUpti_Profiler_Host_ConfigAddMetrics_Params add =
        CUPTI_PARAMS(CUpti_Profiler_Host_ConfigAddMetrics_Params, .pHostObject = out->object,
                     .ppMetricNames = (const char **)names, .numMetrics = (size_t)count);
    if ((code = CUPTI_CALL(h->cupti, ProfilerHostConfigAddMetrics, &add, e)) < 0 || (code = fill_image(out, h->cupti, e)) < 0)
        counter_config_close(out, h);
    return code;
}

/* 0: not accepted. */
static int passes_of(const struct counter_host *h, const char *const *names, int count)
{
    struct counter_config c;

    if (counter_config_open(&c, h, names, count, NULL) < 0)
        return 0;
    const int passes = c.passes;
    counter_config_close(&c, h);
    return passes;
}

/* --- choosing and packing --------------------------------------------------------------------------------------------------
 */

static int term_count(const struct counter_way *way)
{
    int n = 0;

    while (n < WAY_TERMS && way->term[n].name)
        n++;
    return n;
}

/* The first of a quantity's ways; how many there are follows from the table's order. */
static const struct counter_way *first_way(enum metric m)
{
    for (int i = 0; i < counter_way_count; i++)
        if (counter_ways[i].metric == m)
            return &counter_ways[i];
    return NULL;
}

static bool is_way_of(const struct counter_way *way, enum metric m)
{
    return way < counter_ways + counter_way_count && way->metric == m;
}

/* The first way that fits a pass; the least number of passes that any way takes, 0 when none is known to the chip. */
static const struct counter_way *choose_way(const struct counter_host *h, const struct counter_way *way, int *least)
{
    const enum metric m = way->metric;

    for (*least = 0; is_way_of(way, m); way++) {
        const char *names[WAY_TERMS];
        const int count = term_count(way);
        for (int i = 0; i < count; i++)
            names[i] = way->term[i].name;
        const int passes = passes_of(h, names, count);
        if (passes == 1)
            return way;
        if (passes > 0 && (*least == 0 || passes < *least))
            *least = passes;
    }
    return NULL;
}

/* Names are shared: two quantities may have a term in common, but a term's place must be its own. */
static bool fits(const struct counter_host *h, struct counter_group *g, const struct counter_way *way)
{
    const int count = term_count(way);

    if (g->quantities == READING_VALUES_MAX || g->count + count > GROUP_NAMES)
        return false;
    for (int i = 0; i < count; i++)
        g->names[g->count + i] = way->term[i].name;
    return passes_of(h, g->names, g->count + count) == 1;
}

static void place(struct counter_plan *p, const struct counter_host *h, struct counter_choice *c, enum counter_set set)
{
    int g = 0;

    while (g < p->groups && (p->group[g].set != set || !fits(h, &p->group[g], c->way)))
        g++;
    if (g == GROUPS_MAX) {
        c->way = NULL;
        snprintf(c->why, sizeof c->why, "more than %d groups would be needed", GROUPS_MAX);
        return;
    }
    struct counter_group *group = &p->group[g];
    if (g == p->groups) {
        bool first = true;
        for (int i = 0; i < p->groups; i++)
            first = first && p->group[i].set != set;
        snprintf(group->name, sizeof group->name, "cupti:%s", first ? set_names[set] : metric_name(c->metric));
        group->set = set;
        p->groups++;
        fits(h, group, c->way);
    }
    c->group = g;
    c->first = group->count;
    group->count += term_count(c->way);
    group->quantities++;
}

static void add_quantity(struct counter_plan *p, const struct counter_host *h, enum metric m, const struct counter_way *refused)
{
    const struct counter_way *way = first_way(m);
    struct counter_choice *c = &p->choice[p->choices];
    int least = 0;

    if (!way || p->choices == METRIC_COUNT)
        return;
    const enum counter_set set = way->set;
    *c = (struct counter_choice){.metric = m};
    if (refused)
        way = refused + 1;
    c->way = is_way_of(way, m) ? choose_way(h, way, &least) : NULL;
    if (c->way)
        place(p, h, c, set);
    else if (least > 0)
        snprintf(c->why, sizeof c->why, "%s needs %d passes of the hardware for it, and a bracket runs once", h->chip, least);
    else
        snprintf(c->why, sizeof c->why, "%s has no counter for it that CUPTI knows", h->chip);
    p->choices++;
}

void counter_plan_make(struct counter_plan *out, const struct counter_host *h, const enum metric *wanted, int wanted_count,
                       const struct counter_way *const *refused)
{
    *out = (struct counter_plan){0};
    if (wanted) {
        for (int i = 0; i < wanted_count; i++)
            add_quantity(out, h, wanted[i], refused ? refused[wanted[i]] : NULL);
        return;
    }
    for (int i = 0; i < counter_way_count; i++)
        if (i == 0 || counter_ways[i].metric != counter_ways[i - 1].metric)
            add_quantity(out, h, counter_ways[i].metric, refused ? refused[counter_ways[i].metric] : NULL);
}

static double factor_of(const struct counter_term *t)
{
    return t->factor == 0 ? 1 : t->factor;
}

double counter_choice_value(const struct counter_choice *c, const double *values)
{
    double sum = 0;

    for (int i = 0; i < term_count(c->way); i++)
        sum += factor_of(&c->way->term[i]) * values[c->first + i];
    return sum;
}

void counter_way_text(char *buf, size_t size, const struct counter_way *way)
{
    size_t used = 0;

    buf[0] = 0;
    for (int i = 0; i < term_count(way) && used < size; i++) {
        const double factor = factor_of(&way->term[i]);
        const char *plus = i ? " + " : "";
        const int n = factor == 1 ? snprintf(buf + used, size - used, "%s%s", plus, way->term[i].name)
                                  : snprintf(buf + used, size - used, "%s%g %s", plus, factor, way->term[i].name);
        used += (size_t)n;
    }
}

/* --- the table -------------------------------------------------------------------------------------------------------------
 */

/* Tensor cores: a run may have products in f16 and in bf16 at once (weights and cache), so a way counts both. What is counted
 * is dense work only, since counters of dense and of sparse products are different ones and both together need two passes.
 * Hopper has two instructions for it, and counts f16 by what it is summed in. A multiply-add is 2. */
const struct counter_way counter_ways[] = {
    {METRIC_GPU_NS, SET_TRAFFIC, {{.name = "gpu__time_duration.sum"}}},
    {METRIC_DRAM_READ_BYTES, SET_TRAFFIC, {{.name = "dram__bytes_read.sum"}}},
    {METRIC_DRAM_READ_BYTES, SET_TRAFFIC, {{.name = "dram__bytes_op_read.sum"}}},
    {METRIC_DRAM_WRITE_BYTES, SET_TRAFFIC, {{.name = "dram__bytes_write.sum"}}},
    {METRIC_DRAM_WRITE_BYTES, SET_TRAFFIC, {{.name = "dram__bytes_op_write.sum"}}},
    {METRIC_FLOPS_TENSOR,
     SET_TRAFFIC,
     {{.name = "sm__ops_path_tensor_op_hgmma_src_bf16_dst_fp32_sparsity_off.sum"},
      {.name = "sm__ops_path_tensor_op_hmma_src_bf16_dst_fp32_sparsity_off.sum"},
      {.name = "sm__ops_path_tensor_op_hgmma_src_fp16_sparsity_off.sum"},
      {.name = "sm__ops_path_tensor_op_hmma_src_fp16_dst_fp32_sparsity_off.sum"}}},
    {METRIC_FLOPS_TENSOR,
     SET_TRAFFIC,
     {{.name = "sm__ops_path_tensor_src_bf16_dst_fp32_sparsity_off.sum"},
      {.name = "sm__ops_path_tensor_src_fp16_dst_fp32_sparsity_off.sum"}}},
    {METRIC_FLOPS_TENSOR,
     SET_TRAFFIC,
     {{.name = "sm__ops_path_tensor_src_bf16_dst_fp32_realtime.sum"},
      {.name = "sm__ops_path_tensor_src_fp16_dst_fp32_realtime.sum"}}},
    {METRIC_FLOPS_TENSOR, SET_TRAFFIC, {{.name = "sm__ops_path_tensor_src_fp16_bf16_tf32_dst_fp32.sum"}}},
    {METRIC_L2_BYTES, SET_TRAFFIC, {{.name = "lts__t_bytes.sum"}}},
    {METRIC_L1_BYTES, SET_TRAFFIC, {{.name = "l1tex__t_bytes.sum"}}},
    {METRIC_GPU_HZ, SET_TRAFFIC, {{.name = "gpc__cycles_elapsed.avg.per_second"}}},
    {METRIC_GPU_DRAM_HZ, SET_TRAFFIC, {{.name = "dram__cycles_elapsed.avg.per_second"}}},
    {METRIC_PEAK_DRAM_BPS, SET_TRAFFIC, {{.name = "dram__bytes.sum.peak_sustained_elapsed.per_second"}}},
    {METRIC_PEAK_TENSOR_FLOPS,
     SET_TRAFFIC,
     {{.name = "sm__ops_path_tensor_src_bf16_dst_fp32.sum.peak_sustained_elapsed.per_second"}}},
    {METRIC_PEAK_TENSOR_FLOPS,
     SET_TRAFFIC,
     {{.name = "sm__ops_path_tensor_src_fp16_bf16_tf32_dst_fp32.sum.peak_sustained_elapsed.per_second"}}},

    /* Instructions of threads, those that a predicate turned off left out. */
    {METRIC_FLOPS_F32,
     SET_ARITHMETIC,
     {{.name = "sm__sass_thread_inst_executed_op_fadd_pred_on.sum"},
      {.name = "sm__sass_thread_inst_executed_op_fmul_pred_on.sum"},
      {.name = "sm__sass_thread_inst_executed_op_ffma_pred_on.sum", .factor = 2}}},
    /* Each works on two halves. Additions are left out: compilers convert halves to float32 with them. */
    {METRIC_FLOPS_F16,
     SET_ARITHMETIC,
     {{.name = "sm__sass_thread_inst_executed_op_hmul_pred_on.sum", .factor = 2},
      {.name = "sm__sass_thread_inst_executed_op_hfma_pred_on.sum", .factor = 4}}},

    {METRIC_SM_ACTIVE, SET_UNITS, {{.name = "sm__cycles_active.avg.pct_of_peak_sustained_elapsed", .factor = 0.01}}},
    {METRIC_WARPS_ACTIVE, SET_UNITS, {{.name = "sm__warps_active.avg.pct_of_peak_sustained_active", .factor = 0.01}}},
    {METRIC_TENSOR_ACTIVE,
     SET_UNITS,
     {{.name = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed", .factor = 0.01}}},
    {METRIC_DRAM_ACTIVE, SET_UNITS, {{.name = "dram__throughput.avg.pct_of_peak_sustained_elapsed", .factor = 0.01}}},
};
const int counter_way_count = sizeof counter_ways / sizeof counter_ways[0];
