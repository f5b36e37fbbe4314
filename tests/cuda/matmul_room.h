/* SPDX-License-Identifier: MIT
 * A product through matmul.h with all that it reads and writes, and what it must come to by loops in double precision. */
#ifndef BENCH_MATMUL_ROOM_H
#define BENCH_MATMUL_ROOM_H

#include "device_room.h"

extern "C" {
#include "matmul.h"
}

class products
{
  public:
    cudaStream_t stream;
    struct matmul *m;

    products() : stream(NULL), m(NULL)
    {
        struct err e = {};
        assert_int_equal(cudaStreamCreate(&stream), cudaSuccess); /* in order with the default stream, which fills memory */
        if (matmul_open(&m, stream, &e) < 0)
            fail_msg("%s", e.text);
    }
    products(const products &) = delete;
    ~products()
    {
        matmul_close(m);
        cudaStreamDestroy(stream);
    }
};

struct operation {
    int w_rows, cols;
    enum dtype dtype, out;
    bool bias, add;
};

inline operation random_operation()
{
    operation o = {8 * random_int(1, 20), 8 * random_int(1, 40), random_dtype(), DTYPE_F32,
                   random_int(0, 1) == 1, random_int(0, 1) == 1};
    int into = random_int(0, 2);

    if (into == 0) {
        o.out = o.dtype;
        o.bias &= o.out == DTYPE_F32;
    } else if (into == 1) {
        o.w_rows = random_int(1, 150); /* as vocabularies are: any number */
    }
    return o;
}

/* Operands of up to `most` rows, the weights' rows padded with NaNs; y is poisoned, or holds what is added to. */
class product_room
{
  public:
    operation o;
    random_matrix w;
    numbers x, bias, before, scratch, scratch_x;

    product_room(const operation &op, int most, size_t padding = 16 * (size_t)random_int(0, 2))
        : o(op), w(op.dtype, op.w_rows, op.cols, dtype_bytes(op.dtype, (size_t)op.cols) + padding),
          x(op.dtype, random_floats((size_t)most * (size_t)op.cols, 1)), bias(DTYPE_F32, random_floats((size_t)op.w_rows, 1)),
          before(op.out, random_floats((size_t)most * (size_t)op.w_rows, 1)), scratch(op.out, (size_t)most * (size_t)op.w_rows),
          scratch_x(op.dtype, (size_t)most * (size_t)op.cols)
    {
    }
    const float *bias_at() const
    {
        return o.bias ? bias.floats() : NULL;
    }
    int prepare(const products &p, int rows, struct err *e) const
    {
        return matmul_prepare(p.m, &w.m, rows, o.out, o.bias, o.add, scratch_x.at(), scratch.at(), e);
    }
    void prepare(const products &p, int rows) const
    {
        struct err e = {};
        if (prepare(p, rows, &e) < 0)
            fail_msg("%s", e.text);
    }
    int run(const products &p, int rows, void *y, struct err *e) const
    {
        return matmul_run(p.m, &w.m, x.at(), rows, y, o.out, bias_at(), o.add, e);
    }
    numbers result(int rows) const
    {
        size_t n = (size_t)rows * (size_t)o.w_rows;
        return o.add ? numbers(o.out, std::vector<float>(before.values.begin(), before.values.begin() + (long)n))
                     : numbers(o.out, n);
    }
    /* `times`: how often the product was added to y. */
    void check(const numbers &y, int rows, int times = 1) const
    {
        std::vector<float> got = y.get();
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < o.w_rows; i++) {
                size_t at = (size_t)r * (size_t)o.w_rows + (size_t)i;
                const float *left = &x.values[(size_t)r * (size_t)o.cols], *right = w.row(i);
                double sum = o.bias ? bias.values[(size_t)i] : 0, sizes = fabs(sum);
                for (int k = 0; k < o.cols; k++) {
                    sum += (double)left[k] * right[k];
                    sizes += fabs((double)left[k] * right[k]);
                }
                double want = o.add ? before.values[at] + times * sum : sum;
                double summing = times * (o.cols + 4) * 0x1p-23 * (sizes + 2);
                assert_close(got[at], want, summing + times * rounding(o.out) * fabs(want), "product", at);
            }
    }
    void run_and_check(const products &p, int rows) const
    {
        numbers y = result(rows);
        struct err e = {};

        if (run(p, rows, y.at(), &e) < 0)
            fail_msg("%s", e.text);
        check(y, rows);
    }
};

#endif
