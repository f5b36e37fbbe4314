/* SPDX-License-Identifier: MIT
 * Roofs: the kernels do all of the work that is counted, every ceiling is measured or says why not, hangs together with the
 * others as physics demands, and says how it was taken; what others print and the firmware tells is read rightly. No absolute
 * speed is asserted; where two roofs are compared, the best of a few rounds counts, for the machine may be shared. */
#include "check.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chase.h"
#include "jobs.h"
#include "peer.h"
#include "roofs.h"
#include "survey.h"
#include "team.h"
#include "theory.h"

enum { THREADS_MAX = 2, BUDGET_MS = 10, ROUNDS = 6, SMALL = 4 * ROOF_BLOCK, WORDS = SMALL / 8, FLOATS = SMALL / 4 };

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

static void the_roofs_that_carry_verdicts_are_bracketed(void **state)
{
    static const char *const names[] = {"f32 fma",    "f32 gemm", "dram read", "dram copy",
                                        "dram triad", "l1 read",  "l2 read",   "l3 read"};

    (void)state;
    assert_int_equal(roof_count, 8);
    for (int i = 0; i < 8; i++)
        assert_int_equal(roof_specs[index_of(names[i])].bracket, i < 3);
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
            continue;
        }
        assert_ptr_equal(r.spec, &roof_specs[i]);
        assert_true(r.work > 0 && r.wall_ns > 0 && r.repetitions >= 3);
        assert_true(fabs(r.value - r.work / (double)r.wall_ns * 1e9) <= 1e-6 * r.value);
        assert_non_null(strstr(r.how, "thread"));
    }
}

/* The best of both over a few rounds, until the larger is at least `factor` of the smaller. */
static bool reaches(const char *larger, const char *smaller, double factor)
{
    double high = 0, low = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct roof a = {0}, b = {0};
        if (roofs_measure(roofs, index_of(larger), &a, NULL) < 0 || roofs_measure(roofs, index_of(smaller), &b, NULL) < 0)
            skip();
        high = fmax(high, a.value);
        low = fmax(low, b.value);
        if (high >= factor * low)
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

static void a_wrong_number_of_threads_is_refused(void **state)
{
    const int wrong[] = {0, -1, team.threads + 1};
    struct roofs *r = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = {0};
        assert_int_equal(roofs_open(&r, wrong[i], BUDGET_MS, &e), ERR_USAGE);
        assert_non_null(strstr(e.text, "thread"));
    }
}

