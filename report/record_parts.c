/* SPDX-License-Identifier: MIT */
#include "record_parts.h"

#include "words.h"

void view_put_json(struct view *v, json_t *object, const char *key, json_t *value)
{
    v->failed |= json_object_set_new(object, key, value) < 0;
}

/* Takes the text. */
void view_put_text(struct view *v, json_t *object, const char *key, struct text *t)
{
    view_put_json(v, object, key, json_stringn(t->data ? t->data : "", t->len));
    text_free(t);
}

void view_put(struct view *v, json_t *object, const char *key, const char *plain)
{
    view_put_json(v, object, key, json_string(plain ? plain : "not recorded"));
}

/* For a table cell; what is NULL is named by `otherwise`. */
void view_put_md(struct view *v, json_t *object, const char *key, const char *bytes, const char *otherwise)
{
    struct text t = {0};

    words_markdown(&t, bytes ? bytes : otherwise);
    view_put_text(v, object, key, &t);
}

json_t *view_add_row(struct view *v, json_t *list)
{
    json_t *row = json_object();

    v->failed |= json_array_append_new(list, row) < 0;
    return row;
}

/* A list of the view, one row for each element of the document's list. */
void view_put_list(struct view *v, const char *key, const json_t *from, void (*fill)(struct view *, json_t *, const json_t *))
{
    json_t *list = json_array(), *element;
    size_t i;

    view_put_json(v, v->root, key, list);
    json_array_foreach((json_t *)from, i, element) fill(v, view_add_row(v, list), element);
}
