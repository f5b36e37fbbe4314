/* SPDX-License-Identifier: MIT
 * How weights are stored: every pattern of the 16-bit types and random blocks of the quantised ones mean what slow formulas,
 * written element by element from the formats' descriptions, say. What is encoded is the nearest there is. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dtype.h"

static uint32_t bits_of(float f)
{
    uint32_t b;

    memcpy(&b, &f, sizeof b);
    return b;
}

/* The same number, or both not a number. */
static bool same(float a, float b)
{
    return isnan(a) ? isnan(b) : bits_of(a) == bits_of(b);
}

static float decode_one(enum dtype d, uint16_t bits)
{
    float f;

    dtype_decode(d, &f, &bits, 1);
    return f;
}

static uint16_t encode_one(enum dtype d, float f)
{
    uint16_t bits;

    dtype_encode(d, &bits, &f, 1);
    return bits;
}

/* Sign, exponent and mantissa as IEEE 754 reads them. */
static float slow_float16(uint16_t bits, int exponent_bits, int mantissa_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    int exponent = bits >> mantissa_bits & top, mantissa = bits & ((1 << mantissa_bits) - 1);
    double sign = bits & 0x8000 ? -1 : 1;

    if (exponent == top)
        return mantissa ? NAN : (float)(sign * INFINITY);
    if (exponent == 0)
        return (float)(sign * ldexp(mantissa, 1 - bias - mantissa_bits));
    return (float)(sign * ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits));
}

static uint64_t random_bits(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/* --- the list ------------------------------------------------------------------------------------------------------------ */

static void types_have_the_names_and_sizes_of_both_file_formats(void **state)
{
    static const struct {
        const char *name, *full;
        int block, bytes;
        bool writable;
    } expected[DTYPE_COUNT] = {
        [DTYPE_F32] = {"F32", "float32", 1, 4, true},    [DTYPE_F16] = {"F16", "float16", 1, 2, true},
        [DTYPE_BF16] = {"BF16", "bfloat16", 1, 2, true}, [DTYPE_Q8_0] = {"Q8_0", "q8_0", 32, 34, true},
        [DTYPE_Q4_0] = {"Q4_0", "q4_0", 32, 18, true},   [DTYPE_Q4_K] = {"Q4_K", "q4_k", 256, 144, false},
        [DTYPE_Q6_K] = {"Q6_K", "q6_k", 256, 210, false}};
    enum dtype found;

    (void)state;
    for (int d = 0; d < DTYPE_COUNT; d++) {
        assert_string_equal(dtype_name(d), expected[d].name);
        assert_string_equal(dtype_full_name(d), expected[d].full);
        assert_int_equal(dtype_block(d), expected[d].block);
        assert_int_equal(dtype_block_bytes(d), expected[d].bytes);
        assert_int_equal(dtype_is_writable(d), expected[d].writable);
        assert_int_equal(dtype_bytes(d, 512), 512 / expected[d].block * expected[d].bytes);
        assert_true(dtype_find(&found, expected[d].name));
        assert_int_equal(found, d);
    }
    assert_true(dtype_find(&found, "q4_k"));
    assert_int_equal(found, DTYPE_Q4_K);
    assert_false(dtype_find(&found, "q5_k"));
    assert_false(dtype_find(&found, ""));
}

/* --- 16 bits ------------------------------------------------------------------------------------------------------------- */

static void every_16_bit_pattern_is_the_number_it_spells(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 0xffff; i++) {
        assert_true(same(decode_one(DTYPE_F16, (uint16_t)i), slow_float16((uint16_t)i, 5, 10)));
        assert_true(same(decode_one(DTYPE_BF16, (uint16_t)i), slow_float16((uint16_t)i, 8, 7)));
    }
}

static void every_16_bit_number_is_encoded_as_itself(void **state)
{
    static const struct {
        enum dtype d;
        uint16_t quiet;
    } types[] = {{DTYPE_F16, 0x0200}, {DTYPE_BF16, 0x0040}};

    (void)state;
    for (int t = 0; t < 2; t++)
        for (uint32_t i = 0; i <= 0xffff; i++) {
            float f = decode_one(types[t].d, (uint16_t)i);
            uint16_t expected = (uint16_t)(isnan(f) ? i | types[t].quiet : i);
            assert_int_equal(encode_one(types[t].d, f), expected);
        }
}

/* Between each number and the next: the middle goes to the even one, a hair to either side goes that way. Beyond the largest
 * the next would be infinity's place. */
