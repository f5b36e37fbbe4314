/* SPDX-License-Identifier: MIT
 * The CUDA runtime as far as the project calls it, on the CPU, and stricter than a GPU is: work on a stream is kept until
 * somebody waits for it, as late as it may happen, so that a missing wait or a staging buffer that is used again too early is a
 * wrong result. (The default stream runs its work at once.) Device memory is poisoned with NaNs, ends at a page that nobody may
 * touch, and can be kept apart from the host. While a stream is recorded, calls that would spoil the recording are refused. */
#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <limits.h>
#include <map>
#include <set>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <vector>

#include "emu_machine.h"
#include "emu_stream.h"

using work = std::function<void()>;

/* Of a graph. */
struct node {
    work run;
    const void *kernel; /* NULL: it is none */
    size_t shared;
};
struct CUgraph_st {
    std::deque<node> nodes;
};
struct CUgraphExec_st {
    std::deque<node> nodes;
};
struct CUstream_st {
    std::deque<work> waiting;
    CUgraph_st *recorded; /* not NULL: work goes there */
};
struct CUevent_st {
    CUstream_st *stream; /* where it was recorded last */
    bool happened;
    std::chrono::steady_clock::time_point when;
};

namespace
{

enum { PAGE = 4096, ALIGNMENT = 256, POISON = 0xff };
enum { SHARED_DEFAULT = 48 << 10, THREADS_MOST = 1024, GRID_MOST = 65535, BLOCK_Z_MOST = 64 };

struct block {
    char *mapping;
    size_t mapped, bytes; /* mapped: without the page behind it */
};

std::map<char *, block> blocks; /* device memory, by its first byte */
std::map<void *, size_t> pinned;
std::map<const void *, size_t> allowed; /* to a kernel: dynamic shared memory, where it was asked for */
std::set<const void *> loaded;          /* code that has run */
std::vector<CUstream_st *> streams;
size_t used;
int recordings;

void protect(int protection)
{
    for (const auto &b : blocks)
        mprotect(b.second.mapping, b.second.mapped, protection);
}

/* Device memory is open while work runs. */
void run(std::deque<work> &all)
{
    if (all.empty() || emu_machine.idle) {
        all.clear();
        return;
    }
    if (emu_machine.apart)
        protect(PROT_READ | PROT_WRITE);
    while (!all.empty()) {
        work w = std::move(all.front());
        all.pop_front();
        w();
    }
    if (emu_machine.apart)
        protect(PROT_NONE);
}

void drain(CUstream_st *s)
{
    if (s)
        run(s->waiting);
}

void drain_all()
{
    for (CUstream_st *s : streams)
        drain(s);
}

/* Puts work in its place; the default stream has none to wait in. */
void give(CUstream_st *s, node n)
{
    if (s && s->recorded)
        s->recorded->nodes.push_back(std::move(n));
    else if (s)
        s->waiting.push_back(std::move(n.run));
    else {
        std::deque<work> now = {std::move(n.run)};
        run(now);
    }
}

size_t shared_of(const void *kernel)
{
    const auto at = allowed.find(kernel);

    return at == allowed.end() ? (size_t)SHARED_DEFAULT : at->second;
}

cudaError_t check_shape(const cudaLaunchConfig_t *c)
{
    const dim3 g = c->gridDim, b = c->blockDim;

    if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > INT_MAX || g.y > GRID_MOST || g.z > GRID_MOST)
        return cudaErrorInvalidConfiguration;
    const size_t threads = (size_t)b.x * b.y * b.z;
    return threads == 0 || threads > THREADS_MOST || b.z > BLOCK_Z_MOST ? cudaErrorInvalidConfiguration : cudaSuccess;
}

bool recording(const CUstream_st *s)
{
    return s && s->recorded;
}

/* Work that counts: kernels, copies, sets. */
cudaError_t count(const CUstream_st *s, long n)
{
    if (recording(s))
        return cudaSuccess;
    long before = emu_machine.given;
    emu_machine.given += n;
    bool refused = emu_machine.failing > before && emu_machine.failing <= emu_machine.given;
    return refused ? cudaErrorLaunchFailure : cudaSuccess;
}

bool on_device(const void *p, size_t bytes)
{
    auto after = blocks.upper_bound((char *)p);
    if (after == blocks.begin())
        return false;
    const auto &b = *std::prev(after);
    return (char *)p + bytes <= b.first + b.second.bytes;
}

/* Both ends must lie where the direction says. */
bool fits(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

    return kind == cudaMemcpyDefault || (on_device(to, bytes) == to_device && on_device(from, bytes) == from_device);
}

} // namespace

static cudaError_t put(cudaStream_t stream, node n)
{
    cudaError_t code = count(stream, 1);
    if (code == cudaSuccess)
        give(stream, std::move(n));
    return emu_say(code);
}

cudaError_t emu_enqueue(cudaStream_t stream, std::function<void()> w)
{
    return put(stream, {std::move(w), NULL, 0});
}

bool emu_on_device(const void *p, size_t bytes)
{
    return on_device(p, bytes);
}

cudaError_t emu_load(cudaStream_t stream, const void *code)
{
    if (recording(stream) && loaded.count(code) == 0)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    loaded.insert(code);
    return cudaSuccess;
}

cudaError_t emu_launch(const cudaLaunchConfig_t *c, const void *kernel, std::function<void()> w)
{
    cudaError_t code = check_shape(c);

    if (code == cudaSuccess && c->dynamicSmemBytes > shared_of(kernel))
        code = cudaErrorInvalidValue;
    if (code == cudaSuccess)
        code = emu_load(c->stream, kernel);
    return code == cudaSuccess ? put(c->stream, {std::move(w), kernel, c->dynamicSmemBytes}) : emu_say(code);
}

