/* SPDX-License-Identifier: MIT
 * One safetensors file: 8 bytes of little-endian header length, a JSON header, then the tensors back to back. Opening checks
 * the whole header against the file; afterwards every tensor's bytes are known to lie inside it. Data is read with pread into
 * its place, so that a file that shrinks meanwhile is an error and not a signal. */
#ifndef BENCH_SAFETENSORS_H
#define BENCH_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "err.h"
#include "model.h"

enum { SAFETENSORS_RANK_MAX = 8 };

struct safetensors_tensor {
    const char *name;  /* as in the file; lives as long as the file is open */
    const char *dtype; /* "F32" */
    int rank;          /* 0: a scalar */
    uint64_t shape[SAFETENSORS_RANK_MAX];
    uint64_t begin, end; /* bytes from the start of the data */
};

struct safetensors {
    char *path;
    int fd;
    uint64_t data_start; /* of the data in the file */
    size_t count;
    struct safetensors_tensor *tensors; /* in the order of their bytes */
    struct json_t *header;              /* owns the names */
};

/* Close it also after a failure. */
int safetensors_open(struct safetensors *s, const char *path, struct err *e);
void safetensors_close(struct safetensors *s);

/* False but for the dtypes that safetensors_read can read: F32, F16, BF16. */
bool safetensors_dtype(const struct safetensors_tensor *t, enum dtype *out);

/* "[64, 192]" into buf; returns buf. */
const char *safetensors_shape(const struct safetensors_tensor *t, char *buf, size_t size);

/* Reads a tensor into its place: bit for bit where the place has the same dtype, else by way of float32. The caller has checked
 * dtype and shape. Spread over OpenMP's threads. */
int safetensors_read(const struct safetensors *s, const struct safetensors_tensor *t, const struct tensor_slot *slot,
                     struct err *e);

#endif
