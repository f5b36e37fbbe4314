/* SPDX-License-Identifier: MIT
 * The best product of cublasLt: square matrices of two sizes, as large as memory allows, random (a product of zeros takes less
 * power and runs at a higher clock), and the first few algorithms that the library's heuristic offers for each. The left one is
 * transposed, as a model's weights are. */
#include <stdio.h>

#include "gpu_roof_ways.h"

enum { ALGORITHMS = 4, WORKSPACE = 32 << 20, SEED = 0x6765 };
static const int rows_by_size[] = {8192, 4096, 2048, 64}; /* the first two that fit; the last where the GPU is emulated */

static int check_lt(cublasStatus_t status, const char *what, struct err *e)
{
    return status == CUBLAS_STATUS_SUCCESS ? 0
                                           : err_set(e, ERR_ABSENT, "cublasLt: %s: %s", what, cublasLtGetStatusString(status));
}

static size_t element_bytes(cudaDataType_t type)
{
    return type == CUDA_R_32F ? 4 : 2;
}

/* Memory: left, right, result, then the workspace. */
static int run_product(struct gpu_roofs *r, const struct gpu_way *w, struct err *e)
{
    const struct gpu_product *p = w->product;
    const float one = 1, zero = 0;
    char *left = r->memory, *right = left + p->bytes, *result = right + p->bytes, *workspace = result + p->bytes;

    return check_lt(cublasLtMatmul(r->lt, p->operation, &one, left, p->layout, right, p->layout, &zero, result, p->layout,
                                   result, p->layout, &w->algorithm, workspace, r->bytes - 3 * p->bytes, r->stream),
                    "a product", e);
}

static int describe_product(struct gpu_product *p, struct gpu_arithmetic a, int rows, struct err *e)
{
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const uint64_t n = (uint64_t)rows;

    p->rows = rows;
    p->bytes = (size_t)rows * (size_t)rows * element_bytes(a.type);
    int code = check_lt(cublasLtMatmulDescCreate(&p->operation, a.compute, CUDA_R_32F), "an operation", e);
    if (code == 0)
        code =
            check_lt(cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
                     "a transposed matrix", e);
    if (code == 0)
        code = check_lt(cublasLtMatrixLayoutCreate(&p->layout, a.type, n, n, (int64_t)n), "a matrix", e);
    return code;
}

/* Adds the product's algorithms to the ways. */
static int add_algorithms(struct gpu_roofs *r, const struct gpu_product *p, struct err *e)
{
    const uint64_t workspace = r->bytes - 3 * p->bytes;
    cublasLtMatmulHeuristicResult_t found[ALGORITHMS];
    cublasLtMatmulPreference_t preference = NULL;
    int n = 0, code = check_lt(cublasLtMatmulPreferenceCreate(&preference), "a preference", e);

    if (code == 0)
        code = check_lt(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                             sizeof workspace),
                        "a workspace", e);
    if (code == 0)
        code = check_lt(cublasLtMatmulAlgoGetHeuristic(r->lt, p->operation, p->layout, p->layout, p->layout, p->layout,
                                                       preference, ALGORITHMS, found, &n),
                        "no algorithm for this GPU", e);
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    for (int i = 0; code == 0 && i < n && r->ways < GPU_WAYS_MAX; i++) {
        struct gpu_way *w = &r->way[r->ways++];
        *w = (struct gpu_way){.run = run_product, .product = p, .algorithm = found[i].algo};
        w->work = 2.0 * p->rows * p->rows * p->rows;
        snprintf(w->how, sizeof w->how, "cublasLt, %d x %d x %d, random, algorithm %d of %d", p->rows, p->rows, p->rows, i + 1,
                 n);
    }
    return code;
}

int gpu_product_ways(struct gpu_roofs *r, struct gpu_arithmetic a, struct err *e)
{
    enum { SIZES = sizeof rows_by_size / sizeof rows_by_size[0] };
    const size_t of_element = 3 * element_bytes(a.type);
    const size_t most = of_element * (size_t)rows_by_size[0] * (size_t)rows_by_size[0];
    const size_t least = of_element * (size_t)rows_by_size[SIZES - 1] * (size_t)rows_by_size[SIZES - 1];
    int n = 0, code = r->lt ? 0 : check_lt(cublasLtCreate(&r->lt), "does not start", e);

    if (code == 0)
        code = gpu_take_memory(r, most + WORKSPACE, least, e);
    if (code == 0)
        code = gpu_check(gpu_fill(r->stream, r->memory, a.type, r->bytes / element_bytes(a.type), SEED), "filling memory", e);
    for (int i = 0; code == 0 && i < SIZES && n < GPU_PRODUCTS_MAX; i++) {
        if (of_element * (size_t)rows_by_size[i] * (size_t)rows_by_size[i] > r->bytes)
            continue;
        struct gpu_product *p = &r->product[n++];
        if ((code = describe_product(p, a, rows_by_size[i], e)) == 0)
            code = add_algorithms(r, p, e);
    }
    return code;
}

void gpu_products_forget(struct gpu_roofs *r)
{
    for (int i = 0; i < GPU_PRODUCTS_MAX; i++) {
        struct gpu_product *p = &r->product[i];
        if (p->layout)
            cublasLtMatrixLayoutDestroy(p->layout);
        if (p->operation)
            cublasLtMatmulDescDestroy(p->operation);
        *p = (struct gpu_product){0};
    }
}
