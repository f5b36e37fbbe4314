/* SPDX-License-Identifier: MIT
 * At most 100 columns. One line a trial, then what the trials say together: trials that agree share one verdict sentence.
 * Control characters in texts from the database are shown as '?', so that an old file cannot drive the terminal. */
#include "summary.h"

#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "summary_parts.h"
#include "words.h"

enum { WIDTH = SUMMARY_WIDTH, HASH_SHOWN = 12, FILES_SHOWN = 4 };

/* --- reading the document --- */

static const json_t *at(const json_t *o, const char *key)
{
    return json_object_get(o, key);
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = at(o, key);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *word(const json_t *o, const char *key)
{
    const char *s = json_string_value(at(o, key));

    return s ? s : "-";
}

/* --- printing --- */

static int columns_of(const char *s, size_t n) /* UTF-8 characters */
{
    int columns = 0;

    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)s[i] & 0xc0) != 0x80;
    return columns;
}

void summary_clean(struct text *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_add(out, (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? "?" : &s[i], 1);
}

/* Words of `s` from column `column` on, further lines indented. */
static void put_wrapped(struct text *out, const char *s, int column, int indent)
{
    for (bool first = true; *s; first = false) {
        size_t n = strcspn(s, " \n");
        int width = columns_of(s, n);
        if (!first && column + 1 + width > WIDTH) {
            text_printf(out, "\n%*s", indent, "");
            column = indent;
        } else if (!first) {
            text_puts(out, " ");
            column++;
        }
        summary_clean(out, s, n);
        column += width;
        s += n;
        s += strspn(s, " \n");
    }
    text_puts(out, "\n");
}

void summary_line(struct text *out, const char *s)
{
    put_wrapped(out, s, 0, 2);
}

/* --- sentences --- */

static bool is_greedy(const json_t *trial)
{
    return strcmp(word(trial, "strategy"), "greedy") == 0;
}

/* Of one thread count; false when there are none. */
static bool put_roofs_of(struct text *out, const json_t *roofs, double threads, bool named)
{
    struct text line = {0};
    char v[NUMBER_TEXT], lo[NUMBER_TEXT], hi[NUMBER_TEXT];
    const json_t *r;
    size_t i;
    int shown = 0;

    text_puts(&line, "roofs");
    if (named)
        text_printf(&line, " with %.0f thread%s", threads, threads == 1 ? "" : "s");
    text_puts(&line, ":");
    json_array_foreach(roofs, i, r)
    {
        if (number(r, "threads") != threads)
            continue;
        const char *prefix;
        double scale = number_scale(number(r, "value"), &prefix);
        if (strcmp(word(r, "kind"), "launch") == 0) {
            scale = 1e6;
            prefix = "M ";
        }
        text_printf(&line, "%s %s %s", shown++ ? "," : "", word(r, "name"), number_text(v, number(r, "value") / scale, 3));
        if (json_integer_value(at(r, "n")) > 1)
            text_printf(&line, " [%s, %s]", number_text(lo, number(r, "lo") / scale, 3),
                        number_text(hi, number(r, "hi") / scale, 3));
        text_printf(&line, " %s%s", prefix, word(r, "unit"));
    }
    if (shown)
        summary_line(out, line.data);
    text_free(&line);
    return shown > 0;
}

/* Those of all the run's threads first. */
static void put_roofs(struct text *out, const json_t *document)
{
    const json_t *roofs = at(document, "roofs"), *r, *q;
    double all = number(at(document, "run"), "threads");
    bool any = false, others = false;
    size_t i, k;

    json_array_foreach(roofs, i, r) others = others || number(r, "threads") != all;
    any = put_roofs_of(out, roofs, all, others);
    json_array_foreach(roofs, i, r)
    {
        bool first = number(r, "threads") != all;
        json_array_foreach(roofs, k, q) first = first && (k >= i || number(q, "threads") != number(r, "threads"));
        any = (first && put_roofs_of(out, roofs, number(r, "threads"), true)) || any;
    }
    if (!any)
        summary_line(out, "roofs: none measured");
}

static const char *kind_of(const json_t *trial, const char *phase)
{
    return word(at(at(trial, phase), "verdict"), "kind");
}

/* Trials whose verdicts may share a sentence: decode by its arm, prefill by its length, both by the rows of their passes and
 * by how the engine computes; where that would be too many sentences, all of a kind. */
static bool same_verdict(const json_t *a, const json_t *b, const char *phase, bool brief)
{
    static const char *const engine[] = {"dtype", "kv_dtype", "threads", "gemm", "attention", "launch", "rows"};
    const char *key = strcmp(phase, "prefill") == 0 ? "prompt_tokens" : "kv_cache";

    if (strcmp(kind_of(a, phase), kind_of(b, phase)) != 0)
        return false;
    for (size_t i = 0; !brief && i < sizeof engine / sizeof *engine; i++)
        if (!json_equal(at(a, engine[i]), at(b, engine[i])))
            return false;
    return brief || json_equal(at(a, key), at(b, key));
}

enum { SENTENCES_MAX = 8 }; /* a phase; more are too many to be read */

static bool many_verdicts(const json_t *trials, const char *phase)
{
    const json_t *t, *other;
    size_t i, k;
    int groups = 0;

    json_array_foreach(trials, i, t)
    {
        bool first = json_is_object(at(t, phase));
        json_array_foreach(trials, k, other) first = first && (k >= i || !same_verdict(other, t, phase, false));
        groups += first;
    }
    return groups > SENTENCES_MAX;
}

/* The sentence of the group's last trial (the longest generation), and whom it stands for. */
static void put_verdict(struct text *out, const json_t *trials, size_t first, const char *phase, bool brief)
{
    struct text line = {0};
    const json_t *head = json_array_get(trials, first), *last = head, *t;
    double lo = NAN, hi = NAN;
    size_t i, n = 0;

    json_array_foreach(trials, i, t)
    {
        if (!json_is_object(at(t, phase)) || !same_verdict(head, t, phase, brief))
            continue;
        if (i < first)
            return;
        double efficiency = number(at(at(t, phase), "verdict"), "efficiency");
        lo = fmin(lo, efficiency);
        hi = fmax(hi, efficiency);
        last = t;
        n++;
    }
    text_printf(&line, "%s (%s", word(at(at(last, phase), "verdict"), "sentence"), word(last, "label"));
    if (n > 1)
        text_printf(&line, "; likewise %zu more", n - 1);
    if (n > 1 && round(100 * hi) > round(100 * lo))
        text_printf(&line, ", efficiency %.0f-%.0f %% in all", 100 * lo, 100 * hi);
    text_puts(&line, ")");
    summary_line(out, line.data);
    text_free(&line);
}

static void put_verdicts(struct text *out, const json_t *trials)
{
    static const char *const phases[] = {"prefill", "decode"};
    const json_t *t;
    size_t i;

    for (int p = 0; p < 2; p++) {
        bool brief = many_verdicts(trials, phases[p]);
        json_array_foreach(trials, i, t) if (json_is_object(at(t, phases[p]))) put_verdict(out, trials, i, phases[p], brief);
    }
}

/* What choosing takes of a decode step; of greedy trials the longest stands for all. */
static void put_choosing(struct text *out, const json_t *trials)
{
    struct text line = {0};
    const json_t *t, *greedy = NULL;
    size_t i;
    int shown = 0;

    json_array_foreach(trials, i, t) if (is_greedy(t) && json_is_object(at(t, "sample")) &&
                                         !(number(t, "new_tokens") < number(greedy, "new_tokens"))) greedy = t;
    text_puts(&line, "choosing the token:");
    json_array_foreach(trials, i, t)
    {
        const json_t *sample = at(t, "sample");
        char ms[NUMBER_TEXT], share[NUMBER_TEXT];
        if (!json_is_object(sample) || (is_greedy(t) && t != greedy))
            continue;
        text_printf(&line, "%s %s", shown++ ? ";" : "", word(t, "strategy"));
        if (!is_greedy(t))
            text_printf(&line, " (%s)", word(t, "sampling"));
        text_printf(&line, " %s ms, %s %% of the step", number_text(ms, number(at(sample, "ms"), "median"), 3),
                    number_text(share, 100 * number(at(sample, "share"), "median"), 2));
    }
    if (shown)
        summary_line(out, line.data);
    text_free(&line);
}

/* One line an arm: its fits stand next to each other in the document. */
static void put_growth(struct text *out, const json_t *document)
{
    const json_t *fits = at(document, "fits");
    struct text line = {0};
    const json_t *f;
    size_t i;

    json_array_foreach(fits, i, f)
    {
        const json_t *arm = at(f, "arm");
        if (i == 0 || !json_equal(arm, at(json_array_get(fits, i - 1), "arm"))) {
            line.len = 0;
            text_printf(&line, "growth with new tokens T, kv_cache=%s prompt=%.0f", word(arm, "kv_cache"),
                        number(arm, "prompt_tokens"));
            words_unusual(&line, at(document, "axes"), arm, " ");
            text_puts(&line, ": ");
        }
        text_printf(&line, "%s ~ T^%.2f", word(f, "metric"), number(f, "exponent"));
        if (number(f, "lo") < number(f, "hi"))
            text_printf(&line, " [%.2f, %.2f]", number(f, "lo"), number(f, "hi"));
        text_printf(&line, " (%s), ", word(f, "source"));
        if (i + 1 < json_array_size(fits) && json_equal(arm, at(json_array_get(fits, i + 1), "arm")))
            continue;
        text_printf(&line, "theory %s: %.0f to %.0f, at these lengths %.2f", word(f, "theory"), number(f, "theory_lo"),
                    number(f, "theory_hi"), number(f, "theory_here"));
        summary_line(out, line.data);
    }
    text_free(&line);
}

/* Extremes of counted / analytic - 1 over the trials; why: of the first that was not counted. */
struct errors {
    double lo, hi;
    const char *why;
};

static struct errors amount_errors(const json_t *trials, const char *phase, const char *metric)
{
    struct errors out = {NAN, NAN, NULL};
    const json_t *t;
    size_t i;

    json_array_foreach(trials, i, t)
    {
        const json_t *amount = at(at(t, phase), metric);
        double error = number(amount, "error");
        out.lo = fmin(out.lo, error);
        out.hi = fmax(out.hi, error);
        if (amount && !isfinite(error) && !out.why)
            out.why = word(amount, "why");
    }
    return out;
}

static void put_counted(struct text *out, const json_t *trials)
{
    static const struct {
        const char *phase, *metric, *name;
    } kinds[] = {{"prefill", "flops", "prefill FLOPs"},
                 {"decode", "flops", "decode FLOPs"},
                 {"prefill", "bytes", "prefill DRAM bytes"},
                 {"decode", "bytes", "decode DRAM bytes"}};
    struct text line = {0};
    const char *why = NULL;
    int counted = 0;

    text_puts(&line, "counted against analytic:");
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct errors e = amount_errors(trials, kinds[k].phase, kinds[k].metric);
        why = why ? why : e.why;
        if (!isfinite(e.lo))
            continue;
        text_printf(&line, "%s %s %+.1f", counted++ ? "," : "", kinds[k].name, 100 * e.lo);
        if (e.hi - e.lo >= 0.001)
            text_printf(&line, " to %+.1f", 100 * e.hi);
        text_puts(&line, " %");
    }
    if (counted < 4 && why)
        text_printf(&line, "%s %snot counted (%s)", counted ? ";" : "", counted ? "some " : "", why);
    if (counted || why)
        summary_line(out, line.data);
    text_free(&line);
}