static void what_lies_between_two_16_bit_numbers_goes_to_the_nearest_or_even_one(void **state)
{
    static const struct {
        enum dtype d;
        uint16_t infinity;
        double beyond; /* the value that infinity's pattern would have as a number */
    } types[] = {{DTYPE_F16, 0x7c00, 65536}, {DTYPE_BF16, 0x7f80, 0x1p128}};

    (void)state;
    for (int t = 0; t < 2; t++) {
        enum dtype d = types[t].d;
        for (uint32_t i = 0; i < types[t].infinity; i++) {
            double low = decode_one(d, (uint16_t)i);
            double high = i + 1 == types[t].infinity ? types[t].beyond : (double)decode_one(d, (uint16_t)(i + 1));
            float middle = (float)((low + high) / 2);
            uint16_t even = (uint16_t)(i + i % 2);
            assert_int_equal(encode_one(d, middle), even);
            assert_int_equal(encode_one(d, -middle), even | 0x8000);
            assert_int_equal(encode_one(d, nextafterf(middle, 0)), i);
            assert_int_equal(encode_one(d, nextafterf(middle, INFINITY)), i + 1);
        }
        assert_int_equal(encode_one(d, FLT_MAX), types[t].infinity);
        assert_int_equal(encode_one(d, INFINITY), types[t].infinity);
    }
}

static void float32_passes_through_bit_for_bit(void **state)
{
    uint32_t in[256], out[256];
    float decoded[256];

    (void)state;
    for (int i = 0; i < 256; i++)
        in[i] = (uint32_t)random_bits();
    dtype_decode(DTYPE_F32, decoded, in, 256);
    dtype_encode(DTYPE_F32, out, decoded, 256);
    assert_memory_equal(in, out, sizeof in);
}

/* --- blocks -------------------------------------------------------------------------------------------------------------- */

static float half_at(const uint8_t *p)
{
    return slow_float16((uint16_t)(p[0] | p[1] << 8), 5, 10);
}

static float slow_q8_0(const uint8_t *block, int i)
{
    int quant = block[2 + i] < 128 ? block[2 + i] : block[2 + i] - 256;

    return half_at(block) * (float)quant;
}

/* Elements 0-15 in the low halves of the bytes, 16-31 in the high ones, 8 too large. */
static float slow_q4_0(const uint8_t *block, int i)
{
    int byte = block[2 + i % 16], quant = i < 16 ? byte % 16 : byte / 16;

    return half_at(block) * (float)(quant - 8);
}

/* Bits 0-5 of a part's scale and minimum, read from the 12 bytes bit by bit. */
static int q4_k_bits(const uint8_t *s, int part, bool minimum)
{
    int value = 0;

    for (int bit = 0; bit < 6; bit++) {
        int byte, at;
        if (part < 4) {
            byte = part + (minimum ? 4 : 0);
            at = bit;
        } else if (bit < 4) {
            byte = part + 4;
            at = bit + (minimum ? 4 : 0);
        } else {
            byte = part - (minimum ? 0 : 4);
            at = bit + 2;
        }
        value += (s[byte] >> at & 1) << bit;
    }
    return value;
}

/* Parts of 32 elements; parts 2n and 2n + 1 are the low and high halves of the same 32 bytes. */
static float slow_q4_k(const uint8_t *block, int i)
{
    int part = i / 32, byte = block[16 + part / 2 * 32 + i % 32], quant = part % 2 ? byte / 16 : byte % 16;
    float scale = half_at(block) * (float)q4_k_bits(block + 4, part, false);
    float minimum = half_at(block + 2) * (float)q4_k_bits(block + 4, part, true);

    return scale * (float)quant - minimum;
}

/* Per 128 elements 64 bytes of low bits, of which element i and i + 64 share one, and 32 bytes of upper bits, of which i, i +
 * 32, i + 64 and i + 96 share one; a signed scale for each 16 elements; 32 too large. */
static float slow_q6_k(const uint8_t *block, int i)
{
    int half = i / 128, in_half = i % 128;
    int low = block[half * 64 + in_half % 64], high = block[128 + half * 32 + in_half % 32];
    int quant = (in_half < 64 ? low % 16 : low / 16) + 16 * (high >> (in_half / 32 * 2) & 3);
    int scale = block[192 + i / 16] < 128 ? block[192 + i / 16] : block[192 + i / 16] - 256;

    return half_at(block + 208) * (float)scale * (float)(quant - 32);
}

enum { BLOCKS = 300, SUPER = 256 };

