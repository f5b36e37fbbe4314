/* SPDX-License-Identifier: MIT
 * The passes that watch a device, and what is kept of them: a real suite on the CPU's engine, watched by probes of this test's
 * own that behave as those of a GPU do. */
#include "check.h"

#include <math.h>
#include <string.h>

#include "clock.h"
#include "gpu.h"
#include "runner.h"
#include "store_query.h"
#include "suite_room.h"

/* --- probes --- */

enum { EVENTS_MOST = 6000 };

static struct {
    uint32_t tag;
    struct device_event event[EVENTS_MOST];
    int events, beside; /* beside: of no op, in each step */
    int lose;           /* brackets that lose their records */
    bool lost;
} tracer;

static struct {
    int group, brackets;
    bool selected;
} counter;

static uint64_t tick(void)
{
    static uint64_t now = 5000;

    return now += 100;
}

static void add_event(char kind)
{
    struct device_event *e = &tracer.event[tracer.events++];

    assert_true(tracer.events <= EVENTS_MOST);
    *e = (struct device_event){.start_ns = tick(), .tag = tracer.tag, .name = "a kernel", .kind = kind, .grid = {7, 2, 1}};
    e->end_ns = e->start_ns + 60;
    e->bytes = kind == 'k' ? 0 : 4096;
}

static int one_group(const struct probe *p)
{
    (void)p;
    return 1;
}

static const char *own_name(const struct probe *p, int group)
{
    (void)group;
    return p->ops->name;
}

static void select_nothing(struct probe *p, int group)
{
    (void)p, (void)group;
}

static void trace_begin(struct probe *p)
{
    (void)p;
    assert_false(counter.selected); /* one profiler at a time */
    tracer.events = 0;
    add_event('c');
}

static void trace_end(struct probe *p, struct reading *out)
{
    (void)p;
    for (int i = 0; i < tracer.beside; i++)
        add_event('s');
    tracer.lost = tracer.lose > 0;
    tracer.lose -= tracer.lost;
    *out = (struct reading){.count = 1};
    out->value[0] = (struct value){.metric = METRIC_KERNELS,
                                   .provenance = tracer.lost ? PROVENANCE_MISSING : PROVENANCE_VENDOR,
                                   .value = tracer.events,
                                   .coverage = 1,
                                   .why = tracer.lost ? "3 records were lost" : NULL};
}

static void trace_tag(struct probe *p, uint32_t tag)
{
    (void)p;
    tracer.tag = tag;
    if (tag)
        add_event('k');
}

static int trace_events(const struct probe *p, const struct device_event **out)
{
    (void)p;
    *out = tracer.event;
    return tracer.events;
}

static int two_groups(const struct probe *p)
{
    (void)p;
    return 2;
}

static const char *group_name(const struct probe *p, int group)
{
    (void)p;
    return group == 0 ? "counter:work" : "counter:clocks";
}

static void select_group(struct probe *p, int group)
{
    (void)p;
    counter.group = group;
    counter.selected = true;
}

static void let_go(struct probe *p)
{
    (void)p;
    counter.selected = false;
}

static int group_metrics(const struct probe *p, enum metric *out)
{
    (void)p;
    out[0] = counter.group == 0 ? METRIC_FLOPS_TENSOR : METRIC_GPU_HZ;
    out[1] = METRIC_GPU_HZ;
    return 2 - counter.group;
}

static void counter_begin(struct probe *p)
{
    (void)p;
    counter.brackets++;
}

static void counter_end(struct probe *p, struct reading *out)
{
    enum metric metric[READING_VALUES_MAX];

    *out = (struct reading){.count = group_metrics(p, metric)};
    for (int i = 0; i < out->count; i++)
        out->value[i] =
            (struct value){.metric = metric[i], .provenance = PROVENANCE_COUNTER, .value = 100 + metric[i], .coverage = 1};
}

static struct {
    struct device_sample sample[5];
    uint64_t begin_ns;
    int brackets, longer; /* longer: brackets of which there are too many samples */
    bool missing;
} sampler;

