/* SPDX-License-Identifier: MIT
 * Byte-level BPE: text is cut into pieces by the splitting pattern, and each piece is merged from single bytes: always the pair
 * of lowest rank, leftmost first. A piece is a linked list of symbols and the pairs that could merge wait in a binary heap, so
 * a piece of n bytes costs O(n log n) even when a megabyte of text is one piece. */
#include "bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    const struct bpe *t;
    int32_t rank_end;      /* only merges of lower rank count */
    struct symbol *symbol; /* room for `room` of them, by position of the first byte */
    struct candidate *heap;
    size_t heap_n, room;
    struct ids *ids;
};

static void encoding_free(struct encoding *x)
{
    free(x->symbol);
    free(x->heap);
}

/* A piece of n bytes has n - 1 pairs at first and each of its n - 1 merges takes one candidate out and adds two at most. */
static int reserve(struct encoding *x, size_t n, struct err *e)
{
    if (n <= x->room)
        return 0;
    size_t room = n < 256 ? 256 : n;
    encoding_free(x);
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
        c.id = rank = vocab_find(&x->t->base.vocab, piece + left, c.len);
        if (rank < 0)
            return;
    }
    if (rank >= x->rank_end)
        return;
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
        return ids_put(x->ids, x->t->byte_id[(unsigned char)piece[0]], e);
    if (x->t->whole_first && (id = vocab_find(&x->t->base.vocab, piece, n)) >= 0)
        return ids_put(x->ids, id, e);
    if ((code = reserve(x, n, e)) < 0)
        return code;
    merge_piece(x, piece, (uint32_t)n);
    for (uint32_t i = 0; i < n; i = x->symbol[i].next)
        if ((code = ids_put(x->ids, x->symbol[i].id, e)) < 0)
            return code;
    return 0;
}

static int bpe_encode(const struct tokenizer *tokenizer, const char *text, size_t len, bool first, struct ids *out,
                      struct err *e)
{
    const struct bpe *t = (const struct bpe *)tokenizer;
    struct encoding x = {.t = t, .rank_end = INT32_MAX, .ids = out};
    struct text composed = {0};
    struct bpe_split split = {.code = t->pattern, .text = text, .len = len};
    const char *piece;
    size_t n;
    int code = 0;

    (void)first; /* pieces are the same wherever they stand */
    split.match = pcre2_match_data_create_from_pattern(t->pattern, NULL);
    if (!split.match)
        return err_set(e, ERR_MEMORY, "out of memory for splitting text");
    if (t->nfc) {
        if ((code = bpe_nfc(text, len, &composed, e)) < 0)
            goto out;
        split.text = composed.data;
        split.len = composed.len;
    }
    while (code >= 0 && (code = bpe_split_next(&split, &piece, &n, e)) > 0)
        code = encode_piece(&x, piece, n, e);
out:
    pcre2_match_data_free(split.match);
    text_free(&composed);
    encoding_free(&x);
    return code;
}

int bpe_find_merge(const struct bpe *t, int32_t id, struct bpe_merge *out, bool *found, struct err *e)
{
    struct encoding x = {.t = t, .rank_end = id};
    uint32_t len = t->base.vocab.token[id].len;
    int code = reserve(&x, len, e);

    *found = false;
    if (code == 0) {
        merge_piece(&x, vocab_bytes(&t->base.vocab, id), len);
        uint32_t second = x.symbol[0].next;
        if (second < len && x.symbol[second].next == len) {
            *out = (struct bpe_merge){.left = x.symbol[0].id, .right = x.symbol[second].id, .rank = id, .id = id};
            *found = true;
        }
    }
    encoding_free(&x);
    return code;
}

static void bpe_append(const struct tokenizer *t, int32_t id, struct text *out)
{
    text_add(out, vocab_bytes(&t->vocab, id), t->vocab.token[id].len);
}

static void bpe_close(struct tokenizer *tokenizer)
{
    struct bpe *t = (struct bpe *)tokenizer;

    free(t->merges.slot);
    pcre2_code_free(t->pattern);
    bpe_listing_free(t->listing);
    free(t);
}

static const struct tokenizer_ops bpe_ops = {
    .encode = bpe_encode,
    .append = bpe_append,
    .list = bpe_list,
    .close = bpe_close,
};

struct bpe *bpe_new(struct err *e)
{
    struct bpe *t = calloc(1, sizeof *t);

    if (!t) {
        err_set(e, ERR_MEMORY, "out of memory for a tokenizer");
        return NULL;
    }
    t->base.ops = &bpe_ops;
    t->base.bos = t->base.eos = -1;
    return t;
}

int bpe_finish(struct bpe *t, const char *source, struct err *e)
{
    for (int byte = 0; byte < 256; byte++) {
        t->byte_id[byte] = vocab_find(&t->base.vocab, &(char){(char)byte}, 1);
        if (t->byte_id[byte] < 0)
            return err_set(e, ERR_FORMAT, "no token for the byte 0x%02x; a byte-level vocabulary has one for each of the 256",
                           byte);
    }
    snprintf(t->base.about, sizeof t->base.about, "byte-level BPE, %d tokens, %s", t->base.vocab.size, source);
    return tokenizer_find_added(&t->base, e);
}
