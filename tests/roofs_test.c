/* SPDX-License-Identifier: MIT
 * Roofs: the kernels do all of the work that is counted, every ceiling is measured or says why not, hangs together with the
 * others as physics demands, and says how it was taken. No absolute speed is asserted; where two roofs are compared, one round
 * of many is enough, for the machine may be shared. A GPU's are asked of a plug-in that this test brings. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chase.h"
#include "clock.h"
#include "gpu.h"
#include "jobs.h"
#include "roofs.h"
#include "survey.h"
#include "team.h"

enum { THREADS_MAX = 2, BUDGET_MS = 10, ROUNDS = 60, SMALL = 4 * ROOF_BLOCK, WORDS = SMALL / 8, FLOATS = SMALL / 4 };

static struct team team;
static struct roofs *roofs;

static int index_of(const char *name)
{
    for (int i = 0; i < roof_count; i++)
        if (strcmp(roof_specs[i].name, name) == 0)
            return i;
    fail_msg("no roof %s", name);
    return -1;
}

static void every_roof_has_its_kind_and_its_owner(void **state)
{
    enum { CPU = ROOF_OF_CPU, GPU = ROOF_OF_GPU, BOTH = CPU | GPU };
    static const struct {
        const char *name;
        enum roof_kind kind;
        unsigned of;
        bool bracket; /* it carries verdicts, whatever a trial computes in */
    } expected[] = {
        {"f32 fma", ROOF_COMPUTE, CPU, true},       {"f32 gemm", ROOF_COMPUTE, BOTH, true},
        {"tf32 gemm", ROOF_COMPUTE, GPU, false},    {"f16 gemm", ROOF_COMPUTE, GPU, false},
        {"bf16 gemm", ROOF_COMPUTE, GPU, false},    {"bf16 dot", ROOF_COMPUTE, CPU, false},
        {"int8 dot", ROOF_COMPUTE, CPU, false},     {"dram read", ROOF_BANDWIDTH, BOTH, true},
        {"dram copy", ROOF_BANDWIDTH, BOTH, false}, {"dram triad", ROOF_BANDWIDTH, CPU, false},
        {"l1 read", ROOF_BANDWIDTH, CPU, false},    {"l2 read", ROOF_BANDWIDTH, BOTH, false},
        {"l3 read", ROOF_BANDWIDTH, CPU, false},    {"launch graph", ROOF_LAUNCH, GPU, true},
        {"launch eager", ROOF_LAUNCH, GPU, true},
    };

    (void)state;
    assert_int_equal(roof_count, sizeof expected / sizeof expected[0]);
    for (int i = 0; i < roof_count; i++) {
        const struct roof_spec *spec = &roof_specs[index_of(expected[i].name)];
        assert_int_equal(spec->kind, expected[i].kind);
        assert_int_equal(spec->of, expected[i].of);
        assert_int_equal(spec->bracket, expected[i].bracket);
    }
}

static void every_roof_is_measured_or_absent_with_its_reason(void **state)
{
    (void)state;
    for (int i = 0; i < roof_count; i++) {
        struct roof r;
        struct err e = {0};
        if (roofs_measure(roofs, i, &r, &e) < 0) {
            assert_int_equal(e.code, ERR_ABSENT);
            assert_non_null(strstr(e.text, roof_specs[i].name));
            assert_int_equal(strstr(e.text, "a CPU has no such roof") == NULL, (roof_specs[i].of & ROOF_OF_CPU) != 0);
            continue;
        }
        assert_true(roof_specs[i].of & ROOF_OF_CPU);
        assert_ptr_equal(r.spec, &roof_specs[i]);
        assert_true(r.work > 0 && r.wall_ns > 0 && r.repetitions >= 3);
        assert_true(fabs(r.value - r.work / (double)r.wall_ns * 1e9) <= 1e-6 * r.value);
        assert_non_null(strstr(r.how, "thread"));
    }
}

