/* SPDX-License-Identifier: MIT */
#include "plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder that the program itself lies in, "/" at its end. */
static int own_folder(char *out, size_t size, struct err *e)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);

    if (n <= 0)
        return err_set(e, ERR_ABSENT, "/proc/self/exe cannot be read, so that plug-ins beside the program are not found");
    out[n] = 0;
    strrchr(out, '/')[1] = 0;
    return 0;
}

void *plugin_symbol(const char *file, const char *symbol, struct err *e)
{
    char folder[PATH_MAX], path[PATH_MAX + NAME_MAX];

    if (own_folder(folder, sizeof folder, e) < 0)
        return NULL;
    snprintf(path, sizeof path, "%s%s", folder, file);
    if (access(path, F_OK) < 0) {
        err_set(e, ERR_ABSENT,
                "this build has no plug-in %s (looked for in %s); build with CUDA=1, where a CUDA toolkit is installed", file,
                folder);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        err_set(e, ERR_ABSENT,
                "plug-in %s does not load; where a library of CUDA's is missing, install it or name its folder in "
                "LD_LIBRARY_PATH: %s",
                file, dlerror());
        return NULL;
    }
    void *found = dlsym(library, symbol);
    if (!found)
        err_set(e, ERR_ABSENT, "plug-in %s has no %s: it is of another version than the program; build both again", file,
                symbol);
    return found;
}
