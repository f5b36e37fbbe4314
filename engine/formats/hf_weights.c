/* SPDX-License-Identifier: MIT
 * Weights of a Hugging Face folder: one safetensors file, or the shards that an index names. All names, dtypes and shapes are
 * matched with the model's own before the first byte is copied, and what the model does not know is refused: a tensor passed
 * over in silence would be a model computed wrongly. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hf.h"

enum { INDEX_MAX = 16 << 20 };

/* --- files --------------------------------------------------------------------------------------------------------------- */

static int open_file(struct hf_folder *f, const char *name, struct err *e)
{
    struct text path = {0};

    text_printf(&path, "%s/%s", f->dir.data, name);
    int code = safetensors_open(&f->files[f->file_count], path.data, e);
    f->shard[f->file_count++] = name;
    text_free(&path);
    return code;
}

static const struct safetensors *find_shard(const struct hf_folder *f, const char *name)
{
    for (int i = 0; i < f->file_count; i++)
        if (strcmp(f->shard[i], name) == 0)
            return &f->files[i];
    return NULL;
}

static int open_shard(struct hf_folder *f, const char *tensor, const json_t *shard, struct err *e)
{
    const char *name = json_string_value(shard);

    if (!name || !*name || *name == '.' || strchr(name, '/'))
        return err_set(e, ERR_FORMAT, "%s: weight_map: '%.100s' is in '%.60s': expected the name of a file in this folder",
                       f->where.data, tensor, name ? name : "");
    if (find_shard(f, name))
        return 0;
    if (f->file_count == HF_SHARDS_MAX)
        return err_set(e, ERR_FORMAT, "%s: weight_map: more than %d shards", f->where.data, HF_SHARDS_MAX);
    return open_file(f, name, e);
}

static int open_shards(struct hf_folder *f, struct err *e)
{
    struct text json = {0};
    json_error_t at;
    const char *tensor;
    json_t *shard;
    int code = text_read_file(&json, f->where.data, INDEX_MAX, e);

    if (code < 0)
        goto out;
    f->index = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, &at);
    if (!f->index) {
        code = err_set(e, ERR_FORMAT, "%s:%d:%d: %s", f->where.data, at.line, at.column, at.text);
        goto out;
    }
    json_t *map = json_object_get(f->index, "weight_map");
    if (!json_is_object(map))
        code = err_set(e, ERR_FORMAT, "%s: weight_map is missing; expected tensor names with their files", f->where.data);
    json_object_foreach(map, tensor, shard)
    {
        if (code == 0)
            code = open_shard(f, tensor, shard, e);
    }
out:
    text_free(&json);
    return code;
}

static bool is_there(const struct hf_folder *f, const char *name)
{
    struct text path = {0};

    text_printf(&path, "%s/%s", f->dir.data, name);
    bool there = access(path.data, F_OK) == 0;
    text_free(&path);
    return there;
}

static int open_files(struct hf_folder *f, struct err *e)
{
    static const char one[] = "model.safetensors", many[] = "model.safetensors.index.json";
    bool single = is_there(f, one);

    text_printf(&f->where, "%s/%s", f->dir.data, single ? one : many);
    if (single)
        return open_file(f, one, e);
    if (is_there(f, many))
        return open_shards(f, e);
    if (is_there(f, "pytorch_model.bin") || is_there(f, "pytorch_model.bin.index.json"))
        return err_set(
            e, ERR_FORMAT,
            "%s: the weights are only there as pytorch_model.bin, a pickle, which may run code and is not read; save "
            "them as safetensors, in transformers: m = AutoModelForCausalLM.from_pretrained(dir); "
            "m.save_pretrained(dir, safe_serialization=True)",
            f->dir.data);
    return err_set(e, ERR_IO, "%s: neither %s nor %s is there; save the model as safetensors", f->dir.data, one, many);
}

/* --- names --------------------------------------------------------------------------------------------------------------- */

/* A model with a head puts its body behind a prefix; a body saved alone does not. */
static const char *bare_name(const char *name)
{
    static const char *const prefixes[] = {"transformer.", "model."};

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return name + strlen(prefixes[i]);
    return name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct hf_entry *)a)->bare, ((const struct hf_entry *)b)->bare);
}

static struct hf_entry *find_entry(const struct hf_folder *f, const char *bare)
{
    struct hf_entry key = {.bare = bare};

    return bsearch(&key, f->entries, f->count, sizeof key, by_name);
}

