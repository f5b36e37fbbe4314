/* SPDX-License-Identifier: MIT */
#include "root_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void path_under(char buf[ROOT_PATH], const char *root, const char *path, va_list ap)
{
    int n = snprintf(buf, ROOT_PATH, "%s", root);

    if (n >= 0 && n < ROOT_PATH)
        vsnprintf(buf + n, ROOT_PATH - (size_t)n, path, ap);
}

const char *root_path(char buf[ROOT_PATH], const char *root, const char *path, ...)
{
    va_list ap;

    va_start(ap, path);
    path_under(buf, root, path, ap);
    va_end(ap);
    return buf;
}

FILE *root_open(const char *root, const char *path, ...)
{
    char full[ROOT_PATH];
    va_list ap;

    va_start(ap, path);
    path_under(full, root, path, ap);
    va_end(ap);
    return fopen(full, "re");
}

bool root_has(const char *root, const char *path, ...)
{
    char full[ROOT_PATH];
    va_list ap;

    va_start(ap, path);
    path_under(full, root, path, ap);
    va_end(ap);
    return access(full, F_OK) == 0;
}

/* Files of sysfs may open and then refuse to be read. */
static int first_line(char *line, size_t size, const char *full)
{
    FILE *f = fopen(full, "re");
    int why = 0;

    line[0] = 0;
    if (!f)
        return errno;
    errno = 0;
    if (!fgets(line, (int)size, f)) {
        why = errno ? errno : ENODATA;
        line[0] = 0;
    }
    line[strcspn(line, "\n")] = 0;
    fclose(f);
    return why;
}

int root_line(char *line, size_t size, const char *root, const char *path, ...)
{
    char full[ROOT_PATH];
    va_list ap;

    va_start(ap, path);
    path_under(full, root, path, ap);
    va_end(ap);
    return first_line(line, size, full);
}

int root_number(int64_t *out, const char *root, const char *path, ...)
{
    char full[ROOT_PATH], line[64];
    va_list ap;

    va_start(ap, path);
    path_under(full, root, path, ap);
    va_end(ap);
    int why = first_line(line, sizeof line, full);
    if (why)
        return why;
    return sscanf(line, "%" SCNd64, out) == 1 ? 0 : EINVAL;
}
