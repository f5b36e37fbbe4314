/* SPDX-License-Identifier: MIT
 * A suite's tree is walked by the table at the bottom: every key has one row, a section's row reads its children by their
 * rows; the keys of axes follow from the table of axes. So unknown, missing and wrongly typed keys are found by one piece of
 * code, and a new key is one more row. */
#include "suite_keys.h"

#include <assert.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"
#include "sampling_keys.h"
#include "suite_values.h"

enum { ROWS = 30 };

struct key {
    char path[SUITE_KEY_BYTES];
    int (*read)(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e);
    size_t offset, size; /* of the field in struct suite */
    double min, max;
    enum axis axis;
    bool required;
};

static const struct key rows[ROWS]; /* at the bottom */
static int read_axis(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e);
static int read_axis_list(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e);

/* The i-th of all keys: two for each axis, that of its usual value and that of its values in the matrix, then the table's rows.
 * False past the last. */
static bool key_at(int i, struct key *out)
{
    enum { AXIS_KEYS = 2 * AXIS_COUNT };
    const enum axis a = (enum axis)(i / 2);
    const bool varied = i % 2;

    if (i >= AXIS_KEYS + ROWS)
        return false;
    if (i >= AXIS_KEYS) {
        *out = rows[i - AXIS_KEYS];
        return true;
    }
    *out = (struct key){.read = varied ? read_axis_list : read_axis, .axis = a};
    snprintf(out->path, sizeof out->path, "%s.%s", varied ? "matrix" : axes[a].section, axes[a].name);
    return true;
}

/* The last part of the key's path when it stands directly in `section`, else NULL. */
static const char *child_of(const struct key *k, const char *section)
{
    size_t n = strlen(section);
    const char *name = k->path;

    if (n > 0) {
        if (strncmp(name, section, n) != 0 || name[n] != '.')
            return NULL;
        name += n + 1;
    }
    return strchr(name, '.') ? NULL : name;
}

static int read_section(const struct key *section, const struct yaml_node *n, struct suite *s, struct err *e)
{
    const char *names[CHOICES_MAX];
    struct key child[CHOICES_MAX];
    int count = 0;

    for (int i = 0; key_at(i, &child[count]); i++) {
        names[count] = child_of(&child[count], section->path);
        count += names[count] != NULL;
        assert(count < CHOICES_MAX);
    }
    if (n->kind != NODE_MAP)
        return yaml_expected(e, n, section->path, "a mapping");
    for (int i = 0; i < n->count; i++) {
        int c = 0;
        while (c < count && strcmp(names[c], n->entry[i].key) != 0)
            c++;
        if (c == count)
            return value_unknown_key(&n->entry[i], section->path, names, count, e);
        int code = child[c].read(&child[c], n->entry[i].value, s, e);
        if (code)
            return code;
    }
    for (int c = 0; c < count; c++)
        if (child[c].required && !yaml_map_find(n, names[c]))
            return value_missing_key(n, section->path, names[c], e);
    return 0;
}

static int read_text(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    if (n->kind != NODE_SCALAR || !*n->text || strlen(n->text) >= k->size)
        return yaml_expected(e, n, k->path, "a text of 1 to %zu bytes", k->size - 1);
    memcpy((char *)s + k->offset, n->text, strlen(n->text) + 1);
    return 0;
}

static int read_line(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    for (const char *c = n->kind == NODE_SCALAR ? n->text : ""; *c; c++)
        if (iscntrl((unsigned char)*c))
            return yaml_expected(e, n, k->path, "one line of text");
    return read_text(k, n, s, e);
}

static int read_integer(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    if (value_integer(n, (int)k->min, (int)k->max, (int *)((char *)s + k->offset)))
        return 0;
    return yaml_expected(e, n, k->path, "an integer from %d to %d", (int)k->min, (int)k->max);
}

/* Above min and below max, both excluded. */
static int read_real(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    json_t *j = value_number(n);
    double value = json_number_value(j);
    bool good = j && value > k->min && value < k->max;

    json_decref(j);
    if (!good)
        return yaml_expected(e, n, k->path, "a number above %g and below %g", k->min, k->max);
    *(double *)((char *)s + k->offset) = value;
    return 0;
}

