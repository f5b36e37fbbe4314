/* SPDX-License-Identifier: MIT
 * `bench generate`: a model's text as it comes, on stdout; what it took, on stderr, so that the text can be piped. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "generate.h"
#include "model_options.h"
#include "shown.h"

struct generate_arguments {
    struct model_options options;
    int max_new_tokens;
    const char **stop; /* NULL-terminated */
    int stops;
    bool json;
};

enum { KEY_NEW_TOKENS = 256, KEY_STOP, KEY_JSON };
enum { DEFAULT_NEW_TOKENS = 64, NEW_TOKENS_MAX = 1 << 24 };

static const struct argp_option options[] = {
    {"max-new-tokens", KEY_NEW_TOKENS, "N", 0, "Tokens to generate at most (default 64)", 0},
    {"stop", KEY_STOP, "TEXT", 0, "End where this text appears; it is left out; repeatable", 0},
    {"json", KEY_JSON, 0, 0, "Ids, text and times as one JSON document, when it is done", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct generate_arguments *a = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        model_options_adopt(&a->options, state);
        break;
    case KEY_NEW_TOKENS:
        a->max_new_tokens = (int)model_options_number(arg, "max-new-tokens", 1, NEW_TOKENS_MAX, state);
        break;
    case KEY_STOP:
        if (!*arg)
            argp_error(state, "--stop: an empty text would end everything at once");
        a->stop[a->stops++] = arg;
        break;
    case KEY_JSON:
        a->json = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* --- Ctrl-C is only noted; generation stops between two steps, and a second one kills ------------------------------------ */

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static int stop_when_interrupted(void *ctx, struct session *s, int step, uint64_t wall_ns)
{
    (void)ctx;
    (void)s;
    (void)step;
    (void)wall_ns;
    return interrupted;
}

static void print_text(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    fwrite(bytes, 1, n, stdout);
    fflush(stdout);
}

/* --- results ---------------------------------------------------------------------------------------------------------------
 */

static double per_second(int tokens, uint64_t ns)
{
    return ns ? (double)tokens * 1e9 / (double)ns : 0;
}

static void print_summary(const struct generated *g, const struct prompted *p, const char *why)
{
    fprintf(stderr, "%d token%s, ended by %s; prefill of %d token%s %.1f ms", g->count, g->count == 1 ? "" : "s", why, p->count,
            p->count == 1 ? "" : "s", (double)g->prefill_ns / 1e6);
    if (g->steps > 0)
        fprintf(stderr, "; %d decode step%s %.1f ms, %.1f tokens/s", g->steps, g->steps == 1 ? "" : "s",
                (double)g->decode_ns / 1e6, per_second(g->steps, g->decode_ns));
    fputc('\n', stderr);
}

static void print_json(const struct generated *g, const struct prompted *p, const struct model_options *o, const char *why)
{
    char how[160];
    json_t *document =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:i, s:I, s:I, s:I}", "format", "bench-generate/1", "model",
                  model_config(p->model)->name, "sampling", sampling_about(&o->sampling, how, sizeof how), "prompt_ids",
                  shown_json_ids(p->ids, p->count), "ids", shown_json_ids(g->ids, g->count), "text",
                  shown_json_text(g->text.data, g->text.len), "ended_by", why, "decode_steps", g->steps, "tokenize_ns",
                  (json_int_t)p->tokenize_ns, "prefill_ns", (json_int_t)g->prefill_ns, "decode_ns", (json_int_t)g->decode_ns);
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
}

static int run(const struct prompted *p, const struct generate_arguments *a, struct err *e)
{
    struct generate_args args = {
        .sampling = a->options.sampling,
        .max_new_tokens = a->max_new_tokens,
        .stop = a->stops ? a->stop : NULL,
        .step = stop_when_interrupted,
        .text = a->json ? NULL : print_text,
    };
    struct sigaction note = {.sa_handler = note_interrupt, .sa_flags = SA_RESETHAND};
    struct generated g = {0};

    sigaction(SIGINT, &note, NULL);
    sigaction(SIGTERM, &note, NULL);
    int code = generate(&g, p->model, p->ids, p->count, &args, e);
    if (code == 0 || code == ERR_INTERRUPTED) {
        const char *why = code == 0 ? stop_reason_name(g.why) : "an interrupt";
        if (a->json) {
            print_json(&g, p, &a->options, why);
        } else {
            putchar('\n');
            fflush(stdout);
            print_summary(&g, p, why);
        }
    }
    generated_free(&g);
    return code;
}

int command_generate(int argc, char **argv)
{
    struct generate_arguments a = {.max_new_tokens = DEFAULT_NEW_TOKENS};
    const struct argp_child children[] = {{&a.options.argp, 0, "Prompt", 1}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .children = children,
        .doc =
            "Generate text: to stdout as it comes, with tokens and times on stderr at the end. Ctrl-C stops with what is there."
            "\vMODEL is a preset (`bench model --help` lists them), a Hugging Face folder or a GGUF file. A preset's weights "
            "are random, so are its words. A text ends at the model's end-of-text token, at a --stop text or at "
            "--max-new-tokens.",
    };
    struct prompted prompted = {0};
    struct err e = {0};
    int code;

    model_options_init(&a.options);
    a.stop = calloc((size_t)argc + 1, sizeof *a.stop);
    if (!a.stop) {
        code = err_set(&e, ERR_MEMORY, "out of memory");
        goto out;
    }
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    code = model_options_open(&prompted, &a.options, &e);
    if (code == 0)
        code = run(&prompted, &a, &e);
out:
    free(a.stop);
    prompted_close(&prompted);
    return code < 0 ? command_fail(&e) : EXIT_HELD;
}