/* Whether in one round of many the larger is at least `factor` of the smaller, both taken in the same moment: a neighbour takes
 * from either, seldom from one of them in every round. */
static bool reaches(const char *larger, const char *smaller, double factor)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct roof a = {0}, b = {0};
        struct err e = {0};
        if (roofs_measure(roofs, index_of(larger), &a, &e) < 0 || roofs_measure(roofs, index_of(smaller), &b, &e) < 0) {
            print_message("%s\n", e.text);
            skip();
        }
        if (a.value >= factor * b.value)
            return true;
    }
    return false;
}

static void no_matrix_product_is_faster_than_registers(void **state)
{
    (void)state;
    if (getenv("BENCH_ISA")) {
        print_message("BENCH_ISA may hold our kernels, but not the library's, below what the CPU can do\n");
        skip();
    }
    assert_true(reaches("f32 fma", "f32 gemm", 0.9));
}

static void the_first_cache_is_faster_than_memory(void **state)
{
    (void)state;
    assert_true(reaches("l1 read", "dram read", 1.5));
}

static void dot_products_are_there_exactly_where_the_level_has_them(void **state)
{
    enum isa isa;

    (void)state;
    assert_int_equal(isa_choose(&isa, NULL), 0);
    for (int i = 0; i < 2; i++) {
        const char *const dtype = i ? "int8" : "bf16", *const name = i ? "int8 dot" : "bf16 dot";
        struct roof_job job;
        struct roof r;
        struct err e = {0};
        const int code = roofs_measure(roofs, index_of(name), &r, &e);
        if (isa == ISA_AVX512BF16)
            assert_int_equal(code, 0);
        assert_int_equal(code, job_compute(&job, isa, dtype, 512, NULL));
        if (code == 0)
            assert_non_null(strstr(r.how, i ? "vpdpbusd on vectors of 512 bits" : "vdpbf16ps on vectors of 512 bits"));
        else
            assert_non_null(strstr(e.text, i ? "int8 dot: int8 of" : "bf16 dot: bf16 of"));
    }
}

/* A run keeps one for each number of threads; each works for itself, in memory of its own. */
static void fewer_threads_are_measured_beside_the_whole_team(void **state)
{
    struct roofs *one = NULL;
    struct roof alone, all, again;

    (void)state;
    if (team.threads < 2) {
        print_message("one CPU is allowed here\n");
        skip();
    }
    assert_int_equal(roofs_open(&one, -1, 1, BUDGET_MS, NULL), 0);
    for (int i = 0; i < roof_count; i++) {
        if (roofs_measure(roofs, i, &all, NULL) < 0)
            continue;
        assert_int_equal(roofs_measure(one, i, &alone, NULL), 0);
        assert_int_equal(roofs_measure(roofs, i, &again, NULL), 0);
        assert_non_null(strstr(alone.how, " 1 thread, "));
        assert_non_null(strstr(again.how, " 2 threads, "));
        assert_true(alone.work > 0 && all.work > 0 && again.work > 0);
    }
    roofs_close(one);
}

static void a_wrong_number_of_threads_is_refused(void **state)
{
    const int wrong[] = {0, -1, team.threads + 1};
    struct roofs *r = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = {0};
        assert_int_equal(roofs_open(&r, -1, wrong[i], BUDGET_MS, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, "thread"));
    }
}

static void a_budget_of_nothing_and_an_unknown_roof_are_refused(void **state)
{
    struct roofs *r = NULL;
    struct roof out;

    (void)state;
    assert_int_equal(roofs_open(&r, -1, team.threads, 0, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, roof_count, &out, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, -1, &out, NULL), ERR_USAGE);
}

/* --- a GPU's ---------------------------------------------------------------------------------------------------------------
 */

/* What the plug-in was asked for. */
static struct asked {
    int opened, closed, device, budget_ms;
    const struct roof_spec *spec;
} asked;
static bool plugged;

