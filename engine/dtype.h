/* SPDX-License-Identifier: MIT
 * How weights are stored, in files and in memory, and the way to float32 and back. Plain types hold one element, quantised ones
 * a block of 32 or 256 elements that share scales; the layouts are those of ggml (the GGUF specification). Pure functions on
 * memory; any thread; no alignment is asked of the stored bytes. */
#ifndef BENCH_DTYPE_H
#define BENCH_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_K, DTYPE_Q6_K, DTYPE_COUNT };

const char *dtype_name(enum dtype d);      /* "F32", "BF16", "Q4_K": as both file formats spell them */
const char *dtype_full_name(enum dtype d); /* "float32", "bfloat16", "q4_k": as records and config.json spell them */
int dtype_block(enum dtype d);             /* elements that are stored together: 1, 32 or 256 */
int dtype_block_bytes(enum dtype d);       /* bytes of such a block */

/* false where the name is unknown; upper and lower case are the same. */
bool dtype_find(enum dtype *out, const char *name);

/* Bytes of n elements, n a multiple of the block. */
size_t dtype_bytes(enum dtype d, size_t n);

/* n elements (a multiple of the block) to float32. Every bit pattern is a value: nothing here can fail. */
void dtype_decode(enum dtype d, float *out, const void *in, size_t n);

/* True for those that can be written: all but the K-quants, whose encoders are searches. */
bool dtype_is_writable(enum dtype d);

/* n elements from float32, rounded to nearest even; the quantised ones as ggml's reference quantisers do. */
void dtype_encode(enum dtype d, void *out, const float *in, size_t n);

#endif
