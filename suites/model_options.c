/* SPDX-License-Identifier: MIT
 * Options of a model run by hand. Those for sampling are rows of one table, so their names, help and reading are never said a
 * second time here. */
#include "model_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axis.h"
#include "clock.h"
#include "sampling_keys.h"

enum { KEY_PROMPT = 300, KEY_TOKENS, KEY_BACKEND, KEY_DEVICE, KEY_CPUS, KEY_DTYPE, KEY_SEED, KEY_SAMPLING = 400 };
enum { GROUP_PROMPT = 0, GROUP_COMPUTE = 1, GROUP_SAMPLING = 2 };

static const struct argp_option own_options[];

long long model_options_number(const char *arg, const char *option, long long least, long long most, struct argp_state *state)
{
    char *end;

    errno = 0;
    long long n = strtoll(arg, &end, 10);
    if (errno || end == arg || *end || n < least || n > most)
        argp_error(state, "--%s %s: expected a whole number from %lld to %lld", option, arg, least, most);
    return n;
}

static void set_sampling(struct model_options *o, const struct sampling_key *k, const char *arg, struct argp_state *state)
{
    struct err e = {0};

    if (sampling_key_set(&o->sampling, k, arg, &e) < 0)
        argp_error(state, "%s", e.text);
}

static enum dtype read_dtype(const char *arg, struct argp_state *state)
{
    struct text names = {0};
    int dtype = 0;

    if (!axis_value(AXIS_DTYPE, arg, &dtype)) {
        for (const char *const *name = axes[AXIS_DTYPE].words; *name; name++)
            text_printf(&names, "%s%s", name == axes[AXIS_DTYPE].words ? "" : ", ", *name);
        argp_error(state, "--dtype %s: expected one of %s", arg, names.data);
    }
    text_free(&names);
    return (enum dtype)dtype;
}

static void check_complete(struct model_options *o, struct argp_state *state)
{
    if (!o->model)
        argp_error(state, "which model? a preset (for example distilgpt2), a Hugging Face folder or a GGUF file");
    if (o->prompt && o->tokens)
        argp_error(state, "--prompt and --tokens both say what the prompt is: give one of them");
    if (!o->prompt && !o->tokens)
        o->prompt = o->default_prompt;
    if (!o->prompt && !o->tokens)
        argp_error(state, "which prompt? --prompt TEXT, or --tokens \"ID ID ...\"");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct model_options *o = state->input;

    switch (key) {
    case KEY_PROMPT:
        o->prompt = arg;
        break;
    case KEY_TOKENS:
        o->tokens = arg;
        break;
    case KEY_BACKEND:
        o->backend = arg;
        break;
    case KEY_DEVICE:
        o->device = (int)model_options_number(arg, "device", 0, DEVICE_MAX, state);
        break;
    case 't':
        o->threads = (int)model_options_number(arg, "threads", 1, 1 << 16, state);
        break;
    case KEY_CPUS:
        o->cpus = arg;
        break;
    case KEY_DTYPE:
        o->dtype = read_dtype(arg, state);
        break;
    case KEY_SEED:
        o->seed = (uint64_t)model_options_number(arg, "seed", 0, INT64_MAX, state);
        o->sampling.seed = o->seed;
        break;
    case ARGP_KEY_ARG:
        if (o->model)
            argp_error(state, "one model at a time: '%s' is one too many; a text belongs behind --prompt, in quotes", arg);
        o->model = arg;
        break;
    case ARGP_KEY_END:
        check_complete(o, state);
        break;
    default:
        if (key < KEY_SAMPLING || key >= KEY_SAMPLING + MODEL_OPTIONS_MAX)
            return ARGP_ERR_UNKNOWN;
        set_sampling(o, &sampling_keys[key - KEY_SAMPLING], arg, state);
    }
    return 0;
}

/* "top_k" as an option is --top-k. */
static void add_sampling_options(struct model_options *o, int at)
{
    for (int i = 0; sampling_keys[i].name; i++, at++) {
        char *name = o->name[at];
        snprintf(name, MODEL_OPTION_NAME, "%s", sampling_keys[i].name);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? '-' : *c;
        o->option[at] = (struct argp_option){name, KEY_SAMPLING + i, "N", 0, sampling_keys[i].help, GROUP_SAMPLING};
    }
}

void model_options_init(struct model_options *o)
{
    int at = 0;

    *o = (struct model_options){.backend = "cpu", .device = -1, .seed = 1, .sampling.seed = 1};
    for (; own_options[at].doc; at++)
        o->option[at] = own_options[at];
    add_sampling_options(o, at);
    o->argp = (struct argp){.options = o->option, .parser = parse, .args_doc = "MODEL"};
}