static int read_axis(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    return value_axis(n, k->path, k->axis, &s->usual.value[k->axis], e);
}

/* What no strategy could take is refused at its own line, whether a cell uses it or not. */
static int check_sampling(const struct key *k, const struct yaml_node *n, const struct suite *s, struct err *e)
{
    for (int strategy = 0; strategy < STRATEGY_COUNT; strategy++) {
        const struct cell cell = {.value = {[AXIS_STRATEGY] = strategy}};
        struct sampling sampling;
        struct err wrong;
        suite_sampling(s, &cell, 0, &sampling);
        if (sampling_check(&sampling, &wrong))
            return yaml_error(e, &n->at, k->path, "%s", wrong.text);
    }
    return 0;
}

static int read_sampling_key(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    const struct sampling_key *setting = sampling_keys;
    json_t *number = value_number(n);
    struct err ignored;

    while (setting->name && strcmp(setting->name, strrchr(k->path, '.') + 1) != 0)
        setting++;
    assert(setting->name);
    bool good = number && sampling_key_set(&s->sampling, setting, n->text, &ignored) == 0;
    json_decref(number);
    if (!good)
        return yaml_expected(e, n, k->path, setting->integer ? "a whole number" : "a number");
    return check_sampling(k, n, s, e);
}

static int read_axis_list(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    return value_axis_list(n, k->path, k->axis, &s->matrix, e);
}

static int read_rules(const struct yaml_node *n, const char *path, struct axis_values *rules, int *count, struct err *e)
{
    int code = value_mappings(n, path, RULES_MAX, e);

    for (int i = 0; code == 0 && i < n->count; i++)
        code = value_axes(n->entry[i].value, path, &rules[i], e);
    if (code == 0)
        *count = n->count;
    return code;
}

static int read_include(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    return read_rules(n, k->path, s->include, &s->includes, e);
}

static int read_exclude(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    return read_rules(n, k->path, s->exclude, &s->excludes, e);
}

static int read_probes(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    const struct yaml_node *items[PROBES_MAX];
    const char *names[CHOICES_MAX];
    int count = 0, known = 0, code = value_list(n, k->path, PROBES_MAX, items, &count, e);

    for (; probes[known]; known++) {
        assert(known < CHOICES_MAX);
        names[known] = probes[known]->name;
    }
    for (int i = 0; code == 0 && i < count; i++) {
        int which = 0;
        code = value_choice(items[i], k->path, names, known, &which, e);
        if (code)
            break;
        snprintf(s->probes[i], sizeof s->probes[i], "%s", names[which]);
        for (int j = 0; j < i; j++)
            if (strcmp(s->probes[j], s->probes[i]) == 0)
                return yaml_error(e, &items[i]->at, k->path, "expected different probes, got '%s' twice", s->probes[i]);
    }
    if (code == 0)
        s->probe_count = count;
    return code;
}

static int read_per(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    static const char *const names[] = {"step", "op"};
    int which = 0, code = value_choice(n, k->path, names, 2, &which, e);

    s->per_op = which == 1;
    return code;
}

static int read_accuracy(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    int on = 0;

    if (!value_flag(n, &on))
        return yaml_expected(e, n, k->path, "on or off");
    s->accuracy = on;
    return 0;
}

/* A plain number, or {min: 5, max: 9} whose rows stand in the table. */
static int read_repetitions(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    if (n->kind != NODE_MAP) {
        if (!value_integer(n, (int)k->min, (int)k->max, &s->repetitions_min))
            return yaml_expected(e, n, k->path, "an integer from %d to %d or {min: , max: }", (int)k->min, (int)k->max);
        s->repetitions_max = s->repetitions_min;
        return 0;
    }
    int code = read_section(k, n, s, e);
    if (code)
        return code;
    if (s->repetitions_min > s->repetitions_max)
        return yaml_error(e, &n->at, k->path, "expected min <= max, got min %d and max %d", s->repetitions_min,
                          s->repetitions_max);
    return 0;
}

