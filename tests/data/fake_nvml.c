/* SPDX-License-Identifier: MIT
 * A library like the driver's libnvidia-ml.so.1 with one GPU, at 0000:18:00.0. With OLD it is that of a driver from before the
 * energy counter and before a function's renaming. */
#include "fake_nvml.h"

#include <stdio.h>
#include <string.h>

struct fake_nvml fake_nvml;

static int gpu; /* its address is the device's handle */

static int call(enum fake_function f, const void *device)
{
    fake_nvml.calls[f]++;
    return fake_nvml.answer[f] ? fake_nvml.answer[f] : device != &gpu ? 2 : 0;
}

int nvmlInit_v2(void);
int nvmlInit_v2(void)
{
    int answer = call(FAKE_INIT, &gpu);

    fake_nvml.started += answer == 0;
    return answer;
}

int nvmlShutdown(void);
int nvmlShutdown(void)
{
    fake_nvml.started--;
    return 0;
}

const char *nvmlErrorString(int answer);
const char *nvmlErrorString(int answer)
{
    return answer == 3 ? "Not Supported" : answer == 9 ? "Driver Not Loaded" : answer == 6 ? "Not Found" : "Invalid Argument";
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device);
int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device)
{
    *device = &gpu;
    return strcmp(pci, "0000:18:00.0") == 0 ? call(FAKE_HANDLE, &gpu) : 6;
}

int nvmlSystemGetDriverVersion(char *out, unsigned size);
int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    snprintf(out, size, "580.65.06");
    return call(FAKE_VERSION, &gpu);
}

#ifndef OLD
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *mj)
{
    *mj = fake_nvml.energy_mj;
    return call(FAKE_ENERGY, device);
}
#endif

int nvmlDeviceGetPowerUsage(void *device, unsigned *mw);
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw)
{
    *mw = fake_nvml.power_mw;
    return call(FAKE_POWER, device);
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned rates[2]);
int nvmlDeviceGetUtilizationRates(void *device, unsigned rates[2])
{
    rates[0] = 87;
    rates[1] = 43;
    return call(FAKE_UTILIZATION, device);
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long total_free_used[3]);
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long total_free_used[3])
{
    total_free_used[0] = 150000000000;
    total_free_used[1] = 136000000000;
    total_free_used[2] = 14000000000;
    return call(FAKE_MEMORY, device);
}

/* Clock 1 is the multiprocessors', 2 the memory's. */
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz);
int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz)
{
    *mhz = clock == 1 ? 1755 : 2619;
    return call(FAKE_CLOCK, device);
}

int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *mhz);
int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *mhz)
{
    *mhz = clock == 1 ? 1980 : 3201;
    return call(FAKE_MOST_CLOCK, device);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius);
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    *celsius = sensor == 0 ? 61 : 0;
    return call(FAKE_TEMPERATURE, device);
}

#ifdef OLD
#define REASONS nvmlDeviceGetCurrentClocksThrottleReasons
#else
#define REASONS nvmlDeviceGetCurrentClocksEventReasons
#endif
int REASONS(void *device, unsigned long long *bits);
int REASONS(void *device, unsigned long long *bits)
{
    *bits = 0x4;
    return call(FAKE_REASONS, device);
}
