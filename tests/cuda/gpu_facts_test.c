/* SPDX-License-Identifier: MIT
 * What the plug-in tells the program of GPUs, on emulated machines: with a GPU, with several, with none, with an old driver,
 * with no driver. */
#include "check.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_probes.h"
#include "emu_machine.h"

static struct emu_machine machine;

static void assert_refused(const char *sentence)
{
    struct gpu_facts facts;
    int n = -1;
    struct err e = {0};

    assert_int_equal(bench_cuda_probes.count(&n, &e), ERR_ABSENT);
    assert_string_equal(e.text, sentence);
    e = (struct err){0};
    assert_int_equal(bench_cuda_probes.facts(0, &facts, &e), ERR_ABSENT);
    assert_string_equal(e.text, sentence);
    assert_int_equal(cudaGetLastError(), cudaSuccess); /* nothing that the next launch would be blamed for */
}

static void a_gpu_is_described(void **state)
{
    struct gpu_facts f;
    struct err e = {0};

    (void)state;
    emu_machine.major = 9;
    emu_machine.minor = 0;
    if (bench_cuda_probes.facts(0, &f, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(f.name, "Emulated GPU");
    assert_string_equal(f.pci, "0000:00:00.0");
    assert_true(f.major == 9 && f.minor == 0 && f.sms == 4);
    assert_true(f.memory_bytes == emu_machine.memory && f.l2_bytes == 1 << 20 && f.shared_per_sm == 100 << 10);
    assert_int_equal(f.runtime_version, CUDART_VERSION);
    assert_int_equal(f.driver_version, emu_machine.driver);
}

static void several_gpus_are_counted_and_told_apart(void **state)
{
    struct gpu_facts f;
    int n = 0;
    struct err e = {0};

    (void)state;
    emu_machine.devices = 2;
    assert_int_equal(bench_cuda_probes.count(&n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(bench_cuda_probes.facts(1, &f, NULL), 0);
    assert_string_equal(f.pci, "0000:01:00.0");
    assert_int_equal(bench_cuda_probes.facts(2, &f, &e), ERR_ABSENT);
    assert_string_equal(e.text, "there is no GPU 2; CUDA sees 2, from 0");
    assert_int_equal(bench_cuda_probes.facts(-1, &f, &e), ERR_ABSENT);
}

static void each_way_to_have_no_gpu_has_its_sentence(void **state)
{
    char old[128];

    (void)state;
    emu_machine.devices = 0;
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_refused("CUDA sees no GPU; nvidia-smi should show one");
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    assert_refused("CUDA sees no GPU; CUDA_VISIBLE_DEVICES is '7'");
    unsetenv("CUDA_VISIBLE_DEVICES");
    emu_machine.devices = 1;
    emu_machine.driver = 11080;
    snprintf(old, sizeof old, "the NVIDIA driver supports CUDA 11.8, this build needs %d.%d; update the driver",
             CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    assert_refused(old);
    emu_machine.driver = 0;
    assert_refused("there is no NVIDIA driver here; install one, in a container: docker run --gpus all ...");
    emu_machine.driver = 13000;
    emu_machine.trouble = cudaErrorSystemNotReady;
    assert_refused(
        "CUDA does not start: system not yet initialized; GPUs on an NVSwitch need the service nvidia-fabricmanager, "
        "here or on the virtual machine's host");
    emu_machine.trouble = cudaErrorUnknown;
    assert_refused("CUDA does not start: unknown error; nvidia-smi should work first, and /dev/nvidia-uvm be there (as root: "
                   "nvidia-modprobe -u -c 0)");
}

static int keep_machine(void **state)
{
    (void)state;
    machine = emu_machine;
    return 0;
}

static int machine_as_it_was(void **state)
{
    (void)state;
    emu_machine = machine;
    return 0;
}

int main(void)
{
#define ON_GPU(test) cmocka_unit_test_setup_teardown(test, keep_machine, machine_as_it_was)
    const struct CMUnitTest tests[] = {
        ON_GPU(a_gpu_is_described),
        ON_GPU(several_gpus_are_counted_and_told_apart),
        ON_GPU(each_way_to_have_no_gpu_has_its_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
