/* SPDX-License-Identifier: MIT
 * An inspection on the terminal: the parts have the names and the shapes the notation that the classic Python walk-through of
 * generate() prints, so that the two can be read side by side. Each part is flushed: large models are slow. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect.h"
#include "shown.h"

enum { FIRST_IDS = 20, PIECES_A_ROW = 4, PIECE_COLUMNS = 15, TOKEN_COLUMNS = 18 };

static const struct model_config *config_of(const struct inspection *x)
{
    return model_config(x->prompted->model);
}

/* A token in quotes, padded to `columns`. */
static void print_token(const struct inspection *x, int32_t id, int columns)
{
    struct text bytes = {0}, shown = {0};

    model_token_text(x->prompted->model, id, &bytes);
    int width = shown_quoted(&shown, bytes.data, bytes.len);
    printf("%s%*s", shown.data, columns > width ? columns - width : 0, "");
    text_free(&bytes);
    text_free(&shown);
}

static void print_quoted(const char *bytes, size_t n)
{
    struct text shown = {0};

    shown_quoted(&shown, bytes, n);
    puts(shown.data);
    text_free(&shown);
}

static void print_kv_shape(const struct inspection *x, int layer, const char *which, int kv_len)
{
    const struct model_config *c = config_of(x);

    printf("layer%d %s.shape: (1, %d, %d, %d)", layer, which, c->kv_heads, kv_len, c->head_dim);
}

void inspect_text_begin(const struct inspection *x)
{
    const struct prompted *p = x->prompted;
    const struct model_info *info = model_info(p->model);
    int shown = p->count < FIRST_IDS ? p->count : FIRST_IDS;

    printf("[MODEL]\n%s, %s (%s); %s, backend %s, %d thread%s\n\n[INPUT]\n", config_of(x)->name, info->format, info->weights,
           info->dtype, x->options->backend, p->team.threads, p->team.threads == 1 ? "" : "s");
    if (p->prompt) {
        fputs("prompt: ", stdout);
        print_quoted(p->prompt, strlen(p->prompt));
    }
    printf("input_ids.shape: (1, %d)  = [batch, seq_len]\ninput_ids", p->count);
    if (shown < p->count)
        printf(" (first %d)", shown);
    fputs(": [", stdout);
    for (int i = 0; i < shown; i++)
        printf("%s%" PRId32, i ? ", " : "", p->ids[i]);
    puts("]");
    for (int i = 0; i < shown; i++) {
        bool last_in_row = i + 1 == shown || i % PIECES_A_ROW == PIECES_A_ROW - 1;
        printf("  %6" PRId32 "  ", p->ids[i]);
        print_token(x, p->ids[i], last_in_row ? 0 : PIECE_COLUMNS);
        if (last_in_row)
            putchar('\n');
    }
    fflush(stdout);
}

void inspect_text_prefill(const struct inspection *x, bool all_layers)
{
    const struct model_config *c = config_of(x);
    const struct inspected_step *s = &x->step[0];

    printf("\n[PREFILL OUTPUT]\nlogits.shape: (1, %d, %d)  = [batch, seq_len, vocab]\n", s->inputs, c->vocab);
    printf("layers in the KV cache: %d\n", c->layers);
    for (int i = 0; i < (all_layers ? c->layers : 1); i++) {
        print_kv_shape(x, i, "K", s->kv_len);
        puts(i ? "" : "  = [batch, kv_heads, seq_len, head_dim]");
        print_kv_shape(x, i, "V", s->kv_len);
        putchar('\n');
    }
    if (c->kv_heads != c->heads)
        printf("%d query heads share %d key/value heads: %d to each\n", c->heads, c->kv_heads, c->heads / c->kv_heads);
}

void inspect_text_values(const float *value, int n)
{
    printf("K[layer 0, head 0, token 0, :%d]: [", n);
    for (int i = 0; i < n; i++)
        printf("%s%.4f", i ? ", " : "", (double)value[i]);
    puts("]");
}

static void print_choice(const struct inspection *x, const struct inspected_step *s)
{
    printf("top-%d candidates:\n      id  %-*s     logit  probability\n", s->top_count, TOKEN_COLUMNS, "token");
    for (int i = 0; i < s->top_count; i++) {
        printf("  %6" PRId32 "  ", s->top[i].id);
        print_token(x, s->top[i].id, TOKEN_COLUMNS);
        printf("%10.4f     %8.6f\n", (double)s->top[i].logit, s->top[i].probability);
    }
    printf("chosen: %" PRId32 " ", s->chosen.id);
    print_token(x, s->chosen.id, 0);
    if (s->chosen.id != s->top[0].id)
        printf("  (logit %.4f, probability %.6f)", (double)s->chosen.logit, s->chosen.probability);
    puts(s->ended ? "  (the text has ended; going on)" : "");
    fflush(stdout);
}

