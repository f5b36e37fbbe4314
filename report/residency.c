/* SPDX-License-Identifier: MIT */
#include "residency.h"

#include <math.h>
#include <stdio.h>

static const double resident = 0.5; /* counted / analytic bytes below this: the data stays in cache */

const struct rows_cache *residency_of(const struct rows *r, double analytic, double pass, double counted)
{
    static const struct rows_cache unknown = {"", NAN};

    if (!(analytic > 0) || counted >= resident * analytic)
        return NULL;
    for (int i = 0; i < r->caches; i++)
        if (pass <= r->cache[i].bytes)
            return &r->cache[i];
    if (!isfinite(counted))
        return NULL;
    return r->caches ? &r->cache[r->caches - 1] : &unknown;
}

const struct rows_roof *residency_roof(const struct rows *r, const struct rows_cache *cache)
{
    char name[32];

    snprintf(name, sizeof name, "%s read", cache->level);
    return rows_find_roof(r, name);
}
