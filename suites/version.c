/* SPDX-License-Identifier: MIT */
#include "version.h"

const char *bench_version(void)
{
    return BENCH_VERSION;
}

const char *bench_compiler(void)
{
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}
