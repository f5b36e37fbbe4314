/* SPDX-License-Identifier: MIT
 * The order of the ops, walked through once by the caller, or by every worker at once where the backend runs a pass together.
 */
#include "forward.h"

struct walk {
    struct backend *backend;
    const struct pass *pass;
    const struct engine_hooks *hooks; /* NULL: none is set */
};

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

static void walk_ops(void *ctx, int worker)
{
    const struct walk *w = ctx;
    struct backend *b = w->backend;
    const struct backend_ops *ops = b->ops;
    const struct pass *p = w->pass;
    const struct engine_hooks *hooks = worker == 0 ? w->hooks : NULL;

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
}

int forward(struct backend *b, const struct pass *p, const struct engine_hooks *hooks, struct err *e)
{
    bool hooked = hooks && (hooks->op_begin || hooks->op_end);
    bool handed_over = b->ops->launches && !p->parts; /* times around ops would be those of calls, not of work */
    struct walk w = {.backend = b, .pass = p, .hooks = handed_over ? b->ops->marks : hooked ? hooks : NULL};

    if (b->ops->together && !p->parts)
        b->ops->together(b, p, walk_ops, &w);
    else
        walk_ops(&w, 0);
    return b->ops->sync(b, e);
}

int forward_record(struct backend *b, const struct pass *step, struct err *e)
{
    struct walk w = {.backend = b, .pass = step};

    return b->ops->record ? b->ops->record(b, step, walk_ops, &w, e) : 0;
}
