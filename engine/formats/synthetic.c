/* SPDX-License-Identifier: MIT
 * Weights out of a seed. Each pair of elements is a hash of (seed, tensor, position), so that the order of filling, the number
 * of threads, the dtype and the machine do not matter: integers are mixed, halves are added to a triangular distribution, and
 * one exact conversion and one rounded product make the float. A matrix is scaled by 1 / sqrt(columns) and those that write
 * into the residual stream share it over the 2 x layers writers; norms sit near 1 and biases are small: logits then have a
 * spread of about 1 at every model size. The gains let the layers outweigh the embedding they start from; without that a tied
 * head chooses its own input again and again, and equal tokens would prove little. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "source.h"

enum { STRETCH = 256 /* elements: whole blocks of every dtype */, SMALL = 1 << 14 };

/* splitmix64: https://prng.di.unimi.it/splitmix64.c (public domain), by Sebastiano Vigna. */
static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Sum of two 16-bit halves around zero: -65535 to 65535, triangular. */
static int triangle(uint32_t bits)
{
    return (int)(bits & 0xffff) + (int)(bits >> 16) - 0xffff;
}

static const double triangle_deviation = 26754.98; /* sqrt((2^32 - 1) / 6) */

static const double gain_position = 0.5, gain_qkv = 2, gain_out = 2, gain_up = 2, gain_down = 4;

/* A walk over the tensors. */
struct stream {
    uint64_t seed;
    uint64_t tensor; /* number of tensors begun */
    synthetic_visitor visit;
    void *ctx;
    int answer; /* the first that is not 0 sticks, so that the list of tensors stays a plain list */
};

struct spread {
    uint64_t key;
    float offset, scale;
};

static float element(const struct spread *s, uint64_t bits)
{
    return s->offset + s->scale * (float)triangle((uint32_t)bits);
}

/* Elements first to first + n - 1 of the tensor, as float32. The even one of a pair takes the low half of its hash. */
static void spread_values(const struct spread *s, float *out, uint64_t first, size_t n)
{
    size_t i = 0;

    if (first % 2)
        out[i++] = element(s, mix(s->key + first - 1) >> 32);
    for (; i + 1 < n; i += 2) {
        uint64_t bits = mix(s->key + first + i);
        out[i] = element(s, bits);
        out[i + 1] = element(s, bits >> 32);
    }
    if (i < n)
        out[i] = element(s, mix(s->key + first + i));
}

static void fill_row(const struct spread *s, const struct matrix *m, int row)
{
    size_t cols = (size_t)m->cols;
    char *to = matrix_row(m, row);
    float values[STRETCH];

    for (size_t at = 0; at < cols; at += STRETCH) {
        size_t n = cols - at < STRETCH ? cols - at : STRETCH;
        spread_values(s, values, (uint64_t)row * cols + at, n);
        dtype_encode(m->dtype, to + dtype_bytes(m->dtype, at), values, n);
    }
}

static int fill(void *unused, const struct matrix *m, uint64_t key, float offset, float scale)
{
    struct spread spread = {key, offset, scale};

    (void)unused;
#pragma omp parallel for schedule(static) if ((size_t)m->rows * (size_t)m->cols > SMALL)
    for (int row = 0; row < m->rows; row++)
        fill_row(&spread, m, row);
    return 0;
}

void synthetic_fill(struct weights *w, const struct model_config *c, uint64_t seed)
{
    synthetic_visit(w, c, seed, fill, NULL);
}

/* --- what each tensor is made of ----------------------------------------------------------------------------------------- */

static void show(struct stream *s, const struct matrix *m, float offset, float scale)
{
    uint64_t key = mix(s->seed ^ mix(s->tensor++));

    if (m->data && s->answer == 0) /* counted all the same: a tensor's values do not depend on which others there are */
        s->answer = s->visit(s->ctx, m, key, offset, scale);
}

