/* SPDX-License-Identifier: MIT
 * The list of backends, and the memory functions that those on the host share. */
#include "backend.h"

#include <string.h>

#include "engine.h"
#include "pages.h"
#include "text.h"

const struct backend_ops *const backends[] = {&backend_cpu, &backend_ref, &backend_null, NULL};
const char *const backend_names[] = {"cpu", "ref", "null", NULL};

int backend_open(struct backend **out, const char *name, const struct backend_args *a, struct err *e)
{
    for (int i = 0; backends[i]; i++)
        if (strcmp(backends[i]->name, name) == 0)
            return backends[i]->open(out, a, e);
    const char *near = text_nearest(name, backend_names, sizeof backend_names / sizeof *backend_names - 1);
    return err_set(e, ERR_USAGE, "--backend %s: no such backend%s%s%s; there are cpu, ref and null", name,
                   near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
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