static int plug_open(void **out, int device, struct err *e)
{
    if (device > 0)
        return err_set(e, ERR_ABSENT, "there is no GPU %d", device);
    asked.opened++;
    asked.device = device;
    *out = &asked;
    return 0;
}

static int plug_measure(void *r, const struct roof_spec *spec, int budget_ms, struct roof *out, struct err *e)
{
    struct asked *a = r;

    a->spec = spec;
    a->budget_ms = budget_ms;
    *out = (struct roof){.spec = spec, .value = 4e12};
    return strcmp(spec->name, "tf32 gemm") != 0 ? 0 : err_set(e, ERR_ABSENT, "not on this one");
}

static void plug_close(void *r)
{
    struct asked *a = r;

    a->closed++;
}

/* In place of the program's. */
const struct gpu_plugin *gpu_plugin(struct err *e)
{
    static const struct gpu_plugin plugin = {.roofs_open = plug_open, .roofs_measure = plug_measure, .roofs_close = plug_close};

    if (plugged)
        return &plugin;
    err_set(e, ERR_ABSENT, "built without the plug-in");
    return NULL;
}

static void a_gpus_roofs_are_asked_of_the_plug_in_and_no_others(void **state)
{
    struct roofs *r = NULL;

    (void)state;
    plugged = true;
    asked = (struct asked){0};
    assert_int_equal(roofs_open(&r, 0, 0, BUDGET_MS, NULL), 0); /* threads do not matter */
    for (int i = 0; i < roof_count; i++) {
        struct roof out;
        struct err e = {0};
        asked.spec = NULL;
        const int code = roofs_measure(r, i, &out, &e);
        const bool tf32 = strcmp(roof_specs[i].name, "tf32 gemm") == 0;
        assert_int_equal(code, roof_specs[i].of & ROOF_OF_GPU && !tf32 ? 0 : ERR_ABSENT);
        assert_ptr_equal(asked.spec, roof_specs[i].of & ROOF_OF_GPU ? &roof_specs[i] : NULL);
        if (code == 0)
            assert_true(out.spec == &roof_specs[i] && out.value == 4e12 && asked.budget_ms == BUDGET_MS);
        else
            assert_true(strstr(e.text, roof_specs[i].name) &&
                        strstr(e.text, tf32 ? "not on this one" : "a GPU has no such roof"));
    }
    roofs_close(r);
    assert_true(asked.opened == 1 && asked.closed == 1);
}

static void roofs_of_a_gpu_that_is_not_there_say_why(void **state)
{
    struct roofs *r = NULL;
    struct err e = {0};

    (void)state;
    plugged = false;
    asked = (struct asked){0};
    assert_int_equal(roofs_open(&r, 0, team.threads, BUDGET_MS, &e), ERR_ABSENT);
    assert_string_equal(e.text, "built without the plug-in");
    plugged = true;
    assert_int_equal(roofs_open(&r, 1, team.threads, BUDGET_MS, &e), ERR_ABSENT);
    assert_string_equal(e.text, "there is no GPU 1");
    assert_int_equal(roofs_open(&r, 0, team.threads, 0, NULL), ERR_USAGE);
    assert_null(r);
    assert_int_equal(asked.closed, asked.opened);
}

/* --- the kernels do what is counted ----------------------------------------------------------------------------------------
 */

/* Every stream kernel that this CPU can run. */
static int streams_here(const struct roof_stream *out[], enum roof_op op)
{
    enum isa most;
    int n = 0;

    assert_int_equal(isa_choose(&most, NULL), 0);
    for (int isa = 0; isa <= (int)most; isa++)
        for (int i = 0; i < kernels_of((enum isa)isa)->streams; i++)
            if (kernels_of((enum isa)isa)->stream[i].op == op)
                out[n++] = &kernels_of((enum isa)isa)->stream[i];
    assert_true(n > 0);
    return n;
}

