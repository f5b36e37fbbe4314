/* SPDX-License-Identifier: MIT
 * A run on a GPU put through the store by hand, with every kind of row that one has. Synthetic: the device of these rows
 * multiplies 800 TFLOP/s, reads 4000 GB/s, and is given a kernel in 1 us by a graph, in 2.5 us by a call. Included after
 * paper_run.h. */
#ifndef BENCH_GPU_RUN_H
#define BENCH_GPU_RUN_H

#include "paper_run.h"

enum { GPU_LAYERS = 2, GPU_STEPS = 4, GPU_SAMPLES = 4500 };

static inline int open_gpu_run(void **state)
{
    (void)state;
    return open_run_of("cuda", ":memory:");
}

static inline void add_gpu_roofs(void)
{
    for (int round = 0; round < 3; round++) {
        double k = 1 + (round == 1 ? -0.01 : round == 2 ? 0.01 : 0);
        add_roof("bf16 gemm", "compute", round, 800e3 * k);
        add_roof("dram read", "bandwidth", round, 4000 * k);
        add_roof("launch graph", "launch", round, 1e-3 * k);
        add_roof("launch eager", "launch", round, 0.4e-3 * k);
    }
    add_roof("l2 read", "bandwidth", 0, 8000);
    assert_ok(store_add_cache(store, run, "l2", 50000000, &error));
    assert_ok(store_add_machine(store, run, "GPU", "Sample GPU 9000 (synthetic data)", "by hand", &error));
    assert_ok(store_add_machine(store, run, "CPU", "Sample CPU 9000 (synthetic data)", "by hand", &error));
}

static inline struct store_trial gpu_trial(const char *launch)
{
    struct store_trial t = usual_trial(true, 4, GPU_STEPS);

    set_axis(&t, AXIS_DTYPE, "bf16");
    set_axis(&t, AXIS_KV_DTYPE, "bf16");
    set_axis(&t, AXIS_LAUNCH, launch);
    t.arithmetic = t.attention_arithmetic = "bf16";
    t.weight_bytes = 4000000000;
    return t;
}

/* Prefill: 10 ms of compute and 1 ms of memory in 12.5 ms. A decode step: 0.02 ms of compute, 1 ms of memory. */
static inline int64_t put_gpu_trial(const char *launch)
{
    int64_t t = put_trial(gpu_trial(launch));

    predict(t, 0, 8e6, 4000, 0, 10);
    for (int i = 1; i < GPU_STEPS; i++)
        predict(t, i, 16000, 4000, 0, 1);
    return t;
}

/* What NVML says at the end of each step; it is asked in the timing pass. */
static inline void add_gpu_state(int64_t repetition)
{
    for (int i = 0; i < GPU_STEPS; i++) {
        add_reading_of("nvml", repetition, i, "gpu_energy_j", i ? 0.75 : 7.5, "vendor", NULL);
        add_reading_of("rapl", repetition, i, "energy_j", 100, "os", NULL);
        add_reading_of("nvml", repetition, i, "gpu_power_w", 600 + i, "vendor", NULL);
        add_reading_of("nvml", repetition, i, "gpu_utilization", 0.97, "vendor", NULL);
        add_reading_of("nvml", repetition, i, "gpu_hz", 1.98e9, "vendor", NULL);
        add_reading_of("nvml", repetition, i, "gpu_slowed", i == 2 ? 0x5 : 0, "vendor", NULL);
    }
}

/* Three timed executions, 2 % apart; 600 launches a step. */
static inline void time_gpu_trial(int64_t trial, double prefill_ms, double step_ms)
{
    launches_a_step = 600;
    for (int k = -1; k <= 1; k++) {
        double ms[GPU_STEPS];
        for (int i = 0; i < GPU_STEPS; i++)
            ms[i] = (i ? step_ms : prefill_ms) * (1 + 0.02 * k);
        add_gpu_state(add_repetition(trial, "time", false, "aa", ms, GPU_STEPS));
    }
    launches_a_step = -1;
}

static const double gpu_ms[GPU_STEPS] = {12.6, 1.3, 1.3, 1.3};

/* Each quantity in a pass of its own. */
static inline void count_gpu_trial(int64_t trial)
{
    int64_t traffic = add_repetition(trial, "cupti:traffic", false, "aa", gpu_ms, GPU_STEPS);
    int64_t arithmetic = add_repetition(trial, "cupti:arithmetic", false, "aa", gpu_ms, GPU_STEPS);

    for (int i = 0; i < GPU_STEPS; i++) {
        add_reading_of("cupti", traffic, i, "flops_tensor", i ? 15e9 : 7.9e12, "counter", NULL);
        add_reading_of("cupti", traffic, i, "dram_read_bytes", i ? 4.2e9 : 4.4e9, "counter", NULL);
        add_reading_of("cupti", traffic, i, "gpu_hz", 1.755e9, "counter", NULL);
        add_reading_of("cupti", traffic, i, "gpu_ns", 9e9, "counter", NULL); /* the timeline knows better */
        add_reading_of("cupti", arithmetic, i, "flops_f32", i ? 1e9 : 0.1e12, "counter", NULL);
        add_reading_of("cupti", arithmetic, i, "l2_bytes", 0, "missing", "the chip has no such counter");
    }
}

static inline void add_gpu_event(int64_t repetition, int step, int ordinal, const char *name, const char *op, int layer,
                                 double start_us, double us)
{
    bool copy = strncmp(name, "copy", 4) == 0;
    const struct store_event event = {.step = step,
                                      .ordinal = ordinal,
                                      .kind = copy ? "copy" : "kernel",
                                      .name = name,
                                      .op = op,
                                      .layer = layer,
                                      .start_ns = (int64_t)round(start_us * 1e3),
                                      .wall_ns = (int64_t)round(us * 1e3),
                                      .grid = {132, 1, 1},
                                      .block = {256, 1, 1},
                                      .registers = 64,
                                      .shared_bytes = 1024,
                                      .bytes = 64};

    assert_ok(store_add_event(store, repetition, &event, &error));
}

