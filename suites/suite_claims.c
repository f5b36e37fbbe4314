/* SPDX-License-Identifier: MIT
 * The claims of a suite, read by the table of claim kinds and kept as compact JSON with normalised values, so that whoever
 * checks them later needs neither YAML nor spelling variants. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "claims.h"
#include "suite_values.h"

static const char *const phases[] = {"prefill", "decode"};
static const char *const bounds[] = {"compute", "bandwidth", "overhead"};
static const char *const metrics[] = {"total_ms", "decode_ms", "prefill_ms", "flops", "bytes"};

/* Axis values as the database has them: "on" or "off", a strategy's name, and token counts as numbers. */
static int where_json(const struct yaml_node *n, const char *path, json_t **out, struct err *e)
{
    struct rule rule;
    int code = value_axes(n, path, &rule, e);

    if (code)
        return code;
    if (rule.named[AXIS_PROMPT_TOKENS] && rule.cell.value[AXIS_PROMPT_TOKENS] == 0)
        return yaml_error(e, &n->at, path,
                          "expected prompt_tokens as a number; claims match the count that was run, not 'text'");
    *out = json_object();
    for (int a = 0; a < AXIS_COUNT; a++)
        if (rule.named[a] && a == AXIS_KV_CACHE)
            json_object_set_new(*out, axis_names[a], json_string(rule.cell.value[a] ? "on" : "off"));
        else if (rule.named[a] && a == AXIS_STRATEGY)
            json_object_set_new(*out, axis_names[a], json_string(strategy_names[rule.cell.value[a]]));
        else if (rule.named[a])
            json_object_set_new(*out, axis_names[a], json_integer(rule.cell.value[a]));
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
    /* 15 digits, so that 1.1 stays 1.1. The widest claim of the table is well below the buffer. */
    size_t len = json_dumpb(claim, out->json, sizeof out->json - 1, JSON_COMPACT | JSON_REAL_PRECISION(15));
    assert(len > 0 && len < sizeof out->json);
    out->json[len] = 0;
out:
    json_decref(claim);
    return code;
}
