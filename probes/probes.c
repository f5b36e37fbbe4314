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

const char *provenance_name(enum provenance p)
{
    return provenances[p];
}

const struct probe_ops *const probes[] = {&probe_null, &probe_clock, &probe_rusage, &probe_papi, &probe_rapl, NULL};

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
