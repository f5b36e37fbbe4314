/* SPDX-License-Identifier: MIT
 * A CUPTI of the test's own, that gives records which the test makes back in buffers when it is flushed, as the real one does.
 */
#ifndef BENCH_TRACE_ROOM_H
#define BENCH_TRACE_ROOM_H

#include "fake_cupti.h"

#include "clock.h"

/* As this toolkit's library writes them; what is read are the oldest layouts, which these begin with. */
#if CUPTI_API_VERSION >= 130000
#define WRITTEN_KERNEL CUpti_ActivityKernel10
#else
#define WRITTEN_KERNEL CUpti_ActivityKernel9
#endif
#define WRITTEN_COPY CUpti_ActivityMemcpy6

enum { RECORDS_MAX = 4096, RECORD_BYTES = 256, TAGS = 64 };

/* --- a CUPTI of the test's own -------------------------------------------------------------------------------------------- */

static struct {
    CUpti_BuffersCallbackRequestFunc request;
    CUpti_BuffersCallbackCompleteFunc complete;
    unsigned char record[RECORDS_MAX][RECORD_BYTES]; /* given back at the next flush */
    int records, per_buffer;
    size_t dropped;
    uint32_t version;
    unsigned enabled; /* a bit for each kind */
    bool enabled_before_clock, flushed_unforced, disabled_unflushed;
    int flushes, declined;
    CUpti_ActivityKind refused;
    uint64_t tag[TAGS];
    int tags; /* the stack's height */
} fake;

static size_t size_of(CUpti_ActivityKind kind)
{
    switch ((int)kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        return sizeof(WRITTEN_KERNEL);
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        return sizeof(WRITTEN_COPY);
    case CUPTI_ACTIVITY_KIND_MEMSET:
        return sizeof(CUpti_ActivityMemset4);
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        return sizeof(CUpti_ActivityExternalCorrelation);
    default:
        return sizeof(CUpti_ActivityAPI);
    }
}

