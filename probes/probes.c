/* SPDX-License-Identifier: MIT
 * The tables that name things: metrics, provenances, and every probe of this source tree. The spelling here is the spelling
 * in the database, so a name is never changed, only added. */
#include "probe.h"

#include <string.h>

#include "probe_list.h"
#include "text.h"

struct metric_text {
    const char *name, *unit, *about;
};

static const struct metric_text metrics[METRIC_COUNT] = {
    [METRIC_WALL_NS] = {"wall_ns", "ns", "elapsed time, CLOCK_MONOTONIC"},
    [METRIC_FLOPS] = {"flops", "FLOP", "floating-point operations executed, a fused multiply-add is 2"},
    [METRIC_FLOPS_F32] = {"flops_f32", "FLOP", "floating-point operations in single precision"},
    [METRIC_FLOPS_F64] = {"flops_f64", "FLOP", "floating-point operations in double precision"},
    [METRIC_FLOPS_BF16] = {"flops_bf16", "FLOP", "floating-point operations of bf16 products, summed in single precision"},
    [METRIC_DRAM_READ_BYTES] = {"dram_read_bytes", "B", "bytes that came from memory into the caches"},
    [METRIC_DRAM_WRITE_BYTES] = {"dram_write_bytes", "B", "bytes that went to memory"},
    [METRIC_L2_READ_BYTES] = {"l2_read_bytes", "B", "bytes that entered the L1 data caches, from L2 or beyond"},
    [METRIC_L3_READ_BYTES] = {"l3_read_bytes", "B", "bytes that entered the L2 caches, from L3 or beyond"},
    [METRIC_CYCLES] = {"cycles", "", "core clock cycles of all workers, waiting included"},
    [METRIC_INSTRUCTIONS] = {"instructions", "", "instructions retired by all workers, waiting included"},
    [METRIC_PAGE_FAULTS_MINOR] = {"page_faults_minor", "", "pages mapped without I/O"},
    [METRIC_PAGE_FAULTS_MAJOR] = {"page_faults_major", "", "pages that had to be read from storage"},
    [METRIC_SWITCHES_VOLUNTARY] = {"switches_voluntary", "", "times the process gave up a CPU to wait"},
    [METRIC_SWITCHES_INVOLUNTARY] = {"switches_involuntary", "", "times the kernel took a CPU away"},
    [METRIC_CPU_NS] = {"cpu_ns", "ns", "user and system time of the process, all threads"},
    [METRIC_ENERGY_J] = {"energy_j", "J", "energy of the CPU packages, other processes' included"},
    [METRIC_ENERGY_DRAM_J] = {"energy_dram_j", "J", "energy of the memory modules, other processes' included"},
    [METRIC_FLOPS_F16] = {"flops_f16", "FLOP", "floating-point operations in half precision outside the tensor cores"},
    [METRIC_FLOPS_TENSOR] = {"flops_tensor", "FLOP", "floating-point operations of the tensor cores, a multiply-add is 2"},
    [METRIC_L2_BYTES] = {"l2_bytes", "B", "all bytes through the GPU's L2 cache"},
    [METRIC_L1_BYTES] = {"l1_bytes", "B", "all bytes through the GPU's L1 caches"},
    [METRIC_GPU_NS] = {"gpu_ns", "ns", "from the first to the last work of the bracket, by the GPU's own clock"},
    [METRIC_GPU_BUSY_NS] = {"gpu_busy_ns", "ns", "of gpu_ns, while some kernel, copy or set ran"},
    [METRIC_KERNELS] = {"kernels", "", "kernels, copies and sets that the GPU ran"},
    [METRIC_GPU_HZ] = {"gpu_hz", "Hz", "clock of the GPU's multiprocessors"},
    [METRIC_GPU_DRAM_HZ] = {"gpu_dram_hz", "Hz", "clock of the GPU's memory, mean"},
    [METRIC_PEAK_DRAM_BPS] = {"peak_dram_bps", "B/s", "what the GPU's memory could move at that clock, in theory"},
    [METRIC_PEAK_TENSOR_FLOPS] = {"peak_tensor_flops", "FLOP/s",
                                  "what the tensor cores could compute at that clock, in theory"},
    [METRIC_SM_ACTIVE] = {"sm_active", "share", "of the time, multiprocessors with work"},
    [METRIC_WARPS_ACTIVE] = {"warps_active", "share", "warps that are there, of those that would fit"},
    [METRIC_TENSOR_ACTIVE] = {"tensor_active", "share", "of the time, tensor cores at work"},
    [METRIC_DRAM_ACTIVE] = {"dram_active", "share", "memory at work, of its peak"},
    [METRIC_GPU_ENERGY_J] = {"gpu_energy_j", "J", "energy of the GPU's board, other processes' included"},
    [METRIC_GPU_POWER_W] = {"gpu_power_w", "W", "power of the GPU's board at the end of the bracket"},
    [METRIC_GPU_UTILIZATION] = {"gpu_utilization", "share", "of the driver's last sample period, while a kernel ran"},
    [METRIC_GPU_MEMORY_BYTES] = {"gpu_memory_bytes", "B", "memory in use on the GPU, other processes' included"},
    [METRIC_GPU_TEMPERATURE_C] = {"gpu_temperature_c", "C", "temperature of the GPU"},
    [METRIC_GPU_SLOWED] = {"gpu_slowed", "bits", "why the GPU's clock is below its maximum: NVML's bits of reasons"},
};