static const struct {
    const char *result, *shown;
} result_names[] = {{"held", "HELD"}, {"not held", "NOT HELD"}, {"undecided", "UNDECIDED"}, {"-", "not judged"}};
enum { RESULT_NAMES = sizeof result_names / sizeof *result_names, CLAIMS_COUNTED = 6 };

static int result_of(const json_t *claim)
{
    int k = 0;

    while (k < RESULT_NAMES - 1 && strcmp(result_names[k].result, word(claim, "result")) != 0)
        k++;
    return k;
}

/* More than a few are counted at the end, where the eye is. */
static void put_claim_counts(struct text *out, const json_t *claims)
{
    int count[RESULT_NAMES] = {0}, shown = 0;
    const json_t *c;
    size_t i;

    json_array_foreach(claims, i, c) count[result_of(c)]++;
    if (i <= CLAIMS_COUNTED)
        return;
    text_printf(out, "%zu claims:", i);
    for (int k = 0; k < RESULT_NAMES; k++)
        if (count[k])
            text_printf(out, "%s %d %s", shown++ ? "," : "", count[k],
                        k < RESULT_NAMES - 1 ? result_names[k].result : "not judged");
    text_puts(out, "\n");
}

static void put_claims(struct text *out, const json_t *claims)
{
    const json_t *c;
    size_t i;

    json_array_foreach(claims, i, c)
    {
        text_printf(out, "%-10s ", result_names[result_of(c)].shown);
        put_wrapped(out, word(c, "text"), 11, 11);
        if (json_is_string(at(c, "evidence"))) {
            text_printf(out, "%11s", "");
            put_wrapped(out, word(c, "evidence"), 11, 11);
        }
    }
    put_claim_counts(out, claims);
}

