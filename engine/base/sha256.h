/* SPDX-License-Identifier: MIT
 * The SHA-256 of a file, read in pieces: files may be larger than memory. Never on the measured path. */
#ifndef BENCH_SHA256_H
#define BENCH_SHA256_H

#include "err.h"

enum { SHA256_HEX_BYTES = 65 }; /* 64 digits and the NUL */

/* Lower-case hex into `hex`. ERR_IO names the file. */
int sha256_file(char hex[SHA256_HEX_BYTES], const char *path, struct err *e);

#endif