void model_options_adopt(struct model_options *o, struct argp_state *state)
{
    state->child_inputs[0] = o;
}

/* "48 25 198", also with commas between. */
static int read_tokens(struct prompted *p, const char *text, struct err *e)
{
    const char *at = text;
    int vocab = model_config(p->model)->vocab;

    p->ids = malloc((strlen(text) / 2 + 1) * sizeof *p->ids);
    if (!p->ids)
        return err_set(e, ERR_MEMORY, "--tokens: out of memory");
    for (at += strspn(at, " ,\t\n"); *at; at += strspn(at, " ,\t\n")) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at || (*end && !strchr(" ,\t\n", *end)))
            return err_set(e, ERR_USAGE, "--tokens: expected ids with spaces between, got '%.20s'", at);
        if (errno || id < 0 || id >= vocab)
            return err_set(e, ERR_USAGE, "--tokens: %.*s is not an id of this model: 0 to %d", (int)(end - at), at, vocab - 1);
        p->ids[p->count++] = (int32_t)id;
        at = end;
    }
    return p->count > 0 ? 0 : err_set(e, ERR_USAGE, "--tokens: there are no ids in it");
}

static int read_prompt(struct prompted *p, const char *text, struct err *e)
{
    size_t n = 0;
    uint64_t start = clock_ns();
    int code = model_tokenize(p->model, text, &p->ids, &n, e);

    p->tokenize_ns = clock_ns() - start;
    if (code == ERR_ABSENT)
        return err_set(e, ERR_USAGE, "%s has no tokenizer for a text: give the prompt as ids, for example --tokens \"1 2 3\"",
                       model_config(p->model)->name);
    if (code < 0)
        return err_wrap(e, "--prompt");
    if (n == 0)
        return err_set(e, ERR_USAGE, "--prompt: it has no tokens");
    if (n > (size_t)model_config(p->model)->context)
        return err_set(e, ERR_USAGE, "--prompt: %zu tokens, %s has %d positions", n, model_config(p->model)->name,
                       model_config(p->model)->context);
    p->prompt = text;
    p->count = (int)n;
    return 0;
}

int model_options_device(const char *backend, int given, int *out, struct err *e)
{
    *out = given < 0 ? 0 : given;
    if (given >= 0 && strcmp(backend, "cuda") != 0)
        return err_set(e, ERR_USAGE, "--device %d: the backend %s computes on no GPU; take --backend cuda", given, backend);
    return 0;
}

int model_options_open(struct prompted *p, const struct model_options *o, struct err *e)
{
    struct model_args args = {.source = o->model, .backend = o->backend, .dtype = o->dtype, .seed = o->seed};
    int code = sampling_check(&o->sampling, e);

    *p = (struct prompted){0};
    if (code == 0)
        code = model_options_device(o->backend, o->device, &args.device, e);
    if (code == 0)
        code = team_start(&p->team, o->threads, o->cpus, e);
    args.threads = p->team.threads;
    if (code == 0)
        code = model_open(&p->model, &args, e);
    if (code < 0)
        return code;
    return o->tokens ? read_tokens(p, o->tokens, e) : read_prompt(p, o->prompt, e);
}

void prompted_close(struct prompted *p)
{
    free(p->ids);
    model_close(p->model);
    *p = (struct prompted){0};
}

static const struct argp_option own_options[] = {
    {"prompt", KEY_PROMPT, "TEXT", 0, "The text to go on from", GROUP_PROMPT},
    {"tokens", KEY_TOKENS, "IDS", 0, "The prompt as token ids instead: \"48 25 198\"", GROUP_PROMPT},
    {0, 0, 0, 0, "Computing", GROUP_COMPUTE},
    {"backend", KEY_BACKEND, "NAME", 0, "cpu (default), cuda, ref or null", GROUP_COMPUTE},
    {"device", KEY_DEVICE, "N", 0, "GPU of the backend cuda (default 0)", GROUP_COMPUTE},
    {"threads", 't', "N", 0, "Worker threads (default: one per core)", GROUP_COMPUTE},
    {"cpus", KEY_CPUS, "LIST", 0, "Only these CPUs, a worker each: 0,2-3", GROUP_COMPUTE},
    {"dtype", KEY_DTYPE, "TYPE", 0, "Weights in memory: f32 (default), f16, bf16, q8_0 or q4_0", GROUP_COMPUTE},
    {"seed", KEY_SEED, "N", 0, "Seed of synthetic weights and of draws (default 1)", GROUP_COMPUTE},
    {0, 0, 0, 0, "Choosing a token (default: always the largest logit)", GROUP_SAMPLING},
    {0},
};
