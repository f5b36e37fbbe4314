/* SPDX-License-Identifier: MIT
 * A CUPTI of the test's own that samples what the test puts there, and minds the order in which it is called. */
#ifndef BENCH_PM_ROOM_H
#define BENCH_PM_ROOM_H

#include "check.h"

#include <string.h>

#include "cupti.h"

enum { SAMPLES = 10000, IMAGE_BYTES = 1 << 16 };

static struct {
    CUpti_TimestampCallbackFunc clock;
    const char *chip, *unknown, *two_passes, *failing; /* parts of metrics' names; the call that fails */
    CUptiResult failure;
    bool enabled, configured, sized, initialised, started;
    int hosts, enables;
    uint64_t interval;
    CUpti_PmSampling_TriggerMode trigger;
    uint32_t max_samples;
    struct {
        uint64_t start, end;
        double read, write, sm, tensor;
    } sample[SAMPLES];
    int samples;
    bool overflow, full;
    int passes; /* of the configuration that was asked for last */
} fake;

static CUptiResult outcome(const char *call)
{
    return fake.failing && strcmp(call, fake.failing) == 0 ? fake.failure : CUPTI_SUCCESS;
}

static CUptiResult fake_text(CUptiResult r, const char **out)
{
    *out = r == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES" : "CUPTI_ERROR";
    return CUPTI_SUCCESS;
}

