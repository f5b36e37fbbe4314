/* SPDX-License-Identifier: MIT
 * The candidate table. To support another CPU, add its events here: calibration decides whether they are right, and a name that
 * a CPU does not have is passed over.
 *
 * Native events come before PAPI's presets, because their cost in counters is known and because the single-precision presets
 * leave double precision out. Grouping follows what was seen on AMD guests: the FLOP event takes two counters; four events
 * beside it, or instructions and cycles in one set, gave wrong numbers without an error. */
#include "papi_events.h"

enum { LINE = 64 };

enum provenance papi_provenance(enum metric m)
{
    return m == METRIC_PAGE_FAULTS_MINOR ? PROVENANCE_OS : PROVENANCE_COUNTER;
}

const struct papi_candidate papi_candidates[] = {
    /* AMD Zen 2 to 5. Zen 1 names it otherwise: PAPI_FP_OPS below. */
    {
        .metric = METRIC_FLOPS,
        .name = "RETIRED_SSE_AVX_FLOPS:ANY",
        .term = {{"RETIRED_SSE_AVX_FLOPS:ANY", 1}},
        .slots = 2,
    },
    /* Intel since Ice Lake: these masks gather the widths that yield as many FLOPs, and count an FMA twice. 128-bit double
     * precision (2 FLOPs) has no room in four counters and is left out; we compute in single. */
    {
        .metric = METRIC_FLOPS,
        .name = "FP_ARITH_INST_RETIRED SCALAR + 4 x 4_FLOPS + 8 x 8_FLOPS + 16 x 512B_PACKED_SINGLE",
        .term = {{"FP_ARITH_INST_RETIRED:SCALAR", 1},
                 {"FP_ARITH_INST_RETIRED:4_FLOPS", 4},
                 {"FP_ARITH_INST_RETIRED:8_FLOPS", 8},
                 {"FP_ARITH_INST_RETIRED:512B_PACKED_SINGLE", 16}},
        .slots = 4,
    },
    /* Intel Skylake server: the same, by combining masks. */
    {
        .metric = METRIC_FLOPS,
        .name = "FP_ARITH_INST_RETIRED scalar + 4 x (128 single, 256 double) + 8 x (256 single, 512 double) + 16 x 512 single",
        .term = {{"FP_ARITH_INST_RETIRED:SCALAR_SINGLE:SCALAR_DOUBLE", 1},
                 {"FP_ARITH_INST_RETIRED:128B_PACKED_SINGLE:256B_PACKED_DOUBLE", 4},
                 {"FP_ARITH_INST_RETIRED:256B_PACKED_SINGLE:512B_PACKED_DOUBLE", 8},
                 {"FP_ARITH_INST_RETIRED:512B_PACKED_SINGLE", 16}},
        .slots = 4,
    },
    /* Intel without AVX-512: room for 128-bit double precision. */
    {
        .metric = METRIC_FLOPS,
        .name = "FP_ARITH_INST_RETIRED scalar + 2 x 128 double + 4 x (128 single, 256 double) + 8 x 256 single",
        .term = {{"FP_ARITH_INST_RETIRED:SCALAR_SINGLE:SCALAR_DOUBLE", 1},
                 {"FP_ARITH_INST_RETIRED:128B_PACKED_DOUBLE", 2},
                 {"FP_ARITH_INST_RETIRED:128B_PACKED_SINGLE:256B_PACKED_DOUBLE", 4},
                 {"FP_ARITH_INST_RETIRED:256B_PACKED_SINGLE", 8}},
        .slots = 4,
    },
    {.metric = METRIC_FLOPS, .name = "PAPI_FP_OPS", .term = {{"PAPI_FP_OPS", 1}}, .slots = 2},
    {.metric = METRIC_FLOPS, .name = "PAPI_SP_OPS", .term = {{"PAPI_SP_OPS", 1}}, .slots = 4},

    /* Cache fills whose data came from memory. AMD Zen 4 and 5, then Zen 3. Write-backs and streaming stores are not seen. */
    {
        .metric = METRIC_DRAM_READ_BYTES,
        .name = "ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR:DRAM_IO_FAR",
        .term = {{"ANY_DATA_CACHE_FILLS_FROM_SYSTEM:DRAM_IO_NEAR:DRAM_IO_FAR", LINE}},
        .slots = 1,
    },
    {
        .metric = METRIC_DRAM_READ_BYTES,
        .name = "ANY_DATA_CACHE_FILLS_FROM_SYSTEM:MEM_IO_LCL:MEM_IO_RMT",
        .term = {{"ANY_DATA_CACHE_FILLS_FROM_SYSTEM:MEM_IO_LCL:MEM_IO_RMT", LINE}},
        .slots = 1,
    },
    /* Intel: misses of the last-level cache, prefetches included on most models (calibration tells). */
    {
        .metric = METRIC_DRAM_READ_BYTES,
        .name = "LONGEST_LAT_CACHE:MISS",
        .term = {{"LONGEST_LAT_CACHE:MISS", LINE}},
        .slots = 1,
    },
    {.metric = METRIC_DRAM_READ_BYTES, .name = "PAPI_L3_TCM", .term = {{"PAPI_L3_TCM", LINE}}, .slots = 1},

    {.metric = METRIC_CYCLES, .name = "CYCLES_NOT_IN_HALT", .term = {{"CYCLES_NOT_IN_HALT", 1}}, .slots = 1},
    /* Intel has fixed counters for cycles and instructions: they take none of the others. */
    {.metric = METRIC_CYCLES, .name = "CPU_CLK_UNHALTED:THREAD_P", .term = {{"CPU_CLK_UNHALTED:THREAD_P", 1}}, .slots = 0},
    {.metric = METRIC_CYCLES, .name = "PAPI_TOT_CYC", .term = {{"PAPI_TOT_CYC", 1}}, .slots = 1},
    {.metric = METRIC_CYCLES, .name = "perf::CYCLES", .term = {{"perf::CYCLES", 1}}, .slots = 1},

    {.metric = METRIC_INSTRUCTIONS, .name = "RETIRED_INSTRUCTIONS", .term = {{"RETIRED_INSTRUCTIONS", 1}}, .slots = 1},
    {.metric = METRIC_INSTRUCTIONS, .name = "INST_RETIRED:ANY_P", .term = {{"INST_RETIRED:ANY_P", 1}}, .slots = 0},
    {.metric = METRIC_INSTRUCTIONS, .name = "PAPI_TOT_INS", .term = {{"PAPI_TOT_INS", 1}}, .slots = 1},
    {.metric = METRIC_INSTRUCTIONS, .name = "perf::INSTRUCTIONS", .term = {{"perf::INSTRUCTIONS", 1}}, .slots = 1},

    /* The kernel's own count: there on machines without any hardware counter. */
    {.metric = METRIC_PAGE_FAULTS_MINOR, .name = "perf::MINOR-FAULTS", .term = {{"perf::MINOR-FAULTS", 1}}, .slots = 0},
    {.metric = METRIC_PAGE_FAULTS_MINOR, .name = "perf::PAGE-FAULTS", .term = {{"perf::PAGE-FAULTS", 1}}, .slots = 0},
};
const int papi_candidate_count = sizeof papi_candidates / sizeof papi_candidates[0];

const struct papi_group papi_groups[] = {
    {"papi:flops", {METRIC_FLOPS, METRIC_CYCLES}, 2},
    {"papi:dram", {METRIC_DRAM_READ_BYTES, METRIC_INSTRUCTIONS}, 2},
    {"papi:faults", {METRIC_PAGE_FAULTS_MINOR}, 1},
};
const int papi_group_count = sizeof papi_groups / sizeof papi_groups[0];
