/* SPDX-License-Identifier: MIT
 * `bench inspect`: what generate() hides, one pass after another. */
#include <stdio.h>

#include "commands.h"
#include "inspect.h"

struct inspect_arguments {
    struct model_options options;
    int steps, top;
    bool layers, values, json;
};

enum { KEY_STEPS = 256, KEY_LAYERS, KEY_VALUES, KEY_JSON };
enum { DEFAULT_STEPS = 10, DEFAULT_TOP = 5, STEPS_MAX = 1 << 20, TOP_MAX = 1 << 20 };

#define DEFAULT_PROMPT "Q: Explain why batching improves GPU utilization.\nA:"

static const struct argp_option options[] = {
    {"steps", KEY_STEPS, "N", 0, "Passes: the prefill and N - 1 decode steps, each choosing a token (default 10)", 0},
    {"top", 'k', "K", 0, "Candidates to show for each choice (default 5)", 0},
    {"layers", KEY_LAYERS, 0, 0, "K and V of every layer, not only the first", 0},
    {"values", KEY_VALUES, 0, 0, "Ten values of K[layer 0, head 0, token 0]", 0},
    {"json", KEY_JSON, 0, 0, "All of it as one JSON document", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct inspect_arguments *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        model_options_adopt(&a->options, state);
        break;
    case KEY_STEPS:
        a->steps = (int)model_options_number(arg, "steps", 1, STEPS_MAX, state);
        break;
    case 'k':
        a->top = (int)model_options_number(arg, "top", 1, TOP_MAX, state);
        break;
    case KEY_LAYERS:
        a->layers = true;
        break;
    case KEY_VALUES:
        a->values = true;
        break;
    case KEY_JSON:
        a->json = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The first pass and all there is to see of it. *values: how many values of K were read. */
static int prefill(struct inspection *x, const struct inspect_arguments *a, float *value, int *values, struct err *e)
{
    if (!a->json)
        inspect_text_begin(x);
    int code = inspection_step(x, e);
    if (code == 0 && a->values)
        *values = code = inspection_first_key(x, value, e);
    if (code < 0 || a->json)
        return code;
    inspect_text_prefill(x, a->layers);
    if (a->values)
        inspect_text_values(value, *values);
    inspect_text_choice(x);
    return 0;
}

static int inspect(struct inspection *x, const struct inspect_arguments *a, struct err *e)
{
    float value[FIRST_VALUES];
    int values = 0;
    int code = prefill(x, a, value, &values, e);

    while (code >= 0 && x->steps < x->wanted) {
        code = inspection_step(x, e);
        if (code == 0 && !a->json)
            inspect_text_decode(x);
    }
    if (code < 0)
        return code;
    if (!a->json) {
        inspect_text_end(x);
        return 0;
    }
    json_t *document = inspect_json(x, value, values);
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
    return 0;
}

int command_inspect(int argc, char **argv)
{
    struct inspect_arguments a = {.steps = DEFAULT_STEPS, .top = DEFAULT_TOP};
    const struct argp_child children[] = {{&a.options.argp, 0, "Prompt", 1}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .children = children,
        .doc =
            "Look inside generation: the prompt's tokens, the shapes of logits and KV cache, the candidates of each choice, "
            "the cache growing with each decode step, its memory, and the time of each pass.\vMODEL is a preset (`bench model "
            "--help` lists them), a Hugging Face folder or a GGUF file. Without --prompt it is the question of the default "
            "suite: \"Q: Explain why batching improves GPU utilization.\\nA:\".",
    };
    struct prompted prompted = {0};
    struct inspection x = {0};
    struct err e = {0};

    model_options_init(&a.options);
    a.options.default_prompt = DEFAULT_PROMPT;
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int code = model_options_open(&prompted, &a.options, &e);
    if (code == 0)
        code = inspection_open(&x, &prompted, &a.options, a.steps, a.top, &e);
    if (code == 0)
        code = inspect(&x, &a, &e);
    inspection_close(&x);
    prompted_close(&prompted);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
