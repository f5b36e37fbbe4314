/* SPDX-License-Identifier: MIT
 * Whether CUDA can be used at all: one sentence for each way in which it cannot, for every room that asks. Part of the plug-in
 * alone. */
#ifndef BENCH_CUDA_START_H
#define BENCH_CUDA_START_H

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"

/* "13.0" of 13000. */
static inline const char *cuda_version_text(char out[16], int version)
{
    snprintf(out, 16, "%d.%d", version / 1000, version % 1000 / 10);
    return out;
}

/* 0, or ERR_ABSENT with what is in the way and the remedy. The runtime calls a driver that is not there too old. */
static inline int cuda_start(cudaError_t code, struct err *e)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char has[16], needs[16];
    int driver = 0;

    if (code == cudaSuccess)
        return 0;
    (void)cudaGetLastError(); /* a refusal leaves no mark on what comes after */
    (void)cudaDriverGetVersion(&driver);
    if (code == cudaErrorNoDevice && visible)
        return err_set(e, ERR_ABSENT, "CUDA sees no GPU; CUDA_VISIBLE_DEVICES is '%s'", visible);
    if (code == cudaErrorNoDevice)
        return err_set(e, ERR_ABSENT, "CUDA sees no GPU; nvidia-smi should show one");
    if (code == cudaErrorInsufficientDriver && driver == 0)
        return err_set(e, ERR_ABSENT, "there is no NVIDIA driver here; install one, in a container: docker run --gpus all ...");
    if (code == cudaErrorInsufficientDriver)
        return err_set(e, ERR_ABSENT, "the NVIDIA driver supports CUDA %s, this build needs %s; update the driver",
                       cuda_version_text(has, driver), cuda_version_text(needs, CUDART_VERSION));
    if (code == cudaErrorSystemNotReady)
        return err_set(e, ERR_ABSENT,
                       "CUDA does not start: %s; GPUs on an NVSwitch need the service nvidia-fabricmanager, here or on the "
                       "virtual machine's host",
                       cudaGetErrorString(code));
    return err_set(e, ERR_ABSENT,
                   "CUDA does not start: %s; nvidia-smi should work first, and /dev/nvidia-uvm be there (as root: "
                   "nvidia-modprobe -u -c 0)",
                   cudaGetErrorString(code));
}

/* At least one. */
static inline int cuda_count_devices(int *n, struct err *e)
{
    const cudaError_t code = cudaGetDeviceCount(n);

    return cuda_start(code == cudaSuccess && *n == 0 ? cudaErrorNoDevice : code, e);
}

#endif