static void every_word_is_read_in_every_pass(void **state)
{
    static _Alignas(ROOF_BLOCK) uint64_t word[WORDS + ROOF_BLOCK];
    const struct roof_stream *kernel[64];
    uint64_t sum = 0;

    (void)state;
    for (int i = 0; i < WORDS; i++)
        sum += word[i] = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
    for (int k = 0, n = streams_here(kernel, ROOF_READ); k < n; k++)
        for (long passes = 0; passes < 4; passes++)
            assert_true(kernel[k]->run((float *)(void *)word, SMALL, passes) == sum * (uint64_t)passes);
}

static void every_element_is_written_and_no_other(void **state)
{
    static _Alignas(ROOF_BLOCK) float x[4 * FLOATS];
    const struct roof_stream *kernel[64];

    (void)state;
    for (int op = ROOF_WRITE; op < ROOF_OPS; op++)
        for (int k = 0, n = streams_here(kernel, (enum roof_op)op); k < n; k++) {
            for (int i = 0; i < 4 * FLOATS; i++)
                x[i] = (float)i;
            kernel[k]->run(x, SMALL, 2);
            for (int i = 0; i < 4 * FLOATS; i++) {
                const float b = (float)(i + FLOATS), c = (float)(i + 2 * FLOATS);
                const float wanted = i >= FLOATS ? (float)i : op == ROOF_WRITE ? 1.5f : op == ROOF_COPY ? b : b + 0.5f * c;
                assert_true(x[i] == wanted);
            }
        }
}

static void every_multiply_add_is_made_and_counted(void **state)
{
    enum isa most;
    int seen = 0;

    (void)state;
    assert_int_equal(isa_choose(&most, NULL), 0);
    for (int isa = 0; isa <= (int)most; isa++)
        for (int i = 0; i < kernels_of((enum isa)isa)->computes; i++) {
            const struct roof_compute *c = &kernels_of((enum isa)isa)->compute[i];
            if (c->present && !c->present())
                continue;
            /* 12 chains of two steps, a vector's lanes each; a dot product makes as many more as its elements are narrower. */
            const double width = strcmp(c->dtype, "bf16") == 0   ? 16
                                 : strcmp(c->dtype, "int8") == 0 ? 8
                                 : c->dtype[1] == '6'            ? 64
                                                                 : 32;
            assert_true(c->ops == 2 * 12 * 2 * c->bits / width);
            for (long rounds = 0; rounds < 100; rounds += 33)
                assert_true(c->run(rounds) == (double)rounds * c->ops / 2);
            seen++;
        }
    assert_true(seen >= 4);
}

static void a_job_counts_what_its_kernel_does(void **state)
{
    struct roof_job job[ROOF_VARIANTS];

    (void)state;
    /* 50,000 bytes: 12 whole blocks; three arrays of four blocks; passed over until 200,000 bytes are done. */
    assert_true(jobs_stream(job, kernels_of(ISA_BASE), ROOF_READ, false, 50000, 200000) > 0);
    assert_true(job[0].bytes == 12 * ROOF_BLOCK && job[0].passes == 4 && job[0].work == 4.0 * 12 * ROOF_BLOCK);
    assert_int_equal(jobs_stream(job, kernels_of(ISA_BASE), ROOF_TRIAD, false, 50000, 0), 1);
    assert_true(job[0].bytes == 4 * ROOF_BLOCK && job[0].passes == 1 && job[0].work == 3.0 * 4 * ROOF_BLOCK);
    assert_int_equal(jobs_stream(job, kernels_of(ISA_BASE), ROOF_TRIAD, false, 2 * ROOF_BLOCK, 0), 0);
    assert_int_equal(jobs_product(job), 3);
    assert_true(job[0].work == 2.0 * 512 * 512 * 512 && job[2].rows == ROOF_MATRIX_ROWS);
}

/* Every worker does its part once in each repetition, all of them after all have come, and the time is theirs. */
struct seen {
    struct roof_job job;
    int runs[THREADS_MAX], here;
    uint64_t first, last;
};

