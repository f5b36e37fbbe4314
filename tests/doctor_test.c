/* SPDX-License-Identifier: MIT
 * The machine's facts and what the doctor makes of them: on this machine, and on folders like the kernel's of machines that are
 * well, ill, small, locked up in a container, or hardly there at all. */
#include "root_room.h"

#include <math.h>

#include "doctor.h"
#include "doctor_parts.h"
#include "gpu.h"
#include "isa.h"
#include "probe.h"
#include "team.h"

static struct team team;
static struct machine_facts facts;
static struct diagnosis diagnosis;

static const struct doctor_args *args_of(const struct doctor_costs *costs)
{
    static struct doctor_args args;

    args = (struct doctor_args){.root = root, .threads = 1, .facts = &facts, .costs = costs};
    return &args;
}

static const struct finding *finding_of(const char *what)
{
    for (int i = 0; i < diagnosis.count; i++)
        if (strcmp(diagnosis.item[i].what, what) == 0)
            return &diagnosis.item[i];
    fail_msg("no finding %s", what);
    return NULL;
}

/* One area of the machine under root. */
static enum doctor_grade grade(enum doctor_grade (*area)(struct diagnosis *d, const struct doctor_args *args))
{
    machine_facts_read(&facts, root);
    diagnosis.count = 0;
    return area(&diagnosis, args_of(NULL));
}

static void assert_fact(enum machine_fact f, const char *value)
{
    if (strcmp(facts.fact[f].value, value) != 0)
        fail_msg("%s: '%s' (%s), expected '%s'", machine_fact_key(f), facts.fact[f].value, facts.fact[f].why, value);
}

/* --- facts -----------------------------------------------------------------------------------------------------------------
 */

