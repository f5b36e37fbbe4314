/* SPDX-License-Identifier: MIT
 * Buffers and what is read from them. The buffers are the process's and are never freed, since CUPTI may keep one for ever;
 * records are copied out as buffers come back, so that a few buffers serve any length of work. */
#include "trace_records.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernel_name.h"

enum {
    BUFFERS = 8,
    BUFFER_BYTES = 4 << 20,
    EVENTS_MAX = 1 << 16, /* in one bracket: a hundred times the kernels of a step */
    TAGS_MAX = 1 << 18,   /* some calls to CUDA for each of these */
    NAMES_MAX = 512,
    NAME_BYTES = 120,
    SLACK_NS = 1000000,
};
static const uint32_t NO_CALL = UINT32_MAX;

/* The calls with this correlation id were made on behalf of the tag. */
struct tagged {
    uint32_t correlation, tag;
};

struct trace_records {
    const struct cupti *cupti;
    struct device_event *event; /* while they are taken: tag is the correlation id, a kernel's name CUPTI's */
    struct tagged *tagged;
    int events, tags;
    size_t lost;
    uint64_t begin_ns;
    uint32_t first_call; /* correlation id, which grows, of the first call to CUDA in the bracket; NO_CALL: none yet */
    struct known_name {
        const char *mangled; /* CUPTI's, the same pointer for the same kernel */
        char readable[NAME_BYTES];
    } name[NAMES_MAX]; /* never cleared: events point here as long as the probe lives */
    int names;
};

static struct {
    pthread_mutex_t lock;
    uint8_t *spare[BUFFERS];
    int spares, made;
    struct trace_records *taking; /* who gets the records; NULL: nobody */
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- buffers, called by CUPTI --------------------------------------------------------------------------------------------- */

void CUPTIAPI trace_buffer_requested(uint8_t **buffer, size_t *size, size_t *records_max)
{
    pthread_mutex_lock(&shared.lock);
    *buffer = shared.spares > 0 ? shared.spare[--shared.spares] : NULL; /* NULL: CUPTI counts what it drops */
    *size = *buffer ? BUFFER_BYTES : 0;
    *records_max = 0; /* as many as fit */
    pthread_mutex_unlock(&shared.lock);
}

static void add_event(struct trace_records *r, struct device_event event)
{
    if (event.start_ns == 0 || event.end_ns < event.start_ns || r->events == EVENTS_MAX)
        r->lost++;
    else
        r->event[r->events++] = event;
}

static void add_kernel(struct trace_records *r, const CUpti_ActivityKernel9 *k)
{
    add_event(r, (struct device_event){
                     .kind = 'k',
                     .start_ns = k->start,
                     .end_ns = k->end,
                     .tag = k->correlationId,
                     .name = k->name,
                     .grid = {k->gridX, k->gridY, k->gridZ},
                     .block = {k->blockX, k->blockY, k->blockZ},
                     .registers = k->registersPerThread,
                     .shared_bytes = k->staticSharedMemory + k->dynamicSharedMemory,
                 });
}

static const char *copy_name(uint8_t kind)
{
    switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
        return "copy host to device";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
        return "copy device to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
        return "copy device to device";
    default:
        return "copy";
    }
}

static void add_tagged(struct trace_records *r, const CUpti_ActivityExternalCorrelation *x)
{
    if (x->externalKind != CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0)
        return;
    if (r->tags == TAGS_MAX)
        r->lost++;
    else
        r->tagged[r->tags++] = (struct tagged){x->correlationId, (uint32_t)x->externalId};
}

/* Times of calls are the CPU's own: they are right where CUPTI errs about the GPU's. */
static void note_call(struct trace_records *r, const CUpti_ActivityAPI *call)
{
    if (call->start >= r->begin_ns && call->correlationId < r->first_call)
        r->first_call = call->correlationId;
}

/* The layouts of CUDA 12.8, or older: newer ones have more at their end. */
static void add_record(struct trace_records *r, const CUpti_Activity *a)
{
    const CUpti_ActivityMemcpy5 *m = (const CUpti_ActivityMemcpy5 *)a;
    const CUpti_ActivityMemset4 *s = (const CUpti_ActivityMemset4 *)a;

    switch ((int)a->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        add_kernel(r, (const CUpti_ActivityKernel9 *)a);
        break;
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        add_event(r, (struct device_event){.kind = 'c',
                                           .start_ns = m->start,
                                           .end_ns = m->end,
                                           .tag = m->correlationId,
                                           .name = copy_name(m->copyKind),
                                           .bytes = m->bytes});
        break;
    case CUPTI_ACTIVITY_KIND_MEMSET:
        add_event(r, (struct device_event){.kind = 's',
                                           .start_ns = s->start,
                                           .end_ns = s->end,
                                           .tag = s->correlationId,
                                           .name = "set",
                                           .bytes = s->bytes});
        break;
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        add_tagged(r, (const CUpti_ActivityExternalCorrelation *)a);
        break;
    case CUPTI_ACTIVITY_KIND_RUNTIME:
    case CUPTI_ACTIVITY_KIND_DRIVER:
        note_call(r, (const CUpti_ActivityAPI *)a);
        break;
    default:
        break;
    }
}

