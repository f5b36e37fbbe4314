/* SPDX-License-Identifier: MIT
 * What a byte-level vocabulary has beside its tokens: GPT-2's printable spelling of bytes, and (left id, right id) -> merge, an
 * open-addressing hash table at most half full, sized once before it is filled. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

/* --- spelling --- */

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

bool bpe_unspell(const char *spelling, size_t len, struct text *out)
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

void bpe_spell(const char *bytes, size_t len, struct text *out)
{
    for (size_t i = 0; i < len; i++) {
        uint32_t byte = (unsigned char)bytes[i], character = byte;
        if (byte <= 32)
            character = 0x100 + byte;
        else if (byte >= 127 && byte <= 160)
            character = 0x121 + byte - 127;
        else if (byte == 173)
            character = 0x143;
        if (character < 0x80)
            text_add(out, &(char){(char)character}, 1);
        else
            text_add(out, (char[]){(char)(0xc0 | character >> 6), (char)(0x80 | (character & 0x3f))}, 2);
    }
}

int bpe_put_spelled(struct bpe *t, const char *spelling, size_t len, int64_t id, struct err *e)
{
    struct text bytes = {0};
    int code;

    if (bpe_unspell(spelling, len, &bytes))
        code = vocab_put(&t->base.vocab, id, bytes.data, bytes.len, TOKEN_NORMAL, e);
    else
        code = vocab_put(&t->base.vocab, id, spelling, len, TOKEN_CONTROL, e);
    text_free(&bytes);
    return code;
}

/* --- merges --- */

static uint32_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;

    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

int bpe_merges_init(struct bpe_merges *m, size_t merges, struct err *e)
{
    uint32_t slots = 16;

    if (merges > BPE_MERGES_MAX)
        return err_set(e, ERR_FORMAT, "%zu merges, expected at most %d", merges, BPE_MERGES_MAX);
    while (slots < 2 * merges)
        slots *= 2;
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

int bpe_merges_put(struct bpe *t, int32_t rank, struct token_bytes left, struct token_bytes right, struct err *e)
{
    const struct vocab *v = &t->base.vocab;
    struct text both = {0};
    struct bpe_merge merge = {.left = -1, .right = -1, .rank = rank, .id = -1};
    int code = 0;

    if (bpe_unspell(left.data, left.len, &both)) {
        merge.left = vocab_find(v, both.data, both.len);
        size_t middle = both.len;
        if (bpe_unspell(right.data, right.len, &both)) {
            merge.right = vocab_find(v, both.data + middle, both.len - middle);
            merge.id = vocab_find(v, both.data, both.len);
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

int bpe_merges_put_line(struct bpe *t, int32_t rank, const char *line, size_t len, struct err *e)
{
    const char *space = memchr(line, ' ', len);
    size_t left = space ? (size_t)(space - line) : 0, right = space ? len - left - 1 : 0;

    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
        return err_set(e, ERR_FORMAT, "expected two tokens with one space between them");
    return bpe_merges_put(t, rank, (struct token_bytes){line, left}, (struct token_bytes){space + 1, right}, e);
}
