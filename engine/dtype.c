/* SPDX-License-Identifier: MIT
 * One function a direction and type, in a table. Plain types are loops that vectorise (their loads go through memcpy since
 * files align to nothing); quantised ones walk block by block. In a block's value every product of scales and quants is exact
 * in float32, so that one rounding is left and compilers that fuse multiply and add get the same bits. */
#include "dtype.h"

#include <math.h>
#include <string.h>
#include <strings.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored elements are little-endian and used as they are");

enum { QUANTS = 32, SUPER = 256 }; /* elements of a block and of a K-quant's block */

struct layout {
    const char *name, *full;
    int block, bytes;
    void (*decode)(float *restrict out, const uint8_t *restrict in, size_t n);
    void (*encode)(uint8_t *restrict out, const float *restrict in, size_t n); /* NULL: not written */
};

static const struct layout layouts[DTYPE_COUNT];

/* --- single elements ----------------------------------------------------------------------------------------------------- */

static inline float float_of_bits(uint32_t bits)
{
    float f;

    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of_float(float f)
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline uint16_t load16(const uint8_t *in)
{
    uint16_t v;

    memcpy(&v, in, sizeof v);
    return v;
}

static inline void store16(uint8_t *out, uint16_t v)
{
    memcpy(out, &v, sizeof v);
}

/* condition ? yes : no, which loops with branches in them would keep from being vectorised. */
static inline uint32_t choose(bool condition, uint32_t yes, uint32_t no)
{
    return no ^ ((no ^ yes) & -(uint32_t)condition);
}

/* Exponents move from bias 15 to 127; the lowest one (0, subnormal) counts in steps of 2^-24, the highest stays the highest. */
static inline float float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h & 0x7c00, rest = (uint32_t)(h & 0x7fff) << 13;
    uint32_t small = bits_of_float((float)(h & 0x3ff) * 0x1p-24f);
    uint32_t bits = rest + (choose(exponent == 0x7c00, 224, 112) << 23);

    return float_of_bits(sign | choose(exponent == 0, small, bits));
}

/* Adding half a step less one, and one more where the kept part is odd, rounds to nearest even; a carry walks into the exponent
 * and at the top makes infinity. Below 2^-14 the sum with 0.5, whose steps are 2^-24, does the rounding. */
static inline uint16_t half_of_float(float f)
{
    uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t moved = size - (112u << 23);
    uint32_t normal = (moved + 0xfff + (moved >> 13 & 1)) >> 13;
    uint32_t small = bits_of_float(float_of_bits(size) + 0.5f) - bits_of_float(0.5f);
    uint32_t nan = 0x7e00 | (size >> 13 & 0x3ff);
    uint32_t large = choose(size <= 0x7f800000, 0x7c00, nan);

    return (uint16_t)(sign | choose(size < 0x38800000, small, choose(size < 0x47800000, normal, large)));
}

static inline uint16_t bfloat_of_float(float f)
{
    uint32_t bits = bits_of_float(f);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;

    return (uint16_t)choose((bits & 0x7fffffff) > 0x7f800000, nan, rounded);
}

/* --- plain types --------------------------------------------------------------------------------------------------------- */

static void decode_f32(float *restrict out, const uint8_t *restrict in, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

static void encode_f32(uint8_t *restrict out, const float *restrict in, size_t n)
{
    memcpy(out, in, n * sizeof *in);
}

static void decode_f16(float *restrict out, const uint8_t *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = float_of_half(load16(in + 2 * i));
}

static void encode_f16(uint8_t *restrict out, const float *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        store16(out + 2 * i, half_of_float(in[i]));
}

static void decode_bf16(float *restrict out, const uint8_t *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = float_of_bits((uint32_t)load16(in + 2 * i) << 16);
}

static void encode_bf16(uint8_t *restrict out, const float *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        store16(out + 2 * i, bfloat_of_float(in[i]));
}

/* --- Q8_0: a half scale, 32 signed bytes ---------------------------------------------------------------------------------- */

enum { Q8_0_BYTES = 2 + QUANTS, Q4_0_BYTES = 2 + QUANTS / 2 };

static void decode_q8_0(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n > 0; n -= QUANTS, in += Q8_0_BYTES, out += QUANTS) {
        float scale = float_of_half(load16(in));
        for (int i = 0; i < QUANTS; i++)
            out[i] = (float)(int8_t)in[2 + i] * scale;
    }
}

