/* SPDX-License-Identifier: MIT
 * The pm probe: memory traffic and how busy the GPU is against time. The hardware notes its counters every 20 microseconds
 * while the work runs at full speed; nothing is replayed or waited for. The whole device is seen, other processes too.
 *
 * Everything is decoded at the end, since a second thread would work beside what is measured, and into one image that holds
 * all, for an image that is full loses what comes after it. What is longer than the samples that fit is told as implausible: it
 * is run again with longer samples. Sampling is enabled within brackets only, since CUPTI neither traces nor counts beside it.
 *
 * Times: CUPTI converts the GPU's to those of the callback that the Activity API is given, which is CLOCK_MONOTONIC here. */
#include "pm.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "cuda_probes.h"

enum {
    INTERVAL = 20000,                     /* ns, or cycles of a clock of about one a nanosecond */
    SAMPLES_MAX = 8192,                   /* 160 ms of these */
    HARDWARE_BYTES = SAMPLES_MAX * 16384, /* generous: CUPTI does not tell how large a raw sample is */
    OUTSIDE_MAX = 2,                      /* the first sample, and one after the end */
    SLACK_NS = 1000000,                   /* between the GPU's clock, converted, and this machine's */
};

struct pm_probe {
    struct probe base;
    const struct cupti *cupti;
    int device;
    bool by_time;
    uint64_t interval;
    struct pm_choice choice;
    struct counter_host host;
    uint8_t *availability, *image;
    size_t image_bytes;
    CUpti_PmSampling_Object *object; /* not NULL: sampling is enabled */
    struct device_sample *sample;    /* of the last bracket */
    int samples;
    uint64_t begin_ns, end_ns;
    bool too_long;
    int outside;     /* samples that are not of the last bracket's time */
    char why[512];   /* the last bracket's totals are missing */
    char absent[64]; /* "GB10B has no counter ..." */
};

static const struct {
    enum pm_quantity quantity;
    const char *name;
    double factor;
} ways[] = {
    {PM_READ, "dram__bytes_read.sum", 1},
    {PM_READ, "dram__bytes_op_read.sum", 1},
    {PM_WRITE, "dram__bytes_write.sum", 1},
    {PM_WRITE, "dram__bytes_op_write.sum", 1},
    {PM_SM, "sm__cycles_active.avg.pct_of_peak_sustained_elapsed", 0.01},
    {PM_TENSOR, "sm__pipe_tensor_cycles_active_realtime.avg.pct_of_peak_sustained_elapsed", 0.01},
    {PM_TENSOR, "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed", 0.01},
};

/* --- choosing ------------------------------------------------------------------------------------------------------------- */

static bool has_quantity(const struct pm_choice *c, enum pm_quantity q)
{
    for (int i = 0; i < c->count; i++)
        if (c->quantity[i] == q)
            return true;
    return false;
}

static bool fits_one_pass(const struct pm_choice *c, const struct counter_host *h)
{
    struct counter_config config;

    if (counter_config_open(&config, h, c->names, c->count, NULL) < 0)
        return false;
    const bool one = config.passes == 1;
    counter_config_close(&config, h);
    return one;
}

int pm_choose(struct pm_choice *out, const struct counter_host *h, struct err *e)
{
    *out = (struct pm_choice){0};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (has_quantity(out, ways[i].quantity))
            continue;
        out->names[out->count] = ways[i].name;
        out->factor[out->count] = ways[i].factor;
        out->quantity[out->count++] = ways[i].quantity;
        if (!fits_one_pass(out, h))
            out->count--;
    }
    if (out->count == 0)
        return err_set(e, ERR_ABSENT, "pm: %s has none of the counters that could be sampled", h->chip);
    return counter_config_open(&out->config, h, out->names, out->count, e);
}

bool pm_samples_by_time(const char *chip)
{
    return strncmp(chip, "TU", 2) != 0 && strcmp(chip, "GA100") != 0;
}

/* --- the sampler ---------------------------------------------------------------------------------------------------------- */

static void sampler_disable(struct pm_probe *p)
{
    CUpti_PmSampling_Disable_Params disable = CUPTI_PARAMS(CUpti_PmSampling_Disable_Params, .pPmSamplingObject = p->object);

    if (p->object)
        p->cupti->PmSamplingDisable(&disable);
    p->object = NULL;
}