static void put_head(struct text *out, const json_t *document)
{
    const json_t *run = at(document, "run"), *model = at(document, "model");
    const char *gpu = json_string_value(at(at(document, "device"), "name"));
    struct text line = {0};

    text_printf(&line, "run %lld, %s: %s %s (%s), backend %s, ", (long long)json_integer_value(at(run, "id")),
                word(run, "suite"), word(model, "name"), word(model, "dtype"), word(model, "weights"), word(run, "backend"));
    if (json_is_object(at(document, "device")))
        text_puts(&line, gpu ? gpu : "a GPU whose name was not recorded");
    else
        text_printf(&line, "%lld threads", (long long)json_integer_value(at(run, "threads")));
    if (json_is_null(at(run, "finished")))
        text_puts(&line, "; unfinished");
    if (json_is_string(at(run, "problem")))
        text_printf(&line, "; %s: %s", word(run, "outcome"), word(run, "problem"));
    summary_line(out, line.data);
    text_free(&line);
}

/* "loaded in 412 ms: GGUF, Q8_0, 86.2 MB at 209 MB/s, peak 0.61 GB; model.gguf 86.2 MB sha256 0123456789ab..." */
static void put_loading(struct text *out, const json_t *document)
{
    const json_t *model = at(document, "model"), *files = at(document, "model_files"), *f;
    struct text line = {0};
    char v[NUMBER_TEXT];
    size_t i;

    if (!json_array_size(files)) /* made here, nothing was read */
        return;
    text_printf(&line, "loaded in %s ms: %s, %s", number_text(v, number(at(document, "run"), "load_model_ms"), 3),
                word(model, "format"), word(model, "stored"));
    text_printf(&line, ", %s MB", number_text(v, number(model, "stored_bytes") / 1e6, 3));
    text_printf(&line, " at %s MB/s", number_text(v, number(model, "load_bytes_per_s") / 1e6, 3));
    if (isfinite(number(model, "load_peak_bytes")))
        text_printf(&line, ", peak memory %s MB", number_text(v, number(model, "load_peak_bytes") / 1e6, 3));
    json_array_foreach(files, i, f) if (i < FILES_SHOWN)
        text_printf(&line, "; %s sha256 %.*s...", word(f, "path"), HASH_SHOWN, word(f, "sha256"));
    if (i > FILES_SHOWN)
        text_printf(&line, "; and %zu files more", i - FILES_SHOWN);
    summary_line(out, line.data);
    text_free(&line);
}

