/* SPDX-License-Identifier: MIT
 * The product of two square matrices by cublasLt, for a roof to be found with and for counters to be held against. The left one
 * is transposed, as a model's weights are; sums are single precision. */
#ifndef BENCH_SQUARE_PRODUCT_H
#define BENCH_SQUARE_PRODUCT_H

#include <cublasLt.h>
#include <stddef.h>

struct square_product {
    int side;
    size_t bytes; /* of a matrix */
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t layout; /* of all three */
};

/* Free it also where it could not be made. */
cublasStatus_t square_product_init(struct square_product *p, cudaDataType_t type, cublasComputeType_t compute, int side);
void square_product_free(struct square_product *p);

/* Up to `most` algorithms that need no larger workspace, the heuristic's first first; none is CUBLAS_STATUS_NOT_SUPPORTED. */
cublasStatus_t square_product_ask(const struct square_product *p, cublasLtHandle_t lt, size_t workspace,
                                  cublasLtMatmulHeuristicResult_t *found, int most, int *n);

/* Memory of the device. */
struct square_operands {
    const void *left, *right;
    void *result, *workspace;
    size_t workspace_bytes;
};
cublasStatus_t square_product_run(const struct square_product *p, cublasLtHandle_t lt, const cublasLtMatmulAlgo_t *algorithm,
                                  const struct square_operands *o, cudaStream_t stream);

#endif
