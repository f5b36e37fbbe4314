/* SPDX-License-Identifier: MIT
 * From axes to cells: the product of the axes that the matrix names, counted like an odometer whose last axis turns fastest,
 * then the products of the includes. And the order of a round: a shuffle that is the same on every machine, so that a run can
 * be repeated. */
#include <string.h>

#include "suite.h"

static bool has_value(const struct axis_values *v, enum axis a, int value)
{
    for (int i = 0; i < v->len[a]; i++)
        if (v->value[a][i] == value)
            return true;
    return false;
}

static bool excluded(const struct suite *s, const struct cell *c)
{
    for (int r = 0; r < s->excludes; r++) {
        bool match = true;
        for (int a = 0; a < AXIS_COUNT; a++)
            match &= s->exclude[r].len[a] == 0 || has_value(&s->exclude[r], (enum axis)a, c->value[a]);
        if (match)
            return true;
    }
    return false;
}

struct cells {
    struct cell *cell;
    int count, max;
};

/* Adds a cell that is not there yet. */
static int add_cell(struct cells *out, const struct suite *s, const struct cell *c, struct err *e)
{
    for (int i = 0; i < out->count; i++)
        if (memcmp(&out->cell[i], c, sizeof *c) == 0)
            return 0;
    if (out->count == out->max)
        return err_set(e, ERR_USAGE, "%s: matrix: more than %d cells; shorten an axis or exclude some", s->path, out->max);
    out->cell[out->count++] = *c;
    return 0;
}

/* The next position of the odometer; false when it is back at the start. */
static bool advance(const struct axis_values *v, int at[AXIS_COUNT])
{
    for (int a = AXIS_COUNT - 1; a >= 0; a--) {
        if (++at[a] < v->len[a])
            return true;
        at[a] = 0;
    }
    return false;
}

static int add_product(struct cells *out, const struct suite *s, const struct axis_values *v, bool all, struct err *e)
{
    int at[AXIS_COUNT] = {0}, code = 0;

    do {
        struct cell c = s->usual;
        for (int a = 0; a < AXIS_COUNT; a++)
            if (v->len[a] > 0)
                c.value[a] = v->value[a][at[a]];
        if (all || !excluded(s, &c))
            code = add_cell(out, s, &c, e);
    } while (code == 0 && advance(v, at));
    return code;
}

int suite_cells(const struct suite *s, struct cell *out, int max, int *count, struct err *e)
{
    struct cells cells = {.cell = out, .max = max};
    int code = add_product(&cells, s, &s->matrix, false, e);

    for (int r = 0; code == 0 && r < s->includes; r++)
        code = add_product(&cells, s, &s->include[r], true, e);
    *count = cells.count;
    if (code == 0 && *count == 0)
        code = err_set(e, ERR_USAGE, "%s: matrix: no cells are left; the exclude rules remove all of them", s->path);
    return code;
}

/* splitmix64, Steele, Lea and Flood 2014. */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Fisher-Yates. The seed is mixed before the round is added: neighbouring seeds and rounds share no part of the stream. */
void suite_order(int *order, int n, uint64_t seed, int round)
{
    uint64_t state = seed;

    state = splitmix64(&state) + (uint64_t)round;
    state = splitmix64(&state);
    for (int i = 0; i < n; i++)
        order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(splitmix64(&state) % (uint64_t)(i + 1));
        int swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}
