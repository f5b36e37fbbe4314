/* SPDX-License-Identifier: MIT
 * A job is what every worker of the team does in one repetition; the time runs from the first start to the last end. job_run is
 * the measured path; the rest chooses kernels and sizes. */
#ifndef BENCH_ROOF_JOBS_H
#define BENCH_ROOF_JOBS_H

#include "area.h"
#include "caches.h"
#include "isa.h"
#include "kernels.h"

enum roof_level { ROOF_L1, ROOF_L2, ROOF_L3, ROOF_DRAM, ROOF_LEVELS };
enum { ROOF_VARIANTS = 4 }; /* of one operation, at most */

struct roof_job {
    void (*run)(const struct roof_job *job, const struct roof_area *area, int worker);
    const struct roof_stream *stream;
    const struct roof_compute *compute;
    size_t bytes; /* of each array */
    int rows;     /* of a matrix product's matrices */
    int bits;     /* of a stream's vectors */
    long passes;  /* or rounds */
    double work;  /* bytes or operations of one worker */
};

const struct roof_kernels *kernels_of(enum isa isa);

/* Arrays that the operation passes over: 1, 1, 2, 3. */
int roof_arrays(enum roof_op op);

/* The memory each of `threads` workers passes over so that it stays in its level; 0 when there is no room for that. */
size_t roof_set_bytes(enum roof_level level, const struct caches *c, int threads, size_t part_bytes);

/* The memory of each worker that the caches hold next to nothing of: four times the last level in all and 256 MiB at least,
 * but no more than 1 / `share` of the machine's memory. */
size_t roof_part_bytes(const struct caches *c, int threads, int share);

/* The kernels of an operation into job[0 .. ROOF_VARIANTS): over `set` bytes in all, passed over until `least` bytes are
 * done. Returns how many; 0 when the level has no such kernel or the set is too small. */
int jobs_stream(struct roof_job *job, const struct roof_kernels *k, enum roof_op op, bool bypass, size_t set, size_t least);

/* The same with the stores of all levels up to `isa`: narrower ones can be faster (Zen 4 stores 128 bits at a time to memory
 * a fifth faster than 512). */
int jobs_stream_widths(struct roof_job *job, enum isa isa, enum roof_op op, bool bypass, size_t set, size_t least);

/* Matrix products of several sizes by the BLAS library, each worker its own; returns how many. */
int jobs_product(struct roof_job *job);

/* Registers only; bits 32 or 64: scalar. ERR_ABSENT says what is missing. */
int job_compute(struct roof_job *job, enum isa isa, const char *dtype, int bits, struct err *e);

/* Nanoseconds, at least 1. The area belongs to a team of at least as many workers. */
uint64_t job_run(const struct roof_job *job, const struct roof_area *area, int threads);

#endif
