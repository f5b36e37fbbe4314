/* SPDX-License-Identifier: MIT
 * For tests of kernels: memory of the device that is poisoned with NaNs and lies between guards, random numbers that are the
 * same every time, numbers as a dtype holds them. Everything goes through the runtime's own calls, emulated or not. */
#ifndef BENCH_DEVICE_ROOM_H
#define BENCH_DEVICE_ROOM_H

#include <algorithm>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

extern "C" {
#include "check.h"

#include "dtype.h"
#include "kvcache.h"
}

#include "launch.h"

enum { GUARD = 256, POISON = 0xff, FENCE = 0xa5 };

inline uint64_t random_bits()
{
    static uint64_t x = 0x9e3779b97f4a7c15u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

inline int random_int(int least, int most)
{
    return least + (int)(random_bits() % (uint64_t)(most - least + 1));
}

inline float random_float(float size)
{
    return size * ((float)(random_bits() >> 40) / (1 << 23) - 1);
}

inline std::vector<float> random_floats(size_t n, float size)
{
    std::vector<float> v(n);

    for (float &x : v)
        x = random_float(size);
    return v;
}

inline enum dtype random_dtype()
{
    return (enum dtype)random_int(DTYPE_F32, DTYPE_BF16);
}

inline size_t element_bytes(enum dtype d)
{
    return dtype_bytes(d, 1);
}

/* What rounding to the dtype may change, relative. */
inline double rounding(enum dtype d)
{
    return d == DTYPE_F32 ? 6e-8 : d == DTYPE_F16 ? 1.0 / 2048 : 1.0 / 256;
}

/* Bytes of the device between two guards. Poisoned, as long as nothing was put there. */
class device_bytes
{
    char *base;

  public:
    size_t n;
    void *at;

    explicit device_bytes(size_t bytes) : base(NULL), n(bytes), at(NULL)
    {
        assert_int_equal(cudaMalloc((void **)&base, n + 2 * GUARD), cudaSuccess);
        at = base + GUARD;
        assert_int_equal(cudaMemset(base, FENCE, n + 2 * GUARD), cudaSuccess);
        assert_int_equal(cudaMemset(at, POISON, n), cudaSuccess);
    }
    device_bytes(const device_bytes &) = delete;
    ~device_bytes()
    {
        cudaFree(base);
    }
    void put(const void *from, size_t bytes, size_t offset = 0)
    {
        assert_true(offset + bytes <= n);
        assert_int_equal(cudaMemcpy((char *)at + offset, from, bytes, cudaMemcpyHostToDevice), cudaSuccess);
    }
    /* What is there, once all work has ended; the guards must be as they were. */
    std::vector<char> get() const
    {
        std::vector<char> all(n + 2 * GUARD);

        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_int_equal(cudaMemcpy(all.data(), base, all.size(), cudaMemcpyDeviceToHost), cudaSuccess);
        for (size_t i = 0; i < GUARD; i++)
            if (all[i] != (char)FENCE || all[GUARD + n + i] != (char)FENCE)
                fail_msg("something was written beside memory of %zu bytes", n);
        return std::vector<char>(all.begin() + GUARD, all.end() - GUARD);
    }
};

/* n numbers of a dtype on the device; `values` is what they are as float32. */
class numbers
{
  public:
    enum dtype dtype;
    std::vector<float> values;
    device_bytes memory;

    /* Poisoned: for results. */
    numbers(enum dtype d, size_t n) : dtype(d), memory(dtype_bytes(d, n))
    {
    }
    numbers(enum dtype d, const std::vector<float> &from) : dtype(d), values(from.size()), memory(dtype_bytes(d, from.size()))
    {
        std::vector<char> coded(memory.n);
        dtype_encode(d, coded.data(), from.data(), from.size());
        dtype_decode(d, values.data(), coded.data(), from.size());
        memory.put(coded.data(), coded.size());
    }
    void *at() const
    {
        return memory.at;
    }
    float *floats() const
    {
        assert_int_equal(dtype, DTYPE_F32);
        return (float *)memory.at;
    }
    std::vector<float> get() const
    {
        std::vector<char> coded = memory.get();
        std::vector<float> out(coded.size() / element_bytes(dtype));

        dtype_decode(dtype, out.data(), coded.data(), out.size());
        return out;
    }
};

/* A matrix of random numbers whose rows are further apart than they are long, NaNs between them. */
class random_matrix
{
  public:
    struct matrix m;
    std::vector<float> values; /* [rows][cols] */
    device_bytes memory;

    random_matrix(enum dtype d, int rows, int cols)
        : random_matrix(d, rows, cols, dtype_bytes(d, (size_t)cols) + 16 * (size_t)random_int(0, 2))
    {
    }
    random_matrix(enum dtype d, int rows, int cols, size_t row_bytes)
        : values(random_floats((size_t)rows * (size_t)cols, 1)), memory((size_t)rows * row_bytes)
    {
        std::vector<char> coded(memory.n, (char)POISON);

        for (int r = 0; r < rows; r++) {
            float *row = &values[(size_t)r * (size_t)cols];
            dtype_encode(d, &coded[(size_t)r * row_bytes], row, (size_t)cols);
            dtype_decode(d, row, &coded[(size_t)r * row_bytes], (size_t)cols);
        }
        memory.put(coded.data(), coded.size());
        m = {memory.at, d, rows, cols, row_bytes};
    }
    const float *row(int r) const
    {
        return &values[(size_t)r * (size_t)m.cols];
    }
};

class position_state
{
    device_bytes memory;

  public:
    position_state(int past, const std::vector<int32_t> &ids) : memory(sizeof(struct gpu_state) + ids.size() * sizeof(int32_t))
    {
        memory.put(&past, sizeof past);
        if (!ids.empty())
            memory.put(ids.data(), ids.size() * sizeof(int32_t), sizeof(struct gpu_state));
    }
    struct gpu_state *at() const
    {
        return (struct gpu_state *)memory.at;
    }
    int past() const
    {
        int32_t past;
        memcpy(&past, memory.get().data(), sizeof past);
        return past;
    }
    int id(int i) const
    {
        int32_t id;
        memcpy(&id, memory.get().data() + sizeof(struct gpu_state) + (size_t)i * sizeof id, sizeof id);
        return id;
    }
};

inline void assert_close(double got, double want, double allowed, const char *what, size_t at)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s, element %zu: %.9g, expected %.9g, at most %.3g away", what, at, got, want, allowed);
}