static void pm_begin(struct probe *p)
{
    (void)p;
    sampler.brackets++;
    sampler.begin_ns = clock_ns();
}

/* One before the execution, three in it, one after it. */
static void pm_end(struct probe *p, struct reading *out)
{
    const uint64_t end = clock_ns();

    (void)p;
    for (int i = 0; i < 5; i++)
        sampler.sample[i] = (struct device_sample){.at_ns = end - (end - sampler.begin_ns) / 4 * (uint64_t)(4 - i),
                                                   .span_ns = 20000,
                                                   .read_bytes = 10 + i,
                                                   .write_bytes = NAN,
                                                   .sm_active = 0.5};
    sampler.sample[0].at_ns = sampler.begin_ns - 50000;
    sampler.sample[4].at_ns = end + 50000;
    *out = (struct reading){.count = 1};
    out->value[0] = (struct value){.metric = METRIC_DRAM_READ_BYTES,
                                   .provenance = sampler.missing ? PROVENANCE_MISSING : PROVENANCE_COUNTER,
                                   .coverage = 1,
                                   .why = sampler.missing ? "the buffer was full" : NULL};
}

static bool pm_plausible(const struct probe *p, const struct reading *r, const char **why)
{
    (void)p, (void)r;
    *why = "longer than the samples that fit";
    return sampler.longer-- <= 0;
}

static int pm_samples(const struct probe *p, const struct device_sample **out)
{
    (void)p;
    *out = sampler.sample;
    return 5;
}

static const struct probe_ops trace_ops = {.name = "trace",
                                           .weight = PROBE_HEAVY,
                                           .groups = one_group,
                                           .group_name = own_name,
                                           .select = select_nothing,
                                           .begin = trace_begin,
                                           .end = trace_end,
                                           .tag = trace_tag,
                                           .events = trace_events};
static const struct probe_ops counter_ops = {.name = "counter",
                                             .weight = PROBE_HEAVY,
                                             .groups = two_groups,
                                             .group_name = group_name,
                                             .select = select_group,
                                             .metrics = group_metrics,
                                             .begin = counter_begin,
                                             .end = counter_end,
                                             .rest = let_go};
static const struct probe_ops pm_ops = {.name = "pm",
                                        .weight = PROBE_HEAVY,
                                        .groups = one_group,
                                        .group_name = own_name,
                                        .select = select_nothing,
                                        .begin = pm_begin,
                                        .end = pm_end,
                                        .plausible = pm_plausible,
                                        .samples = pm_samples};
static struct probe trace = {&trace_ops}, counting = {&counter_ops}, pm = {&pm_ops};

/* --- the plug-in of this test, in place of the program's: it has no question for what counters are allowed --- */

static struct {
    bool plugged;
    struct store *store;
    int64_t timed, roofs; /* that were stored when the counters were opened */
} plug;

#define TIMED "SELECT count(*) FROM repetition WHERE pass = 'time'"
#define ROOFS "SELECT count(*) FROM roof"

static int plug_facts(int device, struct gpu_facts *out, struct err *e)
{
    (void)e;
    assert_int_equal(device, 0);
    *out = (struct gpu_facts){.name = "a GPU", .pci = "none", .l2_bytes = 1 << 20};
    return 0;
}

static int plug_roofs(void **out, int device, struct err *e)
{
    (void)device, (void)e;
    *out = NULL;
    return 0;
}

static int plug_roof(void *roofs, const struct roof_spec *spec, int budget_ms, struct roof *out, struct err *e)
{
    (void)roofs, (void)spec, (void)budget_ms, (void)e;
    *out = (struct roof){.value = 1e12, .repetitions = 1};
    return 0;
}

static void plug_no_roofs(void *roofs)
{
    (void)roofs;
}

static void plug_close(struct probe *p)
{
    (void)p;
}

static int plug_open(struct probe **out, const struct probe_args *args, struct err *e)
{
    static struct probe_ops ops;
    static struct probe probe = {&ops};

    (void)args, (void)e;
    ops = counter_ops;
    ops.close = plug_close;
    *out = &probe;
    plug.timed = query(plug.store, TIMED);
    plug.roofs = query(plug.store, ROOFS);
    return 0;
}

