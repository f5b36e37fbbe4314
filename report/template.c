/* SPDX-License-Identifier: MIT
 * One pass over the text with a stack of scopes. A section that is left out is still walked, without output, to find its end.
 */
#include "template.h"

#include <stdbool.h>
#include <string.h>

enum { SCOPES_MAX = 8, NAME_MAX_BYTES = 64 };

struct renderer {
    const char *name, *text; /* of the template */
    const char *at;          /* reading position */
    const json_t *scope[SCOPES_MAX];
    int scopes;
    struct text *out;
    struct err *e;
};

struct tag {
    const char *start, *end; /* "{{" and what follows "}}", or the whole line when it stands alone */
    char kind;               /* 0 for a plain name, or '#', '^', '/' */
    char name[NAME_MAX_BYTES];
};

static int render(struct renderer *r, const char *until, bool emit);

static int fail(struct renderer *r, const char *where, const char *name, const char *why)
{
    int line = 1;

    for (const char *p = r->text; p < where; p++)
        line += *p == '\n';
    return err_set(r->e, ERR_FORMAT, "%s:%d: {{%s}}: %s", r->name, line, name, why);
}

/* Widens a section's tag to its line when nothing else is on it. */
static void take_line(const struct renderer *r, struct tag *t)
{
    const char *from = t->start, *to = t->end;

    while (from > r->text && (from[-1] == ' ' || from[-1] == '\t'))
        from--;
    while (*to == ' ' || *to == '\t' || *to == '\r')
        to++;
    if ((from == r->text || from[-1] == '\n') && (*to == '\n' || *to == 0)) {
        t->start = from;
        t->end = *to ? to + 1 : to;
    }
}

/* 1: *t is the next tag; 0: no more. */
static int next_tag(struct renderer *r, struct tag *t)
{
    const char *open = strstr(r->at, "{{"), *p, *close;

    if (!open)
        return 0;
    p = open + 2;
    t->kind = *p == '#' || *p == '^' || *p == '/' ? *p++ : 0;
    close = strstr(p, "}}");
    size_t n = close ? (size_t)(close - p) : 0;
    if (n == 0 || n >= sizeof t->name || memchr(p, '\n', n))
        return fail(r, open, "", "a tag needs a name and its }} on the same line");
    memcpy(t->name, p, n);
    t->name[n] = 0;
    t->start = open;
    t->end = close + 2;
    if (t->kind)
        take_line(r, t);
    return 1;
}

static const json_t *look_up(const struct renderer *r, const char *name)
{
    for (int i = r->scopes; i-- > 0;) {
        const json_t *v = json_object_get(r->scope[i], name);
        if (v)
            return v;
    }
    return NULL;
}

static bool stands(const json_t *v)
{
    return json_is_array(v) ? json_array_size(v) > 0 : json_is_string(v) ? json_string_length(v) > 0 : json_is_true(v);
}

static int emit_value(struct renderer *r, const struct tag *t)
{
    const json_t *v = look_up(r, t->name);

    if (!v)
        return fail(r, t->start, t->name, "no such name");
    if (json_is_string(v))
        text_add(r->out, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        text_printf(r->out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        return fail(r, t->start, t->name, "is a list; write {{#name}} ... {{/name}}");
    return 0;
}

static int render_list(struct renderer *r, const struct tag *t, const json_t *list)
{
    const json_t *element;
    size_t i;
    int code = 0;

    if (r->scopes == SCOPES_MAX)
        return fail(r, t->start, t->name, "sections are nested too deeply");
    json_array_foreach(list, i, element)
    {
        r->at = t->end;
        r->scope[r->scopes++] = element;
        code = render(r, t->name, true);
        r->scopes--;
        if (code < 0)
            break;
    }
    return code;
}

static int render_section(struct renderer *r, const struct tag *t, bool emit)
{
    const json_t *v = emit ? look_up(r, t->name) : NULL;

    r->at = t->end;
    if (emit && !v)
        return fail(r, t->start, t->name, "no such name");
    if (emit && t->kind == '#' && json_is_array(v) && stands(v))
        return render_list(r, t, v);
    return render(r, t->name, emit && stands(v) == (t->kind == '#'));
}

/* From r->at to the end of the section `until`, or of the text when that is NULL. */
static int render(struct renderer *r, const char *until, bool emit)
{
    const char *begin = r->at;
    struct tag t = {0};
    int code;

    while ((code = next_tag(r, &t)) > 0 && t.start) {
        if (emit)
            text_add(r->out, r->at, (size_t)(t.start - r->at));
        r->at = t.end;
        if (t.kind == '/') {
            if (!until || strcmp(t.name, until) != 0)
                return fail(r, t.start, t.name, "ends a section that is not open here");
            return 0;
        }
        if (t.kind)
            code = render_section(r, &t, emit);
        else if (emit)
            code = emit_value(r, &t);
        if (code < 0)
            return code;
    }
    if (code == 0 && until)
        return fail(r, begin, until, "this section has no end");
    if (code == 0)
        text_puts(r->out, r->at);
    return code;
}

int template_render(struct text *out, const char *name, const char *text, const json_t *view, struct err *e)
{
    struct renderer r = {.name = name, .text = text, .at = text, .scope = {view}, .scopes = 1, .out = out, .e = e};

    return render(&r, NULL, true);
}
