/* SPDX-License-Identifier: MIT
 * The places in probes[] of the probes that live in the plug-in. They only open; what they give back is the plug-in's own. */
#include "gpu.h"
#include "probe_list.h"

/* Asked before the plug-in is loaded: that takes a while, and a run on the CPU has no use for it. */
static const struct gpu_plugin *plugin_for(const char *name, const struct probe_args *args, struct err *e)
{
    if (args->device >= 0)
        return gpu_plugin(e);
    err_set(e, ERR_ABSENT, "the probe %s watches a GPU, and none computes here (--backend cuda lets one)", name);
    return NULL;
}

static int open_cupti(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct gpu_plugin *plugin = plugin_for("cupti", args, e);

    return plugin ? plugin->cupti->open(out, args, e) : ERR_ABSENT;
}

static int open_trace(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct gpu_plugin *plugin = plugin_for("trace", args, e);

    return plugin ? plugin->trace->open(out, args, e) : ERR_ABSENT;
}

static int open_pm(struct probe **out, const struct probe_args *args, struct err *e)
{
    const struct gpu_plugin *plugin = plugin_for("pm", args, e);

    return plugin ? plugin->pm->open(out, args, e) : ERR_ABSENT;
}

const struct probe_ops probe_cupti = {
    .name = "cupti",
    .about = "hardware counters of a GPU, calibrated: FLOPs, bytes from memory, clocks, how busy its units are",
    .weight = PROBE_HEAVY,
    .open = open_cupti,
    .needs_device = true,
};

const struct probe_ops probe_trace = {
    .name = "trace",
    .about = "kernels, copies and sets of a GPU by time, and how long it was busy",
    .weight = PROBE_HEAVY,
    .open = open_trace,
    .needs_device = true,
};

const struct probe_ops probe_pm = {
    .name = "pm",
    .about = "memory and tensor cores of a GPU over time, sampled beside the work",
    .weight = PROBE_HEAVY,
    .open = open_pm,
    .needs_device = true,
};
