/* SPDX-License-Identifier: MIT
 * CUDA's words for a C++ compiler, so that the kernels' own source runs on a CPU (device.cuh says what kernels may use). A
 * block runs on one OS thread; its threads are fibers that change places only at barriers and warp collectives, so that a
 * missing barrier is a wrong answer in a fixed order and not a race; EMU_REVERSE=1 takes the opposite order. Blocks run one
 * after another, the last first with EMU_REVERSE: kernels that wait for other blocks cannot run here. Shared memory is poisoned
 * with NaNs before each block. A kernel is put on its stream: runtime.cc refuses what a GPU refuses, and says when it runs. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "emu_machine.h"
#include "emu_stream.h"

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#undef __align__
#undef __restrict__
#define __global__
#define __device__
#define __host__
#define __shared__      static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __restrict__ __restrict
#define warpSize 32

namespace emu
{

enum state { READY, AT_BLOCK, AT_WARP, DONE };

/* A fiber begins as a context of its own and changes places by jumps, which make no system call. It outlives its block. */
struct fiber {
    ucontext_t context;
    jmp_buf here;
    std::vector<char> stack; /* empty: not begun yet */
    uint3 index;
    state at;
};

enum { WARPS_MAX = 32, STACK = 1 << 17, POISON = 0xff };

inline std::vector<fiber> fibers;
inline ucontext_t beginning;
inline jmp_buf scheduler;
inline int current;
inline std::function<void()> body;
inline bool waited; /* some thread of the block for the kernel before this one */
inline std::vector<char> dynamic_shared;
inline unsigned char slots[WARPS_MAX][32][16]; /* what each lane shows the others of its warp */

inline int lane()
{
    return current % 32;
}
inline int warp()
{
    return current / 32;
}

inline void wait(state at)
{
    fiber &me = fibers[current];

    me.at = at;
    if (_setjmp(me.here) == 0)
        _longjmp(scheduler, 1);
}

inline void enter()
{
    for (;;) {
        body();
        wait(DONE); /* until a next block's body */
    }
}

/* Lets thread t run until it waits. */
__attribute__((noinline)) inline void resume(int t)
{
    fiber &f = fibers[t];

    current = t;
    if (_setjmp(scheduler) != 0)
        return;
    if (!f.stack.empty())
        _longjmp(f.here, 1);
    f.stack.resize(STACK);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = &beginning;
    makecontext(&f.context, enter, 0);
    swapcontext(&beginning, &f.context);
}

/* What every lane shows, once all of the warp have shown theirs; done() before anyone shows again. */
template <class T> void show(const T &v)
{
    static_assert(sizeof(T) <= sizeof slots[0][0], "a lane shows 16 bytes at most");
    memcpy(slots[warp()][lane()], &v, sizeof v);
    wait(AT_WARP);
}
template <class T> T seen(int lane_from)
{
    T v;
    memcpy((void *)&v, slots[warp()][lane_from & 31], sizeof v);
    return v;
}
inline void done()
{
    wait(AT_WARP);
}

template <class T> T exchange(T v, int from)
{
    show(v);
    T r = seen<T>(from);
    done();
    return r;
}

/* What cp.async brings arrives at copy_async_wait and not before, so that a missing wait shows. */
struct copy {
    void *to;
    uint4 bytes;
};
inline std::vector<std::vector<std::vector<copy>>> copies; /* [thread][group] */
inline std::vector<std::vector<copy>> &groups()
{
    if ((int)copies.size() <= current)
        copies.resize((size_t)current + 1);
    if (copies[current].empty())
        copies[current].resize(1);
    return copies[current];
}

/* A barrier opens when all that it waits for are at it; those that have returned count as arrived. */
inline bool open_barriers(int n)
{
    bool opened = false, block = true;
    int finished = 0;

    for (int w = 0; w < n; w += 32) {
        int end = w + 32 < n ? w + 32 : n, at = 0, gone = 0;
        for (int t = w; t < end; t++) {
            at += fibers[t].at == AT_WARP;
            gone += fibers[t].at == DONE;
            block &= fibers[t].at == AT_BLOCK || fibers[t].at == DONE;
        }
        finished += gone;
        if (at == 0 || at + gone < end - w)
            continue;
        for (int t = w; t < end; t++)
            fibers[t].at = fibers[t].at == AT_WARP ? READY : fibers[t].at;
        opened = true;
    }
    if (!block || finished == n)
        return opened;
    for (int t = 0; t < n; t++)
        fibers[t].at = fibers[t].at == AT_BLOCK ? READY : fibers[t].at;
    return true;
}

