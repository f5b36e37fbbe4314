/* SPDX-License-Identifier: MIT
 * One line a value in the table at the bottom: which function tells it, in which shape and unit. A function that this driver's
 * library lacks, or that this GPU refuses, costs its value and no other. */
#include "nvml.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* What functions take after the device: where to put an unsigned, an unsigned long long, a kind and where to put an unsigned,
 * two shares in per cent, three amounts of memory. */
enum shape { NARROW, WIDE, KIND, SHARES, MEMORY };
enum { CLOCK_SM = 1, CLOCK_DRAM = 2, SENSOR_GPU = 0 };

struct shares {
    unsigned gpu, memory;
};
struct memory {
    unsigned long long total, free, used;
};

struct source {
    const char *what, *symbol, *older; /* older: the function's name before it was renamed */
    enum shape shape;
    int kind;
    double unit;
};
static const struct source sources[NVML_VALUES];

typedef void (*function)(void);

struct nvml {
    void *library, *device;
    int (*shutdown)(void); /* NULL: not started */
    const char *(*error_text)(int);
    function driver_version, value[NVML_VALUES]; /* NULL: not in this library */
};

/* dlsym gives a pointer to data, which C does not convert. */
static function find(void *library, const char *symbol)
{
    function f;
    void *address = symbol ? dlsym(library, symbol) : NULL;

    memcpy(&f, &address, sizeof f);
    return f;
}

static int need(void *library, const char *symbol, function *out, struct err *e)
{
    *out = find(library, symbol);
    return *out ? 0 : err_set(e, ERR_ABSENT, "%s has no %s; install a newer NVIDIA driver", NVML_LIBRARY, symbol);
}

/* Starts the library and finds the GPU. */
static int start(struct nvml *n, const char *pci, struct err *e)
{
    function init, shutdown, error_text, by_pci;
    int code, answer;

    if ((code = need(n->library, "nvmlInit_v2", &init, e)) < 0 || (code = need(n->library, "nvmlShutdown", &shutdown, e)) < 0 ||
        (code = need(n->library, "nvmlErrorString", &error_text, e)) < 0 ||
        (code = need(n->library, "nvmlDeviceGetHandleByPciBusId_v2", &by_pci, e)) < 0)
        return code;
    n->error_text = (const char *(*)(int))error_text;
    if ((answer = ((int (*)(void))init)()) != 0)
        return err_set(e, ERR_ABSENT, "NVML does not start: %s; nvidia-smi should work first", n->error_text(answer));
    n->shutdown = (int (*)(void))shutdown;
    if ((answer = ((int (*)(const char *, void **))by_pci)(pci, &n->device)) != 0)
        return err_set(e, ERR_ABSENT, "NVML knows no GPU at %s: %s", pci, n->error_text(answer));
    n->driver_version = find(n->library, "nvmlSystemGetDriverVersion");
    for (int v = 0; v < NVML_VALUES; v++)
        if (!(n->value[v] = find(n->library, sources[v].symbol)))
            n->value[v] = find(n->library, sources[v].older);
    return 0;
}

int nvml_open(struct nvml **out, const char *library, const char *pci, struct err *e)
{
    struct nvml *n = calloc(1, sizeof *n);
    int code;

    if (!n)
        return err_set(e, ERR_MEMORY, "NVML: out of memory");
    n->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        code = err_set(e, ERR_ABSENT,
                       "%s; it comes with NVIDIA's driver, in a container: docker run --gpus all -e "
                       "NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",
                       dlerror());
    else
        code = start(n, pci, e);
    if (code < 0)
        nvml_close(n);
    else
        *out = n;
    return code;
}

void nvml_close(struct nvml *n)
{
    if (!n)
        return;
    if (n->shutdown)
        n->shutdown();
    if (n->library)
        dlclose(n->library);
    free(n);
}

/* NVML's answer: 0, or its error. */
static int ask(const struct source *s, function f, void *device, double *out)
{
    unsigned narrow = 0;
    unsigned long long wide = 0;
    struct shares shares = {0};
    struct memory memory = {0};
    int answer = 0;

    switch (s->shape) {
    case NARROW:
        answer = ((int (*)(void *, unsigned *))f)(device, &narrow);
        *out = narrow;
        break;
    case WIDE:
        answer = ((int (*)(void *, unsigned long long *))f)(device, &wide);
        *out = (double)wide;
        break;
    case KIND:
        answer = ((int (*)(void *, int, unsigned *))f)(device, s->kind, &narrow);
        *out = narrow;
        break;
    case SHARES:
        answer = ((int (*)(void *, struct shares *))f)(device, &shares);
        *out = shares.gpu;
        break;
    case MEMORY:
        answer = ((int (*)(void *, struct memory *))f)(device, &memory);
        *out = (double)memory.used;
        break;
    }
    *out *= s->unit;
    return answer;
}

int nvml_read(const struct nvml *n, enum nvml_value v, double *out, struct err *e)
{
    const struct source *s = &sources[v];

    if (!n->value[v])
        return err_set(e, ERR_ABSENT, "the %s of the GPU is not told: this driver's NVML has no %s", s->what, s->symbol);
    const int answer = ask(s, n->value[v], n->device, out);
    return answer == 0 ? 0 : err_set(e, ERR_ABSENT, "the %s of the GPU is not told: %s", s->what, n->error_text(answer));
}

void nvml_driver(const struct nvml *n, char *out, size_t size)
{
    if (!n->driver_version || ((int (*)(char *, unsigned))n->driver_version)(out, (unsigned)size) != 0)
        out[0] = 0;
}

static const struct source sources[NVML_VALUES] = {
    [NVML_ENERGY_J] = {"energy", "nvmlDeviceGetTotalEnergyConsumption", NULL, WIDE, 0, 1e-3},
    [NVML_POWER_W] = {"power", "nvmlDeviceGetPowerUsage", NULL, NARROW, 0, 1e-3},
    [NVML_UTILIZATION] = {"utilization", "nvmlDeviceGetUtilizationRates", NULL, SHARES, 0, 1e-2},
    [NVML_MEMORY_BYTES] = {"memory in use", "nvmlDeviceGetMemoryInfo", NULL, MEMORY, 0, 1},
    [NVML_SM_HZ] = {"clock", "nvmlDeviceGetClockInfo", NULL, KIND, CLOCK_SM, 1e6},
    [NVML_SM_HZ_MOST] = {"highest clock", "nvmlDeviceGetMaxClockInfo", NULL, KIND, CLOCK_SM, 1e6},
    [NVML_DRAM_HZ_MOST] = {"memory's highest clock", "nvmlDeviceGetMaxClockInfo", NULL, KIND, CLOCK_DRAM, 1e6},
    [NVML_TEMPERATURE_C] = {"temperature", "nvmlDeviceGetTemperature", NULL, KIND, SENSOR_GPU, 1},
    [NVML_SLOWED] = {"slowing of the clock", "nvmlDeviceGetCurrentClocksEventReasons",
                     "nvmlDeviceGetCurrentClocksThrottleReasons", WIDE, 0, 1},
};
