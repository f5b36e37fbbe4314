/* SPDX-License-Identifier: MIT
 * CUPTI, opened when it is asked for: one list of the functions that this folder calls. The toolkit that has it is not on every
 * machine with a GPU, so it is never linked; types come from its own headers. A field has the function's name without "cupti".
 */
#ifndef BENCH_PROBES_CUPTI_H
#define BENCH_PROBES_CUPTI_H

#include <cuda.h>
#include <cupti_activity.h>
#include <cupti_pmsampling.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_range_profiler.h>
#include <cupti_target.h>
#include <cupti_version.h>

#include "err.h"

/* clang-format off */
#define CUPTI_FUNCTIONS(X)                                                                                                   \
    X(GetVersion) X(GetResultString) X(GetTimestamp)                                                                         \
    X(ActivityRegisterTimestampCallback) X(ActivityRegisterCallbacks) X(ActivityEnable) X(ActivityDisable)                   \
    X(ActivityFlushAll) X(ActivityGetNextRecord) X(ActivityGetNumDroppedRecords)                                             \
    X(ActivityPushExternalCorrelationId) X(ActivityPopExternalCorrelationId)                                                 \
    X(DeviceGetChipName) X(ProfilerInitialize) X(ProfilerDeviceSupported) X(ProfilerGetCounterAvailability)                  \
    X(ProfilerHostInitialize) X(ProfilerHostDeinitialize) X(ProfilerHostConfigAddMetrics)                                    \
    X(ProfilerHostGetConfigImageSize) X(ProfilerHostGetConfigImage) X(ProfilerHostGetNumOfPasses)                            \
    X(ProfilerHostEvaluateToGpuValues)                                                                                       \
    X(RangeProfilerEnable) X(RangeProfilerDisable) X(RangeProfilerSetConfig) X(RangeProfilerStart) X(RangeProfilerStop)      \
    X(RangeProfilerPushRange) X(RangeProfilerPopRange) X(RangeProfilerDecodeData) X(RangeProfilerGetCounterDataSize)         \
    X(RangeProfilerCounterDataImageInitialize) X(RangeProfilerGetCounterDataInfo)                                            \
    X(PmSamplingEnable) X(PmSamplingDisable) X(PmSamplingSetConfig) X(PmSamplingStart) X(PmSamplingStop)                     \
    X(PmSamplingDecodeData) X(PmSamplingGetCounterAvailability) X(PmSamplingGetCounterDataSize)                              \
    X(PmSamplingCounterDataImageInitialize) X(PmSamplingGetCounterDataInfo) X(PmSamplingCounterDataGetSampleInfo)
/* clang-format on */

struct cupti {
#define CUPTI_FIELD(name) __typeof__(cupti##name) *name;
    CUPTI_FUNCTIONS(CUPTI_FIELD)
#undef CUPTI_FIELD
};

/* The library of the CUDA that this was built with; loaded once, never closed. NULL: ERR_ABSENT says what is missing and the
 * remedy. Not thread-safe. */
const struct cupti *cupti_open(struct err *e);

/* From now on cupti_open gives this table; NULL: the library again. For tests. */
void cupti_install(const struct cupti *instead);

/* 0, or ERR_ABSENT: what CUPTI says of `call`, and the remedy where there is one ("RangeProfilerEnable: ..."). */
int cupti_check(const struct cupti *c, CUptiResult r, const char *call, struct err *e);

/* c->name(params), checked: CUPTI_CALL(c, RangeProfilerStart, &start, e) < 0 when it failed. */
#define CUPTI_CALL(c, name, params, e) cupti_check(c, (c)->name(params), #name, e)

/* A struct of parameters of that type with its size filled in and the rest as given. */
#define CUPTI_PARAMS(type, ...) ((type){.structSize = type##_STRUCT_SIZE, __VA_ARGS__})

/* Whether anything is known to stand against that interface (CUPTI_PROFILER_RANGE_PROFILING, CUPTI_PROFILER_PM_SAMPLING) on
 * this device: 0, or ERR_ABSENT with the reason. Initialises the profiler. */
int cupti_supported(const struct cupti *c, int device, CUpti_Profiler_API api, struct err *e);

/* "GH100": what the device is called in CUPTI's tables; CUPTI's memory. */
int cupti_chip(const struct cupti *c, int device, const char **out, struct err *e);

/* From now on times in records and samples are clock_ns's. CUPTI is told once, and again only where it has forgotten: told anew
 * without need, it gives the next records by a clock of its own. */
int cupti_clock(const struct cupti *c, struct err *e);

/* Makes the device current in this thread; its context. */
int cupti_context(int device, CUcontext *out, struct err *e);

#endif
