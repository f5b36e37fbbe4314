/* SPDX-License-Identifier: MIT
 * For tests that set the emulated machine: the plug-in is linked with the program instead of opened, so that its machine is the
 * one that is set here. */
#ifndef BENCH_LINKED_PLUGIN_H
#define BENCH_LINKED_PLUGIN_H

#include "check.h"

#include "backends/backend.h"
#include "emu_machine.h"
#include "plugin.h"

extern const struct backend_ops bench_cuda_backend;

/* In front of the program's own. */
void *plugin_symbol(const char *file, const char *symbol, struct err *e)
{
    (void)e;
    assert_string_equal(file, "libbench_cuda.so");
    assert_string_equal(symbol, "bench_cuda_backend");
    return (void *)&bench_cuda_backend;
}

#endif
