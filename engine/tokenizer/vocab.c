/* SPDX-License-Identifier: MIT
 * The vocabulary: id -> bytes and bytes -> id, an open-addressing hash table at most half full, sized once before it is filled.
 * Ids and bytes come from untrusted files: every rule that encoding and decoding rely on is checked where an entry is put. */
#include <stdlib.h>
#include <string.h>

#include "kind.h"

/* FNV-1a: tokens are a few bytes long, so a byte at a time is as fast as anything. */
static uint32_t hash_bytes(const char *bytes, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 16777619u;
    return h ^ h >> 15;
}

int vocab_init(struct vocab *v, size_t tokens, struct err *e)
{
    uint32_t slots = 16;

    if (tokens > VOCAB_MAX)
        return err_set(e, ERR_FORMAT, "%zu tokens, expected at most %d", tokens, VOCAB_MAX);
    while (slots < 2 * tokens)
        slots *= 2;
    v->token = calloc(VOCAB_MAX, sizeof *v->token);
    v->slot = calloc(slots, sizeof *v->slot);
    v->slot_mask = slots - 1;
    if (!v->token || !v->slot)
        return err_set(e, ERR_MEMORY, "out of memory for %zu tokens", tokens);
    return 0;
}

void vocab_free(struct vocab *v)
{
    text_free(&v->bytes);
    free(v->token);
    free(v->slot);
}

const char *vocab_bytes(const struct vocab *v, int32_t id)
{
    return v->bytes.data + v->token[id].at;
}

bool vocab_has(const struct vocab *v, int64_t id)
{
    return id >= 0 && id < v->size && v->token[id].len > 0;
}

static bool is_token(const struct vocab *v, int32_t id, const char *bytes, size_t len)
{
    return v->token[id].len == len && memcmp(vocab_bytes(v, id), bytes, len) == 0;
}

/* The slot that holds the token with these bytes, or the empty one where it belongs. */
static uint32_t *find_slot(const struct vocab *v, const char *bytes, size_t len)
{
    for (uint32_t i = hash_bytes(bytes, len);; i++) {
        uint32_t *slot = &v->slot[i & v->slot_mask];
        if (!*slot || is_token(v, (int32_t)*slot - 1, bytes, len))
            return slot;
    }
}

int32_t vocab_find(const struct vocab *v, const char *bytes, size_t len)
{
    return len > v->longest ? -1 : (int32_t)*find_slot(v, bytes, len) - 1;
}

int32_t vocab_find_name(const struct vocab *v, const char *name, size_t len)
{
    for (int32_t id = 0; id < v->size; id++)
        if (v->token[id].len > 0 && v->token[id].type != TOKEN_NORMAL && is_token(v, id, name, len))
            return id;
    return len > 0 ? vocab_find(v, name, len) : -1;
}

int vocab_put(struct vocab *v, int64_t id, const char *bytes, size_t len, enum token_type type, struct err *e)
{
    if (id < 0 || id >= VOCAB_MAX)
        return err_set(e, ERR_FORMAT, "id %lld, expected 0 to %d", (long long)id, VOCAB_MAX - 1);
    if (len < 1 || len > TOKEN_MAX)
        return err_set(e, ERR_FORMAT, "id %d: a token of %zu bytes, expected 1 to %d", (int)id, len, TOKEN_MAX);
    if (v->token[id].len)
        return err_set(e, ERR_FORMAT, "id %d: given to two tokens", (int)id);
    if (type == TOKEN_NORMAL) {
        uint32_t *slot = find_slot(v, bytes, len);
        if (*slot)
            return err_set(e, ERR_FORMAT, "id %d: the same token as id %d", (int)id, (int)*slot - 1);
        *slot = (uint32_t)id + 1;
        if (len > v->longest)
            v->longest = (uint32_t)len;
    }
    v->token[id] = (struct vocab_token){.at = (uint32_t)v->bytes.len, .len = (uint16_t)len, .type = (uint8_t)type};
    text_add(&v->bytes, bytes, len);
    if (id >= v->size)
        v->size = (int32_t)id + 1;
    return 0;
}
