/* SPDX-License-Identifier: MIT
 * Attention of many queries, in panels of two vectors with a query in each lane, against blocks of positions that stay in the
 * first two caches. Keys are turned round once for all panels of a task; scores come out with the queries side by side, as the
 * product with the values wants them, and largest scores and sums need no lane of another. With bf16 dot products a bf16 cache
 * is read in pairs: queries and probabilities are rounded to bf16 too. */
#include "backends/cpu/attention_vectors.h"

/* KEYS: positions of a block, whole tiles of rows. */
enum { PANEL = TILE_COLS, KEYS = (TILE_ROWS == 13 ? 8 : 16) * TILE_ROWS, KEY_STRIDE = 112 };

TILE_DEFINE(tile_f32, TILE_F32)
TILE_DEFINE(tile_f16, TILE_F16)
TILE_DEFINE(tile_bf16, TILE_BF16)
#if TILE_HAS_PAIRS
TILE_DEFINE(tile_pairs, TILE_PAIRS)
#endif

typedef float four __attribute__((vector_size(16)));
typedef float four_anywhere __attribute__((vector_size(16), aligned(4), may_alias));

/* Four words each of every fourth row. */
TILE_INLINE vec load_fours(const float *p, size_t stride)
{
#define ROW(i) (*(const four_anywhere *)(p + 4 * (i)*stride))
#if defined(__AVX512F__)
    __m256 low = _mm256_insertf128_ps(_mm256_castps128_ps256((__m128)ROW(0)), (__m128)ROW(1), 1);
    __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256((__m128)ROW(2)), (__m128)ROW(3), 1);
    return (vec)_mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
#elif defined(__AVX2__)
    return (vec)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)ROW(0)), (__m128)ROW(1), 1);
#else
    (void)stride;
    return ROW(0);
#endif
#undef ROW
}

/* --- values as tiles read them ----------------------------------------------------------------------------
 */

/* Values of `depth` positions (or pairs of them) as tiles read them. */
struct values {
    tile_function *const *tiles;
    const char *w;
    size_t row, column; /* bytes of a position's values, of a tile's columns */
    int depth, columns; /* columns: of whole tiles */
    const float *tail;  /* those left over, [depth][PANEL] floats; NULL: none */
};

/* n positions' values where they stand in the cache; what does not fill a tile of columns is copied. */
TILE_INLINE struct values values_in_place(const char *v, int n, int head_dim, const enum mode mode, float *tail)
{
    int columns = head_dim / PANEL * PANEL, left = head_dim - columns, low = left < LANES ? left : LANES;

    for (int j = 0; left > 0 && j < n; j++) {
        const char *from = v + ((size_t)j * (size_t)head_dim + (size_t)columns) * element_bytes(mode);
        store(tail + j * PANEL, load_first(from, low, mode));
        store(tail + j * PANEL + LANES, load_first(from + (size_t)low * element_bytes(mode), left - low, mode));
    }
    return (struct values){
        .tiles = mode == MODE_F32   ? tile_f32
                 : mode == MODE_F16 ? tile_f16
                                    : tile_bf16,
        .w = v,
        .row = (size_t)head_dim * element_bytes(mode),
        .column = PANEL * element_bytes(mode),
        .depth = n,
        .columns = columns,
        .tail = left > 0 ? tail : NULL,
    };
}

/* out += x V: probabilities of at most TILE_ROWS queries side by side, x_stride words from one position's to the next one's. */
static void add_values(float *out, size_t out_stride, const float *x, size_t x_stride, int rows, const struct values *v)
{
    struct tile t = {.y = out,
                     .y_stride = out_stride,
                     .x = x,
                     .x_stride = x_stride,
                     .w = v->w,
                     .w_stride = v->row,
                     .depth = v->depth,
                     .add = true};

    for (int d = 0; d < v->columns; d += PANEL) {
        v->tiles[rows](&t);
        t.y += PANEL;
        t.w = (const char *)t.w + v->column;
    }
    if (!v->tail)
        return;
    t.w = v->tail;
    t.w_stride = PANEL * sizeof(float);
    tile_f32[rows](&t);
}

/* --- panels ------------------------------------------------------------------------------------------------------------------
 */

/* Positions from..to-1 that the queries of a panel see: lane by lane, and any and all of them. */
struct sight {
    int32_t from[PANEL], to[PANEL];
    int any_from, any_to, all_from, all_to;
};

