/* SPDX-License-Identifier: MIT
 * Which GPU, and why none: each way in which there can be none has its sentence. */
#include <stdio.h>
#include <stdlib.h>

#include "cuda_host.h"
#include "text.h"

enum { CAPABILITY_LEAST = 8 };

static void version(char out[16], int number)
{
    snprintf(out, 16, "%d.%d", number / 1000, number % 1000 / 10);
}

/* The runtime says "insufficient" also where there is no driver at all. */
static int count_devices(int *n, struct err *e)
{
    cudaError_t code = cudaGetDeviceCount(n);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    char has[16], needs[16];
    int driver = 0;

    if (code == cudaSuccess && *n > 0)
        return 0;
    cudaGetLastError();
    cudaDriverGetVersion(&driver);
    version(has, driver);
    version(needs, CUDART_VERSION);
    if (code == cudaErrorInsufficientDriver && driver == 0)
        return err_set(
            e, ERR_ABSENT,
            "backend cuda: there is no NVIDIA driver here; install one, or start the container with its GPUs (--gpus all)");
    if (code == cudaErrorInsufficientDriver)
        return err_set(e, ERR_ABSENT,
                       "backend cuda: the NVIDIA driver supports CUDA %s, this build needs %s; update the driver", has, needs);
    if (code == cudaSuccess || code == cudaErrorNoDevice)
        return err_set(e, ERR_ABSENT, "backend cuda: the driver (CUDA %s) shows no GPU%s%s%s", has,
                       visible ? "; CUDA_VISIBLE_DEVICES is '" : "", visible ? visible : "", visible ? "'" : "");
    return err_set(e, ERR_ABSENT, "backend cuda: the driver (CUDA %s) does not start: %s", has, cudaGetErrorString(code));
}

static void describe(struct cuda *g, const struct cudaDeviceProp *p)
{
    char memory[32], runtime[16], driver[16];
    int driver_version = 0;

    cudaDriverGetVersion(&driver_version);
    version(driver, driver_version);
    version(runtime, CUDART_VERSION);
    snprintf(g->about, sizeof g->about, "%s, compute capability %d.%d, %d SMs, %s; CUDA %s, driver %s", p->name, p->major,
             p->minor, p->multiProcessorCount, text_bytes(memory, sizeof memory, (double)p->totalGlobalMem), runtime, driver);
}

int cuda_device_choose(struct cuda *g, int device, struct err *e)
{
    struct cudaDeviceProp properties;
    int devices, code = count_devices(&devices, e);

    if (code < 0)
        return code;
    if (device < 0 || device >= devices)
        return err_set(e, ERR_USAGE, "--device %d: there %s %d GPU%s here, numbered from 0", device,
                       devices == 1 ? "is" : "are", devices, devices == 1 ? "" : "s");
    g->device = device;
    snprintf(g->name, sizeof g->name, "GPU %d", device);
    code = cuda_answer(g, cudaGetDeviceProperties(&properties, device), "its properties", e);
    if (code < 0)
        return code;
    snprintf(g->name, sizeof g->name, "GPU %d (%.100s)", device, properties.name);
    if (properties.major < CAPABILITY_LEAST)
        return err_set(e, ERR_ABSENT, "%s has compute capability %d.%d; backend cuda needs %d.0 or above", g->name,
                       properties.major, properties.minor, CAPABILITY_LEAST);
    describe(g, &properties);
    return cuda_answer(g, cudaSetDevice(device), "it does not start", e);
}
