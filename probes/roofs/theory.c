/* SPDX-License-Identifier: MIT
 * Memory modules are told by the firmware's table 17 ("Memory Device", DMTF DSP0134 section 7.18), which only root may read and
 * which guests mostly lack. Operations a cycle are the vendors' (optimisation manuals), one line a family of cores. */
#include "theory.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* Offsets in table 17. */
enum {
    DIMM_LENGTH = 1,
    DIMM_DATA_WIDTH = 0x0a,
    DIMM_SIZE = 0x0c,
    DIMM_SPEED = 0x15,
    DIMM_CONFIGURED = 0x20,
    DIMM_BYTES = 0x22
};

static const struct {
    const char *vendor;
    unsigned family, first, last; /* family and models; Arm: implementer and parts */
    int flops;
} cores[] = {
    {"AuthenticAMD", 0x17, 0x00, 0x2f, 16}, /* Zen 1: two 128-bit FMA */
    {"AuthenticAMD", 0x17, 0x30, 0xff, 32}, /* Zen 2: two 256-bit FMA */
    {"AuthenticAMD", 0x19, 0x00, 0xff, 32}, /* Zen 3 and 4 */
    {"AuthenticAMD", 0x1a, 0x20, 0x2f, 32}, /* Zen 5 of laptops: 256-bit units */
    {"AuthenticAMD", 0x1a, 0x00, 0xff, 64}, /* Zen 5: two 512-bit FMA */
    {"GenuineIntel", 6, 0x55, 0x55, 64},    /* Skylake-X to Cooper Lake; some models have one unit: 32 */
    {"GenuineIntel", 6, 0x6a, 0x6c, 64},    /* Ice Lake servers */
    {"GenuineIntel", 6, 0x8f, 0x8f, 64},    /* Sapphire Rapids */
    {"GenuineIntel", 6, 0xcf, 0xcf, 64},    /* Emerald Rapids */
    {"GenuineIntel", 6, 0xad, 0xae, 64},    /* Granite Rapids */
    {"GenuineIntel", 6, 0x3c, 0x3f, 32},    /* Haswell, Broadwell */
    {"GenuineIntel", 6, 0x45, 0x47, 32},    {"GenuineIntel", 6, 0x4e, 0x4f, 32}, /* and Skylake */
    {"GenuineIntel", 6, 0x5e, 0x5e, 32},    {"GenuineIntel", 6, 0x8e, 0x8e, 32}, /* Kaby Lake to Comet Lake */
    {"GenuineIntel", 6, 0x9e, 0x9e, 32},    {"GenuineIntel", 6, 0xa5, 0xa7, 32},
    {"GenuineIntel", 6, 0x7d, 0x7e, 32},    {"GenuineIntel", 6, 0x8c, 0x8d, 32}, /* Ice Lake, Tiger Lake of laptops */
    {"GenuineIntel", 6, 0x97, 0x9a, 32},    {"GenuineIntel", 6, 0xb7, 0xbf, 32}, /* Alder Lake, Raptor Lake: large cores */
    {"arm", 0x41, 0xd0c, 0xd0c, 16},                                             /* Neoverse N1: two 128-bit FMA */
    {"arm", 0x41, 0xd49, 0xd49, 16},                                             /* Neoverse N2 */
    {"arm", 0x41, 0xd40, 0xd40, 32},                                             /* Neoverse V1: four */
    {"arm", 0x41, 0xd4f, 0xd4f, 32},                                             /* Neoverse V2 */
};

int theory_flops_a_cycle(const struct cpu_id *id)
{
    const int arm = strcmp(id->vendor, "arm") == 0;
    const unsigned family = arm ? id->implementer : id->family, model = arm ? id->part : id->model;

    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (strcmp(cores[i].vendor, id->vendor) == 0 && cores[i].family == family && cores[i].first <= model &&
            model <= cores[i].last)
            return cores[i].flops;
    return 0;
}