static void put_server(void)
{
    put("/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Some Server CPU\n"
        "cpu MHz\t\t: 2000.000\nflags\t\t: fpu avx2 fma avx512f avx512_bf16 amx_tile notavx2\n\n");
    put("/proc/meminfo",
        "MemTotal:       64000000 kB\nMemFree: 1 kB\nMemAvailable:   32000000 kB\nSwapTotal:       2000000 kB\n"
        "SwapFree:        2000000 kB\n");
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    put("/sys/devices/system/cpu/smt/active", "0\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3500000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq", "800000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3800000\n");
    put("/sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
    put("/proc/sys/kernel/numa_balancing", "0\n");
    put("/proc/sys/kernel/perf_event_paranoid", "3\n");
    put("/proc/sys/kernel/nmi_watchdog", "1\n");
    put("/etc/os-release", "NAME=\"Some\"\nPRETTY_NAME=\"Some Linux 12\"\n");
}

static void facts_come_from_the_kernels_files_with_their_source(void **state)
{
    (void)state;
    put_server();
    machine_facts_read(&facts, root);
    assert_fact(FACT_CPU, "Some Server CPU");
    assert_fact(FACT_CPU_FAMILY, "6");
    assert_fact(FACT_CPU_MODEL, "143");
    assert_fact(FACT_VECTORS, "avx2 fma avx512f avx512_bf16 amx_tile");
    assert_fact(FACT_SMT, "off");
    assert_fact(FACT_GOVERNOR, "performance");
    assert_fact(FACT_FREQUENCY, "3.50 GHz now, 0.80 to 3.80 GHz");
    assert_fact(FACT_BOOST, "off");
    assert_fact(FACT_SYSTEM, "Some Linux 12");
    assert_fact(FACT_VIRTUALISATION, "none");
    assert_fact(FACT_SWAP, "0 B of 2.05 GB in use");
    assert_true(facts.fact[FACT_MEMORY].number == 64000000.0 * 1024);
    assert_true(facts.fact[FACT_PARANOID].number == 3);
    assert_string_equal(facts.fact[FACT_BOOST].source, "/sys/devices/system/cpu/intel_pstate/no_turbo");
    assert_string_equal(facts.fact[FACT_GOVERNOR].source, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
}

static void what_cannot_be_read_says_why(void **state)
{
    (void)state;
    put("/proc/meminfo", "%s", "");
    put("/proc/cpuinfo", "garbage without a colon\n");
    put("/sys/devices/system/cpu/smt/active", "maybe\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    forbid("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    machine_facts_read(&facts, root);
    allow_again();
    for (int i = 0; i < FACT_COUNT; i++) {
        const struct fact *f = &facts.fact[i];
        if ((f->value[0] != 0) == (f->why[0] != 0))
            fail_msg("%s: value '%s', why '%s'", machine_fact_key((enum machine_fact)i), f->value, f->why);
        assert_true(f->source[0] != 0);
    }
    assert_fact(FACT_MEMORY, "");
    assert_fact(FACT_CPU, "");
    assert_fact(FACT_SMT, "");
    assert_non_null(strstr(facts.fact[FACT_GOVERNOR].why, "Permission denied"));
}

static void an_arm_is_named_by_its_maker_and_part(void **state)
{
    (void)state;
    put("/proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd sve bf16 i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n");
    machine_facts_read(&facts, root);
    assert_fact(FACT_CPU, "Arm implementer 0x41, part 0xd40");
    assert_fact(FACT_VECTORS, "asimd sve bf16 i8mm");
}

static void the_least_limit_on_the_way_to_the_root_holds(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/pods/one\n");
    put("/sys/fs/cgroup/pods/one/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/pods/cpu.max", "150000 100000\n");
    put("/sys/fs/cgroup/pods/one/memory.max", "4000000000\n");
    put("/sys/fs/cgroup/pods/memory.max", "max\n");
    machine_facts_read(&facts, root);
    assert_fact(FACT_CPU_QUOTA, "1.50 CPUs");
    assert_fact(FACT_MEMORY_LIMIT, "4.00 GB");
    assert_string_equal(facts.fact[FACT_CPU_QUOTA].source, "cpu.max of a group under /sys/fs/cgroup");
}

static void a_group_whose_path_is_the_hosts_is_found_at_the_mount(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    machine_facts_read(&facts, root);
    assert_fact(FACT_CPU_QUOTA, "0.50 CPUs");
    assert_fact(FACT_MEMORY_LIMIT, "none");
}

static const struct machine_variable *variable_of(const char *name)
{
    for (int i = 0; i < facts.variables; i++)
        if (strcmp(facts.variable[i].name, name) == 0)
            return &facts.variable[i];
    return NULL;
}

static void telling_variables_are_kept_and_folders_are_not(void **state)
{
    (void)state;
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    setenv("BENCH_ISA", "avx2", 1);
    setenv("PAPI_SOMETHING", "/home/somebody/lib/a.so:/b.so", 1);
    setenv("UNTOLD", "1", 1);
    machine_facts_read(&facts, root);
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("BENCH_ISA");
    unsetenv("PAPI_SOMETHING");
    unsetenv("UNTOLD");
    assert_string_equal(variable_of("OPENBLAS_CORETYPE")->value, "Haswell");
    assert_string_equal(variable_of("OPENBLAS_CORETYPE")->kind->roof, "f32 gemm");
    assert_string_equal(variable_of("BENCH_ISA")->kind->roof, "f32 fma");
    assert_string_equal(variable_of("PAPI_SOMETHING")->value, "a.so:b.so");
    assert_null(variable_of("UNTOLD"));
}

/* --- areas -----------------------------------------------------------------------------------------------------------------
 */

static void a_server_of_ones_own_gets_an_a(void **state)
{
    (void)state;
    put_server();
    assert_int_equal(grade(doctor_cpu), DOCTOR_A);
    assert_int_equal(grade(doctor_memory), DOCTOR_A);
    assert_int_equal(finding_of("huge pages")->state, FINDING_OK);
}

static void each_thing_that_disturbs_lowers_the_grade_of_the_cpu(void **state)
{
    (void)state;
    put_server();
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    assert_int_equal(grade(doctor_cpu), DOCTOR_C);
    assert_int_equal(finding_of("governor")->state, FINDING_WARN);
    assert_non_null(strstr(finding_of("governor")->remedy, "echo performance | sudo tee"));
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    assert_int_equal(grade(doctor_cpu), DOCTOR_D);
    assert_string_equal(finding_of("CPU quota")->value, "1.50 CPUs");
    put("/sys/fs/cgroup/cpu.max", "max 100000\n");
    put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
    put("/proc/cpuinfo", "model name\t: Some CPU\nflags\t\t: fpu hypervisor avx2\n");
    assert_int_equal(grade(doctor_cpu), DOCTOR_B);
}

static void the_cpus_arithmetic_is_told_by_its_level(void **state)
{
    enum isa isa;

    (void)state;
    put_server();
    for (int level = 0; level < ISA_COUNT; level++) {
        setenv("BENCH_ISA", isa_name((enum isa)level), 1);
        grade(doctor_cpu);
        const struct finding *f = finding_of("arithmetic");
        if (isa_choose(&isa, NULL) < 0) { /* beyond this CPU */
            assert_non_null(strstr(f->value, "this CPU offers"));
            assert_string_equal(f->remedy, "unset BENCH_ISA");
            continue;
        }
        char start[64];
        snprintf(start, sizeof start, "level %s: f32", isa_name(isa));
        assert_int_equal(strncmp(f->value, start, strlen(start)), 0);
        assert_int_equal(strstr(f->value, "f32, bf16 dot, int8 dot") != NULL, isa == ISA_AVX512BF16);
    }
    unsetenv("BENCH_ISA");
}

static void workers_that_share_a_core_are_told_with_the_remedy(void **state)
{
    (void)state;
    put_server();
    for (int shared = 0; shared < 2; shared++) {
        struct doctor_args args = *args_of(NULL);
        args.threads = 2;
        args.shares_cores = shared;
        machine_facts_read(&facts, root);
        diagnosis.count = 0;
        assert_int_equal(doctor_cpu(&diagnosis, &args), shared ? DOCTOR_C : DOCTOR_A);
        assert_string_equal(finding_of("workers")->value, shared ? "2, some share a core" : "2, a core each");
        assert_int_equal(strstr(finding_of("workers")->remedy, "--cpus LIST") != NULL, shared);
    }
}

static void each_thing_that_disturbs_lowers_the_grade_of_memory(void **state)
{
    (void)state;
    put_server();
    put("/sys/fs/cgroup/memory.max", "4000000000\n");
    assert_int_equal(grade(doctor_memory), DOCTOR_B);
    put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    assert_int_equal(grade(doctor_memory), DOCTOR_C);
    assert_string_equal(finding_of("huge pages")->remedy,
                        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    put("/proc/meminfo", "MemTotal: 64000000 kB\nMemAvailable: 900000 kB\nSwapTotal: 2000 kB\nSwapFree: 1000 kB\n");
    assert_int_equal(grade(doctor_memory), DOCTOR_D);
    assert_int_equal(finding_of("swap")->state, FINDING_WARN);
}

static void a_variable_is_graded_by_what_it_costs(void **state)
{
    static const struct {
        double with, without;
        bool told;
        enum doctor_grade grade;
    } lines[] = {{132e9, 254e9, true, DOCTOR_D},
                 {215e9, 254e9, true, DOCTOR_C},
                 {250e9, 254e9, true, DOCTOR_B},
                 {132e9, 254e9, false, DOCTOR_B}, /* a burst of somebody else's */
                 {254e9, 132e9, true, DOCTOR_B}}; /* it helps */
    static struct doctor_costs costs;

    (void)state;
    assert_int_equal(grade(doctor_environment), DOCTOR_A);
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        machine_facts_read(&facts, root);
        costs.variable[0] = (struct doctor_cost){.with = lines[i].with, .without = lines[i].without, .told = lines[i].told};
        diagnosis.count = 0;
        assert_int_equal(doctor_environment(&diagnosis, args_of(&costs)), lines[i].grade);
        assert_int_equal(finding_of("OPENBLAS_CORETYPE")->remedy[0] != 0, lines[i].grade > DOCTOR_B);
        if (i == 0)
            assert_string_equal(finding_of("OPENBLAS_CORETYPE")->value,
                                "Haswell: f32 gemm 132 GFLOP/s, 254 without it (x 0.52)");
    }
    assert_int_equal(grade(doctor_environment), DOCTOR_C); /* nothing was measured */
    unsetenv("OPENBLAS_CORETYPE");
}

static void a_figure_that_cannot_be_had_says_why(void **state)
{
    static struct doctor_costs costs;
    double value;
    struct err e = {0};

    (void)state;
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    machine_facts_read(&facts, root);
    doctor_costs_measure(&costs, &facts, "/bin/false");
    unsetenv("OPENBLAS_CORETYPE");
    assert_string_equal(costs.variable[0].why, "the measuring failed");
    assert_int_equal(doctor_figure(&value, "f32 gen", 1, &e), ERR_USAGE);
    assert_string_equal(e.text, "there is no roof 'f32 gen'");
}

static void energy_is_graded_by_what_is_metered(void **state)
{
    (void)state;
    assert_int_equal(grade(doctor_energy), DOCTOR_D);
    put("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
    put("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "1000\n");
    put("/sys/class/powercap/intel-rapl:0/energy_uj", "5\n");
    assert_int_equal(grade(doctor_energy), DOCTOR_B);
    put("/sys/class/powercap/intel-rapl:0:0/name", "dram\n");
    put("/sys/class/powercap/intel-rapl:0:0/max_energy_range_uj", "1000\n");
    put("/sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n");
    assert_int_equal(grade(doctor_energy), DOCTOR_A);
    forbid("/sys/class/powercap/intel-rapl:0/energy_uj");
    enum doctor_grade g = grade(doctor_energy);
    allow_again();
    assert_int_equal(g, DOCTOR_C);
    assert_string_equal(finding_of("rapl")->remedy, "sudo chmod a+r /sys/class/powercap/intel-rapl*/energy_uj");
}

/* The plug-in of this test, in place of the program's. */
static struct plug {
    bool there;
    int devices, major;    /* devices 0: CUDA does not start */
    const char *forbidden; /* counters; NULL: allowed */
} plug;

static int plug_count(int *out, struct err *e)
{
    *out = plug.devices;
    return plug.devices ? 0 : err_set(e, ERR_ABSENT, "the NVIDIA driver is of CUDA 11.8; install a newer driver");
}

static int plug_facts(int device, struct gpu_facts *out, struct err *e)
{
    (void)e;
    *out = (struct gpu_facts){.name = "NVIDIA H200", .major = plug.major, .memory_bytes = 150000000000};
    snprintf(out->pci, sizeof out->pci, "0000:1%d:00.0", device);
    return 0;
}

static int plug_counters(int device, struct err *e)
{
    (void)device;
    return plug.forbidden ? err_set(e, ERR_ABSENT, "%s", plug.forbidden) : 0;
}

const struct gpu_plugin *gpu_plugin(struct err *e)
{
    static const struct gpu_plugin plugin = {.count = plug_count, .facts = plug_facts, .counters_allowed = plug_counters};

    if (plug.there)
        return &plugin;
    err_set(e, ERR_ABSENT, "this build has no plug-in; build with CUDA=1");
    return NULL;
}

static void a_machine_without_a_gpu_has_one_line_about_it(void **state)
{
    (void)state;
    plug = (struct plug){.there = true, .devices = 1, .major = 9}; /* not even asked */
    assert_int_equal(grade(doctor_gpu), DOCTOR_UNGRADED);
    assert_int_equal(diagnosis.count, 1);
    assert_string_equal(finding_of("GPU")->value, "no NVIDIA GPU on this machine");
}

static void a_gpu_is_graded_by_how_far_this_program_gets(void **state)
{
    (void)state;
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1\n");
    plug = (struct plug){.there = false};
    assert_int_equal(grade(doctor_gpu), DOCTOR_C);
    assert_string_equal(finding_of("plug-in")->value, "this build has no plug-in");
    assert_string_equal(finding_of("plug-in")->remedy, "build with CUDA=1");
    plug = (struct plug){.there = true};
    assert_int_equal(grade(doctor_gpu), DOCTOR_C);
    assert_string_equal(finding_of("CUDA")->value, "the NVIDIA driver is of CUDA 11.8");
    plug = (struct plug){.there = true, .devices = 2, .major = 9, .forbidden = "counters are root's; become root"};
    assert_int_equal(grade(doctor_gpu), DOCTOR_B);
    assert_string_equal(finding_of("CUDA GPU 1")->value, "NVIDIA H200, compute capability 9.0, 150 GB, at 0000:11:00.0");
    assert_int_equal(finding_of("GPU counters")->state, FINDING_ABSENT);
    assert_string_equal(finding_of("GPU counters")->remedy, "become root");
    plug.forbidden = NULL;
    assert_int_equal(grade(doctor_gpu), DOCTOR_A);
    assert_int_equal(finding_of("GPU counters")->state, FINDING_OK);
    plug.major = 7;
    assert_int_equal(grade(doctor_gpu), DOCTOR_C);
    assert_string_equal(finding_of("CUDA GPU 0")->value,
                        "NVIDIA H200, compute capability 7.0 (8.0 is needed), 150 GB, at 0000:10:00.0");
}

static void who_may_count_on_a_gpu_is_read_from_the_drivers_parameters(void **state)
{
    (void)state;
    plug = (struct plug){.there = true, .devices = 1, .major = 9};
    put("/proc/driver/nvidia/version", "NVRM version: 580.1\n");
    put("/proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 0\nTCEBypassMode: 0\n");
    grade(doctor_gpu);
    assert_int_equal(finding_of("RmProfilingAdminOnly")->state, FINDING_OK);
    put("/proc/driver/nvidia/params", "ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 1\nTCEBypassMode: 0\n");
    grade(doctor_gpu);
    assert_int_equal(finding_of("RmProfilingAdminOnly")->state, geteuid() == 0 ? FINDING_INFO : FINDING_WARN);
    put("/dev/nvidiactl", "%s", "");
    forbid("/proc/driver/nvidia/version"); /* an ordinary user from here on */
    grade(doctor_gpu);
    allow_again();
    assert_int_equal(finding_of("RmProfilingAdminOnly")->state, FINDING_WARN);
    assert_non_null(strstr(finding_of("RmProfilingAdminOnly")->remedy, "NVreg_RestrictProfilingToAdminUsers=0"));
}

/* As in some containers. */
static void a_driver_that_hides_its_version_is_seen_by_its_device_files(void **state)
{
    (void)state;
    plug = (struct plug){.there = true, .devices = 1, .major = 9};
    put("/dev/nvidiactl", "%s", "");
    put("/dev/nvidia5", "%s", ""); /* others are somebody else's */
    assert_int_equal(grade(doctor_gpu), DOCTOR_A);
    assert_string_equal(finding_of("driver")->value, "there, its version is not to be seen");
    assert_int_equal(finding_of("device files")->state, FINDING_OK);
    for (int i = 0; i < diagnosis.count; i++)
        assert_true(strcmp(diagnosis.item[i].what, "RmProfilingAdminOnly") != 0);
}

static void each_way_to_have_no_gpu_has_its_sentence(void **state)
{
    (void)state;
    plug = (struct plug){.there = false};
    assert_int_equal(grade(doctor_gpu), DOCTOR_UNGRADED);
    put("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    put("/sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    put("/sys/bus/pci/devices/0000:01:00.1/vendor", "0x10de\n");
    put("/sys/bus/pci/devices/0000:01:00.1/class", "0x040300\n");
    assert_int_equal(grade(doctor_gpu), DOCTOR_D);
    assert_string_equal(finding_of("GPU")->value, "1 NVIDIA GPU on the bus, no driver is loaded");
    put("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.1\n");
    put("/proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H200\nIRQ: 5\n");
    assert_int_equal(grade(doctor_gpu), DOCTOR_C);
    assert_string_equal(finding_of("GPU")->value, "1 x NVIDIA H200");
    assert_string_equal(finding_of("device files")->value, "there is a driver, but no /dev/nvidia0, 1, ... here");
    put("/dev/nvidiactl", "%s", "");
    put("/dev/nvidia0", "%s", "");
    grade(doctor_gpu);
    assert_int_equal(finding_of("device files")->state, FINDING_OK);
    assert_string_equal(finding_of("toolkit")->value, "driver without toolkit: programs run, none can be built");
    forbid("/dev/nvidia0");
    enum doctor_grade g = grade(doctor_gpu);
    allow_again();
    assert_int_equal(g, DOCTOR_C);
    assert_string_equal(finding_of("device files")->value, "/dev/nvidia...: Permission denied");
}

/* --- the whole -------------------------------------------------------------------------------------------------------------
 */

static void this_machine_is_examined_in_every_area(void **state)
{
    const struct doctor_args args = {.root = "", .threads = team.threads, .facts = &facts};
    enum doctor_grade worst = DOCTOR_A;
    bool seen[DOCTOR_AREAS] = {false};
    struct err e = {0};

    (void)state;
    machine_facts_read(&facts, "");
    assert_int_equal(doctor_examine(&diagnosis, &args, &e), 0);
    finding_of("perf_event_paranoid");
    finding_of("OpenBLAS");
    finding_of("us a bracket");
    for (int i = 0; i < diagnosis.count; i++) {
        const struct finding *f = &diagnosis.item[i];
        assert_true(f->value[0] != 0);
        assert_true(f->state != FINDING_OK || f->remedy[0] == 0);
        assert_true(i == 0 || diagnosis.item[i - 1].area <= f->area);
        seen[f->area] = true;
    }
    for (int a = 0; a < DOCTOR_AREAS; a++) {
        assert_true(seen[a]);
        assert_true(a != DOCTOR_SOFTWARE || diagnosis.grade[a] == DOCTOR_UNGRADED);
        if (a < DOCTOR_DECIDING)
            worst = diagnosis.grade[a] > worst ? diagnosis.grade[a] : worst;
    }
    assert_int_equal(diagnosis.overall, worst);
    assert_true(diagnosis.count < FINDINGS_MAX);
}

/* Files of /proc and /sys hidden: what libraries say and what calibration finds is left, the rest says why it is not. */
static void a_machine_that_shows_nothing_is_examined_all_the_same(void **state)
{
    const struct doctor_args args = {.root = root, .threads = team.threads, .facts = &facts};

    (void)state;
    machine_facts_read(&facts, root);
    assert_int_equal(doctor_examine(&diagnosis, &args, NULL), 0);
    assert_int_equal(finding_of("perf_event_paranoid")->state, FINDING_ABSENT);
    assert_int_equal(finding_of("governor")->state, FINDING_ABSENT);
    assert_int_equal(finding_of("memory")->state, FINDING_ABSENT);
}

static void a_level_of_permission_that_stops_users_names_the_command(void **state)
{
    const struct doctor_args args = {.root = root, .threads = team.threads, .facts = &facts};

    (void)state;
    put_server();
    machine_facts_read(&facts, root);
    diagnosis.count = 0;
    doctor_counters(&diagnosis, &args);
    assert_int_equal(finding_of("perf_event_paranoid")->state, FINDING_WARN);
    assert_string_equal(finding_of("perf_event_paranoid")->remedy, "sudo sysctl kernel.perf_event_paranoid=2");
    assert_string_equal(finding_of("NMI watchdog")->remedy, "sudo sysctl kernel.nmi_watchdog=0");
}

static void a_doctor_without_workers_is_refused(void **state)
{
    const struct doctor_args args = {.root = "", .threads = 0, .facts = &facts};

    (void)state;
    assert_int_equal(doctor_examine(&diagnosis, &args, NULL), ERR_USAGE);
}

/* What whoever runs the tests has set is not theirs. */
static int start(void **state)
{
    (void)state;
    machine_facts_read(&facts, "");
    while (facts.variables > 0)
        unsetenv(facts.variable[--facts.variables].name);
    return team_start(&team, team_max_threads() < 2 ? 1 : 2, NULL, NULL);
}

int main(void)
{
#define ROOTED(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        ROOTED(facts_come_from_the_kernels_files_with_their_source),
        ROOTED(what_cannot_be_read_says_why),
        ROOTED(an_arm_is_named_by_its_maker_and_part),
        ROOTED(the_least_limit_on_the_way_to_the_root_holds),
        ROOTED(a_group_whose_path_is_the_hosts_is_found_at_the_mount),
        ROOTED(telling_variables_are_kept_and_folders_are_not),
        ROOTED(a_server_of_ones_own_gets_an_a),
        ROOTED(each_thing_that_disturbs_lowers_the_grade_of_the_cpu),
        ROOTED(the_cpus_arithmetic_is_told_by_its_level),
        ROOTED(workers_that_share_a_core_are_told_with_the_remedy),
        ROOTED(each_thing_that_disturbs_lowers_the_grade_of_memory),
        ROOTED(a_variable_is_graded_by_what_it_costs),
        ROOTED(a_figure_that_cannot_be_had_says_why),
        ROOTED(energy_is_graded_by_what_is_metered),
        ROOTED(a_machine_without_a_gpu_has_one_line_about_it),
        ROOTED(a_gpu_is_graded_by_how_far_this_program_gets),
        ROOTED(who_may_count_on_a_gpu_is_read_from_the_drivers_parameters),
        ROOTED(a_driver_that_hides_its_version_is_seen_by_its_device_files),
        ROOTED(each_way_to_have_no_gpu_has_its_sentence),
        ROOTED(a_machine_that_shows_nothing_is_examined_all_the_same),
        ROOTED(a_level_of_permission_that_stops_users_names_the_command),
        cmocka_unit_test(this_machine_is_examined_in_every_area),
        cmocka_unit_test(a_doctor_without_workers_is_refused),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