static struct sight sight_of(const struct attention_task *t, int panel)
{
    struct sight s;

    for (int l = 0; l < PANEL; l++) {
        int row = panel * PANEL + l < t->rows ? panel * PANEL + l : t->rows - 1;
        s.to[l] = t->past + (t->first + row) / t->group + 1;
        s.from[l] = s.to[l] > t->window ? s.to[l] - t->window : 0;
    }
    s.any_from = s.from[0], s.all_from = s.from[PANEL - 1];
    s.all_to = s.to[0], s.any_to = s.to[PANEL - 1];
    return s;
}

/* What is worked in. */
struct panels {
    float *q;      /* [panel][word][PANEL] */
    float *keys;   /* [word][KEY_STRIDE] */
    float *few;    /* [LANES][word]: keys as words, before they are turned */
    float *values; /* [KEYS][PANEL]: the tail; in pairs: [KEYS / 2][width] */
    float *p;      /* [KEYS][PANEL]: scores, then probabilities */
    size_t words;  /* of a row */
};

static struct panels panels_at(float *room, int head_dim)
{
    struct panels s = {.q = room, .words = room_words(head_dim)};

    s.keys = s.q + ATTENTION_ROWS * s.words;
    s.few = s.keys + KEY_STRIDE * s.words;
    s.p = s.few + LANES * s.words;
    s.values = s.p + (size_t)KEYS * PANEL;
    return s;
}

TILE_INLINE size_t words_in(int head_dim, const enum mode mode)
{
    return mode == MODE_PAIRS ? (size_t)(head_dim + 1) / 2 : (size_t)head_dim;
}

/* Two floats as bf16, the first one below. */
static inline uint32_t pair_of(float low, float high)
{
    uint32_t a, b;

    memcpy(&a, &low, sizeof a);
    memcpy(&b, &high, sizeof b);
    a = (a + 0x7fff + (a >> 16 & 1)) >> 16;
    b = (b + 0x7fff + (b >> 16 & 1)) & 0xffff0000;
    return a | b;
}

/* LANES rows of words change places with their words: word w of all of them at to + w * stride. */
TILE_INLINE void turn_few(const struct panels *s, float *to, size_t stride, size_t words)
{
    for (size_t w = 0; w < words; w += 4) {
        vec v[4];
        for (size_t i = 0; i < 4; i++)
            v[i] = load_fours(s->few + i * s->words + w, s->words);
        turn_fours(v);
        for (size_t i = 0; i < 4; i++)
            store(to + (w + i) * stride, v[i]);
    }
}

/* A scaled query as words. */
TILE_INLINE void words_of_query(float *to, const float *q, int head_dim, float scale, const enum mode mode)
{
    if (mode != MODE_PAIRS)
        for (int d = 0; d < head_dim; d++)
            to[d] = q[d] * scale;
    else
        for (int d = 0; d < head_dim; d += 2) {
            uint32_t pair = pair_of(q[d] * scale, d + 1 < head_dim ? q[d + 1] * scale : 0);
            memcpy(to + d / 2, &pair, sizeof pair);
        }
}

/* The queries side by side; what has no query holds that of another, or zeros. */
TILE_INLINE void turn_queries(const struct panels *s, const struct attention_task *t, const enum mode mode)
{
    memset(s->few, 0, LANES * s->words * sizeof *s->few);
    for (int i = 0; i < (t->rows + PANEL - 1) / PANEL * PANEL; i += LANES) {
        for (int j = 0; j < LANES && i + j < t->rows; j++) {
            int r = t->first + i + j;
            const float *q = t->q + (size_t)(r / t->group) * t->q_stride + (size_t)(r % t->group) * (size_t)t->head_dim;
            words_of_query(s->few + (size_t)j * s->words, q, t->head_dim, t->scale, mode);
        }
        turn_few(s, s->q + (size_t)(i / PANEL * PANEL) * s->words + i % PANEL, PANEL, words_in(t->head_dim, mode));
    }
}