static void run_seen(const struct roof_job *job, const struct roof_area *area, int worker)
{
    struct seen *s = (struct seen *)(void *)(uintptr_t)job;
    const uint64_t start = clock_ns();

    (void)area;
    s->runs[worker]++;
    __atomic_add_fetch(&s->here, 1, __ATOMIC_RELAXED);
    for (uint64_t end = start + 2000000; clock_ns() < end;)
        ;
    if (worker == 0)
        s->first = start;
    if (worker == job->rows - 1)
        s->last = clock_ns();
}

static void the_time_of_a_job_runs_from_the_first_start_to_the_last_end(void **state)
{
    (void)state;
    for (int workers = 1; workers <= team.threads; workers++) {
        struct seen s = {.job = {.run = run_seen, .rows = workers}};
        const uint64_t before = clock_ns(), ns = job_run(&s.job, NULL, workers), all = clock_ns() - before;
        assert_int_equal(s.here, workers);
        for (int t = 0; t < THREADS_MAX; t++)
            assert_int_equal(s.runs[t], t < workers);
        assert_true(ns >= 2000000 && (int64_t)ns >= (int64_t)(s.last - s.first) && ns <= all);
    }
}

static void stores_are_tried_at_every_width_once(void **state)
{
    struct roof_job job[ROOF_VARIANTS];
    enum isa isa;

    (void)state;
    assert_int_equal(isa_choose(&isa, NULL), 0);
    const int n = jobs_stream_widths(job, isa, ROOF_WRITE, false, SMALL, 0);
    assert_true(n > 0 && job[0].bits == kernels_of(isa)->bits && job[n - 1].bits == kernels_of(ISA_BASE)->bits);
    for (int i = 1; i < n; i++)
        assert_true(job[i].bits < job[i - 1].bits);
}

static void a_chase_visits_every_line_once(void **state)
{
    static _Alignas(64) char line[256][64];
    bool seen[256] = {false};
    const void *p = line;

    (void)state;
    assert_true(chase_link(line, sizeof line + 64 * 100) == 256); /* a power of two */
    for (int i = 0; i < 256; i++) {
        const long at = ((const char *)p - line[0]) / 64;
        assert_true(at >= 0 && at < 256 && !seen[at]);
        seen[at] = true;
        p = chase_run(p, 1);
    }
    assert_ptr_equal(p, line);
    assert_ptr_equal(chase_run(line, 512), line);
    assert_true(chase_link(line, 64) == 0);
}

static void arithmetic_that_this_level_lacks_is_absent_with_a_sentence(void **state)
{
    const char *const dtypes[] = {"f32", "f64", "bf16", "int8"};
    struct roof_job job;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct err e = {0};
        assert_int_equal(job_compute(&job, ISA_BASE, dtypes[i], 512, &e), ERR_ABSENT);
        assert_non_null(strstr(e.text, dtypes[i]));
        assert_non_null(strstr(e.text, "512 bits"));
    }
}

/* --- the survey ------------------------------------------------------------------------------------------------------------
 */

static double best_of(const struct survey *s, enum survey_kind kind, enum roof_level level, int threads)
{
    double best = 0;

    for (int i = 0; i < s->count; i++)
        if (s->cell[i].kind == kind && s->cell[i].level == level && s->cell[i].threads == threads)
            best = fmax(best, s->cell[i].best);
    return best;
}

static void check_cell(const struct survey_cell *c, int rounds)
{
    if (c->absent[0])
        return;
    assert_true(c->repetitions >= rounds && c->how && c->how[0]);
    assert_true(isfinite(c->best) && c->quartile_low > 0 && c->quartile_low <= c->median && c->median <= c->quartile_high &&
                c->quartile_high <= c->best);
    double most = 0, least = INFINITY;
    for (int i = 0; i < rounds; i++) {
        most = fmax(most, c->round[i].best);
        least = fmin(least, c->round[i].best);
    }
    assert_true(most == c->best && fabs(c->drift - (most - least) / most) < 1e-12);
    assert_true((c->set_bytes > 0) == (c->kind == SURVEY_STREAM || c->kind == SURVEY_LATENCY));
}

