/* SPDX-License-Identifier: MIT
 * Finding CUPTI and saying what it says. It lies where the loader looks, or in the toolkit's folders. */
#include "cupti.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define CUPTI_MAJOR (CUDA_VERSION / 1000)
#define CUPTI_MINOR (CUDA_VERSION % 1000 / 10)

static struct {
    void *library;
    struct cupti from_library;
    const struct cupti *instead;
} loaded;

static struct {
    const struct cupti *told; /* by whose records and samples it goes; NULL: nobody's yet */
    bool is_shown;            /* cuptiGetTimestamp goes by it too, and so shows when it was forgotten */
} our_clock;

static void *open_library(void)
{
    static const char *const below[] = {"lib64", "extras/CUPTI/lib64", "lib"};
    char name[512], versioned[64];
    snprintf(versioned, sizeof versioned, "/usr/local/cuda-%d.%d", CUPTI_MAJOR, CUPTI_MINOR);
    const char *const folders[] = {getenv("CUDA_HOME"), versioned, "/usr/local/cuda"};

    snprintf(name, sizeof name, "libcupti.so.%d", CUPTI_MAJOR);
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    for (size_t f = 0; !library && f < sizeof folders / sizeof folders[0]; f++)
        for (size_t b = 0; !library && folders[f] && b < sizeof below / sizeof below[0]; b++) {
            snprintf(name, sizeof name, "%s/%s/libcupti.so.%d", folders[f], below[b], CUPTI_MAJOR);
            library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        }
    return library;
}

/* CUPTI opens libnvperf_host.so by its bare name when it is first asked about metrics, and does not look beside itself. What is
 * loaded already is found. */
static void load_companion(void *library)
{
    struct link_map *map = NULL;
    char name[512];

    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !strchr(map->l_name, '/'))
        return;
    const int folder = (int)(strrchr(map->l_name, '/') - map->l_name);
    snprintf(name, sizeof name, "%.*s/libnvperf_host.so", folder, map->l_name);
    dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

/* Copied as bytes: ISO C has no cast between pointers to objects and to functions. */
static int find_function(void *function, const char *name, struct err *e)
{
    void *symbol = dlsym(loaded.library, name);

    if (!symbol)
        return err_set(e, ERR_ABSENT, "libcupti.so.%d has no %s: the CUDA toolkit must be 12.8 or newer", CUPTI_MAJOR, name);
    memcpy(function, &symbol, sizeof symbol);
    return 0;
}

