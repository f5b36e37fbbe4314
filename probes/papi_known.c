/* SPDX-License-Identifier: MIT
 * Work whose amount follows from the instructions themselves: chains of floating-point operations of each width, a loop of
 * known length, multiplications that wait for each other, a stream far larger than the caches, pages never touched before.
 *
 * The kernels are free of sanitizer checks, which would execute instructions and touch pages of their own. */
#include "papi_known.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "caches.h"
#include "pages.h"

#define UNCHECKED __attribute__((noinline, no_sanitize("address", "undefined")))

enum { CHAINS = 8, FLOP_ROUNDS = 200000 };

/* Separate multiplication and addition: without a fused instruction, and on every CPU. */
static UNCHECKED double multiply_add(struct papi_room *room)
{
    float x[CHAINS] = {1, 2, 3, 4, 5, 6, 7, 8};
    volatile float factor = 0.999f, addend = 1.0f;
    float b = factor, a = addend;

    (void)room;
    for (long i = 0; i < FLOP_ROUNDS; i++)
        for (int j = 0; j < CHAINS; j++)
            x[j] = x[j] * b + a;
    for (int j = 0; j < CHAINS; j++)
        factor = x[j];
    return 2.0 * CHAINS * FLOP_ROUNDS;
}

#if defined(__x86_64__)

/* One family of kernels: `type` of `lanes` numbers, combined by `step`. The result goes to a volatile so that it is computed.
 */
#define FLOP_KERNEL(kernel, isa_flags, type, set1, step, first, flops)                                                         \
    static UNCHECKED __attribute__((target(isa_flags))) double kernel(struct papi_room *room)                                  \
    {                                                                                                                          \
        const type a = set1(1.0f), b = set1(0.999f);                                                                           \
        type x[CHAINS] = {a, b, a, b, a, b, a, b};                                                                             \
        volatile float sink;                                                                                                   \
                                                                                                                               \
        (void)room;                                                                                                            \
        for (long i = 0; i < FLOP_ROUNDS; i++)                                                                                 \
            for (int j = 0; j < CHAINS; j++)                                                                                   \
                x[j] = step;                                                                                                   \
        for (int j = 0; j < CHAINS; j++)                                                                                       \
            sink = first(x[j]);                                                                                                \
        (void)sink;                                                                                                            \
        return (double)(flops)*CHAINS * FLOP_ROUNDS;                                                                           \
    }

FLOP_KERNEL(scalar_fma, "avx2,fma", __m128, _mm_set1_ps, _mm_fmadd_ss(x[j], b, a), _mm_cvtss_f32, 2)
FLOP_KERNEL(fma_128, "avx2,fma", __m128, _mm_set1_ps, _mm_fmadd_ps(x[j], b, a), _mm_cvtss_f32, 8)
FLOP_KERNEL(fma_256, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps(x[j], b, a), _mm256_cvtss_f32, 16)
FLOP_KERNEL(add_256, "avx2,fma", __m256, _mm256_set1_ps, _mm256_add_ps(x[j], b), _mm256_cvtss_f32, 8)
FLOP_KERNEL(fma_512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps(x[j], b, a), _mm512_cvtss_f32, 32)

/* Eight no-operations, a decrement and a branch: ten instructions a round. */
static UNCHECKED double counted_loop(struct papi_room *room)
{
    const long rounds = 800000;
    long left = rounds;

    (void)room;
    __asm__ volatile("1:\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop\n\tsub $1, %0\n\tjnz 1b"
                     : "+r"(left)
                     :
                     : "cc");
    return 10.0 * (double)rounds;
}

/* Eight 32-bit multiplications, each waiting for the one before: three cycles each on x86 cores since 2006, whatever the clock
 * and the neighbours do. */
static UNCHECKED double multiply_chain(struct papi_room *room)
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

/* At least four times what the team's last-level caches hold, so that next to nothing of one pass is left for the next. */
static size_t stream_bytes(int threads)
{
    const size_t least = (size_t)256 << 20, most = (size_t)1 << 30;
    struct caches c;

    caches_find(&c);
    size_t total = 4 * caches_last_level(&c, threads);
    total = total < least ? least : total > most ? most : total;
    return total / (size_t)threads / 4096 * 4096;
}

static UNCHECKED bool stream_prepare(struct papi_room *room)
{
    room->data = pages_alloc(room->bytes, NULL);
    if (!room->data)
        return false;
    for (size_t i = 0; i < room->bytes / sizeof(uint64_t); i++)
        ((uint64_t *)room->data)[i] = i;
    return true;
}

/* One load a cache line brings the whole line. */
static UNCHECKED double stream_run(struct papi_room *room)
{
    const volatile uint64_t *line = room->data;
    uint64_t sum = 0;

    for (size_t i = 0; i < room->bytes / sizeof(uint64_t); i += 8)
        sum += line[i];
    *(volatile uint64_t *)room->data = sum;
    return (double)room->bytes;
}

static void room_free(struct papi_room *room)
{
    pages_free(room->data, room->bytes);
    room->data = NULL;
}

static size_t fresh_bytes(int threads)
{
    (void)threads;
    return (size_t)512 * (size_t)sysconf(_SC_PAGESIZE);
}

static bool fresh_prepare(struct papi_room *room)
{
    room->data = pages_alloc(room->bytes, NULL);
    if (room->data)
        madvise(room->data, room->bytes, MADV_NOHUGEPAGE);
    return room->data != NULL;
}

static UNCHECKED double fresh_run(struct papi_room *room)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    volatile char *byte = room->data;

    const size_t pages = room->bytes / page;

    for (size_t i = 0; i < pages; i++)
        byte[i * page] = 1;
    return (double)pages;
}

const struct papi_known papi_known[] = {
    {.name = "multiply, add f32", .metric = METRIC_FLOPS, .run = multiply_add},
#if defined(__x86_64__)
    {.name = "scalar fma f32", .metric = METRIC_FLOPS, .isa = ISA_AVX2, .run = scalar_fma},
    {.name = "128-bit fma f32", .metric = METRIC_FLOPS, .isa = ISA_AVX2, .run = fma_128},
    {.name = "256-bit fma f32", .metric = METRIC_FLOPS, .isa = ISA_AVX2, .run = fma_256},
    {.name = "256-bit add f32", .metric = METRIC_FLOPS, .isa = ISA_AVX2, .run = add_256},
    {.name = "512-bit fma f32", .metric = METRIC_FLOPS, .isa = ISA_AVX512, .run = fma_512},
    {.name = "counted loop", .metric = METRIC_INSTRUCTIONS, .run = counted_loop},
    {.name = "chain of multiplications", .metric = METRIC_CYCLES, .run = multiply_chain},
#endif
    {
        .name = "read stream",
        .metric = METRIC_DRAM_READ_BYTES,
        .bytes = stream_bytes,
        .prepare = stream_prepare,
        .run = stream_run,
        .finish = room_free,
    },
    {
        .name = "first touch of 4 KiB pages",
        .metric = METRIC_PAGE_FAULTS_MINOR,
        .bytes = fresh_bytes,
        .prepare = fresh_prepare,
        .run = fresh_run,
        .finish = room_free,
    },
    {.name = NULL},
};