/* The size of the image must be asked for anew, always with the same number of samples, before an image is initialised. */
static int sampler_configure(struct pm_probe *p, size_t *image_bytes, struct err *e)
{
    CUpti_PmSampling_SetConfig_Params set =
        CUPTI_PARAMS(CUpti_PmSampling_SetConfig_Params, .pPmSamplingObject = p->object, .configSize = p->choice.config.bytes,
                     .pConfig = p->choice.config.image, .hardwareBufferSize = HARDWARE_BYTES, .samplingInterval = p->interval,
                     .triggerMode = p->by_time ? CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL
                                               : CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_SYSCLK_INTERVAL);
    CUpti_PmSampling_GetCounterDataSize_Params size =
        CUPTI_PARAMS(CUpti_PmSampling_GetCounterDataSize_Params, .pPmSamplingObject = p->object,
                     .pMetricNames = p->choice.names, .numMetrics = (size_t)p->choice.count, .maxSamples = SAMPLES_MAX);

    if (CUPTI_CALL(p->cupti, PmSamplingSetConfig, &set, e) < 0 ||
        CUPTI_CALL(p->cupti, PmSamplingGetCounterDataSize, &size, e) < 0)
        return ERR_ABSENT;
    *image_bytes = size.counterDataSize;
    return 0;
}

static int sampler_enable(struct pm_probe *p, size_t *image_bytes, struct err *e)
{
    CUpti_PmSampling_Enable_Params enable = CUPTI_PARAMS(CUpti_PmSampling_Enable_Params, .deviceIndex = (size_t)p->device);

    if (CUPTI_CALL(p->cupti, PmSamplingEnable, &enable, e) < 0)
        return ERR_ABSENT;
    p->object = enable.pPmSamplingObject;
    if (sampler_configure(p, image_bytes, e) == 0)
        return 0;
    sampler_disable(p);
    return ERR_ABSENT;
}

static int sampler_start(struct pm_probe *p, struct err *e)
{
    const struct cupti *c = p->cupti;
    size_t bytes;

    if (cupti_clock(c, e) < 0 || sampler_enable(p, &bytes, e) < 0)
        return ERR_ABSENT;
    if (bytes > p->image_bytes)
        return err_set(e, ERR_ABSENT, "pm: CUPTI asks for more memory than when the probe was opened");
    CUpti_PmSampling_CounterDataImage_Initialize_Params image =
        CUPTI_PARAMS(CUpti_PmSampling_CounterDataImage_Initialize_Params, .pPmSamplingObject = p->object,
                     .counterDataSize = bytes, .pCounterData = p->image);
    CUpti_PmSampling_Start_Params start = CUPTI_PARAMS(CUpti_PmSampling_Start_Params, .pPmSamplingObject = p->object);
    if (CUPTI_CALL(c, PmSamplingCounterDataImageInitialize, &image, e) < 0)
        return ERR_ABSENT;
    cudaDeviceSynchronize();
    p->begin_ns = clock_ns();
    return CUPTI_CALL(c, PmSamplingStart, &start, e);
}

/* The sample that is begun when the work ends is of use only when it is ended. */
static int sampler_stop(struct pm_probe *p, struct err *e)
{
    CUpti_PmSampling_Stop_Params stop = CUPTI_PARAMS(CUpti_PmSampling_Stop_Params, .pPmSamplingObject = p->object);
    const struct timespec last = {.tv_nsec = (long)(2 * p->interval % 1000000000u)};
    cudaError_t r = cudaDeviceSynchronize();

    nanosleep(&last, NULL);
    p->end_ns = clock_ns();
    if (CUPTI_CALL(p->cupti, PmSamplingStop, &stop, e) < 0)
        return ERR_ABSENT;
    return r == cudaSuccess ? 0 : err_set(e, ERR_ABSENT, "the GPU's work failed: %s", cudaGetErrorString(r));
}

/* --- samples -------------------------------------------------------------------------------------------------------------- */

/* The GPU is idle on either side of the work, so what reaches beyond the bracket has nothing of it but may have more: the first
 * sample can go back to when its counters were last read. */
