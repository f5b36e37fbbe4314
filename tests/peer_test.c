/* SPDX-License-Identifier: MIT
 * Roofs as others tell them: what another benchmark prints, and what firmware, kernel and the vendors' manuals say of this
 * machine, is read rightly or is said not to be readable. */
#include "check.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "peer.h"
#include "theory.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(theory_says_where_it_is_not_readable, make_root, remove_root),
        cmocka_unit_test_setup_teardown(theory_is_read_from_cpufreq_and_the_firmware, make_root, remove_root),
        cmocka_unit_test(operations_a_cycle_are_known_for_known_cores_only),
        cmocka_unit_test(a_kernel_of_likwid_says_which_roof_it_is_compared_with),
        cmocka_unit_test(streams_copy_and_triad_are_compared_by_their_best),
        cmocka_unit_test(what_is_no_peer_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
