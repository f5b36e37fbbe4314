/* SPDX-License-Identifier: MIT
 * What the facts say of CPU, memory and software: which of them disturb a measurement, and the remedy. */
#include <math.h>
#include <string.h>

#include "core_clock.h"
#include "doctor_parts.h"
#include "isa.h"

static enum doctor_grade worse(enum doctor_grade a, enum doctor_grade b)
{
    return a > b ? a : b;
}

/* A fact that is neither good nor bad. */
static void tell(struct diagnosis *d, enum doctor_area area, const struct machine_facts *m, enum machine_fact f)
{
    const struct fact *fact = &m->fact[f];

    doctor_add(d, area, machine_fact_key(f), fact->value[0] ? FINDING_INFO : FINDING_ABSENT, "", "%s",
               fact->value[0] ? fact->value : fact->why);
}

/* A fact that is fine or, when `disturbs`, is not. */
static void judge(struct diagnosis *d, enum doctor_area area, const struct machine_facts *m, enum machine_fact f, bool disturbs,
                  const char *remedy)
{
    const struct fact *fact = &m->fact[f];

    if (!fact->value[0])
        tell(d, area, m, f);
    else
        doctor_add(d, area, machine_fact_key(f), disturbs ? FINDING_WARN : FINDING_OK, disturbs ? remedy : "", "%s",
                   fact->value);
}

/* --- cpu -------------------------------------------------------------------------------------------------------------------
 */

static enum doctor_grade clocks(struct diagnosis *d, const struct machine_facts *m)
{
    const char *governor = m->fact[FACT_GOVERNOR].value;
    bool slows = governor[0] && strcmp(governor, "performance") != 0;
    double hz = core_clock_hz();

    judge(d, DOCTOR_CPU, m, FACT_GOVERNOR, slows,
          "for g in /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor; do echo performance | sudo tee $g; done");
    tell(d, DOCTOR_CPU, m, FACT_BOOST);
    tell(d, DOCTOR_CPU, m, FACT_FREQUENCY);
    if (hz > 0)
        doctor_add(d, DOCTOR_CPU, "frequency now", FINDING_INFO, "", "%.2f GHz, timed on one core", hz / 1e9);
    return slows ? DOCTOR_C : governor[0] ? DOCTOR_A : DOCTOR_B;
}

static enum doctor_grade sharing(struct diagnosis *d, const struct doctor_args *args)
{
    const struct machine_facts *m = args->facts;
    bool quota = isfinite(m->fact[FACT_CPU_QUOTA].number), virtual_machine = m->fact[FACT_VIRTUALISATION].number == 1;

    tell(d, DOCTOR_CPU, m, FACT_VIRTUALISATION);
    tell(d, DOCTOR_CPU, m, FACT_CONTAINER);
    judge(d, DOCTOR_CPU, m, FACT_CPU_QUOTA, quota,
          "docker update --cpus 0 CONTAINER; or take the limit out of the pod or the systemd unit (CPUQuota=)");
    return quota ? DOCTOR_D : args->shares_cores ? DOCTOR_C : virtual_machine ? DOCTOR_B : DOCTOR_A;
}

/* In what our kernels compute products here: there is a roof of that name for each. */
static void arithmetic(struct diagnosis *d)
{
    struct err e = {0};
    enum isa isa;

    if (isa_choose(&isa, &e) < 0)
        doctor_add(d, DOCTOR_CPU, "arithmetic", FINDING_WARN, "unset BENCH_ISA", "%s", e.text);
    else
        doctor_add(d, DOCTOR_CPU, "arithmetic", FINDING_INFO, "", "level %s: %s", isa_name(isa),
                   isa == ISA_AVX512BF16 ? "f32, bf16 dot, int8 dot" : "f32; no bf16 dot, no int8 dot");
}

enum doctor_grade doctor_cpu(struct diagnosis *d, const struct doctor_args *args)
{
    const struct machine_facts *m = args->facts;