static CUptiResult fake_version(uint32_t *out)
{
    *out = fake.version;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_callbacks(CUpti_BuffersCallbackRequestFunc request, CUpti_BuffersCallbackCompleteFunc complete)
{
    fake.request = request;
    fake.complete = complete;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_enable(CUpti_ActivityKind kind)
{
    fake.enabled_before_clock |= !cupti_fake.clock;
    if (kind == fake.refused)
        return CUPTI_ERROR_NOT_COMPATIBLE;
    fake.enabled |= kind < 32 ? 1u << kind : 1u << 31;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_disable(CUpti_ActivityKind kind)
{
    fake.disabled_unflushed |= fake.records > 0;
    fake.enabled &= ~(kind < 32 ? 1u << kind : 1u << 31);
    return CUPTI_SUCCESS;
}

/* In buffers of a few records each; one that is not given loses its records. */
static CUptiResult fake_flush(uint32_t flag)
{
    fake.flushed_unforced |= flag != CUPTI_ACTIVITY_FLAG_FLUSH_FORCED;
    fake.flushes++;
    for (int i = 0; i < fake.records;) {
        uint8_t *buffer = NULL;
        size_t size = 0, most = 0, used = 0;
        fake.request(&buffer, &size, &most);
        if (!buffer) {
            fake.declined++;
            break;
        }
        assert_int_equal((uintptr_t)buffer % 8, 0);
        for (int n = 0; n < fake.per_buffer && i < fake.records; n++, i++) {
            const size_t bytes = size_of(((CUpti_Activity *)fake.record[i])->kind);
            assert_true(used + bytes <= size);
            memcpy(buffer + used, fake.record[i], bytes);
            used += bytes;
        }
        fake.complete(NULL, 0, buffer, size, used);
    }
    fake.records = 0;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_next(uint8_t *buffer, size_t valid, CUpti_Activity **record)
{
    uint8_t *next = *record ? (uint8_t *)*record + size_of((*record)->kind) : buffer;

    if (next >= buffer + valid)
        return CUPTI_ERROR_MAX_LIMIT_REACHED;
    *record = (CUpti_Activity *)next;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_dropped(CUcontext context, uint32_t stream, size_t *out)
{
    (void)context, (void)stream;
    *out = fake.dropped;
    fake.dropped = 0;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_push(CUpti_ExternalCorrelationKind kind, uint64_t id)
{
    assert_int_equal(kind, CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0);
    assert_true(fake.tags < TAGS);
    fake.tag[fake.tags++] = id;
    return CUPTI_SUCCESS;
}

static CUptiResult fake_pop(CUpti_ExternalCorrelationKind kind, uint64_t *last)
{
    assert_int_equal(kind, CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0);
    if (fake.tags == 0)
        return CUPTI_ERROR_QUEUE_EMPTY;
    fake.tags--;
    if (last)
        *last = fake.tag[fake.tags];
    return CUPTI_SUCCESS;
}

static struct cupti table;

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof fake);
    reset_cupti_fake();
    fake.version = CUPTI_API_VERSION;
    fake.per_buffer = RECORDS_MAX;
    table = (struct cupti){
        .GetVersion = fake_version,
        FAKE_COMMON,
        .ActivityRegisterCallbacks = fake_callbacks,
        .ActivityEnable = fake_enable,
        .ActivityDisable = fake_disable,
        .ActivityFlushAll = fake_flush,
        .ActivityGetNextRecord = fake_next,
        .ActivityGetNumDroppedRecords = fake_dropped,
        .ActivityPushExternalCorrelationId = fake_push,
        .ActivityPopExternalCorrelationId = fake_pop,
    };
    cupti_install(&table);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cupti_install(NULL);
    return 0;
}

/* --- what the GPU did ------------------------------------------------------------------------------------------------------
 */

static void *new_record(CUpti_ActivityKind kind)
{
    assert_true(fake.records < RECORDS_MAX);
    CUpti_Activity *a = (CUpti_Activity *)fake.record[fake.records++];
    memset(a, 0xa5, RECORD_BYTES); /* what is not set means nothing */
    a->kind = kind;
    return a;
}

static void a_kernel(const char *name, uint32_t correlation, uint64_t start, uint64_t end)
{
    WRITTEN_KERNEL *k = new_record(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);

    k->name = name;
    k->correlationId = correlation;
    k->start = start;
    k->end = end;
    k->gridX = 7, k->gridY = 2, k->gridZ = 1;
    k->blockX = 256, k->blockY = 1, k->blockZ = 3;
    k->registersPerThread = 96;
    k->staticSharedMemory = 1000;
    k->dynamicSharedMemory = 24;
}

static void a_copy(uint8_t kind, uint64_t bytes, uint32_t correlation, uint64_t start, uint64_t end)
{
    WRITTEN_COPY *m = new_record(CUPTI_ACTIVITY_KIND_MEMCPY);

    m->copyKind = kind;
    m->bytes = bytes;
    m->correlationId = correlation;
    m->start = start;
    m->end = end;
}

static void a_set(uint64_t bytes, uint32_t correlation, uint64_t start, uint64_t end)
{
    CUpti_ActivityMemset4 *s = new_record(CUPTI_ACTIVITY_KIND_MEMSET);

    s->bytes = bytes;
    s->correlationId = correlation;
    s->start = start;
    s->end = end;
}

/* A call to CUDA, with the tag on top as CUPTI tells it. */
static void a_call(uint32_t correlation)
{
    CUpti_ActivityAPI *api;

    if (fake.tags > 0) {
        CUpti_ActivityExternalCorrelation *x = new_record(CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION);
        x->externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
        x->externalId = fake.tag[fake.tags - 1];
        x->correlationId = correlation;
    }
    api = new_record(CUPTI_ACTIVITY_KIND_RUNTIME);
    api->correlationId = correlation;
    api->start = api->end = clock_ns();
}

#endif