static void a_budget_of_nothing_and_an_unknown_roof_are_refused(void **state)
{
    struct roofs *r = NULL;
    struct roof out;

    (void)state;
    assert_int_equal(roofs_open(&r, team.threads, 0, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, roof_count, &out, NULL), ERR_USAGE);
    assert_int_equal(roofs_measure(roofs, -1, &out, NULL), ERR_USAGE);
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
    assert_true(job[2].work == 2.0 * 1024 * 1024 * 1024);
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

/* --- theory ----------------------------------------------------------------------------------------------------------------
 */

static char root[64];

static void write_under_root(const char *path, const void *bytes, size_t n)
{
    char full[512];

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0777);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int make_root(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    snprintf(root, sizeof root, "%.40s/roofsXXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void theory_says_where_it_is_not_readable(void **state)
{
    struct theory_line line[THEORY_LINES];

    (void)state;
    theory_read(line, 0, root);
    assert_true(line[0].value == 0 && line[1].value == 0 && line[3].value == 0 && line[4].value == 0);
    assert_non_null(strstr(line[1].text, "not readable here"));
    assert_non_null(strstr(line[4].text, "not readable here (as root"));
    assert_non_null(strstr(line[4].text, "dmidecode"));
}

static void theory_is_read_from_cpufreq_and_the_firmware(void **state)
{
    /* A module of 16 GB, 64 bits wide, 4800 MT/s, configured to 4400; and an empty slot. */
    unsigned char dimm[0x54] = {17,   sizeof dimm,   [0x08] = 72, [0x0a] = 64, [0x0d] = 0x40, [0x15] = 0xc0,
                                0x12, [0x20] = 0x30, 0x11};
    struct theory_line line[THEORY_LINES];

    (void)state;
    write_under_root("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3700000\n", 8);
    write_under_root("/sys/firmware/dmi/entries/17-0/raw", dimm, sizeof dimm);
    write_under_root("/sys/firmware/dmi/entries/17-1/raw", dimm, sizeof dimm);
    dimm[0x0d] = 0;
    write_under_root("/sys/firmware/dmi/entries/17-2/raw", dimm, sizeof dimm);
    write_under_root("/sys/firmware/dmi/entries/17-3/raw", dimm, 5);
    theory_read(line, 2.5e9, root);
    assert_true(line[0].value == 2.5e9 && line[1].value == 3.7e9);
    assert_true(line[4].value == 2 * 4400e6 * 8);
    assert_non_null(strstr(line[4].text, "70.4 GB/s = 2 modules at 4400 MT/s"));
}

static void operations_a_cycle_are_known_for_known_cores_only(void **state)
{
    (void)state;
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "AuthenticAMD", .family = 0x19, .model = 17}), 32);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "AuthenticAMD", .family = 0x1a, .model = 2}), 64);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "AuthenticAMD", .family = 0x1a, .model = 0x24}), 32);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "GenuineIntel", .family = 6, .model = 0x8f}), 64);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "arm", .implementer = 0x41, .part = 0xd40}), 32);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){.vendor = "GenuineIntel", .family = 6, .model = 1}), 0);
    assert_int_equal(theory_flops_a_cycle(&(struct cpu_id){0}), 0);
}

/* --- peers -----------------------------------------------------------------------------------------------------------------
 */

#define LIKWID(test)                                                                                                           \
    "-----\nLIKWID MICRO BENCHMARK\nTest: " test "\n-----\nUsing 1 work groups\nUsing 2 threads\n-----\nGroup: 0 Thread 0\n"   \
    "Cycles:\t\t\t6195426614\nTime:\t\t\t2.386463e+00 sec\nIterations:\t\t8388608\nSize (Byte):\t\t19968\n"                    \
    "Size per thread:\t19968\nMFlops/s:\t\t42019.67\nData volume (Byte):\t167503724544\nMByte/s:\t\t70189.13\n"

static const char stream_output[] =
    "-----\nSTREAM version $Revision: 5.10 $\n-----\nThis system uses 8 bytes per array element.\n-----\n"
    "Array size = 10000000 (elements), Offset = 0 (elements)\nMemory per array = 76.3 MiB (= 0.1 GiB).\n"
    "Number of Threads requested = 2\nNumber of Threads counted = 2\n-----\n"
    "Function    Best Rate MB/s  Avg time     Min time     Max time\n"
    "Copy:           25000.5     0.012958     0.012960     0.0131\nScale:          1.0     0.1     0.1     0.1\n"
    "Add:            1.0     0.1     0.1     0.1\nTriad:          21000.0     0.012958     0.012960     0.0131\n";

static void a_kernel_of_likwid_says_which_roof_it_is_compared_with(void **state)
{
    static const struct {
        const char *text;
        enum roof_op op;
        bool bypass;
        int bits;
        const char *dtype;
        double value;
    } of[] = {
        {LIKWID("load_avx512"), ROOF_READ, false, 512, NULL, 70189.13e6},
        {LIKWID("load_mem"), ROOF_READ, false, 0, NULL, 70189.13e6},
        {LIKWID("store_avx"), ROOF_WRITE, false, 256, NULL, 70189.13e6},
        {LIKWID("store_mem_sse"), ROOF_WRITE, true, 128, NULL, 70189.13e6},
        {LIKWID("copy_mem_avx512"), ROOF_COPY, true, 512, NULL, 70189.13e6},
        {LIKWID("stream_sp_mem_avx512_fma"), ROOF_TRIAD, true, 512, NULL, 70189.13e6},
        {LIKWID("stream_avx"), ROOF_TRIAD, false, 256, NULL, 70189.13e6},
        {LIKWID("peakflops_sp_avx512_fma"), ROOF_READ, false, 512, "f32", 42019.67e6},
        {LIKWID("peakflops_avx_fma"), ROOF_READ, false, 256, "f64", 42019.67e6},
    };

    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct peer_output out;
        assert_int_equal(peer_parse(&out, of[i].text, NULL), 0);
        const struct peer_figure *f = &out.figure[0];
        assert_true(out.count == 1 && !out.best && out.threads == 2 && out.set_bytes == 19968 && out.seconds == 2.386463);
        assert_true(f->op == of[i].op && f->bypass == of[i].bypass && f->bits == of[i].bits);
        assert_true(fabs(f->value - of[i].value) < 1);
        assert_true(of[i].dtype ? f->dtype && strcmp(f->dtype, of[i].dtype) == 0 : !f->dtype);
    }
}