static CUptiResult fake_clock(CUpti_TimestampCallbackFunc clock)
{
    fake.clock = clock;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_profiler(CUpti_Profiler_Initialize_Params *p)
{
    (void)p;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_supported(CUpti_Profiler_DeviceSupported_Params *p)
{
    assert_int_equal(p->api, CUPTI_PROFILER_PM_SAMPLING);
    p->isSupported = CUPTI_PROFILER_CONFIGURATION_SUPPORTED;
    return outcome("supported");
}

static CUptiResult fake_chip(CUpti_Device_GetChipName_Params *p)
{
    p->pChipName = fake.chip;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_availability(CUpti_PmSampling_GetCounterAvailability_Params *p)
{
    p->counterAvailabilityImageSize = 16;
    return outcome("availability");
}

static CUptiResult fake_host(CUpti_Profiler_Host_Initialize_Params *p)
{
    assert_int_equal(p->profilerType, CUPTI_PROFILER_TYPE_PM_SAMPLING);
    assert_non_null(p->pCounterAvailabilityImage);
    p->pHostObject = (CUpti_Profiler_Host_Object *)&fake;
    fake.hosts++;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_host_end(CUpti_Profiler_Host_Deinitialize_Params *p)
{
    (void)p;
    fake.hosts--;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_add(CUpti_Profiler_Host_ConfigAddMetrics_Params *p)
{
    fake.passes = 1;
    for (size_t i = 0; i < p->numMetrics; i++) {
        if (fake.unknown && strstr(p->ppMetricNames[i], fake.unknown))
            return CUPTI_ERROR_INVALID_PARAMETER;
        if (fake.two_passes && strstr(p->ppMetricNames[i], fake.two_passes))
            fake.passes = 2;
    }
    return CUPTI_SUCCESS;
}

static CUptiResult fake_image_size(CUpti_Profiler_Host_GetConfigImageSize_Params *p)
{
    p->configImageSize = 8;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_image(CUpti_Profiler_Host_GetConfigImage_Params *p)
{
    memset(p->pConfigImage, 7, p->configImageSize);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_passes(CUpti_Profiler_Host_GetNumOfPasses_Params *p)
{
    p->numOfPasses = (size_t)fake.passes;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_enable(CUpti_PmSampling_Enable_Params *p)
{
    assert_false(fake.enabled);
    fake.enabled = outcome("enable") == CUPTI_SUCCESS;
    fake.enables += fake.enabled;
    p->pPmSamplingObject = (CUpti_PmSampling_Object *)&fake;
    return outcome("enable");
}

static CUptiResult fake_disable(CUpti_PmSampling_Disable_Params *p)
{
    assert_ptr_equal(p->pPmSamplingObject, &fake);
    assert_true(fake.enabled);
    fake.enabled = fake.configured = fake.sized = fake.initialised = fake.started = false;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_config(CUpti_PmSampling_SetConfig_Params *p)
{
    assert_true(fake.enabled);
    assert_int_equal(p->configSize, 8);
    assert_int_equal(p->pConfig[7], 7);
    assert_true(p->hardwareBufferSize > 0);
    fake.interval = p->samplingInterval;
    fake.trigger = p->triggerMode;
    fake.configured = true;
    return outcome("config");
}

static CUptiResult fake_size(CUpti_PmSampling_GetCounterDataSize_Params *p)
{
    assert_true(fake.configured);
    fake.max_samples = p->maxSamples;
    p->counterDataSize = IMAGE_BYTES;
    fake.sized = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_initialize(CUpti_PmSampling_CounterDataImage_Initialize_Params *p)
{
    assert_true(fake.sized); /* of this very object */
    memset(p->pCounterData, 1, p->counterDataSize);
    fake.initialised = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_start(CUpti_PmSampling_Start_Params *p)
{
    (void)p;
    assert_true(fake.initialised && fake.clock);
    fake.started = outcome("start") == CUPTI_SUCCESS;
    return outcome("start");
}

static CUptiResult fake_stop(CUpti_PmSampling_Stop_Params *p)
{
    (void)p;
    assert_true(fake.started);
    fake.started = false;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_decode(CUpti_PmSampling_DecodeData_Params *p)
{
    assert_true(fake.enabled && !fake.started);
    p->overflow = fake.overflow;
    p->decodeStopReason = fake.full ? CUPTI_PM_SAMPLING_DECODE_STOP_REASON_COUNTER_DATA_FULL
                                    : CUPTI_PM_SAMPLING_DECODE_STOP_REASON_END_OF_RECORDS;
    return fake.overflow ? CUPTI_ERROR_OUT_OF_MEMORY : CUPTI_SUCCESS;
}

static CUptiResult fake_info(CUpti_PmSampling_GetCounterDataInfo_Params *p)
{
    p->numTotalSamples = p->numPopulatedSamples = p->numCompletedSamples = (size_t)fake.samples;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_sample(CUpti_PmSampling_CounterData_GetSampleInfo_Params *p)
{
    p->startTimestamp = fake.sample[p->sampleIndex].start;
    p->endTimestamp = fake.sample[p->sampleIndex].end;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_values(CUpti_Profiler_Host_EvaluateToGpuValues_Params *p)
{
    for (size_t i = 0; i < p->numMetrics; i++) {
        const char *name = p->ppMetricNames[i];
        p->pMetricValues[i] = strstr(name, "read")     ? fake.sample[p->rangeIndex].read
                              : strstr(name, "write")  ? fake.sample[p->rangeIndex].write
                              : strstr(name, "tensor") ? fake.sample[p->rangeIndex].tensor
                                                       : fake.sample[p->rangeIndex].sm;
    }
    return CUPTI_SUCCESS;
}

static struct cupti table = {
    .GetResultString = fake_text,
    .ActivityRegisterTimestampCallback = fake_clock,
    .ProfilerInitialize = fake_profiler,
    .ProfilerDeviceSupported = fake_supported,
    .DeviceGetChipName = fake_chip,
    .ProfilerHostInitialize = fake_host,
    .ProfilerHostDeinitialize = fake_host_end,
    .ProfilerHostConfigAddMetrics = fake_add,
    .ProfilerHostGetConfigImageSize = fake_image_size,
    .ProfilerHostGetConfigImage = fake_image,
    .ProfilerHostGetNumOfPasses = fake_passes,
    .ProfilerHostEvaluateToGpuValues = fake_values,
    .PmSamplingEnable = fake_enable,
    .PmSamplingDisable = fake_disable,
    .PmSamplingSetConfig = fake_config,
    .PmSamplingStart = fake_start,
    .PmSamplingStop = fake_stop,
    .PmSamplingDecodeData = fake_decode,
    .PmSamplingGetCounterAvailability = fake_availability,
    .PmSamplingGetCounterDataSize = fake_size,
    .PmSamplingCounterDataImageInitialize = fake_initialize,
    .PmSamplingGetCounterDataInfo = fake_info,
    .PmSamplingCounterDataGetSampleInfo = fake_sample,
};

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    fake.chip = "GH100";
    cupti_install(&table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cupti_install(NULL);
    return 0;
}

#endif