inline void run_block(dim3 block, bool reverse)
{
    int n = (int)(block.x * block.y * block.z), finished = 0;

    std::fill(dynamic_shared.begin(), dynamic_shared.end(), (char)POISON);
    copies.clear();
    for (int t = 0; t < n; t++) {
        unsigned i = (unsigned)t;
        fibers[t].index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
        fibers[t].at = READY;
    }
    while (finished < n) {
        bool ran = false;
        for (int i = 0; i < n; i++) {
            int t = reverse ? n - 1 - i : i;
            if (fibers[t].at != READY)
                continue;
            resume(t);
            finished += fibers[t].at == DONE;
            ran = true;
        }
        if (!open_barriers(n) && !ran && finished < n) {
            fprintf(stderr, "emu: a block waits for ever: threads of a warp or block are at different barriers\n");
            abort();
        }
    }
}

} // namespace emu

inline dim3 gridDim, blockDim;
inline uint3 blockIdx;
#define threadIdx (emu::fibers[emu::current].index)

namespace emu
{
/* A kernel that may follow and does not wait might end before the one before it, and all after it would begin too early. */
inline void run_grid(dim3 grid, dim3 block, size_t shared, bool follows, const std::function<void()> &kernel)
{
    bool reverse = getenv("EMU_REVERSE") != nullptr;
    unsigned blocks = grid.x * grid.y * grid.z;
    int threads = (int)(block.x * block.y * block.z);

    gridDim = grid;
    blockDim = block;
    body = kernel;
    dynamic_shared.assign(shared + 16, (char)POISON);
    if ((int)fibers.size() < threads)
        fibers.resize((size_t)threads);
    for (unsigned i = 0; i < blocks; i++) {
        unsigned at = reverse ? blocks - 1 - i : i;
        blockIdx = {at % grid.x, at / grid.x % grid.y, at / (grid.x * grid.y)};
        waited = false;
        run_block(block, reverse);
        if (follows && !waited) {
            fprintf(stderr, "emu: a kernel may begin while the one before it runs, and does not wait for it\n");
            abort();
        }
    }
}
} // namespace emu

#define EXTERN_SHARED(type, name) type *name = (type *)(((uintptr_t)emu::dynamic_shared.data() + 15) / 16 * 16)

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A &&...args)
{
    dim3 grid = config->gridDim, block = config->blockDim;
    size_t shared = config->dynamicSmemBytes;
    bool follows = false;

    for (unsigned i = 0; i < config->numAttrs; i++)
        follows |= config->attrs[i].id == cudaLaunchAttributeProgrammaticStreamSerialization &&
                   config->attrs[i].val.programmaticStreamSerializationAllowed;
    return emu_launch(config, (const void *)kernel,
                      [=] { emu::run_grid(grid, block, shared, follows, [=] { kernel(static_cast<P>(args)...); }); });
}

inline void pdl_wait()
{
    emu::waited = true;
}
inline void pdl_let_next_begin()
{
}
inline void prefetch_l2(const void *p)
{
    (void)*(const volatile char *)p; /* faults where there is no memory */
    if (emu_machine.asked)
        emu_machine.asked(p);
}
inline uint4 load_stream(const void *p)
{
    uint4 v;
    if ((uintptr_t)p % 16) {
        fprintf(stderr, "emu: 16 bytes are loaded from an address that is no multiple of 16\n");
        abort();
    }
    memcpy(&v, p, sizeof v);
    return v;
}

