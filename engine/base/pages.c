/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "text.h"

enum { HUGE_PAGE = 2 << 20 };

void *pages_alloc(size_t bytes, struct err *e)
{
    char want[32], have[32];
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);

    if (bytes == 0 || bytes > memory) {
        err_set(e, ERR_MEMORY, "%s wanted, the machine has %s", text_bytes(want, sizeof want, (double)bytes),
                text_bytes(have, sizeof have, (double)memory));
        return NULL;
    }
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        err_set(e, ERR_MEMORY, "%s: %s", text_bytes(want, sizeof want, (double)bytes), strerror(errno));
        return NULL;
    }
    if (bytes >= HUGE_PAGE)
        madvise(p, bytes, MADV_HUGEPAGE); /* advice only: refused is fine */
    return p;
}

void pages_free(void *p, size_t bytes)
{
    if (p)
        munmap(p, bytes);
}