extern "C" {

/* --- memory -----------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaMalloc(void **p, size_t bytes)
{
    size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    block b = {NULL, (room + PAGE - 1) / PAGE * PAGE, bytes};

    *p = NULL;
    if (recordings > 0)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    if (emu_driver_state() != cudaSuccess)
        return emu_say(emu_driver_state());
    if (bytes == 0)
        return cudaSuccess;
    if (room > emu_machine.memory - used)
        return emu_say(cudaErrorMemoryAllocation);
    b.mapping = (char *)mmap(NULL, b.mapped + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.mapping == MAP_FAILED)
        return emu_say(cudaErrorMemoryAllocation);
    if (!emu_machine.idle) {
        mprotect(b.mapping, b.mapped, PROT_READ | PROT_WRITE);
        memset(b.mapping, POISON, b.mapped);
    }
    if (emu_machine.apart)
        mprotect(b.mapping, b.mapped, PROT_NONE);
    *p = b.mapping + (b.mapped - room);
    blocks[(char *)*p] = b;
    used += room;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    auto at = blocks.find((char *)p);

    if (recordings > 0)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    if (!p)
        return cudaSuccess;
    if (at == blocks.end())
        return emu_say(cudaErrorInvalidValue);
    drain_all();
    used -= (at->second.bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    munmap(at->second.mapping, at->second.mapped + PAGE);
    blocks.erase(at);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *available = emu_machine.memory > used ? emu_machine.memory - used : 0;
    *total = emu_machine.memory;
    return emu_say(emu_driver_state());
}

cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned)
{
    *p = NULL;
    if (recordings > 0)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    if (posix_memalign(p, ALIGNMENT, bytes) != 0)
        return emu_say(cudaErrorMemoryAllocation);
    memset(*p, POISON, bytes);
    pinned[*p] = bytes;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t bytes)
{
    return cudaHostAlloc(p, bytes, 0);
}

cudaError_t cudaFreeHost(void *p)
{
    if (p && pinned.erase(p) == 0)
        return emu_say(cudaErrorInvalidValue);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    if (!fits(to, from, bytes, kind))
        return emu_say(cudaErrorInvalidValue);
    return emu_enqueue(stream, [=] { memcpy(to, from, bytes); });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    return recordings > 0 ? emu_say(cudaErrorStreamCaptureUnsupported) : cudaMemcpyAsync(to, from, bytes, kind, NULL);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    if (!on_device(to, bytes))
        return emu_say(cudaErrorInvalidValue);
    return emu_enqueue(stream, [=] { memset(to, value, bytes); });
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    return recordings > 0 ? emu_say(cudaErrorStreamCaptureUnsupported) : cudaMemsetAsync(to, value, bytes, NULL);
}

/* --- streams ----------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = new CUstream_st();
    streams.push_back(*s);
    return emu_say(emu_driver_state());
}

cudaError_t cudaStreamCreate(cudaStream_t *s)
{
    return cudaStreamCreateWithFlags(s, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    drain(s);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == s)
            streams.erase(streams.begin() + (long)i);
    delete s;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    if (recording(s))
        return emu_say(cudaErrorStreamCaptureUnsupported);
    drain(s);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (recordings > 0)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    drain_all();
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    return cudaStreamSynchronize(s);
}

/* --- recording --------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
    if (!s || s->recorded)
        return emu_say(cudaErrorStreamCaptureUnsupported);
    s->recorded = new CUgraph_st();
    recordings++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    *graph = s->recorded;
    s->recorded = NULL;
    recordings -= *graph ? 1 : 0;
    return *graph ? cudaSuccess : emu_say(cudaErrorIllegalState);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status)
{
    *status = recording(s) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new CUgraphExec_st{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
    if (nodes)
        return emu_say(cudaErrorInvalidValue);
    *n = graph->nodes.size();
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    cudaError_t code = count(s, (long)exec->nodes.size());
    for (size_t i = 0; code == cudaSuccess && i < exec->nodes.size(); i++)
        if (exec->nodes[i].kernel && exec->nodes[i].shared > shared_of(exec->nodes[i].kernel))
            code = cudaErrorInvalidValue;
    for (size_t i = 0; code == cudaSuccess && i < exec->nodes.size(); i++)
        give(s, exec->nodes[i]);
    return emu_say(code);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return cudaSuccess;
}

/* --- events -----------------------------------------------------------------------------------------------------------------
 */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e)
{
    return cudaEventCreateWithFlags(e, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    drain(e->stream);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    e->stream = s;
    e->happened = false;
    give(s, {[e] {
                 e->when = std::chrono::steady_clock::now();
                 e->happened = true;
             },
             NULL, 0});
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    return cudaStreamSynchronize(e->stream);
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    return cudaEventSynchronize(e);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t e, unsigned)
{
    return cudaEventSynchronize(e);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    if (emu_machine.idle)
        *ms = 0;
    if (emu_machine.idle)
        return cudaSuccess;
    if (!from->happened || !to->happened)
        return emu_say(cudaErrorNotReady);
    *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
    return cudaSuccess;
}

/* --- kernels ----------------------------------------------------------------------------------------------------------------
 */

/* The bound of what the kernel may be launched with, in graphs that are there already too. */
cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > EMU_SHARED_MOST)
        return emu_say(cudaErrorInvalidValue);
    allowed[kernel] = (size_t)value;
    return cudaSuccess;
}

} // extern "C"
