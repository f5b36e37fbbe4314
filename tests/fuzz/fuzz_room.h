/* SPDX-License-Identifier: MIT
 * What the fuzz targets share: a place where the bytes of an input can be opened by name, as a file or as a file of a folder,
 * without writing to a disk, and what every reader promises. Each target is a program of its own; include it once. */
#ifndef BENCH_FUZZ_ROOM_H
#define BENCH_FUZZ_ROOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* libFuzzer's own name */

/* Where something that must hold does not: a crash for libFuzzer to report. */
#define MUST(what)                                                                                                             \
    do {                                                                                                                       \
        if (!(what)) {                                                                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                                                         \
            abort();                                                                                                           \
        }                                                                                                                      \
    } while (0)

/* A file in memory; all-zero is none yet. */
struct fuzz_file {
    int fd;
    char path[64];
};

static inline const char *fuzz_put(struct fuzz_file *f, const void *data, size_t size)
{
    if (!f->path[0]) {
        f->fd = memfd_create("input", MFD_CLOEXEC);
        snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
    }
    MUST(ftruncate(f->fd, 0) == 0); /* nothing of the input before is left */
    MUST(pwrite(f->fd, data, size, 0) == (ssize_t)size);
    return f->path;
}

/* A folder of links to files in memory, made when it is first asked for, gone when the program ends. */
struct fuzz_folder {
    char path[256];
    struct fuzz_file files[4];
    const char *names[4];
    int count;
};

static struct fuzz_folder fuzz_folder;

static inline void fuzz_remove_folder(void)
{
    char path[512];

    for (int i = 0; i < fuzz_folder.count; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder.path, fuzz_folder.names[i]);
        unlink(path);
    }
    rmdir(fuzz_folder.path);
}

static inline const char *fuzz_put_in_folder(const char *name, const void *data, size_t size)
{
    struct fuzz_folder *f = &fuzz_folder;
    const char *tmp = getenv("TMPDIR");
    char path[512];
    int i = 0;

    if (!f->path[0]) {
        snprintf(f->path, sizeof f->path, "%s/fuzz_XXXXXX", tmp ? tmp : "/tmp");
        MUST(mkdtemp(f->path));
        atexit(fuzz_remove_folder);
    }
    while (i < f->count && strcmp(f->names[i], name) != 0)
        i++;
    MUST(i < 4);
    fuzz_put(&f->files[i], data, size);
    if (i == f->count) {
        f->names[f->count++] = name;
        snprintf(path, sizeof path, "%s/%s", f->path, name);
        MUST(symlink(f->files[i].path, path) == 0);
    }
    return f->path;
}

/* What a reader owes: 0, or a negative code with a sentence. True where it took the input. */
static inline int fuzz_taken(int code, const struct err *e)
{
    MUST(code <= 0);
    MUST(code == 0 || (e->text[0] && memchr(e->text, 0, sizeof e->text)));
    return code == 0;
}

#endif
