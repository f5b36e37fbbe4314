/* SPDX-License-Identifier: MIT */
#include "team.h"

#include <hwloc.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A container's CPU quota in whole CPUs, rounded up; a large number without one. */
static int cgroup_quota(void)
{
    long long quota, period;
    int cpus = 1 << 20;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");

    if (!f)
        return cpus;
    if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0)
        cpus = (int)((quota + period - 1) / period);
    fclose(f);
    return cpus;
}

int team_max_threads(void)
{
    cpu_set_t allowed;
    int quota = cgroup_quota();

    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return 1;
    int n = CPU_COUNT(&allowed);
    return n < quota ? n : quota;
}

/* OS indices of the allowed CPUs: one of each core first, then the cores' other hardware threads. */
static int list_cpus(int *cpu, int max, int *cores)
{
    hwloc_topology_t topo = NULL;
    cpu_set_t allowed;
    int n = 0;

    *cores = 0;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0 || hwloc_topology_init(&topo) < 0)
        return 0;
    if (hwloc_topology_load(topo) < 0)
        goto out;
    int core_count = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_CORE);
    for (int sibling = 0, found = 1; found && n < max; sibling++) {
        found = 0;
        for (int c = 0; c < core_count && n < max; c++) {
            hwloc_obj_t core = hwloc_get_obj_by_type(topo, HWLOC_OBJ_CORE, (unsigned)c);
            hwloc_obj_t pu = hwloc_get_obj_inside_cpuset_by_type(topo, core->cpuset, HWLOC_OBJ_PU, (unsigned)sibling);
            if (!pu)
                continue;
            found = 1;
            if (pu->os_index < CPU_SETSIZE && CPU_ISSET(pu->os_index, &allowed)) {
                cpu[n++] = (int)pu->os_index;
                *cores += sibling == 0;
            }
        }
    }
out:
    hwloc_topology_destroy(topo);
    return n;
}

static int pin_to(int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

int team_start(struct team *t, int threads, struct err *e)
{
    int cpu[CPU_SETSIZE], cores, failed = 0;
    int available = list_cpus(cpu, CPU_SETSIZE, &cores);
    int most = team_max_threads();

    if (threads == 0)
        threads = cores > 0 && cores < most ? cores : most;
    if (threads < 1 || threads > most)
        return err_set(e, ERR_USAGE, "--threads %d: this process may use 1 to %d", threads, most);
    *t = (struct team){.threads = threads, .shares_cores = threads > cores};
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
#pragma omp parallel num_threads(threads) reduction(+ : failed)
    {
        int i = omp_get_thread_num();
        failed += i >= available || pin_to(cpu[i]) < 0;
    }
    t->pinned = failed == 0;
    for (int i = 0, n = 0; i < threads && i < available && n < (int)sizeof t->cpus - 8; i++)
        n += snprintf(t->cpus + n, sizeof t->cpus - (size_t)n, "%s%d", i ? "," : "", cpu[i]);
    return 0;
}