/* Of each layer two kernels with a gap of 1 us after each, then the head and a copy. scale: how much longer they take. */
static inline void add_gpu_step(int64_t repetition, int step, double scale, bool ops)
{
    double at = 0;
    int n = 0;

    for (int l = 0; l < GPU_LAYERS; l++) {
        add_gpu_event(repetition, step, n++, "decode_qkv<bf16>", ops ? "qkv" : NULL, ops ? l : -1, at, 100 * scale);
        at += 100 * scale + 1;
        add_gpu_event(repetition, step, n++, "decode_mlp<bf16>", ops ? "mlp" : NULL, ops ? l : -1, at, 300 * scale);
        at += 300 * scale + 1;
    }
    add_gpu_event(repetition, step, n++, "decode_product<bf16>", ops ? "head" : NULL, -1, at, 200 * scale);
    at += 200 * scale + 1;
    add_gpu_event(repetition, step, n, "copy device to host", NULL, -1, at, 2);
}

/* Whole steps as they are: of a graph, which tells no ops. */
static inline void trace_gpu_trial(int64_t trial)
{
    int64_t r = add_repetition(trial, "trace", false, "aa", gpu_ms, GPU_STEPS);

    for (int i = 0; i < GPU_STEPS; i++) {
        add_reading_of("trace", r, i, "kernels", 6, "timer", NULL);
        add_reading_of("trace", r, i, "gpu_ns", i ? 1.2e6 : 12e6, "timer", NULL);
        add_reading_of("trace", r, i, "gpu_busy_ns", i ? 1.14e6 : 11.88e6, "timer", NULL);
    }
    add_gpu_step(r, 0, 10, false);
    add_gpu_step(r, 1, 1, false);
    add_gpu_step(r, GPU_STEPS - 1, 1, false);
}

static inline void add_gpu_op(int64_t trial, int64_t timed, int64_t counted, const char *op, double ms, double gflop,
                              double gbyte)
{
    add_op_work(trial, 1, GPU_STEPS - 1, op, (GPU_STEPS - 1) * gflop * 1e3, (GPU_STEPS - 1) * gbyte * 1e3, 0);
    for (int l = 0; l < GPU_LAYERS; l++) {
        const struct store_op_place at = {{1, GPU_STEPS - 1}, op, l};
        struct store_reading r = {.probe = "cupti", .provenance = "counter"};
        add_op_ms(timed, 1, GPU_STEPS - 1, op, l, (GPU_STEPS - 1) * ms / GPU_LAYERS);
        r.metric = "flops_tensor";
        r.value = (GPU_STEPS - 1) * gflop * 1e9 * 0.75 / GPU_LAYERS;
        assert_ok(store_add_op_reading(store, counted, &at, &r, &error));
        r.metric = "flops_f32";
        r.value = (GPU_STEPS - 1) * gflop * 1e9 * 0.25 / GPU_LAYERS;
        assert_ok(store_add_op_reading(store, counted, &at, &r, &error));
        r.metric = "dram_read_bytes";
        r.value = (GPU_STEPS - 1) * gbyte * 1e9 / GPU_LAYERS;
        assert_ok(store_add_op_reading(store, counted, &at, &r, &error));
    }
}

/* Op by op, kernel by kernel. */
static inline void watch_gpu_ops(int64_t trial)
{
    int64_t timed = add_repetition(trial, "op:time", false, "aa", gpu_ms, GPU_STEPS);
    int64_t counted = add_repetition(trial, "op:cupti:traffic", false, "aa", gpu_ms, GPU_STEPS);

    add_gpu_op(trial, timed, counted, "qkv", 0.2, 4, 0.8);
    add_gpu_op(trial, timed, counted, "mlp", 0.6, 12, 2.4);
    add_gpu_step(timed, 0, 10, true);
    add_gpu_step(timed, 1, 1, true);
    add_gpu_step(timed, GPU_STEPS - 1, 1, true);
}

/* A state every 20 us beside a whole execution, whose steps have no rows. */
static inline void sample_gpu_trial(int64_t trial)
{
    struct store_repetition r = {.pass = "pm",
                                 .tokens_hash = "aa",
                                 .started_ns = 1500,
                                 .ordinal = repetition_ordinal++,
                                 .wall_ns = 16000000,
                                 .prefill_ns = 12500000};
    int64_t id;

    assert_ok(store_add_repetition(store, trial, &r, &id, &error));
    add_reading_of("pm", id, 0, "dram_read_bytes", 20e9, "counter", NULL); /* of the whole execution, not of a step */
    for (int i = 0; i < GPU_SAMPLES; i++) {
        struct store_sample s = {20000 * (int64_t)i, 20000, i % 3 == 1 ? 60e6 : 30e6, 3e6, 0.5, i % 3 == 0 ? NAN : 0.25};
        assert_ok(store_add_sample(store, id, &s, &error));
    }
}

/* Trial 0 by a graph, with every kind of row; trial 1 by calls, timed only. */
static inline void add_gpu_run(void)
{
    int64_t graph, eager;

    add_gpu_roofs();
    graph = put_gpu_trial("graph");
    time_gpu_trial(graph, 12.5, 1.25);
    count_gpu_trial(graph);
    trace_gpu_trial(graph);
    watch_gpu_ops(graph);
    sample_gpu_trial(graph);
    eager = put_gpu_trial("eager");
    time_gpu_trial(eager, 12.5, 2.4);
}

#endif
