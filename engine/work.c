/* SPDX-License-Identifier: MIT
 * Counts by shape alone; the tests hold them against the products that OpenBLAS is really asked for. */
#include "work.h"

#include <math.h>

/* A product of rows x (out, in) weights that are read once. */
static struct work work_linear(double rows, double out, double in)
{
    return (struct work){.flops = 2 * rows * out * in, .weight_bytes = sizeof(float) * out * in};
}

static double bias_bytes(bool present, double n)
{
    return present ? sizeof(float) * n : 0;
}

static double norm_bytes(const struct model_config *c)
{
    return sizeof(float) * (double)c->d_model * (c->norm == NORM_LAYER ? 2 : 1);
}

static struct work work_embed(const struct model_config *c, double rows)
{
    int tables = c->position == POSITION_LEARNED ? 2 : 1;

    return (struct work){.weight_bytes = sizeof(float) * rows * c->d_model * tables};
}

static struct work work_qkv(const struct model_config *c, double rows)
{
    double out = (c->heads + 2.0 * c->kv_heads) * c->head_dim;
    struct work w = work_linear(rows, out, c->d_model);

    w.weight_bytes += norm_bytes(c) + bias_bytes(c->qkv_bias, out);
    w.kv_write_bytes = 2 * sizeof(float) * rows * c->kv_heads * c->head_dim;
    return w;
}

/* Token i of the pass sees past + i + 1 positions: q.K and p.V are 2 head_dim FLOPs each, for every head. */
static struct work work_attention(const struct model_config *c, const struct pass_shape *p)
{
    double n = p->tokens;
    double seen = n * p->past + n * (n + 1) / 2;

    return (struct work){
        .flops = 4.0 * p->batch * c->heads * c->head_dim * seen,
        .kv_read_bytes = 2.0 * sizeof(float) * p->batch * c->kv_heads * c->head_dim * (p->past + n),
    };
}

static struct work work_out(const struct model_config *c, double rows)
{
    struct work w = work_linear(rows, c->d_model, (double)c->heads * c->head_dim);

    w.weight_bytes += bias_bytes(c->out_bias, c->d_model);
    return w;
}

static struct work work_mlp(const struct model_config *c, double rows)
{
    double width = c->mlp == MLP_SWIGLU ? 2.0 * c->d_ff : c->d_ff;
    struct work up = work_linear(rows, width, c->d_model), down = work_linear(rows, c->d_model, c->d_ff);

    up.flops += down.flops;
    up.weight_bytes += down.weight_bytes + norm_bytes(c) + bias_bytes(c->mlp_bias, width + c->d_model);
    return up;
}

static struct work work_head(const struct model_config *c, const struct pass_shape *p)
{
    struct work w = work_linear((double)p->batch * (p->all_logits ? p->tokens : 1), c->vocab, c->d_model);

    w.weight_bytes += norm_bytes(c);
    return w;
}

struct work work_of_op(const struct model_config *c, enum op op, const struct pass_shape *p)
{
    double rows = (double)p->batch * p->tokens;

    switch (op) {
    case OP_EMBED:
        return work_embed(c, rows);
    case OP_QKV:
        return work_qkv(c, rows);
    case OP_ATTENTION:
        return work_attention(c, p);
    case OP_OUT:
        return work_out(c, rows);
    case OP_MLP:
        return work_mlp(c, rows);
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
    return op == OP_QKV || op == OP_ATTENTION || op == OP_OUT || op == OP_MLP;
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
