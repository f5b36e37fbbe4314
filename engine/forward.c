/* SPDX-License-Identifier: MIT */
#include "forward.h"

static void whole(struct backend *b, const struct pass *p, const struct engine_hooks *h, enum op op,
                  void (*run)(struct backend *, const struct pass *))
{
    hooks_begin(h, op, -1);
    run(b, p);
    hooks_end(h, op, -1);
}

static void layered(struct backend *b, const struct pass *p, const struct engine_hooks *h, enum op op, int layer,
                    void (*run)(struct backend *, const struct pass *, int))
{
    hooks_begin(h, op, layer);
    run(b, p, layer);
    hooks_end(h, op, layer);
}

int forward(struct backend *b, const struct pass *p, const struct engine_hooks *hooks, struct err *e)
{
    const struct backend_ops *ops = b->ops;

    whole(b, p, hooks, OP_EMBED, ops->embed);
    for (int layer = 0; layer < p->config->layers; layer++) {
        layered(b, p, hooks, OP_QKV, layer, ops->qkv);
        layered(b, p, hooks, OP_ATTENTION, layer, ops->attention);
        layered(b, p, hooks, OP_OUT, layer, ops->out);
        layered(b, p, hooks, OP_MLP, layer, ops->mlp);
    }
    whole(b, p, hooks, OP_HEAD, ops->head);
    if (p->chosen)
        whole(b, p, hooks, OP_SAMPLE, ops->choose);
    return ops->sync(b, e);
}