static bool is_outside(const struct pm_probe *p, uint64_t start, uint64_t end)
{
    return start + SLACK_NS < p->begin_ns || end > p->end_ns + SLACK_NS;
}

/* 1: there is a sample; 0: there is none of this bracket, or it covers no time, as one or two around the stop do. */
static int read_sample(struct pm_probe *p, size_t index, struct device_sample *out, struct err *e)
{
    const struct pm_choice *choice = &p->choice;
    double value[PM_COUNT], of[PM_COUNT] = {NAN, NAN, NAN, NAN};
    CUpti_PmSampling_CounterData_GetSampleInfo_Params at =
        CUPTI_PARAMS(CUpti_PmSampling_CounterData_GetSampleInfo_Params, .pPmSamplingObject = p->object,
                     .pCounterDataImage = p->image, .counterDataImageSize = p->image_bytes, .sampleIndex = index);
    CUpti_Profiler_Host_EvaluateToGpuValues_Params values = CUPTI_PARAMS(
        CUpti_Profiler_Host_EvaluateToGpuValues_Params, .pHostObject = choice->config.object, .pCounterDataImage = p->image,
        .counterDataImageSize = p->image_bytes, .rangeIndex = index, .ppMetricNames = (const char **)choice->names,
        .numMetrics = (size_t)choice->count, .pMetricValues = value);

    if (CUPTI_CALL(p->cupti, PmSamplingCounterDataGetSampleInfo, &at, e) < 0)
        return ERR_ABSENT;
    if (at.startTimestamp == 0 && at.endTimestamp == 0)
        return err_set(e, ERR_ABSENT, "CUPTI lost samples");
    if (at.endTimestamp <= at.startTimestamp)
        return 0;
    if (is_outside(p, at.startTimestamp, at.endTimestamp)) {
        p->outside++;
        return 0;
    }
    if (CUPTI_CALL(p->cupti, ProfilerHostEvaluateToGpuValues, &values, e) < 0)
        return ERR_ABSENT;
    for (int i = 0; i < choice->count; i++)
        of[choice->quantity[i]] = choice->factor[i] * value[i];
    *out = (struct device_sample){
        .at_ns = at.startTimestamp,
        .span_ns = at.endTimestamp - at.startTimestamp,
        .read_bytes = of[PM_READ],
        .write_bytes = of[PM_WRITE],
        .sm_active = of[PM_SM],
        .tensor_active = of[PM_TENSOR],
    };
    return 1;
}

static int count_samples(struct pm_probe *p, size_t *out, struct err *e)
{
    CUpti_PmSampling_GetCounterDataInfo_Params info = CUPTI_PARAMS(
        CUpti_PmSampling_GetCounterDataInfo_Params, .pCounterDataImage = p->image, .counterDataImageSize = p->image_bytes);
    const int code = CUPTI_CALL(p->cupti, PmSamplingGetCounterDataInfo, &info, e);

    *out = code == 0 ? info.numCompletedSamples : 0;
    return code;
}

static int read_samples(struct pm_probe *p, struct err *e)
{
    size_t n;
    int code = count_samples(p, &n, e);

    for (size_t i = 0; code == 0 && i < n && p->samples < SAMPLES_MAX; i++) {
        const int got = read_sample(p, i, &p->sample[p->samples], e);
        if (got < 0)
            code = got;
        else
            p->samples += got;
    }
    return code;
}

/* The next try's samples are long enough for a stretch like this one to need three quarters of them. */
static int note_too_long(struct pm_probe *p, struct err *e)
{
    const uint64_t elapsed = p->end_ns - p->begin_ns, enough = elapsed / (SAMPLES_MAX / 4 * 3), was = p->interval;

    p->too_long = true;
    p->interval = enough > 2 * was ? enough : 2 * was;
    return err_set(e, ERR_ABSENT, "%.3g ms are more than %d samples of %.3g us hold; %d are there", (double)elapsed / 1e6,
                   SAMPLES_MAX, (double)was / 1e3, p->samples);
}