static double read_number(const char *root, const char *path)
{
    char full[512];
    double value = 0;

    snprintf(full, sizeof full, "%s%s", root, path);
    FILE *f = fopen(full, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lf", &value) != 1)
        value = 0;
    fclose(f);
    return value;
}

static void cpufreq(struct theory_line *l, const char *root)
{
    const double khz = read_number(root, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    const double now = read_number(root, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq");

    *l = (struct theory_line){.what = "frequency, the system's highest", .value = khz * 1e3};
    if (khz > 0)
        snprintf(l->text, sizeof l->text, "%.2f GHz, now %.2f GHz (cpufreq of cpu0)", khz / 1e6, now / 1e6);
    else
        snprintf(l->text, sizeof l->text, "not readable here (no cpufreq for cpu0; guests mostly have none)");
}

static void cpuid_frequency(struct theory_line *l)
{
    *l = (struct theory_line){.what = "frequency, the CPU's own word"};
#if defined(__x86_64__)
    unsigned base = 0, most = 0, bus = 0, unused = 0;
    if (__get_cpuid(0x16, &base, &most, &bus, &unused) && most > 0) {
        l->value = most * 1e6;
        snprintf(l->text, sizeof l->text, "%.2f GHz at most, base %.2f GHz (CPUID 0x16)", most / 1e3, base / 1e3);
        return;
    }
#endif
    snprintf(l->text, sizeof l->text, "not readable here (CPUID leaf 0x16 is Intel's, and empty in many guests)");
}

static void peak(struct theory_line *l, double hz)
{
    struct cpu_id id;
    const int flops = cpu_identify(&id) ? theory_flops_a_cycle(&id) : 0;

    *l = (struct theory_line){.what = "f32 FMA peak, one thread", .value = hz * flops};
    if (flops == 0)
        snprintf(l->text, sizeof l->text, "not known for this CPU: its operations a cycle are in the vendor's manual");
    else if (hz <= 0)
        snprintf(l->text, sizeof l->text, "%d FLOP a cycle of this core; the frequency could not be measured", flops);
    else
        snprintf(l->text, sizeof l->text, "%.1f GFLOP/s = %.2f GHz x %d FLOP a cycle of this core", hz * flops / 1e9, hz / 1e9,
                 flops);
}

static unsigned word(const uint8_t *raw, int at)
{
    return raw[at] | (unsigned)raw[at + 1] << 8;
}

/* One table 17: its bytes a second, 0 when the slot is empty or says too little. */
static double dimm_rate(const char *path, unsigned *mts)
{
    uint8_t raw[DIMM_BYTES] = {0};
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    const size_t n = fread(raw, 1, sizeof raw, f);
    fclose(f);
    if (n <= DIMM_SPEED + 1 || raw[0] != 17 || word(raw, DIMM_SIZE) == 0)
        return 0;
    *mts = n >= DIMM_BYTES && raw[DIMM_LENGTH] >= DIMM_BYTES && word(raw, DIMM_CONFIGURED) ? word(raw, DIMM_CONFIGURED)
                                                                                           : word(raw, DIMM_SPEED);
    const unsigned width = word(raw, DIMM_DATA_WIDTH);
    return *mts == 0xffff || width == 0xffff ? 0 : (double)*mts * 1e6 * width / 8;
}

static void memory(struct theory_line *l, const char *root)
{
    char folder[256], path[768];
    unsigned mts = 0;
    int modules = 0;

    snprintf(folder, sizeof folder, "%s/sys/firmware/dmi/entries", root);
    *l = (struct theory_line){.what = "DRAM peak, whole machine"};
    DIR *d = opendir(folder);
    for (struct dirent *entry = d ? readdir(d) : NULL; entry; entry = readdir(d)) {
        if (strncmp(entry->d_name, "17-", 3) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s/raw", folder, entry->d_name);
        const double rate = dimm_rate(path, &mts);
        modules += rate > 0;
        l->value += rate;
    }
    if (d)
        closedir(d);
    if (modules > 0)
        snprintf(l->text, sizeof l->text, "%.1f GB/s = %d modules at %u MT/s, if each has a channel of its own (firmware)",
                 l->value / 1e9, modules, mts);
    else
        snprintf(l->text, sizeof l->text, "not readable here (as root on the machine itself: dmidecode -t memory)");
}

void theory_read(struct theory_line line[THEORY_LINES], double hz, const char *root)
{
    line[0] = (struct theory_line){.what = "frequency, as measured", .value = hz};
    if (hz > 0)
        snprintf(line[0].text, sizeof line[0].text, "%.2f GHz (a chain of dependent additions, one a cycle)", hz / 1e9);
    else
        snprintf(line[0].text, sizeof line[0].text, "no chain of additions for this architecture");
    cpufreq(&line[1], root);
    cpuid_frequency(&line[2]);
    peak(&line[3], hz);
    memory(&line[4], root);
}
