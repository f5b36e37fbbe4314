/* SPDX-License-Identifier: MIT
 * The facts of a GPU as rows of the record, from CUDA through the plug-in and from NVML; either may be silent about a fact.
 * Whether counters are allowed is not among them: asking loads CUPTI, which slows what is timed later. */
#include <stdarg.h>
#include <stdio.h>

#include "gpu.h"
#include "nvml.h"
#include "text.h"

struct rows {
    int (*row)(void *ctx, const char *key, const char *value, const char *source, struct err *e);
    void *ctx;
    struct err *e;
    int code; /* of the first row that failed; the others are left out */
};

__attribute__((format(printf, 4, 5))) static void add(struct rows *r, const char *key, const char *source, const char *fmt, ...)
{
    char value[600];
    va_list ap;

    if (r->code < 0)
        return;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    r->code = r->row(r->ctx, key, value, source, r->e);
}

static void add_facts(struct rows *r, const struct gpu_facts *f)
{
    char size[16];

    add(r, "GPU", "CUDA", "%s, compute capability %d.%d, %d multiprocessors", f->name, f->major, f->minor, f->sms);
    add(r, "GPU memory", "CUDA", "%s", text_bytes(size, sizeof size, (double)f->memory_bytes));
    add(r, "GPU L2", "CUDA", "%s", text_bytes(size, sizeof size, (double)f->l2_bytes));
    add(r, "GPU shared memory", "CUDA", "%s a multiprocessor", text_bytes(size, sizeof size, (double)f->shared_per_sm));
    add(r, "CUDA", "CUDA", "%d.%d, the driver's %d.%d", f->runtime_version / 1000, f->runtime_version % 1000 / 10,
        f->driver_version / 1000, f->driver_version % 1000 / 10);
}

static void add_clocks(struct rows *r, const struct nvml *n)
{
    double sm, dram;
    struct err why = {0};

    if (nvml_read(n, NVML_SM_HZ_MOST, &sm, &why) < 0 || nvml_read(n, NVML_DRAM_HZ_MOST, &dram, &why) < 0)
        add(r, "GPU clocks", "NVML", "unknown: %s", why.text);
    else
        add(r, "GPU clocks", "NVML", "%.2f GHz at most, memory %.2f GHz", sm * 1e-9, dram * 1e-9);
}

static void add_nvml(struct rows *r, const char *pci)
{
    struct nvml *n = NULL;
    char driver[80];
    struct err why = {0};

    if (nvml_open(&n, NVML_LIBRARY, pci, &why) < 0) {
        add(r, "GPU driver", "NVML", "unknown: %s", why.text);
        return;
    }
    nvml_driver(n, driver, sizeof driver);
    add(r, "GPU driver", "NVML", "%s", driver[0] ? driver : "unknown: NVML does not tell");
    add_clocks(r, n);
    nvml_close(n);
}

int gpu_machine_rows(int device, int (*row)(void *ctx, const char *key, const char *value, const char *source, struct err *e),
                     void *ctx, struct err *e)
{
    struct rows r = {.row = row, .ctx = ctx, .e = e};
    struct gpu_facts facts;
    const struct gpu_plugin *gpu = gpu_plugin(e);

    if (!gpu)
        return ERR_ABSENT;
    int code = gpu->facts(device, &facts, e);
    if (code < 0)
        return code;
    add_facts(&r, &facts);
    add_nvml(&r, facts.pci);
    return r.code;
}
