/* SPDX-License-Identifier: MIT
 * Known traffic: streams that read, write, copy and write past the caches, and a chase of pointers that no prefetcher can
 * follow, on data that lives in L1, in L2, in L3 or in memory. One pass before the count warms the caches that the data fits.
 *
 * A stream of plain stores reads each line to own it and writes it back later: both are its traffic. Which of this an event
 * sees is told by the comparisons that are only shown. */
#include <stdint.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "known.h"
#include "pages.h"

enum { LINE = 64, LINE_WORDS = LINE / sizeof(uint64_t) };

static KNOWN_UNCHECKED double read_run(struct known_room *room)
{
    const volatile uint64_t *line = (const uint64_t *)room->data;
    uint64_t sum = 0;

    /* One load a cache line brings the whole line. */
    for (int pass = 0; pass < room->passes; pass++)
        for (size_t i = 0; i < room->bytes / sizeof(uint64_t); i += LINE_WORDS)
            sum += line[i];
    *(volatile uint64_t *)room->data = sum;
    return (double)room->bytes * room->passes;
}

static KNOWN_UNCHECKED double write_run(struct known_room *room)
{
    volatile uint64_t *word = (uint64_t *)room->data;

    for (int pass = 0; pass < room->passes; pass++)
        for (size_t i = 0; i < room->bytes / sizeof(uint64_t); i += LINE_WORDS)
            word[i] = i;
    return (double)room->bytes * room->passes;
}

/* The second half of the data to the first. */
static KNOWN_UNCHECKED double copy_run(struct known_room *room)
{
    volatile uint64_t *to = (uint64_t *)room->data;
    const size_t half = room->bytes / 2 / LINE * LINE_WORDS;

    for (int pass = 0; pass < room->passes; pass++)
        for (size_t i = 0; i < half; i += LINE_WORDS)
            to[i] = to[half + i];
    return (double)(2 * half * sizeof(uint64_t)) * room->passes;
}

/* Each line holds the place of the next. */
static KNOWN_UNCHECKED double chase_run(struct known_room *room)
{
    const size_t lines = room->bytes / LINE;
    uint64_t at = 0;

    for (int pass = 0; pass < room->passes; pass++)
        for (size_t i = 0; i < lines; i++)
            at = *(const volatile uint64_t *)(room->data + at * LINE);
    ((volatile uint64_t *)room->data)[1] = at;
    return (double)lines * LINE * room->passes;
}

static KNOWN_UNCHECKED bool stream_prepare(struct known_room *room)
{
    room->data = pages_alloc(room->bytes, NULL);
    if (!room->data)
        return false;
    for (size_t i = 0; i < room->bytes / sizeof(uint64_t); i++)
        ((volatile uint64_t *)room->data)[i] = i;
    return true;
}

static void stream_finish(struct known_room *room)
{
    pages_free(room->data, room->bytes);
    room->data = NULL;
}

/* One ring through all lines in a random order (Sattolo's shuffle, a fixed seed). */
static KNOWN_UNCHECKED bool chase_prepare(struct known_room *room)
{
    const size_t lines = room->bytes / LINE;
    uint64_t random = 88172645463325252u;

    if (!stream_prepare(room))
        return false;
    volatile uint64_t *word = (uint64_t *)room->data;
    for (size_t i = 0; i < lines; i++)
        word[i * LINE_WORDS] = i;
    for (size_t i = lines - 1; i > 0; i--) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t j = random % i;
        uint64_t swap = word[i * LINE_WORDS];
        word[i * LINE_WORDS] = word[j * LINE_WORDS];
        word[j * LINE_WORDS] = swap;
    }
    return true;
}

#if defined(__x86_64__)

/* Whole lines, so that the write-combining buffers never have to read. */
static KNOWN_UNCHECKED double stream_run(struct known_room *room)
{
    const __m128i value = _mm_set1_epi32(7);

    for (int pass = 0; pass < room->passes; pass++)
        for (size_t i = 0; i < room->bytes; i += sizeof value)
            _mm_stream_si128((__m128i *)(room->data + i), value);
    _mm_sfence();
    return (double)room->bytes * room->passes;
}
#endif

#define MUST(metric, factor)                                                                                                   \
    {                                                                                                                          \
        metric, factor, true                                                                                                   \
    }
#define SHOWN(metric, factor)                                                                                                  \
    {                                                                                                                          \
        metric, factor, false                                                                                                  \
    }
#define STREAM(title, home, prepares, runs, ...)                                                                               \
    {                                                                                                                          \
        .name = title, .level = home, .prepare = prepares, .run = runs, .finish = stream_finish, .expect = { __VA_ARGS__ }     \
    }
