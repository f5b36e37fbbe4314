/* SPDX-License-Identifier: MIT */
#include "residency.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double resident = 0.5; /* counted / analytic bytes below this: the data stays in cache */

double residency_bytes(const struct rows *r, const struct rows_cache *cache, int threads)
{
    bool shared = strcmp(cache->level, "l3") == 0;

    return shared || r->threads < 1 ? cache->bytes : cache->bytes * threads / r->threads;
}

const struct rows_cache *residency_of(const struct rows *r, const struct residency *of)
{
    static const struct rows_cache unknown = {"", NAN};

    if (!(of->analytic > 0) || of->counted >= resident * of->analytic)
        return NULL;
    for (int i = 0; i < r->caches; i++)
        if (of->pass <= residency_bytes(r, &r->cache[i], of->threads))
            return &r->cache[i];
    if (!isfinite(of->counted))
        return NULL;
    return r->caches ? &r->cache[r->caches - 1] : &unknown;
}

const struct rows_roof *residency_roof(const struct rows *r, const struct rows_cache *cache, int threads)
{
    char name[32];

    snprintf(name, sizeof name, "%s read", cache->level);
    return rows_find_roof(r, name, threads);
}
