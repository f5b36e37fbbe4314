/* SPDX-License-Identifier: MIT
 * Byte-level BPE: text is cut at added tokens, the rest into pieces by the splitting pattern, and each piece is merged from
 * single bytes: always the pair of lowest rank, leftmost first. A piece is a linked list of symbols and the pairs that could
 * merge wait in a binary heap, so a piece of n bytes costs O(n log n) even when a megabyte of text is one piece. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

enum { TEXT_MAX = 1 << 30 }; /* bytes of one text: positions and lengths stay within 32 bits */

struct symbol {
    int32_t id;
    uint32_t len;        /* bytes; 0 once merged into the symbol before it */
    uint32_t prev, next; /* positions of the neighbours' first bytes; the piece's length where there is none */
};

/* A pair that could merge. It is out of date, and skipped, when the two symbols at `at` no longer span `len` bytes: every
 * merge of either makes the span longer. */
struct candidate {
    uint64_t order; /* rank, then position: the smallest merges first */
    uint32_t len;
    int32_t id;
};

struct encoding {
    const struct tokenizer *t;
    struct symbol *symbol; /* room for `room` of them, by position of the first byte */
    struct candidate *heap;
    size_t heap_n, room;
    int32_t *ids;
    size_t n, cap;
};

static int put_id(struct encoding *x, int32_t id, struct err *e)
{
    if (x->n == x->cap) {
        size_t cap = x->cap < 64 ? 64 : 2 * x->cap;
        int32_t *ids = realloc(x->ids, cap * sizeof *ids);
        if (!ids)
            return err_set(e, ERR_MEMORY, "out of memory for %zu token ids", cap);
        x->ids = ids;
        x->cap = cap;
    }
    x->ids[x->n++] = id;
    return 0;
}

/* A piece of n bytes has n - 1 pairs at first and each of its n - 1 merges takes one candidate out and adds two at most. */
static int reserve(struct encoding *x, size_t n, struct err *e)
{
    if (n <= x->room)
        return 0;
    size_t room = n < 256 ? 256 : n;
    free(x->symbol);
    free(x->heap);
    x->symbol = malloc(room * sizeof *x->symbol);
    x->heap = malloc(2 * room * sizeof *x->heap);
    x->room = x->symbol && x->heap ? room : 0;
    return x->room ? 0 : err_set(e, ERR_MEMORY, "out of memory for a piece of %zu bytes", n);
}

static void heap_push(struct encoding *x, struct candidate c)
{
    size_t i = x->heap_n++;

    for (; i > 0 && c.order < x->heap[(i - 1) / 2].order; i = (i - 1) / 2)
        x->heap[i] = x->heap[(i - 1) / 2];
    x->heap[i] = c;
}

static struct candidate heap_pop(struct encoding *x)
{
    struct candidate top = x->heap[0], last = x->heap[--x->heap_n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < x->heap_n) {
        if (child + 1 < x->heap_n && x->heap[child + 1].order < x->heap[child].order)
            child++;
        if (last.order <= x->heap[child].order)
            break;
        x->heap[i] = x->heap[child];
        i = child;
    }
    x->heap[i] = last;
    return top;
}

/* Puts the pair of the symbols at `left` and after it on the heap if it may merge. Without a list of merges (tiktoken) any
 * two tokens whose bytes together are a token do, that token's id being the rank. */
static void push_pair(struct encoding *x, const char *piece, uint32_t left)
{
    const struct symbol *a = &x->symbol[left], *b = &x->symbol[a->next];
    struct candidate c = {.len = a->len + b->len};
    int32_t rank;

    if (x->t->merges.slot) {
        const struct bpe_merge *merge = bpe_merges_find(&x->t->merges, a->id, b->id);
        if (!merge)
            return;
        rank = merge->rank;
        c.id = merge->id;
    } else {
        c.id = rank = bpe_vocab_find(&x->t->vocab, piece + left, c.len);
        if (rank < 0)
            return;
    }
    c.order = (uint64_t)rank << 32 | left;
    heap_push(x, c);
}

static void merge_piece(struct encoding *x, const char *piece, uint32_t n)
{
    struct symbol *symbol = x->symbol;

    for (uint32_t i = 0; i < n; i++)
        symbol[i] =
            (struct symbol){.id = x->t->byte_id[(unsigned char)piece[i]], .len = 1, .prev = i > 0 ? i - 1 : n, .next = i + 1};
    x->heap_n = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        push_pair(x, piece, i);
    while (x->heap_n > 0) {
        struct candidate c = heap_pop(x);
        uint32_t at = (uint32_t)c.order, next = symbol[at].next;
        if (symbol[at].len == 0 || next == n || symbol[at].len + symbol[next].len != c.len)
            continue;
        symbol[at].id = c.id;
        symbol[at].len = c.len;
        symbol[at].next = symbol[next].next;
        symbol[next].len = 0;
        if (symbol[at].next < n) {
            symbol[symbol[at].next].prev = at;
            push_pair(x, piece, at);
        }
        if (symbol[at].prev < n)
            push_pair(x, piece, symbol[at].prev);
    }
}

