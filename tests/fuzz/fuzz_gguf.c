/* SPDX-License-Identifier: MIT
 * One GGUF file, opened as a model: config and tensors, then the weights where they are small, then its tokenizer. The reader
 * maps the file; the rest of its last page would be readable and hide a step too far, so it is poisoned here. */
#include "fuzz_room.h"

#include <sanitizer/asan_interface.h>

#include "formats/source.h"
#include "fuzz_text.h"

enum { WEIGHTS_MAX = 4 << 20 }; /* bytes */

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t from);
int __real_munmap(void *at, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t from);
int __wrap_munmap(void *at, size_t size);

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

/* The linker sends the library's calls here. */
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t from)
{
    char *p = __real_mmap(at, size, protection, flags, fd, from);

    if (p != MAP_FAILED)
        ASAN_POISON_MEMORY_REGION(p + size, whole_pages(size) - size);
    return p;
}

int __wrap_munmap(void *at, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(at, whole_pages(size));
    return __real_munmap(at, size);
}

/* As it is held in memory: copied where it is stored so, else converted. */
static void load(struct source *s, enum dtype d)
{
    struct weights w = {0};
    struct err e = {0};
    bool small = weights_plan(&w, &s->config, d, &e) == 0 && w.bytes <= WEIGHTS_MAX;

    weights_free(&w);
    if (small && weights_alloc(&w, &s->config, d, &e) == 0)
        fuzz_taken(s->ops->read(s, &w, &e), &e);
    weights_free(&w);
}

static void use(struct source *s)
{
    struct tokenizer *t = NULL;
    struct err e = {0};
    char dtypes[96];

    MUST(config_check(&s->config, &e) == 0);
    MUST(source_dtypes(s, dtypes, sizeof dtypes)[0]);
    MUST(s->ops->file(s, 0) && !s->ops->file(s, 1));
    load(s, DTYPE_F32);
    load(s, DTYPE_F16);
    load(s, DTYPE_Q8_0);
    if (fuzz_taken(s->ops->tokenizer(s, &t, &e), &e))
        fuzz_text(t);
    tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_file file;
    struct source *s = NULL;
    struct err e = {0};

    if (fuzz_taken(source_gguf.open(&s, fuzz_put(&file, data, size), 0, &e), &e)) {
        use(s);
        source_close(s);
    }
    return 0;
}