static void streams_copy_and_triad_are_compared_by_their_best(void **state)
{
    struct peer_output out;

    (void)state;
    assert_int_equal(peer_parse(&out, stream_output, NULL), 0);
    assert_true(out.count == 2 && out.best && out.threads == 2 && out.set_bytes == 8e7);
    assert_true(fabs(out.seconds - 10 * 0.012958) < 1e-9);
    assert_true(out.figure[0].op == ROOF_COPY && out.figure[0].value == 25000.5e6);
    assert_true(out.figure[1].op == ROOF_TRIAD && out.figure[1].value == 21000e6);
}

static void what_is_no_peer_is_refused_with_a_sentence(void **state)
{
    struct peer_output out;
    struct err e = {0};

    (void)state;
    assert_int_equal(peer_parse(&out, LIKWID("update_avx"), &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "update_avx"));
    assert_int_equal(peer_parse(&out, LIKWID("peakflops_sp_avx"), &e), ERR_ABSENT);
    assert_int_equal(peer_parse(&out, "hello\nworld", &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "hello"));
    assert_null(strstr(e.text, "world"));
    assert_int_equal(peer_parse(&out, "LIKWID MICRO BENCHMARK\nTest: load\nUsing 1 threads\nTime: 1\n", &e), ERR_FORMAT);
    assert_int_equal(peer_parse(&out, "\nTriad: 1000\n", &e), ERR_FORMAT);
}

static int open_roofs(void **state)
{
    int most = team_max_threads();

    (void)state;
    if (team_start(&team, most < THREADS_MAX ? most : THREADS_MAX, NULL) < 0)
        return -1;
    return roofs_open(&roofs, team.threads, BUDGET_MS, NULL);
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
        cmocka_unit_test(a_chase_visits_every_line_once),
        cmocka_unit_test(arithmetic_that_this_level_lacks_is_absent_with_a_sentence),
        cmocka_unit_test(the_roofs_that_carry_verdicts_are_bracketed),
        cmocka_unit_test(every_roof_is_measured_or_absent_with_its_reason),
        cmocka_unit_test(no_matrix_product_is_faster_than_registers),
        cmocka_unit_test(the_first_cache_is_faster_than_memory),
        cmocka_unit_test(a_wrong_number_of_threads_is_refused),
        cmocka_unit_test(a_budget_of_nothing_and_an_unknown_roof_are_refused),
        cmocka_unit_test(the_survey_has_every_level_operation_page_and_thread_count),
        cmocka_unit_test(a_survey_of_no_rounds_is_refused),
        cmocka_unit_test_setup_teardown(theory_says_where_it_is_not_readable, make_root, remove_root),
        cmocka_unit_test_setup_teardown(theory_is_read_from_cpufreq_and_the_firmware, make_root, remove_root),
        cmocka_unit_test(operations_a_cycle_are_known_for_known_cores_only),
        cmocka_unit_test(a_kernel_of_likwid_says_which_roof_it_is_compared_with),
        cmocka_unit_test(streams_copy_and_triad_are_compared_by_their_best),
        cmocka_unit_test(what_is_no_peer_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, open_roofs, close_roofs);
}
