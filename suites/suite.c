/* SPDX-License-Identifier: MIT
 * Reading a suite: find the file, parse it into a tree, let the quick section and then the --set values change the tree, and
 * only then read the tree by the table of keys. So a value from the command line is checked by the same code, and with the
 * same words, as one from the file. */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "suite_keys.h"
#include "yaml_tree.h"

enum { FILE_BYTES_MAX = 256 * 1024 };

static const struct suite defaults;

/* --- finding the file --------------------------------------------------------------------------------------------------- */

/* Length of the name without its ending. */
static size_t stem_length(const char *name)
{
    size_t n = strlen(name);

    if (n > 5 && strcmp(name + n - 5, ".yaml") == 0)
        return n - 5;
    if (n > 4 && strcmp(name + n - 4, ".yml") == 0)
        return n - 4;
    return n;
}

static int is_suite(const struct dirent *d)
{
    return d->d_name[0] != '.' && stem_length(d->d_name) < strlen(d->d_name);
}

/* "; did you mean 'suites/kvcache_on_off'?" when the folder of `path` holds a suite of nearly that name. */
static void add_nearest_suite(struct text *sentence, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    char folder[PATH_MAX], word[NAME_MAX + 1];
    struct dirent **list = NULL;
    const char **names = NULL;
    int n;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - path) : 2, slash ? path : "./");
    snprintf(word, sizeof word, "%.*s", (int)stem_length(base), base);
    n = scandir(folder, &list, is_suite, alphasort);
    if (n > 0)
        names = calloc((size_t)n, sizeof *names);
    for (int i = 0; names && i < n; i++) {
        list[i]->d_name[stem_length(list[i]->d_name)] = 0;
        names[i] = list[i]->d_name;
    }
    const char *near = names ? text_nearest(word, names, (size_t)n) : NULL;
    if (near)
        text_printf(sentence, "; did you mean '%s%s'?", slash ? folder : "", near);
    for (int i = 0; i < n; i++)
        free(list[i]);
    free(list);
    free(names);
}

static int no_such_suite(const char *path, const char *with_ending, struct err *e)
{
    struct text sentence = {0};
    int code;

    text_printf(&sentence, "%s: no such suite", path);
    if (with_ending)
        text_printf(&sentence, ", tried %s and %s", path, with_ending);
    add_nearest_suite(&sentence, path);
    code = err_set(e, ERR_USAGE, "%s", sentence.data);
    text_free(&sentence);
    return code;
}