static void show_vector(struct stream *s, float *data, int n, float offset, float scale)
{
    struct matrix row = {.data = data, .dtype = DTYPE_F32, .rows = 1, .cols = n, .row_bytes = (size_t)n * sizeof *data};

    show(s, &row, offset, scale);
}

/* Elements of standard deviation gain / sqrt(columns). IEEE 754 leaves no choice in the rounding of sqrt and division. */
static void show_matrix(struct stream *s, const struct matrix *m, double gain)
{
    show(s, m, 0, (float)(gain / (sqrt((double)m->cols) * triangle_deviation)));
}

static void show_norm(struct stream *s, float *data, int n)
{
    show_vector(s, data, n, 1, 0x1p-18f); /* 1 +- 0.25 */
}

static void show_bias(struct stream *s, float *data, int n)
{
    show_vector(s, data, n, 0, 0x1p-20f); /* +- 0.06 */
}

int synthetic_visit(const struct weights *w, const struct model_config *c, uint64_t seed, synthetic_visitor visit, void *ctx)
{
    struct stream s = {.seed = seed, .visit = visit, .ctx = ctx};
    double residual = 1 / sqrt(2.0 * c->layers);

    show_matrix(&s, &w->embed, 1);
    show_matrix(&s, &w->position, gain_position);
    for (int i = 0; i < c->layers; i++) {
        const struct layer_weights *l = &w->layers[i];
        show_norm(&s, l->norm1_w, c->d_model);
        show_bias(&s, l->norm1_b, c->d_model);
        show_matrix(&s, &l->qkv, gain_qkv);
        show_bias(&s, l->qkv_b, l->qkv.rows);
        show_matrix(&s, &l->out, gain_out * residual);
        show_bias(&s, l->out_b, c->d_model);
        show_norm(&s, l->norm2_w, c->d_model);
        show_bias(&s, l->norm2_b, c->d_model);
        show_matrix(&s, &l->up, gain_up);
        show_bias(&s, l->up_b, l->up.rows);
        show_matrix(&s, &l->down, gain_down * residual);
        show_bias(&s, l->down_b, c->d_model);
    }
    show_norm(&s, w->norm_w, c->d_model);
    show_bias(&s, w->norm_b, c->d_model);
    if (!c->tied_head)
        show_matrix(&s, &w->head, 1);
    return s.answer;
}

/* --- as a source --------------------------------------------------------------------------------------------------------- */

struct preset {
    struct source base;
    uint64_t seed;
};

static int open_preset(struct source **out, const char *path, uint64_t seed, struct err *e)
{
    struct model_config config;
    int code = config_preset(&config, path, e);

    if (code < 0)
        return code;
    struct preset *p = calloc(1, sizeof *p);
    if (!p)
        return err_set(e, ERR_MEMORY, "preset %s: out of memory", path);
    p->base.ops = &source_preset;
    p->base.config = config;
    p->base.elements[DTYPE_F32] = config_parameters(&config);
    p->seed = seed;
    snprintf(p->base.about, sizeof p->base.about, "synthetic, seed %llu", (unsigned long long)seed);
    *out = &p->base;
    return 0;
}

static int read_preset(struct source *s, struct weights *w, struct err *e)
{
    (void)e;
    synthetic_fill(w, &s->config, ((struct preset *)s)->seed);
    return 0;
}

enum { GPT2_VOCAB = 50257 };

static int open_tokenizer(struct source *s, struct tokenizer **out, struct err *e)
{
    if (s->config.vocab != GPT2_VOCAB)
        return err_set(e, ERR_ABSENT, "preset %s comes without a tokenizer", s->config.name);
    return tokenizer_open_gpt2(out, e);
}

static const char *no_file(const struct source *s, int i)
{
    (void)s;
    (void)i;
    return NULL;
}

static void close_preset(struct source *s)
{
    free(s);
}

const struct source_ops source_preset = {
    .name = "preset",
    .open = open_preset,
    .read = read_preset,
    .tokenizer = open_tokenizer,
    .file = no_file,
    .close = close_preset,
};
