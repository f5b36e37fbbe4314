/* SPDX-License-Identifier: MIT
 * The nvml probe: joules of the GPU's board over the bracket, and the state of its sensors at the end. A light probe: its calls
 * go through the driver, outside the clock's window. Sensors refresh slowly, so those of a short bracket are the ones of the
 * bracket before; the energy is read at either end of each. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "gpu.h"
#include "nvml.h"
#include "probe_list.h"

enum { REFRESH_MS = 50 };

/* The energy is the first. */
static const struct quantity {
    enum metric metric;
    enum nvml_value value;
} quantities[] = {
    {METRIC_GPU_ENERGY_J, NVML_ENERGY_J},
    {METRIC_GPU_POWER_W, NVML_POWER_W},
    {METRIC_GPU_UTILIZATION, NVML_UTILIZATION},
    {METRIC_GPU_MEMORY_BYTES, NVML_MEMORY_BYTES},
    {METRIC_GPU_HZ, NVML_SM_HZ},
    {METRIC_GPU_TEMPERATURE_C, NVML_TEMPERATURE_C},
    {METRIC_GPU_SLOWED, NVML_SLOWED},
};
enum { QUANTITIES = sizeof quantities / sizeof quantities[0] };

struct nvml_probe {
    struct probe base;
    struct nvml *nvml;
    uint64_t refresh_ns, sensors_ns; /* sensors_ns: when the sensors were read; 0: not yet */
    double begin_j;
    double value[QUANTITIES];
    struct err why[QUANTITIES]; /* code 0: there is a value */
};

static void read_quantity(struct nvml_probe *p, int i, double *out)
{
    p->why[i].code = 0; /* readings may still point to the text */
    nvml_read(p->nvml, quantities[i].value, out, &p->why[i]);
}

int nvml_probe_open_at(const char *library, const char *pci, uint64_t refresh_ns, struct probe **out, struct err *e)
{
    struct nvml_probe *p = calloc(1, sizeof *p);

    if (!p)
        return err_set(e, ERR_MEMORY, "nvml probe: out of memory");
    int code = nvml_open(&p->nvml, library, pci, e);
    if (code < 0) {
        free(p);
        return code;
    }
    p->base.ops = &probe_nvml;
    p->refresh_ns = refresh_ns;
    *out = &p->base;
    return 0;
}

static int gpu_nvml_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    struct gpu_facts facts;

    if (args->device < 0)
        return err_set(e, ERR_ABSENT, "nvml watches a GPU, and none computes here; choose the backend cuda");
    const struct gpu_plugin *gpu = gpu_plugin(e);
    if (!gpu)
        return ERR_ABSENT;
    int code = gpu->facts(args->device, &facts, e);
    return code < 0 ? code : nvml_probe_open_at(NVML_LIBRARY, facts.pci, REFRESH_MS * 1000000ull, out, e);
}

static int nvml_groups(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *nvml_group_name(const struct probe *p, int group)
{
    (void)p, (void)group;
    return "nvml";
}

static void nvml_select(struct probe *p, int group)
{
    (void)p, (void)group;
}

static int nvml_metrics(const struct probe *p, enum metric *out)
{
    (void)p;
    for (int i = 0; i < QUANTITIES; i++)
        out[i] = quantities[i].metric;
    return QUANTITIES;
}

static void nvml_begin(struct probe *base)
{
    struct nvml_probe *p = (struct nvml_probe *)base;

    read_quantity(p, 0, &p->begin_j);
}

static void nvml_end(struct probe *base, struct reading *out)
{
    struct nvml_probe *p = (struct nvml_probe *)base;
    double end_j = 0;

    if (!p->why[0].code)
        read_quantity(p, 0, &end_j);
    p->value[0] = end_j - p->begin_j;
    const uint64_t now = clock_ns();
    if (!p->sensors_ns || now - p->sensors_ns >= p->refresh_ns) {
        p->sensors_ns = now;
        for (int i = 1; i < QUANTITIES; i++)
            read_quantity(p, i, &p->value[i]);
    }
    out->count = QUANTITIES;
    for (int i = 0; i < QUANTITIES; i++) {
        const bool missing = p->why[i].code != 0;
        out->value[i] = (struct value){
            .metric = quantities[i].metric,
            .provenance = missing ? PROVENANCE_MISSING : PROVENANCE_VENDOR,
            .value = p->value[i],
            .coverage = 1,
            .why = missing ? p->why[i].text : NULL,
        };
    }
}

static bool nvml_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p;
    if (r->value[0].provenance == PROVENANCE_MISSING || r->value[0].value >= 0)
        return true;
    *why = "the GPU's energy counter went backwards";
    return false;
}

static void nvml_probe_close(struct probe *base)
{
    struct nvml_probe *p = (struct nvml_probe *)base;

    nvml_close(p->nvml);
    free(p);
}

const struct probe_ops probe_nvml = {
    .name = "nvml",
    .about = "energy, power, use, clock and heat of the GPU's board, other processes' included",
    .weight = PROBE_LIGHT,
    .open = gpu_nvml_open,
    .groups = nvml_groups,
    .group_name = nvml_group_name,
    .select = nvml_select,
    .metrics = nvml_metrics,
    .begin = nvml_begin,
    .end = nvml_end,
    .plausible = nvml_plausible,
    .close = nvml_probe_close,
    .needs_device = true,
};
