/* SPDX-License-Identifier: MIT
 * The calls of cublasLt that the project makes, by plain loops on the CPU: exact products (of 16 bits), float sums, results
 * rounded to nearest even, as work on emulated streams. What the library refuses is refused here, and what it leaves to chance
 * too: pointers less aligned than the heuristic was told, a workspace smaller than the algorithm's. */
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <chrono>
#include <functional>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thread>
#include <vector>

#include "emu_stream.h"
#include "products.h"

struct emu_products emu_products = {-1, -1, CUBLAS_STATUS_NOT_SUPPORTED, 0, 0, -1};

struct cublasLtContext {
    int unused;
};

namespace
{

enum { WORKSPACE_ALIGNMENT = 256, OPERANDS = 4 /* A, B, C, D */ };

struct layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
};

struct operation {
    cublasComputeType_t compute;
    cudaDataType_t scale;
    cublasOperation_t a, b;
    uint32_t epilogue;
    const void *bias;
    int32_t bias_type; /* -1: D's */
};

struct preference {
    uint64_t workspace;
    uint32_t alignment[OPERANDS];
};

/* What lies in the words of a cublasLtMatmulAlgo_t. */
struct algorithm {
    uint64_t id;
    uint16_t alignment[OPERANDS], bias_alignment, types[3];
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "an algorithm has 64 bytes");

struct problem {
    const operation *op;
    const layout *of[OPERANDS];
    uint64_t m() const
    {
        return of[3]->rows;
    }
    uint64_t n() const
    {
        return of[3]->cols;
    }
    uint64_t k() const
    {
        return of[1]->rows;
    }
    bool has_bias() const
    {
        return op->epilogue == CUBLASLT_EPILOGUE_BIAS;
    }
};

problem problem_of(cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                   cublasLtMatrixLayout_t d)
{
    return {(const operation *)op, {(const layout *)a, (const layout *)b, (const layout *)c, (const layout *)d}};
}

bool is_float(cudaDataType_t t)
{
    return t == CUDA_R_32F || t == CUDA_R_16F || t == CUDA_R_16BF;
}

size_t element_bytes(cudaDataType_t t)
{
    return t == CUDA_R_32F ? 4 : 2;
}

bool same(const layout &x, const layout &y)
{
    return x.type == y.type && x.rows == y.rows && x.cols == y.cols && x.ld == y.ld;
}

/* Shapes that do not belong together are the caller's mistake, types that no kernel has are not supported. */
cublasStatus_t check(const problem &p)
{
    if (!p.op)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (const layout *l : p.of)
        if (!l || l->rows == 0 || l->cols == 0 || l->ld < (int64_t)l->rows)
            return CUBLAS_STATUS_INVALID_VALUE;
    const layout &a = *p.of[0], &b = *p.of[1], &c = *p.of[2], &d = *p.of[3];
    bool turned = p.op->a == CUBLAS_OP_T;
    if ((turned ? a.cols : a.rows) != p.m() || (turned ? a.rows : a.cols) != p.k() || b.cols != p.n() || c.rows != d.rows ||
        c.cols != d.cols)
        return CUBLAS_STATUS_INVALID_VALUE;
    bool tf32 = p.op->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    if ((p.op->compute != CUBLAS_COMPUTE_32F && !tf32) || p.op->scale != CUDA_R_32F || !is_float(a.type) || b.type != a.type ||
        c.type != d.type || (d.type != CUDA_R_32F && d.type != a.type) || (tf32 && a.type != CUDA_R_32F))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p.op->b != CUBLAS_OP_N || (p.op->epilogue != CUBLASLT_EPILOGUE_DEFAULT && !p.has_bias()))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (p.has_bias() && p.op->bias_type != -1 && p.op->bias_type != (int32_t)d.type)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

/* --- algorithms --------------------------------------------------------------------------------------------------------------
 */

/* The second keeps its sums there before they become results. */
size_t workspace_of(uint64_t id, const problem &p)
{
    return id == 1 ? p.m() * p.n() * sizeof(float) : 0;
}

bool can_do(uint64_t id, const problem &p)
{
    if (id == 1)
        return p.n() % EMU_ALGORITHM_1_ROWS == 0;
    return id == 0 || (id == 2 && p.n() >= EMU_ALGORITHM_2_ROWS);
}

uint16_t alignment_of(const void *pointer)
{
    uintptr_t at = (uintptr_t)pointer;
    uint16_t alignment = 1;

    while (alignment < 256 && at % (2u * alignment) == 0)
        alignment = (uint16_t)(2 * alignment);
    return alignment;
}

algorithm algorithm_of(uint64_t id, const problem &p, const preference &wanted)
{
    algorithm a = {id, {0}, alignment_of(p.op->bias), {0}};

    for (int i = 0; i < OPERANDS; i++)
        a.alignment[i] = (uint16_t)wanted.alignment[i];
    for (int i = 0; i < 3; i++)
        a.types[i] = (uint16_t)p.of[i]->type;
    return a;
}