const struct gpu_plugin *gpu_plugin(struct err *e)
{
    static const struct probe_ops counters = {.open = plug_open};
    static const struct gpu_plugin plugin = {.facts = plug_facts,
                                             .cupti = &counters,
                                             .roofs_open = plug_roofs,
                                             .roofs_measure = plug_roof,
                                             .roofs_close = plug_no_roofs};

    if (plug.plugged)
        return &plugin;
    err_set(e, ERR_ABSENT, "no plug-in");
    return NULL;
}

/* --- a run --- */

static struct plan *plan;
static struct runner *run;
static volatile sig_atomic_t stopped;

#define SUITE                                                                                                                  \
    "question: q?\nmodel: tiny-llama\nworkload:\n  prompt: hi\n  new_tokens: 5\n"                                              \
    "measure: {per: op, roof_ms: 1, repetitions: 2}\n"

#define SUITE_OF_COUNTERS                                                                                                      \
    "question: q?\nmodel: tiny-llama\nworkload:\n  prompt: hi\n  new_tokens: 3\nmatrix:\n  kv_cache: [on, off]\n"              \
    "measure: {probes: [clock, cupti], roof_ms: 1, repetitions: 2, warmup: 1}\n"

/* Everything that stands before the passes. */
static int start(void **state)
{
    plan = calloc(1, sizeof *plan);
    run = calloc(1, sizeof *run);
    memset(&tracer, 0, sizeof tracer);
    memset(&counter, 0, sizeof counter);
    memset(&sampler, 0, sizeof sampler);
    memset(&plug, 0, sizeof plug);
    return plan && run ? open_room(state) : -1;
}

static const struct run_options options = {.suite = "x", .backend = "cpu", .threads = 1, .seed = 1, .command = "bench run x"};

static void set_up(struct room *r, const char *text)
{
    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", text, strlen(text));
    expect_good(r, plan_open(plan, &options, false, &r->err));
    *run = (struct runner){.plan = plan, .options = &options, .interrupted = &stopped, .start_ns = clock_ns()};
    expect_good(r, store_open(&run->store, "plain", &r->err));
    expect_good(r, setup_add_run(run, &r->err));
    expect_good(r, ceilings_open(&run->ceilings, plan, 1, &r->err));
    expect_good(r, setup_take_roofs(run, &r->err));
    expect_good(r, setup_add_trials(run, &r->err));
    expect_good(r, run_open_probes(run, &r->err));
    plan->device = 0;
    expect_good(r, execution_init(&run->execution, plan, &r->err));
    plan->device = -1; /* the roofs of the visits are the CPU's */
}

static void visit_all(struct room *r, bool on_device)
{
    plan->device = on_device ? 0 : -1;
    run_plan_visits(run);
    plan->device = -1;
    expect_good(r, run_visits(run, &r->err));
    assert_int_equal(run->state.done, run->state.planned);
}

static int stop(void **state)
{
    if (run->timeline == &trace)
        run->timeline = NULL; /* what is this test's own is not closed */
    while (run->probes > 0 && !run->probe[run->probes - 1]->ops->close)
        run->probes--;
    run_close_probes(run);
    ceilings_close(&run->ceilings);
    execution_free(&run->execution);
    store_close(run->store);
    plan_close(plan);
    free(run);
    free(plan);
    return close_room(state);
}

#define PASSES "SELECT group_concat(pass, ' ') FROM (SELECT pass FROM repetition ORDER BY ordinal)"

static void each_way_of_watching_has_its_pass_and_only_what_adds_up_one_by_op(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->probe[run->probes++] = &counting;
    run->probe[run->probes++] = &trace;
    run->probe[run->probes++] = &pm;
    run->timeline = &trace;
    visit_all(r, true);
    expect_text(run->store, PASSES, "bare op:time counter:work op:counter:work counter:clocks trace pm bare op:time");
    expect_text(run->store, "SELECT group_concat(DISTINCT metric) FROM op_reading", "flops_tensor"); /* a clock is no op's */
    assert_int_equal(query(run->store, "SELECT count(DISTINCT metric) FROM reading WHERE probe = 'counter'"), 2);
}

