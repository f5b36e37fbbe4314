/* SPDX-License-Identifier: MIT
 * NVML: what the driver's management library says about one GPU. The library comes with the driver and its header with no
 * toolkit that one may count on, so it is opened when it is asked for and its functions are declared here; their names and
 * arguments are a stable interface. It numbers GPUs by place on the bus, whatever CUDA_VISIBLE_DEVICES says: GPUs are known
 * here by their PCI id. Not thread-safe. */
#ifndef BENCH_NVML_H
#define BENCH_NVML_H

#include <stddef.h>

#include "err.h"
#include "probe.h"

#define NVML_LIBRARY "libnvidia-ml.so.1"

enum nvml_value {
    NVML_ENERGY_J,     /* since the driver was loaded */
    NVML_POWER_W,      /* of the board; since Ampere, GA100 apart, the mean of a second */
    NVML_UTILIZATION,  /* share of the last sample period in which a kernel ran */
    NVML_MEMORY_BYTES, /* in use, by everybody */
    NVML_SM_HZ,
    NVML_SM_HZ_MOST,
    NVML_DRAM_HZ_MOST,
    NVML_TEMPERATURE_C,
    NVML_SLOWED, /* bits of reasons why the clock is below its maximum (README.md) */
    NVML_VALUES,
};

struct nvml; /* the library and a GPU */

/* library: NVML_LIBRARY, or a path. pci: "0000:18:00.0". ERR_ABSENT: no driver, or one that does not know this GPU. */
int nvml_open(struct nvml **out, const char *library, const char *pci, struct err *e);
void nvml_close(struct nvml *n);

/* Reads one value, which each GPU may refuse for itself: 0, or ERR_ABSENT with the sentence. Goes through the driver: not for
 * the measured path. */
int nvml_read(const struct nvml *n, enum nvml_value v, double *out, struct err *e);

/* "580.65.06": the driver's version, "" when it does not say. */
void nvml_driver(const struct nvml *n, char *out, size_t size);

/* The probe of probes[] on a library and a GPU of one's choice. refresh_ns: for how long a sensor's value is given again. */
int nvml_probe_open_at(const char *library, const char *pci, uint64_t refresh_ns, struct probe **out, struct err *e);

#endif