const struct cupti *cupti_open(struct err *e)
{
    struct cupti found;

    if (loaded.instead)
        return loaded.instead;
    if (loaded.library)
        return &loaded.from_library;
    loaded.library = open_library();
    if (!loaded.library) {
        err_set(
            e, ERR_ABSENT,
            "no libcupti.so.%d: install the CUDA toolkit's package cuda-cupti-%d-%d, or put its folder into LD_LIBRARY_PATH",
            CUPTI_MAJOR, CUPTI_MAJOR, CUPTI_MINOR);
        return NULL;
    }
    load_companion(loaded.library);
#define CUPTI_FIND(name)                                                                                                       \
    if (find_function(&found.name, "cupti" #name, e) < 0)                                                                      \
        goto fail;
    CUPTI_FUNCTIONS(CUPTI_FIND)
#undef CUPTI_FIND
    loaded.from_library = found;
    return &loaded.from_library;
fail:
    dlclose(loaded.library);
    loaded.library = NULL;
    return NULL;
}

void cupti_install(const struct cupti *instead)
{
    loaded.instead = instead;
    our_clock.told = NULL;
}

/* What a person can do about an error; "": nothing. */
static const char *remedy_of(CUptiResult r)
{
    switch (r) {
    case CUPTI_ERROR_INSUFFICIENT_PRIVILEGES:
        return "; run as root or with CAP_SYS_ADMIN, or load the driver with NVreg_RestrictProfilingToAdminUsers=0 "
               "(RmProfilingAdminOnly in /proc/driver/nvidia/params says how it is)";
    case CUPTI_ERROR_VIRTUALIZED_DEVICE_INSUFFICIENT_PRIVILEGES:
        return "; the virtual machine's host must allow profiling of the virtual GPU";
    case CUPTI_ERROR_HARDWARE_BUSY:
        return "; another profiler uses the counters: end it";
    case CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED:
        return "; another tool watches this process (Nsight, compute-sanitizer, cuda-gdb): run without it";
    case CUPTI_ERROR_NOT_INITIALIZED:
        return "; is the driver loaded, and at least as new as this CUPTI?";
    default:
        return "";
    }
}

int cupti_check(const struct cupti *c, CUptiResult r, const char *call, struct err *e)
{
    const char *text = NULL;

    if (r == CUPTI_SUCCESS)
        return 0;
    if (c->GetResultString(r, &text) != CUPTI_SUCCESS || !text)
        text = "unknown error";
    return err_set(e, ERR_ABSENT, "CUPTI %s: %s (%d)%s", call, text, (int)r, remedy_of(r));
}

static bool is_refused(CUpti_Profiler_Support_Level level)
{
    return level == CUPTI_PROFILER_CONFIGURATION_UNSUPPORTED || level == CUPTI_PROFILER_CONFIGURATION_DISABLED;
}

int cupti_supported(const struct cupti *c, int device, CUpti_Profiler_API api, struct err *e)
{
    CUpti_Profiler_Initialize_Params init = CUPTI_PARAMS(CUpti_Profiler_Initialize_Params, .pPriv = NULL);
    CUpti_Profiler_DeviceSupported_Params s =
        CUPTI_PARAMS(CUpti_Profiler_DeviceSupported_Params, .cuDevice = device, .api = api);

    if (CUPTI_CALL(c, ProfilerInitialize, &init, e) < 0 || CUPTI_CALL(c, ProfilerDeviceSupported, &s, e) < 0)
        return ERR_ABSENT;
    const char *why = is_refused(s.architecture)          ? "it is too old or too new for this CUPTI"
                      : is_refused(s.vGpu)                ? "it is a virtual GPU whose host does not allow profiling"
                      : is_refused(s.confidentialCompute) ? "confidential computing is on"
                      : is_refused(s.cmp)                 ? "it is a mining processor"
                      : is_refused(s.sli)                 ? "SLI is on"
                      : is_refused(s.wsl)                 ? "Windows does not allow it to its Linux subsystem"
                                                          : NULL;
    if (s.isSupported == CUPTI_PROFILER_CONFIGURATION_SUPPORTED || !why)
        return 0; /* what is only not known shows when it is tried */
    return err_set(e, ERR_ABSENT, "GPU %d cannot be profiled: %s", device, why);
}

int cupti_chip(const struct cupti *c, int device, const char **out, struct err *e)
{
    CUpti_Device_GetChipName_Params chip = CUPTI_PARAMS(CUpti_Device_GetChipName_Params, .deviceIndex = (size_t)device);

    if (CUPTI_CALL(c, DeviceGetChipName, &chip, e) < 0)
        return ERR_ABSENT;
    *out = chip.pChipName;
    return 0;
}

static bool shows_our_clock(const struct cupti *c)
{
    const uint64_t before = clock_ns();
    uint64_t now = 0;

    return c->GetTimestamp(&now) == CUPTI_SUCCESS && now >= before && now <= clock_ns();
}

int cupti_clock(const struct cupti *c, struct err *e)
{
    if (our_clock.told == c && (!our_clock.is_shown || shows_our_clock(c)))
        return 0;
    if (CUPTI_CALL(c, ActivityRegisterTimestampCallback, clock_ns, e) < 0)
        return ERR_ABSENT;
    our_clock.told = c;
    our_clock.is_shown = shows_our_clock(c);
    return 0;
}

/* libcuda is asked for one function through the runtime, so that nothing is linked with the driver. */
int cupti_context(int device, CUcontext *out, struct err *e)
{
    enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    CUresult (*get_current)(CUcontext *) = NULL;
    void *symbol = NULL;
    cudaError_t r;

    *out = NULL;
    if ((r = cudaSetDevice(device)) != cudaSuccess || (r = cudaFree(NULL)) != cudaSuccess ||
        (r = cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &symbol, 12000, cudaEnableDefault, &found)) != cudaSuccess)
        return err_set(e, ERR_ABSENT, "GPU %d: %s", device, cudaGetErrorString(r));
    memcpy(&get_current, &symbol, sizeof symbol);
    if (found != cudaDriverEntryPointSuccess || !get_current || get_current(out) != CUDA_SUCCESS || !*out)
        return err_set(e, ERR_ABSENT, "GPU %d: the driver gives no context", device);
    return 0;
}
