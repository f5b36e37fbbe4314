/* SPDX-License-Identifier: MIT
 * The rapl probe under a root folder (root_file.h), for tests; the probe itself is in probes[]. */
#ifndef BENCH_RAPL_H
#define BENCH_RAPL_H

#include "probe.h"

/* ERR_ABSENT: there is no energy counter, or not for this user; the sentence says the remedy. */
int rapl_open_at(const char *root, struct probe **out, struct err *e);

#endif
