/* SPDX-License-Identifier: MIT
 * What a test sees of the emulated cublasLt and decides for it. Algorithm 0 computes any product, 1 multiples of 8 rows and
 * with a workspace, 2 from 16 rows on; the heuristic offers those that fit, in this order. */
#ifndef BENCH_EMU_PRODUCTS_H
#define BENCH_EMU_PRODUCTS_H

#include <cublasLt.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EMU_ALGORITHMS = 3, EMU_ALGORITHM_1_ROWS = 8, EMU_ALGORITHM_2_ROWS = 16 };

struct emu_products {
    int fastest; /* the algorithm that all others are slower than; -1: all are alike */
    int broken;  /* one that is offered and then refuses to run; -1: none */
    cublasStatus_t breaks_with;
    long asked;   /* calls of the heuristic so far */
    long checked; /* calls of the check whether an algorithm can do a product */
    int last;     /* the algorithm of the product that a stream was given last */
};
extern struct emu_products emu_products;

#ifdef __cplusplus
}
#endif

#endif