/* Puts the path that exists, as given or with .yaml behind, into s->path, and its name without ending into s->name. */
static int find_file(struct suite *s, const char *path, struct err *e)
{
    bool ending = stem_length(path) < strlen(path);
    struct stat st;

    if (strlen(path) + sizeof ".yaml" > sizeof s->path)
        return err_set(e, ERR_USAGE, "%.60s...: the path of a suite has at most %zu bytes", path,
                       sizeof s->path - sizeof ".yaml");
    snprintf(s->path, sizeof s->path, "%s%s", path, ending ? "" : ".yaml");
    if (!ending && stat(s->path, &st) < 0 && stat(path, &st) == 0)
        snprintf(s->path, sizeof s->path, "%s", path);
    if (stat(s->path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return no_such_suite(path, ending ? NULL : s->path, e);
    if (stat(s->path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(e, ERR_USAGE, "%s: expected a suite file, found %s", s->path,
                       S_ISDIR(st.st_mode) ? "a folder" : "something that is not a file");

    const char *slash = strrchr(s->path, '/');
    const char *base = slash ? slash + 1 : s->path;
    if (stem_length(base) >= sizeof s->name)
        return err_set(e, ERR_USAGE, "%s: the name of a suite has at most %zu bytes", s->path, sizeof s->name - 1);
    snprintf(s->name, sizeof s->name, "%.*s", (int)stem_length(base), base);
    return 0;
}

/* --- changing the tree -------------------------------------------------------------------------------------------------- */

struct change {
    const char *key;      /* "measure.warmup", settable */
    const char *shown;    /* how sentences name it */
    struct yaml_place at; /* of the key */
    struct yaml_node *value;
};

static int check_key(const struct change *c, struct err *e)
{
    if (suite_key_settable(c->key))
        return 0;
    char near[SUITE_KEY_BYTES];
    if (suite_key_nearest(c->key, near))
        return yaml_error(e, &c->at, c->shown, "unknown key; did you mean '%s'?", near);
    return yaml_error(e, &c->at, c->shown, "unknown key; expected a dotted key such as 'workload.batch'");
}

/* Sections on the way that the suite left out are added. */
static int apply_change(struct yaml_tree *t, struct yaml_node *root, const struct change *c, struct err *e)
{
    struct yaml_node *map = root;
    const char *name = c->key;

    for (const char *dot = strchr(name, '.'); dot; name = dot + 1, dot = strchr(name, '.')) {
        char section[YAML_KEY_MAX + 1];
        snprintf(section, sizeof section, "%.*s", (int)(dot - name), name);
        const struct yaml_entry *entry = yaml_map_find(map, section);
        struct yaml_node *next = entry ? entry->value : yaml_tree_node(t, NODE_MAP, &root->at, e);
        if (!next || (!entry && yaml_map_set(map, section, &root->at, next, e)))
            return ERR_MEMORY;
        if (next->kind != NODE_MAP)
            return yaml_error(e, &c->at, c->shown, "'%s' is one value in this suite; set it as a whole", section);
        map = next;
    }
    return yaml_map_set(map, name, &c->at, c->value, e);
}

/* The keys are checked even when they are not applied, so that a suite is right or wrong whichever way it is run. */
static int read_quick(struct yaml_tree *t, struct yaml_node *root, bool apply, const char *path, struct err *e)
{
    const struct yaml_entry *section = yaml_map_find(root, "quick");

    if (!section)
        return apply ? err_set(e, ERR_USAGE, "%s: --quick needs a section 'quick' in the suite", path) : 0;
    const struct yaml_node *quick = section->value; /* changes may move the entry, never the node */
    if (quick->kind != NODE_MAP)
        return yaml_expected(e, quick, "quick", "a mapping of dotted keys to values");
    for (int i = 0; i < quick->count; i++) {
        const struct yaml_entry *entry = &quick->entry[i];
        char shown[YAML_PATH_MAX];
        snprintf(shown, sizeof shown, "quick.%s", entry->key);
        struct change c = {.key = entry->key, .shown = shown, .at = entry->at, .value = entry->value};
        int code = check_key(&c, e);
        if (code == 0 && apply)
            code = apply_change(t, root, &c, e);
        if (code)
            return code;
    }
    return 0;
}

/* word: "workload.batch=2"; the value is YAML. */
static int read_override(struct yaml_tree *t, struct yaml_node *root, const char *word, struct err *e)
{
    const char *equals = strchr(word, '=');
    char key[YAML_KEY_MAX + 1];
    size_t len = equals ? (size_t)(equals - word) : 0;

    if (len == 0 || len >= sizeof key)
        return err_set(e, ERR_USAGE, "--set %.80s: expected key=value", word);
    snprintf(key, sizeof key, "%.*s", (int)len, word);
    struct change c = {.key = key, .shown = key, .at = {.source = "--set"}};
    int code = check_key(&c, e);
    if (code == 0)
        code = yaml_tree_parse(t, equals + 1, strlen(equals + 1), "--set", key, &c.value, e);
    return code ? code : apply_change(t, root, &c, e);
}

/* The stored text says what was changed; a line break in a value must not end the comment. */
static void note_changes(struct text *yaml, const char *const *overrides, bool quick)
{
    if (yaml->len > 0 && yaml->data[yaml->len - 1] != '\n')
        text_puts(yaml, "\n");
    if (quick)
        text_puts(yaml, "# --quick\n");
    for (; overrides && *overrides; overrides++) {
        text_puts(yaml, "# --set ");
        for (const char *c = *overrides; *c; c++)
            text_add(yaml, *c == '\r' ? " " : c, 1), text_puts(yaml, *c == '\n' ? "# " : "");
        text_puts(yaml, "\n");
    }
}

int suite_read(struct suite *s, const char *path, const char *const *overrides, bool quick, struct err *e)
{
    struct yaml_tree tree = {0};
    struct yaml_node *root = NULL;
    int code;

    *s = defaults;
    for (int a = 0; a < AXIS_COUNT; a++)
        s->usual.value[a] = axes[a].usual;
    code = find_file(s, path, e);
    if (code)
        goto out;
    code = text_read_file(&s->yaml, s->path, FILE_BYTES_MAX, e);
    if (code)
        goto out;
    code = yaml_tree_parse(&tree, s->yaml.data, s->yaml.len, s->path, "", &root, e);
    if (code)
        goto out;
    if (root->kind != NODE_MAP) {
        code = yaml_expected(e, root, "", "a mapping that begins with a key such as 'question:'");
        goto out;
    }
    code = read_quick(&tree, root, quick, s->path, e);
    for (const char *const *o = overrides; code == 0 && o && *o; o++)
        code = read_override(&tree, root, *o, e);
    if (code == 0)
        code = suite_keys_read(root, s, e);
    if (code == 0)
        note_changes(&s->yaml, overrides, quick);
out:
    yaml_tree_free(&tree);
    if (code)
        suite_free(s);
    return code;
}

void suite_free(struct suite *s)
{
    text_free(&s->yaml);
    *s = (struct suite){0};
}

static const struct suite defaults = {
    .sampling = {.temperature = 1, .beams = 4, .length_alpha = 1.2, .min_length = 5},
    .probes = {"clock"},
    .probe_count = 1,
    .warmup = 1,
    .repetitions_min = 5,
    .repetitions_max = 9,
    .target = 0.02,
    .budget_s = 60,
    .roof_ms = 150,
};