/* Stores and copies read each line to own it. */
#define IN_L1   SHOWN(METRIC_L2_READ_BYTES, 0), SHOWN(METRIC_L3_READ_BYTES, 0), SHOWN(METRIC_DRAM_READ_BYTES, 0)
#define IN_L2   SHOWN(METRIC_L2_READ_BYTES, 1), SHOWN(METRIC_L3_READ_BYTES, 0), SHOWN(METRIC_DRAM_READ_BYTES, 0)
#define IN_L3   SHOWN(METRIC_L2_READ_BYTES, 1), SHOWN(METRIC_L3_READ_BYTES, 1), SHOWN(METRIC_DRAM_READ_BYTES, 0)
#define IN_DRAM SHOWN(METRIC_L2_READ_BYTES, 1), SHOWN(METRIC_L3_READ_BYTES, 1), SHOWN(METRIC_DRAM_READ_BYTES, 1)
#define PAST_CACHES                                                                                                            \
    SHOWN(METRIC_L2_READ_BYTES, 0), SHOWN(METRIC_L3_READ_BYTES, 0), SHOWN(METRIC_DRAM_READ_BYTES, 0),                          \
        SHOWN(METRIC_DRAM_WRITE_BYTES, 1)

const struct known known_bytes[] = {
    /* The read streams decide: each quantity must see the streams of its own level and beyond, and nothing of the one below. */
    STREAM("read stream, L1", KNOWN_L1, stream_prepare, read_run, MUST(METRIC_L2_READ_BYTES, 0), SHOWN(METRIC_L3_READ_BYTES, 0),
           SHOWN(METRIC_DRAM_READ_BYTES, 0)),
    STREAM("read stream, L2", KNOWN_L2, stream_prepare, read_run, MUST(METRIC_L2_READ_BYTES, 1), MUST(METRIC_L3_READ_BYTES, 0),
           MUST(METRIC_DRAM_READ_BYTES, 0), MUST(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("read stream, L3", KNOWN_L3, stream_prepare, read_run, SHOWN(METRIC_L2_READ_BYTES, 1), MUST(METRIC_L3_READ_BYTES, 1),
           SHOWN(METRIC_DRAM_READ_BYTES, 0)),
    STREAM("read stream, DRAM", KNOWN_DRAM, stream_prepare, read_run, MUST(METRIC_L2_READ_BYTES, 1),
           MUST(METRIC_L3_READ_BYTES, 1), MUST(METRIC_DRAM_READ_BYTES, 1)),
    STREAM("write stream, L1", KNOWN_L1, stream_prepare, write_run, IN_L1, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("write stream, L2", KNOWN_L2, stream_prepare, write_run, IN_L2, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("write stream, L3", KNOWN_L3, stream_prepare, write_run, IN_L3, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("write stream, DRAM", KNOWN_DRAM, stream_prepare, write_run, IN_DRAM, MUST(METRIC_DRAM_WRITE_BYTES, 1)),
    STREAM("copy, L1", KNOWN_L1, stream_prepare, copy_run, IN_L1, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("copy, L2", KNOWN_L2, stream_prepare, copy_run, IN_L2, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("copy, L3", KNOWN_L3, stream_prepare, copy_run, IN_L3, SHOWN(METRIC_DRAM_WRITE_BYTES, 0)),
    STREAM("copy, DRAM", KNOWN_DRAM, stream_prepare, copy_run, IN_DRAM, SHOWN(METRIC_DRAM_WRITE_BYTES, 0.5)),
#if defined(__x86_64__)
    STREAM("stores past the caches, L1", KNOWN_L1, stream_prepare, stream_run, PAST_CACHES),
    STREAM("stores past the caches, L2", KNOWN_L2, stream_prepare, stream_run, PAST_CACHES),
    STREAM("stores past the caches, L3", KNOWN_L3, stream_prepare, stream_run, PAST_CACHES),
    STREAM("stores past the caches, DRAM", KNOWN_DRAM, stream_prepare, stream_run, PAST_CACHES),
#endif
    STREAM("pointer chase, L1", KNOWN_L1, chase_prepare, chase_run, IN_L1),
    STREAM("pointer chase, L2", KNOWN_L2, chase_prepare, chase_run, IN_L2),
    STREAM("pointer chase, L3", KNOWN_L3, chase_prepare, chase_run, IN_L3),
    STREAM("pointer chase, DRAM", KNOWN_DRAM, chase_prepare, chase_run, IN_DRAM),
    {.name = NULL},
};