/* A clock, a share, a peak, a level: not to be added up over stretches of work. */
static const bool states[METRIC_COUNT] = {
    [METRIC_GPU_HZ] = true,           [METRIC_GPU_DRAM_HZ] = true,
    [METRIC_PEAK_DRAM_BPS] = true,    [METRIC_PEAK_TENSOR_FLOPS] = true,
    [METRIC_SM_ACTIVE] = true,        [METRIC_WARPS_ACTIVE] = true,
    [METRIC_TENSOR_ACTIVE] = true,    [METRIC_DRAM_ACTIVE] = true,
    [METRIC_GPU_POWER_W] = true,      [METRIC_GPU_UTILIZATION] = true,
    [METRIC_GPU_MEMORY_BYTES] = true, [METRIC_GPU_TEMPERATURE_C] = true,
    [METRIC_GPU_SLOWED] = true,
};

static const char *const provenances[PROVENANCE_COUNT] = {
    [PROVENANCE_MISSING] = "missing", [PROVENANCE_COUNTER] = "counter",   [PROVENANCE_MULTIPLEXED] = "multiplexed",
    [PROVENANCE_TIMER] = "timer",     [PROVENANCE_ANALYTIC] = "analytic", [PROVENANCE_OS] = "os",
    [PROVENANCE_VENDOR] = "vendor",
};

const char *metric_name(enum metric m)
{
    return metrics[m].name;
}

const char *metric_unit(enum metric m)
{
    return metrics[m].unit;
}

const char *metric_about(enum metric m)
{
    return metrics[m].about;
}

bool metric_adds(enum metric m)
{
    return !states[m];
}

const char *provenance_name(enum provenance p)
{
    return provenances[p];
}

const struct probe_ops *const probes[] = {&probe_null,  &probe_clock, &probe_rusage, &probe_papi, &probe_rapl,
                                          &probe_cupti, &probe_trace, &probe_pm,     &probe_nvml, NULL};

const struct probe_ops *probe_find(const char *name, struct err *e)
{
    const char *names[sizeof probes / sizeof probes[0]] = {NULL};
    struct text known = {0};
    size_t n = 0;

    for (; probes[n]; n++) {
        if (strcmp(probes[n]->name, name) == 0)
            return probes[n];
        names[n] = probes[n]->name;
    }
    const char *near = text_nearest(name, names, n);
    if (near) {
        err_set(e, ERR_USAGE, "no probe '%s': did you mean '%s'?", name, near);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    err_set(e, ERR_USAGE, "no probe '%s': there are %s", name, known.data);
    text_free(&known);
    return NULL;
}