/* There is no such GPU, wherever this runs. */
static void on_a_gpu_the_probes_of_cpus_give_way_to_those_of_gpus(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run_close_probes(run);
    run->clock = NULL;
    const char *const names[] = {"papi", "rusage", "rapl", "trace"};
    for (int i = 0; i < 4; i++)
        snprintf(plan->suite.probes[i], sizeof plan->suite.probes[i], "%s", names[i]);
    plan->suite.probe_count = 4;
    plan->device = 200;
    expect_good(r, run_open_probes(run, &r->err));
    expect_text(run->store, "SELECT group_concat(what) FROM absent", "nvml");
    expect_good(r, run_open_device_probes(run, &r->err));
    plan->device = -1;
    expect_text(run->store, "SELECT group_concat(what) FROM absent", "nvml,cupti,trace,op:time");
    assert_int_equal(run->probes, 1);
    assert_string_equal(run->probe[0]->ops->name, "rusage");
}

static void nothing_watches_a_gpu_closely_before_all_is_timed(void **state)
{
    struct room *r = *state;
    int64_t id = 0;

    assert_int_equal(chdir(r->folder), 0);
    write_bytes("x.yaml", SUITE_OF_COUNTERS, strlen(SUITE_OF_COUNTERS));
    expect_good(r, plan_open(plan, &options, false, &r->err));
    expect_good(r, store_open(&run->store, "plain", &r->err));
    plug.plugged = true;
    plug.store = run->store;
    plan->device = 0;
    expect_good(r, run_suite(plan, &options, run->store, NULL, &id, &r->err));
    expect_text(run->store, "SELECT group_concat(DISTINCT pass) FROM (SELECT pass FROM repetition ORDER BY ordinal)",
                "time,bare,counter:work,counter:clocks");
    assert_int_equal(plug.timed, 2 * 3); /* the warm-up's too */
    assert_int_equal(query(run->store, TIMED), plug.timed);
    assert_int_equal(query(run->store, ROOFS), plug.roofs);
}

static void without_a_timeline_ops_have_no_time_on_a_device(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->probe[run->probes++] = &counting;
    visit_all(r, true);
    expect_text(run->store, PASSES, "bare counter:work op:counter:work counter:clocks");
}

static void on_a_cpu_the_clock_is_enough(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    visit_all(r, false);
    expect_text(run->store, PASSES, "bare op:time bare op:time");
    assert_int_equal(query(run->store, "SELECT count(*) FROM event"), 0);
}

static void a_timeline_tells_the_time_of_ops_and_what_ran_for_them(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->timeline = &trace;
    visit_all(r, true);
    /* A kernel of 60 ns for each stretch: two norms in a layer; qkv before, between and after the norm and rotary in it. */
    assert_int_equal(
        query(run->store, "SELECT wall_ns FROM op_step WHERE op = 'norm' AND layer = 1 AND step = 0 AND steps = 1"), 120);
    assert_int_equal(query(run->store, "SELECT wall_ns FROM op_step WHERE op = 'qkv' AND layer = 0 AND step = 4"), 180);
    assert_int_equal(query(run->store, "SELECT wall_ns FROM op_step WHERE op = 'head' AND steps = 4"), 4 * 60);
    /* Of the first of its two repetitions: prefill, first and last decode step. */
    assert_int_equal(query(run->store, "SELECT count(DISTINCT repetition) FROM event"), 1);
    expect_text(run->store, "SELECT group_concat(DISTINCT step) FROM event", "0,1,4");
    assert_int_equal(query(run->store, "SELECT count(*) FROM event WHERE op = 'head' AND layer = -1"), 3);
    assert_int_equal(query(run->store, "SELECT count(*) FROM event WHERE op = 'qkv' AND layer = 1 AND step = 1"), 3);
    expect_text(
        run->store,
        "SELECT kind || ' ' || name || ' ' || grid_x || ' ' || start_ns || ' ' || wall_ns FROM event WHERE step = 4 AND "
        "ordinal = 1",
        "kernel a kernel 7 100 60");
    assert_int_equal(query(run->store, "SELECT count(*) FROM event WHERE op IS NULL"), 3); /* the copy that begins each step */
    assert_int_equal(query(run->store, "SELECT bytes FROM event WHERE kind = 'copy'"), 4096);
}

