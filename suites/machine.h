/* SPDX-License-Identifier: MIT
 * The machine's facts for the record: what a reader needs to compare two runs. No host name, no user name. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include "store.h"
#include "team.h"

/* device: the GPU that computes; -1: none. */
int machine_describe(struct store *s, int64_t run, const struct team *team, int device, struct err *e);

#endif
