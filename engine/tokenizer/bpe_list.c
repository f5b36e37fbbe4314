/* SPDX-License-Identifier: MIT
 * A byte-level BPE from a list, as GGUF files carry it, and as such a list again. Ranks have no list of merges: there the merge
 * that makes a token is found again, by merging its bytes with the tokens of lower rank. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

/* --- from a list --- */

static int put_token(struct bpe *t, const struct token_list *l, size_t id, struct err *e)
{
    const struct token_bytes *token = &l->token[id];
    int type = l->type ? l->type[id] : TOKEN_NORMAL;
    int code;

    if (token->len == 0)
        return 0; /* an id without a token */
    if (type < TOKEN_NORMAL || type >= TOKEN_BYTE)
        return err_set(e, ERR_FORMAT, "token %zu: type %d, expected 1 to 5 in a byte-level vocabulary", id, type);
    if (type == TOKEN_NORMAL)
        code = bpe_put_spelled(t, token->data, token->len, (int64_t)id, e);
    else
        code = vocab_put(&t->base.vocab, (int64_t)id, token->data, token->len, (enum token_type)type, e);
    if (code < 0)
        return err_wrap(e, "token %zu", id);
    t->base.vocab.token[id].found_text = type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED;
    return 0;
}

static int put_list(struct bpe *t, const struct token_list *l, struct err *e)
{
    int code = vocab_init(&t->base.vocab, l->count, e);

    for (size_t id = 0; id < l->count && code == 0; id++)
        code = put_token(t, l, id, e);
    if (code == 0)
        code = bpe_merges_init(&t->merges, l->merge_count, e);
    for (size_t i = 0; i < l->merge_count && code == 0; i++)
        if ((code = bpe_merges_put_line(t, (int32_t)i, l->merge[i].data, l->merge[i].len, e)) < 0)
            err_wrap(e, "merge %zu", i);
    return code;
}

static int refuse_pre(const char *name, struct err *e)
{
    struct text names = {0};
    char shown[48];
    int code;

    bpe_pre_names(&names);
    code = err_set(e, ERR_FORMAT, "pre: the splitting pattern \"%s\" is not supported; these are: %s",
                   tokenizer_excerpt(shown, name), names.data);
    text_free(&names);
    return code;
}

int bpe_open_list(struct tokenizer **out, const struct token_list *l, struct err *e)
{
    const struct bpe_pre *pre = bpe_pre_find(l->pre ? l->pre : "gpt-2");
    struct bpe *t;
    int code;

    if (!pre)
        return refuse_pre(l->pre, e);
    if (!(t = bpe_new(e)))
        return ERR_MEMORY;
    if ((code = put_list(t, l, e)) == 0 && (code = tokenizer_list_prompt(&t->base, l, pre->add_bos, e)) == 0 &&
        (code = bpe_pattern_use(t, pre, e)) == 0)
        code = bpe_finish(t, "a list of tokens and merges", e);
    if (code < 0)
        tokenizer_close(&t->base);
    else
        *out = &t->base;
    return code;
}

/* --- to a list --- */

struct bpe_listing {
    struct text bytes; /* all tokens, then all merges, end to end */
    struct token_bytes *token, *merge;
    size_t merges;
    int32_t *type;
};

void bpe_listing_free(struct bpe_listing *l)
{
    if (!l)
        return;
    text_free(&l->bytes);
    free(l->token);
    free(l->merge);
    free(l->type);
    free(l);
}

static int compare_ranks(const void *a, const void *b)
{
    const struct bpe_merge *left = a, *right = b;

    return (left->rank > right->rank) - (left->rank < right->rank);
}

