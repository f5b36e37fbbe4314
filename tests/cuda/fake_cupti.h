/* SPDX-License-Identifier: MIT
 * What the tests' own CUPTIs have in common: how a call is noted and made to fail, the clock, and the host's half, which knows
 * every metric but those that the test names. Each room has the rest of the functions and puts these into its table. */
#ifndef BENCH_FAKE_CUPTI_H
#define BENCH_FAKE_CUPTI_H

#include "check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cupti.h"

static struct {
    char calls[4096];                              /* names of the functions in their order, a space after each */
    const char *failing;                           /* this function fails */
    CUptiResult result;                            /* with this */
    const char *once;                              /* this function works once for each profiler */
    int sessions;                                  /* of the profiler that there is */
    CUpti_Profiler_DeviceSupported_Params support; /* api: what was asked for */
    CUpti_ProfilerType type;                       /* likewise */
    const char *chip, *unknown, *two_passes;       /* parts of metrics' names */
    int passes;                                    /* of the configuration that was asked for last */
    int hosts;                                     /* open ones */
    CUpti_TimestampCallbackFunc clock;
    int clocks;       /* how often one was registered */
    bool hides_clock; /* what it shows is never the registered one */
} cupti_fake;

static CUptiResult say(const char *name)
{
    if (strlen(cupti_fake.calls) + strlen(name) + 2 < sizeof cupti_fake.calls) {
        strcat(cupti_fake.calls, name);
        strcat(cupti_fake.calls, " ");
    }
    if (cupti_fake.once && strcmp(cupti_fake.once, name) == 0 && cupti_fake.sessions > 1)
        return CUPTI_ERROR_INVALID_OPERATION;
    return cupti_fake.failing && strcmp(cupti_fake.failing, name) == 0 ? cupti_fake.result : CUPTI_SUCCESS;
}

/* Parameters of the wrong size are what the real one refuses first. */
#define SIZED(type, name)                                                                                                      \
    do {                                                                                                                       \
        if (p->structSize != type##_STRUCT_SIZE)                                                                               \
            return CUPTI_ERROR_INVALID_PARAMETER;                                                                              \
        CUptiResult said = say(name);                                                                                          \
        if (said != CUPTI_SUCCESS)                                                                                             \
            return said;                                                                                                       \
    } while (0)

static CUptiResult fake_text(CUptiResult r, const char **out)
{
    *out = r == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"
           : r == CUPTI_ERROR_NOT_COMPATIBLE        ? "CUPTI_ERROR_NOT_COMPATIBLE"
                                                    : "CUPTI_ERROR_OF_THE_TEST";
    return CUPTI_SUCCESS;
}

static CUptiResult fake_clock(CUpti_TimestampCallbackFunc clock)
{
    cupti_fake.clock = clock;
    cupti_fake.clocks++;
    return CUPTI_SUCCESS;
}

/* Until it is told a clock, CUPTI's is another one. */
static CUptiResult fake_now(uint64_t *out)
{
    *out = cupti_fake.clock && !cupti_fake.hides_clock ? cupti_fake.clock() : 1700000000000000000;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_initialize(CUpti_Profiler_Initialize_Params *p)
{
    SIZED(CUpti_Profiler_Initialize_Params, "ProfilerInitialize");
    return CUPTI_SUCCESS;
}

static CUptiResult fake_supported(CUpti_Profiler_DeviceSupported_Params *p)
{
    SIZED(CUpti_Profiler_DeviceSupported_Params, "ProfilerDeviceSupported");
    cupti_fake.support.api = p->api;
    p->isSupported = cupti_fake.support.isSupported;
    p->vGpu = cupti_fake.support.vGpu;
    p->confidentialCompute = cupti_fake.support.confidentialCompute;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_chip(CUpti_Device_GetChipName_Params *p)
{
    SIZED(CUpti_Device_GetChipName_Params, "DeviceGetChipName");
    p->pChipName = cupti_fake.chip;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_host(CUpti_Profiler_Host_Initialize_Params *p)
{
    SIZED(CUpti_Profiler_Host_Initialize_Params, "ProfilerHostInitialize");
    assert_non_null(p->pCounterAvailabilityImage);
    cupti_fake.type = p->profilerType;
    cupti_fake.hosts++;
    p->pHostObject = (CUpti_Profiler_Host_Object *)malloc(1);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_host_end(CUpti_Profiler_Host_Deinitialize_Params *p)
{
    SIZED(CUpti_Profiler_Host_Deinitialize_Params, "ProfilerHostDeinitialize");
    cupti_fake.hosts--;
    free(p->pHostObject);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_add(CUpti_Profiler_Host_ConfigAddMetrics_Params *p)
{
    SIZED(CUpti_Profiler_Host_ConfigAddMetrics_Params, "ProfilerHostConfigAddMetrics");
    cupti_fake.passes = 1;
    for (size_t i = 0; i < p->numMetrics; i++) {
        if (cupti_fake.unknown && strstr(p->ppMetricNames[i], cupti_fake.unknown))
            return CUPTI_ERROR_INVALID_PARAMETER;
        if (cupti_fake.two_passes && strstr(p->ppMetricNames[i], cupti_fake.two_passes))
            cupti_fake.passes = 2;
    }
    return CUPTI_SUCCESS;
}

enum { CONFIG_BYTES = 50 };

static CUptiResult fake_image_size(CUpti_Profiler_Host_GetConfigImageSize_Params *p)
{
    SIZED(CUpti_Profiler_Host_GetConfigImageSize_Params, "ProfilerHostGetConfigImageSize");
    p->configImageSize = CONFIG_BYTES;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_image(CUpti_Profiler_Host_GetConfigImage_Params *p)
{
    SIZED(CUpti_Profiler_Host_GetConfigImage_Params, "ProfilerHostGetConfigImage");
    memset(p->pConfigImage, 7, p->configImageSize);
    return CUPTI_SUCCESS;
}

static CUptiResult fake_passes(CUpti_Profiler_Host_GetNumOfPasses_Params *p)
{
    SIZED(CUpti_Profiler_Host_GetNumOfPasses_Params, "ProfilerHostGetNumOfPasses");
    p->numOfPasses = (size_t)cupti_fake.passes;
    return CUPTI_SUCCESS;
}

#define FAKE_COMMON                                                                                                            \
    .GetResultString = fake_text, .ActivityRegisterTimestampCallback = fake_clock, .GetTimestamp = fake_now,                   \
    .ProfilerInitialize = fake_initialize, .ProfilerDeviceSupported = fake_supported, .DeviceGetChipName = fake_chip,          \
    .ProfilerHostInitialize = fake_host, .ProfilerHostDeinitialize = fake_host_end, .ProfilerHostConfigAddMetrics = fake_add,  \
    .ProfilerHostGetConfigImageSize = fake_image_size, .ProfilerHostGetConfigImage = fake_image,                               \
    .ProfilerHostGetNumOfPasses = fake_passes

/* As before the first call, on a chip that may be profiled. */
static void reset_cupti_fake(void)
{
    memset(&cupti_fake, 0, sizeof cupti_fake);
    cupti_fake.chip = "GH100";
    cupti_fake.support.isSupported = CUPTI_PROFILER_CONFIGURATION_SUPPORTED;
}

#endif
