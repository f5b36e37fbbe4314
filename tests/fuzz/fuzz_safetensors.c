/* SPDX-License-Identifier: MIT
 * One safetensors file; every tensor that it is said to hold is then read. */
#include "fuzz_room.h"

#include "formats/safetensors.h"

enum { ELEMENTS_MAX = 1 << 20 };

/* As rows x cols, in place or converted, in the file's order or turned. */
static void read_as(const struct safetensors *s, const struct safetensors_tensor *t, int rows, int cols)
{
    static const enum dtype held[] = {DTYPE_F32, DTYPE_BF16};
    static float out[ELEMENTS_MAX];
    struct err e = {0};

    for (int i = 0; i < 4; i++) {
        struct tensor_slot slot = {.to = {.data = out, .dtype = held[i / 2], .rows = rows, .cols = cols}, .transposed = i % 2};
        slot.to.row_bytes = matrix_row_bytes(slot.to.dtype, cols);
        MUST(safetensors_read(s, t, &slot, &e) == 0);
    }
}

/* A tensor as long as the file says, in rows that divide it. */
static void read_tensor(const struct safetensors *s, const struct safetensors_tensor *t)
{
    uint64_t elements = 1;
    enum dtype d;
    char shape[128];

    MUST(t->begin <= t->end && t->name && t->dtype && t->rank <= SAFETENSORS_RANK_MAX);
    MUST(strlen(safetensors_shape(t, shape, sizeof shape)) < sizeof shape);
    for (int i = 0; i < t->rank; i++)
        MUST(!__builtin_mul_overflow(elements, t->shape[i], &elements));
    if (!safetensors_dtype(t, &d))
        return;
    MUST(t->end - t->begin == dtype_bytes(d, elements));
    if (elements < 1 || elements > ELEMENTS_MAX)
        return;
    int rows = t->rank == 2 ? (int)t->shape[0] : 1, cols = (int)elements / rows;
    read_as(s, t, rows, cols);
    read_as(s, t, cols, rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_file file;
    struct safetensors s = {0};
    struct err e = {0};

    if (fuzz_taken(safetensors_open(&s, fuzz_put(&file, data, size), &e), &e))
        for (size_t i = 0; i < s.count; i++)
            read_tensor(&s, &s.tensors[i]);
    safetensors_close(&s);
    return 0;
}
