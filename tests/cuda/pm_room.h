/* SPDX-License-Identifier: MIT
 * A CUPTI of the test's own that samples what the test puts there, and minds the order in which it is called. */
#ifndef BENCH_PM_ROOM_H
#define BENCH_PM_ROOM_H

#include "fake_cupti.h"

enum { SAMPLES = 10000, IMAGE_BYTES = 1 << 16 };

static struct {
    bool enabled, configured, sized, initialised, started;
    int enables;
    uint64_t interval;
    CUpti_PmSampling_TriggerMode trigger;
    uint32_t max_samples;
    struct {
        uint64_t start, end;
        double read, write, sm, tensor;
    } sample[SAMPLES];
    int samples, decoded, per_decode; /* per_decode: at most so many at once; 0: all */
    bool overflow, full;
} fake;

static CUptiResult fake_availability(CUpti_PmSampling_GetCounterAvailability_Params *p)
{
    SIZED(CUpti_PmSampling_GetCounterAvailability_Params, "PmSamplingGetCounterAvailability");
    p->counterAvailabilityImageSize = 16;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_enable(CUpti_PmSampling_Enable_Params *p)
{
    assert_false(fake.enabled);
    SIZED(CUpti_PmSampling_Enable_Params, "PmSamplingEnable");
    fake.enabled = true;
    fake.enables++;
    p->pPmSamplingObject = (CUpti_PmSampling_Object *)&fake;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_disable(CUpti_PmSampling_Disable_Params *p)
{
    SIZED(CUpti_PmSampling_Disable_Params, "PmSamplingDisable");
    assert_ptr_equal(p->pPmSamplingObject, &fake);
    assert_true(fake.enabled);
    fake.enabled = fake.configured = fake.sized = fake.initialised = fake.started = false;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_config(CUpti_PmSampling_SetConfig_Params *p)
{
    SIZED(CUpti_PmSampling_SetConfig_Params, "PmSamplingSetConfig");
    assert_true(fake.enabled);
    assert_int_equal(p->configSize, CONFIG_BYTES);
    assert_int_equal(p->pConfig[CONFIG_BYTES - 1], 7);
    assert_true(p->hardwareBufferSize > 0);
    fake.interval = p->samplingInterval;
    fake.trigger = p->triggerMode;
    fake.configured = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_size(CUpti_PmSampling_GetCounterDataSize_Params *p)
{
    SIZED(CUpti_PmSampling_GetCounterDataSize_Params, "PmSamplingGetCounterDataSize");
    assert_true(fake.configured);
    fake.max_samples = p->maxSamples;
    p->counterDataSize = IMAGE_BYTES;
    fake.sized = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_empty(CUpti_PmSampling_CounterDataImage_Initialize_Params *p)
{
    SIZED(CUpti_PmSampling_CounterDataImage_Initialize_Params, "PmSamplingCounterDataImageInitialize");
    assert_true(fake.sized); /* of this very object */
    memset(p->pCounterData, 1, p->counterDataSize);
    fake.decoded = 0;
    fake.initialised = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_start(CUpti_PmSampling_Start_Params *p)
{
    SIZED(CUpti_PmSampling_Start_Params, "PmSamplingStart");
    assert_true(fake.initialised && cupti_fake.clock);
    fake.started = true;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_stop(CUpti_PmSampling_Stop_Params *p)
{
    SIZED(CUpti_PmSampling_Stop_Params, "PmSamplingStop");
    assert_true(fake.started);
    fake.started = false;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_decode(CUpti_PmSampling_DecodeData_Params *p)
{
    const int more = fake.per_decode ? fake.per_decode : fake.samples, left = fake.samples - fake.decoded;

    SIZED(CUpti_PmSampling_DecodeData_Params, "PmSamplingDecodeData");
    assert_true(fake.enabled && !fake.started);
    fake.decoded += more < left ? more : left;
    p->overflow = fake.overflow;
    p->decodeStopReason = fake.full                     ? CUPTI_PM_SAMPLING_DECODE_STOP_REASON_COUNTER_DATA_FULL
                          : fake.decoded < fake.samples ? CUPTI_PM_SAMPLING_DECODE_STOP_REASON_OTHER
                                                        : CUPTI_PM_SAMPLING_DECODE_STOP_REASON_END_OF_RECORDS;
    return fake.overflow ? CUPTI_ERROR_OUT_OF_MEMORY : CUPTI_SUCCESS;
}

static CUptiResult fake_info(CUpti_PmSampling_GetCounterDataInfo_Params *p)
{
    SIZED(CUpti_PmSampling_GetCounterDataInfo_Params, "PmSamplingGetCounterDataInfo");
    p->numTotalSamples = p->numPopulatedSamples = p->numCompletedSamples = (size_t)fake.decoded;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_sample(CUpti_PmSampling_CounterData_GetSampleInfo_Params *p)
{
    SIZED(CUpti_PmSampling_CounterData_GetSampleInfo_Params, "PmSamplingCounterDataGetSampleInfo");
    p->startTimestamp = fake.sample[p->sampleIndex].start;
    p->endTimestamp = fake.sample[p->sampleIndex].end;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_values(CUpti_Profiler_Host_EvaluateToGpuValues_Params *p)
{
    SIZED(CUpti_Profiler_Host_EvaluateToGpuValues_Params, "ProfilerHostEvaluateToGpuValues");
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
    FAKE_COMMON,
    .ProfilerHostEvaluateToGpuValues = fake_values,
    .PmSamplingEnable = fake_enable,
    .PmSamplingDisable = fake_disable,
    .PmSamplingSetConfig = fake_config,
    .PmSamplingStart = fake_start,
    .PmSamplingStop = fake_stop,
    .PmSamplingDecodeData = fake_decode,
    .PmSamplingGetCounterAvailability = fake_availability,
    .PmSamplingGetCounterDataSize = fake_size,
    .PmSamplingCounterDataImageInitialize = fake_empty,
    .PmSamplingGetCounterDataInfo = fake_info,
    .PmSamplingCounterDataGetSampleInfo = fake_sample,
};

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    reset_cupti_fake();
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