/* Decoding may stop for reasons that CUPTI does not name; as long as that brings samples, there may be more. */
static CUptiResult decode_all(struct pm_probe *p, CUpti_PmSampling_DecodeData_Params *data)
{
    size_t before, now = 0;
    CUptiResult r;

    do {
        before = now;
        r = p->cupti->PmSamplingDecodeData(data);
    } while (r == CUPTI_SUCCESS && !data->overflow && data->decodeStopReason == CUPTI_PM_SAMPLING_DECODE_STOP_REASON_OTHER &&
             count_samples(p, &now, NULL) == 0 && now > before);
    return r;
}

static int decode(struct pm_probe *p, struct err *e)
{
    CUpti_PmSampling_DecodeData_Params data =
        CUPTI_PARAMS(CUpti_PmSampling_DecodeData_Params, .pPmSamplingObject = p->object, .pCounterDataImage = p->image,
                     .counterDataImageSize = p->image_bytes);
    const CUptiResult r = decode_all(p, &data);
    const bool overflow = r == CUPTI_ERROR_OUT_OF_MEMORY || data.overflow;
    int code;

    if (!overflow && cupti_check(p->cupti, r, "PmSamplingDecodeData", e) < 0)
        return ERR_ABSENT;
    code = r == CUPTI_SUCCESS ? read_samples(p, e) : 0;
    if (overflow || data.decodeStopReason == CUPTI_PM_SAMPLING_DECODE_STOP_REASON_COUNTER_DATA_FULL)
        return note_too_long(p, e);
    if (code < 0)
        return code;
    if (p->outside > OUTSIDE_MAX || (p->outside > 0 && p->samples == 0))
        return err_set(e, ERR_ABSENT, "the times of %d of %d samples are of another clock", p->outside,
                       p->outside + p->samples);
    return p->samples > 0 ? 0 : err_set(e, ERR_ABSENT, "CUPTI took no samples");
}

/* --- the door ------------------------------------------------------------------------------------------------------------- */

static void pm_close(struct probe *base)
{
    struct pm_probe *p = (struct pm_probe *)base;

    if (!p)
        return;
    sampler_disable(p);
    counter_config_close(&p->choice.config, &p->host);
    free(p->availability);
    free(p->image);
    free(p->sample);
    free(p);
}

static int get_availability(struct pm_probe *p, struct err *e)
{
    CUpti_PmSampling_GetCounterAvailability_Params a =
        CUPTI_PARAMS(CUpti_PmSampling_GetCounterAvailability_Params, .deviceIndex = (size_t)p->device);

    if (CUPTI_CALL(p->cupti, PmSamplingGetCounterAvailability, &a, e) < 0)
        return ERR_ABSENT;
    p->availability = calloc(1, a.counterAvailabilityImageSize + 1);
    if (!p->availability)
        return err_set(e, ERR_MEMORY, "pm: out of memory");
    a.pCounterAvailabilityImage = p->availability;
    return CUPTI_CALL(p->cupti, PmSamplingGetCounterAvailability, &a, e);
}

/* Enabling once shows whether it is allowed, and how much memory the samples need. */
static int try_sampler(struct pm_probe *p, struct err *e)
{
    int code = sampler_enable(p, &p->image_bytes, e);

    if (code < 0)
        return code;
    sampler_disable(p);
    p->image = calloc(1, p->image_bytes + 1);
    p->sample = calloc(SAMPLES_MAX, sizeof *p->sample);
    return p->image && p->sample ? 0 : err_set(e, ERR_MEMORY, "pm: out of memory for %d samples", SAMPLES_MAX);
}

static int open_device(struct pm_probe *p, struct err *e)
{
    cudaError_t r = cudaSetDevice(p->device);
    const char *chip;
    int code;

    if (r != cudaSuccess)
        return err_set(e, ERR_ABSENT, "pm: GPU %d: %s", p->device, cudaGetErrorString(r));
    if ((code = cupti_supported(p->cupti, p->device, CUPTI_PROFILER_PM_SAMPLING, e)) < 0 ||
        (code = cupti_chip(p->cupti, p->device, &chip, e)) < 0 || (code = get_availability(p, e)) < 0)
        return code;
    p->by_time = pm_samples_by_time(chip);
    p->host = (struct counter_host){
        .cupti = p->cupti, .chip = chip, .availability = p->availability, .type = CUPTI_PROFILER_TYPE_PM_SAMPLING};
    snprintf(p->absent, sizeof p->absent, "%.16s has no such counter that can be sampled", chip);
    if ((code = pm_choose(&p->choice, &p->host, e)) < 0)
        return code;
    return try_sampler(p, e);
}

