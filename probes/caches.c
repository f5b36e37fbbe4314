/* SPDX-License-Identifier: MIT
 * The first data cache of each level stands for its level; machines with different cores are beyond this. */
#include "caches.h"

#include <hwloc.h>

static size_t size_of(hwloc_topology_t topo, hwloc_obj_type_t type)
{
    hwloc_obj_t o = hwloc_get_obj_by_type(topo, type, 0);

    return o ? (size_t)o->attr->cache.size : 0;
}

void caches_find(struct caches *c)
{
    hwloc_topology_t topo = NULL;

    *c = (struct caches){0};
    if (hwloc_topology_init(&topo) < 0)
        return;
    if (hwloc_topology_load(topo) < 0)
        goto out;
    c->l1 = size_of(topo, HWLOC_OBJ_L1CACHE);
    c->l2 = size_of(topo, HWLOC_OBJ_L2CACHE);
    c->l3 = size_of(topo, HWLOC_OBJ_L3CACHE);
    c->l3_count = hwloc_get_nbobjs_by_type(topo, HWLOC_OBJ_L3CACHE);
    hwloc_obj_t l3 = hwloc_get_obj_by_type(topo, HWLOC_OBJ_L3CACHE, 0);
    if (l3)
        c->l3_cores = hwloc_get_nbobjs_inside_cpuset_by_type(topo, l3->cpuset, HWLOC_OBJ_CORE);
out:
    hwloc_topology_destroy(topo);
}

size_t caches_last_level(const struct caches *c, int threads)
{
    int instances = c->l3_count < threads ? c->l3_count : threads;

    return c->l3 ? c->l3 * (size_t)instances : c->l2 * (size_t)threads;
}
