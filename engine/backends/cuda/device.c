/* SPDX-License-Identifier: MIT
 * Which GPU, and what it is. */
#include <stdio.h>

#include "cuda_host.h"
#include "cuda_start.h"
#include "text.h"

enum { CAPABILITY_LEAST = 8 };

static void describe(struct cuda *g, const struct cudaDeviceProp *p)
{
    char memory[32], runtime[16], driver[16];
    int driver_version = 0;

    cudaDriverGetVersion(&driver_version);
    snprintf(g->about, sizeof g->about, "%s, compute capability %d.%d, %d SMs, %s; CUDA %s, driver %s", p->name, p->major,
             p->minor, p->multiProcessorCount, text_bytes(memory, sizeof memory, (double)p->totalGlobalMem),
             cuda_version_text(runtime, CUDART_VERSION), cuda_version_text(driver, driver_version));
}

int cuda_device_choose(struct cuda *g, int device, struct err *e)
{
    struct cudaDeviceProp properties;
    int devices, code = cuda_count_devices(&devices, e);

    if (code < 0)
        return err_wrap(e, "backend cuda");
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
