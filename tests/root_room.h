/* SPDX-License-Identifier: MIT
 * A machine of one's choice: a folder that code reads /proc and /sys under. For programs that include it once. */
#ifndef BENCH_ROOT_ROOM_H
#define BENCH_ROOT_ROOM_H

#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[256];

static int make_root(void **state)
{
    const char *folder = getenv("TMPDIR");

    (void)state;
    snprintf(root, sizeof root, "%s/bench-root-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(root))
        return -1;
    return chmod(root, 0755); /* for tests that give up their rights */
}

static int remove_root(void **state)
{
    char command[512];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

/* Writes a file in place, as the kernel changes its own: who has it open sees the new text. */
__attribute__((format(printf, 2, 3))) static void put(const char *path, const char *text, ...)
{
    char full[512];
    va_list ap;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    va_start(ap, text);
    vfprintf(f, text, ap);
    va_end(ap);
    assert_int_equal(fclose(f), 0);
}

/* chmod 000 stops everybody but root, who becomes somebody else meanwhile. */
__attribute__((unused)) static void forbid(const char *path)
{
    char full[512];

    snprintf(full, sizeof full, "%s%s", root, path);
    assert_int_equal(chmod(full, 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
}

__attribute__((unused)) static void allow_again(void)
{
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

#endif
