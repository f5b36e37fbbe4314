/* SPDX-License-Identifier: MIT
 * The page template with the document put in its place. Inside <script> the parser of HTML knows no escapes but JSON does, so
 * every '<' leaves as \u003c: then no text of a run, be it a token "</script>" or "<!--", can end or nest the block. */
#include "html.h"

#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "text.h"

static const char placeholder[] = "{{document}}";

enum { PAGE_DIGITS = 12 }; /* of numbers; thousands of points in full precision would double a page */

/* U+2028 and U+2029 end a line in JavaScript but not in JSON; as escapes they mean the same in both. */
static void add_safely(struct text *out, const char *json)
{
    const char *from = json, *p = json;

    for (; *p; p++) {
        const char *instead = NULL;
        size_t length = 1;
        if (*p == '<') {
            instead = "\\u003c";
        } else if (strncmp(p, "\xe2\x80\xa8", 3) == 0 || strncmp(p, "\xe2\x80\xa9", 3) == 0) {
            instead = (unsigned char)p[2] == 0xa8 ? "\\u2028" : "\\u2029";
            length = 3;
        }
        if (!instead)
            continue;
        text_add(out, from, (size_t)(p - from));
        text_puts(out, instead);
        p += length - 1;
        from = p + 1;
    }
    text_add(out, from, (size_t)(p - from));
}

int html_write(const json_t *document, const char *path, struct err *e)
{
    const char *place = strstr(embedded_page, placeholder);
    struct text page = {0};
    char *json;
    int code;

    if (!place || strstr(place + 1, placeholder))
        return err_set(e, ERR_FORMAT,
                       "the report page compiled into this program has no single place for the data; rebuild it");
    json = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(PAGE_DIGITS));
    if (!json)
        return err_set(e, ERR_MEMORY, "%s: the run's document cannot be written as JSON", path);
    text_add(&page, embedded_page, (size_t)(place - embedded_page));
    add_safely(&page, json);
    text_puts(&page, place + strlen(placeholder));
    code = text_write_file(path, page.data, page.len, e);
    text_free(&page);
    free(json);
    return code;
}