static int encode_piece(struct encoding *x, const char *piece, size_t n, struct err *e)
{
    int32_t id;
    int code;

    if (n == 1)
        return put_id(x, x->t->byte_id[(unsigned char)piece[0]], e);
    if (x->t->whole_first && (id = bpe_vocab_find(&x->t->vocab, piece, n)) >= 0)
        return put_id(x, id, e);
    if ((code = reserve(x, n, e)) < 0)
        return code;
    merge_piece(x, piece, (uint32_t)n);
    for (uint32_t i = 0; i < n; i = x->symbol[i].next)
        if ((code = put_id(x, x->symbol[i].id, e)) < 0)
            return code;
    return 0;
}

/* Text without added tokens in it. */
static int encode_plain(struct encoding *x, pcre2_match_data *match, const char *text, size_t len, struct err *e)
{
    struct bpe_split split = {.code = x->t->pattern, .match = match, .text = text, .len = len};
    const char *piece;
    size_t n;
    int rc;

    while ((rc = bpe_split_next(&split, &piece, &n, e)) > 0)
        if ((rc = encode_piece(x, piece, n, e)) < 0)
            break;
    return rc;
}

/* Narrows the added tokens [*low, *high), which agree before byte k and are longer, to those with `byte` there. */
static void narrow(const struct tokenizer *t, size_t k, unsigned char byte, size_t *low, size_t *high)
{
    for (size_t end = *high; *low < end;) {
        size_t middle = *low + (end - *low) / 2;
        if ((unsigned char)bpe_token_bytes(t, t->added[middle])[k] < byte)
            *low = middle + 1;
        else
            end = middle;
    }
    for (size_t from = *low; from < *high;) {
        size_t middle = from + (*high - from) / 2;
        if ((unsigned char)bpe_token_bytes(t, t->added[middle])[k] <= byte)
            from = middle + 1;
        else
            *high = middle;
    }
}

/* The longest added token that text begins with, or -1. They are sorted: those that share k bytes with the text lie side by
 * side, and the one that ends there comes first. */
static int32_t added_at(const struct tokenizer *t, const char *text, size_t len)
{
    size_t low = 0, high = t->added_n;
    int32_t longest = -1;

    for (size_t k = 0; k < len; k++) {
        narrow(t, k, (unsigned char)text[k], &low, &high);
        if (low < high && t->vocab.token[t->added[low]].len == k + 1)
            longest = t->added[low++];
        if (low == high)
            break;
    }
    return longest;
}

static int encode_all(struct encoding *x, pcre2_match_data *match, const char *text, size_t len, struct err *e)
{
    size_t plain = 0, at = 0; /* [plain, at) waits to be encoded as plain text */
    int code;

    if (x->t->added_n == 0)
        return encode_plain(x, match, text, len, e);
    while (at < len) {
        int32_t added = added_at(x->t, text + at, len - at);
        if (added < 0) {
            at++;
            continue;
        }
        if ((code = encode_plain(x, match, text + plain, at - plain, e)) < 0 || (code = put_id(x, added, e)) < 0)
            return code;
        plain = at += x->t->vocab.token[added].len;
    }
    return encode_plain(x, match, text + plain, at - plain, e);
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e)
{
    struct encoding x = {.t = t, .ids = *ids, .n = *n, .cap = *n};
    int code;

    if (len > TEXT_MAX)
        return err_set(e, ERR_MEMORY, "a text of %zu bytes, more than the %d that can be encoded at once", len, TEXT_MAX);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(t->pattern, NULL);
    if (match)
        code = encode_all(&x, match, text, len, e);
    else
        code = err_set(e, ERR_MEMORY, "out of memory for splitting text");
    *ids = x.ids;
    if (code == 0)
        *n = x.n;
    pcre2_match_data_free(match);
    free(x.symbol);
    free(x.heap);
    return code;
}

int tokenizer_decode(const struct tokenizer *t, int32_t id, struct text *out, struct err *e)
{
    if (id < 0 || id >= t->vocab.size || t->vocab.token[id].len == 0)
        return err_set(e, ERR_FORMAT, "token id %d: the tokenizer (%s) has no such token", id, t->about);
    text_add(out, bpe_token_bytes(t, id), t->vocab.token[id].len);
    return 0;
}

const char *tokenizer_about(const struct tokenizer *t)
{
    return t->about;
}

int tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab.size;
}

struct tokenizer *bpe_new(struct err *e)
{
    struct tokenizer *t = calloc(1, sizeof *t);

    if (!t)
        err_set(e, ERR_MEMORY, "out of memory for a tokenizer");
    return t;
}

int bpe_finish(struct tokenizer *t, const char *source, struct err *e)
{
    for (int byte = 0; byte < 256; byte++) {
        t->byte_id[byte] = bpe_vocab_find(&t->vocab, &(char){(char)byte}, 1);
        if (t->byte_id[byte] < 0)
            return err_set(e, ERR_FORMAT, "no token for the byte 0x%02x; a byte-level vocabulary has one for each of the 256",
                           byte);
    }
    snprintf(t->about, sizeof t->about, "byte-level BPE, %d tokens, %s", t->vocab.size, source);
    return 0;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    bpe_vocab_free(&t->vocab);
    free(t->merges.slot);
    pcre2_code_free(t->pattern);
    free(t->added);
    free(t);
}
