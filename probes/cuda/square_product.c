/* SPDX-License-Identifier: MIT */
#include "square_product.h"

cublasStatus_t square_product_init(struct square_product *p, cudaDataType_t type, cublasComputeType_t compute, int side)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const uint64_t n = (uint64_t)side;

    *p = (struct square_product){.side = side, .bytes = n * n * (type == CUDA_R_32F ? 4 : 2)};
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->operation, compute, CUDA_R_32F);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    return s == CUBLAS_STATUS_SUCCESS ? cublasLtMatrixLayoutCreate(&p->layout, type, n, n, (int64_t)n) : s;
}

void square_product_free(struct square_product *p)
{
    if (p->layout)
        cublasLtMatrixLayoutDestroy(p->layout);
    if (p->operation)
        cublasLtMatmulDescDestroy(p->operation);
    *p = (struct square_product){0};
}

cublasStatus_t square_product_ask(const struct square_product *p, cublasLtHandle_t lt, size_t workspace,
                                  cublasLtMatmulHeuristicResult_t *found, int most, int *n)
{
    const uint64_t bytes = workspace;
    cublasLtMatmulPreference_t preference = NULL;
    cublasStatus_t s = cublasLtMatmulPreferenceCreate(&preference);

    *n = 0;
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulAlgoGetHeuristic(lt, p->operation, p->layout, p->layout, p->layout, p->layout, preference, most,
                                           found, n);
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    return s == CUBLAS_STATUS_SUCCESS && *n == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : s;
}

cublasStatus_t square_product_run(const struct square_product *p, cublasLtHandle_t lt, const cublasLtMatmulAlgo_t *algorithm,
                                  const struct square_operands *o, cudaStream_t stream)
{
    const float one = 1, zero = 0;

    return cublasLtMatmul(lt, p->operation, &one, o->left, p->layout, o->right, p->layout, &zero, o->result, p->layout,
                          o->result, p->layout, algorithm, o->workspace, o->workspace_bytes, stream);
}
