/* SPDX-License-Identifier: MIT
 * What kernels of known work share: their tables, and how large data must be to live at a level. */
#include "known.h"

#include "caches.h"

const struct known *const known_tables[] = {known_flops, known_bytes, known_core, NULL};

const struct known_expectation *known_expects(const struct known *k, enum metric m)
{
    for (int i = 0; i < KNOWN_EXPECTATIONS && k->expect[i].metric != METRIC_WALL_NS; i++)
        if (k->expect[i].metric == m)
            return &k->expect[i];
    return NULL;
}

bool known_is_available(const struct known *k, enum isa isa, const struct known_sizes *s)
{
    return k->isa <= isa && (!k->available || k->available()) && (k->level == KNOWN_REGISTERS || s->level[k->level].bytes > 0);
}

/* At least four times what the team's last-level caches hold, so that next to nothing of one pass is left for the next. */
static size_t beyond_caches(const struct caches *c, int threads)
{
    const size_t least = (size_t)256 << 20, most = (size_t)1 << 30;
    size_t total = 4 * caches_last_level(c, threads);

    total = total < least ? least : total > most ? most : total;
    return total / (size_t)threads;
}

/* Half a level leaves room for what else runs; a worker's share of L3 must be well beyond its L2 to miss that. */
void known_sizes_find(struct known_sizes *s, int threads)
{
    const size_t touched = (size_t)64 << 20;
    struct caches c;

    caches_find(&c);
    const int sharers = threads < c.l3_cores ? threads : c.l3_cores > 0 ? c.l3_cores : 1;
    const size_t share = c.l3 / (size_t)sharers / 2;
    const size_t bytes[KNOWN_LEVELS] = {
        [KNOWN_L1] = c.l1 / 2,
        [KNOWN_L2] = c.l2 >= 8 * c.l1 ? c.l2 / 2 : 0,
        [KNOWN_L3] = share >= 2 * c.l2 ? share : 0,
        [KNOWN_DRAM] = beyond_caches(&c, threads),
    };
    for (int i = 0; i < KNOWN_LEVELS; i++) {
        struct known_room *room = &s->level[i];
        *room = (struct known_room){.bytes = bytes[i] / 4096 * 4096, .passes = 1};
        if (i != KNOWN_DRAM && room->bytes > 0)
            room->passes = (int)(touched / room->bytes) + 1;
    }
}