static void the_survey_has_every_level_operation_page_and_thread_count(void **state)
{
    static struct survey s;
    enum { SURVEY_ROUNDS = 2 };
    int streams = 0;

    (void)state;
    assert_int_equal(survey_open(&s, team.threads, SURVEY_ROUNDS, 1, NULL), 0);
    assert_true(s.area[ROOF_PAGES_SMALL].huge_share <= 0);
    for (int round = 0; round < SURVEY_ROUNDS; round++)
        for (int i = 0; i < s.count; i++)
            survey_measure(&s, i, round);
    survey_conclude(&s);
    for (int i = 0; i < s.count; i++) {
        check_cell(&s.cell[i], SURVEY_ROUNDS);
        streams += s.cell[i].kind == SURVEY_STREAM;
    }
    /* Five operations a level, copy and triad past the caches in memory only. */
    assert_int_equal(streams, (4 * 5 + 2) * ROOF_PAGES * (team.threads > 1 ? 2 : 1));
    assert_true(best_of(&s, SURVEY_STREAM, ROOF_L1, 1) > 1.2 * best_of(&s, SURVEY_STREAM, ROOF_DRAM, 1));
    assert_true(best_of(&s, SURVEY_LATENCY, ROOF_L1, 1) > 3 * best_of(&s, SURVEY_LATENCY, ROOF_DRAM, 1));
    survey_close(&s);
}

static void a_survey_of_no_rounds_is_refused(void **state)
{
    static struct survey s;

    (void)state;
    assert_int_equal(survey_open(&s, 1, 0, 1, NULL), ERR_USAGE);
    survey_close(&s);
    assert_int_equal(survey_open(&s, 1, SURVEY_ROUNDS_MAX + 1, 1, NULL), ERR_USAGE);
    survey_close(&s);
    assert_int_equal(survey_open(&s, 1, 1, 0, NULL), ERR_USAGE);
    survey_close(&s);
}

static int open_roofs(void **state)
{
    int most = team_max_threads();

    (void)state;
    if (team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL, NULL) < 0)
        return -1;
    return roofs_open(&roofs, -1, team.threads, BUDGET_MS, NULL);
}

static int close_roofs(void **state)
{
    (void)state;
    roofs_close(roofs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_read_in_every_pass),
        cmocka_unit_test(every_element_is_written_and_no_other),
        cmocka_unit_test(every_multiply_add_is_made_and_counted),
        cmocka_unit_test(a_job_counts_what_its_kernel_does),
        cmocka_unit_test(the_time_of_a_job_runs_from_the_first_start_to_the_last_end),
        cmocka_unit_test(stores_are_tried_at_every_width_once),
        cmocka_unit_test(a_chase_visits_every_line_once),
        cmocka_unit_test(arithmetic_that_this_level_lacks_is_absent_with_a_sentence),
        cmocka_unit_test(every_roof_has_its_kind_and_its_owner),
        cmocka_unit_test(every_roof_is_measured_or_absent_with_its_reason),
        cmocka_unit_test(no_matrix_product_is_faster_than_registers),
        cmocka_unit_test(the_first_cache_is_faster_than_memory),
        cmocka_unit_test(dot_products_are_there_exactly_where_the_level_has_them),
        cmocka_unit_test(fewer_threads_are_measured_beside_the_whole_team),
        cmocka_unit_test(a_wrong_number_of_threads_is_refused),
        cmocka_unit_test(a_budget_of_nothing_and_an_unknown_roof_are_refused),
        cmocka_unit_test(a_gpus_roofs_are_asked_of_the_plug_in_and_no_others),
        cmocka_unit_test(roofs_of_a_gpu_that_is_not_there_say_why),
        cmocka_unit_test(the_survey_has_every_level_operation_page_and_thread_count),
        cmocka_unit_test(a_survey_of_no_rounds_is_refused),
    };

    return cmocka_run_group_tests(tests, open_roofs, close_roofs);
}
