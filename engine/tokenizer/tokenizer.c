/* SPDX-License-Identifier: MIT
 * What is the same for every kind of tokenizer: text is cut at added tokens and what lies between goes to the kind; a prompt
 * gets its beginning-of-text token; ids become text again. */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "kind.h"

enum { TEXT_MAX = 1 << 30 }; /* bytes of one text: positions and lengths stay within 32 bits */

int ids_put(struct ids *ids, int32_t id, struct err *e)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap < 64 ? 64 : 2 * ids->cap;
        int32_t *more = realloc(ids->id, cap * sizeof *more);
        if (!more)
            return err_set(e, ERR_MEMORY, "out of memory for %zu token ids", cap);
        ids->id = more;
        ids->cap = cap;
    }
    ids->id[ids->n++] = id;
    return 0;
}

const char *tokenizer_excerpt(char out[48], const char *s)
{
    size_t n = 0;

    for (; s && s[n] && n < 47; n++)
        out[n] = s[n] >= ' ' && s[n] <= '~' ? s[n] : '?';
    out[n] = 0;
    return out;
}

/* --- added tokens --- */

static int compare_added(const void *a, const void *b, void *vocab)
{
    const struct vocab *v = vocab;
    int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    int left_len = v->token[left].len, right_len = v->token[right].len;
    int order = memcmp(vocab_bytes(v, left), vocab_bytes(v, right), (size_t)(left_len < right_len ? left_len : right_len));

    return order ? order : left_len - right_len;
}

int tokenizer_find_added(struct tokenizer *t, struct err *e)
{
    size_t n = 0;

    for (int32_t id = 0; id < t->vocab.size; id++)
        n += t->vocab.token[id].found_text;
    if (n == 0)
        return 0;
    t->added = malloc(n * sizeof *t->added);
    if (!t->added)
        return err_set(e, ERR_MEMORY, "out of memory for %zu added tokens", n);
    for (int32_t id = 0; id < t->vocab.size; id++)
        if (t->vocab.token[id].found_text)
            t->added[t->added_n++] = id;
    qsort_r(t->added, n, sizeof *t->added, compare_added, &t->vocab);
    for (size_t i = 1; i < n; i++) {
        int32_t a = t->added[i - 1], b = t->added[i];
        if (compare_added(&a, &b, &t->vocab) == 0)
            return err_set(e, ERR_FORMAT, "the added tokens %d and %d are the same", a < b ? a : b, a < b ? b : a);
    }
    return 0;
}

/* Narrows the added tokens [*low, *high), which agree before byte k and are longer, to those with `byte` there. */
static void narrow(const struct tokenizer *t, size_t k, unsigned char byte, size_t *low, size_t *high)
{
    for (size_t end = *high; *low < end;) {
        size_t middle = *low + (end - *low) / 2;
        if ((unsigned char)vocab_bytes(&t->vocab, t->added[middle])[k] < byte)
            *low = middle + 1;
        else
            end = middle;
    }
    for (size_t from = *low; from < *high;) {
        size_t middle = from + (*high - from) / 2;
        if ((unsigned char)vocab_bytes(&t->vocab, t->added[middle])[k] <= byte)
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

    for (size_t k = 0; k < len && low < high; k++) {
        narrow(t, k, (unsigned char)text[k], &low, &high);
        if (low < high && t->vocab.token[t->added[low]].len == k + 1)
            longest = t->added[low++];
    }
    return longest;
}

/* --- encoding --- */

static int encode_text(const struct tokenizer *t, const char *text, size_t len, struct ids *ids, struct err *e)
{
    size_t plain = 0, at = 0; /* [plain, at) is without added tokens */
    int code = 0;

    while (at < len && code == 0) {
        int32_t added = t->added_n ? added_at(t, text + at, len - at) : -1;
        if (added < 0) {
            at = t->added_n ? at + 1 : len;
            continue;
        }
        if (plain < at)
            code = t->ops->encode(t, text + plain, at - plain, plain == 0, ids, e);
        if (code == 0)
            code = ids_put(ids, added, e);
        plain = at += t->vocab.token[added].len;
    }
    if (code == 0 && plain < len)
        code = t->ops->encode(t, text + plain, len - plain, plain == 0, ids, e);
    return code;
}

static int encode(const struct tokenizer *t, const char *text, size_t len, bool prompt, int32_t **ids, size_t *n, struct err *e)
{
    struct ids x = {.id = *ids, .n = *n, .cap = *n};
    int code = 0;

    if (len > TEXT_MAX)
        return err_set(e, ERR_MEMORY, "a text of %zu bytes, more than the %d that can be encoded at once", len, TEXT_MAX);
    if (prompt && t->add_bos)
        code = ids_put(&x, t->bos, e);
    if (code == 0)
        code = encode_text(t, text, len, &x, e);
    if (code == 0 && prompt && t->add_eos)
        code = ids_put(&x, t->eos, e);
    *ids = x.id;
    if (code == 0)
        *n = x.n;
    return code;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e)
{
    return encode(t, text, len, false, ids, n, e);
}

int tokenizer_encode_prompt(const struct tokenizer *t, const char *text, size_t len, int32_t **ids, size_t *n, struct err *e)
{
    return encode(t, text, len, true, ids, n, e);
}

/* --- decoding --- */

int tokenizer_decode(const struct tokenizer *t, int32_t id, struct text *out, struct err *e)
{
    if (!vocab_has(&t->vocab, id))
        return err_set(e, ERR_FORMAT, "token id %d: the tokenizer (%s) has no such token", id, t->about);
    t->ops->append(t, id, out);
    return 0;
}

/* Takes away the space at `at` where there is one. */
static void drop_space(struct text *text, size_t at)
{
    if (at == text->len || text->data[at] != ' ')
        return;
    memmove(text->data + at, text->data + at + 1, text->len - at); /* with the NUL */
    text->len--;
}

void tokenizer_text(const struct tokenizer *t, const int32_t *ids, size_t n, struct text *out)
{
    bool front = t->front != FRONT_NOWHERE; /* a space that comes now was put there by encoding */

    for (size_t i = 0; i < n; i++) {
        if (!vocab_has(&t->vocab, ids[i])) {
            text_printf(out, "<%d>", ids[i]);
            front = false;
            continue;
        }
        const struct vocab_token *token = &t->vocab.token[ids[i]];
        size_t before = out->len;
        if (token->type != TOKEN_CONTROL) {
            t->ops->append(t, ids[i], out);
            if (front && token->type == TOKEN_NORMAL)
                drop_space(out, before);
            front = false;
        }
        if (token->found_text && t->front == FRONT_OF_EACH_STRETCH)
            front = true;
    }
}

/* --- the rest of the door --- */

int tokenizer_list(struct tokenizer *t, struct token_list *out, struct err *e)
{
    if (!t->ops->list)
        return err_set(e, ERR_ABSENT, "%s: only a byte-level BPE can be written out", t->about);
    return t->ops->list(t, out, e);
}

const char *tokenizer_about(const struct tokenizer *t)
{
    return t->about;
}

int tokenizer_vocab(const struct tokenizer *t)
{
    return t->vocab.size;
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_free(&t->vocab);
    free(t->added);
    t->ops->close(t);
}
