/* SPDX-License-Identifier: MIT
 * The first worker's part lies first and is as large as it needs alone, so that a machine of many cores needs no second area to
 * find out what one core can do. */
#include "area.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "pages.h"
#include "team.h"

enum { HUGE_PAGE = 2 << 20, FILL_BLOCK = 64 << 10 };

static const size_t matrices_bytes = (size_t)ROOF_MATRICES * ROOF_MATRIX_ROWS * ROOF_MATRIX_ROWS * sizeof(float);

static size_t whole_pages(size_t bytes)
{
    return bytes < HUGE_PAGE ? HUGE_PAGE : bytes / HUGE_PAGE * HUGE_PAGE;
}

float *area_part(const struct roof_area *a, int worker)
{
    return (float *)(void *)(a->base + (worker ? a->solo_bytes + (size_t)(worker - 1) * a->part_bytes : 0));
}

float *area_matrices(const struct roof_area *a, int worker)
{
    return (float *)(void *)((char *)area_part(a, a->threads) + (size_t)worker * matrices_bytes);
}

/* Small numbers of both signs: products stay finite, and no hardware saves energy on zeros. */
static void fill(void *to, size_t bytes, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    const size_t first = bytes < FILL_BLOCK ? bytes : FILL_BLOCK;
    float *value = to;

    for (size_t i = 0; i < first / sizeof *value; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        value[i] = (float)(int32_t)(x >> 32) / 2147483648.0f;
    }
    for (size_t at = first; at < bytes; at += first)
        memcpy((char *)to + at, to, bytes - at < first ? bytes - at : first);
}

void area_refill(const struct roof_area *a, size_t bytes)
{
    fill(a->base, bytes < a->solo_bytes ? bytes : a->solo_bytes, 1);
}

/* Bytes of huge pages in the mappings that lie within [from, to). */
static double huge_bytes(uintptr_t from, uintptr_t to)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    double sum = 0;
    char line[512];
    uintptr_t start, end;
    long kib;
    int within = 0;

    if (!f)
        return -1;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &start, &end) == 2)
            within = start < to && end > from;
        else if (within && sscanf(line, "AnonHugePages: %ld kB", &kib) == 1)
            sum += (double)kib * 1024;
    }
    fclose(f);
    return sum;
}

/* Each worker touches its own first. */
static void fill_worker(void *area, int worker)
{
    const struct roof_area *a = area;

    fill(area_part(a, worker), worker ? a->part_bytes : a->solo_bytes, (uint64_t)worker + 1);
    fill(area_matrices(a, worker), matrices_bytes, (uint64_t)worker + 1);
}

int area_open(struct roof_area *a, enum roof_pages pages, int threads, size_t part_bytes, size_t solo_bytes, struct err *e)
{
    *a = (struct roof_area){.asked = pages, .threads = threads, .part_bytes = whole_pages(part_bytes)};
    a->solo_bytes = whole_pages(solo_bytes > part_bytes ? solo_bytes : part_bytes);
    const size_t bytes = a->solo_bytes + (size_t)(threads - 1) * a->part_bytes + (size_t)threads * matrices_bytes;

    a->mapped = bytes + HUGE_PAGE;
    a->mapping = pages_alloc(a->mapped, e);
    if (!a->mapping)
        return err_wrap(e, "roofs");
    if (pages == ROOF_PAGES_SMALL)
        madvise(a->mapping, a->mapped, MADV_NOHUGEPAGE);
    a->base = a->mapping + (HUGE_PAGE - (uintptr_t)a->mapping % HUGE_PAGE) % HUGE_PAGE;
    team_run(threads, fill_worker, a);
    const double huge = huge_bytes((uintptr_t)a->mapping, (uintptr_t)a->mapping + a->mapped);
    a->huge_share = huge < 0 ? -1 : huge > (double)bytes ? 1 : huge / (double)bytes;
    return 0;
}

void area_close(struct roof_area *a)
{
    pages_free(a->mapping, a->mapped);
    *a = (struct roof_area){0};
}