    tell(d, DOCTOR_CPU, m, FACT_CPU);
    tell(d, DOCTOR_CPU, m, FACT_VECTORS);
    arithmetic(d);
    tell(d, DOCTOR_CPU, m, FACT_TOPOLOGY);
    tell(d, DOCTOR_CPU, m, FACT_SMT);
    doctor_add(d, DOCTOR_CPU, "workers", args->shares_cores ? FINDING_WARN : FINDING_OK,
               args->shares_cores ? "take one CPU of each core: bench run --cpus LIST ..., or taskset -c LIST bench ..." : "",
               "%d, %s", args->threads, args->shares_cores ? "some share a core" : "a core each");
    enum doctor_grade g = clocks(d, m);
    return worse(g, sharing(d, args));
}

/* --- memory ----------------------------------------------------------------------------------------------------------------
 */

static const char *or_none(const char *value)
{
    return value[0] ? value : "none";
}

enum doctor_grade doctor_memory(struct diagnosis *d, const struct doctor_args *args)
{
    static const double least_available = 1e9;
    const struct machine_facts *m = args->facts;
    const struct fact *fact = m->fact, *huge = &fact[FACT_HUGE_PAGES];
    bool no_huge = !huge->value[0] || strstr(huge->value, "[never]"), swapped = fact[FACT_SWAP].number > 0;
    bool limited = isfinite(fact[FACT_MEMORY_LIMIT].number), short_of = fact[FACT_AVAILABLE].number < least_available;
    bool migrates = fact[FACT_NUMA_BALANCING].number > 0;

    doctor_add(d, DOCTOR_MEMORY, "caches", FINDING_INFO, "", "L1d %s, L2 %s, L3 %s", or_none(fact[FACT_L1].value),
               or_none(fact[FACT_L2].value), or_none(fact[FACT_L3].value));
    tell(d, DOCTOR_MEMORY, m, FACT_MEMORY);
    judge(d, DOCTOR_MEMORY, m, FACT_AVAILABLE, short_of, "stop what holds the memory: ps aux --sort=-rss | head");
    judge(d, DOCTOR_MEMORY, m, FACT_SWAP, swapped, "sudo swapoff -a && sudo swapon -a");
    judge(d, DOCTOR_MEMORY, m, FACT_MEMORY_LIMIT, limited, "docker update --memory SIZE CONTAINER, if the model needs more");
    judge(d, DOCTOR_MEMORY, m, FACT_HUGE_PAGES, no_huge, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    if (no_huge)
        doctor_add(d, DOCTOR_MEMORY, "huge pages' worth", FINDING_INFO, "",
                   "not measured: it takes the other setting to compare");
    judge(d, DOCTOR_MEMORY, m, FACT_NUMA_BALANCING, migrates, "sudo sysctl kernel.numa_balancing=0");
    return short_of ? DOCTOR_D : no_huge ? DOCTOR_C : swapped || limited || migrates ? DOCTOR_B : DOCTOR_A;
}

/* --- software --------------------------------------------------------------------------------------------------------------
 */

enum doctor_grade doctor_software(struct diagnosis *d, const struct doctor_args *args)
{
    const struct machine_facts *m = args->facts;

    tell(d, DOCTOR_SOFTWARE, m, FACT_SYSTEM);
    tell(d, DOCTOR_SOFTWARE, m, FACT_KERNEL);
    tell(d, DOCTOR_SOFTWARE, m, FACT_OPENBLAS);
    if (m->fact[FACT_PAPI].value[0])
        tell(d, DOCTOR_SOFTWARE, m, FACT_PAPI);
    else
        doctor_add(d, DOCTOR_SOFTWARE, "PAPI", FINDING_ABSENT, "sudo apt-get install libpapi-dev && make", "%s",
                   m->fact[FACT_PAPI].why);
    tell(d, DOCTOR_SOFTWARE, m, FACT_LIBRARIES);
    return DOCTOR_UNGRADED;
}
