/* SPDX-License-Identifier: MIT
 * The door to what this room has in the plug-in: everything that needs the CUDA toolkit's libraries. NVML needs none of it
 * (nvml.c). */
#ifndef BENCH_GPU_H
#define BENCH_GPU_H

#include <stddef.h>
#include <stdint.h>

#include "probe.h"
#include "roofs.h"

/* Facts of one GPU, for records and the doctor. "" or 0: not known. */
struct gpu_facts {
    char name[96];         /* "NVIDIA H200" */
    char pci[24];          /* "0000:18:00.0": how NVML knows it */
    int major, minor, sms; /* compute capability; multiprocessors */
    uint64_t memory_bytes, l2_bytes, shared_per_sm;
    int runtime_version, driver_version; /* 13000: CUDA 13.0 */
};

/* The one symbol that this room asks the plug-in for: bench_cuda_probes. */
struct gpu_plugin {
    /* ERR_ABSENT: no driver, an old one, no device; the sentence says which, and the remedy. */
    int (*count)(int *out, struct err *e);
    int (*facts)(int device, struct gpu_facts *out, struct err *e);
    /* Whether counters may be used on it: 0, or ERR_ABSENT with the reason and the remedy. */
    int (*counters_allowed)(int device, struct err *e);
    /* "cupti": counters of brackets; "trace": kernels, copies and sets by time; "pm": samples over time. */
    const struct probe_ops *cupti, *trace, *pm;

    /* Roofs, by name; the first error is ERR_ABSENT where there is no such roof on this GPU. */
    int (*roofs_open)(void **out, int device, struct err *e);
    int (*roofs_measure)(void *roofs, const struct roof_spec *spec, int budget_ms, struct roof *out, struct err *e);
    void (*roofs_close)(void *roofs);
};

/* NULL: there is no plug-in, or it cannot be loaded here; e says why. */
const struct gpu_plugin *gpu_plugin(struct err *e);

/* What the record says of the machine of a GPU's run: `row` is called for each fact ("GPU memory", "141 GB", "CUDA"), until it
 * fails. What is not told says why in the value. */
int gpu_machine_rows(int device, int (*row)(void *ctx, const char *key, const char *value, const char *source, struct err *e),
                     void *ctx, struct err *e);

#endif
