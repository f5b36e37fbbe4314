/* SPDX-License-Identifier: MIT
 * SentencePiece as a kind of tokenizer: libsentencepiece encodes, pieces become text again here. Opened from tokenizer.model or
 * from a list, as GGUF files carry it. */
#include "spm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE   "\xe2\x96\x81"   /* U+2581 stands for a space in a piece */
#define UNKNOWN " \xe2\x81\x87 " /* what SentencePiece shows for its unknown token */

enum { SPACE_LEN = sizeof SPACE - 1 };

/* --- the kind --- */

static bool begins_with_space(const char *text, size_t len)
{
    return (len > 0 && text[0] == ' ') || (len >= SPACE_LEN && memcmp(text, SPACE, SPACE_LEN) == 0);
}

static int spm_encode(const struct tokenizer *tokenizer, const char *text, size_t len, bool first, struct ids *out,
                      struct err *e)
{
    const struct spm *t = (const struct spm *)tokenizer;
    bool front = tokenizer->front == FRONT_OF_EACH_STRETCH || (tokenizer->front == FRONT_OF_TEXT && first);
    struct text spaced = {0};
    int code;

    if (!t->own_space || !front || begins_with_space(text, len))
        return spm_model_encode(t->model, text, len, out, e);
    text_puts(&spaced, " ");
    text_add(&spaced, text, len);
    code = spm_model_encode(t->model, spaced.data, spaced.len, out, e);
    text_free(&spaced);
    return code;
}

int spm_byte(const char *piece, size_t len)
{
    unsigned byte;
    char end;

    if (len != 6 || memcmp(piece, "<0x", 3) != 0)
        return -1;
    char name[7] = {0};
    memcpy(name, piece, 6);
    return strspn(name + 3, "0123456789ABCDEF") == 2 && sscanf(name, "<0x%2X%c", &byte, &end) == 2 && end == '>' ? (int)byte
                                                                                                                 : -1;
}

static void spm_append(const struct tokenizer *t, int32_t id, struct text *out)
{
    const char *piece = vocab_bytes(&t->vocab, id);
    const struct vocab_token *token = &t->vocab.token[id];

    if (token->type == TOKEN_BYTE) {
        text_add(out, &(char){(char)spm_byte(piece, token->len)}, 1);
    } else if (token->type == TOKEN_UNKNOWN) {
        text_puts(out, UNKNOWN);
    } else if (token->type == TOKEN_CONTROL || token->found_text) {
        text_add(out, piece, token->len);
    } else {
        for (size_t i = 0; i < token->len;) {
            bool space = token->len - i >= SPACE_LEN && memcmp(piece + i, SPACE, SPACE_LEN) == 0;
            text_add(out, space ? " " : piece + i, 1);
            i += space ? SPACE_LEN : 1;
        }
    }
}

static void spm_close(struct tokenizer *tokenizer)
{
    struct spm *t = (struct spm *)tokenizer;

    spm_model_close(t->model);
    free(t);
}

static const struct tokenizer_ops spm_ops = {
    .encode = spm_encode,
    .append = spm_append,
    .close = spm_close,
};

struct spm *spm_new(struct err *e)
{
    struct spm *t = calloc(1, sizeof *t);

    if (!t) {
        err_set(e, ERR_MEMORY, "out of memory for a tokenizer");
        return NULL;
    }
    t->base.ops = &spm_ops;
    t->base.bos = t->base.eos = -1;
    return t;
}

int spm_finish(struct spm *t, const struct text *proto, const char *source, struct err *e)
{
    int code = spm_model_open(&t->model, proto->data, proto->len, e);

    if (code < 0)
        return code;
    snprintf(t->base.about, sizeof t->base.about, "SentencePiece, %d tokens, %s", t->base.vocab.size, source);
    return tokenizer_find_added(&t->base, e);
}

/* --- tokenizer.model --- */

/* Llama 3's original file of this name: one `base64-bytes rank` a line. A ModelProto begins with a byte below ' '. */
static bool is_tiktoken(const struct text *file)
{
    size_t n = 0;

    while (n < file->len && n < TOKEN_MAX && file->data[n] > ' ' && file->data[n] <= '~')
        n++;
    return n > 0 && n + 1 < file->len && file->data[n] == ' ' && file->data[n + 1] >= '0' && file->data[n + 1] <= '9';
}

static int put_pieces(struct spm *t, struct err *e)
{
    int n = spm_model_size(t->model), code = vocab_init(&t->base.vocab, (size_t)n, e);

    for (int id = 0; id < n && code == 0; id++) {
        enum token_type type;
        struct token_bytes piece = spm_model_piece(t->model, id, &type);
        code = vocab_put(&t->base.vocab, id, piece.data, piece.len, type, e);
    }
    return code;
}

