/* SPDX-License-Identifier: MIT
 * The claims of a suite, read by the table of claim kinds and kept as compact JSON with normalised values, so that whoever
 * checks them later needs neither YAML nor spelling variants. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "claims.h"
#include "engine.h"
#include "roofs.h"
#include "suite_values.h"

static const char *const phases[] = {"prefill", "decode"};
static const char *const bounds[] = {"compute", "bandwidth", "overhead", "launch"};
static const char *const metrics[] = {"total_ms", "decode_ms", "prefill_ms", "flops", "bytes"};

/* An axis value as the database has it: a word, or a number; "text" and "all" until the run knows how many that is. */
static json_t *axis_json(enum axis a, int value)
{
    char number[AXIS_TEXT];
    const char *text = axis_text(a, value, number);

    return text == number ? json_integer(value) : json_string(text);
}

static int where_json(const struct yaml_node *n, const char *path, json_t **out, struct err *e)
{
    struct axis_values where;
    int code = value_axes(n, path, &where, e);

    if (code)
        return code;
    *out = json_object();
    for (int a = 0; a < AXIS_COUNT; a++) {
        json_t *list = where.len[a] > 1 ? json_array() : NULL;
        for (int i = 0; list && i < where.len[a]; i++)
            json_array_append_new(list, axis_json((enum axis)a, where.value[a][i]));
        if (where.len[a] > 0)
            json_object_set_new(*out, axis_names[a], list ? list : axis_json((enum axis)a, where.value[a][0]));
    }
    return 0;
}

static int choice_json(const struct yaml_node *n, const char *path, const char *const *names, int count, json_t **out,
                       struct err *e)
{
    int i = 0, code = value_choice(n, path, names, count, &i, e);

    if (code == 0)
        *out = json_string(names[i]);
    return code;
}

static int op_json(const struct yaml_node *n, const char *path, json_t **out, struct err *e)
{
    const char *names[OP_COUNT + 1] = {[OP_COUNT] = "rest"};

    for (int op = 0; op < OP_COUNT; op++)
        names[op] = op_name((enum op)op);
    return choice_json(n, path, names, OP_COUNT + 1, out, e);
}

static int roof_json(const struct yaml_node *n, const char *path, json_t **out, struct err *e)
{
    const char *names[CHOICES_MAX];

    assert(roof_count <= CHOICES_MAX);
    for (int i = 0; i < roof_count; i++)
        names[i] = roof_specs[i].name;
    return choice_json(n, path, names, roof_count, out, e);
}

static int claim_value_json(enum claim_value type, const struct yaml_node *n, const char *path, json_t **out, struct err *e)
{
    int on;

    switch (type) {
    case CLAIM_PHASE:
        return choice_json(n, path, phases, sizeof phases / sizeof *phases, out, e);
    case CLAIM_BOUND:
        return choice_json(n, path, bounds, sizeof bounds / sizeof *bounds, out, e);
    case CLAIM_METRIC:
        return choice_json(n, path, metrics, sizeof metrics / sizeof *metrics, out, e);
    case CLAIM_AXIS:
        return choice_json(n, path, axis_names, AXIS_COUNT, out, e);
    case CLAIM_WHERE:
        return where_json(n, path, out, e);
    case CLAIM_OP:
        return op_json(n, path, out, e);
    case CLAIM_ROOF:
        return roof_json(n, path, out, e);
    case CLAIM_NUMBER:
        *out = value_number(n);
        return *out ? 0 : yaml_expected(e, n, path, "a number");
    case CLAIM_FLAG:
        if (!value_flag(n, &on))
            return yaml_expected(e, n, path, "true or false");
        *out = json_boolean(on);
        return 0;
    }
    assert(!"a claim value type without a reader");
    return ERR_USAGE;
}

/* NULL when the mapping names none, with the sentence. */
static const struct claim_kind *read_claim_kind(const struct yaml_node *map, const char *path, struct err *e)
{
    const struct yaml_entry *entry = yaml_map_find(map, "claim");
    const char *names[CHOICES_MAX];
    char full[YAML_PATH_MAX];
    int n = 0, i = 0;

    if (!entry) {
        value_missing_key(map, path, "claim", e);
        return NULL;
    }
    for (; claim_kinds[n].name; n++) {
        assert(n < CHOICES_MAX);
        names[n] = claim_kinds[n].name;
    }
    if (value_choice(entry->value, value_path(full, path, "claim"), names, n, &i, e))
        return NULL;
    return &claim_kinds[i];
}

static int check_claim_keys(const struct yaml_node *map, const char *path, const struct claim_kind *kind, struct err *e)
{
    const char *names[CLAIM_KEYS_MAX + 1];
    int n = 0;

    for (; n < CLAIM_KEYS_MAX && kind->key[n].name; n++) {
        names[n] = kind->key[n].name;
        if (kind->key[n].required && !yaml_map_find(map, names[n]))
            return value_missing_key(map, path, names[n], e);
    }
    names[n++] = "claim";
    for (int i = 0; i < map->count; i++) {
        int known = 0;
        while (known < n && strcmp(names[known], map->entry[i].key) != 0)
            known++;
        if (known == n)
            return value_unknown_key(&map->entry[i], path, names, n, e);
    }
    return 0;
}

int suite_claim_read(const struct yaml_node *map, const char *path, struct claim_spec *out, struct err *e)
{
    const struct claim_kind *kind = read_claim_kind(map, path, e);
    json_t *claim = json_object();
    int code = kind ? check_claim_keys(map, path, kind, e) : ERR_USAGE;

    if (code)
        goto out;
    json_object_set_new(claim, "claim", json_string(kind->name));
    for (int i = 0; i < CLAIM_KEYS_MAX && kind->key[i].name; i++) {
        const struct yaml_entry *entry = yaml_map_find(map, kind->key[i].name);
        char full[YAML_PATH_MAX];
        json_t *value = NULL;
        if (!entry)
            continue;
        code = claim_value_json(kind->key[i].value, entry->value, value_path(full, path, entry->key), &value, e);
        if (code)
            goto out;
        json_object_set_new(claim, entry->key, value);
    }
    snprintf(out->kind, sizeof out->kind, "%s", kind->name);
    /* 15 digits, so that 1.1 stays 1.1. */
    size_t len = json_dumpb(claim, out->json, sizeof out->json - 1, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (len >= sizeof out->json)
        code = yaml_error(e, &map->at, path, "expected a claim of at most %zu bytes; shorten its lists", sizeof out->json - 1);
    else
        out->json[len] = 0;
out:
    json_decref(claim);
    return code;
}

/* The word of an axis of numbers to what the run counts. */
static void resolve(json_t *where, const char *axis, int count)
{
    json_t *value = json_object_get(where, axis);
    const size_t n = json_is_array(value) ? json_array_size(value) : 0;

    if (json_is_string(value))
        json_object_set_new(where, axis, json_integer(count));
    for (size_t i = 0; i < n; i++)
        if (json_is_string(json_array_get(value, i)))
            json_array_set_new(value, i, json_integer(count));
}

char *suite_claim_resolved(const struct claim_spec *c, const struct cell *counts)
{
    json_t *claim = json_loads(c->json, 0, NULL), *value;
    const char *key;

    json_object_foreach(claim, key, value) for (int a = 0; a < AXIS_COUNT; a++) if (json_is_object(value) && axes[a].zero)
        resolve(value, axes[a].name, counts->value[a]);
    char *text = json_dumps(claim, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(claim);
    return text;
}
