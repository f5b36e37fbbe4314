/* SPDX-License-Identifier: MIT
 * Where keys and values live: contiguous, one mapping for K and one for V, each [layer][batch][kv_head][capacity][head_dim], so
 * that attention streams one head's history in order. With `kept` false (no KV cache) all layers share one layer's room: the
 * keys of a pass are needed only until its next layer. Addresses only; the backend owns the memory. */
#ifndef BENCH_KVCACHE_H
#define BENCH_KVCACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

struct kvcache {
    float *k, *v; /* backend memory, kvcache_bytes / 2 each */
    float *spare; /* one layer's room for reordering, kvcache_layer floats; NULL where sequences never change places */
    int batch, kv_heads, head_dim, capacity, layers;
    bool kept;
};

void kvcache_shape(struct kvcache *kv, const struct model_config *c, int batch, int capacity, bool kept);
size_t kvcache_bytes(const struct kvcache *kv); /* K and V together, spare not counted */
size_t kvcache_layer(const struct kvcache *kv); /* floats of one layer's K */

/* Offset in floats of position 0 of one head's history; the same for K and V. */
size_t kvcache_head(const struct kvcache *kv, int layer, int sequence, int kv_head);

#endif
