/* SPDX-License-Identifier: MIT
 * cmocka with the headers it needs, in the order it needs them. */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
