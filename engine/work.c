/* SPDX-License-Identifier: MIT
 * Counts by shape alone; the tests hold them against the products that OpenBLAS is really asked for. */
#include "work.h"

#include <math.h>

/* One row of a weight matrix: whole blocks of its dtype. */
static double row_bytes(const struct pass_shape *p, int cols)
{
    size_t block = (size_t)dtype_block(p->dtype);

    return (double)dtype_bytes(p->dtype, ((size_t)cols + block - 1) / block * block);
}

/* A product of rows x (out, in) weights that are read once. */
static struct work work_linear(const struct pass_shape *p, double rows, double out, int in)
{
    return (struct work){.flops = 2 * rows * out * in, .weight_bytes = out * row_bytes(p, in)};
}

static double pass_rows(const struct pass_shape *p)
{
    return (double)p->batch * p->tokens;
}

static double bias_bytes(bool present, double n)
{
    return present ? sizeof(float) * n : 0;
}

static double norm_bytes(const struct model_config *c)
{
    return sizeof(float) * (double)c->d_model * (c->norm == NORM_LAYER ? 2 : 1);
}

static struct work work_embed(const struct model_config *c, const struct pass_shape *p)
{
    double position = c->position == POSITION_LEARNED ? sizeof(float) * (double)c->d_model : 0;

    return (struct work){.weight_bytes = pass_rows(p) * (row_bytes(p, c->d_model) + position)};
}

static struct work work_qkv(const struct model_config *c, const struct pass_shape *p)
{
    double out = (c->heads + 2.0 * c->kv_heads) * c->head_dim;
    struct work w = work_linear(p, pass_rows(p), out, c->d_model);

    w.weight_bytes += bias_bytes(c->qkv_bias, out);
    return w;
}

/* Keys and values of one position of one sequence in one layer. */
static double position_bytes(const struct model_config *c, const struct pass_shape *p)
{
    return 2 * (double)dtype_bytes(p->kv_dtype, (size_t)c->kv_heads * (size_t)c->head_dim);
}

static struct work work_rotary(const struct model_config *c, const struct pass_shape *p)
{
    return (struct work){.kv_write_bytes = pass_rows(p) * position_bytes(c, p)};
}

/* Pairs of new token and position that it sees in layers with the given window (0: none): token i sees past + i + 1 positions
 * and at most the window's. */
static double seen_pairs(const struct pass_shape *p, double window)
{
    double n = p->tokens, growing = n;

    if (window > 0)
        growing = fmin(n, fmax(0, window - p->past)); /* the first tokens, whose view still grows */
    return growing * p->past + growing * (growing + 1) / 2 + (n - growing) * window;
}

/* q.K and p.V are 2 head_dim FLOPs each for every pair and head. A window's cache is read from the first token's view on. */
static struct work work_attention(const struct model_config *c, const struct pass_shape *p, bool windowed)
{
    double seen = (double)p->past + p->tokens, window = windowed ? c->window : 0;
    double read = windowed ? fmin(seen, window + p->tokens - 1) : seen;

    return (struct work){
        .flops = 4.0 * p->batch * c->heads * c->head_dim * seen_pairs(p, window),
        .kv_read_bytes = p->batch * read * position_bytes(c, p),
    };
}

/* The mean over the layers, where only some have a window. */
static struct work work_mean_attention(const struct model_config *c, const struct pass_shape *p)
{
    double windowed = c->window > 0 && c->window_first < c->layers ? c->layers - c->window_first : 0;
    struct work all = work_attention(c, p, false), some = work_attention(c, p, true), mean = {0};

    if (windowed == 0)
        return all;
    work_add(&mean, &all, (c->layers - windowed) / c->layers);
    work_add(&mean, &some, windowed / c->layers);
    return mean;
}

static struct work work_out(const struct model_config *c, const struct pass_shape *p)
{
    struct work w = work_linear(p, pass_rows(p), c->d_model, c->heads * c->head_dim);

    w.weight_bytes += bias_bytes(c->out_bias, c->d_model);
    return w;
}

static struct work work_mlp(const struct model_config *c, const struct pass_shape *p)
{
    double width = c->mlp == MLP_SWIGLU ? 2.0 * c->d_ff : c->d_ff;
    struct work up = work_linear(p, pass_rows(p), width, c->d_model);
    struct work down = work_linear(p, pass_rows(p), c->d_model, c->d_ff);

    up.flops += down.flops;
    up.weight_bytes += down.weight_bytes + bias_bytes(c->mlp_bias, width + c->d_model);
    return up;
}

static struct work work_head(const struct model_config *c, const struct pass_shape *p)
{
    struct work w = work_linear(p, p->all_logits ? pass_rows(p) : p->batch, c->vocab, c->d_model);

    w.weight_bytes += norm_bytes(c);
    return w;
}

struct work work_of_op(const struct model_config *c, enum op op, const struct pass_shape *p)
{
    switch (op) {
    case OP_EMBED:
        return work_embed(c, p);
    case OP_NORM:
        return (struct work){.weight_bytes = 2 * norm_bytes(c)};
    case OP_QKV:
        return work_qkv(c, p);
    case OP_ROTARY:
        return work_rotary(c, p);
    case OP_ATTENTION:
        return work_mean_attention(c, p);
    case OP_OUT:
        return work_out(c, p);
    case OP_MLP:
        return work_mlp(c, p);
    case OP_HEAD:
        return work_head(c, p);
    case OP_SAMPLE:
    case OP_COUNT:
        break;
    }
    return (struct work){0};
}

bool work_op_in_layers(enum op op)
{
    return op != OP_EMBED && op != OP_HEAD && op != OP_SAMPLE;
}

void work_add(struct work *sum, const struct work *w, double times)
{
    sum->flops += times * w->flops;
    sum->weight_bytes += times * w->weight_bytes;
    sum->kv_read_bytes += times * w->kv_read_bytes;
    sum->kv_write_bytes += times * w->kv_write_bytes;
}

struct work work_of_pass(const struct model_config *c, const struct pass_shape *p)
{
    struct work sum = {0};

    for (int op = 0; op < OP_COUNT; op++) {
        struct work w = work_of_op(c, (enum op)op, p);
        double times = work_op_in_layers((enum op)op) ? c->layers : 1;
        work_add(&sum, &w, times);
    }
    return sum;
}

struct pass_shape work_step_shape(int batch, int prompt, int step, bool kv_cache)
{
    if (step == 0)
        return (struct pass_shape){.batch = batch, .tokens = prompt};
    if (kv_cache)
        return (struct pass_shape){.batch = batch, .tokens = 1, .past = prompt + step - 1};
    return (struct pass_shape){.batch = batch, .tokens = prompt + step};
}

double work_bytes(const struct work *w)
{
    return w->weight_bytes + w->kv_read_bytes + w->kv_write_bytes;
}

double work_roof_ns(const struct work *w, double peak_flops, double bandwidth)
{
    if (!(peak_flops > 0) || !(bandwidth > 0))
        return 0;
    return 1e9 * fmax(w->flops / peak_flops, work_bytes(w) / bandwidth);
}