inline void __syncthreads()
{
    emu::wait(emu::AT_BLOCK);
}
inline void __syncwarp(unsigned = 0xffffffffu)
{
    emu::wait(emu::AT_WARP);
}
template <class T> T __shfl_xor_sync(unsigned, T v, int mask)
{
    return emu::exchange(v, emu::lane() ^ mask);
}
template <class T> T __shfl_sync(unsigned, T v, int from)
{
    return emu::exchange(v, from);
}
template <class T> T __shfl_down_sync(unsigned, T v, unsigned by)
{
    int from = emu::lane() + (int)by;
    return emu::exchange(v, from < 32 ? from : emu::lane());
}
inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
inline float __expf(float x)
{
    return expf(x);
}
inline float exp2_approx(float x)
{
    return exp2f(x);
}
inline float __fdividef(float x, float y)
{
    return x / y;
}
inline float __fmaf_rn(float x, float y, float z)
{
    return fmaf(x, y, z);
}
inline float __fadd_rn(float x, float y)
{
    return x + y;
}
inline float __fmul_rn(float x, float y)
{
    return x * y;
}
template <class T> T __ldg(const T *p)
{
    return *p;
}

/* --- what PTX does with a warp, after its manual's layouts
 * -------------------------------------------------------------------- */

template <class T> float emu_half_of(uint32_t word, int half)
{
    T v;
    uint16_t bits = (uint16_t)(word >> (16 * half));
    memcpy((void *)&v, &bits, sizeof v);
    return (float)v;
}

template <class T> void mma_16816(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    struct words {
        uint32_t w[4];
    } mine = {{a[0], a[1], a[2], a[3]}};
    float left[2][16], right[2][16]; /* this lane's two rows of a, two columns of b */
    int row = emu::lane() / 4, col = emu::lane() % 4 * 2;

    emu::show(mine);
    for (int half = 0; half < 2; half++)
        for (int k = 0; k < 16; k++) {
            words w = emu::seen<words>(row * 4 + k % 8 / 2);
            left[half][k] = emu_half_of<T>(w.w[half + k / 8 * 2], k % 2);
        }
    emu::done();
    mine = {{b[0], b[1], 0, 0}};
    emu::show(mine);
    for (int j = 0; j < 2; j++)
        for (int k = 0; k < 16; k++) {
            words w = emu::seen<words>((col + j) * 4 + k % 8 / 2);
            right[j][k] = emu_half_of<T>(w.w[k / 8], k % 2);
        }
    emu::done();
    for (int i = 0; i < 4; i++) {
        float sum = 0;
        for (int k = 0; k < 16; k++)
            sum += left[i / 2][k] * right[i % 2][k];
        d[i] += sum;
    }
}

inline void emu_ldmatrix(uint32_t r[4], const void *row, bool transposed)
{
    if ((uintptr_t)row % 16) {
        fprintf(stderr, "emu: ldmatrix wants rows at multiples of 16 bytes\n");
        abort();
    }
    emu::show(row);
    for (int m = 0; m < 4; m++) {
        uint16_t e[2];
        for (int j = 0; j < 2; j++) {
            int major = emu::lane() / 4, minor = emu::lane() % 4 * 2 + j;
            const uint16_t *from = (const uint16_t *)emu::seen<const void *>(8 * m + (transposed ? minor : major));
            e[j] = from[transposed ? major : minor];
        }
        r[m] = (uint32_t)e[0] | (uint32_t)e[1] << 16;
    }
    emu::done();
}
inline void ldmatrix_x4(uint32_t r[4], const void *row)
{
    emu_ldmatrix(r, row, false);
}
inline void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    emu_ldmatrix(r, row, true);
}

inline void copy_async16(void *shared, const void *global, bool valid)
{
    emu::copy c = {shared, {0, 0, 0, 0}};
    if ((uintptr_t)shared % 16 || (valid && (uintptr_t)global % 16)) {
        fprintf(stderr, "emu: cp.async wants addresses at multiples of 16 bytes\n");
        abort();
    }
    if (valid)
        memcpy(&c.bytes, global, sizeof c.bytes);
    emu::groups().back().push_back(c);
}
inline void copy_async_commit()
{
    emu::groups().emplace_back();
}
template <int LEFT> void copy_async_wait()
{
    std::vector<std::vector<emu::copy>> &g = emu::groups();
    while ((int)g.size() - 1 > LEFT) {
        for (const emu::copy &c : g.front())
            memcpy(c.to, &c.bytes, sizeof c.bytes);
        g.erase(g.begin());
    }
}
