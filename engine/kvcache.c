/* SPDX-License-Identifier: MIT */
#include "kvcache.h"

void kvcache_shape(struct kvcache *kv, const struct model_config *c, int batch, int capacity, bool kept, enum dtype dtype)
{
    *kv = (struct kvcache){
        .dtype = dtype,
        .batch = batch,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .capacity = capacity,
        .layers = kept ? c->layers : 1,
        .kept = kept,
    };
}

size_t kvcache_head(const struct kvcache *kv, int layer, int sequence, int kv_head)
{
    size_t room = kv->kept ? (size_t)layer : 0;

    return ((room * (size_t)kv->batch + (size_t)sequence) * (size_t)kv->kv_heads + (size_t)kv_head) * (size_t)kv->capacity *
           (size_t)kv->head_dim;
}

size_t kvcache_layer(const struct kvcache *kv)
{
    return (size_t)kv->batch * (size_t)kv->kv_heads * (size_t)kv->capacity * (size_t)kv->head_dim;
}

size_t kvcache_bytes(const struct kvcache *kv)
{
    return 2 * dtype_bytes(kv->dtype, (size_t)kv->layers * kvcache_layer(kv));
}
