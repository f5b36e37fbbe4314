/* SPDX-License-Identifier: MIT
 * Alone in its file: a test that brings a table of its own takes this function's place when it is linked. */
#include "gpu.h"

#include "plugin.h"

const struct gpu_plugin *gpu_plugin(struct err *e)
{
    return plugin_symbol(PLUGIN_CUDA, "bench_cuda_probes", e);
}
