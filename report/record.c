/* SPDX-License-Identifier: MIT
 * Filling a record: the template gives everything but the notes, an existing file gives the notes. A file whose notes cannot be
 * told apart with certainty is left as it is. */
#include "record.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "embedded.h"
#include "record_view.h"
#include "template.h"
#include "words.h"

static const char notes_begin[] = "<!-- notes:begin -->";
static const char notes_end[] = "<!-- notes:end -->";
enum { RECORD_BYTES_MAX = 16 << 20 };

struct span {
    size_t from, to;
};

/* Lines that are exactly the marker: the last one's span, and how many there are. A value in a table never is a whole line. */
static int find_line(const struct text *t, const char *marker, struct span *out)
{
    size_t n = strlen(marker);
    int count = 0;

    for (size_t at = 0; at < t->len;) {
        const char *line = t->data + at, *newline = memchr(line, '\n', t->len - at);
        size_t length = newline ? (size_t)(newline - line) : t->len - at, next = at + length + (newline != NULL);
        bool carriage = length == n + 1 && line[n] == '\r';
        if ((length == n || carriage) && memcmp(line, marker, n) == 0) {
            *out = (struct span){at, next};
            count++;
        }
        at = next;
    }
    return count;
}

/* The bytes between the markers' lines. */
static int find_notes(const struct text *t, struct span *notes, const char *path, const char *then, struct err *e)
{
    struct span begin, end;
    int begins = find_line(t, notes_begin, &begin), ends = find_line(t, notes_end, &end);

    if (begins != 1 || ends != 1)
        return err_set(e, ERR_FORMAT, "%s: %s: the line '%s' is there %d times, '%s' %d times; each must be there once", path,
                       then, notes_begin, begins, notes_end, ends);
    if (begin.to > end.from)
        return err_set(e, ERR_FORMAT, "%s: %s: '%s' stands before '%s'", path, then, notes_end, notes_begin);
    *notes = (struct span){begin.to, end.from};
    return 0;
}

static int fill(struct text *out, const json_t *document, const char *template_path, struct err *e)
{
    const char *name = template_path ? template_path : "experiments/TEMPLATE.md";
    struct text template = {0};
    json_t *view = NULL;
    struct span notes;
    int code = 0;

    if (template_path)
        code = text_read_file(&template, template_path, RECORD_BYTES_MAX, e);
    else
        text_puts(&template, embedded_template);
    if (code == 0)
        code = record_view(&view, document, e);
    if (code == 0)
        code = template_render(out, name, template.data, view, e);
    if (code == 0)
        code = find_notes(out, &notes, name, "not a template for records", e);
    json_decref(view);
    text_free(&template);
    return code;
}

/* Writes the filled text with the old file's notes in place of its own. */
static int write_with_notes(const struct text *filled, const struct text *old, const char *path, struct err *e)
{
    struct text merged = {0};
    struct span mine, theirs;
    int code = find_notes(old, &theirs, path, "not overwritten, so that no notes are lost", e);

    if (code < 0)
        return code;
    find_notes(filled, &mine, path, "", NULL);
    text_add(&merged, filled->data, mine.from);
    text_add(&merged, old->data + theirs.from, theirs.to - theirs.from);
    text_add(&merged, filled->data + mine.to, filled->len - mine.to);
    code = text_write_file(path, merged.data, merged.len, e);
    text_free(&merged);
    return code;
}

int record_write(const json_t *document, const char *template_path, const char *path, struct err *e)
{
    struct text filled = {0}, old = {0};
    struct stat st;
    int code = fill(&filled, document, template_path, e);

    if (code < 0)
        goto out;
    if (stat(path, &st) == 0) {
        code = text_read_file(&old, path, RECORD_BYTES_MAX, e);
        if (code == 0)
            code = write_with_notes(&filled, &old, path, e);
    } else if (errno == ENOENT) {
        code = text_write_file(path, filled.data, filled.len, e);
    } else {
        code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
out:
    text_free(&old);
    text_free(&filled);
    return code;
}

void record_default_path(const json_t *document, const char *dir, char *buf, int size)
{
    const char *started = words_string_at(document, "run.started"), *suite = words_string_at(document, "run.suite");
    char name[128];

    snprintf(name, sizeof name, "%.10s-%s-%lld", started ? started : "undated", suite ? suite : "run",
             (long long)json_integer_value(words_at(document, "run.id")));
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
            *p = '_';
    snprintf(buf, (size_t)size, "%s/%s.md", dir, name);
}
