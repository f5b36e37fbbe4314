/* SPDX-License-Identifier: MIT
 * `bench model`: what a model is; and presets written out as files that this and other programs can load. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "formats/source.h"
#include "model_card.h"
#include "model_options.h"
#include "outputs.h"

struct model_arguments {
    const char *source, *write, *preset;
    uint64_t seed;
    enum dtype dtype;
    bool json;
};

enum { KEY_JSON = 256, KEY_WRITE, KEY_PRESET, KEY_SEED, KEY_DTYPE };

static const struct argp_option options[] = {
    {"json", KEY_JSON, 0, 0, "The same as one JSON document", 0},
    {0, 0, 0, 0, "Writing a preset as files", 1},
    {"write", KEY_WRITE, "OUT", 0, "Where to: a GGUF file where OUT ends in .gguf, else a Hugging Face folder", 1},
    {"preset", KEY_PRESET, "NAME", 0, "Which preset", 1},
    {"seed", KEY_SEED, "N", 0, "Seed of its weights (default 1)", 1},
    {"dtype", KEY_DTYPE, "TYPE", 0, "f32 (default), f16 or bf16; in GGUF also q8_0 and q4_0", 1},
    {0},
};

/* Those that can be written, for sentences. */
static const char *writable_names(char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = 0;
    for (enum dtype d = 0; d < DTYPE_COUNT; d++)
        if (dtype_is_writable(d) && at < size)
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", dtype_name(d));
    return buf;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct model_arguments *a = state->input;
    char names[96];

    switch (key) {
    case KEY_JSON:
        a->json = true;
        break;
    case KEY_WRITE:
        a->write = arg;
        break;
    case KEY_PRESET:
        a->preset = arg;
        break;
    case KEY_SEED:
        a->seed = (uint64_t)model_options_number(arg, "seed", 0, INT64_MAX, state);
        break;
    case KEY_DTYPE:
        if (!dtype_find(&a->dtype, arg) || !dtype_is_writable(a->dtype))
            argp_error(state, "--dtype %s: expected one of %s", arg, writable_names(names, sizeof names));
        break;
    case ARGP_KEY_ARG:
        if (a->source)
            argp_error(state, "one model at a time: '%s' is one too many", arg);
        a->source = arg;
        break;
    case ARGP_KEY_END:
        if (a->write && a->source)
            argp_error(state, "--write takes the preset's name from --preset; '%s' is one too many", a->source);
        if (a->write && !a->preset)
            argp_error(state, "--write: which preset? --preset NAME");
        if (a->preset && !a->write)
            argp_error(state, "--preset: where to? --write OUT; to look at a preset: bench model %s", a->preset);
        if (!a->write && !a->source)
            argp_error(state, "which model? a preset (for example distilgpt2), a Hugging Face folder or a GGUF file");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static bool is_gguf(const char *path)
{
    size_t n = strlen(path);

    return n > 5 && strcmp(path + n - 5, ".gguf") == 0;
}

static int write_model(const struct model_arguments *a, struct err *e)
{
    struct source *source = NULL;
    struct tokenizer *tokenizer = NULL;
    struct weights weights = {0};
    struct model_config config;
    int code = config_preset(&config, a->preset, e); /* so that no folder of that name is taken */

    if (code == 0)
        code = source_open(&source, a->preset, a->seed, e);
    if (code == 0)
        code = weights_alloc(&weights, &source->config, DTYPE_F32, e);
    if (code == 0)
        code = source->ops->read(source, &weights, e);
    if (code == 0)
        code = source->ops->tokenizer(source, &tokenizer, e);
    if (code == ERR_ABSENT)
        code = 0;
    if (code == 0)
        code = outputs_make_folder(a->write, e);
    if (code == 0)
        code = (is_gguf(a->write) ? gguf_write : hf_write)(a->write, &source->config, &weights, tokenizer, a->dtype, e);
    tokenizer_close(tokenizer);
    weights_free(&weights);
    source_close(source);
    return code;
}

static int show(const char *source, bool json, struct err *e)
{
    struct model_card card = {0};
    int code = model_card_open(&card, source, e);

    if (code == 0 && json) {
        json_t *document = model_card_json(&card);
        json_dumpf(document, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(document);
    } else if (code == 0) {
        model_card_print(&card, stdout);
    }
    model_card_close(&card);
    return code;
}

/* "Describe a model ...", with the names of the presets where readers look for them. */
static void make_doc(struct text *doc)
{
    text_puts(doc,
              "Say what a model is: its shapes and features, parameters and bytes by part, KV cache, tokenizer, and its files "
              "with their SHA-256. No weights are loaded. Or write a preset out as files.\v"
              "MODEL is a Hugging Face folder, a GGUF file, or a preset:");
    for (int i = 0; config_presets[i]; i++)
        text_printf(doc, "%s%s", i ? ", " : " ", config_presets[i]);
    text_puts(doc, ". Presets have their published shapes and random weights from a seed.");
}

int command_model(int argc, char **argv)
{
    struct model_arguments a = {.seed = 1};
    struct text doc = {0};
    struct err e = {0};
    int code = 0;

    make_doc(&doc);
    const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "MODEL\n--write OUT --preset NAME", .doc = doc.data};
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.write)
        code = write_model(&a, &e);
    if (code == 0 && a.write && !a.json)
        printf("written to %s, and read back:\n\n", a.write);
    if (code == 0)
        code = show(a.write ? a.write : a.source, a.json, &e);
    text_free(&doc);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
