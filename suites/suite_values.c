/* SPDX-License-Identifier: MIT
 * What several keys of a suite have in common: numbers, flags, names out of a list, axis values, and the sentences for keys
 * that are unknown or missing. */
#include "suite_values.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* By jansson, because strtod follows the locale and takes "inf" and hexadecimal. NULL when it is not one number. */
json_t *value_number(const struct yaml_node *n)
{
    enum { NUMBER_LEN_MAX = 32 };

    if (n->kind != NODE_SCALAR || strlen(n->text) > NUMBER_LEN_MAX)
        return NULL;
    json_t *j = json_loads(n->text, JSON_DECODE_ANY, NULL);
    if (json_is_number(j))
        return j;
    json_decref(j);
    return NULL;
}

bool value_integer(const struct yaml_node *n, int min, int max, int *out)
{
    json_t *j = value_number(n);
    bool good = json_is_integer(j) && json_integer_value(j) >= min && json_integer_value(j) <= max;

    if (good)
        *out = (int)json_integer_value(j);
    json_decref(j);
    return good;
}

bool value_flag(const struct yaml_node *n, int *out)
{
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes"};

    for (int i = 0; n->kind == NODE_SCALAR && i < 6; i++)
        if (strcasecmp(n->text, words[i]) == 0) {
            *out = i % 2;
            return true;
        }
    return false;
}

/* "a, b or c" */
static void join_choices(struct text *t, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        text_printf(t, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", names[i]);
}

/* One of names[0..n), by index. */
int value_choice(const struct yaml_node *n, const char *path, const char *const *names, int count, int *out, struct err *e)
{
    struct text list = {0};
    const char *near = NULL;
    char shown[64];
    int code;

    for (int i = 0; n->kind == NODE_SCALAR && i < count; i++)
        if (strcmp(n->text, names[i]) == 0) {
            *out = i;
            return 0;
        }
    join_choices(&list, names, count);
    if (n->kind == NODE_SCALAR)
        near = text_nearest(n->text, names, (size_t)count);
    code = yaml_error(e, &n->at, path, "expected %s, got %s%s%s%s", list.data, yaml_shown(shown, sizeof shown, n),
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    text_free(&list);
    return code;
}

static bool is_flag(enum axis axis)
{
    return axes[axis].words && strcmp(axes[axis].words[0], "off") == 0;
}

int value_axis(const struct yaml_node *n, const char *path, enum axis axis, int *out, struct err *e)
{
    const struct axis_spec *a = &axes[axis];
    int words = 0;

    if (is_flag(axis))
        return value_flag(n, out) ? 0 : yaml_expected(e, n, path, "on or off");
    while (a->words && a->words[words])
        words++;
    if (words)
        return value_choice(n, path, a->words, words, out, e);
    if (n->kind == NODE_SCALAR && axis_value(axis, n->text, out))
        return 0;
    return yaml_expected(e, n, path, "%s%san integer from %d to %d", a->zero ? a->zero : "", a->zero ? " or " : "", a->least,
                         a->most);
}

int value_axis_list(const struct yaml_node *n, const char *path, enum axis axis, struct axis_values *out, struct err *e)
{
    const struct yaml_node *items[AXIS_MAX];
    int *value = out->value[axis], count = 0;
    int code = value_list(n, path, AXIS_MAX, items, &count, e);

    for (int i = 0; code == 0 && i < count; i++) {
        code = value_axis(items[i], path, axis, &value[i], e);
        for (int j = 0; code == 0 && j < i; j++)
            if (value[j] == value[i])
                code = yaml_error(e, &items[i]->at, path, "expected different values, got '%s' twice", items[i]->text);
    }
    out->len[axis] = count;
    return code;
}

const char *value_path(char buf[YAML_PATH_MAX], const char *path, const char *key)
{
    snprintf(buf, YAML_PATH_MAX, "%s%s%s", path, *path ? "." : "", key);
    return buf;
}

int value_unknown_key(const struct yaml_entry *entry, const char *path, const char *const *known, int n, struct err *e)
{
    char full[YAML_PATH_MAX];
    const char *near = text_nearest(entry->key, known, (size_t)n);
    struct text list = {0};
    int code;

    value_path(full, path, entry->key);
    join_choices(&list, known, n);
    if (near)
        code = yaml_error(e, &entry->at, full, "unknown key; did you mean '%s'?", near);
    else
        code = yaml_error(e, &entry->at, full, "unknown key; expected %s", list.data);
    text_free(&list);
    return code;
}

int value_missing_key(const struct yaml_node *map, const char *path, const char *key, struct err *e)
{
    char full[YAML_PATH_MAX];

    return yaml_error(e, &map->at, value_path(full, path, key), "missing; this key is required");
}

/* A list, or one value that stands for a list of one. */
int value_list(const struct yaml_node *n, const char *path, int max, const struct yaml_node **items, int *count, struct err *e)
{
    if (n->kind != NODE_LIST) {
        items[0] = n;
        *count = 1;
        return 0;
    }
    if (n->count == 0)
        return yaml_error(e, &n->at, path, "expected at least one value, got an empty list");
    if (n->count > max)
        return yaml_error(e, &n->at, path, "expected at most %d values, got %d", max, n->count);
    for (int i = 0; i < n->count; i++)
        items[i] = n->entry[i].value;
    *count = n->count;
    return 0;
}

/* A list of at most max mappings; an empty one is fine. */
int value_mappings(const struct yaml_node *n, const char *path, int max, struct err *e)
{
    if (n->kind != NODE_LIST)
        return yaml_expected(e, n, path, "a list of mappings");
    if (n->count > max)
        return yaml_error(e, &n->at, path, "expected at most %d entries, got %d", max, n->count);
    for (int i = 0; i < n->count; i++)
        if (n->entry[i].value->kind != NODE_MAP)
            return yaml_expected(e, n->entry[i].value, path, "a mapping");
    return 0;
}

/* Axis name -> values: {kv_cache: on, new_tokens: [16, 32]}. */
int value_axes(const struct yaml_node *n, const char *path, struct axis_values *out, struct err *e)
{
    *out = (struct axis_values){0};
    if (n->kind != NODE_MAP || n->count == 0)
        return yaml_error(e, &n->at, path, "expected a mapping of axis names to values");
    for (int i = 0; i < n->count; i++) {
        const struct yaml_entry *entry = &n->entry[i];
        char full[YAML_PATH_MAX];
        int axis = axis_find(entry->key);

        if (axis < 0)
            return value_unknown_key(entry, path, axis_names, AXIS_COUNT, e);
        int code = value_axis_list(entry->value, value_path(full, path, entry->key), (enum axis)axis, out, e);
        if (code)
            return code;
    }
    return 0;
}