/* Whether the model puts a space in front, which its interface does not say: by what it makes of a letter. */
static int find_front(struct spm *t, struct err *e)
{
    struct ids ids = {0};
    struct text text = {0};
    int code = spm_model_encode(t->model, "a", 1, &ids, e);

    for (size_t i = 0; i < ids.n && code == 0; i++)
        spm_append(&t->base, ids.id[i], &text);
    bool known = ids.n > 0 && t->base.vocab.token[ids.id[0]].type != TOKEN_UNKNOWN;
    t->base.front = known && begins_with_space(text.data, text.len) ? FRONT_OF_TEXT : FRONT_NOWHERE;
    text_free(&text);
    free(ids.id);
    return code;
}

int spm_open_model(struct tokenizer **out, const char *path, struct err *e)
{
    struct text file = {0};
    struct spm *t = spm_new(e);
    int code;

    if (!t)
        return ERR_MEMORY;
    *out = &t->base;
    if ((code = text_read_file(&file, path, TOKENIZER_FILE_MAX, e)) < 0)
        goto out;
    if (is_tiktoken(&file))
        code =
            err_set(e, ERR_FORMAT, "tiktoken's format (Llama 3's original), not SentencePiece; use the model's tokenizer.json");
    else if ((code = spm_check(file.data, file.len, e)) == 0 &&
             (code = spm_model_open(&t->model, file.data, file.len, e)) == 0 && (code = put_pieces(t, e)) == 0)
        code = find_front(t, e);
    if (code < 0)
        err_wrap(e, "%s", path);
    else
        snprintf(t->base.about, sizeof t->base.about, "SentencePiece, %d tokens, tokenizer.model", t->base.vocab.size);
out:
    text_free(&file);
    return code;
}

/* --- a list --- */

struct list_state {
    struct text proto;
    int32_t unknown;
    int bytes; /* byte pieces so far */
};

static int put_token(struct spm *t, const struct token_list *l, size_t id, struct list_state *s, struct err *e)
{
    const struct token_bytes *token = &l->token[id];
    int type = l->type ? l->type[id] : (int)id == l->unknown ? TOKEN_UNKNOWN : TOKEN_NORMAL;
    int code;

    if (token->len == 0) {
        spm_proto_filler(&s->proto, (int32_t)id, TOKEN_CONTROL);
        return 0;
    }
    if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
        return err_set(e, ERR_FORMAT, "token %zu: type %d, expected 1 to 6", id, type);
    if (type == TOKEN_BYTE && spm_byte(token->data, token->len) < 0)
        return err_set(e, ERR_FORMAT, "token %zu: a byte is spelled like <0x0A>", id);
    if (!isfinite(l->score[id]))
        return err_set(e, ERR_FORMAT, "token %zu: its score is not a number", id);
    if (type == TOKEN_UNKNOWN && s->unknown >= 0)
        return err_set(e, ERR_FORMAT, "token %zu: unknown, as token %d is already", id, s->unknown);
    if ((code = vocab_put(&t->base.vocab, (int64_t)id, token->data, token->len, (enum token_type)type, e)) < 0)
        return err_wrap(e, "token %zu", id);
    s->unknown = type == TOKEN_UNKNOWN ? (int32_t)id : s->unknown;
    s->bytes += type == TOKEN_BYTE;
    t->base.vocab.token[id].found_text = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
    spm_proto_piece(&s->proto, token->data, token->len, l->score[id], (enum token_type)type);
    return 0;
}

static int put_list(struct spm *t, const struct token_list *l, struct list_state *s, struct err *e)
{
    int code;

    if (!l->score)
        return err_set(e, ERR_FORMAT, "scores: there are none, and \"llama\" merges by them");
    code = vocab_init(&t->base.vocab, l->count, e);
    for (size_t id = 0; id < l->count && code == 0; id++)
        code = put_token(t, l, id, s, e);
    if (code < 0)
        return code;
    if (s->unknown < 0 && s->bytes == 0)
        return err_set(e, ERR_FORMAT, "no token of type unknown (2) and none of type byte (6): not every text has ids");
    if (s->unknown < 0)
        spm_proto_filler(&s->proto, (int32_t)l->count, TOKEN_UNKNOWN);
    spm_proto_end(&s->proto, s->bytes > 0, l->add_space_prefix != 0);
    t->base.front = l->add_space_prefix != 0 ? FRONT_OF_EACH_STRETCH : FRONT_NOWHERE;
    return 0;
}

int spm_open_list(struct tokenizer **out, const struct token_list *l, struct err *e)
{
    struct list_state s = {.unknown = -1};
    struct spm *t = spm_new(e);
    int code;

    if (!t)
        return ERR_MEMORY;
    if ((code = put_list(t, l, &s, e)) == 0 && (code = tokenizer_list_prompt(&t->base, l, true, e)) == 0)
        code = spm_finish(t, &s.proto, "a list of tokens and scores", e);
    if (code < 0)
        tokenizer_close(&t->base);
    else
        *out = &t->base;
    text_free(&s.proto);
    return code;
}