cublasStatus_t check_algorithm(const algorithm &a, const problem &p)
{
    if (a.id >= EMU_ALGORITHMS)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < 3; i++)
        if (a.types[i] != (uint16_t)p.of[i]->type)
            return CUBLAS_STATUS_INVALID_VALUE;
    return can_do(a.id, p) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* --- computing ---------------------------------------------------------------------------------------------------------------
 */

float get(cudaDataType_t type, const void *from, size_t i)
{
    if (type == CUDA_R_32F)
        return ((const float *)from)[i];
    return type == CUDA_R_16F ? __half2float(((const __half *)from)[i]) : __bfloat162float(((const __nv_bfloat16 *)from)[i]);
}

void put(cudaDataType_t type, void *to, size_t i, float v)
{
    if (type == CUDA_R_32F)
        ((float *)to)[i] = v;
    else if (type == CUDA_R_16F)
        ((__half *)to)[i] = __float2half_rn(v);
    else
        ((__nv_bfloat16 *)to)[i] = __float2bfloat16_rn(v);
}

/* Floats with k beside each other: [columns of the result][k]. */
std::vector<float> unpacked(const layout &l, const void *from, bool turned, uint64_t k)
{
    uint64_t lines = turned ? l.rows : l.cols;
    std::vector<float> v(lines * k);

    for (uint64_t line = 0; line < lines; line++)
        for (uint64_t i = 0; i < k; i++)
            v[line * k + i] = get(l.type, from, turned ? i * (uint64_t)l.ld + line : line * (uint64_t)l.ld + i);
    return v;
}

float dot(const float *x, const float *y, uint64_t n)
{
    enum { LANES = 8 };
    typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
    lanes sums = {0}, a, b;
    uint64_t i = 0;
    float sum = 0;

    for (; i + LANES <= n; i += LANES) {
        memcpy(&a, x + i, sizeof a);
        memcpy(&b, y + i, sizeof b);
        sums += a * b;
    }
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (int lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    return sum;
}

/* All that a product needs when its time comes: descriptors may be gone by then. */
struct product {
    operation op;
    layout of[OPERANDS];
    const void *a, *b, *c;
    void *d;
    float alpha, beta, *partial;
    bool slow;
};

void compute(const product &p)
{
    uint64_t m = p.of[3].rows, n = p.of[3].cols, k = p.of[1].rows;
    std::vector<float> a = unpacked(p.of[0], p.a, p.op.a != CUBLAS_OP_T, k), b = unpacked(p.of[1], p.b, false, k), own;
    float *sums = p.partial;

    if (p.slow)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!sums) {
        own.resize(m * n);
        sums = own.data();
    }
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++)
            sums[j * m + i] = p.alpha * dot(&a[i * k], &b[j * k], k);
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++) {
            float v = sums[j * m + i];
            if (p.beta != 0)
                v += p.beta * get(p.of[2].type, p.c, j * (uint64_t)p.of[2].ld + i);
            if (p.op.epilogue == CUBLASLT_EPILOGUE_BIAS)
                v += get(p.of[3].type, p.op.bias, i);
            put(p.of[3].type, p.d, j * (uint64_t)p.of[3].ld + i, v);
        }
}

/* Where the last column of a matrix ends. */
size_t extent(const layout &l)
{
    return ((l.cols - 1) * (size_t)l.ld + l.rows) * element_bytes(l.type);
}

/* Every operand is of one piece of device memory. C is not read where it does not count. */
bool all_there(const problem &p, const void *const of[OPERANDS], bool adds, const void *workspace, size_t workspace_bytes)
{
    for (int i = 0; i < OPERANDS; i++)
        if ((i != 2 || adds) && !emu_on_device(of[i], extent(*p.of[i])))
            return false;
    if (p.has_bias() && !emu_on_device(p.op->bias, p.m() * element_bytes(p.of[3]->type)))
        return false;
    return workspace_bytes == 0 || emu_on_device(workspace, workspace_bytes);
}

bool is_aligned(const void *p, size_t alignment)
{
    return p && (uintptr_t)p % alignment == 0;
}

