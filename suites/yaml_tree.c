/* SPDX-License-Identifier: MIT
 * The tree is built from libyaml's events rather than its document API: events still carry anchors, aliases and tags with
 * their position, so those are refused where they stand and nothing is ever expanded, and the nesting limit holds while
 * reading instead of afterwards. Duplicate keys, which libyaml lets pass, are found here as well. */
#include "yaml_tree.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "text.h"

struct builder {
    yaml_parser_t parser;
    struct yaml_tree *tree;
    const char *text, *source, *path; /* path: what the whole text stands for */
    struct text here;                 /* dotted path of the node being read */
    int depth;
    struct err *e;
};

int yaml_error(struct err *e, const struct yaml_place *at, const char *path, const char *fmt, ...)
{
    char what[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (at->line == 0)
        return err_set(e, ERR_USAGE, "%s %s: %s", at->source, path, what);
    return err_set(e, ERR_USAGE, "%s:%d:%d: %s%s%s", at->source, at->line, at->column, path, *path ? ": " : "", what);
}

const char *yaml_shown(char *buf, size_t size, const struct yaml_node *n)
{
    enum { SHOWN_MAX = 40 };
    size_t len;

    if (n->kind != NODE_SCALAR || !*n->text) {
        snprintf(buf, size, "%s", n->kind == NODE_LIST ? "a list" : n->kind == NODE_MAP ? "a mapping" : "nothing");
        return buf;
    }
    len = strlen(n->text);
    const char *tail = len > SHOWN_MAX ? "..." : "";
    if (len > SHOWN_MAX)
        for (len = SHOWN_MAX; len > 0 && ((unsigned char)n->text[len] & 0xC0) == 0x80;)
            len--; /* a character is never cut in two */
    snprintf(buf, size, "'%.*s%s'", (int)len, n->text, tail);
    for (char *c = buf; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    return buf;
}

int yaml_expected(struct err *e, const struct yaml_node *n, const char *path, const char *fmt, ...)
{
    char what[256], shown[64];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return yaml_error(e, &n->at, path, "expected %s, got %s", what, yaml_shown(shown, sizeof shown, n));
}

struct yaml_entry *yaml_map_find(const struct yaml_node *map, const char *key)
{
    for (int i = 0; i < map->count; i++)
        if (strcmp(map->entry[i].key, key) == 0)
            return &map->entry[i];
    return NULL;
}

/* key NULL: a list entry. The array doubles at powers of two, so that no capacity has to be kept. */
static int node_append(struct yaml_node *n, const char *key, const struct yaml_place *at, struct yaml_node *value,
                       struct err *e)
{
    struct yaml_entry *grown = n->entry;
    char *copy = key ? strdup(key) : NULL;

    if (key && !copy)
        goto out_of_memory;
    if ((n->count & (n->count - 1)) == 0) {
        grown = realloc(n->entry, (n->count ? 2 * (size_t)n->count : 1) * sizeof *grown);
        if (!grown)
            goto out_of_memory;
    }
    n->entry = grown;
    n->entry[n->count++] = (struct yaml_entry){.key = copy, .at = *at, .value = value};
    return 0;
out_of_memory:
    free(copy);
    return err_set(e, ERR_MEMORY, "%s: out of memory while reading", at->source);
}

int yaml_map_set(struct yaml_node *map, const char *key, const struct yaml_place *at, struct yaml_node *value, struct err *e)
{
    struct yaml_entry *old = yaml_map_find(map, key);

    if (!old)
        return node_append(map, key, at, value, e);
    old->at = *at;
    old->value = value;
    return 0;
}

struct yaml_node *yaml_tree_node(struct yaml_tree *t, enum yaml_kind kind, const struct yaml_place *at, struct err *e)
{
    struct yaml_node *n = calloc(1, sizeof *n);

    if (!n) {
        err_set(e, ERR_MEMORY, "%s: out of memory while reading", at->source);
        return NULL;
    }
    *n = (struct yaml_node){.kind = kind, .at = *at, .next = t->nodes};
    t->nodes = n;
    return n;
}

void yaml_tree_free(struct yaml_tree *t)
{
    for (struct yaml_node *n = t->nodes, *next; n; n = next) {
        next = n->next;
        for (int i = 0; i < n->count; i++)
            free(n->entry[i].key);
        free(n->entry);
        free(n->text);
        free(n);
    }
    *t = (struct yaml_tree){0};
}

static struct yaml_node *scalar_node(struct yaml_tree *t, const char *text, const struct yaml_place *at, struct err *e)
{
    struct yaml_node *n = yaml_tree_node(t, NODE_SCALAR, at, e);

    if (!n)
        return NULL;
    n->text = strdup(text);
    if (!n->text) {
        err_set(e, ERR_MEMORY, "%s: out of memory while reading", at->source);
        return NULL;
    }
    return n;
}

/* The command line has no lines: there the dotted path alone says where. */
static struct yaml_place place(const struct builder *b, yaml_mark_t mark)
{
    if (*b->path)
        return (struct yaml_place){.source = b->source};
    return (struct yaml_place){b->source, (int)mark.line + 1, (int)mark.column + 1};
}

/* Bad bytes are reported by offset only. */
static yaml_mark_t mark_of_offset(const char *text, size_t offset)
{
    yaml_mark_t m = {0};

    for (size_t i = 0; i < offset; i++) {
        m.line += text[i] == '\n';
        m.column = text[i] == '\n' ? 0 : m.column + (((unsigned char)text[i] & 0xC0) != 0x80);
    }
    return m;
}

static int syntax_error(struct builder *b)
{
    const yaml_parser_t *p = &b->parser;

    if (p->error == YAML_MEMORY_ERROR)
        return err_set(b->e, ERR_MEMORY, "%s: out of memory while reading", b->source);
    yaml_mark_t mark = p->error == YAML_READER_ERROR ? mark_of_offset(b->text, p->problem_offset) : p->problem_mark;
    struct yaml_place at = place(b, mark);
    if (!p->context)
        return yaml_error(b->e, &at, b->path, "%s", p->problem ? p->problem : "not YAML");
    struct yaml_place from = place(b, p->context_mark);
    if (from.line == 0)
        return yaml_error(b->e, &at, b->path, "%s, %s", p->context, p->problem);
    return yaml_error(b->e, &at, b->path, "%s at %d:%d, %s", p->context, from.line, from.column, p->problem);
}

/* On success the caller deletes the event. */
static int next_event(struct builder *b, yaml_event_t *event)
{
    return yaml_parser_parse(&b->parser, event) ? 0 : syntax_error(b);
}

static int build_node(struct builder *b, const yaml_event_t *event, struct yaml_node **out);

/* What YAML would let a suite do and a reader could trip over. */
static int refuse_indirection(struct builder *b, const yaml_event_t *ev)
{
    const unsigned char *anchor = NULL, *tag = NULL;
    struct yaml_place at = place(b, ev->start_mark);

    if (ev->type == YAML_SCALAR_EVENT) {
        anchor = ev->data.scalar.anchor;
        tag = ev->data.scalar.tag;
    } else if (ev->type == YAML_SEQUENCE_START_EVENT) {
        anchor = ev->data.sequence_start.anchor;
        tag = ev->data.sequence_start.tag;
    } else if (ev->type == YAML_MAPPING_START_EVENT) {
        anchor = ev->data.mapping_start.anchor;
        tag = ev->data.mapping_start.tag;
    }
    if (anchor || ev->type == YAML_ALIAS_EVENT)
        return yaml_error(b->e, &at, b->here.data, "expected no anchors and aliases (& and *); write the value out");
    if (tag)
        return yaml_error(b->e, &at, b->here.data, "expected no tags (!); write the value alone");
    return 0;
}

static int build_scalar(struct builder *b, const yaml_event_t *ev, struct yaml_node **out)
{
    struct yaml_place at = place(b, ev->start_mark);
    const char *text = (const char *)ev->data.scalar.value;

    if (memchr(text, 0, ev->data.scalar.length))
        return yaml_error(b->e, &at, b->here.data, "expected a text without NUL bytes");
    *out = scalar_node(b->tree, text, &at, b->e);
    return *out ? 0 : ERR_MEMORY;
}

static int build_list(struct builder *b, struct yaml_node *list)
{
    for (;;) {
        yaml_event_t ev;
        struct yaml_node *item = NULL;
        int code = next_event(b, &ev);
        if (code)
            return code;
        bool last = ev.type == YAML_SEQUENCE_END_EVENT;
        struct yaml_place at = place(b, ev.start_mark);
        if (!last && list->count == YAML_ENTRIES_MAX)
            code = yaml_error(b->e, &at, b->here.data, "expected at most %d entries", YAML_ENTRIES_MAX);
        else if (!last)
            code = build_node(b, &ev, &item);
        yaml_event_delete(&ev);
        if (code || last)
            return code;
        code = node_append(list, NULL, &at, item, b->e);
        if (code)
            return code;
    }
}

/* Checks a key and puts it behind the dotted path. */
static int enter_key(struct builder *b, const struct yaml_node *map, const yaml_event_t *ev)
{
    struct yaml_place at = place(b, ev->start_mark);
    int code = refuse_indirection(b, ev);

    if (code)
        return code;
    const char *key = ev->type == YAML_SCALAR_EVENT ? (const char *)ev->data.scalar.value : "";
    size_t len = ev->type == YAML_SCALAR_EVENT ? ev->data.scalar.length : 0;
    bool good = len > 0 && len <= YAML_KEY_MAX;
    for (size_t i = 0; good && i < len; i++)
        good = !iscntrl((unsigned char)key[i]);
    if (!good)
        return yaml_error(b->e, &at, b->here.data, "expected a name of at most %d bytes as key", YAML_KEY_MAX);
    if (map->count == YAML_ENTRIES_MAX)
        return yaml_error(b->e, &at, b->here.data, "expected at most %d entries", YAML_ENTRIES_MAX);

    if (b->here.len)
        text_puts(&b->here, ".");
    text_puts(&b->here, key);
    const struct yaml_entry *first = yaml_map_find(map, key);
    if (first && first->at.line)
        return yaml_error(b->e, &at, b->here.data, "duplicate key, first given at %d:%d", first->at.line, first->at.column);
    if (first)
        return yaml_error(b->e, &at, b->here.data, "duplicate key");
    return 0;
}

static int build_entry(struct builder *b, struct yaml_node *map, const yaml_event_t *key)
{
    size_t outer = b->here.len;
    struct yaml_node *value = NULL;
    yaml_event_t ev;
    int code = enter_key(b, map, key);

    if (code)
        return code;
    code = next_event(b, &ev);
    if (code)
        return code;
    code = build_node(b, &ev, &value);
    yaml_event_delete(&ev);
    b->here.len = outer;
    b->here.data[outer] = 0;
    if (code)
        return code;
    struct yaml_place at = place(b, key->start_mark);
    return node_append(map, (const char *)key->data.scalar.value, &at, value, b->e);
}

static int build_map(struct builder *b, struct yaml_node *map)
{
    for (;;) {
        yaml_event_t ev;
        int code = next_event(b, &ev);
        if (code)
            return code;
        bool last = ev.type == YAML_MAPPING_END_EVENT;
        if (!last)
            code = build_entry(b, map, &ev);
        yaml_event_delete(&ev);
        if (code || last)
            return code;
    }
}

static int build_node(struct builder *b, const yaml_event_t *ev, struct yaml_node **out)
{
    struct yaml_place at = place(b, ev->start_mark);
    int code = refuse_indirection(b, ev);

    if (code)
        return code;
    if (ev->type == YAML_SCALAR_EVENT)
        return build_scalar(b, ev, out);
    if (b->depth == YAML_NESTING_MAX)
        return yaml_error(b->e, &at, b->here.data, "expected at most %d levels of nesting", YAML_NESTING_MAX);
    bool list = ev->type == YAML_SEQUENCE_START_EVENT;
    *out = yaml_tree_node(b->tree, list ? NODE_LIST : NODE_MAP, &at, b->e);
    if (!*out)
        return ERR_MEMORY;
    b->depth++;
    code = list ? build_list(b, *out) : build_map(b, *out);
    b->depth--;
    return code;
}

/* Stream and document events around the one root. */
static int build_root(struct builder *b, struct yaml_node **root)
{
    for (;;) {
        yaml_event_t ev;
        int code = next_event(b, &ev);
        if (code)
            return code;
        struct yaml_place at = place(b, ev.start_mark);
        bool last = ev.type == YAML_STREAM_END_EVENT;
        if (ev.type == YAML_DOCUMENT_START_EVENT && *root)
            code = yaml_error(b->e, &at, b->path, "expected one document, found a second");
        else if (last && !*root)
            *root = scalar_node(b->tree, "", &at, b->e);
        else if (!last && ev.type != YAML_STREAM_START_EVENT && ev.type != YAML_DOCUMENT_START_EVENT &&
                 ev.type != YAML_DOCUMENT_END_EVENT)
            code = build_node(b, &ev, root);
        yaml_event_delete(&ev);
        if (code || last)
            return *root || code ? code : ERR_MEMORY;
    }
}

int yaml_tree_parse(struct yaml_tree *t, const char *text, size_t len, const char *source, const char *path,
                    struct yaml_node **root, struct err *e)
{
    static const char bom[] = "\xef\xbb\xbf"; /* some editors write it, libyaml takes it for a first word */
    struct builder b = {.tree = t, .text = text, .source = source, .path = path, .e = e};
    int code;

    *root = NULL;
    if (len >= 3 && memcmp(text, bom, 3) == 0) {
        b.text += 3;
        len -= 3;
    }
    if (!yaml_parser_initialize(&b.parser))
        return err_set(e, ERR_MEMORY, "%s: out of memory while reading", source);
    text_puts(&b.here, path);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING); /* or other marks would switch to UTF-16 */
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)b.text, len);
    code = build_root(&b, root);
    yaml_parser_delete(&b.parser);
    text_free(&b.here);
    return code;
}