static int pm_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct cupti *c;
    struct pm_probe *p;
    int code;

    if (args->device < 0)
        return err_set(e, ERR_ABSENT, "pm: the model is not computed on a GPU");
    if (!(c = cupti_open(e)))
        return ERR_ABSENT;
    if (!(p = calloc(1, sizeof *p)))
        return err_set(e, ERR_MEMORY, "pm: out of memory");
    p->base.ops = &cuda_probe_pm;
    p->cupti = c;
    p->device = args->device;
    p->interval = INTERVAL;
    if ((code = open_device(p, e)) < 0) {
        pm_close(&p->base);
        return code;
    }
    *out = &p->base;
    return 0;
}

static int pm_groups(const struct probe *base)
{
    (void)base;
    return 1;
}

static const char *pm_group_name(const struct probe *base, int group)
{
    (void)base, (void)group;
    return "pm";
}

static void pm_select(struct probe *base, int group)
{
    (void)group;
    ((struct pm_probe *)base)->interval = INTERVAL; /* another pass, which may be short again */
}

static int pm_metrics(const struct probe *base, enum metric *out)
{
    (void)base;
    out[0] = METRIC_DRAM_READ_BYTES;
    out[1] = METRIC_DRAM_WRITE_BYTES;
    return 2;
}

static void pm_begin(struct probe *base)
{
    struct pm_probe *p = (struct pm_probe *)base;
    struct err e = {0};

    p->samples = p->outside = 0;
    p->too_long = false;
    if (sampler_start(p, &e) == 0)
        return;
    sampler_disable(p);
    snprintf(p->why, sizeof p->why, "%s", e.text);
}

static void fill_total(const struct pm_probe *p, enum metric m, bool complete, struct value *out)
{
    const bool known = has_quantity(&p->choice, m == METRIC_DRAM_READ_BYTES ? PM_READ : PM_WRITE);
    double sum = 0;

    for (int i = 0; i < p->samples; i++)
        sum += m == METRIC_DRAM_READ_BYTES ? p->sample[i].read_bytes : p->sample[i].write_bytes;
    *out = (struct value){
        .metric = m,
        .provenance = complete && isfinite(sum) ? PROVENANCE_VENDOR : PROVENANCE_MISSING,
        .value = sum,
        .coverage = 1,
        .why = !known          ? p->absent
               : !complete     ? p->why
               : isfinite(sum) ? NULL
                               : "CUPTI gave no value for some samples",
    };
}

static void pm_end(struct probe *base, struct reading *out)
{
    struct pm_probe *p = (struct pm_probe *)base;
    struct err e = {0};
    bool complete = false;

    if (p->object) {
        complete = sampler_stop(p, &e) == 0 && decode(p, &e) == 0;
        sampler_disable(p);
        if (!complete)
            snprintf(p->why, sizeof p->why, "%s", e.text);
    }
    out->count = 2;
    fill_total(p, METRIC_DRAM_READ_BYTES, complete, &out->value[0]);
    fill_total(p, METRIC_DRAM_WRITE_BYTES, complete, &out->value[1]);
}

/* Asked after the only bracket of an execution, so of the last one. */
static bool pm_plausible(const struct probe *base, const struct reading *r, const char **why)
{
    const struct pm_probe *p = (const struct pm_probe *)base;

    (void)r;
    if (p->too_long)
        *why = p->why;
    return !p->too_long;
}

static int pm_samples(const struct probe *base, const struct device_sample **out)
{
    const struct pm_probe *p = (const struct pm_probe *)base;

    *out = p->sample;
    return p->samples;
}

const struct probe_ops cuda_probe_pm = {
    .name = "pm",
    .about = "memory traffic and activity of the GPU over time, sampled (CUPTI)",
    .weight = PROBE_HEAVY,
    .open = pm_open,
    .groups = pm_groups,
    .group_name = pm_group_name,
    .select = pm_select,
    .metrics = pm_metrics,
    .begin = pm_begin,
    .end = pm_end,
    .plausible = pm_plausible,
    .close = pm_close,
    .needs_device = true,
    .samples = pm_samples,
};