/* Does the same twice: threads and blocks in their order, and in the opposite one. */
template <class F> void in_both_orders(F test)
{
    unsetenv("EMU_REVERSE");
    test();
    setenv("EMU_REVERSE", "1", 1);
    test();
    unsetenv("EMU_REVERSE");
}

/* A norm in double precision, of one row. */
struct random_norm {
    numbers weight, bias;
    struct gpu_norm norm;

    explicit random_norm(enum norm_kind kind, int cols)
        : weight(DTYPE_F32, random_floats((size_t)cols, 1.5f)),
          bias(DTYPE_F32, random_floats((size_t)cols, 0.5f)), norm{weight.floats(), kind == NORM_LAYER ? bias.floats() : NULL,
                                                                   kind, 1e-5f}
    {
    }
    std::vector<double> of(const float *x) const
    {
        size_t n = weight.values.size();
        std::vector<double> y(n);
        double mean = 0, square = 0;

        for (size_t i = 0; norm.kind == NORM_LAYER && i < n; i++)
            mean += x[i] / (double)n;
        for (size_t i = 0; i < n; i++)
            square += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) / sqrt(square + norm.eps) * weight.values[i] + (norm.bias ? bias.values[i] : 0);
        return y;
    }
};

inline double gelu_of(double u)
{
    return 0.5 * u * (1 + tanh(sqrt(2 / M_PI) * (u + 0.044715 * u * u * u)));
}

inline double silu_of(double u)
{
    return u / (1 + exp(-u));
}

#endif
