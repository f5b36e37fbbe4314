/* SPDX-License-Identifier: MIT
 * Devices and errors of the emulated runtime. */
#include <string.h>

#include "emu_machine.h"
#include "emu_stream.h"

struct emu_machine emu_machine = {13000, 1, 9, 0, (size_t)1 << 30, false, false, 0, 0, cudaSuccess, NULL};

static int current_device;
static cudaError_t last = cudaSuccess;

cudaError_t emu_say(cudaError_t code)
{
    if (code != cudaSuccess)
        last = code;
    return code;
}

cudaError_t emu_driver_state()
{
    if (emu_machine.trouble != cudaSuccess)
        return (cudaError_t)emu_machine.trouble;
    if (emu_machine.driver < CUDART_VERSION / 1000 * 1000)
        return cudaErrorInsufficientDriver;
    return emu_machine.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}

extern "C" {

/* --- devices ----------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = emu_driver_state() == cudaSuccess ? emu_machine.devices : 0;
    return emu_say(emu_driver_state());
}

/* The one function of the driver's that is asked for: the context is something, and nothing more. */
static int current_context(void **out)
{
    *out = &current_device;
    return 0;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **out, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *found)
{
    bool known = strcmp(symbol, "cuCtxGetCurrent") == 0;

    *out = known ? (void *)current_context : NULL;
    *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = emu_machine.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= emu_machine.devices)
        return emu_say(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return emu_say(emu_driver_state());
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    if (device < 0 || device >= emu_machine.devices)
        return emu_say(cudaErrorInvalidDevice);
    *p = {};
    strcpy(p->name, "Emulated GPU");
    p->major = emu_machine.major;
    p->minor = emu_machine.minor;
    p->totalGlobalMem = emu_machine.memory;
    p->multiProcessorCount = 4;
    p->l2CacheSize = 1 << 20;
    p->sharedMemPerMultiprocessor = 100 << 10;
    p->sharedMemPerBlockOptin = EMU_SHARED_MOST;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    cudaDeviceProp p;
    cudaError_t code = cudaGetDeviceProperties(&p, device);

    if (code != cudaSuccess)
        return code;
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = p.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = p.minor;
        return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
        *value = p.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrL2CacheSize:
        *value = p.l2CacheSize;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)p.sharedMemPerMultiprocessor;
        return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)p.sharedMemPerBlockOptin;
        return cudaSuccess;
    default:
        return emu_say(cudaErrorInvalidValue);
    }
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device)
{
    if (device < 0 || device >= emu_machine.devices || length < 13)
        return emu_say(cudaErrorInvalidValue);
    strcpy(id, "0000:00:00.0");
    id[6] = (char)('0' + device);
    return cudaSuccess;
}

/* --- errors -----------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaGetLastError(void)
{
    cudaError_t code = last;
    last = cudaSuccess;
    return code;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last;
}

const char *cudaGetErrorName(cudaError_t code)
{
    return code == cudaSuccess ? "cudaSuccess" : "cudaError";
}

const char *cudaGetErrorString(cudaError_t code)
{
    switch (code) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorSystemNotReady:
        return "system not yet initialized";
    case cudaErrorUnknown:
        return "unknown error";
    default:
        return "an error of the emulated runtime";
    }
}

} // extern "C"