static int list_entries(struct hf_folder *f, struct err *e)
{
    size_t total = 0;

    for (int i = 0; i < f->file_count; i++)
        total += f->files[i].count;
    f->entries = calloc(total + 1, sizeof *f->entries);
    if (!f->entries)
        return err_set(e, ERR_MEMORY, "%s: out of memory for %zu tensors", f->where.data, total);
    for (int i = 0; i < f->file_count; i++) {
        for (size_t j = 0; j < f->files[i].count; j++) {
            const struct safetensors_tensor *t = &f->files[i].tensors[j];
            f->entries[f->count++] = (struct hf_entry){.bare = bare_name(t->name), .file = &f->files[i], .tensor = t};
        }
    }
    qsort(f->entries, f->count, sizeof *f->entries, by_name);
    for (size_t i = 1; i < f->count; i++) {
        const struct hf_entry *a = &f->entries[i - 1], *b = &f->entries[i];
        if (by_name(a, b) == 0)
            return err_set(e, ERR_FORMAT, "%s: tensor '%.100s' is there twice, as '%.100s' in %s", f->where.data,
                           a->tensor->name, b->tensor->name, b->file->path);
    }
    return 0;
}

static int check_index(const struct hf_folder *f, struct err *e)
{
    const char *tensor;
    json_t *shard;

    json_object_foreach(json_object_get(f->index, "weight_map"), tensor, shard)
    {
        const struct hf_entry *found = find_entry(f, bare_name(tensor));
        if (!found || found->file != find_shard(f, json_string_value(shard)))
            return err_set(e, ERR_FORMAT, "%s: tensor '%.100s' is not in '%.100s'", f->where.data, tensor,
                           json_string_value(shard));
    }
    return 0;
}

/* --- matching ------------------------------------------------------------------------------------------------------------ */

static int check_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct hf_folder *f = ctx;
    struct hf_entry *found = find_entry(f, slot->name);
    struct safetensors_tensor want = {.rank = slot->to.cols == 1 ? 1 : 2};
    char have_text[128], want_text[128];
    enum dtype dtype;

    if (!found)
        return err_set(e, ERR_FORMAT, "%s: tensor '%s' is missing", f->where.data, slot->name);
    const struct safetensors_tensor *t = found->tensor;
    found->used = true;
    want.shape[0] = (uint64_t)(slot->transposed ? slot->to.cols : slot->to.rows);
    want.shape[1] = (uint64_t)(slot->transposed ? slot->to.rows : slot->to.cols);
    if (t->rank != want.rank || memcmp(t->shape, want.shape, sizeof *t->shape * (size_t)want.rank) != 0)
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': shape %s, config.json asks for %s", found->file->path, t->name,
                       safetensors_shape(t, have_text, sizeof have_text),
                       safetensors_shape(&want, want_text, sizeof want_text));
    if (!safetensors_dtype(t, &dtype))
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': dtype %s is not supported; expected F32, F16 or BF16",
                       found->file->path, t->name, t->dtype);
    f->base.elements[dtype] += (uint64_t)slot->to.rows * (uint64_t)slot->to.cols;
    f->base.bytes += t->end - t->begin;
    return 0;
}

/* Constants that older versions of transformers saved with the weights: "<before><number><after>". */
static bool is_known_buffer(const char *bare)
{
    static const struct {
        const char *before, *after;
    } buffers[] = {
        {"h.", ".attn.bias"},                          /* the causal mask */
        {"h.", ".attn.masked_bias"},                   /* minus infinity */
        {"layers.", ".self_attn.rotary_emb.inv_freq"}, /* follows from rope_theta */
    };

    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        size_t n = strlen(buffers[i].before);
        if (strncmp(bare, buffers[i].before, n) == 0 &&
            strcmp(bare + n + strspn(bare + n, "0123456789"), buffers[i].after) == 0)
            return true;
    }
    return false;
}

static int check_leftovers(const struct hf_folder *f, struct err *e)
{
    const struct model_config *c = &f->base.config;

    for (size_t i = 0; i < f->count; i++) {
        const struct hf_entry *n = &f->entries[i];
        bool tied_copy = c->tied_head && strcmp(n->bare, "lm_head.weight") == 0;
        if (!n->used && !tied_copy && !is_known_buffer(n->bare))
            return err_set(e, ERR_FORMAT, "%s: tensor '%.100s' is not part of a %s model with %d layers", n->file->path,
                           n->tensor->name, c->arch, c->layers);
    }
    return 0;
}

static int copy_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    const struct hf_entry *n = find_entry(ctx, slot->name);

    return safetensors_read(n->file, n->tensor, slot, e);
}

int hf_weights_open(struct hf_folder *f, struct err *e)
{
    struct weights plan = {0};
    int code = open_files(f, e);

    if (code == 0)
        code = list_entries(f, e);
    if (code == 0)
        code = check_index(f, e);
    if (code == 0)
        code = weights_plan(&plan, &f->base.config, DTYPE_F32, e);
    if (code == 0)
        code = weights_visit(&plan, &f->base.config, check_slot, f, e);
    if (code == 0)
        code = check_leftovers(f, e);
    weights_free(&plan);
    return code;
}

int hf_weights_read(struct hf_folder *f, struct weights *w, struct err *e)
{
    return weights_visit(w, &f->base.config, copy_slot, f, e);
}

void hf_weights_close(struct hf_folder *f)
{
    for (int i = 0; i < f->file_count; i++)
        safetensors_close(&f->files[i]);
    free(f->entries);
    json_decref(f->index);
    text_free(&f->where);
}