/* A key as words. */
TILE_INLINE void words_of_key(float *to, const char *k, int head_dim, const enum mode mode)
{
    int d = 0;

    if (mode == MODE_PAIRS) {
        to[head_dim / 2] = 0;
        memcpy(to, k, (size_t)head_dim * 2);
        return;
    }
    for (; d + LANES <= head_dim; d += LANES)
        store(to + d, load_as(k + (size_t)d * element_bytes(mode), mode));
    if (d < head_dim)
        store(to + d, load_first(k + (size_t)d * element_bytes(mode), head_dim - d, mode));
}

/* n keys, side by side. */
TILE_INLINE void turn_keys(const struct panels *s, const char *k, int n, int head_dim, const enum mode mode)
{
    size_t row = (size_t)head_dim * element_bytes(mode);

    for (int j = 0; j < n; j += LANES) {
        for (int i = 0; i < LANES && j + i < n; i++)
            words_of_key(s->few + (size_t)i * s->words, k + (size_t)(j + i) * row, head_dim, mode);
        turn_few(s, s->keys + j, KEY_STRIDE, words_in(head_dim, mode));
    }
}

/* Largest scores and sums of two vectors of queries follow p, whose scores become probabilities; scale: what earlier results
 * are to be multiplied by. hidden: the lowest score stands for a position that is not seen. */
TILE_INLINE void soften_panel(float *p, int n, float *max, float *sum, float *scale, const bool hidden)
{
    vec most0 = load(max), most1 = load(max + LANES), sum0 = {0}, sum1 = {0};

    for (int j = 0; j < n; j++) {
        most0 = larger(most0, load(p + j * PANEL));
        most1 = larger(most1, load(p + j * PANEL + LANES));
    }
    for (int j = 0; j < n; j++) {
        vec score0 = load(p + j * PANEL), score1 = load(p + j * PANEL + LANES);
        vec e0 = exp_lanes(score0 - most0), e1 = exp_lanes(score1 - most1);
        if (hidden) {
            e0 = (vec)((vec_int)e0 & (score0 > LOWEST));
            e1 = (vec)((vec_int)e1 & (score1 > LOWEST));
        }
        store(p + j * PANEL, e0);
        store(p + j * PANEL + LANES, e1);
        sum0 += e0;
        sum1 += e1;
    }
    store(scale, exp_lanes(load(max) - most0));
    store(scale + LANES, exp_lanes(load(max + LANES) - most1));
    store(max, most0);
    store(max + LANES, most1);
    store(sum, load(sum) * load(scale) + sum0);
    store(sum + LANES, load(sum + LANES) * load(scale + LANES) + sum1);
}

static void hide(float *restrict p, int n, int from, const struct sight *s)
{
    for (int j = 0; j < n; j++)
        for (int l = 0; l < PANEL; l++)
            p[j * PANEL + l] = from + j >= s->from[l] && from + j < s->to[l] ? p[j * PANEL + l] : LOWEST;
}

/* Two positions' probabilities in a word each; an odd last one has a zero beside it. */
static void pair_up(float *p, int n)
{
    memset(p + n * PANEL, 0, n % 2 * PANEL * sizeof *p);
    for (int j = 0; j < n; j += 2)
        for (int l = 0; l < PANEL; l++) {
            uint32_t pair = pair_of(p[j * PANEL + l], p[(j + 1) * PANEL + l]);
            memcpy(p + j / 2 * PANEL + l, &pair, sizeof pair);
        }
}

#if TILE_HAS_PAIRS
/* n positions' values, two positions in a word each. */
static struct values values_in_pairs(const uint16_t *restrict v, int n, int head_dim, float *room)
{
    int width = attention_width(head_dim);
    uint32_t *restrict words = (uint32_t *)room;

    memset(words, 0, (size_t)(n + 1) / 2 * (size_t)width * sizeof *words);
    for (int j = 0; j < n; j += 2, words += width, v += 2 * head_dim)
        for (int d = 0; d < head_dim; d++)
            words[d] = v[d] | (j + 1 < n ? (uint32_t)v[d + head_dim] << 16 : 0);
    return (struct values){
        .tiles = tile_pairs,
        .w = (const char *)room,
        .row = (size_t)width * sizeof *words,
        .column = PANEL * sizeof *words,
        .columns = width,
    };
}
#endif

static tile_function *const *score_tiles(const enum mode mode)
{
#if TILE_HAS_PAIRS
    if (mode == MODE_PAIRS)
        return tile_pairs;
#endif
    (void)mode;
    return tile_f32;
}

