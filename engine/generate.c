/* SPDX-License-Identifier: MIT
 * Tokens become text one at a time: what a token adds is the text of a short window that ends with it, less the text of the
 * window without it. The window begins with the last token that had text, so that every token costs the same and the space
 * before a word, which SentencePiece drops at the start of a text, stays. Clocks run around the session's calls only. */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

struct reader {
    const struct model *model;
    const struct generate_args *args;
    struct generated *out;
    int32_t window[3]; /* the last token that had text; the latest since then, where there is one; the next */
    int held;          /* of them, without the next */
    struct text scratch;
    size_t sent;  /* bytes of out->text that the caller has */
    bool stopped; /* out->why says by what */
};

static const char *const reason_names[] = {[STOP_LENGTH] = "max_new_tokens", [STOP_EOS] = "eos", [STOP_TEXT] = "stop text"};

const char *stop_reason_name(enum stop_reason r)
{
    return reason_names[r];
}

void generated_free(struct generated *g)
{
    free(g->ids);
    text_free(&g->text);
    *g = (struct generated){0};
}

/* --- text ---------------------------------------------------------------------------------------------------------------- */

/* Into r->scratch; returns its length. */
static size_t text_of(struct reader *r, const int32_t *ids, int n)
{
    r->scratch.len = 0;
    model_text(r->model, ids, n, &r->scratch);
    return r->scratch.len;
}

/* The space before the first word depends on what the prompt ends with. */
static void begin_after(struct reader *r, const int32_t *prompt, int n)
{
    int i = n - 1;

    while (i > 0 && text_of(r, &prompt[i], 1) == 0)
        i--;
    r->window[r->held++] = prompt[i];
    if (i < n - 1)
        r->window[r->held++] = prompt[n - 1];
}

static void add_text(struct reader *r, int32_t id)
{
    size_t before = text_of(r, r->window, r->held), all;

    r->window[r->held] = id;
    all = text_of(r, r->window, r->held + 1);
    if (all > before)
        text_add(&r->out->text, r->scratch.data + before, all - before);
    r->held = all > before ? 1 : 2;
    r->window[r->held - 1] = id;
}

static void deliver(struct reader *r, size_t end)
{
    if (end > r->sent && r->args->text)
        r->args->text(r->args->ctx, r->out->text.data + r->sent, end - r->sent);
    r->sent = end > r->sent ? end : r->sent;
}

/* Bytes at the end that begin a character without ending it. */
static size_t begun_character(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char byte = (unsigned char)s[n - back];
        if ((byte & 0xc0) == 0x80)
            continue;
        size_t length = byte >= 0xf8 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        return length > back ? back : 0;
    }
    return 0;
}

/* Bytes at the end that may become a stop text. */
static size_t begun_stop(const char *s, size_t n, const char *stop)
{
    size_t length = strlen(stop);

    for (size_t back = length - 1 < n ? length - 1 : n; back > 0; back--)
        if (memcmp(s + n - back, stop, back) == 0)
            return back;
    return 0;
}

/* Cuts the text at the first stop text, or sends what no stop text can begin in any more: none begins in what was sent. */
static void look_for_stop(struct reader *r)
{
    struct text *t = &r->out->text;
    size_t held = begun_character(t->data, t->len), cut = t->len;

    for (const char *const *stop = r->args->stop; stop && *stop; stop++) {
        const char *found = memmem(t->data + r->sent, t->len - r->sent, *stop, strlen(*stop));
        size_t begun = begun_stop(t->data, t->len, *stop);
        if (found && (size_t)(found - t->data) < cut)
            cut = (size_t)(found - t->data);
        held = begun > held ? begun : held;
    }
    if (cut == t->len) {
        deliver(r, t->len - held);
        return;
    }
    t->len = cut;
    t->data[cut] = 0;
    r->stopped = true;
    r->out->why = STOP_TEXT;
}

