/* SPDX-License-Identifier: MIT */
#include "version.h"

const char *bench_version(void)
{
    return BENCH_VERSION;
}

const char *bench_compiler(void)
{
#if defined(__clang__)
#define TEXT(x)  #x
#define VALUE(x) TEXT(x)
    return "clang " VALUE(__clang_major__) "." VALUE(__clang_minor__) "." VALUE(__clang_patchlevel__);
#else
    return "gcc " __VERSION__;
#endif
}
