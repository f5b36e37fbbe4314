/* SPDX-License-Identifier: MIT
 * Cycles, instructions and page faults: a loop of known length, multiplications that wait for each other, pages never touched.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "known.h"
#include "pages.h"

#if defined(__x86_64__)
#define DECREMENT_AND_BRANCH "sub $1, %0\n\tjnz 1b"
#elif defined(__aarch64__)
#define DECREMENT_AND_BRANCH "subs %0, %0, #1\n\tb.ne 1b"
#endif

#ifdef DECREMENT_AND_BRANCH

/* Eight no-operations, a decrement and a branch: ten instructions a round. */
static KNOWN_UNCHECKED double counted_loop(struct known_room *room)
{
    const long rounds = 800000;
    long left = rounds;

    (void)room;
    __asm__ volatile("1:\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\t" DECREMENT_AND_BRANCH
                     : "+r"(left)
                     :
                     : "cc");
    return 10.0 * (double)rounds;
}

#endif
#if defined(__x86_64__)

/* Eight 32-bit multiplications, each waiting for the one before: three cycles each on x86 cores since 2006, whatever the clock
 * and the neighbours do. */
static KNOWN_UNCHECKED double multiply_chain(struct known_room *room)
{
    const long rounds = 250000;
    long left = rounds;
    unsigned x = 3;

    (void)room;
    __asm__ volatile("1:\n\timul %1, %1\n\timul %1, %1\n\timul %1, %1\n\timul %1, %1\n\t"
                     "imul %1, %1\n\timul %1, %1\n\timul %1, %1\n\timul %1, %1\n\tsub $1, %0\n\tjnz 1b"
                     : "+r"(left), "+r"(x)
                     :
                     : "cc");
    return 24.0 * (double)rounds;
}

#endif

static bool fresh_prepare(struct known_room *room)
{
    room->bytes = (size_t)512 * (size_t)sysconf(_SC_PAGESIZE);
    room->data = pages_alloc(room->bytes, NULL);
    if (room->data)
        madvise(room->data, room->bytes, MADV_NOHUGEPAGE);
    return room->data != NULL;
}

static KNOWN_UNCHECKED double fresh_run(struct known_room *room)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = room->bytes / page;
    volatile char *byte = room->data;

    for (size_t i = 0; i < pages; i++)
        byte[i * page] = 1;
    return (double)pages;
}

static void fresh_finish(struct known_room *room)
{
    pages_free(room->data, room->bytes);
    room->data = NULL;
}

const struct known known_core[] = {
#ifdef DECREMENT_AND_BRANCH
    {.name = "counted loop", .run = counted_loop, .expect = {{METRIC_INSTRUCTIONS, 1, true}}},
#endif
#if defined(__x86_64__)
    {.name = "chain of multiplications", .run = multiply_chain, .expect = {{METRIC_CYCLES, 1, true}}},
#endif
    {
        .name = "first touch of 4 KiB pages",
        .prepare = fresh_prepare,
        .run = fresh_run,
        .finish = fresh_finish,
        .expect = {{METRIC_PAGE_FAULTS_MINOR, 1, true}},
    },
    {.name = NULL},
};