static void read_token(struct reader *r, int32_t id)
{
    const struct model_config *c = model_config(r->model);

    r->out->ids[r->out->count++] = id;
    for (int i = 0; !r->args->ignore_eos && i < c->eos_count; i++) {
        if (id == c->eos[i]) {
            r->stopped = true;
            r->out->why = STOP_EOS;
            return;
        }
    }
    add_text(r, id);
    if (r->out->text.len)
        look_for_stop(r);
}

/* --- the run ------------------------------------------------------------------------------------------------------------- */

static int check_args(const struct model *m, int n, const struct generate_args *a, struct err *e)
{
    const struct model_config *c = model_config(m);

    if (a->max_new_tokens < 1)
        return err_set(e, ERR_USAGE, "max_new_tokens %d: expected 1 or more", a->max_new_tokens);
    if (n < 1)
        return err_set(e, ERR_USAGE, "prompt: expected at least one token");
    if (n > c->context || a->max_new_tokens > c->context - n)
        return err_set(e, ERR_USAGE, "%s: %d prompt tokens and %d new ones wanted, its context holds %d", c->name, n,
                       a->max_new_tokens, c->context);
    for (const char *const *stop = a->stop; stop && *stop; stop++)
        if (!**stop)
            return err_set(e, ERR_USAGE, "stop text: expected at least one character");
    return 0;
}

static int run_pass(struct session *s, const int32_t *prompt, int n, int step, struct generated *out, uint64_t *wall_ns,
                    struct err *e)
{
    uint64_t start = clock_ns();
    int code = step == 0 ? session_prefill(s, prompt, n, e) : session_decode(s, e);

    *wall_ns = clock_ns() - start;
    if (step == 0)
        out->prefill_ns = *wall_ns;
    else
        out->decode_ns += *wall_ns;
    out->steps = step;
    return code;
}

/* Which of the beams is the best is known at the end: their tokens are read then. */
static int run(struct reader *r, struct session *s, const int32_t *prompt, int n, struct err *e)
{
    const struct generate_args *a = r->args;
    bool beams = a->sampling.beams > 1;
    uint64_t wall_ns;
    int code, all;

    for (int step = 0; step < a->max_new_tokens && !r->stopped && !(step && session_ended(s, 0)); step++) {
        code = run_pass(s, prompt, n, step, r->out, &wall_ns, e);
        if (code < 0)
            return code;
        if (!beams)
            read_token(r, session_chosen(s)[0]);
        if (a->step && a->step(a->ctx, s, step, wall_ns) != 0)
            return err_set(e, ERR_INTERRUPTED, "generation was interrupted after %d tokens", step + 1);
    }
    if (beams) {
        const int32_t *best = session_tokens(s, 0, &all);
        for (int i = n; i < all && !r->stopped; i++)
            read_token(r, best[i]);
    }
    return 0;
}

int generate(struct generated *out, struct model *m, const int32_t *prompt, int n, const struct generate_args *a, struct err *e)
{
    struct reader r = {.model = m, .args = a, .out = out};
    struct session *s = NULL;
    struct session_args args = {
        .batch = 1, .kv_cache = true, .ignore_eos = a->ignore_eos, .sampling = a->sampling, .hooks = a->hooks};
    int code;

    *out = (struct generated){.why = STOP_LENGTH};
    code = check_args(m, n, a, e);
    if (code < 0)
        return code;
    out->ids = calloc((size_t)a->max_new_tokens, sizeof *out->ids);
    if (!out->ids)
        return err_set(e, ERR_MEMORY, "generation: out of memory for %d tokens", a->max_new_tokens);
    args.capacity = n + a->max_new_tokens - 1; /* the last choice is never read */
    code = session_open(&s, m, &args, e);
    if (code < 0)
        return code;
    begin_after(&r, prompt, n);
    code = run(&r, s, prompt, n, e);
    deliver(&r, out->text.len);
    session_close(s);
    text_free(&r.scratch);
    return code;
}
