/* SPDX-License-Identifier: MIT
 * The best product of cublasLt: square matrices of two sizes, as large as memory allows, random (a product of zeros takes less
 * power and runs at a higher clock), and the first few algorithms that the library's heuristic offers for each. */
#include <stdio.h>

#include "gpu_roof_ways.h"

enum { ALGORITHMS = 4, WORKSPACE = 32 << 20, SEED = 0x6765 };
static const int sides[] = {8192, 4096, 2048, 64}; /* the first two that fit; the last where the GPU is emulated */

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
    const struct square_product *p = w->product;
    const struct square_operands o = {r->memory, r->memory + p->bytes, r->memory + 2 * p->bytes, r->memory + 3 * p->bytes,
                                      r->bytes - 3 * p->bytes};

    return check_lt(square_product_run(p, r->lt, &w->algorithm, &o, r->stream), "a product", e);
}

/* Adds the product's algorithms to the ways. */
static int add_algorithms(struct gpu_roofs *r, const struct square_product *p, struct err *e)
{
    cublasLtMatmulHeuristicResult_t found[ALGORITHMS];
    int n, code = check_lt(square_product_ask(p, r->lt, r->bytes - 3 * p->bytes, found, ALGORITHMS, &n),
                           "no algorithm for this GPU", e);

    for (int i = 0; code == 0 && i < n && r->ways < GPU_WAYS_MAX; i++) {
        struct gpu_way *w = &r->way[r->ways++];
        *w = (struct gpu_way){.run = run_product, .product = p, .algorithm = found[i].algo};
        w->work = 2.0 * p->side * p->side * p->side;
        snprintf(w->how, sizeof w->how, "cublasLt, %d x %d x %d, random, algorithm %d of %d", p->side, p->side, p->side, i + 1,
                 n);
    }
    return code;
}

int gpu_product_ways(struct gpu_roofs *r, struct gpu_arithmetic a, struct err *e)
{
    enum { SIZES = sizeof sides / sizeof sides[0] };
    const size_t of_element = 3 * element_bytes(a.type);
    const size_t most = of_element * (size_t)sides[0] * (size_t)sides[0];
    const size_t least = of_element * (size_t)sides[SIZES - 1] * (size_t)sides[SIZES - 1];
    int n = 0, code = r->lt ? 0 : check_lt(cublasLtCreate(&r->lt), "does not start", e);

    if (code == 0)
        code = gpu_take_memory(r, most + WORKSPACE, least, e);
    if (code == 0)
        code = gpu_check(gpu_fill(r->stream, r->memory, a.type, r->bytes / element_bytes(a.type), SEED), "filling memory", e);
    for (int i = 0; code == 0 && i < SIZES && n < GPU_PRODUCTS_MAX; i++) {
        if (of_element * (size_t)sides[i] * (size_t)sides[i] > r->bytes)
            continue;
        struct square_product *p = &r->product[n++];
        if ((code = check_lt(square_product_init(p, a.type, a.compute, sides[i]), "a product's description", e)) == 0)
            code = add_algorithms(r, p, e);
    }
    return code;
}

void gpu_products_forget(struct gpu_roofs *r)
{
    for (int i = 0; i < GPU_PRODUCTS_MAX; i++)
        square_product_free(&r->product[i]);
}