cublasStatus_t check_memory(const problem &p, const algorithm &algo, const void *const of[OPERANDS], const void *workspace,
                            size_t workspace_bytes)
{
    size_t needed = workspace_of(algo.id, p);

    for (int i = 0; i < OPERANDS; i++)
        if (!is_aligned(of[i], element_bytes(p.of[i]->type)))
            return CUBLAS_STATUS_INVALID_VALUE;
    if (needed > workspace_bytes || (workspace_bytes > 0 && !is_aligned(workspace, WORKSPACE_ALIGNMENT)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (of[2] == of[3] && !same(*p.of[2], *p.of[3]))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (p.has_bias() && !p.op->bias)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (int i = 0; i < OPERANDS; i++)
        if (!is_aligned(of[i], algo.alignment[i]))
            return CUBLAS_STATUS_NOT_SUPPORTED;
    return p.has_bias() && !is_aligned(p.op->bias, algo.bias_alignment) ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

/* --- attributes --------------------------------------------------------------------------------------------------------------
 */

template <class T> cublasStatus_t set(T *to, const void *value, size_t bytes)
{
    if (!value || bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, sizeof *to);
    return CUBLAS_STATUS_SUCCESS;
}

template <class T> cublasStatus_t drop(const void *p)
{
    if (!p)
        return CUBLAS_STATUS_INVALID_VALUE;
    delete (const T *)p;
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

extern "C" {

/* --- library -----------------------------------------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *lt)
{
    int devices = 0;

    if (!lt)
        return CUBLAS_STATUS_INVALID_VALUE;
    *lt = NULL;
    if (cudaGetDeviceCount(&devices) != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    *lt = new cublasLtContext();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lt)
{
    return drop<cublasLtContext>(lt);
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    default:
        return "an error of the emulated cublasLt";
    }
}

/* --- descriptions ------------------------------------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute, cudaDataType_t scale)
{
    *d = (cublasLtMatmulDesc_t) new operation{compute, scale, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL, -1};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(const cublasLtMatmulDesc_t d)
{
    return drop<operation>(d);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t bytes)
{
    operation *o = (operation *)d;

    if (!o)
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&o->a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&o->b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return set(&o->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&o->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return set(&o->bias_type, value, bytes);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type, uint64_t rows, uint64_t cols,
                                          int64_t ld)
{
    *l = (cublasLtMatrixLayout_t) new layout{type, rows, cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(const cublasLtMatrixLayout_t l)
{
    return drop<layout>(l);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    *p = (cublasLtMatmulPreference_t) new preference{0, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(const cublasLtMatmulPreference_t p)
{
    return drop<preference>(p);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
                                                    size_t bytes)
{
    preference *p = (preference *)pref;
    uint32_t reductions;

    if (!p)
        return CUBLAS_STATUS_INVALID_VALUE;
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(&p->alignment[0], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(&p->alignment[1], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(&p->alignment[2], value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&p->alignment[3], value, bytes);
    default:
        return CUBLAS_STATUS_INVALID_VALUE;
    }
}

/* --- products ----------------------------------------------------------------------------------------------------------------
 */

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t lt, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t pref, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *returned)
{
    const problem p = problem_of(op, a, b, c, d);
    const preference *wanted = (const preference *)pref;
    cublasStatus_t status = check(p);

    emu_products.asked++;
    *returned = 0;
    if (!lt)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!wanted || most <= 0)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (uint64_t id = 0; status == CUBLAS_STATUS_SUCCESS && id < EMU_ALGORITHMS && *returned < most; id++) {
        if (!can_do(id, p) || workspace_of(id, p) > wanted->workspace)
            continue;
        const algorithm chosen = algorithm_of(id, p, *wanted);
        cublasLtMatmulHeuristicResult_t *r = &results[(*returned)++];
        *r = {};
        memcpy(&r->algo, &chosen, sizeof chosen);
        r->workspaceSize = workspace_of(id, p);
    }
    return status;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t lt, cublasLtMatmulDesc_t op, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result)
{
    const problem p = problem_of(op, a, b, c, d);
    algorithm checked;

    emu_products.checked++;
    if (!lt)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t status = check(p);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    memcpy(&checked, algo, sizeof checked);
    result->workspaceSize = workspace_of(checked.id, p);
    return check_algorithm(checked, p);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lt, cublasLtMatmulDesc_t op, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta,
                              const void *C, cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    const problem p = problem_of(op, a, b, c, d);
    const void *const of[OPERANDS] = {A, B, C, D};
    algorithm chosen;

    if (!lt)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t status = alpha && beta && algo ? check(p) : CUBLAS_STATUS_INVALID_VALUE;
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    memcpy(&chosen, algo, sizeof chosen);
    if ((status = check_algorithm(chosen, p)) != CUBLAS_STATUS_SUCCESS ||
        (status = check_memory(p, chosen, of, workspace, workspace_bytes)) != CUBLAS_STATUS_SUCCESS)
        return status;
    if (!all_there(p, of, *(const float *)beta != 0, workspace, workspace_bytes)) {
        fprintf(stderr, "emu: a product's operands reach beyond their memory\n");
        abort();
    }
    const int id = (int)chosen.id;
    if (id == emu_products.broken)
        return emu_products.breaks_with;
    static const char code[EMU_ALGORITHMS] = {0}; /* stands for that of each algorithm */
    if (emu_load(stream, &code[id]) != cudaSuccess)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    const product given = {*p.op,
                           {*p.of[0], *p.of[1], *p.of[2], *p.of[3]},
                           A,
                           B,
                           C,
                           D,
                           *(const float *)alpha,
                           *(const float *)beta,
                           workspace_of(chosen.id, p) > 0 ? (float *)workspace : NULL,
                           emu_products.fastest >= 0 && emu_products.fastest != id};
    emu_products.last = id;
    return emu_enqueue(stream, [=] { compute(given); }) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // extern "C"