void CUPTIAPI trace_buffer_completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid)
{
    CUpti_Activity *record = NULL;

    (void)context, (void)stream, (void)size;
    pthread_mutex_lock(&shared.lock);
    while (shared.taking && shared.taking->cupti->ActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS)
        add_record(shared.taking, record);
    shared.spare[shared.spares++] = buffer;
    pthread_mutex_unlock(&shared.lock);
}

/* --- one object ----------------------------------------------------------------------------------------------------------- */

static int make_buffers(struct err *e)
{
    int code = 0;

    pthread_mutex_lock(&shared.lock);
    for (; code == 0 && shared.made < BUFFERS; shared.made++) {
        uint8_t *buffer = aligned_alloc(64, BUFFER_BYTES);
        if (!buffer) {
            code = err_set(e, ERR_MEMORY, "out of memory for CUPTI's records");
            break;
        }
        shared.spare[shared.spares++] = buffer;
    }
    pthread_mutex_unlock(&shared.lock);
    return code;
}

int trace_records_open(struct trace_records **out, const struct cupti *c, struct err *e)
{
    struct trace_records *r = calloc(1, sizeof *r);
    int code = make_buffers(e);

    if (code < 0)
        goto fail;
    if (r) {
        r->cupti = c;
        r->event = malloc(EVENTS_MAX * sizeof *r->event);
        r->tagged = malloc(TAGS_MAX * sizeof *r->tagged);
    }
    if (!r || !r->event || !r->tagged) {
        code = err_set(e, ERR_MEMORY, "out of memory for the records of a trace");
        goto fail;
    }
    *out = r;
    return 0;
fail:
    trace_records_close(r);
    return code;
}

void trace_records_close(struct trace_records *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&shared.lock);
    if (shared.taking == r)
        shared.taking = NULL;
    pthread_mutex_unlock(&shared.lock);
    free(r->event);
    free(r->tagged);
    free(r);
}

void trace_records_take(struct trace_records *r, uint64_t begin_ns)
{
    pthread_mutex_lock(&shared.lock);
    r->events = r->tags = 0;
    r->lost = 0;
    r->begin_ns = begin_ns;
    r->first_call = NO_CALL;
    shared.taking = r;
    pthread_mutex_unlock(&shared.lock);
}

/* --- from records to events ------------------------------------------------------------------------------------------------
 */

static int by_correlation(const void *a, const void *b)
{
    uint32_t x = ((const struct tagged *)a)->correlation, y = ((const struct tagged *)b)->correlation;

    return (x > y) - (x < y);
}

static int by_start(const void *a, const void *b)
{
    const struct device_event *x = a, *y = b;

    if (x->start_ns != y->start_ns)
        return x->start_ns < y->start_ns ? -1 : 1;
    return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

static bool overlaps(const struct device_event *e, uint64_t begin_ns, uint64_t end_ns)
{
    return e->end_ns >= begin_ns && e->start_ns <= end_ns;
}

/* Work left from before comes with the next buffers. What a call in the bracket made ran in it, but for how well clocks can be
 * converted; other times are wrong ones, for CUPTI is known to give some by another clock. */
static void drop_outside(struct trace_records *r, uint64_t end_ns)
{
    int kept = 0;

    for (int i = 0; i < r->events; i++) {
        const struct device_event *e = &r->event[i];
        const bool is_ours = e->tag >= r->first_call;
        const uint64_t slack = is_ours ? SLACK_NS : 0;
        if (overlaps(e, r->begin_ns - slack, end_ns + slack))
            r->event[kept++] = *e;
        else
            r->lost += is_ours;
    }
    r->events = kept;
}

static void join_tags(struct trace_records *r)
{
    qsort(r->tagged, (size_t)r->tags, sizeof *r->tagged, by_correlation);
    for (int i = 0; i < r->events; i++) {
        const struct tagged key = {.correlation = r->event[i].tag};
        const struct tagged *found = bsearch(&key, r->tagged, (size_t)r->tags, sizeof key, by_correlation);
        r->event[i].tag = found ? found->tag : 0;
    }
}

static const char *readable_name(struct trace_records *r, const char *mangled)
{
    if (!mangled)
        return "?";
    for (int i = 0; i < r->names; i++)
        if (r->name[i].mangled == mangled)
            return r->name[i].readable;
    if (r->names == NAMES_MAX)
        return mangled;
    struct known_name *added = &r->name[r->names++];
    added->mangled = mangled;
    kernel_name(mangled, added->readable, sizeof added->readable);
    return added->readable;
}

int trace_records_settle(struct trace_records *r, uint64_t end_ns, const struct device_event **out)
{
    pthread_mutex_lock(&shared.lock);
    if (shared.taking == r)
        shared.taking = NULL;
    pthread_mutex_unlock(&shared.lock);
    drop_outside(r, end_ns);
    join_tags(r);
    for (int i = 0; i < r->events; i++)
        if (r->event[i].kind == 'k')
            r->event[i].name = readable_name(r, r->event[i].name);
    qsort(r->event, (size_t)r->events, sizeof *r->event, by_start);
    *out = r->event;
    return r->events;
}

size_t trace_records_lost(const struct trace_records *r)
{
    return r->lost;
}

uint64_t trace_busy_ns(const struct device_event *event, int n)
{
    uint64_t busy = 0, until = 0;

    for (int i = 0; i < n; i++) {
        uint64_t from = event[i].start_ns > until ? event[i].start_ns : until;
        if (event[i].end_ns <= from)
            continue;
        busy += event[i].end_ns - from;
        until = event[i].end_ns;
    }
    return busy;
}