static void more_events_than_are_kept_are_counted(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->probe[run->probes++] = &trace;
    tracer.beside = 5000;
    visit_all(r, false);
    assert_int_equal(query(run->store, "SELECT max(n) FROM (SELECT count(*) AS n FROM event GROUP BY repetition, step)"),
                     LOG_EVENTS_MAX);
    expect_text(run->store, "SELECT why FROM absent WHERE what = 'events'",
                "4096 of the 5001 kernels, copies and sets of step 0 of pass trace are kept");
}

static void records_that_are_lost_make_the_execution_run_again(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->timeline = &trace;
    tracer.lose = 1;
    visit_all(r, true);
    assert_int_equal(query(run->store, "SELECT rejected FROM repetition WHERE pass = 'op:time' ORDER BY ordinal"), 1);
    assert_int_equal(query(run->store, "SELECT count(*) > 0 FROM op_step"), 1);
}

static void ops_whose_records_are_always_lost_have_no_time_and_say_why(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->timeline = &trace;
    tracer.lose = 10000;
    visit_all(r, true);
    assert_int_equal(query(run->store, "SELECT count(*) FROM op_step"), 0);
    expect_text(run->store, "SELECT group_concat(why) FROM absent WHERE what = 'op:time'", "3 records were lost"); /* once */
}

static void samples_are_those_of_the_execution_since_its_start(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->probe[run->probes++] = &pm;
    sampler.longer = 1;
    visit_all(r, false);
    assert_int_equal(sampler.brackets, 2); /* the first one was too long */
    assert_int_equal(query(run->store, "SELECT rejected FROM repetition WHERE pass = 'pm'"), 1);
    assert_int_equal(query(run->store, "SELECT prefill_ns > 0 AND prefill_ns < wall_ns FROM repetition WHERE pass = 'pm'"), 1);
    expect_text(run->store, "SELECT group_concat(CAST(read_bytes AS INTEGER)) FROM sample", "11,12,13");
    assert_int_equal(
        query(run->store,
              "SELECT max(at_ns) < (SELECT wall_ns FROM repetition WHERE pass = 'pm') AND min(at_ns) >= 0 FROM sample"),
        1);
    assert_int_equal(query(run->store, "SELECT count(write_bytes) FROM sample"), 0); /* what is not known is NULL */
    assert_int_equal(query(run->store, "SELECT count(*) FROM step JOIN repetition r ON r.id = repetition WHERE pass = 'pm'"),
                     0);
    assert_int_equal(query(run->store, "SELECT count(DISTINCT tokens_hash) FROM repetition"), 1);
    assert_int_equal(query(run->store, "SELECT count(*) FROM absent"), 0);
}

static void samples_that_are_not_all_there_say_why(void **state)
{
    struct room *r = *state;

    set_up(r, SUITE);
    run->probe[run->probes++] = &pm;
    sampler.missing = true;
    visit_all(r, false);
    expect_text(run->store, "SELECT why FROM absent WHERE what = 'pm'", "the buffer was full");
}

#define test(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(each_way_of_watching_has_its_pass_and_only_what_adds_up_one_by_op),
        test(on_a_gpu_the_probes_of_cpus_give_way_to_those_of_gpus),
        test(nothing_watches_a_gpu_closely_before_all_is_timed),
        test(without_a_timeline_ops_have_no_time_on_a_device),
        test(on_a_cpu_the_clock_is_enough),
        test(a_timeline_tells_the_time_of_ops_and_what_ran_for_them),
        test(more_events_than_are_kept_are_counted),
        test(records_that_are_lost_make_the_execution_run_again),
        test(ops_whose_records_are_always_lost_have_no_time_and_say_why),
        test(samples_are_those_of_the_execution_since_its_start),
        test(samples_that_are_not_all_there_say_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
