/* SPDX-License-Identifier: MIT
 * The list of backends, and the memory functions that those on the host share. */
#include "backend.h"

#include <stdio.h>
#include <string.h>

#include "pages.h"
#include "text.h"

const struct backend_ops *const backends[] = {&backend_cpu, &backend_ref, &backend_null, NULL};
int backend_open(struct backend **out, const char *name, const struct backend_args *a, struct err *e)
{
    enum { BACKENDS_MAX = 8 };
    const char *names[BACKENDS_MAX];
    char list[128] = "";
    size_t n = 0;

    for (; backends[n] && n < BACKENDS_MAX; n++) {
        const char *before = n == 0 ? "" : backends[n + 1] ? ", " : " and ";
        names[n] = backends[n]->name;
        if (strcmp(names[n], name) == 0)
            return backends[n]->open(out, a, e);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", before, names[n]);
    }
    const char *near = text_nearest(name, names, n);
    return err_set(e, ERR_USAGE, "--backend %s: no such backend%s%s%s; there are %s", name, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "", list);
}

void *host_alloc(struct backend *b, size_t bytes, struct err *e)
{
    void *p = pages_alloc(bytes, e);

    (void)b;
    if (p)
        memset(p, 0, bytes); /* touched here, so that no step meets a page for the first time */
    return p;
}

void host_release(struct backend *b, void *p, size_t bytes)
{
    (void)b;
    pages_free(p, bytes);
}

void host_get(struct backend *b, void *host, const void *from, size_t bytes)
{
    (void)b;
    memcpy(host, from, bytes);
}
