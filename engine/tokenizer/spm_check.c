/* SPDX-License-Identifier: MIT
 * Looks at a ModelProto before libsentencepiece does. The library follows the normalizer's table of characters, a double array,
 * wherever its numbers point; a file that is damaged or meant to do harm would make it read outside. So every step that a text
 * could cause is taken here first, within bounds. */
#include <string.h>

#include "spm.h"

enum {
    LABELS = 256,
    UNIT = 4,             /* bytes */
    LEAVES_MAX = 32,      /* matches that the library has room for (kMaxTrieResultsSize) */
    DEPTH_MAX = 256,      /* bytes of a key; none in the library's own tables is near it */
    VISITS_MAX = 1 << 20, /* steps in all; the library's own tables take a quarter */
};

/* --- protobuf's wire format --- */

struct reader {
    const unsigned char *at, *end;
};

struct field {
    unsigned number, kind;
    struct reader bytes; /* of kind 2 */
};

static bool read_varint(struct reader *r, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        unsigned char byte = *r->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

/* False at the end, and where no field begins: there the library stops too. */
static bool next_field(struct reader *r, struct field *f)
{
    uint64_t key, value;

    if (!read_varint(r, &key))
        return false;
    f->number = (unsigned)(key >> 3);
    f->kind = key & 7;
    if (f->kind == 0)
        return read_varint(r, &value);
    if (f->kind == 2) {
        if (!read_varint(r, &value))
            return false;
    } else {
        value = f->kind == 1 ? 8 : f->kind == 5 ? 4 : UINT64_MAX;
    }
    if (value > (uint64_t)(r->end - r->at))
        return false;
    f->bytes = (struct reader){r->at, r->at + value};
    r->at += value;
    return true;
}

/* --- the table of characters --- */

struct table {
    const unsigned char *unit; /* [units], little-endian */
    uint32_t units;
    size_t strings; /* bytes of what the characters become, NUL-terminated */
};

static uint32_t load(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Where the children of the unit at `at` lie: child c at the place that differs from it in the bits of c. */
static uint32_t children(uint32_t at, uint32_t unit)
{
    return at ^ unit >> 10 << ((unit & 1u << 9) >> 6);
}

/* One byte of a text further down, a walk over all of them: where it stands at each depth, and how many matches lie above. */
struct walk {
    uint32_t base[DEPTH_MAX];
    int next[DEPTH_MAX], leaves[DEPTH_MAX];
};

static bool is_sound(const struct table *t)
{
    struct walk w = {.base[0] = children(0, load(t->unit))};
    int depth = 0, visits = 0;

    if (w.base[0] >= t->units)
        return false;
    while (depth >= 0) {
        if (w.next[depth] == LABELS) {
            depth--;
            continue;
        }
        uint32_t label = (uint32_t)w.next[depth]++, at = w.base[depth] ^ label; /* units come in blocks of LABELS */
        uint32_t unit = load(t->unit + (size_t)UNIT * at), below = children(at, unit);
        if ((unit & (1u << 31 | 0xff)) != label)
            continue;
        int leaves = w.leaves[depth] + (unit >> 8 & 1);
        if (below >= t->units || leaves > LEAVES_MAX || ++depth == DEPTH_MAX || ++visits > VISITS_MAX)
            return false;
        if ((unit >> 8 & 1) && (load(t->unit + (size_t)UNIT * below) & 0x7fffffff) >= t->strings)
            return false;
        w.base[depth] = below;
        w.next[depth] = 0;
        w.leaves[depth] = leaves;
    }
    return true;
}

/* The bytes of the double array in four bytes, the array, then strings. */
static bool table_is_sound(struct reader blob)
{
    size_t len = (size_t)(blob.end - blob.at);

    if (len == 0)
        return true; /* there is none */
    if (len < UNIT)
        return false;
    size_t bytes = load(blob.at), strings = len - UNIT;
    if (bytes == 0 || bytes % (UNIT * LABELS) != 0 || bytes >= strings || blob.end[-1] != 0)
        return false;
    return is_sound(&(struct table){blob.at + UNIT, (uint32_t)(bytes / UNIT), strings - bytes});
}

int spm_check(const char *proto, size_t len, struct err *e)
{
    const unsigned char *begin = (const unsigned char *)proto;
    struct reader model = {begin, begin + len};
    struct field spec = {0}, field = {0};

    while (next_field(&model, &spec)) {
        if (spec.number != SPM_MODEL_NORMALIZER || spec.kind != 2)
            continue;
        while (next_field(&spec.bytes, &field))
            if (field.number == SPM_NORMALIZER_CHARSMAP && field.kind == 2 && !table_is_sound(field.bytes))
                return err_set(e, ERR_FORMAT, "normalizer_spec.precompiled_charsmap is damaged");
    }
    return 0;
}
