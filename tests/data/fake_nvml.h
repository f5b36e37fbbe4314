/* SPDX-License-Identifier: MIT
 * What fake_nvml.c does, told by the test through the library's symbol fake_nvml. */
#ifndef BENCH_FAKE_NVML_H
#define BENCH_FAKE_NVML_H

enum fake_function {
    FAKE_INIT,
    FAKE_HANDLE,
    FAKE_ENERGY,
    FAKE_POWER,
    FAKE_UTILIZATION,
    FAKE_MEMORY,
    FAKE_CLOCK,
    FAKE_MOST_CLOCK,
    FAKE_TEMPERATURE,
    FAKE_REASONS,
    FAKE_VERSION,
    FAKE_FUNCTIONS,
};

struct fake_nvml {
    int answer[FAKE_FUNCTIONS]; /* 0: success, else the error that the function returns */
    int calls[FAKE_FUNCTIONS];
    int started; /* starts without their shutdown */
    unsigned long long energy_mj;
    unsigned power_mw;
};

#endif
