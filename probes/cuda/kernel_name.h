/* SPDX-License-Identifier: MIT
 * Kernels are known to the driver by the linker's names of C++: what a person reads of one. */
#ifndef BENCH_PROBES_KERNEL_NAME_H
#define BENCH_PROBES_KERNEL_NAME_H

#include <stddef.h>

/* "decode_qkv<bf16, 128, true>": no return type, no parameters, no unnamed namespace, the project's words for the types of
 * numbers. What is no name of C++ stays as it is; what is too long ends in "...". */
void kernel_name(const char *mangled, char *out, size_t size);

#endif
