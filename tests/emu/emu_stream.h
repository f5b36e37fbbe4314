/* SPDX-License-Identifier: MIT
 * What the parts of the emulation ask of its runtime. */
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

enum { EMU_SHARED_MOST = 99 << 10 /* dynamic, of a block */ };

/* Notes the code as the last error, unless it is none, and gives it back. */
cudaError_t emu_say(cudaError_t code);

/* What calls that need the driver answer. */
cudaError_t emu_driver_state();

/* Puts work on a stream, in its order. */
cudaError_t emu_enqueue(cudaStream_t stream, std::function<void()> work);

/* A kernel likewise, which is refused where a GPU refuses it. */
cudaError_t emu_launch(const cudaLaunchConfig_t *config, const void *kernel, std::function<void()> work);

/* That code runs on a stream now: what has not run before is not loaded yet, and cannot be while the stream is recorded. */
cudaError_t emu_load(cudaStream_t stream, const void *code);

/* Whether all these bytes are of one piece of device memory. */
bool emu_on_device(const void *p, size_t bytes);