/* All merges by rank into merge[0..*n), which has room for them. */
static int collect_merges(const struct bpe *t, struct bpe_merge *merge, size_t *n, struct err *e)
{
    const struct vocab *v = &t->base.vocab;
    bool found;
    int code;

    if (t->merges.slot) {
        for (size_t i = 0; i <= t->merges.slot_mask; i++)
            if (t->merges.slot[i].left >= 0)
                merge[(*n)++] = t->merges.slot[i];
        qsort(merge, *n, sizeof *merge, compare_ranks);
        return 0;
    }
    for (int32_t id = 0; id < v->size; id++) {
        if (v->token[id].len < 2 || v->token[id].type != TOKEN_NORMAL)
            continue;
        if ((code = bpe_find_merge(t, id, &merge[*n], &found, e)) < 0)
            return code;
        if (!found)
            return err_set(e, ERR_ABSENT, "token %d: no merge of two earlier tokens makes it; only ranks can say this", id);
        (*n)++;
    }
    return 0;
}

static void spell_token(const struct vocab *v, int32_t id, struct text *out)
{
    if (v->token[id].type == TOKEN_NORMAL)
        bpe_spell(vocab_bytes(v, id), v->token[id].len, out);
    else if (v->token[id].len > 0)
        text_add(out, vocab_bytes(v, id), v->token[id].len);
}

/* While bytes grow they move: lengths first, places once all is there. */
static void fill_listing(struct bpe_listing *l, const struct vocab *v, const struct bpe_merge *merge)
{
    struct text *bytes = &l->bytes;
    size_t at = 0, before;

    for (int32_t id = 0; id < v->size; id++) {
        before = bytes->len;
        spell_token(v, id, bytes);
        l->token[id].len = bytes->len - before;
        l->type[id] = v->token[id].len ? v->token[id].type : TOKEN_UNUSED;
    }
    for (size_t i = 0; i < l->merges; i++) {
        before = bytes->len;
        spell_token(v, merge[i].left, bytes);
        text_puts(bytes, " ");
        spell_token(v, merge[i].right, bytes);
        l->merge[i].len = bytes->len - before;
    }
    for (int32_t id = 0; id < v->size; at += l->token[id++].len)
        l->token[id].data = bytes->data + at;
    for (size_t i = 0; i < l->merges; at += l->merge[i++].len)
        l->merge[i].data = bytes->data + at;
}

static int make_listing(struct bpe *t, struct err *e)
{
    const struct vocab *v = &t->base.vocab;
    size_t size = (size_t)v->size, room = t->merges.slot ? (size_t)t->merges.slot_mask + 1 : size;
    struct bpe_listing *l = calloc(1, sizeof *l);
    struct bpe_merge *merge = calloc(room, sizeof *merge);
    int code;

    if (l) {
        l->token = calloc(size, sizeof *l->token);
        l->merge = calloc(room, sizeof *l->merge);
        l->type = calloc(size, sizeof *l->type);
    }
    if (!l || !merge || !l->token || !l->merge || !l->type)
        code = err_set(e, ERR_MEMORY, "out of memory for a list of %zu tokens", size);
    else
        code = collect_merges(t, merge, &l->merges, e);
    if (code == 0) {
        fill_listing(l, v, merge);
        t->listing = l;
    } else {
        bpe_listing_free(l);
    }
    free(merge);
    return code;
}

int bpe_list(struct tokenizer *tokenizer, struct token_list *out, struct err *e)
{
    struct bpe *t = (struct bpe *)tokenizer;
    int code;

    if (!t->pre)
        return err_set(e, ERR_ABSENT, "%s: a tokenizer.json has settings that a list cannot say", tokenizer->about);
    if (!t->listing && (code = make_listing(t, e)) < 0)
        return code;
    *out = (struct token_list){
        .model = "gpt2",
        .pre = t->pre,
        .count = (size_t)tokenizer->vocab.size,
        .token = t->listing->token,
        .type = t->listing->type,
        .merge_count = t->listing->merges,
        .merge = t->listing->merge,
        .bos = tokenizer->bos,
        .eos = tokenizer->eos,
        .unknown = -1,
        .add_bos = tokenizer->add_bos,
        .add_eos = tokenizer->add_eos,
        .add_space_prefix = 0,
    };
    return 0;
}