/* The largest size among the block's elements, as bits: ordered as sizes are, and those of NaN above all. */
static uint32_t largest_size(const float *in)
{
    int32_t most = 0;

#pragma omp simd reduction(max : most)
    for (int i = 0; i < QUANTS; i++) {
        int32_t size = (int32_t)(bits_of_float(in[i]) & 0x7fffffff);
        most = size > most ? size : most;
    }
    return (uint32_t)most;
}

/* The first element of largest size; NaN where there is one among them, the last (the scale then carries it to all of them). */
static float extreme(const float *in)
{
    uint32_t most = largest_size(in);
    int i = 0;

    if (most > 0x7f800000)
        for (i = QUANTS - 1; !isnan(in[i]);)
            i--;
    else
        while ((bits_of_float(in[i]) & 0x7fffffff) != most)
            i++;
    return most == 0 ? 0 : in[i];
}

static float reciprocal(float scale)
{
    return scale != 0 ? 1 / scale : 0;
}

/* What a scale of 0, infinity or NaN has made of x must not leave the range (or C's); NaN becomes the least. */
static inline float within(float x, float least, float most)
{
    uint32_t low = choose(x > least, bits_of_float(x), bits_of_float(least));

    return float_of_bits(choose(x >= most, bits_of_float(most), low));
}

/* roundf, halves away from zero, of what an int can hold: the library's own keeps loops from being vectorised. */
static inline int nearest(float x)
{
    int whole = (int)x;
    float rest = x - (float)whole; /* exact */

    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

static void encode_q8_0(uint8_t *restrict out, const float *restrict in, size_t n)
{
    for (; n > 0; n -= QUANTS, in += QUANTS, out += Q8_0_BYTES) {
        float scale = fabsf(extreme(in)) / 127, inverse = reciprocal(scale);
        store16(out, half_of_float(scale));
#pragma omp simd
        for (int i = 0; i < QUANTS; i++)
            out[2 + i] = (uint8_t)nearest(within(in[i] * inverse, -127, 127));
    }
}

/* --- Q4_0: a half scale, 32 nibbles that stand for -8 to 7; the low nibbles are the first half ---------------------------- */

static void decode_q4_0(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n > 0; n -= QUANTS, in += Q4_0_BYTES, out += QUANTS) {
        float scale = float_of_half(load16(in));
        for (int i = 0; i < QUANTS / 2; i++) {
            out[i] = (float)((in[2 + i] & 15) - 8) * scale;
            out[i + QUANTS / 2] = (float)((in[2 + i] >> 4) - 8) * scale;
        }
    }
}

static inline int nibble(float x)
{
    return (int)within(x + 8.5f, 0, 15); /* truncating what was moved by a half rounds */
}

/* The extreme element becomes -8 exactly, which is why the scale has its opposite sign. */
static void encode_q4_0(uint8_t *restrict out, const float *restrict in, size_t n)
{
    for (; n > 0; n -= QUANTS, in += QUANTS, out += Q4_0_BYTES) {
        float scale = extreme(in) / -8, inverse = reciprocal(scale);
        store16(out, half_of_float(scale));
#pragma omp simd
        for (int i = 0; i < QUANTS / 2; i++) {
            float low = in[i] * inverse, high = in[i + QUANTS / 2] * inverse;
            out[2 + i] = (uint8_t)(nibble(low) | nibble(high) << 4);
        }
    }
}

/* --- Q4_K: 8 parts of 32, each with a 6-bit scale and a 6-bit minimum, which a half of the block scales in turn ------------
 */

enum { Q4_K_SCALES = 4, Q4_K_QUANTS = 16, Q4_K_BYTES = 144 };
enum { Q6_K_HIGH = 128, Q6_K_SCALES = 192, Q6_K_SCALE = 208, Q6_K_BYTES = 210 };

/* Parts 0-3 keep scale and minimum in the low 6 bits of bytes p and p + 4. Parts 4-7 keep 4 bits of each in byte p + 4 and the
 * upper 2 in the bits that those left free. */
static void part_scales(const uint8_t *s, int p, int *scale, int *minimum)
{
    *scale = p < 4 ? s[p] & 63 : (s[p + 4] & 15) | (s[p - 4] >> 6) << 4;
    *minimum = p < 4 ? s[p + 4] & 63 : s[p + 4] >> 4 | (s[p] >> 6) << 4;
}

