/* SPDX-License-Identifier: MIT
 * What the engine asks OpenBLAS for, as plain loops: for machines that this one only emulates, where the
 * library is not installed. Row-major only, which is all that the engine uses. */
#include <assert.h>
#include <cblas.h>

void cblas_sgemm(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_TRANSPOSE transpose_a,
                 OPENBLAS_CONST enum CBLAS_TRANSPOSE transpose_b, OPENBLAS_CONST blasint m, OPENBLAS_CONST blasint n,
                 OPENBLAS_CONST blasint k, OPENBLAS_CONST float alpha, OPENBLAS_CONST float *a, OPENBLAS_CONST blasint a_stride,
                 OPENBLAS_CONST float *b, OPENBLAS_CONST blasint b_stride, OPENBLAS_CONST float beta, float *c,
                 OPENBLAS_CONST blasint c_stride)
{
    assert(order == CblasRowMajor && transpose_a == CblasNoTrans);
    for (int row = 0; row < m; row++)
        for (int column = 0; column < n; column++) {
            float *to = c + (long)row * c_stride + column, sum = 0;
            for (int i = 0; i < k; i++)
                sum += a[(long)row * a_stride + i] *
                       (transpose_b == CblasTrans ? b[(long)column * b_stride + i] : b[(long)i * b_stride + column]);
            *to = alpha * sum + (beta != 0 ? beta * *to : 0);
        }
}

void cblas_sgemv(OPENBLAS_CONST enum CBLAS_ORDER order, OPENBLAS_CONST enum CBLAS_TRANSPOSE transpose, OPENBLAS_CONST blasint m,
                 OPENBLAS_CONST blasint n, OPENBLAS_CONST float alpha, OPENBLAS_CONST float *a, OPENBLAS_CONST blasint a_stride,
                 OPENBLAS_CONST float *x, OPENBLAS_CONST blasint x_step, OPENBLAS_CONST float beta, float *y,
                 OPENBLAS_CONST blasint y_step)
{
    const int outputs = transpose == CblasTrans ? n : m, depth = transpose == CblasTrans ? m : n;

    assert(order == CblasRowMajor);
    for (int o = 0; o < outputs; o++) {
        float sum = 0;
        for (int i = 0; i < depth; i++)
            sum += x[(long)i * x_step] * (transpose == CblasTrans ? a[(long)i * a_stride + o] : a[(long)o * a_stride + i]);
        y[(long)o * y_step] = alpha * sum + (beta != 0 ? beta * y[(long)o * y_step] : 0);
    }
}

void openblas_set_num_threads(int n)
{
    (void)n; /* these have one */
}
