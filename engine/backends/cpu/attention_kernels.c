/* SPDX-License-Identifier: MIT
 * Attention with an online softmax: the largest score and the sum so far follow each block of positions. One token's few
 * queries stream the cache here: keys and values go by once, row after row, for as many queries as registers hold. (Four rows
 * at once are four short streams, at half of the memory's speed, and fetching ahead by instruction is slower than what the
 * hardware does.) Many queries go to the panels. */
#include "backends/cpu/attention_vectors.h"

enum { STREAM = 64 }; /* positions of a block: its scores stay in the first cache */

/* The sums of four vectors' lanes, in the first four lanes. */
TILE_INLINE vec sum_fours(vec v[4])
{
    turn_fours(v);
    vec sum = (v[0] + v[1]) + (v[2] + v[3]);
#if defined(__AVX512F__)
    sum += SHUFFLE(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    sum += SHUFFLE(sum, sum, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
#elif defined(__AVX2__)
    sum += SHUFFLE(sum, sum, 4, 5, 6, 7, 0, 1, 2, 3);
#endif
    return sum;
}

/* --- streaming ---------------------------------------------------------------------------------------------------------------
 */

/* Queries that share a loaded key: sums of four positions each, and the keys, fill the registers. */
#if defined(__AVX512F__)
enum { TOGETHER = 4 };
#define EACH_QUERY(act, with) act(with, 0) act(with, 1) act(with, 2) act(with, 3)
#else
enum { TOGETHER = 2 };
#define EACH_QUERY(act, with) act(with, 0) act(with, 1)
#endif
enum { WIDE = 8 };

/* Scores of `queries` queries, q_stride floats apart, and four positions. One key after the other: a single stream of memory,
 * which the prefetchers follow at its full speed. */
TILE_INLINE void score_four(float *scores, const float *q, size_t q_stride, const char *k[4], int head_dim, const int queries,
                            const enum mode mode)
{
    vec sum[TOGETHER][4] = {0};
    int whole = head_dim / LANES * LANES;

#define MULTIPLY(i, j)                                                                                                         \
    if (queries > (j))                                                                                                         \
        sum[j][i] += key * load(q + (j)*q_stride + d);
#define KEY(i)                                                                                                                 \
    for (int d = 0; d < whole; d += LANES) {                                                                                   \
        vec key = load_as(k[i] + (size_t)d * element_bytes(mode), mode);                                                       \
        EACH_QUERY(MULTIPLY, i)                                                                                                \
    }                                                                                                                          \
    for (int d = whole; d < head_dim; d += LANES) {                                                                            \
        vec key = load_first(k[i] + (size_t)d * element_bytes(mode), head_dim - d, mode);                                      \
        EACH_QUERY(MULTIPLY, i)                                                                                                \
    }
    KEY(0)
    KEY(1)
    KEY(2)
    KEY(3)
#undef KEY
#undef MULTIPLY
#define ADD_UP(unused, j)                                                                                                      \
    if (queries > (j)) {                                                                                                       \
        vec total = sum_fours(sum[j]);                                                                                         \
        memcpy(scores + (j)*STREAM, &total, 4 * sizeof *scores);                                                               \
    }
    EACH_QUERY(ADD_UP, )
#undef ADD_UP
}

/* Scores of `queries` queries and n positions, [query][STREAM]; what follows up to whole vectors is lowest. */
TILE_INLINE void score_block(float *scores, const float *q, size_t q_stride, const char *k, int n, int head_dim,
                             const int queries, const enum mode mode)
{
    size_t row = (size_t)head_dim * element_bytes(mode);

    for (int j = 0; j < n; j += 4) {
        const char *rows[4];
        for (int i = 0; i < 4; i++)
            rows[i] = k + (size_t)(j + i < n ? j + i : n - 1) * row;
        score_four(scores + j, q, q_stride, rows, head_dim, queries, mode);
    }
    for (int i = 0; i < queries; i++)
        for (int j = n; j % LANES; j++)
            scores[i * STREAM + j] = LOWEST;
}

/* One query's scores become probabilities, relative to the largest so far. */
static void soften(float *scores, int n, float *part, int row, int head_dim)
{
    int width = attention_width(head_dim);
    float *max = part + row, *total = max + ATTENTION_ROWS, most = *max;
    vec lanes = load(scores), sum = {0};

    for (int i = LANES; i < n; i += LANES)
        lanes = larger(lanes, load(scores + i));
    for (int l = 0; l < LANES; l++)
        most = lanes[l] > most ? lanes[l] : most;
    if (most > *max) {
        float scale = exp_fast(*max - most);
        scale_row(part + ATTENTION_OUT + (size_t)row * (size_t)width, width, scale);
        *total *= scale;
        *max = most;
    }
    for (int i = 0; i < n; i += LANES) {
        vec e = exp_lanes(load(scores + i) - splat(most));
        store(scores + i, e);
        sum += e;
    }
    *total += sum_lanes(sum);
}

/* out += p V over n positions, for `vectors` vectors of the values from column d on; their sums stay in registers. */
TILE_INLINE void add_columns(float *out, size_t out_stride, const float *p, const char *v, int n, int head_dim, int d,
                             const int queries, const int vectors, const enum mode mode)
{
    vec sum[TOGETHER][WIDE];
    const size_t row = (size_t)head_dim * element_bytes(mode), vector = LANES * element_bytes(mode);

    v += (size_t)d * element_bytes(mode);
    for (int i = 0; i < queries; i++)
        for (int c = 0; c < vectors; c++)
            sum[i][c] = load(out + (size_t)i * out_stride + d + c * LANES);
    for (int j = 0; j < n; j++, v += row)
        for (int c = 0; c < vectors; c++) {
            vec value = d + LANES <= head_dim ? load_as(v + (size_t)c * vector, mode) : load_first(v, head_dim - d, mode);
            IN_REGISTER(value);
            for (int i = 0; i < queries; i++)
                sum[i][c] += value * splat(p[i * STREAM + j]);
        }
    for (int i = 0; i < queries; i++)
        for (int c = 0; c < vectors; c++)
            store(out + (size_t)i * out_stride + d + c * LANES, sum[i][c]);
}

/* All columns, of as many at once as registers hold: rows of values then go by as one stream of memory. */
TILE_INLINE void add_block(float *out, size_t out_stride, const float *p, const char *v, int n, int head_dim, const int queries,
                           const enum mode mode)
{
    const int wide = queries == 1 ? WIDE : WIDE / 2;
    int d = 0;

    for (; d + wide * LANES <= head_dim; d += wide * LANES)
        add_columns(out, out_stride, p, v, n, head_dim, d, queries, wide, mode);
    for (; d + WIDE / 2 * LANES <= head_dim; d += WIDE / 2 * LANES)
        add_columns(out, out_stride, p, v, n, head_dim, d, queries, WIDE / 2, mode);
    for (; d < head_dim; d += LANES)
        add_columns(out, out_stride, p, v, n, head_dim, d, queries, 1, mode);
}

/* `queries` queries from row r on against a block of n positions. */
TILE_INLINE void stream_block(float *part, const float *q, int r, const char *k, const char *v, int n, int head_dim,
                              const int queries, const enum mode mode)
{
    float scores[TOGETHER * STREAM];
    size_t q_stride = room_words(head_dim), width = (size_t)attention_width(head_dim);

    score_block(scores, q + (size_t)r * q_stride, q_stride, k, n, head_dim, queries, mode);
    for (int i = 0; i < queries; i++)
        soften(scores + i * STREAM, n, part, r + i, head_dim);
    add_block(part + ATTENTION_OUT + (size_t)r * width, width, scores, v, n, head_dim, queries, mode);
}

/* Where TOGETHER is 2, more are never left: the code is there, and never runs. */
#define AT_MOST(n) ((n) < TOGETHER ? (n) : 1)

/* Keys and values are read once for TOGETHER queries, and from the first caches after that. What is left of a group once its
 * fours are done is fewer than TOGETHER. */
TILE_INLINE void stream_rows(const struct attention_task *t, float *part, const float *q, const int head_dim,
                             const enum mode mode)
{
    size_t row = (size_t)head_dim * element_bytes(mode);

    for (int from = t->from; from < t->to; from += STREAM) {
        int n = t->to - from < STREAM ? t->to - from : STREAM, r = 0;
        const char *k = (const char *)t->k + (size_t)from * row, *v = (const char *)t->v + (size_t)from * row;
        for (; r + TOGETHER <= t->rows; r += TOGETHER)
            stream_block(part, q, r, k, v, n, head_dim, TOGETHER, mode);
        if (t->rows - r == 3)
            stream_block(part, q, r, k, v, n, head_dim, AT_MOST(3), mode);
        if (t->rows - r == 2)
            stream_block(part, q, r, k, v, n, head_dim, AT_MOST(2), mode);
        if (t->rows - r == 1)
            stream_block(part, q, r, k, v, n, head_dim, 1, mode);
    }
}

/* room: [rows][words] queries. The usual size of a head is a constant of its own: then queries stay in registers, too. */
TILE_INLINE void stream(const struct attention_task *t, float *part, float *q, const enum mode mode)
{
    enum { USUAL = 64 };
    int hd = t->head_dim;
    size_t words = room_words(hd);

    memset(q, 0, (size_t)t->rows * words * sizeof *q);
    for (int r = 0; r < t->rows; r++)
        for (int d = 0; d < hd; d++)
            q[(size_t)r * words + (size_t)d] = t->q[(size_t)(t->first + r) * (size_t)hd + (size_t)d] * t->scale;
    if (hd == USUAL)
        stream_rows(t, part, q, USUAL, mode);
    else
        stream_rows(t, part, q, hd, mode);
}

/* --- the parts' arithmetic -------------------------------------------------------------------------------------------------
 */

static void part_clear(float *part, int rows, int head_dim)
{
    for (int i = 0; i < ATTENTION_ROWS; i++) {
        part[i] = LOWEST;
        part[ATTENTION_ROWS + i] = 0;
    }
    memset(part + ATTENTION_OUT, 0, (size_t)rows * (size_t)attention_width(head_dim) * sizeof *part);
}

static void merge(float *part, const float *other, int rows, int head_dim)
{
    int width = attention_width(head_dim);

    for (int r = 0; r < rows; r++) {
        float *max = part + r, *sum = max + ATTENTION_ROWS, *out = part + ATTENTION_OUT + (size_t)r * (size_t)width;
        const float *more = other + ATTENTION_OUT + (size_t)r * (size_t)width;
        float most = *max > other[r] ? *max : other[r], mine = exp_fast(*max - most), its = exp_fast(other[r] - most);
        *max = most;
        *sum = *sum * mine + other[ATTENTION_ROWS + r] * its;
        for (int d = 0; d < width; d++)
            out[d] = out[d] * mine + more[d] * its;
    }
}

static void finish(float *restrict to, const float *restrict part, int row, int head_dim)
{
    const float *from = part + ATTENTION_OUT + (size_t)row * (size_t)attention_width(head_dim);
    float inverse = 1 / part[ATTENTION_ROWS + row];

    for (int d = 0; d < head_dim; d++)
        to[d] = from[d] * inverse;
}

/* --- the tables --------------------------------------------------------------------------------------------------------------
 */

static size_t room(int head_dim)
{
    size_t few = TILE_ROWS * room_words(head_dim), many = LEVELLED(attention_panels_room_)(head_dim);

    return few > many ? few : many;
}

TILE_INLINE void attend(const struct attention_task *t, float *part, float *working, const enum mode mode)
{
    part_clear(part, t->rows, t->head_dim);
    if (t->tokens == 1 && t->rows <= TILE_ROWS)
        stream(t, part, working, mode);
    else
        LEVELLED(attention_panels_)(t, part, working, mode);
}

static void attend_f32(const struct attention_task *t, float *part, float *working)
{
    attend(t, part, working, MODE_F32);
}

static void attend_f16(const struct attention_task *t, float *part, float *working)
{
    attend(t, part, working, MODE_F16);
}

static void attend_bf16(const struct attention_task *t, float *part, float *working)
{
    attend(t, part, working, MODE_BF16);
}

static void encode_f32(void *to, const float *from, int n)
{
    memcpy(to, from, (size_t)n * sizeof *from);
}

static void encode_f16(void *to, const float *from, int n)
{
    uint16_t *out = to;
    int i = 0;

#if defined(__AVX512F__)
    for (; i + LANES <= n; i += LANES)
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm512_cvtps_ph((__m512)load(from + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    for (; i + LANES <= n; i += LANES)
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_cvtps_ph((__m256)load(from + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    dtype_encode(DTYPE_F16, out + i, from + i, (size_t)(n - i));
}

static void encode_bf16(void *to, const float *from, int n)
{
    uint16_t *out = to;
    int i = 0;

    for (; i + LANES <= n; i += LANES) {
        vec_uint bits = (vec_uint)load(from + i), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        vec_uint nan = (vec_uint)((bits & 0x7fffffff) > 0x7f800000);
        *(vec_short *)(out + i) = __builtin_convertvector((rounded & ~nan) | ((bits >> 16 | 0x40) & nan), vec_short);
    }
    dtype_encode(DTYPE_BF16, out + i, from + i, (size_t)(n - i));
}

const struct cpu_attention LEVELLED(cpu_attention_)[DTYPE_BF16 + 1] = {
    [DTYPE_F32] =
        {.arithmetic = "f32", .encode = encode_f32, .room = room, .attend = attend_f32, .merge = merge, .finish = finish},
    [DTYPE_F16] =
        {.arithmetic = "f32", .encode = encode_f16, .room = room, .attend = attend_f16, .merge = merge, .finish = finish},
    [DTYPE_BF16] = {.arithmetic = TILE_HAS_PAIRS ? "bf16" : "f32",
                    .encode = encode_bf16,
                    .room = room,
                    .attend = attend_bf16,
                    .merge = merge,
                    .finish = finish},
};