void inspect_text_choice(const struct inspection *x)
{
    const struct inspected_step *s = &x->step[x->steps - 1];
    char how[160];

    printf("\n[PREFILL -> NEXT TOKEN]\nnext_logits.shape: (%d,)  the last of %d position%s; choosing: %s\n",
           config_of(x)->vocab, s->inputs, s->inputs == 1 ? "" : "s", sampling_about(&x->options->sampling, how, sizeof how));
    print_choice(x, s);
}

void inspect_text_decode(const struct inspection *x)
{
    const struct inspected_step *s = &x->step[x->steps - 1];

    printf("\n[DECODE step %d]\ninput token: %" PRId32 " ", x->steps - 1, s->input[0]);
    print_token(x, s->input[0], 0);
    printf("\nlogits.shape: (1, %d, %d)\n", s->inputs, config_of(x)->vocab);
    print_kv_shape(x, 0, "K", s->kv_len);
    printf("  seq_len %d -> %d\n", s[-1].kv_len, s->kv_len);
    print_choice(x, s);
}

static void print_memory(const struct inspection *x)
{
    const struct model_config *c = config_of(x);
    int tokens = x->step[x->steps - 1].kv_len;
    char bytes[SHOWN_INTEGER], unit[32];
    uint64_t formula = inspection_kv_bytes(x, tokens), allocated = session_kv_bytes(x->session);

    printf("\n[KV MEMORY]\nformula:    2 (K, V) x %d layers x 1 batch x %d kv_heads x %d seq_len x %d head_dim x %zu bytes\n",
           c->layers, c->kv_heads, tokens, c->head_dim, sizeof(float));
    printf("            = %s bytes (%s)\n", shown_integer(bytes, formula), text_bytes(unit, sizeof unit, (double)formula));
    printf("allocated:  %s bytes for %d positions%s\n", shown_integer(bytes, allocated), x->prompted->count + x->wanted - 1,
           allocated == formula ? ", as the formula says" : "");
    printf("each token: %s bytes; the whole context of %d: %s\n", shown_integer(bytes, inspection_kv_bytes(x, 1)), c->context,
           text_bytes(unit, sizeof unit, (double)inspection_kv_bytes(x, c->context)));
}

static void print_times(const struct inspection *x)
{
    const struct model_info *info = model_info(x->prompted->model);
    uint64_t decode_ns = 0;

    puts("\n[TIME]\n              tokens          ms    tokens/s");
    for (int i = 0; i < x->steps; i++) {
        const struct inspected_step *s = &x->step[i];
        char name[32] = "prefill";
        if (i)
            snprintf(name, sizeof name, "decode step %d", i);
        printf("%-15s %4d  %10.3f  %10.1f\n", name, s->inputs, (double)s->wall_ns / 1e6,
               (double)s->inputs * 1e9 / (double)(s->wall_ns ? s->wall_ns : 1));
        decode_ns += i ? s->wall_ns : 0;
    }
    if (x->steps > 2)
        printf("%-15s %4d  %10.3f  %10.1f\n", "all decode", x->steps - 1, (double)decode_ns / 1e6,
               (double)(x->steps - 1) * 1e9 / (double)(decode_ns ? decode_ns : 1));
    printf("Model loaded in %.0f ms, tokenizer in %.0f ms; prompt tokenised in %.3f ms.\n", (double)info->load_ns / 1e6,
           (double)info->tokenizer_ns / 1e6, (double)x->prompted->tokenize_ns / 1e6);
    puts(
        "Each pass ran once: the first of its kind also wakes threads and touches memory for the first time, and this prefill\n"
        "computed logits at every position. `bench run` measures.");
}

void inspect_text_end(const struct inspection *x)
{
    struct text all = {0};

    fputs("\n[GENERATED]\ntext: ", stdout);
    model_text(x->prompted->model, x->chosen, x->steps, &all);
    print_quoted(all.data, all.len);
    fputs("ids: [", stdout);
    for (int i = 0; i < x->steps; i++)
        printf("%s%" PRId32, i ? ", " : "", x->chosen[i]);
    puts("]");
    print_memory(x);
    print_times(x);
    text_free(&all);
}