static void decode_q4_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n > 0; n -= SUPER, in += Q4_K_BYTES, out += SUPER) {
        float block_scale = float_of_half(load16(in)), block_minimum = float_of_half(load16(in + 2));
        for (int p = 0; p < 8; p++) {
            const uint8_t *quants = in + Q4_K_QUANTS + p / 2 * QUANTS; /* shared by two parts: low nibbles, then high */
            int scale, minimum, shift = p % 2 * 4;
            part_scales(in + Q4_K_SCALES, p, &scale, &minimum);
            float by = block_scale * (float)scale, less = block_minimum * (float)minimum;
            for (int i = 0; i < QUANTS; i++)
                out[p * QUANTS + i] = by * (float)(quants[i] >> shift & 15) - less;
        }
    }
}

/* --- Q6_K: 16 parts of 16, each with a signed byte as scale; 6-bit quants that stand for -32 to 31 -------------------------
 */

/* Half a block: 128 elements in four runs of two parts. Runs 0 and 2 have their low 4 bits in the nibbles of low[0..31], runs 1
 * and 3 in those of low[32..63]; bits 2r and 2r + 1 of high[] are the upper 2 of run r. */
static void decode_q6_k_half(float *restrict out, const uint8_t *low, const uint8_t *high, const int8_t *scales, float scale)
{
    for (int p = 0; p < 8; p++) {
        int run = p / 2, at = p % 2 * 16;
        float by = scale * (float)scales[p];
        for (int i = at; i < at + 16; i++) {
            int quant = (low[run % 2 * 32 + i] >> (run / 2 * 4) & 15) | (high[i] >> (2 * run) & 3) << 4;
            out[run * 32 + i] = by * (float)(quant - 32);
        }
    }
}

static void decode_q6_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n > 0; n -= SUPER, in += Q6_K_BYTES, out += SUPER) {
        const int8_t *scales = (const int8_t *)in + Q6_K_SCALES;
        float scale = float_of_half(load16(in + Q6_K_SCALE));
        decode_q6_k_half(out, in, in + Q6_K_HIGH, scales, scale);
        decode_q6_k_half(out + SUPER / 2, in + 64, in + Q6_K_HIGH + 32, scales + 8, scale);
    }
}

/* --- the door ------------------------------------------------------------------------------------------------------------- */

const char *dtype_name(enum dtype d)
{
    return layouts[d].name;
}

const char *dtype_full_name(enum dtype d)
{
    return layouts[d].full;
}

int dtype_block(enum dtype d)
{
    return layouts[d].block;
}

int dtype_block_bytes(enum dtype d)
{
    return layouts[d].bytes;
}

bool dtype_find(enum dtype *out, const char *name)
{
    for (int d = 0; d < DTYPE_COUNT; d++) {
        if (strcasecmp(layouts[d].name, name) == 0) {
            *out = (enum dtype)d;
            return true;
        }
    }
    return false;
}

size_t dtype_bytes(enum dtype d, size_t n)
{
    return n / (size_t)layouts[d].block * (size_t)layouts[d].bytes;
}

void dtype_decode(enum dtype d, float *out, const void *in, size_t n)
{
    layouts[d].decode(out, in, n);
}

bool dtype_is_writable(enum dtype d)
{
    return layouts[d].encode != NULL;
}

void dtype_encode(enum dtype d, void *out, const float *in, size_t n)
{
    layouts[d].encode(out, in, n);
}

static const struct layout layouts[DTYPE_COUNT] = {
    [DTYPE_F32] = {.name = "F32", .full = "float32", .block = 1, .bytes = 4, .decode = decode_f32, .encode = encode_f32},
    [DTYPE_F16] = {.name = "F16", .full = "float16", .block = 1, .bytes = 2, .decode = decode_f16, .encode = encode_f16},
    [DTYPE_BF16] = {.name = "BF16", .full = "bfloat16", .block = 1, .bytes = 2, .decode = decode_bf16, .encode = encode_bf16},
    [DTYPE_Q8_0] =
        {.name = "Q8_0", .full = "q8_0", .block = QUANTS, .bytes = Q8_0_BYTES, .decode = decode_q8_0, .encode = encode_q8_0},
    [DTYPE_Q4_0] =
        {.name = "Q4_0", .full = "q4_0", .block = QUANTS, .bytes = Q4_0_BYTES, .decode = decode_q4_0, .encode = encode_q4_0},
    [DTYPE_Q4_K] = {.name = "Q4_K", .full = "q4_k", .block = SUPER, .bytes = Q4_K_BYTES, .decode = decode_q4_k},
    [DTYPE_Q6_K] = {.name = "Q6_K", .full = "q6_k", .block = SUPER, .bytes = Q6_K_BYTES, .decode = decode_q6_k},
};