void summary_text(const json_t *document, struct text *out)
{
    const json_t *trials = at(document, "trials");

    put_head(out, document);
    put_loading(out, document);
    text_puts(out, "\n");
    summary_table(out, document);
    text_puts(out, "\n");
    put_roofs(out, document);
    put_verdicts(out, trials);
    put_choosing(out, trials);
    put_growth(out, document);
    put_counted(out, trials);
    summary_weights(out, document);
    summary_accuracy(out, document);
    summary_device(out, trials);
    summary_energy(out, trials);
    summary_ops(out, trials);
    summary_costs(out, at(document, "overhead"));
    if (json_array_size(at(document, "claims")))
        text_puts(out, "\n");
    put_claims(out, at(document, "claims"));
}

/* --- the list of runs --- */

static const char *column(sqlite3_stmt *st, int i)
{
    const unsigned char *s = sqlite3_column_text(st, i);

    return s ? (const char *)s : "";
}

int summary_list(struct store *s, struct text *out, struct err *e)
{
    static const char sql[] =
        "SELECT id, suite, model, started, (SELECT count(*) FROM repetition r JOIN trial t ON t.id = r.trial "
        "WHERE t.run = run.id), CASE WHEN finished IS NULL THEN 'unfinished' ELSE coalesce(outcome, '-') END "
        "FROM run ORDER BY id";
    sqlite3_stmt *st = NULL;
    int got = sqlite3_prepare_v2(store_handle(s), sql, -1, &st, NULL);

    text_printf(out, "%4s  %-20s  %-24s  %-20s  %5s  %s\n", "run", "suite", "model", "started", "reps", "outcome");
    while (got == SQLITE_OK || got == SQLITE_ROW) {
        got = sqlite3_step(st);
        if (got != SQLITE_ROW)
            break;
        struct text line = {0};
        text_printf(&line, "%4s  %-20s  %-24s  %-20s  %5s  %s", column(st, 0), column(st, 1), column(st, 2), column(st, 3),
                    column(st, 4), column(st, 5));
        summary_clean(out, line.data, line.len);
        text_puts(out, "\n");
        text_free(&line);
    }
    int code = got == SQLITE_DONE ? 0 : store_error(s, e);
    sqlite3_finalize(st);
    return code;
}