static void random_blocks_decode_to_what_each_formula_says(void **state)
{
    static float (*const formulas[DTYPE_COUNT])(const uint8_t *, int) = {
        [DTYPE_Q8_0] = slow_q8_0, [DTYPE_Q4_0] = slow_q4_0, [DTYPE_Q4_K] = slow_q4_k, [DTYPE_Q6_K] = slow_q6_k};
    static uint8_t stored[BLOCKS * SUPER + 1];
    static float out[BLOCKS * SUPER];

    (void)state;
    for (size_t i = 0; i < sizeof stored; i++)
        stored[i] = (uint8_t)random_bits();
    for (int d = DTYPE_Q8_0; d < DTYPE_COUNT; d++) {
        int block = dtype_block(d);
        const uint8_t *in = stored + 1; /* files align to nothing */
        dtype_decode(d, out, in, (size_t)(BLOCKS * block));
        for (int b = 0; b < BLOCKS; b++)
            for (int i = 0; i < block; i++)
                assert_true(same(out[b * block + i], formulas[d](in + b * dtype_block_bytes(d), i)));
    }
}

/* The scale is the largest size over 127, the rest are steps of it. */
static void q8_0_takes_the_nearest_of_255_steps(void **state)
{
    float in[32], out[32];
    uint8_t block[34];

    (void)state;
    for (int repeat = 0; repeat < 1000; repeat++) {
        float most = 0;
        for (int i = 0; i < 32; i++) {
            in[i] = ldexpf((float)(int32_t)random_bits(), -31 + repeat % 12);
            most = fmaxf(most, fabsf(in[i]));
        }
        dtype_encode(DTYPE_Q8_0, block, in, 32);
        dtype_decode(DTYPE_Q8_0, out, block, 32);
        float scale = most / 127, inverse = 1 / scale;
        assert_int_equal(block[0] | block[1] << 8, encode_one(DTYPE_F16, scale));
        for (int i = 0; i < 32; i++) {
            assert_int_equal((int8_t)block[2 + i], (int)roundf(in[i] * inverse));
            assert_true(fabsf(out[i] - in[i]) <= 0.57f * scale); /* half a step, and the scale's own rounding: 127 x 2^-11 */
        }
    }
}

static void q4_0_makes_the_extreme_element_minus_8_steps(void **state)
{
    float in[32], out[32];
    uint8_t block[18];

    (void)state;
    for (int i = 0; i < 32; i++)
        in[i] = (float)(i - 12) / 16; /* -12/16 to 19/16: the scale is -19/128 */
    dtype_encode(DTYPE_Q4_0, block, in, 32);
    dtype_decode(DTYPE_Q4_0, out, block, 32);
    assert_int_equal(block[0] | block[1] << 8, encode_one(DTYPE_F16, -19.0f / 128));
    assert_int_equal(block[2 + 15] >> 4, 0);
    for (int i = 0; i < 32; i++) {
        int byte = block[2 + i % 16], steps = (int)floorf(in[i] * (1 / (-19.0f / 128)) + 8.5f);
        assert_int_equal(i < 16 ? byte & 15 : byte >> 4, steps > 15 ? 15 : steps);
        assert_true(fabsf(out[i] - in[i]) <= 0.1f);
    }
}

static void a_block_of_zeros_stays_zeros(void **state)
{
    static const float zeros[32];
    float out[32];
    uint8_t block[34];

    (void)state;
    for (int d = DTYPE_Q8_0; d <= DTYPE_Q4_0; d++) {
        memset(block, 0xff, sizeof block);
        dtype_encode(d, block, zeros, 32);
        dtype_decode(d, out, block, 32);
        for (int i = 0; i < 32; i++)
            assert_true(out[i] == 0);
    }
}

/* Nothing leaves C's ranges, and a NaN does not vanish. */
static void blocks_of_infinities_and_nans_are_encoded_as_something(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0x1p-149f};
    float in[32], out[32];
    uint8_t block[34];

    (void)state;
    for (int d = DTYPE_Q8_0; d <= DTYPE_Q4_0; d++)
        for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
            for (int i = 0; i < 32; i++)
                in[i] = i == 7 ? odd[k] : i == 9 ? 0 : 0x1p-149f;
            dtype_encode(d, block, in, 32);
            dtype_decode(d, out, block, 32);
            assert_int_equal(isnan(out[7]) != 0, isnan(odd[k]) != 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_the_names_and_sizes_of_both_file_formats),
        cmocka_unit_test(every_16_bit_pattern_is_the_number_it_spells),
        cmocka_unit_test(every_16_bit_number_is_encoded_as_itself),
        cmocka_unit_test(what_lies_between_two_16_bit_numbers_goes_to_the_nearest_or_even_one),
        cmocka_unit_test(float32_passes_through_bit_for_bit),
        cmocka_unit_test(random_blocks_decode_to_what_each_formula_says),
        cmocka_unit_test(q8_0_takes_the_nearest_of_255_steps),
        cmocka_unit_test(q4_0_makes_the_extreme_element_minus_8_steps),
        cmocka_unit_test(a_block_of_zeros_stays_zeros),
        cmocka_unit_test(blocks_of_infinities_and_nans_are_encoded_as_something),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
