/* SPDX-License-Identifier: MIT
 * Where keys and values live: contiguous, one mapping for K and one for V, each [layer][batch][kv_head][capacity][head_dim], so
 * that attention streams one head's history in order. With `kept` false (no KV cache) all layers share one layer's room: the
 * keys of a pass are needed only until its next layer. Elements are float32, float16 or bfloat16. Addresses only; the backend
 * owns the memory. */
#ifndef BENCH_KVCACHE_H
#define BENCH_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "dtype.h"

struct kvcache {
    void *k, *v; /* backend memory, kvcache_bytes / 2 each */
    void *spare; /* one layer's room for reordering, kvcache_layer elements; NULL where sequences never change places */
    enum dtype dtype;
    int batch, kv_heads, head_dim, capacity, layers;
    bool kept;
};

void kvcache_shape(struct kvcache *kv, const struct model_config *c, int batch, int capacity, bool kept, enum dtype dtype);
size_t kvcache_bytes(const struct kvcache *kv); /* K and V together, spare not counted */
size_t kvcache_layer(const struct kvcache *kv); /* elements of one layer's K */

/* Offset in elements of position 0 of one head's history; the same for K and V. */
size_t kvcache_head(const struct kvcache *kv, int layer, int sequence, int kv_head);

#endif
