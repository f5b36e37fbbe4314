/* SPDX-License-Identifier: MIT
 * The table that the program asks the plug-in for, and what CUDA says of the GPUs that it sees. */
#include "cuda_probes.h"

#include <stdio.h>

#include "cuda_start.h"

static uint64_t attribute(int device, enum cudaDeviceAttr what)
{
    int value = 0;

    return cudaDeviceGetAttribute(&value, what, device) == cudaSuccess ? (uint64_t)value : 0;
}

static int describe(int device, struct gpu_facts *out, struct err *e)
{
    struct cudaDeviceProp p;
    int n = 0, code = cuda_count_devices(&n, e);

    if (code < 0)
        return code;
    if (device < 0 || device >= n)
        return err_set(e, ERR_ABSENT, "there is no GPU %d; CUDA sees %d, from 0", device, n);
    if ((code = cuda_start(cudaGetDeviceProperties(&p, device), e)) < 0)
        return code;
    *out = (struct gpu_facts){
        .major = p.major,
        .minor = p.minor,
        .sms = p.multiProcessorCount,
        .memory_bytes = p.totalGlobalMem,
        .l2_bytes = attribute(device, cudaDevAttrL2CacheSize),
        .shared_per_sm = attribute(device, cudaDevAttrMaxSharedMemoryPerMultiprocessor),
    };
    snprintf(out->name, sizeof out->name, "%s", p.name);
    (void)cudaRuntimeGetVersion(&out->runtime_version);
    (void)cudaDriverGetVersion(&out->driver_version);
    return cuda_start(cudaDeviceGetPCIBusId(out->pci, sizeof out->pci, device), e);
}

const struct gpu_plugin bench_cuda_probes = {
    .count = cuda_count_devices,
    .facts = describe,
    .counters_allowed = cuda_counters_allowed,
    .cupti = &cuda_probe_cupti,
    .trace = &cuda_probe_trace,
    .pm = &cuda_probe_pm,
    .roofs_open = gpu_roofs_open,
    .roofs_measure = gpu_roofs_measure,
    .roofs_close = gpu_roofs_close,
};
