/* SPDX-License-Identifier: MIT
 * Files are parsed when they are asked for: 16 small texts, some milliseconds, never on the measured path. */
#include "event_catalog.h"

#include <stdlib.h>
#include <string.h>

#define EVENT_FILE(name, file) extern const char event_text_##name[];
#include "event_list.h"
#undef EVENT_FILE

static bool has_absence_only(const struct event_file *f, enum metric m)
{
    for (int i = 0; i < f->candidates; i++)
        if (f->candidate[i].metric == m)
            return false;
    return f->none[m][0] != 0;
}

/* A generic event is no answer where the CPU's file says that there is none. */
static int append_generic(struct event_file *out, const struct event_file *generic, struct err *e)
{
    for (int i = 0; i < generic->candidates; i++) {
        const struct event_candidate *c = &generic->candidate[i];
        if (has_absence_only(out, c->metric))
            continue;
        if (out->candidates == EVENT_CANDIDATES)
            return err_set(e, ERR_FORMAT, "%s: with the generic ones more than %d candidates", out->name, EVENT_CANDIDATES);
        out->candidate[out->candidates] = *c;
        if (c->slots > out->counters)
            out->candidate[out->candidates].slots = out->counters;
        out->candidates++;
    }
    return 0;
}

int event_catalog_choose(struct event_file *out, const struct cpu_id *cpu, struct err *e)
{
    struct event_file *generic = malloc(sizeof *generic);
    const struct event_text *t = event_texts;
    struct cpu_id here;
    int code = 0;

    if (!generic)
        return err_set(e, ERR_MEMORY, "event files: out of memory");
    if (!cpu)
        cpu_identify(&here);
    for (; code == 0 && t->name; t++)
        if ((code = event_file_parse(out, t->name, t->text, e)) == 0 && event_file_is_for(out, cpu ? cpu : &here))
            break;
    if (code == 0 && t->name && strcmp(t->name, "generic") != 0) {
        while (t[1].name)
            t++;
        code = event_file_parse(generic, t->name, t->text, e);
        if (code == 0)
            code = append_generic(out, generic, e);
    }
    free(generic);
    return code;
}

#define EVENT_FILE(name, file) {#name, event_text_##name},
const struct event_text event_texts[] = {
#include "event_list.h"
    {NULL, NULL},
};
