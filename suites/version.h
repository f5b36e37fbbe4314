/* SPDX-License-Identifier: MIT
 * What this program was built from and with. */
#ifndef BENCH_VERSION_H
#define BENCH_VERSION_H

const char *bench_version(void);  /* git describe of the source */
const char *bench_compiler(void); /* "gcc 12.2.0" */

#endif
