/* SPDX-License-Identifier: MIT
 * The table that the program asks the plug-in for, and what CUDA says of the GPUs that it sees. */
#include "cuda_probes.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

/* 0, or why CUDA cannot be used at all. The runtime says of a driver that is not there that it is too old. */
static int refused(cudaError_t code, struct err *e)
{
    int driver = 0;

    (void)cudaGetLastError();
    (void)cudaDriverGetVersion(&driver);
    if (code == cudaSuccess)
        return 0;
    if (code == cudaErrorNoDevice)
        return err_set(e, ERR_ABSENT, "CUDA sees no GPU; see nvidia-smi, and CUDA_VISIBLE_DEVICES if it is set");
    if (code == cudaErrorInsufficientDriver && driver == 0)
        return err_set(e, ERR_ABSENT, "there is no NVIDIA driver here; install one, in a container: docker run --gpus all ...");
    if (code == cudaErrorInsufficientDriver)
        return err_set(e, ERR_ABSENT, "the NVIDIA driver is of CUDA %d.%d, this program of %d.%d; install a newer driver",
                       driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    return err_set(e, ERR_ABSENT, "CUDA does not start: %s; nvidia-smi should work first", cudaGetErrorString(code));
}

static int count_devices(int *out, struct err *e)
{
    const cudaError_t code = cudaGetDeviceCount(out);

    return refused(code == cudaSuccess && *out == 0 ? cudaErrorNoDevice : code, e);
}

static uint64_t attribute(int device, enum cudaDeviceAttr what)
{
    int value = 0;

    return cudaDeviceGetAttribute(&value, what, device) == cudaSuccess ? (uint64_t)value : 0;
}

static int describe(int device, struct gpu_facts *out, struct err *e)
{
    struct cudaDeviceProp p;
    int n = 0, code = count_devices(&n, e);

    if (code < 0)
        return code;
    if (device < 0 || device >= n)
        return err_set(e, ERR_ABSENT, "there is no GPU %d; CUDA sees %d, from 0", device, n);
    if ((code = refused(cudaGetDeviceProperties(&p, device), e)) < 0)
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
    return refused(cudaDeviceGetPCIBusId(out->pci, sizeof out->pci, device), e);
}

const struct gpu_plugin bench_cuda_probes = {
    .count = count_devices,
    .facts = describe,
    .counters_allowed = cuda_counters_allowed,
    .cupti = &cuda_probe_cupti,
    .trace = &cuda_probe_trace,
    .pm = &cuda_probe_pm,
    .roofs_open = gpu_roofs_open,
    .roofs_measure = gpu_roofs_measure,
    .roofs_close = gpu_roofs_close,
};
