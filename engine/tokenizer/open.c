/* SPDX-License-Identifier: MIT
 * Which tokenizer a folder or a list holds. A byte-level tokenizer.json goes first, since Llama 3 keeps a tokenizer.model in
 * another format beside it; SentencePiece's own file goes before the rendering of it in a tokenizer.json. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpe.h"
#include "hf.h"
#include "spm.h"

/* --- from a list --- */

int tokenizer_list_prompt(struct tokenizer *t, const struct token_list *l, bool add_bos, struct err *e)
{
    const struct {
        const char *name;
        int id, add;
        bool habit;
        int32_t *out_id;
        bool *out_add;
    } ends[] = {
        {"bos", l->bos, l->add_bos, add_bos, &t->bos, &t->add_bos},
        {"eos", l->eos, l->add_eos, false, &t->eos, &t->add_eos},
    };

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (ends[i].id < -1 || (ends[i].id >= 0 && !vocab_has(&t->vocab, ends[i].id)))
            return err_set(e, ERR_FORMAT, "%s: there is no token %d", ends[i].name, ends[i].id);
        if (ends[i].id < 0 && ends[i].add == 1)
            return err_set(e, ERR_FORMAT, "add_%s: there is no %s token to add", ends[i].name, ends[i].name);
        *ends[i].out_id = ends[i].id;
        *ends[i].out_add = ends[i].id >= 0 && (ends[i].add < 0 ? ends[i].habit : ends[i].add == 1);
    }
    return 0;
}

int tokenizer_open_list(struct tokenizer **out, const struct token_list *l, struct err *e)
{
    char shown[48];

    if (l->model && strcmp(l->model, "gpt2") == 0)
        return bpe_open_list(out, l, e);
    if (l->model && strcmp(l->model, "llama") == 0)
        return spm_open_list(out, l, e);
    return err_set(e, ERR_FORMAT, "model: expected \"gpt2\" or \"llama\", found \"%s\"", tokenizer_excerpt(shown, l->model));
}

/* --- from a folder --- */

struct folder {
    struct text json, model, vocab, merges, config; /* paths */
};

static bool is_there(const struct text *path)
{
    return access(path->data, F_OK) == 0;
}

static int open_json(struct tokenizer **out, const struct folder *f, json_t *root, struct err *e)
{
    int code = hf_is_byte_level(root) || !hf_is_sentencepiece(root) ? bpe_open_json(out, root, e) : spm_open_json(out, root, e);

    if (code == 0)
        code = hf_post_processor(*out, root, e);
    if (code < 0)
        return err_wrap(e, "%s", f->json.data);
    return hf_config(*out, f->config.data, NULL, e);
}

static int open_model(struct tokenizer **out, const struct folder *f, struct err *e)
{
    static const struct hf_habit llama = {.bos = "<s>", .eos = "</s>", .add_bos = true};
    int code = spm_open_model(out, f->model.data, e);

    return code < 0 ? code : hf_config(*out, f->config.data, &llama, e);
}

static int open_vocab(struct tokenizer **out, const struct folder *f, struct err *e)
{
    static const struct hf_habit gpt2 = {.bos = "<|endoftext|>", .eos = "<|endoftext|>"};
    int code = bpe_open_vocab(out, f->vocab.data, f->merges.data, e);

    return code < 0 ? code : hf_config(*out, f->config.data, &gpt2, e);
}

static int open_first(struct tokenizer **out, const struct folder *f, const char *dir, struct err *e)
{
    json_t *root = NULL;
    int code = is_there(&f->json) ? hf_load(&root, f->json.data, e) : 0;

    if (code < 0)
        return code;
    if (is_there(&f->model) && !(root && hf_is_byte_level(root)))
        code = open_model(out, f, e);
    else if (root)
        code = open_json(out, f, root, e);
    else if (is_there(&f->vocab) && is_there(&f->merges))
        code = open_vocab(out, f, e);
    else
        code = err_set(e, ERR_ABSENT,
                       "%s: no tokenizer.json, no tokenizer.model, nor vocab.json and merges.txt; put the model's files there",
                       dir);
    json_decref(root);
    return code;
}

int tokenizer_open_dir(struct tokenizer **out, const char *dir, struct err *e)
{
    struct folder f = {0};
    struct tokenizer *t = NULL;
    int code;

    text_printf(&f.json, "%s/tokenizer.json", dir);
    text_printf(&f.model, "%s/tokenizer.model", dir);
    text_printf(&f.vocab, "%s/vocab.json", dir);
    text_printf(&f.merges, "%s/merges.txt", dir);
    text_printf(&f.config, "%s/tokenizer_config.json", dir);
    if ((code = open_first(&t, &f, dir, e)) < 0)
        tokenizer_close(t);
    else
        *out = t;
    text_free(&f.json);
    text_free(&f.model);
    text_free(&f.vocab);
    text_free(&f.merges);
    text_free(&f.config);
    return code;
}
