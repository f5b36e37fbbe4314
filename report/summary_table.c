/* SPDX-License-Identifier: MIT
 * The summary's table, a line a trial. Axes that every trial has at its usual value have no column; where the table would be
 * too wide, what is the same for all of them goes first, then rates that can be had from the others. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "summary_parts.h"
#include "words.h"

enum { CELL = 32, COLUMNS = 19 };

static void cell_number(char *cell, double v, int digits)
{
    char b[NUMBER_TEXT];

    snprintf(cell, CELL, "%.*s", CELL - 1, number_text(b, v, digits));
}

static void cell_kv(const json_t *trial, char *cell)
{
    char b[WORDS_MAX];

    snprintf(cell, CELL, "%.8s%s", words_axis(b, trial, "kv_cache"),
             json_is_true(json_object_get(trial, "unconverged")) ? "*" : "");
}

static void cell_prefill_ms(const json_t *trial, char *cell)
{
    cell_number(cell, words_number_at(trial, "prefill.ms.median"), 3);
}

static void cell_prefill_rate(const json_t *trial, char *cell)
{
    cell_number(cell, words_number_at(trial, "prefill.tokens_per_s"), 3);
}

static void cell_decode_ms(const json_t *trial, char *cell)
{
    double low = words_number_at(trial, "decode.ms.lo"), high = words_number_at(trial, "decode.ms.hi");
    char m[NUMBER_TEXT], lo[NUMBER_TEXT], hi[NUMBER_TEXT];

    number_text(m, words_number_at(trial, "decode.ms.median"), 3);
    if (isfinite(low))
        snprintf(cell, CELL, "%.9s [%.8s, %.8s]", m, number_text(lo, low, 3), number_text(hi, high, 3));
    else
        snprintf(cell, CELL, "%.9s", m);
}

static void cell_decode_rate(const json_t *trial, char *cell)
{
    cell_number(cell, words_number_at(trial, "decode.tokens_per_s"), 3);
}

static void cell_gflops(const json_t *trial, char *cell)
{
    cell_number(cell, words_number_at(trial, "decode.verdict.gflops"), 3);
}

static void cell_gbps(const json_t *trial, char *cell)
{
    cell_number(cell, words_number_at(trial, "decode.verdict.gbps"), 3);
}

static void cell_share(char *cell, double share)
{
    snprintf(cell, CELL, isfinite(share) ? "%.0f %%" : "-", 100 * share);
}

static void cell_prefill_roof(const json_t *trial, char *cell)
{
    cell_share(cell, words_number_at(trial, "prefill.verdict.efficiency"));
}

static void cell_decode_roof(const json_t *trial, char *cell)
{
    cell_share(cell, words_number_at(trial, "decode.verdict.efficiency"));
}

/* axis: shown where it says something. fill NULL: the axis as it is. goes: the order in which columns are left out of a table
 * that is too wide; those of an axis only where all trials agree. */
static const struct {
    const char *title, *axis;
    void (*fill)(const json_t *trial, char *cell);
    int goes;
} columns[COLUMNS] = {
    {"kv", "kv_cache", cell_kv, 5},        {"choice", "strategy", NULL, 0},      {"batch", "batch", NULL, 0},
    {"prompt", "prompt_tokens", NULL, 2},  {"new", "new_tokens", NULL, 1},       {"dtype", "dtype", NULL, 0},
    {"kv type", "kv_dtype", NULL, 0},      {"threads", "threads", NULL, 0},      {"gemm", "gemm", NULL, 0},
    {"attention", "attention", NULL, 0},   {"launch", "launch", NULL, 0},        {"prefill ms", NULL, cell_prefill_ms, 0},
    {"tok/s", NULL, cell_prefill_rate, 4}, {"roof", NULL, cell_prefill_roof, 0}, {"decode ms/step", NULL, cell_decode_ms, 0},
    {"tok/s", NULL, cell_decode_rate, 0},  {"GFLOP/s", NULL, cell_gflops, 3},    {"GB/s", NULL, cell_gbps, 0},
    {"roof", NULL, cell_decode_roof, 0},
};
enum { GOES_MAX = 5 };

static void fill_cell(int column, const json_t *trial, char *cell)
{
    char b[WORDS_MAX];

    if (!trial)
        snprintf(cell, CELL, "%s", columns[column].title);
    else if (columns[column].fill)
        columns[column].fill(trial, cell);
    else
        snprintf(cell, CELL, "%.16s", words_axis(b, trial, columns[column].axis));
}

static int width_of(const int *width, int gap)
{
    int sum = 0;

    for (int c = 0; c < COLUMNS; c++)
        sum += width[c] ? width[c] + gap : 0;
    return sum;
}

static void put_row(struct text *out, const json_t *trial, const int *width)
{
    int gap = width_of(width, 2) <= SUMMARY_WIDTH ? 2 : 1;
    char cell[CELL];

    for (int c = 0; c < COLUMNS; c++) {
        if (!width[c])
            continue;
        fill_cell(c, trial, cell);
        text_printf(out, "%*s%*s", gap, "", width[c], cell);
    }
    text_puts(out, "\n");
}

static bool axis_varies(const json_t *trials, const char *axis)
{
    const json_t *first = json_object_get(json_array_get(trials, 0), axis), *t;
    bool varies = false;
    size_t i;

    json_array_foreach((json_t *)trials, i, t) varies = varies || !json_equal(json_object_get(t, axis), first);
    return varies;
}

/* Cache, prompt and new tokens are always said; another axis where some trial has not the usual value. */
static bool is_wanted(const json_t *document, int column)
{
    const json_t *trials = json_object_get(document, "trials"), *t;
    bool wanted = !columns[column].axis || columns[column].goes;
    size_t i;

    json_array_foreach((json_t *)trials, i, t) wanted =
        wanted || words_is_unusual(json_object_get(document, "axes"), t, columns[column].axis);
    return wanted;
}

static void choose_columns(const json_t *document, int *width)
{
    const json_t *trials = json_object_get(document, "trials"), *t;
    char cell[CELL];
    size_t i;

    for (int c = 0; c < COLUMNS; c++) {
        if (!is_wanted(document, c))
            continue;
        width[c] = (int)strlen(columns[c].title);
        json_array_foreach((json_t *)trials, i, t)
        {
            fill_cell(c, t, cell);
            width[c] = (int)strlen(cell) > width[c] ? (int)strlen(cell) : width[c];
        }
    }
    for (int step = 1; step <= GOES_MAX && width_of(width, 1) > SUMMARY_WIDTH; step++)
        for (int c = 0; c < COLUMNS; c++)
            if (columns[c].goes == step && !(columns[c].axis && axis_varies(trials, columns[c].axis)))
                width[c] = 0;
}

void summary_table(struct text *out, const json_t *document)
{
    const json_t *trials = json_object_get(document, "trials"), *t;
    int width[COLUMNS] = {0};
    bool unconverged = false;
    size_t i;

    choose_columns(document, width);
    put_row(out, NULL, width);
    json_array_foreach((json_t *)trials, i, t)
    {
        put_row(out, t, width);
        unconverged = unconverged || json_is_true(json_object_get(t, "unconverged"));
    }
    text_puts(out, "  GFLOP/s, GB/s: of decode; roof: time at the roofline over time; [95 % interval of the median]\n");
    if (unconverged && width[0])
        text_puts(out, "  * the time budget ended before the interval was as narrow as the suite asks\n");
}