static int read_claims(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    int code = value_mappings(n, k->path, CLAIMS_MAX, e);

    for (int i = 0; code == 0 && i < n->count; i++)
        code = suite_claim_read(n->entry[i].value, k->path, &s->claim[i], e);
    if (code == 0)
        s->claims = n->count;
    return code;
}

/* The quick section changes the tree before the tree is read; nothing is left to do here. */
static int read_quick(const struct key *k, const struct yaml_node *n, struct suite *s, struct err *e)
{
    (void)k, (void)n, (void)s, (void)e;
    return 0;
}

/* --- doors -------------------------------------------------------------------------------------------------------------- */

bool suite_key_settable(const char *path)
{
    struct key k;

    for (int i = 0; key_at(i, &k); i++)
        if (strcmp(k.path, path) == 0)
            return k.read != read_quick;
    return false;
}

const char *suite_key_nearest(const char *word, char near[SUITE_KEY_BYTES])
{
    struct key key[2 * AXIS_COUNT + ROWS + 1];
    const char *names[2 * AXIS_COUNT + ROWS], *found = NULL, *dot = strrchr(word, '.');
    size_t n = 0;

    for (int i = 0; key_at(i, &key[n]) && !found; i++) {
        const char *last = strrchr(key[n].path, '.');
        if (last && strcmp(last + 1, dot ? dot + 1 : word) == 0)
            found = key[n].path; /* the section was left out, or is another one */
        names[n] = key[n].path;
        n += key[n].read != read_quick;
    }
    if (!found)
        found = text_nearest(word, names, n);
    if (!found)
        return NULL;
    snprintf(near, SUITE_KEY_BYTES, "%s", found);
    return near;
}

int suite_keys_read(const struct yaml_node *root, struct suite *s, struct err *e)
{
    static const struct key all = {.path = ""};

    return read_section(&all, root, s, e);
}

#define FIELD(name) .offset = offsetof(struct suite, name), .size = sizeof(((struct suite *)0)->name)

static const struct key rows[ROWS] = {
    {.path = "question", .read = read_line, .required = true, FIELD(question)},
    {.path = "model", .read = read_line, .required = true, FIELD(model)},
    {.path = "workload", .read = read_section, .required = true},
    {.path = "workload.prompt", .read = read_text, .required = true, FIELD(prompt)},
    {.path = "workload.sampling", .read = read_section},
    {.path = "workload.sampling.temperature", .read = read_sampling_key},
    {.path = "workload.sampling.top_k", .read = read_sampling_key},
    {.path = "workload.sampling.top_p", .read = read_sampling_key},
    {.path = "workload.sampling.min_p", .read = read_sampling_key},
    {.path = "workload.sampling.repetition_penalty", .read = read_sampling_key},
    {.path = "workload.sampling.beams", .read = read_sampling_key},
    {.path = "workload.sampling.length_alpha", .read = read_sampling_key},
    {.path = "workload.sampling.min_length", .read = read_sampling_key},
    {.path = "engine", .read = read_section},
    {.path = "matrix", .read = read_section},
    {.path = "matrix.include", .read = read_include},
    {.path = "matrix.exclude", .read = read_exclude},
    {.path = "measure", .read = read_section},
    {.path = "measure.probes", .read = read_probes},
    {.path = "measure.per", .read = read_per},
    {.path = "measure.accuracy", .read = read_accuracy},
    {.path = "measure.warmup", .read = read_integer, FIELD(warmup), .min = 0, .max = 1000},
    {.path = "measure.repetitions", .read = read_repetitions, .min = 1, .max = 1000},
    {.path = "measure.repetitions.min", .read = read_integer, .required = true, FIELD(repetitions_min), .min = 1, .max = 1000},
    {.path = "measure.repetitions.max", .read = read_integer, .required = true, FIELD(repetitions_max), .min = 1, .max = 1000},
    {.path = "measure.target", .read = read_real, FIELD(target), .min = 0, .max = 1},
    {.path = "measure.budget_s", .read = read_real, FIELD(budget_s), .min = 0, .max = 1e6},
    {.path = "measure.roof_ms", .read = read_integer, FIELD(roof_ms), .min = 1, .max = 60000},
    {.path = "expect", .read = read_claims},
    {.path = "quick", .read = read_quick},
};
