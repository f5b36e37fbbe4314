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

/* Distinct cores that the CPUs belong to. */
static int cores_among(const int *cpu, int n)
{
    hwloc_topology_t topo = NULL;
    hwloc_bitmap_t seen = hwloc_bitmap_alloc();
    int cores = n;

    if (!seen || hwloc_topology_init(&topo) < 0)
        goto out;
    if (hwloc_topology_load(topo) == 0) {
        for (int i = 0; i < n; i++) {
            hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(topo, (unsigned)cpu[i]);
            hwloc_obj_t core = pu ? hwloc_get_ancestor_obj_by_type(topo, HWLOC_OBJ_CORE, pu) : NULL;
            if (core)
                hwloc_bitmap_set(seen, core->logical_index);
        }
        cores = hwloc_bitmap_weight(seen) > 0 ? hwloc_bitmap_weight(seen) : n;
    }
    hwloc_topology_destroy(topo);
out:
    hwloc_bitmap_free(seen);
    return cores;
}

static int pin_to(int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one);
}

/* Keeps of the allowed CPUs those that the list names. */
static int keep_named(int *cpu, int *n, const char *cpus, struct err *e)
{
    hwloc_bitmap_t named = hwloc_bitmap_alloc();
    int kept = 0, code = 0;

    if (!named || hwloc_bitmap_list_sscanf(named, cpus) < 0 || hwloc_bitmap_weight(named) < 1) {
        code = err_set(e, ERR_USAGE, "--cpus %s: expected a list of CPUs such as 0,2-3", cpus);
        goto out;
    }
    for (int i = 0; i < *n; i++)
        if (hwloc_bitmap_isset(named, (unsigned)cpu[i]))
            cpu[kept++] = cpu[i];
    if (kept != hwloc_bitmap_weight(named))
        code = err_set(e, ERR_USAGE, "--cpus %s: this process may use %d CPUs, and not all of those are among them", cpus, *n);
    *n = kept;
out:
    hwloc_bitmap_free(named);
    return code;
}

static int started; /* workers of the pool; the team is the process's own, as OpenMP's pool is */

static void pin_workers(struct team *t, const int *cpu, int available)
{
    int failed = 0;

#pragma omp parallel num_threads(t->threads) reduction(+ : failed)
    {
        int i = omp_get_thread_num();
        failed += i >= available || pin_to(cpu[i]) < 0;
    }
    t->pinned = failed == 0;
}

int team_start(struct team *t, int threads, const char *cpus, struct err *e)
{
    int cpu[CPU_SETSIZE], cores;
    int available = list_cpus(cpu, CPU_SETSIZE, &cores);
    int most = team_max_threads();

    if (cpus) {
        int code = keep_named(cpu, &available, cpus, e);
        if (code < 0)
            return code;
        most = available < most ? available : most;
        cores = cores_among(cpu, available);
    }
    if (threads == 0)
        threads = !cpus && cores > 0 && cores < most ? cores : most;
    if (threads < 1 || threads > most)
        return err_set(e, ERR_USAGE, "--threads %d: this process may use 1 to %d", threads, most);
    *t = (struct team){.threads = threads, .shares_cores = threads > cores};
    omp_set_dynamic(0);
    omp_set_num_threads(threads);
    pin_workers(t, cpu, available);
    started = threads;
    for (int i = 0, n = 0; i < threads && i < available && n < (int)sizeof t->cpus - 8; i++)
        n += snprintf(t->cpus + n, sizeof t->cpus - (size_t)n, "%s%d", i ? "," : "", cpu[i]);
    return 0;
}

int team_size(void)
{
    return started ? started : omp_get_max_threads();
}

void team_run(int workers, void (*work)(void *ctx, int worker), void *ctx)
{
    int all = workers > started ? workers : started;

    if (workers == 1) {
        work(ctx, 0);
        return;
    }
#pragma omp parallel num_threads(all)
    if (omp_get_thread_num() < workers)
        work(ctx, omp_get_thread_num());
}

static inline void spin(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum { SPINS_BEFORE_YIELD = 1 << 14 };

void team_wait(struct team_barrier *b, int workers)
{
    int turn = __atomic_load_n(&b->turn, __ATOMIC_RELAXED);

    if (workers == 1)
        return;
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == workers) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->turn, turn + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&b->turn, __ATOMIC_ACQUIRE) == turn; spins++)
        if (spins < SPINS_BEFORE_YIELD)
            spin();
        else
            sched_yield();
}

void team_share(int n, int unit, int worker, int workers, int *from, int *to)
{
    long long units = ((long long)n + unit - 1) / unit;
    long long first = units * worker / workers * unit, last = units * (worker + 1) / workers * unit;

    *from = first < n ? (int)first : n;
    *to = last < n ? (int)last : n;
}