/* A panel's queries against the block of n positions from `from` on. */
TILE_INLINE void attend_panel(const struct attention_task *t, const struct panels *s, float *part, int panel, int from, int n,
                              struct values v, const enum mode mode)
{
    int rows = t->rows - panel * PANEL < PANEL ? t->rows - panel * PANEL : PANEL, width = attention_width(t->head_dim);
    struct sight sight = sight_of(t, panel);
    int low = sight.any_from > from ? (sight.any_from - from) & ~1 : 0,
        high = sight.any_to < from + n ? sight.any_to - from : n;
    bool hidden = from + low < sight.all_from || from + high > sight.all_to;
    float *max = part + panel * PANEL, *out = part + ATTENTION_OUT + (size_t)(panel * PANEL) * (size_t)width, scale[PANEL];
    struct tile score = {.y_stride = PANEL,
                         .x_stride = KEY_STRIDE,
                         .w = s->q + (size_t)panel * PANEL * s->words,
                         .w_stride = PANEL * sizeof(float),
                         .depth = (int)words_in(t->head_dim, mode)};

    if (low >= high)
        return;
    n = high - low;
    for (int i = 0, tiles = tiles_of(n, TILE_ROWS); i < tiles; i++) {
        int first = tile_first(n, tiles, i);
        score.y = s->p + first * PANEL;
        score.x = s->keys + low + first;
        score_tiles(mode)[tile_first(n, tiles, i + 1) - first](&score);
    }
    if (hidden) {
        hide(s->p, n, from + low, &sight);
        soften_panel(s->p, n, max, max + ATTENTION_ROWS, scale, true);
    } else {
        soften_panel(s->p, n, max, max + ATTENTION_ROWS, scale, false);
    }
    for (int r = 0; r < rows; r++)
        if (scale[r] != 1)
            scale_row(out + (size_t)r * (size_t)width, width, scale[r]);
    v.depth = n;
    if (mode == MODE_PAIRS) {
        pair_up(s->p, n);
        v.depth = (n + 1) / 2;
    }
    v.w += (size_t)(mode == MODE_PAIRS ? low / 2 : low) * v.row;
    v.tail = v.tail ? v.tail + low * PANEL : NULL;
    for (int i = 0, tiles = tiles_of(rows, TILE_ROWS); i < tiles; i++) {
        int first = tile_first(rows, tiles, i);
        add_values(out + (size_t)first * (size_t)width, (size_t)width, s->p + first, PANEL,
                   tile_first(rows, tiles, i + 1) - first, &v);
    }
}

TILE_INLINE void panels(const struct attention_task *t, float *part, float *room, const enum mode mode)
{
    struct panels s = panels_at(room, t->head_dim);
    int all = t->to - t->from, blocks = tiles_of(all, KEYS);
    size_t row = (size_t)t->head_dim * element_bytes(mode);
    struct values values;

    turn_queries(&s, t, mode);
    for (int i = 0; i < blocks; i++) {
        int from = t->from + tile_first(all, blocks, i), n = t->from + tile_first(all, blocks, i + 1) - from;
        const char *v = (const char *)t->v + (size_t)from * row;
        turn_keys(&s, (const char *)t->k + (size_t)from * row, n, t->head_dim, mode);
#if TILE_HAS_PAIRS
        if (mode == MODE_PAIRS)
            values = values_in_pairs((const uint16_t *)v, n, t->head_dim, s.values);
        else
#endif
            values = values_in_place(v, n, t->head_dim, mode, s.values);
        for (int panel = 0; panel * PANEL < t->rows; panel++)
            attend_panel(t, &s, part, panel, from, n, values, mode);
    }
}

void LEVELLED(attention_panels_)(const struct attention_task *t, float *part, float *room, enum mode mode)
{
    if (mode == MODE_F32)
        panels(t, part, room, MODE_F32);
    else if (mode == MODE_F16)
        panels(t, part, room, MODE_F16);
    else
        panels(t, part, room, TILE_HAS_PAIRS ? MODE_PAIRS : MODE_BF16);
}

size_t LEVELLED(attention_panels_room_)(int head_dim)
{
    size_t words = room_words(head_dim), values = (size_t)(KEYS / 2) * (size_t)(attention_width(head_dim) + PANEL);

    return (ATTENTION_ROWS + KEY_STRIDE + LANES) * words + (size_t)KEYS * PANEL + values;
}
