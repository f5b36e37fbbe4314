/* SPDX-License-Identifier: MIT
 * The tables of a byte-level BPE: id -> bytes, bytes -> id, and (left id, right id) -> merge. Both look-ups are open-addressing
 * hash tables at most half full, sized once before they are filled. Ids and bytes come from untrusted files: every rule that
 * encoding and decoding rely on is checked where an entry is put. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

/* FNV-1a: tokens are a few bytes long, so a byte at a time is as fast as anything. */
static uint32_t hash_bytes(const char *bytes, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;

    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

static uint32_t slots_for(size_t entries)
{
    uint32_t slots = 16;

    while (slots < 2 * entries)
        slots *= 2;
    return slots;
}

int bpe_vocab_init(struct bpe_vocab *v, size_t tokens, struct err *e)
{
    if (tokens > BPE_VOCAB_MAX)
        return err_set(e, ERR_FORMAT, "%zu tokens, expected at most %d", tokens, BPE_VOCAB_MAX);
    uint32_t slots = slots_for(tokens);
    v->token = calloc(BPE_VOCAB_MAX, sizeof *v->token);
    v->slot = calloc(slots, sizeof *v->slot);
    v->slot_mask = slots - 1;
    if (!v->token || !v->slot)
        return err_set(e, ERR_MEMORY, "out of memory for %zu tokens", tokens);
    return 0;
}

void bpe_vocab_free(struct bpe_vocab *v)
{
    text_free(&v->bytes);
    free(v->token);
    free(v->slot);
}

/* The slot that holds the token with these bytes, or the empty one where it belongs. */
static uint32_t *vocab_slot(const struct bpe_vocab *v, const char *bytes, size_t len)
{
    for (uint32_t i = hash_bytes(bytes, len);; i++) {
        uint32_t *slot = &v->slot[i & v->slot_mask];
        if (!*slot)
            return slot;
        const struct bpe_token *token = &v->token[*slot - 1];
        if (token->len == len && memcmp(v->bytes.data + token->at, bytes, len) == 0)
            return slot;
    }
}

int32_t bpe_vocab_find(const struct bpe_vocab *v, const char *bytes, size_t len)
{
    return len > v->longest ? -1 : (int32_t)*vocab_slot(v, bytes, len) - 1;
}

int bpe_vocab_put(struct bpe_vocab *v, int64_t id, const char *bytes, size_t len, bool matches, struct err *e)
{
    if (id < 0 || id >= BPE_VOCAB_MAX)
        return err_set(e, ERR_FORMAT, "id %lld, expected 0 to %d", (long long)id, BPE_VOCAB_MAX - 1);
    if (len < 1 || len > BPE_TOKEN_MAX)
        return err_set(e, ERR_FORMAT, "id %d: a token of %zu bytes, expected 1 to %d", (int)id, len, BPE_TOKEN_MAX);
    if (v->token[id].len)
        return err_set(e, ERR_FORMAT, "id %d: given to two tokens", (int)id);
    if (matches) {
        uint32_t *slot = vocab_slot(v, bytes, len);
        if (*slot)
            return err_set(e, ERR_FORMAT, "id %d: the same token as id %d", (int)id, (int)*slot - 1);
        *slot = (uint32_t)id + 1;
        if (len > v->longest)
            v->longest = (uint32_t)len;
    }
    v->token[id] = (struct bpe_token){.at = (uint32_t)v->bytes.len, .len = (uint32_t)len};
    text_add(&v->bytes, bytes, len);
    if (id >= v->size)
        v->size = (int32_t)id + 1;
    return 0;
}

const char *bpe_token_bytes(const struct tokenizer *t, int32_t id)
{
    return t->vocab.bytes.data + t->vocab.token[id].at;
}

/* GPT-2 spells the bytes that are printable in Latin-1 as themselves and the other 68, in order, as U+0100 to U+0143. */
static int spelled_byte(uint32_t character)
{
    if ((character >= 33 && character <= 126) || (character >= 161 && character <= 255 && character != 173))
        return (int)character;
    if (character >= 0x100 && character <= 0x120)
        return (int)character - 0x100; /* 0 to 32 */
    if (character >= 0x121 && character <= 0x142)
        return (int)character - 0x121 + 127; /* 127 to 160 */
    return character == 0x143 ? 173 : -1;
}

bool bpe_spelling_bytes(const char *spelling, size_t len, struct text *out)
{
    const unsigned char *s = (const unsigned char *)spelling;
    size_t before = out->len;

    for (size_t i = 0; i < len; i++) {
        uint32_t character = s[i];
        if (character >= 0x80) { /* none of the 256 takes more than two bytes of UTF-8 */
            bool two = s[i] >= 0xc2 && s[i] <= 0xdf && i + 1 < len && (s[i + 1] & 0xc0) == 0x80;
            character = two ? (uint32_t)(s[i] & 0x1f) << 6 | (s[i + 1] & 0x3f) : 0;
            i++;
        }
        int byte = spelled_byte(character);
        if (byte < 0) {
            out->len = before;
            return false;
        }
        text_add(out, &(char){(char)byte}, 1);
    }
    return true;
}

int bpe_merges_init(struct bpe_merges *m, size_t merges, struct err *e)
{
    if (merges > BPE_MERGES_MAX)
        return err_set(e, ERR_FORMAT, "%zu merges, expected at most %d", merges, BPE_MERGES_MAX);
    uint32_t slots = slots_for(merges);
    m->slot = malloc(slots * sizeof *m->slot);
    m->slot_mask = slots - 1;
    if (!m->slot)
        return err_set(e, ERR_MEMORY, "out of memory for %zu merges", merges);
    for (uint32_t i = 0; i < slots; i++)
        m->slot[i].left = -1;
    return 0;
}

static struct bpe_merge *merge_slot(const struct bpe_merges *m, int32_t left, int32_t right)
{
    uint32_t i = hash_pair(left, right) & m->slot_mask;

    while (m->slot[i].left >= 0 && (m->slot[i].left != left || m->slot[i].right != right))
        i = (i + 1) & m->slot_mask;
    return &m->slot[i];
}

const struct bpe_merge *bpe_merges_find(const struct bpe_merges *m, int32_t left, int32_t right)
{
    const struct bpe_merge *merge = merge_slot(m, left, right);

    return merge->left < 0 ? NULL : merge;
}

int bpe_merges_put(struct tokenizer *t, int32_t rank, const char *left, size_t left_len, const char *right, size_t right_len,
                   struct err *e)
{
    struct text both = {0};
    struct bpe_merge merge = {.left = -1, .right = -1, .rank = rank, .id = -1};
    int code = 0;

    if (bpe_spelling_bytes(left, left_len, &both)) {
        merge.left = bpe_vocab_find(&t->vocab, both.data, both.len);
        size_t middle = both.len;
        if (bpe_spelling_bytes(right, right_len, &both)) {
            merge.right = bpe_vocab_find(&t->vocab, both.data + middle, both.len - middle);
            merge.id = bpe_vocab_find(&t->vocab, both.data, both.len);
        }
    }
    if (merge.left < 0 || merge.right < 0 || merge.id < 0) {
        const char *which = merge.left < 0 ? "its left token" : merge.right < 0 ? "its right token" : "the token it makes";
        code = err_set(e, ERR_FORMAT, "%s is not in the vocabulary", which);
        goto out;
    }
    struct bpe_merge *slot = merge_slot(&t->merges, merge.left, merge.right);
    if (slot->left >= 0)
        code = err_set(e, ERR_FORMAT, "the same merge as number %d", slot->rank + 1);
    else
        *slot = merge;
out:
    text_free(&both);
    return code;
}
